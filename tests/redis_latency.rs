//! How long a state takes from its writer through Redis to a client that watches, against the barest chain of the same parts: `XADD`, `XREAD`,
//! a tonic stream. Both run in turns, in the same run, against the same Redis, with the same states at the same rate.
//!
//! What is measured: from the moment a state is handed to the writer to the moment the client has decoded the frame that holds it. Ours is all of
//! it: the fenced script call, the feed, the server (a process of its own) with its image and its subscription. The bare chain has none of
//! that: no latest values, no revisions, no image, and its server is a task of this process.
//!
//! A collector hands over what changed every `collector.publish_interval_ms`; that is a setting and not measured.
//!
//! The slowest hundredth of ours may take 1.5 times as long, optimised and on a machine with nothing else to do. Where others work as well,
//! `chrt -r 1` before the command comes near to that: the run is idle for most of the time.
//!
//! ```sh
//! CROSSMARKET_LATENCY_TIMES_MAX=1.5 cargo --config profile.dev.package.crossmarket.opt-level=3 test --test redis_latency -- --nocapture
//! ```

#[path = "support/redis.rs"]
mod servers;
#[path = "support/states.rs"]
mod states;
mod support {
    pub mod process;
}

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossmarket::servers::price_service_server::{PriceService, PriceServiceServer};
use crossmarket::services::WireEncoder;
use crossmarket::services::encoded::Encoded;
use crossmarket_api::v1;
use crossmarket_api::v1::price_service_client::PriceServiceClient;
use crossmarket_clock::Clock;
use crossmarket_domain::Timestamp;
use crossmarket_domain::state::{Body, Key, State};
use crossmarket_image::{Encoder, Freshness};
use crossmarket_store::redis::RedisOptions;
use crossmarket_store::{RedisStore, Store};
use futures_util::Stream;
use redis::Value;
use redis::aio::MultiplexedConnection;
use servers::RedisServer;
use support::process::{Process, wait_until};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// States a second.
const RATE: u32 = 1_000;

/// Assets that the states describe, in rotation.
const ASSETS: usize = 200;

/// Turns of each chain, and how long each is.
const TURNS: usize = 5;
const TURN: Duration = Duration::from_secs(2);

/// How much of a turn passes before anything counts.
const WARM_UP: Duration = Duration::from_millis(500);

/// After this much silence, a chain's turn is over.
const SILENCE: Duration = Duration::from_millis(300);

/// How many times longer the median may take in any run, optimised or not, on a busy machine or not: it tells a chain that waits for
/// something from one that does not.
const MEDIAN_TIMES_MAX: f64 = 5.0;

/// The bare chain's stream.
const FEED: &str = "bare:feed";

type Frames = Streaming<v1::WatchPriceSnapshotsResponse>;
type Answer<T> = Result<Response<T>, Status>;

/// A state that says when it was made, in microseconds since the start of the run.
struct Made {
    asset: usize,
    stamp: u32,
}

struct Run {
    began: Instant,
    templates: Vec<(Key, Option<State>)>,
}

impl Run {
    fn stamp(&self) -> u32 {
        u32::try_from(self.began.elapsed().as_micros()).expect("a short run")
    }

    fn state(&self, made: &Made) -> (Key, Option<State>) {
        let (key, state) = self.templates[made.asset].clone();
        let mut state = state.expect("a state");
        let now = Clock::system().now();
        (state.event_time, state.receive_time, state.publish_time) = (now, now, now);
        if let Body::Price(price) = &mut state.body {
            price.market_cap_rank = Some(made.stamp);
        }
        (key, Some(state))
    }
}

/// Produces states at the given rate for one turn. The writer takes those produced since it last looked.
fn make(run: Arc<Run>, turn: Duration) -> mpsc::Receiver<Made> {
    let (sender, made) = mpsc::channel(RATE as usize);
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE);
        for number in 0..(turn.as_millis() as usize * RATE as usize / 1_000) {
            tick.tick().await;
            let one = Made { asset: number % ASSETS, stamp: run.stamp() };
            // A delayed writer takes them later, which counts as age.
            if sender.send(one).await.is_err() {
                return;
            }
        }
    });
    made
}

