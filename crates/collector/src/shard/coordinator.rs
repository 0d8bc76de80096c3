//! The task that owns the market state: receives observations and sends batches of states, one write at a time for each
//! shard that this process leads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::error::CollectorError;
use crate::event::{CollectorEvent, LongShortAnswer, Observed};
use crate::history::candles::{Target, series_key};
use crate::history::storage::{store_candles, store_points};
use crate::prices::market_state::MarketState;
use crate::prices::snapshots::{Publisher, forget};
use crate::shard::lease::{HeldShards, ShardLease};
use crate::shard::writer::{Outcome, Writer};
use crate::transport::feed_health::FeedMonitor;
use crossmarket_clock::Clock;
use crossmarket_domain::series::{Point, SeriesKey};
use crossmarket_domain::state::Key;
use crossmarket_domain::{AssetId, Candle, Feed, Instrument, ShardId, Shards, Timestamp};
use crossmarket_store::{Store, StoreError, Update};
use crossmarket_telemetry::metrics::{Calculation, MAPPING_CONFLICTS};
use crossmarket_telemetry::trace;
use crossmarket_venues as venues;

/// Maximum number of messages processed in one go.
const MESSAGES_MAX: usize = 8;

/// Intervals at which the rates are recomputed, the tracked assets re-evaluated and the catalogue checked.
const RATES_INTERVAL: Duration = Duration::from_secs(1);
const UNIVERSE_INTERVAL: Duration = Duration::from_secs(1);
const CATALOGUE_INTERVAL: Duration = Duration::from_secs(5);
const TARGETS_INTERVAL: Duration = Duration::from_secs(30);
/// Right after the start, the venues answer one by one.
const TARGETS_INTERVAL_FIRST: Duration = Duration::from_secs(1);
const TARGETS_FIRST: u32 = 4;
const FEEDS_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum number of instruments streamed per venue.
const STREAMED_MAX: usize = 1_000;

/// Maximum number of candles of one series queued for the store. While the store is unreachable, the oldest are dropped.
const CANDLES_WAITING_MAX: usize = 1_000;

/// Delay before a failed write of histories is retried.
const ARCHIVE_RETRY_WAIT: Duration = Duration::from_secs(2);

/// Inputs of the pipeline.
pub(crate) struct Coordinator {
    pub market: MarketState,
    /// Builds the states.
    pub publisher: Publisher,
    /// Health of every feed.
    pub monitors: Vec<Arc<FeedMonitor>>,
    pub store: Arc<dyn Store>,
    pub shards: Shards,
    /// The shards that this process leads.
    pub leads: watch::Receiver<HeldShards>,
    pub clock: Clock,
    /// Wall-clock time between batches.
    pub publish_interval: Duration,
    /// Instruments to stream, by venue.
    pub streams: Vec<Option<watch::Sender<Arc<[Instrument]>>>>,
    /// Assets whose histories are filled.
    pub targets: watch::Sender<Arc<[Target]>>,
    /// Number of candles waiting to be stored.
    pub backlog: watch::Sender<usize>,
    /// Seed of the jitter.
    pub seed: u64,
}

/// When the periodic work is due.
struct Due {
    rates: Instant,
    universe: Instant,
    targets: Instant,
}

struct Running {
    pipeline: Coordinator,
    /// One writer per shard that this process leads.
    writers: BTreeMap<ShardId, Writer>,
    writes: JoinSet<Outcome>,
    archiving: Option<JoinHandle<Result<(), Unstored>>>,
    /// Earliest time of the next write of histories after a failed one.
    archive_at: Option<Instant>,
    candles: BTreeMap<SeriesKey, Vec<Candle>>,
    /// Number of candles being written to the store.
    archiving_count: usize,
    due: Due,
    instruments_changed: bool,
    targets_sent: u32,
}

