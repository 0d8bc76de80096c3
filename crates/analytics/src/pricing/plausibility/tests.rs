use super::*;
use crossmarket_domain::observation::OpenInterestUnit;
use crossmarket_domain::{CandleInterval, Instrument, LongShortKind};

const RECEIVED: Timestamp = Timestamp::EPOCH;

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).expect(text)
}

fn verdict(payload: Payload, event_seconds: Option<i64>, last_good: Option<LastGood>) -> &'static str {
    let observation = Observation {
        instrument: Instrument::spot("XYZUSD", "XYZ", "USD"),
        event_time: event_seconds.map(|seconds| RECEIVED + Duration::from_secs(seconds.unsigned_abs())),
        payload,
    };
    check(&observation, RECEIVED, last_good).map_or_else(RejectReason::as_str, |()| "good")
}

fn last(price: &str) -> Payload {
    Payload::Ticker(Ticker { last_price: Some(decimal(price)), ..Ticker::default() })
}

#[test]
fn prices_are_positive_and_not_absurd() {
    let good = Ticker { last_price: Some(decimal("95391.01")), ..Ticker::default() };
    let ticker = |change: &dyn Fn(&mut Ticker)| {
        let mut changed = good.clone();
        change(&mut changed);
        verdict(Payload::Ticker(changed), None, None)
    };
    assert_eq!(ticker(&|_| {}), "good");
    assert_eq!(ticker(&|ticker| ticker.last_price = None), "good");
    assert_eq!(ticker(&|ticker| ticker.last_price = Some(decimal("0.000"))), "zero");
    assert_eq!(ticker(&|ticker| ticker.last_price = Some(decimal("-1"))), "negative");
    assert_eq!(ticker(&|ticker| ticker.last_price = Some(decimal("1000000000000"))), "good");
    assert_eq!(ticker(&|ticker| ticker.last_price = Some(decimal("1000000000000.01"))), "too_large");
    assert_eq!(ticker(&|ticker| ticker.bid_price = Some(Decimal::ZERO)), "good");
    assert_eq!(ticker(&|ticker| ticker.ask_price = Some(decimal("-0.1"))), "negative");
    assert_eq!(ticker(&|ticker| ticker.high_24h = Some(decimal("1e13"))), "too_large");
    assert_eq!(ticker(&|ticker| ticker.base_volume_24h = Some(Decimal::ZERO)), "good");
    assert_eq!(ticker(&|ticker| ticker.quote_volume_24h = Some(decimal("-1"))), "negative");
    assert_eq!(ticker(&|ticker| ticker.base_volume_24h = Some(decimal("1e22"))), "too_large");
}

#[test]
fn events_may_be_a_minute_ahead() {
    assert_eq!(verdict(last("1"), Some(0), None), "good");
    assert_eq!(verdict(last("1"), Some(60), None), "good");
    assert_eq!(verdict(last("1"), Some(61), None), "future_dated");
}

#[test]
fn jumps_are_refused_while_the_last_price_is_young() {
    let known =
        |seconds: u64| Some(LastGood { price: decimal("2"), receive_time: RECEIVED - Duration::from_secs(seconds) });
    assert_eq!(verdict(last("2000"), None, known(1)), "good");
    assert_eq!(verdict(last("2000.1"), None, known(1)), "jump");
    assert_eq!(verdict(last("0.002"), None, known(1)), "good");
    assert_eq!(verdict(last("0.0019"), None, known(3_600)), "jump");
    assert_eq!(verdict(last("0.0019"), None, known(3_601)), "good");
}

#[test]
fn candles_are_ordered() {
    let candle = |open: &str, high: &str, low: &str, close: &str, start_seconds: i64| {
        let payload = Candle {
            start: Timestamp::from_seconds(start_seconds),
            open: decimal(open),
            high: decimal(high),
            low: decimal(low),
            close: decimal(close),
            base_volume: None,
            quote_volume: None,
        };
        verdict(Payload::Candle(CandleInterval::OneDay, payload), None, None)
    };
    assert_eq!(candle("2", "3", "1", "2", 0), "good");
    assert_eq!(candle("2", "2", "2", "2", 0), "good");
    assert_eq!(candle("4", "3", "1", "2", 0), "inconsistent");
    assert_eq!(candle("2", "3", "1", "0.5", 0), "inconsistent");
    assert_eq!(candle("2", "3", "0", "2", 0), "zero");
    assert_eq!(candle("2", "3", "1", "2", 61), "future_dated");
}

#[test]
fn shares_are_shares() {
    let shares = |long_share: f64, short_share: f64, ratio: f64| {
        let kind = LongShortKind::GlobalAccount;
        verdict(Payload::LongShort(LongShort { kind, period: None, long_share, short_share, ratio }), None, None)
    };
    assert_eq!(shares(0.6, 0.4, 1.5), "good");
    assert_eq!(shares(0.6001, 0.3998, 1.5), "good");
    assert_eq!(shares(f64::NAN, 0.4, 1.5), "not_finite");
    assert_eq!(shares(0.6, 0.4, f64::INFINITY), "not_finite");
    assert_eq!(shares(-0.6, 0.4, 1.5), "negative");
    assert_eq!(shares(1.5, 0.4, 1.5), "inconsistent");
    assert_eq!(shares(0.6, 0.6, 1.0), "inconsistent");
    assert_eq!(shares(0.6, 0.4, 0.0), "inconsistent");
}

#[test]
fn other_figures_are_not_negative() {
    let interest = |text: &str| OpenInterest {
        open_interest: decimal(text),
        unit: OpenInterestUnit::Base,
        open_interest_usd: None,
    };
    assert_eq!(verdict(Payload::OpenInterest(interest("0")), None, None), "good");
    assert_eq!(verdict(Payload::OpenInterest(interest("-3")), None, None), "negative");
    let row = |price: &str, market_cap: &str, high_seconds: i64| {
        let payload = MarketCap {
            price: Some(decimal(price)),
            market_cap: Some(decimal(market_cap)),
            all_time_high: Some(decimal("5")),
            all_time_high_time: Some(Timestamp::from_seconds(high_seconds)),
            ..MarketCap::default()
        };
        verdict(Payload::MarketCap(Box::new(payload)), None, None)
    };
    assert_eq!(row("1", "1e12", 0), "good");
    assert_eq!(row("0", "1e12", 0), "zero");
    assert_eq!(row("1", "-1", 0), "negative");
    assert_eq!(row("1", "1", 3_600), "future_dated");
    let level = |high: &str, low: &str| {
        let level = IndexLevel {
            close_of: None,
            level: decimal("2500"),
            open: None,
            high: Some(decimal(high)),
            low: Some(decimal(low)),
            previous_close: None,
        };
        verdict(Payload::IndexLevel(level), None, None)
    };
    assert_eq!(level("2510", "2490"), "good");
    assert_eq!(level("2490", "2510"), "inconsistent");
}

#[test]
fn labels_are_distinct() {
    let mut labels = RejectReason::ALL.map(RejectReason::as_str).to_vec();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), RejectReason::ALL.len());
}
