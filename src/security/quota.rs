//! Quotas of a client: calls per second, open streams, subscriptions.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::refusal::Refusal;

/// The shortest time between two removals of inactive callers.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A client's quotas; `None` means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Calls per second, streams included. The same number may come at once.
    pub calls_per_second: Option<u32>,
    /// Open streams, over all connections.
    pub streams_max: Option<u32>,
    /// Subscriptions, over all streams of `SubscriptionService`.
    pub subscriptions_max: Option<u32>,
}

impl Quotas {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A client's usage of its quotas.
#[derive(Debug)]
pub(super) struct Usage {
    quotas: Quotas,
    calls: Mutex<Bucket>,
    streams: AtomicU32,
    subscriptions: AtomicU32,
}

/// A token bucket with the capacity of one second's calls.
#[derive(Debug)]
struct Bucket {
    calls: f64,
    filled: Instant,
}

/// A permit for one of a client's streams or subscriptions; dropping it releases it.
#[derive(Debug)]
pub(crate) struct Permit {
    usage: Arc<Usage>,
    of: fn(&Usage) -> &AtomicU32,
}

impl Drop for Permit {
    fn drop(&mut self) {
        (self.of)(&self.usage).fetch_sub(1, Ordering::Relaxed);
    }
}

impl Usage {
    pub(super) fn new(quotas: Quotas, now: Instant) -> Arc<Self> {
        let calls = Bucket { calls: f64::from(quotas.calls_per_second.unwrap_or_default()), filled: now };
        let (streams, subscriptions) = (AtomicU32::new(0), AtomicU32::new(0));
        Arc::new(Self { quotas, calls: Mutex::new(calls), streams, subscriptions })
    }

    pub(super) fn quotas(&self) -> Quotas {
        self.quotas
    }

    /// Counts a call.
    pub(super) fn call(&self, now: Instant) -> Result<(), Refusal> {
        let Some(rate) = self.quotas.calls_per_second.map(f64::from) else { return Ok(()) };
        let mut bucket = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.fill(rate, now);
        if bucket.calls < 1.0 {
            return Err(Refusal::Calls(Duration::from_secs_f64((1.0 - bucket.calls) / rate)));
        }
        bucket.calls -= 1.0;
        Ok(())
    }

    pub(super) fn stream(self: &Arc<Self>) -> Result<Permit, Refusal> {
        self.permit(|usage| &usage.streams, self.quotas.streams_max).ok_or(Refusal::Streams)
    }

    pub(super) fn subscription(self: &Arc<Self>) -> Result<Permit, Refusal> {
        self.permit(|usage| &usage.subscriptions, self.quotas.subscriptions_max).ok_or(Refusal::Subscriptions)
    }

    fn permit(self: &Arc<Self>, of: fn(&Usage) -> &AtomicU32, max: Option<u32>) -> Option<Permit> {
        let max = max.unwrap_or(u32::MAX);
        let taken = of(self)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < max).then(|| count.saturating_add(1)));
        taken.ok().map(|_| Permit { usage: Arc::clone(self), of })
    }

    /// True when nothing is in use, so that forgetting the client changes nothing.
    fn is_spent(&self, now: Instant) -> bool {
        let rate = f64::from(self.quotas.calls_per_second.unwrap_or_default());
        let mut bucket = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.fill(rate, now);
        bucket.calls >= rate
            && self.streams.load(Ordering::Relaxed) == 0
            && self.subscriptions.load(Ordering::Relaxed) == 0
    }
}

impl Bucket {
    fn fill(&mut self, rate: f64, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.calls = (self.calls + passed * rate).min(rate);
        self.filled = self.filled.max(now);
    }
}

/// Usage of callers that the configuration does not name, by address or token subject. Their number is bounded; when
/// all of them are active, further callers share one usage and therefore one quota.
#[derive(Debug)]
pub(super) struct Usages<K> {
    quotas: Quotas,
    max: usize,
    shared: Arc<Usage>,
    known: Mutex<Known<K>>,
}

