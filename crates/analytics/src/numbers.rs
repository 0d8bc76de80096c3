//! Small helpers of all figures.

use crossmarket_domain::{Decimal, Timestamp};

/// A statistic and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The figure, in the unit that its function states.
    pub value: f64,
    /// How many prices it rests on.
    pub observation_count: u32,
    /// How many prices are missing in its window.
    pub missing_count: u32,
    /// The time of the first price.
    pub start_time: Timestamp,
    /// The time of the last price.
    pub end_time: Timestamp,
}

/// The float nearest to a decimal but for the last bit. Statistics need no more, and it is many times as fast as
/// [`Decimal::to_f64`] where a product has more digits than a float holds.
pub(crate) fn float(decimal: Decimal) -> f64 {
    let (mantissa, scale) = decimal.parts();
    // Scales reach 28 at most, so the conversion loses nothing.
    mantissa as f64 / 10f64.powi(scale as i32)
}

/// A count for a published figure; histories are far shorter than what does not fit.
pub(crate) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// `price / reference − 1`, in per cent. `None` unless the reference is positive.
pub fn change_percent(price: Decimal, reference: Decimal) -> Option<f64> {
    if !reference.is_positive() {
        return None;
    }
    // The difference is exact, so that a price equal to its reference changes by exactly 0.
    let difference = price.checked_sub(reference)?;
    Some(100.0 * float(difference) / float(reference))
}
