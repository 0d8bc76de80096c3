//! Servers, collectors and Redis as processes, under faults: what clients are promised holds, and the figures of an outage, a takeover and a
//! rolling restart. It takes minutes and the machine for itself, so no ordinary test run has it: `scripts/faults` runs it and shows the figures.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crossmarket_api::v1::{
    Freshness, FreshnessState, GetPriceSnapshotRequest, ListPriceSnapshotsRequest, PriceSnapshot,
    WatchPriceSnapshotsRequest,
};
use crossmarket_client::{Client, WatchEvent};
use crossmarket_store::Store;
use crossmarket_store::redis::{RedisOptions, RedisStore};
use tokio::task::{JoinSet, block_in_place};
use tokio_util::sync::CancellationToken;

use support::faults::failover;
use support::faults::history::{self, check};
use support::faults::schedule::{Fault, schedule};
use support::faults::world::{Fed, POLL, Recorder, World, client_of, free_address, read_feed};
use support::process::{Process, wait_until};
use support::proxy;
use support::redis::RedisServer;

mod support {
    pub mod faults {
        pub mod failover;
        pub mod history;
        pub mod schedule;
        pub mod world;
    }
    pub mod process;
    pub mod proxy;
    pub mod redis;
}

/// Longest time that one unary call may take where none is repeated.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// From the death of a leader to the first state of the next.
const TAKEOVER_MAX: Duration = Duration::from_secs(5);

/// From an emptied Redis to everything published again.
const REPUBLICATION_MAX: Duration = Duration::from_secs(5);

/// How late a state may be marked stale, a stream resumed, and the writer through after an outage.
const LATE_MAX: Duration = Duration::from_secs(1);

/// A setting of a run: its length, its seed. The defaults are the short run's.
fn setting(name: &str, default: u64) -> u64 {
    let name = format!("CROSSMARKET_FAULTS_{name}");
    match std::env::var(&name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text:?}: a whole number")),
        Err(_) => default,
    }
}

/// What decides the order of the faults: the time, unless it is given.
fn seed() -> u64 {
    setting("SEED", SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("later").as_secs())
}

#[test]
fn the_checker_tells_right_histories_from_wrong_ones() {
    history::self_test();
}

