//! Decoding per venue, and walking the same bytes with sonic-rs for comparison.
//!
//! Bodies are invented, of the documented shapes; with recorded answers at hand (`CROSSMARKET_SHARED_DATA`), their entries repeated
//! are timed too.

use std::hint::black_box;
use std::path::PathBuf;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossmarket_domain::{CandleInterval, Feed, LongShortKind, Period};
use crossmarket_venues::{self as venues, Ask, Response};

#[path = "decode/bodies.rs"]
mod bodies;
#[path = "decode/walk.rs"]
mod walk;

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (venue, feed, symbols, body) in [
        ("binance", Feed::Tickers, Vec::new(), bodies::binance_tickers(bodies::TICKER_COUNT)),
        ("binance", Feed::Candles, vec!["ABCUSDT"], bodies::binance_klines(1_000)),
        ("binance-usdm", Feed::LongShortRatios, Vec::new(), bodies::binance_usdm_ratios(500)),
        ("bybit", Feed::Tickers, Vec::new(), bodies::bybit_tickers(500)),
        ("okx", Feed::Tickers, Vec::new(), bodies::okx_tickers(700)),
    ] {
        let decoder = venues::find(venue).expect("a venue of the registry");
        let response = Response { status: 200, body: body.into(), ..Response::default() };
        let asked: Vec<_> = symbols.into_iter().filter_map(|symbol| decoder.instrument(symbol)).collect();
        let ask = Ask {
            interval: Some(CandleInterval::OneDay),
            period: Some(Period::FiveMinutes),
            kind: Some(LongShortKind::GlobalAccount),
            ..Ask::about(feed, asked)
        };
        let decoded = decoder.parse(&ask, &response).expect("a body that can be read");
        assert!(!decoded.observations.is_empty() && decoded.unresolved.is_empty(), "{venue} {feed}");
        group.throughput(Throughput::Bytes(response.body.len() as u64));
        group.bench_function(format!("{venue}/{feed}"), |bencher| {
            bencher.iter(|| decoder.parse(&ask, black_box(&response)));
        });
    }
    group.finish();
}

/// A list of [`bodies::TICKER_COUNT`] recorded entries of `ticker/24hr`, where they are at hand.
fn recorded_tickers() -> Option<Vec<u8>> {
    let root = std::env::var_os("CROSSMARKET_SHARED_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let body = std::fs::read(root.join("binance/rest/spot_ticker24hr_all_trimmed_2024-11-01.json")).ok()?;
    let entries: Vec<serde_json::Value> = serde_json::from_slice(&body).ok()?;
    let repeated: Vec<_> = entries.iter().cycle().take(bodies::TICKER_COUNT).collect();
    serde_json::to_vec(&repeated).ok()
}

fn walk(criterion: &mut Criterion) {
    let invented = ("invented", Some(bodies::binance_tickers(bodies::TICKER_COUNT)));
    for (name, body) in [invented, ("recorded", recorded_tickers())] {
        let Some(body) = body.map(Bytes::from) else { continue };
        let text = String::from_utf8(body.to_vec()).expect("JSON is UTF-8");
        let decoder = venues::find("binance").expect("a venue of the registry");
        let response = Response { status: 200, body, ..Response::default() };
        let ask = Ask::all(Feed::Tickers);
        let mut group = criterion.benchmark_group(format!("ticker_24hr/{name}"));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("decode", |bencher| {
            bencher.iter(|| decoder.parse(&ask, black_box(&response)));
        });
        group.bench_function("sonic_skip", |bencher| bencher.iter(|| walk::skip(black_box(&text))));
        group.bench_function("sonic_walk", |bencher| bencher.iter(|| walk::each_value(black_box(&text))));
        group.finish();
    }
}

criterion_group!(benches, decode, walk);
criterion_main!(benches);
