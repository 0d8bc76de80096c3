//! Baskets: indices that hold units of assets, reweighted on a schedule and chain-linked.
//!
//! `level = Σ units × price / divisor`. A rebalancing sets the units from the new weights. It sets the divisor so that
//! the new units give the same level as the old ones at the same prices: a change of constituents never moves the
//! level. Between rebalancings, weights drift with the prices.
//!
//! *Weights* are equal, proportional to market caps, or proportional with a cap per constituent. The weight above the
//! cap is distributed to the others in proportion to their weights, repeatedly until none exceeds the cap. With too few
//! constituents for the cap (`count × cap < 1`), weights are equal.
//!
//! *Missing days.* A day on which a constituent has no price has no level. A constituent without a price for more than
//! [`AWAITED_DAYS_MAX`] consecutive days is removed at the prices of the last day that had a level, by chain-linking
//! there. The days between stay missing.

#[cfg(test)]
mod tests;

use super::daily::{Daily, Day};
use crate::numbers::count;

/// How many days a constituent may lack a price before it is removed.
const AWAITED_DAYS_MAX: i32 = 7;

/// Total value of the units of an equally weighted basket when they are set, in US dollars. It only affects the scale.
const NOTIONAL: f64 = 1e6;

/// How weights are set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weighting {
    /// The same for each.
    Equal,
    MarketCap,
    /// By market cap, with a cap on each weight.
    CappedMarketCap {
        /// The cap: a share greater than 0 and at most 1.
        weight_max: f64,
    },
}

/// When the basket is rebalanced: at the close of the last UTC day of each period, or of the first later day with a
/// known level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Schedule {
    /// Only at the start.
    Never,
    /// Calendar weeks, Monday to Sunday.
    Weekly,
    /// Months.
    Monthly,
    /// Quarters, from January.
    Quarterly,
}

/// The rules of a basket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RebalanceRule {
    pub weighting: Weighting,
    pub schedule: Schedule,
    /// The day of the first level. If it has no constituent, the first later day that has one.
    pub base_day: Day,
    /// The first level, greater than 0.
    pub base_level: f64,
    /// At each rebalancing, only this many of the largest by market cap; ties by their order among the members. `None`
    /// takes all.
    pub constituent_count_max: Option<usize>,
}

/// An asset that the basket may hold.
#[derive(Clone, Copy, Debug)]
pub struct Constituent<'a> {
    /// Daily closes in US dollars.
    pub closes: &'a Daily,
    /// Daily market caps in US dollars. Needed on the day of a rebalancing unless weights are equal and all members are
    /// taken.
    pub market_caps: &'a Daily,
}

/// A position in an asset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// The asset's index among the members.
    pub member: usize,
    pub units: f64,
}

/// The positions of a basket between two rebalancings.
#[derive(Clone, Debug, PartialEq)]
pub struct Composition {
    /// By their weight when they were set, largest first.
    pub holdings: Vec<Position>,
    /// `level = Σ units × price / divisor`, greater than 0.
    pub divisor: f64,
    /// The day at whose close the holdings were set.
    pub set_day: Day,
}

impl Composition {
    /// Sets holdings by weight, so that the level at these prices is `level`. `None` unless prices, weights and level
    /// are all finite and greater than 0.
    ///
    /// `entries` are member, weight and price; weights need not sum to 1. Together the units are worth `notional`,
    /// which sets the scale.
    pub fn new(entries: &[(usize, f64, f64)], level: f64, notional: f64, set_day: Day) -> Option<Self> {
        let usable = |value: f64| value.is_finite() && value > 0.0;
        let are_usable = entries.iter().all(|(_, weight, price)| usable(*weight) && usable(*price));
        if entries.is_empty() || !are_usable || !usable(level) || !usable(notional) {
            return None;
        }
        let weight_sum: f64 = entries.iter().map(|(_, weight, _)| weight).sum();
        let mut sorted = entries.to_vec();
        sorted.sort_by(|(left, left_weight, _), (right, right_weight, _)| {
            right_weight.total_cmp(left_weight).then_with(|| left.cmp(right))
        });
        let held = |(member, weight, price): &(usize, f64, f64)| Position {
            member: *member,
            units: weight / weight_sum * notional / price,
        };
        let holdings: Vec<Position> = sorted.iter().map(held).collect();
        let value: f64 = holdings.iter().zip(&sorted).map(|(holding, (_, _, price))| holding.units * price).sum();
        let divisor = value / level;
        usable(divisor).then_some(Self { holdings, divisor, set_day })
    }

    /// The level at the members' prices. `None` when a held asset has no price.
    pub fn level(&self, mut price: impl FnMut(usize) -> Option<f64>) -> Option<f64> {
        let mut value = 0.0;
        for holding in &self.holdings {
            value += holding.units * price(holding.member)?;
        }
        Some(value / self.divisor)
    }

