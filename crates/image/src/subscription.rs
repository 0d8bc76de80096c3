//! Subscriptions without queues: how far a reader has come, and what is newer.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::collection::Collection;
use crate::cursor::{Cursor, Position};
use crate::filter::Filter;
use crate::image::Image;
use crate::item::{Item, View};
use crate::slots::{Slot, Slots};
use crossmarket_domain::ShardId;
use crossmarket_domain::TraceContext;
use crossmarket_domain::state::Key;

/// One reader's position in a collection. Its memory is one counter per slot of the image, however much is unread.
pub struct Subscription {
    image: Arc<Image>,
    collection: Collection,
    filter: Filter,
    view: View,
    wakes: watch::Receiver<()>,
    phase: Phase,
    /// The image's generation known to the reader; `None` when a RESYNC is due.
    generation: Option<u64>,
    /// Every change up to this sequence has been considered.
    sequence: u64,
    /// By slot: how many of its changes the reader has seen or ignored.
    seen: Vec<u64>,
    /// By shard: the position of the reader's cursor. It may be ahead of this image.
    resumed: Vec<Position>,
    /// Where the next pass over explicit keys begins, so that the first keys do not starve the last.
    next_key: usize,
    /// The pass over all slots, for a reader that is behind.
    lap: Option<Lap>,
    /// The spans that applied what was taken last; `None` when traces are not requested.
    traces: Option<Vec<TraceContext>>,
    /// The position sent to the reader last.
    told: Option<Cursor>,
}

/// The states of one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Its role in the stream.
    pub stage: Stage,
    /// The encoded items.
    pub entries: Vec<Bytes>,
    /// The number of states superseded before this reader saw them.
    pub conflated_count: u64,
    /// The position after this batch.
    pub cursor: Cursor,
}

/// The role of a batch in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Part of the full state; more follows.
    Snapshot,
    /// The last part of the full state.
    SnapshotComplete,
    /// States newer than all previous ones. Empty only once, when a resumed reader has missed nothing.
    Live,
    /// Continuity was lost; the full state follows. It has no items.
    Resync,
}

/// The cursor is older than the change feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is too old")]
pub struct CursorTooOld;

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// One pass over all candidates, at `next`.
    Full { next: usize, resumed: bool },
    /// Following changes.
    Live,
}

/// A pass over all slots by index. In the order of changes, a key that changes again before its turn moves to the end, so a reader that stays
/// behind would never get the busiest keys.
#[derive(Clone, Copy, Debug)]
struct Lap {
    /// The next slot.
    next: usize,
    /// The newest change when the pass began. At its end, everything up to there has been considered.
    sequence: u64,
}

#[derive(Default)]
struct Gathered {
    entries: Vec<Bytes>,
    /// The slots of the entries, for a reader that requests traces.
    places: Vec<(ShardId, Position)>,
    len: usize,
    conflated_count: u64,
}

impl Subscription {
    /// A reader that starts with the full state.
    pub fn open(image: &Arc<Image>, collection: Collection, filter: Filter, view: View) -> Self {
        let mut subscription = Self {
            image: Arc::clone(image),
            collection,
            filter,
            view,
            wakes: image.wakes(collection),
            phase: Phase::Live,
            generation: None,
            sequence: 0,
            seen: Vec::new(),
            resumed: Vec::new(),
            next_key: 0,
            lap: None,
            traces: None,
            told: None,
        };
        subscription.begin(&image.read(collection));
        subscription
    }

    /// A reader that continues after a cursor: it gets the keys with a later revision and no others. After another epoch it gets a
    /// RESYNC and the full state. With a cursor ahead of this image it waits.
    ///
    /// # Errors
    ///
    /// When a shard has advanced by more than [`ImageSettings::resume_revisions_max`](crate::ImageSettings) since.
    pub fn resume(
        image: &Arc<Image>,
        collection: Collection,
        filter: Filter,
        view: View,
        cursor: &Cursor,
    ) -> Result<Self, CursorTooOld> {
        let mut subscription = Self::open(image, collection, filter, view);
        let slots = image.read(collection);
        let mut continues = cursor.positions.len() == slots.positions.len();
        for ((from, current), removal) in cursor.positions.iter().zip(&slots.positions).zip(&slots.removals) {
            let Some(current) = current else {
                continues = false;
                continue;
            };
            if from.epoch < current.epoch {
                continues = false;
            } else if from.epoch == current.epoch {
                if from.revision.saturating_add(image.settings.resume_revisions_max) < current.revision {
                    return Err(CursorTooOld);
                }
                // A removed key has no state to send, so only a full state without it can tell.
                continues &= from.revision >= *removal;
            }
        }
        if continues {
            subscription.resumed = cursor.positions.clone();
            subscription.phase = Phase::Full { next: 0, resumed: true };
        } else {
            subscription.generation = None;
        }
        drop(slots);
        Ok(subscription)
    }

    /// True when it continues from a cursor.
    pub fn is_resumed(&self) -> bool {
        self.generation.is_some() && !self.resumed.is_empty()
    }

