//! The simulated market: what every asset is worth at any time. Venues report it with small deviations; tests compare
//! with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crossmarket_domain::{CandleInterval, Timestamp};

use super::asset::{Asset, Behaviour, Past};
use super::assets::ASSETS;
use super::noise::{mix, mix_text, wander};
use super::path::{FINE_DAYS, FINE_SECONDS, Path, Step};

/// The start of the simulated market, in seconds since 1970: 2026-01-15T20:00:00Z, the time of the market note in the
/// documentation.
pub const START_SECONDS: i64 = 1_768_507_200;

const DAY: i64 = 86_400;
/// Seconds from a midnight of UTC to the start.
const START_SECOND_OF_DAY: i64 = 72_000;

/// A market, a pure function of its seed and of time.
pub struct Market {
    seed: u64,
    paths: Vec<Path>,
    /// By asset: which path it follows.
    path_of: Vec<usize>,
    index: HashMap<&'static str, usize>,
    days: Vec<Mutex<Option<CachedDay>>>,
    ranks: Mutex<Option<(i64, Arc<Vec<u32>>)>>,
    /// By day of the past: the factor on the supply of every coin but Bitcoin. Computed on first use.
    pub(super) supply_scale: OnceLock<Vec<f64>>,
}

/// The truth about one asset at one time. Prices in USD, changes in per cent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    pub price: f64,
    /// Price 24 hours earlier.
    pub open_24h: f64,
    /// Highest price of the last 24 hours.
    pub high_24h: f64,
    /// Lowest price of the last 24 hours.
    pub low_24h: f64,
    /// Value traded in the last 24 hours over all markets, in USD.
    pub volume_24h: f64,
    /// Square root of the sum of squared log returns of the 5-minute samples of the last 24 hours, in per cent.
    pub volatility_24h_percent: f64,
    /// Change over the last hour. This and every other change is absent while the asset is younger than the span.
    pub change_1h_percent: Option<f64>,
    /// Change over 24 hours.
    pub change_24h_percent: Option<f64>,
    /// Change over 7 days.
    pub change_7d_percent: Option<f64>,
    /// Change over 30 days.
    pub change_30d_percent: Option<f64>,
    /// Change over 365 days.
    pub change_1y_percent: Option<f64>,
    /// Change since 1 January, midnight UTC.
    pub change_ytd_percent: Option<f64>,
    /// Units in circulation.
    pub circulating_supply: f64,
    /// Price by supply, in USD.
    pub market_cap: f64,
    /// Rank by market cap among the simulated assets, 1 for the largest; 0 for a fiat currency.
    pub market_cap_rank: u32,
    /// Highest price ever.
    pub all_time_high: f64,
    pub all_time_high_time: Timestamp,
}

/// A candle of the model, in USD and over all markets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelCandle {
    /// Start of the interval.
    pub start: Timestamp,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Value traded.
    pub volume: f64,
}

/// One asset's prices of the last 24 hours and of the day of UTC, in USD.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Day {
    pub last: f64,
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub volume: f64,
    pub today_open: f64,
    pub today_high: f64,
    pub today_low: f64,
    pub today_share: f64,
}

#[derive(Clone, Copy)]
struct CachedDay {
    time: i64,
    day: Day,
    whole: WholeSteps,
}

/// Extremes over the whole steps of the last 24 hours and of the day of UTC, valid for one step's length.
#[derive(Clone, Copy)]
struct WholeSteps {
    until: i64,
    high: f64,
    low: f64,
    today_high: f64,
    today_low: f64,
}

/// When the simulated market starts: [`START_SECONDS`].
pub fn start_time() -> Timestamp {
    Timestamp::from_seconds(START_SECONDS)
}

impl Market {
    /// The market of that seed.
    pub fn new(seed: u64) -> Self {
        let index: HashMap<&'static str, usize> =
            ASSETS.iter().enumerate().map(|(position, asset)| (asset.ticker, position)).collect();
        let path_of = ASSETS.iter().enumerate().map(|(position, asset)| match asset.behaviour() {
            Behaviour::Tracks(tracked) => index.get(tracked).copied().unwrap_or(position),
            _ => position,
        });
        Self {
            seed,
            paths: ASSETS.iter().map(|asset| path(seed, asset)).collect(),
            path_of: path_of.collect(),
            index,
            days: ASSETS.iter().map(|_| Mutex::new(None)).collect(),
            ranks: Mutex::new(None),
            supply_scale: OnceLock::new(),
        }
    }

