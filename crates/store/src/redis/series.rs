//! Histories in Redis: packed blocks, read in one round trip, and changed only if nobody else has changed them in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;

use super::connection::RESPONSE_TIMEOUT;
use super::keys::{Keys, SHELVES, shelf, slot};
use super::pool::{Failure, Pool};
use super::script;
use super::value::{bytes_of, number_of, pairs_of, strange, text_of, texts_of};
use crate::encoding;
use crate::error::StoreError;
use crate::history::{self, SeriesStats};
use crate::packing::{self, Block, BlockNumber, Record};
use crate::update::SeriesInfo;
use crossmarket_domain::Timestamp;
use crossmarket_domain::series::{SeriesKey, SeriesKind};

/// Longest time to a range of a history.
const RANGE_TIMEOUT: Duration = Duration::from_secs(1);

/// Blocks that are asked for by number at most; a wider range asks for the whole series, which is one round trip as well.
const NUMBERED_BLOCKS_MAX: i64 = 64;

/// Blocks changed by one script call at most.
const CHANGED_BLOCKS_MAX: usize = 64;

/// Times that a change is built again after a concurrent one.
const CHANGES_MAX: usize = 32;

/// Reads and writes histories.
pub(super) struct Histories {
    pub pool: Arc<Pool>,
    pub keys: Keys,
}

/// A series' line in its shelf's list: `COUNT FIRST LAST VERSION`, times in microseconds.
#[derive(Clone, Copy)]
struct Line {
    stats: SeriesStats,
    version: u64,
}

/// Where a series is.
struct Shelved {
    name: String,
    blocks: String,
    series: String,
}

impl Histories {
    /// Adds records to a series.
    pub(super) async fn put<R: Record>(&self, series: &SeriesKey, records: &[R]) -> Result<(), StoreError> {
        history::check_kind::<R>(series)?;
        let shelved = self.shelved(series)?;
        let packed: Vec<(BlockNumber, Vec<u8>)> = packing::pack_blocks(&series.kind, records).into_iter().collect();
        for part in packed.chunks(CHANGED_BLOCKS_MAX) {
            let numbers: Vec<BlockNumber> = part.iter().map(|(number, _)| *number).collect();
            self.change(&shelved, &numbers, |line, stored| merge(&series.kind, line, stored, part)).await?;
        }
        Ok(())
    }

