//! What the Redis store costs: memory for histories, time to read everything, writes per second. Figures are printed (`--nocapture`); asserted are
//! memory, round trips, and times against a bare client of the same Redis in the same run.

#[path = "support/redis.rs"]
mod servers;
#[path = "support/states.rs"]
mod states;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossmarket_domain::series::{SeriesKey, SeriesKind};
use crossmarket_domain::state::{AssetInfo, AssetKind, Body, Key, State};
use crossmarket_domain::{AssetCode, AssetId, Candle, CandleInterval, Decimal, Timestamp};
use crossmarket_store::redis::RedisOptions;
use crossmarket_store::{Entry, RedisStore, Store, encoding};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use servers::RedisServer;

const ASSETS: usize = 500;
const DAYS: usize = 3_653;
const HISTORY_BYTES_MAX: u64 = 64_000_000;

fn store(url: &str) -> RedisStore {
    RedisStore::new(url, RedisOptions::default()).expect("a URL")
}

fn daily(asset: usize) -> SeriesKey {
    SeriesKey { subject: format!("ASSET{asset}").into(), kind: SeriesKind::Candles(CandleInterval::OneDay) }
}

fn day(number: usize) -> Timestamp {
    Timestamp::from_seconds(16_000 * 86_400 + number as i64 * 86_400)
}

/// A decimal with the given number of hundredths, thousandths …
fn number(mantissa: f64, scale: u32) -> Decimal {
    Decimal::from_parts(mantissa.round().max(1.0) as i128, scale).expect("a number")
}

/// Ten years of days as a venue gives them: each opens where the last one closed, moves by some per cent, and has volumes of many digits.
fn walk(seed: u64) -> Vec<Candle> {
    let mut random = SmallRng::seed_from_u64(seed);
    let scale = random.random_range(2..6);
    let mut price: f64 = random.random_range(10_000.0..10_000_000.0);
    (0..DAYS)
        .map(|number_of_day| {
            let open = price;
            let close = open * (1.0 + random.random_range(-0.08..0.081));
            let high = open.max(close) * (1.0 + random.random_range(0.0..0.04));
            let low = open.min(close) * (1.0 - random.random_range(0.0..0.04));
            price = close.clamp(1_000.0, 1e9);
            let units: f64 = random.random_range(1e7..1e11);
            let value =
                units * (open + close) / 2.0 * random.random_range(0.99..1.01) / 10f64.powi(scale as i32) * 10.0;
            Candle {
                start: day(number_of_day),
                open: number(open, scale),
                high: number(high.max(open.round()).max(close.round()), scale),
                low: number(low, scale),
                close: number(close, scale),
                base_volume: Some(number(units, 3)),
                quote_volume: Some(number(value, 4)),
            }
        })
        .collect()
}

/// The recorded daily candles of perpetuals, if this machine has them, each repeated until there are ten years.
fn recorded() -> Option<Vec<Vec<Candle>>> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(|parent| parent.join("shared/data"));
    let directory = std::env::var_os("CROSSMARKET_SHARED_DATA").map(PathBuf::from).or_else(beside)?;
    let mut all = Vec::new();
    for file in std::fs::read_dir(directory.join("history/bybit_linear_daily")).ok()? {
        let text = std::fs::read_to_string(file.ok()?.path()).ok()?;
        let rows: Vec<[Decimal; 6]> = text
            .lines()
            .skip(1)
            .filter_map(|line| {
                let mut numbers = line.split(',').skip(1).map(Decimal::parse);
                let row: Option<Vec<Decimal>> = (0..6).map(|_| numbers.next()?.ok()).collect();
                row?.try_into().ok()
            })
            .collect();
        assert!(!rows.is_empty(), "a recorded file without rows");
        let candle = |(number_of_day, row): (usize, &[Decimal; 6])| {
            let [open, high, low, close, base_volume, quote_volume] = *row;
            let (base_volume, quote_volume) = (Some(base_volume), Some(quote_volume));
            Candle { start: day(number_of_day), open, high, low, close, base_volume, quote_volume }
        };
        all.push(rows.iter().cycle().take(DAYS).enumerate().map(candle).collect());
    }
    (!all.is_empty()).then_some(all)
}