    /// The seed that it was made from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The truth about an asset at a time, or `None` for a ticker that is not simulated and for a time before it
    /// traded.
    pub fn figures(&self, ticker: &str, time: Timestamp) -> Option<Figures> {
        let asset = self.position(ticker)?;
        let at = seconds(time);
        let (row, path) = (ASSETS.get(asset)?, self.path(asset)?);
        if at < path.first() {
            return None;
        }
        let day = self.day(asset, time);
        let change = |since: i64| (since >= path.first()).then(|| ((path.at(at) - path.at(since)).exp() - 1.0) * 100.0);
        let samples: Vec<f64> = (0..=288).map(|index| path.at(at - index * FINE_SECONDS)).collect();
        let squares: f64 = samples.windows(2).map(|pair| (pair[0] - pair[1]).powi(2)).sum();
        let (all_time_high, all_time_high_time) = self.all_time_high(asset, time);
        Some(Figures {
            price: day.last,
            open_24h: day.open,
            high_24h: day.high,
            low_24h: day.low,
            volume_24h: day.volume,
            volatility_24h_percent: squares.sqrt() * 100.0,
            change_1h_percent: change(at - 3_600),
            change_24h_percent: change(at - DAY),
            change_7d_percent: change(at - 7 * DAY),
            change_30d_percent: change(at - 30 * DAY),
            change_1y_percent: change(at - 365 * DAY),
            change_ytd_percent: change(seconds(time.year_start())),
            circulating_supply: row.supply(),
            market_cap: row.supply() * day.last,
            market_cap_rank: self.ranks(time).get(asset).copied().unwrap_or(u32::MAX),
            all_time_high,
            all_time_high_time,
        })
    }

    /// The candles of an asset that start at `from` or later and before `to`; the last is the current one when `to` is
    /// after `now`. No candle starts before the asset traded and, for 5-minute candles, none more than 60 days before
    /// the start.
    pub fn candles(
        &self,
        ticker: &str,
        interval: CandleInterval,
        from: Timestamp,
        to: Timestamp,
        now: Timestamp,
    ) -> Vec<ModelCandle> {
        self.position(ticker).map(|asset| self.candles_of(asset, interval, from, to, now)).unwrap_or_default()
    }

    pub(super) fn candles_of(
        &self,
        asset: usize,
        interval: CandleInterval,
        from: Timestamp,
        to: Timestamp,
        now: Timestamp,
    ) -> Vec<ModelCandle> {
        let (Some(row), Some(path)) = (ASSETS.get(asset), self.path(asset)) else { return Vec::new() };
        let length = interval.duration();
        let (to, now) = (seconds(to), seconds(now));
        let earliest = if interval == CandleInterval::FiveMinutes { -FINE_DAYS * DAY } else { i64::MIN };
        let from = round_up(from, length).max(path.first()).max(earliest);
        let mut candles: Vec<ModelCandle> = Vec::new();
        let mut add = |step: &Step| {
            let start = at_second(step.start).floor_to(length);
            if seconds(start) >= to {
                return;
            }
            let volume = row.volume_millions * 1e6 / DAY as f64 * step.seconds as f64 * step.activity;
            let [open, high, low, close] =
                [step.open, step.high, step.low, step.close].map(|log| row.price * log.exp());
            match candles.last_mut() {
                Some(candle) if candle.start == start => {
                    candle.high = candle.high.max(high);
                    candle.low = candle.low.min(low);
                    candle.close = close;
                    candle.volume += volume;
                }
                _ => candles.push(ModelCandle { start, open, high, low, close, volume }),
            }
        };
        let whole_until = now - now.rem_euclid(FINE_SECONDS);
        // The last candle's interval may reach beyond `to`: its steps still belong to it.
        path.visit(from, whole_until.min(to.saturating_add(length.as_secs() as i64)), &mut add);
        if let Some(step) = path.running_step(now).filter(|step| step.start >= from) {
            add(&step);
        }
        candles
    }

    pub fn position(&self, ticker: &str) -> Option<usize> {
        self.index.get(ticker).copied()
    }

    pub fn price(&self, asset: usize, time: Timestamp) -> f64 {
        let row = ASSETS.get(asset).map_or(0.0, |row| row.price);
        self.path(asset).map_or(0.0, |path| row * path.at(seconds(time)).exp())
    }

    /// True once the asset trades.
    pub fn trades(&self, asset: usize, time: Timestamp) -> bool {
        self.path(asset).is_some_and(|path| seconds(time) >= path.first())
    }

    /// The last 24 hours before a time.
    pub(super) fn day(&self, asset: usize, time: Timestamp) -> Day {
        let at = seconds(time);
        let Some((row, cache)) = ASSETS.get(asset).zip(self.days.get(asset)) else { return Day::NONE };
        let Some(path) = self.path(asset) else { return Day::NONE };
        let mut cached = cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cached.as_ref().filter(|cached| cached.time == at) {
            return cached.day;
        }
        let until = at - at.rem_euclid(FINE_SECONDS);
        let midnight = at - (at + START_SECOND_OF_DAY).rem_euclid(DAY);
        let whole = match cached.as_ref() {
            Some(cached) if cached.whole.until == until => cached.whole,
            _ => WholeSteps::of(path, until, midnight),
        };
        let open = path.at((at - DAY).max(path.first()));
        let last = path.at(at);
        let running = path.running_step(at);
        let (high, low) = running.map_or((last, last), |step| (step.high, step.low));
        let usd = |log: f64| row.price * log.exp();
        let day = Day {
            last: usd(last),
            open: usd(open),
            high: usd(whole.high.max(high).max(open)),
            low: usd(whole.low.min(low).min(open)),
            volume: row.volume_millions * 1e6 * self.volume_factor(asset, at),
            today_open: usd(path.at(midnight.max(path.first()))),
            today_high: usd(whole.today_high.max(high)),
            today_low: usd(whole.today_low.min(low)),
            today_share: (at - midnight) as f64 / DAY as f64,
        };
        *cached = Some(CachedDay { time: at, day, whole });
        day
    }

