//! `IndexService` over histories and states put there by hand.

use super::*;
use crossmarket_analytics::daily::{Daily, Day};
use crossmarket_api::v1::index_service_client::IndexServiceClient;
use crossmarket_domain::Decimal;
use crossmarket_domain::index::{IndexCalendar, IndexCode, IndexMethodology, IndexSnapshot, MarketSession};
use crossmarket_image::histories::History;
use crossmarket_image::testing::snapshot;

/// Thursday, 15 January 2026, 17:00 UTC: New York is trading.
const NOW: &str = "2026-01-15T17:00:00Z";

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("valid")
}

fn wire(text: &str) -> prost_types::Timestamp {
    convert::time(time(text))
}

/// Every day of the two years before now, growing by a per cent of a sine each.
fn history(scale: f64, only_sessions: bool) -> Arc<History> {
    let today = Day::of(time(NOW));
    let days = (1..730).map(|back| today.plus(-back));
    let is_kept = |day: &Day| !only_sessions || crossmarket_domain::calendar::session_of_day(day.start()).is_some();
    let value = |day: Day| scale * (1.0 + 0.2 * (f64::from(day.number()) / 7.0 + scale).sin());
    let closes = Daily::new(days.filter(is_kept).map(|day| (day, value(day))));
    Arc::new(History { closes, ..History::default() })
}

struct Indices {
    fixture: Fixture,
    client: IndexServiceClient<Channel>,
}

impl Indices {
    async fn start() -> Self {
        let fixture = Fixture::start(|services| services.clock = Clock::simulated(time(NOW), 1e-9)).await;
        let put = [
            ("RUT", history(2_500.0, true)),
            ("id:bitcoin", history(90_000.0, false)),
            ("id:ethereum", history(3_000.0, false)),
        ];
        fixture.services.histories.put(put.map(|(name, history)| (name.into(), history)));
        let prices = [("BTC", "95391"), ("ETH", "3301"), ("SOL", "143.1")];
        let mut changes: Vec<Change> = (1..)
            .zip(prices)
            .map(|(revision, (asset, price))| priced(revision, snapshot(asset, 1, price), time(NOW)))
            .collect();
        changes.sort_by_key(|change| change.revision);
        let position = Position { epoch: EPOCH, revision: 3 };
        fixture.services.image.bootstrap(0, position, changes, time(NOW));
        let indices = Self { client: IndexServiceClient::new(fixture.channel.clone()), fixture };
        indices.level(1, "2650.5");
        indices
    }

    /// Puts a level of the Russell 2000 into the cross-asset shard.
    fn level(&self, revision: Revision, level: &str) {
        let code = IndexCode::parse("RUT").expect("an index");
        let methodology = IndexMethodology::observed("", "yahoo", IndexCalendar::NewYork);
        let snapshot = IndexSnapshot {
            level: Some(Decimal::parse(level).expect("a number")),
            ..IndexSnapshot::empty(code.clone(), methodology, MarketSession::Open)
        };
        let change =
            Change { key: Key::Index(code), revision, state: Some(state(Body::Index(Box::new(snapshot)), time(NOW))) };
        let image = &self.fixture.services.image;
        let shard = image.shards().cross_asset();
        match revision {
            1 => image.bootstrap(shard, Position { epoch: EPOCH, revision }, vec![change], time(NOW)),
            _ => image.apply(shard, EPOCH, vec![change], time(NOW)).expect("continues"),
        }
    }

    async fn compare(&mut self, request: v1::CompareIndicesRequest) -> Result<v1::CompareIndicesResponse, Status> {
        self.client.compare_indices(request).await.map(tonic::Response::into_inner)
    }
}

