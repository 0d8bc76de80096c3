//! What every store must do, tried on each of them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossmarket_domain::series::{Point, SeriesKey, SeriesKind};
use crossmarket_domain::state::{AssetInfo, AssetKind, Body, Key, State};
use crossmarket_domain::{AssetCode, AssetId, Candle, CandleInterval, Decimal, Timestamp, TraceContext};
use crossmarket_store::embedded::EmbeddedOptions;
use crossmarket_store::redis::RedisOptions;
use crossmarket_store::{
    Bootstrap, EmbeddedStore, Entry, FeedLimits, LeaseClaim, RedisStore, Store, StoreError, TAIL_LEN_MAX, Tail,
};

#[path = "support/redis.rs"]
mod servers;

use servers::{RedisCluster, RedisServer};

const LIMITS: FeedLimits = FeedLimits { len_max: 5_000, bytes_max: 1 << 20 };

/// Runs one test on a fresh store of each kind.
async fn on_every_store<F, R>(limits: FeedLimits, test: F)
where
    F: Fn(Arc<dyn Store>) -> R,
    R: Future<Output = ()>,
{
    eprintln!("memory");
    test(Arc::new(EmbeddedStore::in_memory_with(options(limits)).expect("a store"))).await;
    eprintln!("embedded");
    let directory = tempfile::tempdir().expect("a directory");
    test(Arc::new(embedded(directory.path(), limits).await)).await;
    eprintln!("redis");
    let server = RedisServer::start();
    test(Arc::new(in_redis(&server.url(), limits))).await;
    if std::process::Command::new("valkey-server").arg("--version").output().is_ok() {
        eprintln!("valkey");
        let server = RedisServer::start_program("valkey-server", &[]);
        test(Arc::new(in_redis(&server.url(), limits))).await;
    } else {
        eprintln!("skipped: valkey-server is not on this machine");
    }
    eprintln!("redis cluster");
    let cluster = RedisCluster::shared();
    // The cluster is for all tests at the same time: each has keys of its own.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let url = format!("{}?prefix=cm{}", cluster.url(), NEXT.fetch_add(1, Ordering::Relaxed));
    test(Arc::new(in_redis(&url, limits))).await;
}

fn in_redis(url: &str, feed: FeedLimits) -> RedisStore {
    RedisStore::new(url, RedisOptions { feed, ..RedisOptions::default() }).expect("a URL")
}

async fn embedded(directory: &Path, feed: FeedLimits) -> EmbeddedStore {
    EmbeddedStore::open_with(directory, options(feed)).await.expect("opens")
}

fn options(feed: FeedLimits) -> EmbeddedOptions {
    EmbeddedOptions { feed, ..EmbeddedOptions::default() }
}

fn key(code: &str) -> Key {
    Key::Asset(AssetId::parse(code).expect("an id"))
}