    /// The number of items that match now.
    pub fn matched_count(&self) -> usize {
        let slots = self.image.read(self.collection);
        let admits = |slot: &Slot| slot.item.as_ref().is_some_and(|item| self.filter.admits(item));
        match &self.filter.keys {
            Some(keys) => {
                keys.iter().filter_map(|key| slots.slot(slots.find(key)?)).filter(|slot| admits(slot)).count()
            }
            None => slots.iter().filter(|slot| admits(slot)).count(),
        }
    }

    /// Takes newer states, up to about `len_max` bytes: the newest state of each key, the longest-waiting key first. `None` when there are
    /// none.
    pub fn take(&mut self, len_max: usize) -> Option<Batch> {
        let batch = self.take_newer(len_max);
        if let Some(batch) = &batch {
            self.told = Some(batch.cursor.clone());
        }
        batch
    }

    fn take_newer(&mut self, len_max: usize) -> Option<Batch> {
        let image = Arc::clone(&self.image);
        let slots = image.read(self.collection);
        if self.generation != Some(slots.generation) {
            self.begin(&slots);
            let cursor = self.cursor_at(&slots);
            return Some(Batch { stage: Stage::Resync, entries: Vec::new(), conflated_count: 0, cursor });
        }
        let mut gathered = Gathered::default();
        let stage = match self.phase {
            Phase::Full { next, resumed } => self.take_full(&slots, next, resumed, len_max, &mut gathered),
            Phase::Live => {
                match self.filter.keys.take() {
                    Some(keys) => {
                        self.take_keys(&slots, &keys, len_max, &mut gathered);
                        self.filter.keys = Some(keys);
                    }
                    None => self.take_changed(&slots, len_max, &mut gathered),
                }
                if self.sequence == slots.sequence {
                    self.settle(&slots);
                }
                if gathered.entries.is_empty() {
                    return None;
                }
                Stage::Live
            }
        };
        let cursor = self.cursor_at(&slots);
        if let Some(traces) = &mut self.traces {
            *traces = image.traces_of(&gathered.places);
        }
        Some(Batch { stage, entries: gathered.entries, conflated_count: gathered.conflated_count, cursor })
    }

    /// Follows another key in the place of one that was given. Its state is new to the reader.
    pub fn replace_key(&mut self, old: &Key, new: Key) {
        let slots = self.image.read(self.collection);
        if let Some(seen) = slots.find(&new).and_then(|at| self.seen.get_mut(at)) {
            *seen = 0;
        }
        drop(slots);
        for key in self.filter.keys.iter_mut().flatten().filter(|key| *key == old) {
            *key = new.clone();
        }
    }

    /// Turns on [`Subscription::traces`].
    pub fn follow_traces(&mut self) {
        self.traces.get_or_insert_default();
    }

    /// The spans that applied what was taken last, each once. Empty unless turned on.
    pub fn traces(&self) -> &[TraceContext] {
        self.traces.as_deref().unwrap_or_default()
    }

    /// Waits until something in the collection has changed since the last call. Call [`Subscription::take`] after it, not before.
    pub async fn changed(&mut self) {
        // The sender lives in the image, which this subscription holds.
        let _ = self.wakes.changed().await;
    }

    /// The position up to which everything has been taken. While a RESYNC is due it does not move, because nothing of the current content has
    /// been sent.
    pub fn cursor(&mut self) -> Cursor {
        let image = Arc::clone(&self.image);
        let slots = image.read(self.collection);
        match &self.told {
            Some(told) if self.generation != Some(slots.generation) => told.clone(),
            _ => {
                let cursor = self.cursor_at(&slots);
                self.told = Some(cursor.clone());
                cursor
            }
        }
    }

    /// The memory of this reader, in bytes. It depends only on the number of keys.
    #[cfg(test)]
    pub(crate) fn memory_len(&self) -> usize {
        self.seen.capacity() * size_of::<u64>()
            + self.resumed.capacity() * size_of::<Position>()
            + self.filter.keys.as_ref().map_or(0, |keys| keys.capacity() * size_of::<Key>())
    }

    /// Starts again with the full state.
    fn begin(&mut self, slots: &Slots) {
        self.generation = Some(slots.generation);
        self.sequence = slots.sequence;
        self.seen.clear();
        self.seen.extend(slots.iter().map(|slot| slot.changes.saturating_sub(1)));
        self.resumed.clear();
        self.phase = Phase::Full { next: 0, resumed: false };
        self.next_key = 0;
        self.lap = None;
    }

    fn take_full(
        &mut self,
        slots: &Slots,
        mut next: usize,
        resumed: bool,
        len_max: usize,
        gathered: &mut Gathered,
    ) -> Stage {
        let candidate_count = self.candidate_count(slots);
        while next < candidate_count && gathered.len < len_max {
            if let Some(at) = self.candidate(slots, next) {
                self.offer(slots, at, gathered);
            }
            next += 1;
        }
        let complete = next >= candidate_count;
        self.phase = if complete { Phase::Live } else { Phase::Full { next, resumed } };
        match (resumed, complete) {
            (true, _) => Stage::Live,
            (false, true) => Stage::SnapshotComplete,
            (false, false) => Stage::Snapshot,
        }
    }

