//! Wakes the readers of this process that wait for a shard's next entry.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::error::StoreError;
use crate::update::Tail;
use crossmarket_domain::ShardId;
use crossmarket_domain::state::{Epoch, Revision};

/// One channel for each shard that was written or waited for; at most as many as there are shard numbers.
#[derive(Default)]
pub(super) struct FeedNotifier(Mutex<HashMap<ShardId, watch::Sender<(Epoch, Revision)>>>);

impl FeedNotifier {
    /// Wakes everyone who waits for the shard. A position of an older epoch, or behind the known one, changes nothing.
    pub(crate) fn announce(&self, shard: ShardId, epoch: Epoch, revision: Revision) {
        self.with(shard, |head| {
            head.send_if_modified(|known| {
                let newer = (epoch, revision) > *known;
                if newer {
                    *known = (epoch, revision);
                }
                newer
            })
        });
    }

    /// Reads until there is something to return or `wait` is over. Entries are readable before they are announced, so nothing is missed
    /// between a read and the wait that follows.
    pub(crate) async fn tail<F, R>(&self, shard: ShardId, wait: Duration, read: F) -> Result<Tail, StoreError>
    where
        F: Fn() -> R,
        R: Future<Output = Result<Tail, StoreError>>,
    {
        let mut head = self.with(shard, |head| head.subscribe());
        let nothing = |tail: &Tail| matches!(tail, Tail::Entries(entries) if entries.is_empty());
        let first = read().await?;
        if !nothing(&first) || wait.is_zero() {
            return Ok(first);
        }
        let next = async {
            // The sender lives as long as the store; without it the answer would still be right: nothing came.
            while head.changed().await.is_ok() {
                let tail = read().await?;
                if !nothing(&tail) {
                    return Ok(tail);
                }
            }
            Ok(Tail::Entries(Vec::new()))
        };
        tokio::time::timeout(wait, next).await.unwrap_or_else(|_| Ok(Tail::Entries(Vec::new())))
    }

    fn with<T>(&self, shard: ShardId, f: impl FnOnce(&watch::Sender<(Epoch, Revision)>) -> T) -> T {
        let mut heads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f(heads.entry(shard).or_insert_with(|| watch::channel((0, 0)).0))
    }
}
