//! `get`, `list` and `watch` of the real binary against a price service that answers by script.

use std::pin::Pin;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossmarket_api::v1::price_service_server::{PriceService, PriceServiceServer};
use crossmarket_api::v1::*;
use serde_json::Value;
use tokio::process::Command;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, iter};
use tonic::{Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

type Frames = Pin<Box<dyn Stream<Item = Result<WatchPriceSnapshotsResponse, Status>> + Send>>;

/// One stream's frames, the last of them perhaps an error.
type Script = Vec<Result<WatchPriceSnapshotsResponse, Status>>;

/// Answers for BTC and ETH. Each watch takes the next of the scripted streams and notes the cursor that it came with.
#[derive(Clone, Default)]
struct Scripted {
    streams: Arc<Mutex<Vec<Script>>>,
    cursors: Arc<Mutex<Vec<String>>>,
}

fn snapshot(asset: &str, price: &str, rank: i32) -> PriceSnapshot {
    PriceSnapshot {
        asset: asset.to_owned(),
        quote_currency: "USD".to_owned(),
        price: Some(price.to_owned()),
        market_cap_rank: Some(rank),
        simulated: true,
        revision: 1,
        ..Default::default()
    }
}

fn known() -> Vec<PriceSnapshot> {
    vec![snapshot("BTC", "95391", 1), snapshot("ETH", "3301.5", 2)]
}

#[tonic::async_trait]
impl PriceService for Scripted {
    type WatchPriceSnapshotsStream = Frames;

    async fn get_price_snapshot(
        &self,
        request: Request<GetPriceSnapshotRequest>,
    ) -> Result<Response<GetPriceSnapshotResponse>, Status> {
        let asset = request.into_inner().asset;
        match known().into_iter().find(|snapshot| snapshot.asset == asset) {
            Some(snapshot) => Ok(Response::new(GetPriceSnapshotResponse { snapshot: Some(snapshot) })),
            None => {
                let mut details = ErrorDetails::new();
                details.set_error_info("ASSET_UNKNOWN", "crossmarket", std::collections::HashMap::new());
                details.add_bad_request_violation("asset", "not in the catalogue");
                let text = format!("no asset {asset}");
                Err(Status::with_error_details(tonic::Code::NotFound, text, details))
            }
        }
    }

    async fn batch_get_price_snapshots(
        &self,
        request: Request<BatchGetPriceSnapshotsRequest>,
    ) -> Result<Response<BatchGetPriceSnapshotsResponse>, Status> {
        let asked = request.into_inner().assets;
        let snapshots: Vec<PriceSnapshot> =
            known().into_iter().filter(|snapshot| asked.contains(&snapshot.asset)).collect();
        let missing = asked.into_iter().filter(|asset| !snapshots.iter().any(|found| found.asset == *asset)).collect();
        Ok(Response::new(BatchGetPriceSnapshotsResponse { snapshots, missing }))
    }

    /// One asset per page, regardless of the page size.
    async fn list_price_snapshots(
        &self,
        request: Request<ListPriceSnapshotsRequest>,
    ) -> Result<Response<ListPriceSnapshotsResponse>, Status> {
        let first = request.into_inner().page_token.is_empty();
        let all = known();
        let page = if first { &all[..1] } else { &all[1..] };
        let next_page_token = if first { "second".to_owned() } else { String::new() };
        let response = ListPriceSnapshotsResponse { snapshots: page.to_vec(), next_page_token, total_size: 2 };
        Ok(Response::new(response))
    }

    async fn watch_price_snapshots(
        &self,
        request: Request<WatchPriceSnapshotsRequest>,
    ) -> Result<Response<Frames>, Status> {
        self.cursors.lock().expect("not poisoned").push(request.into_inner().resume_cursor);
        let mut streams = self.streams.lock().expect("not poisoned");
        if streams.is_empty() {
            return Err(Status::permission_denied("the script is over"));
        }
        Ok(Response::new(Box::pin(iter(streams.remove(0)))))
    }

    async fn list_candles(&self, _: Request<ListCandlesRequest>) -> Result<Response<ListCandlesResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }
}

async fn start(service: Scripted) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = format!("http://{}", listener.local_addr().expect("an address"));
    let router = tonic::transport::Server::builder().add_service(PriceServiceServer::new(service));
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    server
}

