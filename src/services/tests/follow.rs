//! The task that follows the store.

use super::*;
use crossmarket_image::follow::{follow_shard, keep_fresh};
use crossmarket_image::testing::{BUDGET, snapshot};
use crossmarket_store::Entry;

fn entry(revision: Revision, price: &str) -> Entry {
    let Change { key, revision, state } = priced(revision, snapshot("BTC", 1, price), at(0));
    Entry { key, revision, state, trace: None }
}

async fn wait_until(mut condition: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("did not come true");
}

#[tokio::test(start_paused = true)]
async fn bootstraps_tails_and_bootstraps_again_after_a_gap() {
    let store = Arc::new(CandleStore::default());
    let image = Arc::new(Image::new(WireEncoder, ImageSettings::default()));
    let cancel = CancellationToken::new();
    // Taken from the end. The store fails once it has nothing more to say, and at first.
    let boot =
        |epoch, entry: Entry| Bootstrap { epoch, revision: entry.revision, entries: vec![entry], complete: true };
    *store.tails.lock().expect("not poisoned") = vec![
        Tail::Entries(vec![entry(3, "5")]),
        Tail::Gap,
        Tail::Entries(vec![]),
        Tail::Entries(vec![entry(2, "2"), entry(3, "3")]),
    ];
    let clock = Clock::simulated(at(0), 1e-9);
    let task = tokio::spawn(follow_shard(image.clone(), store.clone(), 0, clock, cancel.clone()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!image.is_ready(), "the store does not answer yet");
    *store.bootstraps.lock().expect("not poisoned") = vec![boot(EPOCH + 1, entry(2, "4")), boot(EPOCH, entry(1, "1"))];
    wait_until(|| image.position(0) == Some(Position { epoch: EPOCH + 1, revision: 3 })).await;
    let item = image.get(&Key::Price(id("BTC"))).expect("applied");
    assert_eq!(item.position.revision, 3);
    cancel.cancel();
    task.await.expect("ends when cancelled");
}

/// A writer that begins on an emptied store publishes in several batches: nothing is taken away meanwhile, and what does not come back is
/// gone in the end.
#[tokio::test(start_paused = true)]
async fn an_emptied_store_takes_nothing_away_until_its_writer_has_published() {
    let store = Arc::new(CandleStore::default());
    let image = Arc::new(Image::new(WireEncoder, ImageSettings::default()));
    let cancel = CancellationToken::new();
    let other = |revision| {
        let Change { key, revision, state } = priced(revision, snapshot("ETH", 2, "2"), at(0));
        Entry { key, revision, state, trace: None }
    };
    let boot =
        |epoch, entries: Vec<Entry>| Bootstrap { epoch, revision: entries.len() as u64, entries, complete: true };
    // Taken from the end.
    *store.tails.lock().expect("not poisoned") = vec![Tail::Gap];
    *store.bootstraps.lock().expect("not poisoned") =
        vec![boot(EPOCH + 1, vec![entry(1, "3")]), boot(EPOCH + 1, vec![]), boot(EPOCH, vec![entry(1, "1"), other(2)])];
    let clock = Clock::simulated(at(0), 1e-9);
    let task = tokio::spawn(follow_shard(image.clone(), store.clone(), 0, clock, cancel.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(store.bootstraps.lock().expect("not poisoned").is_empty(), "it has looked");
    assert_eq!((image.position(0).map(|position| position.epoch), image.key_count(0)), (Some(EPOCH), 2));
    *store.bootstraps.lock().expect("not poisoned") = vec![boot(EPOCH + 1, vec![entry(1, "3"), other(2)])];
    wait_until(|| image.position(0).is_some_and(|position| position.epoch == EPOCH + 1)).await;
    assert_eq!(image.key_count(0), 2);

    *store.bootstraps.lock().expect("not poisoned") = (0..100).map(|_| boot(EPOCH + 2, vec![other(1)])).collect();
    store.tails.lock().expect("not poisoned").push(Tail::Gap);
    wait_until(|| image.position(0).is_some_and(|position| position.epoch == EPOCH + 2)).await;
    assert_eq!(image.key_count(0), 1);
    cancel.cancel();
    task.await.expect("ends when cancelled");
}

#[tokio::test(start_paused = true)]
async fn freshness_is_kept_by_the_clock() {
    let image = Arc::new(Image::new(WireEncoder, ImageSettings::default()));
    let clock = Clock::simulated(at(0), 1.0);
    let cancel = CancellationToken::new();
    let task = tokio::spawn(keep_fresh(image.clone(), clock, cancel.clone()));
    let change = priced(1, snapshot("BTC", 1, "1"), at(0));
    image.bootstrap(0, Position { epoch: EPOCH, revision: 1 }, vec![change], clock.now());
    tokio::time::sleep(BUDGET / 2).await;
    assert_eq!(image.fresh_price_count(), 1);
    tokio::time::sleep(BUDGET).await;
    assert_eq!(image.fresh_price_count(), 0);
    cancel.cancel();
    task.await.expect("ends when cancelled");
}

/// While the store is away its writer publishes nothing, so that time does not count.
#[tokio::test(start_paused = true)]
async fn an_outage_while_a_shard_is_filled_takes_nothing_away() {
    let store = Arc::new(CandleStore::default());
    let image = Arc::new(Image::new(WireEncoder, ImageSettings::default()));
    let cancel = CancellationToken::new();
    let boot = |epoch, entries: Vec<Entry>, complete| Bootstrap { epoch, revision: 1, entries, complete };
    // Taken from the end, and then the store fails.
    *store.tails.lock().expect("not poisoned") = vec![Tail::Gap];
    *store.bootstraps.lock().expect("not poisoned") =
        vec![boot(EPOCH + 1, vec![], false), boot(EPOCH, vec![entry(1, "1")], true)];
    let clock = Clock::simulated(at(0), 1e-9);
    let task = tokio::spawn(follow_shard(image.clone(), store.clone(), 0, clock, cancel.clone()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    *store.bootstraps.lock().expect("not poisoned") = vec![boot(EPOCH + 1, vec![], false)];
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(store.bootstraps.lock().expect("not poisoned").is_empty(), "it has looked");
    assert_eq!((image.position(0).map(|position| position.epoch), image.key_count(0)), (Some(EPOCH), 1));
    *store.bootstraps.lock().expect("not poisoned") = vec![boot(EPOCH + 1, vec![entry(1, "2")], true)];
    wait_until(|| image.position(0).is_some_and(|position| position.epoch == EPOCH + 1)).await;
    assert_eq!(image.key_count(0), 1);
    cancel.cancel();
    task.await.expect("ends when cancelled");
}
