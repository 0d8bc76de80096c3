//! Packed series: histories as blocks of bytes, the same in every store.
//!
//! A block covers a fixed span of time, so that adding a point rewrites one small block and reading a range touches only
//! the blocks in it. Its first byte is its format. `columns` has the formats: a daily candle
//! with both volumes takes about 25 bytes.
//!
//! What is lost: times are rounded down to the second, and a number with more than 18 significant digits is rounded
//! half to even to 18. Every other number keeps its digits and its scale.

mod columns;
mod number;

use std::collections::BTreeMap;

pub use self::number::Number;
use self::number::{pack_decimal, unpack_decimal};
use crate::error::StoreError;
use crossmarket_domain::series::{Point, SeriesKind};
use crossmarket_domain::{Candle, CandleInterval, Timestamp};

/// The number of a block within its series: it covers `[number × span, (number + 1) × span)` since 1970.
pub(crate) type BlockNumber = i64;

const SECONDS_PER_DAY: i64 = 86_400;

/// Seconds that one block of a series covers. It is part of the stored format: a kind's span never changes.
///
/// Daily series have 512 days in a block, hourly ones 32 and 5-minute candles 2. A sampled series goes by the period at
/// the end of its name: `1d` is daily, `5m`, `15m` and `30m` are 8 days, anything else is 32 days.
pub(crate) fn block_span_seconds(kind: &SeriesKind) -> i64 {
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
pub(crate) fn block_number(kind: &SeriesKind, time: Timestamp) -> BlockNumber {
    time.as_seconds().div_euclid(block_span_seconds(kind))
}

/// What a packed series consists of: [`Candle`] or [`Point`].
pub trait Record: Clone + Send + Sync + 'static {
    /// What the series holds, for messages: `candles`.
    const NAME: &'static str;
    /// The block's first byte, as it is written.
    const FORMAT: u8;

    /// The time that the record is kept under.
    fn time(&self) -> Timestamp;

    /// Its numbers: a candle's open, high, low, close, base volume and quote volume; a point's value, first.
    fn numbers(&self) -> [Option<Number>; 6];

    /// The record of these numbers; `None` when they are not a record's.
    fn from_numbers(time: Timestamp, numbers: &[Option<Number>; 6]) -> Option<Self>;
}

/// Packs records into one block for each block number. The last of several with the same second counts.
pub fn pack_blocks<R: Record>(kind: &SeriesKind, records: &[R]) -> BTreeMap<BlockNumber, Vec<u8>> {
    let span = block_span_seconds(kind);
    let mut by_second = BTreeMap::new();
    for record in records {
        by_second.insert(record.time().as_seconds(), record);
    }
    let mut rows: BTreeMap<BlockNumber, Vec<(u32, columns::Row)>> = BTreeMap::new();
    for (second, record) in by_second {
        rows.entry(second.div_euclid(span)).or_default().push((second.rem_euclid(span) as u32, record.numbers()));
    }
    rows.into_iter().map(|(number, rows)| (number, pack(R::FORMAT, &rows))).collect()
}

fn pack(format: u8, rows: &[(u32, columns::Row)]) -> Vec<u8> {
    let mut bytes = vec![format];
    columns::pack(format, rows, &mut bytes);
    // It lives long, so spare capacity would too.
    bytes.shrink_to_fit();
    bytes
}

/// A block's bytes, checked: the format is known, the records are in order and within the span.
#[derive(Clone)]
pub struct Block<'a> {
    start_seconds: i64,
    format: u8,
    offsets: Vec<u32>,
    /// Everything after the offsets.
    records: &'a [u8],
}

impl<'a> Block<'a> {
    /// Reads a stored block.
    pub fn read(kind: &SeriesKind, number: BlockNumber, bytes: &'a [u8]) -> Result<Self, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("series block {number}: {what}"));
        let span = block_span_seconds(kind);
        let (&format, records) = bytes.split_first().ok_or_else(|| corrupt("no bytes"))?;
        let (offsets, records) = match format {
            columns::CANDLES | columns::POINTS => {
                columns::offsets(records).ok_or_else(|| corrupt("its offsets cannot be read"))?
            }
            _ => return Err(corrupt("unknown format")),
        };
        let start_seconds = number.checked_mul(span).ok_or_else(|| corrupt("number out of range"))?;
        if !offsets.is_sorted_by(|earlier, later| earlier < later) {
            return Err(corrupt("records out of order"));
        }
        if offsets.last().is_some_and(|last| i64::from(*last) >= span) {
            return Err(corrupt("a record lies outside"));
        }
        Ok(Self { start_seconds, format, offsets, records })
    }

