//! Shutdown: orderly, despite uncooperative clients; and the next start on the store that it left.

use std::path::Path;
use std::time::{Duration, Instant};

use crossmarket_api::v1::{FreshnessState, ListPriceSnapshotsRequest, StreamState, WatchPriceSnapshotsRequest};
use tokio::net::TcpStream;
use tonic::{Code, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use support::process::{PATIENCE, Process, soon, wait_until};
use support::stream::{Watch, get, reason, watch_of};

mod support {
    pub mod process;
    pub mod stream;
}

/// The longest time from SIGTERM to the end of the process, regardless of its clients.
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);

/// The assets of the demo's market, at least.
const ASSET_COUNT_MIN: usize = 150;

#[tokio::test]
async fn ends_in_order_and_starts_again_where_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let cursor = ends_in_time_whatever_its_clients_do(directory.path()).await;
    serves_what_it_has_stored(directory.path()).await;
    let cursor = gives_the_full_state_after_an_old_cursor(directory.path(), cursor, true).await;
    gives_the_full_state_after_an_old_cursor(directory.path(), cursor, false).await;
}

async fn health(demo: &Process) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest { service: "crossmarket.v1.PriceService".to_owned() };
    let mut client = HealthClient::new(demo.channel().await);
    soon("health", client.watch(request)).await.expect("a stream").into_inner()
}

async fn health_becomes(health: &mut Streaming<HealthCheckResponse>, status: ServingStatus) {
    loop {
        let response = soon("a change of health", health.message()).await.expect("no error").expect("no end");
        if response.status() == status {
            return;
        }
    }
}

/// Returns the cursor with which a reading client's stream ended.
async fn ends_in_time_whatever_its_clients_do(directory: &Path) -> String {
    let mut demo = Process::demo_in(directory);
    let mut health = health(&demo).await;
    health_becomes(&mut health, ServingStatus::Serving).await;
    let mut client = demo.prices().await;
    wait_until("the market", async || {
        let request = ListPriceSnapshotsRequest { page_size: 1, ..Default::default() };
        let response = client.list_price_snapshots(request).await.ok()?.into_inner();
        (response.total_size >= ASSET_COUNT_MIN as i32).then_some(())
    })
    .await;
    let mut reading = Watch::open(&mut client, WatchPriceSnapshotsRequest::default()).await;
    reading.frames_until(StreamState::Live).await;
    // One client never reads its stream, another has never sent a byte.
    let mut idle_client = demo.prices().await;
    let _never_read = idle_client.watch_price_snapshots(WatchPriceSnapshotsRequest::default()).await.expect("a stream");
    let _silent = TcpStream::connect(&demo.grpc).await.expect("connected");

    demo.terminate();
    let told = Instant::now();
    let end = tokio::spawn(reading.error());
    health_becomes(&mut health, ServingStatus::NotServing).await;
    let status = end.await.expect("no panic");
    let (reason, metadata) = reason(&status, Code::Unavailable);
    assert_eq!(reason, "DRAINING");
    let cursor = metadata.get("cursor").expect("where to continue").clone();
    assert!(status.message().contains(&cursor), "{}", status.message());

    let status = demo.ended_within(PATIENCE).await.expect("the end");
    assert!(told.elapsed() < SHUTDOWN_MAX, "{:?}", told.elapsed());
    assert_eq!(status.code(), Some(0));
    cursor
}

#[tokio::test]
async fn watchers_of_health_do_not_hold_the_end_up() {
    let directory = tempfile::tempdir().expect("a directory");
    // A grace that would be noticed.
    let mut service = Process::serve_in_with(directory.path(), &["--set", "shutdown.grace_s=60"]);
    let mut watchers = Vec::new();
    for name in ["", "crossmarket.v1.PriceService", "crossmarket.v1.CatalogService", "crossmarket.v1.SignalService"] {
        let mut client = HealthClient::new(service.channel().await);
        let request = HealthCheckRequest { service: name.to_owned() };
        let mut health = soon("health", client.watch(request)).await.expect("a stream").into_inner();
        soon("its health", health.message()).await.expect("no error").expect("no end");
        watchers.push((name, health));
    }
    service.terminate();
    for (name, mut health) in watchers {
        let mut last = None;
        while let Some(response) = soon("the end of a stream", health.message()).await.expect("an end in order") {
            last = Some(response.status());
        }
        // The status received before the shutdown may have been the last one sent.
        assert!(matches!(last, None | Some(ServingStatus::NotServing)), "{name}: {last:?}");
    }
    let status = service.ended_within(SHUTDOWN_MAX).await.expect("the end");
    assert_eq!(status.code(), Some(0));
    assert!(!service.log().contains("still open after the grace"), "{}", service.log());
}

/// Nobody collects, so every answer comes from the store.
async fn serves_what_it_has_stored(directory: &Path) {
    let mut service = Process::serve_in(directory);
    assert!(!service.first_line.contains("simulated"), "{}", service.first_line);
    let mut client = service.prices().await;
    let bitcoin = wait_until("the stored state", async || get(&mut client, "BTC").await.ok()).await;
    let price: f64 = bitcoin.price.expect("a price").parse().expect("a number");
    assert!((90_000.0..100_000.0).contains(&price), "{price}");
    assert_eq!(bitcoin.freshness.expect("freshness").state(), FreshnessState::Stale);
    assert!(bitcoin.simulated, "what a demo has written stays marked");
    assert_eq!(ready(&service, "/readyz").await, (503, "no price is fresh\n".to_owned()));
    assert_eq!(ready(&service, "/readyz?stale=ok").await, (200, "ready\n".to_owned()));
    service.terminate();
    let status = service.ended_within(SHUTDOWN_MAX).await.expect("the end");
    assert_eq!(status.code(), Some(0));
}

/// What a probe receives.
async fn ready(service: &Process, path: &str) -> (u16, String) {
    let address =
        service.first_line.split_whitespace().find_map(|word| word.strip_prefix("admin=")).expect("an address");
    let url = format!("http://{address}{path}");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let answer = soon("a probe", reqwest::get(url)).await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

/// Resumes in a new process on the same store, whose writer begins a higher epoch. Kills the process at the end if asked to. Returns
/// the newest cursor.
async fn gives_the_full_state_after_an_old_cursor(directory: &Path, cursor: String, kills: bool) -> String {
    let demo = Process::demo_in(directory);
    let mut client = demo.prices().await;
    let request = WatchPriceSnapshotsRequest { resume_cursor: cursor.clone(), ..Default::default() };
    let accepted = async || client.watch_price_snapshots(watch_of(&[])).await.ok();
    wait_until("the stored state", accepted).await;
    let mut watch = Watch::open(&mut client, request).await;
    let frames = watch.frames_until(StreamState::Resync).await;
    assert!(frames.last().is_some_and(|frame| frame.snapshots.is_empty()));
    watch.frames_until(StreamState::SnapshotComplete).await;
    assert!(watch.states.len() >= ASSET_COUNT_MIN && watch.states.contains_key("BTC"), "{} assets", watch.states.len());
    let current = wait_until("a fresh price", async || {
        let bitcoin = get(&mut client, "BTC").await.ok()?;
        (bitcoin.freshness.as_ref()?.state() == FreshnessState::Fresh).then_some(bitcoin)
    })
    .await;
    assert!(current.revision >= 1);
    watch.frames_until(StreamState::Live).await;
    let newest = watch.cursor.clone();
    assert_ne!(newest, cursor);
    if kills {
        demo.kill();
    }
    newest
}
