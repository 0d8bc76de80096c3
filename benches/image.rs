//! What the live image costs: encoding one snapshot, a list of 1,000, a frame for a watcher.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use prost::Message;

use crossmarket::domain::state::{
    Aggregation, AggregationMethod, Body, Contribution, ContributionStatus, Key, PriceSnapshot, State,
};
use crossmarket::domain::{AssetCode, Decimal, Timestamp};
use crossmarket::image::{
    Change, Collection, Encoder, Filter, Freshness, Image, ImageSettings, Position, Subscription, View,
};
use crossmarket::proto::v1;
use crossmarket::services::WireEncoder;
use crossmarket::services::encoded::Encoded;

const ASSET_COUNT: u64 = 1_000;
const VENUE_COUNT: usize = 10;
const EPOCH: u64 = 1;

fn now() -> Timestamp {
    Timestamp::from_seconds(1_768_478_400)
}

fn decimal(text: &str) -> Option<Decimal> {
    Decimal::parse(text).ok()
}

fn contribution(number: usize) -> Contribution {
    Contribution {
        venue: format!("venue-{number}").into(),
        instrument: "BTC/USDT".into(),
        venue_symbol: "BTCUSDT".into(),
        quote_asset: "USDT".into(),
        observed_price: decimal("95391.12"),
        conversion_rate: decimal("0.9998"),
        price: decimal("95372.0418"),
        weight: 0.1,
        volume_24h: decimal("1234567890.12"),
        deviation_percent: Some(0.013),
        event_time: now(),
        receive_time: now(),
        status: ContributionStatus::Used,
        simulated: false,
    }
}

fn state(asset: &str, rank: u32) -> State {
    let snapshot = PriceSnapshot {
        asset: AssetCode::parse(asset).expect("a ticker"),
        name: Some("Name of an asset".into()),
        price: decimal("95391.12"),
        change_1h_percent: Some(0.1),
        change_24h_percent: Some(1.2),
        change_7d_percent: Some(5.3),
        change_30d_percent: Some(-3.4),
        change_ytd_percent: Some(9.5),
        high_24h: decimal("97000"),
        low_24h: decimal("94000"),
        high_7d: decimal("97900"),
        low_7d: decimal("90000"),
        range_24h_percent: Some(3.2),
        volatility_24h_percent: Some(1.3),
        volatility_30d_annualized_percent: Some(42.0),
        rsi_14d: Some(61.0),
        volume_24h: decimal("52640000000"),
        market_cap: decimal("1900000000000"),
        market_cap_rank: Some(rank),
        circulating_supply: decimal("19980000"),
        all_time_high: None,
        categories: vec!["layer-1".into()],
        aggregation: Aggregation {
            method: AggregationMethod::VolumeWeightedMedian,
            venue_count: 10,
            candidate_count: 10,
            required_venue_count: 1,
            dispersion_percent: Some(0.01),
            outlier_limit_percent: Some(0.5),
            contributions: (0..VENUE_COUNT).map(contribution).collect(),
        },
        derivations: Vec::new(),
    };
    State {
        event_time: now(),
        receive_time: now(),
        publish_time: now(),
        budget: Duration::from_secs(60),
        simulated: false,
        body: Body::Price(Box::new(snapshot)),
    }
}

fn changes(first_revision: u64, count: u64) -> Vec<Change> {
    let change = |number: u64| {
        let asset = format!("A{number}");
        let key = Key::Price(AssetCode::parse(&asset).expect("a ticker"));
        Change { key, revision: first_revision + number, state: Some(state(&asset, number as u32 + 1)) }
    };
    (0..count).map(change).collect()
}

fn image() -> Arc<Image> {
    let image = Arc::new(Image::new(WireEncoder, ImageSettings::default()));
    image.bootstrap(0, Position { epoch: EPOCH, revision: ASSET_COUNT }, changes(1, ASSET_COUNT), now());
    image
}

fn encode_one(criterion: &mut Criterion) {
    let state = state("BTC", 1);
    criterion.bench_function("encode one snapshot, both views", |bencher| {
        bencher.iter(|| WireEncoder.encode(black_box(&state), 42, Freshness::Fresh));
    });
}

fn list(criterion: &mut Criterion) {
    let image = image();
    criterion.bench_function("list of 1,000, encoded", |bencher| {
        bencher.iter(|| {
            let items = image.select(Collection::Prices, |_| true);
            let entries = items.iter().map(|item| item.entry(View::Basic).clone()).collect();
            Encoded { entries, rest: v1::ListPriceSnapshotsResponse::default() }.encode_to_vec()
        });
    });
}

fn watch_frame(criterion: &mut Criterion) {
    let image = image();
    let mut reader = Subscription::open(&image, Collection::Prices, Filter::default(), View::Basic);
    while reader.take(usize::MAX).is_some() {}
    let mut revision = ASSET_COUNT;
    criterion.bench_function("watch frame of 20 states", |bencher| {
        bencher.iter_batched(
            || {
                let changes = changes(revision + 1, 20);
                image.apply(0, EPOCH, changes, now()).expect("continues");
                revision += 20;
            },
            |()| {
                let batch = reader.take(64 << 10).expect("news");
                let rest = v1::WatchPriceSnapshotsResponse { cursor: batch.cursor.encode(), ..Default::default() };
                Encoded { entries: batch.entries, rest }.encode_to_vec()
            },
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(benches, encode_one, list, watch_frame);
criterion_main!(benches);
