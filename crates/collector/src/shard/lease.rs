//! Which shards this process leads. It competes for every shard by lease, and stops writing before the lease expires.
//!
//! Each shard has its own task. Writers read the led shards from one value, [`HeldShards`]. When a lease is no longer
//! in it, the writer ends; when it has a new epoch, everything is published again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use smol_str::SmolStr;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crossmarket_backoff::{Backoff, Jitter};
use crossmarket_clock::Clock;
use crossmarket_domain::state::{Epoch, Key, Revision};
use crossmarket_domain::time::HOUR;
use crossmarket_domain::{Shards, TraceContext};
use crossmarket_store::{Lease, LeaseClaim, ShardId, Store, StoreError, Update};
use crossmarket_telemetry::metrics;

/// How often a standby requests the lease. A holder releases its lease when it stops, so this is also the delay of a
/// rolling restart.
const LOOK_INTERVAL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(250));

/// Delay between two attempts at an unresponsive store. After an outage, the first process to get through leads.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(50);
const RETRY_WAIT_MAX: Duration = Duration::from_millis(400);

/// How often the store is reminded that a shard is complete, so that it keeps a shard in which nothing changes.
const PUBLISHED_INTERVAL: Duration = HOUR;

/// Delay before competing again after another writer has taken over a shard without a lease.
const FENCED_PAUSE: Duration = Duration::from_secs(1);

/// The leases this process holds, by shard.
pub(crate) type HeldShards = Arc<BTreeMap<ShardId, ShardLease>>;

/// The right to write one shard, for a limited time.
#[derive(Clone)]
pub struct ShardLease {
    store: Arc<dyn Store>,
    shard: ShardId,
    epoch: Epoch,
    /// Keys stored in the shard although they belong to another one.
    foreign: Arc<[Key]>,
    stop_at: watch::Receiver<Instant>,
    fenced: CancellationToken,
    lost: CancellationToken,
    /// When the store was last told that this epoch is complete.
    told_published: Arc<Mutex<Option<Instant>>>,
}

/// Competes for shards.
pub(crate) struct LeaseManager {
    pub store: Arc<dyn Store>,
    pub shards: Shards,
    /// Name of this process among the competitors.
    pub holder: SmolStr,
    /// Lifetime of a lease: a holder that disappears is replaced after this time.
    pub life: Duration,
    pub clock: Clock,
    /// Seed of the jitter.
    pub seed: u64,
}

/// The shards that this process leads, for observers. Empty until the competition has started.
#[derive(Clone, Default)]
pub struct HeldShardsHandle(Arc<OnceLock<watch::Receiver<HeldShards>>>);

impl HeldShardsHandle {
    pub fn shards(&self) -> Vec<ShardId> {
        self.0.get().map_or_else(Vec::new, |leads| leads.borrow().keys().copied().collect())
    }

    pub(crate) fn tell(&self, leads: watch::Receiver<HeldShards>) {
        // A second competition in the same process is ignored: the first one keeps reporting.
        let _ = self.0.set(leads);
    }
}

/// This process's standing across all shards.
#[derive(Clone)]
pub(crate) struct LeaseState {
    pub leads: watch::Receiver<HeldShards>,
    /// True while it leads a shard, or has led one and no other process is known to have taken over. During an outage
    /// of the store it thus keeps polling the venues, so that writes after the outage are up to date.
    pub collects: watch::Receiver<bool>,
}

impl ShardLease {
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Keys in the shard that belong to another one since the assets were redistributed.
    pub fn foreign(&self) -> &[Key] {
        &self.foreign
    }

