//! Candle histories: loaded from the store at startup, then filled from the venues, most important assets first.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use smol_str::SmolStr;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::event::CollectorEvent;
use crate::history::filler::{HistoryFiller, Pace, PageRequest, SeriesSource, Span, Step};
use crate::prices::candle_rings::{self, Source};
use crate::transport::feed_health::FeedMonitor;
use crate::transport::venue_link::VenueLink;
use crossmarket_analytics::redenomination::rescale;
use crossmarket_backoff::{Backoff, Pauses};
use crossmarket_clock::Clock;
use crossmarket_domain::index::asset_subject;
use crossmarket_domain::registry::{FormerTicker, Registry};
use crossmarket_domain::series::{SeriesKey, SeriesKind};
use crossmarket_domain::time::{DAY, HOUR};
use crossmarket_domain::{AssetId, Candle, CandleInterval, Decimal, Feed, Instrument, Observation, Payload, Timestamp};
use crossmarket_store::Store;
use crossmarket_venues::{RequestOptions, Venue, VenueError};

/// Series processed concurrently.
const CONCURRENT_MAX: usize = 8;

/// Maximum number of pages per series.
const PAGES_MAX: u32 = 40;

/// Delay after a candle's end before it is requested. Venues need a moment to close it.
const SETTLE: Duration = Duration::from_secs(4);

/// Delay before a failed series is retried.
const BACKOFF: Backoff = Backoff::between(Duration::from_secs(60), HOUR);

/// Delay before an asset without candles at any venue is checked again. The check costs no request.
const NOBODY_WAIT: Duration = Duration::from_secs(5);

/// Maximum number of candles queued for the store before fetching pauses. Each takes 100 bytes of memory, and a venue
/// may be faster than a disk.
const BACKLOG_MAX: usize = 8_000;

/// Candle requests are patient: a caller waits for the result.
pub(crate) fn pace(seed: u64) -> Pace {
    Pace::Patient { seed, retry_for: Duration::from_secs(20) }
}

/// An asset and the places that have its candles, best first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub asset: AssetId,
    /// Index of the venue in the collector's list, and the instrument there.
    pub instruments: Vec<(u16, Instrument)>,
    /// What venues with long/short ratios call the asset: index of the venue, and the code.
    pub codes: Vec<(u16, SmolStr)>,
}

impl Target {
    /// What a venue calls the asset.
    pub(crate) fn codes_at(&self, venue_index: u16) -> impl Iterator<Item = &str> {
        self.codes.iter().filter(move |(venue, _)| *venue == venue_index).map(|(_, code)| code.as_str())
    }
}

/// Order in which a target's intervals are filled: the interval that most figures depend on comes first.
const ORDER: [CandleInterval; 3] = [CandleInterval::OneDay, CandleInterval::FiveMinutes, CandleInterval::OneHour];

#[derive(Clone)]
struct Progress {
    loaded: bool,
    due: Timestamp,
    /// End of the newest candle received from the venue.
    covered_until: Option<Timestamp>,
    pauses: Pauses,
}

type SeriesId = (AssetId, CandleInterval);

/// Fills candle histories.
pub(crate) struct Backfiller {
    /// HTTP links of the venues, by index; `None` for a venue without candles.
    pub links: Vec<Option<(VenueLink, Arc<FeedMonitor>)>>,
    pub store: Arc<dyn Store>,
    /// Destination of the candles.
    pub events: mpsc::Sender<CollectorEvent>,
    /// Number of candles waiting to be stored.
    pub backlog: watch::Receiver<usize>,
    pub clock: Clock,
    /// Seed of the jitter.
    pub seed: u64,
}

impl Backfiller {
    /// Fills the targets' histories, most important first, until `stop`.
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
            // Keep rounds short, so that a new important asset does not wait for a long list to finish.
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

    /// Advances one series by one step: loads what the store has, then fetches what the venue has since.
    async fn advance(&self, target: &Target, interval: CandleInterval, mut known: Progress) -> Progress {
        let now = self.clock.now();
        let span_start = now - candle_rings::span(interval);
        if !known.loaded {
            // The day with the highest price may be older than the range kept in memory.
            let load_from = if interval == CandleInterval::OneDay { Timestamp::EPOCH } else { span_start };
            known.covered_until = self.load(target, interval, load_from, span_start, now).await;
            known.loaded = true;
        }
        let from = known.covered_until.unwrap_or(span_start).max(span_start);
        // The sender lives as long as the pipeline, and this task ends with the pipeline too.
        let _ = self.backlog.clone().wait_for(|waiting_count| *waiting_count < BACKLOG_MAX).await;
        match self.fetch(target, interval, from, now).await {
            Some(Ok(covered_until)) => {
                known.pauses.reset();
                // What the venue has since the change shows where the stored history has it.
                known.loaded = redenomination_of(&target.asset, now).is_none();
                known.covered_until = covered_until.or(known.covered_until);
                let next = now.floor_to(interval.duration()) + interval.duration() + SETTLE;
                known.due = next + Duration::from_secs(self.seed_of(target) % 20);
            }
            Some(Err(_)) => known.due = now + known.pauses.next_pause(),
            // No venue has its candles yet; one may list it later.
            None => known.due = now + NOBODY_WAIT,
        }
        known
    }

