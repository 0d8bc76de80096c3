//! Streams of items that are computed from several states: comparisons and quotients. An item is computed again when one of its states
//! or the histories change, or when a day or session ends. Nothing is queued, so a slow reader gets the newest figures only.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::services::context::Services;
use crate::services::watch::Source;
use crossmarket_api::v1;
use crossmarket_domain::Timestamp;
use crossmarket_domain::state::Key;
use crossmarket_image::{Batch, Collection, Cursor, Image, Position, Stage};

/// Time between two checks whether a day or session has ended.
const CALENDAR_INTERVAL: Duration = Duration::from_secs(1);

/// An item that is computed from states.
pub(crate) trait Derived: Send + 'static {
    /// The keys of the states that it rests on.
    fn keys(&self) -> &[Key];
    /// Its entry as things stand; `None` when it cannot be computed. `afresh` when not only the states have changed.
    fn entry(&mut self, services: &Services, now: Timestamp, afresh: bool) -> Option<Bytes>;
    /// True when a day or session has ended since it was computed.
    fn is_outdated(&self, now: Timestamp) -> bool;
    fn status(&self) -> (v1::ItemState, String);
}

pub(crate) struct DerivedSource<D> {
    services: Services,
    slots: Vec<Slot<D>>,
    changes: Changes,
    wakes: [watch::Receiver<()>; 2],
    generation: watch::Receiver<u64>,
    calendar_at: Instant,
    phase: Phase,
    /// The epoch of every shard when the full state was begun.
    epochs: Vec<u64>,
    /// The position up to which everything has been sent.
    sent: Vec<Position>,
    /// The position from which the client came; it may be ahead of this image.
    resumed: Option<Vec<Position>>,
    /// Where the next round begins, so that the first slots do not starve the last.
    next: usize,
}

/// Change counts of the states that the items rest on. Read once for all items, since most share the benchmark and many do not change.
#[derive(Default)]
struct Changes {
    keys: Vec<Key>,
    counts: Vec<u64>,
}

impl Changes {
    /// The places of some keys, which are taken in where they are new.
    fn places(&mut self, places: &mut HashMap<Key, usize>, keys: &[Key]) -> Vec<usize> {
        let mut place = |key: &Key| {
            *places.entry(key.clone()).or_insert_with(|| {
                self.keys.push(key.clone());
                self.keys.len() - 1
            })
        };
        keys.iter().map(&mut place).collect()
    }

    fn look(&mut self, image: &Image) {
        self.counts.clear();
        self.counts.extend(self.keys.iter().map(|key| image.change_count(key)));
    }

    fn of(&self, place: usize) -> u64 {
        self.counts.get(place).copied().unwrap_or_default()
    }
}

struct Slot<D> {
    name: String,
    derived: D,
    /// The places of its keys among all.
    keys: Vec<usize>,
    /// By key: how often its state had changed when the entry was computed. Empty before that.
    seen: Vec<u64>,
    /// It must be computed again even if no state has changed.
    afresh: bool,
    entry: Option<Bytes>,
    told: Option<v1::ItemState>,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// A frame must say that continuity was lost, then the full state follows.
    Resync,
    /// Going over all slots once.
    Full,
    /// Following changes.
    Live,
}

impl<D: Derived> DerivedSource<D> {
    /// Items by the names that the client gave them. A cursor continues another stream of this service.
    pub(crate) fn new(services: &Services, items: Vec<(String, D)>, cursor: Option<Cursor>) -> Self {
        let image = &services.image;
        let (mut changes, mut places) = (Changes::default(), HashMap::new());
        let slot = |(name, derived): (String, D)| {
            let keys = changes.places(&mut places, derived.keys());
            Slot { name, derived, keys, seen: Vec::new(), afresh: true, entry: None, told: None }
        };
        let slots = items.into_iter().map(slot).collect();
        let mut source = Self {
            services: services.clone(),
            slots,
            changes,
            wakes: [image.wakes(Collection::Prices), image.wakes(Collection::Indices)],
            generation: services.histories.generation(),
            calendar_at: Instant::now() + CALENDAR_INTERVAL,
            phase: Phase::Full,
            epochs: Vec::new(),
            sent: Vec::new(),
            resumed: None,
            next: 0,
        };
        let positions = source.positions();
        source.epochs = positions.iter().map(|position| position.epoch).collect();
        source.sent = vec![Position { epoch: 0, revision: 0 }; positions.len()];
        if let Some(cursor) = cursor {
            let same_epochs = cursor.positions.len() == positions.len()
                && cursor.positions.iter().zip(&positions).all(|(from, now)| from.epoch == now.epoch);
            if same_epochs {
                source.resumed = Some(cursor.positions);
            } else {
                source.phase = Phase::Resync;
            }
        }
        source
    }

    fn positions(&self) -> Vec<Position> {
        let nowhere = Position { epoch: 0, revision: 0 };
        let image = &self.services.image;
        image.shards().all().map(|shard| image.position(shard).unwrap_or(nowhere)).collect()
    }

    /// Marks the items that time or new histories have outdated.
    fn look_around(&mut self, now: Timestamp) {
        if self.generation.has_changed().unwrap_or(false) {
            self.generation.mark_unchanged();
            self.slots.iter_mut().for_each(|slot| slot.afresh = true);
        }
        if Instant::now() >= self.calendar_at {
            self.calendar_at = Instant::now() + CALENDAR_INTERVAL;
            self.slots.iter_mut().for_each(|slot| slot.afresh |= slot.derived.is_outdated(now));
        }
    }

