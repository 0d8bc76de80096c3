//! Daily histories of exchange-traded indices: from the sources into the store, what is missing only.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use smol_str::{SmolStr, ToSmolStr};

use super::{IndexSourceLink, SETTLE, listed};
use crate::index_news::IndexNews;
use crossmarket_clock::Clock;
use crossmarket_domain::calendar::{session_of_day, sessions_between};
use crossmarket_domain::index::IndexCode;
use crossmarket_domain::observation::IndexLevel;
use crossmarket_domain::series::{SeriesKey, SeriesKind};
use crossmarket_domain::time::DAY;
use crossmarket_domain::{Candle, CandleInterval, Decimal, Feed, Instrument, Payload, Timestamp};
use crossmarket_store::{Store, StoreError};
use crossmarket_venues::{RequestOptions, VenueError};

/// Asked for at once: no source gives fewer rows in one answer.
const SPAN_OF_ONE_REQUEST: Duration = DAY.saturating_mul(5 * 365);

/// How long one request may be retried.
const RETRY_SPAN: Duration = Duration::from_secs(30);

/// A close that differs by more than this factor from what is stored of the same day tells of a split: the source has adjusted its whole past.
const REBASED_FACTOR: f64 = 1.2;

/// Days of which a source says more than is missing, so that a split shows.
const OVERLAP: Duration = DAY.saturating_mul(7);

/// How far the filling of one history has come.
#[derive(Clone, Debug, PartialEq)]
pub struct FillProgress {
    /// Closes stored so far.
    pub close_count: usize,
    /// The newest session that is stored, by the midnight UTC of its date.
    pub covered_until: Option<Timestamp>,
    /// The source that answers.
    pub source: Option<&'static str>,
    /// Why nothing more could be had of it.
    pub error: Option<SmolStr>,
}

/// Under what name an index's daily candles are stored.
pub fn daily_series(index: &IndexCode) -> SeriesKey {
    SeriesKey { subject: index.as_str().into(), kind: SeriesKind::Candles(CandleInterval::OneDay) }
}

/// Stores the closes since `since` that the store has not, from the first source (the preferred first) that gives any. Sessions that go on,
/// days without a session and what the store has stay out. What was stored is told to `news`, piece by piece, the newest first. Returns how far
/// it has come.
#[expect(clippy::too_many_arguments, reason = "the collector and the command line have these apart")]
pub async fn fill<F: Future<Output = bool>>(
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
        let mut pieces = pieces(from, now);
        let mut any = false;
        while let Some((start, end)) = pieces.pop() {
            let closes = match closes(source, &instrument, start, end, seed).await {
                Ok(closes) => closes,
                // The newest piece comes first: what is refused after it is older than the source knows.
                Err(VenueError::Rejected(_)) if any => break,
                Err(error) => {
                    told.error = Some(error.to_smolstr());
                    break;
                }
            };
            any |= !closes.is_empty();
            if from > since && is_rebased(&held, &closes) {
                tracing::warn!(%index, source = told.source, "closes differ from those stored by a factor: the whole history is asked for anew");
                held.clear();
                from = since;
                pieces = self::pieces(from, now);
                continue;
            }
            let changed: Vec<Candle> =
                closes.into_iter().filter(|close| held.get(&close.start) != Some(close)).collect();
            if changed.is_empty() {
                continue;
            }
            store.put_candles(&series, &changed).await?;
            told.close_count += changed.len();
            told.covered_until = told.covered_until.max(changed.last().map(|close| close.start));
            progress(told.clone());
            held.extend(changed.iter().map(|close| (close.start, close.clone())));
            let source = source.link.venue.id().as_str();
            if !news(IndexNews::Stored { index: index.clone(), candles: changed, source }).await {
                return Ok(told);
            }
        }
        if any {
            break;
        }
        told.error.get_or_insert_with(|| "no closes in its answers".into());
    }
    if told.close_count > 0 {
        store.flush().await?;
    }
    Ok(told)
}

/// Where to begin: at `since` when what is stored begins later, else a little before the first session that is missing. `None` when none is.
fn first_missing(held: &BTreeMap<Timestamp, Candle>, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let over = |session: &crossmarket_domain::calendar::Session| session.close + SETTLE <= now;
    let mut wanted = sessions_between(since.civil().date(), now.civil().date()).filter(over);
    let missing = wanted.find(|session| !held.contains_key(&session.day_start()))?;
    Some((missing.day_start() - OVERLAP).max(since))
}

/// The range in pieces of one request each, the oldest first, so that the last, which is asked for first, is the newest.
fn pieces(from: Timestamp, until: Timestamp) -> Vec<(Timestamp, Timestamp)> {
    let mut pieces = Vec::new();
    let mut end = until;
    while end > from {
        let start = (end - SPAN_OF_ONE_REQUEST).max(from);
        pieces.push((start.day_start(), end));
        end = start.day_start();
    }
    pieces.reverse();
    pieces
}

fn is_rebased(held: &BTreeMap<Timestamp, Candle>, closes: &[Candle]) -> bool {
    closes.iter().any(|close| held.get(&close.start).is_some_and(|stored| differs_by_factor(stored.close, close.close)))
}

/// Whether two closes of one day tell of a split between them.
pub(super) fn differs_by_factor(stored: Decimal, told: Decimal) -> bool {
    let factor = told.to_f64() / stored.to_f64();
    !(1.0 / REBASED_FACTOR..=REBASED_FACTOR).contains(&factor)
}

/// The closes of a range that a source gives, oldest first.
async fn closes(
    source: &IndexSourceLink,
    instrument: &Instrument,
    start: Timestamp,
    end: Timestamp,
    seed: u64,
) -> Result<Vec<Candle>, VenueError> {
    let options = RequestOptions { start: Some(start), end: Some(end), ..RequestOptions::default() };
    let mut closes = BTreeMap::new();
    for request in source.link.venue.requests(Feed::IndexLevels, std::slice::from_ref(instrument), &options) {
        source.monitor.requested();
        match source.link.ask_patiently(Feed::IndexLevels, &request, seed, RETRY_SPAN).await {
            Ok(parsed) => {
                source.monitor.succeeded(1, parsed.observations.len(), &parsed.unresolved);
                let now = source.link.clock.now();
                for observation in parsed.observations {
                    if let Err(reason) = crossmarket_analytics::plausibility::check(&observation, now, None) {
                        source.monitor.rejected(reason.as_str(), 1);
                    } else if let Payload::IndexLevel(level) = &observation.payload
                        && let Some(candle) = candle(level, now)
                    {
                        closes.insert(candle.start, candle);
                    }
                }
            }
            Err(error) => {
                // A range before the source's first day says nothing about the feed.
                if !matches!(error, VenueError::Rejected(_)) {
                    source.monitor.failed(&error);
                }
                return Err(error);
            }
        }
    }
    Ok(closes.into_values().collect())
}

/// The daily candle of a close; `None` for a level that is none, for a day without a session and for a session that is not long over.
pub(super) fn candle(level: &IndexLevel, now: Timestamp) -> Option<Candle> {
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
        assert_eq!((pieces[0].0, pieces[pieces.len() - 1].1), (from, until));
        assert!(pieces.windows(2).all(|pair| pair[0].1 == pair[1].0), "{pieces:?}");
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
