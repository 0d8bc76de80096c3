//! Turns the market state into states: selects the assets that are due and builds what is published for them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;
use std::time::Duration;

use smol_str::SmolStr;

use crate::prices::candle_rings::History;
use crate::prices::mapping::Mapping;
use crate::prices::market_state::{Asset, MarketState};
use crate::prices::universe::classify;
use crossmarket_analytics::aggregate::{Aggregate, Aggregator, ObservedTime, Quote, Settings};
use crossmarket_analytics::drawdown::{Peak, SOURCE_HISTORY};
use crossmarket_analytics::rates::{RateSettings, RateTable, quote_assets, usd_rates};
use crossmarket_analytics::returns::Candles;
use crossmarket_analytics::snapshot::{HistorySources, Listing, SnapshotInputs, build};
use crossmarket_domain::state::{
    Aggregation, AggregationMethod, AssetInfo, Body, Contribution, InstrumentMapping, Key, PriceSnapshot, State,
};
use crossmarket_domain::time::DAY;
use crossmarket_domain::{AssetId, Candle, CandleInterval, Decimal, Timestamp};
use crossmarket_store::Update;
use crossmarket_telemetry::metrics::Calculation;

/// Maximum number of snapshots made at once; the rest follow as soon as these are written. A snapshot with its details
/// takes about 10 kB of memory, several times over on its way through the store to the readers.
const SNAPSHOTS_MAX: usize = 128;

/// How long a catalogue entry stays fresh.
const ASSET_FRESH_FOR: Duration = DAY;

/// Number of candles that the figures need per interval. The daily ones must reach back to the turn of the year on any
/// day.
const CANDLES_NEEDED: [(CandleInterval, usize); 3] =
    [(CandleInterval::OneDay, 368), (CandleInterval::OneHour, 170), (CandleInterval::FiveMinutes, 290)];

/// Builds states.
pub(crate) struct Publisher {
    aggregator: Aggregator,
    rates: RateTable,
    /// Quote assets whose rates are needed.
    wanted: Vec<SmolStr>,
    scratch: [Vec<Candle>; 3],
}

impl Publisher {
    /// A publisher whose aggregates need this many venues.
    pub(crate) fn new(required_venue_count: u32) -> Self {
        let settings = Settings { required_venue_count, ..Settings::default() };
        Self {
            aggregator: Aggregator::new(settings),
            rates: RateTable::default(),
            wanted: Vec::new(),
            scratch: [const { Vec::new() }; 3],
        }
    }

    /// US dollars per quote asset, as of the last [`Publisher::refresh_rates`].
    pub(crate) fn rates(&self) -> &RateTable {
        &self.rates
    }

    /// Recomputes the rates. `instruments_changed` is true when there may be new quote assets.
    pub(crate) fn refresh_rates(&mut self, market: &MarketState, instruments_changed: bool, now: Timestamp) {
        if instruments_changed || self.wanted.is_empty() {
            self.wanted = quote_assets(market.assets().values().flat_map(|asset| &asset.quotes));
        }
        let of_wanted = self.wanted.iter().filter_map(|ticker| market.quotes_of(ticker)).flatten();
        let quotes: Vec<Quote> = of_wanted.filter(|quote| !quote.contradicted).cloned().collect();
        self.rates = usd_rates(&self.wanted, &quotes, &RateSettings::default(), now);
    }

    /// The wanted price snapshots that are due: of assets that changed, that a venue confirmed after half of their
    /// freshness had passed, or that lost a contribution to age. Returns one small batch at most. If the batch is full,
    /// `pause` is its last asset, and the next call continues after it.
    pub(crate) fn snapshots(
        &mut self,
        market: &mut MarketState,
        now: Timestamp,
        pause: &mut Option<AssetId>,
        wanted: impl Fn(&AssetId) -> bool,
    ) -> Vec<Update> {
        let paused_after = pause.take();
        let after = paused_after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let later = market.assets().range::<AssetId, _>((after, Bound::Unbounded));
        let earlier = paused_after.as_ref().map(|code| market.assets().range::<AssetId, _>(..=code));
        let due: Vec<AssetId> = later
            .chain(earlier.into_iter().flatten())
            .filter(|(code, asset)| is_due(asset, now) && wanted(code))
            .map(|(code, _)| code.clone())
            .take(SNAPSHOTS_MAX)
            .collect();
        if due.len() == SNAPSHOTS_MAX {
            *pause = due.last().cloned();
        }
        due.into_iter().filter_map(|code| self.snapshot(market, code, now)).collect()
    }

