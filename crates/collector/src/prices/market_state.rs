//! The market state: everything that is currently known, asset by asset.

mod identity;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;

use crate::event::{CollectorEvent, LongShortAnswer, Observed};
use crate::long_short::state::{AssetContext, RatioState, RatioStateVenue, Row};
use crate::prices::candle_rings::{History, Source};
use crate::prices::mapping::{Mapping, MappingSettings};
use crate::prices::universe::{Listed, Resolved, Universe};
use crate::transport::feed_health::FeedMonitor;
use crossmarket_analytics::aggregate::{ListingPrice, Quote};
use crossmarket_analytics::plausibility::{self, LastGood};
use crossmarket_analytics::rates::{RateTable, is_dollar_stablecoin};
use crossmarket_domain::observation::{LongShort, MarketCap, OpenInterest, Ticker};
use crossmarket_domain::state::{AssetInfo, Key, MappingState};
use crossmarket_domain::{
    AssetId, Candle, CandleInterval, Decimal, Feed, Instrument, InstrumentKind, LongShortKind, Observation, Payload,
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
    /// Whether each quote is of this asset.
    pub mappings: Vec<Mapping>,
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
pub(crate) type ToStore = (AssetId, CandleInterval, Candle);

pub(crate) struct MarketState {
    venues: Vec<MarketVenue>,
    universe: Universe,
    assets: BTreeMap<AssetId, Asset>,
    places: HashMap<(u16, InstrumentKind, SmolStr), (AssetId, usize)>,
    /// What each venue means by its codes, from the instruments that have a place.
    meanings: HashMap<(u16, SmolStr), AssetId>,
    mapping_settings: MappingSettings,
    /// Ratios that are no longer published, since their instruments are not of the asset.
    dropped: Vec<Key>,
    simulated: bool,
    listings_changed: bool,
    instruments_changed: bool,
    to_store: Vec<ToStore>,
    long_short: RatioState,
}

impl MarketState {
    pub(crate) fn new(
        venues: Vec<MarketVenue>,
        universe: Universe,
        mapping_settings: MappingSettings,
        simulated: bool,
    ) -> Self {
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
            meanings: HashMap::new(),
            mapping_settings,
            dropped: Vec::new(),
            simulated,
            listings_changed: false,
            instruments_changed: false,
            to_store: Vec::new(),
        }
    }

    /// Processes a message.
    pub(crate) fn take(&mut self, message: CollectorEvent, rates: &RateTable, now: Timestamp) {
        match message {
            CollectorEvent::Observed(observed) => self.observed(observed, rates),
            CollectorEvent::History { asset, interval, candles, instrument, source } => {
                self.history(&asset, interval, candles, instrument.as_ref(), source, rates, now);
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

    fn observed(&mut self, observed: Observed, rates: &RateTable) {
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
                    if let Err(reason) = self.ticker(place, instrument, &ticker, stamp, rates) {
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
        let Some(id) = self.asset_of(venue_index, &instrument) else { return };
        let row = |observation: Observation| match observation.payload {
            Payload::LongShort(value) => {
                Some(Row { event_time: observation.event_time.unwrap_or(receive_time), value })
            }
            _ => None,
        };
        let rows = observations.into_iter().filter_map(row).collect();
        self.long_short.ratios(&id, venue_index, &instrument, rows, budget, receive_time, true);
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
        let id = self.asset_of(venue_index, &instrument).ok_or("not_tracked")?;
        let budget = value.period.ok_or("no_period")?.duration() * 3;
        let rows = vec![Row { event_time, value }];
        self.long_short.ratios(&id, venue_index, &Arc::new(instrument), rows, budget, receive_time, false);
        Ok(())
    }

    fn open_interest(
        &mut self,
        venue_index: u16,
        instrument: Instrument,
        value: &OpenInterest,
        receive_time: Timestamp,
    ) -> Result<(), &'static str> {
        let id = self.asset_of(venue_index, &instrument).ok_or("not_tracked")?;
        let price = self.assets.get(&id).and_then(|asset| asset.published.price);
        self.long_short.open_interest(&id, venue_index, &Arc::new(instrument), value, receive_time, price);
        Ok(())
    }

    /// The long/short ratios that are due.
    pub(crate) fn long_short_updates(&mut self, now: Timestamp, is_own: impl Fn(&AssetId) -> bool) -> Vec<Update> {
        let (assets, universe) = (&self.assets, &self.universe);
        self.long_short.updates(now, is_own, |id| {
            let published = assets.get(id).map(|asset| &asset.published);
            AssetContext {
                ticker: universe.handle(id).cloned(),
                rank: universe.rows(id).first().and_then(|(_, listed)| listed.row.market_cap_rank),
                rsi_14d: published.and_then(|published| published.rsi_14d),
            }
        })
    }

    pub(crate) fn ratio_state(&mut self) -> &mut RatioState {
        &mut self.long_short
    }

    fn place_of(&self, venue_index: u16, instrument: &Instrument) -> Option<(AssetId, usize)> {
        self.places.get(&(venue_index, instrument.kind, instrument.symbol.clone())).cloned()
    }

    fn last_good(&self, (id, slot): &(AssetId, usize)) -> Option<LastGood> {
        let quote = self.assets.get(id)?.quotes.get(*slot)?;
        Some(LastGood { price: quote.last_price?, receive_time: quote.receive_time })
    }

    /// Processes a ticker; `Err` is the reason for rejecting it.
    fn ticker(
        &mut self,
        place: Option<(AssetId, usize)>,
        instrument: Instrument,
        ticker: &Ticker,
        stamp: Stamp,
        rates: &RateTable,
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
            None => self.add_quote(instrument, ticker, &stamp, rates).ok_or("not_tracked")?,
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

    fn add_quote(
        &mut self,
        mut instrument: Instrument,
        ticker: &Ticker,
        stamp: &Stamp,
        rates: &RateTable,
    ) -> Option<(AssetId, usize)> {
        let dollars = Self::dollars(&instrument, ticker.last_price.or(ticker.bid_price), rates);
        let Resolved { asset: id, rule, factor } = self.resolve(stamp.venue_index, &instrument.base, dollars)?;
        instrument.multiplier = instrument.multiplier.checked_mul(factor)?;
        let venue = self.venues.get(usize::from(stamp.venue_index))?;
        let asset = self.assets.entry(id.clone()).or_default();
        if asset.quotes.len() >= QUOTES_MAX {
            return None;
        }
        self.meanings.insert((stamp.venue_index, instrument.base.clone()), id.clone());
        asset.mappings.push(Mapping::new(rule, stamp.receive_time));
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
            contradicted: false,
            simulated: self.simulated,
        });
        asset.quote_venues.push(stamp.venue_index);
        asset.dirty = true;
        self.instruments_changed = true;
        let place = (id, asset.quotes.len() - 1);
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
        let known = self.universe.asset_of_row(venue_index, &row.listing_id);
        if let Some(asset) = known.as_ref().and_then(|id| self.assets.get_mut(id)) {
            asset.dirty = true;
        } else {
            self.listings_changed = true;
        }
        let ticker = SmolStr::new(ticker.to_uppercase());
        self.universe.list(venue_index, Listed { ticker, row, event_time, receive_time, categories: Vec::new() });
    }

    /// Processes candles: of an instrument, which are converted and stored, or from the store.
    #[expect(clippy::too_many_arguments, reason = "the fields of one message and what they are read with")]
    fn history(
        &mut self,
        id: &AssetId,
        interval: CandleInterval,
        candles: Vec<Candle>,
        instrument: Option<&Instrument>,
        source: Source,
        rates: &RateTable,
        now: Timestamp,
    ) {
        let Some(asset) = self.assets.get_mut(id) else { return };
        let candles = match instrument {
            None => candles,
            Some(Instrument { quote, multiplier, .. }) => {
                // The current rate replaces the past rates. Only dollar stablecoins are requested, and their rates are
                // within a few thousandths of each other.
                let Some(rate) = rates.get(quote).map(|rate| rate.usd).or_else(|| par(quote)) else { return };
                candles.into_iter().filter_map(|candle| converted(candle, rate, *multiplier)).collect()
            }
        };
        asset.history.fill(interval, &candles, source, now);
        asset.dirty = true;
        if instrument.is_some() {
            self.to_store.extend(candles.into_iter().map(|candle| (id.clone(), interval, candle)));
        }
    }

    /// Re-evaluates which assets are tracked after a listing has changed. Returns the keys of the assets dropped.
    pub(crate) fn retrack(&mut self) -> Vec<Key> {
        let dropped = std::mem::take(&mut self.dropped);
        if !std::mem::take(&mut self.listings_changed) {
            return dropped;
        }
        let assets = &self.assets;
        let mut gone = self
            .universe
            .retrack(|id| assets.get(id).filter(|asset| !asset.quotes.is_empty()).map(|asset| asset.published.volume));
        // An asset that nobody trades or lists has no state to remove.
        gone.retain(|id| self.assets.remove(id).is_some());
        if !gone.is_empty() {
            let assets = &self.assets;
            self.places.retain(|_, (id, _)| assets.contains_key(id));
            self.meanings.retain(|_, id| assets.contains_key(id));
            self.instruments_changed = true;
        }
        for id in self.universe.tracked() {
            if !self.assets.contains_key(id) && !self.universe.rows(id).is_empty() {
                self.assets.insert(id.clone(), Asset { dirty: true, ..Asset::default() });
                self.instruments_changed = true;
            }
        }
        let keys = gone.into_iter().flat_map(|id| {
            let ratios = self.long_short.remove(&id);
            [Key::Price(id.clone()), Key::Asset(id)].into_iter().chain(ratios)
        });
        keys.chain(dropped).collect()
    }

    /// True if a key has a state.
    pub(crate) fn has(&self, key: &Key) -> bool {
        match key {
            Key::Price(id) | Key::Asset(id) => self.assets.contains_key(id),
            Key::LongShort(key) => self.assets.contains_key(&key.asset) && self.long_short.has(key),
            Key::Index(_) | Key::Feed(..) => false,
        }
    }

    pub(crate) fn assets(&self) -> &BTreeMap<AssetId, Asset> {
        &self.assets
    }

    /// One asset, mutable to record what was published for it.
    pub(crate) fn asset_mut(&mut self, id: &AssetId) -> Option<&mut Asset> {
        self.assets.get_mut(id)
    }

    pub(crate) fn universe(&self) -> &Universe {
        &self.universe
    }

    /// Adds an asset that the store knows from an earlier run.
    pub(crate) fn seed(&mut self, info: &AssetInfo) {
        self.universe.seed(info);
        self.listings_changed = true;
    }

    /// The quotes of the asset that has a ticker.
    pub(crate) fn quotes_of(&self, ticker: &str) -> Option<&Vec<Quote>> {
        Some(&self.assets.get(self.universe.by_handle(ticker)?)?.quotes)
    }

    /// The listings' rows of an asset, preferred listing first, with the listing's venue id.
    pub(crate) fn rows(&self, id: &AssetId) -> Vec<(VenueId, &Listed)> {
        let name = |venue: u16| self.venues.get(usize::from(venue)).map(|venue| venue.id);
        self.universe.rows(id).into_iter().filter_map(|(venue, listed)| Some((name(venue)?, listed))).collect()
    }

    /// The price from the most preferred listing that has one.
    pub(crate) fn listing_price(&self, id: &AssetId) -> Option<ListingPrice> {
        self.rows(id).into_iter().find_map(|(venue, listed)| {
            Some(ListingPrice {
                venue: SmolStr::new_static(venue.as_str()),
                listing_id: listed.row.listing_id.clone(),
                asset: self.universe.handle(id).map(|ticker| ticker.as_str().into()).unwrap_or_default(),
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
    pub(crate) fn sample(&mut self, id: &AssetId, price: Decimal, at: Timestamp) {
        if let Some(asset) = self.assets.get_mut(id) {
            let stored = asset.history.observe(price, at);
            self.to_store.extend(stored.into_iter().map(|(interval, candle)| (id.clone(), interval, candle)));
        }
    }

    /// The running candles, to be stored at shutdown.
    pub(crate) fn open_candles(&self) -> Vec<ToStore> {
        let of = |(id, asset): (&AssetId, &Asset)| {
            let owned = |(interval, candle): (CandleInterval, &Candle)| (id.clone(), interval, candle.clone());
            asset.history.open_candles().map(owned).collect::<Vec<_>>()
        };
        self.assets.iter().flat_map(of).collect()
    }

    /// True once after instruments or assets were added or removed.
    pub(crate) fn take_instruments_changed(&mut self) -> bool {
        std::mem::take(&mut self.instruments_changed)
    }

    /// The assets in the order of importance: by rank, then by volume.
    pub(crate) fn by_importance(&self) -> Vec<AssetId> {
        let rank = |id: &AssetId| {
            self.universe.rows(id).first().and_then(|(_, listed)| listed.row.market_cap_rank).unwrap_or(u32::MAX)
        };
        let mut order: Vec<(u32, f64, &AssetId)> =
            self.assets.iter().map(|(id, asset)| (rank(id), asset.published.volume, id)).collect();
        order.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(b.2)));
        order.into_iter().map(|(_, _, id)| id.clone()).collect()
    }

    /// The spot instruments of each venue that are worth streaming: those of tracked assets against dollars and dollar
    /// stablecoins, most important assets first, at most `count_max` per venue.
    pub(crate) fn stream_instruments(&self, count_max: usize) -> Vec<Vec<Instrument>> {
        let mut by_venue: Vec<Vec<Instrument>> = self.venues.iter().map(|_| Vec::new()).collect();
        for id in self.by_importance() {
            let Some(asset) = self.assets.get(&id) else { continue };
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
    pub(crate) fn candle_instruments(&self, id: &AssetId, preference: &[VenueId]) -> Vec<(u16, Instrument)> {
        let Some(asset) = self.assets.get(id) else { return Vec::new() };
        let mut found: Vec<(usize, usize, u16, &Instrument)> = Vec::new();
        // Candles are stored, so they come only from instruments that are certainly of the asset.
        let is_certain = |mapping: &Mapping| match mapping.state {
            MappingState::Confirmed => true,
            MappingState::Provisional => mapping.contributes() && !self.universe.awaits_listing(),
            MappingState::Conflict => false,
        };
        let quotes = asset.quotes.iter().zip(&asset.quote_venues).zip(&asset.mappings);
        for ((quote, venue_index), _) in quotes.filter(|(_, mapping)| is_certain(mapping)) {
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

/// A candle of one unit of the asset in US dollars.
fn converted(candle: Candle, rate: Decimal, multiplier: u32) -> Option<Candle> {
    let units = Decimal::from(i64::from(multiplier.max(1)));
    let convert = |price: Decimal| {
        let price = price.checked_mul(rate)?.checked_div(units)?;
        Some(price.rounded_to_significant(CONVERTED_DIGITS).normalized())
    };
    let money = |volume: Decimal| {
        volume.checked_mul(rate).map(|volume| volume.rounded_to_significant(CONVERTED_DIGITS).normalized())
    };
    Some(Candle {
        start: candle.start,
        open: convert(candle.open)?,
        high: convert(candle.high)?,
        low: convert(candle.low)?,
        close: convert(candle.close)?,
        base_volume: candle.base_volume.and_then(|volume| volume.checked_mul(units)),
        quote_volume: candle.quote_volume.and_then(money),
    })
}
