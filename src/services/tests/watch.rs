//! Price streams.

use super::*;
use crossmarket_image::testing::{BUDGET, snapshot};

type WatchRequest = v1::WatchPriceSnapshotsRequest;

fn three() -> Vec<PriceSnapshot> {
    vec![snapshot("BTC", 1, "100"), snapshot("ETH", 2, "10"), snapshot("SOL", 3, "1")]
}

fn update(revision: Revision, asset: &str, price: &str) -> Change {
    priced(revision, snapshot(asset, 1, price), at(0))
}

fn watching(assets: &[&str]) -> WatchRequest {
    WatchRequest { assets: assets.iter().map(|asset| (*asset).to_owned()).collect(), ..Default::default() }
}

fn resuming(cursor: &str) -> WatchRequest {
    WatchRequest { resume_cursor: cursor.to_owned(), ..Default::default() }
}

fn span(millis: u64) -> Option<prost_types::Duration> {
    Some(convert::span(Duration::from_millis(millis)))
}

fn cursor_of(status: &Status) -> String {
    let details = status.get_error_details();
    details.error_info().and_then(|info| info.metadata.get("cursor").cloned()).unwrap_or_default()
}

#[tokio::test]
async fn the_full_state_comes_first_then_what_changes() {
    let fixture = Fixture::with_prices(three()).await;
    let mut stream = fixture.watch(WatchRequest { min_interval: span(1), ..Default::default() }).await;
    let first = frame(&mut stream).await;
    assert_eq!((first.state(), prices(&first).len()), (v1::StreamState::SnapshotComplete, 3));
    let configuration = first.configuration.expect("in the first frame");
    assert_eq!((configuration.matched_count, configuration.view(), configuration.resumed), (3, v1::View::Basic, false));
    assert_eq!((configuration.min_interval, configuration.heartbeat_interval), (span(1), span(15_000)));

    fixture.apply(vec![update(4, "ETH", "11"), update(5, "ETH", "12.50")]);
    let live = frame(&mut stream).await;
    assert_eq!((live.state(), prices(&live)), (v1::StreamState::Live, vec!["ETH=12.5".to_owned()]));
    assert_eq!((live.conflated_count, live.configuration), (1, None));
    assert_eq!(live.publish_time, Some(convert::time(at(0))));

    fixture.services.image.refresh(at(0) + BUDGET);
    let stale = frame(&mut stream).await;
    assert_eq!(stale.snapshots.len(), 3);
    assert!(
        stale.snapshots.iter().all(|one| one.freshness.as_ref().map(|f| f.state()) == Some(v1::FreshnessState::Stale))
    );
    assert_eq!(stale.cursor, live.cursor, "staleness moves no cursor");
}

#[tokio::test]
async fn a_large_state_comes_in_parts() {
    let snapshots = (0..50).map(|number| snapshot(&format!("A{number}"), 1, "1")).collect();
    let fixture = Fixture::start(|services| services.streams.frame_len_max = 1_000).await;
    fixture.load(snapshots);
    let mut stream = fixture.watch(WatchRequest::default()).await;
    let (mut asset_count, mut frame_count) = (0, 0);
    loop {
        let part = frame(&mut stream).await;
        assert_eq!(part.configuration.is_some(), frame_count == 0);
        asset_count += part.snapshots.len();
        frame_count += 1;
        if part.state() == v1::StreamState::SnapshotComplete {
            break;
        }
        assert_eq!(part.state(), v1::StreamState::Snapshot);
    }
    assert_eq!(asset_count, 50);
    assert!(frame_count > 3, "{frame_count} frames");
}

#[tokio::test]
async fn one_unknown_asset_does_not_fail_the_others() {
    let fixture = Fixture::with_prices(three()).await;
    let mut stream = fixture.watch(watching(&["btc", "NOPE", "a/b", "BTC"])).await;
    let first = frame(&mut stream).await;
    assert_eq!(prices(&first), ["BTC=100"]);
    let states: Vec<_> = first.items.iter().map(|item| (item.item.as_str(), item.state())).collect();
    let (ok, unknown, invalid) = (v1::ItemState::Ok, v1::ItemState::Unknown, v1::ItemState::Invalid);
    assert_eq!(states, [("btc", ok), ("NOPE", unknown), ("a/b", invalid), ("BTC", ok)]);
    fixture.apply(vec![cataloged(4, "NOPE", AssetKind::Coin, None), update(5, "NOPE", "7")]);
    let live = frame(&mut stream).await;
    assert_eq!(prices(&live), ["NOPE=7"]);
    assert_eq!(live.items.iter().map(|item| (item.item.as_str(), item.state())).collect::<Vec<_>>(), [("NOPE", ok)]);
}

