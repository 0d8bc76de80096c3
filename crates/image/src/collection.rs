//! What is kept and watched together.

use crossmarket_domain::state::Key;
use crossmarket_domain::{ShardId, Shards};

/// Items that are kept and watched together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// Price snapshots.
    Prices,
    /// Catalogue entries of assets.
    Assets,
    LongShortRatios,
    /// Index snapshots.
    Indices,
    /// The feeds' health.
    Feeds,
}

impl Collection {
    pub const ALL: [Self; 5] = [Self::Prices, Self::Assets, Self::LongShortRatios, Self::Indices, Self::Feeds];

    /// The collection that holds a key.
    pub fn of(key: &Key) -> Self {
        match key {
            Key::Price(_) => Self::Prices,
            Key::Asset(_) => Self::Assets,
            Key::LongShort(_) => Self::LongShortRatios,
            Key::Index(_) => Self::Indices,
            Key::Feed(..) => Self::Feeds,
        }
    }

    /// True when a shard may hold keys of it. Its watchers ignore the other shards.
    pub fn is_in(self, shard: ShardId, shards: Shards) -> bool {
        match self {
            Self::Prices | Self::Assets | Self::LongShortRatios => shards.of_assets().contains(&shard),
            Self::Indices => shard == shards.cross_asset(),
            Self::Feeds => shards.all().contains(&shard),
        }
    }

    /// Its number in cursors. A number is never reused.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Prices => 1,
            Self::Assets => 2,
            Self::Feeds => 3,
            Self::LongShortRatios => 4,
            Self::Indices => 5,
        }
    }
}