/// Collects the age of each state on arrival, until none has arrived for a while.
async fn collect(run: &Run, frames: &mut Frames) -> Vec<u32> {
    let mut ages = Vec::new();
    let counts_from = run.stamp() + WARM_UP.as_micros() as u32;
    let turn_ends = Instant::now() + TURN;
    loop {
        match tokio::time::timeout(SILENCE, frames.message()).await {
            Ok(frame) => {
                let now = run.stamp();
                for snapshot in frame.expect("no error").expect("no end").snapshots {
                    let stamp = snapshot.market_cap_rank.unwrap_or_default() as u32;
                    if stamp >= counts_from {
                        ages.push(now - stamp);
                    }
                }
            }
            Err(_) if Instant::now() >= turn_ends => {
                ages.sort_unstable();
                return ages;
            }
            Err(_) => {}
        }
    }
}

/// The given percentile of the ages in each turn, in milliseconds, and then the median over the turns, so that other work that the
/// machine does now and then counts against neither chain.
fn percentile(turns: &[Vec<u32>], of_hundred: usize) -> f64 {
    let mut each: Vec<u32> = turns.iter().map(|sorted| sorted[sorted.len() * of_hundred / 100]).collect();
    each.sort_unstable();
    f64::from(each[each.len() / 2]) / 1_000.0
}

/// How many times longer the slowest hundredth may take, if that check is requested.
fn times_max() -> Option<f64> {
    let text = std::env::var("CROSSMARKET_LATENCY_TIMES_MAX").ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("CROSSMARKET_LATENCY_TIMES_MAX={text:?}: a number")))
}

/// The bare chain's server: it sends what it reads, unchanged.
struct Bare {
    redis_url: String,
}

async fn connected(url: &str) -> MultiplexedConnection {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let client = redis::Client::open(format!("{url}/?protocol=resp3")).expect("a URL");
    client.get_multiplexed_async_connection_with_config(&config).await.expect("connected")
}

#[tonic::async_trait]
impl PriceService for Bare {
    type WatchPriceSnapshotsStream =
        Pin<Box<dyn Stream<Item = Result<Encoded<v1::WatchPriceSnapshotsResponse>, Status>> + Send>>;

