//! The long/short ratios of every asset, and the states built from them.

mod asset;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;

pub use self::asset::AssetContext;
use self::asset::{Aggregate, Asset, AtVenue, Interest, OPEN_INTEREST_FRESH_FOR, absent, key};
use crate::history::storage::share_point;
use crossmarket_analytics::long_short::{Pooled, Reading, pool};
use crossmarket_domain::index::asset_subject;
use crossmarket_domain::long_short::{LongShortKey, LongShortMethod, LongShortRatio, LongShortStatus, Shares};
use crossmarket_domain::observation::{LongShort, OpenInterest, OpenInterestUnit};
use crossmarket_domain::series::{LongShortSeriesNames, Point, SeriesKey, SeriesKind};
use crossmarket_domain::state::{Body, Key, State};
use crossmarket_domain::{AssetId, Decimal, Instrument, LongShortKind, Period, Timestamp, VenueId};
use crossmarket_store::Update;

/// Maximum number of states in one batch; the rest follow in the next one.
const UPDATES_MAX: usize = 256;

/// How often every aggregate is checked for readings that became stale, and for a changed rank or RSI.
const REVIEW_INTERVAL: Duration = Duration::from_secs(60);

/// Smallest change of an RSI that is published.
const RSI_STEP: f64 = 0.5;

/// Inverse of the smallest relative change of open interest that is published at once (1/50). A smaller change is
/// published with the next reading.
const OPEN_INTEREST_STEP: f64 = 50.0;

/// Significant digits of open interest in dollars.
const DOLLAR_DIGITS: u32 = 12;

/// Maximum number of points queued for the store, over all series. If an unreachable store lets the queue grow further,
/// all of them are dropped. After the next start, the history backfill fetches the missing points from the venues.
const POINTS_WAITING_MAX: usize = 200_000;

#[derive(Clone, Copy, Debug)]
pub struct RatioStateVenue {
    /// Index in the collector's list.
    pub index: u16,
    pub id: VenueId,
    pub kinds: &'static [LongShortKind],
}

/// One venue's ratio, as received.
#[derive(Clone, Debug)]
pub struct Row {
    /// Time of the reading by the venue's clock.
    pub event_time: Timestamp,
    pub value: LongShort,
}

/// The ratios of every asset.
pub struct RatioState {
    venues: Vec<RatioStateVenue>,
    simulated: bool,
    assets: BTreeMap<AssetId, Asset>,
    dirty: BTreeSet<AssetId>,
    reviewed: Timestamp,
    points: BTreeMap<SeriesKey, Vec<Point>>,
    point_count: usize,
}

impl RatioState {
    pub fn new(venues: Vec<RatioStateVenue>, simulated: bool) -> Self {
        Self {
            venues,
            simulated,
            assets: BTreeMap::new(),
            dirty: BTreeSet::new(),
            reviewed: Timestamp::EPOCH,
            points: BTreeMap::new(),
            point_count: 0,
        }
    }

    /// Processes rows of one instrument from one response, of any kind. Only one of an asset's instruments at a venue
    /// counts: with `replaces` false, the rows are used only if the place is free.
    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub fn ratios(
        &mut self,
        code: &AssetId,
        venue: u16,
        instrument: &Arc<Instrument>,
        mut rows: Vec<Row>,
        budget: Duration,
        receive_time: Timestamp,
        replaces: bool,
    ) {
        let Some(id) = self.id_of(venue) else { return };
        let points = &mut self.points;
        let asset = self.assets.entry(code.clone()).or_default();
        let Some(at_venue) = asset.at_venue(venue, instrument, replaces) else { return };
        rows.sort_by_key(|row| row.event_time);
        let mut point_count = 0;
        for Row { event_time, value } in rows {
            let (kind, Some(period)) = (value.kind, value.period) else { continue };
            let shares = Shares { long_share: value.long_share, ratio: value.ratio };
            let open_interest = at_venue.open_interest;
            let series = at_venue.series(kind, period);
            series.budget = budget;
            let is_news = series.last_24h.put(period, event_time, shares.long_share);
            let newest = series.latest.map(|(_, time, _)| time);
            if newest.is_none_or(|newest| event_time >= newest) && (is_news || newest != Some(event_time)) {
                series.latest = Some((shares, event_time, receive_time));
                series.dirty = true;
            }
            if is_news {
                let names = LongShortSeriesNames::of(kind, period, Some(id.as_str()));
                point_count += put(points, code, names.long_share, event_time, share_point(shares.long_share));
                let current = newest.is_none_or(|newest| event_time > newest);
                if let Some(usd) = open_interest.and_then(|interest| interest.usd).filter(|_| current) {
                    point_count += put(points, code, names.open_interest, event_time, Some(usd));
                }
            }
        }
        self.point_count += point_count;
        if at_venue.series.iter().any(|series| series.dirty) {
            self.dirty.insert(code.clone());
        }
    }

