//! The store port: what every store does.

use std::time::Duration;

use async_trait::async_trait;
use smol_str::SmolStr;
use tokio::time::Instant;

use crossmarket_domain::series::{Point, SeriesKey};
use crossmarket_domain::state::{Epoch, Revision};
use crossmarket_domain::{Candle, ShardId, Timestamp, TraceContext};

use crate::error::StoreError;
use crate::lease::{Lease, LeaseClaim};
use crate::update::{Bootstrap, SeriesInfo, Tail, Update};

/// A store. Every method may be called from any task at any time.
///
/// Readers see a write immediately. It is durable after [`Store::flush`], or as soon as the store itself promises. A crash may therefore undo what a
/// reader has seen; the next writer's larger epoch makes that reader bootstrap again.
#[async_trait]
pub trait Store: Send + Sync {
    /// Becomes the shard's writer: the new epoch is larger than every one before, `max(stored + 1, now in unix ms)`, and fences older writers.
    /// Returns it with the newest revision; the next write starts one above that.
    async fn open_writer(&self, shard: ShardId, now: Timestamp) -> Result<(Epoch, Revision), StoreError>;

    /// Claims the shard for `holder` (visible ASCII, at most 128 bytes, unique to its process) for `life` (at most
    /// [`LEASE_LIFE_MAX`](crate::LEASE_LIFE_MAX)). Granted when nobody else holds it: that opens the writer as [`Store::open_writer`] does, so the epoch rises with every
    /// grant. The current holder gets it again with a larger epoch, which is how to continue after [`StoreError::Lost`].
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

    /// Extends the lease to its full life from now. [`StoreError::LeaseLost`] when it has expired or another process holds it: acquire it again.
    async fn renew_lease(&self, lease: &Lease) -> Result<Lease, StoreError> {
        Ok(Lease { since: Instant::now(), ..lease.clone() })
    }

    /// Gives the lease back, so that the next holder need not wait for it to expire. Does nothing when it is no longer held.
    async fn release_lease(&self, _lease: &Lease) -> Result<(), StoreError> {
        Ok(())
    }

    /// Writes a batch: latest values and feed together, all or nothing. Revisions are given out in order from the newest + 1; the last one
    /// is returned. An update whose `receive_time` is older than what is stored for its key is left out (`None` entries always count), unless an
    /// earlier epoch stored that at a time which lies in the future of the update's `publish_time`: then the clocks differ, and the later writer is
    /// right. Readers of the feed see `trace`, the span that the batch belongs to.
    ///
    /// An epoch other than the one that the last [`Store::open_writer`] gave out is refused as [`StoreError::Fenced`], and one that the store no
    /// longer knows, or whose last revisions it no longer has, as [`StoreError::Lost`].
    async fn write(
        &self,
        shard: ShardId,
        epoch: Epoch,
        updates: Vec<Update>,
        trace: Option<TraceContext>,
    ) -> Result<Revision, StoreError>;

    /// Marks the shard as complete: everything has been written in this epoch, and readers may take the shard for the whole. Ignored unless `epoch`
    /// is the shard's. Repeat it every few hours: a shared store forgets a shard that is idle for a day. A store that nobody else empties ignores it.
    async fn published(&self, shard: ShardId, epoch: Epoch) -> Result<(), StoreError>;

    /// All of a shard's latest values.
    async fn bootstrap(&self, shard: ShardId) -> Result<Bootstrap, StoreError>;

    /// What came after a revision, at most [`TAIL_LEN_MAX`](crate::TAIL_LEN_MAX) entries, waiting up to `wait` for the first.
    async fn tail(&self, shard: ShardId, epoch: Epoch, after: Revision, wait: Duration) -> Result<Tail, StoreError>;

    /// Adds or replaces candles of a series, by start time. Any order; durable after [`Store::flush`]. What is not kept
    /// exactly: see [`packing`](crate::packing). A series of another kind than [`SeriesKind::Candles`] is refused.
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
