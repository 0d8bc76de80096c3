//! Several processes on one Redis: what they must agree on, what a reader that has just begun may take for the whole, and a start without Redis.

#[path = "support/redis.rs"]
mod servers;
mod support {
    pub mod process;
}

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossmarket::services::WireEncoder;
use crossmarket_api::v1::ListPriceSnapshotsRequest;
use crossmarket_clock::Clock;
use crossmarket_domain::state::{AssetInfo, AssetKind, Body, Key, State};
use crossmarket_domain::{AssetCode, AssetId, Timestamp};
use crossmarket_image::follow::follow_shard;
use crossmarket_image::{Image, ImageSettings, Position};
use crossmarket_store::redis::RedisOptions;
use crossmarket_store::{LeaseClaim, RedisStore, Store, StoreError};
use servers::{RedisServer, free_port};
use support::process::{Process, wait_until, without_venues};
use tokio_util::sync::CancellationToken;
use tonic::Code;

const LIFE: Duration = Duration::from_millis(400);

fn store(url: &str, shard_count: Option<u16>) -> RedisStore {
    RedisStore::new(url, RedisOptions { shard_count, ..RedisOptions::default() }).expect("a URL")
}

fn now(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn update(code: &str) -> (Key, Option<State>) {
    let id = AssetId::parse(code).expect("an id");
    let info = AssetInfo {
        asset_id: id.clone(),
        asset: AssetCode::parse(id.as_str()).expect("a code"),
        aliases: Vec::new(),
        name: None,
        kind: AssetKind::Coin,
        market_cap_rank: None,
        categories: Vec::new(),
        listing_ids: Vec::new(),
        instruments: Vec::new(),
        history_start: None,
        history_day_count: 0,
    };
    let state = State {
        event_time: now(1),
        receive_time: now(1),
        publish_time: now(1),
        budget: Duration::from_secs(60),
        simulated: false,
        body: Body::Asset(Box::new(info)),
    };
    (Key::Asset(id), Some(state))
}

fn is_divided(error: &StoreError, here: u16, there: u16) -> bool {
    matches!(error, StoreError::Divided { here: a, there: b } if (*a, *b) == (here, there))
}

#[tokio::test]
async fn processes_agree_on_the_number_of_shards() {
    let server = RedisServer::start();
    let (two, four) = (store(&server.url(), Some(2)), store(&server.url(), Some(4)));
    let claim = async |store: &RedisStore, shard, holder| store.acquire_lease(shard, holder, LIFE, now(1)).await;
    let LeaseClaim::Granted(first) = claim(&two, 0, "two").await.expect("an answer") else { panic!("nobody holds it") };
    two.write(0, first.epoch, vec![update("A")], None).await.expect("written");
    assert!(matches!(claim(&two, 1, "two").await, Ok(LeaseClaim::Granted(_))));

    for shard in [0, 2] {
        let refused = claim(&four, shard, "four").await.expect_err("divided otherwise");
        assert!(is_divided(&refused, 4, 2) && refused.to_string().contains("collector.shards"), "{refused}");
    }
    let refused = four.bootstrap(0).await.expect_err("divided otherwise");
    assert!(is_divided(&refused, 4, 2), "{refused}");
    assert_eq!(store(&server.url(), None).bootstrap(0).await.expect("who does not ask").entries.len(), 1);

    // Once nobody holds the first shard, the next may change the number of shards, and then the others cannot continue.
    two.release_lease(&first).await.expect("released");
    assert!(is_divided(&claim(&four, 2, "four").await.expect_err("the first shard comes first"), 4, 2));
    assert!(matches!(claim(&four, 0, "four").await, Ok(LeaseClaim::Granted(_))));
    assert!(matches!(claim(&four, 2, "four").await, Ok(LeaseClaim::Granted(_))));
    assert_eq!(four.bootstrap(0).await.expect("divided so").entries.len(), 1);
    assert!(is_divided(&claim(&two, 0, "two").await.expect_err("divided otherwise"), 2, 4));
    assert!(is_divided(&two.bootstrap(0).await.expect_err("divided otherwise"), 2, 4));
}

#[tokio::test]
async fn what_was_begun_empty_is_incomplete_until_its_writer_says_otherwise() {
    let server = RedisServer::start();
    let store = Arc::new(store(&server.url(), None));
    let (epoch, _) = store.open_writer(0, now(1)).await.expect("a writer");
    store.write(0, epoch, vec![update("A")], None).await.expect("written");
    assert!(!store.bootstrap(0).await.expect("a bootstrap").complete);

    // A reader that has just begun waits for the rest.
    let image = Arc::new(Image::new(WireEncoder, ImageSettings::default()));
    let (cancel, shared) = (CancellationToken::new(), Arc::clone(&store));
    let following = tokio::spawn(follow_shard(image.clone(), shared, 0, Clock::system(), cancel.clone()));
    let calls = || server.info_number("total_commands_processed");
    let before = calls();
    wait_until("it has looked", async || (calls() > before + 10).then_some(())).await;
    assert_eq!(image.position(0), None, "half of it passed for the whole");
    store.write(0, epoch, vec![update("B")], None).await.expect("written");
    store.published(0, epoch - 1).await.expect("an answer");
    assert!(!store.bootstrap(0).await.expect("a bootstrap").complete, "an older writer has no say");
    store.published(0, epoch).await.expect("an answer");
    let whole = store.bootstrap(0).await.expect("a bootstrap");
    assert!(whole.complete && whole.entries.len() == 2);
    wait_until("the whole", async || image.position(0)).await;
    assert_eq!((image.position(0), image.key_count(0)), (Some(Position { epoch, revision: 2 }), 2));
    cancel.cancel();
    following.await.expect("no panic");

    // The next writer goes on with what there is.
    let (next, _) = store.open_writer(0, now(1)).await.expect("a writer");
    assert!(store.bootstrap(0).await.expect("a bootstrap").complete);
    server.command(&["FLUSHALL"]);
    store.write(0, next, vec![update("A")], None).await.expect_err("lost");
    store.open_writer(0, now(1)).await.expect("a writer");
    assert!(!store.bootstrap(0).await.expect("a bootstrap").complete);
}

/// The status of an admin port's page.
async fn status(process: &Process, page: &str) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut connection = tokio::net::TcpStream::connect(&process.admin).await.expect("listening");
    let request = format!("GET {page} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("an answer");
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status")
}

#[tokio::test]
async fn a_start_without_redis_waits_for_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = without_venues(directory.path());
    let port = free_port();
    let url = format!("redis://127.0.0.1:{port}");
    let begun = Instant::now();
    let role = |role| Process::serve(&["--role", role, "--store", &url, "--config", &settings]);
    let (mut server, mut collector) = (role("server"), role("collector"));
    let mut prices = server.prices().await;
    wait_until("attempts", async || server.log().contains("store cannot be followed").then_some(())).await;
    wait_until("attempts", async || collector.log().contains("no lease to be had").then_some(())).await;
    for process in [&mut server, &mut collector] {
        assert_eq!(status(process, "/livez").await, 200, "alive");
        assert!(process.ended_within(Duration::ZERO).await.is_none(), "it ended:\n{}", process.log());
    }
    assert_eq!(status(&server, "/readyz?stale=ok").await, 503, "not ready");
    let refused = prices.list_price_snapshots(ListPriceSnapshotsRequest::default()).await.expect_err("nothing yet");
    assert_eq!(refused.code(), Code::Unavailable);
    // It is logged once, not with every attempt.
    let told = server.log().lines().filter(|line| line.contains("store cannot be followed")).count();
    assert!(told <= 8, "{told} lines in {:?}:\n{}", begun.elapsed(), server.log());

    let redis = RedisServer::start_on(port);
    // Without venues there is no price, and an answer that says so.
    wait_until("an answer", async || prices.list_price_snapshots(ListPriceSnapshotsRequest::default()).await.ok())
        .await;
    assert_eq!(status(&server, "/readyz?stale=ok").await, 200);
    drop(redis);
}

