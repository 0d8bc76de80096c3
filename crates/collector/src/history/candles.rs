//! Histories: from the store at the start, then from the venues' candles, most important assets first.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::event::CollectorEvent;
use crate::history::filler::{HistoryFiller, Pace, PageRequest, SeriesSource, Span, Step};
use crate::prices::candle_rings::{self, Source};
use crate::transport::feed_health::FeedMonitor;
use crate::transport::venue_link::VenueLink;
use crossmarket_backoff::{Backoff, Pauses};
use crossmarket_clock::Clock;
use crossmarket_domain::index::asset_subject;
use crossmarket_domain::series::{SeriesKey, SeriesKind};
use crossmarket_domain::time::HOUR;
use crossmarket_domain::{AssetCode, Candle, CandleInterval, Feed, Instrument, Observation, Payload, Timestamp};
use crossmarket_store::Store;
use crossmarket_venues::{RequestOptions, Venue, VenueError};

/// Series under way at once.
const CONCURRENT_MAX: usize = 8;

/// Pages of one series at most.
const PAGES_MAX: u32 = 40;

/// A closed candle is asked for so long after its end: venues need a moment.
const SETTLE: Duration = Duration::from_secs(4);

/// Before a series is tried again after a failure.
const BACKOFF: Backoff = Backoff::between(Duration::from_secs(60), HOUR);

/// An asset that no venue has candles of is looked at again after this time, which costs nothing.
const NOBODY_WAIT: Duration = Duration::from_secs(5);

/// Candles that wait for the store at most before further ones are asked for: 100 bytes of memory each, and a venue may be faster than a disk.
const BACKLOG_MAX: usize = 8_000;

/// Candles are asked for with a caller waiting for them.
pub(crate) fn pace(seed: u64) -> Pace {
    Pace::Patient { seed, retry_for: Duration::from_secs(20) }
}

/// An asset and where its candles can be had, the best place first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub asset: AssetCode,
    /// Venues (places in the collector's list) and instruments there.
    pub instruments: Vec<(u16, Instrument)>,
}

/// The order in which a target's intervals are filled: what most figures rest on first.
const ORDER: [CandleInterval; 3] = [CandleInterval::OneDay, CandleInterval::FiveMinutes, CandleInterval::OneHour];

#[derive(Clone)]
struct Progress {
    loaded: bool,
    due: Timestamp,
    /// End of the newest candle that the venue gave.
    covered_until: Option<Timestamp>,
    pauses: Pauses,
}

type SeriesId = (AssetCode, CandleInterval);

/// Fills histories.
pub(crate) struct Backfiller {
    /// The venues' HTTP sides, by place; `None` for one without candles.
    pub links: Vec<Option<(VenueLink, Arc<FeedMonitor>)>>,
    pub store: Arc<dyn Store>,
    /// Where candles go.
    pub events: mpsc::Sender<CollectorEvent>,
    /// How many candles wait to be stored.
    pub backlog: watch::Receiver<usize>,
    /// The time.
    pub clock: Clock,
    /// Decides the jitter.
    pub seed: u64,
}

