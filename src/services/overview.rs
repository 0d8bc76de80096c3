//! `OverviewService`: part of the API, not implemented yet.

use tonic::{Request, Response, Status};

use super::later;
use crate::proto::v1;
use crate::proto::v1::overview_service_server::OverviewService;

/// The service.
pub struct Overview;

#[tonic::async_trait]
impl OverviewService for Overview {
    async fn get_market_overview(
        &self,
        _: Request<v1::GetMarketOverviewRequest>,
    ) -> Result<Response<v1::GetMarketOverviewResponse>, Status> {
        later("GetMarketOverview")
    }
}
