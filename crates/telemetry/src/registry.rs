//! Instruments: counters, gauges and histograms that cost a few atomic additions, in families by label. A page with all
//! of them is built on request, and written as text ([`super::exposition`]) or sent over OTLP.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use smol_str::SmolStr;

/// A metric's description.
#[derive(Debug)]
pub struct Metric {
    /// The exposed name, with its unit.
    pub name: &'static str,
    /// One sentence, exposed as `# HELP`.
    pub help: &'static str,
    /// Additional text for docs/metrics.md; may be empty.
    pub note: &'static str,
    /// What the values mean.
    pub kind: Kind,
    /// The labels' names.
    pub labels: &'static [&'static str],
}

/// A declared metric: it knows its description, and adds its samples to a page.
pub trait Row: Sync {
    /// Its description.
    fn metric(&'static self) -> &'static Metric;
    /// Adds its samples.
    fn collect(&self, page: &mut Page);
}

/// A metric whose value is read from elsewhere when a page is built.
impl Row for Metric {
    fn metric(&'static self) -> &'static Metric {
        self
    }

    fn collect(&self, _: &mut Page) {}
}

/// A metric's type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up.
    Counter,
    /// Durations in seconds, counted by upper bounds.
    Histogram(&'static [f64]),
}

/// A sample's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A count.
    Whole(u64),
    /// Any other single number.
    Number(f64),
    /// The state of a histogram.
    Distribution(Distribution),
}

/// The state of a histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// The buckets' upper bounds.
    pub bounds: &'static [f64],
    /// Observations by bucket, not cumulative; one more than there are bounds.
    pub counts: Vec<u64>,
    pub sum: f64,
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

/// The samples of one metric.
#[derive(Debug)]
pub struct Samples {
    pub metric: &'static Metric,
    /// The labels' values in the order of the metric's labels, and the value.
    pub samples: Vec<(Vec<SmolStr>, Value)>,
}

/// All samples at a point in time.
#[derive(Debug, Default)]
pub struct Page(Vec<Samples>);

impl Page {
    /// Adds a sample next to the others of its metric.
    pub fn add(&mut self, metric: &'static Metric, labels: &[&str], value: impl Into<Value>) {
        self.put(metric, labels.iter().map(SmolStr::new).collect(), value.into());
    }

    fn put(&mut self, metric: &'static Metric, labels: Vec<SmolStr>, value: Value) {
        debug_assert_eq!(labels.len(), metric.labels.len(), "{}", metric.name);
        let sample = (labels, value);
        // The samples of a metric are usually added one after another.
        match self.0.iter_mut().rev().find(|samples| std::ptr::eq(samples.metric, metric)) {
            Some(samples) => samples.samples.push(sample),
            None => self.0.push(Samples { metric, samples: vec![sample] }),
        }
    }

    pub fn metrics(&self) -> &[Samples] {
        &self.0
    }
}

/// A count that only goes up.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds 1.
    pub fn increment(&self) {
        self.add(1);
    }

    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The current count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds 1.
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Subtracts 1.
    pub fn decrement(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram of durations.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    counts: Box<[AtomicU64]>,
    sum_nanos: AtomicU64,
}

impl Histogram {
    /// An empty histogram with these upper bounds in seconds, in ascending order.
    pub fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum_nanos: AtomicU64::new(0) }
    }

    /// Counts one duration.
    pub fn observe(&self, span: Duration) {
        let seconds = span.as_secs_f64();
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Runs `of` and counts its duration.
    pub fn time<T>(&self, of: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        let result = of();
        self.observe(since.elapsed());
        result
    }
}

/// Time since an event last happened; unknown before the first.
#[derive(Debug, Default)]
pub struct Age(RwLock<Option<Instant>>);

