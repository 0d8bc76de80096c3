//! The task that holds the last level of every source: it compares them, publishes changes, and stores closes as they
//! arrive.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::event::{CollectorEvent, Observed};
use crate::history::closes::{candle, daily_series, differs_by_factor};
use crate::indices::news::{EquityLevel, IndexNews, UsedLevel};
use crate::indices::source::{IndexSourceLink, RECENT_SPAN, indices, listed};
use crossmarket_analytics::index_sources::{LEVEL_AGE_MAX, Reading, Source, resolve};
use crossmarket_analytics::plausibility;
use crossmarket_clock::Clock;
use crossmarket_domain::calendar::{day_start, new_york_civil, session_of_day};
use crossmarket_domain::index::IndexCode;
use crossmarket_domain::observation::IndexLevel;
use crossmarket_domain::{Candle, Decimal, Payload, Timestamp, TraceContext};
use crossmarket_store::Store;
use std::time::Duration;

/// How often the levels are re-evaluated while no source reports anything.
const LOOK_INTERVAL: Duration = Duration::from_secs(15);

/// Closes kept per source for comparison.
const CLOSES_MAX: usize = 10;

/// The state of all indices.
pub(super) struct LevelSelector {
    sources: Vec<IndexSourceLink>,
    readings: BTreeMap<IndexCode, IndexReadings>,
    store: Arc<dyn Store>,
    clock: Clock,
    news: mpsc::Sender<IndexNews>,
    rebased: mpsc::Sender<IndexCode>,
}

/// The state of one index.
struct IndexReadings {
    /// By slot in the collector's list of sources; `None` if the source does not offer the index.
    by_source: Vec<Option<Source>>,
    /// Latest stored closes.
    stored: BTreeMap<Timestamp, Decimal>,
    last_published: Option<EquityLevel>,
}

impl LevelSelector {
    pub(super) fn new(
        sources: Vec<IndexSourceLink>,
        store: Arc<dyn Store>,
        clock: Clock,
        news: mpsc::Sender<IndexNews>,
        rebased: mpsc::Sender<IndexCode>,
    ) -> Self {
        let at_source = |source: &IndexSourceLink, index: &IndexCode| {
            let instrument = listed(source, index)?;
            let venue = source.link.venue.id().as_str();
            Some(Source { venue, venue_symbol: instrument.symbol, reading: None, closes: BTreeMap::new() })
        };
        let index_readings = |index: IndexCode| {
            let by_source = sources.iter().map(|source| at_source(source, &index)).collect();
            (index, IndexReadings { by_source, stored: BTreeMap::new(), last_published: None })
        };
        Self { readings: indices().map(index_readings).collect(), sources, store, clock, news, rebased }
    }