    /// The ranks by market cap at a time, to the minute; 0 for an asset without one.
    pub(super) fn ranks(&self, time: Timestamp) -> Arc<Vec<u32>> {
        let minute = time.floor_to(Duration::from_secs(60));
        let mut cached = self.ranks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, ranks)) = cached.as_ref().filter(|(at, _)| *at == minute.as_seconds()) {
            return Arc::clone(ranks);
        }
        let mut by_cap: Vec<(usize, f64)> = ASSETS
            .iter()
            .enumerate()
            .filter(|(_, row)| !row.is_fiat())
            .map(|(asset, row)| (asset, row.supply() * self.price(asset, minute)))
            .collect();
        by_cap.sort_by(|(_, left), (_, right)| right.total_cmp(left));
        let mut ranks = vec![0; ASSETS.len()];
        for (position, (asset, _)) in by_cap.into_iter().enumerate() {
            if let Some(rank) = ranks.get_mut(asset) {
                *rank = position as u32 + 1;
            }
        }
        let ranks = Arc::new(ranks);
        *cached = Some((minute.as_seconds(), Arc::clone(&ranks)));
        ranks
    }

    /// The all-time high up to a time, and when it was.
    pub(super) fn all_time_high(&self, asset: usize, time: Timestamp) -> (f64, Timestamp) {
        let (Some(row), Some(path)) = (ASSETS.get(asset), self.path(asset)) else { return (0.0, time) };
        let (log, at) = path.highest_since_start(seconds(time));
        let since_start = row.price * log.exp();
        if since_start > row.all_time_high {
            return (since_start, at_second(at));
        }
        let noon = Duration::from_secs(12 * 3_600);
        (row.all_time_high, day_of(row).map_or(time, |day| day + noon))
    }

    fn path(&self, asset: usize) -> Option<&Path> {
        self.paths.get(*self.path_of.get(asset)?)
    }

    /// The volume relative to that of the 24 hours before the start.
    fn volume_factor(&self, asset: usize, at: i64) -> f64 {
        let hash = mix(mix(self.seed, 0x0076_6F6C), asset as u64);
        let wave = |at: i64| wander(hash, at as f64 / 43_200.0);
        (0.35 * (wave(at) - wave(0))).exp()
    }
}

impl Day {
    const NONE: Self = Self {
        last: 0.0,
        open: 0.0,
        high: 0.0,
        low: 0.0,
        volume: 0.0,
        today_open: 0.0,
        today_high: 0.0,
        today_low: 0.0,
        today_share: 0.0,
    };
}

impl WholeSteps {
    fn of(path: &Path, until: i64, midnight: i64) -> Self {
        let (high, low) = (f64::NEG_INFINITY, f64::INFINITY);
        let mut whole = Self { until, high, low, today_high: high, today_low: low };
        path.visit(until - DAY, until, |step| {
            whole.high = whole.high.max(step.high);
            whole.low = whole.low.min(step.low);
            if step.start >= midnight {
                whole.today_high = whole.today_high.max(step.high);
                whole.today_low = whole.today_low.min(step.low);
            }
        });
        whole
    }
}

fn path(seed: u64, asset: &Asset) -> Path {
    let past = match asset.behaviour() {
        Behaviour::Free(past) => past,
        Behaviour::Pegged | Behaviour::Tracks(_) => Past::PEGGED,
    };
    let own_seed = mix_text(mix(seed, 0x0070_6174), asset.ticker);
    let ceiling = (asset.all_time_high / asset.price).ln();
    let ceiling_days = day_of(asset).map_or(i64::MAX, |day| start_time().day_start().since(day).as_secs() as i64 / DAY);
    Path::new(own_seed, mix(seed, 0x006D_6B74), past, ceiling, ceiling_days)
}

fn day_of(asset: &Asset) -> Option<Timestamp> {
    Timestamp::parse(&format!("{}T00:00:00Z", asset.all_time_high_date))
}

fn at_second(second: i64) -> Timestamp {
    Timestamp::from_seconds(START_SECONDS + second)
}

/// Whole seconds since the start.
fn seconds(time: Timestamp) -> i64 {
    time.as_seconds() - START_SECONDS
}

/// Seconds since the start of the first multiple of `length` at or after `time`.
fn round_up(time: Timestamp, length: Duration) -> i64 {
    let floor = time.floor_to(length);
    seconds(if floor == time { floor } else { floor + length })
}

#[cfg(test)]
mod tests;
