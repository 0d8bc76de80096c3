//! `collector.*`, `universe.*`: what is collected and how.

use std::time::Duration;

use super::Reader;
use crossmarket_domain::AssetCode;
use crossmarket_domain::shard::ASSET_SHARDS_MAX;

/// `collector.*`: the collection of data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorConfig {
    /// Whether this process collects, where its role lets it; default true.
    pub enabled: bool,
    /// Number of shards that assets are hashed into, 1 to 64, default 1. The same in every process on one store.
    pub shards: u16,
    /// Least time between two batches to the store, 10 ms to 60 s, default 250 ms.
    pub publish_interval: Duration,
    /// Venues with a usable price that a new aggregate needs, 1 to 32, default 1. With fewer the last one is carried, marked.
    pub required_venue_count: u32,
    /// How long a lease of a shard lasts, 500 ms to 60 s, default 2.5 s: a collector that is gone is replaced after so long at most.
    pub lease_life: Duration,
}

impl CollectorConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            enabled: reader.boolean("collector.enabled", true),
            shards: reader.integer("collector.shards", 1, 1..=u64::from(ASSET_SHARDS_MAX), "shards") as u16,
            publish_interval: Duration::from_millis(reader.integer(
                "collector.publish_interval_ms",
                250,
                10..=60_000,
                "milliseconds",
            )),
            required_venue_count: reader.integer("collector.required_venue_count", 1, 1..=32, "venues") as u32,
            lease_life: Duration::from_millis(reader.integer(
                "collector.lease_ms",
                2_500,
                500..=60_000,
                "milliseconds",
            )),
        }
    }
}

/// `universe.*`: the assets that are collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniverseConfig {
    /// So many of the largest assets by market cap, 1 to 5,000, default 200.
    pub size: usize,
    /// Further assets, whatever their rank; default none, at most 1,000.
    pub assets: Vec<AssetCode>,
}

impl UniverseConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let allowed = "at most 1000 asset codes such as BTC: an array in a file, elsewhere separated by commas";
        Self {
            size: reader.integer("universe.size", 200, 1..=5_000, "assets") as usize,
            assets: reader.list("universe.assets", 1_000, allowed, AssetCode::parse, AssetCode::to_string),
        }
    }
}
