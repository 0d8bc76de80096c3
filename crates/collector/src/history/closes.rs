//! Daily histories of exchange-traded indices: fetches the closes that the store lacks.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use smol_str::{SmolStr, ToSmolStr};

use crate::history::filler::{HistoryFiller, Pace, PageRequest, SeriesSource, Span, Step};
use crate::indices::news::IndexNews;
use crate::indices::source::{IndexSourceLink, SETTLE, listed};
use crossmarket_clock::Clock;
use crossmarket_domain::calendar::{session_of_day, sessions_between};
use crossmarket_domain::index::IndexCode;
use crossmarket_domain::observation::IndexLevel;
use crossmarket_domain::series::{SeriesKey, SeriesKind};
use crossmarket_domain::time::DAY;
use crossmarket_domain::{Candle, CandleInterval, Decimal, Feed, Instrument, Observation, Payload, Timestamp};
use crossmarket_store::{Store, StoreError};
use crossmarket_venues::{RequestOptions, Venue, VenueError};

/// Range of one request. No source returns fewer rows per response.
const SPAN_OF_ONE_REQUEST: Duration = DAY.saturating_mul(5 * 365);

/// Time limit for the retries of one request.
const RETRY_SPAN: Duration = Duration::from_secs(30);

/// A close that differs from the stored close of the same day by more than this factor indicates a split: the source
/// has adjusted its whole history.
const REBASED_FACTOR: f64 = 1.2;

/// Overlap with the stored closes, so that a split shows.
const OVERLAP: Duration = DAY.saturating_mul(7);

/// Progress of filling one history.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FillProgress {
    /// Closes stored so far.
    pub close_count: usize,
    /// Newest stored session, as midnight UTC of its date.
    pub covered_until: Option<Timestamp>,
    /// The source that answered.
    pub source: Option<&'static str>,
    /// Why the source returned no more closes.
    pub error: Option<SmolStr>,
}

/// Key under which an index's daily candles are stored.
pub(crate) fn daily_series(index: &IndexCode) -> SeriesKey {
    SeriesKey { subject: index.as_str().into(), kind: SeriesKind::Candles(CandleInterval::OneDay) }
}

/// Stores the closes since `since` that the store lacks, from the first source (in order of preference) that returns
/// any. Skips running sessions, days without a session, and closes that are already stored. Reports each stored piece
/// to `news`, newest first. Returns the progress.
#[expect(clippy::too_many_arguments, reason = "the collector and the command line hold these separately")]
pub(crate) async fn fill<F: Future<Output = bool>>(
    sources: &[IndexSourceLink],
    store: &dyn Store,
    clock: Clock,
    index: &IndexCode,
    since: Timestamp,
    seed: u64,
    news: impl Fn(IndexNews) -> F,
    progress: impl Fn(FillProgress),
) -> Result<FillProgress, StoreError> {
    let now = clock.now();
    let series = daily_series(index);
    let held = store.candles(&series, since, now).await?;
    let mut held: BTreeMap<Timestamp, Candle> = held.into_iter().map(|candle| (candle.start, candle)).collect();
    let mut told =
        FillProgress { close_count: 0, covered_until: held.keys().next_back().copied(), source: None, error: None };
    let Some(mut from) = first_missing(&held, since, now) else {
        return Ok(told);
    };
    told.error = Some("no source has it".into());
    for source in sources {
        let Some(instrument) = listed(source, index) else { continue };
        told.source = Some(source.link.venue.id().as_str());
        told.error = None;
        let mut closes = Closes {
            store,
            source,
            index,
            instrument,
            series: &series,
            since,
            from,
            now,
            held: &mut held,
            any: false,
            told: &mut told,
            news: &news,
            progress: &progress,
        };
        let pace = Pace::Patient { seed, retry_for: RETRY_SPAN };
        let filler = HistoryFiller { link: &source.link, monitor: &source.monitor, pace };
        let filled = filler.fill(&mut closes, pieces(from, now)).await?;
        let any = closes.any;
        from = closes.from;
        match filled {
            // The newest piece is requested first, so a later refusal means that the range predates the source's data.
            Ok(()) | Err(VenueError::Rejected(_)) if any => break,
            Ok(()) => told.error = Some("the source returned no closes".into()),
            Err(error) => told.error = Some(error.to_smolstr()),
        }
        if any {
            break;
        }
    }
    if told.close_count > 0 {
        store.flush().await?;
    }
    Ok(told)
}

