//! `OverviewService`: part of the API, not implemented yet.

use tonic::{Request, Response, Status};

use super::later;
use crate::servers::overview_service_server::OverviewService;
use crossmarket_api::v1;

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
