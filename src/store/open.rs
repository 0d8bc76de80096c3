//! Opens the store of a URL.

use std::sync::Arc;

use super::{Store, StoreError};

/// Opens the store of `store.url`: `memory:` or `embedded:DIR`.
pub async fn open(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    Err(StoreError::Unavailable(format!("no store for {url}")))
}
