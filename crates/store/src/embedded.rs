//! A store in a file of this machine, for one process at a time: `embedded:DIR`. The same in memory, gone with the process: `memory:`.
//!
//! **What a crash loses.** A write is committed in memory, where every reader sees it, and made durable together with the others of its interval
//! ([`EmbeddedOptions::flush_interval`], 100 ms) by one synchronous commit. After `kill -9` or a power cut at any moment the store holds everything
//! written before the last durable commit began, in whole batches, and loses at most what was written during the last interval and that commit.
//! [`Store::flush`] makes everything durable before it returns, [`Store::open_writer`] its new epoch, and dropping the store the rest. A writer that
//! reopens gets a larger epoch, so a reader that saw a lost entry bootstraps again.
//!
//! The file is a redb database. redb blocks, so it runs on the runtime's blocking threads: one for writes, a few for reads, and a separate thread for
//! the durable commits.

mod flusher;
mod options;
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
use crate::error::StoreError;
use crate::feed_notifier::FeedNotifier;
use crate::history;
use crate::lease::{self, Lease, LeaseClaim, LocalLeases};
use crate::packing::{self, BlockNumber, Record};
use crate::port::Store;
use crate::update::{Bootstrap, SeriesInfo, Tail, Update};
use crossmarket_domain::series::{Point, SeriesKey};
use crossmarket_domain::state::{Epoch, Revision};
use crossmarket_domain::{Candle, ShardId, Timestamp, TraceContext};

pub use options::{DATABASE_FILE, EmbeddedOptions};

/// Reads that may run at the same time; more wait.
const CONCURRENT_READS_MAX: usize = 4;

/// A store in a directory. See the [module](self) for what is durable when.
pub struct EmbeddedStore {
    tables: Arc<Tables>,
    feeds: Arc<FeedNotifier>,
    leases: LocalLeases,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    // Dropped with the store: ends the thread, which waits for a commit under way.
    flusher: Flusher,
}

impl EmbeddedStore {
    /// Opens the store in a directory, and creates the directory if needed. [`StoreError::Unavailable`] names the directory when a process has it
    /// open already, or when it cannot be written.
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_with(directory, EmbeddedOptions::default()).await
    }

    /// [`EmbeddedStore::open`] with other options.
    pub async fn open_with(directory: &Path, options: EmbeddedOptions) -> Result<Self, StoreError> {
        let directory = directory.to_owned();
        Self::of(blocking(move || Tables::open(&directory, options)).await?, options)
    }

    /// An empty store in this process's memory.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::in_memory_with(EmbeddedOptions::in_memory())
    }

    /// [`EmbeddedStore::in_memory`] with other options. "Durable" commits free the pages of the ones before.
    pub fn in_memory_with(options: EmbeddedOptions) -> Result<Self, StoreError> {
        Self::of(Tables::in_memory(options)?, options)
    }

    fn of(tables: Tables, options: EmbeddedOptions) -> Result<Self, StoreError> {
        let tables = Arc::new(tables);
        let flusher = Flusher::start(&tables, options.flush_interval)?;
        Ok(Self {
            tables,
            feeds: Arc::default(),
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

    /// Runs a job that commits without durability; the flusher makes it durable. The job finishes even when the caller goes away, so a batch is
    /// never half written.
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

/// Runs a job on a blocking thread. redb panics on some damage to its file, which must only fail the call.
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
        let feeds = Arc::clone(&self.feeds);
        let job = move |tables: &Tables| {
            let (epoch, revision) = tables.open_writer(shard, now)?;
            feeds.announce(shard, epoch, revision);
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

    async fn write(
        &self,
        shard: ShardId,
        epoch: Epoch,
        updates: Vec<Update>,
        trace: Option<TraceContext>,
    ) -> Result<Revision, StoreError> {
        let feeds = Arc::clone(&self.feeds);
        let job = move |tables: &Tables| {
            let revision = tables.write(shard, epoch, updates, trace)?;
            feeds.announce(shard, epoch, revision);
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
        self.feeds.tail(shard, wait, || self.read(move |tables| tables.tail(shard, epoch, after))).await
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
