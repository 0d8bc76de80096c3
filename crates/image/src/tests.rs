use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::testing::{TextEncoder, at, id, priced, snapshot, state};
use super::*;
use crossmarket_domain::Shards;
use crossmarket_domain::state::{Body, Epoch, Key, Revision};

const EPOCH: Epoch = 7;
const ALL: usize = usize::MAX;

fn image_with(changes: Vec<Change>, settings: ImageSettings) -> Arc<Image> {
    let image = Arc::new(Image::new(TextEncoder, settings));
    let revision = changes.iter().map(|change| change.revision).max().unwrap_or(0);
    image.bootstrap(0, Position { epoch: EPOCH, revision }, changes, at(0));
    image
}

fn image(assets: &[&str]) -> Arc<Image> {
    let changes = (1..).zip(assets).map(|(revision, asset)| change(revision, asset)).collect();
    image_with(changes, ImageSettings::default())
}

fn change(revision: Revision, asset: &str) -> Change {
    priced(revision, snapshot(asset, 1, "1"), at(0))
}

fn apply(image: &Image, revision: Revision, assets: &[&str]) {
    let changes = (revision..).zip(assets).map(|(revision, asset)| change(revision, asset)).collect();
    image.apply(0, EPOCH, changes, at(0)).expect("continues");
}

fn open(image: &Arc<Image>, filter: Filter) -> Subscription {
    Subscription::open(image, Collection::Prices, filter, View::Basic)
}

/// A reader that has the full state already.
fn live(image: &Arc<Image>, filter: Filter) -> Subscription {
    let mut reader = open(image, filter);
    assert_eq!(reader.take(ALL).map(|batch| batch.stage), Some(Stage::SnapshotComplete));
    reader
}

fn resume(image: &Arc<Image>, cursor: &Cursor) -> Result<Subscription, CursorTooOld> {
    Subscription::resume(image, Collection::Prices, Filter::default(), View::Basic, cursor)
}

fn texts(batch: &Batch) -> Vec<&str> {
    batch.entries.iter().map(|entry| std::str::from_utf8(entry).expect("text")).collect()
}

fn taken(reader: &mut Subscription) -> Vec<String> {
    reader.take(ALL).map(|batch| texts(&batch).into_iter().map(str::to_owned).collect()).unwrap_or_default()
}

fn cursor(epoch: Epoch, revision: Revision) -> Cursor {
    // The cross-asset shard has no prices.
    let nowhere = Position { epoch: 0, revision: 0 };
    Cursor { collection: Collection::Prices, positions: vec![Position { epoch, revision }, nowhere] }
}

#[test]
fn conflation_is_counted_exactly() {
    let image = image(&["BTC", "ETH", "SOL"]);
    let mut reader = live(&image, Filter::default());
    apply(&image, 4, &["BTC", "ETH", "BTC", "BTC", "ETH"]);
    let batch = reader.take(ALL).expect("news");
    assert_eq!(texts(&batch), ["BTC@7", "ETH@8"]);
    assert_eq!((batch.conflated_count, batch.cursor), (3, cursor(EPOCH, 8)));
    assert!(reader.take(ALL).is_none());
}

#[test]
fn what_a_reader_does_not_want_is_not_counted() {
    let image = image(&["BTC", "ETH"]);
    let filter = Filter { market_cap_rank_max: Some(10), ..Filter::default() };
    let mut reader = live(&image, filter);
    let ranked = |revision, rank| priced(revision, snapshot("ETH", rank, "1"), at(0));
    image.apply(0, EPOCH, vec![ranked(3, 11), ranked(4, 12)], at(0)).expect("continues");
    assert!(reader.take(ALL).is_none());
    image.apply(0, EPOCH, vec![ranked(5, 10)], at(0)).expect("continues");
    let batch = reader.take(ALL).expect("matches again");
    assert_eq!((texts(&batch), batch.conflated_count), (vec!["ETH@5"], 0));
}

