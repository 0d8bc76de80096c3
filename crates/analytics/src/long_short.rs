//! Pools the long/short ratios of several venues, and shows how ratios are distributed over market-cap ranks.
//!
//! 1. Within one kind that venues define alike, the aggregate's long share is the mean of the venues' long *shares*,
//!    weighted by open interest in US dollars. Ratios are never averaged: the mean of 1/3 and 3 is no balance.
//! 2. A value older than its freshness TTL is stale. When no other is left, the last known values are carried.
//! 3. A value without open interest has no weight beside values that have one. When none has any, all weights are
//!    equal.
//! 4. Kinds that each venue defines in its own way ([`LongShortKind::is_pooled`]) are listed side by side and never
//!    pooled.

use std::time::Duration;

use smol_str::SmolStr;

use crate::numbers::float;
use crossmarket_domain::long_short::{LongShortContribution, LongShortMethod, LongShortStatus, Shares};
use crossmarket_domain::observation::OpenInterestUnit;
use crossmarket_domain::{Decimal, LongShortKind, Timestamp};

/// A venue's latest value of one kind and period for an asset.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The venue's id.
    pub venue: SmolStr,
    /// The instrument in our notation; empty when the venue has none for the asset.
    pub instrument: SmolStr,
    pub venue_symbol: SmolStr,
    /// False when the venue has no such series for the asset.
    pub is_offered: bool,
    /// The shares, with the venue's time and the receive time.
    pub shares: Option<(Shares, Timestamp, Timestamp)>,
    /// How long the shares are fresh.
    pub budget: Duration,
    /// Open interest in US dollars.
    pub open_interest: Option<Decimal>,
    /// Open interest as reported.
    pub observed_open_interest: Option<(Decimal, OpenInterestUnit)>,
    /// True for a simulated venue.
    pub simulated: bool,
}

impl Reading {
    /// When the reading becomes stale; `None` without shares.
    pub fn stale_since(&self) -> Option<Timestamp> {
        self.shares.map(|(_, event, receive)| event.min(receive) + self.budget)
    }

    /// The reading as a contribution with this weight.
    pub fn contribution(&self, weight: f64, status: LongShortStatus) -> LongShortContribution {
        LongShortContribution {
            venue: self.venue.clone(),
            instrument: self.instrument.clone(),
            venue_symbol: self.venue_symbol.clone(),
            shares: self.shares.map(|(shares, ..)| shares),
            weight,
            status,
            open_interest: self.open_interest,
            observed_open_interest: self.observed_open_interest,
            times: self.shares.map(|(_, event, receive)| (event, receive)),
            simulated: self.simulated,
        }
    }

    fn weight(&self) -> Option<f64> {
        self.open_interest.filter(|amount| amount.is_positive()).map(float)
    }
}

/// The pooled ratio of several venues.
#[derive(Clone, Debug, PartialEq)]
pub struct Pooled {
    /// The shares; absent when no venue has any, and for a kind that is not pooled.
    pub shares: Option<Shares>,
    /// Sum of the open interest of the venues used.
    pub open_interest: Option<Decimal>,
    /// The method used.
    pub method: LongShortMethod,
    /// One entry per reading, in the order given.
    pub contributions: Vec<LongShortContribution>,
    /// Index of the newest reading used.
    pub newest: Option<usize>,
}

/// Pools the venues' readings of one kind. Give them in a fixed order: sums of floats depend on it.
pub fn pool(kind: LongShortKind, readings: &[Reading], now: Timestamp) -> Pooled {
    let mut statuses: Vec<LongShortStatus> = readings.iter().map(|reading| appraise(reading, now)).collect();
    if !kind.is_pooled() {
        for status in &mut statuses {
            if *status == LongShortStatus::Used {
                *status = LongShortStatus::NotPooled;
            }
        }
        return finish(readings, &statuses, LongShortMethod::SingleVenue, false);
    }
    let carried = !statuses.contains(&LongShortStatus::Used);
    let candidate = if carried { LongShortStatus::Stale } else { LongShortStatus::Used };
    let with_weight =
        |(reading, status): (&Reading, &LongShortStatus)| *status == candidate && reading.weight().is_some();
    let weighted = readings.iter().zip(&statuses).any(with_weight);
    for (reading, status) in readings.iter().zip(&mut statuses) {
        if *status != candidate {
            continue;
        }
        *status = match (weighted && reading.weight().is_none(), carried) {
            (true, false) => LongShortStatus::NoOpenInterest,
            (true, true) => LongShortStatus::Stale,
            (false, false) => LongShortStatus::Used,
            (false, true) => LongShortStatus::Carried,
        };
    }
    let used_count = statuses.iter().filter(|status| counts(**status)).count();
    let method = match (carried, used_count, weighted) {
        (true, ..) => LongShortMethod::LastKnown,
        (false, 1, _) => LongShortMethod::SingleVenue,
        (false, _, true) => LongShortMethod::OpenInterestWeightedMean,
        (false, _, false) => LongShortMethod::Mean,
    };
    finish(readings, &statuses, method, weighted)
}

