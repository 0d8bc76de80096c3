//! The simulated assets long before the start: daily closes and market caps since 2014, which no simulated venue
//! serves. The demo imports them to have years of history.
//!
//! For the last [`HISTORY_DAYS`] the prices are those of the market's paths. Before, they go through a few points of
//! each asset's story and never above its all-time high. Market caps are price by supply, and the supply of all coins
//! but Bitcoin is scaled day by day so that the sum of the market caps outside the ten largest, divided by Bitcoin's
//! price, follows the story of the documentation: a rally of 423 % up to January 2018, one of 503 % up to November
//! 2021, each from a level three per cent below that at which the simulated market starts.

use std::time::Duration;

use jiff::civil::{Date, date};

use crossmarket_domain::calendar::day_start;
use crossmarket_domain::{CandleInterval, Timestamp};

use super::asset::{Asset, Behaviour};
use super::assets::ASSETS;
use super::market::{Market, start_time};
use super::noise::{mix, mix_text, normal, uniform, wander};
use super::path::HISTORY_DAYS;

const FIRST_DAY: Date = date(2014, 1, 1);

const DAY: Duration = Duration::from_secs(86_400);

/// Assets whose market caps are summed, and how many of the largest are left out: those of the index `OTHERS`.
const RANKED_MAX: usize = 125;
const LARGEST: usize = 10;

/// In the time of the market's paths the scale of the supplies is set so often, in days, and lies on a line between.
const SCALE_DAYS: usize = 15;

/// The sum outside the ten largest over Bitcoin's price, as multiples of what it is at the start.
const STORY: &[(Date, f64)] = &[
    (FIRST_DAY, 1.6),
    (date(2017, 2, 20), 0.97),
    (date(2018, 1, 9), 0.97 * 5.23),
    (date(2019, 12, 18), 0.974),
    (date(2021, 11, 10), 0.974 * 6.03),
    (date(2022, 6, 18), 3.5),
    (date(2023, 11, 7), 2.8),
    (date(2024, 12, 1), 2.2),
    (date(2025, 10, 10), 1.25),
    (date(2026, 1, 15), 1.0),
];

/// Bitcoin's rough closes, from general knowledge.
const BITCOIN: &[(Date, f64)] = &[
    (FIRST_DAY, 770.0),
    (date(2015, 1, 14), 178.0),
    (date(2016, 1, 1), 434.0),
    (date(2017, 1, 1), 998.0),
    (date(2017, 12, 17), 19_140.0),
    (date(2018, 12, 15), 3_236.0),
    (date(2019, 6, 26), 13_016.0),
    (date(2020, 3, 12), 4_970.0),
    (date(2021, 4, 13), 63_500.0),
    (date(2021, 7, 20), 29_800.0),
    (date(2021, 11, 8), 67_560.0),
    (date(2022, 11, 21), 15_780.0),
];

/// Terra's coin lost all but a hundred-thousandth of its price within a week, and its supply grew as much: rough closes
/// of both ends.
const TERRA: &str = "LUNC";
const TERRA_FALL: [(Date, f64); 2] = [(date(2022, 5, 7), 70.0), (date(2022, 5, 13), 0.000_12)];

/// One day of an asset's past. Prices and market cap are in USD; the market cap is that of the day's end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DailyRecord {
    /// Midnight UTC at which the day begins.
    pub day: Timestamp,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Market cap at the end of the day.
    pub market_cap: f64,
}

/// The history of all assets except fiat currencies, up to the day before the start.
pub struct DailyHistory<'m> {
    market: &'m Market,
    day_count: usize,
    /// By asset and day; absent before an asset traded.
    closes: Vec<Vec<Option<f64>>>,
    /// By day: the factor on the supply of every coin but Bitcoin.
    scale: &'m [f64],
}

impl Market {
    /// The past. Computing it takes about a second.
    pub fn daily_history(&self) -> DailyHistory<'_> {
        let day_count = day_count();
        let closes = all_closes(self, day_count);
        let scale = self.supply_scale.get_or_init(|| scale(self, &closes, day_count));
        DailyHistory { market: self, day_count, closes, scale }
    }

    /// An asset's market cap at a past time, using the supply of the day that contains or ends at that time. The first
    /// call takes as long as [`Market::daily_history`].
    pub fn past_market_cap(&self, place: usize, time: Timestamp) -> f64 {
        let scale = self.supply_scale.get_or_init(|| {
            let day_count = day_count();
            scale(self, &all_closes(self, day_count), day_count)
        });
        let day = (time - Duration::from_secs(1)).day_start().since(day_start(FIRST_DAY)).as_secs() / DAY.as_secs();
        let Some(asset) = ASSETS.get(place) else { return 0.0 };
        let scale = if asset.ticker == "BTC" { 1.0 } else { scale.get(day as usize).copied().unwrap_or(1.0) };
        self.price(place, time) * asset.supply() * scale
    }
}

