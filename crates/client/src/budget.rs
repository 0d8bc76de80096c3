//! The retry budget limits how many calls are repeated, so that a client does not multiply the load of a failing service.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The retries of a client over all its calls: a fraction of the successful calls, plus a few per second, so that a client that calls rarely
/// can retry too. Unused retries are kept up to a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// Retries earned by one successful call, at least 0. With 0.2 one call in five may be repeated.
    pub retries_per_success: f64,
    /// Retries earned per second, at least 0.
    pub retries_per_second: f64,
    /// The maximum number of retries kept, at least 0. A new client starts with this number.
    pub retries_kept_max: f64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { retries_per_success: 0.2, retries_per_second: 10.0, retries_kept_max: 500.0 }
    }
}

impl RetryBudget {
    /// No retries.
    pub const NONE: Self = Self { retries_per_success: 0.0, retries_per_second: 0.0, retries_kept_max: 0.0 };
}

/// What is left of a budget.
#[derive(Debug)]
pub(super) struct BudgetLeft {
    terms: RetryBudget,
    left: Mutex<Left>,
}

#[derive(Debug)]
struct Left {
    retries: f64,
    counted_at: Instant,
}

impl BudgetLeft {
    pub(super) fn new(terms: RetryBudget) -> Self {
        let kept_max = terms.retries_kept_max.max(0.0);
        let terms = RetryBudget { retries_kept_max: kept_max, ..terms };
        Self { terms, left: Mutex::new(Left { retries: kept_max, counted_at: Instant::now() }) }
    }

    /// Records a successful call.
    pub(super) fn deposit(&self) {
        self.add(self.terms.retries_per_success);
    }

    /// Takes one retry; false when none is left.
    pub(super) fn withdraw(&self) -> bool {
        let left = &mut *self.left.lock().unwrap_or_else(PoisonError::into_inner);
        self.count_time(left);
        if left.retries < 1.0 {
            return false;
        }
        left.retries -= 1.0;
        true
    }

    fn add(&self, retries: f64) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.retries = (left.retries + retries.max(0.0)).min(self.terms.retries_kept_max);
    }

    fn count_time(&self, left: &mut Left) {
        let now = Instant::now();
        let passed: Duration = now.saturating_duration_since(left.counted_at);
        let earned = passed.as_secs_f64() * self.terms.retries_per_second.max(0.0);
        left.retries = (left.retries + earned).min(self.terms.retries_kept_max);
        left.counted_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn is_spent_by_retries_and_earned_by_successes_and_time() {
        let terms = RetryBudget { retries_per_success: 0.5, retries_per_second: 2.0, retries_kept_max: 3.0 };
        let budget = BudgetLeft::new(terms);
        assert_eq!([(); 4].map(|()| budget.withdraw()), [true, true, true, false]);
        budget.deposit();
        assert!(!budget.withdraw(), "half a retry is none");
        budget.deposit();
        assert!(budget.withdraw());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!([(); 3].map(|()| budget.withdraw()), [true, true, false]);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!([(); 4].map(|()| budget.withdraw()), [true, true, true, false], "no more than is kept");
    }

    #[tokio::test]
    async fn none_is_none() {
        let budget = BudgetLeft::new(RetryBudget::NONE);
        budget.deposit();
        assert!(!budget.withdraw());
    }
}
