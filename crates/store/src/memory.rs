//! A store in this process's memory, gone when it ends: `memory:`.
//!
//! States are kept encoded, shared by the latest values and the feed, since an encoded state is a fraction of a decoded one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::heads::Heads;
use super::history::{self, SeriesStats};
use super::lease::{self, LocalLeases};
use super::packing::{self, Block, BlockNumber, Record};
use super::{
    Bootstrap, Entry, FEED_LEN_MAX, FeedLimits, Lease, LeaseClaim, SeriesInfo, ShardId, Store, StoreError,
    TAIL_LEN_MAX, Tail, Update, encoding, is_older,
};
use crossmarket_domain::series::{Point, SeriesKey};
use crossmarket_domain::state::{Epoch, Key, Revision, State};
use crossmarket_domain::{Candle, Timestamp, TraceContext};

/// Most bytes of encoded entries in a shard's feed: readers in this process are milliseconds behind, and memory is dear.
pub const MEMORY_FEED_BYTES_MAX: u64 = 16 << 20;

/// Everything in memory. Nothing is durable and [`Store::flush`] does nothing.
pub struct MemoryStore {
    limits: FeedLimits,
    contents: Mutex<Contents>,
    heads: Heads,
    leases: LocalLeases,
}

#[derive(Default)]
struct Contents {
    shards: HashMap<ShardId, Shard>,
    series: BTreeMap<SeriesKey, Series>,
}

#[derive(Default)]
struct Shard {
    epoch: Epoch,
    revision: Revision,
    latest: BTreeMap<Key, Latest>,
    /// Encoded entries, dense; the last one is of `revision`.
    feed: VecDeque<Arc<[u8]>>,
    feed_bytes: u64,
}

struct Latest {
    receive_time: Timestamp,
    epoch: Epoch,
    entry: Arc<[u8]>,
}

struct Series {
    stats: SeriesStats,
    blocks: BTreeMap<BlockNumber, Vec<u8>>,
}

impl MemoryStore {
    /// An empty store whose feeds keep [`FEED_LEN_MAX`] entries and [`MEMORY_FEED_BYTES_MAX`] bytes.
    pub fn new() -> Self {
        Self::with_limits(FeedLimits { len_max: FEED_LEN_MAX, bytes_max: MEMORY_FEED_BYTES_MAX })
    }

    /// An empty store with other limits.
    pub fn with_limits(limits: FeedLimits) -> Self {
        Self { limits, contents: Mutex::default(), heads: Heads::default(), leases: LocalLeases::default() }
    }

    /// Every change to the contents is complete before anything can panic, so a poisoned lock is as good as another.
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_tail(&self, shard: ShardId, epoch: Epoch, after: Revision) -> Result<Tail, StoreError> {
        let found: Vec<Arc<[u8]>> = {
            let contents = self.contents();
            let Some(shard) = contents.shards.get(&shard) else {
                return Ok(if epoch == 0 && after == 0 { Tail::Entries(Vec::new()) } else { Tail::Gap });
            };
            let trimmed = shard.revision.saturating_sub(shard.feed.len() as u64);
            if epoch != shard.epoch || after > shard.revision || after < trimmed {
                return Ok(Tail::Gap);
            }
            shard.feed.iter().skip((after - trimmed) as usize).take(TAIL_LEN_MAX).cloned().collect()
        };
        Ok(Tail::Entries(decode_all(&found)?))
    }

    fn put<R: Record>(&self, key: &SeriesKey, records: &[R]) -> Result<(), StoreError> {
        history::check_kind::<R>(key)?;
        let blocks = packing::pack_blocks(&key.kind, records);
        let mut contents = self.contents();
        for (number, packed) in blocks {
            let newer = Block::read(&key.kind, number, &packed)?;
            let (stats, old) = match contents.series.get(key) {
                Some(series) => (Some(series.stats), series.blocks.get(&number)),
                None => (None, None),
            };
            let old = old.map(|bytes| Block::read(&key.kind, number, bytes)).transpose()?;
            let merged = old.as_ref().map(|old| old.merged_with(&newer)).transpose()?.unwrap_or_else(|| packed.clone());
            let Some(stats) = SeriesStats::after_merge(stats, old.as_ref(), &Block::read(&key.kind, number, &merged)?)
            else {
                continue;
            };
            let series =
                contents.series.entry(key.clone()).or_insert_with(|| Series { stats, blocks: BTreeMap::new() });
            series.stats = stats;
            series.blocks.insert(number, merged);
        }
        Ok(())
    }

