//! Bad input through the real binary: every error says what was wrong and where. And paging, which is refused when it is mangled.

use std::sync::LazyLock;

use crossmarket_api::v1::price_service_client::PriceServiceClient;
use crossmarket_api::v1::{
    BatchGetPriceSnapshotsRequest, GetPriceSnapshotRequest, ListAssetsRequest, ListCandlesRequest,
    ListPriceSnapshotsRequest, StreamState, View, WatchPriceSnapshotsRequest,
};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use support::process::{Process, Shared, Story, soon, wait_until};
use support::stream::{Watch, get, reason, refuses_field, watch_of};

mod support {
    pub mod process;
    pub mod stream;
}

type Prices = PriceServiceClient<Channel>;

const NO_SUCH_VIEW: i32 = 9;

static DEMO: LazyLock<Shared> = LazyLock::new(|| Process::demo(&[]).shared());

/// The demo, once the assets that the tests name have prices.
async fn demo() -> Story {
    let demo = Story::of(&DEMO);
    let mut client = demo.prices().await;
    for asset in ["ATOM", "BTC", "SOL"] {
        wait_until(asset, async || get(&mut client, asset).await.ok()).await;
    }
    demo
}

async fn goes_on(client: &mut Prices) {
    get(client, "BTC").await.expect("the service goes on");
}

async fn batch(
    client: &mut Prices,
    request: BatchGetPriceSnapshotsRequest,
) -> Result<(Vec<String>, Vec<String>), Status> {
    let response = soon("a batch", client.batch_get_price_snapshots(request)).await?.into_inner();
    Ok((response.snapshots.into_iter().map(|snapshot| snapshot.asset).collect(), response.missing))
}

fn names(assets: &[&str]) -> Vec<String> {
    assets.iter().map(|asset| (*asset).to_owned()).collect()
}

#[tokio::test]
async fn unknown_assets_are_named() {
    let demo = demo().await;
    let mut client = demo.prices().await;
    let candles = ListCandlesRequest { asset: "NOSUCH".to_owned(), ..Default::default() };
    let answers = [
        get(&mut client, "NOSUCH").await.map(drop),
        batch(&mut client, BatchGetPriceSnapshotsRequest { assets: names(&["BTC", "NOSUCH"]), ..Default::default() })
            .await
            .map(drop),
        client.list_candles(candles).await.map(drop),
    ];
    for answer in answers {
        let status = answer.expect_err("unknown");
        let (reason, metadata) = reason(&status, Code::NotFound);
        assert_eq!((reason.as_str(), metadata.get("asset").map(String::as_str)), ("UNKNOWN_ASSET", Some("NOSUCH")));
        assert!(status.message().contains("NOSUCH"), "{}", status.message());
    }
    goes_on(&mut client).await;
}

#[tokio::test]
async fn a_batch_is_whole_or_partial_as_asked() {
    let demo = demo().await;
    let mut client = demo.prices().await;
    let assets = names(&["SOL", "NOSUCH", "BTC", "B/D", "btc"]);
    let request = BatchGetPriceSnapshotsRequest { assets, allow_partial: true, ..Default::default() };
    let (found, missing) = batch(&mut client, request).await.expect("a part");
    assert_eq!((found, missing), (names(&["SOL", "BTC", "BTC"]), names(&["NOSUCH", "B/D"])));
    let request = BatchGetPriceSnapshotsRequest { assets: names(&["BTC", "B/D"]), ..Default::default() };
    refuses_field(batch(&mut client, request).await, "assets[1]");
    refuses_field(batch(&mut client, BatchGetPriceSnapshotsRequest::default()).await, "assets");
    goes_on(&mut client).await;
}

#[tokio::test]
async fn malformed_fields_are_refused() {
    let demo = demo().await;
    let mut client = demo.prices().await;
    refuses_field(get(&mut client, "B/D").await, "asset");
    refuses_field(get(&mut client, "").await, "asset");
    let request = GetPriceSnapshotRequest { asset: "BTC".to_owned(), view: NO_SUCH_VIEW };
    refuses_field(client.get_price_snapshot(request).await, "view");
    let request = BatchGetPriceSnapshotsRequest { assets: names(&["BTC"]), view: NO_SUCH_VIEW, ..Default::default() };
    refuses_field(batch(&mut client, request).await, "view");

    let list = ListPriceSnapshotsRequest::default;
    for (field, request) in [
        ("view", ListPriceSnapshotsRequest { view: NO_SUCH_VIEW, ..list() }),
        ("order_by", ListPriceSnapshotsRequest { order_by: "colour desc".to_owned(), ..list() }),
        ("order_by", ListPriceSnapshotsRequest { order_by: "price upwards".to_owned(), ..list() }),
        ("page_size", ListPriceSnapshotsRequest { page_size: -1, ..list() }),
        ("market_cap_rank_max", ListPriceSnapshotsRequest { market_cap_rank_max: Some(0), ..list() }),
        ("assets[0]", ListPriceSnapshotsRequest { assets: names(&["B D"]), ..list() }),
    ] {
        refuses_field(client.list_price_snapshots(request).await, field);
    }

    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let candles = || ListCandlesRequest { asset: "BTC".to_owned(), ..Default::default() };
    for (field, request) in [
        ("interval", ListCandlesRequest { interval: 99, ..candles() }),
        ("page_token", ListCandlesRequest { page_token: "x".to_owned(), ..candles() }),
        ("start_time", ListCandlesRequest { start_time: time(i64::MAX), ..candles() }),
        ("end_time", ListCandlesRequest { start_time: time(2_000), end_time: time(1_000), ..candles() }),
    ] {
        refuses_field(client.list_candles(request).await, field);
    }

    let watch = || watch_of(&["BTC"]);
    let negative = Some(prost_types::Duration { seconds: -1, nanos: 0 });
    for (field, request) in [
        ("view", WatchPriceSnapshotsRequest { view: NO_SUCH_VIEW, ..watch() }),
        ("min_interval", WatchPriceSnapshotsRequest { min_interval: negative, ..watch() }),
        ("heartbeat_interval", WatchPriceSnapshotsRequest { heartbeat_interval: negative, ..watch() }),
        ("market_cap_rank_max", WatchPriceSnapshotsRequest { market_cap_rank_max: Some(-5), ..watch() }),
        ("resume_cursor", WatchPriceSnapshotsRequest { resume_cursor: "not a cursor".to_owned(), ..watch() }),
    ] {
        refuses_field(client.watch_price_snapshots(request).await.map(Response::into_inner), field);
    }
    goes_on(&mut client).await;
}