#[tokio::test]
async fn a_server_that_goes_by_another_number_of_shards_is_not_ready_and_says_why() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = without_venues(directory.path());
    let redis = RedisServer::start();
    let role = |role, shards| {
        let settings = settings_with_shards(&settings, shards);
        Process::serve(&["--role", role, "--store", &redis.url(), "--config", &settings])
    };
    let _collector = role("collector", 2);
    let list = async |server: &Process| {
        server.prices().await.list_price_snapshots(ListPriceSnapshotsRequest::default()).await.map_err(|e| e.code())
    };
    let right = role("server", 2);
    wait_until("an answer", async || list(&right).await.ok()).await;
    let wrong = role("server", 3);
    wait_until("the reason", async || wrong.log().contains("collector.shards must be the same").then_some(())).await;
    assert_eq!(list(&wrong).await.expect_err("not loaded"), Code::Unavailable);
    assert_eq!(status(&wrong, "/readyz?stale=ok").await, 503);
    let wrong = role("collector", 1);
    wait_until("the reason", async || wrong.log().contains("collector.shards must be the same").then_some(())).await;
}

fn settings_with_shards(settings: &str, shards: u16) -> String {
    let text = std::fs::read_to_string(settings).expect("written before");
    let file = format!("{settings}.{shards}.toml");
    std::fs::write(&file, format!("[collector]\nshards = {shards}\n{text}")).expect("written");
    file
}
