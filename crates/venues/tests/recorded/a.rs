//! Recorded answers of Binance, Bybit, OKX and MEXC, each compared field by field with a second, independent reading of the same file.

use std::collections::BTreeMap;

use bytes::Bytes;
use crossmarket_domain::observation::{LongShort, OpenInterest, Ticker};
use crossmarket_domain::{Decimal, Feed, InstrumentKind, Observation, Payload};
use crossmarket_venues::{self as venues, Ask, Frame, Parsed, Response, UnresolvedReason, VenueError};
use serde_json::Value;

use crate::{question, shared_data};

/// The recorded file, or `None` when recordings are missing.
fn recorded(name: &str) -> Option<Bytes> {
    let path = shared_data()?.join(name);
    Some(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into())
}

fn parse(venue: &str, feed: Feed, name: &str, body: Bytes) -> Result<Parsed, VenueError> {
    let venue = venues::find(venue).expect("a venue of the registry");
    venue.parse(&question::of_file(venue, feed, name), &Response { status: 200, body, ..Response::default() })
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("recorded JSON")
}

/// The list of rows, whatever its wrapper.
fn rows(body: &Value) -> Vec<Value> {
    match body {
        Value::Array(rows) => rows.clone(),
        _ => match body.pointer("/result/list").or_else(|| body.get("data")) {
            Some(Value::Array(rows)) => rows.clone(),
            Some(row) => vec![row.clone()],
            None => vec![body.clone()],
        },
    }
}

