//! Reads daily histories from providers' CSV files. Pure: bytes in, rows and problems out.
//!
//! Columns are found by their names in the header, in any letter case. Nothing is dropped or changed without a [`Problem`] that names the line.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crossmarket_domain::{Decimal, Timestamp, calendar};

mod fields;

pub use fields::parse_date;
use fields::{Cell, cell, day};

/// Maximum number of problems kept individually; further ones of the same effect are counted in [`History::problems_not_listed`].
pub const PROBLEMS_MAX: usize = 1_000;

const TIME_COLUMNS: &[&str] = &["date", "time", "timestamp", "datetime", "start", "start_time", "open_time"];
const CLOSE_COLUMNS: &[&str] = &["close", "value"];
const QUOTE_VOLUME_COLUMNS: &[&str] = &["quote_volume", "quote volume", "turnover", "volume_usd", "volume usd"];
const MARKET_CAP_COLUMNS: &[&str] = &["market_cap", "market cap", "marketcap"];

/// One day of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The line in the file, from 1.
    pub line: u64,
    /// Midnight UTC of the day.
    pub day: Timestamp,
    /// First price; above 0.
    pub open: Option<Decimal>,
    /// Highest price; not below the others.
    pub high: Option<Decimal>,
    /// Lowest price; above 0 and not above the others.
    pub low: Option<Decimal>,
    /// Last price or value; above 0.
    pub close: Decimal,
    /// The column `volume`, at least 0. Files differ in whether it counts units or money.
    pub volume: Option<Decimal>,
    /// Value traded, at least 0, from a column that says so (`turnover`, `quote_volume`).
    pub quote_volume: Option<Decimal>,
    /// Market capitalization; above 0.
    pub market_cap: Option<Decimal>,
}

/// The effect of a problem on its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The file as a whole cannot be used.
    Refused,
    /// The line gives no row.
    Skipped,
    /// The line gives a row, with something left out or corrected.
    Adjusted,
    /// The row is unchanged; the remark is about the history around it.
    Noted,
}

/// A problem of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line in the file, from 1.
    pub line: u64,
    /// Its effect.
    pub effect: Effect,
    /// What is wrong, in words.
    pub message: String,
}

/// The content of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Rows by day, one each.
    pub rows: Vec<Row>,
    /// At most [`PROBLEMS_MAX`] problems, by line.
    pub problems: Vec<Problem>,
    /// Further problems by effect.
    pub problems_not_listed: BTreeMap<Effect, u64>,
    /// Lines after the header, empty ones not counted.
    pub line_count: u64,
    /// Lines that gave no row.
    pub skipped_count: u64,
}

impl History {
    fn report(&mut self, line: u64, effect: Effect, message: String) {
        self.skipped_count += u64::from(effect == Effect::Skipped);
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { line, effect, message });
        } else {
            *self.problems_not_listed.entry(effect).or_default() += 1;
        }
    }
}

/// Reads a file. `value_column` names the column of closes, if it is not `close` or `value`.
pub fn parse(bytes: &[u8], value_column: Option<&str>) -> History {
    parse_of(bytes, value_column, None)
}

/// Reads the file of an exchange-traded index. It has closes of sessions only: rows of other days are skipped, and a session without a row is a
/// gap.
pub(crate) fn parse_of(bytes: &[u8], value_column: Option<&str>, index: Option<&str>) -> History {
    let mut history = History::default();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter(bytes)).from_reader(bytes);
    let mut record = csv::ByteRecord::new();
    let header = match reader.read_byte_record(&mut record) {
        Ok(true) => Columns::find(&record, value_column),
        _ => Err("the file is empty".to_owned()),
    };
    let columns = match header {
        Ok(columns) => columns,
        Err(message) => {
            history.report(1, Effect::Refused, message);
            return history;
        }
    };
    let mut order = Order::default();
    let mut lines = Lines { bytes, at: 0, line: 1 };
    while let Ok(true) = reader.read_byte_record(&mut record) {
        let line = lines.of_record(record.position().map_or(0, csv::Position::byte));
        history.line_count += 1;
        match columns.row(&record, line, &mut history) {
            Ok(row) => order.push(row, &mut history),
            Err(message) => history.report(line, Effect::Skipped, message),
        }
    }
    order.finish(index, &mut history);
    history.problems.sort_by_key(|problem| problem.line);
    history
}

