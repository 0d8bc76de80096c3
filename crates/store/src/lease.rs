//! Leases: who may write a shard, and for how long.
//!
//! The holder's monotonic clock counts a lease's life from the moment *before* the request, so the holder never expects it to last longer than
//! the store does. The holder renews after a third of its life and stops writing after two thirds, which leaves the last third for writes in
//! flight. The epoch fences in any case: a deposed holder's write is refused, whatever its clock says.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use smol_str::SmolStr;
use tokio::time::Instant;

use crate::error::StoreError;
use crossmarket_domain::ShardId;
use crossmarket_domain::state::{Epoch, Revision};

/// Longest name of a lease's holder, in bytes.
pub(crate) const HOLDER_LEN_MAX: usize = 128;

/// Longest life of a lease: a holder that dies without releasing it blocks the shard for no longer than this.
pub const LEASE_LIFE_MAX: Duration = Duration::from_secs(60);

/// A granted lease. It is a value, not a guard: dropping it releases nothing, since releasing is a request to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub shard: ShardId,
    /// Who holds it.
    pub holder: SmolStr,
    /// The epoch that the lease was granted with; the holder writes with it.
    pub epoch: Epoch,
    /// The shard's newest revision when it was granted.
    pub revision: Revision,
    /// Its life from each renewal.
    pub life: Duration,
    /// When the request that granted or last renewed it was sent.
    pub since: Instant,
}

impl Lease {
    /// When to renew it: after a third of its life.
    pub fn renew_at(&self) -> Instant {
        self.since + self.life / 3
    }

    /// When to stop writing, unless it was renewed: after two thirds of its life.
    pub fn stop_at(&self) -> Instant {
        self.since + self.life * 2 / 3
    }

    /// When it expires, and another may hold it.
    pub fn ends_at(&self) -> Instant {
        self.since + self.life
    }
}

/// The answer to a request for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseClaim {
    /// The caller holds it.
    Granted(Lease),
    /// Another process holds it.
    Held {
        /// Who.
        holder: SmolStr,
        /// The time left, unless it is renewed.
        remaining: Duration,
    },
}

/// Refuses names and lives that no lease may have.
pub(super) fn check_claim(holder: &str, life: Duration) -> Result<(), StoreError> {
    let printable =
        !holder.is_empty() && holder.len() <= HOLDER_LEN_MAX && holder.chars().all(|c| c.is_ascii_graphic());
    if printable && life >= Duration::from_millis(1) && life <= LEASE_LIFE_MAX {
        Ok(())
    } else {
        Err(StoreError::Refused(format!("no lease of {life:?} for holder {holder:?}")))
    }
}

/// The leases of a store that belongs to one process. At most one for each shard.
#[derive(Default)]
pub(super) struct LocalLeases(Mutex<HashMap<ShardId, Lease>>);

impl LocalLeases {
    /// The holder and the rest of its time, when somebody else holds the shard.
    pub(crate) fn held_by_another(&self, shard: ShardId, holder: &str) -> Option<LeaseClaim> {
        let now = Instant::now();
        self.with(|leases| match leases.get(&shard) {
            Some(held) if held.holder != holder && held.ends_at() > now => {
                Some(LeaseClaim::Held { holder: held.holder.clone(), remaining: held.ends_at() - now })
            }
            _ => None,
        })
    }

    /// Records a lease whose epoch the store has just opened. Of two simultaneous claimants the one with the larger epoch gets it.
    pub(crate) fn grant(&self, lease: Lease) -> LeaseClaim {
        let now = Instant::now();
        self.with(|leases| match leases.get(&lease.shard) {
            Some(held) if held.epoch > lease.epoch && held.ends_at() > now => {
                LeaseClaim::Held { holder: held.holder.clone(), remaining: held.ends_at() - now }
            }
            _ => {
                leases.insert(lease.shard, lease.clone());
                LeaseClaim::Granted(lease)
            }
        })
    }

    /// The lease with a new life, if it is still the one that is held.
    pub(crate) fn renew(&self, lease: &Lease) -> Result<Lease, StoreError> {
        let now = Instant::now();
        self.with(|leases| match leases.get_mut(&lease.shard) {
            Some(held) if held.epoch == lease.epoch && held.holder == lease.holder && held.ends_at() > now => {
                held.since = now;
                Ok(held.clone())
            }
            held => Err(StoreError::LeaseLost {
                shard: lease.shard,
                holder: held.filter(|held| held.ends_at() > now).map(|held| held.holder.clone()),
            }),
        })
    }

    /// Gives the lease back, if it is still held.
    pub(crate) fn release(&self, lease: &Lease) {
        self.with(|leases| {
            if leases.get(&lease.shard).is_some_and(|held| held.epoch == lease.epoch && held.holder == lease.holder) {
                leases.remove(&lease.shard);
            }
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut HashMap<ShardId, Lease>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