fn now(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A state identified by its rank.
fn state(received_millis: i64, rank: u32) -> State {
    State {
        event_time: now(received_millis),
        receive_time: now(received_millis),
        publish_time: now(received_millis),
        budget: Duration::from_secs(60),
        simulated: false,
        body: Body::Asset(Box::new(AssetInfo {
            asset_id: AssetId::parse("any").expect("an id"),
            asset: AssetCode::parse("ANY").expect("a code"),
            aliases: Vec::new(),
            name: None,
            kind: AssetKind::Coin,
            market_cap_rank: Some(rank),
            categories: Vec::new(),
            listing_ids: Vec::new(),
            instruments: Vec::new(),
            history_start: None,
            history_day_count: 0,
        })),
    }
}

fn entry(code: &str, revision: u64, state: Option<State>) -> Entry {
    Entry { key: key(code), revision, state, trace: None }
}

async fn tail_now(store: &dyn Store, epoch: u64, after: u64) -> Tail {
    store.tail(0, epoch, after, Duration::ZERO).await.expect("a tail")
}

#[tokio::test]
async fn an_empty_shard_is_empty() {
    on_every_store(LIMITS, |store| async move {
        let empty = Bootstrap { epoch: 0, revision: 0, entries: Vec::new(), complete: true };
        assert_eq!(store.bootstrap(3).await.expect("a bootstrap"), empty);
        assert_eq!(store.series().await.expect("series"), Vec::new());
        assert_eq!(tail_now(&*store, 0, 0).await, Tail::Entries(Vec::new()));
        assert_eq!(tail_now(&*store, 7, 7).await, Tail::Gap);
        assert!(store.flush().await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn epochs_rise_and_fence() {
    on_every_store(LIMITS, |store| async move {
        let write = |epoch, rank| store.write(0, epoch, vec![(key("A"), Some(state(1, rank)))], None);
        assert!(matches!(write(0, 1).await, Err(StoreError::Fenced { .. })), "nobody opened the shard");
        let (first, revision) = store.open_writer(0, now(1_000)).await.expect("a writer");
        assert_eq!((first, revision), (1_000, 0));
        assert_eq!(write(first, 1).await.expect("written"), 1);
        // The clock went backwards: the epoch still rises.
        let (second, revision) = store.open_writer(0, now(-5)).await.expect("a writer");
        assert_eq!((second, revision), (1_001, 1));
        match write(first, 2).await {
            Err(StoreError::Fenced { epoch, holder }) => assert_eq!((epoch, holder), (first, second)),
            other => panic!("{other:?}"),
        }
        assert_eq!(write(second, 3).await.expect("written"), 2);
        let bootstrap = store.bootstrap(0).await.expect("a bootstrap");
        assert_eq!(bootstrap.epoch, second);
        assert_eq!(bootstrap.entries, [entry("A", 2, Some(state(1, 3)))]);
        assert_eq!(tail_now(&*store, first, 1).await, Tail::Gap);
    })
    .await;
}

#[tokio::test]
async fn a_lease_has_one_holder_and_opens_a_writer() {
    on_every_store(LIMITS, |store| async move {
        let life = Duration::from_millis(400);
        let acquire = async |holder| store.acquire_lease(0, holder, life, now(1_000)).await.expect("an answer");
        let LeaseClaim::Granted(first) = acquire("a").await else { panic!("nobody holds it") };
        assert_eq!((first.shard, first.holder.as_str(), first.epoch, first.revision), (0, "a", 1_000, 0));
        assert!(first.renew_at() < first.stop_at() && first.stop_at() < first.ends_at());
        match acquire("b").await {
            LeaseClaim::Held { holder, remaining } => {
                assert!(holder == "a" && remaining <= life, "{holder} {remaining:?}")
            }
            granted => panic!("{granted:?}"),
        }
        let write = |epoch, rank| store.write(0, epoch, vec![(key("A"), Some(state(1, rank)))], None);
        assert_eq!(write(first.epoch, 1).await.expect("written"), 1, "a refused claim deposes nobody");

        let LeaseClaim::Granted(again) = acquire("a").await else { panic!("its own") };
        assert_eq!((again.epoch, again.revision), (1_001, 1));
        assert!(
            matches!(store.renew_lease(&first).await, Err(StoreError::LeaseLost { shard: 0, .. })),
            "an older grant"
        );
        let renewed = store.renew_lease(&again).await.expect("renewed");
        assert_eq!(renewed.epoch, again.epoch);
        assert!(renewed.since >= again.since);

        // A lease that is no longer held is left alone.
        store.release_lease(&first).await.expect("an answer");
        assert!(matches!(acquire("b").await, LeaseClaim::Held { .. }));
        store.release_lease(&renewed).await.expect("released");
        let LeaseClaim::Granted(second) = acquire("b").await else { panic!("released") };
        assert_eq!(second.epoch, 1_002);
        assert!(matches!(write(renewed.epoch, 2).await, Err(StoreError::Fenced { .. })));

        // Another shard's lease is another's; and one that is not renewed runs out.
        let other = store.acquire_lease(1, "c", life, now(1_000)).await.expect("an answer");
        assert!(matches!(other, LeaseClaim::Granted(_)));
        let third = loop {
            match acquire("c").await {
                LeaseClaim::Granted(lease) => break lease,
                LeaseClaim::Held { remaining, .. } => tokio::time::sleep(remaining + Duration::from_millis(5)).await,
            }
        };
        assert!(third.epoch > second.epoch);
        match store.renew_lease(&second).await {
            Err(StoreError::LeaseLost { holder, .. }) => assert_eq!(holder.as_deref(), Some("c")),
            other => panic!("{other:?}"),
        }
        for (holder, life) in [("", life), ("two words", life), (&*"x".repeat(200), life), ("d", Duration::ZERO)] {
            assert!(store.acquire_lease(2, holder, life, now(1)).await.is_err(), "{holder} {life:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn revisions_are_dense_and_each_shard_has_its_own() {
    on_every_store(LIMITS, |store| async move {
        let (epoch, _) = store.open_writer(0, now(1)).await.expect("a writer");
        let (other_epoch, _) = store.open_writer(1, now(9)).await.expect("a writer");
        let batch = |codes: &[&str]| codes.iter().map(|code| (key(code), Some(state(1, 1)))).collect();
        assert_eq!(store.write(0, epoch, batch(&["A", "B", "A"]), None).await.expect("written"), 3);
        assert_eq!(store.write(1, other_epoch, batch(&["Z"]), None).await.expect("written"), 1);
        assert_eq!(store.write(0, epoch, Vec::new(), None).await.expect("written"), 3);
        assert_eq!(store.write(0, epoch, batch(&["C"]), None).await.expect("written"), 4);
        let expected: Vec<Entry> =
            (1..).zip(["A", "B", "A", "C"]).map(|(revision, code)| entry(code, revision, Some(state(1, 1)))).collect();
        assert_eq!(tail_now(&*store, epoch, 0).await, Tail::Entries(expected.clone()));
        assert_eq!(tail_now(&*store, epoch, 2).await, Tail::Entries(expected[2..].to_vec()));
        assert_eq!(tail_now(&*store, epoch, 4).await, Tail::Entries(Vec::new()));
        assert_eq!(tail_now(&*store, epoch, 5).await, Tail::Gap, "nobody can have seen the future");
        let bootstrap = store.bootstrap(1).await.expect("a bootstrap");
        assert_eq!(bootstrap.entries, [entry("Z", 1, Some(state(1, 1)))]);
    })
    .await;
}

#[tokio::test]
async fn older_states_are_left_out_and_removals_count() {
    on_every_store(LIMITS, |store| async move {
        let (epoch, _) = store.open_writer(0, now(1)).await.expect("a writer");
        let write = async |received, rank| {
            store.write(0, epoch, vec![(key("A"), Some(state(received, rank)))], None).await.expect("written")
        };
        assert_eq!(write(100, 1).await, 1);
        assert_eq!(write(99, 2).await, 1, "older");
        assert_eq!(write(100, 3).await, 2, "as old, and written later");
        let remove = vec![(key("A"), None), (key("NEVER"), None)];
        assert_eq!(store.write(0, epoch, remove, None).await.expect("written"), 4);
        assert_eq!(store.bootstrap(0).await.expect("a bootstrap").entries, []);
        let expected = vec![
            entry("A", 1, Some(state(100, 1))),
            entry("A", 2, Some(state(100, 3))),
            entry("A", 3, None),
            entry("NEVER", 4, None),
        ];
        assert_eq!(tail_now(&*store, epoch, 0).await, Tail::Entries(expected));
        assert_eq!(write(1, 4).await, 5, "what was removed may come back");
    })
    .await;
}

/// The next writer's clock may lag behind its predecessor's. Its writes must not wait until its clock has caught up.
#[tokio::test]
async fn a_later_writer_is_heard_though_its_clock_is_behind() {
    on_every_store(LIMITS, |store| async move {
        let (epoch, _) = store.open_writer(0, now(1)).await.expect("a writer");
        let batch = vec![(key("A"), Some(state(9_000, 1))), (key("B"), Some(state(300, 1)))];
        assert_eq!(store.write(0, epoch, batch, None).await.expect("written"), 2);
        let (later, _) = store.open_writer(0, now(1)).await.expect("a writer");
        let behind = |received, rank| Some(State { publish_time: now(500), ..state(received, rank) });
        let batch = vec![(key("A"), behind(400, 2)), (key("B"), behind(200, 2))];
        assert_eq!(
            store.write(0, later, batch, None).await.expect("written"),
            3,
            "A is of the future, B is newer indeed"
        );
        let entries = store.bootstrap(0).await.expect("a bootstrap").entries;
        assert_eq!(entries, [entry("A", 3, behind(400, 2)), entry("B", 2, Some(state(300, 1)))]);
        // Its own states are compared as usual.
        assert_eq!(store.write(0, later, vec![(key("A"), behind(399, 3))], None).await.expect("written"), 3);
        assert_eq!(store.write(0, later, vec![(key("A"), behind(400, 4))], None).await.expect("written"), 4);
    })
    .await;
}

#[tokio::test]
async fn readers_of_the_feed_are_told_of_a_batch_s_trace() {
    on_every_store(LIMITS, |store| async move {
        let (epoch, _) = store.open_writer(0, now(1)).await.expect("a writer");
        let trace = Some(TraceContext { trace_id: 7, span_id: u64::MAX });
        let updates = vec![(key("A"), Some(state(1, 1))), (key("B"), None)];
        assert_eq!(store.write(0, epoch, updates, trace).await.expect("written"), 2);
        store.write(0, epoch, vec![(key("C"), Some(state(1, 2)))], None).await.expect("written");
        let Tail::Entries(entries) = tail_now(&*store, epoch, 0).await else { panic!("a gap") };
        assert_eq!(entries.iter().map(|entry| entry.trace).collect::<Vec<_>>(), [trace, trace, None]);
    })
    .await;
}

#[tokio::test]
async fn a_trimmed_tail_is_a_gap() {
    for limits in [FeedLimits { len_max: 4, bytes_max: 1 << 20 }, FeedLimits { len_max: 5_000, bytes_max: 200 }] {
        on_every_store(limits, |store| async move {
            let (epoch, _) = store.open_writer(0, now(1)).await.expect("a writer");
            // Redis drops whole nodes of its streams, of some 4 KiB each.
            for rank in 0..400 {
                store.write(0, epoch, vec![(key("A"), Some(state(1, rank)))], None).await.expect("written");
            }
            assert_eq!(tail_now(&*store, epoch, 0).await, Tail::Gap);
            assert_eq!(tail_now(&*store, epoch, 399).await, Tail::Entries(vec![entry("A", 400, Some(state(1, 399)))]));
            assert_eq!(tail_now(&*store, epoch, 400).await, Tail::Entries(Vec::new()));
            assert_eq!(store.bootstrap(0).await.expect("a bootstrap").entries, [entry("A", 400, Some(state(1, 399)))]);
        })
        .await;
    }
}

#[tokio::test]
async fn long_tails_come_in_parts() {
    on_every_store(LIMITS, |store| async move {
        let (epoch, _) = store.open_writer(0, now(1)).await.expect("a writer");
        let count = TAIL_LEN_MAX as u64 + 10;
        let batch = (0..count).map(|rank| (key("A"), Some(state(1, rank as u32)))).collect();
        assert_eq!(store.write(0, epoch, batch, None).await.expect("written"), count);
        let mut after = 0;
        for expected in [TAIL_LEN_MAX, 10, 0] {
            let Tail::Entries(entries) = tail_now(&*store, epoch, after).await else { panic!("a gap") };
            assert_eq!(entries.len(), expected);
            assert!(entries.iter().map(|entry| entry.revision).eq(after + 1..=after + expected as u64));
            after += expected as u64;
        }
    })
    .await;
}

#[tokio::test]
async fn a_waiting_tail_wakes_up() {
    on_every_store(LIMITS, |store| async move {
        let (epoch, _) = store.open_writer(0, now(1)).await.expect("a writer");
        let waiting = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.tail(0, epoch, 0, Duration::from_secs(60)).await.expect("a tail") }
        });
        let nothing = store.tail(0, epoch, 0, Duration::from_millis(20)).await.expect("a tail");
        assert_eq!(nothing, Tail::Entries(Vec::new()));
        store.write(0, epoch, vec![(key("A"), Some(state(1, 1)))], None).await.expect("written");
        assert_eq!(waiting.await.expect("answered"), Tail::Entries(vec![entry("A", 1, Some(state(1, 1)))]));
        let deposed = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.tail(0, epoch, 1, Duration::MAX).await.expect("a tail") }
        });
        tokio::task::yield_now().await;
        store.open_writer(0, now(1)).await.expect("a writer");
        assert_eq!(deposed.await.expect("answered"), Tail::Gap);
    })
    .await;
}

/// Readers who bootstrap and tail while batches are written see each batch whole or not at all, and every revision once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bootstrap_and_tail_see_whole_batches_without_a_gap() {
    const BATCHES: u32 = 60;
    on_every_store(LIMITS, |store| async move {
        let (epoch, _) = store.open_writer(0, now(1)).await.expect("a writer");
        let writer = tokio::spawn({
            let store = Arc::clone(&store);
            async move {
                for rank in 1..=BATCHES {
                    let batch = ["A", "B", "C"].map(|code| (key(code), Some(state(1, rank)))).to_vec();
                    store.write(0, epoch, batch, None).await.expect("written");
                    tokio::task::yield_now().await;
                }
            }
        });
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    tokio::task::yield_now().await;
                    let bootstrap = store.bootstrap(0).await.expect("a bootstrap");
                    assert_eq!(bootstrap.revision % 3, 0, "half a batch");
                    let states: Vec<_> = bootstrap.entries.iter().map(|entry| &entry.state).collect();
                    assert!(states.windows(2).all(|pair| pair[0] == pair[1]), "half a batch");
                    let mut revision = bootstrap.revision;
                    while revision < u64::from(BATCHES) * 3 {
                        let tail = store.tail(0, epoch, revision, Duration::from_secs(10)).await.expect("a tail");
                        let Tail::Entries(entries) = tail else { panic!("a gap") };
                        assert!(!entries.is_empty(), "the writer came to a halt");
                        // A long tail comes in parts, and a part may end within a batch.
                        let is_part = entries.len() == TAIL_LEN_MAX;
                        for entry in entries {
                            revision += 1;
                            assert_eq!(entry.revision, revision);
                        }
                        assert!(is_part || revision % 3 == 0, "half a batch");
                    }
                })
            })
            .collect();
        writer.await.expect("written");
        for reader in readers {
            reader.await.expect("read");
        }
    })
    .await;
}

