//! Altcoin season: how many of the largest altcoins outperformed Bitcoin over a window. The definition follows the
//! Altcoin Season Index of blockchaincenter.net. Universe, ties and exclusions are specified here so that differing
//! readings can be told apart.
//!
//! 1. *Ranking.* Assets are ranked by market cap on the window's last day, largest first, ties by ticker. Bitcoin is
//!    ranked too. If no asset but Bitcoin has a market cap for that day, today's ranks are used and the answer says so:
//!    today's ranks favour survivors.
//! 2. *Universe.* The first `universe_size` that are neither Bitcoin nor stablecoins, wrapped, staked or asset-backed
//!    tokens or currencies. Assets skipped on the way are listed with the reason. An asset without a price at either
//!    end is skipped too, unless its history begins after the window did: such a young asset keeps its place but is
//!    left out.
//! 3. *Returns.* The close of the last day over the close of the day `window_days` before, − 1. No day is replaced by a
//!    neighbour.
//! 4. *Score.* 100 × (constituents whose return is greater than Bitcoin's) / constituents. An equal return does not
//!    count.

#[cfg(test)]
mod tests;

use super::daily::{Daily, Day};
use crate::numbers::count;
use crossmarket_domain::state::AssetKind;

/// Default number of altcoins to compare.
pub const UNIVERSE_SIZE_DEFAULT: usize = 50;

/// Default length of the window in days.
pub const WINDOW_DAYS_DEFAULT: u32 = 90;

/// Minimum score of an altcoin season.
pub const ALTCOIN_SEASON_SCORE_MIN: f64 = 75.0;

/// Maximum score of a bitcoin season.
pub const BITCOIN_SEASON_SCORE_MAX: f64 = 25.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeasonParameters {
    /// Number of altcoins to compare.
    pub universe_size: usize,
    /// The length of the window in days, at least 1.
    pub window_days: u32,
    /// The window's last day.
    pub as_of: Day,
}

impl SeasonParameters {
    /// The first day of the window. Returns begin at its close.
    pub fn start(&self) -> Day {
        self.as_of.plus(i32::try_from(self.window_days).map_or(i32::MIN, |days| -days))
    }
}

/// An asset that may be a constituent.
#[derive(Clone, Copy, Debug)]
pub struct SeasonCandidate<'a> {
    /// The ticker, which breaks ties.
    pub asset: &'a str,
    pub kind: AssetKind,
    /// Daily closes in US dollars. For a day that has not ended, this may be its price so far.
    pub closes: &'a Daily,
    /// Daily market caps in US dollars; empty when none are known.
    pub market_caps: &'a Daily,
    /// Today's rank.
    pub current_rank: Option<u32>,
}

/// The score and the data it is based on.
#[derive(Clone, Debug, PartialEq)]
pub struct Season {
    /// From 0 to 100. `None` without a constituent or without Bitcoin's return.
    pub score: Option<f64>,
    /// The meaning of the score.
    pub label: Option<Label>,
    /// Bitcoin's return in per cent.
    pub btc_return_percent: Option<f64>,
    /// The compared assets, by rank. Empty without Bitcoin's return.
    pub constituents: Vec<SeasonConstituent>,
    /// The assets left out, by rank, those without a rank last.
    pub excluded: Vec<Excluded>,
    /// Number of constituents that outperformed Bitcoin.
    pub beat_btc_count: u32,
    /// True for the ranking of the window's last day, false for today's.
    pub ranked_at_end: bool,
}

/// The meaning of a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// At least [`ALTCOIN_SEASON_SCORE_MIN`].
    AltcoinSeason,
    /// At most [`BITCOIN_SEASON_SCORE_MAX`].
    BitcoinSeason,
    /// Between them.
    Neutral,
}

impl Label {
    /// Classifies a score.
    pub fn of(score: f64) -> Self {
        match score {
            score if score >= ALTCOIN_SEASON_SCORE_MIN => Self::AltcoinSeason,
            score if score <= BITCOIN_SEASON_SCORE_MAX => Self::BitcoinSeason,
            _ => Self::Neutral,
        }
    }
}

/// A compared altcoin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeasonConstituent {
    /// Its index among the candidates.
    pub candidate: usize,
    /// The rank used, 1 for the largest; Bitcoin and excluded assets have ranks too.
    pub market_cap_rank: u32,
    /// The price at the start of the window.
    pub start_price: f64,
    pub end_price: f64,
    /// Its return in per cent.
    pub return_percent: f64,
    /// True when that is greater than Bitcoin's.
    pub beat_btc: bool,
}

/// An asset that ranks high enough and was left out, or that cannot be ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excluded {
    /// Its index among the candidates.
    pub candidate: usize,
    /// Its place in the ranking used; `None` for [`Reason::NoMarketCap`].
    pub market_cap_rank: Option<u32>,
    /// Why.
    pub reason: Reason,
}

/// Why an asset was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is pegged to a currency, or is one.
    Stablecoin,
    /// It is a wrapped or bridged form of another asset.
    Wrapped,
    /// It is a staked form of another asset.
    Staked,
    /// It is backed by an asset outside crypto.
    AssetBacked,
    /// Its history begins after the window.
    InsufficientHistory,
    /// It has no price at an end of the window.
    NoData,
    /// It has market caps of other days, but not of the window's last.
    NoMarketCap,
}

impl Reason {
    fn of_kind(kind: AssetKind) -> Option<Self> {
        match kind {
            AssetKind::Coin => None,
            AssetKind::Stablecoin | AssetKind::Fiat => Some(Self::Stablecoin),
            AssetKind::Wrapped => Some(Self::Wrapped),
            AssetKind::Staked => Some(Self::Staked),
            AssetKind::AssetBacked => Some(Self::AssetBacked),
        }
    }
}