async fn memory_of_histories(what: &str, histories: &[Vec<Candle>]) {
    let server = RedisServer::start();
    let store = store(&server.url());
    let before = server.info_number("used_memory");
    for asset in 0..ASSETS {
        let candles = &histories[asset % histories.len()];
        store.put_candles(&daily(asset), candles).await.expect("put");
    }
    let used = server.info_number("used_memory") - before;
    let each = used as f64 / (ASSETS * DAYS) as f64;
    println!("{what}: {ASSETS} assets × {DAYS} daily candles: {used} bytes in Redis, {each:.1} a candle");
    assert!(used < HISTORY_BYTES_MAX, "{used} bytes");

    // Everything reads back, and ten years of one asset take one round trip.
    let candles = &histories[7 % histories.len()];
    let commands = || server.info_number("total_commands_processed");
    let from = day(0);
    assert_eq!(store.candles(&daily(7), from, day(DAYS)).await.expect("candles"), *candles);
    let (first, started) = (commands(), Instant::now());
    assert_eq!(store.candles(&daily(8), from, day(DAYS)).await.expect("candles").len(), DAYS);
    let took = started.elapsed();
    let second = commands();
    assert_eq!(second - first, 1 + (commands() - second), "one command, besides those of asking");
    println!("{what}: ten years of one asset in {took:?}, one round trip");
}

#[tokio::test]
async fn ten_years_of_500_assets_are_below_64_megabytes() {
    memory_of_histories("made up", &(0..50).map(walk).collect::<Vec<_>>()).await;
    match recorded() {
        Some(histories) => memory_of_histories("recorded perpetuals", &histories).await,
        None => println!("skipped: no recorded histories; CROSSMARKET_SHARED_DATA names their directory"),
    }
}

/// A small state: a catalogue entry.
fn small(code: &str, rank: u32) -> (Key, Option<State>) {
    let id = AssetId::parse(code).expect("an id");
    let time = Timestamp::from_millis(states::RECEIVED_MS);
    let state = State {
        event_time: time,
        receive_time: time,
        publish_time: time,
        budget: Duration::from_secs(60),
        simulated: false,
        body: Body::Asset(Box::new(AssetInfo {
            asset_id: id.clone(),
            asset: AssetCode::parse(code).expect("a code"),
            aliases: Vec::new(),
            name: Some("Name of an asset".into()),
            kind: AssetKind::Coin,
            market_cap_rank: Some(rank),
            categories: vec!["layer-1".into(), "smart-contract-platform".into()],
            listing_ids: vec![("coingecko".into(), "name-of-an-asset".into())],
            instruments: Vec::new(),
            history_start: Some(time),
            history_day_count: 3_000,
        })),
    };
    (Key::Asset(id), Some(state))
}

fn encoded_len(update: &(Key, Option<State>)) -> usize {
    let entry = Entry { key: update.0.clone(), revision: 1, state: update.1.clone(), trace: None };
    encoding::encode_entry(&entry, states::RECEIVED_MS as u64).len()
}

fn codes(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("A{number}")).collect()
}