fn series(subject: &str, kind: SeriesKind) -> SeriesKey {
    SeriesKey { subject: subject.into(), kind }
}

fn day(number: i64) -> Timestamp {
    Timestamp::from_seconds(number * 86_400)
}

fn point(day_number: i64, value: i64) -> Point {
    Point { time: day(day_number), value: Decimal::from(value) }
}

#[tokio::test]
async fn series_are_merged_read_and_trimmed() {
    on_every_store(LIMITS, |store| async move {
        let caps = series("BTC", SeriesKind::DailyMarketCap);
        // Over several blocks, from before 1970, newest first, in two parts that overlap.
        let older: Vec<Point> = (-600..400).rev().map(|number| point(number, number)).collect();
        let newer: Vec<Point> = (390..1_500).map(|number| point(number, -number)).collect();
        store.put_points(&caps, &older).await.expect("put");
        store.put_points(&caps, &newer).await.expect("put");
        store.put_points(&caps, &[]).await.expect("put");
        let value = |number: i64| if number >= 390 { -number } else { number };
        let expected = |range: std::ops::Range<i64>| -> Vec<Point> { range.map(|n| point(n, value(n))).collect() };
        let read = async |from, until| store.points(&caps, day(from), day(until)).await.expect("points");
        assert_eq!(read(-1_000, 3_000).await, expected(-600..1_500));
        assert_eq!(read(380, 400).await, expected(380..400));
        assert_eq!(read(511, 513).await, expected(511..513));
        assert_eq!(read(512, 512).await, []);
        assert_eq!(read(513, 512).await, []);
        let forever = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
        assert_eq!(store.points(&caps, forever.0, forever.1).await.expect("points").len(), 2_100);

        let info = async || {
            let infos = store.series().await.expect("series");
            infos.into_iter().map(|info| (info.key, info.count, info.first, info.last)).collect::<Vec<_>>()
        };
        assert_eq!(info().await, [(caps.clone(), 2_100, day(-600), day(1_499))]);
        for (before, first) in [(-9_999, -600), (-512, -512), (100, 100), (100, 100), (1_024, 1_024)] {
            store.trim_series(&caps, day(before)).await.expect("trimmed");
            assert_eq!(info().await, [(caps.clone(), (1_500 - first) as u64, day(first), day(1_499))], "{before}");
            assert_eq!(read(-1_000, 3_000).await, expected(first..1_500));
        }
        store.trim_series(&caps, forever.1).await.expect("trimmed");
        assert_eq!(info().await, []);
        store.trim_series(&caps, forever.1).await.expect("trimmed");
    })
    .await;
}

