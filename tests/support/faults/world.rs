//! A whole deployment on this machine: simulated venues in the test's own process; Redis, collectors and servers as processes; a proxy between
//! them and Redis; clients that write down what they receive, and a reader of the feed itself.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossmarket::client::{Client, WatchEvent};
use crossmarket::clock::Clock;
use crossmarket::domain::state::Key;
use crossmarket::domain::{AssetCode, Shards};
use crossmarket::image::{Collection, Cursor};
use crossmarket::proto::v1::{PriceSnapshot, StreamState, WatchPriceSnapshotsRequest, WatchPriceSnapshotsResponse};
use crossmarket::simulator::{self, Simulator, SimulatorOptions};
use crossmarket::store::redis::{RedisOptions, RedisStore};
use crossmarket::store::{Store, Tail};
use prost::Message;
use tokio_util::sync::CancellationToken;

use super::history::{ClientHistory, Event, Item, Segment};
use crate::support::process::{Process, wait_until};
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;

/// Venues that are asked and have no stream, so that every poll confirms every price; and a listing.
const VENUES: [&str; 3] = ["htx", "mexc", "coingecko"];

/// Assets tracked.
const UNIVERSE_SIZE: usize = 40;

/// Time between two polls of tickers, and how long a ticker is fresh.
pub const POLL: Duration = Duration::from_secs(5);

pub struct World {
    pub redis: RedisServer,
    pub proxy: Proxy,
    pub shards: Shards,
    settings: PathBuf,
    _directory: tempfile::TempDir,
    _simulator: Simulator,
}

impl World {
    /// Venues and Redis; no process yet.
    pub async fn start(shard_count: u16, redis: RedisServer) -> Self {
        // The processes go by the system's clock, so the venues do.
        let options = SimulatorOptions { outages: false, ..SimulatorOptions::new(1, Clock::system()) };
        let simulator = simulator::start(options).await.expect("free ports");
        let directory = tempfile::tempdir().expect("a directory");
        let proxy = Proxy::start(redis.port).await;
        let mut lines = format!(
            "[store]\nurl = \"{}\"\n[collector]\nshards = {shard_count}\n[universe]\nsize = {UNIVERSE_SIZE}\n",
            proxy.redis_url()
        );
        for venue in crossmarket::venues::REGISTRY {
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
        Self { redis, proxy, shards, settings, _directory: directory, _simulator: simulator }
    }

    pub fn collector(&self) -> Process {
        self.process("collector", "127.0.0.1:0")
    }

    /// A server on a port that it can be started on again.
    pub fn server(&self, address: &str) -> Process {
        self.process("server", address)
    }

    fn process(&self, role: &str, listen: &str) -> Process {
        let settings = self.settings.to_str().expect("UTF-8");
        Process::serve(&["--role", role, "--config", settings, "--listen", listen])
    }

    /// Waits until a server is ready, and for prices enough to look at.
    pub async fn ready(&self, client: &Client) {
        wait_until("fresh prices", async || {
            let request = crossmarket::proto::v1::ListPriceSnapshotsRequest { page_size: 1, ..Default::default() };
            let total = client.prices().raw().list_price_snapshots(request).await.ok()?.into_inner().total_size;
            (total as usize >= UNIVERSE_SIZE / 2).then_some(())
        })
        .await;
    }

    /// The process that leads a shard, by its id, and the epoch.
    pub fn leader(&self, shard: u16) -> Option<(u32, u64)> {
        let lease = self.redis.try_command(&["GET", &format!("cm:{{{shard}}}:lease")]).ok()?;
        let lease: Option<String> = redis::from_redis_value(lease).ok()?;
        let lease = lease?;
        let (epoch, holder) = lease.split_once(' ')?;
        Some((holder.split_once('-')?.0.parse().ok()?, epoch.parse().ok()?))
    }

    /// A shard's newest position as Redis has it.
    pub fn head(&self, shard: u16) -> Option<(u64, u64)> {
        let latest = format!("cm:{{{shard}}}:latest");
        let head = self.redis.try_command(&["HMGET", &latest, "#epoch", "#revision"]).ok()?;
        let head: (Option<u64>, Option<u64>) = redis::from_redis_value(head).ok()?;
        Some((head.0?, head.1?))
    }
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

/// A client whose stream is written down.
pub struct Recorder {
    history: Arc<Mutex<ClientHistory>>,
}

impl Recorder {
    /// Writes down everything that one client's stream brings, until `stop`. The client goes on at another server by itself.
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

    /// True once the stream has come to these positions, shard by shard, or past them.
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
        // A stream that is begun anew begins with the full state.
        write(Event::Gap);
    }
}

fn event_of(frame: &WatchPriceSnapshotsResponse, shards: Shards) -> Event {
    if frame.state() == StreamState::Resync {
        return Event::Gap;
    }
    let item = |snapshot: &PriceSnapshot| Item {
        shard: usize::from(shards.of_asset(&AssetCode::parse(&snapshot.asset).expect("a code"))),
        revision: snapshot.revision as u64,
        content: content(snapshot),
        key: snapshot.asset.clone(),
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