/// Counts lines itself: after `\r\n` the reader's count is one short, because it reads the `\n` with the next record.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line, from 1, of the first byte of the record that is found from `position` on. Positions must ascend.
    fn of_record(&mut self, position: u64) -> u64 {
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        while let Some(byte) = self.bytes.get(self.at) {
            if self.at >= position && !matches!(byte, b'\r' | b'\n') {
                break;
            }
            let ends_line = match byte {
                b'\n' => true,
                b'\r' => self.bytes.get(self.at + 1) != Some(&b'\n'),
                _ => false,
            };
            self.line += u64::from(ends_line);
            self.at += 1;
        }
        self.line
    }
}

/// The most frequent separator in the header line; a comma in case of a tie.
fn delimiter(bytes: &[u8]) -> u8 {
    let header = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |separator: u8| header.iter().filter(|byte| **byte == separator).count();
    [b'\t', b';', b','].into_iter().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}

/// Where the columns are.
#[derive(Debug)]
struct Columns {
    count: usize,
    time: usize,
    close: usize,
    open: Option<usize>,
    high: Option<usize>,
    low: Option<usize>,
    volume: Option<usize>,
    quote_volume: Option<usize>,
    market_cap: Option<usize>,
}

impl Columns {
    fn find(header: &csv::ByteRecord, value_column: Option<&str>) -> Result<Self, String> {
        let names: Vec<String> =
            header.iter().map(|name| String::from_utf8_lossy(name).trim().to_lowercase()).collect();
        let at = |wanted: &[&str]| wanted.iter().find_map(|name| names.iter().position(|found| found == name));
        let shown = || names.iter().map(String::as_str).take(32).collect::<Vec<_>>().join(", ");
        let time = at(TIME_COLUMNS).ok_or_else(|| {
            format!("no column of dates; wanted one of {}; the header has: {}", TIME_COLUMNS.join(", "), shown())
        })?;
        let named = value_column.map(str::to_lowercase);
        let close = match &named {
            Some(name) => at(&[name]).ok_or_else(|| format!("no column {name}; the header has: {}", shown()))?,
            None => at(CLOSE_COLUMNS)
                .ok_or_else(|| format!("no column of closes; wanted close or value; the header has: {}", shown()))?,
        };
        // Open, high and low belong to `close`, not to a column chosen by the caller.
        let prices = |name: &str| if named.is_none() { at(&[name]) } else { None };
        Ok(Self {
            count: names.len(),
            time,
            close,
            open: prices("open"),
            high: prices("high"),
            low: prices("low"),
            volume: prices("volume"),
            quote_volume: at(QUOTE_VOLUME_COLUMNS).filter(|_| named.is_none()),
            market_cap: at(MARKET_CAP_COLUMNS).filter(|_| named.is_none()),
        })
    }

    /// The row of a line, or why there is none. Values that are left out are reported.
    fn row(&self, record: &csv::ByteRecord, line: u64, history: &mut History) -> Result<Row, String> {
        if record.len() != self.count {
            return Err(format!("{} fields where the header has {}", record.len(), self.count));
        }
        let field = |column: usize| record.get(column).unwrap_or_default();
        let day = day(field(self.time))?;
        let close = match cell(field(self.close)).map_err(|reason| format!("close: {reason}"))? {
            Cell::Number(close) if close.is_positive() => close,
            Cell::Number(close) => return Err(format!("close is {close}; it must be above 0")),
            Cell::Absent => return Err("no close".to_owned()),
        };
        let mut optional = |name: &str, column: Option<usize>, zero_is_absent: bool| {
            let Some(column) = column else { return Ok(None) };
            match cell(field(column)).map_err(|reason| format!("{name}: {reason}"))? {
                Cell::Absent => Ok(None),
                Cell::Number(value) if value.is_zero() && zero_is_absent => {
                    history.report(line, Effect::Adjusted, format!("{name} is 0 and is taken as absent"));
                    Ok(None)
                }
                Cell::Number(value) if value < Decimal::ZERO => Err(format!("{name} is {value}, below 0")),
                Cell::Number(value) => Ok(Some(value)),
            }
        };
        let mut row = Row {
            line,
            day,
            open: optional("open", self.open, true)?,
            high: optional("high", self.high, true)?,
            low: optional("low", self.low, true)?,
            close,
            volume: optional("volume", self.volume, false)?,
            quote_volume: optional("quote volume", self.quote_volume, false)?,
            market_cap: optional("market cap", self.market_cap, true)?,
        };
        if let Some(message) = mend(&mut row) {
            history.report(line, Effect::Adjusted, message);
        }
        Ok(row)
    }
}

