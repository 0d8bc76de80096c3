//! `demo --replay` of the real binary: what was recorded is what is answered.
//!
//! The shared recording is read a second time here, file by file, and compared with what the service says; a small recording of our own
//! runs everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crossmarket_api::v1::catalog_service_client::CatalogServiceClient;
use crossmarket_api::v1::price_service_client::PriceServiceClient;
use crossmarket_api::v1::{self, FreshnessState, GetPriceSnapshotRequest, ListFeedsRequest, PriceSnapshot, View};
use crossmarket_domain::observation::Ticker;
use crossmarket_domain::{Decimal, Feed, InstrumentKind, Observation, Payload, Timestamp};
use crossmarket_venues::{self as venues, Frame, REGISTRY, Response, Venue, envelope};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// The time given to what has none.
const UNDATED: &str = "2000-01-01T00:00:00Z";

/// How far a stream's times may go back without being late.
const LATENESS: Duration = Duration::from_secs(5);

/// Time for the whole recording to be taken in, on a slow machine.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A running `demo --replay`.
struct Demo {
    child: Child,
    stderr: JoinHandle<String>,
    prices: PriceServiceClient<Channel>,
    catalog: CatalogServiceClient<Channel>,
}

impl Demo {
    async fn start(recording: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_crossmarket"))
            .args(["demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--replay"])
            .arg(recording)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let mut stderr = child.stderr.take().expect("piped");
        let stderr = tokio::spawn(async move {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text).await;
            text
        });
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let first = lines.next_line().await.expect("readable").expect("a first line");
        // The rest is read so that the process never waits for somebody to.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let mut words = first.split(' ');
        assert_eq!(words.next(), Some("listening"), "{first}");
        let address = words.next().and_then(|word| word.strip_prefix("grpc=")).expect("an address");
        assert!(first.ends_with("simulated=true"), "{first}");
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
        let channel = endpoint.connect().await.expect("the service answers");
        let (prices, catalog) = (PriceServiceClient::new(channel.clone()), CatalogServiceClient::new(channel));
        Self { child, stderr, prices, catalog }
    }

    /// The snapshot with its contributions; the error's text when there is none.
    async fn snapshot(&mut self, asset: &str) -> Result<PriceSnapshot, String> {
        let request = GetPriceSnapshotRequest { asset: asset.to_owned(), view: View::Full.into() };
        let answer = self.prices.get_price_snapshot(request).await.map_err(|status| status.message().to_owned())?;
        answer.into_inner().snapshot.ok_or_else(|| "no snapshot".to_owned())
    }

    async fn feed(&mut self, venue: &str, feed: Feed) -> v1::Feed {
        let request = ListFeedsRequest {
            venues: vec![venue.to_owned()],
            feeds: vec![feed.as_str().to_owned()],
            ..Default::default()
        };
        let answer = self.catalog.list_feeds(request).await.map(|answer| answer.into_inner().feeds).unwrap_or_default();
        answer.into_iter().next().unwrap_or_default()
    }

    /// Ends it as an operator would, and returns what it logged.
    async fn stop(mut self) -> String {
        let id = self.child.id().expect("running").to_string();
        let killed = Command::new("kill").args(["-TERM", &id]).status().await.expect("kill runs");
        assert!(killed.success());
        let ended = tokio::time::timeout(Duration::from_secs(15), self.child.wait()).await.expect("ends in time");
        assert_eq!(ended.expect("waited for").code(), Some(0));
        self.stderr.await.expect("read")
    }
}