/// Days from the first to the one before the start.
fn day_count() -> usize {
    (start_time().day_start().since(day_start(FIRST_DAY)).as_secs() / DAY.as_secs()) as usize
}

fn all_closes(market: &Market, day_count: usize) -> Vec<Vec<Option<f64>>> {
    let mut all: Vec<Vec<Option<f64>>> = ASSETS.iter().map(|asset| closes(market, asset, day_count)).collect();
    follow(&mut all);
    all
}

impl DailyHistory<'_> {
    /// The tickers, by market cap at the start, largest first.
    pub fn tickers(&self) -> Vec<&'static str> {
        let mut assets: Vec<&Asset> = ASSETS.iter().filter(|asset| !asset.is_fiat()).collect();
        assets.sort_by(|left, right| right.market_cap_millions.total_cmp(&left.market_cap_millions));
        assets.into_iter().map(|asset| asset.ticker).collect()
    }

    /// One asset's days, oldest first; empty for a ticker that is not simulated.
    pub fn days(&self, ticker: &str) -> Vec<DailyRecord> {
        let Some(place) = self.market.position(ticker) else { return Vec::new() };
        let (Some(asset), Some(closes)) = (ASSETS.get(place), self.closes.get(place)) else { return Vec::new() };
        let served = start_time() - DAY * u32::try_from(HISTORY_DAYS).unwrap_or(u32::MAX);
        let first_served = served.day_start() + DAY;
        let candles =
            self.market.candles_of(place, CandleInterval::OneDay, first_served, start_time().day_start(), start_time());
        let mut candles = candles.into_iter().peekable();
        let hash = mix_text(mix(self.market.seed(), 0x0077_6963), ticker);
        let mut days = Vec::with_capacity(self.day_count);
        let mut before = None;
        for (offset, close) in closes.iter().enumerate() {
            let day = day_of(offset);
            let Some(close) = *close else { continue };
            while candles.next_if(|candle| candle.start < day).is_some() {}
            let open = before.unwrap_or(close);
            let (mut high, mut low) = match candles.peek().filter(|candle| candle.start == day) {
                Some(candle) => (candle.high, candle.low),
                None => {
                    let wick = |word| 1.0 + 0.008 * normal(mix(mix(hash, word), offset as u64)).abs();
                    let calm = stands_still(asset);
                    if calm { (close, close) } else { (open.max(close) * wick(1), open.min(close) / wick(2)) }
                }
            };
            high = high.max(open).max(close);
            low = low.min(open).min(close);
            if day_text(day) == asset.all_time_high_date {
                high = asset.all_time_high;
            }
            high = high.min(asset.all_time_high.max(open).max(close));
            days.push(DailyRecord { day, open, high, low, close, market_cap: self.market_cap(asset, offset, close) });
            before = Some(close);
        }
        days
    }

    /// One asset's market caps by day: the same values as in [`DailyHistory::days`], with less work.
    pub fn market_caps(&self, ticker: &str) -> Vec<(Timestamp, f64)> {
        let Some(place) = self.market.position(ticker) else { return Vec::new() };
        let (Some(asset), Some(closes)) = (ASSETS.get(place), self.closes.get(place)) else { return Vec::new() };
        let of_day =
            |(offset, close): (usize, &Option<f64>)| Some((day_of(offset), self.market_cap(asset, offset, (*close)?)));
        closes.iter().enumerate().filter_map(of_day).collect()
    }

    fn market_cap(&self, asset: &Asset, offset: usize, close: f64) -> f64 {
        let scale = if asset.ticker == "BTC" { 1.0 } else { self.scale.get(offset).copied().unwrap_or(1.0) };
        close * supply_on(asset, offset) * scale
    }
}

fn day_of(offset: usize) -> Timestamp {
    day_start(FIRST_DAY) + DAY * u32::try_from(offset).unwrap_or(u32::MAX)
}

fn day_text(day: Timestamp) -> String {
    day.civil().date().to_string()
}

fn offset_of(date: Date) -> usize {
    (day_start(date).since(day_start(FIRST_DAY)).as_secs() / DAY.as_secs()) as usize
}

