//! Keeps the live image up to date with the store: bootstrap a shard, tail its feed, start again after a gap.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Span, info, warn};

use crate::cursor::Position;
use crate::image::Image;
use crate::item::Change;
use crossmarket_backoff::Backoff;
use crossmarket_clock::Clock;
use crossmarket_domain::ShardId;
use crossmarket_domain::Timestamp;
use crossmarket_domain::state::Epoch;
use crossmarket_store::{Bootstrap, Entry, Store, StoreError, Tail};
use crossmarket_telemetry::metrics;
use crossmarket_telemetry::registry::{Age, Counter, Histogram};
use crossmarket_telemetry::trace;

/// Maximum wait for the next entries of a feed in one request.
const TAIL_WAIT_MAX: Duration = Duration::from_secs(1);

/// Before looking again for a shard's first writer. The pause grows, since some shard may never have one.
const NO_WRITER_BACKOFF: Backoff = Backoff::between(Duration::from_millis(10), Duration::from_millis(500));

/// After a store error. The longest pause is short, so that the image is up to date within a second of the store's return.
const BACKOFF: Backoff = Backoff::between(Duration::from_millis(25), Duration::from_millis(800));

/// How long a new epoch may hold less than is in memory before it replaces that. A writer on an emptied store publishes everything again in
/// several batches, and until then the content of the memory is the better answer.
const REPUBLICATION_WAIT_MAX: Duration = Duration::from_secs(3);

/// The same while the writer has not marked the shard complete. A standby that takes over has to poll the venues first.
const FILLING_WAIT_MAX: Duration = Duration::from_secs(10);

/// Shortest and longest interval of freshness checks.
const FRESHNESS_INTERVAL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// Keeps one shard of the image up to date until cancelled. During store errors it retries, and the image continues to answer.
pub async fn follow_shard(
    image: Arc<Image>,
    store: Arc<dyn Store>,
    shard: ShardId,
    clock: Clock,
    cancel: CancellationToken,
) {
    cancel.run_until_cancelled_owned(follow_for_ever(&image, store.as_ref(), shard, clock)).await;
}

/// Marks states stale when their time comes, until cancelled.
pub async fn keep_fresh(image: Arc<Image>, clock: Clock, cancel: CancellationToken) {
    let keep = async {
        loop {
            let now = clock.now();
            image.refresh(now);
            let until_next = image.next_deadline().map_or(FRESHNESS_INTERVAL.1, |next| clock.real(next.since(now)));
            tokio::time::sleep(until_next.clamp(FRESHNESS_INTERVAL.0, FRESHNESS_INTERVAL.1)).await;
        }
    };
    cancel.run_until_cancelled(keep).await;
}

/// Metrics of a shard.
struct Measures {
    age: Arc<Age>,
    gaps: Arc<Counter>,
    epoch_changes: Arc<Counter>,
    propagation: Arc<Histogram>,
}

impl Measures {
    fn of(shard: ShardId) -> Self {
        let label = shard.to_string();
        Self {
            age: metrics::SHARD_AGE.with(&[&label]),
            gaps: metrics::SHARD_GAPS.with(&[&label]),
            epoch_changes: metrics::SHARD_EPOCH_CHANGES.with(&[&label]),
            propagation: metrics::PROPAGATION.with(&[]),
        }
    }

    /// Records applied entries by their publish times; the newest was created just before it was written.
    fn applied(&self, published: impl Iterator<Item = Timestamp>, clock: Clock) {
        self.age.mark();
        if let Some(newest) = published.max() {
            self.propagation.observe(clock.real(clock.now().since(newest)));
        }
    }
}

async fn follow_for_ever(image: &Image, store: &dyn Store, shard: ShardId, clock: Clock) {
    let measures = Measures::of(shard);
    let mut pauses = BACKOFF.pauses();
    let mut no_writer_pauses = NO_WRITER_BACKOFF.pauses();
    // The epoch of the next tail; `None` when a bootstrap is due.
    let mut epoch: Option<Epoch> = None;
    let mut republication = None;
    loop {
        let step = match epoch {
            None => bootstrap(image, store, shard, clock, &mut republication, &measures).await,
            Some(current) => tail(image, store, shard, current, clock, &measures).await,
        };
        match step {
            Ok(next) => {
                if next.is_none() && epoch.is_none() {
                    tokio::time::sleep(no_writer_pauses.next_pause()).await;
                } else {
                    no_writer_pauses.reset();
                }
                epoch = next;
                if pauses.failures() > 0 {
                    info!(shard, "store followed again");
                    pauses.reset();
                }
            }
            Err(error) => {
                // Nothing is published while the store is unavailable.
                republication = None;
                // Logged once for each outage.
                if pauses.failures() == 0 {
                    warn!(shard, %error, "store cannot be followed, serving what is in memory");
                }
                tokio::time::sleep(pauses.next_pause()).await;
            }
        }
    }
}