#[tokio::test]
async fn candles_are_replaced_by_start_and_series_do_not_mix() {
    on_every_store(LIMITS, |store| async move {
        let candle = |hour: i64, close: &str, volume: Option<&str>| Candle {
            start: Timestamp::from_seconds(hour * 3_600),
            open: Decimal::parse("1.00").expect("a number"),
            high: Decimal::parse("3.50").expect("a number"),
            low: Decimal::parse("0.00000001").expect("a number"),
            close: Decimal::parse(close).expect("a number"),
            base_volume: volume.map(|text| Decimal::parse(text).expect("a number")),
            quote_volume: None,
        };
        let hourly = series("BTC", SeriesKind::Candles(CandleInterval::OneHour));
        let daily = series("BTC", SeriesKind::Candles(CandleInterval::OneDay));
        let sampled = series("BTC", SeriesKind::Sampled("global-account:aggregate:1h".into()));
        let longer = series("BTC2", SeriesKind::Candles(CandleInterval::OneHour));
        store.put_candles(&hourly, &[candle(2, "2.0", None), candle(1, "1.0", Some("7"))]).await.expect("put");
        store.put_candles(&hourly, &[candle(2, "2.50", Some("0.10"))]).await.expect("put");
        store.put_candles(&daily, &[candle(0, "3", None)]).await.expect("put");
        store.put_candles(&longer, &[candle(5, "3", None)]).await.expect("put");
        store.put_points(&sampled, &[point(1, 1)]).await.expect("put");
        let from_to = (day(0), day(10_000));
        let read = store.candles(&hourly, from_to.0, from_to.1).await.expect("candles");
        // As text: the scales are preserved, too.
        let expected = [candle(1, "1.0", Some("7")), candle(2, "2.50", Some("0.10"))];
        assert_eq!(format!("{read:?}"), format!("{expected:?}"));
        let keys: Vec<SeriesKey> = store.series().await.expect("series").into_iter().map(|info| info.key).collect();
        assert_eq!(keys, [hourly.clone(), daily, sampled.clone(), longer]);

        let wrong = |error: StoreError| assert!(matches!(error, StoreError::WrongSeries { .. }), "{error}");
        wrong(store.put_points(&hourly, &[point(1, 1)]).await.expect_err("candles"));
        wrong(store.points(&hourly, from_to.0, from_to.1).await.expect_err("candles"));
        wrong(store.put_candles(&sampled, &expected).await.expect_err("points"));
        wrong(store.candles(&sampled, from_to.0, from_to.1).await.expect_err("points"));
    })
    .await;
}

