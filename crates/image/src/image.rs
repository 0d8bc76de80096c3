//! The live image.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use crate::collection::Collection;
use crate::cursor::Position;
use crate::handles::Handles;
use crate::item::{Change, Encoder, Freshness, Item};
use crate::slots::Slots;
use crossmarket_domain::state::{Epoch, Key, Revision};
use crossmarket_domain::{AssetCode, AssetId, ShardId, Shards, Timestamp, TraceContext};

/// Number of traced batches remembered. A reader that is further behind gets the states without their traces.
const TRACED_MAX: usize = 256;

/// The updates do not continue the image's content of the shard: a gap, another epoch, or no bootstrap yet. Bootstrap the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("updates do not follow on the image's position")]
pub struct Discontinuity;

#[derive(Clone, Copy, Debug)]
pub struct ImageSettings {
    /// How keys are divided into shards, as in the store.
    pub shards: Shards,
    /// How many revisions a cursor may be behind; at most the length of the store's feeds.
    pub resume_revisions_max: u64,
}

impl Default for ImageSettings {
    fn default() -> Self {
        Self { shards: Shards::default(), resume_revisions_max: 100_000 }
    }
}

/// The live image.
pub struct Image {
    encoder: Box<dyn Encoder>,
    pub(crate) settings: ImageSettings,
    /// Traced batches, the newest last.
    traced: RwLock<VecDeque<Traced>>,
    /// The applied position of each shard, in all collections.
    applied: RwLock<Vec<Option<Position>>>,
    shared: [Shared; Collection::ALL.len()],
    handles: Handles,
}

/// The revisions of a batch, and the span that applied it.
struct Traced {
    shard: ShardId,
    from: Position,
    to: Position,
    trace: TraceContext,
}

/// One collection, and the signal to its watchers that something changed.
struct Shared {
    slots: RwLock<Slots>,
    wake: watch::Sender<()>,
}

impl Image {
    /// An empty image, in which no shard is ready.
    pub fn new(encoder: impl Encoder + 'static, settings: ImageSettings) -> Self {
        let shards = settings.shards;
        let shared = Collection::ALL.map(|collection| {
            let slots = Slots::new(shards.all().map(|shard| collection.is_in(shard, shards)));
            Shared { slots: RwLock::new(slots), wake: watch::Sender::new(()) }
        });
        let applied = RwLock::new(vec![None; usize::from(shards.count())]);
        Self {
            encoder: Box::new(encoder),
            settings,
            traced: RwLock::default(),
            applied,
            shared,
            handles: Handles::default(),
        }
    }

    /// How keys are divided into shards.
    pub fn shards(&self) -> Shards {
        self.settings.shards
    }

    /// True once all asset shards have been bootstrapped. The cross-asset shard comes later, and prices do not wait for it.
    pub fn is_ready(&self) -> bool {
        self.settings.shards.of_assets().all(|shard| self.position(shard).is_some())
    }

    /// True once every shard of a collection has been bootstrapped.
    pub fn is_loaded(&self, collection: Collection) -> bool {
        let shards = self.settings.shards;
        shards.all().filter(|shard| collection.is_in(*shard, shards)).all(|shard| self.position(shard).is_some())
    }

    /// The applied position of a shard; `None` before its bootstrap.
    pub fn position(&self, shard: ShardId) -> Option<Position> {
        let applied = self.applied.read().unwrap_or_else(PoisonError::into_inner);
        applied.get(usize::from(shard)).copied().flatten()
    }

    /// The number of keys in a shard.
    pub fn key_count(&self, shard: ShardId) -> usize {
        let count = |collection| self.read(collection).items().filter(|item| item.shard == shard).count();
        Collection::ALL.into_iter().map(count).sum()
    }

