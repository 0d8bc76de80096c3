//! The slots of one collection: the newest item of each key, and the order of changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::cursor::Position;
use crate::item::{Encoder, Freshness, Item};
use crossmarket_domain::ShardId;
use crossmarket_domain::Timestamp;
use crossmarket_domain::state::{Key, Revision};

/// One collection's slots. Every method is short: it runs under the collection's lock.
#[derive(Default)]
pub(super) struct Slots {
    index: HashMap<Key, usize>,
    slots: Vec<Slot>,
    vacant: Vec<usize>,
    /// Slots by the sequence of their last change.
    by_sequence: BTreeMap<u64, usize>,
    /// The number of changes so far, in revision or freshness.
    pub sequence: u64,
    /// Fresh items by the time at which they become stale.
    fresh: BTreeSet<(Timestamp, usize)>,
    /// Stale items by the time at which they became so.
    stale: BTreeSet<(Timestamp, usize)>,
    /// The applied position of each shard.
    pub positions: Vec<Option<Position>>,
    /// The revision of each shard's last removal; 0 when there was none.
    pub removals: Vec<Revision>,
    /// Increases when readers cannot continue with changes alone: after a bootstrap or a removal.
    pub generation: u64,
}

/// The slot of one key.
#[derive(Default)]
pub(super) struct Slot {
    /// The newest item; `None` in a vacant slot.
    pub item: Option<Arc<Item>>,
    /// The sequence of its last change.
    sequence: u64,
    /// How often it changed since the process started, whatever key it held.
    pub changes: u64,
    /// The value of `changes` at its last change in revision.
    pub revision_changes: u64,
}

impl Slots {
    /// No slots. `shards` says for each shard whether it may hold keys of this collection; the position of the others never moves.
    pub(crate) fn new(is_in: impl Iterator<Item = bool>) -> Self {
        let nowhere = Position { epoch: 0, revision: 0 };
        let positions: Vec<_> = is_in.map(|is_in| if is_in { None } else { Some(nowhere) }).collect();
        Self { removals: vec![0; positions.len()], positions, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn slot(&self, at: usize) -> Option<&Slot> {
        self.slots.get(at)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    pub(crate) fn find(&self, key: &Key) -> Option<usize> {
        self.index.get(key).copied()
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = &Arc<Item>> {
        self.slots.iter().filter_map(|slot| slot.item.as_ref())
    }

    /// Slots that changed after a sequence, in the order of their last change.
    pub(crate) fn changed_after(&self, sequence: u64) -> impl Iterator<Item = (u64, usize)> {
        self.by_sequence.range(sequence.saturating_add(1)..).map(|(sequence, at)| (*sequence, *at))
    }

    /// The number of items that can become stale and are not.
    pub(crate) fn fresh_count(&self) -> usize {
        self.fresh.len()
    }

    /// When the next item becomes stale.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.fresh.first().map(|(deadline, _)| *deadline)
    }

    /// Stores a key's new state in its slot.
    pub(crate) fn put(&mut self, item: Arc<Item>) {
        let at = match self.index.get(&item.key) {
            Some(at) => *at,
            None => self.allocate(item.key.clone()),
        };
        self.change(at, item, true);
    }

    /// Removes a key.
    pub(crate) fn remove(&mut self, key: &Key, shard: ShardId, revision: Revision) {
        if let Some(removal) = self.removals.get_mut(usize::from(shard)) {
            *removal = (*removal).max(revision);
        }
        let Some(at) = self.index.remove(key) else { return };
        self.forget_deadline(at);
        if let Some(slot) = self.slots.get_mut(at) {
            self.by_sequence.remove(&slot.sequence);
            slot.item = None;
        }
        self.vacant.push(at);
        self.sequence += 1;
        self.generation += 1;
    }

    pub(crate) fn keys_of(&self, shard: ShardId) -> Vec<Key> {
        self.items().filter(|item| item.shard == shard).map(|item| item.key.clone()).collect()
    }

    /// Encodes again what has become stale by now, and what is fresh again because the clock was set back. Returns the number of items.
    pub(crate) fn refresh(&mut self, now: Timestamp, encoder: &dyn Encoder) -> usize {
        let due: Vec<usize> = self.fresh.range(..=(now, usize::MAX)).map(|(_, at)| *at).collect();
        let again: Vec<usize> = self.stale.range((now, usize::MAX)..).map(|(_, at)| *at).collect();
        for at in due.iter().chain(&again) {
            let Some(item) = self.slots.get(*at).and_then(|slot| slot.item.clone()) else { continue };
            let freshness = Freshness::of(&item.state, now);
            self.change(*at, Arc::new(item.with_freshness(freshness, encoder)), false);
        }
        due.len() + again.len()
    }

    fn allocate(&mut self, key: Key) -> usize {
        let at = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        self.index.insert(key, at);
        at
    }

    fn change(&mut self, at: usize, item: Arc<Item>, new_revision: bool) {
        self.forget_deadline(at);
        let Some(slot) = self.slots.get_mut(at) else { return };
        if slot.item.is_some() {
            self.by_sequence.remove(&slot.sequence);
        }
        self.sequence += 1;
        slot.sequence = self.sequence;
        slot.changes += 1;
        if new_revision {
            slot.revision_changes = slot.changes;
        }
        if let Some(deadline) = item.deadline() {
            let side = if item.freshness == Freshness::Stale { &mut self.stale } else { &mut self.fresh };
            side.insert((deadline, at));
        }
        slot.item = Some(item);
        self.by_sequence.insert(self.sequence, at);
    }

    fn forget_deadline(&mut self, at: usize) {
        let deadline = self.slots.get(at).and_then(|slot| slot.item.as_ref()).and_then(|item| item.deadline());
        if let Some(deadline) = deadline {
            self.fresh.remove(&(deadline, at));
            self.stale.remove(&(deadline, at));
        }
    }
}