impl Age {
    /// Records that the event happens now.
    pub fn mark(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// An instrument of a family.
pub trait Instrument {
    /// An instrument without observations.
    fn new(kind: Kind) -> Self;
    /// `None` while the value is unknown.
    fn value(&self) -> Option<Value>;
}

impl Instrument for Counter {
    fn new(_: Kind) -> Self {
        Self::default()
    }

    fn value(&self) -> Option<Value> {
        Some(Value::Whole(self.get()))
    }
}

impl Instrument for Gauge {
    fn new(_: Kind) -> Self {
        Self::default()
    }

    fn value(&self) -> Option<Value> {
        Some(Value::Number(self.get() as f64))
    }
}

impl Instrument for Age {
    fn new(_: Kind) -> Self {
        Self::default()
    }

    fn value(&self) -> Option<Value> {
        let since = *self.0.read().unwrap_or_else(PoisonError::into_inner);
        since.map(|since| Value::Number(since.elapsed().as_secs_f64()))
    }
}

impl Instrument for Histogram {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Histogram(bounds) => Self::new(bounds),
            Kind::Gauge | Kind::Counter => Self::new(&[]),
        }
    }

    fn value(&self) -> Option<Value> {
        Some(Value::Distribution(Distribution {
            bounds: self.bounds,
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.sum_nanos.load(Ordering::Relaxed) as f64 / 1e9,
        }))
    }
}

/// The instruments of one metric, one for each set of label values requested so far. Code that counts often keeps the
/// result of [`Family::with`].
#[derive(Debug)]
pub struct Family<T> {
    metric: &'static Metric,
    series: RwLock<BTreeMap<Vec<SmolStr>, Arc<T>>>,
}

impl<T: Instrument> Family<T> {
    /// A family without instruments; its metric is not exposed.
    pub const fn new(metric: &'static Metric) -> Self {
        Self { metric, series: RwLock::new(BTreeMap::new()) }
    }

    /// The instrument of these label values, which must come from closed sets. From this call on it is exposed.
    pub fn with(&self, labels: &[&str]) -> Arc<T> {
        let labels: Vec<SmolStr> = labels.iter().map(SmolStr::new).collect();
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&labels).cloned();
        known.unwrap_or_else(|| {
            let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(series.entry(labels).or_insert_with(|| Arc::new(T::new(self.metric.kind))))
        })
    }
}

impl<T: Instrument + Send + Sync> Row for Family<T> {
    fn metric(&'static self) -> &'static Metric {
        self.metric
    }

    fn collect(&self, page: &mut Page) {
        for (labels, instrument) in self.series.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Some(value) = instrument.value() {
                page.put(self.metric, labels.clone(), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SPANS: Metric =
        Metric { name: "spans_seconds", help: "Spans.", note: "", kind: Kind::Histogram(&[0.1, 1.0]), labels: &["of"] };

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let family = Family::<Histogram>::new(&SPANS);
        let spans = family.with(&["a"]);
        for millis in [50, 100, 101, 5_000] {
            spans.observe(Duration::from_millis(millis));
        }
        assert!(Arc::ptr_eq(&spans, &family.with(&["a"])));
        let mut page = Page::default();
        family.collect(&mut page);
        let [samples] = page.metrics() else { panic!("one metric: {page:?}") };
        let held = Distribution { bounds: &[0.1, 1.0], counts: vec![2, 1, 1], sum: 5.251 };
        assert_eq!(samples.samples, [(vec!["a".into()], Value::Distribution(held))]);
    }

    #[test]
    fn samples_of_a_metric_stand_together() {
        static A: Metric = Metric { name: "a", help: "A.", note: "", kind: Kind::Gauge, labels: &["x"] };
        static B: Metric = Metric { name: "b", help: "B.", note: "", kind: Kind::Gauge, labels: &[] };
        let mut page = Page::default();
        page.add(&A, &["1"], 1.0);
        page.add(&B, &[], 2.0);
        page.add(&A, &["2"], 3.0);
        let names: Vec<_> = page.metrics().iter().map(|one| (one.metric.name, one.samples.len())).collect();
        assert_eq!(names, [("a", 2), ("b", 1)]);
    }
}
