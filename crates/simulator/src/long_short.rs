//! Long/short ratios of the simulated venues: most accounts are long, and more so in smaller assets.
//!
//! The logarithm of a ratio is linear in the logarithm of the rank, plus one part specific to the asset, one specific
//! to the venue and two that vary over time. Positions of top traders lean less to one side, taker volumes hardly at
//! all. Everything is a function of the seed, the asset, the kind and the time.

use std::sync::LazyLock;
use std::time::Duration;

use crossmarket_domain::{LongShortKind, Period, Timestamp};

use super::assets::ASSETS;
use super::exchange::{Exchange, Params, number};
use super::listings::Listing;
use super::noise::{mix, mix_text, normal, wander};

/// Open interest, as a share of the 24-hour volume.
pub const OPEN_INTEREST_SHARE: f64 = 0.4;

/// How far back the venues' statistics go.
const HISTORY: Duration = Duration::from_secs(30 * 86_400);

/// The logarithm of the ratio of the largest asset, and what the ratio gains until rank 500.
const LOG_RATIO_FIRST: f64 = -0.02;
const LOG_RATIO_RISE: f64 = 0.75;

const RANK_LAST: u32 = 500;

/// Ranks by market cap at the start, indexed like [`ASSETS`]. Ranks that move would make the ratios jump.
static RANKS: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let mut order: Vec<usize> = (0..ASSETS.len()).collect();
    let market_cap = |place: usize| ASSETS.get(place).map_or(0.0, |asset| asset.market_cap_millions);
    order.sort_by(|left, right| market_cap(*right).total_cmp(&market_cap(*left)));
    let mut ranks = vec![RANK_LAST; ASSETS.len()];
    for (place, rank) in order.into_iter().zip(1u32..) {
        if let Some(slot) = ranks.get_mut(place) {
            *slot = rank;
        }
    }
    ranks
});

/// The range of rows requested.
pub struct Rows {
    period: Period,
    from: Option<Timestamp>,
    /// Exclusive.
    to: Option<Timestamp>,
    limit: u32,
}

impl Rows {
    /// The newest rows of a period in a venue's words, those of the API's six in order; `None` for another word.
    pub fn of(params: &Params, name: &str, words: [&str; 6]) -> Option<Self> {
        let word = params.get(name)?;
        let place = words.iter().position(|known| known == word)?;
        Some(Self { period: *Period::ALL.get(place)?, from: None, to: None, limit: 30 })
    }

    /// Limits the rows, within the venue's default and maximum.
    pub fn limited(self, params: &Params, default: u32, max: u32) -> Self {
        Self { limit: super::exchange::limit(params, default, max), ..self }
    }

    /// With bounds in milliseconds, both inclusive, from the parameters of these names.
    pub fn between(self, params: &Params, from: &str, to: &str) -> Self {
        let from = number(params, from).map(Timestamp::from_millis);
        let to = number(params, to).map(|to| Timestamp::from_millis(to) + Duration::from_millis(1));
        Self { from, to, ..self }
    }

    /// From a time in seconds on.
    pub fn since_seconds(self, params: &Params, from: &str) -> Self {
        Self { from: number(params, from).map(Timestamp::from_seconds), ..self }
    }

    /// The rows' times, oldest first: the ends of the periods that have ended. With a start, the limit keeps the
    /// oldest rows, otherwise the newest.
    pub fn times(&self, now: Timestamp) -> Vec<Timestamp> {
        let length = self.period.duration();
        let newest = now.floor_to(length);
        let oldest = (now - HISTORY).floor_to(length);
        let first = self.from.map_or(oldest, |from| {
            let floor = from.floor_to(length);
            if floor < from { floor + length } else { floor }.max(oldest)
        });
        let last = self.to.map_or(newest, |to| (to - Duration::from_micros(1)).floor_to(length).min(newest));
        if last < first {
            return Vec::new();
        }
        let count = (last.since(first).as_secs() / length.as_secs() + 1).min(u64::from(self.limit));
        let begin = if self.from.is_some() { first } else { last - length * (count as u32 - 1) };
        (0..count as u32).map(|step| begin + length * step).collect()
    }

