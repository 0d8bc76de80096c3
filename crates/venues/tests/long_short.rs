//! What the venues' statistics of traders mean: every kind, its traps, and the requests for it. The bodies are handwritten.

use proptest::prelude::*;

use crossmarket_domain::observation::OpenInterestUnit;
use crossmarket_domain::{Feed, Instrument, InstrumentKind, LongShortKind, Payload, Period, Timestamp};
use crossmarket_venues::{
    self as venues, Ask, Parsed, Request, RequestOptions, Response, UnresolvedReason, Venue, VenueError,
};

#[path = "support/question.rs"]
#[allow(dead_code, reason = "recorded files have their questions in their names")]
mod question;

use question::question;

const VENUES: [&str; 6] = ["binance-usdm", "bybit", "okx", "bitget", "gate", "htx"];

fn venue(id: &str) -> &'static dyn Venue {
    venues::find(id).expect("registered")
}

fn parse(id: &str, feed: Feed, asked: &[Instrument], words: &str, body: &str) -> Result<Parsed, VenueError> {
    let response = Response {
        status: 200,
        body: body.as_bytes().to_vec().into(),
        content_type: "application/json".into(),
        ..Response::default()
    };
    let mut ask = question(venue(id), feed, words);
    if !asked.is_empty() {
        ask = Ask { instruments: asked.to_vec(), reports_every_entry: false, ..ask };
    }
    venue(id).parse(&ask, &response)
}

fn instrument(symbol: &str, base: &str, quote: &str, kind: InstrumentKind, multiplier: u32) -> Instrument {
    Instrument { symbol: symbol.into(), base: base.into(), quote: quote.into(), kind, multiplier }
}

fn perpetual(symbol: &str, base: &str) -> Instrument {
    instrument(symbol, base, "USDT", InstrumentKind::PerpetualLinear, 1)
}

/// Kind, period, long share to four places.
fn shares(parsed: &Parsed) -> Vec<(LongShortKind, Option<Period>, String)> {
    let each = parsed.observations.iter().map(|observation| match &observation.payload {
        Payload::LongShort(value) => {
            assert!((value.long_share + value.short_share - 1.0).abs() < 1e-12, "{value:?}");
            assert!((value.ratio - value.long_share / value.short_share).abs() < 1e-9 * value.ratio, "{value:?}");
            (value.kind, value.period, format!("{:.4}", value.long_share))
        }
        other => panic!("no shares: {other:?}"),
    });
    each.collect()
}

