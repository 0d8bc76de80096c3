//! A feed's health as shown in the catalogue, and the log lines about it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use smol_str::{SmolStr, ToSmolStr};
use tracing::{info, warn};

use crate::transport::rate_limit::RateLimiters;
use crossmarket_clock::Clock;
use crossmarket_domain::state::{Body, FeedErrorKind, FeedState, FeedStatus, Key, PlanTier, State};
use crossmarket_domain::{Feed, Timestamp, VenueId};
use crossmarket_telemetry::metrics;
use crossmarket_telemetry::registry::Counter;
use crossmarket_venues::{Unresolved, UnresolvedReason, VenueError};

/// After this many consecutive failures without any success, a feed is down rather than starting.
const STARTING_FAILURES_MAX: u32 = 3;

/// A feed is degraded when more than one in this many of its latest entries were broken.
const BROKEN_SHARE_MAX: usize = 100;

/// Minimum time between two log lines about one feed. Changes in between are reported as a count.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Minimum time between two published states of a feed while only its counts change.
const COUNTS_INTERVAL: Duration = Duration::from_secs(5);

/// One feed's health, shared by its tasks.
pub(crate) struct FeedMonitor {
    venue: VenueId,
    feed: Feed,
    clock: Clock,
    simulated: bool,
    limiters: RateLimiters,
    errors: ErrorCounters,
    inner: Mutex<Inner>,
}

/// This process's error counters of one feed, by kind.
struct ErrorCounters {
    rate_limited: Arc<Counter>,
    transient: Arc<Counter>,
    malformed: Arc<Counter>,
    rejected: Arc<Counter>,
}

impl ErrorCounters {
    fn of(venue: VenueId, feed: Feed) -> Self {
        let counter = |kind| metrics::VENUE_ERRORS.with(&[venue.as_str(), feed.as_str(), kind]);
        Self {
            rate_limited: counter("rate_limited"),
            transient: counter("transient"),
            malformed: counter("malformed"),
            rejected: counter("rejected"),
        }
    }

    fn count(&self, error: &VenueError) {
        match error {
            VenueError::RateLimited { .. } => &self.rate_limited,
            VenueError::Transient(_) => &self.transient,
            VenueError::Malformed(_) | VenueError::Unasked(_) => &self.malformed,
            VenueError::Rejected(_) => &self.rejected,
        }
        .increment();
    }
}

struct Inner {
    status: FeedStatus,
    rejections: BTreeMap<&'static str, u64>,
    failures: u32,
    circuit_open: bool,
    streams_wanted: usize,
    streams_open: usize,
    broken: bool,
    changed: bool,
    published: Option<(Timestamp, FeedState)>,
    logged: Option<Timestamp>,
    logged_down: bool,
    unlogged_changes: u32,
}

impl Inner {
    fn stream_is_up(&self) -> bool {
        self.streams_open > 0 && self.streams_open >= self.streams_wanted
    }
}

impl FeedMonitor {
    /// The health of a feed without any response yet, or of a disabled one. `interval` is the time between its
    /// requests.
    pub(crate) fn new(
        venue: VenueId,
        feed: Feed,
        interval: Duration,
        enabled: bool,
        simulated: bool,
        limiters: RateLimiters,
        clock: Clock,
    ) -> Self {
        let status = FeedStatus {
            venue: venue.as_str().into(),
            feed,
            streaming: false,
            state: if enabled { FeedState::Starting } else { FeedState::Disabled },
            state_time: clock.now(),
            last_success: None,
            last_error: None,
            request_count: 0,
            error_count: 0,
            observation_count: 0,
            rejections: Vec::new(),
            instrument_count: 0,
            resolved_count: 0,
            interval,
            reconnect_count: 0,
            rate_budgets: Vec::new(),
            plan: Vec::new(),
        };
        let inner = Inner {
            status,
            rejections: BTreeMap::new(),
            failures: 0,
            circuit_open: false,
            streams_wanted: 0,
            streams_open: 0,
            broken: false,
            changed: true,
            published: None,
            logged: None,
            logged_down: false,
            unlogged_changes: 0,
        };
        Self {
            venue,
            feed,
            clock,
            simulated,
            limiters,
            errors: ErrorCounters::of(venue, feed),
            inner: Mutex::new(inner),
        }
    }

