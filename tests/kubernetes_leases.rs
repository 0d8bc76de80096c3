//! Leases of shards in Lease objects of Kubernetes: one leader, whatever becomes of it, of its credentials and of the API server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossmarket_clock::Clock;
use crossmarket_collector::lease::Leases;
use crossmarket_collector::lease::kubernetes::{KubernetesLeases, KubernetesOptions};
use crossmarket_domain::Timestamp;
use crossmarket_store::{Lease, LeaseClaim, MemoryStore, Store, StoreError};
use serde_json::json;

use support::certificates::Authority;
use support::kubernetes::{Account, ApiServer, Mood, NAMESPACE};
use support::process::{Process, wait_until, without_venues};
use support::redis::RedisServer;

mod support {
    pub mod certificates;
    pub mod kubernetes;
    pub mod process;
    pub mod redis;
}

const NAME: &str = "cm-0";
const LIFE: Duration = Duration::from_secs(1);

/// From the death of a leader until the next one leads, with a lease of 2.5 s (3 s as Kubernetes counts) and a look every second: 4.5 s on a machine that
/// has nothing else to do.
const TAKEOVER_MAX: Duration = Duration::from_secs(10);

/// An API server, a pod's account at it, and a store.
struct World {
    server: ApiServer,
    authority: Authority,
    account: Account,
    directory: tempfile::TempDir,
    store: Arc<dyn Store>,
}

impl World {
    async fn start() -> Self {
        let authority = Authority::new();
        let directory = tempfile::tempdir().expect("a directory");
        let account = Account::new(directory.path(), "first", &authority);
        let server = ApiServer::start(&[NAME, "cm-1"], "first", &authority).await;
        Self { server, authority, account, directory, store: Arc::new(MemoryStore::new()) }
    }

    /// What a process of its own would have.
    fn leases(&self) -> KubernetesLeases {
        let options = KubernetesOptions {
            api_url: self.server.url(),
            credentials_dir: self.directory.path().to_owned(),
            namespace: None,
            name: "cm".to_owned(),
        };
        KubernetesLeases::new(options, Arc::clone(&self.store), Clock::system()).expect("usable")
    }
}

async fn claim(leases: &KubernetesLeases, holder: &str) -> Result<LeaseClaim, StoreError> {
    leases.acquire(0, holder, LIFE, Timestamp::from_millis(1)).await
}

async fn granted(leases: &KubernetesLeases, holder: &str) -> Lease {
    match claim(leases, holder).await {
        Ok(LeaseClaim::Granted(lease)) => lease,
        other => panic!("not granted: {other:?}"),
    }
}

/// Who holds it, according to a refused claim.
async fn held(leases: &KubernetesLeases, holder: &str) -> (String, Duration) {
    match claim(leases, holder).await {
        Ok(LeaseClaim::Held { holder, remaining }) => (holder.to_string(), remaining),
        other => panic!("not held: {other:?}"),
    }
}

