//! Unary price calls.

use tonic::codec::CompressionEncoding;

use super::*;
use crossmarket_domain::Decimal;
use crossmarket_domain::state::{Contribution, ContributionStatus};
use crossmarket_image::testing::snapshot;

fn get(asset: &str) -> v1::GetPriceSnapshotRequest {
    v1::GetPriceSnapshotRequest { asset: asset.to_owned(), view: 0 }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn with_contribution(mut snapshot: PriceSnapshot) -> PriceSnapshot {
    snapshot.aggregation.contributions.push(Contribution {
        venue: "binance".into(),
        instrument: "BTC/USDT".into(),
        venue_symbol: "BTCUSDT".into(),
        quote_asset: "USDT".into(),
        observed_price: Decimal::parse("95391.000").ok(),
        conversion_rate: Some(Decimal::ONE),
        price: Decimal::parse("95391").ok(),
        weight: 1.0,
        volume_24h: None,
        deviation_percent: Some(f64::NAN),
        event_time: at(0),
        receive_time: at(0),
        status: ContributionStatus::Used,
        simulated: true,
    });
    snapshot
}

#[tokio::test]
async fn a_snapshot_is_whole_in_both_views_and_marked_simulated() {
    let fixture = Fixture::with_prices(vec![with_contribution(snapshot("BTC", 1, "95391.00"))]).await;
    let response = fixture.prices().get_price_snapshot(get("btc")).await.expect("known");
    assert_eq!(response.metadata().get(SIMULATED_HEADER).map(|value| value.as_bytes()), Some(b"true".as_slice()));
    let basic = response.into_inner().snapshot.expect("always there");
    assert_eq!(basic.price.as_deref(), Some("95391"), "without trailing zeros");
    assert_eq!((basic.asset.as_str(), basic.quote_currency.as_str(), basic.revision), ("BTC", "USD", 1));
    let freshness = basic.freshness.expect("always there");
    assert_eq!(freshness.state(), v1::FreshnessState::Fresh);
    assert_eq!(freshness.stale_since_time.map(|time| time.seconds), Some(at(60).as_seconds()));
    assert_eq!(basic.aggregation.expect("always there").contributions.len(), 0);

    let request = v1::GetPriceSnapshotRequest { asset: "BTC".to_owned(), view: v1::View::Full.into() };
    let full = fixture.prices().get_price_snapshot(request).await.expect("known").into_inner().snapshot;
    let contributions = full.and_then(|full| full.aggregation).expect("always there").contributions;
    assert_eq!(contributions.len(), 1);
    assert_eq!((contributions[0].observed_price.as_deref(), contributions[0].deviation_percent), (Some("95391"), None));
}

#[tokio::test]
async fn bad_arguments_name_the_field_and_what_is_allowed() {
    let fixture = Fixture::with_prices(vec![snapshot("BTC", 1, "1")]).await;
    let mut client = fixture.prices();

    let status = client.get_price_snapshot(get("NOPE")).await.expect_err("unknown");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "UNKNOWN_ASSET"));
    assert!(status.message().contains("NOPE"));
    for malformed in ["", "BTC/USD", "B T", &"X".repeat(33)] {
        let status = client.get_price_snapshot(get(malformed)).await.expect_err("not a ticker");
        assert_invalid(&status, "asset", &["ticker"]);
    }
    let status = client.get_price_snapshot(v1::GetPriceSnapshotRequest { view: 9, ..get("BTC") }).await;
    assert_invalid(&status.expect_err("no such view"), "view", &["9", "VIEW_FULL"]);

    let list = v1::ListPriceSnapshotsRequest::default;
    let cases = [
        (v1::ListPriceSnapshotsRequest { page_token: "abc".to_owned(), ..list() }, "page_token", "abc"),
        (v1::ListPriceSnapshotsRequest { page_size: -1, ..list() }, "page_size", "1,000"),
        (v1::ListPriceSnapshotsRequest { order_by: "beauty".to_owned(), ..list() }, "order_by", "market_cap_rank"),
        (v1::ListPriceSnapshotsRequest { market_cap_rank_max: Some(0), ..list() }, "market_cap_rank_max", "at least 1"),
        (v1::ListPriceSnapshotsRequest { view: -4, ..list() }, "view", "-4"),
        (v1::ListPriceSnapshotsRequest { assets: vec!["A".to_owned(); 2_000], ..list() }, "assets", "1,000"),
        (v1::ListPriceSnapshotsRequest { assets: strings(&["BTC", "A/B"]), ..list() }, "assets[1]", "A/B"),
    ];
    for (request, field, text) in cases {
        let status = client.list_price_snapshots(request).await.expect_err(field);
        assert_invalid(&status, field, &[text]);
    }
}