async fn client(server: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossmarket"));
    command.args(arguments).env("CROSSMARKET_SERVER", server).stdin(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(Duration::from_secs(60), command.output()).await.expect("in time").expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn get_prints_cards_and_json() {
    let server = start(Scripted::default()).await;
    let card = client(&server, &["get", "btc"]).await;
    let shown = text(&card.stdout);
    assert!(card.status.success(), "{}", text(&card.stderr));
    assert!(shown.contains("95,391.00 USD") && shown.contains("SIMULATED"), "{shown}");

    let both = client(&server, &["get", "BTC", "ETH", "--json"]).await;
    let lines: Vec<Value> = text(&both.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[1]["price"], &lines[1]["simulated"]), (&Value::from("3301.5"), &Value::from(true)));

    let partial = client(&server, &["get", "BTC", "XYZ"]).await;
    assert_eq!(partial.status.code(), Some(1));
    assert!(text(&partial.stdout).contains("BTC") && text(&partial.stderr).contains("XYZ"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_told_with_code_reason_and_field() {
    let server = start(Scripted::default()).await;
    let unknown = client(&server, &["get", "XYZ"]).await;
    let told = text(&unknown.stderr);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(told.contains("NOT_FOUND (ASSET_UNKNOWN): no asset XYZ"), "{told}");
    assert!(told.contains("asset: not in the catalogue"), "{told}");

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = nobody.local_addr().expect("an address");
    drop(nobody);
    let refused = client(&format!("http://{address}"), &["list"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("crossmarket demo"), "{}", text(&refused.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_follows_pages_up_to_its_limit() {
    let server = start(Scripted::default()).await;
    let table = text(&client(&server, &["list"]).await.stdout);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 4 && lines[0].contains("SIMULATED"), "{table}");
    assert!(lines[2].contains("BTC") && lines[3].contains("ETH") && lines[3].contains("3,301.50"), "{table}");

    let one = client(&server, &["list", "--limit", "1", "--json"]).await;
    assert_eq!(text(&one.stdout).lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_resumes_from_its_cursor() {
    let frame = |cursor: &str, price: &str| WatchPriceSnapshotsResponse {
        snapshots: vec![snapshot("BTC", price, 1)],
        cursor: cursor.to_owned(),
        state: StreamState::Live as i32,
        ..Default::default()
    };
    let details = ErrorDetails::with_error_info("CURSOR_TOO_OLD", "crossmarket", std::collections::HashMap::new());
    let too_old = Status::with_error_details(tonic::Code::OutOfRange, "trimmed", details);
    let service = Scripted::default();
    *service.streams.lock().expect("not poisoned") = vec![
        vec![Ok(frame("one", "1")), Ok(frame("two", "2")), Err(Status::unavailable("draining"))],
        vec![Ok(frame("three", "3")), Err(too_old)],
        vec![Ok(frame("four", "4"))],
    ];
    let cursors = service.cursors.clone();
    let server = start(service).await;
    let watched = client(&server, &["watch", "BTC", "--json"]).await;
    let told = text(&watched.stderr);
    assert_eq!(watched.status.code(), Some(1), "{told}");
    assert!(told.contains("UNAVAILABLE: draining; trying again in"), "{told}");
    assert!(told.contains("the cursor is too old"), "{told}");
    assert!(told.contains("PERMISSION_DENIED: the script is over"), "{told}");
    assert_eq!(*cursors.lock().expect("not poisoned"), ["", "two", "", "four"]);
    let prices: Vec<Value> = text(&watched.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["snapshots"][0]["price"].clone())
        .collect();
    assert_eq!(prices, ["1", "2", "3", "4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_prints_plain_lines_when_piped() {
    let service = Scripted::default();
    let frame = WatchPriceSnapshotsResponse { snapshots: known(), cursor: "c".to_owned(), ..Default::default() };
    *service.streams.lock().expect("not poisoned") = vec![vec![Ok(frame)]];
    let server = start(service).await;
    let watched = client(&server, &["watch"]).await;
    let shown = text(&watched.stdout);
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(shown.lines().all(|line| line.contains("SIMULATED") && !line.contains('\u{1b}')), "{shown}");
}
