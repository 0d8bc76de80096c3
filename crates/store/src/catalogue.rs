//! The assets that a store knows.

use crate::error::StoreError;
use crate::port::Store;
use crossmarket_domain::Shards;
use crossmarket_domain::state::{AssetInfo, Body};

/// The catalogue entries of every asset shard.
pub async fn stored_assets(store: &dyn Store, shards: Shards) -> Result<Vec<AssetInfo>, StoreError> {
    let mut assets = Vec::new();
    for shard in shards.of_assets() {
        let entries = store.bootstrap(shard).await?.entries;
        assets.extend(entries.into_iter().filter_map(|entry| match entry.state?.body {
            Body::Asset(info) => Some(*info),
            _ => None,
        }));
    }
    Ok(assets)
}
