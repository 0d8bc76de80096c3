//! Exact decimal numbers for money and quantities.

use std::fmt;
use std::str::FromStr;

use minicbor::data::Type;
use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use rust_decimal::prelude::ToPrimitive;

use super::stored;

/// Longest text accepted as a number, in bytes. Venues send at most about 40; anything longer is an attack or a mistake.
pub const DECIMAL_TEXT_LEN_MAX: usize = 64;

const SCALE_MAX: u32 = 28;
const MANTISSA_MAX: u128 = (1 << 96) - 1;

/// An exact decimal: a 96-bit integer and a scale of 0 to 28 decimal places.
///
/// The scale is kept as observed, so `"1792.84000000"` prints as it came; [`Decimal::normalized`] drops the trailing
/// zeros. Equality and order are by value. A text with more digits than 96 bits hold (28 always fit) is rounded half to
/// even in its last place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Decimal(rust_decimal::Decimal);

/// Why a text is not a decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// The text is empty.
    #[error("empty text is not a number")]
    Empty,
    /// The text is longer than [`DECIMAL_TEXT_LEN_MAX`].
    #[error("a number may have at most {DECIMAL_TEXT_LEN_MAX} characters")]
    TooLong,
    /// The text is not `-?digits[.digits][e[+-]digits]`.
    #[error("not a decimal number")]
    Syntax,
    /// The value does not fit in 96 bits.
    #[error("number out of range")]
    OutOfRange,
}

impl Decimal {
    /// The number 0.
    pub const ZERO: Self = Self(rust_decimal::Decimal::ZERO);
    /// The number 1.
    pub const ONE: Self = Self(rust_decimal::Decimal::ONE);

    /// `mantissa × 10^-scale`, or `None` when it does not fit in 96 bits and 28 places.
    pub fn from_parts(mantissa: i128, scale: u32) -> Option<Self> {
        rust_decimal::Decimal::try_from_i128_with_scale(mantissa, scale).ok().map(Self)
    }

    /// The mantissa and the scale: the value is `mantissa × 10^-scale`.
    pub fn parts(self) -> (i128, u32) {
        (self.0.mantissa(), self.0.scale())
    }

    /// Reads a number as venues write them: an optional minus, digits, an optional fraction, an optional exponent.
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        Self::parse_bytes(text.as_bytes())
    }

    /// [`Decimal::parse`] of bytes that need not be UTF-8.
    pub fn parse_bytes(text: &[u8]) -> Result<Self, DecimalError> {
        let (negative, digits) = match text {
            [] => return Err(DecimalError::Empty),
            [b'-', rest @ ..] => (true, rest),
            all => (false, all),
        };
        if text.len() > DECIMAL_TEXT_LEN_MAX {
            return Err(DecimalError::TooLong);
        }
        // Up to 19 digits fit in a u64, which is nearly every number that a venue sends.
        if digits.len() <= 20
            && let Some(plain) = parse_short(digits, negative)
        {
            return plain;
        }
        parse_long(digits, negative)
    }

    /// The nearest decimal of a finite float, by its shortest text that reads back the same; `None` for NaN, an
    /// infinity, or a magnitude that does not fit.
    pub fn from_f64(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        Self::parse(&format!("{value}")).or_else(|_| Self::parse(&format!("{value:e}"))).ok()
    }

    /// The nearest float.
    pub fn to_f64(self) -> f64 {
        let (mantissa, scale) = self.parts();
        // Both factors are exact below 2^53 and 10^22, and then one correctly rounded division is the nearest float.
        if mantissa.unsigned_abs() < 1 << 53 && scale <= 22 {
            return mantissa as f64 / 10f64.powi(scale as i32);
        }
        self.0.to_string().parse().unwrap_or_else(|_| self.0.to_f64().unwrap_or(0.0))
    }

    /// The same value without trailing zeros.
    pub fn normalized(self) -> Self {
        Self(self.0.normalize())
    }

    /// The value without trailing zeros, as the API carries it.
    pub fn to_text(self) -> String {
        let (mantissa, scale) = self.parts();
        // Most values fit, and division by ten costs ten times as much in 96 bits.
        let Ok(mut digits) = u64::try_from(mantissa.unsigned_abs()) else { return self.normalized().to_string() };
        let mut places = scale as usize;
        while places > 0 && digits.is_multiple_of(10) {
            digits /= 10;
            places -= 1;
        }
        let mut text = digits.to_string();
        if places > 0 {
            let missing = (places + 1).saturating_sub(text.len());
            text.insert_str(0, &"0".repeat(missing));
            text.insert(text.len() - places, '.');
        }
        if mantissa < 0 {
            text.insert(0, '-');
        }
        text
    }

    /// Rounded half to even to `places` decimal places.
    pub fn rounded(self, places: u32) -> Self {
        Self(self.0.round_dp(places))
    }

    /// Rounded half to even to `digits` significant digits.
    pub fn rounded_to_significant(self, digits: u32) -> Self {
        self.0.round_sf(digits).map_or(self, Self)
    }

    /// True for 0.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// True above 0.
    pub fn is_positive(self) -> bool {
        !self.0.is_zero() && self.0.is_sign_positive()
    }

    /// The product, or `None` on overflow. Digits past the 28th place are rounded.
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        self.0.checked_mul(other.0).map(Self)
    }

    /// The quotient, or `None` on overflow or division by 0. Digits past the 28th place are rounded.
    pub fn checked_div(self, other: Self) -> Option<Self> {
        self.0.checked_div(other.0).map(Self)
    }

    /// The sum, or `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` on overflow.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        Self::parse(text)
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Self(value.into())
    }
}