    /// Visits the slots from `self.next` on, until about `len_max` bytes are collected. True when all were visited.
    fn gather(&mut self, len_max: usize, now: Timestamp, entries: &mut Vec<Bytes>, conflated_count: &mut u64) -> bool {
        // Before the states are read, so that a change meanwhile is seen next time.
        self.changes.look(&self.services.image);
        let count = self.slots.len();
        let full = self.phase == Phase::Full;
        let rounds = if full { count.saturating_sub(self.next) } else { count };
        let start = self.next;
        let mut len = 0;
        for step in 0..rounds {
            let at = (start + step) % count.max(1);
            if len >= len_max {
                self.next = at;
                return false;
            }
            let resumed = self.resumed.as_deref().filter(|_| full);
            let Some(slot) = self.slots.get_mut(at) else { continue };
            if let Some((entry, superseded)) = slot.news(&self.services, &self.changes, now, full, resumed) {
                len += entry.len();
                *conflated_count += superseded;
                entries.push(entry);
            }
        }
        self.next = 0;
        true
    }
}

impl<D: Derived> Slot<D> {
    /// Its entry if that is new to the client, with how many states were superseded meanwhile.
    fn news(
        &mut self,
        services: &Services,
        changes: &Changes,
        now: Timestamp,
        all: bool,
        resumed: Option<&[Position]>,
    ) -> Option<(Bytes, u64)> {
        let counts = || self.keys.iter().map(|place| changes.of(*place));
        if !all && !self.afresh && counts().eq(self.seen.iter().copied()) {
            return None;
        }
        // On the first round nothing has been superseded that the client could have seen.
        let steps = counts().zip(&self.seen).map(|(now, before)| now.saturating_sub(*before)).max().unwrap_or(0);
        let superseded = if self.seen.is_empty() || all { 0 } else { steps.saturating_sub(1) };
        self.seen = counts().collect();
        let had_before = resumed.is_some_and(|from| {
            let is_known =
                |position: &Position, shard| from.get(usize::from(shard)).is_some_and(|known| position <= known);
            let items = self.derived.keys().iter().filter_map(|key| services.image.get(key));
            items.into_iter().all(|item| is_known(&item.position, item.shard))
        });
        let entry = self.derived.entry(services, now, std::mem::take(&mut self.afresh));
        let is_new = entry != self.entry;
        // An entry that was held back is new to the client when it is computed again.
        self.entry = entry.clone().filter(|_| !had_before);
        entry.filter(|_| !had_before && (all || is_new)).map(|entry| (entry, superseded))
    }
}

impl<D: Derived> Source for DerivedSource<D> {
    fn take(&mut self, len_max: usize) -> Option<Batch> {
        let now = self.services.clock.now();
        // Read before the states, so that a cursor never promises more than was seen.
        let positions = self.positions();
        let epochs: Vec<u64> = positions.iter().map(|position| position.epoch).collect();
        if self.phase == Phase::Resync || epochs != self.epochs {
            self.epochs = epochs;
            self.resumed = None;
            self.phase = Phase::Full;
            self.next = 0;
            self.sent = vec![Position { epoch: 0, revision: 0 }; positions.len()];
            let stage = Stage::Resync;
            return Some(Batch { stage, entries: Vec::new(), conflated_count: 0, cursor: self.cursor() });
        }
        self.look_around(now);
        let (mut entries, mut conflated_count) = (Vec::new(), 0);
        let is_complete = self.gather(len_max, now, &mut entries, &mut conflated_count);
        let was = self.phase;
        if is_complete {
            self.sent = positions;
            self.phase = Phase::Live;
        }
        let stage = match (was, self.resumed.is_some(), is_complete) {
            (Phase::Full, false, true) => Stage::SnapshotComplete,
            (Phase::Full, false, false) => Stage::Snapshot,
            _ => Stage::Live,
        };
        if was == Phase::Live && entries.is_empty() {
            return None;
        }
        Some(Batch { stage, entries, conflated_count, cursor: self.cursor() })
    }

    async fn changed(&mut self) {
        let [prices, indices] = &mut self.wakes;
        // The senders live in the image and the histories, which the services hold. A change of the histories stays marked until it is looked at.
        let mut generation = self.generation.clone();
        tokio::select! {
            _ = prices.changed() => {}
            _ = indices.changed() => {}
            _ = generation.changed() => {}
            () = tokio::time::sleep_until(self.calendar_at) => {}
        }
    }

    fn cursor(&mut self) -> Cursor {
        let mut positions = self.sent.clone();
        if let Some(resumed) = &self.resumed {
            positions.iter_mut().zip(resumed).for_each(|(position, from)| *position = (*position).max(*from));
        }
        Cursor { collection: Collection::Indices, positions }
    }

    fn matched_count(&self) -> usize {
        self.slots.iter().filter(|slot| slot.derived.status().0 == v1::ItemState::Ok).count()
    }

    fn is_resumed(&self) -> bool {
        self.resumed.is_some()
    }

    fn item_news(&mut self, all: bool) -> Vec<v1::ItemStatus> {
        let mut news = Vec::new();
        for slot in &mut self.slots {
            let (state, message) = slot.derived.status();
            if all || slot.told != Some(state) {
                slot.told = Some(state);
                news.push(super::status::item_status(&slot.name, state, message));
            }
        }
        news
    }
}

/// The items of a request, each name once.
pub(crate) fn each_once<D>(names: &[String], mut make: impl FnMut(&str) -> D) -> Vec<(String, D)> {
    let mut seen = std::collections::HashSet::new();
    let distinct = names.iter().filter(|name| seen.insert(name.to_uppercase()));
    distinct.map(|name| (name.clone(), make(name))).collect()
}
