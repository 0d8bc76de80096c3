//! Daily histories in memory: closes and market caps of every asset and index as columns by day, so that comparisons over years, the
//! altcoin season of any date and cycles are computed without the store.
//!
//! A background task loads the store's content and checks for changes: days that close, hours at whose end a New York session closes, imports
//! and backfills. A value takes 8 bytes: 500 assets over 10 years with their market caps are 29 MB. Nothing else of them is kept.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use smol_str::SmolStr;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crossmarket_analytics::daily::{Daily, Day};
use crossmarket_clock::Clock;
use crossmarket_domain::index::Subject;
use crossmarket_domain::series::{SeriesKey, SeriesKind};
use crossmarket_domain::{CandleInterval, Timestamp, calendar};
use crossmarket_store::{SeriesInfo, Store, StoreError};

/// Maximum number of series; further ones are omitted, with a warning.
pub(crate) const SERIES_COUNT_MAX: usize = 20_000;

/// Interval of checks for changes: the first while there are changes, the second otherwise.
const LOOK_INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// How far back hourly candles are read for the closes of sessions.
const HOURLY_SPAN: Duration = Duration::from_secs(400 * 86_400);

/// How much is read again together with new values, because the newest candle may have been stored before it was complete.
const TAIL_SPAN: Duration = Duration::from_secs(3 * 86_400);

/// After midnight the day's last price reaches the store a moment later, under a number of candles that does not change.
const SETTLE_SPAN: Duration = Duration::from_secs(600);

/// After this time a series is read completely again, because an import may have replaced values without adding any: for daily series, and for
/// hourly ones.
const FULL_INTERVAL: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(6 * 3_600));

/// The fraction of the series that is read completely in one check, so that it is never all of them at once.
const FULL_SHARE: usize = 20;

/// The histories of one asset or index. The current day is never included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Closes: of UTC days, or of sessions for exchange-traded indices, by date.
    pub closes: Daily,
    /// Market caps in US dollars at the end of UTC days.
    pub market_caps: Daily,
    /// Prices at the close of New York sessions, by date; from hourly candles, and only for assets that trade around the clock.
    pub session_closes: Daily,
}

/// The histories of all subjects.
#[derive(Debug)]
pub struct Histories {
    held: RwLock<HashMap<SmolStr, Arc<History>>>,
    loaded: AtomicBool,
    generation: watch::Sender<u64>,
}

impl Default for Histories {
    fn default() -> Self {
        Self { held: RwLock::default(), loaded: AtomicBool::new(false), generation: watch::Sender::new(0) }
    }
}

impl Histories {
    /// True once the store's content has been loaded.
    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// The histories of a subject.
    pub fn get(&self, subject: &Subject) -> Option<Arc<History>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).get(&subject.series_subject()).cloned()
    }

    /// All histories, by the subjects' names in the store.
    pub fn all(&self) -> Vec<(SmolStr, Arc<History>)> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.iter().map(|(subject, history)| (subject.clone(), Arc::clone(history))).collect()
    }

    /// The number of changes so far.
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Replaces the histories of some subjects, and marks the first load as done.
    pub fn put(&self, changed: impl IntoIterator<Item = (SmolStr, Arc<History>)>) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.extend(changed);
        drop(held);
        self.loaded.store(true, Ordering::Release);
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// The number of values; a missing day within a column counts as one.
    pub(crate) fn value_count(&self) -> usize {
        let span = |daily: &Daily| match (daily.first_day(), daily.last_day()) {
            (Some(first), Some(last)) => last.since(first).unsigned_abs() as usize + 1,
            _ => 0,
        };
        let of = |(_, history): &(SmolStr, Arc<History>)| {
            span(&history.closes) + span(&history.market_caps) + span(&history.session_closes)
        };
        self.all().iter().map(of).sum()
    }
}

/// Keeps histories up to date with the store until cancelled, retrying after store errors.
pub async fn keep(histories: Arc<Histories>, store: Arc<dyn Store>, clock: Clock, cancel: CancellationToken) {
    cancel.run_until_cancelled_owned(keep_for_ever(&histories, store.as_ref(), clock)).await;
}

