//! Indices that are sums of market caps: `TOTAL`, `TOTAL2`, `TOTAL3`, `OTHERS`, and Bitcoin's share in `TOTAL`.
//!
//! The ranking is by market cap, largest first, ties by ticker. All indices are based on the same 125 largest assets:
//! `TOTAL2` excludes Bitcoin, `TOTAL3` excludes Bitcoin and Ether, `OTHERS` excludes the 10 largest, whichever they
//! are. The caller chooses which assets are ranked. Market caps are in US dollars.

use super::daily::{Daily, Day};
use crate::numbers::count;
use crossmarket_domain::{BITCOIN, ETHEREUM};

/// Number of assets in `TOTAL`.
const CONSTITUENT_COUNT_MAX: usize = 125;

/// Number of the largest assets that `OTHERS` excludes.
const LARGEST_COUNT: usize = 10;

/// How many days an asset may lack market caps before it counts as gone.
const AWAITED_DAYS_MAX: i32 = 30;

/// A sum of market caps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CapIndex {
    /// The 125 largest.
    Total,
    /// Without Bitcoin.
    Total2,
    /// Without Bitcoin and Ether.
    Total3,
    /// Without the 10 largest.
    Others,
}

impl CapIndex {
    pub const ALL: [Self; 4] = [Self::Total, Self::Total2, Self::Total3, Self::Others];

    /// `TOTAL`, `TOTAL2`, `TOTAL3` or `OTHERS`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Total => "TOTAL",
            Self::Total2 => "TOTAL2",
            Self::Total3 => "TOTAL3",
            Self::Others => "OTHERS",
        }
    }

    /// True when an asset belongs to the index; ranks start at 0.
    fn holds(self, rank: usize, asset: &str) -> bool {
        match self {
            Self::Total => true,
            Self::Total2 => asset != BITCOIN,
            Self::Total3 => asset != BITCOIN && asset != ETHEREUM,
            Self::Others => rank >= LARGEST_COUNT,
        }
    }
}

/// An asset in a ranking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked<'a> {
    pub asset: &'a str,
    pub market_cap: f64,
    /// The asset's index in the ranked input.
    pub source: usize,
}

/// The 125 largest assets at one time, by rank.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranking<'a> {
    ranked: Vec<Ranked<'a>>,
}

impl<'a> Ranking<'a> {
    /// Ranks assets. A market cap that is not finite and greater than 0 counts as absent.
    pub fn new(market_caps: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        let known = market_caps.into_iter().enumerate();
        let ranked = known.map(|(source, (asset, market_cap))| Ranked { asset, market_cap, source });
        let mut ranked: Vec<Ranked<'a>> =
            ranked.filter(|one| one.market_cap.is_finite() && one.market_cap > 0.0).collect();
        let order = |left: &Ranked<'_>, right: &Ranked<'_>| {
            right.market_cap.total_cmp(&left.market_cap).then_with(|| left.asset.cmp(right.asset))
        };
        if ranked.len() > CONSTITUENT_COUNT_MAX {
            ranked.select_nth_unstable_by(CONSTITUENT_COUNT_MAX, order);
            ranked.truncate(CONSTITUENT_COUNT_MAX);
        }
        ranked.sort_unstable_by(order);
        Self { ranked }
    }

    /// The constituents of an index, largest first. Each one's weight is its market cap / [`Self::level`].
    pub fn constituents(&self, index: CapIndex) -> impl Iterator<Item = Ranked<'a>> + '_ {
        self.ranked.iter().enumerate().filter(move |(rank, one)| index.holds(*rank, one.asset)).map(|(_, one)| *one)
    }

    /// The sum of an index. `None` without constituents.
    pub fn level(&self, index: CapIndex) -> Option<f64> {
        let sum: f64 = self.constituents(index).map(|one| one.market_cap).sum();
        (sum > 0.0).then_some(sum)
    }

    /// An asset's share in `TOTAL`, in per cent. `None` when it is not among the constituents.
    pub fn dominance_percent(&self, asset: &str) -> Option<f64> {
        let market_cap = self.ranked.iter().find(|one| one.asset == asset)?.market_cap;
        Some(100.0 * market_cap / self.level(CapIndex::Total)?)
    }

