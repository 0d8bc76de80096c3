//! What long/short ratios cost: breadth over 500 assets, and 30 days of one series at 5 minutes.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::Request;

use crossmarket::servers::long_short_service_server::LongShortService;
use crossmarket::services::long_short::LongShort;
use crossmarket::services::{Services, StreamSettings, VenueEntry, WireEncoder};
use crossmarket_analytics::long_short::{DEFAULT_TIERS, Ranked, breadth};
use crossmarket_api::v1;
use crossmarket_clock::Clock;
use crossmarket_domain::long_short::Shares;
use crossmarket_domain::series::{LongShortSeriesNames, Point, SeriesKey, SeriesKind};
use crossmarket_domain::{Decimal, Feed, LongShortKind, Period, Timestamp};
use crossmarket_image::{Image, ImageSettings, Position};
use crossmarket_store::{EmbeddedStore, Store};

const ASSET_COUNT: u32 = 500;
const POINT_COUNT: i64 = 30 * 288;

fn start() -> Timestamp {
    Timestamp::from_seconds(1_768_478_400)
}

fn breadth_of_500(criterion: &mut Criterion) {
    let asset = |rank: u32| Ranked {
        rank,
        shares: Shares::of_long_share(0.4 + f64::from(rank * 7_919 % 1_000) / 4_000.0).expect("both sides"),
        rsi_14d: Some(f64::from(rank * 104_729 % 100)),
    };
    let assets: Vec<Ranked> = (1..=ASSET_COUNT).map(asset).collect();
    criterion.bench_function("breadth/500 assets", |bencher| {
        bencher.iter(|| breadth(black_box(&assets), &DEFAULT_TIERS));
    });
}

fn history_of_30_days(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let store = Arc::new(EmbeddedStore::in_memory().expect("a store"));
    for (venue, label) in [(None, "aggregate"), (Some("bybit"), "one venue")] {
        let names = LongShortSeriesNames::of(LongShortKind::GlobalAccount, Period::FiveMinutes, venue);
        let point =
            |number: i64, value: Decimal| Point { time: start() + Duration::from_secs(number as u64 * 300), value };
        let share =
            |number: i64| Decimal::from_parts(i128::from(500_000_000 + number * 7_919 % 90_000_000), 9).expect("small");
        let all = [Some(names.long_share), Some(names.open_interest), names.venue_count];
        for (name, index) in all.into_iter().zip(0..).filter_map(|(name, index)| Some((name?, index))) {
            let key = SeriesKey { subject: "id:bitcoin".into(), kind: SeriesKind::Sampled(name) };
            let value =
                |number: i64| if index == 0 { share(number) } else { Decimal::from(1_234_567_890_123 + number) };
            let points: Vec<Point> = (0..POINT_COUNT).map(|number| point(number, value(number))).collect();
            runtime.block_on(store.put_points(&key, &points)).expect("in memory");
        }
        let image = Arc::new(Image::new(WireEncoder, ImageSettings::default()));
        for shard in image.shards().all() {
            image.bootstrap(shard, Position { epoch: 1, revision: 0 }, Vec::new(), start());
        }
        let bybit = VenueEntry {
            id: "bybit".to_owned(),
            title: String::new(),
            feeds: vec![Feed::LongShortRatios],
            enabled: true,
            simulated: false,
            documentation_url: String::new(),
            terms_url: String::new(),
            terms_note: String::new(),
            official: true,
            key_required: false,
            key_configured: false,
        };
        let service = LongShort::new(Services {
            image,
            store: Arc::clone(&store) as Arc<dyn Store>,
            histories: Arc::default(),
            clock: Clock::system(),
            drain: CancellationToken::new(),
            venues: Arc::new([bybit]),
            simulated: false,
            streams: StreamSettings::default(),
            measured: false,
            send_gzip: false,
        });
        let request = v1::ListLongShortRatioHistoryRequest {
            asset: "BTC".to_owned(),
            venue: venue.unwrap_or_default().to_owned(),
            period: v1::LongShortPeriod::LongShortPeriod5m.into(),
            page_size: 10_000,
            ..Default::default()
        };
        let answer = || {
            let answered = runtime.block_on(service.list_long_short_ratio_history(Request::new(request.clone())));
            answered.expect("answers").into_inner()
        };
        assert_eq!(answer().points.len() as i64, POINT_COUNT);
        criterion.bench_function(&format!("history/30 days at 5 minutes, {label}"), |bencher| {
            bencher.iter(|| black_box(answer().encode_to_vec()));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = breadth_of_500, history_of_30_days
}
criterion_main!(benches);
