//! Recorded answers and frames of Coinbase, Kraken, KuCoin, Gate, Bitget and HTX, compared figure by figure with another JSON
//! reader's view of the same file. The files lie outside the repository; without them these tests say so and pass.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;

use crate::{question, shared_data};
use crossmarket_domain::observation::{LongShort, Ticker};
use crossmarket_domain::{Decimal, Feed, Instrument, LongShortKind, Observation, Payload, Timestamp};
use crossmarket_venues::{Ask, Frame, Parsed, Response, Venue, find};

fn shared(venue: &str, part: &str) -> Vec<PathBuf> {
    let Some(root) = shared_data() else { return Vec::new() };
    let files = std::fs::read_dir(root.join(venue).join(part)).expect("recordings of the venue");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a directory entry").path()).collect();
    files.sort();
    files
}

fn venue(id: &str) -> &'static dyn Venue {
    find(id).expect("a registered venue")
}

fn name(file: &Path) -> String {
    file.file_name().expect("a file").to_string_lossy().into_owned()
}

fn decode(venue: &dyn Venue, feed: Feed, asked: &[Instrument], file: &Path) -> (Parsed, Value) {
    let body = std::fs::read(file).expect("a readable file");
    let json = serde_json::from_slice(&body).expect("a JSON body");
    let response = Response { status: 200, body: Bytes::from(body), ..Response::default() };
    let mut ask = question::of_file(venue, feed, &name(file));
    if !asked.is_empty() {
        ask = Ask { instruments: asked.to_vec(), ..ask };
    }
    let parsed = venue.parse(&ask, &response).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    (parsed, json)
}

/// The messages of a capture, one on a line, or of a file that is one frame.
fn frames(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).expect("a readable file");
    if file.extension().is_some_and(|extension| extension == "jsonl") {
        let message = |line| {
            let mut line: Value = serde_json::from_str(line).expect("a JSON line");
            line["msg"].take()
        };
        return text.lines().map(message).collect();
    }
    vec![serde_json::from_str(&text).expect("a JSON frame")]
}

/// The text of `msg` in each line, cut out without reading its numbers.
fn frame_texts(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("a readable file");
    if file.extension().is_some_and(|extension| extension == "jsonl") {
        let message = |line: &str| {
            let start = line.find("\"msg\":").expect("a message") + "\"msg\":".len();
            line[start..line.rfind('}').expect("the line's end")].trim().to_owned()
        };
        return text.lines().map(message).collect();
    }
    vec![text]
}

/// A JSON value as the exact text of a number, or `None` when it means "not given".
fn given(value: Option<&Value>, is_price: bool) -> Option<Value> {
    let value = value?;
    let number = match value {
        Value::Null => return None,
        Value::String(text) if text.is_empty() => return None,
        Value::String(text) => text.parse::<f64>().expect("a number in a string"),
        other => other.as_f64().expect("a number"),
    };
    (!is_price || number != 0.0).then(|| value.clone())
}

fn same(observed: Option<Decimal>, value: Option<&Value>, is_price: bool, what: &str) {
    match (observed, given(value, is_price)) {
        (None, None) => {}
        (Some(decimal), Some(Value::String(text))) => assert_eq!(decimal.to_string(), text, "{what}"),
        (Some(decimal), Some(number)) => {
            let number = number.as_f64().expect("a number");
            assert!((decimal.to_f64() - number).abs() <= number.abs() * 1e-14, "{what}: {decimal} is not {number}");
        }
        (observed, value) => panic!("{what}: {observed:?} where the file has {value:?}"),
    }
}

