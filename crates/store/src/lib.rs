//! The store port: latest values, a change feed and histories, behind one trait.
//!
//! - [`encoding`] and [`packing`]: what keys, states and series look like as bytes, the same in every store.
//! - [`memory`]: everything in this process, gone when it ends.
//! - [`embedded`]: a file in a directory, for one process at a time.
//! - [`migrate`]: copies one store into another.
//! - [`redis`]: Redis or Valkey, for many processes.
//!
//! A feed is a buffer for readers that are a little behind, not an archive: it holds at most a number of entries and a
//! number of bytes, and whoever falls out of it bootstraps again.

pub mod backup;
pub mod daily;
pub mod embedded;
pub mod encoding;
pub mod memory;
pub mod migrate;
pub mod packing;
pub mod redis;

mod heads;
mod history;
mod lease;
mod open;
mod update;

use std::time::Duration;

use async_trait::async_trait;
use smol_str::SmolStr;
use tokio::time::Instant;

use crossmarket_domain::series::{Point, SeriesKey};
use crossmarket_domain::state::{Epoch, Key, Revision, State};
use crossmarket_domain::{Candle, Timestamp, TraceContext};

pub use self::redis::RedisStore;
pub use crossmarket_domain::ShardId;
pub use embedded::EmbeddedStore;
pub use lease::{HOLDER_LEN_MAX, LEASE_LIFE_MAX, Lease, LeaseClaim};
pub use memory::MemoryStore;
pub use open::{ALLOWED, OpenOptions, is_store_url, kind_of, open};
pub use update::Update;

/// One update of a shard's feed: the key's full state, or its removal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The update's position in the shard's feed.
    pub revision: Revision,
    /// The state; `None` when the key is gone.
    pub state: Option<State>,
    /// The span that wrote it, in a batch that is traced. In the feed it says where the reader's spans belong; elsewhere it says nothing.
    pub trace: Option<TraceContext>,
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
    /// False while the shard was begun empty and its writer has not [told](Store::published) that everything is in it.
    pub complete: bool,
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

/// Most entries that one [`Store::tail`] answers; the caller asks again from the last of them.
pub const TAIL_LEN_MAX: usize = 128;

/// How much of a shard's feed is kept. The oldest entries go first, also within the batch that goes beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedLimits {
    /// Most entries.
    pub len_max: u64,
    /// Most bytes of encoded entries.
    pub bytes_max: u64,
}

/// Most entries in a shard's feed, unless a store is opened with other limits.
pub const FEED_LEN_MAX: u64 = 100_000;

/// A store. Every method may be called from any task at any time.
///
/// What is written is seen by every reader at once, and durable after [`Store::flush`] or after what the store itself
/// promises. A reader may so have seen entries that a crash then takes back; the next writer's epoch is larger, which
/// tells that reader to bootstrap again.
#[async_trait]
pub trait Store: Send + Sync {
    /// Becomes the shard's writer: the new epoch is larger than every one before, `max(stored + 1, now in unix ms)`, and fences older writers.
    /// Returns it with the newest revision; the next write starts one above that.
    async fn open_writer(&self, shard: ShardId, now: Timestamp) -> Result<(Epoch, Revision), StoreError>;

    /// Claims the shard for `holder` (visible ASCII, at most [`HOLDER_LEN_MAX`] bytes, unique to its process) for `life` (at most
    /// [`LEASE_LIFE_MAX`]). Granted when nobody else holds it: that opens the writer as [`Store::open_writer`] does, so the epoch rises with every
    /// grant. Whoever holds it already is granted it anew, with a larger epoch, which is the way on after [`StoreError::Lost`].
    ///
    /// This default is for a store whose writer nobody contests.
    async fn acquire_lease(
        &self,
        shard: ShardId,
        holder: &str,
        life: Duration,
        now: Timestamp,
    ) -> Result<LeaseClaim, StoreError> {
        let since = Instant::now();
        let (epoch, revision) = self.open_writer(shard, now).await?;
        Ok(LeaseClaim::Granted(Lease { shard, holder: SmolStr::new(holder), epoch, revision, life, since }))
    }

    /// Gives the lease a new life from now. [`StoreError::LeaseLost`] when it has run out or is another's: acquire again.
    async fn renew_lease(&self, lease: &Lease) -> Result<Lease, StoreError> {
        Ok(Lease { since: Instant::now(), ..lease.clone() })
    }

    /// Gives the lease back, so that the next holder need not wait for its end. One that is no longer held is left alone.
    async fn release_lease(&self, _lease: &Lease) -> Result<(), StoreError> {
        Ok(())
    }

