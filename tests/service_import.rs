//! Histories from CSV files: imported into a store, then answered from it by a service that asks no venue.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crossmarket_api::v1::index_service_client::IndexServiceClient;
use crossmarket_api::v1::price_service_client::PriceServiceClient;
use crossmarket_api::v1::{
    Candle, CandleInterval, CompareIndicesRequest, GetAltcoinSeasonRequest, GetCyclesRequest, GetIndexSnapshotRequest,
    ListCandlesRequest, View,
};
use crossmarket_domain::calendar::session_of_day;
use crossmarket_domain::{Decimal, Timestamp};
use tonic::transport::Channel;

use support::process::{Process, binary, embedded, soon, wait_until};

mod support {
    pub mod process;
}

const DAY_S: i64 = 86_400;

/// 2020-02-28 00:00 UTC, so that a leap day is in between.
const START_S: i64 = 1_582_848_000;

/// One line of a file of prices: the day's start, and open, high, low, close as they stand there.
type Line = (i64, [String; 4]);

/// An invented history of as many days; of an index, of those with a session in New York.
fn invented(days: i64, level: i64, is_index: bool) -> Vec<Line> {
    let day = |number: i64| {
        let start = START_S + number * DAY_S;
        let close = level * 1_000 + (number * 7_919) % 4_001;
        let open = close - 130 + number % 260;
        let price = |thousandths: i64| format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
        (start, [price(open), price(close.max(open) + 77), price(close.min(open) - 91), price(close)])
    };
    let is_kept = |line: &Line| !is_index || session_of_day(Timestamp::from_seconds(line.0)).is_some();
    (0..days).map(day).filter(is_kept).collect()
}

fn write_csv(path: &Path, lines: &[Line]) {
    let mut text = "Date,Open,High,Low,Close,Volume\n".to_owned();
    for (start, prices) in lines {
        let day = jiff::Timestamp::from_second(*start).expect("a time").strftime("%Y-%m-%d").to_string();
        text.push_str(&format!("{day},{},1234500\n", prices.join(",")));
    }
    std::fs::write(path, text).expect("written");
}

/// Imports a file and returns what was printed: the summary, then the remarks.
fn import(directory: &Path, code: &str, file: &Path) -> (String, String) {
    let output = binary().args(["import", code]).arg(file).args(["--store", &embedded(directory)]).output();
    let output = output.expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let (told, remarks) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{told}{remarks}");
    (told, remarks)
}

async fn candles(client: &mut PriceServiceClient<Channel>, code: &str, page_size: i32) -> Vec<Candle> {
    let mut request = ListCandlesRequest {
        asset: code.to_owned(),
        interval: CandleInterval::CandleInterval1d.into(),
        page_size,
        ..Default::default()
    };
    let mut all = Vec::new();
    loop {
        let page = soon("candles", client.list_candles(request.clone())).await.expect("candles").into_inner();
        assert_eq!((page.asset.as_str(), page.quote_currency.as_str(), page.simulated), (code, "USD", false));
        assert!(page.candles.len() <= page_size as usize);
        all.extend(page.candles);
        if page.next_page_token.is_empty() {
            return all;
        }
        assert_eq!(all.len() % page_size as usize, 0, "only the last page is short");
        request.page_token = page.next_page_token;
    }
}

/// The candles hold exactly what the lines say, each day once and in order.
fn check_equal(code: &str, candles: &[Candle], lines: &[Line]) {
    assert_eq!(candles.len(), lines.len(), "{code}");
    for (candle, (start, expected)) in candles.iter().zip(lines) {
        let time = |time: &Option<prost_types::Timestamp>| time.as_ref().expect("a time").seconds;
        assert_eq!((time(&candle.start_time), time(&candle.end_time)), (*start, start + DAY_S), "{code}");
        let told = [candle.open.as_deref(), candle.high.as_deref(), candle.low.as_deref(), Some(candle.close.as_str())];
        for (told, expected) in told.into_iter().zip(expected) {
            let value = |text: &str| Decimal::parse(text).unwrap_or_else(|_| panic!("{text:?} is no decimal"));
            assert_eq!(value(told.expect("a price")), value(expected), "{code} on day {start}");
        }
        assert!(candle.closed, "{code} on day {start}");
    }
}

async fn served(directory: &Path, known: &str) -> (Process, PriceServiceClient<Channel>) {
    let service = Process::serve_in(directory);
    let mut client = service.prices().await;
    let request = ListCandlesRequest { asset: known.to_owned(), page_size: 1, ..Default::default() };
    wait_until("the store", async || client.list_candles(request.clone()).await.ok()).await;
    (service, client)
}

#[tokio::test]
async fn answers_candles_as_they_were_imported() {
    let directory = tempfile::tempdir().expect("a directory");
    let histories = [("BTC", invented(450, 9_000, false)), ("RUT", invented(600, 1_500, true))];
    for (code, lines) in &histories {
        let file = directory.path().join(format!("{code}.csv"));
        write_csv(&file, lines);
        let (told, _) = import(directory.path(), code, &file);
        assert!(told.starts_with(&format!("{code}: {} days imported", lines.len())), "{told}");
    }
    let (_service, mut client) = served(directory.path(), "BTC").await;
    for (code, lines) in &histories {
        assert!(lines.len() > 400);
        for page_size in [97, 5_000] {
            check_equal(code, &candles(&mut client, code, page_size).await, lines);
        }
    }
    a_period_holds_its_start_and_not_its_end(&mut client, &histories[0].1).await;
}

