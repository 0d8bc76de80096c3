//! `ratios`, `compare`, `season`, `cycles` and indices in `get` and `list`: the real binary against services that answer by script.

use std::path::Path;
use std::pin::Pin;
use std::process::{Output, Stdio};
use std::time::Duration;

use crossmarket_api::v1::index_service_server::{IndexService, IndexServiceServer};
use crossmarket_api::v1::long_short_service_server::{LongShortService, LongShortServiceServer};
use crossmarket_api::v1::*;
use serde_json::Value;
use tokio::process::Command;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

type Stub<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// 15 January 2026, 12:00 UTC.
const NOW: i64 = 1_768_478_400;
const DAY: i64 = 86_400;

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

/// Gives the same answer to every request, and refuses what a real service refuses.
struct Scripted;

#[tonic::async_trait]
impl LongShortService for Scripted {
    type WatchLongShortRatiosStream = Stub<WatchLongShortRatiosResponse>;

    async fn get_long_short_ratio(
        &self,
        _: Request<GetLongShortRatioRequest>,
    ) -> Result<Response<GetLongShortRatioResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    /// Ratios that rise with rank; every seventh asset has no RSI, and the last one no ratio.
    async fn list_long_short_ratios(
        &self,
        request: Request<ListLongShortRatiosRequest>,
    ) -> Result<Response<ListLongShortRatiosResponse>, Status> {
        let request = request.into_inner();
        if request.kind() == LongShortKind::TopTraderAccount && request.venue.is_empty() {
            return Err(Status::invalid_argument("top-trader kinds are never pooled: name a venue"));
        }
        let last = request.market_cap_rank_max.unwrap_or(3);
        let ratio = |rank: i32| {
            let long_share = 0.5 + f64::from(rank) / 300.0;
            LongShortRatio {
                asset: format!("A{rank}"),
                kind: request.kind,
                period: request.period,
                ratio: (rank < last).then_some(long_share / (1.0 - long_share)),
                long_share: (rank < last).then_some(long_share),
                short_share: (rank < last).then_some(1.0 - long_share),
                open_interest: Some("123456789.5".to_owned()),
                market_cap_rank: Some(rank),
                rsi_14d: (rank % 7 != 0).then_some(f64::from(rank % 100)),
                event_time: at(NOW),
                simulated: true,
                revision: 1,
                ..Default::default()
            }
        };
        Ok(Response::new(ListLongShortRatiosResponse { ratios: (1..=last).map(ratio).collect(), ..Default::default() }))
    }

    async fn watch_long_short_ratios(
        &self,
        _: Request<WatchLongShortRatiosRequest>,
    ) -> Result<Response<Self::WatchLongShortRatiosStream>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn list_long_short_ratio_history(
        &self,
        _: Request<ListLongShortRatioHistoryRequest>,
    ) -> Result<Response<ListLongShortRatioHistoryResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn get_long_short_breadth(
        &self,
        request: Request<GetLongShortBreadthRequest>,
    ) -> Result<Response<GetLongShortBreadthResponse>, Status> {
        let tiers = request.into_inner().tiers.into_iter().map(|tier| LongShortBreadthTier {
            tier: Some(tier),
            count: tier.market_cap_rank_max - tier.market_cap_rank_min + 1,
            above_one_count: 7,
            median_ratio: Some(1.25),
            ..Default::default()
        });
        let breadth = LongShortBreadth {
            tiers: tiers.collect(),
            rank_correlation: Some(0.87),
            rank_correlation_count: 59,
            simulated: true,
            ..Default::default()
        };
        Ok(Response::new(GetLongShortBreadthResponse { breadth: Some(breadth) }))
    }
}

#[tonic::async_trait]
impl IndexService for Scripted {
    type WatchIndexSnapshotsStream = Stub<WatchIndexSnapshotsResponse>;
    type WatchComparisonsStream = Stub<WatchComparisonsResponse>;

    async fn list_indices(&self, _: Request<ListIndicesRequest>) -> Result<Response<ListIndicesResponse>, Status> {
        Ok(Response::new(ListIndicesResponse { snapshots: vec![russell()], ..Default::default() }))
    }