/// Where a ticker's figures stand in an entry, in the order of [`Ticker`]'s fields; empty where the venue has none.
type Columns = [&'static str; 7];

fn compare_ticker(observation: &Observation, symbol: &str, entry: &Value, columns: Columns, what: &str) {
    assert_eq!(observation.instrument.symbol, symbol, "{what}");
    let Payload::Ticker(ticker) = &observation.payload else { panic!("{what}: no ticker") };
    let Ticker { last_price, bid_price, ask_price, high_24h, low_24h, base_volume_24h, quote_volume_24h } =
        ticker.clone();
    let observed = [last_price, bid_price, ask_price, high_24h, low_24h, base_volume_24h, quote_volume_24h];
    for (index, (observed, pointer)) in observed.into_iter().zip(columns).enumerate() {
        let value = if pointer.is_empty() { None } else { entry.pointer(pointer) };
        same(observed, value, index < 5, &format!("{what}: {symbol} {pointer}"));
    }
}

fn compare_time(observation: &Observation, value: Option<&Value>, micros_per_unit: i64, what: &str) {
    let expected = value.map(|value| match value {
        Value::String(text) => match text.parse::<i64>() {
            Ok(number) => Timestamp::from_micros(number * micros_per_unit),
            Err(_) => Timestamp::parse(text).expect("a time"),
        },
        number => Timestamp::from_micros(number.as_i64().expect("a whole number") * micros_per_unit),
    });
    assert_eq!(observation.event_time, expected, "{what}");
}

fn compare_share(observation: &Observation, kind: LongShortKind, long: f64, short: f64, what: &str) {
    let Payload::LongShort(LongShort { kind: observed, long_share, short_share, ratio, .. }) = observation.payload
    else {
        panic!("{what}: no shares")
    };
    assert_eq!(observed, kind, "{what}");
    assert!((long_share - long / (long + short)).abs() < 1e-9, "{what}");
    assert!((short_share - short / (long + short)).abs() < 1e-9, "{what}");
    assert!((ratio - long / short).abs() < 1e-9 * ratio, "{what}");
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().expect("a number or text").parse().expect("a number"))
}

fn list<'v>(value: &'v Value, pointer: &str) -> &'v Vec<Value> {
    value.pointer(pointer).and_then(Value::as_array).expect("a list")
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no text at {pointer} in {value}"))
}

fn feed_of(file: &Path) -> Feed {
    let name = name(file);
    match &name {
        name if name.contains("candles") => Feed::Candles,
        name if ["long_short", "contract_stats", "elite"].iter().any(|part| name.contains(part)) => {
            Feed::LongShortRatios
        }
        _ => Feed::Tickers,
    }
}

fn complete(parsed: &Parsed, count: usize, what: &str) {
    assert!(parsed.unresolved.is_empty(), "{what}: {:?}", parsed.unresolved);
    assert_eq!(parsed.observations.len(), count, "{what}");
}

/// Decodes every frame of a venue and hands each with its other reading and what it says to `compare`, which returns how many
/// observations it accounted for. Frames that hold no data must not be counted as data.
fn each_frame(id: &str, mut compare: impl FnMut(&Value, &[Observation], &str) -> usize) {
    let stream = venue(id).stream().expect("a stream");
    for file in shared(id, "ws") {
        for (index, (json, frame)) in frames(&file).into_iter().zip(frame_texts(&file)).enumerate() {
            let what = format!("{id} {} frame {index}", name(&file));
            // Kraken's first protocol, which nothing speaks any more.
            if json.is_array() {
                continue;
            }
            let parsed = match stream.parse_frame(frame.as_bytes()) {
                Ok(Frame::Data(parsed)) => parsed,
                Ok(_) => Parsed::default(),
                Err(error) => panic!("{what}: {error}"),
            };
            assert!(parsed.unresolved.is_empty(), "{what}: {:?}", parsed.unresolved);
            assert_eq!(compare(&json, &parsed.observations, &what), parsed.observations.len(), "{what}");
        }
    }
}

