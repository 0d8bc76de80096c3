//! The client against small servers in this process that answer by script, and against addresses where nothing good is.

use std::time::Duration;

use tokio::time::Instant;
use tonic::{Code, Status};

use super::*;
use crossmarket_api::v1::*;
use fake::{Fake, Reply, frame, reason};

mod fake;
mod streams;

fn client(endpoints: &[&str]) -> ClientBuilder {
    Client::builder().endpoints(endpoints.iter().copied()).deadline(Duration::from_secs(30))
}

/// Makes the given number of calls, one after the other; none may fail.
async fn calls_succeed(client: &Client, count: usize) {
    for _ in 0..count {
        client.prices().get("BTC").await.expect("answered");
    }
}

#[tokio::test]
async fn what_is_unavailable_at_one_endpoint_is_asked_at_another() {
    let draining = Fake::start(|_| Reply::Status(Status::unavailable("draining"))).await;
    let well = Fake::start(|_| Reply::Snapshot).await;
    let client = client(&[&draining.url, &well.url]).build().expect("usable");
    calls_succeed(&client, 200).await;
    let asked = draining.calls();
    assert!((1..50).contains(&asked), "it is passed over after it failed: asked {asked} times of 200");
    let counters = client.counters();
    assert_eq!((counters.calls, counters.failures, counters.retries), (200, 0, asked as u64));
    let shunned: Vec<bool> = client.endpoints().iter().map(|endpoint| endpoint.failures_in_a_row > 0).collect();
    assert_eq!(shunned, [true, false]);
}

#[tokio::test]
async fn dead_endpoints_and_dropped_connections_cost_no_call() {
    let dead = fake::nobody().await;
    let dropping = fake::dropping().await;
    let well = Fake::start(|_| Reply::Snapshot).await;
    let client = client(&[&dead, &dropping, &well.url]).build().expect("usable");
    calls_succeed(&client, 100).await;
    assert_eq!(client.counters().failures, 0);
    let failed: Vec<bool> = client.endpoints().iter().map(|endpoint| endpoint.failures_in_a_row > 0).collect();
    assert_eq!(failed, [true, true, false]);
}

#[tokio::test]
async fn an_endpoint_that_comes_back_is_used_again() {
    let calls_to_refuse = 3;
    let back = Fake::start(move |call| {
        if call < calls_to_refuse { Reply::Status(Status::unavailable("starting")) } else { Reply::Snapshot }
    })
    .await;
    let client = client(&[&back.url]).build().expect("usable");
    calls_succeed(&client, 1).await;
    assert_eq!(back.calls(), calls_to_refuse + 1);
    assert_eq!(client.endpoints()[0].failures_in_a_row, 0);
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_left_for_another() {
    let silent = Fake::start(|_| Reply::Nothing).await;
    let well = Fake::start(|_| Reply::Snapshot).await;
    let client = client(&[&silent.url, &well.url]).attempt_timeout(Duration::from_millis(100)).build().expect("usable");
    calls_succeed(&client, 20).await;
    assert!(silent.calls() >= 1);
}

#[tokio::test]
async fn an_answer_is_an_answer_whatever_its_code() {
    for code in [Code::NotFound, Code::ResourceExhausted, Code::Internal, Code::Unimplemented, Code::DeadlineExceeded] {
        let server = Fake::start(move |_| Reply::Status(Status::new(code, "as it is"))).await;
        let client = client(&[&server.url, &server.url]).build().expect("usable");
        let error = client.prices().get("BTC").await.expect_err("refused");
        assert_eq!((error.code(), server.calls()), (code, 1), "{error}");
    }
    let server = Fake::start(|_| Reply::Status(reason(Code::NotFound, "UNKNOWN_ASSET"))).await;
    let error = client(&[&server.url]).build().expect("usable").prices().get("XYZ").await.expect_err("unknown");
    assert_eq!(error.reason().as_deref(), Some("UNKNOWN_ASSET"));
}

#[tokio::test]
async fn nothing_is_sent_again_after_the_deadline() {
    let silent = Fake::start(|_| Reply::Nothing).await;
    let client = client(&[&silent.url]).build().expect("usable").with_deadline(Duration::from_millis(300));
    let begun = Instant::now();
    let error = client.prices().get("BTC").await.expect_err("no answer");
    assert!(matches!(error, Error::Deadline { attempts: 0, .. }), "{error}");
    assert!(begun.elapsed() >= Duration::from_millis(290));
    assert_eq!(silent.calls(), 1);
    assert!(silent.metadata("grpc-timeout").is_some(), "the server gets the timeout");

    let refusing = Fake::start(|_| Reply::Status(Status::unavailable("starting"))).await;
    let client = Client::builder().endpoint(&refusing.url).attempts_max(1_000).deadline(Duration::from_millis(300));
    let error = client.build().expect("usable").prices().get("BTC").await.expect_err("never ready");
    let Error::Deadline { attempts, last: Some(last), .. } = &error else { panic!("{error}") };
    assert_eq!((*attempts as usize, last.code()), (refusing.calls(), Code::Unavailable));
}

#[tokio::test]
async fn retries_stop_with_their_budget() {
    let server = Fake::start(|_| Reply::Status(Status::unavailable("down"))).await;
    let budget = RetryBudget { retries_per_success: 0.0, retries_per_second: 0.0, retries_kept_max: 3.0 };
    let client = client(&[&server.url]).attempts_max(3).retry_budget(budget).build().expect("usable");
    for _ in 0..10 {
        let error = client.prices().get("BTC").await.expect_err("down");
        assert_eq!(error.code(), Code::Unavailable);
    }
    assert_eq!(server.calls(), 10 + 3);
}

#[tokio::test]
async fn nobody_there_is_told_with_every_endpoint() {
    let (one, other) = (fake::nobody().await, fake::nobody().await);
    let client = client(&[&one, &other]).attempts_max(3).build().expect("usable");
    let error = client.prices().get("BTC").await.expect_err("nobody");
    let Error::Unreachable { endpoints, attempts: 3, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*endpoints, format!("{one},{other}"));
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn lists_follow_their_pages_to_the_limit() {
    let server = Fake::start(|_| Reply::Snapshot).await;
    let client = client(&[&server.url]).build().expect("usable");
    let all = client.prices().all_price_snapshots(ListPriceSnapshotsRequest::default(), usize::MAX).await;
    let assets: Vec<String> = all.expect("pages").into_iter().map(|snapshot| snapshot.asset).collect();
    assert_eq!(assets, ["A0", "A1", "A2"], "three pages of one");
    let two = client.prices().all_price_snapshots(ListPriceSnapshotsRequest::default(), 2).await.expect("pages");
    assert_eq!(two.len(), 2);
}

#[tokio::test]
async fn keys_and_tokens_go_with_every_call() {
    let server = Fake::start(|_| Reply::Snapshot).await;
    calls_succeed(&client(&[&server.url]).api_key("k-1").build().expect("usable"), 1).await;
    assert_eq!(server.metadata("x-api-key").as_deref(), Some("k-1"));
    calls_succeed(&client(&[&server.url]).bearer_token("t-1").build().expect("usable"), 1).await;
    assert_eq!(server.metadata("authorization").as_deref(), Some("Bearer t-1"));
    let raw = client(&[&server.url]).api_key("k-2").build().expect("usable");
    raw.prices().raw().get_price_snapshot(GetPriceSnapshotRequest::default()).await.expect("answered");
    assert_eq!(server.metadata("x-api-key").as_deref(), Some("k-2"));
}
