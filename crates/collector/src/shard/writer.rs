//! Writes one led shard: one batch in flight at a time, and the data waiting for the next one.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::shard::lease::ShardLease;
use crate::shard::pending_traces::PendingTraces;
use crossmarket_backoff::{Backoff, Pauses};
use crossmarket_domain::state::{Epoch, Key, Revision};
use crossmarket_domain::{AssetId, ShardId, TraceContext};
use crossmarket_store::{StoreError, Update};

/// Delay between two attempts to write to an unreachable store. The maximum is short, since waiting data gets old.
const BACKOFF: Backoff = Backoff::between(Duration::from_millis(100), Duration::from_millis(500));

/// A shard without a price for this long has no assets. This is normal with many shards.
const EMPTY_AFTER: Duration = Duration::from_secs(120);

/// The batch in flight and the waiting data of one shard.
pub(crate) struct Writer {
    /// The right to write.
    pub lead: ShardLease,
    /// Keys to remove.
    pub gone: BTreeSet<Key>,
    /// Last asset of a round of snapshots that did not cover everything due.
    pub paused_after: Option<AssetId>,
    /// When the catalogue is checked next.
    pub catalogue_due: Instant,
    /// When the feeds' health is published next.
    pub feeds_due: Instant,
    /// Traced spans since the last batch.
    pub traces: PendingTraces,
    /// True once a price has been written in this epoch. Before that, the shard is not marked
    /// complete until [`EMPTY_AFTER`] has passed.
    has_prices: bool,
    begun: Instant,
    writing: bool,
    retry: Pauses,
    retry_at: Option<Instant>,
    unavailable: bool,
}

/// Result of a batch.
pub(crate) struct Outcome {
    pub shard: ShardId,
    pub epoch: Epoch,
    pub keys: Vec<Key>,
    /// The new revision, or why the write failed.
    pub result: Result<Revision, StoreError>,
}

impl Writer {
    pub(crate) fn new(lead: ShardLease, seed: u64) -> Self {
        let now = Instant::now();
        Self {
            lead,
            gone: BTreeSet::new(),
            paused_after: None,
            catalogue_due: now,
            feeds_due: now,
            traces: PendingTraces::default(),
            has_prices: false,
            begun: now,
            writing: false,
            retry: BACKOFF.seeded(seed),
            retry_at: None,
            unavailable: false,
        }
    }

    /// True when the shard has had no prices for [`EMPTY_AFTER`] and is due to be marked complete, as an empty shard.
    pub(crate) fn is_empty_for_good(&self, now: Instant) -> bool {
        !self.has_prices && now.duration_since(self.begun) >= EMPTY_AFTER && self.lead.is_published_due()
    }

    /// True when a batch may be written now.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        !self.writing && self.retry_at.is_none_or(|at| at <= now)
    }

    /// True when the last batch did not cover everything due.
    pub(crate) fn is_behind(&self) -> bool {
        self.paused_after.is_some()
    }

    /// Starts writing a batch, as a child of the trace if there is one. `last` is true if nothing more is due after it.
    pub(crate) fn write(
        &mut self,
        batch: Vec<Update>,
        last: bool,
        trace: Option<TraceContext>,
        writes: &mut JoinSet<Outcome>,
    ) {
        let keys = batch.iter().map(|(key, _)| key.clone()).collect();
        self.has_prices |= batch.iter().any(|(key, state)| matches!(key, Key::Price(_)) && state.is_some());
        let (lead, last) = (self.lead.clone(), last && self.has_prices);
        self.writing = true;
        self.retry_at = None;
        writes.spawn(async move {
            let result = lead.write(batch, trace).await;
            if last && result.is_ok() {
                lead.published().await;
            }
            Outcome { shard: lead.shard(), epoch: lead.epoch(), keys, result }
        });
    }

    /// Records the result of the batch in flight.
    pub(crate) fn written(&mut self, result: &Result<Revision, StoreError>) {
        self.writing = false;
        match result {
            Ok(_) => {
                if std::mem::take(&mut self.unavailable) {
                    info!(shard = self.lead.shard(), "store is back");
                }
                self.retry.reset();
            }
            Err(error) => {
                self.retry_at = Some(Instant::now() + self.retry.next_pause());
                if !std::mem::replace(&mut self.unavailable, true) {
                    warn!(shard = self.lead.shard(), %error, "cannot write to the store, retrying");
                }
            }
        }
    }
}