fn request(benchmark: &str, subjects: &[&str]) -> v1::CompareIndicesRequest {
    let subjects = subjects.iter().map(|subject| (*subject).to_owned()).collect();
    v1::CompareIndicesRequest { benchmark: benchmark.to_owned(), subjects, ..Default::default() }
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_comparison_says_how_it_was_sampled() {
    let mut indices = Indices::start().await;
    let answer = indices.compare(request("RUT", &["BTC", "ETH/BTC", "RUT"])).await.expect("enough history");
    for comparison in &answer.comparisons {
        assert_eq!(comparison.calendar(), v1::Calendar::NewYork, "{}", comparison.subject);
        assert_eq!((comparison.observation_count, comparison.periods_per_year), (90, 252.0));
        assert!(comparison.provisional, "the session goes on");
        assert_eq!(comparison.benchmark_sources, ["yahoo"]);
        assert!(comparison.simulated && comparison.freshness.is_some());
    }
    assert_eq!(answer.comparisons[0].alignment(), v1::ComparisonAlignment::UtcDailyClose, "no hourly history");
    assert_eq!(answer.comparisons[1].subject, "ETH/BTC");
    let same = &answer.comparisons[2];
    assert_eq!((same.alignment(), same.relative_strength_percent), (v1::ComparisonAlignment::SessionClose, Some(0.0)));
    assert!(
        (same.correlation.expect("varies") - 1.0).abs() < 1e-12 && (same.beta.expect("varies") - 1.0).abs() < 1e-12
    );

    let crypto = indices.compare(request("BTC", &["ETH"])).await.expect("enough history").comparisons.remove(0);
    assert_eq!((crypto.calendar(), crypto.periods_per_year), (v1::Calendar::UtcDays, 365.0));
}

#[tokio::test]
async fn a_window_in_the_past_ends_with_its_last_sample_and_can_be_asked_for_again() {
    let mut indices = Indices::start().await;
    let past = v1::CompareIndicesRequest {
        end_time: Some(wire("2025-06-16T00:00:00Z")),
        lookback_observations: Some(20),
        include_points: true,
        ..request("RUT", &["BTC"])
    };
    let first = indices.compare(past.clone()).await.expect("enough history").comparisons.remove(0);
    // Friday, whose UTC day ended on Saturday; the weekend has no session.
    assert_eq!(first.end_time, Some(wire("2025-06-14T00:00:00Z")));
    assert_eq!((first.points.len(), first.provisional, first.revision), (21, false, None));
    assert_eq!(first.points[0].subject, 100.0);
    let again = v1::CompareIndicesRequest {
        start_time: first.start_time,
        end_time: first.end_time,
        lookback_observations: None,
        ..past
    };
    assert_eq!(indices.compare(again).await.expect("enough history").comparisons, [first]);
}

#[tokio::test]
async fn too_little_in_common_is_a_failed_precondition_and_never_a_number() {
    let mut indices = Indices::start().await;
    let short =
        v1::CompareIndicesRequest { start_time: Some(wire("2026-01-08T00:00:00Z")), ..request("RUT", &["BTC"]) };
    let status = indices.compare(short).await.expect_err("six sessions");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "INSUFFICIENT_HISTORY"));
    let aligned = v1::CompareIndicesRequest {
        alignment: v1::ComparisonAlignment::SessionClose.into(),
        ..request("RUT", &["BTC"])
    };
    let status = indices.compare(aligned).await.expect_err("no hourly history");
    assert!(status.code() == Code::FailedPrecondition && status.message().contains("hourly"), "{status:?}");

    let partial = v1::CompareIndicesRequest { allow_partial: true, ..request("RUT", &["BTC", "SOL", "NOPE", "A/B/C"]) };
    let answer = indices.compare(partial).await.expect("partial");
    let states: Vec<_> = answer.items.iter().map(|item| item.state()).collect();
    let expected =
        [v1::ItemState::Ok, v1::ItemState::InsufficientHistory, v1::ItemState::Unknown, v1::ItemState::Invalid];
    assert_eq!((states, answer.comparisons.len()), (expected.to_vec(), 1));
}