    fn snapshot(&mut self, market: &mut MarketState, code: AssetId, now: Timestamp) -> Option<Update> {
        let listing_price = market.listing_price(&code);
        market.check_mappings(&code, listing_price.as_ref(), &self.rates, now);
        let asset = market.asset_mut(&code)?;
        asset.dirty = false;
        asset.confirmed = false;
        let markets = one_quote_a_market(&asset.quotes, now);
        let aggregate = Calculation::Aggregate
            .time(|| self.aggregator.aggregate(&markets, &self.rates, listing_price.as_ref(), now));
        asset.published.next_stale =
            asset.quotes.iter().map(|quote| quote.known_time() + quote.budget).filter(|stale| *stale > now).min();
        let observed = aggregate.observed;
        let unconverted = newest_quote(&asset.quotes);
        let fresh = observed.is_some_and(|observed| observed.stale_since() > now);
        let carried = aggregate.aggregation.method == AggregationMethod::LastKnown;
        if let Some(price) = aggregate.price.filter(|_| fresh && !carried) {
            market.sample(&code, price, now);
        }
        let simulated = aggregate.simulated || market.is_simulated();
        let snapshot = self.build(market, &code, aggregate, now)?;
        let fingerprint = snapshot_fingerprint(&snapshot);
        let published = &mut market.asset_mut(&code)?.published;
        published.volume = snapshot.volume_24h.map_or(0.0, Decimal::to_f64);
        (published.price, published.rsi_14d) = (snapshot.price, snapshot.rsi_14d);
        let never = published.snapshot.is_none();
        let observed = match observed {
            Some(observed) => observed,
            // Prices that cannot be converted are still published, with their own age.
            None => match unconverted {
                Some(observed) => observed,
                // Nothing to publish yet.
                None if never && snapshot.market_cap.is_none() => return None,
                None => ObservedTime { event_time: now, receive_time: now, budget: ASSET_FRESH_FOR },
            },
        };
        let fresh_until = observed.stale_since();
        let refreshed = fresh_until > published.fresh_until + observed.budget / 4;
        if published.snapshot == Some(fingerprint) && !refreshed {
            return None;
        }
        published.snapshot = Some(fingerprint);
        published.fresh_until = fresh_until;
        published.budget = observed.budget;
        // The store drops a state that was received before the stored one. If the newest observation turns out to be an
        // outlier, the next best was received earlier but must still be published.
        published.receive_time = published.receive_time.max(observed.receive_time);
        let state = State {
            event_time: observed.event_time,
            receive_time: published.receive_time,
            publish_time: now,
            budget: observed.budget,
            simulated,
            body: Body::Price(Box::new(snapshot)),
        };
        Some((Key::Price(code), Some(state)))
    }

    fn build(
        &mut self,
        market: &MarketState,
        code: &AssetId,
        aggregate: Aggregate,
        now: Timestamp,
    ) -> Option<PriceSnapshot> {
        let asset = market.assets().get(code)?;
        for (needed, candles) in CANDLES_NEEDED.into_iter().zip(&mut self.scratch) {
            take_newest(&asset.history, needed, candles);
        }
        let [daily, hourly, five_minute] = &self.scratch;
        let labels = CANDLES_NEEDED.map(|(interval, _)| asset.history.source(interval).label());
        let rows = market.rows(code);
        let listings: Vec<Listing<'_>> = rows
            .iter()
            .map(|(venue, listed)| Listing { venue: venue.as_str(), row: &listed.row, event_time: listed.event_time })
            .collect();
        let peak = |candle: &Candle| Peak {
            price: candle.high,
            time: Some(candle.start),
            source: SmolStr::new_static(SOURCE_HISTORY),
        };
        let inputs = SnapshotInputs {
            asset_id: code,
            asset: market.universe().handle(code)?,
            name: market.universe().display_name(code),
            aggregate,
            candles: Candles { daily, hourly, five_minute },
            sources: HistorySources { daily: &labels[0], hourly: &labels[1], five_minute: &labels[2] },
            history_high: asset.history.highest_day().map(peak),
            listings: &listings,
            categories: rows.first().map(|(_, listed)| listed.categories.as_slice()).unwrap_or_default(),
        };
        Some(Calculation::Snapshot.time(|| build(inputs, now)))
    }

