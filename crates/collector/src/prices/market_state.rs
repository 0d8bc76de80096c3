//! The market state: everything that is currently known, asset by asset.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;

use crate::event::{CollectorEvent, LongShortAnswer, Observed};
use crate::long_short::state::{AssetContext, RatioState, RatioStateVenue, Row};
use crate::prices::candle_rings::{History, Source};
use crate::prices::universe::{Listed, Universe};
use crate::transport::feed_health::FeedMonitor;
use crossmarket_analytics::aggregate::{ListingPrice, Quote};
use crossmarket_analytics::plausibility::{self, LastGood};
use crossmarket_analytics::rates::{RateTable, is_dollar_stablecoin};
use crossmarket_domain::observation::{LongShort, MarketCap, OpenInterest, Ticker};
use crossmarket_domain::state::Key;
use crossmarket_domain::{
    AssetCode, Candle, CandleInterval, Decimal, Feed, Instrument, InstrumentKind, LongShortKind, Observation, Payload,
    Timestamp, VenueId,
};
use crossmarket_store::Update;

/// Maximum number of instruments per asset, over all venues.
const QUOTES_MAX: usize = 400;

/// How far a stream's event times may lag behind the receive times of responses.
const STREAM_LAG_MAX: Duration = Duration::from_secs(5);

/// If event times stay behind for longer than this, they are accepted.
const LATE_MAX: Duration = Duration::from_secs(60);

/// How long a listing's price stays fresh: three of its intervals.
const LISTING_FRESH_FOR: Duration = Duration::from_secs(900);

/// One venue, as the market state sees it.
pub(crate) struct MarketVenue {
    pub id: VenueId,
    /// How long its tickers stay fresh.
    pub budget: Duration,
    /// Health of its feeds.
    pub monitors: HashMap<Feed, Arc<FeedMonitor>>,
    /// True if the venue offers candles.
    pub has_candles: bool,
    /// Kinds of long/short ratio collected from it.
    pub long_short_kinds: &'static [LongShortKind],
}

#[derive(Default)]
pub(crate) struct Asset {
    /// The newest ticker of each instrument.
    pub quotes: Vec<Quote>,
    /// The venue of each quote.
    pub quote_venues: Vec<u16>,
    /// Its price history.
    pub history: History,
    /// True when its figures have changed since the last check.
    pub dirty: bool,
    /// True when a venue has confirmed an earlier value.
    pub confirmed: bool,
    /// What was last published.
    pub published: Published,
}

/// What was last published for an asset.
#[derive(Default)]
pub(crate) struct Published {
    /// Fingerprint of the snapshot's figures.
    pub snapshot: Option<u64>,
    /// When the published snapshot becomes stale.
    pub fresh_until: Timestamp,
    /// How long it stays fresh, counted from its newest observation.
    pub budget: Duration,
    /// Receive time; never goes back.
    pub receive_time: Timestamp,
    /// When the first of the contributions becomes stale.
    pub next_stale: Option<Timestamp>,
    /// Fingerprint of the catalogue entry.
    pub info: Option<u64>,
    /// Value traded in 24 hours, in US dollars.
    pub volume: f64,
    /// In US dollars.
    pub price: Option<Decimal>,
    /// RSI over 14 daily closes.
    pub rsi_14d: Option<f64>,
}

/// Candles to be stored, in US dollars.
pub(crate) type ToStore = (AssetCode, CandleInterval, Candle);

pub(crate) struct MarketState {
    venues: Vec<MarketVenue>,
    universe: Universe,
    assets: BTreeMap<AssetCode, Asset>,
    places: HashMap<(u16, InstrumentKind, SmolStr), (AssetCode, usize)>,
    simulated: bool,
    listings_changed: bool,
    instruments_changed: bool,
    to_store: Vec<ToStore>,
    long_short: RatioState,
}

