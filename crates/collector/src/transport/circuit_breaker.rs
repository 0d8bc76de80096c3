//! Circuit breakers: a feed that keeps failing is paused for increasing times, then probed once.

use std::time::Duration;

use tokio::time::Instant;

use crossmarket_backoff::{Backoff, Pauses};

/// Consecutive failures that open the circuit.
pub(crate) const FAILURES_MAX: u32 = 5;

/// How long an open circuit stays open.
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// One feed's breaker. While closed, it lets everything through; while open, nothing until the pause has passed. Then
/// one probe decides.
pub(crate) struct Breaker {
    failures: u32,
    open_until: Option<Instant>,
    pauses: Pauses,
}

impl Breaker {
    /// A closed breaker; `seed` determines the jitter of its pauses.
    pub(crate) fn new(seed: u64) -> Self {
        Self { failures: 0, open_until: None, pauses: Backoff::between(PAUSE_MIN, PAUSE_MAX).seeded(seed) }
    }

    /// End of the pause; `None` when a request, or the single probe, may be sent.
    pub(crate) fn open_until(&self, now: Instant) -> Option<Instant> {
        self.open_until.filter(|until| *until > now)
    }

    /// True from opening until a probe succeeds.
    pub(crate) fn is_open(&self) -> bool {
        self.open_until.is_some()
    }

    /// Closes the circuit.
    pub(crate) fn success(&mut self) {
        self.failures = 0;
        self.open_until = None;
        self.pauses.reset();
    }

    /// Counts a failure. Opens the circuit at [`FAILURES_MAX`] consecutive failures, and again at once when a probe
    /// fails.
    pub(crate) fn failure(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES_MAX {
            self.open_until = Some(now + self.pauses.next_pause());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn opens_probes_and_closes() {
        let mut breaker = Breaker::new(7);
        for _ in 1..FAILURES_MAX {
            breaker.failure(Instant::now());
            assert!(!breaker.is_open());
        }
        let mut pauses = Vec::new();
        for _ in 0..20 {
            breaker.failure(Instant::now());
            let until = breaker.open_until(Instant::now()).expect("open");
            pauses.push(until - Instant::now());
            tokio::time::sleep_until(until).await;
            assert_eq!(breaker.open_until(Instant::now()), None, "the probe may go");
        }
        assert!(pauses.iter().all(|pause| (PAUSE_MIN..=PAUSE_MAX).contains(pause)), "{pauses:?}");
        assert!(pauses.iter().max() > Some(&Duration::from_secs(20)), "{pauses:?}");
        breaker.success();
        assert!(!breaker.is_open());
        breaker.failure(Instant::now());
        assert!(!breaker.is_open(), "a success starts the count again");
    }
}
