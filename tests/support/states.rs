//! States as large as real ones.

// Each test binary has this module as its own and uses a part of it.
#![allow(dead_code)]

use std::time::Duration;

use crossmarket_domain::state::{
    Aggregation, AggregationMethod, Body, Contribution, ContributionStatus, Derivation, Key, PriceSnapshot, State,
};
use crossmarket_domain::{AssetCode, AssetId, Decimal, Timestamp};

/// Venues that contribute to each price.
const VENUE_COUNT: usize = 10;

/// When the states are received, in milliseconds since 1970.
pub const RECEIVED_MS: i64 = 1_768_435_200_000;

fn decimal(text: &str) -> Option<Decimal> {
    Some(Decimal::parse(text).expect("a number"))
}

fn time() -> Timestamp {
    Timestamp::from_millis(RECEIVED_MS)
}

fn contribution(number: usize) -> Contribution {
    Contribution {
        venue: format!("venue-{number}").into(),
        instrument: "BTC/USDT".into(),
        venue_symbol: "BTCUSDT".into(),
        quote_asset: "USDT".into(),
        observed_price: decimal("95391.12"),
        conversion_rate: decimal("0.9998"),
        price: decimal("95372.0418"),
        weight: 0.1,
        volume_24h: decimal("1234567890.12"),
        deviation_percent: Some(0.013),
        event_time: time(),
        receive_time: time(),
        status: ContributionStatus::Used,
        simulated: false,
    }
}

fn derivation(field: &'static str) -> Derivation {
    Derivation {
        field: field.into(),
        method: "close against the close before the interval".into(),
        parameters: vec![("interval".into(), "1d".into())],
        inputs: vec![("reference".into(), Decimal::parse("94260.1").expect("a number"))],
        observation_count: 288,
        missing_count: 0,
        start_time: time(),
        end_time: time(),
        source: "venue:binance".into(),
    }
}

/// A price snapshot with ten venues and eight derived figures, identified by its rank.
pub fn price(asset: &str, rank: u32) -> (Key, Option<State>) {
    let id = AssetId::parse(asset).expect("an id");
    let snapshot = PriceSnapshot {
        asset_id: id.clone(),
        asset: AssetCode::parse(asset).expect("a ticker"),
        name: Some("Name of an asset".into()),
        price: decimal("95391.12"),
        change_1h_percent: Some(0.1),
        change_24h_percent: Some(1.2),
        change_7d_percent: Some(5.3),
        change_30d_percent: Some(-3.4),
        change_ytd_percent: Some(9.5),
        high_24h: decimal("97000"),
        low_24h: decimal("94000"),
        high_7d: decimal("97900"),
        low_7d: decimal("90000"),
        range_24h_percent: Some(3.2),
        volatility_24h_percent: Some(1.3),
        volatility_30d_annualized_percent: Some(42.0),
        rsi_14d: Some(61.0),
        volume_24h: decimal("52640000000"),
        market_cap: decimal("1900000000000"),
        market_cap_rank: Some(rank),
        circulating_supply: decimal("19980000"),
        all_time_high: None,
        categories: vec!["layer-1".into()],
        aggregation: Aggregation {
            method: AggregationMethod::VolumeWeightedMedian,
            venue_count: VENUE_COUNT as u32,
            candidate_count: VENUE_COUNT as u32,
            required_venue_count: 1,
            dispersion_percent: Some(0.01),
            outlier_limit_percent: Some(0.5),
            contributions: (0..VENUE_COUNT).map(contribution).collect(),
        },
        derivations: ["change_1h_percent", "change_24h_percent", "change_7d_percent", "change_30d_percent"]
            .into_iter()
            .chain(["change_ytd_percent", "volatility_24h_percent", "volatility_30d_annualized_percent", "rsi_14d"])
            .map(derivation)
            .collect(),
    };
    let state = State {
        event_time: time(),
        receive_time: time(),
        publish_time: time(),
        budget: Duration::from_secs(60),
        simulated: false,
        body: Body::Price(Box::new(snapshot)),
    };
    (Key::Price(id), Some(state))
}