    fn take_keys(&mut self, slots: &Slots, keys: &[Key], len_max: usize, gathered: &mut Gathered) {
        if self.sequence == slots.sequence {
            return;
        }
        let start = if self.next_key < keys.len() { self.next_key } else { 0 };
        let (before, after) = keys.split_at(start);
        for (count, key) in after.iter().chain(before).enumerate() {
            if gathered.len >= len_max {
                self.next_key = (start + count) % keys.len().max(1);
                return;
            }
            if let Some(at) = slots.find(key) {
                self.offer(slots, at, gathered);
            }
        }
        self.sequence = slots.sequence;
    }

    fn take_changed(&mut self, slots: &Slots, len_max: usize, gathered: &mut Gathered) {
        if let Some(Lap { mut next, sequence }) = self.lap.take() {
            while next < slots.len() {
                if gathered.len >= len_max {
                    self.lap = Some(Lap { next, sequence });
                    return;
                }
                self.offer(slots, next, gathered);
                next += 1;
            }
            self.sequence = sequence;
        }
        for (sequence, at) in slots.changed_after(self.sequence) {
            if gathered.len >= len_max {
                self.lap = Some(Lap { next: 0, sequence: slots.sequence });
                return;
            }
            self.offer(slots, at, gathered);
            self.sequence = sequence;
        }
        self.sequence = slots.sequence;
    }

    /// Takes a slot's item if the reader wants it and does not have it.
    fn offer(&mut self, slots: &Slots, at: usize, gathered: &mut Gathered) {
        let Some((slot, item)) = slots.slot(at).and_then(|slot| Some((slot, slot.item.as_ref()?))) else { return };
        if self.seen.len() <= at {
            self.seen.resize(slots.len(), 0);
        }
        let Some(seen) = self.seen.get_mut(at) else { return };
        if *seen >= slot.changes {
            return;
        }
        let superseded_count = slot.changes - *seen - 1;
        *seen = slot.changes;
        if self.filter.admits(item) && !self.had_before(item) {
            let entry = item.entry(self.view).clone();
            gathered.len += entry.len();
            gathered.conflated_count += superseded_count;
            gathered.entries.push(entry);
            if self.traces.is_some() {
                gathered.places.push((item.shard, item.position));
            }
        }
    }

    /// Whether the reader had this revision from its previous connection.
    fn had_before(&self, item: &Item) -> bool {
        let Some(from) = self.resumed.get(usize::from(item.shard)) else { return false };
        item.position <= *from
    }

    /// Drops the cursor's position of each shard that this image has caught up with: from then on an old revision appears again only because its
    /// freshness changed, which must be sent.
    fn settle(&mut self, slots: &Slots) {
        for (from, current) in self.resumed.iter_mut().zip(&slots.positions) {
            if current.is_some_and(|current| current >= *from) {
                *from = Position { epoch: 0, revision: 0 };
            }
        }
    }

    fn candidate_count(&self, slots: &Slots) -> usize {
        self.filter.keys.as_ref().map_or(slots.len(), Vec::len)
    }

    fn candidate(&self, slots: &Slots, index: usize) -> Option<usize> {
        match &self.filter.keys {
            Some(keys) => slots.find(keys.get(index)?),
            None => Some(index),
        }
    }

    /// The newest position before everything that the reader has yet to receive.
    fn cursor_at(&self, slots: &Slots) -> Cursor {
        let mut positions: Vec<Position> =
            slots.positions.iter().map(|position| position.unwrap_or(Position { epoch: 0, revision: 0 })).collect();
        let drained = matches!(self.phase, Phase::Live) && self.sequence == slots.sequence;
        if !drained {
            for index in 0..self.candidate_count(slots) {
                let Some(at) = self.candidate(slots, index) else { continue };
                let Some(item) = slots.slot(at).and_then(|slot| self.waiting(slot, at)) else { continue };
                if let Some(position) = positions.get_mut(usize::from(item.shard)) {
                    position.revision = position.revision.min(item.position.revision.saturating_sub(1));
                }
            }
        }
        for (position, from) in positions.iter_mut().zip(&self.resumed) {
            *position = (*position).max(*from);
        }
        Cursor { collection: self.collection, positions }
    }

    /// The slot's item if the reader has yet to receive this revision.
    fn waiting<'a>(&self, slot: &'a Slot, at: usize) -> Option<&'a Item> {
        let item = slot.item.as_deref()?;
        let seen = self.seen.get(at).copied().unwrap_or(0);
        let news_since = match self.phase {
            Phase::Full { .. } => slot.changes,
            // A change in freshness alone moves no cursor.
            Phase::Live => slot.revision_changes,
        };
        (seen < news_since && self.filter.admits(item) && !self.had_before(item)).then_some(item)
    }
}