fn appraise(reading: &Reading, now: Timestamp) -> LongShortStatus {
    match reading.stale_since() {
        _ if !reading.is_offered => LongShortStatus::NotOffered,
        None => LongShortStatus::NoValue,
        Some(stale_since) if stale_since <= now => LongShortStatus::Stale,
        Some(_) => LongShortStatus::Used,
    }
}

fn counts(status: LongShortStatus) -> bool {
    matches!(status, LongShortStatus::Used | LongShortStatus::Carried)
}

fn finish(readings: &[Reading], statuses: &[LongShortStatus], method: LongShortMethod, weighted: bool) -> Pooled {
    let weight_of = |reading: &Reading, status: LongShortStatus| match (counts(status), weighted) {
        (false, _) => 0.0,
        (true, true) => reading.weight().unwrap_or(0.0),
        (true, false) => 1.0,
    };
    let weights: Vec<f64> =
        readings.iter().zip(statuses).map(|(reading, status)| weight_of(reading, *status)).collect();
    let total: f64 = weights.iter().sum();
    let share = |weight: f64| if total > 0.0 { weight / total } else { 0.0 };
    let mut long_share = 0.0;
    let mut open_interest: Option<Decimal> = None;
    let mut newest: Option<(Timestamp, usize)> = None;
    for (place, ((reading, status), weight)) in readings.iter().zip(statuses).zip(&weights).enumerate() {
        let Some((shares, event_time, _)) = reading.shares.filter(|_| counts(*status)) else { continue };
        long_share += shares.long_share * share(*weight);
        if let Some(amount) = reading.open_interest {
            open_interest = open_interest.map_or(Some(amount), |sum| sum.checked_add(amount));
        }
        newest = newest.max(Some((event_time, place)));
    }
    let contribution = |((reading, status), weight): ((&Reading, &LongShortStatus), &f64)| {
        reading.contribution(share(*weight), *status)
    };
    Pooled {
        shares: newest.and_then(|_| Shares::of_long_share(long_share)),
        open_interest,
        method,
        contributions: readings.iter().zip(statuses).zip(&weights).map(contribution).collect(),
        newest: newest.map(|(_, place)| place),
    }
}

/// An asset in the distribution of ratios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// Rank by market cap, from 1.
    pub rank: u32,
    pub shares: Shares,
    /// The asset's RSI of 14 daily closes.
    pub rsi_14d: Option<f64>,
}

/// A range of ranks, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// First rank, from 1.
    pub rank_min: u32,
    /// Last rank.
    pub rank_max: u32,
}

impl Tier {
    fn contains(self, rank: u32) -> bool {
        (self.rank_min..=self.rank_max).contains(&rank)
    }
}

/// The default tiers.
pub const DEFAULT_TIERS: [Tier; 5] = [
    Tier { rank_min: 1, rank_max: 10 },
    Tier { rank_min: 11, rank_max: 50 },
    Tier { rank_min: 51, rank_max: 100 },
    Tier { rank_min: 101, rank_max: 200 },
    Tier { rank_min: 201, rank_max: 500 },
];

/// The ratios of one tier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TierFigures {
    /// The ranks.
    pub tier: Tier,
    /// Assets with a ratio.
    pub count: usize,
    /// Assets with a ratio above 1.
    pub above_one_count: usize,
    pub median_ratio: Option<f64>,
    /// Plain mean of the long shares.
    pub mean_long_share: Option<f64>,
    pub median_rsi_14d: Option<f64>,
    /// Assets with an RSI.
    pub rsi_count: usize,
}

