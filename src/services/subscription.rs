//! `SubscriptionService`: part of the API, not implemented yet.

use tonic::{Request, Response, Status};

use super::{ServerStream, later};
use crate::proto::v1;
use crate::proto::v1::subscription_service_server::SubscriptionService;

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
