//! History of long/short ratios: fetches what the venues still have and the store lacks, most important assets first.
//!
//! The feed itself requests the rows since its last answer. This task goes further back, from newest to oldest, and
//! computes the past aggregates. Each venue's share is weighted by its open interest at that time, so a venue without
//! open-interest history has no weight beside those with one. Everything is checked again when a venue comes back after
//! being down. A series that a venue did not answer for is requested again later.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use smol_str::SmolStr;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::event::{CollectorEvent, RatioHistory};
use crate::history::filler::{HistoryFiller, Pace, PageRequest, SeriesSource, Span, Step};
use crate::history::storage::share_point;
use crate::transport::feed_health::FeedMonitor;
use crate::transport::venue_link::VenueLink;
use crossmarket_analytics::long_short::{Reading, pool};
use crossmarket_clock::Clock;
use crossmarket_domain::index::asset_subject;
use crossmarket_domain::long_short::{LongShortKey, LongShortMethod, LongShortStatus, Shares};
use crossmarket_domain::series::{LongShortSeriesNames, Point, SeriesKey, SeriesKind};
use crossmarket_domain::state::FeedState;
use crossmarket_domain::time::{DAY, HOUR};
use crossmarket_domain::{
    AssetId, Decimal, Feed, Instrument, LongShortKind, Observation, Payload, Period, Timestamp, VenueId,
};
use crossmarket_store::{Store, StoreError};
use crossmarket_venues::{RequestOptions, Venue, VenueError};

/// Pause between two requests to one venue. Current data takes precedence.
const PAUSE: Duration = Duration::from_secs(1);

/// After this many consecutive empty pages, the venue's history has ended.
const EMPTY_MAX: u32 = 2;

/// How often the instrument list is checked for changes.
const ROUND_INTERVAL: Duration = Duration::from_secs(60);

/// Delay before a history is requested again after a venue did not answer.
const RETRY_WAIT: Duration = Duration::from_secs(900);

/// How much of an aggregate's history is kept in memory.
const DAY_AND_MORE: Duration = HOUR.saturating_mul(27);

pub(crate) struct RatioBackfillVenue {
    pub link: VenueLink,
    pub monitor: Arc<FeedMonitor>,
    /// The venue's perpetuals, by importance.
    pub instruments: watch::Receiver<Arc<[RatioInstrument]>>,
}

/// The perpetual that represents an asset at a venue.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RatioInstrument {
    /// The asset's place in the order of importance, from 1.
    pub place: u32,
    pub asset: AssetId,
    pub instrument: Instrument,
}

/// Fills the histories of ratios.
pub(crate) struct RatioBackfill {
    pub venues: Vec<RatioBackfillVenue>,
    pub store: Arc<dyn Store>,
    /// Destination of each aggregate's last day.
    pub events: mpsc::Sender<CollectorEvent>,
    pub clock: Clock,
    /// True for simulated venues. Little is requested of them: their history is made up, and the demo keeps it in
    /// memory.
    pub simulated: bool,
    /// False to use stored history only.
    pub asks: bool,
}

/// How far back a period is requested, by the asset's place in the order of importance; `None` to skip it.
fn span(period: Period, place: u32, simulated: bool) -> Option<Duration> {
    match (period, simulated) {
        (Period::OneHour, false) => Some(30 * DAY),
        (Period::FiveMinutes | Period::FifteenMinutes | Period::ThirtyMinutes, false) if place <= 50 => Some(30 * DAY),
        (Period::FiveMinutes, false) if place <= 200 => Some(2 * DAY),
        (Period::FourHours | Period::OneDay, false) if place <= 200 => Some(30 * DAY),
        (Period::OneHour, true) if place <= 20 => Some(7 * DAY),
        (Period::FiveMinutes, true) if place <= 3 => Some(2 * DAY),
        _ => None,
    }
}

/// Result of processing one series.
struct Done {
    /// Number of venues that had the asset then. The series is due again when more have it.
    venue_count: usize,
    /// How far back it was requested. The series is due again when the asset becomes more important.
    span: Option<Duration>,
    /// When the series is due again because a venue did not answer.
    again: Option<Timestamp>,
}