    pub(crate) fn venue(&self) -> VenueId {
        self.venue
    }

    /// Key under which its health is published.
    pub(crate) fn key(&self) -> Key {
        Key::Feed(SmolStr::new_static(self.venue.as_str()), self.feed)
    }

    fn update<T>(&self, change: impl FnOnce(&mut Inner, Timestamp) -> T) -> T {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.changed = true;
        change(&mut inner, self.clock.now())
    }

    /// Counts a request.
    pub(crate) fn requested(&self) {
        self.update(|inner, _| inner.status.request_count += 1);
    }

    /// Records a response: the number of instruments asked for and of observations, and the entries that yielded none.
    pub(crate) fn succeeded(&self, asked: usize, resolved: usize, unresolved: &[Unresolved]) {
        self.update(|inner, now| {
            inner.failures = 0;
            inner.circuit_open = false;
            inner.status.last_success = Some(now);
            inner.status.observation_count += resolved as u64;
            inner.status.instrument_count = u32::try_from(asked).unwrap_or(u32::MAX);
            inner.status.resolved_count = u32::try_from(resolved).unwrap_or(u32::MAX);
            let broken = count_unresolved(inner, unresolved);
            inner.broken = broken * BROKEN_SHARE_MAX > resolved + broken;
        });
    }

    /// Records one of many responses of a planned feed: the number of observations, and the entries that yielded none.
    pub(crate) fn answered(&self, resolved: usize, unresolved: &[Unresolved]) {
        self.update(|inner, now| {
            inner.failures = 0;
            inner.circuit_open = false;
            inner.status.last_success = Some(now);
            inner.status.observation_count += resolved as u64;
            let broken = count_unresolved(inner, unresolved);
            inner.broken = broken * BROKEN_SHARE_MAX > resolved + broken;
        });
    }

    /// Records how many instruments are asked for, and how many of them are answered.
    pub(crate) fn instruments(&self, asked: usize, resolved: usize) {
        self.update(|inner, _| {
            inner.status.instrument_count = u32::try_from(asked).unwrap_or(u32::MAX);
            inner.status.resolved_count = u32::try_from(resolved).unwrap_or(u32::MAX);
        });
    }

    /// Records the feed's plan by rank.
    pub(crate) fn planned(&self, plan: Vec<PlanTier>) {
        self.update(|inner, _| inner.status.plan = plan);
    }

