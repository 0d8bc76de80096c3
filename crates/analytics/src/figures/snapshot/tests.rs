use std::time::Duration;

use super::super::history::tests::{candles, time};
use super::*;
use crate::aggregate::{Aggregate, Aggregator, Quote, Settings};
use crate::drawdown::history_high;
use crate::rates::{Rate, RateSource, RateTable};
use crate::returns::Candles;
use crossmarket_domain::observation::MarketCap;
use crossmarket_domain::state::AggregationMethod;
use crossmarket_domain::{AssetCode, AssetId, CandleInterval, Decimal, Instrument};

const NOW: &str = "2026-01-15T12:00:30Z";

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).expect(text)
}

fn price(age_seconds: u64) -> Aggregate {
    let mut rates = RateTable::default();
    let stale_since = time("2027-01-01T00:00:00Z");
    rates.insert("USDT".into(), Rate { usd: Decimal::ONE, source: RateSource::Par, stale_since });
    let quote = Quote {
        venue: "binance".into(),
        instrument: Instrument::spot("XUSDT", "X", "USDT"),
        last_price: Some(decimal("110")),
        bid_price: None,
        ask_price: None,
        base_volume_24h: None,
        quote_volume_24h: Some(decimal("5000")),
        high_24h: Some(decimal("112")),
        low_24h: Some(decimal("105")),
        event_time: time(NOW) - Duration::from_secs(age_seconds),
        receive_time: time(NOW),
        budget: Duration::from_secs(60),
        contradicted: false,
        simulated: false,
    };
    Aggregator::new(Settings::default()).aggregate(&[quote], &rates, None, time(NOW))
}

fn inputs((asset_id, asset): &(AssetId, AssetCode), aggregate: Aggregate) -> SnapshotInputs<'_> {
    SnapshotInputs {
        asset_id,
        asset,
        name: None,
        aggregate,
        candles: Candles::default(),
        sources: HistorySources { daily: "venue:kraken", ..HistorySources::default() },
        history_high: None,
        listings: &[],
        categories: &[],
    }
}

fn code() -> (AssetId, AssetCode) {
    (AssetId::parse("x").expect("valid"), AssetCode::parse("X").expect("valid"))
}

#[test]
fn without_history_and_listing_there_is_only_what_the_venues_say() {
    let asset = code();
    let snapshot = build(inputs(&asset, price(0)), time(NOW));
    assert_eq!(snapshot.price, Some(decimal("110")));
    assert_eq!((snapshot.high_24h, snapshot.low_24h), (Some(decimal("112")), Some(decimal("105"))));
    assert_eq!(snapshot.volume_24h, Some(decimal("5000")));
    assert_eq!(snapshot.range_24h_percent, Some(100.0 * 7.0 / 105.0));
    let changes = [snapshot.change_1h_percent, snapshot.change_24h_percent, snapshot.change_7d_percent];
    assert_eq!(changes, [None; 3]);
    assert_eq!((snapshot.change_30d_percent, snapshot.change_ytd_percent, snapshot.rsi_14d), (None, None, None));
    assert_eq!((snapshot.volatility_24h_percent, snapshot.volatility_30d_annualized_percent), (None, None));
    assert_eq!((snapshot.high_7d, snapshot.market_cap, snapshot.market_cap_rank), (None, None, None));
    assert_eq!((snapshot.all_time_high, snapshot.name), (None, None));
    let fields: Vec<&str> = snapshot.derivations.iter().map(|derivation| derivation.field.as_str()).collect();
    assert_eq!(fields, ["price", "high_24h", "low_24h", "range_24h_percent", "volume_24h"]);
    let rate = ("USDT/USD rate".into(), "par".into());
    assert!(snapshot.derivations[0].parameters.contains(&rate), "{:?}", snapshot.derivations[0]);
}