impl Coordinator {
    /// Runs until `stop`, or until the feeds are gone. Then writes and flushes the rest.
    pub(crate) async fn run(
        self,
        mut events: mpsc::Receiver<CollectorEvent>,
        stop: CancellationToken,
    ) -> Result<(), CollectorError> {
        let now = Instant::now();
        let mut tick = tokio::time::interval(self.publish_interval.max(Duration::from_millis(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut run = Running {
            pipeline: self,
            writers: BTreeMap::new(),
            writes: JoinSet::new(),
            archiving: None,
            archive_at: None,
            candles: BTreeMap::new(),
            archiving_count: 0,
            due: Due { rates: now, universe: now, targets: now },
            instruments_changed: true,
            targets_sent: 0,
        };
        run.take_leads();
        let mut messages = Vec::with_capacity(MESSAGES_MAX);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                count = events.recv_many(&mut messages, MESSAGES_MAX) => {
                    if count == 0 {
                        break;
                    }
                    let now = run.pipeline.clock.now();
                    for message in messages.drain(..) {
                        run.record_trace(&message);
                        run.pipeline.market.take(message, run.pipeline.publisher.rates(), now);
                    }
                }
                _ = tick.tick() => run.tick(),
                Some(outcome) = run.writes.join_next() => run.written(outcome.ok()),
                Ok(()) = run.pipeline.leads.changed() => run.take_leads(),
                archived = finished(run.archiving.as_mut()) => run.archived(archived),
            }
        }
        run.finish().await
    }
}

/// Waits for a task, or indefinitely if there is none.
async fn finished(task: Option<&mut JoinHandle<Result<(), Unstored>>>) -> Result<(), Unstored> {
    match task {
        // Nothing aborts the task, so a join error means a panic, which is reported on stderr.
        Some(task) => task.await.unwrap_or(Ok(())),
        None => std::future::pending().await,
    }
}

/// What could not be stored, and why.
struct Unstored {
    candles: BTreeMap<SeriesKey, Vec<Candle>>,
    points: BTreeMap<SeriesKey, Vec<Point>>,
    error: StoreError,
}

/// Stores candles and ratio points, series by series. Returns what could not be stored.
async fn store_all(
    store: &dyn Store,
    mut candles: BTreeMap<SeriesKey, Vec<Candle>>,
    mut points: BTreeMap<SeriesKey, Vec<Point>>,
    now: Timestamp,
) -> Result<(), Unstored> {
    while let Some(series) = candles.first_entry() {
        if let Err(error) = store_candles(store, series.key(), series.get(), now).await {
            return Err(Unstored { candles, points, error });
        }
        series.remove();
    }
    while let Some(series) = points.first_entry() {
        if let Err(error) = store_points(store, series.key(), series.get(), now).await {
            return Err(Unstored { candles, points, error });
        }
        series.remove();
    }
    store.flush().await.map_err(|error| Unstored { candles, points, error })
}

/// True if the work is due; then schedules it again after `interval`.
pub(super) fn take_due(due: &mut Instant, now: Instant, interval: Duration) -> bool {
    let is_due = now >= *due;
    if is_due {
        *due = now + interval;
    }
    is_due
}

impl Running {
    /// Starts a writer for every newly led shard or epoch, which publishes everything again. Ends the writers of shards
    /// no longer led.
    fn take_leads(&mut self) {
        let leads = HeldShards::clone(&self.pipeline.leads.borrow_and_update());
        self.writers.retain(|shard, writer| leads.get(shard).is_some_and(|lead| lead.epoch() == writer.lead.epoch()));
        for (shard, lead) in leads.iter().filter(|(shard, _)| !self.writers.contains_key(shard)).collect::<Vec<_>>() {
            self.begin(*shard, lead);
        }
        // Histories are kept for the led shards.
        self.instruments_changed = true;
        self.due.targets = Instant::now();
    }

    fn begin(&mut self, shard: ShardId, lead: &ShardLease) {
        let Coordinator { market, monitors, shards, seed, .. } = &mut self.pipeline;
        let mut writer = Writer::new(lead.clone(), seed.wrapping_add(u64::from(shard)));
        writer.gone.extend(lead.foreign().iter().cloned());
        let codes: Vec<AssetId> =
            market.assets().keys().filter(|code| shards.of_asset(code) == shard).cloned().collect();
        codes.iter().for_each(|code| market.ratio_state().forget_asset(code));
        let keys = codes.into_iter().flat_map(|code| [Key::Price(code.clone()), Key::Asset(code)]);
        forget(market, &keys.collect::<Vec<_>>());
        for monitor in monitors.iter().filter(|monitor| shards.of_key(&monitor.key()) == shard) {
            monitor.forget_published();
        }
        self.writers.insert(shard, writer);
    }

    /// Does the periodic work, and writes a batch for every led shard without one in flight.
    fn tick(&mut self) {
        let instant = Instant::now();
        let now = self.pipeline.clock.now();
        if take_due(&mut self.due.universe, instant, UNIVERSE_INTERVAL) {
            for key in self.pipeline.market.retrack() {
                if let Some(writer) = self.writers.get_mut(&self.pipeline.shards.of_key(&key)) {
                    writer.gone.insert(key);
                }
            }
        }
        let changed = self.pipeline.market.take_instruments_changed();
        self.instruments_changed |= changed;
        if take_due(&mut self.due.rates, instant, RATES_INTERVAL) || changed {
            self.pipeline.publisher.refresh_rates(&self.pipeline.market, changed, now);
            let conflict_count = self.pipeline.market.conflict_count();
            MAPPING_CONFLICTS.with(&[]).set(i64::try_from(conflict_count).unwrap_or(i64::MAX));
        }
        let targets_interval =
            if self.targets_sent < TARGETS_FIRST { TARGETS_INTERVAL_FIRST } else { TARGETS_INTERVAL };
        if self.instruments_changed && take_due(&mut self.due.targets, instant, targets_interval) {
            self.instruments_changed = false;
            self.publish_targets();
        }
        self.collect_candles();
        self.archive();
        let idle: Vec<ShardId> =
            self.writers.iter().filter(|(_, writer)| writer.is_idle(instant)).map(|(shard, _)| *shard).collect();
        for shard in idle {
            self.write(shard, instant);
        }
    }

