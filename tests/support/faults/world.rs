//! A whole deployment on this machine: simulated venues in the test's own process; Redis, collectors and servers as processes; a proxy between
//! them and Redis where that is one server; clients that write down what they receive, and a reader of the feed itself.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::TcpListener;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossmarket_api::v1::{
    ListPriceSnapshotsRequest, PriceSnapshot, StreamState, WatchPriceSnapshotsRequest, WatchPriceSnapshotsResponse,
};
use crossmarket_client::{Client, WatchEvent};
use crossmarket_clock::Clock;
use crossmarket_domain::state::Key;
use crossmarket_domain::{AssetId, Shards};
use crossmarket_image::{Collection, Cursor};
use crossmarket_simulator::{self as simulator, Simulator, SimulatorOptions};
use crossmarket_store::redis::{RedisOptions, RedisStore};
use crossmarket_store::{Store, Tail};
use prost::Message;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use super::history::{ClientHistory, Event, Item, Position, Segment};
use crate::support::process::{Process, wait_until};
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;

/// Venues that are asked and have no stream, so that every poll confirms every price; and a listing.
const VENUES: [&str; 3] = ["htx", "mexc", "coingecko"];

/// Assets tracked.
const UNIVERSE_SIZE: usize = 40;

/// Time between two polls of tickers, and how long a ticker is fresh.
pub const POLL: Duration = Duration::from_secs(5);

/// How long the same assets must have been tracked: longer than the listing takes between two looks.
const SETTLED_AFTER: Duration = Duration::from_secs(8);

/// Venues, and what processes on one store are started with.
pub struct Deployment {
    pub shards: Shards,
    settings: PathBuf,
    _directory: tempfile::TempDir,
    _simulator: Simulator,
}

/// A deployment whose Redis is one server behind a proxy.
pub struct World {
    pub redis: RedisServer,
    pub proxy: Proxy,
    deployment: Deployment,
}

impl Deref for World {
    type Target = Deployment;

    fn deref(&self) -> &Deployment {
        &self.deployment
    }
}

impl Deployment {
    /// Venues; no process yet.
    pub async fn start(shard_count: u16, store_url: &str) -> Self {
        // The processes go by the system's clock, so the venues do.
        let options = SimulatorOptions { outages: false, ..SimulatorOptions::new(1, Clock::system()) };
        let simulator = simulator::start(crossmarket_venues::SIMULATED, options).await.expect("free ports");
        let directory = tempfile::tempdir().expect("a directory");
        let mut lines = format!(
            "[store]\nurl = \"{store_url}\"\n[collector]\nshards = {shard_count}\n[universe]\nsize = {UNIVERSE_SIZE}\n"
        );
        for venue in crossmarket_venues::REGISTRY {
            let id = venue.id();
            let endpoints = simulator.endpoints();
            let endpoint = endpoints.iter().find(|one| one.venue == id.as_str() && VENUES.contains(&id.as_str()));
            lines += &match endpoint {
                Some(endpoint) => format!("[venues.{id}]\nrest_url = \"{}\"\n", endpoint.rest_url),
                None => format!("[venues.{id}]\nenabled = false\n"),
            };
        }
        let settings = directory.path().join("crossmarket.toml");
        std::fs::write(&settings, lines).expect("written");
        let shards = Shards::new(shard_count);
        Self { shards, settings, _directory: directory, _simulator: simulator }
    }

    pub fn collector(&self) -> Process {
        self.process("collector", "127.0.0.1:0")
    }

    /// A server on a port on which it can be restarted.
    pub fn server(&self, address: &str) -> Process {
        self.process("server", address)
    }

    fn process(&self, role: &str, listen: &str) -> Process {
        let settings = self.settings.to_str().expect("UTF-8");
        // The venues and the proxy that it asks while it starts are tasks of this runtime.
        block_in_place(|| Process::serve(&["--role", role, "--config", settings, "--listen", listen]))
    }

    /// Waits until a server is ready and has enough prices to check.
    pub async fn ready(&self, client: &Client) {
        wait_until("prices", async || (assets(client).await?.len() >= UNIVERSE_SIZE / 2).then_some(())).await;
    }

    /// Waits until the listing has decided which assets are tracked. Until then, assets are removed, and every watcher gets a RESYNC.
    pub async fn settled(&self, client: &Client) {
        let mut seen = (Vec::new(), Instant::now());
        wait_until("the universe", async || {
            let assets = assets(client).await?;
            if assets != seen.0 {
                seen = (assets, Instant::now());
            }
            (seen.0.len() >= UNIVERSE_SIZE / 2 && seen.1.elapsed() >= SETTLED_AFTER).then_some(())
        })
        .await;
    }
}

