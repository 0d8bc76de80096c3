//! Why a collector cannot start or go on.

use crate::transport::http::FetchSetupError;
use crossmarket_domain::VenueId;
use crossmarket_store::StoreError;

/// Why a collector cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// An address or the HTTP client is unusable.
    #[error("venue {venue} cannot be set up")]
    Setup {
        venue: VenueId,
        /// Why.
        #[source]
        source: FetchSetupError,
    },
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] FetchSetupError),
    /// The store failed at the end.
    #[error("the store failed")]
    Store(#[source] StoreError),
}
