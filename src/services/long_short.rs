//! `LongShortService`: part of the API, not implemented yet.

use tonic::{Request, Response, Status};

use super::{ServerStream, later};
use crate::proto::v1;
use crate::proto::v1::long_short_service_server::LongShortService;

/// The service.
pub struct LongShort;

#[tonic::async_trait]
impl LongShortService for LongShort {
    async fn get_long_short_ratio(
        &self,
        _: Request<v1::GetLongShortRatioRequest>,
    ) -> Result<Response<v1::GetLongShortRatioResponse>, Status> {
        later("GetLongShortRatio")
    }

    async fn list_long_short_ratios(
        &self,
        _: Request<v1::ListLongShortRatiosRequest>,
    ) -> Result<Response<v1::ListLongShortRatiosResponse>, Status> {
        later("ListLongShortRatios")
    }

    type WatchLongShortRatiosStream = ServerStream<v1::WatchLongShortRatiosResponse>;

    async fn watch_long_short_ratios(
        &self,
        _: Request<v1::WatchLongShortRatiosRequest>,
    ) -> Result<Response<Self::WatchLongShortRatiosStream>, Status> {
        later("WatchLongShortRatios")
    }

    async fn list_long_short_ratio_history(
        &self,
        _: Request<v1::ListLongShortRatioHistoryRequest>,
    ) -> Result<Response<v1::ListLongShortRatioHistoryResponse>, Status> {
        later("ListLongShortRatioHistory")
    }

    async fn get_long_short_breadth(
        &self,
        _: Request<v1::GetLongShortBreadthRequest>,
    ) -> Result<Response<v1::GetLongShortBreadthResponse>, Status> {
        later("GetLongShortBreadth")
    }
}
