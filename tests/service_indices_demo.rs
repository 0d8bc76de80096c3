//! Indices in a running demo: baskets of the configuration, sums with their past, pages of histories, weekly and session-close comparisons, patterns.

use std::sync::LazyLock;

use crossmarket_api::v1::index_service_client::IndexServiceClient;
use crossmarket_api::v1::{
    CandleInterval, CompareIndicesRequest, Comparison, ComparisonAlignment, ComparisonFrequency,
    GetAltcoinSeasonRequest, GetCyclesRequest, GetIndexSnapshotRequest, IndexPoint, IndexSnapshot, IndexWeighting,
    ListAltcoinSeasonHistoryRequest, ListIndexHistoryRequest, Pattern, PatternState, View,
};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use support::process::{Process, Shared, Story, soon, wait_until};

mod support {
    pub mod process;
}

const BASKETS: &str = r#"
[baskets.four]
assets = ["BTC", "ETH", "SOL", "XMR"]
weighting = "capped-market-cap"
cap_percent = 40

[baskets.even]
assets = ["BTC", "ETH"]
weighting = "equal"
rebalance = "weekly"
"#;

type Client = IndexServiceClient<Channel>;

static DEMO: LazyLock<Shared> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = directory.path().join("baskets.toml");
    std::fs::write(&settings, BASKETS).expect("written");
    // The settings are read before the first line is printed.
    Process::demo(&["--config", settings.to_str().expect("UTF-8")]).shared()
});

/// A client of the demo, once it serves.
async fn indices() -> (Story, Client) {
    let demo = Story::of(&DEMO);
    let channel = demo.channel().await;
    the_service_is_serving(channel.clone()).await;
    (demo, IndexServiceClient::new(channel).max_decoding_message_size(16 << 20))
}

async fn the_service_is_serving(channel: Channel) {
    let mut health = HealthClient::new(channel);
    wait_until("a service that serves", async || {
        let request = HealthCheckRequest { service: "crossmarket.v1.IndexService".to_owned() };
        let status = soon("health", health.check(request)).await.ok()?.into_inner().status();
        (status == ServingStatus::Serving).then_some(())
    })
    .await;
}

async fn snapshot(client: &mut Client, index: &str) -> Option<IndexSnapshot> {
    let request = GetIndexSnapshotRequest { index: index.to_owned(), view: View::Full.into() };
    soon("an index", client.get_index_snapshot(request)).await.ok()?.into_inner().snapshot
}

#[tokio::test]
async fn baskets_have_constituents_and_weights() {
    let (_demo, mut client) = indices().await;
    for (index, names, weighting) in [
        ("basket:four", &["BTC", "ETH", "SOL", "XMR"][..], IndexWeighting::CappedMarketCap),
        ("basket:even", &["BTC", "ETH"][..], IndexWeighting::Equal),
    ] {
        let basket = wait_until("a basket", async || snapshot(&mut client, index).await).await;
        let mut held: Vec<&str> = basket.constituents.iter().map(|constituent| constituent.asset.as_str()).collect();
        held.sort_unstable();
        assert_eq!(held, names, "{index}");
        let weights: f64 = basket.constituents.iter().map(|constituent| constituent.weight).sum();
        assert!((weights - 1.0).abs() < 1e-9, "{index}: {weights}");
        let methodology = basket.methodology.as_ref().expect("a methodology");
        assert_eq!(methodology.weighting(), weighting, "{index}");
        // The level is what its own answer says: units by prices over the divisor.
        let number = |text: Option<&str>| text.expect("told").parse::<f64>().expect("a number");
        let value: f64 =
            basket.constituents.iter().map(|held| number(held.units.as_deref()) * number(held.price.as_deref())).sum();
        let (level, divisor) = (number(basket.level.as_deref()), number(methodology.divisor.as_deref()));
        assert!((value / divisor / level - 1.0).abs() < 1e-9, "{index}: {level} and not {}", value / divisor);
    }
    // A category goes by a short name too.
    let category = wait_until("a category", async || snapshot(&mut client, "category:privacy").await).await;
    assert_eq!(category.index, "category:privacy-coins");
    assert!(category.constituents.iter().any(|constituent| constituent.asset == "XMR"));
}

async fn newest_pattern_of_the_russell(client: &mut Client) -> Pattern {
    wait_until("the pattern of the Russell 2000", async || {
        let request = GetCyclesRequest { index: "RUT".to_owned(), ..Default::default() };
        let cycles = soon("cycles", client.get_cycles(request)).await.ok()?.into_inner().cycles?;
        assert!(cycles.derivations.iter().any(|one| one.field == "patterns" && !one.method.is_empty()));
        cycles.patterns.last().cloned()
    })
    .await
}

#[tokio::test]
async fn the_russell_has_broken_out() {
    let (_demo, mut client) = indices().await;
    let pattern = newest_pattern_of_the_russell(&mut client).await;
    assert_eq!(pattern.state(), PatternState::BrokenOut, "{pattern:?}");
    let seconds = pattern.decision.and_then(|close| close.time).expect("a breakout").seconds;
    // From 2 January 2026 to the day on which the demo starts.
    assert!((1_767_312_000..=1_768_521_600).contains(&seconds), "{seconds}");
}

async fn compare(client: &mut Client, request: CompareIndicesRequest) -> Option<Comparison> {
    soon("a comparison", client.compare_indices(request)).await.ok()?.into_inner().comparisons.pop()
}

