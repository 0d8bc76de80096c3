//! A store in a file of this machine, for one process at a time: `embedded:DIR`.
//!
//! **What a crash costs.** A write is committed in memory, where every reader sees it, and made durable together with
//! all others of its interval ([`EmbeddedOptions::flush_interval`], 100 ms) by one synchronous commit. So after `kill -9`
//! or a power cut at any moment the store holds everything that was written before the last durable commit began, whole
//! batches only, and has lost at most what was written during the last interval and that commit itself.
//! [`Store::flush`] makes everything durable before it returns, [`Store::open_writer`] its new epoch, and dropping the
//! store whatever is left. A writer that reopens gets a larger epoch, so that a reader who saw a lost entry bootstraps.
//!
//! The file is a redb database. redb blocks, so that all of it runs on the runtime's blocking threads: one for writes, a
//! few for reads, and a thread of its own for the durable commits.

mod flusher;
mod tables;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::flusher::Flusher;
use self::tables::Tables;
use super::heads::Heads;
use super::history;
use super::lease::{self, LocalLeases};
use super::packing::{self, BlockNumber, Record};
use super::{
    Bootstrap, FEED_LEN_MAX, FeedLimits, Lease, LeaseClaim, SeriesInfo, ShardId, Store, StoreError, Tail, Update,
};
use crossmarket_domain::series::{Point, SeriesKey};
use crossmarket_domain::state::{Epoch, Revision};
use crossmarket_domain::{Candle, Timestamp, TraceContext};

/// The database's name in the store's directory.
pub const DATABASE_FILE: &str = "crossmarket.redb";

/// Most bytes of encoded entries in a shard's feed on disk.
pub const EMBEDDED_FEED_BYTES_MAX: u64 = 64 << 20;

/// Reads that may run at the same time; more wait.
const CONCURRENT_READS_MAX: usize = 4;

/// How an embedded store is run.
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
    /// 100 ms, [`FEED_LEN_MAX`] entries, [`EMBEDDED_FEED_BYTES_MAX`] bytes of feed, 8 MiB of cache.
    fn default() -> Self {
        Self {
            flush_interval: Duration::from_millis(100),
            feed: FeedLimits { len_max: FEED_LEN_MAX, bytes_max: EMBEDDED_FEED_BYTES_MAX },
            cache_bytes: 8 << 20,
        }
    }
}

/// A store in a directory. See the [module](self) for what is durable when.
pub struct EmbeddedStore {
    tables: Arc<Tables>,
    heads: Arc<Heads>,
    leases: LocalLeases,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    // Dropped with the store: ends the thread, which waits for a commit under way.
    flusher: Flusher,
}

impl EmbeddedStore {
    /// Opens the store in a directory, which is created when it is not there. [`StoreError::Unavailable`] names the
    /// directory when another process (or this one) has it open already or when it cannot be written.
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_with(directory, EmbeddedOptions::default()).await
    }

    /// [`EmbeddedStore::open`] with other options.
    pub async fn open_with(directory: &Path, options: EmbeddedOptions) -> Result<Self, StoreError> {
        let directory = directory.to_owned();
        let tables = Arc::new(blocking(move || Tables::open(&directory, options)).await?);
        let flusher = Flusher::start(&tables, options.flush_interval)?;
        Ok(Self {
            tables,
            heads: Arc::default(),
            leases: LocalLeases::default(),
            reads: Arc::new(Semaphore::new(CONCURRENT_READS_MAX)),
            writes: Arc::new(Semaphore::new(1)),
            flusher,
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Tables) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(&self.reads, job).await
    }

    /// Runs a job that commits without durability, and has the flusher make it durable. The job runs to its end even when
    /// the caller goes away, so a batch is never half written.
    async fn change<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Tables) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let dirty = self.flusher.dirty_mark();
        let job = move |tables: &Tables| {
            let result = job(tables);
            dirty.set();
            result
        };
        self.run(&self.writes, job).await
    }

    async fn run<T: Send + 'static>(
        &self,
        permits: &Arc<Semaphore>,
        job: impl FnOnce(&Tables) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = |_| StoreError::Unavailable("the store is closed".into());
        let permit = Arc::clone(permits).acquire_owned().await.map_err(closed)?;
        let tables = Arc::clone(&self.tables);
        blocking(move || {
            let result = job(&tables);
            drop(tables);
            drop(permit);
            result
        })
        .await
    }

    async fn put<R: Record>(&self, series: &SeriesKey, records: &[R]) -> Result<(), StoreError> {
        history::check_kind::<R>(series)?;
        let blocks: BTreeMap<BlockNumber, Vec<u8>> = packing::pack_blocks(&series.kind, records);
        let series = series.clone();
        self.change(move |tables| tables.merge_blocks(&series, blocks)).await
    }

    async fn range<R: Record>(
        &self,
        series: &SeriesKey,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<R>, StoreError> {
        history::check_kind::<R>(series)?;
        let series = series.clone();
        self.read(move |tables| tables.records(&series, from, until)).await
    }
}

