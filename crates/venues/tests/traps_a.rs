//! What Binance, Bybit, OKX and MEXC can send besides the ordinary: invented bodies, one trap each, and damaged ones.

use std::time::Duration;

use bytes::Bytes;
use crossmarket_domain::observation::{OpenInterestUnit, Ticker};
use crossmarket_domain::{
    CandleInterval, Decimal, Feed, Instrument, InstrumentKind, LongShortKind, Observation, Payload, Period, Timestamp,
};
use crossmarket_venues::{
    self as venues, Ask, AskPart, Frame, Parsed, RequestOptions, Response, UnresolvedReason, Venue, VenueError,
};
use proptest::prelude::*;

#[path = "support/question.rs"]
#[allow(dead_code, reason = "recorded files have their questions in their names")]
mod question;

use question::question;

fn venue(id: &str) -> &'static dyn Venue {
    venues::find(id).expect("a venue of the registry")
}

fn answer(status: u16, body: &str) -> Response {
    Response { status, body: Bytes::copy_from_slice(body.as_bytes()), ..Response::default() }
}

fn parse(id: &str, feed: Feed, words: &str, body: &str) -> Parsed {
    venue(id).parse(&question(venue(id), feed, words), &answer(200, body)).expect(body)
}

fn error(id: &str, feed: Feed, status: u16, body: &str) -> VenueError {
    venue(id).parse(&Ask::all(feed), &answer(status, body)).expect_err(body)
}

fn frame(id: &str, text: &str) -> Frame {
    venue(id).stream().expect("a stream").parse_frame(text.as_bytes()).expect(text)
}

fn data(id: &str, text: &str) -> Parsed {
    match frame(id, text) {
        Frame::Data(parsed) => parsed,
        other => panic!("{other:?} from {text}"),
    }
}

fn ticker(observation: &Observation) -> &Ticker {
    match &observation.payload {
        Payload::Ticker(ticker) => ticker,
        other => panic!("not a ticker: {other:?}"),
    }
}

fn decimal(text: &str) -> Option<Decimal> {
    Some(Decimal::parse(text).expect("a number"))
}

fn unresolved(parsed: &Parsed) -> Vec<(&str, UnresolvedReason, &str)> {
    parsed.unresolved.iter().map(|entry| (entry.symbol.as_str(), entry.reason, entry.field)).collect()
}

fn symbols(parsed: &Parsed) -> Vec<&str> {
    parsed.observations.iter().map(|entry| entry.instrument.symbol.as_str()).collect()
}

#[test]
fn a_broken_entry_costs_that_entry() {
    let body = r#"[
        {"symbol":"AAAUSDT","lastPrice":"1.50","volume":2e3,"unknown":{"a":[1]}},
        {"symbol":"BBBUSDT","lastPrice":"-1"},
        {"symbol":"CCCUSDT","lastPrice":"abc"},
        {"symbol":"DDDUSDT","lastPrice":"0.00000000","openPrice":"3"},
        {"symbol":"EEEUSDT","lastPrice":null,"bidPrice":""},
        {"lastPrice":"1"}, 17, null,
        {"symbol":"FFFUSDT","lastPrice":["1"]},
        {"symbol":"QQQ","lastPrice":"1"},
        {"symbol":"GGGUSDT","lastPrice":2,"bidPrice":"","askPrice":null,"closeTime":"1700000000123"},
        {"symbol":"HHHUSDT","lastPrice":"2","closeTime":"noon"}
    ]"#;
    let parsed = parse("binance", Feed::Tickers, "", body);
    assert_eq!(symbols(&parsed), ["AAAUSDT", "GGGUSDT"]);
    let first = ticker(&parsed.observations[0]);
    assert_eq!(first.last_price.map(|price| price.to_string()).as_deref(), Some("1.50"));
    assert_eq!((first.base_volume_24h, first.quote_volume_24h), (decimal("2000"), None));
    assert_eq!(parsed.observations[0].event_time, None);
    let second = &parsed.observations[1];
    assert_eq!((ticker(second).last_price, ticker(second).bid_price), (decimal("2"), None));
    assert_eq!(second.event_time, Some(Timestamp::from_millis(1_700_000_000_123)));
    use UnresolvedReason::{Implausible, Malformed, NoValue, UnknownSymbol};
    assert_eq!(
        unresolved(&parsed),
        [
            ("BBBUSDT", Implausible, "lastPrice"),
            ("CCCUSDT", Malformed, "lastPrice"),
            ("DDDUSDT", NoValue, "lastPrice"),
            ("EEEUSDT", NoValue, "lastPrice"),
            ("", Malformed, "symbol"),
            ("17", Malformed, "symbol"),
            ("", Malformed, "symbol"),
            ("FFFUSDT", Malformed, "lastPrice"),
            ("QQQ", UnknownSymbol, "symbol"),
            ("HHHUSDT", Malformed, "closeTime"),
        ]
    );
}

