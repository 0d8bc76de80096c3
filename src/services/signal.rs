//! `SignalService`: part of the API, not implemented yet.

use tonic::{Request, Response, Status};

use super::{ServerStream, later};
use crate::servers::signal_service_server::SignalService;
use crossmarket_api::v1;

/// The service.
pub struct Signal;

#[tonic::async_trait]
impl SignalService for Signal {
    async fn list_signals(
        &self,
        _: Request<v1::ListSignalsRequest>,
    ) -> Result<Response<v1::ListSignalsResponse>, Status> {
        later("ListSignals")
    }

    type WatchSignalsStream = ServerStream<v1::WatchSignalsResponse>;

    async fn watch_signals(
        &self,
        _: Request<v1::WatchSignalsRequest>,
    ) -> Result<Response<Self::WatchSignalsStream>, Status> {
        later("WatchSignals")
    }
}