#[test]
fn a_snapshot_in_parts_is_complete_although_everything_changes_meanwhile() {
    let assets: Vec<String> = (0..50).map(|number| format!("A{number}")).collect();
    let names: Vec<&str> = assets.iter().map(String::as_str).collect();
    let image = image(&names);
    let mut reader = open(&image, Filter::default());
    let mut newest = BTreeMap::new();
    let mut revision = 51;
    loop {
        let batch = reader.take(20).expect("a snapshot always ends with a frame");
        for text in texts(&batch) {
            let (asset, revision) = text.split_once('@').expect("written so");
            newest.insert(asset.to_owned(), revision.to_owned());
        }
        if batch.stage == Stage::SnapshotComplete {
            break;
        }
        assert_eq!(batch.stage, Stage::Snapshot);
        apply(&image, revision, &names);
        revision += 50;
    }
    assert_eq!(newest.len(), 50, "every key came before the snapshot was complete");
    while let Some(batch) = reader.take(20) {
        for text in texts(&batch) {
            let (asset, revision) = text.split_once('@').expect("written so");
            newest.insert(asset.to_owned(), revision.to_owned());
        }
    }
    for (asset, seen) in newest {
        let item = image.get(&Key::Price(id(&asset))).expect("in the image");
        assert_eq!(seen, item.position.revision.to_string(), "{asset}");
    }
}

#[test]
fn nothing_is_sent_twice_across_the_end_of_a_snapshot() {
    let image = image(&["BTC", "ETH"]);
    let mut reader = open(&image, Filter::default());
    apply(&image, 3, &["BTC"]);
    let batch = reader.take(ALL).expect("the snapshot");
    assert_eq!((texts(&batch).len(), batch.stage, batch.conflated_count), (2, Stage::SnapshotComplete, 1));
    assert!(reader.take(ALL).is_none());
}

#[test]
fn an_empty_snapshot_is_complete_at_once() {
    let reader_of_nothing = Filter { keys: Some(Vec::new()), ..Filter::default() };
    let mut reader = open(&image(&["BTC"]), reader_of_nothing);
    let batch = reader.take(ALL).expect("a frame");
    assert_eq!((batch.stage, batch.entries.len()), (Stage::SnapshotComplete, 0));
}

/// A heartbeat may come between a bootstrap and the RESYNC that tells of it.
#[test]
fn a_cursor_stays_where_it_was_until_the_resync_is_told() {
    let image = image(&["BTC", "ETH"]);
    let mut reader = live(&image, Filter::default());
    apply(&image, 3, &["BTC"]);
    assert_eq!(taken(&mut reader), ["BTC@3"]);
    let before = reader.cursor();
    let changes = vec![change(9, "BTC"), change(10, "ETH")];
    image.bootstrap(0, Position { epoch: EPOCH + 1, revision: 10 }, changes, at(0));
    assert_eq!(reader.cursor(), before);
    let resync = reader.take(ALL).expect("a frame");
    assert_eq!((resync.stage, resync.cursor), (Stage::Resync, cursor(EPOCH + 1, 8)));
    assert_eq!(reader.cursor(), cursor(EPOCH + 1, 8));
    assert_eq!(taken(&mut reader), ["BTC@9", "ETH@10"]);
    assert_eq!(reader.cursor(), cursor(EPOCH + 1, 10));
}

#[test]
fn staleness_is_told_under_the_same_revision_and_moves_no_cursor() {
    let image = image(&["BTC", "ETH"]);
    let mut reader = live(&image, Filter::default());
    let before = reader.cursor();
    assert_eq!(image.next_deadline(), Some(at(60)));
    assert_eq!(image.refresh(at(59)), 0);
    assert_eq!((image.fresh_price_count(), image.refresh(at(60)), image.fresh_price_count()), (2, 2, 0));
    let batch = reader.take(ALL).expect("flips are news");
    assert_eq!((texts(&batch), &batch.cursor), (vec!["BTC@1!", "ETH@2!"], &before));
    // Fresh again by a new state, or because the clock was set back.
    image.apply(0, EPOCH, vec![priced(3, snapshot("BTC", 1, "2"), at(70))], at(70)).expect("continues");
    assert_eq!(taken(&mut reader), ["BTC@3"]);
    assert_eq!(image.refresh(at(10)), 1);
    assert_eq!(taken(&mut reader), ["ETH@2"]);
}