async fn keep_for_ever(histories: &Histories, store: &dyn Store, clock: Clock) {
    let mut loader = Loader::default();
    let mut pause = LOOK_INTERVAL.0;
    let mut failing = false;
    loop {
        let first = !histories.is_loaded();
        match loader.look(histories, store, clock.now()).await {
            Ok(changed) => {
                failing = false;
                if first || changed > 0 {
                    let values = histories.value_count();
                    info!(series = loader.known.len(), changed, values, "histories loaded");
                }
                pause = if changed > 0 { LOOK_INTERVAL.0 } else { (pause * 2).min(LOOK_INTERVAL.1) };
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    warn!(%error, "histories cannot be read, going on with those in memory");
                }
                pause = LOOK_INTERVAL.1;
            }
        }
        // The demo's days may be shorter than that.
        tokio::time::sleep(pause.min(clock.real(Duration::from_secs(900))).max(Duration::from_millis(200))).await;
    }
}

/// What has been read of a series.
#[derive(Clone, Copy)]
struct Read {
    count: u64,
    first: Timestamp,
    last: Timestamp,
    whole_at: Instant,
}

/// How much of a series to read.
#[derive(Clone, Copy, PartialEq)]
enum Extent {
    /// New values only, where they can be determined.
    News,
    /// The whole series.
    Whole,
}

#[derive(Default)]
struct Loader {
    known: HashMap<SeriesKey, Read>,
    warned: bool,
}

impl Loader {
    /// Reads changes. Returns the number of changed series.
    async fn look(&mut self, histories: &Histories, store: &dyn Store, now: Timestamp) -> Result<usize, StoreError> {
        let mut changed: HashMap<SmolStr, Arc<History>> = HashMap::new();
        let mut series_count = 0;
        let overdue = self.overdue();
        for info in store.series().await? {
            let wanted = matches!(
                info.key.kind,
                SeriesKind::DailyMarketCap | SeriesKind::Candles(CandleInterval::OneDay | CandleInterval::OneHour)
            );
            let extent = if overdue.contains(&info.key) { Extent::Whole } else { Extent::News };
            if !wanted || info.count == 0 || (extent == Extent::News && !self.is_news(&info, now)) {
                continue;
            }
            if !self.known.contains_key(&info.key) && self.known.len() >= SERIES_COUNT_MAX {
                if !std::mem::replace(&mut self.warned, true) {
                    warn!(series = SERIES_COUNT_MAX, "too many histories, the rest is left out");
                }
                continue;
            }
            let subject = info.key.subject.clone();
            let held = changed
                .remove(&subject)
                .or_else(|| Subject::of_series(&subject).and_then(|subject| histories.get(&subject)));
            let before = held.unwrap_or_default();
            let mut history = Arc::clone(&before);
            self.read(Arc::make_mut(&mut history), store, &info, extent, now).await?;
            let is_other = history != before;
            series_count += usize::from(is_other);
            // Keep what an earlier series of the same subject has changed.
            if is_other || !is_held(histories, &subject, &before) {
                changed.insert(subject, history);
            }
        }
        if series_count > 0 || !histories.is_loaded() {
            histories.put(changed);
        }
        Ok(series_count)
    }

    fn is_news(&self, info: &SeriesInfo, now: Timestamp) -> bool {
        let Some(read) = self.known.get(&info.key) else { return true };
        let settling = info.key.kind == SeriesKind::Candles(CandleInterval::OneDay)
            && now.since(now.day_start()) < SETTLE_SPAN
            && now.since(info.last) < TAIL_SPAN;
        (read.count, read.first, read.last) != (info.count, info.first, info.last) || settling
    }