    async fn get_index_snapshot(
        &self,
        request: Request<GetIndexSnapshotRequest>,
    ) -> Result<Response<GetIndexSnapshotResponse>, Status> {
        match request.into_inner().index.as_str() {
            "RUT" => Ok(Response::new(GetIndexSnapshotResponse { snapshot: Some(russell()) })),
            other => Err(Status::not_found(format!("no index {other}"))),
        }
    }

    async fn batch_get_index_snapshots(
        &self,
        _: Request<BatchGetIndexSnapshotsRequest>,
    ) -> Result<Response<BatchGetIndexSnapshotsResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn watch_index_snapshots(
        &self,
        _: Request<WatchIndexSnapshotsRequest>,
    ) -> Result<Response<Self::WatchIndexSnapshotsStream>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    /// Ten years of a saw that rises, over two pages.
    async fn list_index_history(
        &self,
        request: Request<ListIndexHistoryRequest>,
    ) -> Result<Response<ListIndexHistoryResponse>, Status> {
        let second = !request.into_inner().page_token.is_empty();
        let point = |day: i64| IndexPoint {
            time: at(NOW - (3_650 - day) * DAY),
            level: format!("0.{:03}", 100 + day % 900),
            closed: true,
            ..Default::default()
        };
        let days = if second { 2_000..3_650 } else { 0..2_000 };
        let next_page_token = if second { String::new() } else { "second".to_owned() };
        let points = days.map(point).collect();
        Ok(Response::new(ListIndexHistoryResponse { points, next_page_token, simulated: true }))
    }

    /// Compares with BTC and ETH; knows nothing else.
    async fn compare_indices(
        &self,
        request: Request<CompareIndicesRequest>,
    ) -> Result<Response<CompareIndicesResponse>, Status> {
        let request = request.into_inner();
        let count = request.lookback_observations.unwrap_or(90);
        let known = |subject: &&String| ["BTC", "ETH"].contains(&subject.as_str());
        let comparison = |subject: &String| Comparison {
            subject: subject.clone(),
            benchmark: request.benchmark.clone(),
            start_time: at(NOW - i64::from(count) * DAY),
            end_time: at(NOW),
            subject_return_percent: Some(-12.5),
            benchmark_return_percent: Some(7.0),
            relative_strength_percent: Some(-18.2),
            correlation: Some(0.41),
            observation_count: count,
            calendar: Calendar::NewYork.into(),
            alignment: ComparisonAlignment::SessionClose.into(),
            frequency: request.frequency,
            periods_per_year: 252.0,
            points: if request.include_points { points(count) } else { Vec::new() },
            simulated: true,
            ..Default::default()
        };
        let item = |subject: &String| ItemStatus {
            asset_id: String::new(),
            new_asset_id: String::new(),
            item: subject.clone(),
            state: if known(&subject) { ItemState::Ok } else { ItemState::InsufficientHistory }.into(),
            message: if known(&subject) { "" } else { "4 common sessions, at least 10 are needed" }.to_owned(),
        };
        Ok(Response::new(CompareIndicesResponse {
            comparisons: request.subjects.iter().filter(known).map(comparison).collect(),
            items: request.subjects.iter().map(item).collect(),
        }))
    }

