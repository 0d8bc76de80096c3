//! Watch streams that lose their server, their connection or their cursor.

use super::fake::Cable;
use super::*;

type Frames = Vec<Result<WatchPriceSnapshotsResponse, Status>>;

fn live(cursor: &str) -> Result<WatchPriceSnapshotsResponse, Status> {
    Ok(frame(StreamState::Live, cursor))
}

/// A fake whose first watches get these frames and whose later ones get nothing.
async fn watched(streams: Vec<Frames>) -> Fake {
    let streams = std::sync::Mutex::new(streams);
    Fake::start(move |_| {
        let mut streams = streams.lock().expect("not poisoned");
        if streams.is_empty() { Reply::Nothing } else { Reply::Frames(streams.remove(0)) }
    })
    .await
}

async fn open(client: &Client) -> Watch<WatchPriceSnapshotsResponse> {
    client.prices().watch(WatchPriceSnapshotsRequest::default()).await.expect("opened")
}

/// The next events as words: an update as its cursor.
async fn events(watch: &mut Watch<WatchPriceSnapshotsResponse>, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..count {
        let event = tokio::time::timeout(Duration::from_secs(60), watch.next()).await.expect("in time");
        told.push(match event {
            Some(Ok(WatchEvent::Update(frame))) => frame.cursor,
            Some(Ok(WatchEvent::Interrupted { .. })) => "interrupted".to_owned(),
            Some(Ok(WatchEvent::Resumed { .. })) => "resumed".to_owned(),
            Some(Ok(WatchEvent::Gap(reason))) => format!("{reason:?}"),
            Some(Err(error)) => format!("{:?}", error.code()),
            None => "end".to_owned(),
        });
    }
    told
}

#[tokio::test]
async fn goes_on_at_another_replica_from_its_cursor() {
    let ending = vec![live("c1"), live("c2"), Err(reason(Code::Unavailable, "DRAINING"))];
    let (one, other) =
        (watched(vec![ending.clone(), vec![live("c3")]]).await, watched(vec![ending, vec![live("c3")]]).await);
    let client = client(&[&one.url, &other.url]).build().expect("usable");
    let mut watch = open(&client).await;
    assert_eq!(events(&mut watch, 2).await, ["c1", "c2"]);
    let before = (one.calls(), other.calls());
    assert_eq!(events(&mut watch, 2).await, ["interrupted", "resumed"]);
    let (first, second) = if before == (1, 0) { (&one, &other) } else { (&other, &one) };
    assert_eq!((first.cursors(), second.cursors()), (vec![String::new()], vec!["c2".to_owned()]));
    assert_eq!(client.counters().streams_resumed, 1);
}

/// Servers that are replaced one right after the other: no pause grows, since none of them failed.
#[tokio::test]
async fn does_not_slow_down_when_servers_end_as_planned() {
    let ending = || vec![live("c1"), Err(reason(Code::Unavailable, "DRAINING"))];
    let server = watched((0..8).map(|_| ending()).collect()).await;
    let mut watch = open(&client(&[&server.url]).build().expect("usable")).await;
    let mut pauses = Vec::new();
    while pauses.len() < 8 {
        let event = tokio::time::timeout(Duration::from_secs(60), watch.next()).await.expect("in time");
        if let Some(Ok(WatchEvent::Interrupted { pause, .. })) = event {
            pauses.push(pause);
        }
    }
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_millis(50)), "{pauses:?}");
}

#[tokio::test]
async fn goes_on_when_its_connection_is_cut() {
    let server = watched(vec![vec![live("c1")], vec![live("c2")]]).await;
    let cable = Cable::to(&server.url).await;
    let client = client(&[&cable.url]).build().expect("usable");
    let mut watch = open(&client).await;
    assert_eq!(events(&mut watch, 1).await, ["c1"]);
    cable.cut();
    assert_eq!(events(&mut watch, 3).await, ["interrupted", "resumed", "c2"]);
    assert_eq!(server.cursors(), ["", "c1"]);
}