impl Backfiller {
    /// Follows the targets, the most important first, until `stop`.
    pub(crate) async fn run(self, targets: watch::Receiver<Arc<[Target]>>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.follow(targets) => {}
        }
    }

    async fn follow(&self, mut targets: watch::Receiver<Arc<[Target]>>) {
        let mut progress: HashMap<SeriesId, Progress> = HashMap::new();
        loop {
            let current = Arc::clone(&targets.borrow_and_update());
            progress.retain(|(code, _), _| current.iter().any(|target| target.asset == *code));
            let now = self.clock.now();
            let mut due: Vec<(&Target, CandleInterval, Progress)> = Vec::new();
            for interval in ORDER {
                for target in current.iter() {
                    let known = progress.get(&(target.asset.clone(), interval));
                    if known.is_none_or(|known| known.due <= now) {
                        due.push((target, interval, known.cloned().unwrap_or_else(|| self.begun(target))));
                    }
                }
            }
            // A round is short, so that a new important asset does not wait for the whole of a long list.
            due.truncate(CONCURRENT_MAX * 8);
            let idle = due.is_empty();
            let mut due = due.into_iter();
            let mut jobs = FuturesUnordered::new();
            loop {
                while jobs.len() < CONCURRENT_MAX
                    && let Some((target, interval, known)) = due.next()
                {
                    jobs.push(self.job(target, interval, known));
                }
                let Some((key, known)) = jobs.next().await else { break };
                progress.insert(key, known);
            }
            if idle {
                let pause = self.clock.real(Duration::from_secs(1)).max(Duration::from_millis(50));
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    changed = targets.changed() => if changed.is_err() { return },
                }
            }
        }
    }

    fn seed_of(&self, target: &Target) -> u64 {
        self.seed ^ u64::from(target.asset.as_str().bytes().map(u32::from).sum::<u32>())
    }

    fn begun(&self, target: &Target) -> Progress {
        let pauses = BACKOFF.seeded(self.seed_of(target));
        Progress { loaded: false, due: Timestamp::EPOCH, covered_until: None, pauses }
    }

    async fn job(&self, target: &Target, interval: CandleInterval, known: Progress) -> (SeriesId, Progress) {
        ((target.asset.clone(), interval), self.advance(target, interval, known).await)
    }

    /// One step of one series: what the store has, then what the venue has since.
    async fn advance(&self, target: &Target, interval: CandleInterval, mut known: Progress) -> Progress {
        let now = self.clock.now();
        let span_start = now - candle_rings::span(interval);
        if !known.loaded {
            // The highest day may be older than what is kept in memory.
            let load_from = if interval == CandleInterval::OneDay { Timestamp::EPOCH } else { span_start };
            known.covered_until = self.load(target, interval, load_from, span_start, now).await;
            known.loaded = true;
        }
        let from = known.covered_until.unwrap_or(span_start).max(span_start);
        // The sender ends with the pipeline, and everything else with it.
        let _ = self.backlog.clone().wait_for(|waiting_count| *waiting_count < BACKLOG_MAX).await;
        match self.fetch(target, interval, from, now).await {
            Some(Ok(covered_until)) => {
                known.pauses.reset();
                known.covered_until = covered_until.or(known.covered_until);
                let next = now.floor_to(interval.duration()) + interval.duration() + SETTLE;
                known.due = next + Duration::from_secs(self.seed_of(target) % 20);
            }
            Some(Err(_)) => known.due = now + known.pauses.next_pause(),
            // Nobody has its candles; somebody may list it later.
            None => known.due = now + NOBODY_WAIT,
        }
        known
    }

    /// Hands the store's candles on; returns until when they reach without a gap worth asking for.
    async fn load(
        &self,
        target: &Target,
        interval: CandleInterval,
        from: Timestamp,
        span_start: Timestamp,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let key = series_key(&target.asset, interval);
        let candles = match self.store.candles(&key, from, now + interval.duration()).await {
            Ok(candles) => candles,
            Err(error) => {
                tracing::warn!(asset = %target.asset, %error, "stored history not readable");
                return None;
            }
        };
        let kept = candles.get(candles.partition_point(|candle| candle.start < span_start)..).unwrap_or_default();
        let starts_late = kept.first().is_none_or(|first| first.start.since(span_start) > interval.duration() * 2);
        // The last candle may be one that was still going on when it was stored.
        let covered_until = first_gap(kept, interval) - interval.duration();
        if candles.is_empty() {
            return None;
        }
        let message = CollectorEvent::History {
            asset: target.asset.clone(),
            interval,
            candles,
            quote: None,
            source: Source::Collected,
        };
        self.events.send(message).await.ok()?;
        (!starts_late).then_some(covered_until)
    }

    /// Asks the venues in turn until one answers. `None` when there is none to ask; else the end of the newest closed candle.
    async fn fetch(
        &self,
        target: &Target,
        interval: CandleInterval,
        from: Timestamp,
        now: Timestamp,
    ) -> Option<Result<Option<Timestamp>, VenueError>> {
        let mut outcome = None;
        for (venue_index, instrument) in target.instruments.iter().take(3) {
            let Some((link, monitor)) = self.links.get(usize::from(*venue_index)).and_then(Option::as_ref) else {
                continue;
            };
            let filler = HistoryFiller { link, monitor, pace: pace(self.seed) };
            match fetch_candles(filler, instrument, interval, from, now).await {
                Ok(candles) if candles.is_empty() => outcome = Some(Ok(None)),
                Ok(candles) => {
                    let running = now.floor_to(interval.duration());
                    let covered_until =
                        candles.iter().map(|candle| candle.start).filter(|start| *start < running).max();
                    let message = CollectorEvent::History {
                        asset: target.asset.clone(),
                        interval,
                        candles,
                        quote: Some(instrument.quote.clone()),
                        source: Source::Venue(link.venue.id()),
                    };
                    let _ = self.events.send(message).await;
                    return Some(Ok(covered_until.map(|start| start + interval.duration())));
                }
                Err(error) => outcome = Some(Err(error)),
            }
        }
        outcome
    }
}

