//! Rate limiters: one for each metered scope of a venue, shared by every feed that uses it.
//!
//! Uses a sliding-window log rather than a token bucket. A bucket allows almost twice the limit in the window that
//! starts just before a burst, and venues that meter by sliding windows count exactly that.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use smol_str::format_smolstr;
use tokio::time::Instant;

use crossmarket_clock::Clock;
use crossmarket_domain::VenueId;
use crossmarket_domain::state::RateBudget;
use crossmarket_domain::time::HOUR;
use crossmarket_venues::RateLimit;

/// Shortest and longest pause that a venue's `Retry-After` can cause, to guard against 0 and broken headers.
const PENALTY_MIN: Duration = Duration::from_secs(1);
const PENALTY_MAX: Duration = HOUR;

/// Part of a limit that planned requests may use, in per cent. The rest covers other users of the scope and the
/// difference between our clock and the venue's.
const PLANNED_PERCENT: u64 = 80;

/// The weight that planned requests may use in one window of the limit.
pub(crate) fn planned_limit(limit: &RateLimit) -> u32 {
    u32::try_from(u64::from(limit.limit) * PLANNED_PERCENT / 100).unwrap_or(u32::MAX).max(1)
}

/// One metered scope: grants at most `limit` weight in any window, first come, first served.
pub(crate) struct RateLimiter {
    venue: VenueId,
    limit: RateLimit,
    clock: Clock,
    /// Held while waiting, which makes waiting fair: the mutex grants turns in order of arrival.
    turn: tokio::sync::Mutex<()>,
    log: Mutex<Log>,
    planned_only: AtomicBool,
}

#[derive(Default)]
struct Log {
    grants: VecDeque<(Instant, u32)>,
    used: u64,
    paused_until: Option<Instant>,
}

impl RateLimiter {
    /// A limiter with its full budget.
    pub(crate) fn new(venue: VenueId, limit: RateLimit, clock: Clock) -> Self {
        Self {
            venue,
            limit,
            clock,
            turn: tokio::sync::Mutex::new(()),
            log: Mutex::default(),
            planned_only: AtomicBool::new(false),
        }
    }

    /// Name of the scope within the venue.
    pub(crate) fn scope(&self) -> &'static str {
        self.limit.scope
    }

    /// Waits until `weight` fits, then takes it. A weight of 0 counts as 1, and a weight above the limit counts as the
    /// limit (it could never be granted). Dropping the future takes nothing.
    pub(crate) async fn acquire(&self, weight: u32) {
        let weight = weight.clamp(1, self.limit.limit.max(1));
        let _turn = self.turn.lock().await;
        while let Some(wake) = self.try_take(weight, self.limit.limit.max(1), Instant::now()) {
            tokio::time::sleep_until(wake).await;
        }
    }

    /// [`RateLimiter::acquire`] for a request that can wait: it leaves part of the limit to others and blocks no one
    /// while it waits.
    pub(crate) async fn acquire_planned(&self, weight: u32) {
        self.acquire_within(weight, planned_limit(&self.limit)).await;
    }

    /// [`RateLimiter::acquire_planned`] for a request without any urgency: it uses only what planned ones leave.
    pub(crate) async fn acquire_spare(&self, weight: u32) {
        self.acquire_within(weight, (planned_limit(&self.limit) / 2).max(1)).await;
    }

    async fn acquire_within(&self, weight: u32, most: u32) {
        let weight = weight.clamp(1, most);
        loop {
            let wake = {
                let _turn = self.turn.lock().await;
                self.try_take(weight, most, Instant::now())
            };
            let Some(wake) = wake else { return };
            tokio::time::sleep_until(wake).await;
        }
    }

    /// Declares that only planned requests use the scope, so that only their part is ever taken.
    pub(crate) fn plan_only(&self) {
        self.planned_only.store(true, Ordering::Relaxed);
    }

    /// Pauses every feed of the scope for as long as the venue asked.
    pub(crate) fn penalize(&self, retry_after: Duration) {
        let until = Instant::now() + self.clock.real(retry_after.clamp(PENALTY_MIN, PENALTY_MAX));
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.paused_until = Some(log.paused_until.map_or(until, |paused| paused.max(until)));
    }

    /// The scope's entry in the catalogue.
    pub(crate) fn report(&self) -> RateBudget {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget_old(&mut log, Instant::now());
        RateBudget {
            scope: format_smolstr!("{}:{}", self.venue, self.limit.scope),
            limit: u64::from(self.limit.limit),
            used: log.used,
            window: self.limit.window,
            planned: match self.planned_only.load(Ordering::Relaxed) {
                true => u64::from(planned_limit(&self.limit)),
                false => u64::from(self.limit.limit),
            },
        }
    }

    /// Takes the weight and returns `None`, or returns when to try again.
    fn try_take(&self, weight: u32, most: u32, now: Instant) -> Option<Instant> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = log.paused_until.filter(|until| *until > now) {
            return Some(until);
        }
        log.paused_until = None;
        self.forget_old(&mut log, now);
        let mut excess = (log.used + u64::from(weight)).saturating_sub(u64::from(most));
        if excess == 0 {
            log.grants.push_back((now, weight));
            log.used += u64::from(weight);
            return None;
        }
        for (granted, taken) in &log.grants {
            excess = excess.saturating_sub(u64::from(*taken));
            if excess == 0 {
                return Some(*granted + self.window());
            }
        }
        Some(now + self.window())
    }

    /// One millisecond longer than the venue's window, to allow for timers that fire early and windows that include
    /// both ends.
    fn window(&self) -> Duration {
        self.clock.real(self.limit.window) + Duration::from_millis(1)
    }

    fn forget_old(&self, log: &mut Log, now: Instant) {
        let window = self.window();
        while let Some((granted, weight)) = log.grants.front().copied()
            && now.duration_since(granted) >= window
        {
            log.grants.pop_front();
            log.used -= u64::from(weight);
        }
    }
}