#[test]
fn every_kind_of_every_venue_is_read_as_what_it_is() {
    use LongShortKind::{GlobalAccount, GlobalPosition, TakerVolume, TopTraderAccount, TopTraderPosition};
    let about = |symbol: &str, kind: LongShortKind| format!("{symbol} 15m {}", kind.series_word());
    let (okx, coin) = ("ABC-USDT-SWAP", "ABC-USDT");
    let sides = r#"[{"symbol":"ABCUSDT","longAccount":"0.6","shortAccount":"0.4","longShortRatio":"1.5","timestamp":1700000100000}]"#;
    let takers = r#"[{"buySellRatio":"1.5","buyVol":"30","sellVol":"20","timestamp":1700000100000}]"#;
    let rubik = r#"{"code":"0","msg":"","data":[["1700000100000","1.5"]]}"#;
    let sold_first = r#"{"code":"0","msg":"","data":[["1700000100000","20","30"]]}"#;
    let of_bitget = |row: &str| format!(r#"{{"code":"00000","data":[{row}]}}"#);
    for (id, path, body, kind) in [
        ("binance-usdm", about("", GlobalAccount), sides.to_owned(), GlobalAccount),
        ("binance-usdm", about("ABCUSDT", TopTraderAccount), sides.to_owned(), TopTraderAccount),
        ("binance-usdm", about("ABCUSDT", TopTraderPosition), sides.to_owned(), TopTraderPosition),
        ("binance-usdm", about("ABCUSDT", TakerVolume), takers.to_owned(), TakerVolume),
        ("okx", about(coin, GlobalAccount), rubik.to_owned(), GlobalAccount),
        ("okx", about(okx, GlobalAccount), rubik.to_owned(), GlobalAccount),
        ("okx", about(okx, TopTraderAccount), rubik.to_owned(), TopTraderAccount),
        ("okx", about(okx, TopTraderPosition), rubik.to_owned(), TopTraderPosition),
        ("okx", about(okx, TakerVolume), sold_first.to_owned(), TakerVolume),
        ("okx", about(coin, TakerVolume), sold_first.to_owned(), TakerVolume),
        (
            "bitget",
            "ABCUSDT 15m".to_owned(),
            of_bitget(
                r#"{"longAccountRatio":"0.6","shortAccountRatio":"0.4","longShortAccountRatio":"0.015","ts":"1700000100000"}"#,
            ),
            GlobalAccount,
        ),
        (
            "bitget",
            "ABCUSDT 15m".to_owned(),
            of_bitget(
                r#"{"longPositionRatio":"0.6","shortPositionRatio":"0.4","longShortPositionRatio":"0.015","ts":"1700000100000"}"#,
            ),
            GlobalPosition,
        ),
        (
            "bitget",
            "ABCUSDT 15m".to_owned(),
            of_bitget(r#"{"buyVolume":"30","sellVolume":"20","ts":"1700000100000"}"#),
            TakerVolume,
        ),
    ] {
        let parsed = parse(id, Feed::LongShortRatios, &[], &path, &body).expect(&path);
        // OKX has no fifteen minutes of a currency as a whole, but a body answers its question.
        assert_eq!(shares(&parsed), [(kind, Some(Period::FifteenMinutes), "0.6000".to_owned())], "{id} {path}");
        assert_eq!(parsed.observations[0].event_time, Some(Timestamp::from_seconds(1_700_000_100)), "{path}");
        assert!(parsed.unresolved.is_empty(), "{path}: {:?}", parsed.unresolved);
    }
}

#[test]
fn a_pair_of_locked_sides_is_taken_of_their_sum() {
    let path = "1h top-trader-account";
    for quote in ["USDT", "USD"] {
        let body = format!(
            r#"{{"status":"ok","ts":1,"data":{{"list":[{{"buy_ratio":0.54,"sell_ratio":0.36,"locked_ratio":0.1,"ts":1700000100000}}],"symbol":"ABC","contract_code":"ABC-{quote}"}}}}"#
        );
        let parsed = parse("htx", Feed::LongShortRatios, &[], path, &body).expect(path);
        assert_eq!(shares(&parsed), [(LongShortKind::TopTraderAccount, Some(Period::OneHour), "0.6000".to_owned())]);
        let kind = if quote == "USD" { InstrumentKind::PerpetualInverse } else { InstrumentKind::PerpetualLinear };
        assert_eq!(parsed.observations[0].instrument.kind, kind, "{path}");
    }
}

#[test]
fn a_side_of_nothing_gives_no_ratio() {
    let check = |id: &str, path: &str, body: &str| {
        let parsed = parse(id, Feed::LongShortRatios, &[], path, body).expect(path);
        assert!(parsed.observations.is_empty(), "{id}: {:?}", parsed.observations);
        assert!(
            parsed.unresolved.iter().all(|entry| entry.reason == UnresolvedReason::NoValue),
            "{:?}",
            parsed.unresolved
        );
        assert_eq!(parsed.unresolved.len(), 1, "{id}");
    };
    let binance = "ABCUSDT 5m global-account";
    for row in [
        r#"{"symbol":"ABCUSDT","longAccount":"1","shortAccount":"0","longShortRatio":"0","timestamp":1700000100000}"#,
        r#"{"symbol":"ABCUSDT","longAccount":"0.6","longShortRatio":"1.5","timestamp":1700000100000}"#,
        r#"{"symbol":"ABCUSDT","longShortRatio":"0","timestamp":1700000100000}"#,
    ] {
        check("binance-usdm", binance, &format!("[{row}]"));
    }
    let bybit = |buy: &str, sell: &str| {
        format!(
            r#"{{"retCode":0,"result":{{"list":[{{"symbol":"ABCUSDT","buyRatio":"{buy}","sellRatio":"{sell}","timestamp":"1700000100000"}}]}}}}"#
        )
    };
    let path = "5m";
    check("bybit", path, &bybit("1", "0"));
    check("bybit", path, &bybit("0.6", ""));
    let okx = "ABC-USDT-SWAP 5m taker-volume";
    check("okx", okx, r#"{"code":"0","data":[["1700000100000","0","30"]]}"#);
    let bitget = "ABCUSDT 5m";
    check("bitget", bitget, r#"{"code":"00000","data":[{"buyVolume":"0","sellVolume":"20","ts":"1700000100000"}]}"#);
}

#[test]
fn nothing_is_made_of_an_empty_list_or_a_refusal() {
    for (id, path, empty, refusal) in [
        ("binance-usdm", "GONEUSDT 5m global-account", "[]", r#"{"code":-1121,"msg":"Invalid symbol."}"#),
        (
            "bybit",
            "GONEUSDT 5m",
            r#"{"retCode":0,"result":{"list":[],"nextPageCursor":""}}"#,
            r#"{"retCode":10001,"retMsg":"params error"}"#,
        ),
        (
            "okx",
            "GONE-USDT-SWAP 5m global-account",
            r#"{"code":"0","data":[]}"#,
            r#"{"code":"51001","msg":"no such instrument","data":[]}"#,
        ),
        (
            "bitget",
            "GONEUSDT 5m",
            r#"{"code":"00000","data":[]}"#,
            r#"{"code":"40034","msg":"Parameter GONEUSDT does not exist"}"#,
        ),
        ("gate", "GONE_USDT 5m", "[]", r#"{"label":"CONTRACT_NOT_FOUND","message":"no such contract"}"#),
        (
            "htx",
            "GONE-USDT 5m top-trader-account",
            r#"{"status":"ok","ts":1,"data":{"list":[],"symbol":"GONE","contract_code":"GONE-USDT"}}"#,
            r#"{"status":"error","err_code":1332,"err_msg":"no such contract"}"#,
        ),
    ] {
        let symbol = path.split(' ').find(|word| word.contains("GONE")).expect("a symbol");
        let asked = [perpetual(symbol, "GONE")];
        let parsed = parse(id, Feed::LongShortRatios, &asked, path, empty).expect(id);
        assert!(parsed.observations.is_empty(), "{id}");
        let unresolved: Vec<_> = parsed.unresolved.iter().map(|entry| (entry.symbol.as_str(), entry.reason)).collect();
        assert_eq!(unresolved, [(symbol, UnresolvedReason::NotAnswered)], "{id}");
        let refused = parse(id, Feed::LongShortRatios, &asked, path, refusal);
        assert!(matches!(refused, Err(VenueError::Rejected(_))), "{id}: {refused:?}");
    }
}

#[test]
fn a_contract_of_a_thousand_units_is_about_its_asset() {
    let body = r#"[{"symbol":"1000PEPEUSDT","longAccount":"0.6","shortAccount":"0.4","longShortRatio":"1.5","timestamp":1700000100000}]"#;
    let path = "1000PEPEUSDT 5m global-account";
    let parsed = parse("binance-usdm", Feed::LongShortRatios, &[], path, body).expect("read");
    let about = &parsed.observations[0].instrument;
    assert_eq!((about.base.as_str(), about.multiplier, about.symbol.as_str()), ("PEPE", 1_000, "1000PEPEUSDT"));
    let body = r#"{"retCode":0,"result":{"list":[{"symbol":"SHIB1000USDT","buyRatio":"0.6","sellRatio":"0.4","timestamp":"1700000100000"}]}}"#;
    let path = "5m";
    let parsed = parse("bybit", Feed::LongShortRatios, &[], path, body).expect("read");
    let about = &parsed.observations[0].instrument;
    assert_eq!((about.base.as_str(), about.multiplier), ("SHIB", 1_000));
}

#[test]
fn requests_name_the_symbol_the_period_and_the_span() {
    let start = Timestamp::from_seconds(1_700_000_100);
    let asked: [(&str, Instrument); 6] = [
        ("binance-usdm", instrument("1000PEPEUSDT", "PEPE", "USDT", InstrumentKind::PerpetualLinear, 1_000)),
        ("bybit", perpetual("ABCUSDT", "ABC")),
        ("okx", perpetual("ABC-USDT-SWAP", "ABC")),
        ("bitget", perpetual("ABCUSDT", "ABC")),
        ("gate", perpetual("ABC_USDT", "ABC")),
        ("htx", perpetual("ABC-USDT", "ABC")),
    ];
    for (id, asked) in asked {
        for period in Period::ALL {
            let options = RequestOptions {
                period: Some(period),
                start: Some(start),
                end: Some(start + period.duration() * 10),
                limit: Some(10),
                ..RequestOptions::default()
            };
            let requests: Vec<Request> =
                venue(id).requests(Feed::LongShortRatios, std::slice::from_ref(&asked), &options);
            assert!(!requests.is_empty(), "{id}");
            for request in &requests {
                assert!(request.path.contains(asked.symbol.as_str()), "{id}: {}", request.path);
                assert!(
                    venue(id).profile().limits.iter().any(|limit| limit.scope == request.scope),
                    "{id}: {}",
                    request.scope
                );
                // The question stays with its request.
                assert_eq!((&request.ask.instruments[..], request.ask.period), (&[asked.clone()][..], Some(period)));
            }
            let kinds = venue(id).profile().long_short_kinds.len();
            // Gate has all kinds in one row.
            assert_eq!(requests.len(), if id == "gate" { 1 } else { kinds }, "{id}");
        }
    }
    let inverse = instrument("ABC-USD", "ABC", "USD", InstrumentKind::PerpetualInverse, 1);
    let requests = venue("htx").requests(Feed::LongShortRatios, &[inverse], &RequestOptions::default());
    assert!(requests.iter().all(|request| request.path.starts_with("/swap-api/v1/")), "{requests:?}");
}

#[test]
fn open_interest_comes_with_its_unit_and_dollars() {
    let check = |id: &str, path: &str, body: &str, expected: (&str, OpenInterestUnit, Option<&str>)| {
        let parsed = parse(id, Feed::OpenInterest, &[], path, body).expect(path);
        let Payload::OpenInterest(value) = &parsed.observations[0].payload else { panic!("{id}: no open interest") };
        let usd = value.open_interest_usd.map(|usd| usd.to_string());
        assert_eq!((value.open_interest.to_string().as_str(), value.unit, usd.as_deref()), expected, "{id}");
        assert_eq!(parsed.observations[0].instrument.kind, InstrumentKind::PerpetualLinear, "{id}");
    };
    let swaps = r#"{"status":"ok","ts":1700000000000,"data":[{"volume":1200,"amount":12.5,"value":25000.5,"symbol":"ABC","contract_code":"ABC-USDT"}]}"#;
    check("htx", "", swaps, ("12.5", OpenInterestUnit::Base, Some("25000.5")));
    let tickers = r#"[{"contract":"ABC_USDT","last":"2","total_size":"1234","mark_price":"2"}]"#;
    check("gate", "", tickers, ("1234", OpenInterestUnit::Contracts, None));
    let history = r#"{"retCode":0,"result":{"category":"linear","symbol":"ABCUSDT","list":[{"openInterest":"10.5","timestamp":"1700000100000"}]}}"#;
    check("bybit", "", history, ("10.5", OpenInterestUnit::Base, None));
}

#[test]
fn the_present_and_the_past_of_open_interest_are_asked_for_apart() {
    let asked = [perpetual("ABCUSDT", "ABC")];
    let past = RequestOptions { period: Some(Period::OneHour), ..RequestOptions::default() };
    for (id, now, then) in [
        ("binance-usdm", "/fapi/v1/openInterest?symbol=ABCUSDT", "/futures/data/openInterestHist?"),
        ("bybit", "/v5/market/tickers?category=linear", "/v5/market/open-interest?category=linear"),
    ] {
        for (options, start) in [(RequestOptions::default(), now), (past.clone(), then)] {
            let requests = venue(id).requests(Feed::OpenInterest, &asked, &options);
            assert!(requests[0].path.starts_with(start), "{id}: {}", requests[0].path);
        }
    }
}

proptest! {
    /// Any number that a venue sends is either read in the normal form or not read at all.
    #[test]
    fn the_normal_form_holds_for_any_numbers(long in "-?[0-9]{1,12}(\\.[0-9]{1,12})?", short in "-?[0-9]{1,12}(\\.[0-9]{1,12})?") {
        let bodies = [
            ("binance-usdm", "ABCUSDT 5m global-account".to_owned(),
             format!(r#"[{{"symbol":"ABCUSDT","longAccount":"{long}","shortAccount":"{short}","timestamp":1700000100000}}]"#)),
            ("okx", "ABC-USDT-SWAP 5m taker-volume".to_owned(),
             format!(r#"{{"code":"0","data":[["1700000100000","{short}","{long}"]]}}"#)),
            ("gate", "ABC_USDT 5m".to_owned(),
             format!(r#"[{{"time":1700000100,"lsr_account":"{long}","lsr_taker":{short}}}]"#)),
            ("htx", "5m top-trader-account".to_owned(),
             format!(r#"{{"status":"ok","ts":1,"data":{{"list":[{{"buy_ratio":{long},"sell_ratio":{short},"ts":1700000100000}}],"symbol":"ABC","contract_code":"ABC-USDT"}}}}"#)),
        ];
        for (id, path, body) in bodies {
            // A number with a leading zero is not valid JSON; refusing the body is fine, too.
            if let Ok(parsed) = parse(id, Feed::LongShortRatios, &[], &path, &body) {
                for observation in &parsed.observations {
                    let Payload::LongShort(value) = &observation.payload else { panic!("no shares") };
                    prop_assert!(value.long_share > 0.0 && value.long_share < 1.0, "{value:?}");
                    prop_assert!((value.long_share + value.short_share - 1.0).abs() < 1e-9, "{value:?}");
                    prop_assert!(value.ratio.is_finite() && value.ratio > 0.0, "{value:?}");
                }
            }
        }
    }
}

#[test]
fn the_venues_with_ratios_are_these() {
    let with: Vec<&str> = venues::REGISTRY
        .iter()
        .filter(|venue| !venue.profile().long_short_kinds.is_empty())
        .map(|venue| venue.id().as_str())
        .collect();
    let mut expected = VENUES;
    expected.sort_unstable();
    let mut sorted = with.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    for id in with {
        assert!(
            [Feed::LongShortRatios, Feed::OpenInterest].iter().all(|feed| venue(id).profile().feed(*feed).is_some()),
            "{id}"
        );
    }
}
