//! The one task that owns the market state: observations come in, batches of states go out, one write at a time for each shard that is led.

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
use crossmarket_domain::{AssetCode, Candle, Feed, Instrument, ShardId, Shards, Timestamp};
use crossmarket_store::{Store, StoreError, Update};
use crossmarket_telemetry::metrics::Calculation;
use crossmarket_telemetry::trace;
use crossmarket_venues as venues;

/// Messages taken in one go at most.
const MESSAGES_MAX: usize = 8;

/// How often the rates are found anew, the universe decided and the catalogue looked through.
const RATES_INTERVAL: Duration = Duration::from_secs(1);
const UNIVERSE_INTERVAL: Duration = Duration::from_secs(1);
const CATALOGUE_INTERVAL: Duration = Duration::from_secs(5);
const TARGETS_INTERVAL: Duration = Duration::from_secs(30);
/// In the first moments the venues answer one after another.
const TARGETS_INTERVAL_FIRST: Duration = Duration::from_secs(1);
const TARGETS_FIRST: u32 = 4;
const FEEDS_INTERVAL: Duration = Duration::from_secs(1);

/// Instruments streamed from one venue at most.
const STREAMED_MAX: usize = 1_000;

/// Candles that wait to be stored at most; with an unreachable store the oldest of each series are given up.
const CANDLES_WAITING_MAX: usize = 1_000;

/// After the store has not taken histories, before it is tried again.
const ARCHIVE_RETRY_WAIT: Duration = Duration::from_secs(2);

/// What the pipeline needs.
pub(crate) struct Coordinator {
    pub market: MarketState,
    /// Makes the states.
    pub publisher: Publisher,
    /// Every feed's health.
    pub monitors: Vec<Arc<FeedMonitor>>,
    pub store: Arc<dyn Store>,
    /// How the data is divided.
    pub shards: Shards,
    /// The shards that are led.
    pub leads: watch::Receiver<HeldShards>,
    /// The time.
    pub clock: Clock,
    /// Time between batches, in life.
    pub publish_interval: Duration,
    /// By venue, what its stream should carry.
    pub streams: Vec<Option<watch::Sender<Arc<[Instrument]>>>>,
    /// Whose histories to fill.
    pub targets: watch::Sender<Arc<[Target]>>,
    /// How many candles wait to be stored.
    pub backlog: watch::Sender<usize>,
    /// Decides the jitter.
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
    /// One for each shard that is led.
    writers: BTreeMap<ShardId, Writer>,
    writes: JoinSet<Outcome>,
    archiving: Option<JoinHandle<Result<(), Unstored>>>,
    /// When the store may be tried again after it did not take what it was given.
    archive_at: Option<Instant>,
    candles: BTreeMap<SeriesKey, Vec<Candle>>,
    /// How many candles are under way to the store.
    archiving_count: usize,
    due: Due,
    instruments_changed: bool,
    targets_sent: u32,
}

impl Coordinator {
    /// Runs until `stop` (or until the feeds are gone), then writes and flushes what is left.
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

/// Waits for a task, or for ever when there is none.
async fn finished(task: Option<&mut JoinHandle<Result<(), Unstored>>>) -> Result<(), Unstored> {
    match task {
        // Nothing aborts it, so it ends without a word only by a defect, which was told on stderr.
        Some(task) => task.await.unwrap_or(Ok(())),
        None => std::future::pending().await,
    }
}

/// What a store did not take, and why.
struct Unstored {
    candles: BTreeMap<SeriesKey, Vec<Candle>>,
    points: BTreeMap<SeriesKey, Vec<Point>>,
    error: StoreError,
}

/// Stores candles and points of ratios, series by series, and hands back what was not stored.
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

/// The asset that a key is gone with.
fn asset_of(key: &Key) -> Option<&AssetCode> {
    match key {
        Key::Price(code) | Key::Asset(code) => Some(code),
        Key::LongShort(key) => Some(&key.asset),
        _ => None,
    }
}

/// True, and set to its next time, when something is due.
pub(super) fn take_due(due: &mut Instant, now: Instant, interval: Duration) -> bool {
    let is_due = now >= *due;
    if is_due {
        *due = now + interval;
    }
    is_due
}

impl Running {
    /// Begins what is led now and was not, or was in another epoch, with everything published anew; ends what is led no more.
    fn take_leads(&mut self) {
        let leads = HeldShards::clone(&self.pipeline.leads.borrow_and_update());
        self.writers.retain(|shard, writer| leads.get(shard).is_some_and(|lead| lead.epoch() == writer.lead.epoch()));
        for (shard, lead) in leads.iter().filter(|(shard, _)| !self.writers.contains_key(shard)).collect::<Vec<_>>() {
            self.begin(*shard, lead);
        }
        // Histories are kept of what is led.
        self.instruments_changed = true;
        self.due.targets = Instant::now();
    }