    async fn watch_price_snapshots(
        &self,
        _: Request<v1::WatchPriceSnapshotsRequest>,
    ) -> Answer<Self::WatchPriceSnapshotsStream> {
        let mut connection = connected(&self.redis_url).await;
        let (frames, receiver) = mpsc::channel(1_024);
        tokio::spawn(async move {
            let mut last = "0".to_owned();
            while !frames.is_closed() {
                let mut read = redis::cmd("XREAD");
                read.arg("COUNT").arg(1_000).arg("BLOCK").arg(200).arg("STREAMS").arg(FEED).arg(&last);
                let mut streams = match read.query_async(&mut connection).await {
                    Ok(Value::Map(streams)) => streams,
                    Ok(_) => continue,
                    // Redis has ended, and so does the run.
                    Err(_) => return,
                };
                let (_, rows) = streams.pop().expect("one stream");
                let rows: Vec<(String, Vec<Vec<u8>>)> = redis::from_redis_value(rows).expect("entries");
                last = rows.last().map(|row| row.0.clone()).expect("not empty");
                let entries = rows.into_iter().map(|mut row| row.1.swap_remove(1).into()).collect();
                let frame = Encoded::<v1::WatchPriceSnapshotsResponse> { entries, ..Default::default() };
                // The client has disconnected.
                let _ = frames.send(Ok(frame)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn get_price_snapshot(
        &self,
        _: Request<v1::GetPriceSnapshotRequest>,
    ) -> Answer<Encoded<v1::GetPriceSnapshotResponse>> {
        Err(Status::unimplemented("a stream only"))
    }

    async fn batch_get_price_snapshots(
        &self,
        _: Request<v1::BatchGetPriceSnapshotsRequest>,
    ) -> Answer<Encoded<v1::BatchGetPriceSnapshotsResponse>> {
        Err(Status::unimplemented("a stream only"))
    }

    async fn list_price_snapshots(
        &self,
        _: Request<v1::ListPriceSnapshotsRequest>,
    ) -> Answer<Encoded<v1::ListPriceSnapshotsResponse>> {
        Err(Status::unimplemented("a stream only"))
    }

    async fn list_candles(&self, _: Request<v1::ListCandlesRequest>) -> Answer<v1::ListCandlesResponse> {
        Err(Status::unimplemented("a stream only"))
    }
}

async fn serve_bare(redis_url: String) -> PriceServiceClient<Channel> {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let incoming = incoming.with_nodelay(Some(true));
    let address = incoming.local_addr().expect("bound");
    let server = tonic::transport::Server::builder().add_service(PriceServiceServer::new(Bare { redis_url }));
    tokio::spawn(server.serve_with_incoming(incoming));
    PriceServiceClient::connect(format!("http://{address}")).await.expect("connected")
}

/// Writes states to the bare feed: all that are waiting go in one round trip.
fn write_bare(run: Arc<Run>, mut connection: MultiplexedConnection, mut made: mpsc::Receiver<Made>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut batch = Vec::new();
        while made.recv_many(&mut batch, RATE as usize).await > 0 {
            let mut pipeline = redis::pipe();
            for one in batch.drain(..) {
                let (_, state) = run.state(&one);
                let entry = WireEncoder.encode(&state.expect("a state"), 1, Freshness::Fresh).full;
                let add = pipeline.cmd("XADD").arg(FEED).arg("MAXLEN").arg("~").arg(10_000).arg("*");
                add.arg("e").arg(&entry[..]).ignore();
            }
            pipeline.exec_async(&mut connection).await.expect("written");
        }
    })
}

/// Writes states as a collector does: one batch in flight, and states that arrive meanwhile form the next.
fn write_ours(run: Arc<Run>, store: Arc<RedisStore>, epoch: u64, mut made: mpsc::Receiver<Made>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut batch = Vec::new();
        while made.recv_many(&mut batch, RATE as usize).await > 0 {
            let updates = batch.drain(..).map(|one| run.state(&one)).collect();
            store.write(0, epoch, updates, None).await.expect("written");
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_takes_little_longer_than_through_the_barest_chain() {
    let redis = RedisServer::start();
    let codes: Vec<String> = (0..ASSETS).map(|number| format!("A{number}")).collect();
    let templates = codes.iter().map(|code| states::price(code, 1)).collect();
    let run = Arc::new(Run { began: Instant::now(), templates });
    let store = Arc::new(RedisStore::new(&redis.url(), RedisOptions::default()).expect("a URL"));
    let (epoch, _) = store.open_writer(0, Timestamp::from_millis(1)).await.expect("a writer");
    let all = (0..ASSETS).map(|asset| run.state(&Made { asset, stamp: 0 })).collect();
    store.write(0, epoch, all, None).await.expect("written");

    let server = Process::serve(&["--role", "server", "--store", &redis.url()]);
    let mut client = server.prices().await;
    let request = v1::WatchPriceSnapshotsRequest { view: v1::View::Full.into(), ..Default::default() };
    let mut ours =
        wait_until("a stream", async || client.watch_price_snapshots(request.clone()).await.ok()).await.into_inner();
    let mut bare_client = serve_bare(redis.url()).await;
    let mut bare = bare_client.watch_price_snapshots(request).await.expect("a stream").into_inner();
    let connection = connected(&redis.url()).await;

    let (mut ours_turns, mut bare_turns) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let writing = write_bare(Arc::clone(&run), connection.clone(), make(Arc::clone(&run), TURN));
        bare_turns.push(collect(&run, &mut bare).await);
        writing.await.expect("no panic");
        let writing = write_ours(Arc::clone(&run), Arc::clone(&store), epoch, make(Arc::clone(&run), TURN));
        ours_turns.push(collect(&run, &mut ours).await);
        writing.await.expect("no panic");
    }
    let expected = (TURN - WARM_UP).as_millis() as usize * RATE as usize / 1_000;
    for turn in ours_turns.iter().chain(&bare_turns) {
        // A delayed reader gets fewer: only the newest of each asset.
        assert!(turn.len() > expected / 2, "{} of {expected} states came", turn.len());
    }
    let of = |turns: &[Vec<u32>]| [50, 90, 99].map(|of_hundred| percentile(turns, of_hundred));
    let ([ours_p50, ours_p90, ours_p99], [bare_p50, bare_p90, bare_p99]) = (of(&ours_turns), of(&bare_turns));
    let times = ours_p99 / bare_p99;
    println!(
        "{RATE} states/s from writer to client: p50 {ours_p50:.3} ms, p90 {ours_p90:.3} ms, p99 {ours_p99:.3} ms; \
         bare XADD, XREAD, stream: p50 {bare_p50:.3} ms, p90 {bare_p90:.3} ms, p99 {bare_p99:.3} ms; p99 {times:.2} times"
    );
    assert!(ours_p50 <= MEDIAN_TIMES_MAX * bare_p50, "the median is {:.2} times the bare chain's", ours_p50 / bare_p50);
    assert!(times_max().is_none_or(|times_max| times <= times_max), "p99 {times:.2} times the bare chain's");
}
