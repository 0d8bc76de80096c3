//! A thousand comparisons watched over ten streams: at any pace that the machine can keep, the last values are those of the last tick.

use std::time::Duration;

use support::comparisons::{BENCHMARKS, SUBJECT_COUNT, Ticks, World};

mod support {
    pub mod comparisons;
    pub mod process;
}

/// Ticks of each run.
const TICK_COUNT: usize = 50;

#[test]
fn a_thousand_comparisons_follow_every_tick() {
    let mut world = World::start();
    let watched = (BENCHMARKS.len() * SUBJECT_COUNT) as u64;
    let mut number = 0;
    for ticks in [Ticks::OneAsset, Ticks::Everything] {
        world.told().reset();
        for _ in 0..TICK_COUNT {
            number += 1;
            world.tick(number, ticks);
            std::thread::sleep(Duration::from_millis(10));
        }
        world.wait_for("the comparisons of the last tick", |told| world.is_up_to_date(told));
        let told = world.told();
        println!("{ticks:?}: {} comparisons delivered, {} states superseded", told.delivered, told.conflated);
        assert!(told.delivered > 0);
        if ticks == Ticks::OneAsset {
            // An asset is the subject of each stream, alone or in a quotient, and at most the denominator of another one.
            assert!(
                told.delivered <= 2 * (TICK_COUNT * BENCHMARKS.len()) as u64,
                "what has not changed is not sent again"
            );
        } else {
            assert!(told.delivered >= watched);
        }
    }
}