/// The distribution of ratios over ranks.
#[derive(Clone, Debug, PartialEq)]
pub struct Breadth {
    /// The tiers, by rank.
    pub tiers: Vec<TierFigures>,
    /// The assets of all tiers together.
    pub overall: TierFigures,
    /// Spearman's rho of rank and ratio: above 0, ratios rise as market caps fall.
    pub rank_correlation: Option<f64>,
    /// Number of assets in the correlation.
    pub rank_correlation_count: usize,
}

/// How ratios are distributed over tiers, and whether they rise with rank.
pub fn breadth(assets: &[Ranked], tiers: &[Tier]) -> Breadth {
    let mut ordered = tiers.to_vec();
    ordered.sort_by_key(|tier| (tier.rank_min, tier.rank_max));
    let within = |asset: &&Ranked| ordered.iter().any(|tier| tier.contains(asset.rank));
    let all: Vec<Ranked> = assets.iter().filter(within).copied().collect();
    let bounds = Tier {
        rank_min: ordered.iter().map(|tier| tier.rank_min).min().unwrap_or(1),
        rank_max: ordered.iter().map(|tier| tier.rank_max).max().unwrap_or(1),
    };
    let ranks: Vec<f64> = all.iter().map(|asset| f64::from(asset.rank)).collect();
    let ratios: Vec<f64> = all.iter().map(|asset| asset.shares.ratio).collect();
    let figures_of = |tier: &Tier| {
        let of_tier: Vec<Ranked> = all.iter().filter(|asset| tier.contains(asset.rank)).copied().collect();
        figures(*tier, &of_tier)
    };
    Breadth {
        tiers: ordered.iter().map(figures_of).collect(),
        overall: figures(bounds, &all),
        rank_correlation: spearman(&ranks, &ratios),
        rank_correlation_count: all.len(),
    }
}

fn figures(tier: Tier, assets: &[Ranked]) -> TierFigures {
    let mut ratios: Vec<f64> = assets.iter().map(|asset| asset.shares.ratio).collect();
    let mut rsis: Vec<f64> = assets.iter().filter_map(|asset| asset.rsi_14d).collect();
    let share_sum: f64 = assets.iter().map(|asset| asset.shares.long_share).sum();
    TierFigures {
        tier,
        count: assets.len(),
        above_one_count: ratios.iter().filter(|ratio| **ratio > 1.0).count(),
        median_ratio: median(&mut ratios),
        mean_long_share: (!assets.is_empty()).then(|| share_sum / assets.len() as f64),
        rsi_count: rsis.len(),
        median_rsi_14d: median(&mut rsis),
    }
}

/// The middle value, or the midpoint of the two middle values. Sorts the slice.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().checked_sub(1)? / 2)?;
    Some((lower + upper) / 2.0)
}

/// Minimum number of pairs for a rank correlation.
const CORRELATION_COUNT_MIN: usize = 3;

/// Spearman's rank correlation of pairs (C. Spearman, 1904): Pearson's correlation of the ranks, where equal values
/// share the mean of their ranks. `None` with fewer than three pairs, or when one side does not vary.
fn spearman(left: &[f64], right: &[f64]) -> Option<f64> {
    if left.len() != right.len() || left.len() < CORRELATION_COUNT_MIN {
        return None;
    }
    let (left, right) = (mean_ranks(left), mean_ranks(right));
    // With or without ties, the mean of the ranks 1 to n is the same.
    let mean = (left.len() as f64 + 1.0) / 2.0;
    let (mut product, mut left_square, mut right_square) = (0.0, 0.0, 0.0);
    for (left, right) in left.iter().zip(&right) {
        let (left, right) = (left - mean, right - mean);
        product += left * right;
        left_square += left * left;
        right_square += right * right;
    }
    let scale = (left_square * right_square).sqrt();
    (scale > 0.0).then(|| (product / scale).clamp(-1.0, 1.0))
}

