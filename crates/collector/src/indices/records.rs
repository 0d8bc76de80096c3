//! History that is recorded here: hourly and daily closes of computed indices, and the assets' market caps at the end
//! of each UTC day.

use std::collections::HashMap;
use std::time::Duration;

use crate::history::storage::store_candles;
use crate::indices::assets::Assets;
use crossmarket_domain::index::{IndexCode, IndexKind, IndexSnapshot, asset_subject};
use crossmarket_domain::series::{Point, SeriesKey, SeriesKind};
use crossmarket_domain::{AssetId, Candle, CandleInterval, Decimal, Timestamp};
use crossmarket_store::{Store, StoreError};

/// A value seen longer than this before the end of a period does not count as its close.
const CLOSE_AGE_MAX: Duration = Duration::from_secs(15 * 60);

/// Maximum number of candles queued for the store; beyond it the oldest are dropped.
const WAITING_MAX: usize = 20_000;

/// Records levels and market caps as they pass.
#[derive(Default)]
pub(super) struct Records {
    hours: HashMap<IndexCode, Candle>,
    days: HashMap<IndexCode, Candle>,
    waiting: Vec<(SeriesKey, Candle)>,
    caps: HashMap<AssetId, Decimal>,
    caps_at: Option<Timestamp>,
    caps_waiting: Vec<(AssetId, Point)>,
}

impl Records {
    /// Records a level.
    pub(super) fn record(&mut self, snapshot: &IndexSnapshot, now: Timestamp) {
        let Some(level) = snapshot.level else { return };
        let intervals = [(CandleInterval::OneHour, &mut self.hours), (CandleInterval::OneDay, &mut self.days)];
        for (interval, open) in intervals {
            let start = now.floor_to(interval.duration());
            match open.get_mut(&snapshot.index) {
                Some(candle) if candle.start == start => {
                    candle.high = candle.high.max(level);
                    candle.low = candle.low.min(level);
                    candle.close = level;
                }
                _ => {
                    let Some(fresh) = flat(start, level) else { continue };
                    // Daily levels of sums follow from the daily market caps.
                    let is_kept = interval == CandleInterval::OneHour || is_chain_linked(snapshot.kind);
                    if let Some(closed) = open.insert(snapshot.index.clone(), fresh).filter(|_| is_kept) {
                        self.waiting.push((series(&snapshot.index, interval), closed));
                    }
                }
            }
        }
        let excess = self.waiting.len().saturating_sub(WAITING_MAX);
        self.waiting.drain(..excess);
    }

    /// Records the market caps, and queues those of the previous day once it has ended.
    pub(super) fn record_caps(&mut self, assets: &Assets, now: Timestamp) {
        let today = now.day_start();
        if let Some(at) = self.caps_at.replace(now)
            && at.day_start() < today
            && at.day_start() + CandleInterval::OneDay.duration() == today
            && today.since(at) <= CLOSE_AGE_MAX
        {
            let time = at.day_start();
            let ended = std::mem::take(&mut self.caps);
            self.caps_waiting.extend(ended.into_iter().map(|(asset, value)| (asset, Point { time, value })));
        }
        self.caps.clear();
        let fresh = assets.iter().filter(|asset| !asset.is_stale && asset.cap().is_some());
        self.caps.extend(fresh.filter_map(|asset| Some((asset.id.clone(), asset.market_cap?))));
    }

    /// Stores the queued candles.
    pub(super) async fn store(&mut self, store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
        while let Some((series, candle)) = self.waiting.last() {
            store_candles(store, series, std::slice::from_ref(candle), now).await?;
            self.waiting.pop();
        }
        while let Some((asset, point)) = self.caps_waiting.last() {
            let series = SeriesKey { subject: asset_subject(asset), kind: SeriesKind::DailyMarketCap };
            store.put_points(&series, std::slice::from_ref(point)).await?;
            self.caps_waiting.pop();
        }
        Ok(())
    }

    /// Stores the queued candles and the running hours.
    pub(super) async fn finish(mut self, store: &dyn Store) -> Result<(), StoreError> {
        let open = std::mem::take(&mut self.hours);
        self.waiting.extend(open.into_iter().map(|(index, candle)| (series(&index, CandleInterval::OneHour), candle)));
        self.store(store, Timestamp::EPOCH).await
    }
}

fn is_chain_linked(kind: IndexKind) -> bool {
    matches!(kind, IndexKind::Category | IndexKind::Basket)
}

/// Stores daily levels of an index.
pub(super) async fn put_daily(store: &dyn Store, index: &IndexCode, candles: &[Candle]) -> Result<(), StoreError> {
    store.put_candles(&series(index, CandleInterval::OneDay), candles).await
}

fn series(index: &IndexCode, interval: CandleInterval) -> SeriesKey {
    SeriesKey { subject: index.as_str().into(), kind: SeriesKind::Candles(interval) }
}

/// A candle of which only the close is known.
pub(super) fn flat(start: Timestamp, level: Decimal) -> Option<Candle> {
    level.is_positive().then_some(Candle {
        start,
        open: level,
        high: level,
        low: level,
        close: level,
        base_volume: None,
        quote_volume: None,
    })
}
