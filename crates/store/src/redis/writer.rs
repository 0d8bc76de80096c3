//! Writing a shard: opening, leases, and batches that are written once, even when their answers are lost.
//!
//! A batch carries the newest revision that the writer knows of, and the script writes it only there. So a batch that arrives twice, or
//! late, is written once or not at all. When no answer came the writer cannot know where the store is; it asks again, and the store's `#batch`, the
//! token of the last batch, tells which of the writer's own batches got through. A store that is anywhere else (empty, restarted, another server
//! after a failover) has lost something that readers may have seen: that is [`StoreError::Lost`], and the way on is a new epoch.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::Rng;
use redis::{Cmd, Value};
use tokio::time::Instant;

use super::connection::{Identity, RESPONSE_TIMEOUT};
use super::keys::{Keys, SHARD_KEPT_SECONDS, slot};
use super::pool::{Failure, Pool};
use super::reader::check_shard_count;
use super::value::{number_of, text_of, texts_of};
use super::{script, value};
use crate::encoding;
use crate::error::StoreError;
use crate::lease::{self, Lease, LeaseClaim};
use crate::update::{Entry, FeedLimits, Update};
use crossmarket_domain::ShardId;
use crossmarket_domain::state::{Epoch, Key, Revision, State};
use crossmarket_domain::{Timestamp, TraceContext};

/// Attempts at one batch: the second goes over a new connection.
const ATTEMPTS_MAX: usize = 3;

/// Longest pause between two attempts.
const ATTEMPT_PAUSE_MAX: Duration = Duration::from_millis(20);

/// Times that a batch is built again, because the store left out older updates or had an earlier batch.
const REMADE_MAX: usize = 8;

/// How much the newest batch counts in the mean length of an entry.
const MEAN_WEIGHT: f64 = 0.2;

/// The writers of a store, at most one for each shard number.
pub(super) struct Writers {
    pool: Arc<Pool>,
    keys: Keys,
    feed: FeedLimits,
    /// The number of shards that this process uses.
    shard_count: Option<u16>,
    /// Tells this process' batches from another's.
    instance: u64,
    writers: Mutex<HashMap<ShardId, Arc<tokio::sync::Mutex<Writer>>>>,
}

/// What is known of a shard by the one who writes it. Its lock is held during a write, so one is under way at a time.
#[derive(Default)]
struct Writer {
    epoch: Epoch,
    /// `None` when the epoch was opened elsewhere and the store has not been asked yet.
    revision: Option<Revision>,
    identity: Option<Identity>,
    batch_number: u64,
    /// The last batch that is known to be written, or known not to be.
    settled_number: u64,
    entry_len_mean: f64,
    /// When the stored state of a key was received, for every key that this epoch has written: nobody else writes, so the script need not look.
    received: HashMap<String, Timestamp>,
}

/// One update on its way.
struct Item {
    key: Key,
    name: String,
    state: Option<State>,
    guard: Guard,
}

/// When an update counts.
enum Guard {
    /// It removes, which always counts.
    Removal,
    /// Its key was removed earlier in the batch.
    Always,
    /// It is not older than what this writer has stored.
    Known,
    /// Not when what is stored was received later.
    NotOlder(Timestamp),
}

impl Writers {
    pub(super) fn new(pool: Arc<Pool>, keys: Keys, feed: FeedLimits, shard_count: Option<u16>) -> Self {
        Self { pool, keys, feed, shard_count, instance: rand::rng().random(), writers: Mutex::default() }
    }

    fn writer(&self, shard: ShardId) -> Arc<tokio::sync::Mutex<Writer>> {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(writers.entry(shard).or_default())
    }

    /// Opens the shard without a lease.
    pub(super) async fn open(&self, shard: ShardId, now: Timestamp) -> Result<(Epoch, Revision), StoreError> {
        self.check_division(shard, "").await?;
        match self.claim(shard, "", Duration::ZERO, now).await? {
            LeaseClaim::Granted(lease) => Ok((lease.epoch, lease.revision)),
            LeaseClaim::Held { holder, .. } => Err(StoreError::Unavailable(format!("held by {holder}"))),
        }
    }