    /// Replaces a shard's content with that of the store at `position`. Watchers get a RESYNC.
    pub fn bootstrap(&self, shard: ShardId, position: Position, changes: Vec<Change>, now: Timestamp) {
        let mut prepared = self.prepare(shard, position.epoch, changes, now);
        for collection in self.collections_in(shard) {
            let changes = take_of(&mut prepared, collection);
            let mut slots = self.write(collection);
            let epoch_changed =
                slots.positions.get(usize::from(shard)).copied().flatten().map(|old| old.epoch) != Some(position.epoch);
            let kept: HashSet<&Key> = changes.iter().map(Prepared::key).collect();
            let gone: Vec<Key> = slots.keys_of(shard).into_iter().filter(|key| !kept.contains(key)).collect();
            for key in gone {
                self.handles.remove(&key);
                slots.remove(&key, shard, position.revision);
            }
            if epoch_changed && let Some(removal) = slots.removals.get_mut(usize::from(shard)) {
                // Cursors of earlier epochs cannot be continued anyway.
                *removal = 0;
            }
            self.apply_prepared(&mut slots, shard, changes);
            set_position(&mut slots, shard, position);
            slots.generation += 1;
            drop(slots);
            self.wake(collection);
        }
        self.set_applied(shard, position);
    }

    /// Applies the next updates of a shard's feed. Updates that are already in the image are skipped.
    pub fn apply(
        &self,
        shard: ShardId,
        epoch: Epoch,
        mut changes: Vec<Change>,
        now: Timestamp,
    ) -> Result<(), Discontinuity> {
        let position = self.position(shard).filter(|position| position.epoch == epoch).ok_or(Discontinuity)?;
        changes.retain(|change| change.revision > position.revision);
        let Some(last) = changes.last().map(|change| change.revision) else { return Ok(()) };
        let expected = position.revision.saturating_add(1)..;
        if changes.iter().zip(expected).any(|(change, revision)| change.revision != revision) {
            return Err(Discontinuity);
        }
        let mut prepared = self.prepare(shard, epoch, changes, now);
        for collection in self.collections_in(shard) {
            let changes = take_of(&mut prepared, collection);
            let changed = !changes.is_empty();
            let mut slots = self.write(collection);
            self.apply_prepared(&mut slots, shard, changes);
            set_position(&mut slots, shard, Position { epoch, revision: last });
            drop(slots);
            if changed {
                self.wake(collection);
            }
        }
        self.set_applied(shard, Position { epoch, revision: last });
        Ok(())
    }

    /// Marks what has become stale by now, under the same revision, and wakes watchers. Returns the number of states.
    pub fn refresh(&self, now: Timestamp) -> usize {
        let mut flipped_count = 0;
        for collection in Collection::ALL {
            let flipped = self.write(collection).refresh(now, self.encoder.as_ref());
            if flipped > 0 {
                self.wake(collection);
            }
            flipped_count += flipped;
        }
        flipped_count
    }