impl MarketState {
    pub(crate) fn new(venues: Vec<MarketVenue>, universe: Universe, simulated: bool) -> Self {
        let of_ratios = |(venue, index): (&MarketVenue, u16)| {
            let kinds = venue.long_short_kinds;
            (!kinds.is_empty()).then_some(RatioStateVenue { index, id: venue.id, kinds })
        };
        Self {
            long_short: RatioState::new(venues.iter().zip(0..).filter_map(of_ratios).collect(), simulated),
            venues,
            universe,
            assets: BTreeMap::new(),
            places: HashMap::new(),
            simulated,
            listings_changed: false,
            instruments_changed: false,
            to_store: Vec::new(),
        }
    }

    /// Processes a message.
    pub(crate) fn take(&mut self, message: CollectorEvent, rates: &RateTable, now: Timestamp) {
        match message {
            CollectorEvent::Observed(observed) => self.observed(observed),
            CollectorEvent::History { asset, interval, candles, quote, source } => {
                self.history(&asset, interval, candles, quote.as_deref(), source, rates, now);
            }
            CollectorEvent::LongShort(answer) => self.long_short_answer(answer),
            CollectorEvent::RatioHistory(past) => {
                if self.assets.contains_key(&past.key.asset) {
                    self.long_short.past(&past.key, &past.points);
                }
            }
            CollectorEvent::ListingComplete { venue_index } => {
                self.universe.listing_complete(venue_index);
                self.listings_changed = true;
            }
        }
    }

    fn observed(&mut self, observed: Observed) {
        let Observed { venue_index, feed, receive_time, streaming, trace: _, observations } = observed;
        let mut rejections: BTreeMap<&'static str, u64> = BTreeMap::new();
        for observation in observations {
            let place = self.place_of(venue_index, &observation.instrument);
            let last_good = place.as_ref().and_then(|place| self.last_good(place));
            if let Err(reason) = plausibility::check(&observation, receive_time, last_good) {
                *rejections.entry(reason.as_str()).or_default() += 1;
                continue;
            }
            let Observation { instrument, event_time, payload } = observation;
            let event_time = event_time.unwrap_or(receive_time);
            match payload {
                Payload::Ticker(ticker) => {
                    let stamp = Stamp { venue_index, event_time, receive_time, streaming };
                    if let Err(reason) = self.ticker(place, instrument, &ticker, stamp) {
                        *rejections.entry(reason).or_default() += 1;
                    }
                }
                Payload::OpenInterest(value) => {
                    if let Err(reason) = self.open_interest(venue_index, instrument, &value, receive_time) {
                        *rejections.entry(reason).or_default() += 1;
                    }
                }
                Payload::LongShort(value) => {
                    if let Err(reason) = self.long_short(venue_index, instrument, value, event_time, receive_time) {
                        *rejections.entry(reason).or_default() += 1;
                    }
                }
                Payload::MarketCap(row) => self.listed(venue_index, &instrument.base, *row, event_time, receive_time),
                // Candles come from a backfill, and index levels go to the index sources. Neither is sent here.
                Payload::Candle(..) | Payload::IndexLevel(_) => {}
            }
        }
        if let Some(monitor) = self.venues.get(usize::from(venue_index)).and_then(|venue| venue.monitors.get(&feed)) {
            for (reason, count) in rejections {
                monitor.rejected(reason, count);
            }
        }
    }

    /// Processes ratios requested by a plan.
    fn long_short_answer(&mut self, answer: LongShortAnswer) {
        let LongShortAnswer { venue_index, receive_time, instrument, budget, trace: _, observations } = answer;
        let Some(code) = self.universe.resolve(&instrument.base).filter(|code| self.assets.contains_key(code)) else {
            return;
        };
        let row = |observation: Observation| match observation.payload {
            Payload::LongShort(value) => {
                Some(Row { event_time: observation.event_time.unwrap_or(receive_time), value })
            }
            _ => None,
        };
        let rows = observations.into_iter().filter_map(row).collect();
        self.long_short.ratios(&code, venue_index, &instrument, rows, budget, receive_time, true);
    }

