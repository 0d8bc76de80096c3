//! The assets that a store and the registry know, by name: for commands that work without a running service.

use crossmarket_domain::registry::Registry;
use crossmarket_domain::state::AssetInfo;
use crossmarket_domain::{AssetCode, AssetId, AssetName, Shards};
use crossmarket_store::{Store, StoreError, stored_assets};

pub(crate) struct KnownAssets {
    pub stored: Vec<AssetInfo>,
}

impl KnownAssets {
    pub(crate) async fn of(store: &dyn Store, shards: Shards) -> Result<Self, StoreError> {
        Ok(Self { stored: stored_assets(store, shards).await? })
    }

    /// The asset of that name. A ticker that nobody knows means an asset that no listing knows.
    pub(crate) fn find(&self, name: &AssetName) -> Option<AssetId> {
        let ticker = match name {
            AssetName::Id(id) => return Some(id.clone()),
            AssetName::Ticker(ticker) => ticker,
        };
        let stored = || self.stored.iter().find(|info| info.asset == *ticker).map(|info| info.asset_id.clone());
        let registered = || Registry::shipped().find(ticker.as_str()).map(|asset| asset.id.clone());
        stored().or_else(registered).or_else(|| AssetId::unlisted(ticker.as_str()))
    }

    /// What venues call an asset.
    pub(crate) fn ticker(&self, id: &AssetId) -> Option<AssetCode> {
        let stored = self.stored.iter().find(|info| info.asset_id == *id).map(|info| info.asset.clone());
        stored.or_else(|| Registry::shipped().by_id(id.as_str()).map(|asset| asset.ticker.clone()))
    }
}
