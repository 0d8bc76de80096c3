//! A store whose operations are counted: duration, failures and their kinds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tracing::Instrument;
use tracing::field::Empty;

use crossmarket_domain::series::{Point, SeriesKey};
use crossmarket_domain::state::{Epoch, Revision};
use crossmarket_domain::{Candle, ShardId, Shards, Timestamp, TraceContext};
use crossmarket_store::{Bootstrap, Lease, LeaseClaim, SeriesInfo, Store, StoreError, Tail, Update};
use crossmarket_telemetry::metrics;
use crossmarket_telemetry::registry::{Counter, Gauge, Histogram};
use crossmarket_telemetry::trace::{self, Place};

/// An operation of the store.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Bootstrap,
    Tail,
    Write,
    Lease,
    HistoryRead,
    HistoryWrite,
    Flush,
}

impl Operation {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Bootstrap, "bootstrap"),
        (Self::Tail, "tail"),
        (Self::Write, "write"),
        (Self::Lease, "lease"),
        (Self::HistoryRead, "history_read"),
        (Self::HistoryWrite, "history_write"),
        (Self::Flush, "flush"),
    ];

    fn bit(self) -> u32 {
        1 << self as u32
    }

    /// The operations known to reach the store again once this one is answered. A collector that has lost its lease no
    /// longer writes, so nothing else would show that its writes would succeed; a standby requests leases and follows
    /// all the time.
    fn answered(self) -> u32 {
        let writers = [Self::Write, Self::HistoryWrite, Self::Flush].into_iter().fold(0, |bits, one| bits | one.bit());
        match self {
            Self::Bootstrap | Self::Tail | Self::Lease => self.bit() | writers,
            Self::Write | Self::HistoryRead | Self::HistoryWrite | Self::Flush => self.bit(),
        }
    }
}

const ERROR_KINDS: [&str; 5] = ["unavailable", "fenced", "lost", "corrupt", "other"];

/// The name of an error in labels and spans.
fn kind_of(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Fenced { .. } => "fenced",
        StoreError::Lost { .. } | StoreError::LeaseLost { .. } => "lost",
        StoreError::Corrupt(_) => "corrupt",
        StoreError::WrongSeries { .. }
        | StoreError::Refused(_)
        | StoreError::Url { .. }
        | StoreError::Divided { .. } => "other",
    }
}

struct Measures {
    duration: Arc<Histogram>,
    errors: [Arc<Counter>; ERROR_KINDS.len()],
}

pub(super) struct Measured {
    store: Arc<dyn Store>,
    kind: &'static str,
    up: Arc<Gauge>,
    /// One bit per operation whose last attempt did not reach the store. It is cleared when that operation, or one that
    /// proves as much, is answered.
    failing: AtomicU32,
    operations: [Measures; Operation::ALL.len()],
}

impl Measured {
    /// Counts the operations of `store`. `written` are the shards whose writes are counted; `None` without a collector.
    pub(super) fn new(store: Arc<dyn Store>, kind: &'static str, written: Option<Shards>) -> Self {
        for shard in written.into_iter().flat_map(Shards::all) {
            metrics::STORE_WRITTEN.with(&[&shard.to_string()]);
            metrics::STORE_FENCED.with(&[&shard.to_string()]);
        }
        let up = metrics::STORE_UP.with(&[kind]);
        up.set(1);
        let operations = Operation::ALL.map(|(_, name)| Measures {
            duration: metrics::STORE_DURATION.with(&[name]),
            errors: ERROR_KINDS.map(|kind| metrics::STORE_ERRORS.with(&[name, kind])),
        });
        Self { store, kind, up, failing: AtomicU32::new(0), operations }
    }

    async fn measure<T>(
        &self,
        operation: Operation,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let since = Instant::now();
        let result = asked.await;
        self.note(operation, since.elapsed(), result.as_ref().err());
        result
    }

    /// [`Measured::measure`] for a read on behalf of a call, with a span in its trace.
    async fn read<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let span = trace::span!(
            trace::within(),
            "read",
            otel.kind = "client",
            otel.status_code = Empty,
            db.system.name = self.kind,
            db.operation.name = "read",
            error.type = Empty,
        );
        let result = self.measure(Operation::HistoryRead, asked.instrument(span.clone())).await;
        if let Err(error) = &result {
            span.record("error.type", kind_of(error)).record("otel.status_code", "ERROR");
        }
        result
    }

    fn note(&self, operation: Operation, taken: Duration, error: Option<&StoreError>) {
        let Some(measures) = self.operations.get(operation as usize) else { return };
        measures.duration.observe(taken);
        let kind = error.map(kind_of);
        if let Some((_, counter)) = ERROR_KINDS.iter().zip(&measures.errors).find(|(known, _)| Some(**known) == kind) {
            counter.increment();
        }
        // A rejection is an answer: the store is up.
        let failing = match error {
            Some(StoreError::Unavailable(_)) => {
                self.failing.fetch_or(operation.bit(), Ordering::Relaxed) | operation.bit()
            }
            _ => self.failing.fetch_and(!operation.answered(), Ordering::Relaxed) & !operation.answered(),
        };
        self.up.set(i64::from(failing == 0));
    }
}

#[async_trait]
impl Store for Measured {
    async fn open_writer(&self, shard: ShardId, now: Timestamp) -> Result<(Epoch, Revision), StoreError> {
        self.measure(Operation::Lease, self.store.open_writer(shard, now)).await
    }

