//! `crossmarket demo` as a newcomer gets it: the market that it promises, and a venue that goes down and comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crossmarket_api::v1::price_service_client::PriceServiceClient;
use crossmarket_api::v1::{
    ContributionStatus, FeedState, FreshnessState, ListFeedsRequest, ListPriceSnapshotsRequest, PriceSnapshot, View,
};
use tonic::transport::Channel;

use support::process::{Process, Shared, Story, soon, wait_until};
use support::stream::get;

mod support {
    pub mod process;
    pub mod stream;
}

/// Asset, rank, price, 24-hour volatility in per cent, market cap and 24-hour volume in billions: the figures that the demo starts from.
const LARGEST: [(&str, i32, f64, f64, f64, f64); 4] = [
    ("BTC", 1, 95_391.0, 1.3, 1_900.0, 52.64),
    ("ETH", 2, 3_301.0, 0.5, 398.32, 25.92),
    ("BNB", 4, 934.4, 0.4, 127.32, 1.43),
    ("SOL", 6, 143.1, 1.3, 80.90, 4.38),
];

static DEMO: LazyLock<Shared> = LazyLock::new(|| Process::demo(&[]).shared());

/// The demo, and every asset with its history.
async fn market() -> (Story, Vec<PriceSnapshot>) {
    let demo = Story::of(&DEMO);
    let mut client = demo.prices().await;
    let all = wait_until("every asset with its history", async || complete(&list(&mut client, "", "").await?)).await;
    (demo, all)
}

#[test]
fn the_first_line_says_where_it_listens_and_that_it_is_simulated() {
    let demo = Story::of(&DEMO);
    assert!(demo.first_line.starts_with("listening grpc=127.0.0.1:"), "{}", demo.first_line);
    assert!(demo.first_line.ends_with(" simulated=true"), "{}", demo.first_line);
}

/// The list, once it has all of the market and what is computed from history.
fn complete(all: &[PriceSnapshot]) -> Option<Vec<PriceSnapshot>> {
    let has_history = |snapshot: &&PriceSnapshot| {
        snapshot.change_7d_percent.is_some()
            && snapshot.volatility_24h_percent.is_some()
            && snapshot.market_cap.is_some()
            && snapshot.all_time_high.is_some()
    };
    (all.iter().filter(has_history).count() >= 150).then(|| all.to_vec())
}

/// All snapshots of a category (empty: of all) in an order; `None` while the service is loading.
async fn list(client: &mut PriceServiceClient<Channel>, category: &str, order_by: &str) -> Option<Vec<PriceSnapshot>> {
    let request = ListPriceSnapshotsRequest {
        categories: Some(category.to_owned()).filter(|category| !category.is_empty()).into_iter().collect(),
        order_by: order_by.to_owned(),
        page_size: 1_000,
        view: View::Basic.into(),
        ..Default::default()
    };
    let response = soon("a list", client.list_price_snapshots(request)).await.ok()?;
    assert_eq!(response.metadata().get("crossmarket-simulated").map(|value| value.as_bytes()), Some(&b"true"[..]));
    let response = response.into_inner();
    assert_eq!((response.next_page_token.as_str(), response.total_size), ("", response.snapshots.len() as i32));
    Some(response.snapshots)
}

fn number(text: &Option<String>) -> f64 {
    text.as_deref().expect("a figure").parse().expect("a number")
}

#[tokio::test]
async fn the_largest_assets_have_their_figures() {
    let (_demo, all) = market().await;
    let near = |asset: &str, what: &str, value: f64, expected: f64, tolerance: f64| {
        assert!((value - expected).abs() <= tolerance, "{asset} {what} {value}, expected {expected} ± {tolerance}");
    };
    for (asset, rank, price, volatility, market_cap, volume) in LARGEST {
        let snapshot = all.iter().find(|snapshot| snapshot.asset == asset).expect(asset);
        assert_eq!(snapshot.market_cap_rank, Some(rank), "{asset}");
        near(asset, "price", number(&snapshot.price), price, price * 0.005);
        // Half of the last digit given, and as much again because the clock runs.
        near(asset, "volatility", snapshot.volatility_24h_percent.expect("history"), volatility, 0.06);
        near(asset, "market cap", number(&snapshot.market_cap) / 1e9, market_cap, market_cap * 0.005);
        near(asset, "volume", number(&snapshot.volume_24h) / 1e9, volume, volume * 0.005);
    }
    let bitcoin = all.iter().find(|snapshot| snapshot.asset == "BTC").expect("BTC");
    assert!(number(&bitcoin.high_7d) > 97_000.0, "{:?}", bitcoin.high_7d);
    let ranks: Vec<i32> = all.iter().filter_map(|snapshot| snapshot.market_cap_rank).collect();
    assert!(ranks.len() >= 150 && ranks.is_sorted(), "the default order is by rank: {ranks:?}");
}