    /// The series due for a complete read in this check, the oldest first.
    fn overdue(&self) -> HashSet<SeriesKey> {
        let interval = |key: &SeriesKey| match key.kind {
            SeriesKind::Candles(CandleInterval::OneHour) => FULL_INTERVAL.1,
            _ => FULL_INTERVAL.0,
        };
        let is_due = |(key, read): &(&SeriesKey, &Read)| read.whole_at.elapsed() > interval(key);
        let mut due: Vec<(&SeriesKey, &Read)> = self.known.iter().filter(is_due).collect();
        due.sort_by_key(|(_, read)| read.whole_at);
        due.truncate(self.known.len().div_ceil(FULL_SHARE));
        due.into_iter().map(|(key, _)| key.clone()).collect()
    }

    async fn read(
        &mut self,
        history: &mut History,
        store: &dyn Store,
        info: &SeriesInfo,
        extent: Extent,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let before = self.known.get(&info.key).copied().filter(|_| extent == Extent::News);
        // New values are at the end, unless an import or a backfill added days before or in between.
        let tail_from = before
            .filter(|read| (read.first == info.first && is_appended(read, info)) || is_trimmed(read, info))
            .map(|read| (read.last - TAIL_SPAN).max(info.first));
        let from = tail_from.unwrap_or(info.first);
        let until = info.last + Duration::from_secs(1);
        let column = match &info.key.kind {
            SeriesKind::DailyMarketCap => {
                let points = store.points(&info.key, from, until).await?;
                let values = points.iter().map(|point| (Day::of(point.time), point.value.to_f64()));
                let ended = values.filter(|(day, _)| day.end() <= now).collect();
                (&mut history.market_caps, ended)
            }
            SeriesKind::Candles(CandleInterval::OneHour) => {
                let from = from.max(now - HOURLY_SPAN);
                let candles = store.candles(&info.key, from, until).await?;
                let ends = candles
                    .iter()
                    .map(|candle| (candle.start + CandleInterval::OneHour.duration(), candle.close.to_f64()));
                let closes = ends.filter(|(end, _)| *end <= now);
                (
                    &mut history.session_closes,
                    closes.filter_map(|(end, close)| Some((session_closed(end)?, close))).collect(),
                )
            }
            _ => {
                let candles = store.candles(&info.key, from, until).await?;
                let by_session = matches!(Subject::parse(&info.key.subject), Some(Subject::Index(code)) if code.kind().is_exchange_traded());
                let closes = candles.iter().map(|candle| (Day::of(candle.start), candle.close.to_f64()));
                let is_over = |day: Day| match by_session {
                    true => calendar::session_of_day(day.start()).is_none_or(|session| session.close <= now),
                    false => day.end() <= now,
                };
                (&mut history.closes, closes.filter(|(day, _)| is_over(*day)).collect::<Vec<_>>())
            }
        };
        let (column, values): (&mut Daily, Vec<(Day, f64)>) = column;
        match tail_from {
            Some(_) if !column.is_empty() => values.into_iter().for_each(|(day, value)| column.set(day, value)),
            _ => *column = Daily::new(values),
        }
        let whole_at = before.filter(|_| tail_from.is_some()).map_or_else(Instant::now, |read| read.whole_at);
        let read = Read { count: info.count, first: info.first, last: info.last, whole_at };
        self.known.insert(info.key.clone(), read);
        Ok(())
    }
}

/// Whether these are the current histories of a subject.
fn is_held(histories: &Histories, subject: &SmolStr, history: &Arc<History>) -> bool {
    let held = Subject::of_series(subject).and_then(|subject| histories.get(&subject));
    held.is_some_and(|held| Arc::ptr_eq(&held, history))
}

/// Whether only the oldest hours were dropped, as happens daily: nothing is lost, and other changes are found in the next complete read.
fn is_trimmed(read: &Read, info: &SeriesInfo) -> bool {
    info.key.kind == SeriesKind::Candles(CandleInterval::OneHour) && info.first > read.first && info.first <= read.last
}

/// Whether all new values can be after those read: otherwise there would be more points.
fn is_appended(read: &Read, info: &SeriesInfo) -> bool {
    let SeriesKind::Candles(interval) = info.key.kind else { return false };
    let added = info.count.saturating_sub(read.count);
    info.count >= read.count && added <= info.last.since(read.last).as_secs().div_ceil(interval.duration().as_secs())
}

