//! The one task that knows what every source has said last: compares them, tells the news, and stores closes as they come.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::closes::{candle, daily_series, differs_by_factor};
use super::{EquityCollector, IndexSourceLink, LOOK_INTERVAL, RECENT_SPAN, indices, listed};
use crate::index_news::{EquityLevel, IndexNews, UsedLevel};
use crate::intake::{Intake, Observed};
use crossmarket_analytics::index_sources::{LEVEL_AGE_MAX, Reading, Source, resolve};
use crossmarket_analytics::plausibility;
use crossmarket_clock::Clock;
use crossmarket_domain::calendar::{day_start, new_york_civil, session_of_day};
use crossmarket_domain::index::IndexCode;
use crossmarket_domain::observation::IndexLevel;
use crossmarket_domain::{Candle, Decimal, Payload, Timestamp, TraceContext};
use crossmarket_store::Store;

/// Closes of a source that are kept for comparison.
const CLOSES_MAX: usize = 10;

/// What is known of all indices.
pub(super) struct Desk {
    sources: Vec<IndexSourceLink>,
    books: BTreeMap<IndexCode, Book>,
    store: Arc<dyn Store>,
    clock: Clock,
    news: mpsc::Sender<IndexNews>,
    rebased: mpsc::Sender<IndexCode>,
}

/// What is known of one index.
struct Book {
    /// By place among the collector's sources; `None` where the source has not got it.
    sides: Vec<Option<Source>>,
    /// The latest closes that are stored.
    stored: BTreeMap<Timestamp, Decimal>,
    told: Option<EquityLevel>,
}

impl Desk {
    pub fn new(collector: &EquityCollector, rebased: mpsc::Sender<IndexCode>) -> Self {
        let side = |source: &IndexSourceLink, index: &IndexCode| {
            let instrument = listed(source, index)?;
            let venue = source.link.venue.id().as_str();
            Some(Source { venue, venue_symbol: instrument.symbol, reading: None, closes: BTreeMap::new() })
        };
        let book = |index: IndexCode| {
            let sides = collector.sources.iter().map(|source| side(source, &index)).collect();
            (index, Book { sides, stored: BTreeMap::new(), told: None })
        };
        Self {
            sources: collector.sources.clone(),
            books: indices().map(book).collect(),
            store: Arc::clone(&collector.store),
            clock: collector.clock,
            news: collector.news.clone(),
            rebased,
        }
    }

    /// Takes what is heard until nobody is left who says or listens.
    pub async fn run(mut self, mut heard: mpsc::Receiver<Intake>) {
        let mut tick = tokio::time::interval(self.clock.real(LOOK_INTERVAL).max(std::time::Duration::from_millis(50)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.load().await;
        loop {
            let listened = tokio::select! {
                message = heard.recv() => match message {
                    Some(Intake::Observed(observed)) => self.hear(observed).await,
                    Some(_) => true,
                    None => return,
                },
                _ = tick.tick() => self.tell_all().await,
            };
            if !listened {
                return;
            }
        }
    }

    /// The latest closes that are stored, so that they are not stored again.
    async fn load(&mut self) {
        let now = self.clock.now();
        for (index, book) in &mut self.books {
            match self.store.candles(&daily_series(index), now - RECENT_SPAN, now).await {
                Ok(candles) => book.stored = candles.iter().map(|candle| (candle.start, candle.close)).collect(),
                Err(error) => tracing::warn!(%index, %error, "stored history not readable"),
            }
        }
    }

    /// Takes one answer. False when nobody listens any more.
    async fn hear(&mut self, observed: Observed) -> bool {
        let Some(place) = self.sources.iter().position(|source| source.link.index == observed.venue_index) else {
            return true;
        };
        let Some(source) = self.sources.get(place) else { return true };
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
            let Some(side) = self.books.get_mut(&index).and_then(|book| book.sides.get_mut(place)?.as_mut()) else {
                continue;
            };
            let closes = touched.entry(index).or_default();
            if let Some(candle) = candle(level, observed.receive_time) {
                side.closes.insert(candle.start, candle.close);
                while side.closes.len() > CLOSES_MAX {
                    side.closes.pop_first();
                }
                closes.push(candle);
            }
            let reading = reading(level, event_time, observed.receive_time);
            if side.reading.as_ref().is_none_or(|held| held.event_time <= reading.event_time) {
                side.reading = Some(reading);
            }
        }
        for (index, closes) in touched {
            self.put(place, &index, closes).await;
            if !self.tell(&index, observed.trace).await {
                return false;
            }
        }
        true
    }

    /// Stores the closes that are news, when the source is the one that is used.
    async fn put(&mut self, place: usize, index: &IndexCode, closes: Vec<Candle>) {
        let now = self.clock.now();
        let Some(book) = self.books.get_mut(index) else { return };
        let (used, _) = book.resolve(index, now);
        if used != Some(place) {
            return;
        }
        let oldest = now - RECENT_SPAN;
        let changed: Vec<Candle> = closes
            .into_iter()
            .filter(|close| close.start >= oldest && book.stored.get(&close.start) != Some(&close.close))
            .collect();
        let rebased =
            |close: &Candle| book.stored.get(&close.start).is_some_and(|held| differs_by_factor(*held, close.close));
        if changed.iter().any(rebased) {
            // Asked for anew as a whole; when a request for that waits already, it will do.
            let _ = self.rebased.try_send(index.clone());
        }
        if changed.is_empty() {
            return;
        }
        if let Err(error) = self.store.put_candles(&daily_series(index), &changed).await {
            tracing::warn!(%index, %error, "closes not stored");
            return;
        }
        book.stored.extend(changed.iter().map(|close| (close.start, close.close)));
        book.stored.retain(|day, _| *day >= oldest);
        let source = self.sources.get(place).map_or("", |source| source.link.venue.id().as_str());
        let _ = self.news.send(IndexNews::Stored { index: index.clone(), candles: changed, source }).await;
    }

    async fn tell_all(&mut self) -> bool {
        for index in self.books.keys().cloned().collect::<Vec<_>>() {
            if !self.tell(&index, None).await {
                return false;
            }
        }
        true
    }

    /// Tells what the sources say of an index when that has changed. False when nobody listens any more.
    async fn tell(&mut self, index: &IndexCode, trace: Option<TraceContext>) -> bool {
        let now = self.clock.now();
        let Some(book) = self.books.get_mut(index) else { return true };
        let (_, level) = book.resolve(index, now);
        if book.told.as_ref() == Some(&level) || (book.told.is_none() && level.used.is_none()) {
            return true;
        }
        book.told = Some(level.clone());
        self.news.send(IndexNews::Level { level: Box::new(level), trace }).await.is_ok()
    }
}

impl Book {
    /// The place of the source used among the collector's, and what is to be told.
    fn resolve(&self, index: &IndexCode, now: Timestamp) -> (Option<usize>, EquityLevel) {
        let (places, sources): (Vec<usize>, Vec<Source>) =
            self.sides.iter().enumerate().filter_map(|(place, side)| Some((place, side.clone()?))).unzip();
        let (used, told) = resolve(&sources, index.kind(), now);
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
        let place = used.and_then(|used| places.get(used).copied());
        (place, EquityLevel { index: index.clone(), used: used_level, sources: told })
    }
}

/// What a statement says: a close is of the end of its session, whatever time its source gives it.
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