/// An asset's closes by day: of the market's paths where they reach, before that between points of its story.
fn closes(market: &Market, asset: &Asset, day_count: usize) -> Vec<Option<f64>> {
    let mut closes = vec![None; day_count];
    let Some(place) = market.position(asset.ticker) else { return closes };
    if asset.is_fiat() || leader(asset).is_some() {
        return closes;
    }
    let mut first = day_count;
    for offset in (0..day_count).rev() {
        let end = day_of(offset) + DAY;
        if !market.trades(place, end) {
            break;
        }
        first = offset;
        if let Some(slot) = closes.get_mut(offset) {
            *slot = Some(market.price(place, end));
        }
    }
    let Some(Some(reached)) = closes.get(first).copied() else { return closes };
    let is_young = day_of(first) > start_time() - DAY * (HISTORY_DAYS as u32 - 2);
    if is_young {
        return closes;
    }
    let points = story(market, asset, first, reached);
    let hash = mix_text(mix(market.seed(), 0x0070_6173), asset.ticker);
    let highest = asset.all_time_high_date;
    for pair in points.windows(2) {
        let &[(from, begin), (to, end)] = pair else { continue };
        let noise = if stands_still(asset) {
            0.0
        } else if asset.ticker == "BTC" {
            0.02
        } else {
            0.03
        };
        let draws: Vec<f64> = (from + 1..=to).map(|offset| noise * normal(mix(hash, offset as u64))).collect();
        let mean = draws.iter().sum::<f64>() / draws.len().max(1) as f64;
        let mut log = begin.ln();
        if let Some(slot) = closes.get_mut(from) {
            slot.get_or_insert(begin);
        }
        for (step, draw) in draws.iter().enumerate() {
            log += (end / begin).ln() / draws.len() as f64 + draw - mean;
            let offset = from + 1 + step;
            let is_highest = day_text(day_of(offset)) == highest;
            let ceiling = (asset.all_time_high * if is_highest { 1.0 } else { 0.98 }).ln();
            let folded = if log <= ceiling { log } else { ceiling - (log - ceiling).min(0.2) * 0.5 };
            if let Some(slot) = closes.get_mut(offset).filter(|slot| slot.is_none()) {
                *slot = Some(if offset == to { end.min(ceiling.exp()) } else { folded.exp() });
            }
        }
    }
    closes
}

/// The points that an asset's closes go through up to `first`, where the market's paths begin at the price `reached`.
fn story(market: &Market, asset: &Asset, first: usize, reached: f64) -> Vec<(usize, f64)> {
    let mut points: Vec<(usize, f64)> = if asset.ticker == "BTC" {
        BITCOIN.iter().map(|(date, price)| (offset_of(*date), *price)).collect()
    } else if stands_still(asset) {
        vec![(0, reached)]
    } else {
        let hash = mix_text(mix(market.seed(), 0x0073_746F), asset.ticker);
        let highest = asset.all_time_high * 0.97;
        let part = |word: u64, least: f64, most: f64| least + (most - least) * uniform(mix(hash, word));
        let winter = reached * part(1, 0.05, 0.3);
        let summit = (reached * part(2, 2.0, 6.0)).min(highest * 0.9);
        vec![
            (0, (winter * 0.02).max(f64::MIN_POSITIVE)),
            (offset_of(date(2017, 2, 20)), winter * part(3, 0.03, 0.1)),
            (offset_of(date(2018, 1, 7)), (winter * part(4, 4.0, 12.0)).min(highest * 0.9)),
            (offset_of(date(2019, 12, 18)), winter),
            (offset_of(date(2021, 11, 9)), summit),
            (offset_of(date(2022, 11, 21)), reached * part(5, 0.5, 0.9)),
        ]
    };
    // Its all-time high replaces the points near it.
    if let Some(day) =
        Timestamp::parse(&format!("{}T00:00:00Z", asset.all_time_high_date)).filter(|day| *day >= day_of(1))
        && !stands_still(asset)
    {
        let offset = offset_of(day.civil().date());
        if offset < first {
            points.retain(|(other, _)| other.abs_diff(offset) > 120 || *other == 0);
            points.push((offset, asset.all_time_high * 0.985));
        }
    }
    if asset.ticker == TERRA {
        points.extend(TERRA_FALL.map(|(date, price)| (offset_of(date), price)));
    }
    points.retain(|(offset, _)| *offset < first);
    points.push((first, reached));
    points.sort_by_key(|(offset, _)| *offset);
    points.dedup_by_key(|(offset, _)| *offset);
    points
}

/// The coin whose price an asset follows. One that follows a currency of a state has none: before the market's paths
/// begin it stands still.
fn leader(asset: &Asset) -> Option<usize> {
    let Behaviour::Tracks(tracked) = asset.behaviour() else { return None };
    ASSETS.iter().position(|other| other.ticker == tracked && !other.is_fiat())
}

