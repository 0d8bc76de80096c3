//! Backfill on request: stores the daily, hourly and 5-minute history of selected assets, and the daily history of
//! indices. Ranges that are already stored are not requested again.

use std::sync::Arc;
use std::time::Duration;

use smol_str::{SmolStr, ToSmolStr};

use crate::error::CollectorError;
use crate::history::candles::{fetch_candles, first_gap, pace};
use crate::history::closes::{self, FillProgress};
use crate::history::filler::HistoryFiller;
use crate::indices::source::{IndexSourceLink, place_of};
use crate::links::links;
use crate::settings::CollectorSettings;
use crate::transport::feed_health::FeedMonitor;
use crate::transport::venue_link::VenueLink;
use crossmarket_clock::Clock;
use crossmarket_domain::index::Subject;
use crossmarket_domain::series::{SeriesKey, SeriesKind};
use crossmarket_domain::time::DAY;
use crossmarket_domain::{AssetCode, CandleInterval, Feed, Instrument, Timestamp, VenueId};
use crossmarket_store::Store;

/// Quote assets whose candles are requested, best first.
const QUOTES: [&str; 3] = ["USD", "USDT", "USDC"];

/// Limits for the shorter intervals: they have many candles, and no figure needs more.
const HOURLY_SPAN: Duration = DAY.saturating_mul(90);
const FIVE_MINUTES_SPAN: Duration = DAY.saturating_mul(2);

/// Candles per request, so that progress is visible and an interrupted run loses little.
const CHUNK: u32 = 1_000;

/// Progress of a backfill.
#[derive(Clone, Debug, PartialEq)]
pub struct BackfillProgress {
    /// Series finished so far, out of `series_count`.
    pub series_done: usize,
    /// Three per asset, one per index.
    pub series_count: usize,
    pub subject: Subject,
    pub interval: CandleInterval,
    /// Candles of this series stored by this run so far.
    pub candle_count: usize,
    /// End of the stored history; `None` while unknown.
    pub covered_until: Option<Timestamp>,
    /// The venue that answered.
    pub venue: Option<VenueId>,
    /// Why nothing was fetched.
    pub error: Option<SmolStr>,
}

/// Fetches history for `subjects`, each with the ticker by which venues know it, from `since` (never later than now) and stores it in US dollars. A dollar stablecoin
/// counts as one dollar. Assets come from the venues that have candles, exchange-traded indices from their sources.
/// Stored ranges are skipped, so an interrupted run can be resumed. An asset that no venue has does not stop the
/// others; it is reported to `progress`. Returns the store's error, if any.
pub async fn backfill(
    settings: CollectorSettings,
    store: Arc<dyn Store>,
    clock: Clock,
    since: Timestamp,
    subjects: &[(Subject, AssetCode)],
    progress: impl Fn(BackfillProgress),
) -> Result<(), CollectorError> {
    let all = links(&settings, clock)?;
    let having = |feed: Feed| {
        let usable = all
            .iter()
            .zip(&settings.venues)
            .filter(move |(link, venue)| venue.is_usable() && link.venue.profile().feed(feed).is_some());
        usable.map(|(link, _)| link.clone())
    };
    let mut links: Vec<VenueLink> = having(Feed::Candles).collect();
    let mut sources: Vec<IndexSourceLink> = having(Feed::IndexLevels)
        .map(|link| IndexSourceLink { monitor: Arc::new(monitor_of(&link, Feed::IndexLevels)), link })
        .collect();
    sources.sort_by_key(|source| place_of(source.link.venue.id()));
    let rank = |link: &VenueLink| link.venue.profile().feed(Feed::Candles).and_then(|profile| profile.rank);
    links.sort_by_key(|link| rank(link).unwrap_or(u8::MAX));
    let index_count = subjects.iter().filter(|(subject, _)| matches!(subject, Subject::Index(_))).count();
    let series_count = (subjects.len() - index_count) * CandleInterval::ALL.len() + index_count;
    let mut series_done = 0;
    for (subject, ticker) in subjects {
        if let Subject::Index(index) = subject {
            let told = |filled: FillProgress, series_done| BackfillProgress {
                series_done,
                series_count,
                subject: subject.clone(),
                interval: CandleInterval::OneDay,
                candle_count: filled.close_count,
                covered_until: filled.covered_until,
                venue: filled.source.and_then(crossmarket_venues::find).map(|venue| venue.id()),
                error: filled.error,
            };
            let nobody = |_| std::future::ready(true);
            let piece = |filled| progress(told(filled, series_done));
            let filled = closes::fill(&sources, &*store, clock, index, since, settings.seed, nobody, piece);
            let filled = filled.await.map_err(CollectorError::Store)?;
            series_done += 1;
            progress(told(filled, series_done));
            continue;
        }
        for interval in [CandleInterval::OneDay, CandleInterval::OneHour, CandleInterval::FiveMinutes] {
            let told = BackfillProgress {
                series_done,
                series_count,
                subject: subject.clone(),
                interval,
                candle_count: 0,
                covered_until: None,
                venue: None,
                error: None,
            };
            let series = Series { store: &*store, links: &links, ticker, clock, since, seed: settings.seed };
            let mut last = series.fill(told, &progress).await?;
            series_done += 1;
            last.series_done = series_done;
            progress(last);
        }
    }
    store.flush().await.map_err(CollectorError::Store)
}

