//! Reading a shard: everything at one revision, and what comes after.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::connection::RESPONSE_TIMEOUT;
use super::keys::{Keys, slot};
use super::pool::Pool;
use super::value::{self, bytes_of, head_of, number_of, pairs_of, strange, text_of};
use crate::error::StoreError;
use crate::update::{Bootstrap, Entry, TAIL_LEN_MAX, Tail};
use crossmarket_domain::ShardId;
use crossmarket_domain::state::{Epoch, Revision};

/// Longest time to all of a shard.
const BOOTSTRAP_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest `XREAD BLOCK`: how often a waiting reader checks the shard's position, and how soon it notices a dead connection.
const BLOCK_MAX: Duration = Duration::from_secs(1);

/// Extra time for a blocking answer before the connection counts as dead.
const BLOCK_MARGIN: Duration = Duration::from_millis(500);

/// Up to this many entries are decoded on the runtime; more go to a blocking thread.
const DECODED_HERE_MAX: usize = 256;

/// Reads shards.
pub(super) struct Readers {
    pub pool: Arc<Pool>,
    pub keys: Keys,
    /// The number of shards that this process uses.
    pub shard_count: Option<u16>,
}

/// An entry's id in the feed.
type FeedId = (Epoch, Revision);

/// One entry of the stream.
enum Fed {
    Opened,
    Entry(Vec<u8>),
}

impl Readers {
    /// All of a shard. The position is a part of the same hash, so one `HGETALL` has both at one moment.
    pub(super) async fn bootstrap(&self, shard: ShardId) -> Result<Bootstrap, StoreError> {
        let latest = self.keys.latest(shard);
        let mut command = redis::cmd("HGETALL");
        command.arg(&latest);
        let answer = self.pool.read(slot(&latest), &command, BOOTSTRAP_TIMEOUT).await?;
        let (pairs, shard_count) = (pairs_of(answer)?, self.shard_count);
        if pairs.len() <= DECODED_HERE_MAX {
            return bootstrap_of(pairs, shard_count);
        }
        let decoded = tokio::task::spawn_blocking(move || bootstrap_of(pairs, shard_count)).await;
        decoded.unwrap_or_else(|_| Err(StoreError::Unavailable("the process is shutting down".into())))
    }

    /// What comes after a revision. `XREAD` skips silently what was trimmed; revisions are dense, so counting tells.
    pub(super) async fn tail(
        &self,
        shard: ShardId,
        epoch: Epoch,
        after: Revision,
        wait: Duration,
    ) -> Result<Tail, StoreError> {
        let feed = self.keys.feed(shard);
        let started = Instant::now();
        loop {
            let left = wait.saturating_sub(started.elapsed()).min(BLOCK_MAX);
            if left.is_zero() {
                return Ok(self.look(shard, epoch, after).await?.unwrap_or(Tail::Entries(Vec::new())));
            }
            let mut command = redis::cmd("XREAD");
            // A block of 0 would last indefinitely.
            command.arg("COUNT").arg(TAIL_LEN_MAX).arg("BLOCK").arg((left.as_millis() as u64).max(1));
            command.arg("STREAMS").arg(&feed).arg(format!("{epoch}-{after}"));
            let fed = fed_of(self.pool.read(slot(&feed), &command, left + BLOCK_MARGIN).await?)?;
            if !fed.is_empty() {
                return tail_of(fed, epoch, after);
            }
            if let Some(tail) = self.look(shard, epoch, after).await? {
                return Ok(tail);
            }
        }
    }

    /// What there is now; `None` when the position is the newest. The head is asked for first: what it tells of is then in the feed, or gone.
    async fn look(&self, shard: ShardId, epoch: Epoch, after: Revision) -> Result<Option<Tail>, StoreError> {
        let (latest, feed) = (self.keys.latest(shard), self.keys.feed(shard));
        let mut command = redis::cmd("HMGET");
        command.arg(&latest).arg("#epoch").arg("#revision");
        let head = head_of(self.pool.read(slot(&latest), &command, RESPONSE_TIMEOUT).await?)?;
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(TAIL_LEN_MAX).arg("STREAMS").arg(&feed).arg(format!("{epoch}-{after}"));
        let fed = fed_of(self.pool.read(slot(&feed), &command, RESPONSE_TIMEOUT).await?)?;
        match fed.is_empty() {
            false => tail_of(fed, epoch, after).map(Some),
            true => Ok((head != (epoch, after)).then_some(Tail::Gap)),
        }
    }
}