/// With the collector disabled nothing else will ever come into the store, so what was imported is all there is.
#[tokio::test]
async fn imported_histories_answer_without_a_collector() {
    let directory = tempfile::tempdir().expect("a directory");
    for (code, lines) in [("BTC", invented(450, 9_000, false)), ("RUT", invented(600, 1_500, true))] {
        let file = directory.path().join(format!("{code}.csv"));
        write_csv(&file, &lines);
        import(directory.path(), code, &file);
    }
    let service = Process::serve_in_with(directory.path(), &["--set", "collector.enabled=false"]);
    let mut prices = service.prices().await;
    let mut indices = IndexServiceClient::new(service.channel().await);
    let request = CompareIndicesRequest {
        benchmark: "id:bitcoin".to_owned(),
        subjects: vec!["RUT".to_owned()],
        end_time: Some(prost_types::Timestamp { seconds: START_S + 440 * DAY_S, nanos: 0 }),
        ..Default::default()
    };
    let compared = wait_until("a comparison", async || indices.compare_indices(request.clone()).await.ok()).await;
    let compared = compared.into_inner().comparisons;
    assert!(compared.len() == 1 && compared[0].observation_count > 20, "{compared:?}");
    let cycles = GetCyclesRequest { index: "RUT/BTC".to_owned(), ..Default::default() };
    soon("cycles", indices.get_cycles(cycles)).await.expect("cycles");
    let quotient = GetIndexSnapshotRequest { index: "RUT/BTC".to_owned(), view: View::Full.into() };
    let quotient = soon("a quotient", indices.get_index_snapshot(quotient)).await.expect("a quotient").into_inner();
    let methodology = quotient.snapshot.and_then(|snapshot| snapshot.methodology).expect("its methodology");
    assert_eq!(methodology.operands, ["RUT", "BTC"], "by their short names, without a price too");
    let as_of = Some(prost_types::Timestamp { seconds: START_S + 440 * DAY_S, nanos: 0 });
    let season = GetAltcoinSeasonRequest { as_of, ..Default::default() };
    let season = soon("season", indices.get_altcoin_season(season)).await.expect("a season").into_inner();
    assert!(season.season.is_some_and(|season| season.btc_return_percent.is_some()));
    assert_eq!(candles(&mut prices, "BTC", 5_000).await.len(), 450);
}

async fn a_period_holds_its_start_and_not_its_end(client: &mut PriceServiceClient<Channel>, lines: &[Line]) {
    let time = |line: &Line| Some(prost_types::Timestamp { seconds: line.0, nanos: 0 });
    let request = ListCandlesRequest {
        asset: "BTC".to_owned(),
        start_time: time(&lines[10]),
        end_time: time(&lines[20]),
        ..Default::default()
    };
    let page = soon("candles", client.list_candles(request)).await.expect("candles").into_inner();
    check_equal("BTC", &page.candles, &lines[10..20]);
}

/// The directory of recorded histories, if this machine has it.
fn recorded() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(|parent| parent.join("shared/data"));
    let directory = std::env::var_os("CROSSMARKET_SHARED_DATA").map(PathBuf::from).or_else(beside);
    directory.map(|directory| directory.join("history")).filter(|directory| directory.is_dir())
}

/// The file of a folder whose name starts so.
fn file_of(folder: &Path, start: &str) -> PathBuf {
    let paths = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let is_meant = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
    paths.filter(is_meant).min().unwrap_or_else(|| panic!("no {start}* in {}", folder.display()))
}

/// The lines of a provider's file that have all four prices, by day. Read without the parser under test.
fn recorded_lines(path: &Path) -> Vec<Line> {
    let mut reader = csv::Reader::from_path(path).expect("a file");
    let columns: Vec<usize> = {
        let header = reader.headers().expect("a header");
        let column = |name: &str| header.iter().position(|cell| cell == name).expect("a column");
        ["Date", "Open", "High", "Low", "Close"].map(column).to_vec()
    };
    let mut lines = BTreeMap::new();
    for record in reader.records() {
        let record = record.expect("a line");
        let cell = |column: usize| record.get(columns[column]).expect("a cell").to_owned();
        let day: jiff::civil::Date = cell(0).parse().expect("a date");
        let start = day.to_zoned(jiff::tz::TimeZone::UTC).expect("a time").timestamp().as_second();
        let prices = [cell(1), cell(2), cell(3), cell(4)];
        if prices.iter().all(|price| Decimal::parse(price).is_ok()) {
            lines.insert(start, prices);
        }
    }
    lines.into_iter().collect()
}

#[tokio::test]
async fn real_histories_are_answered_as_they_stand() {
    let Some(recorded) = recorded() else {
        eprintln!("skipped: no recorded histories; CROSSMARKET_SHARED_DATA names their directory");
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let files = [
        ("BTC", file_of(&recorded.join("yahoo_coins_daily"), "BTC-USD")),
        ("RUT", file_of(&recorded.join("indices"), "RUT_daily_1987")),
    ];
    for (code, file) in &files {
        let (told, remarks) = import(directory.path(), code, file);
        eprintln!("{told}{remarks}");
    }
    let (_service, mut client) = served(directory.path(), "BTC").await;
    for (code, file) in &files {
        check_equal(code, &candles(&mut client, code, 1_000).await, &recorded_lines(file));
    }
}