    /// When the next state becomes stale.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        Collection::ALL.into_iter().filter_map(|collection| self.read(collection).next_deadline()).min()
    }

    /// The number of items in a collection that can become stale and are not.
    pub fn fresh_count(&self, collection: Collection) -> usize {
        self.read(collection).fresh_count()
    }

    /// The number of fresh price snapshots.
    pub fn fresh_price_count(&self) -> usize {
        self.fresh_count(Collection::Prices)
    }

    /// A key's newest item.
    pub fn get(&self, key: &Key) -> Option<Arc<Item>> {
        let slots = self.read(Collection::of(key));
        slots.slot(slots.find(key)?)?.item.clone()
    }

    /// The asset that currently has a ticker.
    pub fn asset_id(&self, ticker: &AssetCode) -> Option<AssetId> {
        self.handles.id_of(ticker)
    }

    /// The current ticker of an asset.
    pub fn ticker(&self, asset: &AssetId) -> Option<AssetCode> {
        self.handles.ticker_of(asset)
    }

    /// How often a key's slot has changed, in revision or freshness; 0 for an unknown key.
    pub fn change_count(&self, key: &Key) -> u64 {
        let slots = self.read(Collection::of(key));
        slots.find(key).and_then(|at| slots.slot(at)).map_or(0, |slot| slot.changes)
    }

    /// The matching items of a collection, in no particular order.
    pub fn select(&self, collection: Collection, wanted: impl Fn(&Item) -> bool) -> Vec<Arc<Item>> {
        self.read(collection).items().filter(|item| wanted(item)).cloned().collect()
    }

    /// Remembers which span applies the revisions `from` to `to`, for the frames that deliver them. Call it before applying them.
    pub(crate) fn note_trace(&self, shard: ShardId, from: Position, to: Position, trace: TraceContext) {
        let mut traced = self.traced.write().unwrap_or_else(PoisonError::into_inner);
        if traced.len() == TRACED_MAX {
            traced.pop_front();
        }
        traced.push_back(Traced { shard, from, to, trace });
    }

    /// The spans that applied the content of these slots, each once.
    pub(crate) fn traces_of(&self, places: &[(ShardId, Position)]) -> Vec<TraceContext> {
        let traced = self.traced.read().unwrap_or_else(PoisonError::into_inner);
        let holds = |one: &&Traced| {
            let holds = |(shard, at): &(ShardId, Position)| *shard == one.shard && (one.from..=one.to).contains(at);
            places.iter().any(holds)
        };
        traced.iter().filter(holds).map(|one| one.trace).collect()
    }

    fn apply_prepared(&self, slots: &mut Slots, shard: ShardId, changes: Vec<Prepared>) {
        for change in changes {
            match change {
                Prepared::Put(item) => {
                    self.handles.put(&item.state);
                    slots.put(item);
                }
                Prepared::Remove(key, revision) => {
                    self.handles.remove(&key);
                    slots.remove(&key, shard, revision);
                }
            }
        }
    }

    fn collections_in(&self, shard: ShardId) -> impl Iterator<Item = Collection> {
        let shards = self.settings.shards;
        Collection::ALL.into_iter().filter(move |collection| collection.is_in(shard, shards))
    }

    /// Updated after the collections, so that everything up to a shard's position is present.
    fn set_applied(&self, shard: ShardId, position: Position) {
        let mut applied = self.applied.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = applied.get_mut(usize::from(shard)) {
            *slot = Some(position);
        }
    }

    fn prepare(&self, shard: ShardId, epoch: Epoch, changes: Vec<Change>, now: Timestamp) -> Vec<Prepared> {
        let shards = self.settings.shards;
        // After a change of `collector.shards`, a shard may hold keys that now belong to another one. Ignore them.
        let its_own = |change: &Change| shards.of_key(&change.key) == shard;
        let prepare = |change: Change| match change.state {
            None => Prepared::Remove(change.key, change.revision),
            Some(state) => {
                let freshness = Freshness::of(&state, now);
                let encoding = self.encoder.encode(&state, change.revision, freshness);
                let position = Position { epoch, revision: change.revision };
                Prepared::Put(Arc::new(Item {
                    key: change.key,
                    state: Arc::new(state),
                    shard,
                    position,
                    freshness,
                    encoding,
                }))
            }
        };
        changes.into_iter().filter(its_own).map(prepare).collect()
    }

    fn shared(&self, collection: Collection) -> &Shared {
        let [prices, assets, long_short_ratios, indices, feeds] = &self.shared;
        match collection {
            Collection::Prices => prices,
            Collection::Assets => assets,
            Collection::LongShortRatios => long_short_ratios,
            Collection::Indices => indices,
            Collection::Feeds => feeds,
        }
    }

    // After a panic while the lock was held, each slot by itself is still consistent, so reading continues.
    pub(crate) fn read(&self, collection: Collection) -> RwLockReadGuard<'_, Slots> {
        self.shared(collection).slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, collection: Collection) -> RwLockWriteGuard<'_, Slots> {
        self.shared(collection).slots.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, collection: Collection) {
        self.shared(collection).wake.send_replace(());
    }

    /// Signals that something in a collection has changed.
    pub fn wakes(&self, collection: Collection) -> watch::Receiver<()> {
        self.shared(collection).wake.subscribe()
    }
}

/// An encoded change that waits for the lock.
enum Prepared {
    Put(Arc<Item>),
    Remove(Key, Revision),
}

impl Prepared {
    fn key(&self) -> &Key {
        match self {
            Self::Put(item) => &item.key,
            Self::Remove(key, _) => key,
        }
    }
}

fn take_of(prepared: &mut Vec<Prepared>, collection: Collection) -> Vec<Prepared> {
    let (taken, left) = std::mem::take(prepared).into_iter().partition(|one| Collection::of(one.key()) == collection);
    *prepared = left;
    taken
}

fn set_position(slots: &mut Slots, shard: ShardId, position: Position) {
    if let Some(known) = slots.positions.get_mut(usize::from(shard)) {
        *known = Some(position);
    }
}
