//! `migrate-store` of the real binary, from a directory into Redis and back.

#[path = "support/redis.rs"]
mod servers;
#[path = "support/states.rs"]
mod states;

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crossmarket_domain::series::{Point, SeriesKey, SeriesKind};
use crossmarket_domain::{Candle, CandleInterval, Decimal, Timestamp};
use crossmarket_store::redis::RedisOptions;
use crossmarket_store::{EmbeddedStore, LeaseClaim, RedisStore, Store};
use servers::RedisServer;

fn migrate(from: &str, to: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossmarket"));
    command.args(["migrate-store", from, to]).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn series(kind: SeriesKind) -> SeriesKey {
    SeriesKey { subject: "BTC".into(), kind }
}

async fn fill(store: &dyn Store) {
    let now = Timestamp::from_millis(states::RECEIVED_MS);
    let hour = |number: i64| Candle {
        start: Timestamp::from_seconds(number * 3_600),
        open: Decimal::from(number + 1),
        high: Decimal::from(number + 3),
        low: Decimal::from(number + 1),
        close: Decimal::from(number + 2),
        base_volume: (number % 2 == 0).then_some(Decimal::ONE),
        quote_volume: None,
    };
    let candles: Vec<Candle> = (0..5_000).map(hour).collect();
    store.put_candles(&series(SeriesKind::Candles(CandleInterval::OneHour)), &candles).await.expect("put");
    let point = |day: i64| Point { time: Timestamp::from_seconds(day * 86_400), value: Decimal::from(day) };
    let points: Vec<Point> = (0..2_000).map(point).collect();
    store.put_points(&series(SeriesKind::DailyMarketCap), &points).await.expect("put");
    for (shard, codes) in [(0, ["BTC", "ETH"]), (3, ["SOL", "XMR"])] {
        let (epoch, _) = store.open_writer(shard, now).await.expect("a writer");
        let batch = codes.iter().map(|code| states::price(code, 1)).collect();
        store.write(shard, epoch, batch, None).await.expect("written");
    }
    store.flush().await.expect("flushed");
}

/// Everything that a store holds, to compare.
async fn contents(store: &dyn Store) -> String {
    let forever = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
    let hours = series(SeriesKind::Candles(CandleInterval::OneHour));
    let candles = store.candles(&hours, forever.0, forever.1).await.expect("candles");
    let caps = store.points(&series(SeriesKind::DailyMarketCap), forever.0, forever.1).await.expect("points");
    let mut shards = Vec::new();
    for shard in [0, 3] {
        let bootstrap = store.bootstrap(shard).await.expect("a bootstrap");
        shards.push(bootstrap.entries.into_iter().map(|entry| (entry.key, entry.state)).collect::<Vec<_>>());
    }
    format!("{:?} {candles:?} {caps:?} {shards:?}", store.series().await.expect("series"))
}

#[tokio::test]
async fn a_store_moves_into_redis_and_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = |name: &str| format!("embedded:{}", directory.path().join(name).display());
    let original = EmbeddedStore::open(&directory.path().join("first")).await.expect("opens");
    fill(&original).await;
    let expected = contents(&original).await;

    let server = RedisServer::start();
    let in_use = migrate(&url("first"), &server.url());
    assert_eq!(in_use.status.code(), Some(1), "the directory is open here");
    assert!(text(&in_use.stderr).contains("another process has it open"), "{}", text(&in_use.stderr));
    drop(original);

    let first = migrate(&url("first"), &server.url());
    assert!(first.status.success(), "{}", text(&first.stderr));
    let told = text(&first.stdout);
    assert!(told.starts_with("2 series with 7000 records (checksum "), "{told}");
    assert!(told.contains("4 latest values in 2 shards") && told.contains("0 were there already"), "{told}");
    let redis = RedisStore::new(&server.url(), RedisOptions::default()).expect("a URL");
    assert_eq!(contents(&redis).await, expected);

    // Again: nothing is new, and nothing moves.
    let revision = redis.bootstrap(0).await.expect("a bootstrap").revision;
    let second = migrate(&url("first"), &server.url());
    assert!(text(&second.stdout).contains("4 were there already"), "{}", text(&second.stdout));
    assert_eq!(redis.bootstrap(0).await.expect("a bootstrap").revision, revision);

    let back = migrate(&server.url(), &url("second"));
    assert!(back.status.success(), "{}", text(&back.stderr));
    let sums = |told: &str| told.matches("checksum ").count();
    assert_eq!(sums(&text(&back.stdout)), 2);
    let restored = EmbeddedStore::open(&directory.path().join("second")).await.expect("opens");
    assert_eq!(contents(&restored).await, expected);

    // While a collector writes there, nothing is copied over it.
    let claim = redis.acquire_lease(3, "a-collector", Duration::from_secs(60), Timestamp::from_seconds(1)).await;
    assert!(matches!(claim, Ok(LeaseClaim::Granted(_))));
    let held = migrate(&url("first"), &server.url());
    assert_eq!(held.status.code(), Some(1));
    assert!(text(&held.stderr).contains("held by a-collector"), "{}", text(&held.stderr));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (from, to, code) in [
        ("memory:", "redis://127.0.0.1:1", 2),
        ("redis://127.0.0.1:1", "redis://127.0.0.1:1", 2),
        ("redis://127.0.0.1:1", "nonsense", 1),
        ("redis://127.0.0.1:1", "redis://127.0.0.1:2", 1),
    ] {
        let output = migrate(from, to);
        assert_eq!(output.status.code(), Some(code), "{from} {to}: {}", text(&output.stderr));
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crossmarket")).args(arguments).output().expect("the binary runs")
}

#[tokio::test]
async fn a_backup_comes_back_whole_or_not_at_all() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let url = |name: &str| format!("embedded:{}", path(name));
    let original = EmbeddedStore::open(&directory.path().join("first")).await.expect("opens");
    fill(&original).await;
    let expected = contents(&original).await;
    drop(original);

    let file = path("backup.cm");
    let saved = run(&["export", &file, "--store", &url("first")]);
    assert!(saved.status.success(), "{}", text(&saved.stderr));
    assert!(
        text(&saved.stdout).starts_with("2 series with 7000 records and 4 latest values"),
        "{}",
        text(&saved.stdout)
    );
    let again = run(&["export", &file, "--store", &url("first")]);
    assert_eq!(again.status.code(), Some(1), "a backup is not overwritten");

    let server = RedisServer::start();
    for _ in 0..2 {
        let restored = run(&["import", "--all", &file, "--store", &server.url()]);
        assert!(restored.status.success(), "{}", text(&restored.stderr));
        assert!(text(&restored.stdout).ends_with("imported and verified\n"), "{}", text(&restored.stdout));
    }
    let redis = RedisStore::new(&server.url(), RedisOptions::default()).expect("a URL");
    assert_eq!(contents(&redis).await, expected);

    let mut bytes = std::fs::read(&file).expect("written");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let refused = run(&["import", "--all", &file, "--store", &url("second")]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("not a whole backup"), "{}", text(&refused.stderr));
    assert!(!directory.path().join("second").exists(), "nothing is touched");
}