    async fn acquire_lease(
        &self,
        shard: ShardId,
        holder: &str,
        life: Duration,
        now: Timestamp,
    ) -> Result<LeaseClaim, StoreError> {
        self.measure(Operation::Lease, self.store.acquire_lease(shard, holder, life, now)).await
    }

    async fn renew_lease(&self, lease: &Lease) -> Result<Lease, StoreError> {
        self.measure(Operation::Lease, self.store.renew_lease(lease)).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        self.measure(Operation::Lease, self.store.release_lease(lease)).await
    }

    async fn write(
        &self,
        shard: ShardId,
        epoch: Epoch,
        updates: Vec<Update>,
        trace: Option<TraceContext>,
    ) -> Result<Revision, StoreError> {
        let count = updates.len() as u64;
        let span = trace::span!(
            trace.map(Place::Below),
            "write",
            otel.kind = "client",
            otel.status_code = Empty,
            db.system.name = self.kind,
            db.operation.name = "write",
            db.operation.batch.size = count.cast_signed(),
            crossmarket.shard = i64::from(shard),
            crossmarket.epoch = epoch.cast_signed(),
            error.type = Empty,
        );
        let written = self.store.write(shard, epoch, updates, trace::context_of(&span));
        let result = self.measure(Operation::Write, written.instrument(span.clone())).await;
        if let Err(error) = &result {
            span.record("error.type", kind_of(error)).record("otel.status_code", "ERROR");
        }
        let label = shard.to_string();
        match &result {
            Ok(_) => metrics::STORE_WRITTEN.with(&[&label]).add(count),
            Err(StoreError::Fenced { .. }) => metrics::STORE_FENCED.with(&[&label]).increment(),
            Err(_) => {}
        }
        result
    }

    async fn published(&self, shard: ShardId, epoch: Epoch) -> Result<(), StoreError> {
        self.measure(Operation::Write, self.store.published(shard, epoch)).await
    }

    async fn bootstrap(&self, shard: ShardId) -> Result<Bootstrap, StoreError> {
        self.measure(Operation::Bootstrap, self.store.bootstrap(shard)).await
    }

    /// Waiting for data is not the store's time: the histogram has only tails that do not wait.
    async fn tail(&self, shard: ShardId, epoch: Epoch, after: Revision, wait: Duration) -> Result<Tail, StoreError> {
        let since = Instant::now();
        let result = self.store.tail(shard, epoch, after, wait).await;
        let waited = if wait.is_zero() { Duration::ZERO } else { since.elapsed() };
        self.note(Operation::Tail, since.elapsed().saturating_sub(waited), result.as_ref().err());
        result
    }

    async fn put_candles(&self, series: &SeriesKey, candles: &[Candle]) -> Result<(), StoreError> {
        self.measure(Operation::HistoryWrite, self.store.put_candles(series, candles)).await
    }

    async fn candles(&self, series: &SeriesKey, from: Timestamp, until: Timestamp) -> Result<Vec<Candle>, StoreError> {
        self.read(self.store.candles(series, from, until)).await
    }

    async fn put_points(&self, series: &SeriesKey, points: &[Point]) -> Result<(), StoreError> {
        self.measure(Operation::HistoryWrite, self.store.put_points(series, points)).await
    }

    async fn points(&self, series: &SeriesKey, from: Timestamp, until: Timestamp) -> Result<Vec<Point>, StoreError> {
        self.read(self.store.points(series, from, until)).await
    }

    async fn series(&self) -> Result<Vec<SeriesInfo>, StoreError> {
        self.read(self.store.series()).await
    }

    async fn trim_series(&self, series: &SeriesKey, before: Timestamp) -> Result<(), StoreError> {
        self.measure(Operation::HistoryWrite, self.store.trim_series(series, before)).await
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.measure(Operation::Flush, self.store.flush()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_store::{EmbeddedStore, OpenOptions, open};

    #[tokio::test]
    async fn a_collector_that_writes_no_more_is_told_by_its_other_operations() {
        let store = Measured::new(Arc::new(EmbeddedStore::in_memory().expect("a store")), "test-standby", None);
        let gone = || StoreError::Unavailable("gone".into());
        for told_by in [Operation::Lease, Operation::Bootstrap, Operation::Tail] {
            for operation in [Operation::Write, Operation::HistoryWrite, Operation::Flush, told_by] {
                store.note(operation, Duration::ZERO, Some(&gone()));
            }
            assert_eq!(store.up.get(), 0);
            store.note(told_by, Duration::ZERO, Some(&gone()));
            assert_eq!(store.up.get(), 0, "no answer tells nothing");
            store.note(told_by, Duration::ZERO, None);
            assert_eq!(store.up.get(), 1, "{told_by:?}");
        }
        store.note(Operation::Lease, Duration::ZERO, Some(&gone()));
        store.note(Operation::Write, Duration::ZERO, None);
        assert_eq!(store.up.get(), 0, "an answered write says nothing about leases");
    }

    #[tokio::test]
    async fn a_store_is_up_while_it_answers() {
        // Nothing listens on that port.
        let down = open(&OpenOptions::new("redis://127.0.0.1:1")).await.expect("opened");
        let down = Measured::new(down, "test-down", None);
        assert!(down.bootstrap(0).await.is_err());
        assert_eq!(down.up.get(), 0);
        let up = Measured::new(Arc::new(EmbeddedStore::in_memory().expect("a store")), "test-up", None);
        let fenced = metrics::STORE_FENCED.with(&["7"]);
        assert!(matches!(up.write(7, 1, Vec::new(), None).await, Err(StoreError::Fenced { .. })));
        assert_eq!((up.up.get(), fenced.get()), (1, 1), "a refusal is an answer");
    }
}
