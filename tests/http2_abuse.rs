//! What a hostile peer can do to the gRPC port, by a raw HTTP/2 client: a client beside it is served on, memory does not grow, and once it is over
//! everything is as before.
//!
//! The attackers share the machine with the service and with the client, and take their part of its processors. So the client is first measured while the
//! same attack goes against a port beside the service, which takes and drops everything: what it becomes slower by from there on is the service's
//! doing. That is printed, and held to a bound only where `CROSSMARKET_ABUSE_STRICT` is set (`scripts/abuse`).

#[path = "support/process.rs"]
mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use process::{PATIENCE, Process, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Attackers at a time, each with one connection.
const ATTACKER_COUNT: usize = 4;

/// Frames that an attacker sends in one burst, and its pause between bursts.
const BURST: usize = 500;
const REST: Duration = Duration::from_millis(5);

/// How long an attack lasts, that beside the service, and the calm before both.
const LENGTH: Duration = Duration::from_secs(2);

/// Between two calls of the client that is served meanwhile.
const PACE: Duration = Duration::from_millis(2);

/// By how much the service may grow.
const GROWTH_MAX: u64 = 100 << 20;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&[high, middle, low, kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

/// The headers of a health check, none of them put into the peer's table.
fn call() -> Vec<u8> {
    let literal = |name: &[u8], value: &str| [name, &[value.len() as u8], value.as_bytes()].concat();
    [
        vec![0x83, 0x86],
        literal(&[0x04], "/grpc.health.v1.Health/Check"),
        literal(&[0x01], "localhost"),
        literal(&[0x0f, 0x10], "application/grpc"),
        literal(&[0x00, 0x02, b't', b'e'], "trailers"),
    ]
    .concat()
}

/// A peer with ill intent: what it sends first, and the frames that it sends then, by their number.
struct Attack {
    name: &'static str,
    opening: fn() -> Vec<u8>,
    frames: fn(u32) -> Vec<u8>,
}

const ATTACKS: [Attack; 5] = [
    Attack {
        name: "rapid reset",
        opening: Vec::new,
        frames: |number| {
            let stream = number * 2 + 1;
            [frame(HEADERS, END_HEADERS, stream, &call()), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
        },
    },
    Attack {
        name: "CONTINUATION flood",
        opening: || frame(HEADERS, 0, 1, &call()),
        frames: |_| frame(CONTINUATION, 0, 1, &[&[0x00, 0x01, b'x', 100][..], &[b'y'; 100]].concat()),
    },
    Attack {
        name: "ping flood",
        opening: Vec::new,
        frames: |number| frame(PING, 0, 0, &u64::from(number).to_be_bytes()),
    },
    Attack { name: "settings flood", opening: Vec::new, frames: |_| frame(SETTINGS, 0, 0, &[]) },
    Attack {
        name: "tiny frames",
        opening: || frame(HEADERS, END_HEADERS, 1, &call()),
        frames: |_| frame(DATA, 0, 1, &[0]),
    },
];

/// Attacks until told to stop, and restarts whenever it is disconnected. Counts its frames.
async fn attack(attack: &'static Attack, address: String, over: Arc<AtomicBool>, frame_count: Arc<AtomicU64>) {
    while !over.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(&address).await else {
            tokio::time::sleep(REST).await;
            continue;
        };
        let opening = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &(attack.opening)()].concat();
        if stream.write_all(&opening).await.is_err() {
            continue;
        }
        let (mut number, mut answer) = (0, vec![0; 64 << 10]);
        while !over.load(Ordering::Relaxed) {
            let burst: Vec<u8> = (number..number + BURST as u32).flat_map(attack.frames).collect();
            number += BURST as u32;
            // Once the service accepts no more data, this connection is spent.
            let written = tokio::time::timeout(REST * 20, stream.write_all(&burst)).await;
            if !matches!(written, Ok(Ok(()))) {
                break;
            }
            frame_count.fetch_add(BURST as u64, Ordering::Relaxed);
            while matches!(
                tokio::time::timeout(Duration::from_micros(100), stream.read(&mut answer)).await,
                Ok(Ok(1..))
            ) {}
            tokio::time::sleep(REST).await;
        }
    }
}

/// Runs a future on its own thread, so that the attackers do not slow the client down within this process.
fn apart<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(work)
    })
}

async fn client(address: &str) -> HealthClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    HealthClient::new(soon("a connection", endpoint.connect()).await.expect("connected"))
}

/// Calls at a steady pace for a while and returns the time that the slowest hundredth took at least. Every call is answered.
async fn p99(client: &mut HealthClient<Channel>, length: Duration) -> Duration {
    let (end, mut times) = (Instant::now() + length, Vec::new());
    while Instant::now() < end {
        let start = Instant::now();
        let answered = tokio::time::timeout(PATIENCE, client.check(HealthCheckRequest::default())).await;
        answered.expect("in time").expect("answered");
        times.push(start.elapsed());
        tokio::time::sleep(PACE).await;
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// Connections that the service closed, by its own count.
async fn cut_off(service: &Process) -> u64 {
    let mut admin = TcpStream::connect(&service.admin).await.expect("the admin port");
    admin.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.expect("asked");
    let mut page = String::new();
    admin.read_to_string(&mut page).await.expect("answered");
    let name = "crossmarket_connections_refused_total{reason=\"abuse\"} ";
    page.lines().find_map(|line| line.strip_prefix(name)).and_then(|count| count.parse().ok()).expect("counted")
}

fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("running");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("told");
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number") << 10
}

/// The peak memory of a process until told to stop.
async fn peak(process: u32, over: Arc<AtomicBool>) -> u64 {
    let mut highest = 0;
    while !over.load(Ordering::Relaxed) {
        highest = highest.max(resident(process));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    highest
}

/// A port that is none of the service: it reads what comes and drops it, and closes a connection that has sent as much as a flood's beginning.
async fn sink() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    apart(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut buffer, mut taken) = (vec![0; 64 << 10], 0);
                while taken < buffer.len()
                    && let Ok(len @ 1..) = stream.read(&mut buffer).await
                {
                    taken += len;
                }
            });
        }
    });
    address
}

