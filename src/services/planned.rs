//! Services that are part of the API and not implemented yet.

use tonic::{Request, Response, Status};

use super::context::ServerStream;
use super::error::ServiceError;
use crate::servers::overview_service_server::OverviewService;
use crate::servers::signal_service_server::SignalService;
use crate::servers::subscription_service_server::SubscriptionService;
use crossmarket_api::v1;

pub(super) struct Signal;

#[tonic::async_trait]
impl SignalService for Signal {
    async fn list_signals(
        &self,
        _: Request<v1::ListSignalsRequest>,
    ) -> Result<Response<v1::ListSignalsResponse>, Status> {
        unimplemented("ListSignals")
    }

    type WatchSignalsStream = ServerStream<v1::WatchSignalsResponse>;

    async fn watch_signals(
        &self,
        _: Request<v1::WatchSignalsRequest>,
    ) -> Result<Response<Self::WatchSignalsStream>, Status> {
        unimplemented("WatchSignals")
    }
}

pub(super) struct Overview;

#[tonic::async_trait]
impl OverviewService for Overview {
    async fn get_market_overview(
        &self,
        _: Request<v1::GetMarketOverviewRequest>,
    ) -> Result<Response<v1::GetMarketOverviewResponse>, Status> {
        unimplemented("GetMarketOverview")
    }
}

pub(super) struct Subscriptions;

#[tonic::async_trait]
impl SubscriptionService for Subscriptions {
    type SubscribeStream = ServerStream<v1::SubscribeResponse>;

    async fn subscribe(
        &self,
        _: Request<tonic::Streaming<v1::SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        unimplemented("Subscribe")
    }
}

fn unimplemented<T>(rpc: &'static str) -> Result<Response<T>, Status> {
    Err(ServiceError::Unimplemented(rpc).into())
}
