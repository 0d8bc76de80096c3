//! What clients received, and whether a service that keeps its promises could have sent it.
//!
//! The promises, by the names that etcd's robustness tests gave them:
//! - *ordered*: on one stream positions and the revisions of a key only grow, within an epoch;
//! - *unique*: a position (shard, epoch, revision) is one state of one key, whoever received it from whichever replica;
//! - *atomic*: a state is whole: the same position never comes with another content;
//! - *reliable*: at a frame's cursor a client holds, for every key, the newest state in the feed up to that position, or a newer one;
//! - *resumable*: the same holds after a stream continues at another replica, given only its cursor;
//! - *bookmarkable*: it holds for the cursor of every frame, including one without a state.
//!
//! A client is notified when continuity is lost, and then starts again: an epoch that changes without notice is a broken promise, too.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// A shard's number.
pub type Shard = usize;

/// (epoch, revision) in a shard's feed.
pub type Position = (u64, u64);

/// One state as a client received it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub key: String,
    pub shard: Shard,
    pub revision: u64,
    /// Covers everything but the freshness, which each reader determines for itself.
    pub content: u64,
}

/// What happened on one client's stream, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A frame, with the position in each shard that its cursor holds.
    Frame { complete: bool, cursor: Vec<Position>, items: Vec<Item> },
    /// The client was told to discard its states.
    Gap,
}

/// One client's stream.
#[derive(Clone, Debug, Default)]
pub struct ClientHistory {
    pub name: String,
    pub events: Vec<Event>,
}

/// An unbroken part of a shard's change feed, as one reader of the store itself saw it.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    pub shard: Shard,
    pub epoch: u64,
    /// The revision at which it began, with the keys at that time.
    pub from: u64,
    pub base: BTreeMap<String, u64>,
    /// The changes after it, up to `last`, without a gap: the key, and whether it was removed.
    pub entries: BTreeMap<u64, (String, bool)>,
    pub last: u64,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    pub promise: &'static str,
    pub client: String,
    /// The place of the event in that client's history.
    pub event: usize,
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: {} at event {}: {}", self.promise, self.client, self.event, self.detail)
    }
}

/// How much was checked, to tell a run that saw nothing from one that found no fault.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Looked {
    pub frames: usize,
    pub items: usize,
    pub gaps: usize,
    /// Pairs of a frame and a key that were compared with the feed.
    pub compared: usize,
}

impl Segment {
    /// For every key, its newest revision up to the given one; `false` if the key had been removed by then.
    fn newest(&self, revision: u64) -> BTreeMap<&str, (u64, bool)> {
        let mut newest: BTreeMap<&str, (u64, bool)> =
            self.base.iter().map(|(key, revision)| (key.as_str(), (*revision, true))).collect();
        for (at, (key, gone)) in self.entries.range(..=revision) {
            newest.insert(key, (*at, !gone));
        }
        newest
    }

    fn covers(&self, shard: Shard, (epoch, revision): Position) -> bool {
        self.shard == shard && self.epoch == epoch && (self.from..=self.last).contains(&revision)
    }
}

/// Checks every client's history against the promises.
pub fn check(clients: &[ClientHistory], feed: &[Segment]) -> (Vec<Violation>, Looked) {
    let mut checker = Checker { feed, positions: HashMap::new(), violations: Vec::new(), looked: Looked::default() };
    for client in clients {
        checker.client(client);
    }
    (checker.violations, checker.looked)
}

struct Checker<'a> {
    feed: &'a [Segment],
    /// Key and content by position, over all clients.
    positions: HashMap<(Shard, Position), (String, u64)>,
    violations: Vec<Violation>,
    looked: Looked,
}

#[derive(Default)]
struct Client {
    held: BTreeMap<String, (Shard, u64)>,
    cursor: Option<Vec<Position>>,
    complete: bool,
}

