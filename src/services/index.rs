//! `IndexService`: part of the API, not implemented yet.

use tonic::{Request, Response, Status};

use super::{ServerStream, later};
use crate::proto::v1;
use crate::proto::v1::index_service_server::IndexService;

/// The service.
pub struct Index;

#[tonic::async_trait]
impl IndexService for Index {
    async fn list_indices(
        &self,
        _: Request<v1::ListIndicesRequest>,
    ) -> Result<Response<v1::ListIndicesResponse>, Status> {
        later("ListIndices")
    }

    async fn get_index_snapshot(
        &self,
        _: Request<v1::GetIndexSnapshotRequest>,
    ) -> Result<Response<v1::GetIndexSnapshotResponse>, Status> {
        later("GetIndexSnapshot")
    }

    async fn batch_get_index_snapshots(
        &self,
        _: Request<v1::BatchGetIndexSnapshotsRequest>,
    ) -> Result<Response<v1::BatchGetIndexSnapshotsResponse>, Status> {
        later("BatchGetIndexSnapshots")
    }

    type WatchIndexSnapshotsStream = ServerStream<v1::WatchIndexSnapshotsResponse>;

    async fn watch_index_snapshots(
        &self,
        _: Request<v1::WatchIndexSnapshotsRequest>,
    ) -> Result<Response<Self::WatchIndexSnapshotsStream>, Status> {
        later("WatchIndexSnapshots")
    }

    async fn list_index_history(
        &self,
        _: Request<v1::ListIndexHistoryRequest>,
    ) -> Result<Response<v1::ListIndexHistoryResponse>, Status> {
        later("ListIndexHistory")
    }

    async fn compare_indices(
        &self,
        _: Request<v1::CompareIndicesRequest>,
    ) -> Result<Response<v1::CompareIndicesResponse>, Status> {
        later("CompareIndices")
    }

    type WatchComparisonsStream = ServerStream<v1::WatchComparisonsResponse>;

    async fn watch_comparisons(
        &self,
        _: Request<v1::WatchComparisonsRequest>,
    ) -> Result<Response<Self::WatchComparisonsStream>, Status> {
        later("WatchComparisons")
    }

    async fn get_altcoin_season(
        &self,
        _: Request<v1::GetAltcoinSeasonRequest>,
    ) -> Result<Response<v1::GetAltcoinSeasonResponse>, Status> {
        later("GetAltcoinSeason")
    }

    async fn list_altcoin_season_history(
        &self,
        _: Request<v1::ListAltcoinSeasonHistoryRequest>,
    ) -> Result<Response<v1::ListAltcoinSeasonHistoryResponse>, Status> {
        later("ListAltcoinSeasonHistory")
    }

    async fn get_cycles(&self, _: Request<v1::GetCyclesRequest>) -> Result<Response<v1::GetCyclesResponse>, Status> {
        later("GetCycles")
    }
}