#[tokio::test]
async fn bad_arguments_name_the_field() {
    let fixture = Fixture::with_prices(three()).await;
    let negative = Some(prost_types::Duration { seconds: -1, nanos: 0 });
    let cases = [
        (WatchRequest { assets: vec!["BTC".into(); 1_001], ..Default::default() }, "assets", "1,000"),
        (WatchRequest { view: 5, ..Default::default() }, "view", "5"),
        (WatchRequest { market_cap_rank_max: Some(-1), ..Default::default() }, "market_cap_rank_max", "-1"),
        (WatchRequest { min_interval: negative, ..Default::default() }, "min_interval", "at least 0"),
        (WatchRequest { heartbeat_interval: negative, ..Default::default() }, "heartbeat_interval", "at least 0"),
        (resuming("mangled"), "resume_cursor", "mangled"),
    ];
    for (request, field, text) in cases {
        let status = fixture.prices().watch_price_snapshots(request).await.expect_err(field);
        assert_invalid(&status, field, &[text]);
    }
}

#[tokio::test]
async fn another_replica_continues_after_the_cursor() {
    let here = Fixture::with_prices(three()).await;
    let there = Fixture::with_prices(three()).await;
    let cursor = frame(&mut here.watch(WatchRequest::default()).await).await.cursor;

    let mut stream = there.watch(resuming(&cursor)).await;
    let first = frame(&mut stream).await;
    assert_eq!((first.state(), first.snapshots.len()), (v1::StreamState::Heartbeat, 0));
    assert_eq!(first.configuration.map(|configuration| configuration.resumed), Some(true));
    there.apply(vec![update(4, "SOL", "2")]);
    assert_eq!(prices(&frame(&mut stream).await), ["SOL=2"]);

    let first = frame(&mut there.watch(resuming(&cursor)).await).await;
    assert_eq!((first.state(), prices(&first)), (v1::StreamState::Live, vec!["SOL=2".to_owned()]));

    there.apply((5..=110).map(|revision| update(revision, "BTC", "1")).collect());
    let status = there.prices().watch_price_snapshots(resuming(&cursor)).await.expect_err("far behind");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "CURSOR_TOO_OLD"));
}

#[tokio::test]
async fn a_new_epoch_resynchronizes_old_and_new_streams() {
    let fixture = Fixture::with_prices(three()).await;
    let mut stream = fixture.watch(WatchRequest::default()).await;
    let cursor = frame(&mut stream).await.cursor;
    fixture.bootstrap(EPOCH + 1, vec![update(1, "BTC", "5")]);
    for mut stream in [stream, fixture.watch(resuming(&cursor)).await] {
        let resync = frame(&mut stream).await;
        assert_eq!((resync.state(), resync.snapshots.len()), (v1::StreamState::Resync, 0));
        let full = frame(&mut stream).await;
        assert_eq!((full.state(), prices(&full)), (v1::StreamState::SnapshotComplete, vec!["BTC=5".to_owned()]));
    }
}

#[tokio::test]
async fn an_idle_stream_beats_and_min_interval_is_held() {
    let fixture = Fixture::start(|services| services.streams.heartbeat_interval_min = Duration::from_millis(10)).await;
    fixture.load(three());
    let request = WatchRequest { heartbeat_interval: span(50), min_interval: span(400), ..Default::default() };
    let mut stream = fixture.watch(request).await;
    frame(&mut stream).await;
    let opened = tokio::time::Instant::now();
    let beat = frame(&mut stream).await;
    assert_eq!((beat.state(), beat.snapshots.len()), (v1::StreamState::Heartbeat, 0));
    for revision in 4..10 {
        fixture.apply(vec![update(revision, "BTC", &revision.to_string())]);
    }
    let live = loop {
        let next = frame(&mut stream).await;
        if next.state() == v1::StreamState::Live {
            break next;
        }
    };
    assert_eq!((prices(&live), live.conflated_count), (vec!["BTC=9".to_owned()], 5));
    assert!(opened.elapsed() >= Duration::from_millis(300), "{:?}", opened.elapsed());
}