    /// Opens the shard with its lease, unless somebody else holds it. An attempt without an answer is repeated: at worst the epoch rises twice.
    pub(super) async fn acquire(
        &self,
        shard: ShardId,
        holder: &str,
        life: Duration,
        now: Timestamp,
    ) -> Result<LeaseClaim, StoreError> {
        lease::check_claim(holder, life)?;
        self.check_division(shard, holder).await?;
        self.claim(shard, holder, life, now).await
    }

    /// Refuses to claim a shard of a store that is divided otherwise. Whoever holds the first shard has divided it; when nobody does, the next
    /// holder of the first shard may divide it again, and the other shards wait for that.
    async fn check_division(&self, shard: ShardId, holder: &str) -> Result<(), StoreError> {
        if self.shard_count.is_none() {
            return Ok(());
        }
        let (latest, lease) = (self.keys.latest(0), self.keys.lease(0));
        if shard == 0 {
            let mut command = redis::cmd("GET");
            command.arg(&lease);
            let held = self.pool.read(slot(&lease), &command, RESPONSE_TIMEOUT).await?;
            let by_another = !matches!(held, Value::Nil)
                && text_of(&held)?.split_once(' ').is_some_and(|(_, held_by)| held_by != holder);
            if !by_another {
                return Ok(());
            }
        }
        let mut command = redis::cmd("HGET");
        command.arg(&latest).arg("#shards");
        match self.pool.read(slot(&latest), &command, RESPONSE_TIMEOUT).await? {
            Value::Nil => Ok(()),
            stored => check_shard_count(self.shard_count, &stored),
        }
    }

    /// Marks a shard as complete. Repeating it changes nothing.
    pub(super) async fn published(&self, shard: ShardId, epoch: Epoch) -> Result<(), StoreError> {
        let (latest, feed) = (self.keys.latest(shard), self.keys.feed(shard));
        let mut call = script::PUBLISHED.call(&[&latest, &feed]);
        call.arg(epoch).arg(SHARD_KEPT_SECONDS);
        let mut lent = self.pool.lend(slot(&latest)).await.map_err(Failure::into_error)?;
        script::PUBLISHED.run(&mut lent, &call, RESPONSE_TIMEOUT).await.map_err(Failure::into_error)?;
        lent.give_back();
        Ok(())
    }