    /// The wanted catalogue entries that have changed.
    pub(crate) fn asset_infos(
        &mut self,
        market: &mut MarketState,
        now: Timestamp,
        wanted: impl Fn(&AssetId) -> bool,
    ) -> Vec<Update> {
        let mut changed = Vec::new();
        for (code, asset) in market.assets().iter().filter(|(code, _)| wanted(code)) {
            let Some(info) = asset_info(market, code, asset) else { continue };
            let fingerprint = fingerprint(&info);
            if asset.published.info != Some(fingerprint) {
                changed.push((code.clone(), fingerprint, info));
            }
        }
        let simulated = market.is_simulated();
        let mut updates = Vec::with_capacity(changed.len());
        for (code, fingerprint, info) in changed {
            if let Some(asset) = market.asset_mut(&code) {
                asset.published.info = Some(fingerprint);
            }
            let state = State {
                event_time: now,
                receive_time: now,
                publish_time: now,
                budget: ASSET_FRESH_FOR,
                simulated,
                body: Body::Asset(Box::new(info)),
            };
            updates.push((Key::Asset(code), Some(state)));
        }
        updates
    }
}

/// Makes everything in a batch due again after a failed write.
pub(crate) fn forget(market: &mut MarketState, keys: &[Key]) {
    for key in keys {
        match key {
            Key::Price(code) => {
                if let Some(asset) = market.asset_mut(code) {
                    asset.published.snapshot = None;
                    asset.dirty = true;
                }
            }
            Key::Asset(code) => {
                if let Some(asset) = market.asset_mut(code) {
                    asset.published.info = None;
                }
            }
            Key::LongShort(key) => market.ratio_state().forget(key),
            Key::Index(_) | Key::Feed(..) => {}
        }
    }
}

/// Drops the older of two fresh quotes of one market. Kraken calls one market `XXBTZUSD` in responses and `BTC/USD` in
/// streams, and counting it twice would double its weight. A stale quote is kept, to be reported as stale.
fn one_quote_a_market(quotes: &[Quote], now: Timestamp) -> Vec<&Quote> {
    let is_fresh = |quote: &Quote| quote.known_time() + quote.budget > now;
    let same_market = |a: &Quote, b: &Quote| {
        let (one, other) = (&a.instrument, &b.instrument);
        a.venue == b.venue
            && one.kind == other.kind
            && one.base == other.base
            && one.quote == other.quote
            && one.multiplier == other.multiplier
    };
    let is_replaced = |(place, quote): (usize, &Quote)| {
        quotes.iter().enumerate().any(|(other_place, other)| {
            let newer = (other.known_time(), other_place) > (quote.known_time(), place);
            newer && same_market(quote, other) && is_fresh(other)
        })
    };
    let kept = quotes.iter().enumerate().filter(|(place, quote)| !is_fresh(quote) || !is_replaced((*place, quote)));
    kept.map(|(_, quote)| quote).collect()
}

/// The times of the newest quote that has a price, converted or not.
fn newest_quote(quotes: &[Quote]) -> Option<ObservedTime> {
    let priced = quotes.iter().filter(|quote| quote.observed_price().is_some());
    let newest = priced.max_by_key(|quote| quote.known_time())?;
    Some(ObservedTime { event_time: newest.event_time, receive_time: newest.receive_time, budget: newest.budget })
}

fn is_due(asset: &Asset, now: Timestamp) -> bool {
    let published = &asset.published;
    asset.dirty
        || (asset.confirmed && now + published.budget / 2 >= published.fresh_until)
        || published.next_stale.is_some_and(|stale| stale <= now)
}

fn asset_info(market: &MarketState, code: &AssetId, asset: &Asset) -> Option<AssetInfo> {
    let rows = market.rows(code);
    let row = rows.first().map(|(_, listed)| &listed.row);
    let categories = rows.first().map(|(_, listed)| listed.categories.clone()).unwrap_or_default();
    let (history_start, history_day_count) = asset.history.days();
    let mapping = |(quote, mapping): (&Quote, &Mapping)| InstrumentMapping {
        venue: quote.venue.clone(),
        instrument: quote.instrument.clone(),
        rule: mapping.rule,
        state: mapping.state,
        price_ratio: mapping.price_ratio.map(two_digits),
        since: mapping.since,
    };
    let mut instruments: Vec<InstrumentMapping> = asset.quotes.iter().zip(&asset.mappings).map(mapping).collect();
    instruments.sort_by(|a, b| (&a.venue, &a.instrument.symbol).cmp(&(&b.venue, &b.instrument.symbol)));
    Some(AssetInfo {
        asset_id: code.clone(),
        asset: market.universe().handle(code)?.clone(),
        aliases: market.universe().aliases(code),
        name: market.universe().display_name(code),
        kind: classify(code, &categories),
        market_cap_rank: row.and_then(|row| row.market_cap_rank),
        categories,
        listing_ids: rows
            .iter()
            .map(|(venue, listed)| (SmolStr::new_static(venue.as_str()), listed.row.listing_id.clone()))
            .collect(),
        instruments,
        history_start,
        history_day_count,
    })
}