/// Repeats a check until it finds nothing wrong.
async fn wait_until<F>(demo: &mut Demo, check: F)
where
    F: AsyncFn(&mut Demo) -> Vec<String>,
{
    let started = Instant::now();
    loop {
        let wrong = check(demo).await;
        if wrong.is_empty() {
            return;
        }
        assert!(started.elapsed() < WAIT_MAX, "{} problems:\n{}", wrong.len(), wrong.join("\n"));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// What one venue's files say.
#[derive(Default)]
struct Expected {
    /// Tickers by symbol and kind.
    tickers: BTreeMap<(String, String), Vec<Observation>>,
    market_caps: Vec<Observation>,
    ticker_count: usize,
    not_collected_count: usize,
    market_cap_count: usize,
}

impl Expected {
    fn take(&mut self, observation: Observation) {
        match &observation.payload {
            Payload::Ticker(_) => {
                let key = (observation.instrument.symbol.to_string(), format!("{:?}", observation.instrument.kind));
                self.ticker_count += 1;
                self.tickers.entry(key).or_default().push(observation);
            }
            Payload::MarketCap(_) => {
                self.market_cap_count += 1;
                self.market_caps.push(observation);
            }
            _ => {}
        }
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let of = |path: PathBuf| if path.is_dir() { files_below(&path) } else { vec![path] };
    entries.filter_map(Result::ok).flat_map(|entry| of(entry.path())).collect()
}

fn read_recording(root: &Path) -> BTreeMap<&'static str, Expected> {
    let mut expected: BTreeMap<&'static str, Expected> = BTreeMap::new();
    for venue in REGISTRY {
        for path in files_below(&root.join(venue.id().as_str())) {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            let futures = format!("{}-usdm", venue.id());
            let venue = match venues::find(&futures) {
                Some(futures) if name.contains("fapi") || name.contains("futures") => futures,
                _ => *venue,
            };
            let content = std::fs::read(&path).expect("readable");
            let held = expected.entry(venue.id().as_str()).or_default();
            if name.ends_with(".jsonl") {
                content.split(|byte| *byte == b'\n').for_each(|line| take_frame(venue, line, held));
            } else if name.ends_with(".json") && path.parent().is_some_and(|parent| parent.ends_with("ws")) {
                take_frame(venue, &content, held);
            } else if name.ends_with(".json") {
                take_body(venue, &name, &content, held);
            }
        }
    }
    expected
}

fn take_frame(venue: &dyn Venue, line: &[u8], held: &mut Expected) {
    let frame = envelope::open(line.trim_ascii()).message;
    if let Some(Ok(Frame::Data(parsed))) = venue.stream().map(|stream| stream.parse_frame(frame.trim_ascii())) {
        // A stream's other observations come in with its tickers, and are refused there.
        let others = parsed.observations.iter().filter(|one| !matches!(one.payload, Payload::Ticker(_))).count();
        held.ticker_count += others;
        held.not_collected_count += others;
        parsed.observations.into_iter().for_each(|observation| held.take(observation));
    }
}

fn take_body(venue: &dyn Venue, name: &str, content: &[u8], held: &mut Expected) {
    for feed in [Feed::Tickers, Feed::MarketCaps].into_iter().filter(|feed| venue.feeds().contains(feed)) {
        let words = name.trim_end_matches(".json").split('_');
        let named = words.filter_map(|word| venue.instrument(word)).map(|instrument| vec![instrument]);
        let response =
            Response { status: 200, path: name.to_owned(), body: content.to_vec().into(), ..Response::default() };
        let read = std::iter::once(Vec::new())
            .chain(named)
            .filter_map(|asked| venue.parse(feed, &asked, &response).ok())
            .find(|parsed| !parsed.observations.is_empty());
        read.into_iter().flat_map(|parsed| parsed.observations).for_each(|observation| held.take(observation));
    }
}

fn ticker(observation: &Observation) -> &Ticker {
    match &observation.payload {
        Payload::Ticker(ticker) => ticker,
        other => panic!("no ticker: {other:?}"),
    }
}

fn middle(ticker: &Ticker) -> Option<Decimal> {
    let positive = |price: Option<Decimal>| price.filter(|price| price.is_positive());
    positive(ticker.bid_price)
        .zip(positive(ticker.ask_price))
        .and_then(|(bid, ask)| bid.checked_add(ask)?.checked_div(Decimal::from(2)))
}

/// The prices that are right for an instrument: those of its newest observations, and, where these have no trade, the newest trade's.
fn right_prices(observations: &[Observation]) -> BTreeSet<Decimal> {
    let undated = Timestamp::parse(UNDATED).expect("valid");
    let time = |observation: &Observation| observation.event_time.unwrap_or(undated);
    let newest = observations.iter().map(time).max().unwrap_or(undated);
    let last = |observation: &Observation| ticker(observation).last_price.filter(|price| price.is_positive());
    let mut prices = BTreeSet::new();
    for observation in observations.iter().filter(|observation| time(observation) + LATENESS >= newest) {
        prices.extend(last(observation).or_else(|| middle(ticker(observation))));
        if last(observation).is_none() {
            let with_trade = observations.iter().filter(|observation| last(observation).is_some());
            prices.extend(with_trade.max_by_key(|observation| time(observation)).and_then(last));
        }
    }
    prices
}

fn aggregated(kind: InstrumentKind) -> bool {
    matches!(kind, InstrumentKind::Spot | InstrumentKind::PerpetualLinear | InstrumentKind::PerpetualInverse)
}

/// What is wrong with the snapshots of one venue's instruments.
async fn wrong_tickers(demo: &mut Demo, venue: &str, expected: &Expected) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((symbol, kind), observations) in &expected.tickers {
        let Some(first) = observations.first().filter(|one| aggregated(one.instrument.kind)) else { continue };
        let right = right_prices(observations);
        if right.is_empty() {
            continue;
        }
        let base = &first.instrument.base;
        let snapshot = match demo.snapshot(base).await {
            Ok(snapshot) => snapshot,
            Err(text) => {
                wrong.push(format!("{base} ({venue} {symbol}): {text}"));
                continue;
            }
        };
        let perpetual = first.instrument.kind != InstrumentKind::Spot;
        let aggregation = snapshot.aggregation.unwrap_or_default();
        let observed = aggregation
            .contributions
            .iter()
            .filter(|one| one.venue == venue && one.venue_symbol == *symbol)
            .find(|one| one.instrument.ends_with(":perpetual") == perpetual)
            .and_then(|one| Decimal::parse(one.observed_price.as_deref()?).ok());
        if !observed.is_some_and(|observed| right.contains(&observed)) {
            wrong.push(format!("{base}: {venue} {symbol} ({kind}) is {observed:?}, recorded {right:?}"));
        }
        let freshness = snapshot.freshness.map(|freshness| freshness.state());
        if freshness != Some(FreshnessState::Stale) {
            wrong.push(format!("{base} is {freshness:?}"));
        }
    }
    wrong
}

/// What is wrong with the snapshots of one listing's assets.
async fn wrong_market_caps(demo: &mut Demo, venue: &str, expected: &Expected) -> Vec<String> {
    let mut wrong = Vec::new();
    for observation in &expected.market_caps {
        let base = &observation.instrument.base;
        let Payload::MarketCap(row) = &observation.payload else { continue };
        match demo.snapshot(base).await {
            Ok(snapshot) => {
                let has_cap = row.market_cap.is_none() || snapshot.market_cap.is_some();
                if !has_cap || (row.price.is_some() && snapshot.price.is_none()) {
                    wrong.push(format!("{base}: {venue}'s market cap or price is missing"));
                }
            }
            Err(text) => wrong.push(format!("{base} ({venue}): {text}")),
        }
    }
    wrong
}

/// Every observation of a venue came through, and what was not taken is counted.
async fn wrong_counts(demo: &mut Demo, venue: &str, expected: &Expected) -> Vec<String> {
    let mut wrong = Vec::new();
    for (feed, count) in [(Feed::Tickers, expected.ticker_count), (Feed::MarketCaps, expected.market_cap_count)] {
        if count == 0 {
            continue;
        }
        let counted = demo.feed(venue, feed).await.observation_count;
        if usize::try_from(counted) != Ok(count) {
            wrong.push(format!("{venue} {feed}: {counted} observations came in, {count} were recorded"));
        }
    }
    let never = expected.tickers.values().flatten().filter(|one| !aggregated(one.instrument.kind)).count();
    let feed = demo.feed(venue, Feed::Tickers).await;
    let refused = feed.rejections.iter().find(|one| one.reason == "not_aggregated").map_or(0, |one| one.count);
    let others = feed.rejections.iter().find(|one| one.reason == "not_collected").map_or(0, |one| one.count);
    if usize::try_from(others) != Ok(expected.not_collected_count) {
        wrong.push(format!("{venue}: {} other observations, {others} counted", expected.not_collected_count));
    }
    if (never > 0) != (refused > 0) {
        wrong.push(format!("{venue}: {never} observations are of no asset's price, {refused} were counted"));
    }
    wrong
}

#[tokio::test]
async fn every_recorded_asset_answers_with_its_price_and_venues() {
    let root = std::env::var_os("CROSSMARKET_SHARED_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    if !root.is_dir() {
        eprintln!("skipped: no recording at {}", root.display());
        return;
    }
    let expected = read_recording(&root);
    assert!(expected.values().map(|venue| venue.ticker_count).sum::<usize>() > 0, "the recording has tickers");
    let mut demo = Demo::start(&root).await;
    wait_until(&mut demo, async |demo: &mut Demo| {
        let mut wrong = Vec::new();
        for (venue, expected) in &expected {
            wrong.extend(wrong_tickers(demo, venue, expected).await);
            wrong.extend(wrong_market_caps(demo, venue, expected).await);
            wrong.extend(wrong_counts(demo, venue, expected).await);
        }
        wrong
    })
    .await;
    demo.stop().await;
}

/// A recording of our own; the values are invented.
const FILES: &[(&str, &str)] = &[
    (
        "binance/rest/ticker24hr_all_2024-01-02.json",
        r#"[{"symbol":"BTCUSDT","lastPrice":"43000.75","bidPrice":"43000.50","askPrice":"43001.00","openPrice":"42000.00",
            "highPrice":"43500.00","lowPrice":"41900.00","volume":"100.5","quoteVolume":"4300000.0","closeTime":1704153600000},
           {"symbol":"ETHUSDT","lastPrice":"much","closeTime":1704153600000}]"#,
    ),
    (
        "binance/rest/ticker24hr_all_2024-01-01.json",
        r#"[{"symbol":"BTCUSDT","lastPrice":"42000.50","bidPrice":"42000.00","askPrice":"42001.00","openPrice":"41000.00",
            "highPrice":"42500.00","lowPrice":"40900.00","volume":"90.5","quoteVolume":"3800000.0","closeTime":1704067200000},
           {"symbol":"XYZUSDT","lastPrice":"0.0123","bidPrice":"0.0122","askPrice":"0.0124","openPrice":"0.0120",
            "highPrice":"0.0130","lowPrice":"0.0110","volume":"1000","quoteVolume":"12.3","closeTime":1704067200000}]"#,
    ),
    ("binance/rest/broken.json", r#"{"symbol":"BTCUSDT","lastPrice":"#),
    ("binance/rest/spot_ticker_price_ADAUSDT.json", r#"{"symbol":"ADAUSDT","price":"0.6125"}"#),
    (
        "coinbase/rest/product_ticker_BTC-USD.json",
        r#"{"ask":"43010.02","bid":"43010.00","volume":"12.5","trade_id":1,"price":"43010.01","size":"0.1","time":"2024-01-02T00:00:05Z"}"#,
    ),
    (
        "okx/ws/tickers.jsonl",
        concat!(
            r#"{"recv_ts":1704153601.5,"msg":{"event":"subscribe","arg":{"channel":"tickers","instId":"BTC-USDT"}}}"#,
            "\n",
            r#"{"recv_ts":1704153602.5,"msg":{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"instType":"SPOT","instId":"BTC-USDT","last":"43020.25","askPx":"43020.5","bidPx":"43020.0","open24h":"42000","high24h":"43600","low24h":"41800","volCcy24h":"500000","vol24h":"12","ts":"1704153602400"}]}}"#,
            "\n{\"arg\":\n",
        ),
    ),
    (
        "coinpaprika/tickers.json",
        r#"[{"id":"abc-abcoin","name":"Abcoin","symbol":"ABC","rank":7,"last_updated":"2024-01-02T00:00:00Z",
            "quotes":{"USD":{"price":1.25,"volume_24h":1000.5,"market_cap":1250000}}}]"#,
    ),
    ("notes/readme.txt", "not a venue"),
];