#[test]
fn a_seed_repeats_its_schedule() {
    let span = Duration::from_secs(60);
    assert_eq!(schedule(7, span), schedule(7, span));
    assert_ne!(schedule(7, span), schedule(8, span));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn faults_of_a_seed_break_no_promise() {
    let (seed, span) = (seed(), Duration::from_secs(setting("SECONDS", 20)));
    println!("faults for {span:?}; CROSSMARKET_FAULTS_SEED={seed} repeats their schedule");
    let mut world = World::start(2, RedisServer::start_with(&["--appendonly", "yes"])).await;
    let addresses = [free_address(), free_address()];
    let mut servers: Vec<Process> = addresses.iter().map(|address| world.server(address)).collect();
    let mut collectors = vec![world.collector(), world.collector()];
    let client = client_of(&addresses);
    for address in &addresses {
        world.ready(&client_of(std::slice::from_ref(address))).await;
    }

    let stop = CancellationToken::new();
    let feeds: Vec<_> =
        world.shards.of_assets().map(|shard| read_feed(world.redis.url(), shard, stop.clone())).collect();
    let clients = [
        ("of the first server", client_of(&addresses[..1])),
        ("of the second server", client_of(&addresses[1..])),
        ("of both", client.clone()),
        ("of both, too", client_of(&addresses)),
    ];
    let recorders = clients.map(|(name, client)| Recorder::start(name, client, world.shards, &stop));
    let (reads, failed) = keep_reading(&client, &stop);
    let started = Instant::now();
    for (pause, fault) in schedule(seed, span) {
        tokio::time::sleep(pause).await;
        println!("{:6.2} s {fault:?}", started.elapsed().as_secs_f64());
        apply(fault, &mut world, &mut collectors, &mut servers, &addresses).await;
    }

    let heads = wait_until("a leader of every shard that has written", async || {
        let led = world.shards.of_assets().all(|shard| world.leader(shard).is_some());
        led.then(|| world.shards.of_assets().map(|shard| world.head(shard)).collect::<Option<Vec<_>>>()).flatten()
    })
    .await;
    wait_until("every client to come up with the feed", async || {
        recorders.iter().all(|recorder| recorder.has_reached(&heads)).then_some(())
    })
    .await;
    stop.cancel();
    let histories: Vec<_> = recorders.iter().map(Recorder::history).collect();
    let mut segments = Vec::new();
    for feed in feeds {
        segments.extend(feed.await.expect("no panic"));
    }
    let (violations, looked) = check(&histories, &segments);
    println!(
        "{looked:?}, {} parts of the feeds, {} unary reads, {} failed",
        segments.len(),
        reads.load(Ordering::Relaxed),
        failed.load(Ordering::Relaxed)
    );
    for violation in violations.iter().take(20) {
        println!("{violation}");
    }
    assert!(violations.is_empty(), "{} broken promises with seed {seed}", violations.len());
    assert!(looked.frames > 20 && looked.compared > 1_000 && looked.gaps > 0, "too little was looked at: {looked:?}");
    assert_eq!(failed.load(Ordering::Relaxed), 0, "reads failed although one of the servers was there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failover_that_loses_the_end_of_the_feed_is_told() {
    let (seed, rounds) = (seed(), setting("FAILOVERS", 1));
    println!("{rounds} failovers; CROSSMARKET_FAULTS_SEED={seed} repeats how much they lose");
    let found = failover::run(rounds, seed).await;
    println!(
        "failovers lost {:?} revisions that clients had, the next epoch after {:?}; {:?}, {} unary reads, {} failed",
        found.lost, found.times, found.looked, found.reads, found.failed_reads
    );
    for violation in found.violations.iter().take(20) {
        println!("{violation}");
    }
    assert!(found.violations.is_empty(), "{} broken promises with seed {seed}", found.violations.len());
    assert!(found.looked.compared > 1_000 && found.looked.gaps > 0, "too little was looked at: {:?}", found.looked);
    assert_eq!(found.failed_reads, 0);
}

/// Reads on and on through a client, and counts.
fn keep_reading(client: &Client, stop: &CancellationToken) -> (Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let counts = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let ((reads, failed), client, stop) = (counts.clone(), client.clone(), stop.clone());
    tokio::spawn(async move {
        while !stop.is_cancelled() {
            if let Err(error) = client.prices().get("BTC").await {
                println!("read failed: {error:?}");
                failed.fetch_add(1, Ordering::Relaxed);
            }
            reads.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    counts
}

/// Reads one asset after another, each once and without a second attempt, and counts.
fn read_each(client: &Client, assets: Vec<String>, stop: &CancellationToken) -> (Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let counts = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let ((reads, failed), client, stop) = (counts.clone(), client.clone(), stop.clone());
    tokio::spawn(async move {
        for asset in assets.iter().cycle() {
            if stop.is_cancelled() {
                return;
            }
            if !has_price(&client, asset).await {
                println!("read of {asset} failed");
                failed.fetch_add(1, Ordering::Relaxed);
            }
            reads.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    counts
}

/// One unary call; true when it brings a price.
async fn has_price(client: &Client, asset: &str) -> bool {
    let request = GetPriceSnapshotRequest { asset: asset.to_owned(), ..Default::default() };
    let mut prices = client.prices().raw();
    match tokio::time::timeout(CALL_TIMEOUT, prices.get_price_snapshot(request)).await {
        Ok(Ok(answer)) => answer.into_inner().snapshot.is_some_and(|snapshot| snapshot.price.is_some()),
        _ => false,
    }
}

/// Every price.
async fn snapshots(client: &Client) -> Option<Vec<PriceSnapshot>> {
    let request = ListPriceSnapshotsRequest { page_size: 1_000, ..Default::default() };
    Some(client.prices().raw().list_price_snapshots(request).await.ok()?.into_inner().snapshots)
}

async fn apply(
    fault: Fault,
    world: &mut World,
    collectors: &mut Vec<Process>,
    servers: &mut [Process],
    addresses: &[String],
) {
    let pass = async |world: &World, fault, lasting| {
        world.proxy.set(fault);
        tokio::time::sleep(lasting).await;
        world.proxy.set(proxy::Fault::Pass);
    };
    match fault {
        Fault::KillRedis { down } => {
            world.redis.kill();
            tokio::time::sleep(down).await;
            block_in_place(|| world.redis.restart());
        }
        Fault::FlushAll => {
            world.redis.command(&["FLUSHALL"]);
        }
        Fault::KillLeader => {
            if let Some(place) = leader_of(world, collectors) {
                collectors.swap_remove(place).kill();
                collectors.push(world.collector());
            }
        }
        Fault::StopLeader { stopped } => {
            if let Some(place) = leader_of(world, collectors) {
                collectors[place].freeze();
                tokio::time::sleep(stopped).await;
                collectors[place].thaw();
            }
        }
        Fault::KillServer { which } => {
            // The other one is to be there meanwhile, as it is when servers are replaced one by one.
            let other = client_of(&[addresses[1 - which].clone()]);
            world.ready(&other).await;
            servers[which].kill_in_place();
            servers[which] = world.server(&addresses[which]);
        }
        Fault::Delay { by, lasting } => pass(world, proxy::Fault::Delay(by), lasting).await,
        Fault::Cut { lasting } => pass(world, proxy::Fault::Cut, lasting).await,
        Fault::BlackHole { lasting } => pass(world, proxy::Fault::BlackHole, lasting).await,
        Fault::LoseAnswers { lasting } => pass(world, proxy::Fault::LoseAnswers, lasting).await,
    }
}

fn leader_of(world: &World, collectors: &[Process]) -> Option<usize> {
    let (id, _) = world.leader(0)?;
    collectors.iter().position(|collector| collector.id() == id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leader_that_dies_or_stands_still_is_replaced() {
    let rounds = setting("TAKEOVERS", 4);
    let world = World::start(1, RedisServer::start()).await;
    let mut collectors = vec![world.collector(), world.collector()];
    wait_until("a first state", async || world.newest_state(0)).await;
    let mut times = Vec::new();
    for round in 0..rounds {
        let (place, epoch) = wait_until("a leader", async || {
            let (_, epoch) = world.leader(0)?;
            Some((leader_of(&world, &collectors)?, epoch))
        })
        .await;
        let stands_still = round % 2 == 1;
        let mut dead = collectors.swap_remove(place);
        if stands_still {
            dead.freeze()
        } else {
            dead.kill_in_place()
        }
        let begun = Instant::now();
        wait_until("a state of the next leader", async || world.newest_state(0).filter(|newest| newest.0 > epoch))
            .await;
        times.push(begun.elapsed());
        if stands_still {
            // It goes on where it stood, believing that it leads.
            dead.thaw();
            collectors.push(dead);
        } else {
            collectors.push(world.collector());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    times.sort_unstable();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{rounds} takeovers: median {median:?}, longest {longest:?}");

    drop(collectors);
    // The feed is longer than all of this, so it has everything that was ever written.
    let (mut states, mut markers): (Vec<_>, Vec<_>) =
        world.feed(0, None).into_iter().partition(|fed| fed.state.is_some());
    states.reverse();
    markers.reverse();
    let is_next = |pair: &[Fed]| {
        let (before, after) = (pair[0].position, pair[1].position);
        after.0 >= before.0 && after.1 == before.1 + 1
    };
    let breaks = states.windows(2).filter(|pair| !is_next(pair)).count();
    let epochs: BTreeSet<u64> = states.iter().map(|fed| fed.position.0).collect();
    let fed: HashSet<&[u8]> = states.iter().filter_map(|fed| fed.state.as_deref()).collect();
    let stored = world.stored(0);
    let unfed = stored.iter().filter(|value| !fed.contains(value.as_slice())).count();
    println!(
        "{} states of {} epochs and {} writers: {breaks} revisions twice or left out; of {} stored values {unfed} past the feed",
        states.len(),
        epochs.len(),
        markers.len(),
        stored.len()
    );
    assert_eq!((breaks, unfed), (0, 0));
    assert!(epochs.len() as u64 > rounds && markers.len() >= epochs.len(), "{epochs:?} {}", markers.len());
    assert!(states.len() > 100 && stored.len() > 20, "too little was written");
    let newest = states.iter().chain(&markers).map(|fed| fed.position).max();
    assert_eq!(newest, world.head(0), "the head is past the feed");
    assert!(longest <= TAKEOVER_MAX, "{times:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_emptied_redis_is_filled_and_every_watcher_told() {
    const WATCHERS: usize = 20;
    let mut world = World::start(1, RedisServer::start()).await;
    let (_collector, server) = (world.collector(), world.server("127.0.0.1:0"));
    let client = client_of(std::slice::from_ref(&server.grpc));
    world.settled(&client).await;
    let stop = CancellationToken::new();
    let recorders: Vec<Recorder> = (0..WATCHERS)
        .map(|number| Recorder::start(&format!("watcher {number}"), client.clone(), world.shards, &stop))
        .collect();
    let before = world.head(0).expect("a head");
    wait_until("every watcher", async || recorders.iter().all(|one| one.has_reached(&[before])).then_some(())).await;
    let gaps =
        |recorder: &Recorder| recorder.history().events.iter().filter(|event| **event == history::Event::Gap).count();
    let told: Vec<usize> = recorders.iter().map(gaps).collect();
    let store = RedisStore::new(&world.redis.url(), RedisOptions::default()).expect("a URL");
    let keys = store.bootstrap(0).await.expect("answers").entries.len();
    let assets: Vec<String> = snapshots(&client).await.expect("a list").into_iter().map(|one| one.asset).collect();
    let (reads, failed) = read_each(&client, assets, &stop);

    block_in_place(|| world.redis.restart());
    let back = Instant::now();
    wait_until("everything published again", async || {
        let state = store.bootstrap(0).await.ok()?;
        (state.epoch > before.0 && state.entries.len() >= keys).then_some(())
    })
    .await;
    let republished = back.elapsed();
    let head = world.head(0).expect("a head");
    wait_until("every watcher", async || recorders.iter().all(|one| one.has_reached(&[head])).then_some(())).await;
    stop.cancel();
    let resynced = recorders.iter().zip(&told).filter(|(recorder, told)| gaps(recorder) > **told).count();
    println!(
        "emptied: {keys} keys in epoch {} again after {republished:?}; RESYNC to {resynced} of {WATCHERS} watchers; {} reads meanwhile, {} failed",
        head.0,
        reads.load(Ordering::Relaxed),
        failed.load(Ordering::Relaxed)
    );
    assert_eq!(resynced, WATCHERS);
    assert!(reads.load(Ordering::Relaxed) > 50, "too few reads to tell");
    assert_eq!(failed.load(Ordering::Relaxed), 0, "an emptied store took something away from readers");
    assert!(republished <= REPUBLICATION_MAX, "{republished:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reads_go_on_without_redis_and_say_how_old_they_are() {
    const STREAMS: usize = 200;
    let outage = Duration::from_secs(setting("OUTAGE_SECONDS", 34));
    let mut world = World::start(1, RedisServer::start_with(&["--appendonly", "yes"])).await;
    let (_collector, server) = (world.collector(), world.server("127.0.0.1:0"));
    let client = client_of(std::slice::from_ref(&server.grpc));
    world.settled(&client).await;
    let stop = CancellationToken::new();
    let stale = Arc::new(StaleMarks::default());
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        streams.spawn(note_stale(client.clone(), Arc::clone(&stale), stop.clone()));
    }
    let span = outage.min(Duration::from_secs(10));
    let normal = load(&client, span).await;

    let (epoch, _) = world.newest_state(0).expect("a state");
    world.redis.kill();
    let during = load(&client, outage).await;
    let marked = stale.count.load(Ordering::Relaxed);
    let latest = Duration::from_micros(stale.latest_micros.load(Ordering::Relaxed));
    block_in_place(|| world.redis.restart());
    let back = Instant::now();
    // The lease has run out meanwhile, so what is written after the outage has an epoch of its own.
    wait_until("the writer", async || world.newest_state(0).filter(|newest| newest.0 > epoch)).await;
    let through = back.elapsed();
    wait_until("every key fresh", async || all_fresh(&client).await.then_some(())).await;
    let fresh = back.elapsed();
    let after = load(&client, span).await;
    stop.cancel();
    println!(
        "Redis down for {outage:?} under {STREAMS} streams and 500 calls/s: {} reads, {} failed; p99 {:?} normal, {:?} without Redis, {:?} after; \
         {marked} marks of staleness, the latest {latest:?} late; writer through after {through:?}, all fresh after {fresh:?}",
        normal.count + during.count + after.count,
        normal.failed + during.failed + after.failed,
        normal.p99,
        during.p99,
        after.p99
    );
    assert_eq!(normal.failed + during.failed + after.failed, 0);
    assert!(during.p99 <= 2 * normal.p99.max(after.p99), "{:?} {:?} {:?}", normal.p99, during.p99, after.p99);
    assert!(marked as usize >= STREAMS, "{marked} marks");
    assert!(latest <= LATE_MAX, "{latest:?}");
    assert!(through <= LATE_MAX, "{through:?}");
    assert!(fresh <= POLL + LATE_MAX, "{fresh:?}");
}

async fn all_fresh(client: &Client) -> bool {
    let is_fresh = |freshness: &Freshness| freshness.state() == FreshnessState::Fresh;
    let snapshots = snapshots(client).await.unwrap_or_default();
    !snapshots.is_empty() && snapshots.iter().all(|one| one.freshness.as_ref().is_some_and(is_fresh))
}

#[derive(Default)]
struct StaleMarks {
    count: AtomicU64,
    latest_micros: AtomicU64,
}

/// Watches, and notes how long after its budget a state that was fresh comes as stale.
async fn note_stale(client: Client, marks: Arc<StaleMarks>, stop: CancellationToken) {
    let note = async {
        let request = WatchPriceSnapshotsRequest::default();
        let mut stream = client.prices().raw().watch_price_snapshots(request).await.expect("a stream").into_inner();
        // The revision in which an asset was seen fresh: a state that was old when it was published is not late.
        let mut fresh = HashMap::new();
        while let Some(frame) = stream.message().await.expect("no error") {
            let now = SystemTime::now();
            for snapshot in frame.snapshots {
                let freshness = snapshot.freshness.expect("every price has it");
                if freshness.state() == FreshnessState::Fresh {
                    fresh.insert(snapshot.asset, snapshot.revision);
                } else if freshness.state() == FreshnessState::Stale
                    && fresh.remove(&snapshot.asset) == Some(snapshot.revision)
                {
                    let due = freshness.stale_since_time.expect("when it became so");
                    let due = SystemTime::UNIX_EPOCH + Duration::new(due.seconds as u64, due.nanos as u32);
                    let late = now.duration_since(due).unwrap_or_default();
                    marks.count.fetch_add(1, Ordering::Relaxed);
                    marks.latest_micros.fetch_max(late.as_micros() as u64, Ordering::Relaxed);
                }
            }
        }
    };
    stop.run_until_cancelled(note).await;
}

struct Load {
    count: usize,
    failed: usize,
    p99: Duration,
}

/// 500 unary calls a second, each with a deadline of its own and no retry.
async fn load(client: &Client, span: Duration) -> Load {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let begun = Instant::now();
    let mut calls = JoinSet::new();
    while begun.elapsed() < span {
        tick.tick().await;
        for asset in ["BTC", "ETH", "SOL", "BNB", "XMR"] {
            let client = client.clone();
            calls.spawn(async move {
                let called = Instant::now();
                (has_price(&client, asset).await, called.elapsed())
            });
        }
    }
    let (mut times, mut failed) = (Vec::new(), 0);
    while let Some(called) = calls.join_next().await {
        let (answered, time) = called.expect("no panic");
        times.push(time);
        failed += usize::from(!answered);
    }
    times.sort_unstable();
    Load { count: times.len(), failed, p99: times[times.len() * 99 / 100] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rolling_restart_is_not_noticed() {
    const STREAMS: usize = 20;
    const CALLERS: usize = 4;
    let (rounds, calls_min) = (setting("RESTARTS", 2), setting("CALLS", 2_000));
    let world = World::start(1, RedisServer::start()).await;
    let addresses = [free_address(), free_address()];
    let mut servers: Vec<Process> = addresses.iter().map(|address| world.server(address)).collect();
    let _collector = world.collector();
    for address in &addresses {
        world.ready(&client_of(std::slice::from_ref(address))).await;
    }
    let client = client_of(&addresses);
    world.settled(&client).await;
    let stop = CancellationToken::new();
    let marks = Arc::new(Resumptions::default());
    let mut tasks = JoinSet::new();
    for _ in 0..STREAMS {
        tasks.spawn(note_resumptions(client.clone(), Arc::clone(&marks), stop.clone()));
    }
    let (calls, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    for _ in 0..CALLERS {
        let (client, stop, calls, failed) = (client.clone(), stop.clone(), Arc::clone(&calls), Arc::clone(&failed));
        tasks.spawn(async move {
            while !stop.is_cancelled() {
                if let Err(error) = client.prices().get("BTC").await {
                    println!("call failed: {error:?}");
                    failed.fetch_add(1, Ordering::Relaxed);
                }
                calls.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
    }
    for round in 0..rounds {
        for (server, address) in servers.iter_mut().zip(&addresses) {
            server.terminate();
            assert!(
                server.ended_within(Duration::from_secs(15)).await.is_some(),
                "round {round}: a server does not end"
            );
            *server = world.server(address);
            world.ready(&client_of(std::slice::from_ref(address))).await;
        }
    }
    wait_until("calls enough", async || (calls.load(Ordering::Relaxed) >= calls_min).then_some(())).await;
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    let longest = Duration::from_micros(marks.longest_micros.load(Ordering::Relaxed));
    let (resumed, gaps) = (marks.resumed.load(Ordering::Relaxed), marks.gaps.load(Ordering::Relaxed));
    let (calls, failed) = (calls.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
    println!(
        "{rounds} rolling restarts of two servers: {calls} calls, {failed} failed; {resumed} streams resumed, the last after {longest:?}, {gaps} gaps"
    );
    assert_eq!((failed, gaps), (0, 0));
    assert!(resumed >= rounds * STREAMS as u64, "{resumed}");
    assert!(longest <= LATE_MAX, "{longest:?}");
}

#[derive(Default)]
struct Resumptions {
    resumed: AtomicU64,
    longest_micros: AtomicU64,
    gaps: AtomicU64,
}

async fn note_resumptions(client: Client, marks: Arc<Resumptions>, stop: CancellationToken) {
    let note = async {
        let mut watch = client.prices().watch(WatchPriceSnapshotsRequest::default()).await.expect("a stream");
        while let Some(event) = watch.next().await {
            match event.expect("a stream that goes on") {
                WatchEvent::Resumed { after, .. } => {
                    marks.resumed.fetch_add(1, Ordering::Relaxed);
                    marks.longest_micros.fetch_max(after.as_micros() as u64, Ordering::Relaxed);
                }
                WatchEvent::Gap(reason) => {
                    println!("gap: {reason}");
                    marks.gaps.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
        }
    };
    stop.run_until_cancelled(note).await;
}
