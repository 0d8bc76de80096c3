//! How much memory the service needs: the real binary with the embedded store, ten venues over loopback, every asset listed and fresh at
//! all ten, and every history full.
//!
//! `CROSSMARKET_MEMORY_ASSETS` sets the number of assets, 1,000 by default. The venues are in this process, so that the measured one is the
//! service alone. Resident sets are read from `/proc`, so that elsewhere than on Linux the test says that it was skipped.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossmarket_api::v1::price_service_client::PriceServiceClient;
use crossmarket_api::v1::{FreshnessState, ListPriceSnapshotsRequest, PriceSnapshot, View};
use crossmarket_venues::REGISTRY;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tonic::transport::Channel;

use support::generated_venues::{LISTING, VENUES, serve_venues};

mod support {
    pub mod generated_venues;
}

/// The memory limit for a thousand assets at ten venues, in bytes.
const RESIDENT_MAX: u64 = 100_000_000;

/// The part of it that does not grow with the assets: the program, its threads, connections, and the cache of the store.
const RESIDENT_FIXED: u64 = 40_000_000;

/// From the start until everything is there.
const READY_WAIT_MAX: Duration = Duration::from_secs(240);

/// From then on to the second measurement: three rounds of every ticker.
const STEADY: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_assets_at_ten_venues_fit_in_100_megabytes() {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: resident sets are read from /proc, which only Linux has");
        return;
    }
    let asset_count = std::env::var("CROSSMARKET_MEMORY_ASSETS").map_or(1_000, |text| text.parse().expect("a number"));
    let bound = RESIDENT_FIXED + (RESIDENT_MAX - RESIDENT_FIXED) * asset_count as u64 / 1_000;
    let directory = tempfile::tempdir().expect("a directory");
    let (venues, requests) = serve_venues(asset_count).await;
    let started = Instant::now();
    let (mut service, address) = start_service(venues, asset_count, directory.path()).await;
    let process = service.id().expect("running");
    let mut client = PriceServiceClient::connect(format!("http://{address}")).await.expect("connects");

    let empty = memory_of(process);
    loop {
        let snapshots = snapshots(&mut client, View::Full).await;
        let complete = snapshots.iter().filter(|snapshot| is_complete(snapshot)).count();
        let fresh = snapshots.iter().filter(|snapshot| is_fresh(snapshot)).count();
        let memory = memory_of(process);
        eprintln!(
            "{:3} s: {fresh} fresh, {complete} complete, resident {}, of it the program {}",
            started.elapsed().as_secs(),
            megabytes(memory.resident),
            megabytes(memory.file)
        );
        if complete * 100 >= asset_count * 99 {
            break;
        }
        assert!(
            started.elapsed() < READY_WAIT_MAX,
            "only {complete} of {asset_count} complete: {:?}",
            snapshots.first()
        );
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let loaded = memory_of(process);
    tokio::time::sleep(STEADY).await;
    let steady = memory_of(process);

    println!(
        "{asset_count} assets at {} venues, embedded store, {} requests answered",
        VENUES.len(),
        requests.load(Ordering::Relaxed)
    );
    println!("resident before any data   {}", megabytes(empty.resident));
    println!("resident, histories loaded {}", megabytes(loaded.resident));
    println!("resident {:2} s later        {}", STEADY.as_secs(), megabytes(steady.resident));
    println!("highest                    {}", megabytes(steady.highest));
    println!("allowed                    {}", megabytes(bound));
    service.kill().await.expect("ends");
    assert!(loaded.resident <= bound, "{} resident once loaded, {} allowed", loaded.resident, bound);
    assert!(steady.resident <= bound, "{} resident {STEADY:?} later, {} allowed", steady.resident, bound);
}

/// Fresh, priced by ten venues, and with a figure from every interval of its history.
fn is_complete(snapshot: &PriceSnapshot) -> bool {
    let venue_count = snapshot.aggregation.as_ref().map_or(0, |aggregation| aggregation.venue_count);
    is_fresh(snapshot)
        && usize::try_from(venue_count).is_ok_and(|count| count == VENUES.len())
        && snapshot.rsi_14d.is_some()
        && snapshot.volatility_24h_percent.is_some()
        && snapshot.change_7d_percent.is_some()
        && snapshot.market_cap.is_some()
}

fn is_fresh(snapshot: &PriceSnapshot) -> bool {
    snapshot.freshness.as_ref().is_some_and(|freshness| freshness.state() == FreshnessState::Fresh)
}

async fn snapshots(client: &mut PriceServiceClient<Channel>, view: View) -> Vec<PriceSnapshot> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListPriceSnapshotsRequest {
            view: view.into(),
            page_size: 200,
            page_token: page_token.clone(),
            ..ListPriceSnapshotsRequest::default()
        };
        // Not ready yet is an answer too.
        let Ok(answer) = client.list_price_snapshots(request).await else { return found };
        let answer = answer.into_inner();
        found.extend(answer.snapshots);
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

struct Memory {
    resident: u64,
    /// The part of it that is the program's file, which a debug build makes several times as long as a release build.
    file: u64,
    highest: u64,
}

fn memory_of(process: u32) -> Memory {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the service runs");
    let bytes = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("in every status");
        let kibibytes: u64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number");
        kibibytes * 1_024
    };
    Memory { resident: bytes("VmRSS:"), file: bytes("RssFile:"), highest: bytes("VmHWM:") }
}

fn megabytes(bytes: u64) -> String {
    format!("{:6.1} MB", bytes as f64 / 1e6)
}

/// Starts the binary, told where the venues are; the others and all streams are off. Returns its gRPC address.
async fn start_service(venues: SocketAddr, asset_count: usize, directory: &std::path::Path) -> (Child, String) {
    let mut settings = format!(
        "grpc.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\nstore.url = \"embedded:{}\"\n\
         universe.size = {asset_count}\ntelemetry.log = \"warn\"\n",
        directory.join("data").display()
    );
    for venue in REGISTRY {
        let id = venue.id();
        let used = VENUES.contains(&id.as_str()) || id.as_str() == LISTING;
        writeln!(settings, "[venues.{id}]\nenabled = {used}\nrest_url = \"http://{venues}/{id}\"").expect("a text");
        if venue.stream().is_some() {
            // Nothing upgrades there, so that sessions back off.
            writeln!(settings, "ws_url = \"ws://{venues}/none\"").expect("a text");
        }
    }
    let file = directory.join("settings.toml");
    std::fs::write(&file, settings).expect("written");
    let mut service = Command::new(env!("CARGO_BIN_EXE_crossmarket"))
        .args(["serve", "--config"])
        .arg(&file)
        .env_clear()
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(service.stdout.take().expect("piped")).lines();
    let line = lines.next_line().await.expect("readable").expect("listening");
    let address = line.split_whitespace().find_map(|word| word.strip_prefix("grpc=")).expect("its address").to_owned();
    (service, address)
}
