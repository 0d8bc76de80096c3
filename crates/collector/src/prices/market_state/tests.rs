use crate::prices::candle_rings::slot_count_max;
use crate::prices::market_state::*;
use crate::prices::universe::VenueCode;
use crossmarket_analytics::aggregate::{Aggregator, Settings};
use crossmarket_domain::state::{AggregationMethod, MappingRule};

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
    let universe = Universe::new(10, Vec::new(), HashMap::new(), &[]);
    MarketState::new(vec![venue("alpha"), venue("beta")], universe, MappingSettings::default(), false)
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
    &market.assets()["bitcoin"].quotes[0]
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
    assert_eq!(market.assets()["bitcoin"].quotes.len(), 2);
    let preferred = market.candle_instruments(&AssetId::parse("bitcoin").expect("valid"), &[VenueId("beta")]);
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
        asset: AssetId::parse("bitcoin").expect("valid"),
        interval: CandleInterval::OneDay,
        candles: vec![candle.clone()],
        instrument: quote.map(|quote| Instrument::spot("any", "BTC", quote)),
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
    let place = size_of::<((u16, InstrumentKind, SmolStr), (AssetId, usize))>() * 2;
    let asset = size_of::<Asset>() + 16 * slots + 10 * (2 * size_of::<Quote>() + place);
    assert!(1_000 * asset < 60 << 20, "{asset} bytes an asset");
}

/// A listing and venues with a ratio feed, of which the second calls LUNA what the market calls LUNC.
struct Identity {
    market: MarketState,
    rates: RateTable,
}

const LISTING: u16 = 2;

impl Identity {
    fn new() -> Self {
        let venue = |id| MarketVenue {
            id: VenueId(id),
            budget: Duration::from_secs(30),
            monitors: HashMap::new(),
            has_candles: true,
            long_short_kinds: &[LongShortKind::GlobalAccount],
        };
        let code = VenueCode { rule: MappingRule::Registry, means: Some("LUNC".into()) };
        let codes = HashMap::from([((1, "LUNA".into()), code)]);
        let universe = Universe::new(50, Vec::new(), codes, &[(LISTING, "coingecko")]);
        let venues = vec![venue("alpha"), venue("kraken"), venue("coingecko")];
        Self {
            market: MarketState::new(venues, universe, MappingSettings::default(), false),
            rates: RateTable::default(),
        }
    }

    fn observed(&mut self, venue_index: u16, feed: Feed, second: i64, observation: Observation) {
        let observed = Observed {
            venue_index,
            feed,
            receive_time: at(second),
            trace: None,
            streaming: false,
            observations: vec![observation],
        };
        self.market.take(CollectorEvent::Observed(observed), &self.rates, at(second));
    }

    fn list(&mut self, second: i64, ticker: &str, id: &str, dollars: &str) {
        let row = MarketCap {
            listing_id: id.into(),
            name: id.into(),
            price: price(dollars),
            market_cap: price("1000000"),
            ..MarketCap::default()
        };
        let instrument = Instrument { kind: InstrumentKind::Listing, ..Instrument::spot(id, ticker, "USD") };
        let payload = Payload::MarketCap(Box::new(row));
        self.observed(LISTING, Feed::MarketCaps, second, Observation { instrument, event_time: None, payload });
    }

    fn listed(&mut self) {
        self.market.take(CollectorEvent::ListingComplete { venue_index: LISTING }, &self.rates, at(0));
        self.market.retrack();
    }

    fn trade(&mut self, venue_index: u16, second: i64, base: &str, dollars: &str) {
        let payload = Payload::Ticker(Ticker { last_price: price(dollars), ..Ticker::default() });
        let instrument = Instrument::spot(format!("{base}USD"), base, "USD");
        self.observed(venue_index, Feed::Tickers, second, Observation { instrument, event_time: None, payload });
    }

    /// The price as it is published, and its method.
    fn published(&mut self, second: i64, id: &str) -> (Option<String>, AggregationMethod) {
        let id = AssetId::parse(id).expect("an id");
        let listing = self.market.listing_price(&id);
        self.market.check_mappings(&id, listing.as_ref(), &self.rates, at(second));
        let quotes = self.market.assets()[&id].quotes.clone();
        let mut aggregator = Aggregator::new(Settings::default());
        let aggregate = aggregator.aggregate(&quotes, &self.rates, listing.as_ref(), at(second));
        (aggregate.price.map(|price| price.to_string()), aggregate.aggregation.method)
    }

    fn states(&self, id: &str) -> Vec<MappingState> {
        self.market.assets()[id].mappings.iter().map(|mapping| mapping.state).collect()
    }
}