/// Asset, venue, symbol, price and time as they were recorded.
const ANSWERS: &[(&str, &str, &str, &str, &str)] = &[
    // Of two answers to the same request the newer stays.
    ("BTC", "binance", "BTCUSDT", "43000.75", "2024-01-02T00:00:00Z"),
    ("BTC", "coinbase", "BTC-USD", "43010.01", "2024-01-02T00:00:05Z"),
    ("BTC", "okx", "BTC-USDT", "43020.25", "2024-01-02T00:00:02.4Z"),
    ("XYZ", "binance", "XYZUSDT", "0.0123", "2024-01-01T00:00:00Z"),
    ("ADA", "binance", "ADAUSDT", "0.6125", UNDATED),
    ("ABC", "coinpaprika", "abc-abcoin", "1.25", "2024-01-02T00:00:00Z"),
];

async fn wrong_answers(demo: &mut Demo) -> Vec<String> {
    let mut wrong = Vec::new();
    for (asset, venue, symbol, price, time) in ANSWERS {
        let snapshot = match demo.snapshot(asset).await {
            Ok(snapshot) => snapshot,
            Err(text) => {
                wrong.push(format!("{asset}: {text}"));
                continue;
            }
        };
        let stale = snapshot.freshness.map(|freshness| freshness.state()) == Some(FreshnessState::Stale);
        let aggregation = snapshot.aggregation.unwrap_or_default();
        let found = aggregation.contributions.iter().any(|one| {
            let event_time = one.event_time.as_ref().map(|at| at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000);
            one.venue == *venue
                && one.venue_symbol == *symbol
                && one.observed_price.as_deref() == Some(price)
                && event_time == Timestamp::parse(time).map(Timestamp::as_micros)
        });
        if !stale || !found {
            wrong.push(format!("{asset}: no {venue} {symbol} {price} at {time}, or not stale: {aggregation:?}"));
        }
    }
    let rejections = demo.feed("binance", Feed::Tickers).await.rejections;
    if !rejections.iter().any(|one| one.reason == "malformed" && one.count == 1) {
        wrong.push(format!("the broken row is not counted: {rejections:?}"));
    }
    wrong
}

#[tokio::test]
async fn a_recording_is_answered_as_it_is_and_what_is_broken_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, content) in FILES {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(&path, content).expect("written");
    }
    let mut demo = Demo::start(directory.path()).await;
    wait_until(&mut demo, wrong_answers).await;
    let log = demo.stop().await;
    for (file, reason) in [
        ("binance/rest/broken.json", "malformed"),
        ("okx/ws/tickers.jsonl:3", "malformed"),
        ("notes", "not the directory of a known venue (1 files)"),
    ] {
        let named = log.lines().any(|line| line.contains(&format!("file={file} ")) && line.contains(reason));
        assert!(named, "{file} is not refused with its reason:\n{log}");
    }
}

#[tokio::test]
async fn a_directory_without_a_recording_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("readme.txt"), "nothing").expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossmarket"));
    command.args(["demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--replay"]);
    let output = command.arg(directory.path()).output().await.expect("the binary runs");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("no recorded answer of a known venue"), "{text}");
}