    /// Processes a ratio that was not planned, from a recording.
    fn long_short(
        &mut self,
        venue_index: u16,
        instrument: Instrument,
        value: LongShort,
        event_time: Timestamp,
        receive_time: Timestamp,
    ) -> Result<(), &'static str> {
        let code = self.universe.resolve(&instrument.base).ok_or("not_tracked")?;
        let budget = value.period.ok_or("no_period")?.duration() * 3;
        let rows = vec![Row { event_time, value }];
        self.long_short.ratios(&code, venue_index, &Arc::new(instrument), rows, budget, receive_time, false);
        Ok(())
    }

    fn open_interest(
        &mut self,
        venue_index: u16,
        instrument: Instrument,
        value: &OpenInterest,
        receive_time: Timestamp,
    ) -> Result<(), &'static str> {
        let code = self.universe.resolve(&instrument.base).ok_or("not_tracked")?;
        let price = self.assets.get(&code).and_then(|asset| asset.published.price);
        self.long_short.open_interest(&code, venue_index, &Arc::new(instrument), value, receive_time, price);
        Ok(())
    }

    /// The long/short ratios that are due.
    pub(crate) fn long_short_updates(&mut self, now: Timestamp, is_own: impl Fn(&AssetCode) -> bool) -> Vec<Update> {
        let (assets, universe) = (&self.assets, &self.universe);
        self.long_short.updates(now, is_own, |code| {
            let published = assets.get(code).map(|asset| &asset.published);
            AssetContext {
                rank: universe.rows(code).first().and_then(|(_, listed)| listed.row.market_cap_rank),
                rsi_14d: published.and_then(|published| published.rsi_14d),
            }
        })
    }

    pub(crate) fn ratio_state(&mut self) -> &mut RatioState {
        &mut self.long_short
    }

    fn place_of(&self, venue_index: u16, instrument: &Instrument) -> Option<(AssetCode, usize)> {
        self.places.get(&(venue_index, instrument.kind, instrument.symbol.clone())).cloned()
    }

    fn last_good(&self, (code, slot): &(AssetCode, usize)) -> Option<LastGood> {
        let quote = self.assets.get(code)?.quotes.get(*slot)?;
        Some(LastGood { price: quote.last_price?, receive_time: quote.receive_time })
    }

    /// Processes a ticker; `Err` is the reason for rejecting it.
    fn ticker(
        &mut self,
        place: Option<(AssetCode, usize)>,
        instrument: Instrument,
        ticker: &Ticker,
        stamp: Stamp,
    ) -> Result<(), &'static str> {
        let aggregated = matches!(
            instrument.kind,
            InstrumentKind::Spot | InstrumentKind::PerpetualLinear | InstrumentKind::PerpetualInverse
        );
        if !aggregated {
            return Err("not_aggregated");
        }
        let place = match place {
            Some(place) => place,
            None => self.add_quote(instrument, &stamp).ok_or("not_tracked")?,
        };
        let asset = self.assets.get_mut(&place.0).ok_or("not_tracked")?;
        let quote = asset.quotes.get_mut(place.1).ok_or("not_tracked")?;
        // A late response must not overwrite newer stream data. A stream's own order is trusted; it is compared only
        // with responses without a time of their own, which are dated by their receive time.
        let tolerance = if stamp.streaming { STREAM_LAG_MAX } else { Duration::ZERO };
        if stamp.event_time + tolerance < quote.event_time && stamp.receive_time <= quote.receive_time + LATE_MAX {
            return Err("late");
        }
        let changed = apply(quote, ticker, stamp.streaming);
        quote.event_time = stamp.event_time;
        quote.receive_time = stamp.receive_time;
        asset.dirty |= changed;
        asset.confirmed = true;
        Ok(())
    }

    fn add_quote(&mut self, instrument: Instrument, stamp: &Stamp) -> Option<(AssetCode, usize)> {
        let code = self.universe.resolve(&instrument.base)?;
        let venue = self.venues.get(usize::from(stamp.venue_index))?;
        let asset = self.assets.entry(code.clone()).or_default();
        if asset.quotes.len() >= QUOTES_MAX {
            return None;
        }
        let key = (stamp.venue_index, instrument.kind, instrument.symbol.clone());
        asset.quotes.push(Quote {
            venue: SmolStr::new_static(venue.id.as_str()),
            instrument,
            last_price: None,
            bid_price: None,
            ask_price: None,
            base_volume_24h: None,
            quote_volume_24h: None,
            high_24h: None,
            low_24h: None,
            event_time: stamp.event_time,
            receive_time: stamp.receive_time,
            budget: venue.budget,
            simulated: self.simulated,
        });
        asset.quote_venues.push(stamp.venue_index);
        asset.dirty = true;
        self.instruments_changed = true;
        let place = (code, asset.quotes.len() - 1);
        self.places.insert(key, place.clone());
        Some(place)
    }

    fn listed(
        &mut self,
        venue_index: u16,
        ticker: &str,
        row: MarketCap,
        event_time: Timestamp,
        receive_time: Timestamp,
    ) {
        let known = self.universe.code_of(venue_index, &row.listing_id, ticker);
        if let Some(asset) = known.as_ref().and_then(|code| self.assets.get_mut(code)) {
            asset.dirty = true;
        } else {
            self.listings_changed = true;
        }
        let ticker = SmolStr::new(ticker.to_uppercase());
        self.universe.list(venue_index, Listed { ticker, row, event_time, receive_time, categories: Vec::new() });
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one message and what they are read with")]
    fn history(
        &mut self,
        code: &AssetCode,
        interval: CandleInterval,
        candles: Vec<Candle>,
        quote: Option<&str>,
        source: Source,
        rates: &RateTable,
        now: Timestamp,
    ) {
        let Some(asset) = self.assets.get_mut(code) else { return };
        let candles = match quote {
            None | Some("USD") => candles,
            Some(quote) => {
                // The current rate replaces the past rates. Only dollar stablecoins are requested, and their rates are
                // within a few thousandths of each other.
                let Some(rate) = rates.get(quote).map(|rate| rate.usd).or(par(quote)) else { return };
                candles.into_iter().filter_map(|candle| converted(candle, rate)).collect()
            }
        };
        asset.history.fill(interval, &candles, source, now);
        asset.dirty = true;
        if quote.is_some() {
            self.to_store.extend(candles.into_iter().map(|candle| (code.clone(), interval, candle)));
        }
    }

    /// Re-evaluates which assets are tracked after a listing has changed. Returns the keys of the assets dropped.
    pub(crate) fn retrack(&mut self) -> Vec<Key> {
        if !std::mem::take(&mut self.listings_changed) {
            return Vec::new();
        }
        let assets = &self.assets;
        let gone = self.universe.retrack(|code| assets.get(code).map_or(0.0, |asset| asset.published.volume));
        for code in &gone {
            self.assets.remove(code);
        }
        if !gone.is_empty() {
            let assets = &self.assets;
            self.places.retain(|_, (code, _)| assets.contains_key(code));
            self.instruments_changed = true;
        }
        for code in self.universe.codes() {
            if !self.assets.contains_key(code) && !self.universe.rows(code).is_empty() {
                self.assets.insert(code.clone(), Asset { dirty: true, ..Asset::default() });
                self.instruments_changed = true;
            }
        }
        let keys = gone.into_iter().flat_map(|code| {
            let ratios = self.long_short.remove(&code);
            [Key::Price(code.clone()), Key::Asset(code)].into_iter().chain(ratios)
        });
        keys.collect()
    }

    pub(crate) fn assets(&self) -> &BTreeMap<AssetCode, Asset> {
        &self.assets
    }

    /// One asset, mutable to record what was published for it.
    pub(crate) fn asset_mut(&mut self, code: &AssetCode) -> Option<&mut Asset> {
        self.assets.get_mut(code)
    }

    /// The listings' rows of an asset, preferred listing first, with the listing's venue id.
    pub(crate) fn rows(&self, code: &AssetCode) -> Vec<(VenueId, &Listed)> {
        let id = |venue: u16| self.venues.get(usize::from(venue)).map(|venue| venue.id);
        self.universe.rows(code).into_iter().filter_map(|(venue, listed)| Some((id(venue)?, listed))).collect()
    }

    /// The price from the most preferred listing that has one.
    pub(crate) fn listing_price(&self, code: &AssetCode) -> Option<ListingPrice> {
        self.rows(code).into_iter().find_map(|(venue, listed)| {
            Some(ListingPrice {
                venue: SmolStr::new_static(venue.as_str()),
                listing_id: listed.row.listing_id.clone(),
                asset: SmolStr::new(code.as_str()),
                price: listed.row.price?,
                event_time: listed.event_time,
                receive_time: listed.receive_time,
                budget: LISTING_FRESH_FOR,
                simulated: self.simulated,
            })
        })
    }

    /// True when all data in the market state is simulated.
    pub(crate) fn is_simulated(&self) -> bool {
        self.simulated
    }

    /// Candles received or closed since the last call.
    pub(crate) fn take_to_store(&mut self) -> Vec<ToStore> {
        std::mem::take(&mut self.to_store)
    }

    /// Records a fresh aggregate price in the asset's history.
    pub(crate) fn sample(&mut self, code: &AssetCode, price: Decimal, at: Timestamp) {
        if let Some(asset) = self.assets.get_mut(code) {
            let stored = asset.history.observe(price, at);
            self.to_store.extend(stored.into_iter().map(|(interval, candle)| (code.clone(), interval, candle)));
        }
    }

    /// The running candles, to be stored at shutdown.
    pub(crate) fn open_candles(&self) -> Vec<ToStore> {
        let of = |(code, asset): (&AssetCode, &Asset)| {
            let owned = |(interval, candle): (CandleInterval, &Candle)| (code.clone(), interval, candle.clone());
            asset.history.open_candles().map(owned).collect::<Vec<_>>()
        };
        self.assets.iter().flat_map(of).collect()
    }

    /// True once after instruments or assets were added or removed.
    pub(crate) fn take_instruments_changed(&mut self) -> bool {
        std::mem::take(&mut self.instruments_changed)
    }

    /// Codes in the order of importance: by rank, then by volume.
    pub(crate) fn by_importance(&self) -> Vec<AssetCode> {
        let rank = |code: &AssetCode| {
            self.universe.rows(code).first().and_then(|(_, listed)| listed.row.market_cap_rank).unwrap_or(u32::MAX)
        };
        let mut order: Vec<(u32, f64, &AssetCode)> =
            self.assets.iter().map(|(code, asset)| (rank(code), asset.published.volume, code)).collect();
        order.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(b.2)));
        order.into_iter().map(|(_, _, code)| code.clone()).collect()
    }

    /// The spot instruments of each venue that are worth streaming: those of tracked assets against dollars and dollar
    /// stablecoins, most important assets first, at most `count_max` per venue.
    pub(crate) fn stream_instruments(&self, count_max: usize) -> Vec<Vec<Instrument>> {
        let mut by_venue: Vec<Vec<Instrument>> = self.venues.iter().map(|_| Vec::new()).collect();
        for code in self.by_importance() {
            let Some(asset) = self.assets.get(&code) else { continue };
            for (quote, venue) in asset.quotes.iter().zip(&asset.quote_venues) {
                let dollars = quote.instrument.quote == "USD" || is_dollar_stablecoin(&quote.instrument.quote);
                if let Some(list) = by_venue.get_mut(usize::from(*venue)).filter(|list| list.len() < count_max)
                    && dollars
                    && quote.observed_price().is_some()
                {
                    list.push(quote.instrument.clone());
                }
            }
        }
        by_venue
    }

    /// Where an asset's candles are available: spot instruments against dollars and the two largest stablecoins,
    /// ordered by `preference` of venues, then dollars first.
    pub(crate) fn candle_instruments(&self, code: &AssetCode, preference: &[VenueId]) -> Vec<(u16, Instrument)> {
        let Some(asset) = self.assets.get(code) else { return Vec::new() };
        let mut found: Vec<(usize, usize, u16, &Instrument)> = Vec::new();
        for (quote, venue_index) in asset.quotes.iter().zip(&asset.quote_venues) {
            let venue = self.venues.get(usize::from(*venue_index)).filter(|venue| venue.has_candles);
            let quote_place = ["USD", "USDT", "USDC"].iter().position(|known| quote.instrument.quote == *known);
            if let (Some(venue), Some(quote_place), InstrumentKind::Spot) = (venue, quote_place, quote.instrument.kind)
            {
                let place = preference.iter().position(|id| *id == venue.id).unwrap_or(preference.len());
                found.push((place, quote_place, *venue_index, &quote.instrument));
            }
        }
        found.sort_by_key(|(place, quote_place, venue, _)| (*place, *quote_place, *venue));
        found.into_iter().map(|(_, _, venue, instrument)| (venue, instrument.clone())).collect()
    }
}

