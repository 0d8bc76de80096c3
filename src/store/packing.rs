//! Packed series: histories as blocks of fixed-width records, the same in every store.
//!
//! A block covers a fixed span of time, so that adding a point rewrites one small block and reading a range touches only
//! the blocks in it. Its bytes are one format byte and then the records, ascending by time, one record for each time:
//!
//! | format | record | layout (integers big-endian) |
//! |---|---|---|
//! | 1 | candle, 64 bytes | u32 seconds since the block's start, u8 flags, 1 reserved, 6 × i64 mantissa, 6 × i8 scale, 4 reserved |
//! | 2 | point, 16 bytes | u32 seconds since the block's start, u8 flags, i8 scale, i64 mantissa, 2 reserved |
//!
//! A candle's six numbers are open, high, low, close, base volume and quote volume; flags bit 0 says that the base volume
//! is present and bit 1 the quote volume. Reserved bytes and flags are written as 0 and ignored when read.
//!
//! What does not fit: times are rounded down to the second, and a number with more than 18 significant digits is rounded
//! half to even to 18. Every other number keeps its digits and its scale.

use std::collections::BTreeMap;

use super::StoreError;
use crate::domain::series::{Point, SeriesKind};
use crate::domain::{Candle, CandleInterval, Decimal, Timestamp};

/// Significant digits that a packed number keeps.
pub const PACKED_DIGITS_MAX: u32 = 18;

/// The number of a block within its series: it covers `[number × span, (number + 1) × span)` since 1970.
pub type BlockNumber = i64;

const SECONDS_PER_DAY: i64 = 86_400;
const MANTISSA_LIMIT: u128 = 10u128.pow(PACKED_DIGITS_MAX);
const OFFSET_LEN: usize = 4;

/// Seconds that one block of a series covers. It is part of the stored format: a kind's span never changes.
///
/// Daily series have 512 days in a block, hourly ones 32 and 5-minute candles 2. A sampled series goes by the period at
/// the end of its name: `1d` is daily, `5m`, `15m` and `30m` are 8 days, anything else is 32 days.
pub fn block_span_seconds(kind: &SeriesKind) -> i64 {
    let days = match kind {
        SeriesKind::Candles(CandleInterval::FiveMinutes) => 2,
        SeriesKind::Candles(CandleInterval::OneHour) => 32,
        SeriesKind::Candles(CandleInterval::OneDay) | SeriesKind::DailyMarketCap => 512,
        SeriesKind::Sampled(name) => match name.rsplit(':').next() {
            Some("1d") => 512,
            Some("5m" | "15m" | "30m") => 8,
            _ => 32,
        },
    };
    days * SECONDS_PER_DAY
}

/// The block that a time falls into.
pub fn block_number(kind: &SeriesKind, time: Timestamp) -> BlockNumber {
    time.as_seconds().div_euclid(block_span_seconds(kind))
}

/// What a packed series consists of: [`Candle`] or [`Point`].
pub trait Record: Clone + Send + Sync + 'static {
    /// What the series holds, for messages: `candles`.
    const NAME: &'static str;
    /// The block's first byte.
    const FORMAT: u8;

    /// The time that the record is kept under.
    fn time(&self) -> Timestamp;

    /// Appends everything behind the offset.
    fn pack(&self, bytes: &mut Vec<u8>);

    /// Reads everything behind the offset; `None` when the bytes are not a record's.
    fn unpack(time: Timestamp, bytes: &[u8]) -> Option<Self>;
}

/// Length of a record of a format, offset included, or `None` for an unknown format.
fn record_len(format: u8) -> Option<usize> {
    match format {
        Candle::FORMAT => Some(64),
        Point::FORMAT => Some(16),
        _ => None,
    }
}