fn stands_still(asset: &Asset) -> bool {
    !matches!(asset.behaviour(), Behaviour::Free(_)) && leader(asset).is_none()
}

/// Gives what stands on another asset's price the closes of that one, in proportion.
fn follow(closes: &mut [Vec<Option<f64>>]) {
    for (place, asset) in ASSETS.iter().enumerate() {
        let Some(leader) = leader(asset) else { continue };
        let Some(proportion) = ASSETS.get(leader).map(|leader| asset.price / leader.price) else { continue };
        let followed = closes.get(leader).cloned().unwrap_or_default();
        let own = followed.into_iter().map(|close| close.map(|close| (close * proportion).min(asset.all_time_high)));
        if let Some(slot) = closes.get_mut(place) {
            *slot = own.collect();
        }
    }
}

/// Daily factors on the supplies of all coins but Bitcoin, so that the market caps follow the story.
fn scale(market: &Market, closes: &[Vec<Option<f64>>], day_count: usize) -> Vec<f64> {
    let caps_now =
        ASSETS.iter().enumerate().filter(|(place, asset)| is_counted(asset) && market.trades(*place, start_time()));
    let caps_now = caps_now.map(|(place, asset)| asset.supply() * market.price(place, start_time())).collect();
    let bitcoin = market.position("BTC").unwrap_or_default();
    let support = outside_the_largest(caps_now) / market.price(bitcoin, start_time());
    let wanted = |offset: usize| -> f64 {
        let caps = closes
            .iter()
            .zip(ASSETS)
            .filter(|(_, asset)| is_counted(asset))
            .filter_map(|(closes, asset)| Some(closes.get(offset).copied()?? * supply_on(asset, offset)));
        let price = closes.get(bitcoin).and_then(|closes| closes.get(offset).copied().flatten()).unwrap_or(1.0);
        support * multiple(market.seed(), offset) * price / outside_the_largest(caps.collect())
    };
    let first_of_paths = offset_of(start_time().civil().date()).saturating_sub(HISTORY_DAYS as usize - 1);
    let mut scale: Vec<f64> = (0..first_of_paths.min(day_count)).map(wanted).collect();
    let mut from = first_of_paths;
    let mut begin = wanted(from);
    while from < day_count {
        let to = (from + SCALE_DAYS).min(day_count);
        let end = if to == day_count { 1.0 } else { wanted(to) };
        let part = |offset: usize| (offset - from) as f64 / (to - from) as f64;
        scale.extend((from..to).map(|offset| begin * (end / begin).powf(part(offset))));
        (from, begin) = (to, end);
    }
    scale
}

/// The supply on a day: today's, but for Terra's coin, of which there were a few hundred millions before its fall in
/// May 2022 and trillions after.
fn supply_on(asset: &Asset, offset: usize) -> f64 {
    const BEFORE_THE_FALL: f64 = 345e6;
    let [_, (fallen, _)] = TERRA_FALL;
    if asset.ticker == TERRA && offset < offset_of(fallen) { BEFORE_THE_FALL } else { asset.supply() }
}

/// True when sums include the asset's market cap. Wrapped and staked forms of another asset are counted with that
/// asset.
fn is_counted(asset: &Asset) -> bool {
    !asset.is_fiat() && !asset.has_category("wrapped-tokens") && !asset.has_category("liquid-staking-tokens")
}

/// The sum of the market caps from the 11th to the 125th. Bitcoin is among the largest regardless of the scale of the
/// others.
fn outside_the_largest(mut caps: Vec<f64>) -> f64 {
    caps.sort_by(|left, right| right.total_cmp(left));
    caps.iter().take(RANKED_MAX).skip(LARGEST).sum()
}