/// The date of the New York session that closes at that time.
fn session_closed(end: Timestamp) -> Option<Day> {
    /// Sessions have closed at 13:00, 14:00 and 16:00 New York time, four or five hours behind UTC.
    const HOURS: std::ops::RangeInclusive<i8> = 17..=21;
    if !HOURS.contains(&end.civil().hour()) {
        return None;
    }
    calendar::session_of_day(end.day_start()).filter(|session| session.close == end).map(|_| Day::of(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_domain::{Candle, Decimal};
    use crossmarket_store::EmbeddedStore;

    const DAY: Duration = Duration::from_secs(86_400);

    fn now() -> Timestamp {
        Timestamp::from_date(2026, 1, 15).expect("a date") + DAY / 2
    }

    fn key(subject: &str) -> SeriesKey {
        let subject = crossmarket_domain::index::asset_subject(&crate::testing::id(subject));
        SeriesKey { subject, kind: SeriesKind::Candles(CandleInterval::OneDay) }
    }

    /// A day's candle, so many days before now.
    fn close(days_ago: u32, level: i64) -> Candle {
        let price = Decimal::from(level);
        Candle {
            start: now().day_start() - DAY * days_ago,
            open: price,
            high: price,
            low: price,
            close: price,
            base_volume: None,
            quote_volume: None,
        }
    }

    fn closes(histories: &Histories, asset: &str) -> Vec<f64> {
        let subject = Subject::Asset(crate::testing::id(asset));
        histories
            .get(&subject)
            .map(|history| history.closes.iter().map(|(_, close)| close).collect())
            .unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn values_that_are_replaced_are_noticed_and_what_stays_is_not_told_of() {
        let (store, histories, mut loader) =
            (EmbeddedStore::in_memory().expect("a store"), Histories::default(), Loader::default());
        let assets: Vec<String> = (0..30).map(|number| format!("A{number}")).collect();
        for asset in &assets {
            store
                .put_candles(&key(asset), &[close(30, 1), close(29, 2), close(1, 3), close(0, 9)])
                .await
                .expect("stored");
        }
        assert_eq!(loader.look(&histories, &store, now()).await.expect("read"), assets.len());
        assert_eq!(closes(&histories, "A7"), [1.0, 2.0, 3.0], "the day that goes on has no close");

        // As many days as before, and the same first and last one.
        store.put_candles(&key("A7"), &[close(29, 4)]).await.expect("stored");
        let generation = *histories.generation().borrow();
        assert_eq!(loader.look(&histories, &store, now()).await.expect("read"), 0);
        let mut changes = Vec::new();
        for _ in 0..40 {
            tokio::time::advance(LOOK_INTERVAL.1).await;
            changes.push(loader.look(&histories, &store, now()).await.expect("read"));
        }
        assert_eq!(closes(&histories, "A7"), [1.0, 4.0, 3.0]);
        assert_eq!(changes.iter().sum::<usize>(), 1, "the one series that is other than it was: {changes:?}");
        assert_eq!(*histories.generation().borrow(), generation + 1);
    }

    #[tokio::test]
    async fn days_that_are_added_anywhere_are_read_at_once() {
        let (store, histories, mut loader) =
            (EmbeddedStore::in_memory().expect("a store"), Histories::default(), Loader::default());
        store.put_candles(&key("BTC"), &[close(20, 1), close(10, 2)]).await.expect("stored");
        assert_eq!(loader.look(&histories, &store, now()).await.expect("read"), 1);
        for (candle, expected) in [
            (close(1, 5), vec![1.0, 2.0, 5.0]),
            (close(15, 6), vec![1.0, 6.0, 2.0, 5.0]),
            (close(40, 7), vec![7.0, 1.0, 6.0, 2.0, 5.0]),
        ] {
            store.put_candles(&key("BTC"), &[candle]).await.expect("stored");
            assert_eq!(loader.look(&histories, &store, now()).await.expect("read"), 1);
            assert_eq!(closes(&histories, "BTC"), expected);
        }
    }
}