#[tokio::test]
async fn a_batch_is_whole_or_tells_what_is_missing() {
    let fixture = Fixture::with_prices(vec![snapshot("BTC", 1, "1"), snapshot("ETH", 2, "2")]).await;
    fixture.apply(vec![cataloged(3, "SOL", AssetKind::Coin, None)]);
    let mut client = fixture.prices();
    let request = |assets: &[&str], allow_partial| v1::BatchGetPriceSnapshotsRequest {
        assets: strings(assets),
        view: 0,
        allow_partial,
    };
    let batch = client.batch_get_price_snapshots(request(&["eth", "BTC"], false)).await.expect("known").into_inner();
    assert_eq!(batch.snapshots.iter().map(|one| one.asset.as_str()).collect::<Vec<_>>(), ["ETH", "BTC"]);

    let status = client.batch_get_price_snapshots(request(&["ETH", "NOPE"], false)).await.expect_err("one unknown");
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("NOPE"));
    let status = client.batch_get_price_snapshots(request(&["SOL"], false)).await.expect_err("no price");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "NO_PRICE_YET"));

    let partial = request(&["NOPE", "ETH", "SOL", "a/b"], true);
    let batch = client.batch_get_price_snapshots(partial).await.expect("partial").into_inner();
    assert_eq!((batch.snapshots.len(), batch.missing), (1, strings(&["NOPE", "SOL", "a/b"])));
    let status = client.batch_get_price_snapshots(request(&[], true)).await.expect_err("nothing asked");
    assert_invalid(&status, "assets", &["at least one"]);
}

#[tokio::test]
async fn a_list_is_ordered_filtered_and_paged() {
    let ranked = |asset: &str, rank, price, change, category: &str| PriceSnapshot {
        market_cap_rank: rank,
        change_24h_percent: change,
        categories: vec![category.into()],
        ..snapshot(asset, 1, price)
    };
    let fixture = Fixture::with_prices(vec![
        ranked("XMR", None, "400", Some(-2.0), "privacy"),
        ranked("BTC", Some(1), "95391", Some(1.3), "layer-1"),
        ranked("SOL", Some(6), "143.1", None, "layer-1"),
        ranked("ETH", Some(2), "3301", Some(1.3), "layer-1"),
    ])
    .await;
    let list = async |request: v1::ListPriceSnapshotsRequest| {
        let response = fixture.prices().list_price_snapshots(request).await.expect("well formed").into_inner();
        let assets: Vec<String> = response.snapshots.into_iter().map(|snapshot| snapshot.asset).collect();
        (assets, response.next_page_token, response.total_size)
    };
    let ordered =
        |order_by: &str| v1::ListPriceSnapshotsRequest { order_by: order_by.to_owned(), ..Default::default() };
    assert_eq!(list(ordered("")).await.0, ["BTC", "ETH", "SOL", "XMR"]);
    assert_eq!(list(ordered("price desc")).await.0, ["BTC", "ETH", "XMR", "SOL"]);
    assert_eq!(list(ordered("change_24h_percent desc, price")).await.0, ["ETH", "BTC", "XMR", "SOL"]);
    assert_eq!(list(ordered("change_24h_percent")).await.0, ["XMR", "BTC", "ETH", "SOL"]);

    let filtered = v1::ListPriceSnapshotsRequest { market_cap_rank_max: Some(2), ..Default::default() };
    assert_eq!(list(filtered).await.0, ["BTC", "ETH"]);
    let filtered = v1::ListPriceSnapshotsRequest { categories: strings(&["Privacy"]), ..Default::default() };
    assert_eq!(list(filtered).await.0, ["XMR"]);
    let filtered = v1::ListPriceSnapshotsRequest { assets: strings(&["sol", "SOL", "NOPE"]), ..Default::default() };
    assert_eq!(list(filtered).await.0, ["SOL"]);

    let first = v1::ListPriceSnapshotsRequest { page_size: 3, ..ordered("asset") };
    let (assets, page_token, total_size) = list(first.clone()).await;
    assert_eq!((assets, total_size), (strings(&["BTC", "ETH", "SOL"]), 4));
    let second = v1::ListPriceSnapshotsRequest { page_token: page_token.clone(), ..first.clone() };
    assert_eq!(list(second).await, (strings(&["XMR"]), String::new(), 4));
    let other = v1::ListPriceSnapshotsRequest { page_token, ..ordered("price") };
    let status = fixture.prices().list_price_snapshots(other).await.expect_err("another request's token");
    assert_invalid(&status, "page_token", &["unchanged"]);
}

