//! The database's tables and every transaction on them. All of it blocks.

use std::collections::BTreeMap;
use std::path::Path;

use redb::backends::InMemoryBackend;
use redb::{
    Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};

use super::options::{DATABASE_FILE, EmbeddedOptions};
use crate::encoding;
use crate::error::StoreError;
use crate::history::{self, SeriesStats};
use crate::packing::{Block, BlockNumber, Record};
use crate::update::{Bootstrap, Entry, FeedLimits, SeriesInfo, TAIL_LEN_MAX, Tail, Update, is_older};
use crossmarket_domain::series::SeriesKey;
use crossmarket_domain::state::{Epoch, Key, Revision, State};
use crossmarket_domain::{ShardId, Timestamp, TraceContext};

/// (shard, key name) to the key's newest entry.
const LATEST: TableDefinition<(u16, &str), &[u8]> = TableDefinition::new("latest");
/// (shard, revision) to the entry.
const FEED: TableDefinition<(u16, u64), &[u8]> = TableDefinition::new("feed");
/// Shard to (epoch, newest revision, number of entries in the feed, bytes of them).
const META: TableDefinition<u16, (u64, u64, u64, u64)> = TableDefinition::new("meta");
/// (series name, block number) to the block.
const BLOCKS: TableDefinition<(&str, i64), &[u8]> = TableDefinition::new("blocks");
/// Series name to (count, first and last time in microseconds).
const SERIES: TableDefinition<&str, (u64, i64, i64)> = TableDefinition::new("series");
/// One row: the version of all of these.
const FORMAT: TableDefinition<&str, u32> = TableDefinition::new("format");

/// Version 1 had no asset ids.
const FORMAT_VERSION: u32 = 2;

/// The open database. Dropping it makes everything durable and closes it.
pub(super) struct Tables {
    database: Database,
    feed_limits: FeedLimits,
}

/// A shard's row in [`META`].
#[derive(Clone, Copy, Default)]
struct Head {
    epoch: Epoch,
    revision: Revision,
    feed_len: u64,
    feed_bytes: u64,
}

impl Tables {
    pub(super) fn open(directory: &Path, options: EmbeddedOptions) -> Result<Self, StoreError> {
        let unavailable = |what: &dyn std::fmt::Display| {
            StoreError::Unavailable(format!("embedded store in {}: {what}", directory.display()))
        };
        std::fs::create_dir_all(directory).map_err(|error| unavailable(&error))?;
        let database = Database::builder()
            .set_cache_size(options.cache_bytes)
            .create(directory.join(DATABASE_FILE))
            .map_err(|error| match error {
                DatabaseError::DatabaseAlreadyOpen => unavailable(&"another process has it open"),
                other => unavailable(&other),
            })?;
        let tables = Self { database, feed_limits: options.feed };
        tables.prepare().map_err(|error| match error {
            StoreError::Unavailable(text) => unavailable(&text),
            other => other,
        })?;
        Ok(tables)
    }

    pub(super) fn in_memory(options: EmbeddedOptions) -> Result<Self, StoreError> {
        let mut builder = Database::builder();
        let database = builder.set_cache_size(options.cache_bytes).create_with_backend(InMemoryBackend::new());
        let tables = Self { database: database.map_err(failed)?, feed_limits: options.feed };
        tables.prepare()?;
        Ok(tables)
    }

    /// Creates the tables that are missing, and refuses a database of another version.
    fn prepare(&self) -> Result<(), StoreError> {
        let transaction = self.begin_durable()?;
        {
            transaction.open_table(LATEST).map_err(failed)?;
            transaction.open_table(FEED).map_err(failed)?;
            transaction.open_table(META).map_err(failed)?;
            transaction.open_table(BLOCKS).map_err(failed)?;
            transaction.open_table(SERIES).map_err(failed)?;
            let mut format = transaction.open_table(FORMAT).map_err(failed)?;
            let version = format.get("version").map_err(failed)?.map(|version| version.value());
            match version {
                None => {
                    format.insert("version", FORMAT_VERSION).map_err(failed)?;
                }
                Some(FORMAT_VERSION) => {}
                Some(other) => {
                    let text = format!(
                        "its format is {other} and this version reads {FORMAT_VERSION}: use an empty data directory"
                    );
                    return Err(StoreError::Unavailable(text));
                }
            }
        }
        transaction.commit().map_err(failed)
    }