#[test]
fn a_closed_market_s_level_is_closed_until_the_next_one_is_overdue() {
    use crossmarket_domain::index::{IndexCalendar, IndexCode, IndexMethodology, IndexSnapshot, MarketSession};
    let index = IndexCode::parse("RUT").expect("an index");
    let methodology = IndexMethodology::observed("", "yahoo", IndexCalendar::NewYork);
    let level = |session, closed_until| {
        let snapshot = IndexSnapshot::empty(index.clone(), methodology.clone(), session);
        state(Body::Index(Box::new(IndexSnapshot { closed_until, ..snapshot })), at(0))
    };
    let image = image(&[]);
    let cross_asset = image.shards().cross_asset();
    image.bootstrap(cross_asset, Position { epoch: EPOCH, revision: 0 }, Vec::new(), at(0));
    let key = Key::Index(index.clone());
    let put = |revision, state| {
        let change = Change { key: key.clone(), revision, state: Some(state) };
        image.apply(cross_asset, EPOCH, vec![change], at(0)).expect("continues");
    };
    let shown = || image.get(&key).map(|item| item.freshness);
    put(1, level(MarketSession::Closed, Some(at(1_000))));
    assert_eq!((image.refresh(at(999)), shown()), (0, Some(Freshness::Closed)), "age does not count");
    assert_eq!((image.refresh(at(1_059)), shown()), (0, Some(Freshness::Closed)), "a first level takes a while");
    assert_eq!((image.refresh(at(1_060)), shown()), (1, Some(Freshness::Stale)));
    put(2, level(MarketSession::Open, None));
    assert_eq!((shown(), image.refresh(at(60)), shown()), (Some(Freshness::Fresh), 1, Some(Freshness::Stale)));
    let mut reader = Subscription::open(&image, Collection::Indices, Filter::default(), View::Basic);
    assert_eq!(taken(&mut reader), ["RUT@2!"]);
}

#[test]
fn any_replica_continues_with_exactly_what_is_later() {
    let here = image(&["BTC", "ETH", "SOL"]);
    let mut reader = live(&here, Filter::default());
    apply(&here, 4, &["ETH"]);
    taken(&mut reader);
    let left_at = Cursor::decode(&reader.cursor().encode(), Collection::Prices).expect("own cursor");

    let there = image(&["BTC", "ETH", "SOL"]);
    apply(&there, 4, &["ETH", "SOL", "SOL"]);
    let mut reader = resume(&there, &left_at).expect("recent");
    assert!(reader.is_resumed());
    let batch = reader.take(ALL).expect("a first frame");
    assert_eq!((texts(&batch), batch.stage), (vec!["SOL@6"], Stage::Live));
    assert!(reader.take(ALL).is_none());
    there.refresh(at(60));
    assert_eq!(taken(&mut reader).len(), 3, "staleness of older revisions is reported too");
}

#[test]
fn a_snapshot_left_half_way_is_continued() {
    let assets = ["A", "B", "C", "D", "E"];
    let image = image(&assets);
    let mut reader = open(&image, Filter::default());
    let first = reader.take(5).expect("a first part");
    assert_eq!(first.stage, Stage::Snapshot);
    let mut seen: Vec<String> = texts(&first).into_iter().map(str::to_owned).collect();
    seen.extend(taken(&mut resume(&image, &first.cursor).expect("recent")));
    seen.sort();
    assert_eq!(seen, ["A@1", "B@2", "C@3", "D@4", "E@5"]);
}

#[test]
fn a_cursor_ahead_of_the_replica_is_waited_for() {
    let image = image(&["BTC", "ETH"]);
    let mut reader = resume(&image, &cursor(EPOCH, 4)).expect("not too old");
    let first = reader.take(ALL).expect("a first frame");
    assert_eq!((first.entries.len(), first.cursor), (0, cursor(EPOCH, 4)));
    apply(&image, 3, &["BTC", "ETH"]);
    assert!(reader.take(ALL).is_none(), "seen before, on the replica that was ahead");
    apply(&image, 5, &["BTC"]);
    assert_eq!(taken(&mut reader), ["BTC@5"]);
}

#[test]
fn a_cursor_behind_the_floor_is_too_old() {
    let settings = ImageSettings { resume_revisions_max: 3, ..ImageSettings::default() };
    let image = image_with(vec![change(10, "BTC")], settings);
    assert_eq!(resume(&image, &cursor(EPOCH, 6)).map(|_| ()), Err(CursorTooOld));
    assert_eq!(resume(&image, &cursor(EPOCH, 7)).map(|_| ()), Ok(()));
}