    /// Writes a batch: latest values and feed together, all or nothing. Revisions are given out in order from the newest + 1; the last one
    /// is returned. An update whose `receive_time` is older than what is stored for its key is left out (`None` entries always count), unless an
    /// earlier epoch stored that at a time which lies in the future of the update's `publish_time`: then the clocks differ, and the later writer is
    /// right.
    /// An epoch other than the one that the last [`Store::open_writer`] gave out is refused as [`StoreError::Fenced`], and one that the store no
    /// longer knows, or whose last revisions it no longer has, as [`StoreError::Lost`].
    async fn write(&self, shard: ShardId, epoch: Epoch, updates: Vec<Update>) -> Result<Revision, StoreError>;

    /// [`Store::write`] of a batch that is traced: readers of the feed are told of the span. A store that cannot tell only writes.
    async fn write_traced(
        &self,
        shard: ShardId,
        epoch: Epoch,
        updates: Vec<Update>,
        _trace: Option<TraceContext>,
    ) -> Result<Revision, StoreError> {
        self.write(shard, epoch, updates).await
    }

    /// Tells that everything there is has been written in this epoch, so that whoever reads a shard that was begun empty takes it for the whole.
    /// Anything but the shard's epoch is left alone. To be said again from time to time, at least once in some hours: a shared store forgets a shard of
    /// which it hears nothing for a day. Nothing to do for a store that nobody empties.
    async fn published(&self, shard: ShardId, epoch: Epoch) -> Result<(), StoreError>;

    /// All of a shard's latest values.
    async fn bootstrap(&self, shard: ShardId) -> Result<Bootstrap, StoreError>;

    /// What came after a revision, at most [`TAIL_LEN_MAX`] entries, waiting up to `wait` for the first.
    async fn tail(&self, shard: ShardId, epoch: Epoch, after: Revision, wait: Duration) -> Result<Tail, StoreError>;

    /// Adds or replaces candles of a series, by start time. Any order; durable after [`Store::flush`]. What is not kept
    /// exactly: see [`packing`]. A series of another kind than [`SeriesKind::Candles`] is refused.
    ///
    /// [`SeriesKind::Candles`]: crossmarket_domain::series::SeriesKind::Candles
    async fn put_candles(&self, series: &SeriesKey, candles: &[Candle]) -> Result<(), StoreError>;

    /// Candles with `from <= start < until`, oldest first.
    async fn candles(&self, series: &SeriesKey, from: Timestamp, until: Timestamp) -> Result<Vec<Candle>, StoreError>;

    /// Adds or replaces points of a series, by time, as [`Store::put_candles`] does. A series of candles is refused.
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

/// Why a store could not do it. What a writer does about it: [`Fenced`](Self::Fenced) stop, [`Lost`](Self::Lost) open again and publish
/// everything, [`Unavailable`](Self::Unavailable) try again later.
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
    /// The store no longer has what this epoch wrote: it was emptied, restarted, or failed over and lost the end of the feed. Readers may
    /// have seen what is gone, so the writer must open again, for a larger epoch, and publish every state anew.
    #[error("the store lost shard {shard}: writer at epoch {epoch} revision {revision}, {found}")]
    Lost {
        /// The shard.
        shard: ShardId,
        /// The writer's epoch.
        epoch: Epoch,
        /// The writer's newest revision.
        revision: Revision,
        /// What the store has instead, in words.
        found: String,
    },
    /// The lease has run out or is another's.
    #[error("lease of shard {shard} lost to {}", holder.as_deref().unwrap_or("nobody"))]
    LeaseLost {
        /// The shard.
        shard: ShardId,
        /// Who holds it now, if anybody does.
        holder: Option<SmolStr>,
    },
    /// The store's data is divided into another number of shards than this process goes by.
    #[error(
        "the store is divided into {there} shards and this process goes by {here}: collector.shards must be the same in every process on one store"
    )]
    Divided {
        /// The number in this process.
        here: u16,
        /// The number in the store.
        there: u16,
    },
    /// The store cannot be reached or cannot work now.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// The series holds something else than what was asked of it: points where it holds candles, or the other way round.
    #[error("series {series:?} does not hold {wanted}")]
    WrongSeries {
        /// The series' stored name.
        series: String,
        /// What was asked of it: `candles` or `points`.
        wanted: &'static str,
    },
    /// The store cannot keep that, and will not another time: a name that is too long, a lease without a life.
    #[error("refused by the store: {0}")]
    Refused(String),
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

/// Whether an update is older than what is stored for its key, which was received at `stored`.
fn is_older(update: &State, stored: Timestamp, stored_in_this_epoch: bool) -> bool {
    // Of two writers one may have a clock that is ahead. What seems to come from the future tells nothing.
    update.receive_time < stored && (stored_in_this_epoch || stored <= update.publish_time)
}
