//! How an embedded store is run.

use std::time::Duration;

use crate::update::{FEED_LEN_MAX, FeedLimits};

/// The database's name in the store's directory.
pub const DATABASE_FILE: &str = "crossmarket.redb";

/// Most bytes of encoded entries in a shard's feed on disk.
const FILE_FEED_BYTES_MAX: u64 = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Longest time from a write to the start of the commit that makes it durable.
    pub flush_interval: Duration,
    /// How much of each shard's feed is kept.
    pub feed: FeedLimits,
    /// Memory for pages of the file, in bytes.
    pub cache_bytes: usize,
}

impl Default for EmbeddedOptions {
    /// 100 ms, [`FEED_LEN_MAX`] entries, 64 MiB of feed, 8 MiB of cache.
    fn default() -> Self {
        Self {
            flush_interval: Duration::from_millis(100),
            feed: FeedLimits { len_max: FEED_LEN_MAX, bytes_max: FILE_FEED_BYTES_MAX },
            cache_bytes: 8 << 20,
        }
    }
}

impl EmbeddedOptions {
    /// For a store in memory: 16 MiB of feed, since its readers are in this process and milliseconds behind, and 1 MiB of cache, since it only holds
    /// copies of pages that are in memory already.
    pub fn in_memory() -> Self {
        let feed = FeedLimits { len_max: FEED_LEN_MAX, bytes_max: 16 << 20 };
        Self { feed, cache_bytes: 1 << 20, ..Self::default() }
    }
}