    /// The smallest market cap in the ranking; 0 while it is not full.
    fn least(&self) -> f64 {
        self.ranked.get(CONSTITUENT_COUNT_MAX - 1).map_or(0.0, |one| one.market_cap)
    }
}

/// The daily histories of all the sums.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CapHistories {
    /// In the order of [`CapIndex::ALL`].
    sums: [Daily; 4],
    /// `BTC.D`, in per cent.
    pub btc_dominance: Daily,
    /// Number of days without a level because a constituent's market cap is missing.
    pub missing_count: u32,
}

impl CapHistories {
    /// The history of an index.
    pub fn of(&self, index: CapIndex) -> &Daily {
        let [total, total2, total3, others] = &self.sums;
        match index {
            CapIndex::Total => total,
            CapIndex::Total2 => total2,
            CapIndex::Total3 => total3,
            CapIndex::Others => others,
        }
    }
}

/// Computes the histories from `from` to `until`, both inclusive, from the assets' market caps by ticker.
///
/// A day is missing if an asset has no market cap on it but would be a constituent by its last known one. So a gap in
/// the data never looks like a fall of the market. An asset counts as gone when it has no later market caps and has had
/// none for more than [`AWAITED_DAYS_MAX`] days before the newest known day. From its last day on, the sums continue
/// without it.
pub fn histories(assets: &[(&str, &Daily)], from: Day, until: Day) -> CapHistories {
    let days = |(_, caps): &(&str, &Daily)| Some((caps.first_day()?, caps.last_day()?));
    let Some(first) = assets.iter().filter_map(|asset| Some(days(asset)?.0)).min() else {
        return CapHistories::default();
    };
    let newest = assets.iter().filter_map(|asset| Some(days(asset)?.1)).max().unwrap_or(first).min(until);
    let mut points: [Vec<(Day, f64)>; 5] = Default::default();
    let mut last_known = vec![0.0; assets.len()];
    let mut caps_of_day = Vec::with_capacity(assets.len());
    let mut missing_count = 0;
    for day in (first.number()..=newest.number()).map(Day::from_number) {
        caps_of_day.clear();
        let mut largest_missing = 0.0_f64;
        for ((asset, caps), known) in assets.iter().zip(&mut last_known) {
            let last_day = caps.last_day().unwrap_or(first);
            match caps.get(day) {
                Some(cap) => {
                    *known = cap;
                    caps_of_day.push((*asset, cap));
                }
                None if day < last_day || newest.since(last_day) <= AWAITED_DAYS_MAX => {
                    largest_missing = largest_missing.max(*known);
                }
                None => *known = 0.0,
            }
        }
        if day < from {
            continue;
        }
        let ranking = Ranking::new(caps_of_day.iter().copied());
        if largest_missing > ranking.least() {
            missing_count += 1;
            continue;
        }
        let sums = CapIndex::ALL.map(|index| ranking.level(index));
        for (points, level) in points.iter_mut().zip(sums.into_iter().chain([ranking.dominance_percent(BITCOIN)])) {
            points.extend(level.map(|level| (day, level)));
        }
    }
    let [total, total2, total3, others, dominance] = points.map(Daily::new);
    CapHistories {
        sums: [total, total2, total3, others],
        btc_dominance: dominance,
        missing_count: count(missing_count),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(number: i32) -> Day {
        Day::from_number(number)
    }

    /// Values from day 0; 0 means a missing day.
    fn series(values: &[f64]) -> Daily {
        Daily::new((0..).zip(values).map(|(number, value)| (day(number), *value)))
    }

    #[test]
    fn the_sums_are_of_the_largest() {
        // 200 assets of 1 to 200, BTC the largest and ETH the fourth.
        let names: Vec<String> = (1..=200).map(|cap| format!("A{cap}")).collect();
        let ticker = |cap: usize| match cap {
            200 => BITCOIN,
            197 => ETHEREUM,
            _ => names[cap - 1].as_str(),
        };
        let ranking = Ranking::new((1..=200usize).map(|cap| (ticker(cap), cap as f64)));
        let sum = |from: u32, to: u32| f64::from((from..=to).sum::<u32>());
        let check = |index: CapIndex, expected: f64, length: usize| {
            assert_eq!(ranking.level(index), Some(expected), "{index:?}");
            assert_eq!(ranking.constituents(index).count(), length, "{index:?}");
        };
        check(CapIndex::Total, sum(76, 200), 125);
        check(CapIndex::Total2, sum(76, 199), 124);
        check(CapIndex::Total3, sum(76, 199) - 197.0, 123);
        check(CapIndex::Others, sum(76, 190), 115);
        assert_eq!(ranking.dominance_percent(BITCOIN), Some(100.0 * 200.0 / sum(76, 200)));
        assert_eq!(ranking.dominance_percent("A75"), None);
        let largest = ranking.constituents(CapIndex::Total2).next();
        assert_eq!(largest, Some(Ranked { asset: "A199", market_cap: 199.0, source: 198 }));
    }

    #[test]
    fn an_empty_sum_is_none() {
        let alone = Ranking::new([(BITCOIN, 5.0), ("X", 0.0), ("Y", f64::NAN)]);
        assert_eq!(CapIndex::ALL.map(|index| alone.level(index)), [Some(5.0), None, None, None]);
        assert_eq!(Ranking::new([]).level(CapIndex::Total), None);
    }

    #[test]
    fn equal_market_caps_are_ranked_by_ticker() {
        let names: Vec<String> = (0..130).map(|number| format!("A{number:03}")).collect();
        let ranking = Ranking::new(names.iter().rev().map(|name| (name.as_str(), 1.0)));
        let last = ranking.constituents(CapIndex::Others).last().map(|one| one.asset);
        assert_eq!(last, Some("A124"));
    }

    #[test]
    fn a_hole_is_a_missing_day_and_an_end_is_none() {
        let whole = series(&[10.0; 50]);
        let hole = series(&[5.0, 0.0, 5.0, 5.0]);
        let late = series(&[0.0, 0.0, 0.0, 3.0]);
        let levels = |assets: &[(&str, &Daily)]| {
            let found = histories(assets, day(0), day(1_000));
            let total: Vec<Option<f64>> = (0..5).map(|number| found.of(CapIndex::Total).get(day(number))).collect();
            (total, found.missing_count)
        };
        let found = levels(&[(BITCOIN, &whole), ("X", &hole), ("Y", &late)]);
        assert_eq!(found, (vec![Some(15.0), None, Some(15.0), Some(18.0), Some(10.0)], 1));
        // It ended so recently that it may just not have been collected yet.
        let short = series(&[10.0; 6]);
        let found = levels(&[(BITCOIN, &short), ("X", &hole)]);
        assert_eq!(found, (vec![Some(15.0), None, Some(15.0), Some(15.0), None], 3));
    }

    #[test]
    fn a_hole_below_the_smallest_constituent_does_not_matter() {
        let names: Vec<String> = (0..125).map(|number| format!("A{number:03}")).collect();
        let large = series(&[10.0; 3]);
        let (small, as_large) = (series(&[10.0, 0.0, 10.0]), series(&[11.0, 0.0, 11.0]));
        let with = |odd: &Daily| {
            let mut assets: Vec<(&str, &Daily)> = names.iter().map(|name| (name.as_str(), &large)).collect();
            assets.push(("ZZZ", odd));
            histories(&assets, day(0), day(2)).missing_count
        };
        assert_eq!((with(&small), with(&as_large)), (0, 1));
    }

    proptest! {
        #[test]
        fn histories_are_the_rankings_of_each_day(caps in prop::collection::vec(prop::collection::vec(1f64..1e12, 8), 1..20)) {
            let names: Vec<String> = (0..caps.len()).map(|number| if number == 0 { BITCOIN.into() } else { format!("A{number}") }).collect();
            let columns: Vec<Daily> = caps.iter().map(|values| series(values)).collect();
            let assets: Vec<(&str, &Daily)> = names.iter().map(String::as_str).zip(&columns).collect();
            let found = histories(&assets, day(2), day(6));
            for number in 0..8 {
                let of_day = caps.iter().map(|values| values[number]);
                let ranking = Ranking::new(names.iter().map(String::as_str).zip(of_day));
                let inside = (2..=6).contains(&number);
                for index in CapIndex::ALL {
                    prop_assert_eq!(found.of(index).get(day(number as i32)), ranking.level(index).filter(|_| inside));
                }
                prop_assert_eq!(found.btc_dominance.get(day(number as i32)), ranking.dominance_percent(BITCOIN).filter(|_| inside));
            }
        }
    }
}