/// The score of one window. `btc` is Bitcoin's index among the candidates.
pub fn season(candidates: &[SeasonCandidate<'_>], btc: Option<usize>, parameters: SeasonParameters) -> Season {
    let (start, end) = (parameters.start(), parameters.as_of);
    let (ranking, ranked_at_end) = rank(candidates, btc, end);
    let btc_growth = btc.and_then(|index| candidates.get(index)).and_then(|candidate| {
        let growth = candidate.closes.get(end)? / candidate.closes.get(start)?;
        Some(growth)
    });
    let mut season = Season {
        score: None,
        label: None,
        btc_return_percent: btc_growth.map(percent),
        constituents: Vec::with_capacity(parameters.universe_size.min(ranking.len())),
        excluded: Vec::new(),
        beat_btc_count: 0,
        ranked_at_end,
    };
    let mut place_count = 0;
    for (market_cap_rank, index) in (1..).zip(&ranking) {
        if place_count >= parameters.universe_size {
            break;
        }
        let Some(candidate) = candidates.get(*index).filter(|_| Some(*index) != btc) else { continue };
        let prices = candidate.closes.get(start).zip(candidate.closes.get(end));
        match (Reason::of_kind(candidate.kind), prices) {
            (None, Some((start_price, end_price))) => {
                place_count += 1;
                if let Some(btc_growth) = btc_growth {
                    let growth = end_price / start_price;
                    season.constituents.push(SeasonConstituent {
                        candidate: *index,
                        market_cap_rank,
                        start_price,
                        end_price,
                        return_percent: percent(growth),
                        beat_btc: growth > btc_growth,
                    });
                }
            }
            (kind_reason, _) => {
                let is_young = candidate.closes.first_day().is_some_and(|first| start < first && first <= end);
                let without_price = if is_young { Reason::InsufficientHistory } else { Reason::NoData };
                let reason = kind_reason.unwrap_or(without_price);
                place_count += usize::from(reason == Reason::InsufficientHistory);
                season.excluded.push(Excluded { candidate: *index, market_cap_rank: Some(market_cap_rank), reason });
            }
        }
    }
    if ranked_at_end {
        season.excluded.extend(unranked(candidates, end));
    }
    season.beat_btc_count = count(season.constituents.iter().filter(|constituent| constituent.beat_btc).count());
    if !season.constituents.is_empty() {
        let score = 100.0 * f64::from(season.beat_btc_count) / season.constituents.len() as f64;
        season.score = Some(score);
        season.label = Some(Label::of(score));
    }
    season
}

/// The seasons of every day from `from` to `until`. A day without a score stays without one; it is not filled from its
/// neighbours.
pub fn history<'a>(
    candidates: &'a [SeasonCandidate<'a>],
    btc: Option<usize>,
    parameters: SeasonParameters,
    from: Day,
    until: Day,
) -> impl DoubleEndedIterator<Item = (Day, Season)> + 'a {
    // There is no score without Bitcoin's price, so Bitcoin's history bounds the work.
    let btc_days = btc.and_then(|index| {
        let closes = candidates.get(index)?.closes;
        Some((closes.first_day()?.max(from), closes.last_day()?.min(until)))
    });
    let days = btc_days.into_iter().flat_map(|(first, last)| first.number()..=last.number());
    days.map(Day::from_number).filter_map(move |as_of| {
        let season = season(candidates, btc, SeasonParameters { as_of, ..parameters });
        season.score.is_some().then_some((as_of, season))
    })
}

fn percent(growth: f64) -> f64 {
    100.0 * (growth - 1.0)
}

/// The ranked candidates in order of rank, and whether the ranks are those of `end`.
fn rank(candidates: &[SeasonCandidate<'_>], btc: Option<usize>, end: Day) -> (Vec<usize>, bool) {
    let ticker = |index: usize| candidates.get(index).map(|candidate| candidate.asset);
    let mut by_cap: Vec<(f64, usize)> = candidates
        .iter()
        .enumerate()
        .filter_map(|(index, candidate)| Some((candidate.market_caps.get(end)?, index)))
        .collect();
    if by_cap.iter().any(|(_, index)| Some(*index) != btc) {
        by_cap.sort_unstable_by(|(left_cap, left), (right_cap, right)| {
            right_cap.total_cmp(left_cap).then_with(|| ticker(*left).cmp(&ticker(*right)))
        });
        return (by_cap.into_iter().map(|(_, index)| index).collect(), true);
    }
    let mut by_rank: Vec<(u32, usize)> =
        candidates.iter().enumerate().filter_map(|(index, candidate)| Some((candidate.current_rank?, index))).collect();
    by_rank.sort_unstable_by(|(left_rank, left), (right_rank, right)| {
        left_rank.cmp(right_rank).then_with(|| ticker(*left).cmp(&ticker(*right)))
    });
    (by_rank.into_iter().map(|(_, index)| index).collect(), false)
}

/// Coins that have market caps, but none for `end`. Coins without any market cap are unknown to the listings and are
/// not reported.
fn unranked<'a>(candidates: &'a [SeasonCandidate<'a>], end: Day) -> impl Iterator<Item = Excluded> + 'a {
    let lacks_only_that_day = move |candidate: &SeasonCandidate<'_>| {
        candidate.kind == AssetKind::Coin
            && !candidate.market_caps.is_empty()
            && candidate.market_caps.get(end).is_none()
            && candidate.closes.first_day().is_some_and(|first| first <= end)
    };
    candidates
        .iter()
        .enumerate()
        .filter(move |(_, candidate)| lacks_only_that_day(candidate))
        .map(|(index, _)| Excluded { candidate: index, market_cap_rank: None, reason: Reason::NoMarketCap })
}
