//! Retention of candles. Short intervals are kept only as long as something is derived from them, so that a store grows
//! to a certain size and stays there.

use std::time::Duration;

use crossmarket_domain::index::Subject;
use crossmarket_domain::series::{Point, SeriesKey, SeriesKind};
use crossmarket_domain::time::DAY;
use crossmarket_domain::{Candle, CandleInterval, Decimal, Period, Timestamp};
use crossmarket_store::{Store, StoreError};

/// Retention of an interval's candles; `None` to keep them indefinitely.
fn kept(interval: CandleInterval) -> Option<Duration> {
    match interval {
        CandleInterval::FiveMinutes => Some(35 * DAY),
        CandleInterval::OneHour => Some(400 * DAY),
        CandleInterval::OneDay => None,
    }
}

/// Stores candles of a series. The first candle of a day also prunes what exceeds the retention.
pub(crate) async fn store_candles(
    store: &dyn Store,
    series: &SeriesKey,
    candles: &[Candle],
    now: Timestamp,
) -> Result<(), StoreError> {
    store.put_candles(series, candles).await?;
    let kept = match (&series.kind, Subject::of_series(&series.subject)) {
        // Values computed here exist nowhere else, and there are few of them.
        (_, Some(Subject::Index(_))) => None,
        (SeriesKind::Candles(interval), _) => kept(*interval),
        _ => None,
    };
    let begins_a_day = candles.iter().any(|candle| candle.start == candle.start.day_start());
    match kept.filter(|_| begins_a_day) {
        Some(kept) => store.trim_series(series, now - kept).await,
        None => Ok(()),
    }
}

/// Decimal places of a stored share.
const SHARE_PLACES: u32 = 9;

/// A long share in its stored form.
pub(crate) fn share_point(long_share: f64) -> Option<Decimal> {
    Some(Decimal::from_f64(long_share)?.rounded(SHARE_PLACES).normalized())
}

/// Retention of readings: the longer the period, the longer they are kept.
fn points_kept(period: Period) -> Duration {
    match period {
        Period::FiveMinutes | Period::FifteenMinutes | Period::ThirtyMinutes => DAY * 35,
        Period::OneHour | Period::FourHours => DAY * 400,
        Period::OneDay => DAY * 3_650,
    }
}

/// Stores points, and prunes once a day what exceeds the retention.
pub(crate) async fn store_points(
    store: &dyn Store,
    series: &SeriesKey,
    points: &[Point],
    now: Timestamp,
) -> Result<(), StoreError> {
    store.put_points(series, points).await?;
    let period = match &series.kind {
        SeriesKind::Sampled(name) => name.rsplit(':').next().and_then(Period::parse),
        _ => None,
    };
    let new_day = points.iter().any(|point| point.time == point.time.day_start());
    match period.filter(|_| new_day) {
        Some(period) => store.trim_series(series, now - points_kept(period)).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_store::EmbeddedStore;

    fn candle(start: Timestamp) -> Candle {
        let price = Decimal::from(1);
        Candle { start, open: price, high: price, low: price, close: price, base_volume: None, quote_volume: None }
    }

    /// Stores day after day for longer than any retention. Each series must reach a size and keep it.
    async fn grows_to_a_size(store: &dyn Store) {
        let day = |number: u32| Timestamp::EPOCH + number * DAY;
        for (interval, days_kept) in
            [(CandleInterval::FiveMinutes, 35), (CandleInterval::OneHour, 400), (CandleInterval::OneDay, 450)]
        {
            let series = SeriesKey { subject: "id:bitcoin".into(), kind: SeriesKind::Candles(interval) };
            let mut sizes = Vec::new();
            for number in 0..450 {
                let candles = [candle(day(number)), candle(day(number) + DAY / 2)];
                let candles = if interval == CandleInterval::OneDay { &candles[..1] } else { &candles[..] };
                store_candles(store, &series, candles, day(number)).await.expect("stored");
                let infos = store.series().await.expect("series");
                let info = infos.into_iter().find(|info| info.key == series).expect("stored");
                assert!(info.first >= day(number) - days_kept * DAY, "{interval:?} of day {number}");
                sizes.push(info.count / candles.len() as u64);
            }
            // The day at the edge is still complete.
            let most = u64::from(days_kept.min(449)) + 1;
            assert_eq!((sizes.iter().max(), sizes.last()), (Some(&most), Some(&most)), "{interval:?}");
        }
    }

    #[tokio::test]
    async fn a_store_grows_to_a_size() {
        grows_to_a_size(&EmbeddedStore::in_memory().expect("a store")).await;
        let directory = tempfile::tempdir().expect("a directory");
        grows_to_a_size(&EmbeddedStore::open(directory.path()).await.expect("opens")).await;
    }
}