#[test]
fn coinbase_answers() {
    const TICKER: Columns = ["/price", "/bid", "/ask", "", "", "/volume", ""];
    let venue = venue("coinbase");
    for file in shared("coinbase", "rest") {
        let what = name(&file);
        let product = what.split('_').find(|word| venue.instrument(word).is_some()).expect("a product in the name");
        let (parsed, json) = decode(venue, feed_of(&file), &[], &file);
        if feed_of(&file) == Feed::Candles {
            complete(&parsed, json.as_array().expect("rows").len(), &what);
            for (observation, row) in parsed.observations.iter().zip(json.as_array().expect("rows")) {
                let Payload::Candle(interval, candle) = &observation.payload else { panic!("{what}: no candle") };
                assert!(what.contains(interval.as_str()), "{what}");
                assert_eq!(candle.start, Timestamp::from_seconds(row[0].as_i64().expect("seconds")), "{what}");
                let observed = [candle.low, candle.high, candle.open, candle.close].map(Some);
                for (observed, column) in observed.into_iter().chain([candle.base_volume]).zip(1..) {
                    same(observed, row.get(column), false, &what);
                }
            }
        } else {
            complete(&parsed, 1, &what);
            compare_ticker(&parsed.observations[0], product, &json, TICKER, &what);
            compare_time(&parsed.observations[0], json.get("time"), 1, &what);
        }
    }
}

#[test]
fn coinbase_frames() {
    const EXCHANGE: Columns = ["/price", "/best_bid", "/best_ask", "/high_24h", "/low_24h", "/volume_24h", ""];
    const ADVANCED: Columns = ["/price", "/best_bid", "/best_ask", "/high_24_h", "/low_24_h", "/volume_24_h", ""];
    each_frame("coinbase", |json, observations, what| {
        if json["type"] == "ticker" {
            compare_ticker(&observations[0], text(json, "/product_id"), json, EXCHANGE, what);
            compare_time(&observations[0], json.get("time"), 1, what);
            return 1;
        }
        let events = json.get("events").and_then(Value::as_array).into_iter().flatten();
        let tickers: Vec<&Value> = events.flat_map(|event| list(event, "/tickers")).collect();
        for (observation, ticker) in observations.iter().zip(&tickers) {
            compare_ticker(observation, text(ticker, "/product_id"), ticker, ADVANCED, what);
            compare_time(observation, json.get("timestamp"), 1, what);
        }
        tickers.len()
    });
}

#[test]
fn kraken_answers() {
    // A lone `o` is today's open and must not appear.
    const TICKER: Columns = ["/c/0", "/b/0", "/a/0", "/h/1", "/l/1", "/v/1", ""];
    for file in shared("kraken", "rest") {
        let what = name(&file);
        let (parsed, json) = decode(venue("kraken"), feed_of(&file), &[], &file);
        let pairs = json["result"].as_object().expect("pairs");
        complete(&parsed, pairs.len(), &what);
        for observation in &parsed.observations {
            let symbol = observation.instrument.symbol.as_str();
            compare_ticker(observation, symbol, &pairs[symbol], TICKER, &what);
            assert!(!observation.instrument.base.contains("XBT"), "{what}");
            assert_eq!(observation.event_time, None, "{what}");
        }
    }
}

#[test]
fn kraken_frames() {
    const V2: Columns = ["/last", "/bid", "/ask", "/high", "/low", "/volume", ""];
    each_frame("kraken", |json, observations, what| {
        if json["channel"] != "ticker" {
            return 0;
        }
        for (observation, entry) in observations.iter().zip(list(json, "/data")) {
            compare_ticker(observation, text(entry, "/symbol"), entry, V2, what);
            compare_time(observation, entry.get("timestamp"), 1, what);
        }
        list(json, "/data").len()
    });
}

#[test]
fn kucoin_answers() {
    const TICKER: Columns = ["/last", "/buy", "/sell", "/high", "/low", "/vol", "/volValue"];
    for file in shared("kucoin", "rest") {
        let what = name(&file);
        let (parsed, json) = decode(venue("kucoin"), feed_of(&file), &[], &file);
        complete(&parsed, list(&json, "/data/ticker").len(), &what);
        for (observation, entry) in parsed.observations.iter().zip(list(&json, "/data/ticker")) {
            compare_ticker(observation, text(entry, "/symbol"), entry, TICKER, &what);
            compare_time(observation, json.pointer("/data/time"), 1_000, &what);
        }
    }
}

