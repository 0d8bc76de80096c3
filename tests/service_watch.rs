//! Watch streams of the real binary: their states, granted options, resuming without a gap, and slow readers.

use std::sync::LazyLock;
use std::time::Duration;

use crossmarket_api::v1::price_service_client::PriceServiceClient;
use crossmarket_api::v1::{
    ItemState, ListPriceSnapshotsRequest, PriceSnapshot, StreamState, View, WatchPriceSnapshotsRequest,
    WatchPriceSnapshotsResponse,
};
use prost::Message;
use tonic::transport::Channel;

use support::process::{Process, Shared, Story, soon, wait_until};
use support::stream::{Watch, get, watch_of};

mod support {
    pub mod process;
    pub mod stream;
}

type Prices = PriceServiceClient<Channel>;

static DEMO: LazyLock<Shared> = LazyLock::new(|| Process::demo(&[]).shared());

/// The demo, once its market is there.
async fn demo() -> Story {
    let demo = Story::of(&DEMO);
    let mut client = demo.prices().await;
    wait_until("the market", async || get(&mut client, "ATOM").await.ok()).await;
    demo
}

fn all() -> WatchPriceSnapshotsRequest {
    WatchPriceSnapshotsRequest { view: View::Full.into(), ..Default::default() }
}

async fn list(client: &mut Prices) -> Vec<PriceSnapshot> {
    let request = ListPriceSnapshotsRequest { page_size: 1_000, view: View::Full.into(), ..Default::default() };
    let mut snapshots = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListPriceSnapshotsRequest { page_token, ..request.clone() };
        let page = soon("a page", client.list_price_snapshots(request)).await.expect("a page").into_inner();
        snapshots.extend(page.snapshots);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return snapshots;
        }
    }
}

fn span(duration: Duration) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: duration.as_secs() as i64, nanos: duration.subsec_nanos() as i32 })
}

fn seconds(time: &Option<prost_types::Timestamp>) -> f64 {
    let time = time.as_ref().expect("a time");
    time.seconds as f64 + f64::from(time.nanos) / 1e9
}

#[tokio::test]
async fn begins_with_the_full_state_and_goes_on_live() {
    let demo = demo().await;
    let mut client = demo.prices().await;
    let before = list(&mut client).await;
    let mut watch = Watch::open(&mut client, all()).await;
    let frames = watch.frames_until(StreamState::SnapshotComplete).await;
    let (_, head) = frames.split_last().expect("frames");
    assert!(head.iter().all(|frame| frame.state() == StreamState::Snapshot && !frame.snapshots.is_empty()));
    let told: usize = frames.iter().map(|frame| frame.snapshots.len()).sum();
    assert!(told >= before.len() && told == watch.states.len(), "each asset once: {told} for {}", watch.states.len());
    for snapshot in &before {
        let state = watch.states.get(&snapshot.asset).expect("every asset listed is in the full state");
        assert!(state.revision >= snapshot.revision, "{}", snapshot.asset);
        assert!(!state.aggregation.as_ref().expect("an aggregation").contributions.is_empty(), "the view asked for");
    }
    let configuration = frames[0].configuration.as_ref().expect("the configuration as granted");
    assert!((configuration.view(), configuration.resumed) == (View::Full, false), "{configuration:?}");
    assert!(configuration.matched_count as usize >= before.len(), "{configuration:?}");
    assert!(frames.iter().skip(1).all(|frame| frame.configuration.is_none()));

    // The client half-closed the call with its request; the stream continues anyway.
    for _ in 0..5 {
        let frame = watch.frame().await;
        assert!(frame.state() == StreamState::Live && !frame.snapshots.is_empty(), "{:?}", frame.state());
    }
}

#[tokio::test]
async fn tells_what_became_of_each_item() {
    let demo = demo().await;
    let mut client = demo.prices().await;
    let mut watch = Watch::open(&mut client, watch_of(&["BTC", "NOSUCH", "B/D", "eth"])).await;
    let frames = watch.frames_until(StreamState::SnapshotComplete).await;
    let items: Vec<(&str, ItemState)> = frames[0].items.iter().map(|item| (item.item.as_str(), item.state())).collect();
    let expected =
        [("BTC", ItemState::Ok), ("NOSUCH", ItemState::Unknown), ("B/D", ItemState::Invalid), ("eth", ItemState::Ok)];
    assert_eq!(items, expected);
    let mut assets: Vec<&String> = watch.states.keys().collect();
    assets.sort();
    assert_eq!(assets, ["BTC", "ETH"]);
    watch.frames_until(StreamState::Live).await;
    assert_eq!(watch.states.len(), 2, "nothing else is sent");
}