    /// Processes levels until all senders, or the receiver of the news, are gone.
    pub(super) async fn run(mut self, mut levels: mpsc::Receiver<CollectorEvent>) {
        let mut tick = tokio::time::interval(self.clock.real(LOOK_INTERVAL).max(Duration::from_millis(50)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.load().await;
        loop {
            let listened = tokio::select! {
                message = levels.recv() => match message {
                    Some(CollectorEvent::Observed(observed)) => self.ingest(observed).await,
                    Some(_) => true,
                    None => return,
                },
                _ = tick.tick() => self.publish_all().await,
            };
            if !listened {
                return;
            }
        }
    }

    /// Loads the latest stored closes, so that they are not stored again.
    async fn load(&mut self) {
        let now = self.clock.now();
        for (index, index_readings) in &mut self.readings {
            match self.store.candles(&daily_series(index), now - RECENT_SPAN, now).await {
                Ok(candles) => {
                    index_readings.stored = candles.iter().map(|candle| (candle.start, candle.close)).collect()
                }
                Err(error) => tracing::warn!(%index, %error, "cannot read the stored history"),
            }
        }
    }

    /// Processes one response. False once the receivers are gone.
    async fn ingest(&mut self, observed: Observed) -> bool {
        let Some(slot) = self.sources.iter().position(|source| source.link.index == observed.venue_index) else {
            return true;
        };
        let Some(source) = self.sources.get(slot) else { return true };
        let mut touched: BTreeMap<IndexCode, Vec<Candle>> = BTreeMap::new();
        for observation in observed.observations {
            if let Err(reason) = plausibility::check(&observation, observed.receive_time, None) {
                source.monitor.rejected(reason.as_str(), 1);
                continue;
            }
            let (Payload::IndexLevel(level), Some(event_time)) = (&observation.payload, observation.event_time) else {
                continue;
            };
            let Some(index) = IndexCode::parse(&observation.instrument.base) else { continue };
            let Some(at_source) = self
                .readings
                .get_mut(&index)
                .and_then(|index_readings| index_readings.by_source.get_mut(slot)?.as_mut())
            else {
                continue;
            };
            let closes = touched.entry(index).or_default();
            if let Some(candle) = candle(level, observed.receive_time) {
                at_source.closes.insert(candle.start, candle.close);
                while at_source.closes.len() > CLOSES_MAX {
                    at_source.closes.pop_first();
                }
                closes.push(candle);
            }
            let reading = reading(level, event_time, observed.receive_time);
            if at_source.reading.as_ref().is_none_or(|held| held.event_time <= reading.event_time) {
                at_source.reading = Some(reading);
            }
        }
        for (index, closes) in touched {
            self.store_closes(slot, &index, closes).await;
            if !self.publish(&index, observed.trace).await {
                return false;
            }
        }
        true
    }

    /// Stores new closes, if they come from the source in use.
    async fn store_closes(&mut self, slot: usize, index: &IndexCode, closes: Vec<Candle>) {
        let now = self.clock.now();
        let Some(index_readings) = self.readings.get_mut(index) else { return };
        let (used, _) = index_readings.resolve(index, now);
        if used != Some(slot) {
            return;
        }
        let oldest = now - RECENT_SPAN;
        let changed: Vec<Candle> = closes
            .into_iter()
            .filter(|close| close.start >= oldest && index_readings.stored.get(&close.start) != Some(&close.close))
            .collect();
        let rebased = |close: &Candle| {
            index_readings.stored.get(&close.start).is_some_and(|held| differs_by_factor(*held, close.close))
        };
        if changed.iter().any(rebased) {
            // Refetch the whole history. If a request for that is already queued, it suffices.
            let _ = self.rebased.try_send(index.clone());
        }
        if changed.is_empty() {
            return;
        }
        if let Err(error) = self.store.put_candles(&daily_series(index), &changed).await {
            tracing::warn!(%index, %error, "cannot store closes");
            return;
        }
        index_readings.stored.extend(changed.iter().map(|close| (close.start, close.close)));
        index_readings.stored.retain(|day, _| *day >= oldest);
        let source = self.sources.get(slot).map_or("", |source| source.link.venue.id().as_str());
        let _ = self.news.send(IndexNews::Stored { index: index.clone(), candles: changed, source }).await;
    }

    async fn publish_all(&mut self) -> bool {
        for index in self.readings.keys().cloned().collect::<Vec<_>>() {
            if !self.publish(&index, None).await {
                return false;
            }
        }
        true
    }

    /// Publishes what the sources report for an index if it has changed. False once the receivers are gone.
    async fn publish(&mut self, index: &IndexCode, trace: Option<TraceContext>) -> bool {
        let now = self.clock.now();
        let Some(index_readings) = self.readings.get_mut(index) else { return true };
        let (_, level) = index_readings.resolve(index, now);
        if index_readings.last_published.as_ref() == Some(&level)
            || (index_readings.last_published.is_none() && level.used.is_none())
        {
            return true;
        }
        index_readings.last_published = Some(level.clone());
        self.news.send(IndexNews::Level { level: Box::new(level), trace }).await.is_ok()
    }
}

impl IndexReadings {
    /// Slot of the source in use, and the level to publish.
    fn resolve(&self, index: &IndexCode, now: Timestamp) -> (Option<usize>, EquityLevel) {
        let (places, sources): (Vec<usize>, Vec<Source>) =
            self.by_source.iter().enumerate().filter_map(|(slot, at_source)| Some((slot, at_source.clone()?))).unzip();
        let (used, last_published) = resolve(&sources, index.kind(), now);
        let source = used.and_then(|used| sources.get(used));
        let used_level =
            source.and_then(|source| Some((source.venue, source.reading.clone()?))).map(|(venue, reading)| UsedLevel {
                venue,
                level: reading.level,
                previous_close: reading.previous_close,
                event_time: reading.event_time,
                receive_time: reading.receive_time,
                budget: LEVEL_AGE_MAX,
            });
        let slot = used.and_then(|used| places.get(used).copied());
        (slot, EquityLevel { index: index.clone(), used: used_level, sources: last_published })
    }
}

/// Converts a reported level. A close is dated at the end of its session, whatever time its source gives it.
fn reading(level: &IndexLevel, event_time: Timestamp, receive_time: Timestamp) -> Reading {
    let day = level.close_of.unwrap_or_else(|| day_start(new_york_civil(event_time).date()));
    let session = level.close_of.and_then(session_of_day);
    Reading {
        day,
        level: level.level,
        previous_close: level.previous_close,
        event_time: session.map_or(event_time, |session| session.close),
        receive_time,
    }
}