/// The story's multiple on a day, with a little noise that vanishes at the story's points.
fn multiple(seed: u64, offset: usize) -> f64 {
    let points = STORY.windows(2).filter_map(|pair| match pair {
        [(from, begin), (to, end)] => Some((offset_of(*from), *begin, offset_of(*to), *end)),
        _ => None,
    });
    for (from, begin, to, end) in points {
        if (from..=to).contains(&offset) {
            let done = (offset - from) as f64 / (to - from) as f64;
            let noise = 0.03 * 4.0 * done * (1.0 - done) * wander(mix(seed, 0x006F_7468), offset as f64 / 9.0);
            return begin * (end / begin).powf(done) * noise.exp();
        }
    }
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_rallies_are_told_and_nothing_is_above_its_high() {
        let market = Market::new(5);
        let past = market.daily_history();
        let tickers = past.tickers();
        assert_eq!(tickers[0], "BTC");
        let histories: Vec<Vec<DailyRecord>> = tickers.iter().map(|ticker| past.days(ticker)).collect();
        for (ticker, days) in tickers.iter().zip(&histories) {
            let figures = market.figures(ticker, start_time()).expect("simulated");
            for day in days {
                let ordered =
                    day.low <= day.open.min(day.close) && day.high >= day.open.max(day.close) && day.low > 0.0;
                assert!(ordered && day.market_cap > 0.0, "{ticker} {day:?}");
                assert!(day.high <= figures.all_time_high * 1.000_001, "{ticker} {day:?} {}", figures.all_time_high);
            }
            let last = days.last().expect("days");
            assert_eq!(last.day, start_time().day_start() - DAY, "{ticker}");
            assert!((last.close / figures.price).ln().abs() < 0.35, "{ticker}: {} then {}", last.close, figures.price);
        }
        // No sum of market caps is much larger than that of the start.
        let caps_on = |day: Timestamp| {
            let of_day = |days: &Vec<DailyRecord>| {
                let place = days.partition_point(|held| held.day < day);
                days.get(place).filter(|held| held.day == day).map(|held| held.market_cap)
            };
            histories.iter().filter_map(of_day).collect::<Vec<f64>>()
        };
        let total = |caps: &[f64]| caps.iter().sum::<f64>();
        let now = total(&caps_on(start_time().day_start() - DAY));
        for offset in (0..day_count()).step_by(3) {
            let caps = caps_on(day_of(offset));
            assert!(total(&caps) < 2.0 * now, "{} on {}", total(&caps), day_of(offset));
        }
        for ticker in ["USDT", "USDC", "DAI"] {
            let place = tickers.iter().position(|known| *known == ticker).expect("simulated");
            assert!(histories[place].iter().all(|day| (day.close - 1.0).abs() < 0.02), "{ticker} leaves its peg");
        }
        // The index as it is defined: ranks 11 to 125 of each day, over Bitcoin's price.
        let bitcoin = &histories[0];
        let is_ranked = |ticker: &str| market.position(ticker).is_some_and(|place| is_counted(&ASSETS[place]));
        let ranked = tickers.iter().zip(&histories).filter(|(ticker, _)| is_ranked(ticker));
        let counted: Vec<&Vec<DailyRecord>> = ranked.map(|(_, days)| days).collect();
        let quotient: Vec<f64> = (0..bitcoin.len())
            .map(|offset| {
                let day = bitcoin[offset].day;
                let of_day = |days: &Vec<DailyRecord>| {
                    let place = days.partition_point(|held| held.day < day);
                    days.get(place).filter(|held| held.day == day).map(|held| held.market_cap)
                };
                outside_the_largest(counted.iter().copied().filter_map(of_day).collect()) / bitcoin[offset].close
            })
            .collect();
        let at = |date| quotient[offset_of(date)];
        let rally = |from, to| (at(to) / at(from) - 1.0) * 100.0;
        assert!((rally(date(2017, 2, 20), date(2018, 1, 9)) - 423.0).abs() < 0.01);
        assert!((rally(date(2019, 12, 18), date(2021, 11, 10)) - 503.0).abs() < 0.01);
        let now = quotient.last().expect("days");
        assert!((now / at(date(2017, 2, 20)) - 1.0).abs() < 0.08, "{now} is not at the support");
        let extreme = |from, to, start: f64, pick: fn(f64, f64) -> f64| {
            quotient[offset_of(from)..=offset_of(to)].iter().copied().fold(start, pick)
        };
        assert_eq!(extreme(FIRST_DAY, date(2018, 1, 9), f64::INFINITY, f64::min), at(date(2017, 2, 20)));
        assert_eq!(extreme(date(2018, 1, 10), date(2026, 1, 14), 0.0, f64::max), at(date(2021, 11, 10)));
    }

    #[test]
    fn the_past_is_the_same_for_the_same_seed() {
        let (one, other) = (Market::new(9), Market::new(9));
        let days = one.daily_history().days("XMR");
        assert_eq!(days, other.daily_history().days("XMR"));
        let caps: Vec<(Timestamp, f64)> = days.iter().map(|day| (day.day, day.market_cap)).collect();
        assert_eq!(one.daily_history().market_caps("XMR"), caps);
        assert!(one.daily_history().days("NONE").is_empty());
        assert!(one.daily_history().days("EUR").is_empty());
    }
}
