//! The first formats: records of a fixed width. They are read; nothing writes them any more.
//!
//! | format | record | layout (integers big-endian) |
//! |---|---|---|
//! | 1 | candle, 64 bytes | u32 seconds since the block's start, u8 flags, 1 reserved, 6 × i64 mantissa, 6 × i8 scale, 4 reserved |
//! | 2 | point, 16 bytes | u32 seconds since the block's start, u8 flags, i8 scale, i64 mantissa, 2 reserved |
//!
//! A candle's six numbers are open, high, low, close, base volume and quote volume; flags bit 0 says that the base volume
//! is present and bit 1 the quote volume. Reserved bytes and flags are ignored.

use super::Number;

/// Format of candles.
pub(super) const CANDLES: u8 = 1;
/// Format of points.
pub(super) const POINTS: u8 = 2;

const OFFSET_LEN: usize = 4;

/// Length of a record of a format, offset included, or `None` for another format.
pub(super) fn record_len(format: u8) -> Option<usize> {
    match format {
        CANDLES => Some(64),
        POINTS => Some(16),
        _ => None,
    }
}

/// The offset that a record starts with; every record is longer than that.
pub(super) fn offset(record: &[u8]) -> u32 {
    record.first_chunk().copied().map_or(0, u32::from_be_bytes)
}

/// A candle's six numbers.
pub(super) fn candle(record: &[u8]) -> Option<[Option<Number>; 6]> {
    let bytes = record.get(OFFSET_LEN..)?;
    let flags = *bytes.first()?;
    let number = |index: usize| {
        let mantissa = bytes.get(2 + 8 * index..)?.first_chunk()?;
        let scale = bytes.get(50 + index..)?.first_chunk()?;
        checked(i64::from_be_bytes(*mantissa), i8::from_be_bytes(*scale))
    };
    let mut numbers = [None; 6];
    for (index, place) in numbers.iter_mut().enumerate() {
        let is_absent = index >= 4 && flags & (1 << (index - 4)) == 0;
        *place = if is_absent { None } else { Some(number(index)?) };
    }
    Some(numbers)
}

/// A point's number.
pub(super) fn point(record: &[u8]) -> Option<Number> {
    let bytes = record.get(OFFSET_LEN..)?;
    let scale = bytes.get(1..)?.first_chunk()?;
    let mantissa = bytes.get(2..)?.first_chunk()?;
    checked(i64::from_be_bytes(*mantissa), i8::from_be_bytes(*scale))
}

/// A number whose scale is one that numbers are packed with.
fn checked(mantissa: i64, scale: i8) -> Option<Number> {
    (-11..=28).contains(&scale).then_some(Number { mantissa, scale })
}