    /// Writes a batch, unless the lease has reached the time at which work must stop. A refused write ends the lease,
    /// and this process competes for the shard again.
    pub async fn write(&self, updates: Vec<Update>, trace: Option<TraceContext>) -> Result<Revision, StoreError> {
        let stop_at = *self.stop_at.borrow();
        if Instant::now() >= stop_at || self.fenced.is_cancelled() || self.lost.is_cancelled() {
            return Err(StoreError::LeaseLost { shard: self.shard, holder: None });
        }
        let written = self.store.write(self.shard, self.epoch, updates, trace).await;
        match &written {
            Err(StoreError::Fenced { .. }) => self.fenced.cancel(),
            Err(StoreError::Lost { .. }) => self.lost.cancel(),
            _ => {}
        }
        written
    }

    /// True if the store must be told (again) that everything has been written.
    pub(crate) fn is_published_due(&self) -> bool {
        let last = *self.told_published.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_none_or(|last| last.elapsed() >= PUBLISHED_INTERVAL)
    }

    /// Marks the shard as completely written in the store, if that is due. If the store does not answer, this is
    /// repeated after the next batch.
    pub async fn published(&self) {
        if self.is_published_due() && self.store.published(self.shard, self.epoch).await.is_ok() {
            *self.told_published.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }
}

/// State of one shard's task.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Nothing is known yet.
    Outside,
    /// This process leads.
    Leading,
    /// This process has led, and no other leader is known.
    Uncertain,
    /// Another process leads.
    Behind,
}

struct LeaseChannels {
    leads: watch::Sender<HeldShards>,
    roles: watch::Sender<BTreeMap<ShardId, Role>>,
    collects: watch::Sender<bool>,
}

impl LeaseChannels {
    fn place(&self, shard: ShardId, place: Role) {
        self.roles.send_modify(|roles| {
            // Only a process that has led can be uncertain.
            let before = roles.get(&shard).copied().unwrap_or(Role::Outside);
            let led = matches!(before, Role::Leading | Role::Uncertain);
            roles.insert(shard, if place == Role::Uncertain && !led { before } else { place });
        });
        let collects = self.roles.borrow().values().any(|place| matches!(place, Role::Leading | Role::Uncertain));
        self.collects.send_if_modified(|told| std::mem::replace(told, collects) != collects);
    }

    fn lead(&self, shard: ShardId, lead: Option<ShardLease>) {
        self.leads.send_modify(|leads| {
            let mut next = BTreeMap::clone(leads);
            match lead {
                Some(lead) => next.insert(shard, lead),
                None => next.remove(&shard),
            };
            *leads = Arc::new(next);
        });
    }
}

impl LeaseManager {
    /// Competes for each shard in a separate task until `stop`, then releases the leases.
    pub(crate) fn start(self, tasks: &mut JoinSet<()>, stop: &CancellationToken) -> LeaseState {
        let told = Arc::new(LeaseChannels {
            leads: watch::Sender::new(Arc::default()),
            roles: watch::Sender::new(BTreeMap::new()),
            collects: watch::Sender::new(false),
        });
        let standing = LeaseState { leads: told.leads.subscribe(), collects: told.collects.subscribe() };
        let this = Arc::new(self);
        for shard in this.shards.all() {
            metrics::LEASE_ACQUISITIONS.with(&[&shard.to_string()]);
            metrics::LEASE_LOSSES.with(&[&shard.to_string()]);
            let (this, told, stop) = (Arc::clone(&this), Arc::clone(&told), stop.clone());
            tasks.spawn(async move { this.compete(shard, &told, &stop).await });
        }
        standing
    }