#[tokio::test]
async fn everything_says_that_it_is_simulated() {
    let (demo, all) = market().await;
    let unmarked: Vec<&str> =
        all.iter().filter(|snapshot| !snapshot.simulated).map(|snapshot| snapshot.asset.as_str()).collect();
    assert!(unmarked.is_empty(), "{unmarked:?}");
    let bitcoin = get(&mut demo.prices().await, "BTC").await.expect("BTC");
    let contributions = bitcoin.aggregation.expect("an aggregation").contributions;
    assert!(contributions.len() >= 5 && contributions.iter().all(|part| part.simulated), "{contributions:?}");
}

#[tokio::test]
async fn venues_that_disagree_are_left_out() {
    let (demo, _) = market().await;
    let mut client = demo.prices().await;
    for (venue, asset) in [("htx", "ARB"), ("mexc", "ATOM")] {
        wait_until(&format!("{venue} as an outlier of {asset}"), async || {
            let aggregation = get(&mut client, asset).await.expect(asset).aggregation.expect("an aggregation");
            let outlier = aggregation
                .contributions
                .iter()
                .find(|part| part.venue == venue && part.status() == ContributionStatus::Outlier)?;
            assert!(outlier.weight == 0.0 && outlier.price.is_some(), "{outlier:?}");
            Some(())
        })
        .await;
    }
}

#[tokio::test]
async fn privacy_coins_follow_monero() {
    let (demo, _) = market().await;
    let mut client = demo.prices().await;
    let leading = wait_until("the history of all privacy coins", async || {
        let listed = list(&mut client, "privacy-coins", "change_7d_percent desc").await?;
        // The categories are asked for after everything else.
        let complete = listed.len() >= 3 && listed.iter().all(|snapshot| snapshot.change_7d_percent.is_some());
        complete.then_some(listed)
    })
    .await;
    let assets: Vec<&str> = leading.iter().map(|snapshot| snapshot.asset.as_str()).collect();
    let changes: Vec<f64> = leading.iter().filter_map(|snapshot| snapshot.change_7d_percent).collect();
    assert!(leading.iter().all(|snapshot| snapshot.categories.iter().any(|category| category == "privacy-coins")));
    assert!(changes.len() >= 3 && changes.is_sorted_by(|left, right| left >= right), "{changes:?}");
    assert!(assets.iter().take(3).any(|asset| *asset == "XMR") && changes[2] > 40.0, "{assets:?} {changes:?}");
}

#[tokio::test]
async fn many_assets_are_far_below_their_highs() {
    let (_demo, all) = market().await;
    let drawdowns = all.iter().filter_map(|snapshot| snapshot.all_time_high.as_ref()?.drawdown_percent);
    let deep = drawdowns.filter(|drawdown| (-95.0..=-80.0).contains(drawdown)).count();
    assert!(deep >= 10, "{deep} assets");
}

#[tokio::test]
async fn one_venue_goes_down_and_comes_back_and_nothing_else_suffers() {
    // Fast enough to see an outage and its end, and slow enough for a busy machine to keep up with the budgets.
    let demo = Process::demo(&["--speed", "6"]);
    let mut catalog = demo.catalog().await;
    let mut prices = demo.prices().await;
    let mut others = BTreeMap::new();
    let mut states = Vec::new();
    wait_until("gate down and back", async || {
        let request = ListFeedsRequest { page_size: 1_000, ..Default::default() };
        let feeds = soon("feeds", catalog.list_feeds(request)).await.ok()?.into_inner().feeds;
        for feed in feeds.iter().filter(|feed| feed.venue != "gate") {
            let seen = others.entry(format!("{} {}", feed.venue, feed.feed)).or_insert_with(BTreeSet::new);
            seen.insert(feed.state().as_str_name());
        }
        let gate = feeds.iter().find(|feed| feed.venue == "gate" && feed.feed == "tickers")?;
        if states.last() != Some(&gate.state()) {
            states.push(gate.state());
        }
        if states.contains(&FeedState::Ok) {
            let bitcoin = get(&mut prices, "BTC").await.expect("BTC");
            assert_eq!(bitcoin.freshness.expect("freshness").state(), FreshnessState::Fresh);
        }
        let failed = states.iter().position(|state| matches!(state, FeedState::Degraded | FeedState::Down))?;
        states.get(failed..)?.contains(&FeedState::Ok).then_some(())
    })
    .await;
    let suffered: Vec<_> = others.iter().filter(|(_, seen)| seen.contains("FEED_STATE_DOWN")).collect();
    assert!(others.len() >= 10 && suffered.is_empty(), "{suffered:?}");
}