#[derive(Debug)]
struct Known<K> {
    usages: HashMap<K, Arc<Usage>>,
    swept: Option<Instant>,
}

impl<K: Eq + Hash> Usages<K> {
    pub(super) fn new(quotas: Quotas, max: usize, now: Instant) -> Self {
        let known = Mutex::new(Known { usages: HashMap::new(), swept: None });
        Self { quotas, max, shared: Usage::new(quotas, now), known }
    }

    pub(super) fn of(&self, key: K, now: Instant) -> Arc<Usage> {
        if self.quotas.is_none() {
            return Arc::clone(&self.shared);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(usage) = known.usages.get(&key) {
            return Arc::clone(usage);
        }
        let due = known.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP_INTERVAL);
        if known.usages.len() >= self.max && due {
            known.swept = Some(now);
            // Keep usages that a call holds at this moment: the call is not counted yet.
            known.usages.retain(|_, usage| Arc::strong_count(usage) > 1 || !usage.is_spent(now));
        }
        if known.usages.len() >= self.max {
            return Arc::clone(&self.shared);
        }
        let usage = Usage::new(self.quotas, now);
        known.usages.insert(key, Arc::clone(&usage));
        usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(calls_per_second: u32) -> Quotas {
        Quotas { calls_per_second: Some(calls_per_second), ..Quotas::default() }
    }

    #[test]
    fn calls_come_back_with_time() {
        let start = Instant::now();
        let usage = Usage::new(quotas(10), start);
        let granted = |now: Instant| (0..100).take_while(|_| usage.call(now).is_ok()).count();
        assert_eq!(granted(start), 10, "a second's calls at once");
        let Err(Refusal::Calls(delay)) = usage.call(start) else { panic!("must be refused") };
        assert!(delay > Duration::from_millis(99) && delay < Duration::from_millis(101), "{delay:?}");
        assert_eq!(granted(start + Duration::from_millis(350)), 3);
        assert_eq!(granted(start + Duration::from_secs(60)), 10, "no more are saved up");
        assert_eq!(granted(start), 0, "a clock that goes back gives nothing");
    }

    #[test]
    fn permits_are_released_when_dropped() {
        let limits = Quotas { streams_max: Some(2), subscriptions_max: Some(1), ..Quotas::default() };
        let usage = Usage::new(limits, Instant::now());
        let first = usage.stream().expect("a permit");
        let second = usage.stream().expect("a permit");
        assert_eq!(usage.stream().expect_err("full"), Refusal::Streams);
        let subscription = usage.subscription().expect("a permit of another kind");
        assert_eq!(usage.subscription().expect_err("full"), Refusal::Subscriptions);
        drop(first);
        let third = usage.stream().expect("a permit");
        assert!(!usage.is_spent(Instant::now()));
        drop((second, third, subscription));
        assert!(usage.is_spent(Instant::now()));
    }

    #[test]
    fn what_is_known_of_strangers_is_bounded() {
        let start = Instant::now();
        let usages = Usages::new(quotas(1), 100, start);
        for stranger in 0..1_000 {
            assert!(stranger >= 101 || usages.of(stranger, start).call(start).is_ok());
        }
        assert_eq!(usages.known.lock().expect("not poisoned").usages.len(), 100);
        assert!(usages.of(2_000, start).call(start).is_err(), "the rest share one quota, which is used up");
        assert!(usages.of(7, start).call(start).is_err(), "who is known keeps their own");
        let later = start + Duration::from_secs(2);
        assert!(usages.of(2_000, later).call(later).is_ok(), "there is room again");
        assert_eq!(usages.known.lock().expect("not poisoned").usages.len(), 1);
    }

    #[test]
    fn without_quotas_nobody_is_remembered() {
        let usages = Usages::new(Quotas::default(), 100, Instant::now());
        usages.of(1, Instant::now()).call(Instant::now()).expect("no limit");
        assert!(usages.known.lock().expect("not poisoned").usages.is_empty());
    }
}
