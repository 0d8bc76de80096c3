//! The store port: latest values, a change feed and histories, behind one trait. `memory:` and `embedded:DIR` are here.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::series::{Point, SeriesKey};
use crate::domain::state::{Epoch, Key, Revision, State};
use crate::domain::{Candle, Timestamp};

mod open;

pub use open::open;

/// A shard's number, from 0. One shard has one writer at a time, one change feed and dense revisions of its own.
pub type ShardId = u16;

/// One update of a shard's feed: the key's full state, or its removal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The update's position in the shard's feed.
    pub revision: Revision,
    /// The state; `None` when the key is gone.
    pub state: Option<State>,
}

/// Everything that a shard holds, at one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    /// The generation of the writer.
    pub epoch: Epoch,
    /// The newest revision; 0 in an empty shard.
    pub revision: Revision,
    /// Every key's newest entry.
    pub entries: Vec<Entry>,
}

/// What came after a position in a feed.
#[derive(Clone, Debug, PartialEq)]
pub enum Tail {
    /// The next entries in order, without a gap; empty when nothing came in time.
    Entries(Vec<Entry>),
    /// The position cannot be continued: it was trimmed, or the epoch changed. Bootstrap again.
    Gap,
}

/// What a series holds.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesInfo {
    /// The series.
    pub key: SeriesKey,
    /// Number of points.
    pub count: u64,
    /// Time of the first point.
    pub first: Timestamp,
    /// Time of the last point.
    pub last: Timestamp,
}

/// A store. Every method may be called from any task at any time.
#[async_trait]
pub trait Store: Send + Sync {
    /// Becomes the shard's writer: the new epoch is larger than every one before, `max(stored + 1, now in unix ms)`, and fences older writers.
    /// Returns it with the newest revision; the next write starts one above that.
    async fn open_writer(&self, shard: ShardId, now: Timestamp) -> Result<(Epoch, Revision), StoreError>;

    /// Writes a batch: latest values and feed together, all or nothing. Revisions are given out in order from the newest + 1; the last one
    /// is returned. An update whose `receive_time` is older than what is stored for its key is left out (`None` entries always count).
    async fn write(
        &self,
        shard: ShardId,
        epoch: Epoch,
        updates: Vec<(Key, Option<State>)>,
    ) -> Result<Revision, StoreError>;

    /// All of a shard's latest values.
    async fn bootstrap(&self, shard: ShardId) -> Result<Bootstrap, StoreError>;

    /// What came after a revision, waiting up to `wait` for the first.
    async fn tail(&self, shard: ShardId, epoch: Epoch, after: Revision, wait: Duration) -> Result<Tail, StoreError>;

    /// Adds or replaces candles of a series, by start time. Any order; durable after [`Store::flush`].
    async fn put_candles(&self, series: &SeriesKey, candles: &[Candle]) -> Result<(), StoreError>;

    /// Candles with `from <= start < until`, oldest first.
    async fn candles(&self, series: &SeriesKey, from: Timestamp, until: Timestamp) -> Result<Vec<Candle>, StoreError>;

    /// Adds or replaces points of a series, by time.
    async fn put_points(&self, series: &SeriesKey, points: &[Point]) -> Result<(), StoreError>;

    /// Points with `from <= time < until`, oldest first.
    async fn points(&self, series: &SeriesKey, from: Timestamp, until: Timestamp) -> Result<Vec<Point>, StoreError>;

    /// Every series, by key.
    async fn series(&self) -> Result<Vec<SeriesInfo>, StoreError>;

    /// Drops a series' points before a time.
    async fn trim_series(&self, series: &SeriesKey, before: Timestamp) -> Result<(), StoreError>;

    /// Makes everything written so far durable.
    async fn flush(&self) -> Result<(), StoreError>;
}

/// Why a store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A later writer holds the shard.
    #[error("fenced: epoch {epoch} was deposed by {holder}")]
    Fenced {
        /// The caller's epoch.
        epoch: Epoch,
        /// The epoch in the store.
        holder: Epoch,
    },
    /// The store cannot be reached or cannot work now.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// What is stored cannot be read.
    #[error("stored data unreadable: {0}")]
    Corrupt(String),
    /// `store.url` is not a store's.
    #[error("store.url {url:?}: {allowed}")]
    Url {
        /// The setting's value, without secrets.
        url: String,
        /// What is allowed.
        allowed: &'static str,
    },
}