    /// Processes an open interest. If the venue does not report dollars, the value is converted with `price`.
    pub fn open_interest(
        &mut self,
        code: &AssetId,
        venue: u16,
        instrument: &Arc<Instrument>,
        value: &OpenInterest,
        receive_time: Timestamp,
        price: Option<Decimal>,
    ) {
        if self.id_of(venue).is_none() {
            return;
        }
        let asset = self.assets.entry(code.clone()).or_default();
        let Some(at_venue) = asset.at_venue(venue, instrument, false) else { return };
        let usd = value.open_interest_usd.or_else(|| in_dollars(value, instrument, price)).or_else(|| {
            // A list of contracts has no dollar value and must not erase the one from another response.
            let known = at_venue
                .open_interest
                .filter(|known| receive_time.since(known.receive_time) <= OPEN_INTEREST_FRESH_FOR);
            known.and_then(|known| known.usd)
        });
        let usd = usd.map(|usd| usd.rounded_to_significant(DOLLAR_DIGITS).normalized());
        let receive_time = match (value.open_interest_usd, at_venue.open_interest) {
            // A dollar value that is kept also keeps its age.
            (None, Some(known)) if usd.is_some() && in_dollars(value, instrument, price).is_none() => {
                known.receive_time
            }
            _ => receive_time,
        };
        let interest = Interest { amount: value.open_interest, unit: value.unit, usd, receive_time };
        let before = at_venue.open_interest.replace(interest).and_then(|before| before.usd);
        let differs = |before: Decimal, usd: Decimal| {
            (usd.to_f64() - before.to_f64()).abs() * OPEN_INTEREST_STEP > before.to_f64()
        };
        let is_news = match (before, usd) {
            (Some(before), Some(usd)) => differs(before, usd),
            (before, usd) => before.is_some() != usd.is_some(),
        };
        if is_news && !at_venue.series.is_empty() {
            at_venue.series.iter_mut().for_each(|series| series.dirty |= series.latest.is_some());
            self.dirty.insert(code.clone());
        }
    }

    /// Adds stored readings of an aggregate, so that its change over a day is known after a restart. They are not
    /// stored again.
    pub fn past(&mut self, key: &LongShortKey, points: &[Point]) {
        let aggregate = self.assets.entry(key.asset.clone()).or_default().aggregate(key.kind, key.period);
        for point in points {
            aggregate.last_24h.put(key.period, point.time, point.value.to_f64());
        }
        if aggregate.published {
            aggregate.dirty = true;
            self.dirty.insert(key.asset.clone());
        }
    }

    /// Forgets an asset. Returns the keys that were published for it.
    pub fn remove(&mut self, code: &AssetId) -> Vec<Key> {
        self.dirty.remove(code);
        let Some(asset) = self.assets.remove(code) else { return Vec::new() };
        let of_venues = asset.venues.iter().flat_map(|at_venue| {
            let published = at_venue.series.iter().filter(|series| series.published);
            published.map(|series| (series.kind, series.period, self.id_of(at_venue.venue)))
        });
        let of_all = asset.aggregates.iter().filter(|aggregate| aggregate.published);
        of_venues
            .chain(of_all.map(|aggregate| (aggregate.kind, aggregate.period, None)))
            .map(|(kind, period, venue)| Key::LongShort(key(code, kind, period, venue)))
            .collect()
    }

    /// Forgets what a venue said of an asset. Returns the keys that were published for it.
    pub(crate) fn remove_venue(&mut self, id: &AssetId, venue: u16) -> Vec<Key> {
        let venue_id = self.id_of(venue);
        let Some(asset) = self.assets.get_mut(id) else { return Vec::new() };
        let (gone, kept) = std::mem::take(&mut asset.venues).into_iter().partition(|held| held.venue == venue);
        asset.venues = kept;
        asset.aggregates.iter_mut().for_each(|aggregate| aggregate.dirty = true);
        self.dirty.insert(id.clone());
        let gone: Vec<AtVenue> = gone;
        let series = gone.iter().flat_map(|at_venue| &at_venue.series).filter(|series| series.published);
        series.map(|series| Key::LongShort(key(id, series.kind, series.period, venue_id))).collect()
    }

    /// True if a ratio of that key can be published.
    pub(crate) fn has(&self, key: &LongShortKey) -> bool {
        let Some(asset) = self.assets.get(&key.asset) else { return false };
        let is_venue = |held: u16| self.id_of(held).is_some_and(|id| key.venue.as_deref() == Some(id.as_str()));
        key.venue.is_none() || asset.venues.iter().any(|at_venue| is_venue(at_venue.venue))
    }