/// Stored as mantissa and scale. A mantissa beyond 64 bits is 16 bytes, big-endian, two's complement.
impl<C> Encode<C> for Decimal {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let (mantissa, scale) = self.parts();
        encoder.array(2)?;
        match i64::try_from(mantissa) {
            Ok(mantissa) => encoder.i64(mantissa)?,
            Err(_) => encoder.bytes(&mantissa.to_be_bytes())?,
        };
        encoder.u32(scale)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Decimal {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = decoder.position();
        let wrong = || decode::Error::message("not a decimal").at(at);
        if stored::array_len(decoder)? != 2 {
            return Err(wrong());
        }
        let mantissa = if decoder.datatype()? == Type::Bytes {
            i128::from_be_bytes(decoder.bytes()?.try_into().map_err(|_| wrong())?)
        } else {
            decoder.i64()?.into()
        };
        Self::from_parts(mantissa, decoder.u32()?).ok_or_else(wrong)
    }
}

stored::in_tuples!(Decimal);

/// Reads at most 19 digits with at most one point; `None` hands everything else to [`parse_long`].
#[inline]
fn parse_short(text: &[u8], negative: bool) -> Option<Result<Decimal, DecimalError>> {
    let (whole, whole_len) = leading_digits(text, 0);
    let (mantissa, scale) = match text.get(whole_len) {
        None => (whole, 0),
        Some(b'.') => {
            let fraction = &text[whole_len + 1..];
            let (mantissa, fraction_len) = match eight_digits(fraction) {
                // Most venues write 8 places.
                Some(value) => (whole.wrapping_mul(100_000_000).wrapping_add(value), 8),
                None => leading_digits(fraction, whole),
            };
            if fraction_len == 0 || fraction_len != fraction.len() {
                return None;
            }
            (mantissa, fraction_len)
        }
        Some(_) => return None,
    };
    if whole_len == 0 || whole_len + scale > 19 {
        return None;
    }
    let (low, middle) = (mantissa as u32, (mantissa >> 32) as u32);
    Some(Ok(Decimal(rust_decimal::Decimal::from_parts(low, middle, 0, negative && mantissa != 0, scale as u32))))
}

/// Appends the decimal digits in front of `text` to `value`, and says how many they are. The value is right up to 19 digits.
#[inline]
fn leading_digits(text: &[u8], mut value: u64) -> (u64, usize) {
    for (index, byte) in text.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return (value, index);
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    (value, text.len())
}

/// The value of exactly eight digits, all of them at once: pairs, then fours, then the eight.
#[inline]
fn eight_digits(text: &[u8]) -> Option<u64> {
    let word = u64::from_le_bytes(text.try_into().ok()?);
    let digits = word.wrapping_sub(0x3030_3030_3030_3030);
    // A byte under `0` or over `9` sets its high bit in one of the two sums.
    if (digits | word.wrapping_add(0x4646_4646_4646_4646)) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = (digits.wrapping_mul(10)).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100)).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some((fours.wrapping_mul(10_000)).wrapping_add(fours >> 32) & 0xffff_ffff)
}

/// The general case: exponents, and more digits than a u64 holds.
#[cold]
fn parse_long(text: &[u8], negative: bool) -> Result<Decimal, DecimalError> {
    let mut mantissa: u128 = 0;
    let mut scale: i64 = 0;
    let mut digits_seen = false;
    let mut point_seen = false;
    // What was cut off below the mantissa's last digit, for rounding half to even.
    let mut dropped = Dropped::default();
    let mut index = 0;
    while index < text.len() {
        let byte = text[index];
        match byte {
            b'0'..=b'9' => {
                digits_seen = true;
                let digit = byte - b'0';
                if mantissa < 10u128.pow(36) && dropped.count == 0 {
                    mantissa = mantissa * 10 + u128::from(digit);
                    scale += i64::from(point_seen);
                } else {
                    dropped.push(digit);
                    scale -= i64::from(!point_seen);
                }
            }
            b'.' if !point_seen && digits_seen => point_seen = true,
            b'e' | b'E' if digits_seen && text[index - 1] != b'.' => {
                scale -= parse_exponent(&text[index + 1..])?;
                break;
            }
            _ => return Err(DecimalError::Syntax),
        }
        index += 1;
    }
    if !digits_seen || text.last() == Some(&b'.') {
        return Err(DecimalError::Syntax);
    }
    fit(mantissa, scale, negative, dropped)
}

fn parse_exponent(text: &[u8]) -> Result<i64, DecimalError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(DecimalError::Syntax);
    }
    if digits.len() > 4 {
        return Err(DecimalError::OutOfRange);
    }
    let value = digits.iter().fold(0i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    Ok(if negative { -value } else { value })
}