#[test]
fn each_instrument_asked_for_is_answered_or_unresolved() {
    let spot = |symbol: &str| venue("binance").instrument(symbol).expect("a symbol");
    let asked = [spot("AAAUSDT"), spot("BBBUSDT"), spot("CCCUSDT")];
    let body = r#"[{"symbol":"ZZZUSDT","lastPrice":"9"},{"symbol":"BBBUSDT","lastPrice":"0"},{"symbol":"AAAUSDT","lastPrice":"1"}]"#;
    let parsed = venue("binance").parse(&Ask::about(Feed::Tickers, asked), &answer(200, body)).expect("read");
    assert_eq!(symbols(&parsed), ["AAAUSDT"]);
    let expected =
        [("BBBUSDT", UnresolvedReason::NoValue, "lastPrice"), ("CCCUSDT", UnresolvedReason::NotAnswered, "")];
    assert_eq!(unresolved(&parsed), expected);
}

#[test]
fn one_object_reads_like_a_list_of_one() {
    let object =
        r#"{"symbol":"AAAUSDT","bidPrice":"1.0","bidQty":"1","askPrice":"1.1","askQty":"2","time":1700000000123}"#;
    for id in ["binance", "binance-usdm", "mexc"] {
        let single = parse(id, Feed::Tickers, "", object);
        let list = parse(id, Feed::Tickers, "", &format!("[{object}]"));
        assert_eq!(single.observations, list.observations);
        assert_eq!(ticker(&single.observations[0]).ask_price, decimal("1.1"));
        assert_eq!(single.observations[0].event_time, Some(Timestamp::from_millis(1_700_000_000_123)));
    }
}

#[test]
fn symbols_become_instruments() {
    use InstrumentKind::{Other, PerpetualInverse, PerpetualLinear, Spot};
    for (id, symbol, base, quote, kind, multiplier) in [
        ("binance", "ABCUSDT", "ABC", "USDT", Spot, 1),
        ("binance", "ABCFDUSD", "ABC", "FDUSD", Spot, 1),
        ("binance", "币安人生USDT", "币安人生", "USDT", Spot, 1),
        ("binance", "BTCUPUSDT", "BTCUP", "USDT", Other, 1),
        ("binance", "JUPUSDT", "JUP", "USDT", Spot, 1),
        ("binance-usdm", "1000PEPEUSDT", "PEPE", "USDT", PerpetualLinear, 1_000),
        ("binance-usdm", "1000000MOGUSDT", "MOG", "USDT", PerpetualLinear, 1_000_000),
        ("binance-usdm", "ABCUSDT_260327", "ABC", "USDT", Other, 1),
        ("binance-usdm", "ABCUSD_PERP", "ABC", "USD", PerpetualInverse, 1),
        ("bybit", "ABCUSDT", "ABC", "USDT", Spot, 1),
        ("bybit", "ABCUSD", "ABC", "USD", PerpetualInverse, 1),
        ("bybit", "BNBUSD", "BNB", "USD", PerpetualInverse, 1),
        ("bybit", "DOTUSDZ26", "DOT", "USD", Other, 1),
        ("bybit", "ETHUSDT-27MAR26", "ETH", "USDT", Other, 1),
        ("binance-usdm", "BNBUSD_PERP", "BNB", "USD", PerpetualInverse, 1),
        ("bybit", "ABCPERP", "ABC", "USDC", PerpetualLinear, 1),
        ("bybit", "ABC-27MAR26", "ABC", "USDC", Other, 1),
        ("bybit", "ABCUSDH26", "ABC", "USD", Other, 1),
        ("bybit", "SHIB1000USDT", "SHIB", "USDT", PerpetualLinear, 1_000),
        ("bybit", "BTC3LUSDT", "BTC3L", "USDT", Other, 1),
        ("okx", "ABC-USDT", "ABC", "USDT", Spot, 1),
        ("okx", "ABC-USDT-SWAP", "ABC", "USDT", PerpetualLinear, 1),
        ("okx", "ABC-USD-SWAP", "ABC", "USD", PerpetualInverse, 1),
        ("okx", "ABC-USD-260327", "ABC", "USD", Other, 1),
        ("okx", "ABC-USD-260327-60000-C", "ABC", "USD", Other, 1),
        ("mexc", "BTC3LUSDT", "BTC3L", "USDT", Other, 1),
        ("mexc", "ABC_USDT", "ABC", "USDT", PerpetualLinear, 1),
    ] {
        let found = venue(id).instrument(symbol).expect(symbol);
        let expected = Instrument { symbol: symbol.into(), base: base.into(), quote: quote.into(), kind, multiplier };
        assert_eq!(found, expected);
    }
    for (id, symbol) in [("binance", "USDT"), ("binance", ""), ("okx", "ABC"), ("mexc", "_USDT"), ("bybit", "PERP")] {
        assert_eq!(venue(id).instrument(symbol), None, "{id} {symbol}");
    }
}