    /// Makes everything committed so far durable.
    pub(super) fn commit_durably(&self) -> Result<(), StoreError> {
        self.begin_durable()?.commit().map_err(failed)
    }

    pub(super) fn open_writer(&self, shard: ShardId, now: Timestamp) -> Result<(Epoch, Revision), StoreError> {
        let transaction = self.begin_durable()?;
        let head = {
            let mut meta = transaction.open_table(META).map_err(failed)?;
            let mut head = Head::read(&meta, shard)?;
            head.epoch = head.epoch.saturating_add(1).max(u64::try_from(now.as_millis()).unwrap_or(0));
            meta.insert(shard, head.row()).map_err(failed)?;
            head
        };
        transaction.commit().map_err(failed)?;
        Ok((head.epoch, head.revision))
    }

    pub(super) fn write(
        &self,
        shard: ShardId,
        epoch: Epoch,
        updates: Vec<Update>,
        trace: Option<TraceContext>,
    ) -> Result<Revision, StoreError> {
        let transaction = self.begin_buffered()?;
        let head = {
            let mut meta = transaction.open_table(META).map_err(failed)?;
            let head = Head::read(&meta, shard)?;
            if head.epoch != epoch || epoch == 0 {
                return Err(StoreError::Fenced { epoch, holder: head.epoch });
            }
            let mut batch = Batch {
                shard,
                head,
                latest: transaction.open_table(LATEST).map_err(failed)?,
                feed: transaction.open_table(FEED).map_err(failed)?,
            };
            for (key, state) in updates {
                batch.apply(key, state, trace)?;
            }
            batch.trim_feed(self.feed_limits)?;
            meta.insert(shard, batch.head.row()).map_err(failed)?;
            batch.head
        };
        transaction.commit().map_err(failed)?;
        Ok(head.revision)
    }

    pub(super) fn bootstrap(&self, shard: ShardId) -> Result<Bootstrap, StoreError> {
        let transaction = self.begin_read()?;
        let head = Head::read(&transaction.open_table(META).map_err(failed)?, shard)?;
        let latest = transaction.open_table(LATEST).map_err(failed)?;
        let mut entries = Vec::new();
        for row in latest.range((shard, "")..).map_err(failed)? {
            let (key, bytes) = row.map_err(failed)?;
            if key.value().0 != shard {
                break;
            }
            entries.push(encoding::decode_entry(bytes.value())?.0);
        }
        Ok(Bootstrap { epoch: head.epoch, revision: head.revision, entries, complete: true })
    }

    pub(super) fn tail(&self, shard: ShardId, epoch: Epoch, after: Revision) -> Result<Tail, StoreError> {
        let transaction = self.begin_read()?;
        let head = Head::read(&transaction.open_table(META).map_err(failed)?, shard)?;
        if epoch != head.epoch || after > head.revision || after < head.trimmed() {
            return Ok(Tail::Gap);
        }
        let feed = transaction.open_table(FEED).map_err(failed)?;
        let mut entries = Vec::new();
        for (row, revision) in
            feed.range((shard, after + 1)..=(shard, u64::MAX)).map_err(failed)?.take(TAIL_LEN_MAX).zip(after + 1..)
        {
            let (key, bytes) = row.map_err(failed)?;
            if key.value().1 != revision {
                return Err(StoreError::Corrupt(format!("the feed of shard {shard} has no revision {revision}")));
            }
            entries.push(encoding::decode_entry(bytes.value())?.0);
        }
        Ok(Tail::Entries(entries))
    }

