//! A store in Redis or Valkey, shared by many processes: `redis://`, `rediss://`, `redis+sentinel://`, `redis+cluster://`.
//!
//! **Keys** (`keys`). A shard is a hash of its latest values with the position beside them, a stream of its changes with ids
//! `EPOCH-REVISION`, and a lease. Every write is one script call, on one hash tag, so it is whole on a Cluster as well.
//!
//! **Guarantees.** A batch is written once or not at all, even when its answer is lost (`writer`). Revisions are dense within what
//! a reader follows, and a reader that cannot be served without a gap gets [`Tail::Gap`] (`reader`). How much a crash of Redis
//! loses depends on its persistence settings; a writer notices the loss and starts a new epoch.
//!
//! **Outage.** Requests fail within their timeouts, and immediately while no server can be reached (`pool`). Nothing waits for Redis at start.

mod address;
mod connection;
mod keys;
mod pool;
mod reader;
mod route;
mod script;
mod series;
mod value;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::pool::Pool;
use self::reader::Readers;
use self::series::Histories;
use self::writer::Writers;
use crate::error::StoreError;
use crate::lease::{Lease, LeaseClaim};
use crate::port::Store;
use crate::update::{Bootstrap, FEED_LEN_MAX, FeedLimits, SeriesInfo, Tail, Update};
use crossmarket_domain::series::{Point, SeriesKey};
use crossmarket_domain::state::{Epoch, Revision};
use crossmarket_domain::{Candle, ShardId, Timestamp, TraceContext};

pub use address::{ALLOWED, Credentials, is_redis};

/// Most bytes of encoded entries in a shard's feed, by the mean length of the entries.
pub(crate) const REDIS_FEED_BYTES_MAX: u64 = 64 << 20;

/// How a store in Redis is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisOptions {
    /// The user and password, where they are not in the URL.
    pub credentials: Credentials,
    /// Certificates (PEM) to trust instead of the public ones, with `rediss`.
    pub certificates: Option<Vec<u8>>,
    /// How much of each shard's feed is kept. Redis drops whole nodes of some 100 entries, so there may be a few more.
    pub feed: FeedLimits,
    /// The number of shards that assets are divided into. A store divided into another number is refused: it is not read, and no lease is
    /// claimed while another process holds the first shard's. `None` skips the check.
    pub shard_count: Option<u16>,
}

impl Default for RedisOptions {
    /// No credentials, the public certificates, [`FEED_LEN_MAX`] entries, [`REDIS_FEED_BYTES_MAX`] bytes, any number of shards.
    fn default() -> Self {
        Self {
            credentials: Credentials::default(),
            certificates: None,
            feed: FeedLimits { len_max: FEED_LEN_MAX, bytes_max: REDIS_FEED_BYTES_MAX },
            shard_count: None,
        }
    }
}

/// A store in Redis. Opening it connects to nothing: the first request does.
pub struct RedisStore {
    writers: Writers,
    readers: Readers,
    histories: Histories,
}

impl RedisStore {
    /// The store at a URL; `None` when the URL is not [one](ALLOWED).
    pub fn new(url: &str, options: RedisOptions) -> Option<Self> {
        let address = address::Address::parse(url, &options.credentials)?;
        if url.starts_with("rediss") {
            // Fails when a provider is installed already, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let pool = Arc::new(Pool::new(address.endpoint, options.certificates));
        let keys = address.keys;
        Some(Self {
            writers: Writers::new(Arc::clone(&pool), keys.clone(), options.feed, options.shard_count),
            readers: Readers { pool: Arc::clone(&pool), keys: keys.clone(), shard_count: options.shard_count },
            histories: Histories { pool, keys },
        })
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn open_writer(&self, shard: ShardId, now: Timestamp) -> Result<(Epoch, Revision), StoreError> {
        self.writers.open(shard, now).await
    }

    async fn acquire_lease(
        &self,
        shard: ShardId,
        holder: &str,
        life: Duration,
        now: Timestamp,
    ) -> Result<LeaseClaim, StoreError> {
        self.writers.acquire(shard, holder, life, now).await
    }

    async fn renew_lease(&self, lease: &Lease) -> Result<Lease, StoreError> {
        self.writers.renew(lease, false).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        match self.writers.renew(lease, true).await {
            Ok(_) | Err(StoreError::LeaseLost { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn write(
        &self,
        shard: ShardId,
        epoch: Epoch,
        updates: Vec<Update>,
        trace: Option<TraceContext>,
    ) -> Result<Revision, StoreError> {
        self.writers.write(shard, epoch, updates, trace).await
    }

    async fn published(&self, shard: ShardId, epoch: Epoch) -> Result<(), StoreError> {
        self.writers.published(shard, epoch).await
    }

    async fn bootstrap(&self, shard: ShardId) -> Result<Bootstrap, StoreError> {
        self.readers.bootstrap(shard).await
    }

    async fn tail(&self, shard: ShardId, epoch: Epoch, after: Revision, wait: Duration) -> Result<Tail, StoreError> {
        self.readers.tail(shard, epoch, after, wait).await
    }

    async fn put_candles(&self, series: &SeriesKey, candles: &[Candle]) -> Result<(), StoreError> {
        self.histories.put(series, candles).await
    }

    async fn candles(&self, series: &SeriesKey, from: Timestamp, until: Timestamp) -> Result<Vec<Candle>, StoreError> {
        self.histories.range(series, from, until).await
    }

    async fn put_points(&self, series: &SeriesKey, points: &[Point]) -> Result<(), StoreError> {
        self.histories.put(series, points).await
    }

    async fn points(&self, series: &SeriesKey, from: Timestamp, until: Timestamp) -> Result<Vec<Point>, StoreError> {
        self.histories.range(series, from, until).await
    }

    async fn series(&self) -> Result<Vec<SeriesInfo>, StoreError> {
        self.histories.list().await
    }

    async fn trim_series(&self, series: &SeriesKey, before: Timestamp) -> Result<(), StoreError> {
        self.histories.trim(series, before).await
    }

    /// Nothing to do: what was written is with Redis, and durable as its own persistence has it.
    async fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
