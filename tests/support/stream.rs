//! Watch streams and errors as tests read them.

// Each test binary has this module as its own and uses a part of it.
#![allow(dead_code)]

use std::collections::HashMap;

use crossmarket_api::v1::price_service_client::PriceServiceClient;
use crossmarket_api::v1::{
    GetPriceSnapshotRequest, PriceSnapshot, StreamState, View, WatchPriceSnapshotsRequest, WatchPriceSnapshotsResponse,
};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use super::process::soon;

/// An open stream and what it has delivered so far.
pub struct Watch {
    stream: Streaming<WatchPriceSnapshotsResponse>,
    /// The newest state of every asset.
    pub states: HashMap<String, PriceSnapshot>,
    /// The newest cursor.
    pub cursor: String,
    /// What was known before the stream was resumed. A cursor precedes everything that its reader had yet to receive, so a state that the
    /// reader had already received from after it may arrive again.
    before_resumption: HashMap<String, i64>,
}

impl Watch {
    pub async fn open(client: &mut PriceServiceClient<Channel>, request: WatchPriceSnapshotsRequest) -> Self {
        let response = soon("a stream", client.watch_price_snapshots(request)).await.expect("a stream");
        Self {
            stream: response.into_inner(),
            states: HashMap::new(),
            cursor: String::new(),
            before_resumption: HashMap::new(),
        }
    }

    /// Continues from what was known before.
    pub fn know(&mut self, states: HashMap<String, PriceSnapshot>) {
        self.before_resumption = states.iter().map(|(asset, state)| (asset.clone(), state.revision)).collect();
        self.states = states;
    }

    /// The next frame. Within an epoch, an asset's revisions grow, or stay when its freshness alone has changed.
    pub async fn frame(&mut self) -> WatchPriceSnapshotsResponse {
        let frame = soon("a frame", self.stream.message()).await.expect("no error").expect("no end");
        if frame.state() == StreamState::Resync {
            self.states.clear();
        }
        for snapshot in &frame.snapshots {
            if let Some(before) = self.states.insert(snapshot.asset.clone(), snapshot.clone()) {
                let newer = snapshot.revision > before.revision;
                let renewed = snapshot.revision == before.revision && snapshot.freshness != before.freshness;
                let repeated = self.before_resumption.remove(&snapshot.asset) == Some(snapshot.revision);
                assert!(
                    newer || renewed || repeated,
                    "{} {} after {}",
                    snapshot.asset,
                    snapshot.revision,
                    before.revision
                );
            }
        }
        assert!(!frame.cursor.is_empty(), "every frame has a cursor");
        self.cursor.clone_from(&frame.cursor);
        frame
    }

    /// Reads on until a frame of that state, and returns all frames read.
    pub async fn frames_until(&mut self, state: StreamState) -> Vec<WatchPriceSnapshotsResponse> {
        let mut frames = Vec::new();
        loop {
            frames.push(self.frame().await);
            if frames.last().is_some_and(|frame| frame.state() == state) {
                return frames;
            }
        }
    }

    /// Reads on until the stream ends with an error.
    pub async fn error(mut self) -> Status {
        loop {
            match soon("the end of the stream", self.stream.message()).await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without a status"),
                Err(status) => return status,
            }
        }
    }
}

/// A request that names assets.
pub fn watch_of(assets: &[&str]) -> WatchPriceSnapshotsRequest {
    WatchPriceSnapshotsRequest {
        assets: assets.iter().map(|asset| (*asset).to_owned()).collect(),
        ..Default::default()
    }
}

/// One snapshot in full.
pub async fn get(client: &mut PriceServiceClient<Channel>, asset: &str) -> Result<PriceSnapshot, Status> {
    let request = GetPriceSnapshotRequest { asset: asset.to_owned(), view: View::Full.into() };
    let response = soon("a snapshot", client.get_price_snapshot(request)).await?;
    Ok(response.into_inner().snapshot.expect("a snapshot"))
}

/// The error's reason and its metadata, after a check of its code and domain.
pub fn reason(status: &Status, code: Code) -> (String, HashMap<String, String>) {
    assert_eq!(status.code(), code, "{status:?}");
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.domain, "crossmarket");
    (info.reason, info.metadata)
}

/// Checks an INVALID_ARGUMENT and that it names the field.
pub fn refuses_field<T>(answer: Result<T, Status>, field: &str) -> Status {
    let status = answer.err().unwrap_or_else(|| panic!("{field} was taken"));
    let (_, metadata) = reason(&status, Code::InvalidArgument);
    assert_eq!(metadata.get("field").map(String::as_str), Some(field));
    let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert_eq!(violations[0].field, field);
    assert!(!violations[0].description.is_empty());
    status
}