/// Packs records into one block for each block number. Of several with the same second the last one counts.
pub fn pack_blocks<R: Record>(kind: &SeriesKind, records: &[R]) -> BTreeMap<BlockNumber, Vec<u8>> {
    let span = block_span_seconds(kind);
    let mut by_second = BTreeMap::new();
    for record in records {
        by_second.insert(record.time().as_seconds(), record);
    }
    let mut blocks = BTreeMap::new();
    for (second, record) in by_second {
        let block: &mut Vec<u8> = blocks.entry(second.div_euclid(span)).or_insert_with(|| vec![R::FORMAT]);
        let offset = second.rem_euclid(span) as u32;
        block.extend_from_slice(&offset.to_be_bytes());
        record.pack(block);
    }
    blocks
}

/// A block's bytes, checked: the format is known, the records are whole, in order and within the span.
#[derive(Clone, Copy)]
pub struct Block<'a> {
    start_seconds: i64,
    format: u8,
    record_len: usize,
    records: &'a [u8],
}

impl<'a> Block<'a> {
    /// Reads a stored block.
    pub fn read(kind: &SeriesKind, number: BlockNumber, bytes: &'a [u8]) -> Result<Self, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("series block {number}: {what}"));
        let span = block_span_seconds(kind);
        let (&format, records) = bytes.split_first().ok_or_else(|| corrupt("no bytes"))?;
        let record_len = record_len(format).ok_or_else(|| corrupt("unknown format"))?;
        if !records.len().is_multiple_of(record_len) {
            return Err(corrupt("a record is cut off"));
        }
        let start_seconds = number.checked_mul(span).ok_or_else(|| corrupt("number out of range"))?;
        let block = Self { start_seconds, format, record_len, records };
        let offsets = || block.chunks().map(offset_of);
        if !offsets().zip(offsets().skip(1)).all(|(earlier, later)| earlier < later) {
            return Err(corrupt("records out of order"));
        }
        if offsets().next_back().is_some_and(|last| i64::from(last) >= span) {
            return Err(corrupt("a record lies outside"));
        }
        Ok(block)
    }

    /// Number of records.
    pub fn len(&self) -> u64 {
        (self.records.len() / self.record_len) as u64
    }

    /// True when there are no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Time of the first record.
    pub fn first(&self) -> Option<Timestamp> {
        self.chunks().next().map(|chunk| self.time_of(chunk))
    }

    /// Time of the last record.
    pub fn last(&self) -> Option<Timestamp> {
        self.chunks().next_back().map(|chunk| self.time_of(chunk))
    }

    /// Appends the records with `from <= time < until`, oldest first.
    pub fn unpack<R: Record>(&self, from: Timestamp, until: Timestamp, records: &mut Vec<R>) -> Result<(), StoreError> {
        if self.format != R::FORMAT {
            return Err(StoreError::Corrupt(format!("a series block does not hold {}", R::NAME)));
        }
        for chunk in self.chunks() {
            let time = self.time_of(chunk);
            if time < from || time >= until {
                continue;
            }
            let record = R::unpack(time, chunk.get(OFFSET_LEN..).unwrap_or_default())
                .ok_or_else(|| StoreError::Corrupt(format!("a record of {} at {time} is out of range", R::NAME)))?;
            records.push(record);
        }
        Ok(())
    }

    /// The block with the records of a newer one added; where both have a record for one time the newer one's stays.
    pub fn merged_with(&self, newer: Self) -> Result<Vec<u8>, StoreError> {
        if self.format != newer.format || self.start_seconds != newer.start_seconds {
            return Err(StoreError::Corrupt("a series changed its format".into()));
        }
        let mut bytes = Vec::with_capacity(1 + self.records.len() + newer.records.len());
        bytes.push(self.format);
        let mut old_chunks = self.chunks().peekable();
        for chunk in newer.chunks() {
            let offset = offset_of(chunk);
            while let Some(old) = old_chunks.next_if(|old| offset_of(old) < offset) {
                bytes.extend_from_slice(old);
            }
            old_chunks.next_if(|old| offset_of(old) == offset);
            bytes.extend_from_slice(chunk);
        }
        old_chunks.for_each(|old| bytes.extend_from_slice(old));
        Ok(bytes)
    }

