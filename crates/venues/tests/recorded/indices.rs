//! Recorded answers of the sources of index levels, compared value by value with another JSON reader's view of the same file. The files lie
//! outside the repository; without them these tests say so and pass.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;

use crate::shared_data;
use crossmarket_domain::observation::IndexLevel;
use crossmarket_domain::{Decimal, Feed, Payload, Timestamp};
use crossmarket_venues::{Ask, Parsed, Response, VenueError, find};

fn recorded(venue: &str, prefix: &str) -> Vec<PathBuf> {
    let Some(root) = shared_data() else { return Vec::new() };
    let entries = std::fs::read_dir(root.join(venue)).expect("recordings of the venue");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))).collect()
}

fn decode(venue: &str, file: &Path) -> (Result<Parsed, VenueError>, Vec<u8>) {
    let body = std::fs::read(file).expect("a readable file");
    let response = Response { status: 200, body: Bytes::from(body.clone()), ..Response::default() };
    let venue = find(venue).expect("registered");
    // A refusal comes before the question matters; Stooq's files do not name their index.
    let ask = Ask::about(Feed::IndexLevels, Vec::new());
    (venue.parse(&ask, &response), body)
}

/// Equal to within half of the last of two decimal places; both absent is equal.
fn same(observed: Option<Decimal>, given: &Value) -> bool {
    match (observed.map(Decimal::to_f64), given.as_f64()) {
        (Some(observed), Some(given)) => (observed - given).abs() <= 0.005 + 1e-9,
        (observed, given) => observed.is_none() && given.is_none(),
    }
}

#[test]
fn yahoo_charts_bar_by_bar() {
    for file in recorded("yahoo", "chart") {
        let (parsed, body) = decode("yahoo", &file);
        let parsed = parsed.expect("readable");
        let json: Value = serde_json::from_slice(&body).expect("JSON");
        let chart = &json["chart"]["result"][0];
        let meta = &chart["meta"];
        let level = |payload: &Payload| match payload {
            Payload::IndexLevel(level) => level.clone(),
            other => panic!("{other:?}"),
        };
        let levels: Vec<(Timestamp, IndexLevel)> = parsed
            .observations
            .iter()
            .inspect(|observation| {
                assert_eq!(observation.instrument.symbol, meta["symbol"].as_str().expect("a symbol"))
            })
            .map(|observation| (observation.event_time.expect("a time"), level(&observation.payload)))
            .collect();
        let (closes, now): (Vec<_>, Vec<_>) = levels.into_iter().partition(|(_, level)| level.close_of.is_some());
        let no_rows = Vec::new();
        let timestamps = chart["timestamp"].as_array().unwrap_or(&no_rows);
        assert_eq!(closes.len(), timestamps.len(), "{}", file.display());
        let quote = &chart["indicators"]["quote"][0];
        for (place, ((time, close), timestamp)) in closes.iter().zip(timestamps).enumerate() {
            assert_eq!(time.as_seconds(), timestamp.as_i64().expect("seconds"));
            for (observed, name) in
                [(Some(close.level), "close"), (close.open, "open"), (close.high, "high"), (close.low, "low")]
            {
                assert!(same(observed, &quote[name][place]), "{}: {name} {place}: {observed:?}", file.display());
            }
        }
        let [(time, now)] = &now[..] else { panic!("one level of now: {now:?}") };
        assert_eq!(time.as_seconds(), meta["regularMarketTime"].as_i64().expect("seconds"));
        assert!(same(Some(now.level), &meta["regularMarketPrice"]));
        assert!(
            same(now.high, &meta["regularMarketDayHigh"]) && same(now.low, &meta["regularMarketDayLow"]),
            "{now:?}"
        );
        assert_eq!(now.previous_close, None, "what a chart calls so is the close before its range");
    }
}

#[test]
fn the_days_are_those_of_the_exchange() {
    for (name, days) in [
        ("chart_QQQ", &["2020-01-02"][..]),
        ("chart_BTC-USD", &["2020-01-01", "2020-01-02", "2020-01-03"]),
        ("chart_WSU.DE", &["2023-08-04", "2023-08-07", "2023-08-08"]),
    ] {
        for file in recorded("yahoo", name) {
            let (parsed, _) = decode("yahoo", &file);
            let day = |payload: &Payload| match payload {
                Payload::IndexLevel(level) => level.close_of.map(|day| day.civil().date().to_string()),
                _ => None,
            };
            let found: Vec<String> = parsed
                .expect("readable")
                .observations
                .iter()
                .filter_map(|observation| day(&observation.payload))
                .collect();
            assert_eq!(found, days, "{name}");
        }
    }
}

#[test]
fn refusals_are_refusals() {
    for file in recorded("yahoo", "error") {
        let (parsed, _) = decode("yahoo", &file);
        assert!(matches!(parsed, Err(VenueError::Rejected(_))), "{parsed:?}");
    }
    for file in recorded("stooq", "apikey") {
        let (parsed, body) = decode("stooq", &file);
        let error = parsed.expect_err("no data");
        assert!(matches!(error, VenueError::Rejected(_)), "{error}");
        // The text names the address; the error does not.
        assert!(String::from_utf8_lossy(&body).contains("https://") && !error.to_string().contains("https://"));
    }
}