    /// Makes a key due again after a failed write.
    pub fn forget(&mut self, key: &LongShortKey) {
        let venue = key.venue.as_ref().and_then(|id| self.venues.iter().find(|venue| venue.id.as_str() == id.as_str()));
        let venue = venue.map(|venue| venue.index);
        let Some(asset) = self.assets.get_mut(&key.asset) else { return };
        match venue {
            None => asset.aggregate(key.kind, key.period).dirty = true,
            Some(venue) => {
                for at_venue in asset.venues.iter_mut().filter(|at_venue| at_venue.venue == venue) {
                    at_venue.series(key.kind, key.period).dirty = true;
                }
            }
        }
        self.dirty.insert(key.asset.clone());
    }

    /// Makes everything of an asset due again, for the feed of another writer.
    pub(crate) fn forget_asset(&mut self, code: &AssetId) {
        let Some(asset) = self.assets.get_mut(code) else { return };
        for series in asset.venues.iter_mut().flat_map(|at_venue| &mut at_venue.series) {
            series.dirty |= series.latest.is_some();
        }
        asset.aggregates.iter_mut().for_each(|aggregate| aggregate.dirty = true);
        self.dirty.insert(code.clone());
    }

    /// Points received since the last call.
    pub fn take_points(&mut self) -> BTreeMap<SeriesKey, Vec<Point>> {
        self.point_count = 0;
        std::mem::take(&mut self.points)
    }

    /// Puts back points that could not be stored, before those received since.
    pub(crate) fn put_back(&mut self, points: BTreeMap<SeriesKey, Vec<Point>>) {
        for (series, mut earlier) in points {
            self.point_count += earlier.len();
            let since = self.points.entry(series).or_default();
            earlier.append(since);
            *since = earlier;
        }
    }

    /// True when there is more to publish than one batch holds.
    pub(crate) fn is_behind(&self) -> bool {
        self.dirty.len() * 8 > UPDATES_MAX
    }

    /// The due states of the assets for which `is_own` is true. `context` returns what else is known of an asset.
    pub fn updates(
        &mut self,
        now: Timestamp,
        is_own: impl Fn(&AssetId) -> bool,
        context: impl Fn(&AssetId) -> AssetContext,
    ) -> Vec<Update> {
        self.review(now, &context);
        let mut updates = Vec::new();
        while updates.len() < UPDATES_MAX
            && let Some(code) = self.dirty.iter().find(|code| is_own(code)).cloned()
        {
            self.dirty.remove(&code);
            let Some(mut asset) = self.assets.remove(&code) else { continue };
            self.publish(&code, &mut asset, &context(&code), now, &mut updates);
            self.assets.insert(code, asset);
        }
        if self.point_count > POINTS_WAITING_MAX {
            tracing::warn!(point_count = self.point_count, "store unavailable for too long, dropped the queued ratios");
            self.take_points();
        }
        updates
    }

    /// Checks for aggregates whose readings became stale, and for changed ranks and RSIs.
    fn review(&mut self, now: Timestamp, context: &impl Fn(&AssetId) -> AssetContext) {
        if now.since(self.reviewed) < REVIEW_INTERVAL {
            return;
        }
        self.reviewed = now;
        for (code, asset) in &mut self.assets {
            let current = context(code);
            for aggregate in asset.aggregates.iter_mut().filter(|aggregate| aggregate.published) {
                let moved = match (aggregate.told.rsi_14d, current.rsi_14d) {
                    (Some(told), Some(current)) => (told - current).abs() >= RSI_STEP,
                    (told, current) => told.is_some() != current.is_some(),
                };
                let is_stale = aggregate.next_stale.is_some_and(|stale| stale <= now);
                if is_stale || moved || aggregate.told.rank != current.rank || aggregate.told.ticker != current.ticker {
                    aggregate.dirty = true;
                    self.dirty.insert(code.clone());
                }
            }
        }
    }