    async fn compete(&self, shard: ShardId, told: &LeaseChannels, stop: &CancellationToken) {
        let seed = self.seed.wrapping_add(u64::from(shard));
        let mut retry = Backoff::between(RETRY_WAIT_MIN, RETRY_WAIT_MAX).seeded(seed);
        let (look_min, look_max) = LOOK_INTERVAL;
        let mut look = Jitter::new(seed);
        let mut answering = true;
        while !stop.is_cancelled() {
            let claim = async {
                match self.store.acquire_lease(shard, &self.holder, self.life, self.clock.now()).await? {
                    LeaseClaim::Granted(lease) => Ok(Ok((self.foreign(shard).await?, lease))),
                    LeaseClaim::Held { holder, remaining } => Ok::<_, StoreError>(Err((holder, remaining))),
                }
            };
            let claimed = stop.run_until_cancelled(claim).await;
            let pause = match claimed {
                None => return,
                Some(Ok(Ok((foreign, lease)))) => {
                    answering = true;
                    retry.reset();
                    self.hold(shard, lease, foreign, told, stop).await
                }
                Some(Ok(Err((holder, remaining)))) => {
                    answering = true;
                    tracing::debug!(shard, %holder, ?remaining, "another collector leads");
                    told.place(shard, Role::Behind);
                    look.share_of(look_max).max(look_min).min(remaining + look_min)
                }
                Some(Err(error)) => {
                    if std::mem::take(&mut answering) {
                        warn!(shard, %error, "no lease to be had, trying on");
                    }
                    retry.next_pause()
                }
            };
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Holds the shard as long as the lease lasts. Returns how long to wait before competing again.
    async fn hold(
        &self,
        shard: ShardId,
        mut lease: Lease,
        foreign: Arc<[Key]>,
        told: &LeaseChannels,
        stop: &CancellationToken,
    ) -> Duration {
        let (stop_at, stop_at_told) = watch::channel(lease.stop_at());
        let lead = ShardLease {
            store: Arc::clone(&self.store),
            shard,
            epoch: lease.epoch,
            foreign,
            stop_at: stop_at_told,
            fenced: CancellationToken::new(),
            lost: CancellationToken::new(),
            told_published: Arc::default(),
        };
        let (fenced, lost) = (lead.fenced.clone(), lead.lost.clone());
        info!(shard, epoch = lease.epoch, revision = lease.revision, "leading shard");
        metrics::LEASE_ACQUISITIONS.with(&[&shard.to_string()]).increment();
        told.lead(shard, Some(lead));
        told.place(shard, Role::Leading);
        let mut retry = Backoff::between(RETRY_WAIT_MIN, self.life / 10).seeded(self.seed);
        let mut renew_at = lease.renew_at();
        let reason = loop {
            tokio::select! {
                () = fenced.cancelled() => break "fenced",
                () = lost.cancelled() => break "the store lost data",
                () = stop.cancelled() => break "shutdown",
                () = tokio::time::sleep_until(renew_at.min(lease.stop_at())) => {}
            }
            if Instant::now() >= lease.stop_at() {
                break "not renewed in time";
            }
            match tokio::time::timeout_at(lease.stop_at(), self.store.renew_lease(&lease)).await {
                Ok(Ok(renewed)) => {
                    lease = renewed;
                    renew_at = lease.renew_at();
                    retry.reset();
                    // The writers keep the receiver.
                    let _ = stop_at.send(lease.stop_at());
                }
                Ok(Err(StoreError::LeaseLost { .. })) => break "taken over",
                Ok(Err(_)) | Err(_) => renew_at = Instant::now() + retry.next_pause(),
            }
        };
        told.lead(shard, None);
        told.place(shard, Role::Uncertain);
        info!(shard, epoch = lease.epoch, reason, "no longer leading shard");
        if !stop.is_cancelled() {
            metrics::LEASE_LOSSES.with(&[&shard.to_string()]).increment();
        }
        if stop.is_cancelled() {
            // If the store does not answer, the lease expires by itself.
            let _ = tokio::time::timeout(self.life / 3, self.store.release_lease(&lease)).await;
        }
        if fenced.is_cancelled() { FENCED_PAUSE } else { Duration::ZERO }
    }

    /// Keys in the shard that no longer belong there since the assets were redistributed.
    async fn foreign(&self, shard: ShardId) -> Result<Arc<[Key]>, StoreError> {
        let entries = self.store.bootstrap(shard).await?.entries;
        let keys = entries.into_iter().map(|entry| entry.key);
        Ok(keys.filter(|key| self.shards.of_key(key) != shard).collect())
    }
}