/// The first two significant digits of a positive number.
fn two_digits(value: f64) -> f64 {
    let unit = 10f64.powf(value.log10().floor() - 1.0);
    let rounded = (value / unit).round() * unit;
    if rounded.is_finite() { rounded } else { value }
}

/// Changes when anything changes that matters to a reader. Freshness is checked separately; the details cleared here do
/// not count by themselves. Everything else counts, so a new figure is compared without being named here.
fn snapshot_fingerprint(snapshot: &PriceSnapshot) -> u64 {
    let mut compared = snapshot.clone();
    compared.derivations.clear();
    // The drawdown follows from the prices.
    if let Some(high) = &mut compared.all_time_high {
        high.drawdown_percent = None;
    }
    let Aggregation { required_venue_count, outlier_limit_percent, contributions, .. } = &mut compared.aggregation;
    (*required_venue_count, *outlier_limit_percent) = (0, None);
    for contribution in contributions {
        *contribution = Contribution {
            instrument: SmolStr::default(),
            quote_asset: SmolStr::default(),
            observed_price: None,
            conversion_rate: None,
            volume_24h: None,
            deviation_percent: None,
            event_time: Timestamp::EPOCH,
            receive_time: Timestamp::EPOCH,
            simulated: false,
            ..contribution.clone()
        };
    }
    fingerprint(&compared)
}

/// A hash of the stored form.
fn fingerprint(value: &impl minicbor::Encode<()>) -> u64 {
    let encoded = minicbor::to_vec(value).expect("a vector takes every write, and no stored type refuses to encode");
    let mut hasher = DefaultHasher::new();
    encoded.hash(&mut hasher);
    hasher.finish()
}

/// The newest candles of an interval, oldest first: at most `count` closed ones, and the running one.
fn take_newest(history: &History, (interval, count): (CandleInterval, usize), candles: &mut Vec<Candle>) {
    candles.clear();
    candles.extend(history.closed(interval).rev().take(count));
    candles.reverse();
    candles.extend(history.open(interval).cloned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::candle_rings::Source;
    use crossmarket_analytics::returns::{Span, reference_price};
    use crossmarket_domain::Instrument;

    fn quote(symbol: &'static str, seconds: i64) -> Quote {
        Quote {
            venue: "kraken".into(),
            instrument: Instrument::spot(symbol, "BTC", "USD"),
            last_price: Some(Decimal::ONE),
            bid_price: None,
            ask_price: None,
            base_volume_24h: None,
            quote_volume_24h: None,
            high_24h: None,
            low_24h: None,
            event_time: Timestamp::from_seconds(seconds),
            receive_time: Timestamp::from_seconds(seconds),
            budget: Duration::from_secs(30),
            contradicted: false,
            simulated: false,
        }
    }

    #[test]
    fn a_market_with_two_symbols_counts_once_while_it_is_fresh() {
        let check = |quotes: &[Quote], expected: &[&str]| {
            let kept = one_quote_a_market(quotes, Timestamp::from_seconds(100));
            let symbols: Vec<&str> = kept.iter().map(|quote| quote.instrument.symbol.as_str()).collect();
            assert_eq!(symbols, expected);
        };
        check(&[quote("XXBTZUSD", 95), quote("BTC/USD", 99)], &["BTC/USD"]);
        check(&[quote("XXBTZUSD", 99), quote("BTC/USD", 95)], &["XXBTZUSD"]);
        check(&[quote("XXBTZUSD", 99), quote("BTC/USD", 99)], &["BTC/USD"]);
        check(&[quote("XXBTZUSD", 10), quote("BTC/USD", 99)], &["XXBTZUSD", "BTC/USD"]);
    }

    #[test]
    fn the_candles_taken_reach_back_to_the_turn_of_the_year() {
        // The last minute of a leap year.
        let now = Timestamp::from_seconds(1_735_689_540);
        let day = |age: u32| {
            let start = now.day_start() - DAY * age;
            let price = Decimal::from(i64::from(age) + 1);
            Candle { start, open: price, high: price, low: price, close: price, base_volume: None, quote_volume: None }
        };
        let mut history = History::default();
        history.fill(CandleInterval::OneDay, &(0..400).rev().map(day).collect::<Vec<_>>(), Source::Collected, now);
        let mut daily = Vec::new();
        take_newest(&history, CANDLES_NEEDED[0], &mut daily);
        let reference = reference_price(Span::YearToDate, Candles { daily: &daily, ..Candles::default() }, now);
        // The close of 31 December of the previous year is 366 days old.
        assert_eq!(reference.map(|reference| reference.price), Some(Decimal::from(367)));
    }
}