/// Where to begin: at `since` if the stored history begins later, otherwise shortly before the first missing session.
/// `None` if no session is missing.
fn first_missing(held: &BTreeMap<Timestamp, Candle>, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let over = |session: &crossmarket_domain::calendar::Session| session.close + SETTLE <= now;
    let mut wanted = sessions_between(since.civil().date(), now.civil().date()).filter(over);
    let missing = wanted.find(|session| !held.contains_key(&session.day_start()))?;
    Some((missing.day_start() - OVERLAP).max(since))
}

/// Splits the range into pieces of one request each, oldest first. The last piece is requested first and is the newest.
fn pieces(from: Timestamp, until: Timestamp) -> Vec<Span> {
    let mut pieces = Vec::new();
    let mut end = until;
    while end > from {
        let start = (end - SPAN_OF_ONE_REQUEST).max(from);
        pieces.push(Span { start: start.day_start(), end });
        end = start.day_start();
    }
    pieces.reverse();
    pieces
}

fn is_rebased<'a>(held: &BTreeMap<Timestamp, Candle>, mut closes: impl Iterator<Item = &'a Candle>) -> bool {
    closes.any(|close| held.get(&close.start).is_some_and(|stored| differs_by_factor(stored.close, close.close)))
}

/// True when two closes of the same day indicate a split between them.
pub(crate) fn differs_by_factor(stored: Decimal, told: Decimal) -> bool {
    let factor = told.to_f64() / stored.to_f64();
    !(1.0 / REBASED_FACTOR..=REBASED_FACTOR).contains(&factor)
}

/// The closes of one index at one source.
struct Closes<'a, N, P> {
    store: &'a dyn Store,
    source: &'a IndexSourceLink,
    index: &'a IndexCode,
    instrument: Instrument,
    series: &'a SeriesKey,
    since: Timestamp,
    from: Timestamp,
    now: Timestamp,
    held: &'a mut BTreeMap<Timestamp, Candle>,
    /// True once the source has returned a close.
    any: bool,
    told: &'a mut FillProgress,
    news: &'a N,
    progress: &'a P,
}

impl<N, P, F> SeriesSource for Closes<'_, N, P>
where
    N: Fn(IndexNews) -> F,
    F: Future<Output = bool>,
    P: Fn(FillProgress),
{
    type Error = StoreError;

    fn requests(&self, venue: &dyn Venue, Span { start, end }: Span) -> Vec<PageRequest> {
        let options = RequestOptions { start: Some(start), end: Some(end), ..RequestOptions::default() };
        let requests = venue.requests(Feed::IndexLevels, std::slice::from_ref(&self.instrument), &options);
        requests.into_iter().map(|request| (vec![Feed::IndexLevels], request)).collect()
    }

    async fn accept(&mut self, _: Span, observations: Vec<Observation>) -> Result<Step, StoreError> {
        let now = self.source.link.clock.now();
        let close = |observation: &Observation| match &observation.payload {
            Payload::IndexLevel(level) => candle(level, now).map(|close| (close.start, close)),
            _ => None,
        };
        let closes: BTreeMap<Timestamp, Candle> = observations.iter().filter_map(close).collect();
        self.any |= !closes.is_empty();
        if self.from > self.since && is_rebased(self.held, closes.values()) {
            tracing::warn!(index = %self.index, source = self.told.source, "closes differ from the stored ones by a factor, refetching the whole history");
            self.held.clear();
            self.from = self.since;
            return Ok(Step::Replace(pieces(self.from, self.now)));
        }
        let changed: Vec<Candle> =
            closes.into_values().filter(|close| self.held.get(&close.start) != Some(close)).collect();
        if changed.is_empty() {
            return Ok(Step::Next);
        }
        self.store.put_candles(self.series, &changed).await?;
        self.told.close_count += changed.len();
        self.told.covered_until = self.told.covered_until.max(changed.last().map(|close| close.start));
        (self.progress)(self.told.clone());
        self.held.extend(changed.iter().map(|close| (close.start, close.clone())));
        let source = self.source.link.venue.id().as_str();
        let stored = IndexNews::Stored { index: self.index.clone(), candles: changed, source };
        Ok(if (self.news)(stored).await { Step::Next } else { Step::End })
    }
}