/// Widens high and low so that they contain open and close.
fn mend(row: &mut Row) -> Option<String> {
    let top = row.open.map_or(row.close, |open| open.max(row.close)).max(row.low.unwrap_or(row.close));
    let bottom = row.open.map_or(row.close, |open| open.min(row.close)).min(row.high.unwrap_or(row.close));
    let mut corrected = None;
    if let Some(high) = row.high.filter(|high| *high < top) {
        row.high = Some(top);
        corrected = Some(format!("high {high} is below another price of the day; {top} is taken"));
    }
    if let Some(low) = row.low.filter(|low| *low > bottom) {
        row.low = Some(bottom);
        corrected = Some(format!("low {low} is above another price of the day; {bottom} is taken"));
    }
    corrected
}

/// Sorts rows by day.
#[derive(Debug, Default)]
struct Order {
    rows: BTreeMap<Timestamp, Row>,
    last: Option<Timestamp>,
    ascending_count: u64,
    descending_count: u64,
    first_turn: Option<u64>,
}

impl Order {
    fn push(&mut self, row: Row, history: &mut History) {
        if let Some(first) = self.rows.get(&row.day) {
            let same = Row { line: first.line, ..row.clone() } == *first;
            let date = date_of(row.day);
            let what = if same { "the same again" } else { "with other figures; the first is kept" };
            let message = format!("{date} was on line {} already, {what}", first.line);
            return history.report(row.line, Effect::Skipped, message);
        }
        if let Some(last) = self.last {
            let ascends = row.day > last;
            self.ascending_count += u64::from(ascends);
            self.descending_count += u64::from(!ascends);
            if self.ascending_count > 0 && self.descending_count > 0 {
                self.first_turn.get_or_insert(row.line);
            }
        }
        self.last = Some(row.day);
        self.rows.insert(row.day, row);
    }

    fn finish(mut self, index: Option<&str>, history: &mut History) {
        if let Some(line) = self.first_turn {
            history.report(line, Effect::Noted, "the days are out of order from here; they are sorted".to_owned());
        }
        if let Some(index) = index {
            let (sessions, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
                self.rows.into_iter().partition(|(day, _)| calendar::may_have_close(index, *day));
            for (day, row) in others {
                let message = format!("{} is no session of the exchange", date_of(day));
                history.report(row.line, Effect::Skipped, message);
            }
            self.rows = sessions;
        }
        history.rows = self.rows.into_values().collect();
        match index {
            Some(index) => note_missing_sessions(index, history),
            None => note_gaps(history),
        }
    }
}

/// Reports sessions without a row, with the line after them.
fn note_missing_sessions(index: &str, history: &mut History) {
    let mut gaps = Vec::new();
    for (before, after) in history.rows.iter().zip(history.rows.iter().skip(1)) {
        let (from, until) = (date_of(before.day), date_of(after.day));
        let within = |session: &calendar::Session| session.date > from && session.date < until;
        let covered = calendar::COVERED_YEARS.contains(&from.year());
        let mut missing = calendar::sessions_between(from, until).filter(within).filter(|_| covered);
        if let Some(first) = missing.next() {
            let count = missing.count() + 1;
            let what = if count == 1 { "session is" } else { "sessions are" };
            gaps.push((after.line, format!("{count} {what} missing of {index}: {} and on", first.date)));
        }
    }
    for (line, message) in gaps {
        history.report(line, Effect::Noted, message);
    }
}

/// Reports missing days. A history with almost no weekend days is one of sessions, in which up to 4 days (a weekend with holidays) are no gap.
fn note_gaps(history: &mut History) {
    let weekend_days = history.rows.iter().filter(|row| is_weekend(row.day)).count();
    let days_allowed = if weekend_days * 50 < history.rows.len() { 5 } else { 1 };
    let mut gaps = Vec::new();
    for (before, after) in history.rows.iter().zip(history.rows.iter().skip(1)) {
        let days = after.day.since(before.day).as_secs() / 86_400;
        if days > days_allowed {
            let message =
                format!("{} days are missing between {} and {}", days - 1, date_of(before.day), date_of(after.day));
            gaps.push((after.line, message));
        }
    }
    for (line, message) in gaps {
        history.report(line, Effect::Noted, message);
    }
}

fn date_of(day: Timestamp) -> Date {
    civil(day).map_or(Date::ZERO, DateTime::date)
}

fn is_weekend(day: Timestamp) -> bool {
    use jiff::civil::Weekday;
    civil(day).is_some_and(|at| matches!(at.weekday(), Weekday::Saturday | Weekday::Sunday))
}

fn civil(time: Timestamp) -> Option<DateTime> {
    Some(TimeZone::UTC.to_datetime(jiff::Timestamp::from_microsecond(time.as_micros()).ok()?))
}

#[cfg(test)]
mod tests;
