//! `SubscriptionService`: part of the API, not implemented yet.

use tonic::{Request, Response, Status};

use super::{ServerStream, later};
use crate::servers::subscription_service_server::SubscriptionService;
use crossmarket_api::v1;

/// The service.
pub struct Subscriptions;

#[tonic::async_trait]
impl SubscriptionService for Subscriptions {
    type SubscribeStream = ServerStream<v1::SubscribeResponse>;

    async fn subscribe(
        &self,
        _: Request<tonic::Streaming<v1::SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        later("Subscribe")
    }
}