/// The text that a decimal must print as, `None` where the row has none.
fn text(row: &Value, key: &str) -> Option<String> {
    match row.get(key)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn millis(row: &Value, key: &str) -> i64 {
    text(row, key).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{key} in {row}"))
}

/// Which key of a venue's row is which field of a ticker; an empty one is a field that it does not send.
struct Keys {
    symbol: &'static str,
    time: &'static str,
    fields: [&'static str; 7],
}

const BINANCE: Keys = Keys {
    symbol: "symbol",
    time: "closeTime",
    fields: ["lastPrice", "bidPrice", "askPrice", "highPrice", "lowPrice", "volume", "quoteVolume"],
};
const BINANCE_STREAM: Keys = Keys { symbol: "s", time: "E", fields: ["c", "b", "a", "h", "l", "v", "q"] };
const BYBIT: Keys = Keys {
    symbol: "symbol",
    time: "",
    fields: ["lastPrice", "bid1Price", "ask1Price", "highPrice24h", "lowPrice24h", "volume24h", "turnover24h"],
};
const BYBIT_INVERSE: Keys = Keys {
    symbol: "symbol",
    time: "",
    fields: ["lastPrice", "bid1Price", "ask1Price", "highPrice24h", "lowPrice24h", "turnover24h", "volume24h"],
};
const BYBIT_OPTION: Keys = Keys {
    symbol: "symbol",
    time: "",
    fields: ["lastPrice", "bidPrice", "askPrice", "highPrice24h", "lowPrice24h", "volume24h", "turnover24h"],
};
const OKX_SPOT: Keys = Keys {
    symbol: "instId",
    time: "ts",
    fields: ["last", "bidPx", "askPx", "high24h", "low24h", "vol24h", "volCcy24h"],
};
const OKX_DERIVATIVE: Keys =
    Keys { symbol: "instId", time: "ts", fields: ["last", "bidPx", "askPx", "high24h", "low24h", "volCcy24h", ""] };

fn ticker(observation: &Observation) -> &Ticker {
    match &observation.payload {
        Payload::Ticker(ticker) => ticker,
        other => panic!("not a ticker: {other:?}"),
    }
}

fn assert_ticker(observation: &Observation, row: &Value, keys: &Keys) {
    let ticker = ticker(observation);
    let decoded = [
        ticker.last_price,
        ticker.bid_price,
        ticker.ask_price,
        ticker.high_24h,
        ticker.low_24h,
        ticker.base_volume_24h,
        ticker.quote_volume_24h,
    ];
    assert_eq!(Some(observation.instrument.symbol.to_string()), text(row, keys.symbol), "{row}");
    for (key, decoded) in keys.fields.iter().zip(decoded) {
        assert_eq!(decoded.map(|decimal| decimal.to_string()), text(row, key), "{key} of {row}");
    }
    if row.get(keys.time).is_some() {
        assert_eq!(observation.event_time.map(|time| time.as_millis()), Some(millis(row, keys.time)), "{row}");
    }
}

/// Every row of the file gives one observation with the row's values.
fn check_tickers(venue: &str, name: &str, keys: &Keys, kind: InstrumentKind) {
    let Some(body) = recorded(name) else { return };
    let rows = rows(&json(&body));
    let parsed = parse(venue, Feed::Tickers, name, body).expect(name);
    assert_eq!((parsed.observations.len(), parsed.unresolved.len()), (rows.len(), 0), "{name}");
    for (observation, row) in parsed.observations.iter().zip(&rows) {
        assert_ticker(observation, row, keys);
        assert_eq!(observation.instrument.kind, kind, "{name}");
        let joined = format!("{}{}", observation.instrument.base, observation.instrument.quote);
        let symbol: String = observation.instrument.symbol.chars().filter(|c| !matches!(c, '-' | '_')).collect();
        assert!(symbol.starts_with(&joined), "{symbol} is not {joined}");
    }
}

#[test]
fn tickers() {
    for name in
        ["spot_ticker24hr_ETHBTC_2021-01-27", "spot_ticker24hr_all_trimmed_2024-11-01", "spot_bookTicker_BTCUSDT"]
    {
        check_tickers("binance", &format!("binance/rest/{name}.json"), &BINANCE, InstrumentKind::Spot);
    }
    let price = Keys { fields: ["price", "", "", "", "", "", ""], ..BINANCE };
    check_tickers("binance", "binance/rest/spot_ticker_price_BTCUSDT.json", &price, InstrumentKind::Spot);
    let linear = InstrumentKind::PerpetualLinear;
    check_tickers("binance-usdm", "binance/rest/fapi_ticker24hr_BTCUSDT_2021-08-27.json", &BINANCE, linear);
    check_tickers("mexc", "mexc/rest/ticker24hr_nulls.json", &BINANCE, InstrumentKind::Spot);
    check_tickers("bybit", "bybit/rest/tickers_spot.json", &BYBIT, InstrumentKind::Spot);
    let inverse = InstrumentKind::PerpetualInverse;
    check_tickers("bybit", "bybit/rest/tickers_linear_inverse.json", &BYBIT_INVERSE, inverse);
}

#[test]
fn mark_and_index_prices_are_not_last_prices() {
    for (venue, name) in [
        ("binance-usdm", "binance/rest/fapi_premiumIndex_all_trimmed_2020-10-16.json"),
        ("okx", "okx/rest/mark_price_2025-04.json"),
        ("okx", "okx/rest/index_tickers_2025-05.json"),
    ] {
        let Some(body) = recorded(name) else { return };
        let rows = rows(&json(&body));
        let parsed = parse(venue, Feed::Tickers, name, body).expect(name);
        assert_eq!((parsed.observations.len(), parsed.unresolved.len()), (0, rows.len()), "{name}");
        assert!(parsed.unresolved.iter().all(|entry| entry.reason == UnresolvedReason::NoValue), "{name}");
    }
}

#[test]
fn candles() {
    let name = "binance/rest/spot_klines_1d_BTCUSDT_2020-09_2021-02.json";
    let Some(body) = recorded(name) else { return };
    let rows = rows(&json(&body));
    let parsed = parse("binance", Feed::Candles, name, body).expect(name);
    assert_eq!((parsed.observations.len(), parsed.unresolved.len()), (rows.len(), 0));
    for (observation, row) in parsed.observations.iter().zip(&rows) {
        let Payload::Candle(interval, candle) = &observation.payload else { panic!("not a candle") };
        assert_eq!((interval.as_str(), observation.instrument.symbol.as_str()), ("1d", "BTCUSDT"));
        assert_eq!(Some(candle.start.as_millis()), row[0].as_i64());
        let decoded = [Some(candle.open), Some(candle.high), Some(candle.low), Some(candle.close), candle.base_volume];
        for (index, decoded) in decoded.into_iter().enumerate() {
            assert_eq!(decoded.map(|value| value.to_string()).as_deref(), row[index + 1].as_str(), "{row}");
        }
        assert_eq!(candle.quote_volume.map(|value| value.to_string()).as_deref(), row[7].as_str(), "{row}");
    }
}

fn long_short(observation: &Observation) -> &LongShort {
    match &observation.payload {
        Payload::LongShort(value) => value,
        other => panic!("not a long/short ratio: {other:?}"),
    }
}

fn number(row: &Value, key: &str) -> f64 {
    text(row, key).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{key} in {row}"))
}

#[test]
fn long_short_ratios() {
    for (venue, name, kind, period, long, short, time) in [
        (
            "binance-usdm",
            "binance/rest/futuresdata_globalLongShortAccountRatio_BTCUSDT_5m.json",
            "GLOBAL_ACCOUNT",
            Some("5m"),
            "longAccount",
            "shortAccount",
            "timestamp",
        ),
        (
            "binance-usdm",
            "binance/rest/futuresdata_topLongShortAccountRatio_BTCUSDT_5m.json",
            "TOP_TRADER_ACCOUNT",
            Some("5m"),
            "longAccount",
            "shortAccount",
            "timestamp",
        ),
        (
            "binance-usdm",
            "binance/rest/futuresdata_topLongShortPositionRatio_BTCUSDT_5m.json",
            "TOP_TRADER_POSITION",
            Some("5m"),
            "longAccount",
            "shortAccount",
            "timestamp",
        ),
        (
            "binance-usdm",
            "binance/rest/futuresdata_takerlongshortRatio_BTCUSDT_5m.json",
            "TAKER_VOLUME",
            Some("5m"),
            "buyVol",
            "sellVol",
            "timestamp",
        ),
        ("bybit", "bybit/rest/account_ratio_doc.json", "GLOBAL_ACCOUNT", None, "buyRatio", "sellRatio", "timestamp"),
    ] {
        let Some(body) = recorded(name) else { return };
        let rows = rows(&json(&body));
        let parsed = parse(venue, Feed::LongShortRatios, name, body).expect(name);
        assert_eq!((parsed.observations.len(), parsed.unresolved.len()), (rows.len(), 0), "{name}");
        for (observation, row) in parsed.observations.iter().zip(&rows) {
            let value = long_short(observation);
            let (long, short) = (number(row, long), number(row, short));
            assert_eq!((value.kind.as_str(), value.period.map(|period| period.as_str())), (kind, period), "{name}");
            assert!((value.ratio - long / short).abs() < 1e-9, "{row}");
            assert!((value.long_share - long / (long + short)).abs() < 1e-9, "{row}");
            assert!((value.long_share + value.short_share - 1.0).abs() < 1e-12, "{row}");
            assert_eq!(observation.event_time.map(|time| time.as_millis()), Some(millis(row, time)));
            assert_eq!(observation.instrument.base, "BTC", "{name}");
        }
    }
}

#[test]
fn okx_statistics() {
    for (name, kind) in [
        ("okx/rest/rubik_long_short_account_ratio_ccy.json", "GLOBAL_ACCOUNT"),
        ("okx/rest/rubik_taker_volume.json", "TAKER_VOLUME"),
    ] {
        let Some(body) = recorded(name) else { return };
        let rows = rows(&json(&body));
        let okx = venues::find("okx").expect("a venue of the registry");
        let asked = okx.listing("BTC", "USDT").expect("a market");
        let ask = Ask { instruments: vec![asked], ..question::of_file(okx, Feed::LongShortRatios, name) };
        let response = Response { status: 200, body, ..Response::default() };
        let parsed = okx.parse(&ask, &response).expect(name);
        assert_eq!((parsed.observations.len(), parsed.unresolved.len()), (rows.len(), 0), "{name}");
        for (observation, row) in parsed.observations.iter().zip(&rows) {
            let value = |index: usize| row[index].as_str().and_then(|text| text.parse::<f64>().ok());
            let first = value(1).expect("a number");
            // Taker volumes are sold, then bought.
            let ratio = value(2).map_or(first, |bought| bought / first);
            let decoded = long_short(observation);
            assert_eq!(decoded.kind.as_str(), kind);
            assert!((decoded.ratio - ratio).abs() < 1e-9 && (decoded.long_share - ratio / (1.0 + ratio)).abs() < 1e-9);
            assert_eq!(observation.event_time.map(|time| time.as_millis() as f64), value(0));
        }
    }
}

fn open_interest(observation: &Observation) -> &OpenInterest {
    match &observation.payload {
        Payload::OpenInterest(value) => value,
        other => panic!("not open interest: {other:?}"),
    }
}

#[test]
fn open_interests() {
    for (venue, name, amount, usd, time) in [
        (
            "binance-usdm",
            "binance/rest/futuresdata_openInterestHist_LTCUSDT_1d.json",
            "sumOpenInterest",
            "sumOpenInterestValue",
            "timestamp",
        ),
        ("okx", "okx/rest/open_interest.json", "oiCcy", "oiUsd", "ts"),
        ("bybit", "bybit/rest/tickers_linear_inverse.json", "openInterest", "openInterest", "time"),
    ] {
        let Some(body) = recorded(name) else { return };
        let whole = json(&body);
        let rows = rows(&whole);
        let parsed = parse(venue, Feed::OpenInterest, name, body).expect(name);
        assert_eq!((parsed.observations.len(), parsed.unresolved.len()), (rows.len(), 0), "{name}");
        for (observation, row) in parsed.observations.iter().zip(&rows) {
            let value = open_interest(observation);
            assert_eq!(Some(value.open_interest.to_string()), text(row, amount));
            assert_eq!(value.open_interest_usd.map(|usd| usd.to_string()), text(row, usd));
            let time = if row.get(time).is_some() { millis(row, time) } else { millis(&whole, time) };
            assert_eq!(observation.event_time.map(|time| time.as_millis()), Some(time));
        }
    }
}

#[test]
fn errors() {
    for (venue, name) in [
        ("binance", "binance/rest/error_451_geo_block.json"),
        ("binance-usdm", "binance/rest/fapi_error_invalid_symbol.json"),
    ] {
        let Some(body) = recorded(name) else { return };
        // A recorded body does not say its status: as an error of 200, 400 and 451 it is the same refusal.
        for status in [200, 400, 451] {
            for feed in [Feed::Tickers, Feed::Candles] {
                let venue = venues::find(venue).expect("a venue of the registry");
                let response = Response { status, body: body.clone(), ..Response::default() };
                assert!(matches!(venue.parse(&Ask::all(feed), &response), Err(VenueError::Rejected(_))), "{name}");
            }
        }
    }
}

/// The frames of a recorded stream; a message that stands as a string is the frame itself.
fn frames(name: &str) -> Option<Vec<Value>> {
    let body = recorded(name)?;
    let unwrapped = |value: Value| match value.get("msg") {
        Some(Value::String(text)) => serde_json::from_str(text).expect("a frame"),
        Some(message) => message.clone(),
        None => value,
    };
    // One frame a line, or one frame in the whole file.
    if let Ok(whole) = serde_json::from_slice(&body) {
        return Some(vec![unwrapped(whole)]);
    }
    let lines = std::str::from_utf8(&body).expect("text").lines().filter(|line| !line.trim().is_empty());
    Some(lines.map(|line| unwrapped(serde_json::from_str(line).expect("a frame"))).collect())
}

/// Every ticker frame decodes to its own values; returns how many frames of each sort there were.
fn check_frames(
    venue: &str,
    name: &str,
    keys: impl Fn(&Value, &Value) -> Option<Keys>,
) -> BTreeMap<&'static str, usize> {
    let mut sorts = BTreeMap::new();
    let stream = venues::find(venue).and_then(|venue| venue.stream()).expect("a stream");
    for frame in frames(name).unwrap_or_default() {
        let decoded = stream.parse_frame(frame.to_string().as_bytes()).expect("a frame that can be read");
        let data = match frame.get("data").unwrap_or(&frame) {
            Value::Array(rows) => rows.clone(),
            row => vec![row.clone()],
        };
        let sort = match decoded {
            Frame::Data(parsed) => {
                assert_eq!(parsed.unresolved, [], "{frame}");
                let told: Vec<_> = data.iter().filter_map(|row| Some((row, keys(&frame, row)?))).collect();
                assert_eq!(parsed.observations.len(), told.len(), "{frame}");
                for (observation, (row, keys)) in parsed.observations.iter().zip(&told) {
                    assert_ticker(observation, row, keys);
                }
                "data"
            }
            Frame::Subscribed => "subscribed",
            Frame::Ignored => "ignored",
            other => panic!("{other:?} from {frame}"),
        };
        if sort != "data" {
            assert!(data.iter().all(|row| keys(&frame, row).is_none()), "{frame} was {sort}");
        }
        *sorts.entry(sort).or_insert(0) += 1;
    }
    sorts
}

#[test]
fn frames_of_binance() {
    let keys = |_: &Value, row: &Value| {
        let is_ticker = row.get("e").is_none_or(|name| name == "24hrTicker") && row.get("s").is_some();
        is_ticker.then_some(BINANCE_STREAM)
    };
    for venue in ["binance", "binance-usdm"] {
        for name in ["binance/ws/spot_bookTicker_2021-10-12.jsonl", "binance/ws/recorded_misc_a.jsonl"] {
            let sorts = check_frames(venue, name, keys);
            assert!(sorts.is_empty() || sorts.contains_key("data"), "{name}: {sorts:?}");
        }
    }
}

#[test]
fn frames_of_bybit() {
    let keys = |frame: &Value, row: &Value| {
        let symbol = row.get("symbol")?.as_str()?.to_owned();
        let spelled = |keys: &Keys| keys.fields.iter().any(|key| text(row, key).is_some());
        let keys = match symbol.as_str() {
            dated if dated.contains('-') => BYBIT_OPTION,
            inverse if inverse.ends_with("USD") => BYBIT_INVERSE,
            _ => BYBIT,
        };
        (frame.get("topic").is_some() && spelled(&keys)).then_some(keys)
    };
    for name in ["bybit/ws/v5_ticker_linear_2023-01.json", "bybit/ws/v5_tickers_doc_mix.jsonl"] {
        let sorts = check_frames("bybit", name, keys);
        assert!(sorts.is_empty() || sorts.contains_key("data"), "{name}: {sorts:?}");
    }
}

#[test]
fn frames_of_okx() {
    let keys = |frame: &Value, row: &Value| {
        let channel = frame.pointer("/arg/channel").and_then(Value::as_str)?;
        let symbol = row.get("instId")?.as_str()?;
        let keys = if symbol.matches('-').count() == 1 { OKX_SPOT } else { OKX_DERIVATIVE };
        (channel == "tickers").then_some(keys)
    };
    for name in ["okx/ws/v5_tickers_2022-05-13_a.jsonl", "okx/ws/v5_tickers_doc_shape.json"] {
        let sorts = check_frames("okx", name, keys);
        assert!(sorts.is_empty() || sorts.contains_key("data"), "{name}: {sorts:?}");
    }
    check_frames("okx", "okx/ws/recorded_misc_a.jsonl", keys);
}

#[test]
fn the_second_reading_compares_digits() {
    // The comparison above is by printed digits, so it would notice a lost zero.
    let printed = |text: &str| Decimal::parse(text).expect("a number").to_string();
    assert_ne!(printed("1.50"), printed("1.5"));
}
