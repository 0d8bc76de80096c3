//! Storing daily histories that come from outside: an imported file, or the history of a simulated market.

use smol_str::SmolStr;

use crate::error::StoreError;
use crate::port::Store;
use crossmarket_domain::series::{Point, SeriesKey, SeriesKind};
use crossmarket_domain::{Candle, CandleInterval};

/// Days written at once.
pub const DAYS_PER_WRITE: usize = 500;

/// Stores daily candles and market caps of a subject, and makes them durable. Days that are stored already are replaced. `progress` gets the
/// number of days of each write.
pub async fn put_days(
    store: &dyn Store,
    subject: &SmolStr,
    candles: &[Candle],
    market_caps: &[Point],
    progress: impl Fn(usize),
) -> Result<(), StoreError> {
    let series = |kind| SeriesKey { subject: subject.clone(), kind };
    let daily = series(SeriesKind::Candles(CandleInterval::OneDay));
    for part in candles.chunks(DAYS_PER_WRITE) {
        store.put_candles(&daily, part).await?;
        progress(part.len());
    }
    let caps = series(SeriesKind::DailyMarketCap);
    for part in market_caps.chunks(DAYS_PER_WRITE) {
        store.put_points(&caps, part).await?;
    }
    store.flush().await
}
