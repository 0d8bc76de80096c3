//! Helpers shared by all figures.

use crossmarket_domain::{Decimal, Timestamp};

/// A statistic and the data it is based on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The figure, in the unit that its function states.
    pub value: f64,
    /// Number of prices it is based on.
    pub observation_count: u32,
    /// Number of prices missing in its window.
    pub missing_count: u32,
    /// The time of the first price.
    pub start_time: Timestamp,
    /// The time of the last price.
    pub end_time: Timestamp,
}

/// The float nearest to a decimal, except possibly for the last bit. Statistics need no more, and where a product has
/// more digits than a float holds this is many times faster than [`Decimal::to_f64`].
pub(crate) fn float(decimal: Decimal) -> f64 {
    let (mantissa, scale) = decimal.parts();
    // Scales are at most 28, so the conversion loses nothing.
    mantissa as f64 / 10f64.powi(scale as i32)
}

/// A count for a published figure. No history is long enough to exceed the range.
pub(crate) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// `price / reference − 1`, in per cent. `None` unless the reference is positive.
pub fn change_percent(price: Decimal, reference: Decimal) -> Option<f64> {
    if !reference.is_positive() {
        return None;
    }
    // Subtract first: decimals are exact, so a price equal to its reference changes by exactly 0.
    let difference = price.checked_sub(reference)?;
    Some(100.0 * float(difference) / float(reference))
}