/// Runs what blocks on a thread for that. redb gives up with a panic on some damage to its file, which must not end more
/// than the call.
async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(job).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => Err(StoreError::Corrupt("the embedded store's file is damaged".into())),
        Err(_) => Err(StoreError::Unavailable("the process is shutting down".into())),
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn open_writer(&self, shard: ShardId, now: Timestamp) -> Result<(Epoch, Revision), StoreError> {
        let heads = Arc::clone(&self.heads);
        let job = move |tables: &Tables| {
            let (epoch, revision) = tables.open_writer(shard, now)?;
            heads.announce(shard, epoch, revision);
            Ok((epoch, revision))
        };
        self.run(&self.writes, job).await
    }

    async fn acquire_lease(
        &self,
        shard: ShardId,
        holder: &str,
        life: Duration,
        now: Timestamp,
    ) -> Result<LeaseClaim, StoreError> {
        lease::check_claim(holder, life)?;
        if let Some(held) = self.leases.held_by_another(shard, holder) {
            return Ok(held);
        }
        let since = Instant::now();
        let (epoch, revision) = self.open_writer(shard, now).await?;
        Ok(self.leases.grant(Lease { shard, holder: holder.into(), epoch, revision, life, since }))
    }

    async fn renew_lease(&self, lease: &Lease) -> Result<Lease, StoreError> {
        self.leases.renew(lease)
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        self.leases.release(lease);
        Ok(())
    }

    async fn write(&self, shard: ShardId, epoch: Epoch, updates: Vec<Update>) -> Result<Revision, StoreError> {
        self.write_traced(shard, epoch, updates, None).await
    }

    async fn write_traced(
        &self,
        shard: ShardId,
        epoch: Epoch,
        updates: Vec<Update>,
        trace: Option<TraceContext>,
    ) -> Result<Revision, StoreError> {
        let heads = Arc::clone(&self.heads);
        let job = move |tables: &Tables| {
            let revision = tables.write(shard, epoch, updates, trace)?;
            heads.announce(shard, epoch, revision);
            Ok(revision)
        };
        self.change(job).await
    }

    async fn published(&self, _: ShardId, _: Epoch) -> Result<(), StoreError> {
        Ok(())
    }

    async fn bootstrap(&self, shard: ShardId) -> Result<Bootstrap, StoreError> {
        self.read(move |tables| tables.bootstrap(shard)).await
    }

    async fn tail(&self, shard: ShardId, epoch: Epoch, after: Revision, wait: Duration) -> Result<Tail, StoreError> {
        self.heads.tail(shard, wait, || self.read(move |tables| tables.tail(shard, epoch, after))).await
    }

    async fn put_candles(&self, series: &SeriesKey, candles: &[Candle]) -> Result<(), StoreError> {
        self.put(series, candles).await
    }

    async fn candles(&self, series: &SeriesKey, from: Timestamp, until: Timestamp) -> Result<Vec<Candle>, StoreError> {
        self.range(series, from, until).await
    }

    async fn put_points(&self, series: &SeriesKey, points: &[Point]) -> Result<(), StoreError> {
        self.put(series, points).await
    }

    async fn points(&self, series: &SeriesKey, from: Timestamp, until: Timestamp) -> Result<Vec<Point>, StoreError> {
        self.range(series, from, until).await
    }

    async fn series(&self) -> Result<Vec<SeriesInfo>, StoreError> {
        self.read(Tables::series).await
    }

    async fn trim_series(&self, series: &SeriesKey, before: Timestamp) -> Result<(), StoreError> {
        let series = series.clone();
        self.change(move |tables| tables.trim_series(&series, before)).await
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.run(&self.writes, Tables::commit_durably).await
    }
}
