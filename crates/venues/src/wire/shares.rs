//! Normalized long and short shares.

use crossmarket_domain::observation::LongShort;
use crossmarket_domain::{Decimal, LongShortKind, Period};

/// Builds the pair from two shares, of which a part may be missing (locked): each is divided by their sum. `None` when
/// a side is 0, since the ratio does not exist then.
pub(crate) fn long_short_of_shares(
    kind: LongShortKind,
    period: Option<Period>,
    long: Decimal,
    short: Decimal,
) -> Option<LongShort> {
    if !long.is_positive() || !short.is_positive() {
        return None;
    }
    let (long, short) = (long.to_f64(), short.to_f64());
    let sum = long + short;
    let ratio = long / short;
    normal_form(LongShort { kind, period, long_share: long / sum, short_share: short / sum, ratio })
}

/// Builds the pair from the ratio alone. `None` for 0, which venues write when there was nothing to compare.
pub(crate) fn long_short_of_ratio(kind: LongShortKind, period: Option<Period>, ratio: Decimal) -> Option<LongShort> {
    let ratio = Some(ratio.to_f64()).filter(|ratio| ratio.is_finite() && *ratio > 0.0)?;
    let short_share = 1.0 / (1.0 + ratio);
    let long_share = ratio / (1.0 + ratio);
    normal_form(LongShort { kind, period, long_share, short_share, ratio })
}

/// A pair with shares above 0 and below 1. `None` when one side is so small that the other rounds to 1.
fn normal_form(pair: LongShort) -> Option<LongShort> {
    let within = |share: f64| share > 0.0 && share < 1.0;
    let ratio_is_usable = pair.ratio.is_finite() && pair.ratio > 0.0;
    (ratio_is_usable && within(pair.long_share) && within(pair.short_share)).then_some(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).expect("a number")
    }

    #[test]
    fn turns_shares_and_ratios_into_the_normal_form() {
        let kind = LongShortKind::GlobalAccount;
        let both = long_short_of_shares(kind, None, decimal("0.48"), decimal("0.32")).expect("a ratio");
        assert!((both.long_share - 0.6).abs() < 1e-12 && (both.short_share - 0.4).abs() < 1e-12);
        assert!((both.ratio - 1.5).abs() < 1e-12);
        let one = long_short_of_ratio(kind, None, decimal("3")).expect("a ratio");
        assert_eq!((one.long_share, one.short_share, one.ratio), (0.75, 0.25, 3.0));
        assert_eq!(long_short_of_ratio(kind, None, Decimal::ZERO), None);
        assert_eq!(long_short_of_shares(kind, None, Decimal::ONE, Decimal::ZERO), None);
        let (tiny, huge) = (decimal("0.00000000000000000001"), decimal("100000000000000000000"));
        assert_eq!(long_short_of_shares(kind, None, tiny, Decimal::ONE), None);
        assert_eq!(long_short_of_shares(kind, None, Decimal::ONE, tiny), None);
        assert_eq!(long_short_of_ratio(kind, None, tiny), None);
        assert_eq!(long_short_of_ratio(kind, None, huge), None);
    }
}