#[tokio::test]
async fn keeps_the_interval_granted() {
    let demo = demo().await;
    let mut client = demo.prices().await;
    let asked = Duration::from_millis(500);
    let mut watch = Watch::open(&mut client, WatchPriceSnapshotsRequest { min_interval: span(asked), ..all() }).await;
    let frames = watch.frames_until(StreamState::SnapshotComplete).await;
    let configuration = frames[0].configuration.as_ref().expect("the configuration as granted");
    assert_eq!(configuration.min_interval, span(asked));
    let mut times = Vec::new();
    let mut conflated_count = 0;
    while times.len() < 5 {
        let frame = watch.frame().await;
        if frame.snapshots.is_empty() {
            continue;
        }
        conflated_count += frame.conflated_count;
        times.push(seconds(&frame.publish_time));
    }
    // By the server's clock, which is not held up by a busy client. What one round brings may take several frames of limited size;
    // each of them waits too. A hundredth is for the moments between the two readings of its clock.
    let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap >= asked.as_secs_f64() * 0.99), "{gaps:?}");
    assert!(conflated_count > 0, "states in between are superseded");

    let absurd = Duration::from_secs(10 * 365 * 86_400);
    let mut watch = Watch::open(&mut client, WatchPriceSnapshotsRequest { min_interval: span(absurd), ..all() }).await;
    let granted = watch.frame().await.configuration.expect("the configuration as granted").min_interval;
    assert!(granted.is_some() && granted != span(absurd), "options that are not granted are reported: {granted:?}");
}

#[tokio::test]
async fn beats_when_nothing_changes() {
    let demo = demo().await;
    let mut client = demo.prices().await;
    let asked = Duration::from_secs(1);
    let request = WatchPriceSnapshotsRequest { heartbeat_interval: span(asked), ..watch_of(&["NOSUCH"]) };
    let mut watch = Watch::open(&mut client, request).await;
    let first = watch.frame().await;
    assert_eq!(first.state(), StreamState::SnapshotComplete, "it is sent even when nothing matches");
    let configuration = first.configuration.expect("the configuration as granted");
    assert_eq!((configuration.heartbeat_interval, configuration.matched_count), (span(asked), 0));
    let mut before = seconds(&first.publish_time);
    for _ in 0..2 {
        let frame = watch.frame().await;
        assert_eq!((frame.state(), frame.snapshots.len()), (StreamState::Heartbeat, 0));
        let gap = seconds(&frame.publish_time) - before;
        assert!(gap >= asked.as_secs_f64() * 0.99, "{gap} s");
        before = seconds(&frame.publish_time);
    }
}

/// Reads on until the stream has caught up with `target`, checks that every frame is `LIVE`, and returns the frames.
async fn catch_up(watch: &mut Watch, target: &[PriceSnapshot]) -> Vec<WatchPriceSnapshotsResponse> {
    let mut frames = Vec::new();
    let behind = |watch: &Watch| {
        let state = |asset: &str| watch.states.get(asset).map_or(0, |state| state.revision);
        target.iter().any(|snapshot| state(&snapshot.asset) < snapshot.revision)
    };
    while frames.is_empty() || behind(watch) {
        let frame = watch.frame().await;
        assert!(matches!(frame.state(), StreamState::Live | StreamState::Heartbeat), "{:?}", frame.state());
        frames.push(frame);
    }
    frames
}

#[tokio::test]
async fn resumes_without_a_gap() {
    let demo = demo().await;
    let mut client = demo.prices().await;
    let mut watch = Watch::open(&mut client, all()).await;
    watch.frames_until(StreamState::Live).await;
    let (cursor, states) = (watch.cursor.clone(), watch.states.clone());
    drop(watch);
    let left_at = states["BTC"].revision;
    wait_until("news", async || get(&mut client, "BTC").await.ok().filter(|now| now.revision > left_at)).await;

    // Another connection, as after a failure.
    let mut client = demo.prices().await;
    let request = WatchPriceSnapshotsRequest { resume_cursor: cursor, ..all() };
    let mut watch = Watch::open(&mut client, request).await;
    // Given what was known before, each state must be new to be accepted, and no new state may be missing.
    watch.know(states);
    // On a separate connection: on the stream's own, the answer would wait until the stream is read.
    let target = list(&mut demo.prices().await).await;
    let frames = catch_up(&mut watch, &target).await;
    let configuration = frames[0].configuration.as_ref().expect("the configuration as granted");
    assert!(configuration.resumed, "{configuration:?}");
}

#[tokio::test]
async fn gives_a_slow_reader_the_newest_state() {
    let demo = demo().await;
    let mut watch = Watch::open(&mut demo.prices().await, all()).await;
    watch.frames_until(StreamState::SnapshotComplete).await;
    let full_len: usize = watch.states.values().map(Message::encoded_len).sum();

    // Meanwhile the service produces many times more states than all buffers in between hold. A revision is one state of one asset.
    let mut client = demo.prices().await;
    let left_at = watch.states["BTC"].revision;
    let enough = 4 * watch.states.len() as i64;
    let far_ahead = async || get(&mut client, "BTC").await.ok().filter(|now| now.revision > left_at + enough);
    wait_until("much news", far_ahead).await;

    let target = list(&mut client).await;
    let frames = catch_up(&mut watch, &target).await;
    let conflated_count: i64 = frames.iter().map(|frame| frame.conflated_count).sum();
    assert!(conflated_count > 0, "{} frames", frames.len());
    // First the states in transit when the reader paused, then every asset in turn, including those that change all the time.
    let len: usize = frames.iter().map(Message::encoded_len).sum();
    assert!(len < 2 * full_len + (512 << 10), "{len} bytes where the full state has {full_len}");
}
