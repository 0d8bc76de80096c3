//! The demo's history: years of daily candles, invented like the rest of its market and stored the way an import of files is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crossmarket_collector::span;
use crossmarket_domain::index::asset_subject;
use crossmarket_domain::registry::Registry;
use crossmarket_domain::series::Point;
use crossmarket_domain::{Candle, CandleInterval, Decimal, Timestamp};
use crossmarket_simulator::{DailyRecord, Market, start_time};
use crossmarket_store::daily::put_days;
use crossmarket_store::{Store, StoreError};

/// Wall-clock time to wait, so that the first answers do not compete with the history.
const DELAY: Duration = Duration::from_secs(3);

/// Most histories waiting to be stored.
const WAITING_MAX: usize = 2;

/// Digits of a price.
const DIGITS: u32 = 9;

/// A part of one asset's past.
enum Part {
    Days(Vec<DailyRecord>),
    MarketCaps(Vec<(Timestamp, f64)>),
}

/// Stores the history of every simulated asset: first prices, the largest asset first, then market caps, the largest last, so that sums of
/// market caps do not look complete too early. Days for which the venues serve candles are left to them; market caps go up to yesterday.
pub(super) async fn preload(store: Arc<dyn Store>, market: Arc<Market>) {
    tokio::time::sleep(DELAY).await;
    let begun = tokio::time::Instant::now();
    let (sender, mut receiver) = mpsc::channel(WAITING_MAX);
    // A thread of its own: it is a second or two of work, and the end of the demo does not wait for it.
    let told = std::thread::Builder::new().name("past".to_owned()).spawn(move || {
        let past = market.daily_history();
        let tickers = past.tickers();
        let days = tickers.iter().map(|ticker| (*ticker, Part::Days(past.days(ticker))));
        let caps = tickers.iter().rev().map(|ticker| (*ticker, Part::MarketCaps(past.market_caps(ticker))));
        for part in days.chain(caps) {
            if sender.blocking_send(part).is_err() {
                return;
            }
        }
    });
    if let Err(error) = told {
        tracing::warn!(%error, "the simulated past cannot be told");
        return;
    }
    let served = start_time() - span(CandleInterval::OneDay);
    let mut day_count = 0;
    while let Some((ticker, part)) = receiver.recv().await {
        match put(store.as_ref(), ticker, part, served).await {
            Ok(count) => day_count += count,
            Err(error) => {
                tracing::warn!(ticker, %error, "the simulated past is not stored");
                return;
            }
        }
    }
    tracing::info!(day_count, taken = ?begun.elapsed(), "the simulated past is stored");
}

/// Stores a part; returns its number of days.
async fn put(store: &dyn Store, ticker: &str, part: Part, served: Timestamp) -> Result<usize, StoreError> {
    let Some(asset) = Registry::shipped().find(ticker).map(|asset| &asset.id) else { return Ok(0) };
    let (candles, market_caps): (Vec<Candle>, Vec<Point>) = match part {
        Part::Days(days) => (days.iter().filter(|day| day.day < served).filter_map(candle).collect(), Vec::new()),
        Part::MarketCaps(caps) => {
            let point = |(time, cap): &(Timestamp, f64)| {
                Some(Point { time: *time, value: Decimal::from_f64(*cap)?.rounded(0) })
                    .filter(|point| point.value.is_positive())
            };
            (Vec::new(), caps.iter().filter_map(point).collect())
        }
    };
    put_days(store, &asset_subject(asset), &candles, &market_caps, |_| {}).await?;
    Ok(candles.len().max(market_caps.len()))
}

fn candle(day: &DailyRecord) -> Option<Candle> {
    let price = |price: f64| Some(Decimal::from_f64(price)?.rounded_to_significant(DIGITS));
    Some(Candle {
        start: day.day,
        open: price(day.open)?,
        high: price(day.high)?,
        low: price(day.low)?,
        close: price(day.close)?,
        base_volume: None,
        quote_volume: None,
    })
}