    async fn claim(
        &self,
        shard: ShardId,
        holder: &str,
        life: Duration,
        now: Timestamp,
    ) -> Result<LeaseClaim, StoreError> {
        let writer = self.writer(shard);
        let mut writer = writer.lock().await;
        let keys = [self.keys.latest(shard), self.keys.feed(shard), self.keys.lease(shard)];
        let mut call = script::OPEN.call(&keys);
        call.arg(now.as_millis().max(0)).arg(SHARD_KEPT_SECONDS).arg(holder).arg(life.as_millis() as u64);
        call.arg(self.shard_count.map_or_else(String::new, |count| count.to_string()));
        let mut attempt = 1;
        loop {
            let since = Instant::now();
            let failure = match self.pool.lend(slot(&keys[0])).await {
                Ok(mut lent) => match script::OPEN.run(&mut lent, &call, RESPONSE_TIMEOUT).await {
                    Ok(answer) => {
                        let identity = lent.identity().clone();
                        lent.give_back();
                        let answer = texts_of(answer)?;
                        let part = |index: usize| answer.get(index).map_or("", String::as_str);
                        if part(0) == "held" {
                            let remaining = Duration::from_millis(part(2).parse().unwrap_or(0));
                            return Ok(LeaseClaim::Held { holder: part(1).into(), remaining });
                        }
                        let (epoch, revision) = (number_of(part(1))?, number_of(part(2))?);
                        *writer = Writer {
                            epoch,
                            revision: Some(revision),
                            identity: Some(identity),
                            batch_number: writer.batch_number,
                            settled_number: writer.batch_number,
                            entry_len_mean: writer.entry_len_mean,
                            received: HashMap::new(),
                        };
                        return Ok(LeaseClaim::Granted(Lease {
                            shard,
                            holder: holder.into(),
                            epoch,
                            revision,
                            life,
                            since,
                        }));
                    }
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            if attempt == ATTEMPTS_MAX || matches!(failure, Failure::Refused(_)) {
                return Err(failure.into_error());
            }
            attempt += 1;
            pause().await;
        }
    }

    /// Renews a lease; with `release`, gives it back.
    pub(super) async fn renew(&self, lease: &Lease, release: bool) -> Result<Lease, StoreError> {
        let key = self.keys.lease(lease.shard);
        let life = if release { 0 } else { lease.life.as_millis() as u64 };
        let mut call = script::LEASE.call(&[&key]);
        call.arg(lease.epoch).arg(lease.holder.as_str()).arg(life);
        let mut attempt = 1;
        loop {
            let since = Instant::now();
            let failure = match self.pool.lend(slot(&key)).await {
                Ok(mut lent) => match script::LEASE.run(&mut lent, &call, RESPONSE_TIMEOUT).await {
                    Ok(answer) => {
                        lent.give_back();
                        let answer = texts_of(answer)?;
                        if answer.first().is_some_and(|word| word == "done") {
                            return Ok(Lease { since, ..lease.clone() });
                        }
                        let holder =
                            answer.get(1).filter(|holder| !holder.is_empty()).map(|holder| holder.as_str().into());
                        return Err(StoreError::LeaseLost { shard: lease.shard, holder });
                    }
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            if attempt == ATTEMPTS_MAX || matches!(failure, Failure::Refused(_)) {
                return Err(failure.into_error());
            }
            attempt += 1;
            pause().await;
        }
    }

    /// Writes a batch. See the [module](self) for what happens without an answer.
    pub(super) async fn write(
        &self,
        shard: ShardId,
        epoch: Epoch,
        updates: Vec<Update>,
        trace: Option<TraceContext>,
    ) -> Result<Revision, StoreError> {
        let writer = self.writer(shard);
        let mut writer = writer.lock().await;
        if epoch < writer.epoch || epoch == 0 {
            return Err(StoreError::Fenced { epoch, holder: writer.epoch });
        }
        if epoch > writer.epoch {
            *writer = Writer { epoch, ..Writer::default() };
        }
        writer.batch_number += 1;
        let mut batch = Batch {
            shard,
            items: items(updates, &writer.received),
            trace,
            token: format!("{:016x}-{}", self.instance, writer.batch_number),
        };
        let mut attempt = 1;
        let mut remade = 0;
        loop {
            let failure = match self.attempt(&mut writer, &mut batch).await {
                Ok(Step::Written(revision)) => {
                    writer.revision = Some(revision);
                    writer.settled_number = writer.batch_number;
                    writer.record(batch);
                    return Ok(revision);
                }
                Ok(Step::Again) if remade < REMADE_MAX => {
                    remade += 1;
                    continue;
                }
                Ok(Step::Again) => Failure::NotDone(format!("redis: shard {shard} does not come to rest")),
                Err(AttemptError::Final(error)) => return Err(error),
                Err(AttemptError::Failure(failure)) => failure,
            };
            if attempt == ATTEMPTS_MAX || matches!(failure, Failure::Refused(_)) {
                return Err(failure.into_error());
            }
            attempt += 1;
            pause().await;
        }
    }

    async fn attempt(&self, writer: &mut Writer, batch: &mut Batch) -> Result<Step, AttemptError> {
        let latest = self.keys.latest(batch.shard);
        let epoch = writer.epoch;
        let mut lent = self.pool.lend(slot(&latest)).await?;
        if writer.identity.as_ref().is_some_and(|identity| identity != lent.identity()) {
            lent.give_back();
            return Err(writer.lost(batch.shard, "and now it is another server, or was restarted"));
        }
        let Some(base) = writer.revision else {
            let mut ask = redis::cmd("HMGET");
            ask.arg(&latest).arg("#epoch").arg("#revision");
            let head = lent.send(&ask, RESPONSE_TIMEOUT).await?;
            writer.identity = Some(lent.identity().clone());
            lent.give_back();
            let (stored_epoch, stored_revision) = value::head_of(head)?;
            if stored_epoch > epoch || stored_epoch == 0 {
                return Err(AttemptError::Final(StoreError::Fenced { epoch, holder: stored_epoch }));
            }
            writer.revision = Some(stored_revision);
            return Ok(Step::Again);
        };
        if batch.items.is_empty() {
            lent.give_back();
            return Ok(Step::Written(base));
        }
        let call = self.write_call(writer, batch, base);
        let answer = script::WRITE.run(&mut lent, &call, RESPONSE_TIMEOUT).await?;
        lent.give_back();
        self.conclude(writer, batch, answer)
    }

    /// The call of `write.lua` that writes the batch after `base`.
    fn write_call(&self, writer: &mut Writer, batch: &mut Batch, base: Revision) -> Cmd {
        let mut call = script::WRITE.call(&[self.keys.latest(batch.shard), self.keys.feed(batch.shard)]);
        call.arg(writer.epoch).arg(base).arg(&batch.token);
        let (encoded, mean) = batch.encoded(base, writer.epoch);
        writer.entry_len_mean +=
            (mean - writer.entry_len_mean) * if writer.entry_len_mean == 0.0 { 1.0 } else { MEAN_WEIGHT };
        let len_of_bytes = (self.feed.bytes_max as f64 / writer.entry_len_mean.max(1.0)) as u64;
        call.arg(self.feed.len_max.min(len_of_bytes).max(1)).arg(SHARD_KEPT_SECONDS).arg(batch.now().as_micros());
        for (item, bytes) in batch.items.iter().zip(&encoded) {
            call.arg(&item.name);
            match item.guard {
                Guard::Removal => call.arg("-"),
                Guard::Always | Guard::Known => call.arg("+"),
                Guard::NotOlder(time) => call.arg(time.as_micros()),
            };
            call.arg(bytes.as_slice());
        }
        call
    }

    /// What an answer of `write.lua` means for the batch.
    fn conclude(&self, writer: &mut Writer, batch: &mut Batch, answer: Value) -> Result<Step, AttemptError> {
        let epoch = writer.epoch;
        let Value::Array(parts) = answer else { return Err(value::strange("the answer of write.lua").into()) };
        let word = parts.first().map(text_of).transpose()?.unwrap_or_default();
        let part = |index: usize| parts.get(index).map(text_of).transpose().map(Option::unwrap_or_default);
        match word.as_str() {
            "written" => Ok(Step::Written(number_of(&part(1)?)?)),
            "fenced" => Err(AttemptError::Final(StoreError::Fenced { epoch, holder: number_of(&part(1)?)? })),
            "empty" => Err(writer.lost(batch.shard, "and now it is empty")),
            "older" => {
                let indices: Result<HashSet<usize>, StoreError> =
                    parts.iter().skip(1).map(|index| Ok(number_of(&text_of(index)?)? as usize)).collect();
                batch.leave_out(&indices?);
                Ok(Step::Again)
            }
            "moved" => {
                let (stored_epoch, stored_revision, token) = (part(1)?, number_of(&part(2)?)?, part(3)?);
                let own_number = token
                    .strip_prefix(&format!("{:016x}-", self.instance))
                    .and_then(|number| number.parse::<u64>().ok())
                    .filter(|number| *number > writer.settled_number && stored_epoch == epoch.to_string());
                match own_number {
                    Some(number) if number == writer.batch_number => Ok(Step::Written(stored_revision)),
                    // An earlier batch that was given up on got through after all.
                    Some(number) => {
                        writer.settled_number = number;
                        writer.revision = Some(stored_revision);
                        // What it stored is not recorded, so the script looks again.
                        writer.received.clear();
                        batch.look_again();
                        Ok(Step::Again)
                    }
                    None => {
                        let found = format!("and now it is at epoch {stored_epoch} revision {stored_revision}");
                        Err(writer.lost(batch.shard, &found))
                    }
                }
            }
            _ => Err(value::strange("the answer of write.lua").into()),
        }
    }
}

impl Writer {
    fn lost(&self, shard: ShardId, found: &str) -> AttemptError {
        let revision = self.revision.unwrap_or(0);
        AttemptError::Final(StoreError::Lost { shard, epoch: self.epoch, revision, found: found.to_owned() })
    }

    /// Records what a written batch has stored.
    fn record(&mut self, batch: Batch) {
        for item in batch.items {
            match &item.state {
                Some(state) => self.received.insert(item.name, state.receive_time),
                None => self.received.remove(&item.name),
            };
        }
    }
}

enum Step {
    Written(Revision),
    /// Something was learnt: send the batch again.
    Again,
}

enum AttemptError {
    Final(StoreError),
    Failure(Failure),
}

impl From<Failure> for AttemptError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<StoreError> for AttemptError {
    fn from(error: StoreError) -> Self {
        Self::Final(error)
    }
}

struct Batch {
    shard: ShardId,
    items: Vec<Item>,
    trace: Option<TraceContext>,
    token: String,
}

impl Batch {
    /// Every update's value, with revisions from one above the base, and their mean length.
    fn encoded(&mut self, base: Revision, epoch: Epoch) -> (Vec<Vec<u8>>, f64) {
        let mut encoded = Vec::with_capacity(self.items.len());
        for (item, revision) in self.items.iter_mut().zip(base + 1..) {
            // The entry borrows the state for as long as it takes to encode it.
            let entry = Entry { key: item.key.clone(), revision, state: item.state.take(), trace: self.trace };
            encoded.push(value::encode(&entry, epoch));
            item.state = entry.state;
        }
        let bytes: usize = encoded.iter().map(Vec::len).sum();
        let mean = bytes as f64 / encoded.len().max(1) as f64;
        (encoded, mean)
    }

    /// The writer's time, by what it wrote last.
    fn now(&self) -> Timestamp {
        let times = self.items.iter().filter_map(|item| item.state.as_ref()).map(|state| state.publish_time);
        times.max().unwrap_or(Timestamp::from_micros(0))
    }

    /// Makes the script compare what was compared with records that no longer hold.
    fn look_again(&mut self) {
        for item in &mut self.items {
            if let (Guard::Known, Some(state)) = (&item.guard, &item.state) {
                item.guard = Guard::NotOlder(state.receive_time);
            }
        }
    }

    fn leave_out(&mut self, indices: &HashSet<usize>) {
        let mut index = 0;
        self.items.retain(|_| {
            index += 1;
            !indices.contains(&(index - 1))
        });
    }
}

/// The updates that count, as far as is known here: one that is older than an earlier one of its key, in the batch or recorded as stored, does not.
fn items(updates: Vec<Update>, stored: &HashMap<String, Timestamp>) -> Vec<Item> {
    let mut earlier: HashMap<String, Option<Timestamp>> = HashMap::with_capacity(updates.len());
    let mut items = Vec::with_capacity(updates.len());
    for (key, state) in updates {
        let name = encoding::key_name(&key);
        let received = state.as_ref().map(|state| state.receive_time);
        let guard = match (received, earlier.get(&name)) {
            (None, _) => Guard::Removal,
            (Some(received), Some(Some(before))) if received < *before => continue,
            (Some(received), Some(Some(_)) | None) => match stored.get(&name) {
                Some(before) if received < *before => continue,
                Some(_) => Guard::Known,
                None => Guard::NotOlder(received),
            },
            (Some(_), Some(None)) => Guard::Always,
        };
        // What follows a removal in the batch counts whatever is stored, and so does all that follows it.
        earlier.insert(name.clone(), received);
        items.push(Item { key, name, state, guard });
    }
    items
}

async fn pause() {
    let part = rand::rng().random_range(0.1..1.0);
    tokio::time::sleep(ATTEMPT_PAUSE_MAX.mul_f64(part)).await;
}