const GATE_SPOT: Columns =
    ["/last", "/highest_bid", "/lowest_ask", "/high_24h", "/low_24h", "/base_volume", "/quote_volume"];
const GATE_RATIOS: [(&str, LongShortKind); 4] = [
    ("lsr_account", LongShortKind::GlobalAccount),
    ("top_lsr_account", LongShortKind::TopTraderAccount),
    ("top_lsr_size", LongShortKind::TopTraderPosition),
    ("lsr_taker", LongShortKind::TakerVolume),
];

fn compare_gate_stats(observations: &[Observation], rows: &[Value], what: &str) -> usize {
    let expected: Vec<_> = rows
        .iter()
        .flat_map(|row| GATE_RATIOS.iter().map(move |(key, kind)| (row, number(&row[key]), *kind)))
        .filter(|(_, ratio, _)| *ratio > 0.0)
        .collect();
    for (observation, (row, ratio, kind)) in observations.iter().zip(&expected) {
        compare_share(observation, *kind, *ratio, 1.0, what);
        compare_time(observation, row.get("time"), 1_000_000, what);
    }
    expected.len()
}

#[test]
fn gate_answers() {
    const FUTURES: Columns =
        ["/last", "/highest_bid", "/lowest_ask", "/high_24h", "/low_24h", "/volume_24h_base", "/volume_24h_quote"];
    let venue = venue("gate");
    for file in shared("gate", "rest") {
        let what = name(&file);
        let rows = |json: &Value| json.as_array().expect("rows").clone();
        if feed_of(&file) == Feed::LongShortRatios {
            let asked = [venue.instrument("BTC_USDT").expect("a pair")];
            let (parsed, json) = decode(venue, Feed::LongShortRatios, &asked, &file);
            complete(&parsed, compare_gate_stats(&parsed.observations, &rows(&json), &what), &what);
            let (parsed, json) = decode(venue, Feed::OpenInterest, &asked, &file);
            complete(&parsed, rows(&json).len(), &what);
            for (observation, row) in parsed.observations.iter().zip(rows(&json)) {
                let Payload::OpenInterest(open) = &observation.payload else { panic!("{what}: no open interest") };
                same(Some(open.open_interest), row.get("open_interest"), false, &what);
                same(open.open_interest_usd, row.get("open_interest_usd"), false, &what);
            }
            continue;
        }
        let (parsed, json) = decode(venue, Feed::Tickers, &[], &file);
        complete(&parsed, rows(&json).len(), &what);
        for (observation, entry) in parsed.observations.iter().zip(rows(&json)) {
            match entry.get("contract") {
                Some(contract) => {
                    compare_ticker(observation, contract.as_str().expect("a contract"), &entry, FUTURES, &what);
                }
                None => compare_ticker(observation, text(&entry, "/currency_pair"), &entry, GATE_SPOT, &what),
            }
        }
    }
}

#[test]
fn gate_frames() {
    const BOOK: Columns = ["", "/b", "/a", "", "", "", ""];
    each_frame("gate", |json, observations, what| match json["channel"].as_str() {
        Some("spot.tickers") => {
            compare_ticker(&observations[0], text(json, "/result/currency_pair"), &json["result"], GATE_SPOT, what);
            match json.get("time_ms") {
                Some(time) => compare_time(&observations[0], Some(time), 1_000, what),
                None => compare_time(&observations[0], json.get("time"), 1_000_000, what),
            }
            1
        }
        Some("spot.book_ticker") => {
            compare_ticker(&observations[0], text(json, "/result/s"), &json["result"], BOOK, what);
            compare_time(&observations[0], json.pointer("/result/t"), 1_000, what);
            1
        }
        Some("futures.contract_stats") => compare_gate_stats(observations, std::slice::from_ref(&json["result"]), what),
        other => panic!("{what}: {other:?} is not compared"),
    });
}