    /// The next batch of any shard may contain traced data.
    fn record_trace(&mut self, message: &CollectorEvent) {
        if let CollectorEvent::Observed(Observed { trace: Some(trace), .. })
        | CollectorEvent::LongShort(LongShortAnswer { trace: Some(trace), .. }) = message
        {
            self.writers.values_mut().for_each(|writer| writer.traces.record(*trace));
        }
    }

    /// Everything in a shard that is due now.
    fn batch(&mut self, shard: ShardId, instant: Instant) -> Vec<Update> {
        let Coordinator { market, publisher, monitors, clock, shards, .. } = &mut self.pipeline;
        let Some(writer) = self.writers.get_mut(&shard) else { return Vec::new() };
        let now = clock.now();
        let own = |key: &Key| shards.of_key(key) == shard;
        let mut batch: Vec<Update> = std::mem::take(&mut writer.gone)
            .into_iter()
            .filter(|key| !(own(key) && market.has(key)))
            .map(|key| (key, None))
            .collect();
        batch.extend(publisher.snapshots(market, now, &mut writer.paused_after, |code| shards.of_asset(code) == shard));
        batch.extend(
            Calculation::LongShort.time(|| market.long_short_updates(now, |code| shards.of_asset(code) == shard)),
        );
        if take_due(&mut writer.catalogue_due, instant, CATALOGUE_INTERVAL) {
            batch.extend(publisher.asset_infos(market, now, |code| shards.of_asset(code) == shard));
        }
        if take_due(&mut writer.feeds_due, instant, FEEDS_INTERVAL) {
            batch.extend(feed_updates(monitors, own));
        }
        batch
    }

    fn write(&mut self, shard: ShardId, instant: Instant) {
        let Some(writer) = self.writers.get_mut(&shard) else { return };
        let span = writer.traces.aggregate(shard);
        let batch = span.in_scope(|| self.batch(shard, instant));
        span.record("crossmarket.state_count", batch.len().cast_signed() as i64);
        let more = self.pipeline.market.ratio_state().is_behind();
        let Some(writer) = self.writers.get_mut(&shard) else { return };
        if !batch.is_empty() {
            let last = !(writer.is_behind() || more);
            writer.write(batch, last, trace::context_of(&span), &mut self.writes);
        } else if writer.is_empty_for_good(instant) {
            let lead = writer.lead.clone();
            tokio::spawn(async move { lead.published().await });
        }
    }

    /// Processes the result of a batch; `None` for an aborted one.
    fn written(&mut self, outcome: Option<Outcome>) {
        let Some(Outcome { shard, epoch, keys, result }) = outcome else { return };
        let refused = self
            .writers
            .get_mut(&shard)
            .filter(|writer| writer.lead.epoch() == epoch)
            .map(|writer| writer.written(&result));
        match result {
            Ok(_) => {
                let more = self.pipeline.market.ratio_state().is_behind();
                let is_behind = |writer: &Writer| (writer.is_behind() || more) && writer.lead.epoch() == epoch;
                let behind = self.writers.get(&shard).is_some_and(is_behind);
                if behind {
                    self.write(shard, Instant::now());
                }
            }
            Err(_) if refused.is_some() => self.unwritten(shard, keys),
            // The shard is no longer led, or led in a new epoch, which publishes everything again.
            Err(_) => {}
        }
    }

    /// Makes the contents of a failed batch due again, to be rebuilt from the state at that time.
    fn unwritten(&mut self, shard: ShardId, keys: Vec<Key>) {
        let Coordinator { market, monitors, shards, .. } = &mut self.pipeline;
        forget(market, &keys);
        for monitor in monitors.iter().filter(|monitor| shards.of_key(&monitor.key()) == shard) {
            monitor.forget_published();
        }
        let Some(writer) = self.writers.get_mut(&shard) else { return };
        for key in keys {
            let is_gone = key.asset().is_some() && !market.has(&key);
            if shards.of_key(&key) != shard || is_gone {
                writer.gone.insert(key);
            }
        }
    }