/// The limiters of one venue.
#[derive(Clone)]
pub(crate) struct RateLimiters(Arc<[RateLimiter]>);

impl RateLimiters {
    /// One limiter for each of the venue's scopes. `factor` multiplies the limits. It is above 1 only for simulated
    /// venues, which have no rate meter to protect.
    pub(crate) fn new(venue: VenueId, limits: &[RateLimit], factor: u32, clock: Clock) -> Self {
        let scaled = |limit: &RateLimit| RateLimit { limit: limit.limit.saturating_mul(factor), ..*limit };
        Self(limits.iter().map(|limit| RateLimiter::new(venue, scaled(limit), clock)).collect())
    }

    /// The limiter of a scope; `None` for a scope that the venue does not declare.
    pub(crate) fn scope(&self, scope: &str) -> Option<&RateLimiter> {
        self.0.iter().find(|budget| budget.scope() == scope)
    }

    /// The scopes' entries in the catalogue.
    pub(crate) fn reports(&self) -> Vec<RateBudget> {
        self.0.iter().map(RateLimiter::report).collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    const LIMIT: RateLimit = RateLimit { scope: "weight", limit: 100, window: Duration::from_secs(60) };

    fn budget(clock: Clock) -> Arc<RateLimiter> {
        Arc::new(RateLimiter::new(VenueId("test"), LIMIT, clock))
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_of_random_load_never_exceeds_any_window() {
        let budget = budget(Clock::system());
        let started = Instant::now();
        let grants = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        for seed in 0..8 {
            let (budget, grants) = (Arc::clone(&budget), Arc::clone(&grants));
            tasks.spawn(async move {
                let mut random = SmallRng::seed_from_u64(seed);
                while started.elapsed() < HOUR {
                    let weight = random.random_range(1..=40);
                    budget.acquire(weight).await;
                    grants.lock().expect("unpoisoned").push((started.elapsed(), weight));
                    tokio::time::sleep(Duration::from_millis(random.random_range(0..20_000))).await;
                }
            });
        }
        tasks.join_all().await;
        let grants = grants.lock().expect("unpoisoned");
        let total: u32 = grants.iter().map(|(_, weight)| weight).sum();
        assert!(total > 4_500, "the load of {total} does not press against the limit of 6,000 an hour");
        for (index, (start, _)) in grants.iter().enumerate() {
            let in_window: u32 = grants[index..]
                .iter()
                .take_while(|(at, _)| *at - *start <= LIMIT.window)
                .map(|(_, weight)| weight)
                .sum();
            assert!(in_window <= LIMIT.limit, "{in_window} granted in the window from {start:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_penalty_stops_everyone() {
        let budget = budget(Clock::system());
        let started = Instant::now();
        budget.acquire(1).await;
        assert_eq!(started.elapsed(), Duration::ZERO);
        budget.penalize(Duration::from_secs(7));
        budget.penalize(Duration::from_secs(2));
        budget.acquire(1).await;
        assert_eq!(started.elapsed(), Duration::from_secs(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_clock_has_short_windows() {
        let budget = budget(Clock::simulated(crossmarket_domain::Timestamp::EPOCH, 60.0));
        let started = Instant::now();
        budget.acquire(1_000).await;
        assert_eq!(budget.report().used, 100);
        budget.acquire(1).await;
        assert!((1_000..1_010).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn small_requests_do_not_overtake_a_large_one() {
        let budget = budget(Clock::system());
        budget.acquire(60).await;
        let large = tokio::spawn({
            let budget = Arc::clone(&budget);
            async move {
                budget.acquire(80).await;
                Instant::now()
            }
        });
        tokio::task::yield_now().await;
        budget.acquire(1).await;
        assert!(large.await.expect("not cancelled") <= Instant::now());
    }
}