    /// True once the feed has delivered anything.
    pub(crate) fn has_succeeded(&self) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).status.last_success.is_some()
    }

    /// Records a stream's frame. It counts as a request and as a success.
    pub(crate) fn frame(&self, resolved: usize, unresolved: &[Unresolved]) {
        self.update(|inner, now| {
            inner.status.request_count += 1;
            inner.status.observation_count += resolved as u64;
            inner.status.last_success = Some(now);
            count_unresolved(inner, unresolved);
        });
    }

    /// Records a request that failed for good, including its retries.
    pub(crate) fn failed(&self, error: &VenueError) {
        self.errors.count(error);
        self.update(|inner, now| {
            let kind = kind_of(error);
            inner.failures = inner.failures.saturating_add(1);
            inner.status.error_count += 1;
            inner.status.last_error = Some((now, kind, error.to_smolstr()));
        });
    }

    /// Records that the circuit opened or closed.
    pub(crate) fn circuit(&self, open: bool) {
        self.update(|inner, _| inner.circuit_open = open);
    }

    /// Counts observations that were parsed and then rejected, by reason.
    pub(crate) fn rejected(&self, reason: &'static str, count: u64) {
        self.update(|inner, _| *inner.rejections.entry(reason).or_default() += count);
    }

    /// Sets the number of connections that the stream needs.
    pub(crate) fn stream_groups(&self, count: usize) {
        self.update(|inner, _| inner.streams_wanted = count);
    }

    /// One more of the stream's connections delivers.
    pub(crate) fn stream_opened(&self) {
        self.update(|inner, _| {
            inner.streams_open += 1;
            inner.status.streaming = true;
        });
    }

    /// One of the stream's connections no longer delivers.
    pub(crate) fn stream_lost(&self) {
        self.update(|inner, _| {
            inner.streams_open = inner.streams_open.saturating_sub(1);
            inner.status.streaming = inner.streams_open > 0;
        });
    }

    /// Counts a replaced connection of the stream.
    pub(crate) fn reconnected(&self) {
        self.update(|inner, _| inner.status.reconnect_count += 1);
    }

    /// True while every connection of the stream delivers.
    pub(crate) fn stream_is_up(&self) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).stream_is_up()
    }

    /// The current health.
    pub(crate) fn status(&self) -> FeedStatus {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut inner, self.clock.now());
        inner.status.clone()
    }

    /// The state to publish, if any: at once after a change of the feed's state, at intervals if only counts changed.
    pub(crate) fn news(&self) -> Option<(Key, State)> {
        let now = self.clock.now();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut inner, now);
        let due = match inner.published {
            None => true,
            Some((_, state)) if state != inner.status.state => true,
            Some((at, _)) => inner.changed && now.since(at) >= COUNTS_INTERVAL,
        };
        if !due {
            return None;
        }
        inner.changed = false;
        inner.published = Some((now, inner.status.state));
        let state = State {
            event_time: now,
            receive_time: now,
            publish_time: now,
            budget: down_after(inner.status.interval),
            simulated: self.simulated,
            body: Body::Feed(Box::new(inner.status.clone())),
        };
        Some((self.key(), state))
    }

    /// Publishes the state again although it has not changed (the store lost it).
    pub(crate) fn forget_published(&self) {
        self.update(|inner, _| inner.published = None);
    }

    fn refresh(&self, inner: &mut Inner, now: Timestamp) {
        inner.status.rejections =
            inner.rejections.iter().map(|(reason, count)| (SmolStr::new_static(reason), *count)).collect();
        inner.status.rate_budgets = self.limiters.reports();
        let state = state_of(inner, now);
        if state != inner.status.state {
            inner.status.state = state;
            inner.status.state_time = now;
            inner.changed = true;
        }
        self.log(inner, now);
    }

    /// Logs one line when a feed goes down and one when it is back, at most one per [`LOG_INTERVAL`].
    fn log(&self, inner: &mut Inner, now: Timestamp) {
        let down = match inner.status.state {
            FeedState::Down => true,
            FeedState::Ok | FeedState::Degraded => false,
            FeedState::Starting | FeedState::Disabled => return,
        };
        if down == inner.logged_down {
            return;
        }
        if inner.logged.is_some_and(|at| self.clock.real(now.since(at)) < LOG_INTERVAL) {
            inner.unlogged_changes += 1;
            inner.logged_down = down;
            return;
        }
        inner.logged = Some(now);
        inner.logged_down = down;
        let unlogged_changes = std::mem::take(&mut inner.unlogged_changes);
        let error = inner.status.last_error.as_ref().map_or("none", |(_, _, text)| text.as_str());
        if down {
            warn!(venue = %self.venue, feed = %self.feed, error, unlogged_changes, "feed is down");
        } else {
            info!(venue = %self.venue, feed = %self.feed, unlogged_changes, "feed is back");
        }
    }
}

/// A feed without a success for this long is down. While a stream delivers, polling pauses for 30 s, and the stream of
/// a quiet market may be silent. A feed that keeps failing is down earlier, since its circuit opens.
fn down_after(interval: Duration) -> Duration {
    (interval * 3).max(Duration::from_secs(75))
}

fn state_of(inner: &Inner, now: Timestamp) -> FeedState {
    if inner.status.state == FeedState::Disabled {
        return FeedState::Disabled;
    }
    let Some(last_success) = inner.status.last_success else {
        let refused = matches!(inner.status.last_error, Some((_, FeedErrorKind::Rejected, _)));
        let given_up = inner.circuit_open || inner.failures >= STARTING_FAILURES_MAX || refused;
        return if given_up { FeedState::Down } else { FeedState::Starting };
    };
    // A stream's connection may be healthy while polling fails; then the feed still delivers.
    if now.since(last_success) > down_after(inner.status.interval) || (inner.circuit_open && !inner.stream_is_up()) {
        FeedState::Down
    } else if inner.failures > 0 || inner.broken {
        FeedState::Degraded
    } else {
        FeedState::Ok
    }
}

