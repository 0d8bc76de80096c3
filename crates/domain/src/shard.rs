//! Shards: which part of the data a key belongs to. Each part has a change feed and a writer of its own.

use std::ops::Range;

use super::state::Key;
use super::{AssetId, Feed};

/// A shard's number, from 0. One shard has one writer at a time, one change feed and dense revisions of its own.
pub type ShardId = u16;

/// Asset shards at most. A cursor names a position in each, 22 characters long.
pub const ASSET_SHARDS_MAX: u16 = 64;

/// How the data is divided. Every process on one store must divide it alike (`collector.shards`).
///
/// Assets are spread over the asset shards, `0..N`, by a hash of their ids that is the same on every machine and in every version. Shard `N` is
/// the cross-asset shard: indices, and whatever else is made of many assets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shards {
    asset_shard_count: u16,
}

impl Shards {
    /// With this many asset shards, clamped to 1 to [`ASSET_SHARDS_MAX`].
    pub fn new(asset_shard_count: u16) -> Self {
        Self { asset_shard_count: asset_shard_count.clamp(1, ASSET_SHARDS_MAX) }
    }

    /// The number of shards, including the cross-asset shard.
    pub fn count(self) -> u16 {
        self.asset_shard_count + 1
    }

    pub fn all(self) -> Range<ShardId> {
        0..self.count()
    }

    /// The shards that hold assets.
    pub fn of_assets(self) -> Range<ShardId> {
        0..self.asset_shard_count
    }

    /// The shard of what is made of many assets.
    pub fn cross_asset(self) -> ShardId {
        self.asset_shard_count
    }

    pub fn of_asset(self, asset: &AssetId) -> ShardId {
        let hash = crc32fast::hash(asset.as_str().as_bytes());
        // The remainder is smaller than the number of shards.
        (hash % u32::from(self.asset_shard_count)) as ShardId
    }

    /// The shard that a key is in.
    ///
    /// A feed's health is one key although several processes may poll the feed, each for its own shards: the writer of the first shard reports it,
    /// and for index levels the writer of the cross-asset shard.
    pub fn of_key(self, key: &Key) -> ShardId {
        match key {
            Key::Price(asset) | Key::Asset(asset) => self.of_asset(asset),
            Key::LongShort(ratio) => self.of_asset(&ratio.asset),
            Key::Index(_) | Key::Feed(_, Feed::IndexLevels) => self.cross_asset(),
            Key::Feed(..) => 0,
        }
    }
}

impl Default for Shards {
    /// One asset shard, and the cross-asset shard.
    fn default() -> Self {
        Self::new(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> AssetId {
        AssetId::parse(text).expect("an id")
    }

    #[test]
    fn assets_are_spread_the_same_everywhere() {
        // Written down once: a shard holds what earlier versions put there.
        let four = Shards::new(4);
        let shards = ["bitcoin", "ethereum", "ripple", "chainlink"].map(|asset| four.of_asset(&id(asset)));
        assert_eq!(shards, [2, 2, 1, 3]);
        let mut counts = [0; 4];
        for number in 0..1_000 {
            counts[usize::from(four.of_asset(&id(&format!("A{number}"))))] += 1;
        }
        assert!(counts.iter().all(|count| (150..350).contains(count)), "{counts:?}");
    }

    #[test]
    fn one_shard_holds_all_assets_and_the_last_what_is_made_of_them() {
        let one = Shards::default();
        assert_eq!((one.count(), one.cross_asset(), one.of_assets()), (2, 1, 0..1));
        assert_eq!(one.of_key(&Key::Price(id("bitcoin"))), 0);
        assert_eq!(one.of_key(&Key::Feed("yahoo".into(), Feed::IndexLevels)), 1);
        assert_eq!(one.of_key(&Key::Feed("binance".into(), Feed::Tickers)), 0);
        assert_eq!(Shards::new(0), one);
        assert_eq!(Shards::new(u16::MAX).count(), ASSET_SHARDS_MAX + 1);
    }
}