#[tokio::test]
async fn tells_a_gap_when_its_cursor_is_too_old() {
    let too_old = || Err(reason(Code::OutOfRange, "CURSOR_TOO_OLD"));
    let lost = Err(Status::unavailable("gone"));
    let server = watched(vec![vec![live("c1"), lost], vec![too_old()], vec![live("c9")]]).await;
    let client = client(&[&server.url]).build().expect("usable");
    let mut watch = open(&client).await;
    assert_eq!(events(&mut watch, 4).await, ["c1", "interrupted", "CursorTooOld", "c9"]);
    assert_eq!(server.cursors(), ["", "c1", ""]);
    assert_eq!(client.counters().streams_resumed, 0);
}

#[tokio::test]
async fn tells_a_gap_when_the_caller_s_own_cursor_is_too_old() {
    let server = Fake::start(|call| match call {
        0 => Reply::Status(reason(Code::OutOfRange, "CURSOR_TOO_OLD")),
        _ => Reply::Frames(vec![live("c9")]),
    })
    .await;
    let client = client(&[&server.url]).build().expect("usable");
    let request = WatchPriceSnapshotsRequest { resume_cursor: "old".to_owned(), ..Default::default() };
    let mut watch = client.prices().watch(request).await.expect("opened afresh");
    assert_eq!(events(&mut watch, 2).await, ["CursorTooOld", "c9"]);
}

#[tokio::test]
async fn tells_a_gap_when_the_service_lost_continuity() {
    let resync = || Ok(frame(StreamState::Resync, "e2"));
    let lost = Err(Status::unavailable("gone"));
    let server = watched(vec![vec![live("c1"), resync(), live("c2"), lost], vec![resync(), live("c3")]]).await;
    let mut watch = open(&client(&[&server.url]).build().expect("usable")).await;
    let told = events(&mut watch, 8).await;
    assert_eq!(told, ["c1", "Resync", "e2", "c2", "interrupted", "Resync", "e2", "c3"]);
}

#[tokio::test]
async fn tells_a_gap_when_it_was_not_continued() {
    let first = || {
        let configuration = StreamConfiguration { resumed: false, ..Default::default() };
        let first = frame(StreamState::Snapshot, "c1");
        Ok(WatchPriceSnapshotsResponse { configuration: Some(configuration), ..first })
    };
    let server = watched(vec![vec![first(), Err(Status::unavailable("gone"))], vec![first()]]).await;
    let mut watch = open(&client(&[&server.url]).build().expect("usable")).await;
    assert_eq!(events(&mut watch, 4).await, ["c1", "interrupted", "Resync", "c1"]);
}

#[tokio::test]
async fn is_lost_when_heartbeats_fail_to_come() {
    let first = || {
        let heartbeat_interval = Some(prost_types::Duration { seconds: 0, nanos: 50_000_000 });
        let configuration = StreamConfiguration { heartbeat_interval, resumed: true, ..Default::default() };
        Ok(WatchPriceSnapshotsResponse { configuration: Some(configuration), ..frame(StreamState::Live, "c1") })
    };
    let server = watched(vec![vec![first()], vec![live("c2")]]).await;
    let mut watch = open(&client(&[&server.url]).build().expect("usable")).await;
    assert_eq!(events(&mut watch, 4).await, ["c1", "interrupted", "resumed", "c2"]);
}

#[tokio::test]
async fn ends_with_what_does_not_pass() {
    let server = watched(vec![vec![live("c1"), Err(Status::permission_denied("no longer"))]]).await;
    let mut watch = open(&client(&[&server.url]).build().expect("usable")).await;
    assert_eq!(events(&mut watch, 3).await, ["c1", "PermissionDenied", "end"]);
    let refusing = Fake::start(|_| Reply::Status(Status::invalid_argument("no"))).await;
    let client = client(&[&refusing.url]).build().expect("usable");
    let refused = client.prices().watch(WatchPriceSnapshotsRequest::default()).await;
    assert_eq!(refused.expect_err("refused").code(), Code::InvalidArgument);
}

#[tokio::test]
async fn fails_when_patience_is_at_its_end() {
    let server = Fake::start(|call| match call {
        0 => Reply::Frames(vec![live("c1"), Err(Status::unavailable("gone"))]),
        _ => Reply::Status(Status::unavailable("still gone")),
    })
    .await;
    let client = client(&[&server.url]).watch_patience(Duration::from_millis(400)).build().expect("usable");
    let mut watch = open(&client).await;
    let begun = Instant::now();
    let error = loop {
        match watch.next().await.expect("an event") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Code::Unavailable);
    assert!(begun.elapsed() >= Duration::from_millis(390) && server.calls() > 2);
}
