//! `backfill` of the real binary: candles, closes and market caps from simulated venues, and what it tells of series without an answer.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use crossmarket_clock::Clock;
use crossmarket_domain::index::asset_subject;
use crossmarket_domain::series::{SeriesKey, SeriesKind};
use crossmarket_domain::state::{AssetInfo, AssetKind, Body, Key, State};
use crossmarket_domain::{AssetCode, AssetId, CandleInterval, Shards, Timestamp};
use crossmarket_simulator::{self as simulator, SimulatorOptions};
use crossmarket_store::{self as store, OpenOptions, Store};

use support::process::{binary, embedded};

mod support {
    pub mod process;
}

const DAY: Duration = Duration::from_secs(86_400);

/// How many days are fetched.
const DAY_COUNT: u32 = 12;

/// Settings with only these venues, at these addresses.
fn write_settings(directory: &Path, venues: &BTreeMap<&str, String>) -> String {
    let mut text = format!("[store]\nurl = {:?}\n", embedded(directory));
    for venue in crossmarket_venues::REGISTRY {
        let id = venue.id();
        let _ = match venues.get(id.as_str()) {
            Some(url) => writeln!(text, "[venues.{id}]\nrest_url = {url:?}"),
            None => writeln!(text, "[venues.{id}]\nenabled = false"),
        };
    }
    let path = directory.join("settings.toml");
    std::fs::write(&path, text).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

/// Runs it off the runtime's threads, which answer for the venues.
async fn backfill(settings: &str, since: Timestamp, codes: &[&str]) -> (Output, String) {
    let mut command = binary();
    let since = since.to_string().chars().take(10).collect::<String>();
    command.args(["backfill", "--config", settings, "--since", &since]).args(codes);
    let output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("the binary runs");
    let told = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    (output, told)
}

async fn open(directory: &Path) -> std::sync::Arc<dyn Store> {
    store::open(&OpenOptions::new(&embedded(directory))).await.expect("a store")
}

/// Tells the store the asset's id at the listing, as a service does that has collected.
async fn list(directory: &Path, asset: &AssetId, id: &str, now: Timestamp) {
    let info = AssetInfo {
        asset_id: asset.clone(),
        asset: AssetCode::parse("BTC").expect("a ticker"),
        aliases: Vec::new(),
        name: None,
        kind: AssetKind::Coin,
        market_cap_rank: Some(1),
        categories: Vec::new(),
        listing_ids: vec![("coingecko".into(), id.into())],
        instruments: Vec::new(),
        history_start: None,
        history_day_count: 0,
    };
    let state = State {
        event_time: now,
        receive_time: now,
        publish_time: now,
        budget: DAY,
        simulated: false,
        body: Body::Asset(Box::new(info)),
    };
    let store = open(directory).await;
    let key = Key::Asset(asset.clone());
    let shard = Shards::default().of_key(&key);
    let (epoch, _) = store.open_writer(shard, now).await.expect("a writer");
    store.write(shard, epoch, vec![(key, Some(state))], None).await.expect("written");
    store.flush().await.expect("durable");
}

/// The market caps that the simulated listing tells, by the day that ends with each.
async fn charted(url: &str, id: &str) -> BTreeMap<Timestamp, f64> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let address = format!("{url}/coins/{id}/market_chart?vs_currency=usd&days={}&interval=daily", DAY_COUNT + 2);
    let body = reqwest::get(address).await.expect("an answer").bytes().await.expect("a body");
    let chart: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    let points = chart["market_caps"].as_array().expect("market caps").iter();
    let point = |point: &serde_json::Value| {
        let time = Timestamp::from_millis(point[0].as_i64().expect("a time"));
        (time == time.day_start()).then(|| (time - DAY, point[1].as_f64().expect("a market cap")))
    };
    points.filter_map(point).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candles_closes_and_market_caps_come_from_the_venues() {
    let clock = Clock::system();
    let simulator = simulator::start(
        crossmarket_venues::SIMULATED,
        SimulatorOptions { outages: false, ..SimulatorOptions::new(1, clock) },
    );
    let simulator = simulator.await.expect("venues");
    let endpoints = simulator.endpoints();
    let venues: BTreeMap<&str, String> = endpoints
        .iter()
        .filter(|endpoint| ["binance", "coingecko", "yahoo"].contains(&endpoint.venue))
        .map(|endpoint| (endpoint.venue, endpoint.rest_url.clone()))
        .collect();
    let directory = tempfile::tempdir().expect("a directory");
    let settings = write_settings(directory.path(), &venues);
    let bitcoin = AssetId::parse("bitcoin").expect("an id");
    let now = clock.now();
    list(directory.path(), &bitcoin, "bitcoin", now).await;
    // A day that ends meanwhile has one more.
    let today = now.day_start();
    let since = today - DAY * DAY_COUNT;

    let (output, told) = backfill(&settings, since, &["BTC", "RUT"]).await;
    assert!(output.status.success(), "{told}");
    assert!(told.contains("0 of 5 series without an answer"), "{told}");
    let caps = SeriesKey { subject: asset_subject(&bitcoin), kind: SeriesKind::DailyMarketCap };
    let daily =
        |subject: &str| SeriesKey { subject: subject.into(), kind: SeriesKind::Candles(CandleInterval::OneDay) };
    let store = open(directory.path()).await;
    let stored = store.points(&caps, Timestamp::EPOCH, today).await.expect("points");
    let expected = charted(&venues["coingecko"], "bitcoin").await;
    let days: Vec<Timestamp> = stored.iter().map(|point| point.time).collect();
    let wanted: Vec<Timestamp> = (0..DAY_COUNT).map(|day| since + DAY * day).collect();
    assert_eq!(days, wanted, "each day that has ended");
    for point in &stored {
        let told = expected[&point.time];
        assert!((point.value.to_f64() / told - 1.0).abs() < 1e-9, "{} and not {told} on {}", point.value, point.time);
    }
    let candles = store.candles(&daily("id:bitcoin"), since, today).await.expect("candles");
    assert_eq!(candles.len(), wanted.len());
    assert!(store.candles(&daily("RUT"), since, now).await.expect("closes").len() >= 5, "the sessions of the span");
    drop(store);

    let (output, told) = backfill(&settings, since, &["BTC"]).await;
    assert!(output.status.success(), "it can be repeated: {told}");
    assert_eq!(open(directory.path()).await.points(&caps, Timestamp::EPOCH, today).await.expect("points"), stored);
    simulator.shutdown().await;
}

#[tokio::test]
async fn a_series_without_an_answer_is_told_and_fails_the_command() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = write_settings(directory.path(), &BTreeMap::new());
    let (output, told) = backfill(&settings, Clock::system().now() - DAY * DAY_COUNT, &["BTC", "SPX"]).await;
    assert_eq!(output.status.code(), Some(1), "{told}");
    for line in ["BTC 1d: no venue has its candles", "BTC 1h: ", "BTC 5m: ", "SPX 1d: no source has it"] {
        assert_eq!(told.lines().filter(|told| told.starts_with(line)).count(), 1, "{line} once in {told}");
    }
    assert!(told.contains("4 of 4 series without an answer"), "{told}");
    assert!(told.contains("1 assets without market caps"), "{told}");
}