    /// The weights at the members' prices, in the order of the holdings; they sum to 1. `None` when a held asset has no
    /// price.
    pub fn weights(&self, mut price: impl FnMut(usize) -> Option<f64>) -> Option<Vec<f64>> {
        let values: Option<Vec<f64>> =
            self.holdings.iter().map(|holding| Some(holding.units * price(holding.member)?)).collect();
        let values = values?;
        let sum: f64 = values.iter().sum();
        (sum > 0.0).then(|| values.iter().map(|value| value / sum).collect())
    }

    /// Each holding's contribution to the level's change since earlier prices, in percentage points, in the order of
    /// the holdings. They sum to the level's change in per cent, provided that the composition has not changed since.
    /// `None` when a held asset has no price.
    pub fn contributions_percent(
        &self,
        mut before: impl FnMut(usize) -> Option<f64>,
        mut now: impl FnMut(usize) -> Option<f64>,
    ) -> Option<Vec<f64>> {
        let level_before = self.level(&mut before)? * self.divisor;
        let moved = |holding: &Position| {
            Some(100.0 * holding.units * (now(holding.member)? - before(holding.member)?) / level_before)
        };
        self.holdings.iter().map(moved).collect()
    }

    /// The basket without some members, with the same level at these prices. `None` when nothing is left.
    fn without(&self, gone: &[usize], day: Day, mut price: impl FnMut(usize) -> Option<f64>) -> Option<Self> {
        let level = self.level(&mut price)?;
        let holdings: Vec<Position> =
            self.holdings.iter().filter(|holding| !gone.contains(&holding.member)).copied().collect();
        let rest = Self { holdings, divisor: 1.0, set_day: day };
        let divisor = rest.level(price)? / level;
        (divisor.is_finite() && divisor > 0.0).then_some(Self { divisor, ..rest })
    }
}

/// A basket's history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BasketHistory {
    pub levels: Daily,
    /// The holdings at the end. `None` while the basket has not begun.
    pub composition: Option<Composition>,
    /// The days at whose close the holdings were set, including the first, oldest first.
    pub rebalance_days: Vec<Day>,
    /// Number of days since the start without a level.
    pub missing_count: u32,
}

/// Computes a basket from its base day to `until`, inclusive.
pub fn history(members: &[Constituent<'_>], rule: &RebalanceRule, until: Day) -> BasketHistory {
    let last_price = members.iter().filter_map(|member| member.closes.last_day()).max();
    let first_price = members.iter().filter_map(|member| member.closes.first_day()).min();
    let (Some(first), Some(last)) = (first_price, last_price) else { return BasketHistory::default() };
    let mut basket = Basket { members, rule, history: BasketHistory::default(), complete: None, is_due: false };
    let mut levels = Vec::new();
    for day in (rule.base_day.max(first).number()..=until.min(last).number()).map(Day::from_number) {
        match basket.close(day) {
            Some(level) => levels.push((day, level)),
            None if basket.history.composition.is_some() => basket.history.missing_count += 1,
            None => {}
        }
    }
    BasketHistory { levels: Daily::new(levels), ..basket.history }
}

/// The last day of the period that contains `day`; a basket is rebalanced at its close. `None` for [`Schedule::Never`].
pub fn period_end(schedule: Schedule, day: Day) -> Option<Day> {
    let date = day.start().civil().date();
    let month_end = |month: i8| {
        let (year, next_month) = if month == 12 { (date.year().checked_add(1)?, 1) } else { (date.year(), month + 1) };
        Some(Day::from_date(year, next_month, 1)?.plus(-1))
    };
    match schedule {
        Schedule::Never => None,
        Schedule::Weekly => Some(Day::from_number(day.week().saturating_mul(7).saturating_add(3))),
        Schedule::Monthly => month_end(date.month()),
        Schedule::Quarterly => month_end((date.month() + 2) / 3 * 3),
    }
}

/// Shares proportional to positive `sizes`, none above `weight_max`; they sum to 1. The excess is distributed to the
/// others in proportion to their shares until none exceeds the cap. When the cap is too low for all, shares are equal.
/// Sizes that are not finite and positive weigh 0.
pub fn capped_weights(sizes: &[f64], weight_max: f64) -> Vec<f64> {
    let sizes: Vec<f64> = sizes.iter().map(|size| if size.is_finite() { size.max(0.0) } else { 0.0 }).collect();
    let positive_count = sizes.iter().filter(|size| **size > 0.0).count();
    if positive_count == 0 {
        return sizes;
    }
    // NaN and caps that are too low become the lowest possible cap.
    let weight_max = weight_max.max(1.0 / positive_count as f64).min(1.0);
    let mut is_capped = vec![false; sizes.len()];
    let mut capped_count = 0;
    // Every round but the last caps at least one more size, so there are no more rounds than sizes.
    loop {
        let free: f64 = sizes.iter().zip(&is_capped).filter(|(_, capped)| !**capped).map(|(size, _)| size).sum();
        let share = (1.0 - weight_max * capped_count as f64).max(0.0);
        let scale = if free > 0.0 { share / free } else { 0.0 };
        let above = sizes.iter().zip(&mut is_capped).filter(|(size, capped)| !**capped && **size * scale > weight_max);
        let above_count = above.map(|(_, capped)| *capped = true).count();
        if above_count == 0 {
            let weight = |(size, capped): (&f64, &bool)| if *capped { weight_max } else { size * scale };
            return sizes.iter().zip(&is_capped).map(weight).collect();
        }
        capped_count += above_count;
    }
}

/// The state of a basket as the days are processed.
struct Basket<'a> {
    members: &'a [Constituent<'a>],
    rule: &'a RebalanceRule,
    history: BasketHistory,
    /// The last day that had a level, and the level.
    complete: Option<(Day, f64)>,
    /// True when a period has ended since the last rebalancing.
    is_due: bool,
}

