//! What goes wrong at Coinbase, Kraken, KuCoin, Gate, Bitget and HTX, with invented bodies in the documented shapes.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use crossmarket_domain::observation::{OpenInterestUnit, Ticker};
use crossmarket_domain::{CandleInterval, Feed, Instrument, InstrumentKind, LongShortKind, Payload, Period};
use crossmarket_venues::{
    Ask, AskPart, Frame, Parsed, RequestOptions, Response, StreamingVenue, UnresolvedReason, Venue, VenueError, find,
};

#[path = "support/question.rs"]
#[allow(dead_code, reason = "recorded files have their questions in their names")]
mod question;

use question::question;

const VENUES: [&str; 6] = ["coinbase", "kraken", "kucoin", "gate", "bitget", "htx"];

/// Those of them that are streamed.
const STREAMS: [&str; 4] = ["coinbase", "kraken", "gate", "bitget"];

fn venue(id: &str) -> &'static dyn Venue {
    find(id).expect("a registered venue")
}

fn stream(id: &str) -> &'static dyn StreamingVenue {
    venue(id).stream().expect("a stream")
}

fn answer(body: &str) -> Response {
    Response { status: 200, body: Bytes::from(body.to_owned()), ..Response::default() }
}

fn parse(id: &str, feed: Feed, asked: &[Instrument], words: &str, body: &str) -> Result<Parsed, VenueError> {
    let mut ask = question(venue(id), feed, words);
    if !asked.is_empty() {
        ask = Ask { instruments: asked.to_vec(), reports_every_entry: false, ..ask };
    }
    venue(id).parse(&ask, &answer(body))
}

fn all(id: &str, feed: Feed, words: &str, body: &str) -> Parsed {
    parse(id, feed, &[], words, body).unwrap_or_else(|error| panic!("{id}: {error}"))
}

fn ticker(parsed: &Parsed, index: usize) -> Ticker {
    match &parsed.observations[index].payload {
        Payload::Ticker(ticker) => ticker.clone(),
        other => panic!("no ticker: {other:?}"),
    }
}

/// The ticker's seven figures as texts, `-` for an absent one.
fn figures(ticker: &Ticker) -> String {
    let Ticker { last_price, bid_price, ask_price, high_24h, low_24h, base_volume_24h, quote_volume_24h } = *ticker;
    [last_price, bid_price, ask_price, high_24h, low_24h, base_volume_24h, quote_volume_24h]
        .map(|figure| figure.map_or("-".to_owned(), |figure| figure.to_string()))
        .join(" ")
}

fn data(id: &str, frame: &str) -> Parsed {
    match stream(id).parse_frame(frame.as_bytes()) {
        Ok(Frame::Data(parsed)) => parsed,
        other => panic!("{id}: no data but {other:?}"),
    }
}

/// Symbol, reason and field of each entry without an observation.
fn unresolved(parsed: &Parsed) -> Vec<(&str, UnresolvedReason, &str)> {
    parsed.unresolved.iter().map(|entry| (entry.symbol.as_str(), entry.reason, entry.field)).collect()
}