    /// A series' records with `from <= time < until`, oldest first.
    pub(super) async fn range<R: Record>(
        &self,
        series: &SeriesKey,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<R>, StoreError> {
        history::check_kind::<R>(series)?;
        let mut records = Vec::new();
        let Some(numbers) = history::blocks_between(&series.kind, from, until) else { return Ok(records) };
        for (number, bytes) in self.blocks(&self.shelved(series)?, numbers).await? {
            Block::read(&series.kind, number, &bytes)?.unpack(from, until, &mut records)?;
        }
        Ok(records)
    }

    /// Every series, by key.
    pub(super) async fn list(&self) -> Result<Vec<SeriesInfo>, StoreError> {
        let mut infos = Vec::new();
        for shelf in 0..SHELVES {
            let key = self.keys.series(shelf);
            let mut command = redis::cmd("HGETALL");
            command.arg(&key);
            for (name, line) in pairs_of(self.pool.read(slot(&key), &command, RANGE_TIMEOUT).await?)? {
                infos.push(Line::parse(&text_of(&line)?)?.stats.info(encoding::parse_series(&text_of(&name)?)?));
            }
        }
        infos.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(infos)
    }

    /// Drops what is older than a time, a number of blocks at a time from the oldest.
    pub(super) async fn trim(&self, series: &SeriesKey, before: Timestamp) -> Result<(), StoreError> {
        let shelved = self.shelved(series)?;
        while self.line(&shelved).await?.is_some_and(|line| line.stats.first < before) {
            let mut numbers = self.numbers(&shelved).await?;
            let due = numbers.partition_point(|number| *number <= packing::block_number(&series.kind, before));
            // One more, if there is one: it tells where the series then starts.
            numbers.truncate(due.min(CHANGED_BLOCKS_MAX) + 1);
            self.change(&shelved, &numbers, |line, stored| trim(&series.kind, line, stored, before)).await?;
        }
        Ok(())
    }

    /// The numbers of a series' blocks, in order.
    async fn numbers(&self, shelved: &Shelved) -> Result<Vec<BlockNumber>, StoreError> {
        let mut command = redis::cmd("HKEYS");
        command.arg(&shelved.blocks);
        let answer = self.pool.read(slot(&shelved.blocks), &command, RANGE_TIMEOUT).await?;
        let number = |text: &String| text.parse().map_err(|_| strange("a block's number"));
        let mut numbers = texts_of(answer)?.iter().map(number).collect::<Result<Vec<BlockNumber>, StoreError>>()?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn shelved(&self, series: &SeriesKey) -> Result<Shelved, StoreError> {
        let name = encoding::series_name(series);
        Ok(Shelved { blocks: self.keys.blocks(&name)?, series: self.keys.series(shelf(&name)), name })
    }

    async fn blocks(
        &self,
        shelved: &Shelved,
        numbers: std::ops::RangeInclusive<BlockNumber>,
    ) -> Result<BTreeMap<BlockNumber, Vec<u8>>, StoreError> {
        let few = numbers.end().checked_sub(*numbers.start()).is_some_and(|width| width < NUMBERED_BLOCKS_MAX);
        let mut command = redis::cmd(if few { "HMGET" } else { "HGETALL" });
        command.arg(&shelved.blocks);
        let mut found = BTreeMap::new();
        if few {
            numbers.clone().for_each(|number| {
                command.arg(number);
            });
            let answer = self.pool.read(slot(&shelved.blocks), &command, RANGE_TIMEOUT).await?;
            let Value::Array(blocks) = answer else { return Err(strange("a history")) };
            for (number, block) in numbers.zip(blocks).filter(|(_, block)| *block != Value::Nil) {
                found.insert(number, bytes_of(block)?);
            }
        } else {
            for (number, block) in pairs_of(self.pool.read(slot(&shelved.blocks), &command, RANGE_TIMEOUT).await?)? {
                let number = text_of(&number)?.parse().map_err(|_| strange("a block's number"))?;
                if numbers.contains(&number) {
                    found.insert(number, bytes_of(block)?);
                }
            }
        }
        Ok(found)
    }

    async fn line(&self, shelved: &Shelved) -> Result<Option<Line>, StoreError> {
        let mut command = redis::cmd("HGET");
        command.arg(&shelved.series).arg(&shelved.name);
        match self.pool.read(slot(&shelved.series), &command, RESPONSE_TIMEOUT).await? {
            Value::Nil => Ok(None),
            line => Line::parse(&text_of(&line)?).map(Some),
        }
    }

    /// Reads blocks, changes them and writes them back, until nobody else was faster. Changes are by time, so doing one twice is the same
    /// as once, and an attempt without an answer is simply repeated.
    async fn change(
        &self,
        shelved: &Shelved,
        numbers: &[BlockNumber],
        change: impl Fn(Option<Line>, &BTreeMap<BlockNumber, Vec<u8>>) -> Result<Option<Change>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut last_failure = None;
        for _ in 0..CHANGES_MAX {
            let line = self.line(shelved).await?;
            let mut stored = BTreeMap::new();
            if line.is_some() && !numbers.is_empty() {
                let mut command = redis::cmd("HMGET");
                command.arg(&shelved.blocks).arg(numbers);
                let answer = self.pool.read(slot(&shelved.blocks), &command, RANGE_TIMEOUT).await?;
                let Value::Array(blocks) = answer else { return Err(strange("a history")) };
                for (number, block) in numbers.iter().zip(blocks).filter(|(_, block)| *block != Value::Nil) {
                    stored.insert(*number, bytes_of(block)?);
                }
            }
            let Some(Change { stats, blocks }) = change(line, &stored)? else { return Ok(()) };
            let version = line.map_or(0, |line| line.version) + 1;
            let text = |line: Option<Line>| line.map(Line::text).unwrap_or_default();
            let mut call = script::SERIES.call(&[&shelved.blocks, &shelved.series]);
            call.arg(&shelved.name).arg(text(line)).arg(text(stats.map(|stats| Line { stats, version })));
            for (number, bytes) in &blocks {
                call.arg(*number).arg(bytes.as_slice());
            }
            match self.run(shelved, &call).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(failure @ Failure::Refused(_)) => return Err(failure.into_error()),
                Err(failure) => {
                    // A second attempt goes over a new connection; a third would find what the second found.
                    if last_failure.is_some() {
                        return Err(failure.into_error());
                    }
                    last_failure = Some(failure);
                }
            }
        }
        Err(StoreError::Unavailable(format!("series {:?} does not come to rest", shelved.name)))
    }

    async fn run(&self, shelved: &Shelved, call: &redis::Cmd) -> Result<bool, Failure> {
        let mut lent = self.pool.lend(slot(&shelved.series)).await?;
        let answer = script::SERIES.run(&mut lent, call, RESPONSE_TIMEOUT).await?;
        lent.give_back();
        Ok(answer == Value::Int(1))
    }
}

/// What becomes of a series: its new statistics, `None` when nothing is left, and its changed blocks, empty when one is dropped.
struct Change {
    stats: Option<SeriesStats>,
    blocks: Vec<(BlockNumber, Vec<u8>)>,
}

fn merge(
    kind: &SeriesKind,
    line: Option<Line>,
    stored: &BTreeMap<BlockNumber, Vec<u8>>,
    packed: &[(BlockNumber, Vec<u8>)],
) -> Result<Option<Change>, StoreError> {
    let mut stats = line.map(|line| line.stats);
    let mut blocks = Vec::with_capacity(packed.len());
    for (number, newer) in packed {
        let old = stored.get(number).map(|bytes| Block::read(kind, *number, bytes)).transpose()?;
        let merged = match &old {
            Some(old) => old.merged_with(&Block::read(kind, *number, newer)?)?,
            None => newer.clone(),
        };
        stats = SeriesStats::after_merge(stats, old.as_ref(), &Block::read(kind, *number, &merged)?);
        if stored.get(number) != Some(&merged) {
            blocks.push((*number, merged));
        }
    }
    Ok((!blocks.is_empty()).then_some(Change { stats, blocks }))
}

/// `None` when the series no longer starts where it did, since somebody put something before that.
fn trim(
    kind: &SeriesKind,
    line: Option<Line>,
    stored: &BTreeMap<BlockNumber, Vec<u8>>,
    before: Timestamp,
) -> Result<Option<Change>, StoreError> {
    let Some(line) = line else { return Ok(None) };
    if stored.keys().next() != Some(&packing::block_number(kind, line.stats.first)) {
        return Ok(None);
    }
    let (mut dropped, mut first, mut blocks) = (0, None, Vec::new());
    for (index, (number, bytes)) in stored.iter().enumerate() {
        let block = Block::read(kind, *number, bytes)?;
        if index >= CHANGED_BLOCKS_MAX || block.first().is_some_and(|time| time >= before) {
            first = block.first();
            break;
        }
        dropped += block.len();
        let rest = block.trimmed(before)?;
        if let Some(rest) = &rest {
            let rest = Block::read(kind, *number, rest)?;
            (dropped, first) = (dropped - rest.len(), rest.first());
        }
        blocks.push((*number, rest.unwrap_or_default()));
        if first.is_some() {
            break;
        }
    }
    Ok(Some(Change { stats: line.stats.after_trim(dropped, first), blocks }))
}

impl Line {
    fn text(self) -> String {
        let SeriesStats { count, first, last } = self.stats;
        format!("{count} {} {} {}", first.as_micros(), last.as_micros(), self.version)
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let parts: Vec<&str> = text.split(' ').collect();
        let [count, first, last, version] = parts.as_slice() else { return Err(strange("a series' line")) };
        let time = |text: &str| text.parse().map(Timestamp::from_micros).map_err(|_| strange("a series' line"));
        let stats = SeriesStats { count: number_of(count)?, first: time(first)?, last: time(last)? };
        Ok(Self { stats, version: number_of(version)? })
    }
}