struct Series<'a> {
    store: &'a dyn Store,
    links: &'a [VenueLink],
    /// What the venues call the asset.
    ticker: &'a AssetCode,
    clock: Clock,
    since: Timestamp,
    seed: u64,
}

impl Series<'_> {
    async fn fill(
        &self,
        mut told: BackfillProgress,
        progress: &impl Fn(BackfillProgress),
    ) -> Result<BackfillProgress, CollectorError> {
        let now = self.clock.now();
        let interval = told.interval;
        let earliest = match interval {
            CandleInterval::OneDay => Timestamp::EPOCH,
            CandleInterval::OneHour => now - HOURLY_SPAN,
            CandleInterval::FiveMinutes => now - FIVE_MINUTES_SPAN,
        };
        let start = self.since.max(earliest).floor_to(interval.duration());
        let key = SeriesKey { subject: told.subject.series_subject(), kind: SeriesKind::Candles(interval) };
        let held = self.store.candles(&key, start, now).await.map_err(CollectorError::Store)?;
        let reaches_back = held.first().is_some_and(|first| first.start.since(start) <= interval.duration());
        let mut from = if reaches_back { first_gap(&held, interval) } else { start };
        let newest_wanted = now.floor_to(interval.duration());
        let Some((link, instrument)) = (if from >= newest_wanted { None } else { self.find(&mut told, from).await })
        else {
            told.covered_until = held.last().map(|last| last.start + interval.duration());
            return Ok(told);
        };
        told.venue = Some(link.venue.id());
        let monitor = monitor_of(link, Feed::Candles);
        let filler = HistoryFiller { link, monitor: &monitor, pace: pace(self.seed) };
        while from < newest_wanted {
            let until = (from + interval.duration() * CHUNK).min(now);
            let candles = match fetch_candles(filler, &instrument, interval, from, until).await {
                Ok(candles) => candles,
                Err(error) => {
                    told.error = Some(error.to_smolstr());
                    break;
                }
            };
            // The running candle is not history yet.
            let closed: Vec<_> = candles.into_iter().filter(|candle| candle.start < newest_wanted).collect();
            self.store.put_candles(&key, &closed).await.map_err(CollectorError::Store)?;
            told.candle_count += closed.len();
            told.covered_until = closed.last().map(|last| last.start + interval.duration()).or(told.covered_until);
            progress(told.clone());
            from = until;
        }
        Ok(told)
    }

    /// The first venue and instrument with candles in the newest part of the range.
    async fn find(&self, told: &mut BackfillProgress, from: Timestamp) -> Option<(&VenueLink, Instrument)> {
        let now = self.clock.now();
        let probe_from = from.max(now - told.interval.duration() * 3);
        for link in self.links {
            for instrument in QUOTES.iter().filter_map(|quote| link.venue.listing(self.ticker.as_str(), quote)) {
                let monitor = monitor_of(link, Feed::Candles);
                let filler = HistoryFiller { link, monitor: &monitor, pace: pace(self.seed) };
                match fetch_candles(filler, &instrument, told.interval, probe_from, now).await {
                    Ok(candles) if !candles.is_empty() => {
                        told.error = None;
                        return Some((link, instrument));
                    }
                    Ok(_) => {}
                    Err(error) => told.error = Some(error.to_smolstr()),
                }
            }
        }
        told.error.get_or_insert_with(|| "no venue has its candles".into());
        None
    }
}

pub(crate) fn monitor_of(link: &VenueLink, feed: Feed) -> FeedMonitor {
    let interval = Duration::from_secs(300);
    FeedMonitor::new(link.venue.id(), feed, interval, true, false, link.limiters.clone(), link.clock)
}