fn bootstrap_of(pairs: Vec<(Value, Value)>, shard_count: Option<u16>) -> Result<Bootstrap, StoreError> {
    let entries = Vec::with_capacity(pairs.len());
    let mut bootstrap = Bootstrap { epoch: 0, revision: 0, entries, complete: true };
    for (name, stored) in pairs {
        let name = bytes_of(name)?;
        match name.as_slice() {
            b"#epoch" => bootstrap.epoch = number_of(&text_of(&stored)?)?,
            b"#revision" => bootstrap.revision = number_of(&text_of(&stored)?)?,
            b"#filling" => bootstrap.complete = false,
            b"#shards" => check_shard_count(shard_count, &stored)?,
            // What a later version may add to the head.
            [b'#', ..] => {}
            _ => bootstrap.entries.push(value::decode(&bytes_of(stored)?)?),
        }
    }
    bootstrap.entries.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(bootstrap)
}

/// Refuses a store that is divided into another number of shards than this process goes by.
pub(super) fn check_shard_count(here: Option<u16>, stored: &Value) -> Result<(), StoreError> {
    let there = number_of(&text_of(stored)?)?;
    match here {
        Some(here) if u64::from(here) != there => {
            Err(StoreError::Divided { here, there: u16::try_from(there).unwrap_or(u16::MAX) })
        }
        _ => Ok(()),
    }
}

/// Reads the answer to `XREAD` of one stream: id by id what it holds.
fn fed_of(answer: Value) -> Result<Vec<(FeedId, Fed)>, StoreError> {
    let rows = match answer {
        Value::Nil => return Ok(Vec::new()),
        // RESP2 has a list of pairs where RESP3 has a map.
        Value::Array(mut streams) if streams.len() == 1 => match streams.pop() {
            Some(Value::Array(mut pair)) if pair.len() == 2 => pair.pop().unwrap_or_default(),
            _ => return Err(strange("a feed")),
        },
        Value::Map(mut streams) if streams.len() == 1 => streams.pop().map(|(_, rows)| rows).unwrap_or_default(),
        _ => return Err(strange("a feed")),
    };
    let Value::Array(rows) = rows else { return Err(strange("a feed")) };
    rows.into_iter().map(row_of).collect()
}

fn row_of(row: Value) -> Result<(FeedId, Fed), StoreError> {
    let Value::Array(mut row) = row else { return Err(strange("a feed")) };
    let (Some(fields), Some(id)) = (row.pop(), row.pop()) else { return Err(strange("a feed")) };
    let id = text_of(&id)?;
    let (epoch, revision) = id.split_once('-').ok_or_else(|| strange("a feed's id"))?;
    let position = (number_of(epoch)?, number_of(revision)?);
    for (name, stored) in pairs_of(fields)? {
        match bytes_of(name)?.as_slice() {
            b"e" => return Ok((position, Fed::Entry(bytes_of(stored)?))),
            b"opened" => return Ok((position, Fed::Opened)),
            _ => {}
        }
    }
    Err(strange("a feed's entry"))
}

fn tail_of(fed: Vec<(FeedId, Fed)>, epoch: Epoch, after: Revision) -> Result<Tail, StoreError> {
    let mut entries: Vec<Entry> = Vec::with_capacity(fed.len());
    for (position, fed) in fed {
        let revision = after.saturating_add(1 + entries.len() as u64);
        match fed {
            Fed::Entry(bytes) if position == (epoch, revision) => entries.push(value::decode(&bytes)?),
            // Return what came in order; the next call reports the gap after it.
            _ if !entries.is_empty() => break,
            _ => return Ok(Tail::Gap),
        }
    }
    Ok(Tail::Entries(entries))
}
