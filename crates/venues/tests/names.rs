//! What venues call things: symbols after a rename, families of contracts, multipliers, splits of joined symbols. The
//! bodies are invented in the documented shapes.

use std::collections::HashSet;

use bytes::Bytes;
use crossmarket_domain::{Feed, Instrument, InstrumentKind};
use crossmarket_venues::{Ask, Frame, Parsed, REGISTRY, Response, find};

fn parse(id: &str, feed: Feed, body: &str) -> Parsed {
    let response = Response { status: 200, body: Bytes::from(body.to_owned()), ..Response::default() };
    find(id).expect("registered").parse(&Ask::all(feed), &response).expect(body)
}

fn only(parsed: Parsed) -> Instrument {
    let [observation] = parsed.observations.as_slice() else { panic!("one observation: {parsed:?}") };
    observation.instrument.clone()
}

fn described(instrument: &Instrument) -> (&str, &str, &str, u32) {
    (&instrument.symbol, &instrument.base, &instrument.quote, instrument.multiplier)
}

#[test]
fn kucoin_s_current_name_counts_and_its_symbol_stays() {
    let ticker = r#"{"symbol":"BCHSV-USDT","symbolName":"BSV-USDT","buy":"15","sell":"16","last":"15.5"}"#;
    let body = format!(r#"{{"code":"200000","data":{{"time":1776000000000,"ticker":[{ticker}]}}}}"#);
    let instrument = only(parse("kucoin", Feed::Tickers, &body));
    assert_eq!(described(&instrument), ("BCHSV-USDT", "BSV", "USDT", 1));
}

#[test]
fn a_family_of_contracts_is_no_currency() {
    let body = r#"{"code":"0","data":[{"instType":"SWAP","instId":"BTC-USD_UM-SWAP","oi":"200","oiCcy":"2","oiUsd":"180000","ts":"1776000000000"}]}"#;
    let instrument = only(parse("okx", Feed::OpenInterest, body));
    assert_eq!(described(&instrument), ("BTC-USD_UM-SWAP", "BTC", "USD", 1));
    assert_eq!(instrument.kind, InstrumentKind::PerpetualLinear);
}

#[test]
fn multipliers_apply_to_spot_and_to_futures_streams() {
    let body = r#"[{"symbol":"1000SATSUSDT","lastPrice":"0.2","bidPrice":"0.1","askPrice":"0.3","volume":"1","quoteVolume":"1","highPrice":"1","lowPrice":"0.1","closeTime":1776000000000}]"#;
    assert_eq!(described(&only(parse("binance", Feed::Tickers, body))), ("1000SATSUSDT", "SATS", "USDT", 1_000));
    let frame = r#"{"time":1776000000,"time_ms":1776000000000,"channel":"futures.book_ticker","event":"update","result":{"t":1776000000000,"s":"1000CHEEMS_USDT","b":"1","a":"2"}}"#;
    let stream = find("gate").and_then(|venue| venue.stream()).expect("a stream");
    let Frame::Data(parsed) = stream.parse_frame(frame.as_bytes()).expect("a frame") else { panic!("data") };
    let instrument = only(parsed);
    assert_eq!(described(&instrument), ("1000CHEEMS_USDT", "CHEEMS", "USDT", 1_000));
    assert_eq!(instrument.kind, InstrumentKind::PerpetualLinear);
}

#[test]
fn joined_symbols_are_split_where_the_base_is_an_asset() {
    let venue = find("binance").expect("registered");
    for (symbol, base, quote) in
        [("USDTUSD", "USDT", "USD"), ("BNBUSD", "BNB", "USD"), ("ETHUSD", "ETH", "USD"), ("BTCUSDT", "BTC", "USDT")]
    {
        let instrument = venue.instrument(symbol).expect(symbol);
        assert_eq!((instrument.base.as_str(), instrument.quote.as_str()), (base, quote), "{symbol}");
    }
}

#[test]
fn a_code_of_a_venue_means_something_else_and_occurs_once() {
    for venue in REGISTRY {
        let mut seen = HashSet::new();
        for (code, means) in venue.profile().codes {
            assert!(code != means && seen.insert(code), "{}: {code}", venue.id());
        }
    }
}