/// A text with one letter of it changed.
fn mangled(text: &str) -> String {
    let at = text.len() / 2;
    let (head, tail) = text.split_at(at);
    let changed = if tail.starts_with('A') { "B" } else { "A" };
    format!("{head}{changed}{}", &tail[1..])
}

#[tokio::test]
async fn foreign_and_mangled_positions_are_refused() {
    let demo = demo().await;
    let mut client = demo.prices().await;
    let request = ListPriceSnapshotsRequest { page_size: 5, ..Default::default() };
    let token = client.list_price_snapshots(request.clone()).await.expect("a page").into_inner().next_page_token;
    assert!(!token.is_empty());
    let with = |page_token: String| ListPriceSnapshotsRequest { page_token, ..request.clone() };
    client.list_price_snapshots(with(token.clone())).await.expect("the second page");
    refuses_field(client.list_price_snapshots(with(mangled(&token))).await, "page_token");
    refuses_field(client.list_price_snapshots(with("rubbish".to_owned())).await, "page_token");
    let other = ListPriceSnapshotsRequest { order_by: "price".to_owned(), ..with(token.clone()) };
    refuses_field(client.list_price_snapshots(other).await, "page_token");

    let mut watch = Watch::open(&mut client, watch_of(&["BTC"])).await;
    watch.frames_until(StreamState::SnapshotComplete).await;
    for cursor in [mangled(&watch.cursor), token] {
        let request = WatchPriceSnapshotsRequest { resume_cursor: cursor, ..watch_of(&["BTC"]) };
        refuses_field(client.watch_price_snapshots(request).await.map(Response::into_inner), "resume_cursor");
    }
    goes_on(&mut client).await;
}

#[tokio::test]
async fn too_many_assets_are_refused_with_the_limit() {
    let demo = demo().await;
    let mut client = demo.prices().await;
    let assets: Vec<String> = (0..2_000).map(|number| format!("A{number}")).collect();
    let list = ListPriceSnapshotsRequest { assets: assets.clone(), ..Default::default() };
    let several = BatchGetPriceSnapshotsRequest { assets: assets.clone(), allow_partial: true, ..Default::default() };
    let watch = WatchPriceSnapshotsRequest { assets, ..Default::default() };
    let refused = [
        refuses_field(client.list_price_snapshots(list).await, "assets"),
        refuses_field(batch(&mut client, several).await, "assets"),
        refuses_field(client.watch_price_snapshots(watch).await.map(Response::into_inner), "assets"),
    ];
    for status in refused {
        assert!(status.message().contains("1,000"), "the limit is reported: {}", status.message());
    }
    goes_on(&mut client).await;
}

#[tokio::test]
async fn paging_walks_everything_once() {
    let demo = demo().await;
    let mut client = demo.prices().await;
    let mut catalog = demo.catalog().await;
    // The market must be complete before it is counted: the catalogue is, when it has what the listings rank.
    wait_until("the whole catalogue", async || {
        let assets = catalog.list_assets(ListAssetsRequest::default()).await.ok()?.into_inner().total_size;
        let prices =
            client.list_price_snapshots(ListPriceSnapshotsRequest::default()).await.ok()?.into_inner().total_size;
        (assets >= 150 && assets == prices).then_some(())
    })
    .await;
    let mut seen = Vec::new();
    let mut request = ListPriceSnapshotsRequest {
        order_by: "asset".to_owned(),
        page_size: 7,
        view: View::Full.into(),
        ..Default::default()
    };
    let total_size = loop {
        let page = soon("a page", client.list_price_snapshots(request.clone())).await.expect("a page").into_inner();
        assert!((1..=7).contains(&page.snapshots.len()));
        seen.extend(page.snapshots.into_iter().map(|snapshot| snapshot.asset));
        if page.next_page_token.is_empty() {
            break page.total_size;
        }
        request.page_token = page.next_page_token;
    };
    assert!(seen.is_sorted_by(|left, right| left < right), "in order and each once: {seen:?}");
    assert!(seen.len() == total_size as usize && seen.len() >= 150, "{} of {total_size}", seen.len());

    let mut listed = Vec::new();
    let mut request = ListAssetsRequest { order_by: "asset".to_owned(), page_size: 50, ..Default::default() };
    loop {
        let page = soon("a page", catalog.list_assets(request.clone())).await.expect("a page").into_inner();
        listed.extend(page.assets.into_iter().map(|asset| asset.asset));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert!(listed.is_sorted_by(|left, right| left < right), "in order and each once: {listed:?}");
    let uncatalogued: Vec<&String> = seen.iter().filter(|asset| !listed.contains(asset)).collect();
    assert!(uncatalogued.is_empty(), "{uncatalogued:?}");
    goes_on(&mut client).await;
}
