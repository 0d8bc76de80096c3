//! Recorded answers of the market-cap listings, compared figure by figure with another JSON reader's view of the same file. The files lie
//! outside the repository; without them these tests say so and pass.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;

use crate::shared_data;
use crossmarket_domain::observation::MarketCap;
use crossmarket_domain::{Decimal, Feed, Payload, Timestamp};
use crossmarket_venues::{Ask, Parsed, Response, VenueError, find};

fn files(venue: &str, prefix: &str) -> Vec<PathBuf> {
    let Some(root) = shared_data() else { return Vec::new() };
    let entries = std::fs::read_dir(root.join(venue)).expect("recordings of the venue");
    let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| name(path).starts_with(prefix) && name(path).ends_with(".json"))
        .collect()
}

fn decode(venue: &str, feed: Feed, file: &Path) -> (Result<Parsed, VenueError>, Value) {
    let body = std::fs::read(file).expect("a readable file");
    let json = serde_json::from_slice(&body).expect("JSON");
    let response = Response { status: 200, body: Bytes::from(body), ..Response::default() };
    (find(venue).expect("registered").parse(&Ask::all(feed), &response), json)
}

/// Compares as floats, which is how the other reader holds numbers (it may be off in a float's last place); null and 0 mean absent.
fn same(observed: Option<Decimal>, row: &Value, what: &str) {
    let given = row[what].as_f64().filter(|value| *value != 0.0);
    let close = match (observed.map(Decimal::to_f64), given) {
        (Some(observed), Some(given)) => (observed - given).abs() <= given.abs() * 2.0 * f64::EPSILON,
        (observed, given) => observed == given,
    };
    assert!(close, "{what} is {observed:?} in {row}");
}

fn caps(parsed: &Parsed) -> Vec<&MarketCap> {
    fn cap(payload: &Payload) -> &MarketCap {
        match payload {
            Payload::MarketCap(cap) => cap,
            other => panic!("{other:?}"),
        }
    }
    parsed.observations.iter().map(|observation| cap(&observation.payload)).collect()
}

#[test]
fn coingecko_markets() {
    for file in files("coingecko", "coins_markets") {
        let (parsed, json) = decode("coingecko", Feed::MarketCaps, &file);
        let parsed = parsed.expect("readable");
        let rows = json.as_array().expect("a list");
        assert_eq!((parsed.observations.len(), parsed.unresolved.len()), (rows.len(), 0));
        for ((observation, cap), row) in parsed.observations.iter().zip(caps(&parsed)).zip(rows) {
            assert_eq!(cap.listing_id, row["id"].as_str().expect("an id"));
            assert_eq!(observation.instrument.base, row["symbol"].as_str().expect("a symbol").to_uppercase());
            same(cap.price, row, "current_price");
            same(cap.market_cap, row, "market_cap");
            same(cap.circulating_supply, row, "circulating_supply");
            same(cap.volume_24h, row, "total_volume");
            same(cap.all_time_high, row, "ath");
            assert_eq!(cap.market_cap_rank.map(i64::from), row["market_cap_rank"].as_i64());
            assert_eq!(cap.all_time_high_time, row["ath_date"].as_str().and_then(Timestamp::parse));
            assert_eq!(observation.event_time, row["last_updated"].as_str().and_then(Timestamp::parse));
        }
    }
}

#[test]
fn coinpaprika_tickers_and_errors() {
    for file in files("coinpaprika", "ticker") {
        let (parsed, row) = decode("coinpaprika", Feed::MarketCaps, &file);
        let parsed = parsed.expect("readable");
        let [cap] = caps(&parsed)[..] else { panic!("{parsed:?}") };
        let quote = &row["quotes"]["USD"];
        same(cap.price, quote, "price");
        same(cap.market_cap, quote, "market_cap");
        same(cap.volume_24h, quote, "volume_24h");
        same(cap.all_time_high, quote, "ath_price");
        assert_eq!(cap.all_time_high_time, quote["ath_date"].as_str().and_then(Timestamp::parse));
        assert_eq!(parsed.observations[0].event_time, row["last_updated"].as_str().and_then(Timestamp::parse));
        assert_eq!(cap.market_cap_rank.map(i64::from), row["rank"].as_i64());
        if row["circulating_supply"].is_number() {
            same(cap.circulating_supply, &row, "circulating_supply");
        }
    }
    for file in files("coinpaprika", "error") {
        let (parsed, _) = decode("coinpaprika", Feed::MarketCaps, &file);
        assert!(matches!(parsed, Err(VenueError::Rejected(_))), "{parsed:?}");
    }
}
