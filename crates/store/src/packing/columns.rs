//! The compact formats: what hardly changes in runs, what is close to something known as the difference to it.
//!
//! | format | what | layout after the format byte |
//! |---|---|---|
//! | 3 | candles | offsets, presence, six columns of scales, rows of mantissas |
//! | 4 | points | offsets, one column of scales, rows of mantissas |
//!
//! Numbers are varints of 7 bits a byte, lowest first; signed ones are zigzag. The offsets (seconds since the block's start) are their count,
//! the first offset, and runs of (step, how often). Presence is runs of (flags, how often): bit 0 for the base volume, bit 1 for the quote volume.
//! Scales are runs, each one number, `(how often - 1) × 64 + zigzag(scale)`, of the rows that have the number; they follow each other in the order
//! open, high, low, close, base volume, quote volume. A row has its mantissas in the order open, close, high, low, base volume, quote volume, each as the difference to
//! what is expected:
//!
//! | of | expected |
//! |---|---|
//! | open | the close before; a point's value: the value before |
//! | close | the open |
//! | high, low | the larger, the smaller of open and close |
//! | base volume | 0 |
//! | quote volume | base volume × (open + close) / 2 |
//!
//! The expected number is first brought to the scale of the actual one, and is 0 where it does not fit. Differences wrap, so every mantissa comes back.

use super::number::{Number, PACKED_DIGITS_MAX};

/// Format of candles.
pub(super) const CANDLES: u8 = 3;
/// Format of points.
pub(super) const POINTS: u8 = 4;

/// Scales that there are: those of packed numbers, -11 to 28, are 0 to 56 as zigzag.
const SCALES: u64 = 64;

const OPEN: usize = 0;
const HIGH: usize = 1;
const LOW: usize = 2;
const CLOSE: usize = 3;
const BASE_VOLUME: usize = 4;
const QUOTE_VOLUME: usize = 5;

/// In which order a row's numbers are written: those that others are expected from come first.
const ROW_ORDER: [usize; 6] = [OPEN, CLOSE, HIGH, LOW, BASE_VOLUME, QUOTE_VOLUME];

/// One row of numbers: of a candle six, of a point the first.
pub(super) type Row = [Option<Number>; 6];

/// Packs rows, ascending by offset, behind the format byte.
pub(super) fn pack(format: u8, rows: &[(u32, Row)], bytes: &mut Vec<u8>) {
    put(bytes, rows.len() as u64);
    let mut before = None;
    let mut steps = Runs::default();
    for (offset, _) in rows {
        match before {
            None => put(bytes, u64::from(*offset)),
            Some(before) => steps.push(u64::from(offset - before), bytes),
        }
        before = Some(*offset);
    }
    steps.finish(bytes);
    let columns: &[usize] =
        if format == CANDLES { &[OPEN, HIGH, LOW, CLOSE, BASE_VOLUME, QUOTE_VOLUME] } else { &[OPEN] };
    if format == CANDLES {
        let mut presence = Runs::default();
        rows.iter().for_each(|(_, row)| presence.push(presence_of(row), bytes));
        presence.finish(bytes);
    }
    for &column in columns {
        let mut scales: Option<(u64, u64)> = None;
        for number in rows.iter().filter_map(|(_, row)| row[column]) {
            let scale = zigzag(i64::from(number.scale)) % SCALES;
            scales = match scales {
                Some((value, more)) if value == scale => Some((value, more + 1)),
                Some((value, more)) => {
                    put(bytes, more * SCALES + value);
                    Some((scale, 0))
                }
                None => Some((scale, 0)),
            };
        }
        if let Some((value, more)) = scales {
            put(bytes, more * SCALES + value);
        }
    }
    let mut last_close = None;
    for (_, row) in rows {
        for column in ROW_ORDER {
            if let Some(number) = row[column] {
                let expected = expected(column, row, last_close, number.scale);
                put(bytes, zigzag(number.mantissa.wrapping_sub(expected)));
            }
        }
        last_close = row[if format == CANDLES { CLOSE } else { OPEN }];
    }
}

/// The offsets of packed rows, and what follows them. `None` when the bytes are not those of rows.
pub(super) fn offsets(bytes: &[u8]) -> Option<(Vec<u32>, &[u8])> {
    let mut rest = bytes;
    let count = usize::try_from(take(&mut rest)?).ok()?;
    // A row has at least one byte, which keeps a broken count from asking for memory.
    if count > bytes.len() {
        return None;
    }
    let mut offsets = Vec::with_capacity(count);
    if count > 0 {
        let mut offset = u32::try_from(take(&mut rest)?).ok()?;
        offsets.push(offset);
        for step in runs(count - 1, &mut rest)? {
            offset = offset.checked_add(u32::try_from(step).ok()?)?;
            offsets.push(offset);
        }
    }
    Some((offsets, rest))
}

/// The numbers of points behind the offsets; `None` when the bytes are not theirs.
pub(super) fn points(count: usize, bytes: &[u8]) -> Option<Vec<Number>> {
    let mut rest = bytes;
    let scales = scale_runs(count, &mut rest)?;
    let mut numbers: Vec<Number> = Vec::with_capacity(count);
    for scale in scales {
        let expected = numbers.last().and_then(|before| rescaled(*before, scale)).unwrap_or(0);
        let mantissa = unzigzag(take(&mut rest)?).wrapping_add(expected);
        numbers.push(Number { mantissa, scale });
    }
    rest.is_empty().then_some(numbers)
}