    /// Times and long shares, oldest first.
    pub fn shares(&self, exchange: &Exchange, listing: &Listing, kind: LongShortKind) -> Vec<(Timestamp, f64)> {
        let times = self.times(exchange.now()).into_iter();
        times.map(|time| (time, long_share(exchange, listing, kind, time))).collect()
    }
}

/// The long share of an asset at a venue.
pub fn long_share(exchange: &Exchange, listing: &Listing, kind: LongShortKind, time: Timestamp) -> f64 {
    let market = &exchange.market;
    let rank = RANKS.get(listing.asset_index()).copied().unwrap_or(RANK_LAST);
    let own = mix(mix(market.seed(), 0x6C6F_6E67), listing.asset_index() as u64);
    let of_kind = mix(own, kind as u64);
    let at_venue = mix_text(mix(market.seed(), 0x7661_7279), exchange.id());
    let hours = time.as_seconds() as f64 / 3_600.0;
    let line = LOG_RATIO_FIRST + LOG_RATIO_RISE * f64::from(rank).ln() / 500f64.ln();
    let (lean, spread, restless) = match kind {
        LongShortKind::GlobalAccount => (1.0, 0.10, 0.04),
        LongShortKind::TopTraderAccount => (0.9, 0.12, 0.05),
        LongShortKind::TopTraderPosition | LongShortKind::GlobalPosition => (0.4, 0.12, 0.04),
        LongShortKind::TakerVolume => (0.05, 0.02, 0.15),
    };
    let log_ratio = lean * line
        + spread * normal(of_kind)
        + 0.03 * normal(mix(at_venue, own))
        + 0.06 * lean * wander(mix(of_kind, 1), hours / 30.0)
        + restless * wander(mix(mix(of_kind, 2), at_venue), hours * 3.0);
    let ratio = log_ratio.exp();
    ratio / (1.0 + ratio)
}

/// A share with four places, as venues write it.
pub fn share_text(share: f64) -> String {
    format!("{share:.4}")
}

/// The ratio of a long share rounded to four places.
pub fn ratio_text(long_share: f64) -> String {
    format!("{:.4}", long_share / (1.0 - long_share))
}

/// Open interest at a time: in units of the contract, and in US dollars if the quote asset is worth a dollar.
pub fn open_interest(exchange: &Exchange, listing: &Listing, now: Timestamp) -> (f64, f64) {
    let ticker = listing.ticker(&exchange.market, now);
    let amount = (ticker.base_volume * OPEN_INTEREST_SHARE * 100.0).round() / 100.0;
    (amount, (amount * ticker.last * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(from: Option<i64>, to: Option<i64>, limit: u32) -> Rows {
        let at = |seconds: i64| Timestamp::from_seconds(seconds);
        Rows { period: Period::OneHour, from: from.map(at), to: to.map(at), limit }
    }

    #[test]
    fn rows_end_with_the_last_period_that_is_over() {
        let now = Timestamp::from_seconds(1_768_478_400 + 1_800);
        let hours = |rows: Rows| {
            let relative = |time: Timestamp| (time.as_seconds() - 1_768_478_400) / 3_600;
            rows.times(now).into_iter().map(relative).collect::<Vec<_>>()
        };
        assert_eq!(hours(rows(None, None, 3)), [-2, -1, 0]);
        assert_eq!(hours(rows(Some(1_768_478_400 - 7_200), None, 10)), [-2, -1, 0]);
        assert_eq!(hours(rows(Some(1_768_478_400 - 7_200), Some(1_768_478_400), 10)), [-2, -1]);
        assert_eq!(hours(rows(None, Some(1_768_478_400), 2)), [-2, -1]);
        assert_eq!(rows(None, None, 100_000).times(now).len(), 721, "thirty days");
        assert!(hours(rows(Some(1_768_478_400 + 3_600), None, 10)).is_empty());
    }
}