    /// Sends the current instruments to the streams and the current targets to the histories.
    fn publish_targets(&mut self) {
        let market = &self.pipeline.market;
        for (wanted, sender) in market.stream_instruments(STREAMED_MAX).into_iter().zip(&self.pipeline.streams) {
            let Some(sender) = sender.as_ref().filter(|_| !wanted.is_empty()) else { continue };
            sender.send_if_modified(|held| {
                let same = held.len() == wanted.len() && wanted.iter().all(|one| held.contains(one));
                if !same {
                    *held = wanted.into();
                }
                !same
            });
        }
        let preference = venues::preference(Feed::Candles);
        let targets: Arc<[Target]> = market
            .by_importance()
            .into_iter()
            .filter(|asset| self.writers.contains_key(&self.pipeline.shards.of_asset(asset)))
            .map(|asset| Target {
                instruments: market.candle_instruments(&asset, &preference),
                codes: market.codes_of(&asset),
                asset,
            })
            .collect();
        self.targets_sent = self.targets_sent.saturating_add(u32::from(!targets.is_empty()));
        self.pipeline.targets.send_if_modified(|held| {
            let changed = *held != targets;
            *held = targets;
            changed
        });
    }

    fn collect_candles(&mut self) {
        for (code, interval, candle) in self.pipeline.market.take_to_store() {
            let waiting = self.candles.entry(series_key(&code, interval)).or_default();
            if waiting.len() >= CANDLES_WAITING_MAX {
                waiting.remove(0);
            }
            waiting.push(candle);
        }
        self.tell_backlog();
    }

    fn tell_backlog(&self) {
        let waiting_count = self.candles.values().map(Vec::len).sum::<usize>() + self.archiving_count;
        self.pipeline.backlog.send_if_modified(|told| std::mem::replace(told, waiting_count) != waiting_count);
    }

    /// Stores the queued candles and points, unless a write is in flight or a retry is not due yet.
    fn archive(&mut self) {
        if self.archiving.is_some() || self.archive_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let points = self.pipeline.market.ratio_state().take_points();
        if self.candles.is_empty() && points.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.candles);
        self.archiving_count = waiting.values().map(Vec::len).sum();
        let store = Arc::clone(&self.pipeline.store);
        let now = self.pipeline.clock.now();
        self.archiving = Some(tokio::spawn(async move { store_all(store.as_ref(), waiting, points, now).await }));
    }

    /// Keeps what could not be stored for the next attempt, as far as there is room.
    fn archived(&mut self, outcome: Result<(), Unstored>) {
        self.archiving = None;
        self.archiving_count = 0;
        match outcome {
            Ok(()) => self.archive_at = None,
            Err(Unstored { candles, points, error }) => {
                if self.archive_at.replace(Instant::now() + ARCHIVE_RETRY_WAIT).is_none() {
                    warn!(%error, "cannot store histories, retrying");
                }
                for (series, mut earlier) in candles {
                    let waiting = self.candles.entry(series).or_default();
                    earlier.append(waiting);
                    earlier.drain(..earlier.len().saturating_sub(CANDLES_WAITING_MAX));
                    *waiting = earlier;
                }
                self.pipeline.market.ratio_state().put_back(points);
            }
        }
        self.tell_backlog();
    }

    /// Writes the rest: the last batches and the running candles.
    async fn finish(mut self) -> Result<(), CollectorError> {
        while let Some(outcome) = self.writes.join_next().await {
            self.written(outcome.ok());
        }
        let shards: Vec<ShardId> = self.writers.keys().copied().collect();
        for shard in shards {
            let of_shard = |key: &Key| self.pipeline.shards.of_key(key) == shard;
            let news: Vec<Update> = feed_updates(&self.pipeline.monitors, of_shard).collect();
            let mut batch = self.batch(shard, Instant::now());
            batch.extend(news);
            if let Some(writer) = self.writers.get_mut(&shard).filter(|_| !batch.is_empty()) {
                writer.write(batch, false, None, &mut self.writes);
            }
        }
        while self.writes.join_next().await.is_some() {}
        if self.archiving.is_some() {
            let archived = finished(self.archiving.as_mut()).await;
            self.archived(archived);
        }
        self.collect_candles();
        let shards = self.pipeline.shards;
        let open = self.pipeline.market.open_candles().into_iter();
        for (code, interval, candle) in open.filter(|(code, ..)| self.writers.contains_key(&shards.of_asset(code))) {
            self.candles.entry(series_key(&code, interval)).or_default().push(candle);
        }
        let points = self.pipeline.market.ratio_state().take_points();
        let (store, now) = (self.pipeline.store.as_ref(), self.pipeline.clock.now());
        store_all(store, self.candles, points, now).await.map_err(|unstored| CollectorError::Store(unstored.error))
    }
}

/// Health updates of the feeds that have news.
fn feed_updates(monitors: &[Arc<FeedMonitor>], wanted: impl Fn(&Key) -> bool) -> impl Iterator<Item = Update> {
    let wanted = monitors.iter().filter(move |monitor| wanted(&monitor.key()));
    wanted.filter_map(|monitor| monitor.news()).map(|(key, state)| (key, Some(state)))
}