/// The rows of candles behind the offsets; `None` when the bytes are not theirs.
pub(super) fn candles(count: usize, bytes: &[u8]) -> Option<Vec<Row>> {
    let mut rest = bytes;
    let mut rows: Vec<Row> = vec![[None; 6]; count];
    let presence = runs(count, &mut rest)?;
    let has = |column: usize, flags: u64| match column {
        BASE_VOLUME | QUOTE_VOLUME => flags & (1 << (column - BASE_VOLUME)) != 0,
        _ => true,
    };
    for column in OPEN..=QUOTE_VOLUME {
        let with_number = presence.iter().filter(|flags| has(column, **flags)).count();
        let mut scales = scale_runs(with_number, &mut rest)?.into_iter();
        for (row, flags) in rows.iter_mut().zip(&presence) {
            if has(column, *flags) {
                row[column] = Some(Number { mantissa: 0, scale: scales.next()? });
            }
        }
    }
    let mut last_close = None;
    for row in &mut rows {
        for column in ROW_ORDER {
            if let Some(number) = row[column] {
                let expected = expected(column, row, last_close, number.scale);
                let mantissa = unzigzag(take(&mut rest)?).wrapping_add(expected);
                row[column] = Some(Number { mantissa, ..number });
            }
        }
        last_close = row[CLOSE];
    }
    rest.is_empty().then_some(rows)
}

fn presence_of(row: &Row) -> u64 {
    u64::from(row[BASE_VOLUME].is_some()) | u64::from(row[QUOTE_VOLUME].is_some()) << 1
}

/// What a row's number is expected to be, from what was written before it, at a scale.
fn expected(column: usize, row: &Row, last_close: Option<Number>, scale: i8) -> i64 {
    let at_scale = |number: Option<Number>| number.and_then(|number| rescaled(number, scale)).unwrap_or(0);
    match column {
        OPEN => at_scale(last_close),
        CLOSE => at_scale(row[OPEN]),
        HIGH => at_scale(row[OPEN]).max(at_scale(row[CLOSE])),
        LOW => at_scale(row[OPEN]).min(at_scale(row[CLOSE])),
        QUOTE_VOLUME => expected_quote_volume(row, scale).unwrap_or(0),
        _ => 0,
    }
}

fn expected_quote_volume(row: &Row, scale: i8) -> Option<i64> {
    let (open, close, base) = (row[OPEN]?, row[CLOSE]?, row[BASE_VOLUME]?);
    let twice_price = i128::from(rescaled(open, close.scale)?) + i128::from(close.mantissa);
    let product = i128::from(base.mantissa).checked_mul(twice_price)? / 2;
    let digits = i32::from(scale) - i32::from(base.scale) - i32::from(close.scale);
    i64::try_from(shifted(product, digits)?).ok()
}

fn rescaled(number: Number, scale: i8) -> Option<i64> {
    if number.scale == scale {
        return Some(number.mantissa);
    }
    i64::try_from(shifted(i128::from(number.mantissa), i32::from(scale) - i32::from(number.scale))?).ok()
}

/// A number times ten to the power of `digits`, rounded towards zero.
fn shifted(number: i128, digits: i32) -> Option<i128> {
    // Beyond that nothing of a packed number is left, or it fits nowhere.
    if digits.unsigned_abs() > 2 * PACKED_DIGITS_MAX {
        return None;
    }
    let factor = 10i128.checked_pow(digits.unsigned_abs())?;
    if digits < 0 { Some(number / factor) } else { number.checked_mul(factor) }
}

/// Equal values in a row, written as the value and how often.
#[derive(Default)]
struct Runs {
    value: u64,
    length: u64,
}

impl Runs {
    fn push(&mut self, value: u64, bytes: &mut Vec<u8>) {
        if self.length > 0 && self.value != value {
            self.finish(bytes);
        }
        self.value = value;
        self.length += 1;
    }

    fn finish(&mut self, bytes: &mut Vec<u8>) {
        if self.length > 0 {
            put(bytes, self.value);
            put(bytes, self.length);
        }
        self.length = 0;
    }
}

/// Reads runs of altogether `count` values.
fn runs(count: usize, bytes: &mut &[u8]) -> Option<Vec<u64>> {
    let mut values = Vec::with_capacity(count);
    while values.len() < count {
        let value = take(bytes)?;
        let length = usize::try_from(take(bytes)?).ok()?;
        if length == 0 || length > count - values.len() {
            return None;
        }
        values.resize(values.len() + length, value);
    }
    Some(values)
}

/// Reads the scales of `count` numbers.
fn scale_runs(count: usize, bytes: &mut &[u8]) -> Option<Vec<i8>> {
    let mut scales = Vec::with_capacity(count);
    while scales.len() < count {
        let run = take(bytes)?;
        let length = usize::try_from(run / SCALES).ok()?.checked_add(1)?;
        if length > count - scales.len() {
            return None;
        }
        scales.resize(scales.len() + length, i8::try_from(unzigzag(run % SCALES)).ok()?);
    }
    Some(scales)
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if shift == 63 && part > 1 {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
