//! An observation as JSON: `{"venue","feed","instrument","asset","quote","event_time","fields":{…}}`. Decimals are strings, exactly as observed.

use super::super::json::{Json, Object};
use crossmarket_domain::observation::{IndexLevel, LongShort, MarketCap, OpenInterest, OpenInterestUnit, Ticker};
use crossmarket_domain::{Candle, CandleInterval, Feed, Observation, Payload, VenueId};

/// The feed that a payload belongs to.
pub(super) fn feed_of(payload: &Payload) -> Feed {
    match payload {
        Payload::Ticker(_) => Feed::Tickers,
        Payload::Candle(..) => Feed::Candles,
        Payload::LongShort(_) => Feed::LongShortRatios,
        Payload::OpenInterest(_) => Feed::OpenInterest,
        Payload::MarketCap(_) => Feed::MarketCaps,
        Payload::IndexLevel(_) => Feed::IndexLevels,
    }
}

/// The observation. `multiplier` is there when the price is for more than one unit of the asset; `event_time` is null when the payload has
/// none, and a candle's start for a candle.
pub(super) fn observation_json(venue: VenueId, observation: &Observation) -> Object {
    let instrument = &observation.instrument;
    let start = if let Payload::Candle(_, candle) = &observation.payload { Some(candle.start) } else { None };
    let event_time = observation.event_time.or(start);
    let mut object = Object::default();
    object.text("venue", venue.as_str());
    object.text("feed", feed_of(&observation.payload).as_str());
    object.text("instrument", instrument.symbol.as_str());
    object.text("asset", instrument.base.as_str());
    object.text("quote", instrument.quote.as_str());
    if instrument.multiplier != 1 {
        object.put("multiplier", Json::Integer(instrument.multiplier.into()));
    }
    object.put("event_time", event_time.map_or(Json::Null, |time| Json::Text(time.to_string())));
    object.put("fields", Json::Object(fields(&observation.payload)));
    object
}

fn fields(payload: &Payload) -> Object {
    match payload {
        Payload::Ticker(ticker) => ticker_fields(ticker),
        Payload::Candle(interval, candle) => candle_fields(*interval, candle),
        Payload::LongShort(long_short) => long_short_fields(long_short),
        Payload::OpenInterest(open_interest) => open_interest_fields(open_interest),
        Payload::MarketCap(market_cap) => market_cap_fields(market_cap),
        Payload::IndexLevel(level) => index_level_fields(level),
    }
}

fn ticker_fields(ticker: &Ticker) -> Object {
    let mut object = Object::default();
    object.text_if("last_price", ticker.last_price);
    object.text_if("bid_price", ticker.bid_price);
    object.text_if("ask_price", ticker.ask_price);
    object.text_if("high_24h", ticker.high_24h);
    object.text_if("low_24h", ticker.low_24h);
    object.text_if("base_volume_24h", ticker.base_volume_24h);
    object.text_if("quote_volume_24h", ticker.quote_volume_24h);
    object
}

fn candle_fields(interval: CandleInterval, candle: &Candle) -> Object {
    let mut object = Object::default();
    object.text("open", candle.open.to_string());
    object.text("high", candle.high.to_string());
    object.text("low", candle.low.to_string());
    object.text("close", candle.close.to_string());
    object.text_if("base_volume", candle.base_volume);
    object.text_if("quote_volume", candle.quote_volume);
    object.text("interval", interval.as_str());
    object
}

fn long_short_fields(long_short: &LongShort) -> Object {
    let mut object = Object::default();
    object.text("kind", long_short.kind.as_str());
    object.text_if("period", long_short.period.map(|period| period.as_str()));
    object.number_if("long_share", Some(long_short.long_share));
    object.number_if("short_share", Some(long_short.short_share));
    object.number_if("ratio", Some(long_short.ratio));
    object
}

