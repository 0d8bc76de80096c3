//! The embedded store survives `kill -9`: a child process writes, is killed at some moment, and what it had reported as
//! flushed must be there, with a feed that is whole.
//!
//! The child is this test binary again, with [`CHILD_DIRECTORY`] set.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crossmarket_domain::series::{Point, SeriesKey, SeriesKind};
use crossmarket_domain::state::{AssetInfo, AssetKind, Body, Key, State};
use crossmarket_domain::{AssetCode, AssetId, Decimal, Timestamp};
use crossmarket_store::{EmbeddedStore, Entry, Store, StoreError, Tail};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const CHILD_DIRECTORY: &str = "CROSSMARKET_TEST_STORE_CRASH_DIRECTORY";
const SEED_SETTING: &str = "CROSSMARKET_TEST_SEED";
const ROUNDS: u32 = 6;
const BATCH_LEN: u64 = 3;

/// One test with two roles, so that a run without the setting never has a test that does nothing.
#[tokio::test]
async fn what_was_flushed_survives_kill_9() {
    match std::env::var_os(CHILD_DIRECTORY) {
        Some(directory) => write_until_killed(Path::new(&directory)).await,
        None => kill_and_reopen().await,
    }
}

/// Nobody calls for a flush here: the store makes durable what was written, a flush interval later.
#[tokio::test]
async fn what_was_written_becomes_durable_by_itself() {
    if let Some(directory) = std::env::var_os(CHILD_DIRECTORY) {
        let store = EmbeddedStore::open(Path::new(&directory)).await.expect("opens");
        let (epoch, _) = store.open_writer(0, Timestamp::EPOCH).await.expect("a writer");
        write_batch(&store, epoch, 0).await;
        report(BATCH_LEN);
        return std::future::pending().await;
    }
    let directory = tempfile::tempdir().expect("a directory");
    // Twenty flush intervals.
    let delay = Duration::from_secs(2);
    let written = run_child_for("what_was_written_becomes_durable_by_itself", directory.path(), delay).await;
    let store = EmbeddedStore::open(directory.path()).await.expect("opens after a crash");
    assert_eq!(check_store(&store, written).await.1, BATCH_LEN);
}

async fn kill_and_reopen() {
    let seed = std::env::var(SEED_SETTING).ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random::<u64>);
    println!("{SEED_SETTING}={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let directory = tempfile::tempdir().expect("a directory");
    let mut epoch_before = 0;
    let mut revision_before = 0;
    for round in 0..ROUNDS {
        let delay = Duration::from_micros(random.random_range(0..250_000));
        let flushed = run_child_for("what_was_flushed_survives_kill_9", directory.path(), delay).await;
        println!("round {round}: killed after {delay:?}, flushed {flushed}");
        assert!(flushed > revision_before, "the child continued where the store stood");
        let store = EmbeddedStore::open(directory.path()).await.expect("opens after a crash");
        let (epoch, revision) = check_store(&store, flushed).await;
        assert!(epoch > epoch_before, "every writer has a larger epoch");
        (epoch_before, revision_before) = (epoch, revision);
    }
}