#[tokio::test]
async fn weeks_and_sessions_are_sampled_as_asked() {
    let (_demo, mut client) = indices().await;
    let request = |frequency: ComparisonFrequency, alignment: ComparisonAlignment, count| CompareIndicesRequest {
        benchmark: "RUT".to_owned(),
        subjects: vec!["BTC".to_owned()],
        frequency: frequency.into(),
        alignment: alignment.into(),
        lookback_observations: Some(count),
        include_points: true,
        ..Default::default()
    };
    let weekly = request(ComparisonFrequency::Weekly, ComparisonAlignment::UtcDailyClose, 30);
    let weekly = wait_until("a weekly comparison", async || compare(&mut client, weekly.clone()).await).await;
    assert_eq!((weekly.observation_count, weekly.periods_per_year), (30, 52.0));
    let week = |seconds: i64| (seconds - 1 + 3 * 86_400).div_euclid(7 * 86_400);
    let weeks: Vec<i64> =
        weekly.points.iter().map(|point| week(point.time.as_ref().expect("a time").seconds)).collect();
    assert!(weeks.windows(2).all(|pair| pair[0] + 1 == pair[1]), "one sample a week: {weeks:?}");

    let daily = request(ComparisonFrequency::Daily, ComparisonAlignment::SessionClose, 15);
    let daily =
        wait_until("a comparison at the session's close", async || compare(&mut client, daily.clone()).await).await;
    assert_eq!(daily.alignment(), ComparisonAlignment::SessionClose);
    assert_eq!(daily.observation_count, 15);
    let hours: Vec<i64> =
        daily.points.iter().map(|point| point.time.as_ref().expect("a time").seconds % 86_400 / 3_600).collect();
    // 16:00 in New York in winter, and 13:00 on the half-day of Christmas Eve.
    assert!(hours.iter().all(|hour| [18, 21].contains(hour)) && hours.contains(&21), "{hours:?}");
}

/// The sum of all, once the import of the past, which ends with the market caps, is over.
async fn total_with_its_past(client: &mut Client) -> IndexSnapshot {
    wait_until("the history of TOTAL", async || {
        let total = snapshot(client, "TOTAL").await?;
        // From 2014 on, once the past is there.
        let start = total.all_time_high.as_ref()?.history_start_time.as_ref()?.seconds;
        (start < 1_400_000_000 && total.change_ytd_percent.is_some()).then_some(total)
    })
    .await
}

#[tokio::test]
async fn the_high_of_the_sum_is_one_that_was() {
    let (_demo, mut client) = indices().await;
    let total = total_with_its_past(&mut client).await;
    let number = |text: &str| text.parse::<f64>().expect("a number");
    let level = number(total.level.as_deref().expect("a level"));
    let high = number(&total.all_time_high.expect("a high").level);
    assert!(high >= level * 0.999 && high < 2.0 * level, "{high} where the level is {level}");
    let day = total.derivations.iter().find(|one| one.field == "change_1d_percent").expect("a derivation");
    assert!(day.method.contains("24 hours ago"), "{}", day.method);
}

async fn history(client: &mut Client, index: &str, page_size: i32) -> (Vec<IndexPoint>, usize) {
    let mut request = ListIndexHistoryRequest {
        index: index.to_owned(),
        interval: CandleInterval::CandleInterval1d.into(),
        page_size,
        ..Default::default()
    };
    let (mut points, mut page_count) = (Vec::new(), 0);
    loop {
        let page = soon("a page", client.list_index_history(request.clone())).await.expect("a page").into_inner();
        assert!(page.points.len() <= page_size as usize);
        points.extend(page.points);
        page_count += 1;
        if page.next_page_token.is_empty() {
            return (points, page_count);
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn pages_make_up_the_whole() {
    let (_demo, mut client) = indices().await;
    // A past that is still being imported changes between two pages.
    newest_pattern_of_the_russell(&mut client).await;
    total_with_its_past(&mut client).await;
    for index in ["RUT", "OTHERS/BTC"] {
        let ((in_pages, page_count), (whole, one)) =
            (history(&mut client, index, 197).await, history(&mut client, index, 10_000).await);
        assert!(page_count > 10 && one == 1, "{index}: {page_count} pages");
        assert_eq!(in_pages, whole, "{index}");
        let times: Vec<i64> = whole.iter().map(|point| point.time.as_ref().expect("a time").seconds).collect();
        assert!(times.is_sorted_by(|one, next| one < next), "{index}");
    }
    let mut request = ListAltcoinSeasonHistoryRequest {
        // 2025-07-01.
        start_time: Some(prost_types::Timestamp { seconds: 1_751_328_000, nanos: 0 }),
        page_size: 40,
        ..Default::default()
    };
    let mut points = Vec::new();
    loop {
        let page = soon("a page", client.list_altcoin_season_history(request.clone())).await.expect("a page");
        let page = page.into_inner();
        points.extend(page.points);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert!(points.len() > 180, "{}", points.len());
    // Each is the answer to the question of that day.
    for point in points.iter().step_by(37) {
        let asked = GetAltcoinSeasonRequest { as_of: point.time, ..Default::default() };
        let season = soon("a season", client.get_altcoin_season(asked)).await.expect("a season").into_inner().season;
        let season = season.expect("a season");
        assert_eq!((season.score, season.observation_count), (Some(point.score), point.observation_count));
    }
}
