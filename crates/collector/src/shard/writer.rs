//! One led shard's writing: one batch under way at a time, and what waits for the next.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::shard::lease::ShardLease;
use crate::shard::pending_traces::PendingTraces;
use crossmarket_backoff::{Backoff, Pauses};
use crossmarket_domain::state::{Epoch, Key, Revision};
use crossmarket_domain::{AssetCode, ShardId, TraceContext};
use crossmarket_store::{StoreError, Update};

/// Between two attempts to write to a store that cannot be reached. The longest is short, since what waits grows old.
const BACKOFF: Backoff = Backoff::between(Duration::from_millis(100), Duration::from_millis(500));

/// After so long without a price a shard has no assets, which happens with many shards.
const EMPTY_AFTER: Duration = Duration::from_secs(120);

/// What a shard's writer has under way and waiting.
pub(crate) struct Writer {
    /// The right to write.
    pub lead: ShardLease,
    /// Keys to take out.
    pub gone: BTreeSet<Key>,
    /// The last asset of a round of snapshots that did not hold all that was due.
    pub paused_after: Option<AssetCode>,
    /// When the catalogue is looked through.
    pub catalogue_due: Instant,
    /// When the feeds' health is told.
    pub feeds_due: Instant,
    /// What was traces since the last batch.
    pub traces: PendingTraces,
    /// A price has been written in this epoch: who has none yet cannot say that everything is there.
    has_prices: bool,
    begun: Instant,
    writing: bool,
    retry: Pauses,
    retry_at: Option<Instant>,
    unavailable: bool,
}

/// What became of a batch.
pub(crate) struct Outcome {
    pub shard: ShardId,
    /// The epoch it was written with.
    pub epoch: Epoch,
    pub keys: Vec<Key>,
    /// The newest revision, or why it was not written.
    pub result: Result<Revision, StoreError>,
}

impl Writer {
    /// A writer at the beginning of its epoch.
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

    /// True for a shard in which nothing has been for so long that there is nothing, when the store is to be told so.
    pub(crate) fn is_empty_for_good(&self, now: Instant) -> bool {
        !self.has_prices && now.duration_since(self.begun) >= EMPTY_AFTER && self.lead.is_published_due()
    }

    /// True when a batch may be written now.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        !self.writing && self.retry_at.is_none_or(|at| at <= now)
    }

    /// True when the last batch did not hold all that was due.
    pub(crate) fn is_behind(&self) -> bool {
        self.paused_after.is_some()
    }

    /// Starts writing a batch, below a span if it is traced; with `last`, after which nothing more is due.
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

    /// Notes what became of the batch under way.
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
                    warn!(shard = self.lead.shard(), %error, "store not writable, retrying");
                }
            }
        }
    }
}