fn open_interest_fields(open_interest: &OpenInterest) -> Object {
    let unit = match open_interest.unit {
        OpenInterestUnit::Base => "BASE_ASSET",
        OpenInterestUnit::Quote => "QUOTE_ASSET",
        OpenInterestUnit::Contracts => "CONTRACTS",
    };
    let mut object = Object::default();
    object.text("open_interest", open_interest.open_interest.to_string());
    object.text("unit", unit);
    object.text_if("open_interest_usd", open_interest.open_interest_usd);
    object
}

fn market_cap_fields(market_cap: &MarketCap) -> Object {
    let mut object = Object::default();
    object.text_if("price", market_cap.price);
    object.text_if("market_cap", market_cap.market_cap);
    if let Some(rank) = market_cap.market_cap_rank {
        object.put("market_cap_rank", Json::Integer(rank.into()));
    }
    object.text_if("circulating_supply", market_cap.circulating_supply);
    object.text_if("volume_24h", market_cap.volume_24h);
    object.text_if("all_time_high", market_cap.all_time_high);
    object.text_if("all_time_high_time", market_cap.all_time_high_time);
    object
}

fn index_level_fields(level: &IndexLevel) -> Object {
    let mut object = Object::default();
    object.text("level", level.level.to_string());
    object.text_if("open", level.open);
    object.text_if("high", level.high);
    object.text_if("low", level.low);
    object.text_if("previous_close", level.previous_close);
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_domain::observation::LongShortKind;
    use crossmarket_domain::{Decimal, Instrument, Period, Timestamp};

    fn check(instrument: Instrument, event_time: Option<&str>, payload: Payload, expected: &str) {
        let event_time = event_time.and_then(Timestamp::parse);
        let observation = Observation { instrument, event_time, payload };
        assert_eq!(observation_json(VenueId("bybit"), &observation).to_string(), expected);
    }

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).expect("valid")
    }

    #[test]
    fn a_ticker_keeps_its_digits() {
        let ticker =
            Ticker { last_price: Some(decimal("0.00900")), high_24h: Some(decimal("1e-7")), ..Default::default() };
        check(
            Instrument { multiplier: 1000, ..Instrument::spot("1000PEPEUSDT", "PEPE", "USDT") },
            None,
            Payload::Ticker(ticker),
            r#"{"venue":"bybit","feed":"tickers","instrument":"1000PEPEUSDT","asset":"PEPE","quote":"USDT","multiplier":1000,"event_time":null,"fields":{"last_price":"0.00900","high_24h":"0.0000001"}}"#,
        );
    }

    #[test]
    fn a_candle_without_event_time_has_its_start() {
        let price = decimal("5");
        let start = Timestamp::parse("2026-01-15T00:00:00Z").expect("valid");
        let candle =
            Candle { start, open: price, high: price, low: price, close: price, base_volume: None, quote_volume: None };
        check(
            Instrument::spot("BTCUSDT", "BTC", "USDT"),
            None,
            Payload::Candle(CandleInterval::OneDay, candle),
            r#"{"venue":"bybit","feed":"candles","instrument":"BTCUSDT","asset":"BTC","quote":"USDT","event_time":"2026-01-15T00:00:00Z","fields":{"open":"5","high":"5","low":"5","close":"5","interval":"1d"}}"#,
        );
    }

    #[test]
    fn shares_are_numbers() {
        let long_short = LongShort {
            kind: LongShortKind::GlobalAccount,
            period: Some(Period::OneHour),
            long_share: 0.6,
            short_share: 0.4,
            ratio: 1.5,
        };
        check(
            Instrument::spot("BTCUSDT", "BTC", "USDT"),
            Some("2026-01-15T12:00:00.25Z"),
            Payload::LongShort(long_short),
            r#"{"venue":"bybit","feed":"long-short-ratios","instrument":"BTCUSDT","asset":"BTC","quote":"USDT","event_time":"2026-01-15T12:00:00.25Z","fields":{"kind":"GLOBAL_ACCOUNT","period":"1h","long_share":0.6,"short_share":0.4,"ratio":1.5}}"#,
        );
    }
}
