//! Comparisons and altcoin season over columns that are at hand: what a request computes once its histories are in memory.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use crossmarket_analytics::altcoin_season::{self, SeasonCandidate};
use crossmarket_analytics::comparison::{Comparer, ComparisonParameters, Frequency, SESSIONS_PER_YEAR, WindowStart};
use crossmarket_analytics::daily::{Daily, Day};
use crossmarket_domain::state::AssetKind;

const DAY_COUNT: i32 = 3_653;
const SUBJECT_COUNT: u64 = 50;
const ASSET_COUNT: u64 = 500;
const END: Day = Day::from_number(20_468);

/// A walk of ten years whose steps look random, and are the same at each run.
fn walk(seed: u64) -> Daily {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut level = 100.0;
    Daily::new((0..DAY_COUNT).map(|number| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        level *= 1.0 + ((state >> 40) as f64 / 16_777_216.0 - 0.5) * 0.06;
        (END.plus(number - DAY_COUNT + 1), level)
    }))
}

/// Every day of the ten years: more samples than sessions would be.
fn every_day() -> Vec<Day> {
    (0..DAY_COUNT).rev().map(|back| END.plus(-back)).collect()
}

fn parameters(start: WindowStart) -> ComparisonParameters {
    ComparisonParameters { frequency: Frequency::Daily, start, end: END, periods_per_year: SESSIONS_PER_YEAR }
}

fn ten_years_of_fifty(criterion: &mut Criterion) {
    let benchmark = walk(0);
    let subjects: Vec<Daily> = (1..=SUBJECT_COUNT).map(walk).collect();
    let days = every_day();
    let weekdays: Vec<Day> = days.iter().copied().filter(|day| (day.number() + 3) % 7 < 5).collect();
    for (name, sessions) in [("10 years of sessions, 50 subjects", &weekdays), ("10 years of days, 50 subjects", &days)]
    {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                let comparer = Comparer::new(&benchmark, sessions, parameters(WindowStart::From(END.plus(-DAY_COUNT))));
                for subject in &subjects {
                    black_box(comparer.compare(subject).expect("ten years"));
                }
            });
        });
    }
}

fn live_update(criterion: &mut Criterion) {
    let (subject, benchmark) = (walk(1), walk(0));
    let comparer = Comparer::new(&benchmark, &every_day(), parameters(WindowStart::Lookback(90)));
    let live = comparer.live(&subject, END);
    let mut level = 100.0;
    criterion.bench_function("live update of one comparison", |bencher| {
        bencher.iter(|| {
            level += 0.01;
            black_box(live.with(black_box(level), black_box(200.0)).expect("values"))
        });
    });
    criterion.bench_function("preparing a live comparison of 90 days", |bencher| {
        bencher.iter(|| black_box(comparer.live(&subject, END)));
    });
}

fn season(criterion: &mut Criterion) {
    let names: Vec<String> =
        (0..ASSET_COUNT).map(|number| if number == 0 { "BTC".into() } else { format!("A{number}") }).collect();
    let closes: Vec<Daily> = (0..ASSET_COUNT).map(walk).collect();
    let caps: Vec<Daily> = (0..ASSET_COUNT).map(|number| walk(number + ASSET_COUNT)).collect();
    let candidates: Vec<SeasonCandidate<'_>> = names
        .iter()
        .zip(closes.iter().zip(&caps))
        .enumerate()
        .map(|(number, (asset, (closes, market_caps)))| {
            let kind = if number % 9 == 4 { AssetKind::Stablecoin } else { AssetKind::Coin };
            SeasonCandidate { asset, kind, closes, market_caps, current_rank: None }
        })
        .collect();
    let mut back = 0;
    criterion.bench_function("altcoin season of the top 100 out of 500", |bencher| {
        bencher.iter(|| {
            // Another date each time, so that no date is at an advantage.
            back = (back + 37) % 3_000;
            let parameters =
                altcoin_season::SeasonParameters { universe_size: 100, window_days: 90, as_of: END.plus(-back) };
            black_box(altcoin_season::season(&candidates, Some(0), parameters))
        });
    });
}

criterion_group!(benches, ten_years_of_fifty, live_update, season);
criterion_main!(benches);