    /// Number of records.
    pub fn len(&self) -> u64 {
        self.offsets.len() as u64
    }

    /// True when there are no records.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Time of the first record.
    pub fn first(&self) -> Option<Timestamp> {
        self.offsets.first().map(|offset| self.time_of(*offset))
    }

    /// Time of the last record.
    pub fn last(&self) -> Option<Timestamp> {
        self.offsets.last().map(|offset| self.time_of(*offset))
    }

    /// Appends the records with `from <= time < until`, oldest first.
    pub fn unpack<R: Record>(&self, from: Timestamp, until: Timestamp, records: &mut Vec<R>) -> Result<(), StoreError> {
        if self.format != R::FORMAT {
            return Err(StoreError::Corrupt(format!("a series block does not hold {}", R::NAME)));
        }
        // Skip blocks outside the range without reading their rows.
        if self.first().is_none_or(|first| first >= until) || self.last().is_none_or(|last| last < from) {
            return Ok(());
        }
        let mut push = |offset: u32, numbers: &columns::Row| {
            let time = self.time_of(offset);
            if time >= from && time < until {
                let record = R::from_numbers(time, numbers)
                    .ok_or_else(|| StoreError::Corrupt(format!("a record of {} at {time} is out of range", R::NAME)))?;
                records.push(record);
            }
            Ok::<(), StoreError>(())
        };
        if self.format == columns::POINTS {
            // There are many of them, and a row has room for six numbers.
            let numbers = columns::points(self.offsets.len(), self.records).ok_or_else(unreadable)?;
            for (offset, number) in self.offsets.iter().zip(numbers) {
                push(*offset, &point_row(number))?;
            }
        } else {
            for (offset, numbers) in self.rows()? {
                push(offset, &numbers)?;
            }
        }
        Ok(())
    }

    /// The block with the records of a newer one added; at equal times the newer record wins.
    pub fn merged_with(&self, newer: &Self) -> Result<Vec<u8>, StoreError> {
        if self.format != newer.format || self.start_seconds != newer.start_seconds {
            return Err(StoreError::Corrupt("a series changed its format".into()));
        }
        let mut rows: BTreeMap<u32, columns::Row> = self.rows()?.into_iter().collect();
        rows.extend(newer.rows()?);
        Ok(pack(self.format, &rows.into_iter().collect::<Vec<_>>()))
    }

    /// The block without the records before a time; `None` when nothing is left.
    pub fn trimmed(&self, before: Timestamp) -> Result<Option<Vec<u8>>, StoreError> {
        let mut rows = self.rows()?;
        rows.retain(|(offset, _)| self.time_of(*offset) >= before);
        Ok((!rows.is_empty()).then(|| pack(self.format, &rows)))
    }

    fn rows(&self) -> Result<Vec<(u32, columns::Row)>, StoreError> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let rows = if self.format == columns::CANDLES {
            columns::candles(self.offsets.len(), self.records)
        } else {
            let numbers = columns::points(self.offsets.len(), self.records);
            numbers.map(|numbers| numbers.into_iter().map(point_row).collect())
        };
        Ok(self.offsets.iter().copied().zip(rows.ok_or_else(unreadable)?).collect())
    }

    fn time_of(&self, offset: u32) -> Timestamp {
        Timestamp::from_seconds(self.start_seconds.saturating_add(i64::from(offset)))
    }
}

fn point_row(number: Number) -> columns::Row {
    [Some(number), None, None, None, None, None]
}

fn unreadable() -> StoreError {
    StoreError::Corrupt("the records of a series block cannot be read".into())
}

impl Record for Candle {
    const NAME: &'static str = "candles";
    const FORMAT: u8 = columns::CANDLES;

    fn time(&self) -> Timestamp {
        self.start
    }

    fn numbers(&self) -> [Option<Number>; 6] {
        [Some(self.open), Some(self.high), Some(self.low), Some(self.close), self.base_volume, self.quote_volume]
            .map(|number| number.map(pack_decimal))
    }

    fn from_numbers(start: Timestamp, numbers: &[Option<Number>; 6]) -> Option<Self> {
        // Two steps of absence: outside a number that cannot be read, inside one that is not there.
        let optional = |number: Option<Number>| number.map_or(Some(None), |number| unpack_decimal(number).map(Some));
        let [open, high, low, close, base_volume, quote_volume] = *numbers;
        Some(Self {
            start,
            open: unpack_decimal(open?)?,
            high: unpack_decimal(high?)?,
            low: unpack_decimal(low?)?,
            close: unpack_decimal(close?)?,
            base_volume: optional(base_volume)?,
            quote_volume: optional(quote_volume)?,
        })
    }
}