impl Done {
    fn is_due(&self, now: Timestamp, venue_count: usize, span: Option<Duration>) -> bool {
        venue_count > self.venue_count || span > self.span || self.again.is_some_and(|again| now >= again)
    }
}

/// In the order in which they are filled.
const PERIODS: [Period; 6] = [
    Period::OneHour,
    Period::FiveMinutes,
    Period::FourHours,
    Period::OneDay,
    Period::FifteenMinutes,
    Period::ThirtyMinutes,
];

impl RatioBackfill {
    /// Runs until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&self) {
        let mut done: HashMap<(AssetId, Period), Done> = HashMap::new();
        let mut was_down = vec![false; self.venues.len()];
        loop {
            if self.is_back(&mut was_down) {
                done.clear();
            }
            let Some((period, place, asset, venue_count)) = self.next(&mut done) else {
                // The first lists take a moment to arrive.
                let wait = if done.is_empty() { Duration::from_secs(5) } else { ROUND_INTERVAL };
                self.clock.sleep(wait).await;
                continue;
            };
            let is_whole = self.fill(&asset, place, period).await.unwrap_or_else(|error| {
                tracing::warn!(%asset, %error, "cannot store the history of ratios");
                false
            });
            let again = Some(self.clock.now() + RETRY_WAIT).filter(|_| !is_whole);
            let span = span(period, place, self.simulated);
            done.insert((asset, period), Done { venue_count, span, again });
        }
    }

    /// The most important series that is due, and how many venues have the asset. Forgets series that are no longer
    /// listed, so that they are processed again if they return.
    fn next(&self, done: &mut HashMap<(AssetId, Period), Done>) -> Option<(Period, u32, AssetId, usize)> {
        let mut assets: BTreeMap<(u32, AssetId), usize> = BTreeMap::new();
        for venue in &self.venues {
            for one in venue.instruments.borrow().iter() {
                *assets.entry((one.place, one.asset.clone())).or_default() += 1;
            }
        }
        let listed: HashSet<&AssetId> = assets.keys().map(|(_, asset)| asset).collect();
        done.retain(|(asset, _), _| listed.contains(asset));
        let now = self.clock.now();
        for period in PERIODS {
            for ((place, asset), venue_count) in &assets {
                let span = span(period, *place, self.simulated);
                if done.get(&(asset.clone(), period)).is_none_or(|done| done.is_due(now, *venue_count, span)) {
                    return Some((period, *place, asset.clone(), *venue_count));
                }
            }
        }
        None
    }

    /// True when a venue that was down at the last call is up again.
    fn is_back(&self, was_down: &mut [bool]) -> bool {
        let mut is_back = false;
        for (venue, was_down) in self.venues.iter().zip(was_down) {
            let is_down = venue.monitor.status().state == FeedState::Down;
            is_back |= *was_down && !is_down;
            *was_down = is_down;
        }
        is_back
    }

    /// Processes one asset and period at every venue, then the aggregates. False if a venue did not answer.
    async fn fill(&self, asset: &AssetId, place: u32, period: Period) -> Result<bool, StoreError> {
        let now = self.clock.now();
        self.tell(asset, period, now).await?;
        let Some(span) = span(period, place, self.simulated).filter(|_| self.asks) else {
            return Ok(true);
        };
        let from = (now - span).floor_to(period.duration());
        let until = now.floor_to(period.duration());
        let filled = self.venues.iter().map(|venue| self.fill_venue(venue, asset, period, from, until));
        let mut is_whole = true;
        for filled in join_all(filled).await {
            is_whole &= filled?;
        }
        for kind in LongShortKind::ALL.into_iter().filter(|kind| kind.is_pooled()) {
            self.aggregate(asset, kind, period, from, until).await?;
        }
        self.tell(asset, period, now).await?;
        Ok(is_whole)
    }

    /// Forwards the stored aggregates of the last day.
    async fn tell(&self, asset: &AssetId, period: Period, now: Timestamp) -> Result<(), StoreError> {
        for kind in LongShortKind::ALL.into_iter().filter(|kind| kind.is_pooled()) {
            let names = LongShortSeriesNames::of(kind, period, None);
            let points = self.store.points(&series(asset, names.long_share), now - DAY_AND_MORE, now).await?;
            if !points.is_empty() {
                let key = LongShortKey { asset: asset.clone(), kind, period, venue: None };
                // The pipeline outlives the feeds.
                let _ = self.events.send(CollectorEvent::RatioHistory(RatioHistory { key, points })).await;
            }
        }
        Ok(())
    }

    /// False if the venue did not answer.
    async fn fill_venue(
        &self,
        venue: &RatioBackfillVenue,
        asset: &AssetId,
        period: Period,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let held = venue.instruments.borrow().clone();
        let Some(RatioInstrument { instrument, .. }) = held.iter().find(|one| one.asset == *asset) else {
            return Ok(true);
        };
        let kinds = venue.link.venue.profile().long_short_kinds;
        let Some(first_kind) = kinds.first() else { return Ok(true) };
        let id = venue.link.venue.id();
        let names = LongShortSeriesNames::of(*first_kind, period, Some(id.as_str()));
        let known = self.store.points(&series(asset, names.long_share), from, until).await?;
        let known: HashSet<Timestamp> = known.iter().map(|point| point.time).collect();
        let rows = venue.link.venue.profile().long_short_rows_max;
        let page = period.duration() * rows;
        let is_missing = |span: &Span| {
            let mut times = (0..).map(|step| span.start + period.duration() * step).take_while(|time| *time < span.end);
            times.any(|time| !known.contains(&time))
        };
        let page_before = |end: Timestamp| Span { start: from.max(end - page), end };
        let newest_first = std::iter::successors((until > from).then(|| page_before(until)), |span| {
            (span.start > from).then(|| page_before(span.start))
        });
        let mut spans: Vec<Span> = newest_first.filter(is_missing).collect();
        spans.reverse();
        let store = &*self.store;
        let mut series = RatioPages { store, venue: id, asset, instrument, period, rows, empty_count: 0 };
        let pause = if self.simulated { Duration::ZERO } else { PAUSE };
        let filler = HistoryFiller { link: &venue.link, monitor: &venue.monitor, pace: Pace::Spare { pause } };
        match filler.fill(&mut series, spans).await? {
            // A venue refuses what it does not have, so a retry would not help.
            Ok(()) | Err(VenueError::Rejected(_)) => Ok(true),
            Err(_) => Ok(false),
        }
    }

    /// Computes missing points of the aggregate's history from the venues' stored points.
    async fn aggregate(
        &self,
        asset: &AssetId,
        kind: LongShortKind,
        period: Period,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let names = LongShortSeriesNames::of(kind, period, None);
        let known = self.store.points(&series(asset, names.long_share.clone()), from, until).await?;
        let known: HashSet<Timestamp> = known.iter().map(|point| point.time).collect();
        let mut readings: BTreeMap<Timestamp, Vec<Reading>> = BTreeMap::new();
        for venue in self.venues.iter().filter(|venue| venue.link.venue.profile().long_short_kinds.contains(&kind)) {
            let id = venue.link.venue.id();
            let of_venue = LongShortSeriesNames::of(kind, period, Some(id.as_str()));
            let shares = self.store.points(&series(asset, of_venue.long_share), from, until).await?;
            let interest = self.store.points(&series(asset, of_venue.open_interest), from, until).await?;
            let interest: BTreeMap<Timestamp, Decimal> =
                interest.into_iter().map(|point| (point.time, point.value)).collect();
            for point in shares.into_iter().filter(|point| !known.contains(&point.time)) {
                let Some(shares) = Shares::of_long_share(point.value.to_f64()) else { continue };
                let usd = interest.get(&point.time).copied();
                readings.entry(point.time).or_default().push(reading(id.as_str(), shares, point.time, period, usd));
            }
        }
        let (mut shares, mut interest, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for (time, readings) in readings {
            let pooled = pool(kind, &readings, time);
            let Some(long_share) = pooled.shares.and_then(|shares| share_point(shares.long_share)) else { continue };
            if pooled.method == LongShortMethod::LastKnown {
                continue;
            }
            let used = pooled.contributions.iter().filter(|one| one.status == LongShortStatus::Used).count();
            shares.push(Point { time, value: long_share });
            counts.push(Point { time, value: Decimal::from(i64::try_from(used).unwrap_or(i64::MAX)) });
            interest.extend(pooled.open_interest.map(|value| Point { time, value }));
        }
        self.store.put_points(&series(asset, names.long_share), &shares).await?;
        self.store.put_points(&series(asset, names.open_interest), &interest).await?;
        if let Some(name) = names.venue_count {
            self.store.put_points(&series(asset, name), &counts).await?;
        }
        Ok(())
    }
}

