//! Dates and numbers in CSV files.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crossmarket_domain::{Decimal, Timestamp};

/// A number's field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// Empty, or a word for a missing value.
    Absent,
    /// A number.
    Number(Decimal),
}

/// Reads a number, with thousands separators and a leading `$` if there are any. The error says what is wrong.
pub(super) fn cell(field: &[u8]) -> Result<Cell, String> {
    let text = std::str::from_utf8(field).map_err(|_| "not UTF-8".to_owned())?.trim();
    if matches!(text.to_ascii_lowercase().as_str(), "" | "-" | "null" | "nan" | "n/a" | "na" | "none") {
        return Ok(Cell::Absent);
    }
    let bare = text.strip_prefix('$').unwrap_or(text);
    let plain = ungrouped(bare).ok_or_else(|| format!("{:?} has commas that do not part thousands", shorten(text)))?;
    match Decimal::parse(&plain) {
        Ok(number) => Ok(Cell::Number(number)),
        Err(error) => Err(format!("{:?}: {error}", shorten(text))),
    }
}

/// The text without thousands separators, or `None` when its commas are something else.
fn ungrouped(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    if !whole.contains(',') {
        return Some(text.to_owned());
    }
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default().trim_start_matches('-');
    let grouped = (1..=3).contains(&first.len()) && groups.all(|group| group.len() == 3);
    let fraction_is_plain = fraction.is_none_or(|fraction| !fraction.contains(','));
    (grouped && fraction_is_plain).then(|| text.replace(',', ""))
}

/// Midnight UTC of the day that a field names: `YYYY-MM-DD`, with a time of day or not, `MM/DD/YYYY`, `YYYYMMDD`, RFC 3339, or
/// seconds or milliseconds since 1970. The error says what is wrong.
pub(super) fn day(field: &[u8]) -> Result<Timestamp, String> {
    let text = std::str::from_utf8(field).map_err(|_| "the date is not UTF-8".to_owned())?.trim();
    if text.is_empty() {
        return Err("no date".to_owned());
    }
    let instant = if text.bytes().all(|byte| byte.is_ascii_digit()) { from_digits(text) } else { from_words(text) };
    let plausible = instant.filter(|instant| (EARLIEST..LATEST).contains(&instant.as_seconds()));
    plausible.map(Timestamp::day_start).ok_or_else(|| format!("{:?} is not a date", shorten(text)))
}

/// 1800-01-01, before any series that is kept.
const EARLIEST: i64 = -5_364_662_400;
/// 2200-01-01.
const LATEST: i64 = 7_258_118_400;

/// Midnight UTC of `YYYY-MM-DD`.
pub fn parse_date(text: &str) -> Option<Timestamp> {
    let (year, rest) = text.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if !(digits(year, 4) && digits(month, 2) && digits(day, 2)) {
        return None;
    }
    Timestamp::from_date(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
}

fn from_digits(text: &str) -> Option<Timestamp> {
    let number: i64 = text.parse().ok()?;
    match text.len() {
        // Eight digits as seconds would be a day of 1970; as a date they are one that files do have.
        8 => Timestamp::from_date(
            (number / 10_000).try_into().ok()?,
            (number / 100 % 100).try_into().ok()?,
            (number % 100).try_into().ok()?,
        ),
        9..=10 => Some(Timestamp::from_seconds(number)),
        12..=13 => Some(Timestamp::from_millis(number)),
        _ => None,
    }
}

fn from_words(text: &str) -> Option<Timestamp> {
    if let Some(seconds) = text.strip_suffix(".0").filter(|whole| whole.bytes().all(|byte| byte.is_ascii_digit())) {
        return from_digits(seconds);
    }
    if text.contains('/') {
        let mut parts = text.splitn(3, '/');
        let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = |text: &str, most: usize| text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
        if !(digits(month, 2) && digits(day, 2) && digits(year, 4) && year.len() == 4) {
            return None;
        }
        return Timestamp::from_date(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    }
    parse_date(text).or_else(|| Timestamp::parse(text)).or_else(|| {
        // A time of day without zone is taken as UTC.
        let at: DateTime = text.parse().ok()?;
        (at.date() > Date::ZERO).then_some(())?;
        Some(Timestamp::from_micros(at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond()))
    })
}

/// At most 40 characters of a field, for a message.
fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_every_form_name_the_same_day() {
        let forms = [
            "2024-08-02",
            "2024-08-02 00:00:00",
            "2024-08-02 15:30:00",
            "2024-08-02T15:30:00Z",
            "2024-08-02T23:59:59.999Z",
            "2024-08-02 00:00:00+00:00",
            "08/02/2024",
            "8/2/2024",
            "20240802",
            "1722556800",
            "1722556800000",
            "1722556800.0",
            " 2024-08-02 ",
        ];
        for form in forms {
            let found = day(form.as_bytes()).map(|day| day.to_string());
            assert_eq!(found.as_deref(), Ok("2024-08-02T00:00:00Z"), "{form}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        let forms = [
            "",
            "yesterday",
            "2024-02-30",
            "13/13/2024",
            "08/02/24",
            "2024-8-2",
            "1",
            "99999999999999999999",
            "2024-08-02x",
            "0000-00-00",
            "20241341",
            "9999-12-31",
            "-1",
            "//",
            "\u{661}/1/2024",
        ];
        for form in forms {
            assert!(day(form.as_bytes()).is_err(), "{form}");
        }
        assert!(day(b"\xff\xfe").is_err());
    }

    #[test]
    fn numbers_may_have_separators() {
        let check = |text: &str, expected: &str| {
            let number = Cell::Number(Decimal::parse(expected).expect("valid"));
            assert_eq!(cell(text.as_bytes()), Ok(number), "{text}");
        };
        check("1,234,567.50", "1234567.50");
        check("-1,234", "-1234");
        check("$95,391", "95391");
        check("5156450000.0", "5156450000.0");
        check("1.2e3", "1200");
        for text in ["", " ", "null", "NaN", "N/A", "-"] {
            assert_eq!(cell(text.as_bytes()), Ok(Cell::Absent), "{text:?}");
        }
        for text in ["1,23", "12,34.5", "1,2345", "1.5,000", ",123", "1234,567", "inf", "abc", "1 000"] {
            assert!(cell(text.as_bytes()).is_err(), "{text}");
        }
    }
}
