//! Backfill of daily market caps: fetches the history from a market-cap listing, one asset at a time, and stores it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use smol_str::{SmolStr, ToSmolStr};

use crate::error::CollectorError;
use crate::history::filler::{HistoryFiller, Pace, PageRequest, SeriesSource, Span, Step};
use crate::history::import::monitor_of;
use crate::links::links;
use crate::settings::CollectorSettings;
use crate::settings::VenueSettings;
use crate::transport::venue_link::VenueLink;
use crossmarket_clock::Clock;
use crossmarket_domain::series::{Point, SeriesKey, SeriesKind};
use crossmarket_domain::time::DAY;
use crossmarket_domain::{AssetId, Decimal, Feed, Instrument, Observation, Payload, Timestamp, VenueId};
use crossmarket_store::{Store, StoreError};
use crossmarket_venues::{REGISTRY, RequestOptions, Venue};

/// The listing that offers market-cap history (one year of it).
pub fn listing() -> Option<VenueId> {
    let has_past = |venue: &&&dyn Venue| venue.profile().feed(Feed::MarketCaps).is_some_and(|feed| feed.has_history);
    REGISTRY.iter().find(has_past).map(|venue| venue.id())
}

/// How far back the listing goes without a paid key.
const SPAN: Duration = DAY.saturating_mul(364);

/// Time limit for the retries of one request.
const RETRY_SPAN: Duration = Duration::from_secs(60);

/// Progress for one asset.
#[derive(Clone, Debug, PartialEq)]
pub struct MarketCapProgress {
    pub asset: AssetId,
    /// Days stored by this run.
    pub day_count: usize,
    /// Why nothing was fetched.
    pub error: Option<SmolStr>,
}

/// Fetches the market caps of assets since `since`, each by its id at the listing, and stores those that the store
/// lacks. Values are those at the end of each UTC day; the current day has none. Reports each asset to `progress`.
pub async fn backfill_market_caps(
    settings: &CollectorSettings,
    store: Arc<dyn Store>,
    clock: Clock,
    since: Timestamp,
    assets: &[(AssetId, SmolStr)],
    progress: impl Fn(MarketCapProgress),
) -> Result<(), CollectorError> {
    let links = links(settings, clock)?;
    let usable = |(link, venue): &(VenueLink, &VenueSettings)| Some(link.venue.id()) == listing() && venue.is_usable();
    let Some((link, _)) = links.into_iter().zip(&settings.venues).find(usable) else { return Ok(()) };
    let monitor = monitor_of(&link, Feed::MarketCaps);
    let pace = Pace::Patient { seed: settings.seed, retry_for: RETRY_SPAN };
    let filler = HistoryFiller { link: &link, monitor: &monitor, pace };
    for (asset, id) in assets {
        let now = clock.now();
        let start = since.max(now - SPAN).day_start();
        let subject = crossmarket_domain::index::asset_subject(asset);
        let series = SeriesKey { subject, kind: SeriesKind::DailyMarketCap };
        let held = store.points(&series, start, now).await.map_err(CollectorError::Store)?;
        let held: BTreeMap<Timestamp, Decimal> = held.into_iter().map(|point| (point.time, point.value)).collect();
        let missing = days(start, now.day_start()).find(|day| !held.contains_key(day));
        let mut result = MarketCapProgress { asset: asset.clone(), day_count: 0, error: None };
        if let (Some(from), Some(instrument)) = (missing, link.venue.instrument(id)) {
            let mut series = MarketCaps { store: &*store, series, instrument, start, held, day_count: 0 };
            let filled = filler.fill(&mut series, vec![Span { start: from, end: now }]).await;
            result.error = filled.map_err(CollectorError::Store)?.err().map(|error| error.to_smolstr());
            result.day_count = series.day_count;
        }
        progress(result);
    }
    store.flush().await.map_err(CollectorError::Store)
}

struct MarketCaps<'a> {
    store: &'a dyn Store,
    series: SeriesKey,
    instrument: Instrument,
    start: Timestamp,
    held: BTreeMap<Timestamp, Decimal>,
    day_count: usize,
}

impl SeriesSource for MarketCaps<'_> {
    type Error = StoreError;

    fn requests(&self, venue: &dyn Venue, Span { start, end }: Span) -> Vec<PageRequest> {
        let options = RequestOptions { start: Some(start), end: Some(end), ..RequestOptions::default() };
        let requests = venue.requests(Feed::MarketCaps, std::slice::from_ref(&self.instrument), &options);
        requests.into_iter().map(|request| (vec![Feed::MarketCaps], request)).collect()
    }

    async fn accept(&mut self, _: Span, observations: Vec<Observation>) -> Result<Step, StoreError> {
        let points: Vec<Point> = observations
            .iter()
            .filter_map(|one| point(&one.payload, one.event_time?))
            .filter(|point| point.time >= self.start && !self.held.contains_key(&point.time))
            .collect();
        self.store.put_points(&self.series, &points).await?;
        self.day_count += points.len();
        Ok(Step::Next)
    }
}

/// The midnights from `from` (inclusive) to `until` (exclusive).
fn days(from: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
    std::iter::successors(Some(from), |day| Some(*day + DAY)).take_while(move |day| *day < until)
}

/// A value dated midnight is the end of the day before. Any other belongs to a day that has not ended.
fn point(payload: &Payload, time: Timestamp) -> Option<Point> {
    let Payload::MarketCap(row) = payload else { return None };
    (time == time.day_start()).then_some(())?;
    Some(Point { time: time - DAY, value: row.market_cap? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_domain::observation::MarketCap;

    #[test]
    fn a_point_at_midnight_is_the_end_of_the_day_before() {
        let at = |text| Timestamp::parse(text).expect("a time");
        let cap = |market_cap: Option<i64>| {
            Payload::MarketCap(Box::new(MarketCap {
                market_cap: market_cap.map(Decimal::from),
                ..MarketCap::default()
            }))
        };
        let found = point(&cap(Some(7)), at("2026-01-15T00:00:00Z"));
        assert_eq!(found, Some(Point { time: at("2026-01-14T00:00:00Z"), value: Decimal::from(7) }));
        assert_eq!(point(&cap(Some(7)), at("2026-01-15T20:00:00Z")), None, "the day goes on");
        assert_eq!(point(&cap(None), at("2026-01-15T00:00:00Z")), None, "no market cap");
        assert_eq!(days(at("2026-01-01T00:00:00Z"), at("2026-01-04T00:00:00Z")).count(), 3);
    }
}