/// A client's calls while something goes on at the service, against its calls while the same goes on beside it. `work` is given where.
async fn withstands<W: Future<Output = ()> + Send + 'static>(
    service: &Process,
    name: &str,
    work: impl Fn(String, Arc<AtomicBool>) -> W,
) {
    let mut served = client(&service.grpc).await;
    // One-time costs are paid before anything is measured.
    p99(&mut served, Duration::from_millis(200)).await;
    let calm = p99(&mut served, LENGTH).await;
    let over = Arc::new(AtomicBool::new(false));
    let elsewhere = apart(work(sink().await, Arc::clone(&over)));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let beside = p99(&mut served, LENGTH).await.max(calm);
    over.store(true, Ordering::Relaxed);
    elsewhere.join().expect("attacked");
    let before = resident(service.id());
    let over = Arc::new(AtomicBool::new(false));
    let attacking = apart(work(service.grpc.clone(), Arc::clone(&over)));
    let watching = apart(peak(service.id(), Arc::clone(&over)));
    // It takes a moment until all of it is under way.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let attacked = p99(&mut served, LENGTH).await;
    over.store(true, Ordering::Relaxed);
    let end = Instant::now();
    attacking.join().expect("attacked");
    let growth = watching.join().expect("watched").saturating_sub(before);
    let mut newcomer = client(&service.grpc).await;
    soon("an answer", newcomer.check(HealthCheckRequest::default())).await.expect("answered");
    let recovered = end.elapsed();
    let ratio = attacked.as_secs_f64() / beside.as_secs_f64();
    println!(
        "{name}: p99 {calm:?} in calm, {beside:?} with the attack beside it, {attacked:?} under it ({ratio:.2} times); {:.1} MiB more at most; a new client was served {recovered:?} after it",
        growth as f64 / f64::from(1 << 20),
    );
    assert!(growth <= GROWTH_MAX, "{name}: the service grew by {growth} bytes");
    if std::env::var_os("CROSSMARKET_ABUSE_STRICT").is_some() {
        assert!(ratio <= 2.0, "{name}: p99 {ratio:.2} times");
        assert!(recovered <= Duration::from_secs(1), "{name}: served again after {recovered:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_disturb_nobody_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let service = Process::serve_in(directory.path());
    let mut known = 0;
    for hostile in &ATTACKS {
        let frame_count = Arc::new(AtomicU64::new(0));
        let (own, counted) = (service.grpc.clone(), Arc::clone(&frame_count));
        withstands(&service, hostile.name, |address, over| {
            // Of the service's alone.
            let counted = if address == own { Arc::clone(&counted) } else { Arc::default() };
            async move {
                let attackers = (0..ATTACKER_COUNT)
                    .map(|_| tokio::spawn(attack(hostile, address.clone(), Arc::clone(&over), Arc::clone(&counted))));
                for attacker in attackers.collect::<Vec<_>>() {
                    attacker.await.expect("attacked");
                }
            }
        })
        .await;
        let (frames, cut_off) = (frame_count.load(Ordering::Relaxed), cut_off(&service).await);
        println!("{}: {frames} frames, {} connections cut off", hostile.name, cut_off - known);
        assert!(frames > 10_000, "{}: hardly anything was sent", hostile.name);
        known = cut_off;
    }
    assert!(known > 0, "nobody was cut off");
}

/// Opens connections and holds them, saying `words` on each, until told to stop.
async fn crowd(address: String, count: usize, words: &'static [u8], over: Arc<AtomicBool>) {
    let mut held = Vec::new();
    while !over.load(Ordering::Relaxed) {
        // Some are refused, or wait for a place.
        if held.len() < count
            && let Ok(Ok(mut stream)) = tokio::time::timeout(REST, TcpStream::connect(&address)).await
        {
            // The connection may have been refused already.
            drop(stream.write_all(words).await);
            held.push(stream);
        } else {
            tokio::time::sleep(REST).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_keep_nobody_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let service = Process::serve_in_with(directory.path(), &["--set", "grpc.connections_per_address_max=10000"]);
    withstands(&service, "5,000 half-open connections", |address, over| crowd(address, 5_000, b"", over)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_file_descriptors_are_used_with_care() {
    let directory = tempfile::tempdir().expect("a directory");
    let service = Process::serve_in_with_files(directory.path(), 256);
    // As a client that has connected and calls nothing.
    const IDLE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    withstands(&service, "1,000 connections with 256 descriptors", |address, over| crowd(address, 1_000, IDLE, over))
        .await;
}