#[test]
fn with_everything_each_figure_has_its_derivation() {
    let asset = code();
    let daily = candles(CandleInterval::OneDay, time("2026-01-15T00:00:00Z"), &[88.0; 40]);
    let hourly = candles(CandleInterval::OneHour, time("2026-01-15T12:00:00Z"), &[100.0; 200]);
    let five_minute = candles(CandleInterval::FiveMinutes, time("2026-01-15T12:00:00Z"), &[125.0; 300]);
    let row = MarketCap {
        name: "X Coin".into(),
        price: Some(decimal("109")),
        market_cap: Some(decimal("1090")),
        market_cap_rank: Some(7),
        circulating_supply: Some(decimal("10")),
        volume_24h: Some(decimal("777")),
        all_time_high: Some(decimal("220")),
        ..MarketCap::default()
    };
    let unknown = MarketCap { market_cap: Some(Decimal::ZERO), ..MarketCap::default() };
    let listed = |venue, row| Listing { venue, row, event_time: time("2026-01-15T11:00:00Z") };
    let listings = [listed("coinpaprika", &unknown), listed("coingecko", &row)];
    let categories = ["privacy".into(), "layer-1".into(), "privacy".into()];
    let whole = SnapshotInputs {
        candles: Candles { daily: &daily, hourly: &hourly, five_minute: &five_minute },
        history_high: history_high(&daily),
        listings: &listings,
        categories: &categories,
        ..inputs(&asset, price(0))
    };
    let snapshot = build(whole, time(NOW));
    assert_eq!(snapshot.change_1h_percent, Some(-12.0));
    assert_eq!(snapshot.change_24h_percent, Some(-12.0));
    assert_eq!(snapshot.change_7d_percent, Some(10.0));
    assert_eq!(snapshot.change_30d_percent, Some(25.0));
    assert_eq!(snapshot.change_ytd_percent, Some(25.0));
    assert_eq!((snapshot.high_24h, snapshot.low_24h), (Some(decimal("125")), Some(decimal("110"))));
    assert_eq!((snapshot.high_7d, snapshot.low_7d), (Some(decimal("125")), Some(decimal("100"))));
    assert_eq!((snapshot.volatility_24h_percent, snapshot.volatility_30d_annualized_percent), (Some(0.0), Some(0.0)));
    assert_eq!(snapshot.rsi_14d, Some(50.0));
    assert_eq!((snapshot.volume_24h, snapshot.market_cap), (Some(decimal("777")), Some(decimal("1090"))));
    assert_eq!((snapshot.market_cap_rank, snapshot.name), (Some(7), Some("X Coin".into())));
    assert_eq!(snapshot.categories, ["layer-1", "privacy"]);
    let high = snapshot.all_time_high.expect("known");
    assert_eq!((high.price, high.drawdown_percent, high.source.as_str()), (decimal("220"), Some(-50.0), "coingecko"));
    let fields: Vec<&str> = snapshot.derivations.iter().map(|derivation| derivation.field.as_str()).collect();
    let expected = [
        "price",
        "change_1h_percent",
        "change_24h_percent",
        "change_7d_percent",
        "change_30d_percent",
        "change_ytd_percent",
        "high_24h",
        "low_24h",
        "high_7d",
        "low_7d",
        "range_24h_percent",
        "volatility_24h_percent",
        "volatility_30d_annualized_percent",
        "rsi_14d",
        "volume_24h",
        "market_cap",
        "all_time_high.drawdown_percent",
    ];
    assert_eq!(fields, expected);
    let rsi = snapshot.derivations.iter().find(|derivation| derivation.field == "rsi_14d").expect("derived");
    assert_eq!((rsi.observation_count, rsi.source.as_str()), (40, "venue:kraken"));
}

#[test]
fn a_carried_price_is_compared_with_what_came_before_it() {
    let asset = code();
    // The price is of 2 January, 12:00:30; the last hours of the history are later than that.
    let carried = price(13 * 86_400);
    assert_eq!(carried.aggregation.method, AggregationMethod::LastKnown);
    let mut closes = vec![55.0; 200];
    closes.extend([100.0; 312]);
    let hourly = candles(CandleInterval::OneHour, time("2026-01-15T12:00:00Z"), &closes);
    let whole =
        SnapshotInputs { candles: Candles { hourly: &hourly, ..Candles::default() }, ..inputs(&asset, carried) };
    let snapshot = build(whole, time(NOW));
    assert_eq!(snapshot.change_24h_percent, Some(100.0));
    assert_eq!((snapshot.high_24h, snapshot.low_24h), (Some(decimal("110")), Some(decimal("55"))));
}