/// Daily candle of a close. `None` if the level is not a close, if the day has no session, or if the session ended less
/// than [`SETTLE`] ago.
pub(crate) fn candle(level: &IndexLevel, now: Timestamp) -> Option<Candle> {
    let start = level.close_of?;
    let session = session_of_day(start)?;
    if session.close + SETTLE > now {
        return None;
    }
    let close = level.level;
    let open = level.open.unwrap_or(close);
    Some(Candle {
        start,
        open,
        high: level.high.unwrap_or(close).max(open).max(close),
        low: level.low.unwrap_or(close).min(open).min(close),
        close,
        base_volume: None,
        quote_volume: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Timestamp {
        Timestamp::parse(&format!("{text}T00:00:00Z")).expect("a date")
    }

    fn level(close_of: Option<&str>) -> IndexLevel {
        let number = |text| Decimal::parse(text).ok();
        IndexLevel {
            level: Decimal::from(10),
            open: number("11"),
            high: None,
            low: number("9"),
            previous_close: None,
            close_of: close_of.map(day),
        }
    }

    #[test]
    fn only_sessions_that_are_over_become_candles() {
        let now = Timestamp::parse("2026-01-15T21:05:00Z").expect("a time");
        assert_eq!(candle(&level(Some("2026-01-15")), now), None, "not settled");
        assert_eq!(candle(&level(Some("2026-01-17")), now), None, "a Saturday");
        assert_eq!(candle(&level(None), now), None, "no close");
        let held = candle(&level(Some("2026-01-14")), now).expect("a close");
        assert_eq!([held.open, held.high, held.low, held.close], [11, 11, 9, 10].map(Decimal::from));
        assert!(candle(&level(Some("2026-01-15")), now + SETTLE).is_some());
    }

    #[test]
    fn filling_begins_where_something_is_missing() {
        let now = Timestamp::parse("2026-01-15T18:00:00Z").expect("a time");
        let held = |days: &[&str]| {
            days.iter().filter_map(|text| Some((day(text), candle(&level(Some(text)), now)?))).collect()
        };
        let since = day("2026-01-05");
        let all = [
            "2026-01-05",
            "2026-01-06",
            "2026-01-07",
            "2026-01-08",
            "2026-01-09",
            "2026-01-12",
            "2026-01-13",
            "2026-01-14",
        ];
        assert_eq!(first_missing(&held(&all), since, now), None);
        assert_eq!(first_missing(&held(&all[1..]), since, now), Some(since));
        assert_eq!(first_missing(&held(&all[..7]), since, now), Some(day("2026-01-07")));
        assert_eq!(first_missing(&BTreeMap::new(), since, now), Some(since));
    }

    #[test]
    fn pieces_cover_the_range_the_newest_last() {
        let (from, until) = (day("1990-01-01"), Timestamp::parse("2026-01-15T18:00:00Z").expect("a time"));
        let pieces = pieces(from, until);
        assert_eq!((pieces[0].start, pieces[pieces.len() - 1].end), (from, until));
        assert!(pieces.windows(2).all(|pair| pair[0].end == pair[1].start), "{pieces:?}");
        assert!(super::pieces(until, until).is_empty());
    }

    #[test]
    fn a_split_shows() {
        let number = |text| Decimal::parse(text).expect("a number");
        assert!(differs_by_factor(number("250"), number("125")));
        assert!(differs_by_factor(number("25"), number("250")));
        assert!(!differs_by_factor(number("250"), number("249.2")));
    }
}