#[tokio::test]
async fn bad_requests_name_their_field() {
    let mut indices = Indices::start().await;
    let base = || request("RUT", &["BTC"]);
    let with = |change: fn(&mut v1::CompareIndicesRequest)| {
        let mut request = base();
        change(&mut request);
        request
    };
    let cases = [
        (request("", &["BTC"]), "benchmark"),
        (request("RUT", &[]), "subjects"),
        (request("RUT", &["BTC", "x y"]), "subjects[1]"),
        (with(|request| request.lookback_observations = Some(9)), "lookback_observations"),
        (with(|request| request.frequency = 7), "frequency"),
        (with(|request| request.alignment = 7), "alignment"),
        (
            with(|request| {
                request.start_time = Some(wire("2025-01-01T00:00:00Z"));
                request.lookback_observations = Some(20);
            }),
            "lookback_observations",
        ),
        (
            with(|request| {
                request.start_time = Some(wire("2025-01-02T00:00:00Z"));
                request.end_time = Some(wire("2025-01-01T00:00:00Z"));
            }),
            "end_time",
        ),
    ];
    for (request, field) in cases {
        let status = indices.compare(request).await.expect_err(field);
        let details = status.get_error_details();
        let fields: Vec<_> = details.bad_request().into_iter().flat_map(|bad| &bad.field_violations).collect();
        assert_eq!((status.code(), fields[0].field.as_str()), (Code::InvalidArgument, field));
    }
}

#[tokio::test]
async fn indices_assets_and_quotients_have_snapshots() {
    let mut indices = Indices::start().await;
    let names = ["RUT", "btc", "ETH/BTC"].map(str::to_owned).to_vec();
    let request = v1::BatchGetIndexSnapshotsRequest { indices: names, view: 2, allow_partial: false };
    let found = indices.client.batch_get_index_snapshots(request).await.expect("all known").into_inner().snapshots;
    let shown: Vec<_> =
        found.iter().map(|one| (one.index.as_str(), one.kind(), one.unit.as_str(), one.level.as_deref())).collect();
    let quotient = found[2].level.as_deref().expect("a level");
    assert_eq!(
        shown[..2],
        [("RUT", v1::IndexKind::Equity, "points", Some("2650.5")), ("BTC", v1::IndexKind::Asset, "USD", Some("95391"))]
    );
    assert!((quotient.parse::<f64>().expect("a number") / (3_301.0 / 95_391.0) - 1.0).abs() < 1e-11, "{quotient}");
    let methodology = found[2].methodology.as_ref().expect("told");
    assert_eq!(methodology.operands, ["ETH", "BTC"]);
    assert!(found[2].all_time_high.is_some() && found[2].change_30d_percent.is_some());

    let get = |index: &str| v1::GetIndexSnapshotRequest { index: index.to_owned(), view: 0 };
    let check = async |client: &mut IndexServiceClient<Channel>, index: &str, code: Code, expected: &str| {
        let status = client.get_index_snapshot(get(index)).await.expect_err(index);
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{index}");
    };
    check(&mut indices.client, "NOPE", Code::NotFound, "UNKNOWN_INDEX").await;
    check(&mut indices.client, "TOTAL", Code::NotFound, "NO_LEVEL_YET").await;
    check(&mut indices.client, "a b", Code::InvalidArgument, "INVALID_ARGUMENT").await;

    let listed = indices.client.list_indices(v1::ListIndicesRequest::default()).await.expect("listed").into_inner();
    assert!(listed.snapshots.iter().any(|one| one.index == "TOTAL" && one.level.is_none()), "listed without a level");
    assert_eq!(listed.snapshots[0].kind(), v1::IndexKind::Equity);
}