impl Record for Point {
    const NAME: &'static str = "points";
    const FORMAT: u8 = columns::POINTS;

    fn time(&self) -> Timestamp {
        self.time
    }

    fn numbers(&self) -> [Option<Number>; 6] {
        [Some(pack_decimal(self.value)), None, None, None, None, None]
    }

    fn from_numbers(time: Timestamp, numbers: &[Option<Number>; 6]) -> Option<Self> {
        Some(Self { time, value: unpack_decimal(numbers[0]?)? })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crossmarket_domain::Decimal;

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
                        Block::read(kind, number, older).expect("packed").merged_with(&newer).expect("same format")
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
                .filter_map(|(&n, bytes)| Some((n, Block::read(&kind, n, bytes).expect("packed").trimmed(from).expect("rows")?)))
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
            prop_assert_eq!(number, block_number(&kind, candle.start));
            let block = Block::read(&kind, number, bytes).expect("packed");
            let mut read = Vec::new();
            block.unpack::<Candle>(candle.start, candle.start + std::time::Duration::from_secs(1), &mut read)
                .expect("candles");
            prop_assert_eq!(digits(&read), digits(&vec![candle]));
        }

        #[test]
        fn series_of_candles_come_back_as_they_were(some in prop::collection::vec(candles(), 0..60), interval in 0usize..3) {
            let kind = SeriesKind::Candles(CandleInterval::ALL[interval]);
            let mut read: Vec<Candle> = Vec::new();
            for (number, bytes) in pack_blocks(&kind, &some) {
                let block = Block::read(&kind, number, &bytes).expect("packed");
                block.unpack(Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX), &mut read).expect("candles");
            }
            let expected: BTreeMap<Timestamp, Candle> = some.into_iter().map(|candle| (candle.start, candle)).collect();
            prop_assert_eq!(digits(&read), digits(&expected.into_values().collect::<Vec<_>>()));
        }

        #[test]
        fn long_numbers_are_rounded_to_18_digits(number in any_decimals()) {
            let read = unpack_decimal(pack_decimal(number)).expect("packed");
            let error = number.checked_sub(read).expect("close").to_f64().abs();
            prop_assert!(error <= number.to_f64().abs() * 5.1e-18, "{number} became {read}");
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), number in any::<i64>()) {
            let kind = SeriesKind::DailyMarketCap;
            for format in 1..=5 {
                let mut bytes = bytes.clone();
                bytes.insert(0, format);
                if let Ok(block) = Block::read(&kind, number, &bytes) {
                    let everything = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
                    let _ = block.unpack::<Point>(everything.0, everything.1, &mut Vec::new());
                    let _ = block.unpack::<Candle>(everything.0, everything.1, &mut Vec::new());
                    let _ = block.trimmed(everything.0);
                }
            }
        }
    }

    #[test]
    fn rounds_half_to_even_and_never_past_the_largest_decimal() {
        let check = |text: &str, expected: &str| {
            let packed = pack_decimal(Decimal::parse(text).expect("a number"));
            assert_eq!(unpack_decimal(packed).expect("packed").to_string(), expected, "{text}");
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
    fn candles_are_not_points_and_other_formats_are_refused() {
        let everything = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
        let point = Point { time: Timestamp::from_seconds(0), value: Decimal::ONE };
        let packed = pack_blocks(&SeriesKind::DailyMarketCap, &[point]).remove(&0).expect("one block");
        let block = Block::read(&SeriesKind::DailyMarketCap, 0, &packed).expect("packed");
        assert!(block.unpack::<Candle>(everything.0, everything.1, &mut Vec::new()).is_err());
        for format in [0, 1, 2, 5] {
            assert!(Block::read(&SeriesKind::DailyMarketCap, 0, &[format, 0]).is_err(), "format {format}");
        }
    }

    /// A count or a run that claims more than there is must not ask for the memory.
    #[test]
    fn broken_counts_are_refused() {
        let kind = SeriesKind::DailyMarketCap;
        for bytes in [
            &[4, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1, 1][..],
            &[4, 3, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f],
            &[4, 2, 0, 0, 1],
            &[4, 2, 0, 1, 0],
            &[4],
            &[4, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            assert!(Block::read(&kind, 0, bytes).is_err(), "{bytes:?}");
        }
        // The offset is there, and the rows are cut off.
        let block = Block::read(&kind, 0, &[4, 1, 0]).expect("an offset");
        assert!(block.trimmed(Timestamp::from_seconds(0)).is_err());
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