#[tokio::test]
async fn reopening_keeps_everything_and_raises_the_epoch() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = embedded(directory.path(), LIMITS).await;
    let (epoch, _) = store.open_writer(0, now(1_000)).await.expect("a writer");
    let batch = vec![(key("A"), Some(state(1, 1))), (key("B"), Some(state(1, 2))), (key("B"), None)];
    store.write(0, epoch, batch, None).await.expect("written");
    let caps = series("BTC", SeriesKind::DailyMarketCap);
    store.put_points(&caps, &[point(1, 1)]).await.expect("put");
    let before = store.bootstrap(0).await.expect("a bootstrap");
    drop(store);

    let store = embedded(directory.path(), LIMITS).await;
    assert_eq!(store.bootstrap(0).await.expect("a bootstrap"), before);
    assert_eq!(store.points(&caps, day(0), day(2)).await.expect("points"), [point(1, 1)]);
    assert!(matches!(tail_now(&store, epoch, 1).await, Tail::Entries(entries) if entries.len() == 2));
    let (reopened, revision) = store.open_writer(0, now(1)).await.expect("a writer");
    assert_eq!((reopened, revision), (epoch + 1, 3));
    assert!(matches!(store.write(0, epoch, Vec::new(), None).await, Err(StoreError::Fenced { .. })));
}

#[tokio::test]
async fn a_directory_is_for_one_store_at_a_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = embedded(directory.path(), LIMITS).await;
    match EmbeddedStore::open(directory.path()).await {
        Err(StoreError::Unavailable(text)) => {
            assert!(text.contains(&directory.path().display().to_string()), "{text}");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("opened twice"),
    }
    drop(store);
    assert!(EmbeddedStore::open(directory.path()).await.is_ok());
}

#[tokio::test]
async fn a_file_that_is_not_a_store_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join(crossmarket_store::embedded::DATABASE_FILE);
    std::fs::write(&file, [7u8; 10_000]).expect("written");
    match EmbeddedStore::open(directory.path()).await {
        Err(StoreError::Unavailable(_) | StoreError::Corrupt(_)) => {}
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("opened"),
    }
}