    /// The block without the records before a time; `None` when nothing is left.
    pub fn trimmed(&self, before: Timestamp) -> Option<Vec<u8>> {
        let mut bytes = vec![self.format];
        self.chunks().filter(|chunk| self.time_of(chunk) >= before).for_each(|chunk| bytes.extend_from_slice(chunk));
        (bytes.len() > 1).then_some(bytes)
    }

    fn chunks(&self) -> std::slice::ChunksExact<'a, u8> {
        self.records.chunks_exact(self.record_len)
    }

    fn time_of(&self, chunk: &[u8]) -> Timestamp {
        Timestamp::from_seconds(self.start_seconds.saturating_add(i64::from(offset_of(chunk))))
    }
}

/// The offset that a record starts with; every record is longer than that.
fn offset_of(chunk: &[u8]) -> u32 {
    chunk.first_chunk().copied().map_or(0, u32::from_be_bytes)
}

impl Record for Candle {
    const NAME: &'static str = "candles";
    const FORMAT: u8 = 1;

    fn time(&self) -> Timestamp {
        self.start
    }

    fn pack(&self, bytes: &mut Vec<u8>) {
        let numbers =
            [Some(self.open), Some(self.high), Some(self.low), Some(self.close), self.base_volume, self.quote_volume];
        let numbers = numbers.map(|number| pack_decimal(number.unwrap_or_default()));
        let flags = u8::from(self.base_volume.is_some()) | u8::from(self.quote_volume.is_some()) << 1;
        bytes.extend_from_slice(&[flags, 0]);
        numbers.iter().for_each(|(mantissa, _)| bytes.extend_from_slice(&mantissa.to_be_bytes()));
        numbers.iter().for_each(|(_, scale)| bytes.extend_from_slice(&scale.to_be_bytes()));
        bytes.extend_from_slice(&[0; 4]);
    }

    fn unpack(start: Timestamp, bytes: &[u8]) -> Option<Self> {
        let flags = *bytes.first()?;
        let number = |index: usize| {
            let mantissa = bytes.get(2 + 8 * index..)?.first_chunk()?;
            let scale = bytes.get(50 + index..)?.first_chunk()?;
            unpack_decimal(i64::from_be_bytes(*mantissa), i8::from_be_bytes(*scale))
        };
        // Two steps of absence: outside a number that cannot be read, inside one that is not there.
        let optional = |index, bit: u8| if flags & bit == 0 { Some(None) } else { number(index).map(Some) };
        Some(Self {
            start,
            open: number(0)?,
            high: number(1)?,
            low: number(2)?,
            close: number(3)?,
            base_volume: optional(4, 1)?,
            quote_volume: optional(5, 2)?,
        })
    }
}

impl Record for Point {
    const NAME: &'static str = "points";
    const FORMAT: u8 = 2;

    fn time(&self) -> Timestamp {
        self.time
    }

    fn pack(&self, bytes: &mut Vec<u8>) {
        let (mantissa, scale) = pack_decimal(self.value);
        bytes.push(0);
        bytes.extend_from_slice(&scale.to_be_bytes());
        bytes.extend_from_slice(&mantissa.to_be_bytes());
        bytes.extend_from_slice(&[0; 2]);
    }

    fn unpack(time: Timestamp, bytes: &[u8]) -> Option<Self> {
        let scale = bytes.get(1..)?.first_chunk()?;
        let mantissa = bytes.get(2..)?.first_chunk()?;
        let value = unpack_decimal(i64::from_be_bytes(*mantissa), i8::from_be_bytes(*scale))?;
        Some(Self { time, value })
    }
}

/// A number as mantissa and scale, rounded half to even to [`PACKED_DIGITS_MAX`] digits when it has more. The scale is
/// negative for an integer that lost digits.
fn pack_decimal(number: Decimal) -> (i64, i8) {
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
    (signed, (scale as i32 - dropped_digits as i32) as i8)
}

fn unpack_magnitude(magnitude: u128, dropped_digits: u32, scale: u32) -> Option<Decimal> {
    let scale = i8::try_from(i64::from(scale) - i64::from(dropped_digits)).ok()?;
    unpack_decimal(i64::try_from(magnitude).ok()?, scale)
}