/// Origin and times of an observation.
struct Stamp {
    venue_index: u16,
    event_time: Timestamp,
    receive_time: Timestamp,
    streaming: bool,
}

/// Updates the fields from a ticker; true if a relevant one has changed. A stream omits fields that have not changed.
/// In a response, a missing price means that there is none, except for fields that only the stream sends (a venue's
/// REST tickers may have no bid): these are kept.
fn apply(quote: &mut Quote, ticker: &Ticker, streaming: bool) -> bool {
    let mut changed = false;
    for (slot, value) in [
        (&mut quote.last_price, ticker.last_price),
        (&mut quote.bid_price, ticker.bid_price),
        (&mut quote.ask_price, ticker.ask_price),
        (&mut quote.base_volume_24h, ticker.base_volume_24h),
        (&mut quote.quote_volume_24h, ticker.quote_volume_24h),
        (&mut quote.high_24h, ticker.high_24h),
        (&mut quote.low_24h, ticker.low_24h),
    ] {
        if value.is_some() && *slot != value {
            *slot = value;
            changed = true;
        }
    }
    if !streaming && ticker.last_price.is_none() && ticker.bid_price.is_none() && quote.last_price.is_some() {
        quote.last_price = None;
        changed = true;
    }
    changed
}

/// The rate of a dollar stablecoin before any market is known.
fn par(quote: &str) -> Option<Decimal> {
    is_dollar_stablecoin(quote).then_some(Decimal::ONE)
}