impl World {
    /// Venues and Redis; no process yet.
    pub async fn start(shard_count: u16, redis: RedisServer) -> Self {
        let proxy = Proxy::start(redis.port).await;
        let deployment = Deployment::start(shard_count, &proxy.redis_url()).await;
        Self { redis, proxy, deployment }
    }

    /// The process that leads a shard, by its id, and the epoch.
    pub fn leader(&self, shard: u16) -> Option<(u32, u64)> {
        let lease = self.redis.try_command(&["GET", &format!("cm:{{{shard}}}:lease")]).ok()?;
        let lease: Option<String> = redis::from_redis_value(lease).ok()?;
        let lease = lease?;
        let (epoch, holder) = lease.split_once(' ')?;
        Some((holder.split_once('-')?.0.parse().ok()?, epoch.parse().ok()?))
    }

    /// A shard's newest position in Redis.
    pub fn head(&self, shard: u16) -> Option<(u64, u64)> {
        let latest = format!("cm:{{{shard}}}:latest");
        let head = self.redis.try_command(&["HMGET", &latest, "#epoch", "#revision"]).ok()?;
        let head: (Option<u64>, Option<u64>) = redis::from_redis_value(head).ok()?;
        Some((head.0?, head.1?))
    }

    /// The newest entries of a shard's feed, or all; the newest first.
    pub fn feed(&self, shard: u16, count: Option<usize>) -> Vec<Fed> {
        let (feed, count) = (format!("cm:{{{shard}}}:feed"), count.unwrap_or(1_000_000).to_string());
        let Ok(rows) = self.redis.try_command(&["XREVRANGE", &feed, "+", "-", "COUNT", &count]) else {
            return Vec::new();
        };
        let rows: Vec<(String, Vec<redis::Value>)> = redis::from_redis_value(rows).expect("entries");
        let fed_of = |(id, fields): (String, Vec<redis::Value>)| {
            let (epoch, revision) = id.split_once('-').expect("EPOCH-REVISION");
            let position = (epoch.parse().expect("a number"), revision.parse().expect("a number"));
            let state = match fields.as_slice() {
                [redis::Value::BulkString(name), redis::Value::BulkString(state)] if name == b"e" => {
                    Some(state.clone())
                }
                _ => None,
            };
            Fed { position, state }
        };
        rows.into_iter().map(fed_of).collect()
    }

    /// The position of the newest state in a shard's feed, past the marks of those who only began.
    pub fn newest_state(&self, shard: u16) -> Option<Position> {
        self.feed(shard, Some(20)).into_iter().find(|fed| fed.state.is_some()).map(|fed| fed.position)
    }

    /// The values that a shard holds, as they are stored.
    pub fn stored(&self, shard: u16) -> Vec<Vec<u8>> {
        let latest = self.redis.command(&["HGETALL", &format!("cm:{{{shard}}}:latest")]);
        let latest: HashMap<Vec<u8>, Vec<u8>> = redis::from_redis_value(latest).expect("fields");
        latest.into_iter().filter(|(name, _)| !name.starts_with(b"#")).map(|(_, value)| value).collect()
    }
}

/// One entry of a shard's feed.
pub struct Fed {
    pub position: Position,
    /// The state as it is stored; `None` for the mark that a writer leaves when it begins, which repeats the revision before it.
    pub state: Option<Vec<u8>>,
}

/// The assets that have a price.
async fn assets(client: &Client) -> Option<Vec<String>> {
    let request = ListPriceSnapshotsRequest { page_size: 1_000, ..Default::default() };
    let answer = client.prices().raw().list_price_snapshots(request).await.ok()?.into_inner();
    let mut assets: Vec<String> = answer.snapshots.into_iter().map(|snapshot| snapshot.asset).collect();
    assets.sort_unstable();
    Some(assets)
}

/// An address that nobody listens on.
pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").expect("a socket").local_addr().expect("bound").to_string()
}

pub fn client_of(addresses: &[String]) -> Client {
    let builder = Client::builder().endpoints(addresses.iter().map(|address| format!("http://{address}")));
    builder
        .attempt_timeout(Duration::from_secs(1))
        .connect_timeout(Duration::from_millis(500))
        .build()
        .expect("a client")
}

/// The positions in a frame's cursor.
pub fn positions(cursor: &str) -> Vec<(u64, u64)> {
    let cursor = Cursor::decode(cursor, Collection::Prices).expect("a cursor of prices");
    cursor.positions.iter().map(|position| (position.epoch, position.revision)).collect()
}

fn content(snapshot: &PriceSnapshot) -> u64 {
    let mut hasher = DefaultHasher::new();
    PriceSnapshot { freshness: None, ..snapshot.clone() }.encode_to_vec().hash(&mut hasher);
    hasher.finish()
}