fn problem<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Unavailable(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_lease_is_one_holders_until_it_ends_or_is_given_back() {
    let world = World::start().await;
    let (one, two) = (world.leases(), world.leases());
    let first = granted(&one, "one").await;
    let (holder, remaining) = held(&two, "two").await;
    assert!(holder == "one" && remaining <= LIFE, "{holder} {remaining:?}");
    let spec = &world.server.lease(NAME)["spec"];
    assert_eq!((&spec["leaseTransitions"], &spec["leaseDurationSeconds"]), (&json!(1), &json!(1)));
    assert_eq!(world.server.lease(NAME)["metadata"]["labels"]["made-by"], "the chart");
    // While it is renewed nobody else gets it.
    let mut lease = first.clone();
    for _ in 0..4 {
        tokio::time::sleep(LIFE / 2).await;
        lease = one.renew(&lease).await.expect("renewed");
        assert_eq!(held(&two, "two").await.0, "one");
    }
    assert_eq!(world.server.lease(NAME)["spec"]["leaseTransitions"], 1);
    // Given back it is free at once.
    one.release(&lease).await.expect("given back");
    let second = granted(&two, "two").await;
    assert!(second.epoch > first.epoch, "the store's epoch rises with every grant");
    assert_eq!(world.server.lease(NAME)["spec"]["leaseTransitions"], 2);
    let since = Instant::now();
    let lost = one.renew(&lease).await.expect_err("another's");
    assert!(matches!(&lost, StoreError::LeaseLost { shard: 0, holder: Some(holder) } if holder == "two"), "{lost}");
    let fenced = world.store.write(0, first.epoch, Vec::new()).await;
    assert!(matches!(fenced, Err(StoreError::Fenced { .. })), "{fenced:?}");
    // Who gives back what another holds changes nothing.
    one.release(&lease).await.expect("nothing to do");
    assert_eq!(world.server.holder(NAME), "two");
    // Without a word from the holder it is free when its life is over, counted from when that was first seen.
    assert_eq!(held(&one, "one").await.0, "two");
    let third = wait_until("the end of the lease", async || match claim(&one, "one").await {
        Ok(LeaseClaim::Granted(lease)) => Some(lease),
        _ => None,
    })
    .await;
    assert!(since.elapsed() >= LIFE && third.epoch > second.epoch);
    assert!(matches!(two.renew(&second).await, Err(StoreError::LeaseLost { .. })));
}

#[tokio::test]
async fn of_many_that_claim_at_once_one_gets_it() {
    let world = World::start().await;
    for round in 0..10 {
        let claimants: Vec<_> = (0..8).map(|number| (format!("{round}-{number}"), world.leases())).collect();
        let claims = claimants.iter().map(|(holder, leases)| claim(leases, holder));
        let claims = futures_util::future::join_all(claims).await;
        let leases = claims.into_iter().filter_map(|claimed| match claimed.expect("an answer") {
            LeaseClaim::Granted(lease) => Some(lease),
            LeaseClaim::Held { .. } => None,
        });
        let leases: Vec<_> = leases.collect();
        assert_eq!(leases.len(), 1, "round {round}: {leases:?}");
        let (_, winner) = claimants.iter().find(|(holder, _)| *holder == leases[0].holder).expect("one of them");
        assert_eq!(world.server.holder(NAME), leases[0].holder.as_str());
        winner.release(&leases[0]).await.expect("given back");
    }
}

#[tokio::test]
async fn a_note_of_somebody_else_on_the_object_takes_no_lease_away() {
    let world = World::start().await;
    let leases = world.leases();
    let lease = granted(&leases, "one").await;
    let mut noted = world.server.lease(NAME);
    noted["metadata"]["annotations"] = json!({"note": "kept"});
    world.server.put(NAME, noted);
    let lease = leases.renew(&lease).await.expect("renewed");
    assert_eq!(world.server.lease(NAME)["metadata"]["annotations"]["note"], "kept");
    // An object that is made anew has no holder.
    world.server.remove(NAME);
    let missing = problem(leases.renew(&lease).await);
    assert!(missing.contains("status 404") && missing.contains("not found"), "{missing}");
    world.server.put(NAME, json!({"metadata": {"name": NAME}}));
    assert!(matches!(leases.renew(&lease).await, Err(StoreError::LeaseLost { holder: None, .. })));
    granted(&leases, "one").await;
}

#[tokio::test]
async fn credentials_are_read_anew() {
    let world = World::start().await;
    let leases = world.leases();
    let lease = granted(&leases, "one").await;
    world.server.set_token("second");
    let refused = problem(leases.renew(&lease).await);
    assert!(refused.contains("lease cm-0") && refused.contains("status 401"), "{refused}");
    assert!(!refused.contains("first"), "a token was told: {refused}");
    world.account.write("token", "second");
    leases.renew(&lease).await.expect("renewed with the new token");
    // The cluster's authority is renewed, and the connection breaks.
    let authority = Authority::new();
    world.server.set_authority(&authority);
    let fresh = world.leases();
    let refused = problem(claim(&fresh, "one").await);
    assert!(refused.contains("certificate"), "{refused}");
    world.account.write("ca.crt", &format!("{}{}", world.authority.pem, authority.pem));
    granted(&fresh, "one").await;
    world.account.write("ca.crt", "nothing");
    assert!(problem(claim(&world.leases(), "one").await).contains("ca.crt"));
    std::fs::remove_file(world.directory.path().join("token")).expect("there");
    assert!(problem(claim(&fresh, "one").await).contains("token"));
}

#[tokio::test]
async fn a_server_that_refuses_or_is_silent_is_told_of_and_waited_for_no_longer_than_a_second() {
    let world = World::start().await;
    let leases = world.leases();
    let lease = granted(&leases, "one").await;
    world.server.set_mood(Mood::Forbidding);
    let refused = problem(leases.renew(&lease).await);
    assert!(refused.contains("status 403") && refused.contains(NAMESPACE), "{refused}");
    world.server.set_mood(Mood::Silent);
    let begun = Instant::now();
    assert!(problem(leases.renew(&lease).await).contains("no answer in time"));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    world.server.set_mood(Mood::Well);
    leases.renew(&lease).await.expect("renewed");
    for (url, allowed) in [("https://10.0.0.1:443", true), ("http://10.0.0.1:80", false), ("http://127.0.0.1:80", true)]
    {
        let options = KubernetesOptions {
            api_url: url.to_owned(),
            credentials_dir: world.directory.path().to_owned(),
            namespace: None,
            name: "cm".to_owned(),
        };
        let made = KubernetesLeases::new(options, Arc::clone(&world.store), Clock::system());
        assert_eq!(made.is_ok(), allowed, "{url}");
    }
}

/// A collector that asks no venue.
fn collector(world: &World, redis: &RedisServer, settings: &str) -> Process {
    let api_url = format!("collector.kubernetes.api_url={}", world.server.url());
    let credentials = format!("collector.kubernetes.credentials_dir={}", world.directory.path().display());
    let kubernetes = ["collector.leases=kubernetes", "collector.kubernetes.lease_name=cm", &api_url, &credentials];
    let sets: Vec<&str> = kubernetes.iter().flat_map(|set| ["--set", set]).collect();
    let role = ["--role", "collector", "--config", settings, "--log", "info,crossmarket_collector=debug", "--store"];
    let url = redis.url();
    Process::serve(&[&role[..], &[&url], &sets].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn collectors_hand_over_and_take_over() {
    let world = World::start().await;
    let redis = RedisServer::start();
    let settings = without_venues(world.directory.path());
    let leader = || {
        let (assets, others) = (world.server.holder("cm-0"), world.server.holder("cm-1"));
        let pid = |holder: &str| holder.rsplit('_').next()?.split_once('-')?.0.parse::<u32>().ok();
        Some((pid(&assets)?, pid(&others)?))
    };
    let epoch = || -> Option<u64> {
        let stored = redis.try_command(&["HGET", "cm:{0}:latest", "#epoch"]).ok()?;
        redis::from_redis_value::<Option<u64>>(stored).ok()?
    };
    let mut first = collector(&world, &redis, &settings);
    wait_until("a leader", async || leader().filter(|both| *both == (first.id(), first.id()))).await;
    let epoch_of_first = wait_until("an epoch", async || epoch()).await;
    let second = collector(&world, &redis, &settings);
    // The standby looks, and gets nothing.
    let updates = world.server.updates();
    wait_until("ten renewals", async || (world.server.updates() >= updates + 10).then_some(())).await;
    assert_eq!((leader(), epoch()), (Some((first.id(), first.id())), Some(epoch_of_first)));
    // Handed over at a planned end.
    first.terminate();
    let since = Instant::now();
    wait_until("the second", async || leader().filter(|both| *both == (second.id(), second.id()))).await;
    println!("handed over within {:.2} s", since.elapsed().as_secs_f64());
    assert!(first.ended_within(support::process::PATIENCE).await.is_some_and(|status| status.success()));
    let epoch_of_second = wait_until("a larger epoch", async || epoch().filter(|one| *one > epoch_of_first)).await;
    // Taken over after the end without a word.
    let third = collector(&world, &redis, &settings);
    wait_until("a standby", async || third.log().contains("another collector leads").then_some(())).await;
    second.kill();
    let since = Instant::now();
    wait_until("the third", async || leader().filter(|both| *both == (third.id(), third.id()))).await;
    let takeover = since.elapsed();
    println!("taken over within {:.2} s", takeover.as_secs_f64());
    assert!(takeover <= TAKEOVER_MAX, "{takeover:?}");
    let epoch_of_third = wait_until("a larger epoch", async || epoch().filter(|one| *one > epoch_of_second)).await;
    // Redis was asked for no lease.
    let lease: Option<String> = redis::from_redis_value(redis.command(&["GET", "cm:{0}:lease"])).expect("an answer");
    assert_eq!(lease, None);
    // Without the API server nobody leads, and with it somebody does.
    world.server.set_mood(Mood::Forbidding);
    wait_until("the end of the lead", async || third.log().contains("not renewed in time").then_some(())).await;
    wait_until("the reason", async || third.log().contains("status 403").then_some(())).await;
    world.server.set_mood(Mood::Well);
    wait_until("a lead again", async || epoch().filter(|one| *one > epoch_of_third)).await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_at_the_start() {
    let started = |arguments: &[&str]| {
        let output = support::process::binary().args(arguments).output().expect("it runs");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let kubernetes = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--set"];
    let of_one = started(&[&kubernetes[..], &["collector.leases=kubernetes", "--store", "memory:"]].concat());
    assert!(of_one.contains("collector.leases = kubernetes") && of_one.contains("one process"), "{of_one}");
    let no_pod =
        started(&[&kubernetes[..], &["collector.leases=kubernetes", "--store", "redis://127.0.0.1:1"]].concat());
    assert!(no_pod.contains("collector.kubernetes.api_url"), "{no_pod}");
    let misspelt = started(&[&kubernetes[..], &["collector.leases=Kubernetes"]].concat());
    assert!(misspelt.contains("store or kubernetes"), "{misspelt}");
    let name = started(&[&kubernetes[..], &["collector.kubernetes.lease_name=Cross Market"]].concat());
    assert!(name.contains("collector.kubernetes.lease_name"), "{name}");
}