    async fn watch_comparisons(
        &self,
        _: Request<WatchComparisonsRequest>,
    ) -> Result<Response<Self::WatchComparisonsStream>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn get_altcoin_season(
        &self,
        _: Request<GetAltcoinSeasonRequest>,
    ) -> Result<Response<GetAltcoinSeasonResponse>, Status> {
        let constituent = |index: i32| AltcoinSeasonConstituent {
            asset_id: format!("a{index}"),
            asset: format!("A{index}"),
            return_percent: f64::from(index) * 7.0 - 30.0,
            beat_btc: index > 2,
            market_cap_rank: index + 2,
            start_price: "2".to_owned(),
            end_price: "1.5".to_owned(),
        };
        let exclusion = Exclusion {
            asset: "USDT".to_owned(),
            asset_id: "tether".to_owned(),
            reason: ExclusionReason::Stablecoin.into(),
            message: String::new(),
        };
        let season = AltcoinSeason {
            score: Some(80.0),
            label: AltcoinSeasonLabel::AltcoinSeason.into(),
            constituents: (0..10).map(constituent).collect(),
            btc_return_percent: Some(-12.0),
            excluded: vec![exclusion],
            observation_count: 10,
            beat_btc_count: 8,
            universe_size: 10,
            window_days: 90,
            start_time: at(NOW - 90 * DAY),
            end_time: at(NOW),
            ranked_at_end_time: true,
            simulated: true,
            altcoin_season_threshold: 75.0,
            bitcoin_season_threshold: 25.0,
        };
        Ok(Response::new(GetAltcoinSeasonResponse { season: Some(season) }))
    }

    async fn list_altcoin_season_history(
        &self,
        _: Request<ListAltcoinSeasonHistoryRequest>,
    ) -> Result<Response<ListAltcoinSeasonHistoryResponse>, Status> {
        let point = |day: i64| AltcoinSeasonPoint {
            time: at(NOW - (100 - day) * DAY),
            score: day as f64,
            label: AltcoinSeasonLabel::Neutral.into(),
            observation_count: 50,
            btc_return_percent: 1.0,
        };
        let points = (0..100).map(point).collect();
        Ok(Response::new(ListAltcoinSeasonHistoryResponse { points, simulated: true, ..Default::default() }))
    }

    async fn get_cycles(&self, request: Request<GetCyclesRequest>) -> Result<Response<GetCyclesResponse>, Status> {
        let index = request.into_inner().index;
        if index != "OTHERS/BTC" {
            return Err(Status::failed_precondition(format!("{index} has no history")));
        }
        let cycle = |year: i64, rally_percent: f64| Cycle {
            trough_time: at(NOW - year * 365 * DAY),
            trough: "0.1".to_owned(),
            peak_time: at(NOW - (year - 1) * 365 * DAY),
            peak: "0.6".to_owned(),
            rally_percent,
            decline_percent: Some(-80.0),
            rally_days: 365,
        };
        let cycles = Cycles {
            index,
            level: Some("0.1123".to_owned()),
            supports: vec![PriceLevel { level: "0.11".to_owned(), touch_count: 3, ..Default::default() }],
            completed: vec![cycle(9, 423.0), cycle(5, 503.0)],
            current: Some(cycle(1, 12.0)),
            extension_percent: Some(702.0),
            at_support: true,
            reversal_percent: 100.0,
            level_tolerance_percent: 10.0,
            patterns: vec![Pattern {
                kind: PatternKind::InverseHeadAndShoulders.into(),
                state: PatternState::BrokenOut.into(),
                head: Some(PatternPoint { time: at(NOW - 60 * DAY), level: "0.105".to_owned() }),
                decision: Some(PatternPoint { time: at(NOW - 9 * DAY), level: "0.1205".to_owned() }),
                neckline: "0.12".to_owned(),
                target: Some("0.135".to_owned()),
                ..Default::default()
            }],
            pattern_reversal_percent: 4.0,
            observation_count: 3_650,
            start_time: at(NOW - 3_650 * DAY),
            end_time: at(NOW),
            sources: vec!["coingecko".to_owned()],
            simulated: true,
            ..Default::default()
        };
        Ok(Response::new(GetCyclesResponse { cycles: Some(cycles) }))
    }
}

fn russell() -> IndexSnapshot {
    IndexSnapshot {
        index: "RUT".to_owned(),
        title: "Russell 2000".to_owned(),
        level: Some("2650.71".to_owned()),
        unit: "points".to_owned(),
        change_ytd_percent: Some(7.0),
        simulated: true,
        ..Default::default()
    }
}

fn points(count: i32) -> Vec<ComparisonPoint> {
    let point = |index: i32| ComparisonPoint {
        time: at(NOW - i64::from(count - index) * DAY),
        subject: 100.0 - f64::from(index) / 10.0,
        benchmark: 100.0 + f64::from(index) / 20.0,
        ratio: 100.0,
    };
    (0..=count).map(point).collect()
}