#[test]
fn bitget_answers() {
    const V2_SPOT: Columns = ["/lastPr", "/bidPr", "/askPr", "/high24h", "/low24h", "/baseVolume", "/quoteVolume"];
    const V3: Columns =
        ["/lastPrice", "/bid1Price", "/ask1Price", "/highPrice24h", "/lowPrice24h", "/volume24h", "/turnover24h"];
    let venue = venue("bitget");
    for file in shared("bitget", "rest") {
        let what = name(&file);
        if feed_of(&file) == Feed::LongShortRatios {
            let asked = [venue.instrument("BTCUSDT").expect("a pair")];
            let (parsed, json) = decode(venue, Feed::LongShortRatios, &asked, &file);
            complete(&parsed, list(&json, "/data").len(), &what);
            for (observation, row) in parsed.observations.iter().zip(list(&json, "/data")) {
                let (long, short) = (number(&row["longAccountRatio"]), number(&row["shortAccountRatio"]));
                compare_share(observation, LongShortKind::GlobalAccount, long, short, &what);
                compare_time(observation, row.get("ts"), 1_000, &what);
            }
            continue;
        }
        let (parsed, json) = decode(venue, Feed::Tickers, &[], &file);
        complete(&parsed, list(&json, "/data").len(), &what);
        let columns = if what.starts_with("v3") { V3 } else { V2_SPOT };
        for (observation, entry) in parsed.observations.iter().zip(list(&json, "/data")) {
            compare_ticker(observation, text(entry, "/symbol"), entry, columns, &what);
            compare_time(observation, entry.get("ts"), 1_000, &what);
        }
        if what.starts_with("v3_futures") {
            let (parsed, json) = decode(venue, Feed::OpenInterest, &[], &file);
            complete(&parsed, list(&json, "/data").len(), &what);
            for (observation, entry) in parsed.observations.iter().zip(list(&json, "/data")) {
                let Payload::OpenInterest(open) = &observation.payload else { panic!("{what}: no open interest") };
                same(Some(open.open_interest), entry.get("openInterest"), false, &what);
            }
        }
    }
}

#[test]
fn bitget_frames() {
    const FIRST: Columns = ["/last", "/bestBid", "/bestAsk", "/high24h", "/low24h", "/baseVolume", "/quoteVolume"];
    const V2: Columns = ["/lastPr", "/bidPr", "/askPr", "/high24h", "/low24h", "/baseVolume", "/quoteVolume"];
    each_frame("bitget", |json, observations, what| {
        for (observation, entry) in observations.iter().zip(list(json, "/data")) {
            let columns = if entry.get("lastPr").is_some() { V2 } else { FIRST };
            compare_ticker(observation, text(entry, "/instId"), entry, columns, what);
            compare_time(observation, entry.get("ts"), 1_000, what);
        }
        list(json, "/data").len()
    });
}

#[test]
fn htx_answers() {
    const TICKER: Columns = ["/close", "/bid", "/ask", "/high", "/low", "/amount", "/vol"];
    for file in shared("htx", "rest") {
        let what = name(&file);
        let (parsed, json) = decode(venue("htx"), feed_of(&file), &[], &file);
        if feed_of(&file) == Feed::Tickers {
            complete(&parsed, list(&json, "/data").len(), &what);
            for (observation, entry) in parsed.observations.iter().zip(list(&json, "/data")) {
                compare_ticker(observation, text(entry, "/symbol"), entry, TICKER, &what);
                compare_time(observation, json.get("ts"), 1_000, &what);
            }
            continue;
        }
        complete(&parsed, list(&json, "/data/list").len(), &what);
        let kind = if what.contains("elite_position") {
            LongShortKind::TopTraderPosition
        } else {
            LongShortKind::TopTraderAccount
        };
        let symbol = json.pointer("/data/contract_code").or(json.pointer("/data/symbol")).and_then(Value::as_str);
        for (observation, row) in parsed.observations.iter().zip(list(&json, "/data/list")) {
            assert_eq!(Some(observation.instrument.symbol.as_str()), symbol, "{what}");
            compare_share(observation, kind, number(&row["buy_ratio"]), number(&row["sell_ratio"]), &what);
            compare_time(observation, row.get("ts"), 1_000, &what);
        }
    }
}