#[tokio::test]
async fn no_backup_is_made_of_nothing_nor_put_where_nothing_stays() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let file = path("backup.cm");
    // A directory that was misspelt.
    let none = format!("embedded:{}", path("dta"));
    let saved = run(&["export", &file, "--store", &none]);
    assert_eq!(saved.status.code(), Some(1));
    assert!(text(&saved.stderr).contains("there is no store in"), "{}", text(&saved.stderr));
    assert!(!Path::new(&file).exists() && !Path::new(&path("dta")).exists());
    let migrated = run(&["migrate-store", &none, "redis://127.0.0.1:1"]);
    assert!(text(&migrated.stderr).contains("there is no store in"), "{}", text(&migrated.stderr));
    for command in [&["export", &file, "--store", "memory:"][..], &["import", "--all", &file, "--store", "memory:"]] {
        let refused = run(command);
        assert_eq!(refused.status.code(), Some(2), "{command:?}");
        assert!(text(&refused.stderr).contains("memory: does not outlive"), "{}", text(&refused.stderr));
    }
    // The password of a store that cannot be opened is nobody's to read.
    let with_password = "rediss://me:canary-word@127.0.0.1:1";
    for command in [&["export", &file][..], &["import", "--all", &file]] {
        let of_secret = ["--store", with_password, "--set", "store.tls_ca_file=/no/such/file"];
        let refused = run(&[command, &of_secret].concat());
        assert!(!refused.status.success());
        assert!(!text(&refused.stderr).contains("canary-word"), "{}", text(&refused.stderr));
    }
}
