//! The history of one ratio, from the store.

use super::LongShort;
use crate::services::convert;
use crate::services::error::ServiceError;
use crate::services::paging::{self, PageSizes, Pages};
use crossmarket_api::v1;
use crossmarket_domain::index::asset_subject;
use crossmarket_domain::long_short::Shares;
use crossmarket_domain::series::{LongShortSeriesNames, Point, SeriesKey, SeriesKind};
use crossmarket_domain::{AssetId, Decimal, Period, Timestamp};
use crossmarket_image::LongShortSeries;

const PAGES: PageSizes = PageSizes { default: 1_000, max: 10_000 };

/// A request, checked.
struct HistoryQuery {
    asset: AssetId,
    series: LongShortSeries,
    from: Timestamp,
    until: Timestamp,
    pages: Pages,
}

impl LongShort {
    pub(super) async fn history(
        &self,
        request: v1::ListLongShortRatioHistoryRequest,
    ) -> Result<v1::ListLongShortRatioHistoryResponse, ServiceError> {
        let name = request.asset.clone();
        let query = self.query(request)?;
        self.services.check_serving()?;
        let names = LongShortSeriesNames::of(query.series.kind, query.series.period, query.series.venue.as_deref());
        let (from, until) = (query.from, query.until);
        let points = self.points(&query.asset, names.long_share, from, until).await?;
        if points.is_empty() && !self.services.is_known_asset(&query.asset) {
            return Err(ServiceError::unknown_asset(&name));
        }
        let next = points.get(query.pages.size);
        let page = points.get(..query.pages.size).unwrap_or(&points);
        // The other figures of the page's times only.
        let end = next.map_or(until, |point| point.time);
        let open_interest = self.points(&query.asset, names.open_interest, from, end).await?;
        let venue_counts = match names.venue_count {
            Some(name) => Some(self.points(&query.asset, name, from, end).await?),
            None => None,
        };
        let (mut open_interest, mut venue_counts) = (Beside(&open_interest), venue_counts.as_deref().map(Beside));
        let wire_point = |point: &Point| {
            let shares = Shares::of_long_share(point.value.to_f64());
            let counted = venue_counts.as_mut().and_then(|counts| counts.at(point.time));
            v1::LongShortPoint {
                time: Some(convert::time(point.time)),
                ratio: shares.map(|shares| shares.ratio),
                long_share: shares.map(|shares| shares.long_share),
                short_share: shares.map(|shares| shares.short_share()),
                open_interest: open_interest.at(point.time).map(convert::decimal),
                venue_count: counted.map_or(1, |count| count.to_f64() as i32),
            }
        };
        // The newest reading may be late by a period.
        let due = self.services.clock.now() - query.series.period.duration();
        let simulated = self.services.simulated;
        Ok(v1::ListLongShortRatioHistoryResponse {
            points: page.iter().map(wire_point).collect(),
            next_page_token: next.map(|point| query.pages.token(point.time.as_micros())).unwrap_or_default(),
            gaps: gaps(page, next.map_or(until.min(due), |point| point.time), query.series.period),
            simulated,
        })
    }

    fn query(&self, mut request: v1::ListLongShortRatioHistoryRequest) -> Result<HistoryQuery, ServiceError> {
        let asset = self.services.asset("asset", &request.asset)?;
        let series = self.series(request.kind, request.period, &request.venue)?;
        let pages = Pages::of(&mut request, PAGES)?;
        let (from, until) = paging::page_span(&pages, request.start_time.as_ref(), request.end_time.as_ref())?;
        Ok(HistoryQuery { asset, series, from, until, pages })
    }

    async fn points(
        &self,
        asset: &AssetId,
        name: smol_str::SmolStr,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Point>, ServiceError> {
        let series = SeriesKey { subject: asset_subject(asset), kind: SeriesKind::Sampled(name) };
        Ok(self.services.store.points(&series, from, until).await?)
    }
}

/// Another series of the same times, read in step: both are oldest first.
struct Beside<'a>(&'a [Point]);

impl Beside<'_> {
    /// The value at a time that is later than the one asked for before.
    fn at(&mut self, time: Timestamp) -> Option<Decimal> {
        while let Some((first, rest)) = self.0.split_first()
            && first.time < time
        {
            self.0 = rest;
        }
        self.0.first().filter(|point| point.time == time).map(|point| point.value)
    }
}

/// The stretches without a reading between one reading and the next, and between the last and `end`.
fn gaps(points: &[Point], end: Timestamp, period: Period) -> Vec<v1::HistoryGap> {
    let length = period.duration();
    let times = points.iter().map(|point| point.time);
    let followers = points.iter().skip(1).map(|point| point.time).chain([end]);
    let gap = |(before, after): (Timestamp, Timestamp)| {
        // A reading that comes a little late is none that is missing.
        let steps = (after.since(before) + length / 2).as_micros() / length.as_micros();
        let missing = i32::try_from(steps.saturating_sub(1)).unwrap_or(i32::MAX);
        (missing >= 1).then(|| v1::HistoryGap {
            start_time: Some(convert::time(before + length)),
            end_time: Some(convert::time(before + length * missing.unsigned_abs())),
            missing_count: missing,
        })
    };
    times.zip(followers).filter_map(gap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_told_with_its_first_and_last_missing_reading() {
        let at = |periods: i64| Timestamp::from_seconds(1_768_478_400 + periods * 3_600);
        let point = |periods: i64| Point { time: at(periods), value: Decimal::ONE };
        let points = [
            point(0),
            point(1),
            point(4),
            Point { time: at(5) + std::time::Duration::from_secs(60), value: Decimal::ONE },
        ];
        let found = gaps(&points, at(6), Period::OneHour);
        let described: Vec<_> = found.iter().map(|gap| (gap.start_time, gap.end_time, gap.missing_count)).collect();
        assert_eq!(described, [(Some(convert::time(at(2))), Some(convert::time(at(3))), 2)]);
        let trailing = gaps(&points[..1], at(3), Period::OneHour);
        assert_eq!(trailing.iter().map(|gap| gap.missing_count).collect::<Vec<_>>(), [2]);
        assert!(gaps(&[], at(3), Period::OneHour).is_empty());
    }
}