impl Basket<'_> {
    /// Computes the level of the next day, then rebalances if that is due.
    fn close(&mut self, day: Day) -> Option<f64> {
        if self.history.composition.is_none() {
            let base = self.compose(day, self.rule.base_level)?;
            return self.set(base, day, self.rule.base_level);
        }
        self.take_out_gone(day);
        self.is_due |= period_end(self.rule.schedule, day) == Some(day);
        let level = self.history.composition.as_ref()?.level(|member| self.price(member, day))?;
        self.complete = Some((day, level));
        if self.is_due
            && let Some(composition) = self.compose(day, level)
        {
            self.set(composition, day, level);
        }
        Some(level)
    }

    fn price(&self, member: usize, day: Day) -> Option<f64> {
        self.members.get(member)?.closes.get(day)
    }

    fn set(&mut self, composition: Composition, day: Day, level: f64) -> Option<f64> {
        self.history.composition = Some(composition);
        self.history.rebalance_days.push(day);
        self.is_due = false;
        self.complete = Some((day, level));
        Some(level)
    }

    /// The holdings that the rules give at the close of a day, at this level.
    fn compose(&self, day: Day, level: f64) -> Option<Composition> {
        let needs_caps = self.rule.weighting != Weighting::Equal || self.rule.constituent_count_max.is_some();
        let mut entries: Vec<(usize, f64, f64)> = Vec::new();
        for (index, member) in self.members.iter().enumerate() {
            let cap = member.market_caps.get(day);
            let (Some(price), false) = (member.closes.get(day), needs_caps && cap.is_none()) else { continue };
            entries.push((index, cap.unwrap_or(1.0), price));
        }
        if let Some(most) = self.rule.constituent_count_max {
            entries.sort_by(|(_, left, _), (_, right, _)| right.total_cmp(left));
            entries.truncate(most);
        }
        let caps: Vec<f64> = entries.iter().map(|(_, cap, _)| *cap).collect();
        let (weights, notional) = match self.rule.weighting {
            Weighting::Equal => (vec![1.0; caps.len()], NOTIONAL),
            Weighting::MarketCap => (capped_weights(&caps, 1.0), caps.iter().sum()),
            Weighting::CappedMarketCap { weight_max } => (capped_weights(&caps, weight_max), caps.iter().sum()),
        };
        for ((_, weight, _), set) in entries.iter_mut().zip(weights) {
            *weight = set;
        }
        Composition::new(&entries, level, notional, day)
    }

    /// Removes constituents that have had no price for too long, at the prices of the last day that had a level.
    fn take_out_gone(&mut self, day: Day) {
        let (Some(composition), Some((complete_day, _))) = (&self.history.composition, self.complete) else { return };
        if day.since(complete_day) <= AWAITED_DAYS_MAX {
            return;
        }
        let is_gone = |member: &usize| {
            let last = self.members.get(*member).and_then(|member| member.closes.at_or_before(day));
            last.is_none_or(|(last_day, _)| day.since(last_day) > AWAITED_DAYS_MAX)
        };
        let gone: Vec<usize> = composition.holdings.iter().map(|holding| holding.member).filter(is_gone).collect();
        if gone.is_empty() {
            return;
        }
        if let Some(rest) = composition.without(&gone, day, |member| self.price(member, complete_day)) {
            self.history.composition = Some(rest);
        }
    }
}

impl BasketHistory {
    /// Number of days with a level.
    pub fn observation_count(&self) -> u32 {
        count(self.levels.count())
    }
}