    fn publish(
        &mut self,
        code: &AssetId,
        asset: &mut Asset,
        context: &AssetContext,
        now: Timestamp,
        updates: &mut Vec<Update>,
    ) {
        let mut touched: BTreeSet<(LongShortKind, Period)> = BTreeSet::new();
        for at_venue in &mut asset.venues {
            let Some(id) = self.id_of(at_venue.venue) else { continue };
            for place in 0..at_venue.series.len() {
                let (is_due, kind, period) = match at_venue.series.get_mut(place) {
                    Some(series) => (std::mem::take(&mut series.dirty), series.kind, series.period),
                    None => continue,
                };
                if !is_due {
                    continue;
                }
                if kind.is_pooled() {
                    touched.insert((kind, period));
                }
                let reading = at_venue.reading(id, kind, period, self.simulated, now);
                updates.extend(at_venue.state(code, place, &reading, context, self.simulated, now));
            }
        }
        for aggregate in asset.aggregates.iter_mut().filter(|aggregate| aggregate.dirty) {
            aggregate.dirty = false;
            touched.insert((aggregate.kind, aggregate.period));
        }
        for (kind, period) in touched {
            let readings = self.readings(asset, kind, period, now);
            let pooled = pool(kind, &readings, now);
            let aggregate = asset.aggregate(kind, period);
            aggregate.told = context.clone();
            let stale = readings.iter().filter_map(Reading::stale_since).filter(|stale| *stale > now);
            aggregate.next_stale = stale.min();
            let newest = pooled.newest.and_then(|place| readings.get(place));
            if let Some(newest) = newest {
                updates.extend(self.aggregate_state(code, aggregate, pooled, newest, context, now));
            }
        }
    }

    /// The readings of every venue with ratios, including venues without this kind.
    fn readings(&self, asset: &Asset, kind: LongShortKind, period: Period, now: Timestamp) -> Vec<Reading> {
        let reading = |venue: &RatioStateVenue| {
            let at_venue = asset.venues.iter().find(|at_venue| at_venue.venue == venue.index);
            match at_venue.filter(|_| venue.kinds.contains(&kind)) {
                Some(at_venue) => at_venue.reading(venue.id, kind, period, self.simulated, now),
                None => absent(venue.id, self.simulated),
            }
        };
        self.venues.iter().map(reading).collect()
    }

    fn aggregate_state(
        &mut self,
        code: &AssetId,
        aggregate: &mut Aggregate,
        pooled: Pooled,
        newest: &Reading,
        context: &AssetContext,
        now: Timestamp,
    ) -> Option<Update> {
        let (_, event_time, receive_time) = newest.shares?;
        let (kind, period) = (aggregate.kind, aggregate.period);
        if let Some(shares) = pooled.shares.filter(|_| pooled.method != LongShortMethod::LastKnown) {
            let slot = event_time.floor_to(period.duration());
            if aggregate.last_24h.put(period, slot, shares.long_share) {
                let names = LongShortSeriesNames::of(kind, period, None);
                let used = pooled.contributions.iter().filter(|one| one.status == LongShortStatus::Used).count();
                let used = Decimal::from(i64::try_from(used).unwrap_or(i64::MAX));
                let points = &mut self.points;
                let mut count = put(points, code, names.long_share, slot, share_point(shares.long_share));
                count += put(points, code, names.open_interest, slot, pooled.open_interest);
                count += names.venue_count.map_or(0, |name| put(points, code, name, slot, Some(used)));
                self.point_count += count;
            }
        }
        aggregate.published = true;
        // The store drops a state that was received before the stored one.
        aggregate.receive_time = aggregate.receive_time.max(receive_time);
        let ratio = LongShortRatio {
            key: key(code, kind, period, None),
            shares: pooled.shares,
            open_interest: pooled.open_interest,
            market_cap_rank: context.rank,
            rsi_14d: context.rsi_14d,
            day_before: pooled.shares.and_then(|_| aggregate.last_24h.before(period, event_time)),
            method: pooled.method,
            contributions: pooled.contributions,
            ticker: context.ticker.clone()?,
        };
        let state = State {
            event_time,
            receive_time: aggregate.receive_time,
            publish_time: now,
            budget: newest.budget,
            simulated: self.simulated,
            body: Body::LongShort(Box::new(ratio)),
        };
        Some((Key::LongShort(key(code, kind, period, None)), Some(state)))
    }

    fn id_of(&self, venue: u16) -> Option<VenueId> {
        self.venues.iter().find(|known| known.index == venue).map(|known| known.id)
    }
}

/// Converts open interest to US dollars with the asset's price, if the unit allows it. The size of a contract is not
/// known.
fn in_dollars(value: &OpenInterest, instrument: &Instrument, price: Option<Decimal>) -> Option<Decimal> {
    match value.unit {
        OpenInterestUnit::Base => {
            value.open_interest.checked_mul(price?)?.checked_mul(Decimal::from(i64::from(instrument.multiplier)))
        }
        OpenInterestUnit::Quote if instrument.quote == "USD" => Some(value.open_interest),
        OpenInterestUnit::Quote | OpenInterestUnit::Contracts => None,
    }
}

fn put(
    points: &mut BTreeMap<SeriesKey, Vec<Point>>,
    code: &AssetId,
    name: SmolStr,
    time: Timestamp,
    value: Option<Decimal>,
) -> usize {
    let Some(value) = value else { return 0 };
    let key = SeriesKey { subject: asset_subject(code), kind: SeriesKind::Sampled(name) };
    points.entry(key).or_default().push(Point { time, value });
    1
}