    /// Adds the records of packed blocks to a series.
    pub(super) fn merge_blocks(
        &self,
        series: &SeriesKey,
        packed: BTreeMap<BlockNumber, Vec<u8>>,
    ) -> Result<(), StoreError> {
        let name = encoding::series_name(series);
        let transaction = self.begin_buffered()?;
        {
            let mut blocks = transaction.open_table(BLOCKS).map_err(failed)?;
            let mut table = transaction.open_table(SERIES).map_err(failed)?;
            let mut stats = read_stats(&table, &name)?;
            for (number, newer) in packed {
                let old = blocks.get((name.as_str(), number)).map_err(failed)?.map(|bytes| bytes.value().to_vec());
                let old = old.as_deref().map(|bytes| Block::read(&series.kind, number, bytes)).transpose()?;
                let merged = match &old {
                    Some(old) => old.merged_with(&Block::read(&series.kind, number, &newer)?)?,
                    None => newer,
                };
                stats = SeriesStats::after_merge(stats, old.as_ref(), &Block::read(&series.kind, number, &merged)?);
                blocks.insert((name.as_str(), number), merged.as_slice()).map_err(failed)?;
            }
            if let Some(stats) = stats {
                table.insert(name.as_str(), stats_row(stats)).map_err(failed)?;
            }
        }
        transaction.commit().map_err(failed)
    }

    /// A series' records with `from <= time < until`, oldest first.
    pub(super) fn records<R: Record>(
        &self,
        series: &SeriesKey,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<R>, StoreError> {
        let mut records = Vec::new();
        let Some(numbers) = history::blocks_between(&series.kind, from, until) else { return Ok(records) };
        let name = encoding::series_name(series);
        let transaction = self.begin_read()?;
        let blocks = transaction.open_table(BLOCKS).map_err(failed)?;
        let range = (name.as_str(), *numbers.start())..=(name.as_str(), *numbers.end());
        for row in blocks.range(range).map_err(failed)? {
            let (key, bytes) = row.map_err(failed)?;
            Block::read(&series.kind, key.value().1, bytes.value())?.unpack(from, until, &mut records)?;
        }
        Ok(records)
    }

    pub(super) fn series(&self) -> Result<Vec<SeriesInfo>, StoreError> {
        let transaction = self.begin_read()?;
        let table = transaction.open_table(SERIES).map_err(failed)?;
        let mut infos = Vec::new();
        for row in table.iter().map_err(failed)? {
            let (name, stats) = row.map_err(failed)?;
            infos.push(stats_of(stats.value()).info(encoding::parse_series(name.value())?));
        }
        infos.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(infos)
    }

    pub(super) fn trim_series(&self, series: &SeriesKey, before: Timestamp) -> Result<(), StoreError> {
        let name = encoding::series_name(series);
        let transaction = self.begin_buffered()?;
        {
            let mut table = transaction.open_table(SERIES).map_err(failed)?;
            let Some(stats) = read_stats(&table, &name)? else { return Ok(()) };
            let mut blocks = transaction.open_table(BLOCKS).map_err(failed)?;
            let mut dropped = 0;
            let mut first = None;
            while let Some((number, bytes)) = first_block(&blocks, &name)? {
                let block = Block::read(&series.kind, number, &bytes)?;
                if block.first().is_some_and(|time| time >= before) {
                    first = block.first();
                    break;
                }
                dropped += block.len();
                match block.trimmed(before)? {
                    Some(rest) => {
                        dropped -= Block::read(&series.kind, number, &rest)?.len();
                        blocks.insert((name.as_str(), number), rest.as_slice()).map_err(failed)?;
                    }
                    None => {
                        blocks.remove((name.as_str(), number)).map_err(failed)?;
                    }
                }
            }
            match stats.after_trim(dropped, first) {
                Some(stats) => table.insert(name.as_str(), stats_row(stats)).map_err(failed)?,
                None => table.remove(name.as_str()).map_err(failed)?,
            };
        }
        transaction.commit().map_err(failed)
    }

    fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        self.database.begin_read().map_err(failed)
    }

    /// A transaction that readers see once it is committed, and that a later durable one makes durable.
    fn begin_buffered(&self) -> Result<WriteTransaction, StoreError> {
        let mut transaction = self.database.begin_write().map_err(failed)?;
        transaction.set_durability(Durability::None).map_err(failed)?;
        Ok(transaction)
    }

    /// A transaction that is durable, with every one before it, once it is committed.
    fn begin_durable(&self) -> Result<WriteTransaction, StoreError> {
        let mut transaction = self.database.begin_write().map_err(failed)?;
        transaction.set_durability(Durability::Immediate).map_err(failed)?;
        // Without this, opening after a crash walks the whole file, which takes seconds when it is large.
        transaction.set_quick_repair(true);
        Ok(transaction)
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        if let Err(error) = self.commit_durably() {
            tracing::error!(%error, "what was written last is not durable");
        }
    }
}

