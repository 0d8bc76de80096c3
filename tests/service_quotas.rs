//! Quotas of the real binary: callers over quota are told when to retry, and nobody else is affected.

use std::path::Path;
use std::time::Duration;

use crossmarket::security::KeyHash;
use crossmarket_api::v1::price_service_client::PriceServiceClient;
use crossmarket_api::v1::{ListVenuesRequest, WatchPriceSnapshotsRequest, WatchPriceSnapshotsResponse};
use crossmarket_client::{Client, Error};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt;

use support::process::{Process, soon, wait_until};

mod support {
    pub mod process;
}

const BUSY_KEY: &str = "the-key-of-a-busy-client-of-more-than-32-characters";
const CALM_KEY: &str = "the-key-of-a-calm-client-of-more-than-32-characters";

fn serve(directory: &Path, settings: &[String]) -> Process {
    let arguments: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    Process::serve_in_with(directory, &arguments)
}

fn of_client(name: &str, key: &str, more: &[&str]) -> Vec<String> {
    let section = format!("security.clients.{name}");
    let hash = KeyHash::of(key.as_bytes());
    let mut settings = vec![format!("{section}.key_hashes={hash}"), format!("{section}.scopes=all")];
    settings.extend(more.iter().map(|setting| format!("{section}.{setting}")));
    settings
}

/// The reason and the time to wait for, of a quota's answer.
fn quota(status: &Status) -> (String, Duration) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let details = status.get_error_details();
    let delay = details.retry_info().and_then(|retry| retry.retry_delay);
    (details.error_info().expect("a reason").reason.clone(), delay.expect("a time to wait for"))
}

async fn watch(channel: &Channel, key: &str) -> Result<Streaming<WatchPriceSnapshotsResponse>, Status> {
    let mut request = Request::new(WatchPriceSnapshotsRequest::default());
    request.metadata_mut().insert("x-api-key", MetadataValue::try_from(key).expect("a value"));
    let mut client = PriceServiceClient::new(channel.clone());
    Ok(soon("a stream", client.watch_price_snapshots(request)).await?.into_inner())
}

#[tokio::test]
async fn each_client_has_its_calls_and_streams() {
    let directory = tempfile::tempdir().expect("a directory");
    let busy = of_client("busy", BUSY_KEY, &["calls_per_second=20", "streams_max=2"]);
    let service = serve(directory.path(), &[busy, of_client("calm", CALM_KEY, &[])].concat());
    let client = |key: &str| {
        let endpoint = format!("http://{}", service.grpc);
        Client::builder().endpoint(endpoint).api_key(key).attempts_max(1).build().expect("usable")
    };
    let venues = async |client: &Client| client.catalog().list_venues(ListVenuesRequest::default()).await.map(drop);
    let (busy, calm) = (client(BUSY_KEY), client(CALM_KEY));
    wait_until("an answer", async || venues(&calm).await.ok()).await;

    let channel = service.channel().await;
    let first = watch(&channel, BUSY_KEY).await.expect("a place");
    // Another connection of the same client.
    let _second = watch(&service.channel().await, BUSY_KEY).await.expect("a place");
    let refused = watch(&channel, BUSY_KEY).await.expect_err("there is no third place");
    assert_eq!(quota(&refused).0, "QUOTA_STREAMS");
    let _other = watch(&channel, CALM_KEY).await.expect("another client has its own places");
    drop(first);
    let third = wait_until("a place", async || watch(&channel, BUSY_KEY).await.ok()).await;
    drop(third);

    let mut refused = None;
    for _ in 0..10_000 {
        if let Err(Error::Status(status)) = venues(&busy).await {
            refused = Some(status);
            break;
        }
    }
    let (reason, delay) = quota(&refused.expect("no more than 20 calls a second"));
    assert_eq!(reason, "QUOTA_CALLS");
    assert!(delay <= Duration::from_millis(50), "the next call is at most a twentieth of a second away: {delay:?}");
    venues(&calm).await.expect("another client's calls");
    wait_until("calls come back", async || venues(&busy).await.ok()).await;

    let page = wait_until("metrics", async || {
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::get(format!("http://{}/metrics", service.admin)).await.ok()?.text().await.ok()
    })
    .await;
    for limit in ["calls", "streams"] {
        let name = format!("crossmarket_quota_rejections_total{{limit=\"{limit}\"}} ");
        let count = page.lines().find_map(|line| line.strip_prefix(&name)).expect("shown");
        assert_ne!(count, "0", "{limit}");
    }
}

#[tokio::test]
async fn without_authentication_an_address_has_its_calls() {
    let directory = tempfile::tempdir().expect("a directory");
    let service = serve(directory.path(), &["security.quotas.calls_per_second=5".to_owned()]);
    let endpoint = format!("http://{}", service.grpc);
    let mut refused = None;
    for _ in 0..10_000 {
        // Each call on a connection of its own: it is the address that counts.
        let client = Client::builder().endpoint(&endpoint).attempts_max(1).build().expect("usable");
        match client.catalog().list_venues(ListVenuesRequest::default()).await {
            Err(Error::Status(status)) if status.code() == Code::ResourceExhausted => {
                refused = Some(status);
                break;
            }
            _ => {}
        }
    }
    assert_eq!(quota(&refused.expect("no more than 5 calls a second")).0, "QUOTA_CALLS");
}
