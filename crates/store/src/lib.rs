//! Latest values, a change feed and histories behind one trait, [`Store`].
//!
//! - [`encoding`] and [`packing`]: what keys, states and series look like as bytes, the same in every store.
//! - [`embedded`]: a file in a directory for one process at a time, or the memory of this process.
//! - [`migrate`]: copies one store into another.
//! - [`redis`]: Redis or Valkey, for many processes.
//!
//! A feed is a buffer for readers that are a little behind, not an archive: it holds at most a number of entries and a
//! number of bytes, and a reader that falls behind it bootstraps again.

#![deny(unreachable_pub)]

pub mod backup;
pub mod daily;
pub mod embedded;
pub mod encoding;
pub mod migrate;
pub mod packing;
pub mod redis;

mod catalogue;
mod error;
mod feed_notifier;
mod history;
mod lease;
mod open;
mod port;
mod update;

pub use catalogue::stored_assets;
pub use crossmarket_domain::ShardId;
pub use embedded::EmbeddedStore;
pub use error::StoreError;
pub use lease::{LEASE_LIFE_MAX, Lease, LeaseClaim};
pub use open::{ALLOWED, OpenOptions, is_store_url, kind_of, open};
pub use port::Store;
pub use redis::RedisStore;
pub use update::{Bootstrap, Entry, FeedLimits, SeriesInfo, TAIL_LEN_MAX, Tail, Update};