#[tokio::test]
async fn watched_comparisons_follow_each_tick() {
    let mut indices = Indices::start().await;
    let request = v1::WatchComparisonsRequest {
        benchmark: "RUT".to_owned(),
        subjects: ["BTC", "ETH", "NOPE"].map(str::to_owned).to_vec(),
        ..Default::default()
    };
    let mut stream = indices.client.watch_comparisons(request.clone()).await.expect("opens").into_inner();
    let next = async |stream: &mut Streaming<v1::WatchComparisonsResponse>| {
        let next = tokio::time::timeout(Duration::from_secs(10), stream.message());
        next.await.expect("in time").expect("no error").expect("no end")
    };
    let first = next(&mut stream).await;
    assert_eq!((first.state(), first.comparisons.len()), (v1::StreamState::SnapshotComplete, 2));
    assert_eq!(first.items[2].state(), v1::ItemState::Unknown);
    let tick = |revision, price| vec![priced(revision, snapshot("BTC", 1, price), time(NOW))];
    indices.fixture.apply(tick(4, "100000"));
    let live = next(&mut stream).await;
    assert_eq!((live.state(), live.comparisons.len()), (v1::StreamState::Live, 1), "only what has changed");
    let asked = v1::CompareIndicesRequest { ..super::index::request("RUT", &["BTC"]) };
    let unary = indices.compare(asked).await.expect("enough history").comparisons.remove(0);
    assert_eq!(live.comparisons[0], unary, "the same figures, bit for bit");

    // Another connection goes on from there with what is later, and nothing else.
    drop(stream);
    indices.fixture.apply(vec![priced(5, snapshot("ETH", 2, "3400"), time(NOW))]);
    let resumed = v1::WatchComparisonsRequest { resume_cursor: live.cursor, ..request };
    let mut stream = indices.client.watch_comparisons(resumed).await.expect("opens").into_inner();
    let later = next(&mut stream).await;
    let subjects: Vec<_> = later.comparisons.iter().map(|one| one.subject.as_str()).collect();
    assert_eq!((later.state(), subjects), (v1::StreamState::Live, vec!["ETH"]));
    indices.level(2, "2700");
    assert_eq!(next(&mut stream).await.comparisons.len(), 2, "the benchmark moves both");
}

#[tokio::test]
async fn indices_and_quotients_are_watched() {
    let mut indices = Indices::start().await;
    let request = |names: &[&str]| v1::WatchIndexSnapshotsRequest {
        indices: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    };
    let next = async |stream: &mut Streaming<v1::WatchIndexSnapshotsResponse>| {
        let next = tokio::time::timeout(Duration::from_secs(10), stream.message());
        next.await.expect("in time").expect("no error").expect("no end")
    };
    let levels = |frame: &v1::WatchIndexSnapshotsResponse| {
        frame.snapshots.iter().map(|one| format!("{}={}", one.index, one.level())).collect::<Vec<_>>()
    };
    let mut plain = indices.client.watch_index_snapshots(request(&["RUT"])).await.expect("opens").into_inner();
    let mut derived =
        indices.client.watch_index_snapshots(request(&["RUT", "RUT/BTC"])).await.expect("opens").into_inner();
    assert_eq!(levels(&next(&mut plain).await), ["RUT=2650.5"]);
    assert_eq!(next(&mut derived).await.snapshots.len(), 2);
    indices.level(2, "2700");
    assert_eq!(levels(&next(&mut plain).await), ["RUT=2700"]);
    assert_eq!(levels(&next(&mut derived).await)[0], "RUT=2700");
}

#[tokio::test]
async fn season_and_cycles_are_answered_from_histories() {
    let mut indices = Indices::start().await;
    let as_of = Some(wire("2025-10-01T00:00:00Z"));
    let request = v1::GetAltcoinSeasonRequest { as_of, ..Default::default() };
    let season =
        indices.client.get_altcoin_season(request).await.expect("answered").into_inner().season.expect("there");
    assert_eq!((season.window_days, season.universe_size, season.ranked_at_end_time), (90, 50, false));
    assert_eq!(season.constituents.iter().map(|one| one.asset.as_str()).collect::<Vec<_>>(), ["ETH"]);
    assert_eq!((season.end_time, season.start_time), (as_of, Some(wire("2025-07-03T00:00:00Z"))));
    let request =
        v1::GetCyclesRequest { index: "ETH/BTC".to_owned(), reversal_percent: Some(10.0), ..Default::default() };
    let cycles = indices.client.get_cycles(request).await.expect("answered").into_inner().cycles.expect("there");
    assert!(cycles.completed.len() > 2 && cycles.observation_count == 729, "{cycles:?}");
    let request = v1::GetCyclesRequest { index: "SOL".to_owned(), ..Default::default() };
    let status = indices.client.get_cycles(request).await.expect_err("no history");
    assert_eq!(status.code(), Code::FailedPrecondition);
}
