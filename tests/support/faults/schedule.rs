//! Faults in an order that a seed decides.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// One fault. Each ends by itself, and what it killed is started again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// `kill -9` of Redis, which is back after a while with what it had written to its log.
    KillRedis { down: Duration },
    /// Everything in Redis is lost.
    FlushAll,
    /// `kill -9` of the collector that leads the first shard; another is started.
    KillLeader,
    /// SIGSTOP of it for longer than its lease, then SIGCONT.
    StopLeader { stopped: Duration },
    /// `kill -9` of a server; it is started again on its port.
    KillServer { which: usize },
    /// Every byte between the service and Redis comes later.
    Delay { by: Duration, lasting: Duration },
    /// Every connection to Redis breaks, and new ones do at once.
    Cut { lasting: Duration },
    /// Every connection to Redis stays open and says nothing.
    BlackHole { lasting: Duration },
    /// Redis does what it is asked, and its answers are lost.
    LoseAnswers { lasting: Duration },
}

/// The faults of a seed, one after another with a pause before each, together as long as `span` or a little longer. Each kind comes once before
/// one comes twice, so that a short run has seen most.
pub fn schedule(seed: u64, span: Duration) -> Vec<(Duration, Fault)> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut faults = Vec::new();
    let mut waiting: Vec<usize> = Vec::new();
    let mut length = Duration::ZERO;
    while length < span {
        if waiting.is_empty() {
            waiting = (0..9).collect();
        }
        let kind = waiting.swap_remove(random.random_range(0..waiting.len()));
        let mut between = |from: u64, to: u64| Duration::from_millis(random.random_range(from..to));
        let (fault, lasting) = match kind {
            0 => {
                let down = between(200, 2_500);
                (Fault::KillRedis { down }, down)
            }
            1 => (Fault::FlushAll, Duration::ZERO),
            2 => (Fault::KillLeader, Duration::from_secs(3)),
            3 => {
                let stopped = between(3_000, 5_000);
                (Fault::StopLeader { stopped }, stopped)
            }
            4 => (
                Fault::KillServer { which: usize::from(between(0, 1_000) > Duration::from_millis(500)) },
                Duration::from_millis(500),
            ),
            5 => {
                let lasting = between(500, 2_000);
                (Fault::Delay { by: between(20, 150), lasting }, lasting)
            }
            6 => {
                let lasting = between(100, 2_000);
                (Fault::Cut { lasting }, lasting)
            }
            7 => {
                let lasting = between(500, 3_000);
                (Fault::BlackHole { lasting }, lasting)
            }
            _ => {
                let lasting = between(500, 3_000);
                (Fault::LoseAnswers { lasting }, lasting)
            }
        };
        let pause = between(200, 2_000);
        length += pause + lasting;
        faults.push((pause, fault));
    }
    faults
}
