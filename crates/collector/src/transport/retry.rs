//! Retries requests that may succeed next time.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crossmarket_backoff::Backoff;
use crossmarket_venues::VenueError;

/// Attempts after the first.
pub(crate) const RETRIES_MAX: u32 = 3;

/// Delay before a retry.
const BACKOFF: Backoff = Backoff::between(Duration::from_millis(200), Duration::from_secs(5));

/// Runs `attempt` until it succeeds, fails for good, has failed [`RETRIES_MAX`] + 1 times, or the next delay would pass
/// `deadline`. Only [`VenueError::Transient`] is worth a retry: the rate limiter waits for limits, and the other errors
/// would recur.
pub(crate) async fn with_retries<T, F>(
    seed: u64,
    deadline: Instant,
    mut attempt: impl FnMut() -> F,
) -> Result<T, VenueError>
where
    F: Future<Output = Result<T, VenueError>>,
{
    let mut pauses = BACKOFF.seeded(seed);
    loop {
        match attempt().await {
            Err(error @ VenueError::Transient(_)) if pauses.failures() < RETRIES_MAX => {
                let wait = pauses.next_pause();
                if Instant::now() + wait >= deadline {
                    return Err(error);
                }
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
}
