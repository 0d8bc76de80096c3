//! The demo's exchange-traded indices: four simulated sources, one of which disagrees, and the story of the Russell 2000.

use std::sync::LazyLock;

use crossmarket_api::v1::index_service_client::IndexServiceClient;
use crossmarket_api::v1::{
    Candle, ContributionStatus, FeedState, GetCyclesRequest, GetIndexSnapshotRequest, IndexSnapshot,
    ListCandlesRequest, ListFeedsRequest, MarketSession, View,
};
use crossmarket_domain::calendar::session_of_day;
use crossmarket_domain::{Decimal, Timestamp};
use tonic::transport::Channel;

use support::process::{Process, Shared, Story, soon, wait_until};

mod support {
    pub mod process;
}

/// The sources of index levels, the preferred first.
const SOURCES: [&str; 4] = ["yahoo", "twelvedata", "stooq", "fred"];

static DEMO: LazyLock<Shared> = LazyLock::new(|| Process::demo(&[]).shared());

#[tokio::test]
async fn the_russell_2000_is_at_a_high() {
    let demo = Story::of(&DEMO);
    the_sources_work(&demo).await;
    let mut client = IndexServiceClient::new(demo.channel().await);
    let russell = wait_until("the Russell 2000 with its year", async || {
        index(&mut client, "RUT")
            .await
            .filter(|snapshot| snapshot.change_ytd_percent.is_some() && snapshot.all_time_high.is_some())
    })
    .await;
    let year = russell.change_ytd_percent.expect("a change");
    assert!((year - 7.0).abs() < 0.3, "{year} % since the start of the year");
    let high = russell.all_time_high.as_ref().expect("a high");
    assert!(high.is_new && high.drawdown_percent.is_some_and(|drawdown| drawdown > -0.3), "{high:?}");
    assert_eq!(russell.market_session(), MarketSession::Open);
    assert!(russell.simulated);
    let used: Vec<&str> = russell
        .sources
        .iter()
        .filter(|source| source.status() == ContributionStatus::Used)
        .map(|source| source.venue.as_str())
        .collect();
    assert_eq!(used, ["yahoo"], "{:?}", russell.sources);
    let fund = index(&mut client, "IWM").await.expect("the fund");
    assert_eq!(fund.methodology.expect("a methodology").proxy_for, "RUT");
}

#[tokio::test]
async fn a_source_disagrees_and_others_stand_by() {
    let demo = Story::of(&DEMO);
    the_sources_work(&demo).await;
    let mut client = IndexServiceClient::new(demo.channel().await);
    let status = async |client: &mut IndexServiceClient<Channel>, code: &str, venue: &str| {
        let snapshot = index(client, code).await?;
        snapshot.sources.iter().find(|source| source.venue == venue).map(|source| source.status())
    };
    wait_until("a source that disagrees", async || {
        status(&mut client, "DJI", "stooq").await.filter(|status| *status == ContributionStatus::Disagrees)
    })
    .await;
    wait_until("sources that stand by", async || {
        let fred = status(&mut client, "SPX", "fred").await?;
        let twelve = status(&mut client, "SPX", "twelvedata").await?;
        (fred == ContributionStatus::Standby && twelve == ContributionStatus::Standby).then_some(())
    })
    .await;
}

async fn the_sources_work(demo: &Process) {
    let mut catalog = demo.catalog().await;
    wait_until("every source of index levels", async || {
        let feeds = soon("feeds", catalog.list_feeds(ListFeedsRequest { page_size: 1_000, ..Default::default() }))
            .await
            .ok()?
            .into_inner()
            .feeds;
        let works = |venue: &&&str| feeds.iter().any(|feed| feed.venue == **venue && feed.state() == FeedState::Ok);
        (SOURCES.iter().filter(works).count() == SOURCES.len()).then_some(())
    })
    .await;
}

/// Ten years and more of closes, one for each session that is over, none for the one that goes on.
#[tokio::test]
async fn the_history_has_sessions_only() {
    let demo = Story::of(&DEMO);
    let mut client = demo.prices().await;
    let candles = wait_until("the history of the Russell 2000", async || {
        let request = ListCandlesRequest { asset: "RUT".to_owned(), page_size: 5_000, ..Default::default() };
        let candles = soon("candles", client.list_candles(request)).await.ok()?.into_inner().candles;
        (candles.len() > 2_600).then_some(candles)
    })
    .await;
    let day = |candle: &Candle| Timestamp::from_seconds(candle.start_time.expect("a start").seconds);
    assert!(candles.iter().all(|candle| session_of_day(day(candle)).is_some()), "a day without a session");
    let missing = crossmarket_domain::calendar::sessions_between(
        day(&candles[0]).civil().date(),
        day(candles.last().expect("candles")).civil().date(),
    );
    assert_eq!(missing.count(), candles.len(), "a session is missing");
    assert_eq!(candles.last().map(day), Timestamp::from_date(2026, 1, 14), "the session of the 15th goes on");
    let year_end = candles
        .iter()
        .find(|candle| Some(day(candle)) == Timestamp::from_date(2025, 12, 31))
        .expect("the last close of 2025");
    assert_eq!(Decimal::parse(&year_end.close).ok(), Decimal::parse("2481.91").ok());
}

async fn index(client: &mut IndexServiceClient<Channel>, code: &str) -> Option<IndexSnapshot> {
    let request = GetIndexSnapshotRequest { index: code.to_owned(), view: View::Full.into() };
    soon("an index", client.get_index_snapshot(request)).await.ok()?.into_inner().snapshot
}

/// The coins' past, since 2014, is invented like everything in the demo, and imported while the service already answers.
#[tokio::test]
async fn the_past_has_two_rallies_and_is_back_at_their_support() {
    let demo = Story::of(&DEMO);
    let mut client = IndexServiceClient::new(demo.channel().await);
    let cycles = wait_until("the cycles of OTHERS/BTC", async || {
        let request = GetCyclesRequest { index: "OTHERS/BTC".to_owned(), ..Default::default() };
        let cycles = soon("cycles", client.get_cycles(request)).await.ok()?.into_inner().cycles?;
        // While the past is being imported there are others.
        let rallies: Vec<f64> = cycles.completed.iter().map(|cycle| cycle.rally_percent).collect();
        let told =
            matches!(rallies[..], [first, second] if (first - 423.0).abs() < 1.0 && (second - 503.0).abs() < 1.0);
        told.then_some(cycles)
    })
    .await;
    let extension = cycles.extension_percent.expect("an extension");
    assert!((extension - 702.0).abs() < 4.0, "{extension}");
    let distance = cycles.distance_from_support_percent.expect("a support");
    assert!(distance.abs() < 10.0, "{distance} % from the support");
}
