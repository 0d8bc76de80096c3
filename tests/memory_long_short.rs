//! What 500 assets of 6 venues in 4 kinds take of memory, from the collector's ratios over the store to the image.

#![cfg(target_os = "linux")]

use std::sync::Arc;
use std::time::Duration;

use crossmarket::services::WireEncoder;
use crossmarket_collector::long_short::{AssetContext, RatioState, RatioStateVenue, Row};
use crossmarket_domain::long_short::Shares;
use crossmarket_domain::observation::{LongShort, OpenInterest, OpenInterestUnit};
use crossmarket_domain::{
    AssetCode, AssetId, Decimal, Instrument, InstrumentKind, LongShortKind, Period, Timestamp, VenueId,
};
use crossmarket_image::{Change, Collection, Image, ImageSettings, Position};
use crossmarket_store::{EmbeddedStore, Store};

const ASSET_COUNT: usize = 500;
const VENUES: [&str; 6] = ["binance-usdm", "bybit", "okx", "bitget", "gate", "htx"];
const KINDS: &[LongShortKind] = &[
    LongShortKind::GlobalAccount,
    LongShortKind::TopTraderAccount,
    LongShortKind::TopTraderPosition,
    LongShortKind::TakerVolume,
];
const MEMORY_BYTES_MAX: u64 = 60 << 20;

/// Resident memory of this process.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("told");
    let kilobytes: u64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number");
    kilobytes << 10
}

fn at(hours: i64) -> Timestamp {
    Timestamp::from_seconds(1_768_478_400 + hours * 3_600)
}

/// A day of hourly readings of every kind, as they come in answers.
fn rows(number: usize, venue: usize) -> Vec<Row> {
    let of_hour = |hour: i64| {
        KINDS.iter().enumerate().map(move |(place, kind)| {
            let spread = (number * 31 + venue * 7 + place * 3 + hour as usize) % 200;
            let shares = Shares::of_long_share(0.45 + spread as f64 / 1_000.0).expect("both sides");
            let value = LongShort {
                kind: *kind,
                period: Some(Period::OneHour),
                long_share: shares.long_share,
                short_share: shares.short_share(),
                ratio: shares.ratio,
            };
            Row { event_time: at(hour), value }
        })
    };
    (0..=25).flat_map(of_hour).collect()
}

#[tokio::test]
async fn ratios_of_500_assets_fit_in_60_megabytes() {
    let store = EmbeddedStore::in_memory().expect("a store");
    let image = Image::new(WireEncoder, ImageSettings::default());
    let (epoch, _) = store.open_writer(0, at(0)).await.expect("in memory");
    for shard in image.shards().all() {
        image.bootstrap(shard, Position { epoch, revision: 0 }, Vec::new(), at(0));
    }
    let before = resident_bytes();

    let venue = |(index, id)| RatioStateVenue { index, id: VenueId(id), kinds: KINDS };
    let mut ratios = RatioState::new((0u16..).zip(VENUES).map(venue).collect(), false);
    let mut revision = 0;
    for number in 0..ASSET_COUNT {
        let asset = AssetId::parse(&format!("a{number}x")).expect("an id");
        for (index, _) in (0u16..).zip(VENUES) {
            let symbol = format!("A{number}XUSDT");
            let spot = Instrument::spot(symbol, asset.as_str(), "USDT");
            let instrument = Arc::new(Instrument { kind: InstrumentKind::PerpetualLinear, ..spot });
            let budget = Duration::from_secs(3 * 3_600);
            ratios.ratios(&asset, index, &instrument, rows(number, usize::from(index)), budget, at(25), true);
            let interest = OpenInterest {
                open_interest: Decimal::parse("123456.789").expect("valid"),
                unit: OpenInterestUnit::Base,
                open_interest_usd: Decimal::parse("98765432.1").ok(),
            };
            ratios.open_interest(&asset, index, &instrument, &interest, at(25), None);
        }
        loop {
            let context = |id: &AssetId| AssetContext {
                ticker: AssetCode::parse(id.as_str()),
                rank: Some(number as u32 + 1),
                rsi_14d: Some(55.5),
            };
            let updates = ratios.updates(at(25), |_| true, context);
            if updates.is_empty() {
                break;
            }
            let changes = updates.iter().cloned().zip(revision + 1..);
            let changes: Vec<Change> =
                changes.map(|((key, state), revision)| Change { key, revision, state }).collect();
            revision = store.write(0, epoch, updates, None).await.expect("in memory");
            image.apply(0, epoch, changes, at(25)).expect("continues");
        }
        // Points go to the store's histories, whose size is that of the time they are kept.
        ratios.take_points();
    }

    let after = resident_bytes();
    let ratios = image.select(Collection::LongShortRatios, |_| true).len();
    let pooled = KINDS.iter().filter(|kind| kind.is_pooled()).count();
    assert_eq!(ratios, ASSET_COUNT * (VENUES.len() * KINDS.len() + pooled));
    let taken = after.saturating_sub(before);
    println!("{ratios} ratios take {:.1} MB: {} bytes each", taken as f64 / f64::from(1 << 20), taken / ratios as u64);
    assert!(taken <= MEMORY_BYTES_MAX, "{taken} bytes");
    drop((ratios, store, image));
}
