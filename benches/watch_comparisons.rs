//! A thousand comparisons watched over ten streams while a hundred ticks come in every second: the service as it runs, with clients that read
//! over loopback. Prints what a tick costs for each comparison that it changes, and fails above the bound.

use std::time::{Duration, Instant};

use support::comparisons::{BENCHMARKS, SUBJECT_COUNT, Ticks, World};

#[path = "../tests/support"]
mod support {
    pub mod comparisons;
    pub mod process;
}

/// Ticks of each run: five seconds.
const TICK_COUNT: usize = 500;

/// Time between two ticks.
const TICK_INTERVAL: Duration = Duration::from_millis(10);

/// What a tick may cost for each comparison that is watched.
const TICK_COST_MAX: Duration = Duration::from_micros(20);

fn main() {
    let mut world = World::start();
    let watched = BENCHMARKS.len() * SUBJECT_COUNT;
    println!("{watched} comparisons in {} streams, {} ticks/s", BENCHMARKS.len(), 1.0 / TICK_INTERVAL.as_secs_f64());
    let mut number = 0;
    for ticks in [Ticks::OneAsset, Ticks::Everything] {
        world.told().reset();
        let (used, started) = (world.service_time(), Instant::now());
        for step in 0..TICK_COUNT {
            number += 1;
            world.tick(number, ticks);
            let due = started + TICK_INTERVAL * (step as u32 + 1);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let lasted = started.elapsed();
        world.wait_for("the comparisons of the last tick", |told| world.is_up_to_date(told));
        let mut told = world.told();
        told.lags.sort_unstable();
        let lag = |share: f64| {
            told.lags.get((told.lags.len() as f64 * share) as usize).or(told.lags.last()).copied().unwrap_or_default()
        };
        println!(
            "{ticks:?}: {TICK_COUNT} ticks in {lasted:.2?}; {} comparisons delivered, {} states superseded; lag p50 {:.2?} p99 {:.2?} max {:.2?}; every \
             last value is that of the last tick",
            told.delivered,
            told.conflated,
            lag(0.5),
            lag(0.99),
            lag(1.0)
        );
        if let (Some(before), Some(after)) = (used, world.service_time()) {
            let used = after.saturating_sub(before);
            let each = used.div_f64((TICK_COUNT * watched) as f64);
            println!(
                "{ticks:?}: the service used {used:.2?}, {each:.2?} per tick and comparison watched, {:.2?} per comparison delivered",
                used.div_f64(told.delivered.max(1) as f64)
            );
            assert!(each <= TICK_COST_MAX, "at most {TICK_COST_MAX:?}");
        }
    }
}