/// Ratios and open interest of one asset at one venue.
struct RatioPages<'a> {
    store: &'a dyn Store,
    venue: VenueId,
    asset: &'a AssetId,
    instrument: &'a Instrument,
    period: Period,
    rows: u32,
    /// Consecutive pages without a ratio.
    empty_count: u32,
}

impl SeriesSource for RatioPages<'_> {
    type Error = StoreError;

    fn requests(&self, venue: &dyn Venue, Span { start, end }: Span) -> Vec<PageRequest> {
        let options = RequestOptions {
            period: Some(self.period),
            start: Some(start),
            end: Some(end),
            limit: Some(self.rows),
            ..RequestOptions::default()
        };
        let asked = std::slice::from_ref(self.instrument);
        let also = venue.profile().feed(Feed::LongShortRatios).map_or(&[][..], |profile| profile.also_answers);
        let feeds: Vec<Feed> = std::iter::once(Feed::LongShortRatios).chain(also.iter().copied()).collect();
        let ratios = venue.requests(Feed::LongShortRatios, asked, &options);
        let mut requests: Vec<PageRequest> = ratios.into_iter().map(|request| (feeds.clone(), request)).collect();
        if also.is_empty() && venue.profile().feed(Feed::OpenInterest).is_some_and(|profile| profile.has_history) {
            let of_interest = venue.requests(Feed::OpenInterest, asked, &options);
            requests.extend(of_interest.into_iter().map(|request| (vec![Feed::OpenInterest], request)));
        }
        requests
    }

    async fn accept(&mut self, span: Span, observations: Vec<Observation>) -> Result<Step, StoreError> {
        let mut points: BTreeMap<SmolStr, Vec<Point>> = BTreeMap::new();
        let mut row_count = 0;
        for Observation { event_time, payload, .. } in observations {
            let Some(time) = event_time.filter(|time| (span.start..span.end).contains(time)) else { continue };
            let (name, value) = match payload {
                Payload::LongShort(value) if value.period == Some(self.period) => {
                    row_count += 1;
                    let names = LongShortSeriesNames::of(value.kind, self.period, Some(self.venue.as_str()));
                    (names.long_share, share_point(value.long_share))
                }
                Payload::OpenInterest(interest) => {
                    let kind = LongShortKind::GlobalAccount;
                    let names = LongShortSeriesNames::of(kind, self.period, Some(self.venue.as_str()));
                    (names.open_interest, interest.open_interest_usd)
                }
                _ => continue,
            };
            if let Some(value) = value {
                points.entry(name).or_default().push(Point { time, value });
            }
        }
        for (name, points) in points {
            self.store.put_points(&series(self.asset, name), &points).await?;
        }
        self.empty_count = if row_count == 0 { self.empty_count + 1 } else { 0 };
        Ok(if self.empty_count < EMPTY_MAX { Step::Next } else { Step::End })
    }
}

fn reading(venue: &'static str, shares: Shares, time: Timestamp, period: Period, usd: Option<Decimal>) -> Reading {
    Reading {
        venue: SmolStr::new_static(venue),
        instrument: SmolStr::default(),
        venue_symbol: SmolStr::default(),
        is_offered: true,
        shares: Some((shares, time, time)),
        budget: period.duration(),
        open_interest: usd,
        observed_open_interest: None,
        simulated: false,
    }
}

fn series(asset: &AssetId, name: SmolStr) -> SeriesKey {
    SeriesKey { subject: asset_subject(asset), kind: SeriesKind::Sampled(name) }
}