/// Significant digits of a converted price.
const CONVERTED_DIGITS: u32 = 12;

fn converted(candle: Candle, rate: Decimal) -> Option<Candle> {
    let convert = |price: Decimal| {
        price.checked_mul(rate).map(|price| price.rounded_to_significant(CONVERTED_DIGITS).normalized())
    };
    Some(Candle {
        start: candle.start,
        open: convert(candle.open)?,
        high: convert(candle.high)?,
        low: convert(candle.low)?,
        close: convert(candle.close)?,
        base_volume: candle.base_volume,
        quote_volume: candle.quote_volume.and_then(convert),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::candle_rings::slot_count_max;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_768_478_400 + seconds)
    }

    fn market() -> MarketState {
        let venue = |id| MarketVenue {
            id: VenueId(id),
            budget: Duration::from_secs(30),
            monitors: HashMap::new(),
            has_candles: true,
            long_short_kinds: &[],
        };
        let universe = Universe::new(10, Default::default(), &[]);
        MarketState::new(vec![venue("alpha"), venue("beta")], universe, false)
    }

    fn price(text: &str) -> Option<Decimal> {
        Some(Decimal::parse(text).expect("valid"))
    }

    fn observe(
        market: &mut MarketState,
        venue_index: u16,
        ticker: Ticker,
        event: Option<i64>,
        receive: i64,
        streaming: bool,
    ) {
        let observation = Observation {
            instrument: Instrument::spot("BTC-USD", "BTC", "USD"),
            event_time: event.map(at),
            payload: Payload::Ticker(ticker),
        };
        let observed = Observed {
            venue_index,
            feed: Feed::Tickers,
            receive_time: at(receive),
            trace: None,
            streaming,
            observations: vec![observation],
        };
        market.take(CollectorEvent::Observed(observed), &RateTable::default(), at(receive));
    }

    fn quote(market: &MarketState) -> &Quote {
        &market.assets()["BTC"].quotes[0]
    }

    #[test]
    fn a_stream_changes_what_it_sends_and_nothing_else() {
        let mut market = market();
        let whole = Ticker { last_price: price("100"), bid_price: price("99"), ..Ticker::default() };
        observe(&mut market, 0, whole, Some(0), 0, false);
        observe(&mut market, 0, Ticker { bid_price: price("98"), ..Ticker::default() }, Some(1), 1, true);
        assert_eq!((quote(&market).last_price, quote(&market).bid_price), (price("100"), price("98")));
        let late = Ticker { last_price: price("101"), ..Ticker::default() };
        observe(&mut market, 0, late.clone(), Some(-5), 2, false);
        assert_eq!(quote(&market).last_price, price("100"), "an answer older than the stream");
        observe(&mut market, 0, late, None, 3, false);
        assert_eq!(quote(&market).last_price, price("101"));
    }

    #[test]
    fn one_instrument_is_one_quote_per_venue() {
        let mut market = market();
        for receive in 0..3 {
            for venue in [0, 1] {
                let ticker = Ticker { last_price: price("100"), ..Ticker::default() };
                observe(&mut market, venue, ticker, None, receive, false);
            }
        }
        assert_eq!(market.assets()["BTC"].quotes.len(), 2);
        let preferred = market.candle_instruments(&AssetCode::parse("BTC").expect("valid"), &[VenueId("beta")]);
        assert_eq!(preferred.iter().map(|(venue, _)| *venue).collect::<Vec<_>>(), [1, 0]);
        assert!(market.take_instruments_changed() && !market.take_instruments_changed());
    }

    #[test]
    fn candles_are_converted_and_stored_once() {
        let mut market = market();
        observe(&mut market, 0, Ticker { last_price: price("100"), ..Ticker::default() }, None, 0, false);
        let candle = Candle {
            start: at(0).day_start() - crossmarket_domain::time::DAY,
            open: Decimal::ONE,
            high: Decimal::ONE,
            low: Decimal::ONE,
            close: Decimal::ONE,
            base_volume: None,
            quote_volume: None,
        };
        let mut rates = RateTable::default();
        let rate = crossmarket_analytics::rates::Rate {
            usd: Decimal::parse("0.999").expect("valid"),
            source: crossmarket_analytics::rates::RateSource::Market,
            stale_since: at(60),
        };
        rates.insert("USDT".into(), rate);
        let message = |quote: Option<&str>| CollectorEvent::History {
            asset: AssetCode::parse("BTC").expect("valid"),
            interval: CandleInterval::OneDay,
            candles: vec![candle.clone()],
            quote: quote.map(SmolStr::from),
            source: Source::Collected,
        };
        market.take(message(Some("USDT")), &rates, at(0));
        let stored = market.take_to_store();
        assert_eq!(stored.iter().map(|(_, _, candle)| Some(candle.close)).collect::<Vec<_>>(), [price("0.999")]);
        market.take(message(None), &rates, at(0));
        assert!(market.take_to_store().is_empty(), "what came from the store does not go back");
        market.take(message(Some("UNKNOWN")), &rates, at(0));
        assert!(market.take_to_store().is_empty(), "what cannot be converted is left out");
    }

    #[test]
    fn a_thousand_assets_at_ten_venues_fit_in_sixty_megabytes() {
        let slots: usize = CandleInterval::ALL.into_iter().map(slot_count_max).sum();
        // A vector of quotes may have capacity for twice as many. An index entry takes its key, its value and a share
        // of free capacity.
        let place = size_of::<((u16, InstrumentKind, SmolStr), (AssetCode, usize))>() * 2;
        let asset = size_of::<Asset>() + 16 * slots + 10 * (2 * size_of::<Quote>() + place);
        assert!(1_000 * asset < 60 << 20, "{asset} bytes an asset");
    }
}
