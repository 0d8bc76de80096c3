//! Pauses between attempts. They double with each failure up to a limit. Each is drawn at random from the upper half of
//! its range, so that callers that failed together do not retry together.

#![deny(unreachable_pub)]

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// The range of the pauses: the first is between `shortest` and twice that, and none is longer than `longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    shortest: Duration,
    longest: Duration,
}

impl Backoff {
    pub const fn between(shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest }
    }

    /// The pause after a failure that follows `failures_before` earlier ones.
    pub fn pause(self, failures_before: u32) -> Duration {
        self.draw(failures_before, rand::rng().random_range(0.0..=1.0))
    }

    /// Pauses that count their failures.
    pub fn pauses(self) -> Pauses {
        self.seeded(rand::random())
    }

    /// [`Backoff::pauses`] with a seed: equal seeds give equal pauses.
    pub fn seeded(self, seed: u64) -> Pauses {
        Pauses { backoff: self, failures: 0, jitter: Jitter::new(seed) }
    }

    /// `share` is from 0 to 1.
    fn draw(self, failures_before: u32, share: f64) -> Duration {
        let doublings = failures_before.saturating_add(1).min(30);
        let upper = self.shortest.saturating_mul(1 << doublings).min(self.longest);
        let lower = (upper / 2).max(self.shortest).min(upper);
        lower + (upper - lower).mul_f64(share)
    }
}

/// The pauses of one task.
#[derive(Clone, Debug)]
pub struct Pauses {
    backoff: Backoff,
    failures: u32,
    jitter: Jitter,
}

impl Pauses {
    /// Counts a failure; returns the pause after it.
    pub fn next_pause(&mut self) -> Duration {
        let share = self.jitter.share();
        let pause = self.backoff.draw(self.failures, share);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// Failures since the last reset.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Starts again with the shortest pause. Call it after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Random shares of a time span, to spread work evenly.
#[derive(Clone, Debug)]
pub struct Jitter(SmallRng);

impl Jitter {
    /// Equal seeds give equal shares.
    pub fn new(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// A time between zero and `span`.
    pub fn share_of(&mut self, span: Duration) -> Duration {
        span.mul_f64(self.share())
    }

    fn share(&mut self) -> f64 {
        self.0.random_range(0.0..1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORTEST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(5);
    const BACKOFF: Backoff = Backoff::between(SHORTEST, LONGEST);

    #[test]
    fn pauses_double_to_a_limit() {
        assert_eq!((BACKOFF.draw(0, 0.0), BACKOFF.draw(0, 1.0)), (SHORTEST, SHORTEST * 2));
        assert_eq!((BACKOFF.draw(2, 0.0), BACKOFF.draw(2, 1.0)), (SHORTEST * 4, SHORTEST * 8));
        assert_eq!((BACKOFF.draw(u32::MAX, 0.0), BACKOFF.draw(u32::MAX, 1.0)), (LONGEST / 2, LONGEST));
        let narrow = Backoff::between(SHORTEST, SHORTEST);
        assert_eq!(narrow.pause(0), SHORTEST, "no room for a jitter");
    }

    #[test]
    fn pauses_stay_in_their_bounds_and_differ_by_seed() {
        let row = |seed| {
            let mut pauses = BACKOFF.seeded(seed);
            (0..50).map(|_| pauses.next_pause()).collect::<Vec<_>>()
        };
        let first = row(1);
        assert!(first.iter().all(|pause| (SHORTEST..=LONGEST).contains(pause)), "{first:?}");
        assert_eq!(first, row(1));
        assert_ne!(first, row(2));
    }

    #[test]
    fn a_success_starts_the_row_again() {
        let mut pauses = BACKOFF.pauses();
        let _ = (0..10).map(|_| pauses.next_pause()).count();
        assert_eq!(pauses.failures(), 10);
        pauses.reset();
        assert!(pauses.next_pause() <= SHORTEST * 2);
    }

    #[test]
    fn shares_are_of_the_span() {
        let mut jitter = Jitter::new(3);
        assert!((0..50).all(|_| jitter.share_of(LONGEST) <= LONGEST));
    }
}