#[test]
fn another_epoch_a_gap_and_a_removal_resynchronize() {
    let image = image(&["BTC", "ETH"]);
    let check = |reader: &mut Subscription, expected: &[&str]| {
        assert_eq!(reader.take(ALL).map(|batch| batch.stage), Some(Stage::Resync));
        let batch = reader.take(ALL).expect("the full state");
        assert_eq!((batch.stage, texts(&batch)), (Stage::SnapshotComplete, expected.to_vec()));
    };
    check(&mut resume(&image, &cursor(EPOCH - 1, 2)).expect("an old epoch is not too old"), &["BTC@1", "ETH@2"]);

    let mut reader = live(&image, Filter::default());
    image.bootstrap(0, Position { epoch: EPOCH, revision: 9 }, vec![change(8, "BTC"), change(9, "ETH")], at(0));
    check(&mut reader, &["BTC@8", "ETH@9"]);

    image.apply(0, EPOCH, vec![Change { key: Key::Price(id("BTC")), revision: 10, state: None }], at(0)).expect("next");
    check(&mut reader, &["ETH@9"]);
    check(&mut resume(&image, &cursor(EPOCH, 9)).expect("recent"), &["ETH@9"]);
    assert!(image.get(&Key::Price(id("BTC"))).is_none());

    image.bootstrap(0, Position { epoch: EPOCH + 1, revision: 1 }, vec![change(1, "SOL")], at(0));
    check(&mut reader, &["SOL@1"]);
}

#[test]
fn updates_that_do_not_follow_are_refused_and_old_ones_passed_over() {
    let image = image(&["BTC"]);
    assert_eq!(image.apply(0, EPOCH, vec![change(3, "BTC")], at(0)), Err(Discontinuity));
    assert_eq!(image.apply(0, EPOCH + 1, vec![change(2, "BTC")], at(0)), Err(Discontinuity));
    assert_eq!(image.apply(1, EPOCH, vec![change(1, "BTC")], at(0)), Err(Discontinuity));
    assert_eq!(image.apply(0, EPOCH, vec![change(1, "BTC"), change(2, "BTC")], at(0)), Ok(()));
    assert_eq!(image.position(0), Some(Position { epoch: EPOCH, revision: 2 }));
}

#[test]
fn an_image_is_ready_when_every_shard_is() {
    let image = Image::new(TextEncoder, ImageSettings { shards: Shards::new(2), ..ImageSettings::default() });
    let begun = Position { epoch: 1, revision: 0 };
    assert!(!image.is_ready());
    image.bootstrap(1, begun, Vec::new(), at(0));
    assert!(!image.is_ready());
    image.bootstrap(0, begun, Vec::new(), at(0));
    assert!(image.is_ready() && image.is_loaded(Collection::Prices), "prices do not wait for states derived from them");
    assert!(!image.is_loaded(Collection::Feeds));
    image.bootstrap(2, begun, Vec::new(), at(0));
    assert!(image.is_loaded(Collection::Feeds));
}

#[test]
fn another_shard_disturbs_no_watcher_and_no_cursor() {
    let settings = ImageSettings { shards: Shards::new(2), ..ImageSettings::default() };
    let image = Arc::new(Image::new(TextEncoder, settings));
    let shard_of = |asset: &str| settings.shards.of_asset(&id(asset));
    assert_eq!(["BTC", "SOL", "LINK"].map(shard_of), [0, 1, 1], "by their hashes");
    let position = |epoch, revision| Position { epoch, revision };
    image.bootstrap(0, position(7, 1), vec![change(1, "BTC")], at(0));
    image.bootstrap(1, position(9, 2), vec![change(1, "SOL"), change(2, "LINK")], at(0));
    let mut reader = live(&image, Filter::default());
    image.bootstrap(2, position(3, 5), Vec::new(), at(0));
    assert_eq!(reader.take(ALL), None, "the cross-asset shard has no prices");
    let cursor = reader.cursor();
    assert_eq!(cursor.positions, [position(7, 1), position(9, 2), position(0, 0)]);
    let mut resumed = resume(&image, &cursor).expect("resumed");
    assert_eq!(resumed.take(ALL).map(|batch| (batch.stage, batch.entries.len())), Some((Stage::Live, 0)));
    image.apply(1, 9, vec![change(3, "SOL")], at(0)).expect("continues");
    let batch = resumed.take(ALL).expect("news");
    assert_eq!((texts(&batch), batch.cursor.positions[1]), (vec!["SOL@3"], position(9, 3)));
    // A key in a shard that is not its own is left from another division of the assets.
    image.apply(1, 9, vec![Change { state: None, ..change(4, "BTC") }], at(0)).expect("continues");
    assert_eq!(resumed.take(ALL), None);
    assert!(image.get(&Key::Price(id("BTC"))).is_some());
}