async fn start() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = format!("http://{}", listener.local_addr().expect("an address"));
    let router = tonic::transport::Server::builder()
        .add_service(LongShortServiceServer::new(Scripted))
        .add_service(IndexServiceServer::new(Scripted));
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    server
}

async fn client(server: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossmarket"));
    command.args(arguments).env("CROSSMARKET_SERVER", server).stdin(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(Duration::from_secs(60), command.output()).await.expect("in time").expect("the binary runs")
}

/// The output of a command, after a check that it succeeded.
async fn printed(server: &str, arguments: &[&str]) -> String {
    let output = client(server, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Checks that a file is a picture: well-formed XML that is marked as simulated, holds these words, and draws within its page.
fn check_picture(path: &Path, words: &[&str]) {
    let svg = std::fs::read_to_string(path).expect("written");
    let mut depth = 0;
    for tag in svg.split('<').skip(1).map(|rest| rest.split('>').next().expect("closed")) {
        depth += if tag.starts_with('/') {
            -1
        } else if tag.ends_with('/') {
            0
        } else {
            1
        };
        assert!(depth >= 0, "{tag}");
    }
    assert_eq!(depth, 0, "every element is closed");
    assert!(svg.starts_with("<svg") && svg.contains("SIMULATED"), "{}", &svg[..200]);
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "every coordinate is a number");
    for word in words {
        assert!(svg.contains(word), "{word:?} is not in {}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ratios_are_a_table_a_breadth_and_a_chart() {
    let server = start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let svg = directory.path().join("ratios.svg");
    let svg_text = svg.to_str().expect("UTF-8");
    let shown = printed(&server, &["ratios", "--rank-max", "60", "--chart", "always", "--svg", svg_text]).await;
    assert!(shown.contains("SIMULATED") && shown.contains("A60"), "{shown}");
    assert!(shown.contains("11–50") && shown.contains("51–60") && !shown.contains("101–200"), "tiers are cut: {shown}");
    assert!(shown.contains("rho between rank and ratio +0.87"), "{shown}");
    assert!(shown.contains('┤') && shown.contains("Market-cap rank") && shown.contains('●'), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colours into a pipe");
    check_picture(
        &svg,
        &["The further down the ranking", "Market-cap rank", "RSI below 30", "15 January 2026, 12:00 UTC"],
    );

    let plain = printed(&server, &["ratios", "--rank-max", "60"]).await;
    assert!(!plain.contains('┤'), "no chart into a pipe unless asked for");
    let json: Value =
        serde_json::from_str(&printed(&server, &["ratios", "--rank-max", "5", "--json"]).await).expect("JSON");
    assert_eq!(
        (json["ratios"].as_array().map(Vec::len), &json["breadth"]["rank_correlation"]),
        (Some(5), &Value::from(0.87))
    );
    assert!(json["ratios"][4].get("ratio").is_none(), "absent stays absent");

    let refused = client(&server, &["ratios", "--kind", "top-trader-account"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("INVALID_ARGUMENT: top-trader kinds are never pooled"));
    let wrong = client(&server, &["ratios", "--rank-min", "9", "--rank-max", "5"]).await;
    assert_eq!(wrong.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comparisons_say_how_they_were_made() {
    let server = start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let svg = directory.path().join("compare.svg");
    let svg_text = svg.to_str().expect("UTF-8");
    let arguments = ["compare", "rut", "btc", "eth", "--lookback", "30", "--chart", "always", "--svg", svg_text];
    let shown = printed(&server, &arguments).await;
    assert!(shown.contains("benchmark RUT: return +7.00 %"), "{shown}");
    assert!(shown.contains("joint sessions of New York") && shown.contains("annualized with 252"), "{shown}");
    assert!(shown.contains("-12.50 %") && shown.contains("+0.41") && shown.contains("ETH −12.5 %"), "{shown}");
    check_picture(&svg, &["BTC, ETH against RUT", "first of 31", "sampled at the New York close", "RUT +7.0 %"]);

    let partial = client(&server, &["compare", "RUT", "BTC", "NEW"]).await;
    assert_eq!(partial.status.code(), Some(1));
    assert!(text(&partial.stdout).contains("BTC"));
    assert!(
        text(&partial.stderr).contains("NEW: insufficient history: 4 common sessions"),
        "{}",
        text(&partial.stderr)
    );
    let both = client(&server, &["compare", "RUT", "BTC", "--lookback", "30", "--from", "2025-01-01"]).await;
    assert_eq!(both.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_season_has_its_constituents_and_its_past() {
    let server = start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let (now, past) = (directory.path().join("season.svg"), directory.path().join("past.svg"));
    let now_text = now.to_str().expect("UTF-8");
    let shown = printed(&server, &["season", "--chart", "always", "--svg", now_text]).await;
    assert!(shown.contains("Altcoin season score 80 of 100: altcoin season"), "{shown}");
    assert!(shown.contains("8 of 10 altcoins") && shown.contains("left out, stablecoin: USDT"), "{shown}");
    assert!(shown.contains("▼ Bitcoin −12.0 %") && shown.contains('█'), "{shown}");
    check_picture(&now, &["Altcoin season score 80 of 100", "Bitcoin −12.0 %", "+33.0 %", "did better than Bitcoin"]);

    let past_text = past.to_str().expect("UTF-8");
    let lines = printed(&server, &["season", "--history", "--svg", past_text]).await;
    assert_eq!(lines.lines().count(), 1 + 1 + 100, "{lines}");
    check_picture(&past, &["altcoin season", "bitcoin season", "score 99"]);
    let json = printed(&server, &["season", "--json"]).await;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (&json["score"], &json["excluded"][0]["reason"]),
        (&Value::from(80.0), &"EXCLUSION_REASON_STABLECOIN".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cycles_are_drawn_over_their_history() {
    let server = start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let svg = directory.path().join("cycles.svg");
    let svg_text = svg.to_str().expect("UTF-8");
    let shown = printed(&server, &["cycles", "others/btc", "--chart", "always", "--svg", svg_text]).await;
    assert!(shown.contains("+423.00 %") && shown.contains("+503.00 %") && shown.contains("3 ×"), "{shown}");
    assert!(shown.contains("+702.00 %") && shown.contains("an extrapolation, not a forecast"), "{shown}");
    let pattern = shown.lines().find(|line| line.starts_with("inverse head and shoulders")).unwrap_or_default();
    for word in ["2025-11-16", "0.105", "0.12", "broken out 2026-01-06", "0.135"] {
        assert!(pattern.contains(word), "no {word} in {pattern:?}");
    }
    check_picture(
        &svg,
        &["OTHERS/BTC is back at its support", "+423.0 %", "support 0.11", "+702.0 % if the pattern extends", "2018"],
    );

    let refused = client(&server, &["cycles", "TOTAL"]).await;
    assert!(text(&refused.stderr).contains("FAILED_PRECONDITION: TOTAL has no history"), "{}", text(&refused.stderr));
    let nowhere = client(&server, &["cycles", "OTHERS/BTC", "--svg", "/no/such/folder/cycles.svg"]).await;
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("cannot write /no/such/folder/cycles.svg"), "{}", text(&nowhere.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indices_are_got_and_listed() {
    let server = start().await;
    let table = printed(&server, &["list", "--indices"]).await;
    assert!(table.contains("Russell 2000") && table.contains("2,650.71") && table.contains("+7.00 %"), "{table}");
    let quotient = client(&server, &["get", "others/btc"]).await;
    assert!(text(&quotient.stderr).contains("NOT_FOUND: no index OTHERS/BTC"), "{}", text(&quotient.stderr));
    // These servers have no prices: an older service than this client says so, and the client tells what that means.
    let unknown = client(&server, &["get", "BTC"]).await;
    assert!(text(&unknown.stderr).contains("older than this client"), "{}", text(&unknown.stderr));
}