    fn begin(&mut self, shard: ShardId, lead: &ShardLease) {
        let Coordinator { market, monitors, shards, seed, .. } = &mut self.pipeline;
        let mut writer = Writer::new(lead.clone(), seed.wrapping_add(u64::from(shard)));
        writer.gone.extend(lead.foreign().iter().cloned());
        let codes: Vec<AssetCode> =
            market.assets().keys().filter(|code| shards.of_asset(code) == shard).cloned().collect();
        codes.iter().for_each(|code| market.ratio_state().forget_asset(code));
        let keys = codes.into_iter().flat_map(|code| [Key::Price(code.clone()), Key::Asset(code)]);
        forget(market, &keys.collect::<Vec<_>>());
        for monitor in monitors.iter().filter(|monitor| shards.of_key(&monitor.key()) == shard) {
            monitor.forget_published();
        }
        self.writers.insert(shard, writer);
    }

    /// Periodic work, and for every shard that is led a batch when none is under way.
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

    /// The next batch of every shard may have something of what was traces.
    fn record_trace(&mut self, message: &CollectorEvent) {
        if let CollectorEvent::Observed(Observed { trace: Some(trace), .. })
        | CollectorEvent::LongShort(LongShortAnswer { trace: Some(trace), .. }) = message
        {
            self.writers.values_mut().for_each(|writer| writer.traces.record(*trace));
        }
    }

    /// Everything of a shard that is due now.
    fn batch(&mut self, shard: ShardId, instant: Instant) -> Vec<Update> {
        let Coordinator { market, publisher, monitors, clock, shards, .. } = &mut self.pipeline;
        let Some(writer) = self.writers.get_mut(&shard) else { return Vec::new() };
        let now = clock.now();
        let own = |key: &Key| shards.of_key(key) == shard;
        let mut batch: Vec<Update> = std::mem::take(&mut writer.gone)
            .into_iter()
            .filter(|key| !(own(key) && asset_of(key).is_some_and(|code| market.assets().contains_key(code))))
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

    /// Takes in what became of a batch; `None` for one that was cut off.
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
            // The shard is led no more, or anew; then all of it was made again.
            Err(_) => {}
        }
    }

    /// What was in the batch is made again, as it is by then.
    fn unwritten(&mut self, shard: ShardId, keys: Vec<Key>) {
        let Coordinator { market, monitors, shards, .. } = &mut self.pipeline;
        forget(market, &keys);
        for monitor in monitors.iter().filter(|monitor| shards.of_key(&monitor.key()) == shard) {
            monitor.forget_published();
        }
        let Some(writer) = self.writers.get_mut(&shard) else { return };
        for key in keys {
            let is_gone = asset_of(&key).is_some_and(|code| !market.assets().contains_key(code));
            if shards.of_key(&key) != shard || is_gone {
                writer.gone.insert(key);
            }
        }
    }

    /// Tells the streams and the histories what there is now.
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
            .map(|asset| Target { instruments: market.candle_instruments(&asset, &preference), asset })
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

    /// Stores the candles that wait, when nothing is being stored.
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

    /// Keeps what was not stored for the next time, as far as there is room.
    fn archived(&mut self, outcome: Result<(), Unstored>) {
        self.archiving = None;
        self.archiving_count = 0;
        match outcome {
            Ok(()) => self.archive_at = None,
            Err(Unstored { candles, points, error }) => {
                if self.archive_at.replace(Instant::now() + ARCHIVE_RETRY_WAIT).is_none() {
                    warn!(%error, "history not stored, retrying");
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

    /// Writes what is left: the last batches and the candles that were being made.
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

/// The feeds' health where there is news.
fn feed_updates(monitors: &[Arc<FeedMonitor>], wanted: impl Fn(&Key) -> bool) -> impl Iterator<Item = Update> {
    let wanted = monitors.iter().filter(move |monitor| wanted(&monitor.key()));
    wanted.filter_map(|monitor| monitor.news()).map(|(key, state)| (key, Some(state)))
}