fn unpack_decimal(mantissa: i64, scale: i8) -> Option<Decimal> {
    match u32::try_from(scale) {
        Ok(scale) => Decimal::from_parts(mantissa.into(), scale),
        Err(_) => {
            let factor = 10i128.checked_pow(u32::from(scale.unsigned_abs()))?;
            Decimal::from_parts(i128::from(mantissa).checked_mul(factor)?, 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn kinds() -> impl Strategy<Value = SeriesKind> {
        prop_oneof![
            Just(SeriesKind::DailyMarketCap),
            Just(SeriesKind::Sampled("global-account:aggregate:5m".into())),
            Just(SeriesKind::Sampled("anything".into())),
        ]
    }

    /// Numbers with at most 18 digits, which packing keeps as they are.
    fn short_decimals() -> impl Strategy<Value = Decimal> {
        (-999_999_999_999_999_999i128..=999_999_999_999_999_999, 0u32..=28)
            .prop_map(|(mantissa, scale)| Decimal::from_parts(mantissa, scale).expect("18 digits fit"))
    }

    fn any_decimals() -> impl Strategy<Value = Decimal> {
        let limit = (1i128 << 96) - 1;
        (-limit..=limit, 0u32..=28)
            .prop_map(|(mantissa, scale)| Decimal::from_parts(mantissa, scale).expect("96 bits fit"))
    }

    /// Points around 1970 and today, close enough together to share blocks and times.
    fn points() -> impl Strategy<Value = Vec<Point>> {
        let times = prop_oneof![-200_000_000i64..200_000_000, 1_760_000_000i64..1_760_000_500];
        let point =
            (times, short_decimals()).prop_map(|(time, value)| Point { time: Timestamp::from_seconds(time), value });
        prop::collection::vec(point, 0..80)
    }

    fn candles() -> impl Strategy<Value = Candle> {
        let volume = || prop::option::of(short_decimals());
        let number = short_decimals;
        (-9_000_000i64..9_000_000, number(), number(), number(), number(), volume(), volume()).prop_map(
            |(start, open, high, low, close, base_volume, quote_volume)| Candle {
                start: Timestamp::from_seconds(start * 300),
                open,
                high,
                low,
                close,
                base_volume,
                quote_volume,
            },
        )
    }

    /// Debug output shows the scale, which equality by value does not.
    fn digits(value: &impl std::fmt::Debug) -> String {
        format!("{value:?}")
    }

    fn merge_all(kind: &SeriesKind, batches: &[&[Point]]) -> BTreeMap<BlockNumber, Vec<u8>> {
        let mut blocks: BTreeMap<BlockNumber, Vec<u8>> = BTreeMap::new();
        for batch in batches {
            for (number, newer) in pack_blocks(kind, batch) {
                let merged = match blocks.get(&number) {
                    Some(older) => {
                        let newer = Block::read(kind, number, &newer).expect("packed");
                        Block::read(kind, number, older).expect("packed").merged_with(newer).expect("same format")
                    }
                    None => newer,
                };
                blocks.insert(number, merged);
            }
        }
        blocks
    }

    fn read_all(
        kind: &SeriesKind,
        blocks: &BTreeMap<BlockNumber, Vec<u8>>,
        from: Timestamp,
        until: Timestamp,
    ) -> Vec<Point> {
        let mut points = Vec::new();
        for (&number, bytes) in blocks {
            Block::read(kind, number, bytes).expect("packed").unpack(from, until, &mut points).expect("points");
        }
        points
    }

    proptest! {
        #[test]
        fn merging_behaves_like_a_sorted_map(
            kind in kinds(),
            first in points(),
            second in points(),
            (from, until) in (-200_000_000i64..1_760_000_500, -200_000_000i64..1_760_000_500),
        ) {
            let (from, until) = (Timestamp::from_seconds(from), Timestamp::from_seconds(until));
            let blocks = merge_all(&kind, &[&first, &second]);
            let model: BTreeMap<Timestamp, Point> =
                first.iter().chain(&second).map(|point| (point.time, *point)).collect();
            let expected: Vec<Point> =
                model.values().filter(|point| from <= point.time && point.time < until).copied().collect();
            prop_assert_eq!(digits(&read_all(&kind, &blocks, from, until)), digits(&expected));

            let count: u64 = blocks.iter().map(|(&n, bytes)| Block::read(&kind, n, bytes).expect("packed").len()).sum();
            prop_assert_eq!(count as usize, model.len());

            let trimmed: BTreeMap<BlockNumber, Vec<u8>> = blocks
                .iter()
                .filter_map(|(&n, bytes)| Some((n, Block::read(&kind, n, bytes).expect("packed").trimmed(from)?)))
                .collect();
            let everything = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
            let rest: Vec<Point> = model.range(from..).map(|(_, point)| *point).collect();
            prop_assert_eq!(read_all(&kind, &trimmed, everything.0, everything.1), rest);
        }

        #[test]
        fn candles_come_back_as_they_were(candle in candles(), interval in 0usize..3) {
            let kind = SeriesKind::Candles(CandleInterval::ALL[interval]);
            let blocks = pack_blocks(&kind, std::slice::from_ref(&candle));
            let (&number, bytes) = blocks.first_key_value().expect("one block");
            prop_assert_eq!(bytes.len(), 65);
            prop_assert_eq!(number, block_number(&kind, candle.start));
            let block = Block::read(&kind, number, bytes).expect("packed");
            let mut read = Vec::new();
            block.unpack::<Candle>(candle.start, candle.start + std::time::Duration::from_secs(1), &mut read)
                .expect("candles");
            prop_assert_eq!(digits(&read), digits(&vec![candle]));
        }

        #[test]
        fn long_numbers_are_rounded_to_18_digits(number in any_decimals()) {
            let (mantissa, scale) = pack_decimal(number);
            let read = unpack_decimal(mantissa, scale).expect("packed");
            let error = number.checked_sub(read).expect("close").to_f64().abs();
            prop_assert!(error <= number.to_f64().abs() * 5.1e-18, "{number} became {read}");
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), number in any::<i64>()) {
            let kind = SeriesKind::DailyMarketCap;
            for format in [1, 2, 3] {
                let mut bytes = bytes.clone();
                bytes.insert(0, format);
                if let Ok(block) = Block::read(&kind, number, &bytes) {
                    let everything = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
                    let _ = block.unpack::<Point>(everything.0, everything.1, &mut Vec::new());
                    let _ = block.unpack::<Candle>(everything.0, everything.1, &mut Vec::new());
                }
            }
        }
    }

    #[test]
    fn rounds_half_to_even_and_never_past_the_largest_decimal() {
        let check = |text: &str, expected: &str| {
            let (mantissa, scale) = pack_decimal(Decimal::parse(text).expect("a number"));
            assert_eq!(unpack_decimal(mantissa, scale).expect("packed").to_string(), expected, "{text}");
        };
        check("0", "0");
        check("1.50", "1.50");
        check("-0.0000000000000000000000000001", "-0.0000000000000000000000000001");
        check("123456789012345678.5", "123456789012345678");
        check("123456789012345679.5", "123456789012345680");
        check("9999999999999999.999", "10000000000000000.00");
        check("-12345678901234567890123", "-12345678901234567900000");
        check("79228162514264337593543950335", "79228162514264337500000000000");
    }

    #[test]
    fn times_are_rounded_down_to_the_second() {
        let kind = SeriesKind::DailyMarketCap;
        let point = Point { time: Timestamp::from_micros(-1), value: Decimal::ONE };
        let blocks = pack_blocks(&kind, &[point]);
        let (&number, bytes) = blocks.first_key_value().expect("one block");
        assert_eq!(number, -1);
        assert_eq!(Block::read(&kind, number, bytes).expect("packed").first(), Some(Timestamp::from_seconds(-1)));
    }
}
