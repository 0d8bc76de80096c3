//! Aggregating 1,000 assets × 10 venues once.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossmarket_analytics::aggregate::{Aggregator, Quote, Settings};
use crossmarket_analytics::rates::{Rate, RateSource, RateTable};
use crossmarket_domain::{Decimal, Instrument, Timestamp};

const ASSET_COUNT: i128 = 1_000;
const VENUE_COUNT: i128 = 10;

fn market(now: Timestamp) -> Vec<Vec<Quote>> {
    let decimal = |mantissa: i128, scale: u32| Decimal::from_parts(mantissa, scale);
    let quote = |asset: i128, venue: i128| {
        // Prices a few hundredths of a per cent apart, and every twentieth venue far off.
        let level = 1_000_000 + 7_919 * asset;
        let wild = if (asset + venue) % 20 == 0 { level / 5 } else { 0 };
        let price = level + (venue * 37 + asset * 11) % 90 + wild;
        Quote {
            venue: format!("venue-{venue}").into(),
            instrument: Instrument::spot(
                format!("A{asset}USDT"),
                format!("A{asset}"),
                if venue < 3 { "USD" } else { "USDT" },
            ),
            last_price: decimal(price, 2),
            bid_price: decimal(price - 1, 2),
            ask_price: decimal(price + 1, 2),
            base_volume_24h: decimal(1_234_567_890 + asset * venue, 5),
            quote_volume_24h: decimal(98_765_432_101_234 + asset * venue * 1_000_003, 8),
            high_24h: decimal(price + price / 50, 2),
            low_24h: decimal(price - price / 50, 2),
            event_time: now,
            receive_time: now,
            budget: Duration::from_secs(60),
            contradicted: false,
            simulated: true,
        }
    };
    (0..ASSET_COUNT).map(|asset| (0..VENUE_COUNT).map(|venue| quote(asset, venue)).collect()).collect()
}

fn aggregate(criterion: &mut Criterion) {
    let now = Timestamp::from_seconds(1_768_478_400);
    let assets = market(now);
    let mut rates = RateTable::default();
    let usd = Decimal::from_parts(9_993, 4).unwrap_or(Decimal::ONE);
    rates.insert("USDT".into(), Rate { usd, source: RateSource::Market, stale_since: now });
    let mut aggregator = Aggregator::new(Settings::default());
    let mut group = criterion.benchmark_group("aggregate");
    group.throughput(Throughput::Elements((ASSET_COUNT * VENUE_COUNT) as u64));
    group.bench_function("1000_assets_10_venues", |bencher| {
        bencher.iter(|| {
            for quotes in &assets {
                black_box(aggregator.aggregate(black_box(quotes), &rates, None, now));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, aggregate);
criterion_main!(benches);