#[derive(Default)]
struct Dropped {
    count: u32,
    first: u8,
    rest_nonzero: bool,
}

impl Dropped {
    fn push(&mut self, digit: u8) {
        if self.count == 0 {
            self.first = digit;
        } else {
            self.rest_nonzero |= digit != 0;
        }
        self.count += 1;
    }

    /// One more digit is cut off above those cut off before.
    fn push_above(&mut self, digit: u8) {
        self.rest_nonzero |= self.count > 0 && self.first != 0;
        self.first = digit;
        self.count += 1;
    }

    fn rounds_up(&self, mantissa: u128) -> bool {
        self.first > 5 || (self.first == 5 && (self.rest_nonzero || mantissa % 2 == 1))
    }
}

/// Brings the mantissa under 96 bits and the scale into 0..=28, without loss where that can be.
fn fit(mut mantissa: u128, mut scale: i64, negative: bool, mut dropped: Dropped) -> Result<Decimal, DecimalError> {
    while mantissa != 0 && scale > 0 && (mantissa > MANTISSA_MAX || scale > i64::from(SCALE_MAX)) {
        dropped.push_above((mantissa % 10) as u8);
        mantissa /= 10;
        scale -= 1;
    }
    if dropped.rounds_up(mantissa) {
        mantissa += 1;
    }
    while scale < 0 && mantissa != 0 {
        mantissa = mantissa.checked_mul(10).filter(|scaled| *scaled <= MANTISSA_MAX).ok_or(DecimalError::OutOfRange)?;
        scale += 1;
    }
    if mantissa > MANTISSA_MAX {
        return Err(DecimalError::OutOfRange);
    }
    let signed = if negative { -(mantissa as i128) } else { mantissa as i128 };
    Decimal::from_parts(signed, scale.clamp(0, i64::from(SCALE_MAX)) as u32).ok_or(DecimalError::OutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(Decimal::parse(text).expect(text).to_string(), expected, "{text}");
    }

    #[test]
    fn keeps_digits_as_observed() {
        check("0", "0");
        check("-0.00073400", "-0.00073400");
        check("1792.84000000", "1792.84000000");
        check("9223372036854775808", "9223372036854775808");
        check("657871182.64000021200000000000", "657871182.64000021200000000000");
        check("1602221.66468375534639404191", "1602221.66468375534639404191");
        check("818158859.87853260", "818158859.87853260");
        check("8.181588598785326E8", "818158859.8785326");
        check("1e-7", "0.0000001");
        check("1E+3", "1000");
        check("0e99", "0");
        check("1.12345678", "1.12345678");
        check("99999999999.00000001", "99999999999.00000001");
        check("123456789012.87654321", "123456789012.87654321");
    }

    #[test]
    fn writes_what_rust_decimal_writes() {
        let mantissas = [0, 1, 5, 10, 1_000, 120_340, 95_391_000, u64::MAX.into(), (1_i128 << 96) - 1, 7_000_000_000];
        for (mantissa, scale) in mantissas.into_iter().flat_map(|mantissa| (0..=28).map(move |scale| (mantissa, scale)))
        {
            for mantissa in [mantissa, -mantissa] {
                let value = Decimal::from_parts(mantissa, scale).expect("96 bits and 28 places");
                assert_eq!(value.to_text(), value.normalized().to_string(), "{mantissa} by {scale}");
            }
        }
    }

    #[test]
    fn rounds_what_cannot_be_held() {
        check("0.00000000000000000000000000015", "0.0000000000000000000000000002");
        check("0.00000000000000000000000000025", "0.0000000000000000000000000002");
        check("12345678901234567890123456789012.5e-4", "1234567890123456789012345678.9");
    }

    #[test]
    fn refuses_what_is_not_a_number() {
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "1..2",
            "1e",
            "1e+",
            "e5",
            "NaN",
            "inf",
            "+1",
            " 1",
            "1 ",
            "0x10",
            "1,5",
            "١",
            "1.1234567/",
            "1.1234567:",
            "1./2345678",
            "1.12:45678",
            "1.1234\u{80}56",
        ] {
            assert!(Decimal::parse(text).is_err(), "{text:?} was accepted");
        }
        assert_eq!(Decimal::parse("1e30"), Err(DecimalError::OutOfRange));
        assert_eq!(Decimal::parse("1e99999"), Err(DecimalError::OutOfRange));
        assert_eq!(Decimal::parse(&"1".repeat(65)), Err(DecimalError::TooLong));
    }

    #[test]
    fn floats_go_both_ways() {
        for value in [0.1, 95391.01, 1.9e12, 3e-9, -17.25, 52_640_000_000.0, 123_456_789.123_456_79] {
            let decimal = Decimal::from_f64(value).expect("fits");
            assert_eq!(decimal.to_f64(), value);
        }
        assert_eq!(Decimal::from_f64(f64::NAN), None);
        assert_eq!(Decimal::from_f64(f64::INFINITY), None);
        assert_eq!(Decimal::from_f64(1e300), None);
    }
}