/// Items per second that a bare client writes with `HSET` and `XADD` of the same bytes, pipelined in batches of the same size.
fn bare_writes(server: &RedisServer, item_len: usize, batch_len: usize, batches: usize) -> f64 {
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut connection = client.get_connection().expect("connected");
    let value = vec![b'x'; item_len];
    let started = Instant::now();
    for _ in 0..batches {
        let mut pipeline = redis::pipe();
        for code in 0..batch_len {
            pipeline.cmd("HSET").arg("bare:latest").arg(code).arg(&value).ignore();
            pipeline
                .cmd("XADD")
                .arg("bare:feed")
                .arg("MAXLEN")
                .arg("~")
                .arg(10_000)
                .arg("*")
                .arg("e")
                .arg(&value)
                .ignore();
        }
        pipeline.query::<()>(&mut connection).expect("written");
    }
    (batch_len * batches) as f64 / started.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarded_writes_keep_up_with_bare_ones() {
    const BATCH_LEN: usize = 1_000;
    const BATCHES: usize = 20;
    type Make = fn(&str, u32) -> (Key, Option<State>);
    for (what, make) in [("catalogue entries", small as Make), ("price snapshots of ten venues", states::price)] {
        let server = RedisServer::start();
        let store = store(&server.url());
        let (epoch, _) = store.open_writer(0, Timestamp::from_millis(1)).await.expect("a writer");
        let codes = codes(BATCH_LEN);
        let batch = |rank: usize| codes.iter().map(|code| make(code, rank as u32 + 1)).collect::<Vec<_>>();
        let item_len = encoded_len(&make("A1", 1));
        // Every key exists from here on, so that every update is compared with what was stored before it.
        store.write(0, epoch, batch(0), None).await.expect("written");
        let batches: Vec<_> = (0..BATCHES).map(batch).collect();
        let started = Instant::now();
        for batch in batches {
            store.write(0, epoch, batch, None).await.expect("written");
        }
        let guarded = (BATCH_LEN * BATCHES) as f64 / started.elapsed().as_secs_f64();
        let script_seconds = script_seconds(&server);
        let in_redis = (BATCH_LEN * (BATCHES + 1)) as f64 / script_seconds;
        let bare = bare_writes(&server, item_len, BATCH_LEN, BATCHES);
        println!(
            "{what}, {item_len} bytes each, batches of {BATCH_LEN}: {guarded:.0} guarded items/s on one connection \
             (inside Redis alone {in_redis:.0}/s), bare HSET + XADD {bare:.0}/s"
        );
        // Only Redis' share, since the speed of encoding in this process depends on how it was compiled.
        assert!(in_redis > bare / 5.0, "guarded {in_redis:.0}/s inside Redis, bare {bare:.0}/s");
    }
}

/// Seconds that Redis spent in scripts.
fn script_seconds(server: &RedisServer) -> f64 {
    let stats = server.text(&["INFO", "commandstats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:")).expect("scripts were called");
    let micros = line.split(',').find_map(|part| part.strip_prefix("usec=")).expect("a time");
    micros.parse::<f64>().expect("a number") / 1e6
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_keys_are_there_at_once() {
    const KEYS: usize = 10_000;
    let server = RedisServer::start();
    let store = store(&server.url());
    let (epoch, _) = store.open_writer(0, Timestamp::from_millis(1)).await.expect("a writer");
    for part in codes(KEYS).chunks(500) {
        let batch = part.iter().map(|code| states::price(code, 1)).collect();
        store.write(0, epoch, batch, None).await.expect("written");
    }
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut connection = client.get_connection().expect("connected");
    let bare = |connection: &mut redis::Connection| {
        let started = Instant::now();
        let all: Vec<(String, Vec<u8>)> =
            redis::cmd("HGETALL").arg("cm:{0}:latest").query(connection).expect("an answer");
        (all.iter().map(|(_, value)| value.len()).sum::<usize>(), started.elapsed())
    };
    let (bytes, mut bare_best) = bare(&mut connection);
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let started = Instant::now();
        let bootstrap = store.bootstrap(0).await.expect("a bootstrap");
        best = best.min(started.elapsed());
        assert_eq!((bootstrap.entries.len(), bootstrap.revision), (KEYS, KEYS as u64));
        bare_best = bare_best.min(bare(&mut connection).1);
    }
    println!("bootstrap of {KEYS} price snapshots, {bytes} bytes: {best:?}, decoded; bare HGETALL {bare_best:?}");
    assert!(best < bare_best * 20, "{best:?} against {bare_best:?}");
}