    /// Forwards the store's candles. Returns the time up to which they have no gap worth filling.
    async fn load(
        &self,
        target: &Target,
        interval: CandleInterval,
        from: Timestamp,
        span_start: Timestamp,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let key = series_key(&target.asset, interval);
        let mut candles = match self.store.candles(&key, from, now + interval.duration()).await {
            Ok(candles) => candles,
            Err(error) => {
                tracing::warn!(asset = %target.asset, %error, "cannot read the stored history");
                return None;
            }
        };
        let rewritten = redenominate(&target.asset, &mut candles, now);
        if let Some(earlier) = candles.get(..rewritten).filter(|earlier| !earlier.is_empty()) {
            tracing::info!(asset = %target.asset, rewritten, "candles before a redenomination are in units of today now");
            if let Err(error) = self.store.put_candles(&key, earlier).await {
                tracing::warn!(asset = %target.asset, %error, "cannot store the redenominated history");
            }
        }
        let kept = candles.get(candles.partition_point(|candle| candle.start < span_start)..).unwrap_or_default();
        let starts_late = kept.first().is_none_or(|first| first.start.since(span_start) > interval.duration() * 2);
        // The last candle may have been stored before it closed.
        let covered_until = first_gap(kept, interval) - interval.duration();
        if candles.is_empty() {
            return None;
        }
        let message = CollectorEvent::History {
            asset: target.asset.clone(),
            interval,
            candles,
            instrument: None,
            source: Source::Collected,
        };
        self.events.send(message).await.ok()?;
        (!starts_late).then_some(covered_until)
    }

    /// Asks the venues in turn until one answers. Returns the end of the newest closed candle, or `None` if there is no
    /// venue to ask.
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
                Ok(mut candles) => {
                    // An old code is in old units throughout, and counts with a multiplier.
                    if instrument.multiplier == 1 {
                        redenominate(&target.asset, &mut candles, now);
                    }
                    let running = now.floor_to(interval.duration());
                    let covered_until =
                        candles.iter().map(|candle| candle.start).filter(|start| *start < running).max();
                    let message = CollectorEvent::History {
                        asset: target.asset.clone(),
                        interval,
                        candles,
                        instrument: Some(instrument.clone()),
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

/// The redenomination of an asset that may still meet candles in old units: one of the last two months.
fn redenomination_of(asset: &AssetId, now: Timestamp) -> Option<&'static FormerTicker> {
    let registered = Registry::shipped().by_id(asset.as_str())?;
    let is_recent = |former: &&FormerTicker| {
        former.factor != Decimal::ONE && now + DAY * 31 >= former.since && now <= former.since + DAY * 62
    };
    registered.former.iter().find(is_recent)
}

/// Rewrites candles from before a redenomination of the asset. Returns how many were.
fn redenominate(asset: &AssetId, candles: &mut [Candle], now: Timestamp) -> usize {
    let registered = Registry::shipped().by_id(asset.as_str());
    let former = registered.into_iter().flat_map(|asset| &asset.former);
    let changed = former.filter(|former| former.factor != Decimal::ONE && former.since <= now + DAY * 31);
    changed.map(|former| rescale(candles, former.factor, former.since)).max().unwrap_or(0)
}

pub(crate) fn series_key(asset: &AssetId, interval: CandleInterval) -> SeriesKey {
    SeriesKey { subject: asset_subject(asset), kind: SeriesKind::Candles(interval) }
}

/// End of the last candle before the first gap. `candles` must be oldest first and not empty.
pub(crate) fn first_gap(candles: &[Candle], interval: CandleInterval) -> Timestamp {
    let gap = candles.windows(2).find_map(|pair| match pair {
        [earlier, later] if later.start.since(earlier.start) > interval.duration() => Some(earlier),
        _ => None,
    });
    gap.or(candles.last()).map_or(Timestamp::EPOCH, |candle| candle.start + interval.duration())
}

/// Fetches one instrument's candles with `from <= start < until`, oldest first, in as many pages as needed. Includes
/// the running candle if the venue returns it.
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

/// Candles of one instrument. Some venues return the oldest rows of a range first, others the newest, so the next
/// request covers whichever end is missing.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candles_before_a_redenomination_are_in_units_of_today() {
        let since = Timestamp::from_date(2026, 3, 1).expect("a date");
        let candle = |day: u32, close: i64| {
            let price = Decimal::from_parts(close.into(), 3).expect("a number");
            let start = since - DAY * 2 + DAY * day;
            Candle { start, open: price, high: price, low: price, close: price, base_volume: None, quote_volume: None }
        };
        let series = || vec![candle(0, 80), candle(1, 84), candle(2, 21), candle(3, 22)];
        let id = |text| AssetId::parse(text).expect("an id");
        let now = since + DAY * 30;
        let mut candles = series();
        assert_eq!(redenominate(&id("mantra-dao"), &mut candles, now), 2);
        let closes: Vec<String> = candles.iter().map(|candle| candle.close.to_string()).collect();
        assert_eq!(closes, ["0.02", "0.021", "0.021", "0.022"], "a change of 10 % and not of -72 %");
        assert_eq!(redenominate(&id("mantra-dao"), &mut candles, now), 0, "once");
        let mut other = series();
        assert_eq!(redenominate(&id("bitcoin"), &mut other, now), 0);
        assert!(redenomination_of(&id("mantra-dao"), now).is_some());
        assert!(redenomination_of(&id("mantra-dao"), now + DAY * 60).is_none());
        assert!(redenomination_of(&id("bitcoin"), now).is_none());
    }
}