impl Head {
    fn read(meta: &impl ReadableTable<u16, (u64, u64, u64, u64)>, shard: ShardId) -> Result<Self, StoreError> {
        let Some(row) = meta.get(shard).map_err(failed)? else { return Ok(Self::default()) };
        let (epoch, revision, feed_len, feed_bytes) = row.value();
        Ok(Self { epoch, revision, feed_len, feed_bytes })
    }

    fn row(self) -> (u64, u64, u64, u64) {
        (self.epoch, self.revision, self.feed_len, self.feed_bytes)
    }

    /// The newest revision that is no longer in the feed.
    fn trimmed(self) -> Revision {
        self.revision.saturating_sub(self.feed_len)
    }
}

/// The tables that a batch of updates changes, within its transaction.
struct Batch<'t> {
    shard: ShardId,
    head: Head,
    latest: Table<'t, (u16, &'static str), &'static [u8]>,
    feed: Table<'t, (u16, u64), &'static [u8]>,
}

impl Batch<'_> {
    /// Adds one update to the feed and the latest values, unless it is older than what is there.
    fn apply(&mut self, key: Key, state: Option<State>, trace: Option<TraceContext>) -> Result<(), StoreError> {
        let name = encoding::key_name(&key);
        let row = (self.shard, name.as_str());
        if let (Some(state), Some(stored)) = (&state, self.latest.get(row).map_err(failed)?)
            && let Some((received, epoch)) = encoding::decode_receive_time(stored.value())?
            && is_older(state, received, epoch == self.head.epoch)
        {
            return Ok(());
        }
        self.head.revision += 1;
        let entry = Entry { key, revision: self.head.revision, state, trace };
        let bytes = encoding::encode_entry(&entry, self.head.epoch);
        if entry.state.is_some() {
            self.latest.insert(row, bytes.as_slice()).map_err(failed)?;
        } else {
            self.latest.remove(row).map_err(failed)?;
        }
        self.feed.insert((self.shard, self.head.revision), bytes.as_slice()).map_err(failed)?;
        self.head.feed_len += 1;
        self.head.feed_bytes += bytes.len() as u64;
        Ok(())
    }

    fn trim_feed(&mut self, limits: FeedLimits) -> Result<(), StoreError> {
        while self.head.feed_len > limits.len_max || self.head.feed_bytes > limits.bytes_max {
            let oldest = self.feed.remove((self.shard, self.head.trimmed() + 1)).map_err(failed)?;
            let Some(oldest) = oldest else { break };
            self.head.feed_len -= 1;
            self.head.feed_bytes = self.head.feed_bytes.saturating_sub(oldest.value().len() as u64);
        }
        Ok(())
    }
}

fn first_block(
    blocks: &impl ReadableTable<(&'static str, i64), &'static [u8]>,
    name: &str,
) -> Result<Option<(BlockNumber, Vec<u8>)>, StoreError> {
    match blocks.range((name, i64::MIN)..=(name, i64::MAX)).map_err(failed)?.next() {
        Some(row) => {
            let (key, bytes) = row.map_err(failed)?;
            Ok(Some((key.value().1, bytes.value().to_vec())))
        }
        None => Ok(None),
    }
}

fn read_stats(
    table: &impl ReadableTable<&'static str, (u64, i64, i64)>,
    name: &str,
) -> Result<Option<SeriesStats>, StoreError> {
    Ok(table.get(name).map_err(failed)?.map(|row| stats_of(row.value())))
}

fn stats_of((count, first, last): (u64, i64, i64)) -> SeriesStats {
    SeriesStats { count, first: Timestamp::from_micros(first), last: Timestamp::from_micros(last) }
}

fn stats_row(stats: SeriesStats) -> (u64, i64, i64) {
    (stats.count, stats.first.as_micros(), stats.last.as_micros())
}

fn failed(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Corrupted(what) => StoreError::Corrupt(what),
        other => StoreError::Unavailable(format!("embedded store: {other}")),
    }
}