#[test]
fn a_lone_venue_that_means_another_coin_is_never_served() {
    let mut identity = Identity::new();
    identity.list(0, "LUNA", "terra-luna-2", "0.12");
    identity.list(0, "LUNC", "terra-luna", "0.000045");
    identity.listed();
    identity.trade(1, 1, "LUNA", "0.000045");
    assert_eq!(
        identity.published(1, "terra-luna-2"),
        (Some("0.12".to_owned()), AggregationMethod::Listing),
        "the listing's"
    );
    assert_eq!(
        identity.published(1, "terra-luna"),
        (Some("0.000045".to_owned()), AggregationMethod::SingleVenue),
        "its own name for it"
    );
    // A venue whose code nobody has explained, and whose price is that of an asset that had the ticker once.
    identity.trade(0, 2, "LUNA", "0.000046");
    assert_eq!(identity.states("terra-luna").len(), 2);
    // A price of nobody who has or had the ticker.
    identity.list(0, "PEPE", "pepe", "3");
    identity.listed();
    for second in (2..700).step_by(20) {
        identity.list(second, "PEPE", "pepe", "3");
        identity.trade(0, second, "PEPE", "0.002");
        assert_eq!(identity.published(second, "pepe"), (Some("3".to_owned()), AggregationMethod::Listing));
    }
    assert_eq!(identity.states("pepe"), [MappingState::Conflict]);
    assert_eq!(identity.market.conflict_count(), 1);
}

#[test]
fn of_two_venues_that_disagree_the_listing_decides() {
    let mut identity = Identity::new();
    identity.list(0, "PEPE", "pepe", "3");
    identity.listed();
    identity.trade(0, 1, "PEPE", "3.01");
    identity.trade(1, 1, "PEPE", "0.002");
    assert_eq!(identity.published(1, "pepe"), (Some("3.01".to_owned()), AggregationMethod::SingleVenue));
    assert_eq!(identity.states("pepe"), [MappingState::Confirmed, MappingState::Provisional]);
}

#[test]
fn a_confirmed_venue_outlives_a_stale_listing_and_a_fast_market() {
    let mut identity = Identity::new();
    identity.list(0, "PEPE", "pepe", "3");
    identity.listed();
    identity.trade(0, 1, "PEPE", "3");
    assert_eq!(identity.published(1, "pepe").0.as_deref(), Some("3"));
    identity.trade(0, 20, "PEPE", "1");
    assert_eq!(identity.published(20, "pepe").0.as_deref(), Some("1"), "the listing is minutes behind");
}

#[test]
fn what_contradicts_the_asset_contributes_to_nothing() {
    let mut identity = Identity::new();
    identity.list(0, "PEPE", "pepe", "3");
    identity.listed();
    identity.trade(0, 1, "PEPE", "3");
    identity.trade(1, 1, "PEPE", "0.002");
    identity.published(1, "pepe");
    let pepe = AssetId::parse("pepe").expect("an id");
    let candles = identity.market.candle_instruments(&pepe, &[]);
    assert_eq!(candles.iter().map(|(venue, _)| *venue).collect::<Vec<_>>(), [0], "candles");
    assert_eq!(identity.market.codes_of(&pepe), [(0, "PEPE".into()), (2, "PEPE".into())], "planned ratios");
    let perpetual = Instrument { kind: InstrumentKind::PerpetualLinear, ..Instrument::spot("PEPE-P", "PEPE", "USD") };
    for (venue_index, accepted) in [(0, true), (1, false)] {
        let found = identity.market.asset_of(venue_index, &perpetual);
        assert_eq!(found.is_some(), accepted, "ratios and open interest of venue {venue_index}");
    }
}

#[test]
fn candles_wait_until_it_is_certain_whose_they_are() {
    let mut identity = Identity::new();
    identity.trade(0, 1, "BTC", "95000");
    let btc = AssetId::parse("bitcoin").expect("an id");
    assert!(identity.market.candle_instruments(&btc, &[]).is_empty(), "the listing may say otherwise");
    identity.list(2, "BTC", "bitcoin", "95100");
    identity.listed();
    identity.published(2, "bitcoin");
    assert_eq!(identity.market.candle_instruments(&btc, &[]).len(), 1);
}

#[test]
fn an_old_code_after_a_redenomination_counts_in_new_units() {
    let mut identity = Identity::new();
    identity.list(0, "MANTRA", "mantra-dao", "0.02");
    identity.listed();
    identity.trade(0, 1, "OM", "0.08");
    identity.trade(1, 1, "MANTRA", "0.02");
    assert_eq!(identity.published(1, "mantra-dao"), (Some("0.02".to_owned()), AggregationMethod::Median));
    assert_eq!(identity.states("mantra-dao"), [MappingState::Confirmed; 2]);
}
