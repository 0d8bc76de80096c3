//! Decimals as they are packed.

use crossmarket_domain::Decimal;

/// Significant digits that a packed number keeps.
pub(crate) const PACKED_DIGITS_MAX: u32 = 18;

const MANTISSA_LIMIT: u128 = 10u128.pow(PACKED_DIGITS_MAX);

/// A decimal as it is packed: `mantissa × 10^-scale`, with at most [`PACKED_DIGITS_MAX`] digits. The scale is negative for an integer that
/// lost digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// The digits.
    pub mantissa: i64,
    /// How many of them come after the point.
    pub scale: i8,
}

/// A number as it is packed, rounded half to even to [`PACKED_DIGITS_MAX`] digits when it has more.
pub(super) fn pack_decimal(number: Decimal) -> Number {
    let (mantissa, scale) = number.parts();
    let mut magnitude = mantissa.unsigned_abs();
    let mut dropped_digits = 0u32;
    if magnitude >= MANTISSA_LIMIT {
        dropped_digits = magnitude.ilog10() + 1 - PACKED_DIGITS_MAX;
        let divisor = 10u128.pow(dropped_digits);
        let (quotient, remainder) = (magnitude / divisor, magnitude % divisor);
        let round_up = remainder * 2 > divisor || (remainder * 2 == divisor && quotient % 2 == 1);
        magnitude = quotient + u128::from(round_up);
        // Within half a unit of the largest decimal there is nothing to round up to.
        if unpack_magnitude(magnitude, dropped_digits, scale).is_none() {
            magnitude = quotient;
        }
    }
    // At most 10^18 with a scale of -11 to 28, which both types hold.
    let signed = i64::try_from(magnitude).unwrap_or(i64::MAX) * mantissa.signum() as i64;
    Number { mantissa: signed, scale: (scale as i32 - dropped_digits as i32) as i8 }
}

fn unpack_magnitude(magnitude: u128, dropped_digits: u32, scale: u32) -> Option<Decimal> {
    let scale = i8::try_from(i64::from(scale) - i64::from(dropped_digits)).ok()?;
    unpack_decimal(Number { mantissa: i64::try_from(magnitude).ok()?, scale })
}

pub(super) fn unpack_decimal(number: Number) -> Option<Decimal> {
    let Number { mantissa, scale } = number;
    match u32::try_from(scale) {
        Ok(scale) => Decimal::from_parts(mantissa.into(), scale),
        Err(_) => {
            let factor = 10i128.checked_pow(u32::from(scale.unsigned_abs()))?;
            Decimal::from_parts(i128::from(mantissa).checked_mul(factor)?, 0)
        }
    }
}