/// A client whose stream is recorded.
pub struct Recorder {
    history: Arc<Mutex<ClientHistory>>,
}

impl Recorder {
    /// Records everything that one client's stream delivers, until `stop`. The client moves to another server by itself.
    pub fn start(name: &str, client: Client, shards: Shards, stop: &CancellationToken) -> Self {
        let history = Arc::new(Mutex::new(ClientHistory { name: name.to_owned(), events: Vec::new() }));
        let (written, stop) = (Arc::clone(&history), stop.clone());
        let write = move |event| written.lock().expect("not poisoned").events.push(event);
        tokio::spawn(async move { stop.run_until_cancelled(record(client, shards, write)).await });
        Self { history }
    }

    /// What was received so far.
    pub fn history(&self) -> ClientHistory {
        self.history.lock().expect("not poisoned").clone()
    }

    /// True once the stream has reached or passed these positions in every shard.
    pub fn has_reached(&self, heads: &[(u64, u64)]) -> bool {
        let history = self.history.lock().expect("not poisoned");
        let last = history.events.iter().rev().find_map(|event| match event {
            Event::Frame { cursor, .. } => Some(cursor),
            Event::Gap => None,
        });
        last.is_some_and(|cursor| cursor.iter().zip(heads).all(|(at, head)| at >= head))
    }
}

async fn record(client: Client, shards: Shards, write: impl Fn(Event)) {
    let request = WatchPriceSnapshotsRequest {
        heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..Default::default()
    };
    loop {
        let Ok(mut watch) = client.prices().watch(request.clone()).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        while let Some(event) = watch.next().await {
            match event {
                Ok(WatchEvent::Update(frame)) => write(event_of(&frame, shards)),
                Ok(WatchEvent::Gap(_)) => write(Event::Gap),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        // A restarted stream begins with the full state.
        write(Event::Gap);
    }
}

fn event_of(frame: &WatchPriceSnapshotsResponse, shards: Shards) -> Event {
    if frame.state() == StreamState::Resync {
        return Event::Gap;
    }
    let item = |snapshot: &PriceSnapshot| Item {
        shard: usize::from(shards.of_asset(&AssetId::parse(&snapshot.asset_id).expect("an id"))),
        revision: snapshot.revision as u64,
        content: content(snapshot),
        key: snapshot.asset_id.clone(),
    };
    Event::Frame {
        complete: frame.state() == StreamState::SnapshotComplete,
        cursor: positions(&frame.cursor),
        items: frame.snapshots.iter().map(item).collect(),
    }
}

/// Reads one shard's feed from Redis itself, past the proxy.
pub fn read_feed(redis_url: String, shard: u16, stop: CancellationToken) -> tokio::task::JoinHandle<Vec<Segment>> {
    let segments = Arc::new(Mutex::new(Vec::<Segment>::new()));
    tokio::spawn(async move {
        let store = RedisStore::new(&redis_url, RedisOptions::default()).expect("a URL");
        let read = async {
            loop {
                let Some(segment) = begin(&store, shard).await else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                segments.lock().expect("not poisoned").push(segment);
                go_on(&store, shard, &segments).await;
            }
        };
        stop.run_until_cancelled(read).await;
        std::mem::take(&mut *segments.lock().expect("not poisoned"))
    })
}

async fn begin(store: &RedisStore, shard: u16) -> Option<Segment> {
    let state = store.bootstrap(shard).await.ok().filter(|state| state.epoch > 0)?;
    let base = state.entries.into_iter().filter_map(|entry| Some((asset_of(&entry.key)?, entry.revision))).collect();
    let (epoch, from) = (state.epoch, state.revision);
    Some(Segment { shard: usize::from(shard), epoch, from, base, entries: Default::default(), last: from })
}

async fn go_on(store: &RedisStore, shard: u16, segments: &Mutex<Vec<Segment>>) {
    loop {
        let (epoch, last) = {
            let segments = segments.lock().expect("not poisoned");
            let Some(segment) = segments.last() else { return };
            (segment.epoch, segment.last)
        };
        match store.tail(shard, epoch, last, Duration::from_millis(500)).await {
            Ok(Tail::Entries(entries)) => {
                let mut segments = segments.lock().expect("not poisoned");
                let Some(segment) = segments.last_mut() else { return };
                for entry in entries {
                    segment.last = entry.revision;
                    if let Some(key) = asset_of(&entry.key) {
                        segment.entries.insert(entry.revision, (key, entry.state.is_none()));
                    }
                }
            }
            Ok(Tail::Gap) => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn asset_of(key: &Key) -> Option<String> {
    match key {
        Key::Price(asset) => Some(asset.to_string()),
        _ => None,
    }
}
