//! The catalogue, health, reflection and what is not implemented yet.

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::*;
use crossmarket_domain::Feed;
use crossmarket_domain::state::{FeedErrorKind, FeedState, FeedStatus};
use crossmarket_image::testing::{BUDGET, snapshot};

fn feed(revision: Revision, venue: &str, feed: Feed, state_now: FeedState) -> Change {
    let status = FeedStatus {
        venue: venue.into(),
        feed,
        streaming: false,
        state: state_now,
        state_time: at(-100),
        last_success: Some(at(-30)),
        last_error: Some((at(-10), FeedErrorKind::Transient, "time-out".into())),
        request_count: 5,
        error_count: 1,
        observation_count: 100,
        rejections: vec![("negative_price".into(), 2)],
        instrument_count: 3,
        resolved_count: 2,
        interval: Duration::from_secs(10),
        reconnect_count: 0,
        rate_budgets: Vec::new(),
        plan: Vec::new(),
    };
    let key = Key::Feed(venue.into(), feed);
    Change { key, revision, state: Some(state(Body::Feed(Box::new(status)), at(0))) }
}

#[tokio::test]
async fn assets_are_listed_with_filters_and_views() {
    let fixture = Fixture::start(|_| ()).await;
    fixture.bootstrap(
        EPOCH,
        vec![
            cataloged(1, "USDT", AssetKind::Stablecoin, Some(3)),
            cataloged(2, "BTC", AssetKind::Coin, Some(1)),
            cataloged(3, "ABC", AssetKind::Coin, None),
        ],
    );
    let list = async |request: v1::ListAssetsRequest| {
        let response = fixture.catalog().list_assets(request).await.expect("well formed").into_inner();
        (response.assets.iter().map(|asset| asset.asset.clone()).collect::<Vec<_>>(), response)
    };
    let (assets, response) = list(Default::default()).await;
    assert_eq!(
        (assets, response.total_size, response.simulated),
        (vec!["BTC".into(), "USDT".into(), "ABC".into()], 3, true)
    );
    assert_eq!((response.assets[0].instruments.len(), response.assets[0].instrument_count), (0, 1));
    assert_eq!(response.assets[0].coingecko_id.as_deref(), Some("an-id"));
    let full = v1::ListAssetsRequest { view: v1::View::Full.into(), assets: vec!["btc".into()], ..Default::default() };
    let (_, response) = list(full).await;
    assert_eq!(response.assets[0].instruments[0].instrument, "BTC/USDT");
    let kinds = vec![v1::AssetKind::Coin.into()];
    assert_eq!(list(v1::ListAssetsRequest { kinds, ..Default::default() }).await.0, ["BTC", "ABC"]);
    let venues = vec!["kraken".to_owned()];
    assert_eq!(list(v1::ListAssetsRequest { venues, ..Default::default() }).await.0.len(), 0);
    let order_by = "asset desc".to_owned();
    assert_eq!(list(v1::ListAssetsRequest { order_by, page_size: 1, ..Default::default() }).await.0, ["USDT"]);
    let bad = v1::ListAssetsRequest { kinds: vec![99], ..Default::default() };
    assert_invalid(&fixture.catalog().list_assets(bad).await.expect_err("no such kind"), "kinds[0]", &["99"]);
}

#[tokio::test]
async fn feeds_and_venues_tell_their_health() {
    let venue = |id: &str, enabled| VenueEntry { id: id.to_owned(), enabled, ..VenueEntry::default() };
    let fixture = Fixture::start(|services| {
        services.venues = Arc::new([venue("okx", true), venue("binance", true), venue("htx", false)])
    })
    .await;
    fixture.bootstrap(
        EPOCH,
        vec![
            feed(1, "okx", Feed::Tickers, FeedState::Ok),
            feed(2, "okx", Feed::Candles, FeedState::Down),
            feed(3, "binance", Feed::Tickers, FeedState::Ok),
        ],
    );
    let mut client = fixture.catalog();
    let feeds = client.list_feeds(v1::ListFeedsRequest::default()).await.expect("well formed").into_inner().feeds;
    let names: Vec<String> = feeds.iter().map(|feed| format!("{}/{}", feed.venue, feed.feed)).collect();
    assert_eq!(names, ["binance/tickers", "okx/candles", "okx/tickers"]);
    assert_eq!(feeds[0].age.map(|age| age.seconds), Some(30));
    assert_eq!((feeds[0].error_kind(), feeds[0].error.as_str()), (v1::FeedErrorKind::Transient, "time-out"));
    fixture.services.image.refresh(at(0) + BUDGET * 100);
    let down = v1::ListFeedsRequest { states: vec![v1::FeedState::Down.into()], ..Default::default() };
    assert_eq!(client.list_feeds(down).await.expect("well formed").into_inner().total_size, 1);
    let bad = v1::ListFeedsRequest { feeds: vec!["gossip".into()], ..Default::default() };
    assert_invalid(&client.list_feeds(bad).await.expect_err("no such feed"), "feeds[0]", &["gossip", "tickers"]);

    let venues = client.list_venues(v1::ListVenuesRequest::default()).await.expect("well formed").into_inner().venues;
    let states: Vec<_> = venues.iter().map(|venue| (venue.venue.as_str(), venue.state())).collect();
    let expected = [("binance", v1::FeedState::Ok), ("htx", v1::FeedState::Disabled), ("okx", v1::FeedState::Down)];
    assert_eq!(states, expected);
    let enabled = v1::ListVenuesRequest { enabled_only: true, ..Default::default() };
    assert_eq!(client.list_venues(enabled).await.expect("well formed").into_inner().total_size, 2);
}