#[test]
fn listings_are_their_own_instruments() {
    for id in ["binance", "binance-usdm", "bybit", "okx", "mexc"] {
        let listed = venue(id).listing("abc", "usdt").expect("a market");
        assert_eq!((listed.base.as_str(), listed.quote.as_str()), ("ABC", "USDT"));
        assert_eq!(venue(id).instrument(&listed.symbol), Some(listed), "{id}");
    }
}

#[test]
fn errors_of_binance() {
    let retry_after = Some(Duration::from_secs(30));
    for (status, body, expected) in [
        (429, "", VenueError::RateLimited { retry_after }),
        (418, "<html>", VenueError::RateLimited { retry_after }),
        (400, r#"{"code":-1003,"msg":"Too many."}"#, VenueError::RateLimited { retry_after }),
        (400, r#"{"code":-1121,"msg":"Invalid."}"#, VenueError::Rejected("venue error -1121".into())),
        (451, r#"{"code":0,"msg":"Elsewhere."}"#, VenueError::Rejected("venue error 0".into())),
        (403, "<html>", VenueError::Rejected("HTTP status 403".into())),
        (502, "<html>", VenueError::Transient("HTTP status 502".into())),
        (200, r#"{"code":-1001,"msg":"Later."}"#, VenueError::Transient("venue error -1001".into())),
        (
            200,
            r#"{"status":"ERROR","type":"GENERAL","code":"99099990","errorData":"bad","data":null}"#,
            VenueError::Rejected("venue error 99099990".into()),
        ),
    ] {
        for (id, feed) in [
            ("binance", Feed::Tickers),
            ("binance", Feed::Candles),
            ("binance-usdm", Feed::LongShortRatios),
            ("binance-usdm", Feed::OpenInterest),
            ("mexc", Feed::Tickers),
        ] {
            let response = Response { retry_after, ..answer(status, body) };
            let found = venue(id).parse(&Ask::all(feed), &response).expect_err(body);
            let expected = match (status, &expected) {
                (200, VenueError::RateLimited { .. }) => VenueError::RateLimited { retry_after: None },
                _ => expected.clone(),
            };
            assert_eq!(found, expected, "{id} {feed} {status} {body}");
        }
    }
    for body in ["<html>busy</html>", "", "[{\"symbol\":\"A", "17", "[[]"] {
        assert!(matches!(error("binance", Feed::Tickers, 200, body), VenueError::Malformed(_)), "{body}");
    }
    assert!(matches!(error("mexc", Feed::Tickers, 510, ""), VenueError::RateLimited { .. }));
    let too_many = r#"{"success":false,"code":510,"message":"Too many."}"#;
    assert!(matches!(error("mexc", Feed::Tickers, 200, too_many), VenueError::RateLimited { .. }));
    assert!(matches!(error("binance", Feed::MarketCaps, 200, "[]"), VenueError::Rejected(_)));
}

#[test]
fn errors_of_bybit_and_okx() {
    let bybit = |code: u32| format!(r#"{{"retCode":{code},"retMsg":"no","result":{{}},"time":1700000000123}}"#);
    for (status, body, expected) in [
        (
            403,
            "access too frequent".to_owned(),
            VenueError::RateLimited { retry_after: Some(Duration::from_secs(600)) },
        ),
        (403, "<html>your country</html>".to_owned(), VenueError::Rejected("HTTP status 403".into())),
        (200, bybit(10_006), VenueError::RateLimited { retry_after: None }),
        (200, bybit(10_016), VenueError::Transient("venue error 10016".into())),
        (200, bybit(10_024), VenueError::Rejected("venue error 10024".into())),
        (200, bybit(10_001), VenueError::Rejected("venue error 10001".into())),
        (200, bybit(0), VenueError::Malformed("the answer has no list".into())),
        (200, r#"{"error":"blocked"}"#.to_owned(), VenueError::Malformed("the answer has no retCode".into())),
    ] {
        assert_eq!(error("bybit", Feed::Tickers, status, &body), expected, "{body}");
    }
    let okx = |code: &str| format!(r#"{{"code":"{code}","msg":"no","data":[]}}"#);
    for (code, expected) in [
        ("50011", VenueError::RateLimited { retry_after: None }),
        ("51001", VenueError::Rejected("venue error 51001".into())),
        ("50001", VenueError::Transient("venue error 50001".into())),
    ] {
        assert_eq!(error("okx", Feed::Tickers, 200, &okx(code)), expected);
    }
    assert!(matches!(error("okx", Feed::Candles, 200, "<html>"), VenueError::Malformed(_)));
    assert!(matches!(error("okx", Feed::Candles, 503, "<html>"), VenueError::Transient(_)));
}

fn candle_rows(parsed: &Parsed) -> Vec<(CandleInterval, i64, String)> {
    let row = |observation: &Observation| match &observation.payload {
        Payload::Candle(interval, candle) => (*interval, candle.start.as_millis(), candle.close.to_string()),
        other => panic!("not a candle: {other:?}"),
    };
    parsed.observations.iter().map(row).collect()
}

#[test]
fn candles_know_their_interval() {
    let hour = r#"[[1700006400000,"2","3","1","2.50","9",1700009999999,"20",1,"1","1","0"]]"#;
    let expected = [(CandleInterval::OneHour, 1_700_006_400_000, "2.50".to_owned())];
    let parsed = parse("binance", Feed::Candles, "ABCUSDT 1h", hour);
    assert_eq!((candle_rows(&parsed), symbols(&parsed)), (expected.to_vec(), vec!["ABCUSDT"]));
    // MEXC closes a candle at its end.
    let mexc = hour.replace("1700009999999", "1700010000000");
    assert_eq!(candle_rows(&parse("mexc", Feed::Candles, "ABCUSDT 1h", &mexc)), expected);
    let bybit = r#"{"retCode":0,"result":{"category":"spot","symbol":"ABCUSDT","list":[["1700006400000","2","3","1","2.50","9","20"]]},"time":1}"#;
    assert_eq!(candle_rows(&parse("bybit", Feed::Candles, "1h", bybit)), expected);
    let okx = r#"{"code":"0","data":[["1700010000000","2","3","1","2","9","9","20","0"],["1700006400000","2","3","1","2.50","9","9","20","1"]]}"#;
    let parsed = parse("okx", Feed::Candles, "ABC-USDT 1h", okx);
    assert_eq!(candle_rows(&parsed), expected);
    assert_eq!(unresolved(&parsed), [("ABC-USDT", UnresolvedReason::NoValue, "confirm")]);
}

#[test]
fn broken_candles_cost_themselves() {
    let body = r#"[[1700006400000,"2","3","1","2","9",1700009999999,"20"],[1700010000000,"2","1.5","1","2","9",1700013599999,"20"],
        [1700013600001,"2","3","1","2","9",1700017199999,"20"],[],7,[1700017200000,"2","3","0","2","9",1700020799999,"20"]]"#;
    let parsed = parse("binance", Feed::Candles, "ABCUSDT 1h", body);
    assert_eq!(parsed.observations.len(), 1);
    let faults: Vec<_> = parsed.unresolved.iter().map(|entry| (entry.reason, entry.field)).collect();
    use UnresolvedReason::{Implausible, Malformed, NoValue};
    assert_eq!(
        faults,
        [(Implausible, "high"), (Malformed, "time"), (NoValue, "time"), (Malformed, "time"), (NoValue, "low")]
    );
}

fn long_short(parsed: &Parsed) -> Vec<(LongShortKind, Option<Period>, f64, f64)> {
    let row = |observation: &Observation| match &observation.payload {
        Payload::LongShort(value) => (value.kind, value.period, value.long_share, value.ratio),
        other => panic!("not a ratio: {other:?}"),
    };
    parsed.observations.iter().map(row).collect()
}

#[test]
fn long_short_kinds_and_shares() {
    let shares = r#"[{"symbol":"ABCUSDT","longAccount":"0.6000","longShortRatio":"9.9","shortAccount":0.2,"timestamp":"1700000100000"}]"#;
    use LongShortKind::{GlobalAccount, TakerVolume, TopTraderAccount, TopTraderPosition};
    for (path, kind) in [
        ("ABCUSDT 1h global-account", GlobalAccount),
        ("ABCUSDT 1h top-trader-account", TopTraderAccount),
        ("1h top-trader-position", TopTraderPosition),
    ] {
        // The shares count, and they are brought to a sum of 1.
        let parsed = parse("binance-usdm", Feed::LongShortRatios, path, shares);
        let [(found, period, long_share, ratio)] = long_short(&parsed)[..] else { panic!("{path}") };
        assert_eq!((found, period), (kind, Some(Period::OneHour)), "{path}");
        assert!((long_share - 0.75).abs() < 1e-12 && (ratio - 3.0).abs() < 1e-12, "{path}");
    }
    let taker = r#"[{"buySellRatio":"1","buyVol":"30","sellVol":"10","timestamp":1700000100000}]"#;
    let parsed = parse("binance-usdm", Feed::LongShortRatios, "ABCUSDT 5m taker-volume", taker);
    assert_eq!((long_short(&parsed)[0].0, symbols(&parsed)), (TakerVolume, vec!["ABCUSDT"]));
    // Without the question, nothing is guessed.
    let unasked = |body: &str| venue("binance-usdm").parse(&Ask::all(Feed::LongShortRatios), &answer(200, body)).err();
    assert_eq!(unasked(taker), Some(VenueError::Unasked(AskPart::Instrument)));
    assert_eq!(unasked(shares), Some(VenueError::Unasked(AskPart::Kind)));
    let asked = [venue("binance-usdm").instrument("XYZUSDT").expect("a symbol")];
    let parsed =
        venue("binance-usdm").parse(&Ask::about(Feed::LongShortRatios, asked), &answer(200, taker)).expect("read");
    assert_eq!(symbols(&parsed), ["XYZUSDT"]);
}

#[test]
fn half_a_ratio_is_no_value() {
    for row in [
        r#"{"symbol":"ABCUSDT","longAccount":"0.6","timestamp":1}"#,
        r#"{"symbol":"ABCUSDT","longAccount":"1.0","shortAccount":"0","timestamp":1}"#,
        r#"{"symbol":"ABCUSDT","longShortRatio":"0","timestamp":1}"#,
        r#"{"symbol":"ABCUSDT","timestamp":1}"#,
    ] {
        let parsed = parse("binance-usdm", Feed::LongShortRatios, "global-account", &format!("[{row}]"));
        assert_eq!(parsed.observations.len(), 0, "{row}");
        assert_eq!(parsed.unresolved[0].reason, UnresolvedReason::NoValue, "{row}");
    }
    let ratio_alone = r#"[{"symbol":"ABCUSDT","longShortRatio":"3","timestamp":1}]"#;
    let parsed = parse("binance-usdm", Feed::LongShortRatios, "global-account", ratio_alone);
    assert_eq!((long_short(&parsed)[0].2, long_short(&parsed)[0].3), (0.75, 3.0));
}

#[test]
fn okx_statistics_sell_first() {
    let ratio = r#"{"code":"0","data":[["1700000100000","3"],["1700000000000","0"],["1700000000000",""],5]}"#;
    let contract = "ABC-USDT-SWAP 1h top-trader-account";
    let parsed = parse("okx", Feed::LongShortRatios, contract, ratio);
    let expected = (LongShortKind::TopTraderAccount, Some(Period::OneHour), 0.75, 3.0);
    assert_eq!((long_short(&parsed), symbols(&parsed)), (vec![expected], vec!["ABC-USDT-SWAP"]));
    assert_eq!(parsed.unresolved.len(), 3);
    let coin = "ABC-USDT 5m global-account";
    let parsed = parse("okx", Feed::LongShortRatios, coin, ratio);
    assert_eq!(
        (long_short(&parsed)[0].0, parsed.observations[0].instrument.base.as_str()),
        (LongShortKind::GlobalAccount, "ABC")
    );
    let taker = r#"{"code":"0","data":[["1700000100000","10","30"]]}"#;
    let parsed = parse("okx", Feed::LongShortRatios, "ABC-USDT 5m taker-volume", taker);
    assert_eq!(long_short(&parsed)[0], (LongShortKind::TakerVolume, Some(Period::FiveMinutes), 0.75, 3.0));
}

#[test]
fn open_interest_has_its_unit() {
    let open_interest = |parsed: &Parsed| match &parsed.observations[0].payload {
        Payload::OpenInterest(value) => (value.open_interest.to_string(), value.unit, value.open_interest_usd),
        other => panic!("not open interest: {other:?}"),
    };
    let now = r#"{"openInterest":"10.50","symbol":"ABCUSDT","time":1700000000123}"#;
    let parsed = parse("binance-usdm", Feed::OpenInterest, "", now);
    assert_eq!(open_interest(&parsed), ("10.50".to_owned(), OpenInterestUnit::Base, None));
    let bybit = |category: &str, row: &str| {
        let body = format!(
            r#"{{"retCode":0,"result":{{"category":"{category}","symbol":"ABCUSD","list":[{row}]}},"time":1700000000123}}"#
        );
        open_interest(&parse("bybit", Feed::OpenInterest, "", &body))
    };
    let row = r#"{"openInterest":"10","timestamp":"1700000000000"}"#;
    assert_eq!(bybit("inverse", row), ("10".to_owned(), OpenInterestUnit::Quote, decimal("10")));
    let row = r#"{"symbol":"ABCUSDT","openInterest":"10","openInterestValue":"25"}"#;
    assert_eq!(bybit("linear", row), ("10".to_owned(), OpenInterestUnit::Base, decimal("25")));
    let okx = r#"{"code":"0","data":[{"instId":"ABC-USDT-SWAP","oi":"500","oiCcy":"","ts":"1700000000123"}]}"#;
    assert_eq!(
        open_interest(&parse("okx", Feed::OpenInterest, "", okx)),
        ("500".to_owned(), OpenInterestUnit::Contracts, None)
    );
}

#[test]
fn frames_of_binance() {
    let mini =
        r#"{"e":"24hrMiniTicker","E":1700000000123,"s":"ABCUSDT","c":"2.50","o":"2","h":"3","l":"1","v":"9","q":"20"}"#;
    let raw = data("binance", mini);
    assert_eq!(ticker(&raw.observations[0]).last_price.map(|price| price.to_string()).as_deref(), Some("2.50"));
    assert_eq!(ticker(&raw.observations[0]).bid_price, None);
    for wrapped in [
        format!("[{mini}]"),
        format!(r#"{{"stream":"abcusdt@miniTicker","data":{mini}}}"#),
        format!(r#"{{"data":[{mini}],"stream":"!miniTicker@arr"}}"#),
    ] {
        assert_eq!(data("binance", &wrapped).observations, raw.observations, "{wrapped}");
    }
    let book = r#"{"u":7,"s":"ABCUSDT","b":"2.4","B":"1","a":"2.6","A":"2"}"#;
    assert_eq!(ticker(&data("binance", book).observations[0]).ask_price, decimal("2.6"));
    let book = r#"{"e":"bookTicker","u":7,"s":"ABCUSDT","b":"2.4","B":"1","a":"2.6","A":"2","T":1,"E":1700000000123}"#;
    assert_eq!(data("binance-usdm", book).observations[0].instrument.kind, InstrumentKind::PerpetualLinear);
    for closing in
        [r#"{"e":"serverShutdown","E":1}"#, r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}"#]
    {
        assert!(matches!(frame("binance", closing), Frame::Closing));
    }
    assert!(matches!(frame("binance", r#"{"result":null,"id":1}"#), Frame::Subscribed));
    for refused in [r#"{"error":{"code":2,"msg":"no"},"id":1}"#, r#"{"code":2,"msg":"no","id":1}"#] {
        assert!(matches!(frame("binance", refused), Frame::Refused { reason, .. } if reason == "2"), "{refused}");
    }
    for ignored in
        [r#"{"e":"depthUpdate","s":"ABCUSDT","b":[],"a":[]}"#, r#"{"e":"aggTrade","s":"ABCUSDT","a":1}"#, "{}"]
    {
        assert!(matches!(frame("binance", ignored), Frame::Ignored), "{ignored}");
    }
}

#[test]
fn frames_of_bybit() {
    let frame_of = |kind: &str, data: &str| {
        format!(r#"{{"topic":"tickers.ABCUSDT","type":"{kind}","ts":1700000000123,"data":{data}}}"#)
    };
    let spot = data("bybit", &frame_of("snapshot", r#"{"symbol":"ABCUSDT","lastPrice":"2.50","usdIndexPrice":""}"#));
    assert_eq!(spot.observations[0].instrument.kind, InstrumentKind::Spot);
    let linear = data(
        "bybit",
        &frame_of("snapshot", r#"{"symbol":"ABCUSDT","lastPrice":"2.50","markPrice":"2","fundingRate":""}"#),
    );
    assert_eq!(linear.observations[0].instrument.kind, InstrumentKind::PerpetualLinear);
    let delta = data("bybit", &frame_of("delta", r#"{"symbol":"ABCUSDT","bid1Price":"2.40"}"#));
    let expected = Ticker { bid_price: decimal("2.40"), ..Ticker::default() };
    assert_eq!(
        (ticker(&delta.observations[0]), delta.observations[0].instrument.kind),
        (&expected, InstrumentKind::PerpetualLinear)
    );
    let silent = data("bybit", &frame_of("delta", r#"{"symbol":"ABCUSDT","markPrice":"2.40"}"#));
    assert_eq!((silent.observations.len(), silent.unresolved.len()), (0, 0));
    let volume = data("bybit", &frame_of("delta", r#"{"symbol":"ABCUSDT","volume24h":"7"}"#));
    assert_eq!(ticker(&volume.observations[0]).base_volume_24h, decimal("7"));
    assert!(matches!(frame("bybit", r#"{"success":true,"ret_msg":"","op":"subscribe"}"#), Frame::Subscribed));
    assert!(matches!(frame("bybit", r#"{"success":false,"ret_msg":"no","op":"subscribe"}"#), Frame::Refused { .. }));
    assert!(matches!(frame("bybit", r#"{"success":true,"ret_msg":"pong","op":"ping"}"#), Frame::Alive));
}

#[test]
fn frames_of_okx() {
    assert!(matches!(frame("okx", "pong"), Frame::Alive));
    assert!(matches!(
        frame("okx", r#"{"event":"subscribe","arg":{"channel":"tickers","instId":"A-B"}}"#),
        Frame::Subscribed
    ));
    assert!(
        matches!(frame("okx", r#"{"event":"error","code":"60018","msg":"no"}"#), Frame::Refused { reason, .. } if reason == "60018")
    );
    let row = r#"{"instId":"ABC-USDT-SWAP","last":"2.5","vol24h":"9","volCcy24h":"4","ts":"1700000000123"}"#;
    let parsed = data("okx", &format!(r#"{{"arg":{{"channel":"tickers"}},"data":[{row}]}}"#));
    let swap = ticker(&parsed.observations[0]);
    assert_eq!((swap.base_volume_24h, swap.quote_volume_24h), (decimal("4"), None));
}

#[test]
fn requests_know_their_weight() {
    let asked: Vec<Instrument> =
        (0..101).map(|index| venue("binance").instrument(&format!("A{index}USDT")).expect("a symbol")).collect();
    let options = RequestOptions::default();
    for (count, weight, path) in [
        (0, 80, "/api/v3/ticker/24hr?symbolStatus=TRADING"),
        (1, 2, "/api/v3/ticker/24hr?symbol=A0USDT"),
        (2, 2, "/api/v3/ticker/24hr?symbols=%5B%22A0USDT%22%2C%22A1USDT%22%5D&symbolStatus=TRADING"),
        (101, 80, "/api/v3/ticker/24hr?symbolStatus=TRADING"),
    ] {
        let requests = venue("binance").requests(Feed::Tickers, &asked[..count], &options);
        let [request] = &requests[..] else { panic!("{requests:?}") };
        assert_eq!((request.weight, request.path.as_str(), request.ask.instruments.len()), (weight, path, count));
    }
    assert_eq!(venue("binance").requests(Feed::Tickers, &asked[..21], &options)[0].weight, 40);
    let kinds = venue("binance-usdm").requests(Feed::LongShortRatios, &asked[..2], &options);
    assert_eq!((kinds.len(), kinds[0].scope), (8, "futures-data"));
    let span = RequestOptions {
        interval: Some(CandleInterval::OneHour),
        start: Some(Timestamp::from_millis(5_000)),
        end: Some(Timestamp::from_millis(9_000)),
        limit: Some(5_000),
        ..RequestOptions::default()
    };
    let candles = venue("binance").requests(Feed::Candles, &asked[..1], &span);
    assert_eq!(candles[0].path, "/api/v3/klines?symbol=A0USDT&interval=1h&startTime=5000&endTime=8999&limit=1000");
}

#[test]
fn every_request_draws_on_a_scope_of_its_venue() {
    for venue in venues::REGISTRY {
        let asked: Vec<Instrument> = ["USDT", "USD"].iter().filter_map(|quote| venue.listing("ABC", quote)).collect();
        for feed in venue.profile().feed_ids() {
            for request in venue.requests(feed, &asked, &RequestOptions::default()) {
                assert!(
                    venue
                        .profile()
                        .limits
                        .iter()
                        .any(|limit| limit.scope == request.scope && limit.limit >= request.weight)
                );
                assert!(request.path.starts_with('/'), "{}", request.path);
            }
        }
    }
}

#[test]
fn subscriptions_keep_the_venues_limits() {
    let asked: Vec<Instrument> =
        (0..25).map(|index| venue("bybit").instrument(&format!("A{index}USDT")).expect("a symbol")).collect();
    let frames = venue("bybit").stream().expect("a stream").subscribe(&asked);
    let topics = |frame: &String| {
        let frame: serde_json::Value = serde_json::from_str(frame).expect("JSON");
        frame["args"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(frames.iter().map(topics).collect::<Vec<_>>(), [10, 10, 5]);
    let frames = venue("binance").stream().expect("a stream").subscribe(&asked[..1]);
    assert_eq!(frames, [r#"{"id":1,"method":"SUBSCRIBE","params":["a0usdt@ticker"]}"#]);
}

/// A valid body for each venue and feed, to be damaged.
const BODIES: &[(&str, Feed, &str, &str)] = &[
    (
        "binance",
        Feed::Tickers,
        "",
        r#"[{"symbol":"AAAUSDT","lastPrice":"1.50","closeTime":1700000000123},{"symbol":"BBBUSDT","lastPrice":"2.50","closeTime":1700000000123},{"symbol":"CCCUSDT","lastPrice":"3.50","closeTime":1700000000123}]"#,
    ),
    (
        "binance",
        Feed::Candles,
        "ABCUSDT 1h",
        r#"[[1700006400000,"2","3","1","2","9",1700009999999,"20",1,"1","1","0"]]"#,
    ),
    (
        "binance-usdm",
        Feed::LongShortRatios,
        "global-account 5m",
        r#"[{"symbol":"ABCUSDT","longAccount":"0.6","longShortRatio":"1.5","shortAccount":"0.4","timestamp":1700000100000}]"#,
    ),
    ("binance-usdm", Feed::OpenInterest, "", r#"{"openInterest":"10.5","symbol":"ABCUSDT","time":1700000000123}"#),
    (
        "bybit",
        Feed::Tickers,
        "",
        r#"{"retCode":0,"retMsg":"OK","result":{"category":"inverse","list":[{"symbol":"ABCUSD","lastPrice":"2","volume24h":"9"}]},"time":1700000000123}"#,
    ),
    (
        "bybit",
        Feed::Candles,
        "1h",
        r#"{"retCode":0,"result":{"category":"spot","symbol":"ABCUSDT","list":[["1700006400000","2","3","1","2","9","20"]]},"time":1}"#,
    ),
    (
        "okx",
        Feed::Tickers,
        "",
        r#"{"code":"0","msg":"","data":[{"instId":"ABC-USDT","last":"2","ts":"1700000000123"}]}"#,
    ),
    ("okx", Feed::LongShortRatios, "ABC-USDT 5m taker-volume", r#"{"code":"0","data":[["1700000100000","10","30"]]}"#),
    ("mexc", Feed::Tickers, "", r#"[{"symbol":"ABCUSDT","lastPrice":"2.5"}]"#),
];

proptest! {
    /// A body damaged in any way is either read or refused.
    #[test]
    fn damaged_bodies_never_panic(
        which in 0..BODIES.len(),
        cut in 0.0..1.0f64,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let (id, feed, words, body) = BODIES[which];
        let mut bytes = body.as_bytes().to_vec();
        for (at, byte) in &flips {
            let index = at.index(bytes.len());
            bytes[index] = *byte;
        }
        if flips.is_empty() {
            bytes.truncate((body.len() as f64 * cut) as usize);
        }
        let response = Response { status: 200, body: bytes.clone().into(), ..Response::default() };
        let ask = question(venue(id), feed, words);
        let read = venue(id).parse(&ask, &response);
        if flips.is_empty() {
            prop_assert!(read.is_err(), "a body cut short was accepted");
        }
        let asked = [venue(id).listing("ABC", "USDT").expect("a market")];
        let ask = Ask { instruments: asked.to_vec(), reports_every_entry: false, ..ask };
        if let Ok(parsed) = venue(id).parse(&ask, &response) {
            prop_assert!(parsed.observations.is_empty() != parsed.unresolved.is_empty());
        }
        if let Some(stream) = venue(id).stream() {
            let _ = stream.parse_frame(&bytes);
        }
    }

    /// A flipped byte inside one entry's value leaves the other entries unchanged.
    #[test]
    fn one_damaged_value_costs_one_entry(byte in any::<u8>().prop_filter("structure", |byte| !matches!(byte, b'"' | b'\\'))) {
        let (id, feed, _, body) = BODIES[0];
        let at = body.find("2.50").expect("the second entry's price");
        let mut bytes = body.as_bytes().to_vec();
        bytes[at] = byte;
        let response = Response { status: 200, body: bytes.into(), ..Response::default() };
        let parsed = venue(id).parse(&Ask::all(feed), &response).expect("the structure is whole");
        let others: Vec<_> = parsed.observations.iter().filter(|entry| entry.instrument.base != "BBB").collect();
        prop_assert_eq!(others.len(), 2);
        prop_assert_eq!(ticker(others[0]).last_price, decimal("1.50"));
        prop_assert_eq!(ticker(others[1]).last_price, decimal("3.50"));
        prop_assert_eq!(parsed.observations.len() + parsed.unresolved.len(), 3);
    }
}