#[tokio::test]
async fn candles_come_in_pages_oldest_first() {
    let fixture = Fixture::with_prices(vec![snapshot("BTC", 1, "1"), snapshot("ETH", 2, "1")]).await;
    let day = Duration::from_secs(86_400);
    let today = at(0).day_start();
    let candle = |days_ago: u32| Candle {
        start: today - day * days_ago,
        open: Decimal::ONE,
        high: Decimal::from(3),
        low: Decimal::ONE,
        close: Decimal::parse("2.50").expect("a number"),
        base_volume: None,
        quote_volume: Some(Decimal::ZERO),
    };
    let series = SeriesKey {
        subject: "id:bitcoin".into(),
        kind: crossmarket_domain::series::SeriesKind::Candles(crossmarket_domain::CandleInterval::OneDay),
    };
    let candles: Vec<Candle> = (0..5).rev().map(candle).collect();
    fixture.services.store.put_candles(&series, &candles).await.expect("stored");
    let request = |asset: &str| v1::ListCandlesRequest { asset: asset.to_owned(), page_size: 3, ..Default::default() };
    let mut client = fixture.prices();

    let page = client.list_candles(request("BTC")).await.expect("known").into_inner();
    assert_eq!((page.candles.len(), page.interval(), page.simulated), (3, v1::CandleInterval::CandleInterval1d, true));
    assert_eq!((page.candles[0].close.as_str(), page.candles[0].closed), ("2.5", true));
    let next = v1::ListCandlesRequest { page_token: page.next_page_token, ..request("BTC") };
    let page = client.list_candles(next).await.expect("own token").into_inner();
    assert_eq!((page.candles.len(), page.next_page_token.as_str()), (2, ""));
    assert!(!page.candles[1].closed, "today is not over");

    let start_time = Some(convert::time(today - day));
    let since = v1::ListCandlesRequest { start_time, end_time: Some(convert::time(today)), ..request("BTC") };
    assert_eq!(client.list_candles(since.clone()).await.expect("known").into_inner().candles.len(), 1);

    assert_eq!(client.list_candles(request("ETH")).await.expect("known").into_inner().candles.len(), 0);
    assert_eq!(client.list_candles(request("NOPE")).await.expect_err("unknown").code(), Code::NotFound);
    let status = client.list_candles(v1::ListCandlesRequest { interval: 17, ..request("BTC") }).await;
    assert_invalid(&status.expect_err("no such interval"), "interval", &["17", "CANDLE_INTERVAL_1D"]);
    let backwards = v1::ListCandlesRequest { start_time: since.end_time, end_time: since.start_time, ..request("BTC") };
    assert_invalid(&client.list_candles(backwards).await.expect_err("backwards"), "end_time", &["start_time"]);
    let start_time = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
    let status = client.list_candles(v1::ListCandlesRequest { start_time, ..request("BTC") }).await;
    assert_invalid(&status.expect_err("no such year"), "start_time", &["9999"]);
}

#[tokio::test]
async fn before_the_bootstrap_and_while_draining_calls_are_unavailable() {
    let fixture = Fixture::start(|_| ()).await;
    let status = fixture.prices().get_price_snapshot(get("BTC")).await.expect_err("not loaded");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "NOT_READY"));
    assert!(status.get_error_details().retry_info().is_some());
    let watch = fixture.prices().watch_price_snapshots(v1::WatchPriceSnapshotsRequest::default()).await;
    assert_eq!(watch.expect_err("not loaded").code(), Code::Unavailable);
    fixture.load(vec![snapshot("BTC", 1, "1")]);
    fixture.prices().get_price_snapshot(get("BTC")).await.expect("loaded");
    fixture.services.drain.cancel();
    let status = fixture.prices().get_price_snapshot(get("BTC")).await.expect_err("draining");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "DRAINING"));
}

#[tokio::test]
async fn compression_is_for_those_who_ask() {
    let fixture = Fixture::with_prices(vec![snapshot("BTC", 1, "1")]).await;
    let encoding = |response: &tonic::Response<v1::GetPriceSnapshotResponse>| {
        response.metadata().get("grpc-encoding").map(|value| value.as_bytes().to_vec())
    };
    let plain = fixture.prices().get_price_snapshot(get("BTC")).await.expect("known");
    assert_eq!(encoding(&plain), None);
    let gzip = CompressionEncoding::Gzip;
    let mut client = fixture.prices().accept_compressed(gzip).send_compressed(gzip);
    let packed = client.get_price_snapshot(get("BTC")).await.expect("known");
    assert_eq!(encoding(&packed), Some(b"gzip".to_vec()));
    assert_eq!(packed.into_inner(), plain.into_inner());
}
