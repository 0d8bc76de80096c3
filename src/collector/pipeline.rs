//! The one task that owns the board: observations come in, batches of states go out, one write at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::CollectorError;
use super::backfill::{PREFERENCE, Target, series_key};
use super::board::Board;
use super::intake::Intake;
use super::long_short;
use super::monitor::FeedMonitor;
use super::publish::{Publisher, Update, forget};
use super::retry::Jitter;
use crate::clock::Clock;
use crate::domain::series::SeriesKey;
use crate::domain::state::{Epoch, Key, Revision};
use crate::domain::{AssetCode, Candle, CandleInterval, Instrument};
use crate::store::{ShardId, Store, StoreError};

/// Messages taken in one go at most.
const MESSAGES_MAX: usize = 8;

/// How often the rates are found anew, the universe decided and the catalogue looked through.
const RATES_INTERVAL: Duration = Duration::from_secs(1);
const UNIVERSE_INTERVAL: Duration = Duration::from_secs(1);
const CATALOGUE_INTERVAL: Duration = Duration::from_secs(5);
const LISTS_INTERVAL: Duration = Duration::from_secs(30);
/// In the first moments the venues answer one after another.
const LISTS_INTERVAL_FIRST: Duration = Duration::from_secs(1);
const LISTS_FIRST: u32 = 4;
const FEEDS_INTERVAL: Duration = Duration::from_secs(1);

/// Between two attempts to write to a store that cannot be reached.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Instruments streamed from one venue at most.
const STREAMED_MAX: usize = 1_000;

/// Candles that wait to be stored at most; with an unreachable store the oldest of each series are given up.
const CANDLES_WAITING_MAX: usize = 1_000;

/// How long 5-minute candles are stored.
const FIVE_MINUTES_KEPT: Duration = Duration::from_secs(35 * 86_400);