#[test]
fn a_reader_that_never_reads_costs_no_more() {
    let image = image(&["BTC", "ETH"]);
    let keys = Filter { keys: Some(vec![Key::Price(id("BTC"))]), ..Filter::default() };
    let readers = [live(&image, Filter::default()), open(&image, keys)];
    let before = readers.each_ref().map(Subscription::memory_len);
    for revision in 3..5_003 {
        apply(&image, revision, &["BTC"]);
    }
    assert_eq!(readers.each_ref().map(Subscription::memory_len), before);
    let [mut reader, _] = readers;
    let batch = reader.take(ALL).expect("news");
    assert_eq!((texts(&batch), batch.conflated_count), (vec!["BTC@5002"], 4_999));
}

#[test]
fn the_last_of_the_keys_asked_for_does_not_starve() {
    let image = image(&["BTC", "ETH"]);
    let keys = ["BTC", "ETH"].map(|asset| Key::Price(id(asset)));
    let mut reader = live(&image, Filter { keys: Some(keys.to_vec()), ..Filter::default() });
    apply(&image, 3, &["BTC", "ETH"]);
    let first = reader.take(1).expect("news");
    assert_eq!((texts(&first), &first.cursor), (vec!["BTC@3"], &cursor(EPOCH, 3)));
    apply(&image, 5, &["BTC"]);
    assert_eq!(reader.take(1).map(|batch| texts(&batch) == ["ETH@4"]), Some(true));
}

#[test]
fn the_busiest_key_does_not_starve_a_reader_who_stays_behind() {
    let assets: Vec<String> = (0..50).map(|number| format!("A{number}")).collect();
    let names: Vec<&str> = assets.iter().map(String::as_str).collect();
    let image = image(&names);
    let mut reader = live(&image, Filter::default());
    let mut busiest = 0;
    for round in 0..100 {
        apply(&image, 51 + round * 50, &names);
        let batch = reader.take(50).expect("always news");
        busiest += texts(&batch).iter().filter(|text| text.starts_with("A49@")).count();
    }
    assert!(busiest >= 5, "seen {busiest} times");
}

#[tokio::test]
async fn a_waiting_reader_is_woken() {
    let image = image(&["BTC"]);
    let mut reader = live(&image, Filter::default());
    let writer = Arc::clone(&image);
    let (batch, ()) = tokio::join!(
        async {
            loop {
                reader.changed().await;
                if let Some(batch) = reader.take(ALL) {
                    break batch;
                }
            }
        },
        async { apply(&writer, 2, &["BTC"]) }
    );
    assert_eq!(texts(&batch), ["BTC@2"]);
}

proptest! {
    /// However reads and writes interleave, the reader ends with the image's states, and every change was either sent or counted.
    #[test]
    fn every_change_is_sent_or_counted(steps in prop::collection::vec((0usize..6, 0usize..4), 1..60)) {
        const ASSETS: [&str; 4] = ["A", "B", "C", "D"];
        let image = image(&ASSETS);
        let mut reader = live(&image, Filter::default());
        let (mut revision, mut sent, mut conflated, mut newest) = (5, 0, 0, BTreeMap::new());
        let mut read = |reader: &mut Subscription, len_max| {
            while let Some(batch) = reader.take(len_max) {
                sent += batch.entries.len() as u64;
                conflated += batch.conflated_count;
                for text in texts(&batch) {
                    let (asset, revision) = text.split_once('@').expect("written so");
                    let before = newest.insert(asset.to_owned(), revision.parse::<u64>().expect("a number"));
                    prop_assert!(before.is_none_or(|before| before.to_string() != revision), "sent twice");
                }
                if len_max == 1 {
                    break;
                }
            }
            Ok(())
        };
        for (step, asset) in steps {
            match step {
                0 => read(&mut reader, 1)?,
                1 => read(&mut reader, ALL)?,
                _ => {
                    apply(&image, revision, &[ASSETS[asset]]);
                    revision += 1;
                }
            }
        }
        read(&mut reader, ALL)?;
        prop_assert_eq!(sent + conflated, revision - 5);
        for (asset, revision) in newest {
            let item = image.get(&Key::Price(id(&asset))).expect("in the image");
            prop_assert_eq!(item.position.revision, revision);
        }
        prop_assert_eq!(reader.cursor(), cursor(EPOCH, revision - 1));
    }
}
