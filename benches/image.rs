//! What the live image costs: encoding one snapshot, a list of 1,000, a frame for a watcher.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use prost::Message;

use crossmarket::services::WireEncoder;
use crossmarket::services::encoded::Encoded;
use crossmarket_api::v1;
use crossmarket_domain::Timestamp;
use crossmarket_image::{
    Change, Collection, Encoder, Filter, Freshness, Image, ImageSettings, Position, Subscription, View,
};

#[path = "../tests/support/states.rs"]
mod states;

const ASSET_COUNT: u64 = 1_000;
const EPOCH: u64 = 1;

fn now() -> Timestamp {
    Timestamp::from_millis(states::RECEIVED_MS)
}

fn changes(first_revision: u64, count: u64) -> Vec<Change> {
    let change = |number: u64| {
        let (key, state) = states::price(&format!("A{number}"), number as u32 + 1);
        Change { key, revision: first_revision + number, state }
    };
    (0..count).map(change).collect()
}

fn image() -> Arc<Image> {
    let image = Arc::new(Image::new(WireEncoder, ImageSettings::default()));
    image.bootstrap(0, Position { epoch: EPOCH, revision: ASSET_COUNT }, changes(1, ASSET_COUNT), now());
    image
}

fn encode_one(criterion: &mut Criterion) {
    let (_, state) = states::price("BTC", 1);
    let state = state.expect("a price");
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