/// One well-formed body of each venue and feed with its question, and the frames of its stream.
fn bodies() -> Vec<(&'static str, Feed, &'static str, String)> {
    let coinbase = |product: &str, last: &str| {
        format!(
            r#""{product}":{{"stats_30day":{{"volume":"7"}},"stats_24hour":{{"open":"20","high":"23","low":"18","last":"{last}","volume":"9"}}}}"#
        )
    };
    let kraken = |pair: &str, last: &str| {
        format!(
            r#""{pair}":{{"a":["21.1","1","1.0"],"b":["20.9","1","1.0"],"c":["{last}","0.1"],"v":["3","9"],"p":["1","2"],"t":[1,2],"l":["19","18"],"h":["22","23"],"o":"20"}}"#
        )
    };
    let kucoin = |symbol: &str, last: &str| {
        format!(
            r#"{{"symbol":"{symbol}","buy":"20.9","sell":null,"high":"23","low":"18","vol":"9","volValue":"","last":{last}}}"#
        )
    };
    let gate = |symbol: &str, last: &str| {
        format!(
            r#"{{"currency_pair":"{symbol}","last":"{last}","lowest_ask":"21.1","highest_bid":"0","base_volume":9,"quote_volume":"180","high_24h":"23","low_24h":"18"}}"#
        )
    };
    let bitget = |symbol: &str, last: &str| {
        format!(
            r#"{{"symbol":"{symbol}","lastPr":"{last}","open":"20","high24h":"23","low24h":"18","bidPr":"0","askPr":"21.1","baseVolume":"9","quoteVolume":"180","openUtc":"1","ts":"1700000000123"}}"#
        )
    };
    let htx = |symbol: &str, last: &str| {
        format!(
            r#"{{"symbol":"{symbol}","open":20,"high":2.3E1,"low":18,"close":{last},"amount":9.0,"vol":1.8E2,"bid":20.9,"ask":21.1}}"#
        )
    };
    let stats = r#"[{"time":1700000100,"lsr_taker":0,"lsr_account":"1.5","top_lsr_account":3,"top_lsr_size":0.25,"open_interest":"1234.5","open_interest_usd":5678}]"#;
    let shares = r#"{"code":"00000","data":[{"longAccountRatio":"0.6000","shortAccountRatio":"0.4000","longShortAccountRatio":"0.0150","ts":"1700000100000"}]}"#;
    let elite = r#"{"status":"ok","ts":1700000200000,"data":{"list":[{"buy_ratio":0.54,"sell_ratio":0.36,"locked_ratio":0.1,"ts":1700000100000}],"symbol":"BTC","contract_code":"BTC-USDT"}}"#;
    let open = r#"{"code":"00000","data":[{"category":"USDT-FUTURES","symbol":"BTCUSDT","lastPrice":"21","fundingRate":"0.0001","openInterest":"77.5","deliveryTime":"","ts":"1700000000123"}]}"#;
    let objects =
        |one: &dyn Fn(&str, &str) -> String, symbols: [&str; 3]| symbols.map(|symbol| one(symbol, "21.000")).join(",");
    let wrap = |open: &str, inner: String, close: &str| format!("{open}{inner}{close}");
    vec![
        (
            "coinbase",
            Feed::Tickers,
            "",
            wrap("{", objects(&coinbase, ["BTC-USD", "ETH-USD", "DOT-EUR"]), "}"),
        ),
        (
            "coinbase",
            Feed::Candles,
            "BTC-USD 1h",
            "[[1700006400,18,23,20,21.50,9],[1700002800,17,22.25,19,20,8]]".to_owned(),
        ),
        (
            "kraken",
            Feed::Tickers,
            "",
            wrap(r#"{"error":[],"result":{"#, objects(&kraken, ["XXBTZUSD", "XETHZUSD", "DOTEUR"]), "}}"),
        ),
        (
            "kraken",
            Feed::Candles,
            "1d",
            r#"{"error":[],"result":{"XXBTZUSD":[[1699920000,"20","23.0","18","21","20.5","9",12],[1700006400,"21","24","20","22","22","4",3]],"last":1699920000}}"#.to_owned(),
        ),
        (
            "kucoin",
            Feed::Tickers,
            "",
            wrap(
                r#"{"code":"200000","data":{"time":1700000000123,"ticker":["#,
                objects(&kucoin, ["BTC-USDT", "ETH-USDT", "DOT-BTC"]),
                "]}}",
            ),
        ),
        (
            "kucoin",
            Feed::Candles,
            "BTC-USDT 1d",
            r#"{"code":"200000","data":[["1699920000","20","21","23","18","9","180.5"]]}"#.to_owned(),
        ),
        ("gate", Feed::Tickers, "", wrap("[", objects(&gate, ["BTC_USDT", "ETH_USDT", "DOT_ETH"]), "]")),
        ("gate", Feed::LongShortRatios, "BTC_USDT 5m", stats.to_owned()),
        ("gate", Feed::OpenInterest, "BTC_USDT 5m", stats.to_owned()),
        (
            "bitget",
            Feed::Tickers,
            "",
            wrap(r#"{"code":"00000","data":["#, objects(&bitget, ["BTCUSDT", "ETHUSDT", "DOTUSDC"]), "]}"),
        ),
        (
            "bitget",
            Feed::LongShortRatios,
            "BTCUSDT 15m",
            shares.to_owned(),
        ),
        ("bitget", Feed::OpenInterest, "", open.to_owned()),
        (
            "htx",
            Feed::Tickers,
            "",
            wrap(r#"{"status":"ok","ts":1700000000123,"data":["#, objects(&htx, ["btcusdt", "ethusdt", "dotbtc"]), "]}"),
        ),
        (
            "htx",
            Feed::LongShortRatios,
            "1h top-trader-position",
            elite.to_owned(),
        ),
    ]
}

const FRAMES: [(&str, &str); 7] = [
    (
        "coinbase",
        r#"{"type":"ticker","product_id":"BTC-USD","price":"21","open_24h":"20","high_24h":"23","low_24h":"18","volume_24h":"9","best_bid":"20.9","best_ask":"21.1","time":"2026-01-15T12:00:00.5Z"}"#,
    ),
    (
        "coinbase",
        r#"{"channel":"ticker","timestamp":"2026-01-15T12:00:00Z","events":[{"type":"update","tickers":[{"product_id":"ETH-USD","price":"21","best_bid":"0","best_ask":"21.1"}]}]}"#,
    ),
    (
        "kraken",
        r#"{"channel":"ticker","type":"snapshot","data":[{"symbol":"BTC/USD","bid":20.9,"ask":21.10,"last":21.0,"volume":9.0,"low":18,"high":23,"change_pct":5}]}"#,
    ),
    (
        "kraken",
        r#"{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":20.9,"bid_qty":1,"ask":21.1}]}"#,
    ),
    (
        "gate",
        r#"{"time":1700000000,"time_ms":1700000000123,"channel":"spot.tickers","event":"update","result":{"currency_pair":"BTC_USDT","last":"21","lowest_ask":"21.1","highest_bid":"20.9"}}"#,
    ),
    (
        "gate",
        r#"{"time":1700000000,"channel":"futures.contract_stats","event":"update","result":[{"time":1700000100,"contract":"BTC_USDT","lsr_account":1.5,"lsr_taker":0}]}"#,
    ),
    (
        "bitget",
        r#"{"action":"snapshot","arg":{"instType":"USDT-FUTURES","channel":"ticker","instId":"BTCUSDT"},"data":[{"instId":"BTCUSDT","lastPr":"21","bidPr":"20.9","askPr":"21.1","open24h":"20","ts":"1700000000123"}],"ts":1}"#,
    ),
];

#[test]
fn reads_figures_exactly_as_sent() {
    for (index, (id, feed, path, body)) in bodies().iter().enumerate() {
        let parsed = all(id, *feed, path, body);
        assert!(parsed.unresolved.is_empty(), "{index} {id}: {:?}", parsed.unresolved);
        if *feed == Feed::Tickers {
            let expected = match *id {
                "coinbase" => "21.000 - - 23 18 9 -",
                "kraken" => "21.000 20.9 21.1 23 18 9 -",
                "kucoin" => "21.000 20.9 - 23 18 9 -",
                "gate" => "21.000 - 21.1 23 18 9 180",
                "bitget" => "21.000 - 21.1 23 18 9 180",
                _ => "21.000 20.9 21.1 23 18 9.0 180",
            };
            assert_eq!(parsed.observations.len(), 3, "{id}");
            for entry in 0..3 {
                assert_eq!(figures(&ticker(&parsed, entry)), expected, "{id}");
            }
        }
    }
}

#[test]
fn reads_candles_of_any_column_order() {
    for (id, feed, path, body) in bodies() {
        if feed != Feed::Candles {
            continue;
        }
        let parsed = all(id, feed, path, &body);
        let Payload::Candle(interval, candle) = &parsed.observations[0].payload else { panic!("{id}: no candle") };
        let texts = [candle.open, candle.high, candle.low, candle.close].map(|price| price.to_string());
        match id {
            "coinbase" => {
                assert_eq!((texts.join(" ").as_str(), *interval), ("20 23 18 21.50", CandleInterval::OneHour));
            }
            "kraken" => assert_eq!((texts.join(" ").as_str(), *interval), ("20 23.0 18 21", CandleInterval::OneDay)),
            _ => assert_eq!((texts.join(" ").as_str(), *interval), ("20 23 18 21", CandleInterval::OneDay)),
        }
        assert_eq!(candle.base_volume.map(|volume| volume.to_string()).as_deref(), Some("9"), "{id}");
        assert_eq!(parsed.observations[0].event_time, Some(candle.start), "{id}");
        assert_eq!(parsed.observations[0].instrument.base, "BTC", "{id}");
    }
}

#[test]
fn refuses_candles_that_cannot_be() {
    let path = "BTC-USD 1h";
    let body = "[[1700006400,18,23,20,21,9],[1700006401,18,23,20,21,9],[1700002800,18,20.5,20,21,9],[1700002800,18,23,0,21,9],[1700002800,-18,23,20,21,9],7]";
    let parsed = all("coinbase", Feed::Candles, path, body);
    assert_eq!(parsed.observations.len(), 1);
    let reasons: Vec<_> = unresolved(&parsed).into_iter().map(|(_, reason, field)| (reason, field)).collect();
    assert_eq!(
        reasons,
        [
            (UnresolvedReason::Implausible, "time"),
            (UnresolvedReason::Implausible, "high"),
            (UnresolvedReason::NoValue, "open"),
            (UnresolvedReason::Implausible, "low"),
            (UnresolvedReason::Malformed, "time"),
        ]
    );
    let unasked = parse("coinbase", Feed::Candles, &[], "BTC-USD", "[[1700006400,18,23,20,21,9]]");
    assert_eq!(unasked.err(), Some(VenueError::Unasked(AskPart::Interval)));
}

#[test]
fn turns_errors_into_what_the_collector_can_act_on() {
    let rate_limited = |error: &VenueError| matches!(error, VenueError::RateLimited { .. });
    let transient = |error: &VenueError| matches!(error, VenueError::Transient(_));
    let rejected = |error: &VenueError| matches!(error, VenueError::Rejected(_));
    let malformed = |error: &VenueError| matches!(error, VenueError::Malformed(_));
    type Check<'a> = &'a dyn Fn(&VenueError) -> bool;
    let table: [(&str, &str, Check<'_>); 30] = [
        ("coinbase", r#"{"message":"NotFound"}"#, &rejected),
        ("coinbase", r#"{"message":"Public rate limit exceeded"}"#, &rate_limited),
        ("coinbase", "<html></html>", &malformed),
        ("coinbase", "[1,2]", &malformed),
        ("kraken", r#"{"error":["EQuery:Unknown asset pair"]}"#, &rejected),
        ("kraken", r#"{"error":"EService:Unavailable"}"#, &transient),
        ("kraken", r#"{"error":["EService:Busy"]}"#, &transient),
        ("kraken", r#"{"error":["EAPI:Rate limit exceeded"],"result":{}}"#, &rate_limited),
        ("kraken", r#"{"error":["EGeneral:Too many requests"]}"#, &rate_limited),
        ("kraken", r#"{"error":[]}"#, &malformed),
        ("kraken", r#"{"error":[],"result":[]}"#, &malformed),
        ("kucoin", r#"{"code":"429000","msg":"Too Many Requests"}"#, &rate_limited),
        ("kucoin", r#"{"code":"900001","msg":"symbol not exists"}"#, &rejected),
        ("kucoin", r#"{"code":400100,"msg":"parameter"}"#, &rejected),
        ("kucoin", r#"{"code":"200000","data":null}"#, &malformed),
        ("kucoin", "{}", &malformed),
        ("gate", r#"{"label":"INVALID_CURRENCY_PAIR","message":"x"}"#, &rejected),
        ("gate", r#"{"label":"CONTRACT_NOT_FOUND","message":"x"}"#, &rejected),
        ("gate", r#"{"label":"TOO_MANY_REQUESTS","message":"x"}"#, &rate_limited),
        ("gate", r#"{"label":"SERVER_ERROR"}"#, &transient),
        ("gate", "{}", &malformed),
        ("bitget", r#"{"code":"40034","msg":"The data fetched by BTCUSDT is empty","data":null}"#, &rejected),
        ("bitget", r#"{"code":"429","msg":"Too Many Requests"}"#, &rate_limited),
        ("bitget", r#"{"code":"00000","data":{}}"#, &malformed),
        ("bitget", "[]", &malformed),
        ("htx", r#"{"status":"error","err-code":"invalid-parameter","err-msg":"x"}"#, &rejected),
        ("htx", r#"{"status":"error","err_code":1032,"err_msg":"x"}"#, &rate_limited),
        ("htx", r#"{"status":"error","err_code":1332,"err_msg":"x"}"#, &rejected),
        ("htx", r#"{"ts":1}"#, &malformed),
        ("htx", "", &malformed),
    ];
    for (id, body, check) in table {
        let error = parse(id, Feed::Tickers, &[], "", body).expect_err(body);
        assert!(check(&error), "{id} {body}: {error}");
    }
    for id in VENUES {
        let wait = Some(Duration::from_secs(3));
        let limited = Response { status: 429, retry_after: wait, ..answer("slow down") };
        assert_eq!(
            venue(id).parse(&Ask::all(Feed::Tickers), &limited).expect_err(id),
            VenueError::RateLimited { retry_after: wait }
        );
        let blocked = Response { status: 451, ..answer("<html>") };
        assert!(rejected(&venue(id).parse(&Ask::all(Feed::Tickers), &blocked).expect_err(id)));
        let down = Response { status: 503, ..answer("") };
        assert!(transient(&venue(id).parse(&Ask::all(Feed::Tickers), &down).expect_err(id)));
        let body = &bodies().iter().find(|(body_id, ..)| *body_id == id).expect("a body").3.clone();
        assert!(rejected(&parse(id, Feed::IndexLevels, &[], "", body).expect_err(id)));
    }
}

#[test]
fn never_repeats_a_body_in_an_error() {
    let long = format!(r#"{{"code":"\u003cb\u003e{}"}}"#, "secret".repeat(40));
    let error = parse("bitget", Feed::Tickers, &[], "", &long).expect_err("an error");
    assert!(error.to_string().len() < 80 && !error.to_string().contains('<'), "{error}");
}

#[test]
fn a_broken_entry_costs_itself_alone() {
    for (id, feed, path, body) in bodies().into_iter().filter(|(_, feed, ..)| *feed == Feed::Tickers) {
        let whole = all(id, feed, path, &body);
        // Kraken and Coinbase key their entries, the others list them.
        let keyed = matches!(id, "coinbase" | "kraken");
        let marker = match id {
            "coinbase" => r#""ETH-USD":"#,
            "kraken" => r#""XETHZUSD":"#,
            "gate" => r#"{"currency_pair":"ETH_USDT""#,
            "kucoin" => r#"{"symbol":"ETH-USDT""#,
            "bitget" => r#"{"symbol":"ETHUSDT""#,
            _ => r#"{"symbol":"ethusdt""#,
        };
        let start = body.find(marker).expect("the second entry") + if keyed { marker.len() } else { 0 };
        let third = match id {
            "coinbase" => r#","DOT-EUR""#,
            "kraken" => r#","DOTEUR""#,
            _ => ",{\"",
        };
        let end = start + body[start..].find(third).expect("the third entry");
        let entry = &body[start..end];
        let (last, price) = ("21.000", "21.1");
        let mut broken =
            ["null", "7", "\"x\"", "[]", "{}", "[[[]]]", "{\"symbol\":[]}", "true"].map(str::to_owned).to_vec();
        for bad in ["-1", "0", "NaN", "1e999", "{}", "", "1.2.3"] {
            broken.push(entry.replacen(&format!("\"{last}\""), &format!("\"{bad}\""), 1).replacen(
                &format!(":{last}"),
                &format!(":\"{bad}\""),
                1,
            ));
        }
        broken.push(entry.replacen(last, "-1", 1));
        assert!(entry.contains(last) && (id == "coinbase" || id == "kucoin" || entry.contains(price)), "{id}");
        for entry in broken {
            let changed = format!("{}{entry}{}", &body[..start], &body[end..]);
            let parsed = all(id, feed, path, &changed);
            let mut expected = whole.observations.clone();
            expected.remove(1);
            assert_eq!(parsed.observations, expected, "{id}: {entry}");
            assert_eq!(parsed.unresolved.len(), 1, "{id}: {entry}");
        }
    }
}

#[test]
fn answers_everything_asked_for_exactly_once() {
    for (id, feed, path, body) in bodies() {
        let venue = venue(id);
        let asked: Vec<Instrument> = ["BTC", "ETH", "NOPE"]
            .iter()
            .filter_map(|base| venue.listing(base, "USDT").or(venue.listing(base, "USD")))
            .collect();
        for count in 1..=asked.len() {
            let asked = &asked[..count];
            let parsed = parse(id, feed, asked, path, &body).unwrap_or_else(|error| panic!("{id}: {error}"));
            for instrument in asked {
                let observed = parsed.observations.iter().any(|seen| seen.instrument == *instrument);
                let missing = parsed.unresolved.iter().filter(|entry| entry.symbol == instrument.symbol).count();
                assert_eq!(usize::from(observed) + missing, 1, "{id} {}: {}", feed.as_str(), instrument.symbol);
            }
            assert!(parsed.observations.iter().all(|seen| asked.contains(&seen.instrument)), "{id}");
        }
    }
}

#[test]
fn kraken_answers_under_another_name_than_asked() {
    let kraken = venue("kraken");
    let asked = [kraken.instrument("XBTUSD").expect("a pair"), kraken.instrument("ADA/USD").expect("a pair")];
    let (_, _, path, body) = bodies().into_iter().find(|(id, ..)| *id == "kraken").expect("a body");
    let parsed = parse("kraken", Feed::Tickers, &asked, path, &body).expect("an answer");
    assert_eq!(parsed.observations[0].instrument, asked[0]);
    assert_eq!(unresolved(&parsed), [("ADA/USD", UnresolvedReason::NotAnswered, "")]);
}

#[test]
fn coinbase_bodies_without_a_product() {
    let body = r#"{"ask":"21.1","bid":"","volume":"9","trade_id":7,"price":"21.50","time":"2026-01-15T12:00:00Z"}"#;
    let parsed = all("coinbase", Feed::Tickers, "BTC-USD", body);
    assert_eq!(figures(&ticker(&parsed, 0)), "21.50 - 21.1 - - 9 -");
    assert_eq!(parsed.observations[0].instrument.symbol, "BTC-USD");
    let unasked = parse("coinbase", Feed::Tickers, &[], "", body);
    assert_eq!(unasked.err(), Some(VenueError::Unasked(AskPart::Instrument)));
    let stats = r#"{"open":"20","high":"23","low":"18","last":"21","volume":"9","volume_30day":"99"}"#;
    let parsed = all("coinbase", Feed::Tickers, "ETH-EUR", stats);
    assert_eq!(figures(&ticker(&parsed, 0)), "21 - - 23 18 9 -");
    assert_eq!(parsed.observations[0].instrument.quote, "EUR");
}

#[test]
fn htx_bodies_that_name_another_contract() {
    let htx = venue("htx");
    let body = r#"{"status":"ok","data":{"list":[{"buy_ratio":0.6,"sell_ratio":0.4,"ts":1700000100000}],"symbol":"ETH","contract_code":"ETH-USDT"}}"#;
    let asked = [htx.instrument("BTC-USDT").expect("a contract")];
    let parsed = parse("htx", Feed::LongShortRatios, &asked, "top-trader-account", body).expect("an answer");
    assert_eq!(unresolved(&parsed), [("BTC-USDT", UnresolvedReason::NotAnswered, "")]);
    let coin = body.replace(r#","contract_code":"ETH-USDT""#, "");
    let asked = [htx.instrument("ETH-USD").expect("a contract")];
    let parsed = parse("htx", Feed::LongShortRatios, &asked, "top-trader-account", &coin).expect("an answer");
    assert_eq!(parsed.observations[0].instrument, asked[0]);
    let merged = r#"{"status":"ok","ch":"market.ethusdt.detail.merged","ts":1700000000123,"tick":{"close":21,"bid":[20.9,1],"ask":[21.1,2],"vol":null}}"#;
    let parsed = all("htx", Feed::Tickers, "", merged);
    assert_eq!(figures(&ticker(&parsed, 0)), "21 20.9 21.1 - - - -");
    assert_eq!(parsed.observations[0].instrument.symbol, "ethusdt");
}

#[test]
fn symbols_that_are_no_spot_price() {
    use InstrumentKind::{Other, PerpetualInverse, PerpetualLinear, Spot};
    for (id, symbol, base, kind) in [
        ("kucoin", "BTC3L-USDT", "BTC3L", Other),
        ("kucoin", "ETHDOWN-USDT", "ETHDOWN", Other),
        ("kucoin", "JUP-USDT", "JUP", Spot),
        ("gate", "BTC3L_USDT", "BTC3L", Other),
        ("gate", "BTC_USDT_20260327", "BTC", Other),
        ("bitget", "BTCUSDT", "BTC", Spot),
        ("bitget", "BTCPERP", "BTC", PerpetualLinear),
        ("bitget", "BTCUSDH26", "BTC", Other),
        ("htx", "btc3susdt", "BTC3S", Other),
        ("htx", "btcusdt", "BTC", Spot),
        ("htx", "BTC-USDT", "BTC", PerpetualLinear),
        ("htx", "BTC-USD", "BTC", PerpetualInverse),
        ("htx", "BTC-USDT-260327", "BTC", Other),
        ("htx", "BTC", "BTC", Other),
        ("coinbase", "BTC-USD", "BTC", Spot),
    ] {
        let instrument = venue(id).instrument(symbol).unwrap_or_else(|| panic!("{id} {symbol} is not split"));
        assert_eq!((instrument.base.as_str(), instrument.kind), (base, kind), "{id} {symbol}");
    }
    for (id, symbol) in [
        ("coinbase", "BTCUSD"),
        ("kucoin", "-USDT"),
        ("gate", "BTCUSDT"),
        ("bitget", "???"),
        ("htx", "foo"),
        ("htx", ""),
    ] {
        assert_eq!(venue(id).instrument(symbol), None, "{id} {symbol}");
    }
    let futures = r#"{"code":"00000","data":[{"category":"USDT-FUTURES","symbol":"1000PEPEUSDT","lastPrice":"21","deliveryTime":"0"},{"category":"USDT-FUTURES","symbol":"BTCUSDT","lastPrice":"21","deliveryTime":"1800000000000"}]}"#;
    let parsed = all("bitget", Feed::Tickers, "", futures);
    let seen: Vec<_> = parsed.observations.iter().map(|seen| &seen.instrument).collect();
    assert_eq!((seen[0].base.as_str(), seen[0].multiplier, seen[0].kind), ("PEPE", 1_000, PerpetualLinear));
    assert_eq!(seen[1].kind, Other);
    let gate =
        all("gate", Feed::Tickers, "", r#"[{"contract":"BTC_USD","last":21,"volume_24h":"5","volume_24h_base":"9"}]"#);
    assert_eq!(
        (gate.observations[0].instrument.kind, figures(&ticker(&gate, 0)).as_str()),
        (PerpetualInverse, "21 - - - - 9 -")
    );
}

#[test]
fn long_and_short_shares() {
    for (id, feed, path, body) in bodies() {
        if feed != Feed::LongShortRatios {
            continue;
        }
        let parsed = all(id, feed, path, &body);
        let seen: Vec<_> = parsed
            .observations
            .iter()
            .map(|seen| match &seen.payload {
                Payload::LongShort(shares) => (shares.kind, shares.period, shares.ratio, shares.long_share),
                other => panic!("{id}: {other:?}"),
            })
            .collect();
        let near = |observed: f64, expected: f64| assert!((observed - expected).abs() < 1e-12, "{id}: {observed}");
        match id {
            "gate" => {
                let kinds: Vec<_> = seen.iter().map(|(kind, ..)| *kind).collect();
                use LongShortKind::{GlobalAccount, TopTraderAccount, TopTraderPosition};
                assert_eq!(kinds, [GlobalAccount, TopTraderAccount, TopTraderPosition]);
                let ratios: Vec<_> = seen.iter().map(|(_, period, ratio, _)| (*period, *ratio)).collect();
                let period = Some(Period::FiveMinutes);
                assert_eq!(ratios, [(period, 1.5), (period, 3.0), (period, 0.25)]);
                near(seen[1].3, 0.75);
            }
            "bitget" => {
                assert_eq!((seen[0].0, seen[0].1), (LongShortKind::GlobalAccount, Some(Period::FifteenMinutes)));
                near(seen[0].2, 1.5);
                near(seen[0].3, 0.6);
            }
            _ => {
                assert_eq!((seen[0].0, seen[0].1), (LongShortKind::TopTraderPosition, Some(Period::OneHour)));
                near(seen[0].2, 1.5);
                near(seen[0].3, 0.6);
                let account = all(id, feed, "top-trader-account", &body);
                let Payload::LongShort(shares) = &account.observations[0].payload else { panic!("{id}: no shares") };
                assert_eq!((shares.kind, shares.period), (LongShortKind::TopTraderAccount, None));
            }
        }
    }
}

#[test]
fn shares_that_say_nothing() {
    let path = "BTCUSDT 5m";
    for (row, reason, field) in [
        (
            r#"{"longAccountRatio":"1","shortAccountRatio":"0","ts":"1"}"#,
            UnresolvedReason::NoValue,
            "shortAccountRatio",
        ),
        (
            r#"{"longAccountRatio":"77","shortAccountRatio":"23","ts":"1"}"#,
            UnresolvedReason::Implausible,
            "longAccountRatio",
        ),
        (
            r#"{"longAccountRatio":"","shortAccountRatio":"0.2","ts":"1"}"#,
            UnresolvedReason::NoValue,
            "longAccountRatio",
        ),
        (
            r#"{"longAccountRatio":"-1","shortAccountRatio":"2","ts":"1"}"#,
            UnresolvedReason::Implausible,
            "longAccountRatio",
        ),
        (r#"{"longAccountRatio":"0.5","shortAccountRatio":"0.5"}"#, UnresolvedReason::NoValue, "ts"),
        // Margin loans are of no kind that is kept.
        (r#"{"longRatio":"0.5","shortRatio":"0.5","ts":"1"}"#, UnresolvedReason::NoValue, "longRatio"),
    ] {
        let parsed = all("bitget", Feed::LongShortRatios, path, &format!(r#"{{"code":"00000","data":[{row}]}}"#));
        assert_eq!(unresolved(&parsed), [("BTCUSDT", reason, field)], "{row}");
    }
    let row = r#"[{"time":1700000100,"lsr_account":0,"lsr_taker":null,"top_lsr_size":""}]"#;
    let parsed = all("gate", Feed::LongShortRatios, "BTC_USDT", row);
    assert_eq!(unresolved(&parsed), [("BTC_USDT", UnresolvedReason::NoValue, "lsr_account")]);
    let row = r#"[{"time":1700000100,"lsr_account":"x","lsr_taker":2}]"#;
    let parsed = all("gate", Feed::LongShortRatios, "BTC_USDT", row);
    assert_eq!(parsed.observations.len(), 1);
    assert_eq!(unresolved(&parsed), [("BTC_USDT", UnresolvedReason::Malformed, "lsr_account")]);
}

#[test]
fn open_interest_has_its_unit() {
    for (id, feed, path, body) in bodies() {
        if feed != Feed::OpenInterest {
            continue;
        }
        let parsed = all(id, feed, path, &body);
        let Payload::OpenInterest(open) = &parsed.observations[0].payload else { panic!("{id}: no open interest") };
        let usd = open.open_interest_usd.map(|usd| usd.to_string());
        match id {
            "gate" => {
                assert_eq!(
                    (open.open_interest.to_string().as_str(), open.unit),
                    ("1234.5", OpenInterestUnit::Contracts)
                );
                assert_eq!(usd.as_deref(), Some("5678"));
            }
            _ => {
                assert_eq!((open.open_interest.to_string().as_str(), open.unit), ("77.5", OpenInterestUnit::Base));
                assert_eq!(usd, None);
            }
        }
        assert_eq!(parsed.observations[0].instrument.kind, InstrumentKind::PerpetualLinear, "{id}");
    }
    let mix =
        r#"{"code":"00000","data":[{"symbol":"BTCUSDT","lastPr":"21","holdingAmount":"5","open24h":"20","ts":"1"}]}"#;
    let parsed = all("bitget", Feed::OpenInterest, "", mix);
    assert!(
        matches!(&parsed.observations[0].payload, Payload::OpenInterest(open) if open.open_interest.to_string() == "5")
    );
}

#[test]
fn frames_hold_what_they_say() {
    let expected = [
        ("BTC-USD", "21 20.9 21.1 23 18 9 -"),
        ("ETH-USD", "21 - 21.1 - - - -"),
        ("BTC/USD", "21.0 20.9 21.10 23 18 9.0 -"),
        ("BTC/USD", "- 20.9 21.1 - - - -"),
        ("BTC_USDT", "21 20.9 21.1 - - - -"),
        ("BTC_USDT", "long/short"),
        ("BTCUSDT", "21 20.9 21.1 - - - -"),
    ];
    for ((id, frame), (symbol, text)) in FRAMES.into_iter().zip(expected) {
        let parsed = data(id, frame);
        assert_eq!(parsed.observations[0].instrument.symbol, symbol);
        assert_eq!(parsed.observations.len(), 1, "{id}: {frame}");
        match &parsed.observations[0].payload {
            Payload::Ticker(ticker) => assert_eq!(figures(ticker), text, "{frame}"),
            _ => assert_eq!(text, "long/short"),
        }
    }
    assert_eq!(data("bitget", FRAMES[6].1).observations[0].instrument.kind, InstrumentKind::PerpetualLinear);
}

#[test]
fn frames_without_data() {
    let read = |id: &str, frame: &str| {
        stream(id).parse_frame(frame.as_bytes()).unwrap_or_else(|error| panic!("{frame}: {error}"))
    };
    for (id, frame) in [
        ("coinbase", r#"{"type":"heartbeat","sequence":1}"#),
        ("kraken", r#"{"channel":"heartbeat"}"#),
        ("gate", r#"{"time":1,"channel":"spot.pong","event":"","result":null}"#),
        ("bitget", "pong"),
    ] {
        assert!(matches!(read(id, frame), Frame::Alive), "{frame}");
    }
    for (id, frame) in [
        ("coinbase", r#"{"type":"subscriptions","channels":[]}"#),
        ("kraken", r#"{"method":"subscribe","success":true,"result":{"channel":"ticker"}}"#),
        (
            "gate",
            r#"{"time":1,"channel":"spot.tickers","event":"subscribe","error":null,"result":{"status":"success"}}"#,
        ),
        ("bitget", r#"{"event":"subscribe","arg":{"instType":"SPOT","channel":"ticker","instId":"BTCUSDT"}}"#),
    ] {
        assert!(matches!(read(id, frame), Frame::Subscribed), "{frame}");
    }
    for (id, frame, symbol) in [
        (
            "coinbase",
            r#"{"type":"error","message":"Failed to subscribe","reason":"ABC-USD is not a valid product"}"#,
            "ABC-USD",
        ),
        (
            "kraken",
            r#"{"method":"subscribe","success":false,"error":"Currency pair not supported ABC/USD","symbol":"ABC/USD"}"#,
            "ABC/USD",
        ),
        (
            "gate",
            r#"{"channel":"spot.tickers","event":"subscribe","error":{"code":2,"message":"unknown currency pair: ABC_USDT"},"result":null}"#,
            "ABC_USDT",
        ),
        ("bitget", r#"{"event":"error","arg":{"instId":"ABCUSDT"},"code":30001,"msg":"x"}"#, "ABCUSDT"),
    ] {
        assert!(matches!(read(id, frame), Frame::Refused { symbol: refused, .. } if refused == symbol), "{frame}");
    }
    assert!(matches!(read("kraken", r#"{"channel":"status","data":[{"system":"online"}]}"#), Frame::Ignored));
}

#[test]
fn frames_without_a_price() {
    let share = r#"{"channel":"ticker","type":"snapshot","data":[{"symbol":"AAPLx/USD","bid":0,"ask":0,"last":0,"timestamp":"1970-01-01T00:00:00Z"},{"symbol":"BTC/USD","last":21,"timestamp":"1970-01-01T00:00:00Z"}]}"#;
    let parsed = data("kraken", share);
    assert_eq!(unresolved(&parsed), [("AAPLx/USD", UnresolvedReason::NoValue, "last")]);
    assert_eq!(parsed.observations[0].event_time, None);
}

#[test]
fn requests_stay_within_what_is_declared() {
    for id in VENUES {
        let venue = venue(id);
        let asked: Vec<Instrument> = ["BTC", "ETH"].iter().filter_map(|base| venue.listing(base, "USDT")).collect();
        assert_eq!(asked.len(), 2, "{id}");
        for feed in Feed::ALL {
            for asked in [&asked[..0], &asked[..1], &asked[..]] {
                let requests = venue.requests(feed, asked, &RequestOptions::default());
                let has = venue.profile().feed(feed).is_some();
                assert!(has || requests.is_empty(), "{id} {feed}");
                assert!(!has || asked.is_empty() || !requests.is_empty(), "{id} {feed}");
                for request in &requests {
                    assert!(request.path.starts_with('/'), "{id} {}", request.path);
                    assert!(
                        venue.profile().limits.iter().any(|limit| limit.scope == request.scope),
                        "{id} {}",
                        request.scope
                    );
                    assert!(asked.is_empty() || !request.ask.instruments.is_empty(), "{id} {feed}");
                }
            }
        }
        let Some(stream) = venue.stream() else { continue };
        for frame in stream.subscribe(&asked) {
            serde_json::from_str::<serde_json::Value>(&frame).unwrap_or_else(|error| panic!("{id} {frame}: {error}"));
        }
        assert!(stream.subscribe(&[]).is_empty(), "{id}");
    }
}

proptest! {
    #[test]
    fn mangled_bodies_never_panic(
        which in 0usize..14, cut in any::<prop::sample::Index>(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), asks in any::<bool>(),
    ) {
        let (id, feed, words, body) = bodies().swap_remove(which);
        let mut bytes = body.into_bytes();
        for (index, byte) in &flips {
            let at = index.index(bytes.len());
            bytes[at] = *byte;
        }
        if flips.len() % 2 == 0 {
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        let asked: Vec<Instrument> = if asks { venue(id).listing("BTC", "USDT").into_iter().collect() } else { Vec::new() };
        let response = Response { status: 200, body: Bytes::from(bytes), ..Response::default() };
        let mut ask = question(venue(id), feed, words);
        if asks {
            ask = Ask { instruments: asked.clone(), reports_every_entry: false, ..ask };
        }
        if let Ok(parsed) = venue(id).parse(&ask, &response) {
            for instrument in &asked {
                let observed = parsed.observations.iter().any(|seen| seen.instrument == *instrument);
                let missing = parsed.unresolved.iter().filter(|entry| entry.symbol == instrument.symbol).count();
                prop_assert_eq!(usize::from(observed) + missing, 1);
            }
        }
    }

    #[test]
    fn mangled_frames_never_panic(
        which in 0usize..7, cut in any::<prop::sample::Index>(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let (id, frame) = FRAMES[which];
        let mut bytes = frame.as_bytes().to_vec();
        for (index, byte) in &flips {
            let at = index.index(bytes.len());
            bytes[at] = *byte;
        }
        if flips.len() % 2 == 0 {
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        for id in STREAMS.into_iter().chain([id]) {
            let _ = stream(id).parse_frame(&bytes);
        }
    }

    #[test]
    fn any_symbol_splits_or_not(symbol in "\\PC{0,12}|[A-Z0-9]{1,10}[-_/.]?(USDT|USD|ZUSD|XXBT|PERP)?[A-Z0-9]{0,3}") {
        for id in VENUES {
            if let Some(instrument) = venue(id).instrument(&symbol) {
                prop_assert_eq!(instrument.symbol.as_str(), symbol.as_str());
                prop_assert!(!instrument.base.is_empty() && !instrument.quote.is_empty());
            }
            let _ = venue(id).listing(&symbol, "USD");
        }
    }
}
