//! Repeating what may work next time, with decorrelated jitter so that feeds that failed together do not come back together.

use std::future::Future;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use crossmarket_venues::VenueError;

/// Attempts beyond the first.
pub const RETRIES_MAX: u32 = 3;

/// The shortest and longest wait before a retry.
const WAIT_MIN: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A row of growing random waits: each is drawn between the shortest and three times the one before.
pub struct Jitter {
    random: SmallRng,
    shortest: Duration,
    longest: Duration,
    last: Duration,
}

impl Jitter {
    /// Waits between `shortest` and `longest`; equal seeds give equal rows.
    pub fn new(seed: u64, shortest: Duration, longest: Duration) -> Self {
        Self { random: SmallRng::seed_from_u64(seed), shortest, longest, last: shortest }
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let upper = (self.last * 3).max(self.shortest).as_secs_f64();
        let drawn = self.random.random_range(self.shortest.as_secs_f64()..=upper);
        self.last = Duration::from_secs_f64(drawn).min(self.longest);
        self.last
    }

    /// Starts the row again.
    pub fn reset(&mut self) {
        self.last = self.shortest;
    }

    /// A random share of `span`.
    pub fn share_of(&mut self, span: Duration) -> Duration {
        span.mul_f64(self.random.random_range(0.0..1.0))
    }
}

/// Runs `attempt` until it succeeds, fails for good, has failed [`RETRIES_MAX`] + 1 times, or the next wait would pass `deadline`.
/// Only [`VenueError::Transient`] is worth a retry: a limit is the budget's to wait for, and the other errors come again.
pub async fn with_retries<T, F>(seed: u64, deadline: Instant, mut attempt: impl FnMut() -> F) -> Result<T, VenueError>
where
    F: Future<Output = Result<T, VenueError>>,
{
    let mut jitter = Jitter::new(seed, WAIT_MIN, WAIT_MAX);
    let mut retries = 0;
    loop {
        match attempt().await {
            Err(error @ VenueError::Transient(_)) if retries < RETRIES_MAX => {
                let wait = jitter.next_wait();
                if Instant::now() + wait >= deadline {
                    return Err(error);
                }
                retries += 1;
                tokio::time::sleep(wait).await;
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    async fn attempts(error: VenueError, interval: Duration) -> u32 {
        let count = Cell::new(0);
        let outcome: Result<(), _> = with_retries(1, Instant::now() + interval, || {
            count.set(count.get() + 1);
            std::future::ready(Err(error.clone()))
        })
        .await;
        assert_eq!(outcome, Err(error));
        count.get()
    }

    #[tokio::test(start_paused = true)]
    async fn only_transient_errors_are_retried_and_only_within_the_interval() {
        let minute = Duration::from_secs(60);
        assert_eq!(attempts(VenueError::Transient("x".into()), minute).await, RETRIES_MAX + 1);
        assert_eq!(attempts(VenueError::Transient("x".into()), Duration::from_millis(100)).await, 1);
        assert_eq!(attempts(VenueError::Rejected("x".into()), minute).await, 1);
        assert_eq!(attempts(VenueError::Malformed("x".into()), minute).await, 1);
        assert_eq!(attempts(VenueError::RateLimited { retry_after: None }, minute).await, 1);
    }

    #[test]
    fn waits_stay_in_their_bounds_and_differ_by_seed() {
        let mut first = Jitter::new(1, WAIT_MIN, WAIT_MAX);
        let mut second = Jitter::new(2, WAIT_MIN, WAIT_MAX);
        let waits: Vec<_> = (0..50).map(|_| first.next_wait()).collect();
        assert!(waits.iter().all(|wait| (WAIT_MIN..=WAIT_MAX).contains(wait)), "{waits:?}");
        assert!(waits.iter().max() > Some(&Duration::from_secs(1)), "{waits:?}");
        assert_ne!(waits, (0..50).map(|_| second.next_wait()).collect::<Vec<_>>());
    }
}
