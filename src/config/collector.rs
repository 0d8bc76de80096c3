//! `collector.*`, `universe.*`: what is collected and how.

use std::time::Duration;

use super::spec::{boolean, list, milliseconds, settings, whole};
use crossmarket_collector::{LEASE_LIFE, PUBLISH_INTERVAL, REQUIRED_VENUE_COUNT, UNIVERSE_SIZE};
use crossmarket_domain::AssetName;
use crossmarket_domain::shard::ASSET_SHARDS_MAX;

settings! {
    /// `collector.*`: the collection of data.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct CollectorConfig in "collector" {
        /// Whether this process collects, if its role lets it.
        enabled: bool = boolean(true);
        /// Shards that assets are hashed into. The same in every process on one store.
        shards: u16 = whole(1, 1..=u64::from(ASSET_SHARDS_MAX), "shards");
        /// Shortest time between two batches to the store.
        publish_interval as publish_interval_ms: Duration = milliseconds(PUBLISH_INTERVAL, 10..=60_000);
        /// Venues with a usable price that a new aggregate needs. With fewer the last aggregate is carried forward, marked as such.
        required_venue_count: u32 = whole(REQUIRED_VENUE_COUNT, 1..=32, "venues");
        /// How long a lease of a shard lasts. A collector that disappears is replaced after this time at the latest.
        lease_life as lease_ms: Duration = milliseconds(LEASE_LIFE, 500..=60_000);
    }
}

settings! {
    /// `universe.*`: the assets that are collected.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct UniverseConfig in "universe" {
        /// Number of the largest assets by market cap.
        size: usize = whole(UNIVERSE_SIZE, 1..=5_000, "assets");
        /// Further assets, whatever their rank.
        assets: Vec<AssetName> = list(
            1_000,
            "at most 1000 assets such as BTC or id:bitcoin: an array in a file, elsewhere separated by commas",
            AssetName::parse,
            AssetName::to_string,
        );
    }
}