/// Each value's rank from 1; equal values share the mean of their ranks.
fn mean_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(f64, usize)> = values.iter().copied().zip(0..).collect();
    order.sort_by(|left, right| left.0.total_cmp(&right.0));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 1;
    for equal in order.chunk_by(|left, right| left.0 == right.0) {
        let mean = first as f64 + (equal.len() as f64 - 1.0) / 2.0;
        for (_, place) in equal {
            if let Some(rank) = ranks.get_mut(*place) {
                *rank = mean;
            }
        }
        first += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_768_478_400 + seconds)
    }

    fn reading(venue: &str, long_share: f64, open_interest: Option<i64>) -> Reading {
        Reading {
            venue: venue.into(),
            instrument: "BTC/USDT:perpetual".into(),
            venue_symbol: "BTCUSDT".into(),
            is_offered: true,
            shares: Shares::of_long_share(long_share).map(|shares| (shares, at(0), at(5))),
            budget: Duration::from_secs(600),
            open_interest: open_interest.map(Decimal::from),
            observed_open_interest: None,
            simulated: false,
        }
    }

    fn pooled(readings: &[Reading], now: i64) -> Pooled {
        pool(LongShortKind::GlobalAccount, readings, at(now))
    }

    fn statuses(pooled: &Pooled) -> Vec<LongShortStatus> {
        pooled.contributions.iter().map(|contribution| contribution.status).collect()
    }

    #[test]
    fn weighs_shares_by_open_interest_and_never_averages_ratios() {
        let readings = [reading("a", 0.75, Some(300)), reading("b", 0.25, Some(100))];
        let pooled = pooled(&readings, 10);
        let shares = pooled.shares.expect("two venues");
        assert!((shares.long_share - 0.625).abs() < 1e-12, "{shares:?}");
        assert!(
            (shares.ratio - 0.625 / 0.375).abs() < 1e-12,
            "the mean of the ratios 3 and 1/3 would be 1.667 by chance of equal weights"
        );
        assert_eq!(pooled.open_interest, Some(Decimal::from(400)));
        assert_eq!(pooled.method, LongShortMethod::OpenInterestWeightedMean);
        let weights: Vec<f64> = pooled.contributions.iter().map(|contribution| contribution.weight).collect();
        assert_eq!(weights, [0.75, 0.25]);
    }

    #[test]
    fn every_venue_is_told_with_what_became_of_it() {
        use LongShortStatus::{NoOpenInterest, NoValue, NotOffered, Stale, Used};
        let stale = Reading { budget: Duration::from_secs(1), ..reading("stale", 0.9, Some(1_000)) };
        let absent = Reading { is_offered: false, shares: None, ..reading("absent", 0.5, None) };
        let empty = Reading { shares: None, ..reading("empty", 0.5, Some(5)) };
        let zero = reading("zero", 0.1, Some(0));
        let readings = [
            reading("a", 0.6, Some(10)),
            stale,
            absent,
            empty,
            reading("b", 0.7, None),
            zero,
            reading("c", 0.4, Some(30)),
        ];
        let pooled = pooled(&readings, 10);
        assert_eq!(statuses(&pooled), [Used, Stale, NotOffered, NoValue, NoOpenInterest, NoOpenInterest, Used]);
        assert!((pooled.shares.expect("two used").long_share - 0.45).abs() < 1e-12);
        assert_eq!(pooled.newest, Some(6));
    }

    #[test]
    fn without_any_open_interest_all_weights_are_equal() {
        let pooled = pooled(&[reading("a", 0.6, None), reading("b", 0.4, None)], 10);
        assert_eq!(pooled.method, LongShortMethod::Mean);
        assert!((pooled.shares.expect("two").long_share - 0.5).abs() < 1e-12);
        assert_eq!(pooled.open_interest, None);
    }

    #[test]
    fn what_is_stale_is_carried_only_when_nothing_else_is_left() {
        let readings = [reading("a", 0.6, Some(1)), reading("b", 0.4, Some(3))];
        let late = pooled(&readings, 700);
        assert_eq!(late.method, LongShortMethod::LastKnown);
        assert_eq!(statuses(&late), [LongShortStatus::Carried, LongShortStatus::Carried]);
        assert!((late.shares.expect("carried").long_share - 0.45).abs() < 1e-12);
        let nothing = pooled(&[Reading { shares: None, ..reading("a", 0.5, None) }], 10);
        assert_eq!((nothing.shares, nothing.newest), (None, None));
    }

    #[test]
    fn kinds_that_venues_define_themselves_are_not_pooled() {
        let readings = [reading("a", 0.6, Some(1)), reading("b", 0.4, Some(3))];
        for kind in LongShortKind::ALL {
            let pooled = pool(kind, &readings, at(10));
            assert_eq!(pooled.shares.is_some(), kind.is_pooled(), "{kind:?}");
            let expected = if kind.is_pooled() { LongShortStatus::Used } else { LongShortStatus::NotPooled };
            assert_eq!(statuses(&pooled), [expected; 2], "{kind:?}");
        }
    }

    fn ranked(rank: u32, long_share: f64, rsi_14d: Option<f64>) -> Ranked {
        Ranked { rank, shares: Shares::of_long_share(long_share).expect("both sides"), rsi_14d }
    }

    #[test]
    fn tiers_have_their_own_figures() {
        let assets = [
            ranked(1, 0.40, Some(30.0)),
            ranked(5, 0.60, None),
            ranked(10, 0.50, Some(70.0)),
            ranked(11, 0.75, Some(60.0)),
            ranked(600, 0.99, None),
        ];
        let breadth = breadth(&assets, &[DEFAULT_TIERS[1], DEFAULT_TIERS[0], DEFAULT_TIERS[2]]);
        let [first, second, third] = breadth.tiers.as_slice() else { panic!("three tiers") };
        assert_eq!((first.tier, first.count, first.above_one_count, first.rsi_count), (DEFAULT_TIERS[0], 3, 1, 2));
        assert_eq!((first.median_ratio, first.median_rsi_14d), (Some(1.0), Some(50.0)));
        assert!((first.mean_long_share.expect("three") - 0.5).abs() < 1e-12);
        assert_eq!((second.count, second.median_ratio), (1, Some(3.0)));
        assert_eq!(
            (third.count, third.median_ratio, third.mean_long_share, third.median_rsi_14d),
            (0, None, None, None)
        );
        assert_eq!((breadth.overall.count, breadth.overall.tier), (4, Tier { rank_min: 1, rank_max: 100 }));
        assert_eq!(breadth.rank_correlation_count, 4);
        assert!((breadth.rank_correlation.expect("four") - 0.8).abs() < 1e-12, "{:?}", breadth.rank_correlation);
    }

    #[test]
    fn rank_correlation_takes_ties_by_their_mean_rank() {
        // Worked by hand: ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4.
        let rho = spearman(&[1.0, 2.0, 2.0, 3.0], &[10.0, 30.0, 20.0, 40.0]).expect("varies");
        assert!((rho - 4.5 / (4.5f64 * 5.0).sqrt()).abs() < 1e-12, "{rho}");
        assert_eq!(spearman(&[1.0, 2.0], &[1.0, 2.0]), None, "too few");
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[5.0, 5.0, 5.0]), None, "no variation");
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[9.0, 8.0, 1.0]), Some(-1.0));
    }

    proptest! {
        #[test]
        fn the_aggregate_lies_between_its_venues(
            venues in prop::collection::vec((0.001f64..0.999, prop::option::of(0i64..1_000_000)), 1..8),
        ) {
            let readings: Vec<Reading> =
                venues.iter().map(|(share, open_interest)| reading("v", *share, *open_interest)).collect();
            let pooled = pooled(&readings, 10);
            let used = || pooled.contributions.iter().filter(|one| one.status == LongShortStatus::Used);
            let share = pooled.shares.expect("one at least").long_share;
            let of = |one: &LongShortContribution| one.shares.expect("used").long_share;
            let (low, high) = (used().map(of).fold(1.0, f64::min), used().map(of).fold(0.0, f64::max));
            prop_assert!(share >= low - 1e-9 && share <= high + 1e-9, "{low} {share} {high}");
            prop_assert!((used().map(|one| one.weight).sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(pooled.contributions.iter().all(|one| one.status == LongShortStatus::Used || one.weight == 0.0));
        }

        #[test]
        fn rank_correlation_is_bounded_and_symmetric(pairs in prop::collection::vec((0u8..20, 0u8..20), 0..60)) {
            let left: Vec<f64> = pairs.iter().map(|(left, _)| f64::from(*left)).collect();
            let right: Vec<f64> = pairs.iter().map(|(_, right)| f64::from(*right)).collect();
            let (one, other) = (spearman(&left, &right), spearman(&right, &left));
            prop_assert_eq!(one.is_some(), other.is_some());
            if let (Some(one), Some(other)) = (one, other) {
                prop_assert!((one - other).abs() < 1e-12 && (-1.0..=1.0).contains(&one));
                let negated: Vec<f64> = left.iter().map(|value| -value).collect();
                prop_assert!((spearman(&negated, &right).expect("varies too") + one).abs() < 1e-12);
            }
        }
    }
}
