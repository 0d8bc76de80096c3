//! Errors that stop a collector.

use crate::transport::http::FetchSetupError;
use crossmarket_domain::VenueId;
use crossmarket_store::StoreError;

/// Why a collector cannot start or has to stop.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// A venue's address or HTTP client is unusable.
    #[error("venue {venue} cannot be set up")]
    Setup {
        venue: VenueId,
        #[source]
        source: FetchSetupError,
    },
    #[error("the HTTP client cannot be set up")]
    Client(#[source] FetchSetupError),
    /// The store failed: in the final flush of the collector, or at any time during a backfill.
    #[error("the store failed")]
    Store(#[source] StoreError),
}
