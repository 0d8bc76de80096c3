//! A failover that loses the end of the feed: the replicas lack states that clients have received, and one of them becomes the master.

use std::time::Duration;

use crossmarket_client::Client;
use crossmarket_store::Store;
use crossmarket_store::redis::{RedisOptions, RedisStore};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use super::history::{Event, Looked, Position, Segment, Violation, check};
use super::world::{Deployment, Recorder, client_of, free_address, read_feed};
use crate::support::process::{Process, wait_until};
use crate::support::redis::{RedisServer, SentinelTrio};

/// What a run of failovers found.
pub struct Found {
    pub violations: Vec<Violation>,
    pub looked: Looked,
    /// Revisions that each failover lost.
    pub lost: Vec<u64>,
    /// From the death of each master to a state of the next epoch.
    pub times: Vec<Duration>,
    pub reads: usize,
    pub failed_reads: usize,
}

/// The given number of failovers, one after another. The seed decides how much each loses.
pub async fn run(rounds: u64, seed: u64) -> Found {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut trio = block_in_place(SentinelTrio::start);
    let deployment = Deployment::start(1, &trio.url()).await;
    let addresses = [free_address(), free_address()];
    let _servers: Vec<Process> = addresses.iter().map(|address| deployment.server(address)).collect();
    let _collectors = [deployment.collector(), deployment.collector()];
    let client: Client = client_of(&addresses);
    for address in &addresses {
        deployment.ready(&client_of(std::slice::from_ref(address))).await;
    }
    deployment.settled(&client).await;
    let stop = CancellationToken::new();
    let feed = read_feed(trio.url(), 0, stop.clone());
    let recorders = addresses
        .each_ref()
        .map(|address| Recorder::start(address, client_of(std::slice::from_ref(address)), deployment.shards, &stop));
    let (reads, failed_reads) = crate::keep_reading(&client, &stop);
    let store = RedisStore::new(&trio.url(), RedisOptions::default()).expect("a URL");
    let (mut lost, mut times) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let master_port = block_in_place(|| trio.master_port());
        let place = trio.servers.iter().position(|server| server.port == master_port).expect("one of them");
        let replicas: Vec<usize> = (0..trio.servers.len()).filter(|other| *other != place).collect();
        block_in_place(|| keep_from_replicas(&trio.servers[place]));
        let kept = head(&trio.servers[place]).expect("a head");
        let wanted = kept.1 + random.random_range(1..30);
        let gone = wait_until("states that no replica has, at every client", async || {
            let head = head(&trio.servers[place])?;
            (head.1 >= wanted && recorders.iter().all(|recorder| recorder.has_reached(&[head]))).then_some(head)
        })
        .await;
        let replicated = replicas.iter().filter_map(|replica| head(&trio.servers[*replica])).max().expect("a replica");
        assert!(replicated < gone, "the replicas have everything");
        lost.push(gone.1 - replicated.1);

        let died = std::time::Instant::now();
        trio.servers[place].kill();
        let (epoch, revision) = wait_until("a state of the next epoch", async || {
            let state = store.bootstrap(0).await.ok().filter(|state| state.epoch > gone.0)?;
            state.entries.iter().any(|entry| entry.revision > replicated.1).then_some((state.epoch, state.revision))
        })
        .await;
        times.push(died.elapsed());
        wait_until("every client to come up", async || {
            recorders.iter().all(|recorder| recorder.has_reached(&[(epoch, revision)])).then_some(())
        })
        .await;
        for recorder in &recorders {
            assert!(was_told(&recorder.history().events, gone, epoch), "round {round}: the loss was not reported");
        }
        // The old master comes back, empty, and is made a replica of the new one.
        block_in_place(|| trio.servers[place].restart());
        wait_until("both replicas", async || {
            let master_port = block_in_place(|| trio.master_port());
            let master = trio.servers.iter().find(|server| server.port == master_port)?;
            let info = block_in_place(|| master.text(&["INFO", "replication"]));
            let online = info.lines().filter(|line| line.contains("state=online")).count();
            (info.contains("role:master") && online == trio.servers.len() - 1).then_some(())
        })
        .await;
    }
    stop.cancel();
    let histories: Vec<_> = recorders.iter().map(Recorder::history).collect();
    let segments: Vec<Segment> = feed.await.expect("no panic");
    let (violations, looked) = check(&histories, &segments);
    let count = |counter: &std::sync::atomic::AtomicUsize| counter.load(std::sync::atomic::Ordering::Relaxed);
    Found { violations, looked, lost, times, reads: count(&reads), failed_reads: count(&failed_reads) }
}

/// Ends a master's replication: its replicas are disconnected and cannot reconnect.
fn keep_from_replicas(master: &RedisServer) {
    master.command(&["ACL", "SETUSER", "default", "-psync", "-sync"]);
    master.command(&["CLIENT", "KILL", "TYPE", "replica"]);
}

/// The first shard's position on one server.
fn head(server: &RedisServer) -> Option<Position> {
    let head = block_in_place(|| server.try_command(&["HMGET", "cm:{0}:latest", "#epoch", "#revision"])).ok()?;
    let head: (Option<u64>, Option<u64>) = redis::from_redis_value(head).ok()?;
    Some((head.0?, head.1?))
}

/// Whether a client that had reached `gone` was notified of a gap before its first frame of a later epoch.
fn was_told(events: &[Event], gone: Position, epoch: u64) -> bool {
    let at = |event: &Event| match event {
        Event::Frame { cursor, .. } => cursor.first().copied(),
        Event::Gap => None,
    };
    let had = events.iter().rposition(|event| at(event).is_some_and(|position| position.0 == gone.0));
    let next = events.iter().position(|event| at(event).is_some_and(|position| position.0 >= epoch));
    match (had, next) {
        (Some(had), Some(next)) => events[had..next].contains(&Event::Gap),
        _ => false,
    }
}