#[tokio::test]
async fn shutdown_ends_streams_with_a_cursor_to_continue_from() {
    let fixture = Fixture::with_prices(three()).await;
    let mut stream = fixture.watch(WatchRequest::default()).await;
    let cursor = frame(&mut stream).await.cursor;
    fixture.services.drain.cancel();
    let status = end(&mut stream).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "DRAINING"));
    assert_eq!(cursor_of(&status), cursor);
    assert!(status.message().contains(&cursor));
}

#[tokio::test]
async fn a_stream_ends_at_its_age_with_or_without_more_to_send() {
    let fixture = Fixture::start(|services| services.streams.age_max = Some(Duration::from_millis(200))).await;
    fixture.load(three());
    let mut stream = fixture.watch(WatchRequest::default()).await;
    let cursor = frame(&mut stream).await.cursor;
    let status = end(&mut stream).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "STREAM_AGE"));
    assert_eq!(cursor_of(&status), cursor);

    // Born too old, with the whole state still to send: its age comes first.
    let fixture = Fixture::start(|services| services.streams.age_max = Some(Duration::ZERO)).await;
    fixture.load(three());
    let first = fixture.watch(WatchRequest::default()).await.message().await;
    assert_eq!(reason(&first.expect_err("no frame")), "STREAM_AGE");
}

#[tokio::test]
async fn a_deadline_holds_for_the_whole_stream() {
    let fixture = Fixture::with_prices(three()).await;
    let mut request = Request::new(WatchRequest::default());
    // Set by hand, so that only the server knows of it.
    request.metadata_mut().insert("grpc-timeout", "300m".parse().expect("ASCII"));
    let mut stream = fixture.prices().watch_price_snapshots(request).await.expect("opens").into_inner();
    frame(&mut stream).await;
    let status = end(&mut stream).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
}

#[tokio::test]
async fn a_client_that_has_said_everything_is_still_answered() {
    // The generated client half-closes as soon as its one request is sent; the stream goes on regardless.
    let fixture = Fixture::with_prices(three()).await;
    let mut stream = fixture.watch(watching(&["BTC"])).await;
    frame(&mut stream).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    fixture.apply(vec![update(4, "BTC", "101")]);
    assert_eq!(prices(&frame(&mut stream).await), ["BTC=101"]);
}

#[tokio::test]
async fn a_client_that_does_not_read_gets_the_newest_later() {
    let fixture = Fixture::with_prices(three()).await;
    let mut stream = fixture.watch(WatchRequest::default()).await;
    frame(&mut stream).await;
    let mut revision = 3;
    for _ in 0..400 {
        let changes = (0..50).map(|_| {
            revision += 1;
            update(revision, "BTC", &revision.to_string())
        });
        fixture.apply(changes.collect());
        tokio::task::yield_now().await;
    }
    let newest = format!("BTC={revision}");
    let (mut received, mut conflated) = (0, 0);
    loop {
        let live = frame(&mut stream).await;
        received += live.snapshots.len() as i64;
        conflated += live.conflated_count;
        if prices(&live).contains(&newest) {
            break;
        }
    }
    assert_eq!(received + conflated, 20_000, "every state was sent or counted");
    assert!(received <= 400, "{received} states");
}

#[test]
fn timeouts_are_read_as_the_protocol_writes_them() {
    let check = |text: &str, expected: bool| {
        let mut metadata = tonic::metadata::MetadataMap::new();
        metadata.insert("grpc-timeout", text.parse().expect("ASCII"));
        assert_eq!(crate::services::watch::deadline(&metadata).is_some(), expected, "{text:?}");
    };
    for good in ["1H", "20M", "3S", "500m", "5u", "99999999n", "99999999H"] {
        check(good, true);
    }
    for bad in ["", "S", "-1S", "1", "1x", "123456789S", "1.5S"] {
        check(bad, false);
    }
}