impl Checker<'_> {
    fn client(&mut self, history: &ClientHistory) {
        let mut client = Client::default();
        for (at, event) in history.events.iter().enumerate() {
            let mut broken = |promise, detail| {
                self.violations.push(Violation { promise, client: history.name.clone(), event: at, detail });
            };
            match event {
                Event::Gap => {
                    client = Client::default();
                    self.looked.gaps += 1;
                }
                Event::Frame { complete, cursor, items } => {
                    self.looked.frames += 1;
                    self.looked.items += items.len();
                    if let Some(before) = &client.cursor {
                        for (shard, (before, now)) in before.iter().zip(cursor).enumerate() {
                            if now < before {
                                broken("ordered", format!("shard {shard}: cursor {now:?} after {before:?}"));
                            } else if now.0 != before.0 && before.0 != 0 {
                                broken("told", format!("shard {shard}: epoch {} after {}", now.0, before.0));
                            }
                        }
                    }
                    for item in items {
                        let epoch = cursor.get(item.shard).map_or(0, |position| position.0);
                        let place = (item.shard, (epoch, item.revision));
                        let had = self.positions.entry(place).or_insert_with(|| (item.key.clone(), item.content));
                        if had.0 != item.key {
                            broken("unique", format!("{place:?} is {} and {}", had.0, item.key));
                        } else if had.1 != item.content {
                            broken("atomic", format!("{place:?} of {} has two contents", item.key));
                        }
                        if let Some((_, before)) = client.held.insert(item.key.clone(), (item.shard, item.revision))
                            && item.revision < before
                        {
                            broken("ordered", format!("{}: revision {} after {before}", item.key, item.revision));
                        }
                    }
                    client.cursor = Some(cursor.clone());
                    client.complete |= complete;
                    if client.complete {
                        self.compare(&client, history, at);
                    }
                }
            }
        }
    }

    fn compare(&mut self, client: &Client, history: &ClientHistory, event: usize) {
        for (shard, position) in client.cursor.iter().flatten().enumerate() {
            let Some(segment) = self.feed.iter().find(|segment| segment.covers(shard, *position)) else { continue };
            for (key, (revision, there)) in segment.newest(position.1) {
                self.looked.compared += 1;
                let held = client.held.get(key).map(|(_, revision)| *revision);
                // A removed key may have returned in a state that is ahead of the cursor.
                let kept = if there {
                    held.is_some_and(|held| held >= revision)
                } else {
                    held.is_none_or(|held| held > revision)
                };
                if !kept {
                    let detail =
                        format!("{key} at {position:?} of shard {shard}: the feed has {revision}, held is {held:?}");
                    self.violations.push(Violation {
                        promise: "reliable",
                        client: history.name.clone(),
                        event,
                        detail,
                    });
                }
            }
        }
    }
}

/// Correct and faulty histories, and the checker's verdict on each.
pub fn self_test() {
    let item = |key: &str, revision, content| Item { key: key.to_owned(), shard: 0, revision, content };
    let frame = |complete, cursor: Position, items: Vec<Item>| Event::Frame { complete, cursor: vec![cursor], items };
    let feed = Segment {
        shard: 0,
        epoch: 7,
        from: 2,
        base: [("BTC".to_owned(), 1), ("ETH".to_owned(), 2)].into(),
        entries: [(3, ("BTC".to_owned(), false)), (4, ("SOL".to_owned(), false)), (5, ("ETH".to_owned(), true))].into(),
        last: 5,
    };
    let says = |histories: Vec<Vec<Event>>| -> Vec<&'static str> {
        let named = |(number, events)| ClientHistory { name: format!("client {number}"), events };
        let clients: Vec<ClientHistory> = histories.into_iter().enumerate().map(named).collect();
        check(&clients, std::slice::from_ref(&feed)).0.into_iter().map(|violation| violation.promise).collect()
    };
    let begin = || vec![frame(false, (7, 0), vec![item("BTC", 1, 10)]), frame(true, (7, 2), vec![item("ETH", 2, 20)])];
    let with = |events: Vec<Event>| begin().into_iter().chain(events).collect::<Vec<_>>();
    let next = || frame(false, (7, 4), vec![item("SOL", 4, 40), item("BTC", 3, 30)]);

    let right = with(vec![
        next(),
        frame(false, (7, 4), vec![]),
        Event::Gap,
        frame(true, (7, 5), vec![item("BTC", 3, 30), item("SOL", 4, 40)]),
    ]);
    assert_eq!(says(vec![right.clone(), right]), [""; 0]);
    // Ahead of the cursor, and the same state again because its freshness changed.
    let ahead = with(vec![
        frame(false, (7, 2), vec![item("SOL", 4, 40)]),
        frame(false, (7, 4), vec![item("BTC", 3, 30), item("SOL", 4, 40)]),
    ]);
    assert_eq!(says(vec![ahead]), [""; 0]);

    assert_eq!(says(vec![with(vec![frame(false, (7, 1), vec![])])]), ["ordered"], "a cursor goes back");
    let back = with(vec![next(), frame(false, (7, 4), vec![item("BTC", 1, 10)])]);
    assert_eq!(says(vec![back]), ["ordered", "reliable"], "a key goes back");
    let other = with(vec![frame(false, (7, 4), vec![item("SOL", 4, 41), item("BTC", 3, 30)])]);
    assert_eq!(says(vec![with(vec![next()]), other]), ["atomic"], "two contents of one state");
    let twice = with(vec![frame(false, (7, 4), vec![item("XMR", 4, 40), item("SOL", 4, 40), item("BTC", 3, 30)])]);
    assert_eq!(says(vec![twice]), ["unique"], "two keys at one position");
    let lost = with(vec![frame(false, (7, 4), vec![item("SOL", 4, 40)])]);
    assert_eq!(says(vec![lost]), ["reliable"], "an update that never came");
    assert_eq!(
        says(vec![with(vec![frame(false, (7, 4), vec![])])]),
        ["reliable"; 2],
        "a bookmark beyond what was sent"
    );
    let silent = with(vec![frame(false, (8, 1), vec![item("BTC", 1, 50)])]);
    assert_eq!(says(vec![silent]), ["told"], "a new epoch without a word");
    let kept = with(vec![next(), frame(false, (7, 5), vec![])]);
    assert_eq!(says(vec![kept]), ["reliable"], "a key removed from the feed but not from the client");
}