/// Counts entries by reason. Returns how many were broken rather than merely without a value.
fn count_unresolved(inner: &mut Inner, unresolved: &[Unresolved]) -> usize {
    for entry in unresolved {
        *inner.rejections.entry(entry.reason.as_str()).or_default() += 1;
    }
    let broken =
        |entry: &&Unresolved| matches!(entry.reason, UnresolvedReason::Malformed | UnresolvedReason::Implausible);
    unresolved.iter().filter(broken).count()
}

fn kind_of(error: &VenueError) -> FeedErrorKind {
    match error {
        VenueError::RateLimited { .. } => FeedErrorKind::RateLimited,
        VenueError::Transient(_) => FeedErrorKind::Transient,
        VenueError::Malformed(_) | VenueError::Unasked(_) => FeedErrorKind::Malformed,
        VenueError::Rejected(_) => FeedErrorKind::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn monitor() -> (FeedMonitor, Clock) {
        let clock = Clock::simulated(Timestamp::from_seconds(1_768_478_400), 1.0);
        let venue = VenueId("test");
        let limiters = RateLimiters::new(venue, &[], 1, clock);
        (FeedMonitor::new(venue, Feed::Tickers, Duration::from_secs(5), true, false, limiters, clock), clock)
    }

    #[tokio::test(start_paused = true)]
    async fn goes_down_and_comes_back() {
        let (monitor, clock) = monitor();
        assert_eq!(monitor.status().state, FeedState::Starting);
        let error = VenueError::Transient("timed out".into());
        for expected in [FeedState::Starting, FeedState::Starting, FeedState::Down] {
            monitor.failed(&error);
            assert_eq!(monitor.status().state, expected);
        }
        monitor.succeeded(0, 3, &[]);
        assert_eq!(monitor.status().state, FeedState::Ok);
        monitor.failed(&error);
        assert_eq!(monitor.status().state, FeedState::Degraded);
        clock.sleep(MINUTE).await;
        assert_eq!(monitor.status().state, FeedState::Degraded);
        clock.sleep(MINUTE).await;
        assert_eq!(monitor.status().state, FeedState::Down);
        let status = monitor.status();
        assert_eq!((status.error_count, status.observation_count), (4, 3));
        assert_eq!(status.last_error.map(|(_, _, text)| text), Some("transient: timed out".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn broken_entries_are_counted_and_degrade() {
        let (monitor, _) = monitor();
        let entry = |reason| Unresolved { symbol: "X".into(), reason, field: "" };
        monitor.succeeded(0, 10, &[entry(UnresolvedReason::NoValue), entry(UnresolvedReason::UnknownSymbol)]);
        assert_eq!(monitor.status().state, FeedState::Ok, "an entry without a value is nobody's fault");
        monitor.succeeded(0, 10, &[entry(UnresolvedReason::Malformed)]);
        assert_eq!(monitor.status().state, FeedState::Degraded);
        monitor.rejected("future", 2);
        let rejections: Vec<_> = monitor.status().rejections;
        assert_eq!(
            rejections,
            [("future".into(), 2), ("malformed".into(), 1), ("no_value".into(), 1), ("unknown_symbol".into(), 1)]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn news_are_changes_at_once_and_counts_now_and_then() {
        let (monitor, clock) = monitor();
        assert!(monitor.news().is_some());
        assert!(monitor.news().is_none());
        monitor.succeeded(0, 1, &[]);
        assert!(monitor.news().is_some(), "starting became ok");
        monitor.succeeded(0, 1, &[]);
        assert!(monitor.news().is_none());
        clock.sleep(COUNTS_INTERVAL).await;
        assert!(monitor.news().is_some());
        assert!(monitor.news().is_none());
    }
}
