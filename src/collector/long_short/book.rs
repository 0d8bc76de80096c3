//! What is known of every asset's long/short ratios, and the states that are made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use smol_str::{SmolStr, format_smolstr};

use super::day::Day;
use crate::analytics::long_short::{Pooled, Reading, pool};
use crate::collector::publish::Update;
use crate::domain::long_short::{
    DayBefore, LongShortContribution, LongShortKey, LongShortMethod, LongShortRatio, LongShortStatus, Shares,
};
use crate::domain::observation::{LongShort, OpenInterest, OpenInterestUnit};
use crate::domain::series::{LongShortSeriesNames, Point, SeriesKey, SeriesKind};
use crate::domain::state::{Body, Key, State};
use crate::domain::{AssetCode, Decimal, Instrument, InstrumentKind, LongShortKind, Period, Timestamp, VenueId};

/// States made in one batch at most; the rest follow in the next.
const UPDATES_MAX: usize = 256;

/// How often every aggregate is looked at for readings that became stale, and for a rank or an RSI that has moved.
const REVIEW_INTERVAL: Duration = Duration::from_secs(60);

/// An RSI that moved by less is no news.
const RSI_STEP: f64 = 0.5;

/// Open interest that is this old has no weight: it is asked for once an hour at least.
const OPEN_INTEREST_BUDGET: Duration = Duration::from_secs(3 * 3_600);

/// A change of open interest by less than one in so many is told with the next reading.
const OPEN_INTEREST_STEP: f64 = 50.0;

/// Decimal places of a stored share, and significant digits of open interest in dollars.
const SHARE_PLACES: u32 = 9;
const DOLLAR_DIGITS: u32 = 12;

/// Points that wait to be stored at most, over all series; with an unreachable store further ones are left to the venues' histories.
const POINTS_WAITING_MAX: usize = 200_000;

/// A venue that has ratios.
#[derive(Clone, Copy, Debug)]
pub struct BookVenue {
    /// Its place in the collector's list.
    pub index: u16,
    /// Its id.
    pub id: VenueId,
    /// The kinds that it has.
    pub kinds: &'static [LongShortKind],
}

/// What other parts of the collector know of an asset.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AssetContext {
    /// Its rank by market cap.
    pub rank: Option<u32>,
    /// Its RSI of 14 daily closes.
    pub rsi_14d: Option<f64>,
}

/// One venue's ratio, as it was received.
#[derive(Clone, Debug)]
pub struct Row {
    /// When it was, by the venue's clock.
    pub event_time: Timestamp,
    /// What it is.
    pub value: LongShort,
}

/// Every asset's ratios.
pub struct Book {
    venues: Vec<BookVenue>,
    simulated: bool,
    assets: BTreeMap<AssetCode, Asset>,
    dirty: BTreeSet<AssetCode>,
    reviewed: Timestamp,
    points: BTreeMap<SeriesKey, Vec<Point>>,
    point_count: usize,
}

#[derive(Default)]
struct Asset {
    venues: Vec<AtVenue>,
    aggregates: Vec<Aggregate>,
}

/// One asset at one venue.
struct AtVenue {
    venue: u16,
    instrument: Arc<Instrument>,
    open_interest: Option<Interest>,
    series: Vec<Series>,
}

#[derive(Clone, Copy)]
struct Interest {
    amount: Decimal,
    unit: OpenInterestUnit,
    usd: Option<Decimal>,
    receive_time: Timestamp,
}

/// One kind and period of an asset at a venue.
struct Series {
    kind: LongShortKind,
    period: Period,
    /// The newest reading, when it was and when it was received.
    latest: Option<(Shares, Timestamp, Timestamp)>,
    budget: Duration,
    day: Day,
    dirty: bool,
    published: bool,
    receive_time: Timestamp,
}

/// One pooled kind and period of an asset.
struct Aggregate {
    kind: LongShortKind,
    period: Period,
    day: Day,
    dirty: bool,
    published: bool,
    receive_time: Timestamp,
    next_stale: Option<Timestamp>,
    told: AssetContext,
}