/// What the pipeline needs.
pub struct Pipeline {
    /// The board.
    pub board: Board,
    /// Makes the states.
    pub publisher: Publisher,
    /// Every feed's health.
    pub monitors: Vec<Arc<FeedMonitor>>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The shard written to.
    pub shard: ShardId,
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

/// What is under way at the store.
struct Writing {
    task: JoinHandle<Result<Revision, StoreError>>,
    keys: Vec<Key>,
}

/// When the periodic work is due.
struct Due {
    rates: Instant,
    universe: Instant,
    catalogue: Instant,
    lists: Instant,
    feeds: Instant,
}

struct Run {
    pipeline: Pipeline,
    epoch: Epoch,
    writing: Option<Writing>,
    archiving: Option<JoinHandle<Result<(), StoreError>>>,
    candles: BTreeMap<SeriesKey, Vec<Candle>>,
    /// How many candles are under way to the store.
    archiving_count: usize,
    gone: BTreeSet<Key>,
    retry: Jitter,
    retry_at: Option<Instant>,
    unavailable: bool,
    due: Due,
    instruments_changed: bool,
    lists_sent: u32,
}

impl Pipeline {
    /// Runs until `stop` (or until the feeds are gone), then writes and flushes what is left. Ends with [`CollectorError::Fenced`] when another
    /// writer has taken the shard over.
    pub async fn run(
        self,
        epoch: Epoch,
        mut intake: mpsc::Receiver<Intake>,
        stop: CancellationToken,
    ) -> Result<(), CollectorError> {
        let now = Instant::now();
        let mut tick = tokio::time::interval(self.publish_interval.max(Duration::from_millis(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut run = Run {
            retry: Jitter::new(self.seed, RETRY_MIN, RETRY_MAX),
            pipeline: self,
            epoch,
            writing: None,
            archiving: None,
            candles: BTreeMap::new(),
            archiving_count: 0,
            gone: BTreeSet::new(),
            retry_at: None,
            unavailable: false,
            due: Due { rates: now, universe: now, catalogue: now, lists: now, feeds: now },
            instruments_changed: true,
            lists_sent: 0,
        };
        let mut messages = Vec::with_capacity(MESSAGES_MAX);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                count = intake.recv_many(&mut messages, MESSAGES_MAX) => {
                    if count == 0 {
                        break;
                    }
                    let now = run.pipeline.clock.now();
                    for message in messages.drain(..) {
                        run.pipeline.board.take(message, run.pipeline.publisher.rates(), now);
                    }
                }
                _ = tick.tick() => run.tick(),
                written = finished(run.writing.as_mut().map(|writing| &mut writing.task)) => run.written(written)?,
                archived = finished(run.archiving.as_mut()) => run.archived(archived),
            }
        }
        run.finish().await
    }
}

/// Waits for a task, or for ever when there is none.
async fn finished<T>(task: Option<&mut JoinHandle<Result<T, StoreError>>>) -> Result<T, StoreError> {
    match task {
        Some(task) => task.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the write was cut off".to_owned()))),
        None => std::future::pending().await,
    }
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
fn take_due(due: &mut Instant, now: Instant, interval: Duration) -> bool {
    let is_due = now >= *due;
    if is_due {
        *due = now + interval;
    }
    is_due
}

impl Run {
    /// Periodic work, and a batch when none is under way.
    fn tick(&mut self) {
        let instant = Instant::now();
        let now = self.pipeline.clock.now();
        if take_due(&mut self.due.universe, instant, UNIVERSE_INTERVAL) {
            let gone = self.pipeline.board.retrack();
            self.gone.extend(gone);
        }
        let changed = self.pipeline.board.take_instruments_changed();
        self.instruments_changed |= changed;
        if take_due(&mut self.due.rates, instant, RATES_INTERVAL) || changed {
            self.pipeline.publisher.refresh_rates(&self.pipeline.board, changed, now);
        }
        let lists_interval = if self.lists_sent < LISTS_FIRST { LISTS_INTERVAL_FIRST } else { LISTS_INTERVAL };
        if self.instruments_changed && take_due(&mut self.due.lists, instant, lists_interval) {
            self.instruments_changed = false;
            self.send_lists();
        }
        self.collect_candles();
        self.archive();
        if self.writing.is_none() && self.retry_at.is_none_or(|at| at <= instant) {
            self.retry_at = None;
            let batch = self.batch(instant);
            self.write(batch);
        }
    }

    /// Everything that is due now.
    fn batch(&mut self, instant: Instant) -> Vec<Update> {
        let Pipeline { board, publisher, monitors, clock, .. } = &mut self.pipeline;
        let now = clock.now();
        let mut batch: Vec<Update> = std::mem::take(&mut self.gone)
            .into_iter()
            .filter(|key| !asset_of(key).is_some_and(|code| board.assets().contains_key(code)))
            .map(|key| (key, None))
            .collect();
        batch.extend(publisher.snapshots(board, now));
        batch.extend(board.long_short_updates(now));
        if take_due(&mut self.due.catalogue, instant, CATALOGUE_INTERVAL) {
            batch.extend(publisher.asset_infos(board, now));
        }
        if take_due(&mut self.due.feeds, instant, FEEDS_INTERVAL) {
            batch.extend(monitors.iter().filter_map(|monitor| monitor.news()).map(|(key, state)| (key, Some(state))));
        }
        batch
    }

    fn write(&mut self, batch: Vec<Update>) {
        if batch.is_empty() {
            return;
        }
        let keys = batch.iter().map(|(key, _)| key.clone()).collect();
        let (store, shard, epoch) = (Arc::clone(&self.pipeline.store), self.pipeline.shard, self.epoch);
        let task = tokio::spawn(async move { store.write(shard, epoch, batch).await });
        self.writing = Some(Writing { task, keys });
    }

    fn written(&mut self, outcome: Result<Revision, StoreError>) -> Result<(), CollectorError> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        match outcome {
            Ok(_) => {
                if std::mem::take(&mut self.unavailable) {
                    info!("store is back");
                }
                self.retry.reset();
                if self.pipeline.publisher.is_behind() || self.pipeline.board.long_short_book().is_behind() {
                    let batch = self.batch(Instant::now());
                    self.write(batch);
                }
                Ok(())
            }
            Err(StoreError::Fenced { epoch, holder }) => Err(CollectorError::Fenced { epoch, holder }),
            Err(error) => {
                // What was in the batch is made again, as it is by then.
                forget(&mut self.pipeline.board, &writing.keys);
                for monitor in &self.pipeline.monitors {
                    monitor.forget_published();
                }
                let assets = self.pipeline.board.assets();
                self.gone.extend(
                    writing.keys.into_iter().filter(|key| asset_of(key).is_some_and(|code| !assets.contains_key(code))),
                );
                self.retry_at = Some(Instant::now() + self.retry.next_wait());
                if !std::mem::replace(&mut self.unavailable, true) {
                    warn!(%error, "store not writable, retrying");
                }
                Ok(())
            }
        }
    }

    /// Tells the streams and the histories what there is now.
    fn send_lists(&mut self) {
        let board = &self.pipeline.board;
        for (wanted, sender) in board.stream_instruments(STREAMED_MAX).into_iter().zip(&self.pipeline.streams) {
            let Some(sender) = sender.as_ref().filter(|_| !wanted.is_empty()) else { continue };
            sender.send_if_modified(|held| {
                let same = held.len() == wanted.len() && wanted.iter().all(|one| held.contains(one));
                if !same {
                    *held = wanted.into();
                }
                !same
            });
        }
        let targets: Arc<[Target]> = board
            .by_importance()
            .into_iter()
            .map(|asset| Target { instruments: board.candle_instruments(&asset, PREFERENCE), asset })
            .collect();
        self.lists_sent = self.lists_sent.saturating_add(u32::from(!targets.is_empty()));
        self.pipeline.targets.send_if_modified(|held| {
            let changed = *held != targets;
            *held = targets;
            changed
        });
    }

    fn collect_candles(&mut self) {
        for (code, interval, candle) in self.pipeline.board.take_to_store() {
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
        if self.archiving.is_some() {
            return;
        }
        let points = self.pipeline.board.long_short_book().take_points();
        if self.candles.is_empty() && points.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.candles);
        self.archiving_count = waiting.values().map(Vec::len).sum();
        let store = Arc::clone(&self.pipeline.store);
        let now = self.pipeline.clock.now();
        self.archiving = Some(tokio::spawn(async move {
            for (series, candles) in &waiting {
                store.put_candles(series, candles).await?;
                let five_minutes = crate::domain::series::SeriesKind::Candles(CandleInterval::FiveMinutes);
                let new_day = candles.iter().any(|candle| candle.start == candle.start.day_start());
                if series.kind == five_minutes && new_day {
                    store.trim_series(series, now - FIVE_MINUTES_KEPT).await?;
                }
            }
            long_short::store_points(store.as_ref(), &points, now).await?;
            store.flush().await
        }));
    }

    fn archived(&mut self, outcome: Result<(), StoreError>) {
        self.archiving = None;
        self.archiving_count = 0;
        self.tell_backlog();
        if let Err(error) = outcome {
            // The running candles are stored again in 5 minutes at the latest, and the venues have the others.
            warn!(%error, "history not stored");
        }
    }

    /// Writes what is left: the last batch and the candles that were being made.
    async fn finish(mut self) -> Result<(), CollectorError> {
        if self.writing.is_some() {
            let written = finished(self.writing.as_mut().map(|writing| &mut writing.task)).await;
            self.written(written)?;
        }
        let mut batch = self.batch(Instant::now());
        batch.extend(
            self.pipeline.monitors.iter().filter_map(|monitor| monitor.news()).map(|(key, state)| (key, Some(state))),
        );
        if !batch.is_empty() {
            self.write(batch);
            let written = finished(self.writing.as_mut().map(|writing| &mut writing.task)).await;
            self.written(written)?;
        }
        if self.archiving.is_some() {
            let archived = finished(self.archiving.as_mut()).await;
            self.archived(archived);
        }
        self.collect_candles();
        for (code, interval, candle) in self.pipeline.board.open_candles() {
            self.candles.entry(series_key(&code, interval)).or_default().push(candle);
        }
        let points = self.pipeline.board.long_short_book().take_points();
        let (store, now) = (self.pipeline.store.as_ref(), self.pipeline.clock.now());
        long_short::store_points(store, &points, now).await.map_err(CollectorError::Store)?;
        for (series, candles) in &self.candles {
            self.pipeline.store.put_candles(series, candles).await.map_err(CollectorError::Store)?;
        }
        self.pipeline.store.flush().await.map_err(CollectorError::Store)
    }
}
