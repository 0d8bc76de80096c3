//! Medians of exact decimals.

use crossmarket_domain::Decimal;

/// A price and its weight.
pub(super) type Weighted = (Decimal, u128);

/// The midpoint of two numbers. Exact unless that needs more than 28 decimal places, and never outside the two.
pub(super) fn midpoint(low: Decimal, high: Decimal) -> Decimal {
    if low == high {
        return low;
    }
    let sum = low.checked_add(high).and_then(|sum| sum.checked_div(Decimal::from(2)));
    sum.map_or(low, |middle| middle.clamp(low, high))
}

/// The median of sorted numbers: the middle one, or the midpoint of the two middle ones. `None` for an empty slice.
pub(super) fn median(sorted: &[Decimal]) -> Option<Decimal> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(midpoint(lower, upper))
}

/// The median absolute deviation of numbers from a centre, not scaled. Uses `deviations` as scratch space.
pub(super) fn absolute_deviation(
    numbers: &[Decimal],
    centre: Decimal,
    deviations: &mut Vec<Decimal>,
) -> Option<Decimal> {
    deviations.clear();
    deviations.extend(numbers.iter().map(|number| distance(*number, centre)));
    deviations.sort_unstable();
    median(deviations)
}

/// The distance between two numbers. Both are prices, far inside the range where a difference exists.
pub(super) fn distance(one: Decimal, other: Decimal) -> Decimal {
    let (low, high) = if one < other { (one, other) } else { (other, one) };
    high.checked_sub(low).unwrap_or(Decimal::ZERO)
}

/// The weighted median: the number with half of the weight on either side. It is one of the numbers, or the midpoint of
/// two when the weight splits exactly between them. Sorts `numbers`; numbers without weight do not count. `None` when
/// no number has weight.
pub(super) fn weighted_median(numbers: &mut [Weighted]) -> Option<Decimal> {
    numbers.sort_unstable();
    let total = numbers.iter().fold(0u128, |sum, (_, weight)| sum.saturating_add(*weight));
    let mut below = 0u128;
    let mut weighty = numbers.iter().filter(|(_, weight)| *weight > 0);
    while let Some((number, weight)) = weighty.next() {
        below = below.saturating_add(*weight);
        let above = total.saturating_sub(below);
        if below > above {
            return Some(*number);
        }
        if below == above {
            return Some(weighty.next().map_or(*number, |(next, _)| midpoint(*number, *next)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).expect(text)
    }

    fn check(numbers: &[(&str, u128)], expected: Option<&str>) {
        let mut weighted: Vec<_> = numbers.iter().map(|(text, weight)| (decimal(text), *weight)).collect();
        assert_eq!(weighted_median(&mut weighted), expected.map(decimal), "{numbers:?}");
    }

    #[test]
    fn half_of_the_weight_lies_on_either_side() {
        check(&[], None);
        check(&[("5", 0)], None);
        check(&[("5", 7)], Some("5"));
        check(&[("1", 1), ("2", 1)], Some("1.5"));
        check(&[("2", 1), ("1", 2)], Some("1"));
        check(&[("3", 1), ("1", 1), ("2", 1)], Some("2"));
        check(&[("1", 1), ("2", 0), ("4", 1)], Some("2.5"));
        check(&[("1", 2), ("2", 1), ("3", 3)], Some("2.5"));
        check(&[("1", 2), ("2", 1), ("3", 4)], Some("3"));
    }

    #[test]
    fn deviations_are_from_the_centre() {
        let numbers: Vec<_> = ["1", "1", "2", "2", "4", "6", "9"].map(decimal).to_vec();
        assert_eq!(median(&numbers), Some(decimal("2")));
        assert_eq!(absolute_deviation(&numbers, decimal("2"), &mut Vec::new()), Some(decimal("1")));
        assert_eq!(median(&[]), None);
    }
}