/// Starts a child, kills it some time after its first report, and returns the last revision that it reported.
async fn run_child_for(test_name: &str, directory: &Path, delay: Duration) -> u64 {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args([test_name, "--exact", "--nocapture"])
        .env(CHILD_DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    // Only whole lines count: what follows the last line end was cut off by the kill.
    let reported =
        |line: &str| line.split_once("reached ").and_then(|(_, number)| number.strip_suffix('.')?.parse().ok());
    let (report_first, mut reported_first) = tokio::sync::oneshot::channel();
    let reader = std::thread::spawn(move || {
        let mut report_first = Some(report_first);
        let mut last = 0;
        for revision in lines.map_while(Result::ok).filter_map(|line| reported(&line)) {
            last = revision;
            if let Some(report_first) = report_first.take() {
                let _ = report_first.send(());
            }
        }
        last
    });
    (&mut reported_first).await.expect("the child writes");
    match EmbeddedStore::open(directory).await {
        Err(StoreError::Unavailable(text)) => assert!(text.contains(&directory.display().to_string()), "{text}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("two processes have the store open"),
    }
    tokio::time::sleep(delay).await;
    child.kill().expect("killed");
    child.wait().expect("ended");
    reader.join().expect("read")
}

/// Checks everything in the store and returns its epoch and newest revision.
async fn check_store(store: &EmbeddedStore, flushed: u64) -> (u64, u64) {
    let bootstrap = store.bootstrap(0).await.expect("a bootstrap");
    assert!(bootstrap.revision >= flushed, "{} is stored and {flushed} was flushed", bootstrap.revision);
    assert_eq!(bootstrap.revision % BATCH_LEN, 0, "batches are whole");
    let mut latest = BTreeMap::new();
    let mut revision = 0;
    while revision < bootstrap.revision {
        let tail = store.tail(0, bootstrap.epoch, revision, Duration::ZERO).await.expect("a tail");
        let Tail::Entries(entries) = tail else { panic!("a gap after {revision}") };
        assert!(!entries.is_empty(), "the feed ends at {revision}");
        for entry in entries {
            revision += 1;
            assert_eq!(entry, update(revision), "dense, and with the content that was written");
            if entry.state.is_some() {
                latest.insert(entry.key.clone(), entry);
            } else {
                latest.remove(&entry.key);
            }
        }
    }
    let stored: BTreeMap<Key, Entry> = bootstrap.entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
    assert_eq!(stored, latest, "the latest values are the last entries of the feed");
    let forever = Timestamp::from_micros(i64::MAX);
    let points = store.points(&series(), Timestamp::EPOCH, forever).await.expect("points");
    for expected in (1..=bootstrap.revision / BATCH_LEN).map(|batch| point(batch * BATCH_LEN)) {
        assert!(
            points.binary_search_by_key(&expected.time, |point| point.time).is_ok(),
            "{expected:?} was written before its batch"
        );
    }
    let info = store.series().await.expect("series");
    assert_eq!(info.first().map(|info| info.count), Some(points.len() as u64));
    (bootstrap.epoch, bootstrap.revision)
}

async fn write_until_killed(directory: &Path) {
    let store = EmbeddedStore::open(directory).await.expect("opens");
    let (epoch, mut revision) = store.open_writer(0, Timestamp::EPOCH).await.expect("a writer");
    loop {
        revision = write_batch(&store, epoch, revision).await;
        // Most batches are made durable by the store itself, at its own time.
        if revision.is_multiple_of(7) {
            store.flush().await.expect("flushed");
            report(revision);
        }
    }
}

async fn write_batch(store: &EmbeddedStore, epoch: u64, after: u64) -> u64 {
    // The point comes first: a batch that survives has its point, also after the next child continues behind it.
    store.put_points(&series(), &[point(after + BATCH_LEN)]).await.expect("put");
    let batch = (1..=BATCH_LEN).map(|offset| update(after + offset)).map(|entry| (entry.key, entry.state));
    let written = store.write(0, epoch, batch.collect(), None).await.expect("written");
    assert_eq!(written, after + BATCH_LEN);
    written
}

/// Tells the parent, in one whole line.
fn report(revision: u64) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "reached {revision}.").and_then(|()| output.flush()).expect("the parent reads");
}

/// The write at a revision: one of a few keys, removed now and then.
fn update(revision: u64) -> Entry {
    let id = AssetId::parse(&format!("A{}", revision % 11)).expect("an id");
    let time = Timestamp::from_seconds(revision as i64);
    let state = State {
        event_time: time,
        receive_time: time,
        publish_time: time,
        budget: Duration::from_secs(60),
        simulated: true,
        body: Body::Asset(Box::new(AssetInfo {
            asset_id: id.clone(),
            asset: AssetCode::parse(id.as_str()).expect("a code"),
            aliases: Vec::new(),
            name: Some(format!("revision {revision}").into()),
            kind: AssetKind::Coin,
            market_cap_rank: None,
            categories: Vec::new(),
            listing_ids: Vec::new(),
            instruments: Vec::new(),
            history_start: None,
            history_day_count: 0,
        })),
    };
    let removed = revision.is_multiple_of(17);
    Entry { key: Key::Asset(id), revision, state: (!removed).then_some(state), trace: None }
}

fn series() -> SeriesKey {
    SeriesKey { subject: "A".into(), kind: SeriesKind::Sampled("revisions:1h".into()) }
}

fn point(revision: u64) -> Point {
    Point { time: Timestamp::from_seconds(revision as i64 * 600), value: Decimal::from(revision as i64) }
}