/// The key of an asset's candles.
pub(crate) fn series_key(asset: &AssetCode, interval: CandleInterval) -> SeriesKey {
    SeriesKey { subject: asset_subject(asset), kind: SeriesKind::Candles(interval) }
}

/// The end of the last candle before the first gap; candles are oldest first and not empty.
pub(crate) fn first_gap(candles: &[Candle], interval: CandleInterval) -> Timestamp {
    let gap = candles.windows(2).find_map(|pair| match pair {
        [earlier, later] if later.start.since(earlier.start) > interval.duration() => Some(earlier),
        _ => None,
    });
    gap.or(candles.last()).map_or(Timestamp::EPOCH, |candle| candle.start + interval.duration())
}

/// One instrument's candles with `from <= start < until`, oldest first, as many pages as it takes. The running one is among them when the
/// venue gives it.
pub(crate) async fn fetch_candles(
    filler: HistoryFiller<'_>,
    instrument: &Instrument,
    interval: CandleInterval,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<Candle>, VenueError> {
    let mut pages = CandlePages { instrument, interval, from, found: BTreeMap::new(), page_count: 0 };
    let span = Span { start: from.floor_to(interval.duration()), end: until };
    match filler.fill(&mut pages, vec![span]).await {
        Ok(filled) => filled.map(|()| pages.found.into_values().collect()),
        Err(never) => match never {},
    }
}

/// Candles of one instrument. Some venues answer the oldest rows of a range first and some the newest: whatever end is missing is asked for next.
struct CandlePages<'a> {
    instrument: &'a Instrument,
    interval: CandleInterval,
    from: Timestamp,
    found: BTreeMap<Timestamp, Candle>,
    page_count: u32,
}

impl SeriesSource for CandlePages<'_> {
    type Error = Infallible;

    fn requests(&self, venue: &dyn Venue, Span { start, end }: Span) -> Vec<PageRequest> {
        let wanted = end.since(start).as_secs().div_ceil(self.interval.duration().as_secs());
        let options = RequestOptions {
            interval: Some(self.interval),
            start: Some(start),
            end: Some(end),
            limit: Some(u32::try_from(wanted + 1).unwrap_or(u32::MAX)),
            ..RequestOptions::default()
        };
        let requests = venue.requests(Feed::Candles, std::slice::from_ref(self.instrument), &options);
        requests.into_iter().map(|request| (vec![Feed::Candles], request)).collect()
    }

    async fn accept(&mut self, Span { start, end }: Span, observations: Vec<Observation>) -> Result<Step, Infallible> {
        let step = self.interval.duration();
        let before = self.found.len();
        for observation in observations {
            match observation.payload {
                Payload::Candle(interval, candle) if interval == self.interval && candle.start >= self.from => {
                    self.found.insert(candle.start, candle);
                }
                _ => {}
            }
        }
        self.page_count += 1;
        let ends = self.found.first_key_value().zip(self.found.last_key_value());
        let Some(((first, _), (last, _))) = ends.filter(|_| self.page_count < PAGES_MAX && self.found.len() > before)
        else {
            return Ok(Step::End);
        };
        let next = *last + step;
        let (missing_before, missing_after) = (first.since(start), end.since(next));
        Ok(if missing_after >= step && missing_after >= missing_before {
            Step::Replace(vec![Span { start: next, end }])
        } else if !missing_before.is_zero() {
            Step::Replace(vec![Span { start, end: *first }])
        } else {
            Step::End
        })
    }
}
