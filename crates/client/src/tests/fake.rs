//! Servers in this process that answer by script, and addresses at which a connection comes to nothing.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::stream::{self, Stream, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crossmarket_api::v1::price_service_server::{PriceService, PriceServiceServer};
use crossmarket_api::v1::*;

type Frame = WatchPriceSnapshotsResponse;

/// How a fake handles a call.
pub(super) enum Reply {
    /// It answers with a snapshot.
    Snapshot,
    /// It refuses.
    Status(Status),
    /// It never answers.
    Nothing,
    /// It sends these frames, and then nothing, unless the last is an error.
    Frames(Vec<Result<Frame, Status>>),
}

type Script = Arc<dyn Fn(usize) -> Reply + Send + Sync>;

/// A price service of its own port.
pub(super) struct Fake {
    pub url: String,
    heard: Arc<Heard>,
}

#[derive(Default)]
struct Heard {
    /// The metadata of each call.
    calls: Mutex<Vec<MetadataMap>>,
    /// The cursor of each watch.
    cursors: Mutex<Vec<String>>,
}

impl Fake {
    /// Starts a service that answers its calls, counted from 0, as the script says.
    pub(super) async fn start(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let heard = Arc::new(Heard::default());
        let service = Service { script: Arc::new(script), heard: Arc::clone(&heard) };
        let router = tonic::transport::Server::builder().add_service(PriceServiceServer::new(service));
        tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { url, heard }
    }

    /// How many calls came.
    pub(super) fn calls(&self) -> usize {
        self.heard.calls.lock().expect("not poisoned").len()
    }

    /// The metadata of the last call.
    pub(super) fn metadata(&self, name: &str) -> Option<String> {
        let calls = self.heard.calls.lock().expect("not poisoned");
        Some(calls.last()?.get(name)?.to_str().expect("ASCII").to_owned())
    }

    /// The cursor of each watch.
    pub(super) fn cursors(&self) -> Vec<String> {
        self.heard.cursors.lock().expect("not poisoned").clone()
    }
}

struct Service {
    script: Script,
    heard: Arc<Heard>,
}

impl Service {
    async fn reply(&self, metadata: &MetadataMap) -> Result<Vec<Result<Frame, Status>>, Status> {
        let call = {
            let mut calls = self.heard.calls.lock().expect("not poisoned");
            calls.push(metadata.clone());
            calls.len() - 1
        };
        match (self.script)(call) {
            Reply::Snapshot => Ok(Vec::new()),
            Reply::Status(status) => Err(status),
            Reply::Frames(frames) => Ok(frames),
            Reply::Nothing => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl PriceService for Service {
    type WatchPriceSnapshotsStream = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

    async fn get_price_snapshot(
        &self,
        request: Request<GetPriceSnapshotRequest>,
    ) -> Result<Response<GetPriceSnapshotResponse>, Status> {
        self.reply(request.metadata()).await?;
        Ok(Response::new(GetPriceSnapshotResponse { snapshot: Some(PriceSnapshot::default()) }))
    }

    async fn batch_get_price_snapshots(
        &self,
        _: Request<BatchGetPriceSnapshotsRequest>,
    ) -> Result<Response<BatchGetPriceSnapshotsResponse>, Status> {
        Err(Status::unimplemented("not faked"))
    }

    /// Three pages of one asset.
    async fn list_price_snapshots(
        &self,
        request: Request<ListPriceSnapshotsRequest>,
    ) -> Result<Response<ListPriceSnapshotsResponse>, Status> {
        let page: usize = request.into_inner().page_token.parse().unwrap_or_default();
        let snapshot = PriceSnapshot { asset: format!("A{page}"), ..Default::default() };
        let next_page_token = if page < 2 { (page + 1).to_string() } else { String::new() };
        Ok(Response::new(ListPriceSnapshotsResponse { snapshots: vec![snapshot], next_page_token, total_size: 3 }))
    }

    async fn watch_price_snapshots(
        &self,
        request: Request<WatchPriceSnapshotsRequest>,
    ) -> Result<Response<Self::WatchPriceSnapshotsStream>, Status> {
        let frames = self.reply(request.metadata()).await;
        self.heard.cursors.lock().expect("not poisoned").push(request.into_inner().resume_cursor);
        Ok(Response::new(stream::iter(frames?).chain(stream::pending()).boxed()))
    }

    async fn list_candles(&self, _: Request<ListCandlesRequest>) -> Result<Response<ListCandlesResponse>, Status> {
        Err(Status::unimplemented("not faked"))
    }
}

/// A frame with a cursor.
pub(super) fn frame(state: StreamState, cursor: &str) -> Frame {
    Frame { cursor: cursor.to_owned(), state: state.into(), ..Default::default() }
}

/// A status as the service makes it.
pub(super) fn reason(code: Code, reason: &str) -> Status {
    Status::with_error_details(code, "said", ErrorDetails::with_error_info(reason, "crossmarket", HashMap::new()))
}

/// An address at which nobody listens.
pub(super) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

/// An address at which every connection is closed immediately.
pub(super) async fn dropping() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    url
}

/// A way to a server that can be cut.
pub(super) struct Cable {
    pub url: String,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Cable {
    pub(super) async fn to(url: &str) -> Self {
        let target = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let connections: Arc<Mutex<Vec<AbortHandle>>> = Arc::default();
        let kept = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = TcpStream::connect(&target).await.expect("the server");
                let copying = async move { tokio::io::copy_bidirectional(&mut near, &mut far).await };
                kept.lock().expect("not poisoned").push(tokio::spawn(copying).abort_handle());
            }
        });
        Self { url, connections }
    }

    /// Cuts every connection; new ones can be made.
    pub(super) fn cut(&self) {
        for connection in self.connections.lock().expect("not poisoned").drain(..) {
            connection.abort();
        }
    }
}
