//! How the Redis store behaves when Redis misbehaves: it stops, dies, comes back empty, fails over, or its answers are lost.

#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/redis.rs"]
mod servers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossmarket_domain::state::{AssetInfo, AssetKind, Body, Key, State};
use crossmarket_domain::{AssetCode, AssetId, Timestamp};
use crossmarket_store::redis::{Credentials, RedisOptions};
use crossmarket_store::{LeaseClaim, OpenOptions, RedisStore, Store, StoreError, Tail};
use proxy::{Fault, Proxy};
use servers::{RedisServer, SentinelTrio, free_port};

/// The timeout of every wait: far longer than needed, so that no test fails on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stopped or half-open Redis is noticed, and the connection re-established, within this time.
const NOTICED_WITHIN: Duration = Duration::from_secs(3);

fn store(url: &str) -> RedisStore {
    RedisStore::new(url, RedisOptions::default()).expect("a URL")
}

fn now(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn key(code: &str) -> Key {
    Key::Asset(AssetId::parse(code).expect("an id"))
}

/// An update identified by its rank.
fn update(code: &str, rank: u32) -> (Key, Option<State>) {
    let state = State {
        event_time: now(1),
        receive_time: now(1),
        publish_time: now(1),
        budget: Duration::from_secs(60),
        simulated: false,
        body: Body::Asset(Box::new(AssetInfo {
            asset_id: AssetId::parse(code).expect("an id"),
            asset: AssetCode::parse(code).expect("a code"),
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
    };
    (key(code), Some(state))
}

fn rank_of(state: Option<&State>) -> u32 {
    match state.map(|state| &state.body) {
        Some(Body::Asset(info)) => info.market_cap_rank.expect("a rank"),
        other => panic!("{other:?}"),
    }
}

/// The ranks in the feed after a revision; checks that the revisions have no gaps.
async fn ranks_after(store: &RedisStore, epoch: u64, mut after: u64) -> Vec<u32> {
    let mut ranks = Vec::new();
    loop {
        match store.tail(0, epoch, after, Duration::ZERO).await.expect("a tail") {
            Tail::Entries(entries) if entries.is_empty() => return ranks,
            Tail::Entries(entries) => {
                for entry in entries {
                    assert_eq!(entry.revision, after + 1);
                    after = entry.revision;
                    ranks.push(rank_of(entry.state.as_ref()));
                }
            }
            Tail::Gap => panic!("a gap after {after}"),
        }
    }
}

/// Retries until it succeeds, and returns how long that took.
async fn succeeds<T>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, StoreError>) -> (T, Duration) {
    let started = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return (value, started.elapsed()),
            Err(error) => assert!(started.elapsed() < PATIENCE, "waited in vain: {what}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_batch_whose_answer_is_lost_is_written_once() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port).await;
    let (through, direct) = (store(&proxy.redis_url()), store(&server.url()));
    let (epoch, _) = through.open_writer(0, now(1)).await.expect("a writer");
    assert_eq!(through.write(0, epoch, vec![update("A", 1)], None).await.expect("written"), 1);

    // Redis writes the batch, but the writer never gets the answer.
    proxy.set(Fault::LoseAnswers);
    let given_up = through.write(0, epoch, vec![update("A", 2), update("B", 2)], None).await;
    assert!(matches!(given_up, Err(StoreError::Unavailable(_))), "{given_up:?}");
    assert_eq!(ranks_after(&direct, epoch, 0).await, [1, 2, 2]);

    // The next batch finds that the writer's own lost batch has advanced the store, and continues from there.
    proxy.set(Fault::Pass);
    let (revision, _) = succeeds("a write", async || through.write(0, epoch, vec![update("A", 3)], None).await).await;
    assert_eq!(revision, 4);
    assert_eq!(ranks_after(&direct, epoch, 0).await, [1, 2, 2, 3]);

    // The same within one call: answers arrive again while the writer still retries, and the batch is not written twice.
    proxy.set(Fault::LoseAnswers);
    let retried = tokio::spawn(async move {
        let written = through.write(0, epoch, vec![update("A", 4), update("B", 4)], None).await;
        (through, written)
    });
    let deadline = Instant::now() + PATIENCE;
    while ranks_after(&direct, epoch, 4).await.is_empty() {
        assert!(Instant::now() < deadline, "the batch was never written");
    }
    proxy.set(Fault::Pass);
    let (through, written) = retried.await.expect("an outcome");
    if let Ok(revision) = written {
        assert_eq!(revision, 6);
    }
    succeeds("a write", async || through.write(0, epoch, vec![update("A", 5)], None).await).await;
    assert_eq!(ranks_after(&direct, epoch, 4).await, [4, 4, 5]);
}

#[tokio::test]
async fn a_half_open_connection_is_noticed_and_rebuilt() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port).await;
    let store = Arc::new(store(&proxy.redis_url()));
    let (epoch, _) = store.open_writer(0, now(1)).await.expect("a writer");
    store.write(0, epoch, vec![update("A", 1)], None).await.expect("written");
    let reader = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.tail(0, epoch, 1, PATIENCE).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;

    // From now on every open connection is dead, and nobody closes it.
    proxy.set(Fault::BlackHole);
    let started = Instant::now();
    assert!(matches!(store.bootstrap(1).await, Err(StoreError::Unavailable(_))), "answered out of a black hole");
    let write = store.write(0, epoch, vec![update("A", 2)], None).await;
    assert!(matches!(write, Err(StoreError::Unavailable(_))), "{write:?}");
    let noticed = started.elapsed();
    let waited = reader.await.expect("an outcome");
    assert!(matches!(waited, Err(StoreError::Unavailable(_))), "{waited:?}");
    let reader_noticed = started.elapsed();

    proxy.set(Fault::Pass);
    let (_, rebuilt) = succeeds("a write", async || store.write(0, epoch, vec![update("A", 3)], None).await).await;
    let ranks = ranks_after(&store, epoch, 0).await;
    assert!(ranks == [1, 3] || ranks == [1, 2, 3], "{ranks:?}");
    println!("half-open: writer noticed in {noticed:?}, waiting reader in {reader_noticed:?}; rebuilt in {rebuilt:?}");
    assert!(reader_noticed < NOTICED_WITHIN && rebuilt < NOTICED_WITHIN);
}

#[tokio::test]
async fn a_stopped_redis_is_noticed_and_nothing_is_written_twice() {
    let server = RedisServer::start();
    let store = store(&server.url());
    let (epoch, _) = store.open_writer(0, now(1)).await.expect("a writer");
    store.write(0, epoch, vec![update("A", 1)], None).await.expect("written");
    server.freeze();
    let started = Instant::now();
    for rank in [2, 3] {
        let write = store.write(0, epoch, vec![update("A", rank)], None).await;
        assert!(matches!(write, Err(StoreError::Unavailable(_))), "{write:?}");
    }
    let noticed = started.elapsed();
    server.thaw();
    let (_, rebuilt) = succeeds("a write", async || store.write(0, epoch, vec![update("A", 4)], None).await).await;
    // What waited in the stopped server's sockets may have been written once it went on: each batch at most once, and in order.
    let ranks = ranks_after(&store, epoch, 0).await;
    assert!(ranks.is_sorted_by(|a, b| a < b) && ranks.first() == Some(&1) && ranks.last() == Some(&4), "{ranks:?}");
    println!("stopped: two writes given up in {noticed:?}; written again {rebuilt:?} after it went on; feed {ranks:?}");
    assert!(noticed < 2 * NOTICED_WITHIN && rebuilt < NOTICED_WITHIN);
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_is_told_and_a_new_epoch_goes_on() {
    let mut server = RedisServer::start();
    let store = Arc::new(store(&server.url()));
    let LeaseClaim::Granted(lease) =
        store.acquire_lease(0, "one", Duration::from_secs(30), now(1)).await.expect("an answer")
    else {
        panic!("nobody holds it");
    };
    store.write(0, lease.epoch, vec![update("A", 1), update("B", 1)], None).await.expect("written");
    server.kill();
    let refused = store.write(0, lease.epoch, vec![update("A", 2)], None).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    server.restart();
    let outcome = loop {
        match store.write(0, lease.epoch, vec![update("A", 2)], None).await {
            Err(StoreError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            other => break other,
        }
    };
    assert!(matches!(outcome, Err(StoreError::Lost { shard: 0, revision: 2, .. })), "{outcome:?}");
    // A reader at the old position is notified too, and the lease is lost with the rest.
    assert_eq!(store.tail(0, lease.epoch, 2, Duration::ZERO).await.expect("a tail"), Tail::Gap);
    assert!(matches!(store.renew_lease(&lease).await, Err(StoreError::LeaseLost { holder: None, .. })));
    let LeaseClaim::Granted(again) =
        store.acquire_lease(0, "one", Duration::from_secs(30), now(1_000)).await.expect("an answer")
    else {
        panic!("nobody holds it");
    };
    assert!(again.epoch > lease.epoch);
    assert_eq!(store.write(0, again.epoch, vec![update("A", 3), update("B", 3)], None).await.expect("written"), 2);

    // FLUSHALL deletes everything while the server keeps running.
    server.command(&["FLUSHALL"]);
    let outcome = store.write(0, again.epoch, vec![update("A", 4)], None).await;
    assert!(matches!(outcome, Err(StoreError::Lost { .. })), "{outcome:?}");
    let (after, _) = store.open_writer(0, now(2_000)).await.expect("a writer");
    assert!(after > again.epoch);
    assert_eq!(store.tail(0, again.epoch, 2, Duration::ZERO).await.expect("a tail"), Tail::Gap);
}

#[tokio::test]
async fn a_restart_that_keeps_the_data_still_costs_an_epoch() {
    let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = store(&server.url());
    let (epoch, _) = store.open_writer(0, now(1)).await.expect("a writer");
    store.write(0, epoch, vec![update("A", 1)], None).await.expect("written");
    server.restart();
    let outcome = loop {
        match store.write(0, epoch, vec![update("A", 2)], None).await {
            Err(StoreError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            other => break other,
        }
    };
    // It cannot be known whether the last second of writes survived, and readers may have seen it.
    assert!(matches!(outcome, Err(StoreError::Lost { .. })), "{outcome:?}");
    let (again, revision) = store.open_writer(0, now(1)).await.expect("a writer");
    assert_eq!((again, revision), (epoch + 1, 1), "the data was kept");
    // A new process lacks the scripts, as after this flush; they are loaded again.
    server.command(&["SCRIPT", "FLUSH"]);
    assert_eq!(store.write(0, again, vec![update("A", 2)], None).await.expect("written"), 2);
}

/// The longest check here: the master is killed, and a replica that lacks the end of the feed takes over.
#[tokio::test]
async fn sentinels_fail_over_and_the_writer_starts_a_new_epoch() {
    let mut trio = SentinelTrio::start();
    let store = store(&trio.url());
    let (epoch, _) = store.open_writer(0, now(1)).await.expect("a writer");
    store.write(0, epoch, vec![update("A", 1)], None).await.expect("written");
    let old_port = trio.master_port();
    // The replicas do not receive this batch.
    trio.servers[1].freeze();
    trio.servers[2].freeze();
    store.write(0, epoch, vec![update("A", 2), update("B", 2)], None).await.expect("written");
    trio.servers[0].kill();
    trio.servers[1].thaw();
    trio.servers[2].thaw();
    let started = Instant::now();
    let outcome = loop {
        match store.write(0, epoch, vec![update("A", 3)], None).await {
            Err(StoreError::Unavailable(error)) => {
                assert!(started.elapsed() < PATIENCE, "no failover: {error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            other => break other,
        }
    };
    println!("failover: the writer reached the new master after {:?}", started.elapsed());
    assert!(matches!(outcome, Err(StoreError::Lost { .. })), "{outcome:?}");
    assert_ne!(trio.master_port(), old_port);
    let ((again, revision), _) = succeeds("a writer", async || store.open_writer(0, now(1)).await).await;
    assert!(again > epoch && revision <= 3, "{again} {revision}");
    assert_eq!(store.write(0, again, vec![update("A", 4)], None).await.expect("written"), revision + 1);
    assert_eq!(store.tail(0, epoch, 3, Duration::ZERO).await.expect("a tail"), Tail::Gap, "a reader of the lost tail");
    assert_eq!(ranks_after(&store, again, revision).await, [4]);
}

#[tokio::test]
async fn a_demoted_master_is_left() {
    let (first, second) = (RedisServer::start(), RedisServer::start());
    let proxy = Proxy::start(first.port).await;
    let store = store(&proxy.redis_url());
    let (epoch, _) = store.open_writer(0, now(1)).await.expect("a writer");
    store.write(0, epoch, vec![update("A", 1)], None).await.expect("written");
    // Its connection stays open, and from now on it answers READONLY.
    first.command(&["REPLICAOF", "127.0.0.1", &second.port.to_string()]);
    let write = store.write(0, epoch, vec![update("A", 2)], None).await;
    assert!(matches!(write, Err(StoreError::Unavailable(_))), "{write:?}");
    proxy.redirect(second.port);
    let outcome = loop {
        match store.write(0, epoch, vec![update("A", 2)], None).await {
            Err(StoreError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            other => break other,
        }
    };
    assert!(matches!(outcome, Err(StoreError::Lost { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_deposed_writer_writes_nothing() {
    let server = RedisServer::start();
    let (first, second) = (store(&server.url()), store(&server.url()));
    let life = Duration::from_millis(200);
    let LeaseClaim::Granted(one) = first.acquire_lease(0, "one", life, now(1)).await.expect("an answer") else {
        panic!("nobody holds it");
    };
    first.write(0, one.epoch, vec![update("A", 1)], None).await.expect("written");
    let two = loop {
        match second.acquire_lease(0, "two", life, now(1)).await.expect("an answer") {
            LeaseClaim::Granted(lease) => break lease,
            LeaseClaim::Held { holder, .. } => assert_eq!(holder, "one"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(Instant::now() >= one.ends_at().into_std(), "taken before its end");
    let outcome = first.write(0, one.epoch, vec![update("A", 2)], None).await;
    assert!(matches!(outcome, Err(StoreError::Fenced { holder, .. }) if holder == two.epoch), "{outcome:?}");
    second.write(0, two.epoch, vec![update("A", 3)], None).await.expect("written");
    assert_eq!(ranks_after(&second, two.epoch, 1).await, [3]);
}

#[tokio::test]
async fn users_of_access_control_lists_log_in_by_file() {
    let server = RedisServer::start();
    // As in docs/redis.md.
    let rules = "on >geheim ~cm:* +@read +@write +@stream +@connection +evalsha +script|load +info +cluster|slots";
    let mut command = vec!["ACL", "SETUSER", "market"];
    command.extend(rules.split(' '));
    server.command(&command);
    server.command(&["ACL", "SETUSER", "default", "off"]);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("password");
    std::fs::write(&file, "geheim\n").expect("written");
    let mut options = OpenOptions::new(&server.url());
    options.credentials = Credentials { username: Some("market".into()), password: None };
    options.password_file = Some(file);
    let store = crossmarket_store::open(&options).await.expect("opened");
    let (epoch, _) = store.open_writer(0, now(1)).await.expect("a writer");
    assert_eq!(store.write(0, epoch, vec![update("A", 1)], None).await.expect("written"), 1);
    options.password_file = None;
    options.credentials.password = Some("falsch".into());
    let store = crossmarket_store::open(&options).await.expect("opened");
    match store.bootstrap(0).await {
        Err(error @ StoreError::Unavailable(_)) => {
            assert!(!error.to_string().contains("falsch"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

/// A certificate of its own for 127.0.0.1, made by openssl.
fn certificate(directory: &std::path::Path) -> Option<(String, String)> {
    let path = |name: &str| directory.join(name).to_str().expect("UTF-8").to_owned();
    let (key, certificate) = (path("key.pem"), path("certificate.pem"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &key, "-out", &certificate])
        .output()
        .ok()?;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some((key, certificate))
}

#[tokio::test]
async fn tls_trusts_the_authority_that_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some((key, certificate)) = certificate(directory.path()) else {
        println!("skipped: openssl is not on this machine");
        return;
    };
    let port = free_port();
    let port_text = port.to_string();
    let tls = ["--tls-port", &port_text, "--tls-cert-file", &certificate, "--tls-key-file", &key];
    let more = ["--tls-ca-cert-file", &certificate, "--tls-auth-clients", "no"];
    let _server = RedisServer::start_with(&[&tls[..], &more[..]].concat());
    let mut options = OpenOptions::new(&format!("rediss://127.0.0.1:{port}"));
    let untrusting = crossmarket_store::open(&options).await.expect("opened");
    assert!(matches!(untrusting.bootstrap(0).await, Err(StoreError::Unavailable(_))), "nobody vouches for it");
    options.tls_ca_file = Some(certificate.into());
    let store = crossmarket_store::open(&options).await.expect("opened");
    let (epoch, _) = store.open_writer(0, now(1)).await.expect("a writer");
    assert_eq!(store.write(0, epoch, vec![update("A", 1)], None).await.expect("written"), 1);
}

/// The same store in Valkey, if it is installed.
#[tokio::test]
async fn valkey_is_as_good() {
    if std::process::Command::new("valkey-server").arg("--version").output().is_err() {
        println!("skipped: valkey-server is not on this machine");
        return;
    }
    let server = RedisServer::start_program("valkey-server", &[]);
    let store = store(&server.url());
    let (epoch, _) = store.open_writer(0, now(1)).await.expect("a writer");
    assert_eq!(store.write(0, epoch, vec![update("A", 1), update("B", 2)], None).await.expect("written"), 2);
    assert_eq!(ranks_after(&store, epoch, 0).await, [1, 2]);
    assert_eq!(store.bootstrap(0).await.expect("a bootstrap").entries.len(), 2);
}