    fn range<R: Record>(&self, key: &SeriesKey, from: Timestamp, until: Timestamp) -> Result<Vec<R>, StoreError> {
        history::check_kind::<R>(key)?;
        let mut records = Vec::new();
        let contents = self.contents();
        if let Some(series) = contents.series.get(key)
            && let Some(numbers) = history::blocks_between(&key.kind, from, until)
        {
            for (&number, bytes) in series.blocks.range(numbers) {
                Block::read(&key.kind, number, bytes)?.unpack(from, until, &mut records)?;
            }
        }
        Ok(records)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Shard {
    /// Adds one update to the feed and the latest values, unless it is older than what is there.
    fn apply(&mut self, key: Key, state: Option<State>, trace: Option<TraceContext>) {
        let receive_time = state.as_ref().map(|state| state.receive_time);
        if let (Some(latest), Some(state)) = (self.latest.get(&key), &state)
            && is_older(state, latest.receive_time, latest.epoch == self.epoch)
        {
            return;
        }
        self.revision += 1;
        let entry = Entry { key, revision: self.revision, state, trace };
        let bytes: Arc<[u8]> = encoding::encode_entry(&entry, self.epoch).into();
        match receive_time {
            Some(receive_time) => {
                self.latest.insert(entry.key, Latest { receive_time, epoch: self.epoch, entry: Arc::clone(&bytes) });
            }
            None => {
                self.latest.remove(&entry.key);
            }
        }
        self.feed_bytes += bytes.len() as u64;
        self.feed.push_back(bytes);
    }

    fn trim(&mut self, limits: FeedLimits) {
        while self.feed.len() as u64 > limits.len_max || self.feed_bytes > limits.bytes_max {
            let Some(oldest) = self.feed.pop_front() else { break };
            self.feed_bytes -= oldest.len() as u64;
        }
    }
}

fn decode_all(entries: &[Arc<[u8]>]) -> Result<Vec<Entry>, StoreError> {
    entries.iter().map(|bytes| Ok(encoding::decode_entry(bytes)?.0)).collect()
}

#[async_trait]
impl Store for MemoryStore {
    async fn open_writer(&self, shard: ShardId, now: Timestamp) -> Result<(Epoch, Revision), StoreError> {
        let (epoch, revision) = {
            let mut contents = self.contents();
            let shard = contents.shards.entry(shard).or_default();
            shard.epoch = (shard.epoch + 1).max(u64::try_from(now.as_millis()).unwrap_or(0));
            (shard.epoch, shard.revision)
        };
        self.heads.announce(shard, epoch, revision);
        Ok((epoch, revision))
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
        let revision = {
            let mut contents = self.contents();
            let holder = contents.shards.get(&shard).map_or(0, |shard| shard.epoch);
            let fenced = StoreError::Fenced { epoch, holder };
            let shard = contents.shards.get_mut(&shard).filter(|shard| shard.epoch == epoch).ok_or(fenced)?;
            updates.into_iter().for_each(|(key, state)| shard.apply(key, state, trace));
            shard.trim(self.limits);
            shard.revision
        };
        self.heads.announce(shard, epoch, revision);
        Ok(revision)
    }

    async fn published(&self, _: ShardId, _: Epoch) -> Result<(), StoreError> {
        Ok(())
    }

    async fn bootstrap(&self, shard: ShardId) -> Result<Bootstrap, StoreError> {
        let (epoch, revision, latest) = {
            let contents = self.contents();
            let Some(shard) = contents.shards.get(&shard) else {
                return Ok(Bootstrap { epoch: 0, revision: 0, entries: Vec::new(), complete: true });
            };
            let latest: Vec<_> = shard.latest.values().map(|latest| Arc::clone(&latest.entry)).collect();
            (shard.epoch, shard.revision, latest)
        };
        Ok(Bootstrap { epoch, revision, entries: decode_all(&latest)?, complete: true })
    }

    async fn tail(&self, shard: ShardId, epoch: Epoch, after: Revision, wait: Duration) -> Result<Tail, StoreError> {
        self.heads.tail(shard, wait, || async { self.read_tail(shard, epoch, after) }).await
    }

    async fn put_candles(&self, series: &SeriesKey, candles: &[Candle]) -> Result<(), StoreError> {
        self.put(series, candles)
    }

    async fn candles(&self, series: &SeriesKey, from: Timestamp, until: Timestamp) -> Result<Vec<Candle>, StoreError> {
        self.range(series, from, until)
    }

    async fn put_points(&self, series: &SeriesKey, points: &[Point]) -> Result<(), StoreError> {
        self.put(series, points)
    }

    async fn points(&self, series: &SeriesKey, from: Timestamp, until: Timestamp) -> Result<Vec<Point>, StoreError> {
        self.range(series, from, until)
    }

    async fn series(&self) -> Result<Vec<SeriesInfo>, StoreError> {
        Ok(self.contents().series.iter().map(|(key, series)| series.stats.info(key.clone())).collect())
    }

    async fn trim_series(&self, key: &SeriesKey, before: Timestamp) -> Result<(), StoreError> {
        let mut contents = self.contents();
        let Some(series) = contents.series.get_mut(key) else { return Ok(()) };
        let mut dropped = 0;
        while let Some(oldest) = series.blocks.first_entry() {
            let number = *oldest.key();
            let block = Block::read(&key.kind, number, oldest.get())?;
            let (len, first) = (block.len(), block.first());
            if first.is_some_and(|first| first >= before) {
                break;
            }
            let rest = block.trimmed(before)?;
            oldest.remove();
            dropped += len;
            if let Some(rest) = rest {
                dropped -= Block::read(&key.kind, number, &rest)?.len();
                series.blocks.insert(number, rest);
                break;
            }
        }
        let first = match series.blocks.first_key_value() {
            Some((&number, bytes)) => Block::read(&key.kind, number, bytes)?.first(),
            None => None,
        };
        match series.stats.after_trim(dropped, first) {
            Some(stats) => series.stats = stats,
            None => {
                contents.series.remove(key);
            }
        }
        Ok(())
    }

    async fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