#[tokio::test]
async fn health_is_true_to_the_data() {
    let fixture = Fixture::start(|_| ()).await;
    let wait_for = async |service: &str, expected: ServingStatus| {
        for _ in 0..400 {
            let request = HealthCheckRequest { service: service.to_owned() };
            let response = HealthClient::new(fixture.channel.clone()).check(request).await.expect("known service");
            if response.into_inner().status() == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{service:?} did not become {expected:?}");
    };
    wait_for("", ServingStatus::NotServing).await;
    wait_for("crossmarket.v1.IndexService", ServingStatus::NotServing).await;
    fixture.load(vec![snapshot("BTC", 1, "1")]);
    for service in ["", "crossmarket.v1.PriceService", "crossmarket.v1.CatalogService"] {
        wait_for(service, ServingStatus::Serving).await;
    }
    fixture.services.image.refresh(at(0) + BUDGET);
    wait_for("crossmarket.v1.PriceService", ServingStatus::NotServing).await;
    wait_for("crossmarket.v1.CatalogService", ServingStatus::Serving).await;
    fixture.services.drain.cancel();
    wait_for("crossmarket.v1.CatalogService", ServingStatus::NotServing).await;
}

#[tokio::test]
async fn reflection_knows_every_service() {
    let fixture = Fixture::start(|_| ()).await;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(fixture.channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.expect("served").into_inner();
    let answer = answers.message().await.expect("no error").and_then(|answer| answer.message_response);
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("not a list: {answer:?}") };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for name in ["crossmarket.v1.PriceService", "crossmarket.v1.SubscriptionService", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|known| known == name), "{name} is not among {names:?}");
    }
}

#[tokio::test]
async fn what_comes_later_says_so() {
    use crossmarket_api::v1::overview_service_client::OverviewServiceClient;
    let fixture = Fixture::start(|_| ()).await;
    let request = v1::GetMarketOverviewRequest::default();
    let status = OverviewServiceClient::new(fixture.channel.clone()).get_market_overview(request).await;
    let status = status.expect_err("not yet");
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("GetMarketOverview") && status.message().contains("later"));
}

#[tokio::test]
async fn browsers_are_answered_by_grpc_web() {
    // The client needs one before it can be built, although nothing here is encrypted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let fixture = Fixture::with_prices(vec![snapshot("BTC", 1, "95391")]).await;
    let message = prost::Message::encode_to_vec(&v1::GetPriceSnapshotRequest { asset: "BTC".to_owned(), view: 0 });
    let mut body = vec![0];
    body.extend_from_slice(&(message.len() as u32).to_be_bytes());
    body.extend_from_slice(&message);
    let client = reqwest::Client::builder().http1_only().no_proxy().build().expect("a client");
    let url = format!("http://{}/crossmarket.v1.PriceService/GetPriceSnapshot", fixture.address);
    let request = client.post(url).header("content-type", "application/grpc-web+proto").body(body);
    let response = request.send().await.expect("answered");
    assert_eq!(response.headers().get(SIMULATED_HEADER).map(|value| value.as_bytes()), Some(b"true".as_slice()));
    let body = response.bytes().await.expect("whole");
    let contains = |text: &[u8]| body.windows(text.len()).any(|window| window == text);
    assert!(contains(b"95391") && contains(b"grpc-status:0"), "{body:?}");
}