/// A new epoch that is not complete yet, and since when that is known.
type Republication = Option<(Epoch, Instant)>;

/// Loads the shard. `None` while it has no writer, or its writer has not published everything: an empty image must not look complete, and an
/// emptied store must not clear the memory.
async fn bootstrap(
    image: &Image,
    store: &dyn Store,
    shard: ShardId,
    clock: Clock,
    republication: &mut Republication,
    measures: &Measures,
) -> Result<Option<Epoch>, StoreError> {
    let Bootstrap { epoch, revision, entries, complete } = store.bootstrap(shard).await?;
    if epoch == 0 {
        return Ok(None);
    }
    let entry_count = entries.len();
    let before = image.position(shard);
    let is_new_epoch = before.is_some_and(|position| position.epoch != epoch);
    let holds_less = is_new_epoch && entry_count < image.key_count(shard);
    if holds_less || !complete {
        let since = republication.filter(|(of, _)| *of == epoch).map_or_else(Instant::now, |(_, since)| since);
        *republication = Some((epoch, since));
        if since.elapsed() < if complete { REPUBLICATION_WAIT_MAX } else { FILLING_WAIT_MAX } {
            return Ok(None);
        }
    }
    *republication = None;
    image.bootstrap(shard, Position { epoch, revision }, changes(entries), clock.now());
    measures.age.mark();
    match before {
        None => {}
        Some(_) if is_new_epoch => measures.epoch_changes.increment(),
        Some(_) => measures.gaps.increment(),
    }
    info!(shard, epoch, revision, entry_count, "shard bootstrapped");
    Ok(Some(epoch))
}

/// Applies the next entries. `None` when the shard must be bootstrapped again.
async fn tail(
    image: &Image,
    store: &dyn Store,
    shard: ShardId,
    epoch: Epoch,
    clock: Clock,
    measures: &Measures,
) -> Result<Option<Epoch>, StoreError> {
    let Some(position) = image.position(shard) else { return Ok(None) };
    let applied = match store.tail(shard, epoch, position.revision, TAIL_WAIT_MAX).await? {
        Tail::Entries(entries) if entries.is_empty() => true,
        Tail::Entries(entries) => {
            let published: Vec<Timestamp> = entries.iter().filter_map(published).collect();
            let _spans = trace_application(image, shard, epoch, &entries);
            let applied = apply(image, shard, epoch, entries, clock.now());
            if applied {
                measures.applied(published.into_iter(), clock);
            }
            applied
        }
        Tail::Gap => false,
    };
    if !applied {
        info!(shard, epoch, revision = position.revision, "change feed does not continue, bootstrapping again");
    }
    Ok(applied.then_some(epoch))
}

/// A span for every traced batch among these entries, open as long as the caller holds it; watchers link to it.
fn trace_application(image: &Image, shard: ShardId, epoch: Epoch, entries: &[Entry]) -> Vec<Span> {
    let batches = entries.chunk_by(|one, next| one.trace == next.trace);
    let spans = batches.filter_map(|batch| {
        let (first, last) = (batch.first()?, batch.last()?);
        let span = trace::span!(
            trace::continued(first.trace?),
            "apply",
            otel.kind = "consumer",
            crossmarket.shard = i64::from(shard),
            crossmarket.epoch = epoch.cast_signed(),
            crossmarket.revision = last.revision.cast_signed(),
            crossmarket.state_count = batch.len().cast_signed() as i64,
        );
        let [from, to] = [first.revision, last.revision].map(|revision| Position { epoch, revision });
        image.note_trace(shard, from, to, trace::context_of(&span)?);
        Some(span)
    });
    spans.collect()
}

fn published(entry: &Entry) -> Option<Timestamp> {
    entry.state.as_ref().map(|state| state.publish_time)
}

fn apply(image: &Image, shard: ShardId, epoch: Epoch, entries: Vec<Entry>, now: Timestamp) -> bool {
    image.apply(shard, epoch, changes(entries), now).is_ok()
}

fn changes(entries: Vec<Entry>) -> Vec<Change> {
    entries.into_iter().map(|Entry { key, revision, state, .. }| Change { key, revision, state }).collect()
}