impl Book {
    /// An empty book.
    pub fn new(venues: Vec<BookVenue>, simulated: bool) -> Self {
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

    /// Takes rows of one instrument in, of any kinds and of one answer. `replaces` is false when they only fill a place that is free: of
    /// two instruments of an asset at one venue one counts.
    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub fn ratios(
        &mut self,
        code: &AssetCode,
        venue: u16,
        instrument: &Arc<Instrument>,
        mut rows: Vec<Row>,
        budget: Duration,
        receive_time: Timestamp,
        replaces: bool,
    ) {
        let Some(id) = self.id_of(venue) else { return };
        let simulated_points = &mut self.points;
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
            let is_news = series.day.put(period, event_time, shares.long_share);
            let newest = series.latest.map(|(_, time, _)| time);
            if newest.is_none_or(|newest| event_time >= newest) && (is_news || newest != Some(event_time)) {
                series.latest = Some((shares, event_time, receive_time));
                series.dirty = true;
            }
            if is_news {
                let names = LongShortSeriesNames::of(kind, period, Some(id.as_str()));
                point_count += put(simulated_points, code, names.long_share, event_time, share_point(shares));
                let current = newest.is_none_or(|newest| event_time > newest);
                if let Some(usd) = open_interest.and_then(|interest| interest.usd).filter(|_| current) {
                    point_count += put(simulated_points, code, names.open_interest, event_time, Some(usd));
                }
            }
        }
        self.point_count += point_count;
        if at_venue.series.iter().any(|series| series.dirty) {
            self.dirty.insert(code.clone());
        }
    }

    /// Takes an open interest in. What the venue does not give in dollars is converted with `price`.
    pub fn open_interest(
        &mut self,
        code: &AssetCode,
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
            // A list of contracts says nothing of dollars, and takes back nothing that another answer has said of them.
            let known =
                at_venue.open_interest.filter(|known| receive_time.since(known.receive_time) <= OPEN_INTEREST_BUDGET);
            known.and_then(|known| known.usd)
        });
        let usd = usd.map(|usd| usd.rounded_to_significant(DOLLAR_DIGITS).normalized());
        let receive_time = match (value.open_interest_usd, at_venue.open_interest) {
            // Dollars that are kept are as old as they are.
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

    /// Takes stored readings of an aggregate in, so that its change over a day is known after a restart. They are not stored again.
    pub fn past(&mut self, key: &LongShortKey, points: &[Point]) {
        let aggregate = self.assets.entry(key.asset.clone()).or_default().aggregate(key.kind, key.period);
        for point in points {
            aggregate.day.put(key.period, point.time, point.value.to_f64());
        }
        if aggregate.published {
            aggregate.dirty = true;
            self.dirty.insert(key.asset.clone());
        }
    }

    /// Forgets an asset; returns the keys that were published of it.
    pub fn remove(&mut self, code: &AssetCode) -> Vec<Key> {
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

    /// Makes a key due again, after it could not be written.
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

    /// Makes everything of an asset due again, for another writer's feed.
    pub fn forget_asset(&mut self, code: &AssetCode) {
        let Some(asset) = self.assets.get_mut(code) else { return };
        for series in asset.venues.iter_mut().flat_map(|at_venue| &mut at_venue.series) {
            series.dirty |= series.latest.is_some();
        }
        asset.aggregates.iter_mut().for_each(|aggregate| aggregate.dirty = true);
        self.dirty.insert(code.clone());
    }

    /// Points that came in since the last call.
    pub fn take_points(&mut self) -> BTreeMap<SeriesKey, Vec<Point>> {
        self.point_count = 0;
        std::mem::take(&mut self.points)
    }

    /// True when there is more to publish than one batch holds.
    pub fn is_behind(&self) -> bool {
        self.dirty.len() * 8 > UPDATES_MAX
    }

    /// The states that are due, of the assets that are `is_own`. `context` tells what else is known of an asset.
    pub fn updates(
        &mut self,
        now: Timestamp,
        is_own: impl Fn(&AssetCode) -> bool,
        context: impl Fn(&AssetCode) -> AssetContext,
    ) -> Vec<Update> {
        self.review(now, &context);
        let mut updates = Vec::new();
        while updates.len() < UPDATES_MAX
            && let Some(code) = self.dirty.iter().find(|code| is_own(code)).cloned()
        {
            self.dirty.remove(&code);
            let Some(mut asset) = self.assets.remove(&code) else { continue };
            self.publish(&code, &mut asset, context(&code), now, &mut updates);
            self.assets.insert(code, asset);
        }
        if self.point_count > POINTS_WAITING_MAX {
            self.points.clear();
            self.point_count = 0;
        }
        updates
    }

    /// Looks for aggregates whose readings became stale, and for ranks and RSIs that have moved.
    fn review(&mut self, now: Timestamp, context: &impl Fn(&AssetCode) -> AssetContext) {
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
                if is_stale || moved || aggregate.told.rank != current.rank {
                    aggregate.dirty = true;
                    self.dirty.insert(code.clone());
                }
            }
        }
    }

    fn publish(
        &mut self,
        code: &AssetCode,
        asset: &mut Asset,
        context: AssetContext,
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
            aggregate.told = context;
            let stale = readings.iter().filter_map(Reading::stale_since).filter(|stale| *stale > now);
            aggregate.next_stale = stale.min();
            let newest = pooled.newest.and_then(|place| readings.get(place));
            if let Some(newest) = newest {
                updates.extend(self.aggregate_state(code, aggregate, pooled, newest, context, now));
            }
        }
    }

    /// What every venue with ratios says, those that have none of this kind included.
    fn readings(&self, asset: &Asset, kind: LongShortKind, period: Period, now: Timestamp) -> Vec<Reading> {
        let reading = |venue: &BookVenue| {
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
        code: &AssetCode,
        aggregate: &mut Aggregate,
        pooled: Pooled,
        newest: &Reading,
        context: AssetContext,
        now: Timestamp,
    ) -> Option<Update> {
        let (_, event_time, receive_time) = newest.shares?;
        let (kind, period) = (aggregate.kind, aggregate.period);
        if let Some(shares) = pooled.shares.filter(|_| pooled.method != LongShortMethod::LastKnown) {
            let slot = event_time.floor_to(period.duration());
            if aggregate.day.put(period, slot, shares.long_share) {
                let names = LongShortSeriesNames::of(kind, period, None);
                let used = pooled.contributions.iter().filter(|one| one.status == LongShortStatus::Used).count();
                let used = Decimal::from(i64::try_from(used).unwrap_or(i64::MAX));
                let points = &mut self.points;
                let mut count = put(points, code, names.long_share, slot, share_point(shares));
                count += put(points, code, names.open_interest, slot, pooled.open_interest);
                count += names.venue_count.map_or(0, |name| put(points, code, name, slot, Some(used)));
                self.point_count += count;
            }
        }
        aggregate.published = true;
        // The store leaves out what was received before what it has.
        aggregate.receive_time = aggregate.receive_time.max(receive_time);
        let ratio = LongShortRatio {
            key: key(code, kind, period, None),
            shares: pooled.shares,
            open_interest: pooled.open_interest,
            market_cap_rank: context.rank,
            rsi_14d: context.rsi_14d,
            day_before: pooled.shares.and_then(|_| aggregate.day.before(period, event_time)),
            method: pooled.method,
            contributions: pooled.contributions,
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

impl Asset {
    /// The asset at a venue by this instrument; `None` when another instrument has the place there.
    fn at_venue(&mut self, venue: u16, instrument: &Arc<Instrument>, replaces: bool) -> Option<&mut AtVenue> {
        let place = match self.venues.iter().position(|at_venue| at_venue.venue == venue) {
            Some(place) => place,
            None => {
                let (instrument, series) = (Arc::clone(instrument), Vec::new());
                self.venues.push(AtVenue { venue, instrument, open_interest: None, series });
                self.venues.len() - 1
            }
        };
        let at_venue = self.venues.get_mut(place)?;
        if at_venue.instrument.symbol != instrument.symbol {
            if !replaces {
                return None;
            }
            // What was published under the same keys is replaced by what the new instrument says.
            at_venue.instrument = Arc::clone(instrument);
            at_venue.open_interest = None;
            for series in &mut at_venue.series {
                series.latest = None;
                series.day = Day::default();
            }
        }
        Some(at_venue)
    }

    fn aggregate(&mut self, kind: LongShortKind, period: Period) -> &mut Aggregate {
        let place = self.aggregates.iter().position(|known| known.kind == kind && known.period == period);
        let place = place.unwrap_or_else(|| {
            self.aggregates.push(Aggregate {
                kind,
                period,
                day: Day::default(),
                dirty: false,
                published: false,
                receive_time: Timestamp::EPOCH,
                next_stale: None,
                told: AssetContext::default(),
            });
            self.aggregates.len() - 1
        });
        &mut self.aggregates[place]
    }
}

impl AtVenue {
    fn series(&mut self, kind: LongShortKind, period: Period) -> &mut Series {
        let place = self.series.iter().position(|known| known.kind == kind && known.period == period);
        let place = place.unwrap_or_else(|| {
            self.series.push(Series {
                kind,
                period,
                latest: None,
                budget: period.duration() * 3,
                day: Day::default(),
                dirty: false,
                published: false,
                receive_time: Timestamp::EPOCH,
            });
            self.series.len() - 1
        });
        &mut self.series[place]
    }

    fn reading(&self, id: VenueId, kind: LongShortKind, period: Period, simulated: bool, now: Timestamp) -> Reading {
        let series = self.series.iter().find(|series| series.kind == kind && series.period == period);
        let current = |interest: &Interest| now.since(interest.receive_time) <= OPEN_INTEREST_BUDGET;
        let interest = self.open_interest.filter(current);
        Reading {
            venue: SmolStr::new_static(id.as_str()),
            instrument: notation(&self.instrument),
            venue_symbol: self.instrument.symbol.clone(),
            // A venue that has the contract and has said nothing of this kind yet may still do so.
            is_offered: series.is_some(),
            shares: series.and_then(|series| series.latest),
            budget: series.map_or(Duration::ZERO, |series| series.budget),
            open_interest: interest.and_then(|interest| interest.usd),
            observed_open_interest: interest.map(|interest| (interest.amount, interest.unit)),
            simulated,
        }
    }

    fn state(
        &mut self,
        code: &AssetCode,
        place: usize,
        reading: &Reading,
        context: AssetContext,
        simulated: bool,
        now: Timestamp,
    ) -> Option<Update> {
        let series = self.series.get_mut(place)?;
        let (shares, event_time, receive_time) = series.latest?;
        series.published = true;
        series.receive_time = series.receive_time.max(receive_time);
        let (status, weight) = match series.kind.is_pooled() {
            true => (LongShortStatus::Used, 1.0),
            false => (LongShortStatus::NotPooled, 0.0),
        };
        let contributions: Vec<LongShortContribution> = vec![reading.contribution(weight, status)];
        let day_before: Option<DayBefore> = series.day.before(series.period, event_time);
        let key = LongShortKey {
            asset: code.clone(),
            kind: series.kind,
            period: series.period,
            venue: Some(reading.venue.clone()),
        };
        let ratio = LongShortRatio {
            key: key.clone(),
            shares: Some(shares),
            open_interest: reading.open_interest,
            market_cap_rank: context.rank,
            rsi_14d: context.rsi_14d,
            day_before,
            method: LongShortMethod::SingleVenue,
            contributions,
        };
        let state = State {
            event_time,
            receive_time: series.receive_time,
            publish_time: now,
            budget: series.budget,
            simulated,
            body: Body::LongShort(Box::new(ratio)),
        };
        Some((Key::LongShort(key), Some(state)))
    }
}

fn absent(id: VenueId, simulated: bool) -> Reading {
    Reading {
        venue: SmolStr::new_static(id.as_str()),
        instrument: SmolStr::default(),
        venue_symbol: SmolStr::default(),
        is_offered: false,
        shares: None,
        budget: Duration::ZERO,
        open_interest: None,
        observed_open_interest: None,
        simulated,
    }
}

fn key(code: &AssetCode, kind: LongShortKind, period: Period, venue: Option<VenueId>) -> LongShortKey {
    LongShortKey { asset: code.clone(), kind, period, venue: venue.map(|venue| SmolStr::new_static(venue.as_str())) }
}

fn notation(instrument: &Instrument) -> SmolStr {
    let suffix = match instrument.kind {
        InstrumentKind::PerpetualLinear | InstrumentKind::PerpetualInverse => ":perpetual",
        _ => "",
    };
    format_smolstr!("{}/{}{suffix}", instrument.base, instrument.quote)
}

/// Open interest in US dollars by the asset's price, for a unit that can be converted. A contract's own size is not known.
fn in_dollars(value: &OpenInterest, instrument: &Instrument, price: Option<Decimal>) -> Option<Decimal> {
    match value.unit {
        OpenInterestUnit::Base => {
            value.open_interest.checked_mul(price?)?.checked_mul(Decimal::from(i64::from(instrument.multiplier)))
        }
        OpenInterestUnit::Quote if instrument.quote == "USD" => Some(value.open_interest),
        OpenInterestUnit::Quote | OpenInterestUnit::Contracts => None,
    }
}

fn share_point(shares: Shares) -> Option<Decimal> {
    Some(Decimal::from_f64(shares.long_share)?.rounded(SHARE_PLACES).normalized())
}

fn put(
    points: &mut BTreeMap<SeriesKey, Vec<Point>>,
    code: &AssetCode,
    name: SmolStr,
    time: Timestamp,
    value: Option<Decimal>,
) -> usize {
    let Some(value) = value else { return 0 };
    let key = SeriesKey { subject: code.as_str().into(), kind: SeriesKind::Sampled(name) };
    points.entry(key).or_default().push(Point { time, value });
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    const VENUES: [(u16, &str, &[LongShortKind]); 3] = [
        (0, "alpha", &[LongShortKind::GlobalAccount, LongShortKind::TopTraderAccount]),
        (1, "beta", &[LongShortKind::GlobalAccount]),
        (2, "gamma", &[LongShortKind::TopTraderAccount]),
    ];

    fn book() -> Book {
        Book::new(VENUES.map(|(index, id, kinds)| BookVenue { index, id: VenueId(id), kinds }).to_vec(), false)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_768_478_400 + seconds)
    }

    fn btc() -> AssetCode {
        AssetCode::parse("BTC").expect("valid")
    }

    fn instrument(multiplier: u32) -> Arc<Instrument> {
        let kind = InstrumentKind::PerpetualLinear;
        Arc::new(Instrument { kind, multiplier, ..Instrument::spot("BTCUSDT", "BTC", "USDT") })
    }

    fn row(kind: LongShortKind, event: i64, long_share: f64) -> Row {
        let shares = Shares::of_long_share(long_share).expect("both sides");
        let value = LongShort {
            kind,
            period: Some(Period::OneHour),
            long_share,
            short_share: shares.short_share(),
            ratio: shares.ratio,
        };
        Row { event_time: at(event), value }
    }

    fn take(book: &mut Book, venue: u16, rows: Vec<Row>, now: i64) {
        book.ratios(&btc(), venue, &instrument(1), rows, Duration::from_secs(7_200), at(now), true);
    }

    fn interest(book: &mut Book, venue: u16, amount: i64, usd: Option<i64>, multiplier: u32, now: i64) {
        let value = OpenInterest {
            open_interest: Decimal::from(amount),
            unit: OpenInterestUnit::Base,
            open_interest_usd: usd.map(Decimal::from),
        };
        book.open_interest(&btc(), venue, &instrument(multiplier), &value, at(now), Some(Decimal::from(2)));
    }

    fn updates(book: &mut Book, now: i64) -> Vec<LongShortRatio> {
        let context = |_: &AssetCode| AssetContext { rank: Some(1), rsi_14d: Some(60.0) };
        let ratio = |(_, state): Update| match state.map(|state| state.body) {
            Some(Body::LongShort(ratio)) => *ratio,
            other => panic!("no ratio: {other:?}"),
        };
        book.updates(at(now), |_| true, context).into_iter().map(ratio).collect()
    }

    #[test]
    fn a_reading_makes_the_venue_s_state_and_the_aggregate() {
        let mut book = book();
        take(&mut book, 0, vec![row(LongShortKind::GlobalAccount, 0, 0.6)], 5);
        interest(&mut book, 0, 100, Some(300), 1, 5);
        take(&mut book, 1, vec![row(LongShortKind::GlobalAccount, 0, 0.4)], 6);
        interest(&mut book, 1, 50, None, 1, 6);
        let published = updates(&mut book, 10);
        let of = |venue: Option<&str>| {
            let is_it = |ratio: &&LongShortRatio| ratio.key.venue.as_deref() == venue;
            published.iter().find(is_it).expect("published")
        };
        assert_eq!(published.len(), 3);
        assert_eq!(of(Some("alpha")).method, LongShortMethod::SingleVenue);
        let aggregate = of(None);
        // 300 dollars at 0.6 and 50 units of 2 dollars at 0.4.
        assert!((aggregate.shares.expect("two").long_share - 0.55).abs() < 1e-12, "{aggregate:?}");
        assert_eq!(aggregate.open_interest, Some(Decimal::from(400)));
        let statuses: Vec<_> = aggregate.contributions.iter().map(|one| one.status).collect();
        assert_eq!(statuses, [LongShortStatus::Used, LongShortStatus::Used, LongShortStatus::NotOffered]);
        assert_eq!((aggregate.market_cap_rank, aggregate.rsi_14d), (Some(1), Some(60.0)));
        assert!(updates(&mut book, 11).is_empty(), "nothing is new");
        take(&mut book, 0, vec![row(LongShortKind::GlobalAccount, 0, 0.6)], 20);
        assert!(updates(&mut book, 20).is_empty(), "the same row again is nothing new");
    }

    #[test]
    fn a_contract_of_a_thousand_weighs_a_thousand_times_its_amount() {
        let mut book = book();
        take(&mut book, 0, vec![row(LongShortKind::GlobalAccount, 0, 0.6)], 5);
        let value =
            OpenInterest { open_interest: Decimal::from(10), unit: OpenInterestUnit::Base, open_interest_usd: None };
        book.open_interest(&btc(), 0, &instrument(1_000), &value, at(5), Some(Decimal::from(2)));
        let published = updates(&mut book, 10);
        assert_eq!(published[0].open_interest, Some(Decimal::from(20_000)));
    }

    #[test]
    fn top_traders_stay_apart() {
        let mut book = book();
        take(&mut book, 0, vec![row(LongShortKind::TopTraderAccount, 0, 0.6)], 5);
        take(&mut book, 2, vec![row(LongShortKind::TopTraderAccount, 0, 0.4)], 5);
        let published = updates(&mut book, 10);
        assert_eq!(published.len(), 2, "no aggregate: {published:?}");
        assert!(published.iter().all(|ratio| ratio.contributions[0].status == LongShortStatus::NotPooled));
        assert!(published.iter().all(|ratio| ratio.venue_count() == 1));
    }

    #[test]
    fn a_stale_venue_leaves_the_aggregate_and_is_told() {
        let mut book = book();
        take(&mut book, 0, vec![row(LongShortKind::GlobalAccount, 0, 0.6)], 5);
        take(&mut book, 1, vec![row(LongShortKind::GlobalAccount, 3_600, 0.4)], 3_605);
        updates(&mut book, 3_610);
        let later = updates(&mut book, 7_300);
        let [aggregate] = later.as_slice() else { panic!("only the aggregate changes: {later:?}") };
        assert_eq!(aggregate.contributions[0].status, LongShortStatus::Stale);
        assert!((aggregate.shares.expect("one").long_share - 0.4).abs() < 1e-12);
        assert_eq!(aggregate.method, LongShortMethod::SingleVenue);
    }

    #[test]
    fn the_change_is_against_the_day_before() {
        let mut book = book();
        let rows =
            (0..=24).map(|hour| row(LongShortKind::GlobalAccount, hour * 3_600, 0.5 + hour as f64 / 100.0)).collect();
        take(&mut book, 0, rows, 24 * 3_600 + 5);
        let published = updates(&mut book, 24 * 3_600 + 10);
        let change = published[0].change_24h().expect("a day is known");
        assert!((change - (0.74 / 0.26 - 1.0)).abs() < 1e-5, "{change}");
        let points = book.take_points();
        let name = SeriesKind::Sampled("global-account:alpha:1h".into());
        let stored = &points[&SeriesKey { subject: "BTC".into(), kind: name }];
        assert_eq!(stored.len(), 25);
        assert_eq!(stored[0].value, Decimal::parse("0.5").expect("valid"));
    }

    #[test]
    fn one_instrument_of_a_venue_counts() {
        let mut book = book();
        take(&mut book, 0, vec![row(LongShortKind::GlobalAccount, 0, 0.6)], 5);
        let other = Arc::new(Instrument { symbol: "BTCUSDC".into(), ..(*instrument(1)).clone() });
        let rows = vec![row(LongShortKind::GlobalAccount, 0, 0.1)];
        book.ratios(&btc(), 0, &other, rows, Duration::from_secs(60), at(6), false);
        let published = updates(&mut book, 10);
        assert_eq!(published[0].shares.map(|shares| shares.long_share), Some(0.6));
        assert_eq!(published[0].contributions[0].venue_symbol, "BTCUSDT");
    }

    #[test]
    fn what_could_not_be_written_is_due_again_and_what_is_gone_is_named() {
        let mut book = book();
        take(&mut book, 0, vec![row(LongShortKind::GlobalAccount, 0, 0.6)], 5);
        let first: Vec<LongShortKey> = updates(&mut book, 10).into_iter().map(|ratio| ratio.key).collect();
        first.iter().for_each(|key| book.forget(key));
        let again: Vec<LongShortKey> = updates(&mut book, 11).into_iter().map(|ratio| ratio.key).collect();
        assert_eq!(again, first);
        let gone: Vec<Key> = book.remove(&btc());
        assert_eq!(gone, first.into_iter().map(Key::LongShort).collect::<Vec<_>>());
        assert!(book.remove(&btc()).is_empty());
    }
}
