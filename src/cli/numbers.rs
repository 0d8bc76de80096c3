//! Numbers and times for people. `--json` has every digit.

use prost_reflect::DynamicMessage;

use super::message::field;
use crate::figures::{Figure, Unit};
use crossmarket_domain::{Decimal, Timestamp};

/// Shown for an absent figure.
pub(super) const ABSENT: &str = "—";

/// A large amount with two decimals and a unit: `1.90 T`, `52.64 B`, `1.43 M`, `12.00 K`, `950.00`.
pub(super) fn amount(text: Option<&str>) -> String {
    let Some(value) = text.and_then(|text| Decimal::parse(text).ok()) else { return ABSENT.to_owned() };
    let magnitude = value.to_f64().abs();
    let units = [(1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " K")];
    // 999,995 rounds to 1000.00 K, which is 1.00 M.
    let unit = units.into_iter().find(|(size, _)| magnitude >= size * 0.999_995);
    match unit {
        Some((size, name)) => format!("{:.2}{name}", value.to_f64() / size),
        None => format!("{:.2}", value.to_f64()),
    }
}

/// A price with thousands separators: two decimals from 1 on, six significant digits below.
pub(super) fn price(text: Option<&str>) -> String {
    let Some(value) = text.and_then(|text| Decimal::parse(text).ok()) else { return ABSENT.to_owned() };
    if value.to_f64().abs() < 1.0 {
        return value.rounded_to_significant(6).normalized().to_string();
    }
    let rounded = format!("{:.2}", value.rounded(2));
    let (whole, fraction) = rounded.split_once('.').unwrap_or((&rounded, "00"));
    format!("{}.{fraction}", grouped(whole))
}

/// A change with its sign: `+1.30 %`.
pub(super) fn change(percent: Option<f64>) -> String {
    percent.map_or_else(|| ABSENT.to_owned(), |percent| format!("{percent:+.2} %"))
}

/// A percentage without sign: `1.30 %`.
pub(super) fn percent(percent: Option<f64>) -> String {
    percent.map_or_else(|| ABSENT.to_owned(), |percent| format!("{percent:.2} %"))
}

/// A part of a whole as a percentage: 0.5234 is `52.3 %`.
pub(super) fn share(value: Option<f64>) -> String {
    value.map_or_else(|| ABSENT.to_owned(), |value| format!("{:.1} %", value * 100.0))
}

/// A plain figure with one decimal.
pub(super) fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| ABSENT.to_owned(), |value| format!("{value:.1}"))
}

/// A figure of a message `PriceSnapshot` in its unit; `None` when it is absent.
pub(super) fn shown(of: &Figure, snapshot: &DynamicMessage) -> Option<String> {
    let value = field(snapshot, of.field)?;
    Some(match of.unit {
        Unit::Price => price(value.as_str()),
        Unit::Amount => amount(value.as_str()),
        Unit::Change => change(value.as_f64()),
        Unit::Percent => percent(value.as_f64()),
        Unit::Score => figure(value.as_f64()),
        Unit::Rank => value.as_i32()?.to_string(),
    })
}

/// An instant of the wire, or `None` outside the years 1 to 9999.
pub(super) fn instant(time: &prost_types::Timestamp) -> Option<Timestamp> {
    let micros = time.seconds.checked_mul(1_000_000)?.checked_add(i64::from(time.nanos) / 1_000)?;
    let instant = Timestamp::from_micros(micros);
    (instant.as_micros() == micros).then_some(instant)
}

/// An instant as `2026-01-15T12:00:00Z`, to the second.
pub(super) fn time(time: Option<&prost_types::Timestamp>) -> String {
    let instant = time.and_then(instant);
    instant.map_or_else(|| ABSENT.to_owned(), |instant| Timestamp::from_seconds(instant.as_seconds()).to_string())
}

/// The day of an instant: `2026-01-15`.
pub(super) fn day(time: Option<&prost_types::Timestamp>) -> String {
    let instant = time.and_then(instant);
    instant.map_or_else(|| ABSENT.to_owned(), |instant| instant.to_string().chars().take(10).collect())
}

/// Digits (with an optional minus) in groups of three.
fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        let check = |text: &str, expected: &str| assert_eq!(amount(Some(text)), expected, "{text}");
        check("1900000000000.12", "1.90 T");
        check("52640000000", "52.64 B");
        check("1430000", "1.43 M");
        check("12000", "12.00 K");
        check("950", "950.00");
        check("999999", "1.00 M");
        check("0", "0.00");
        check("-52640000000", "-52.64 B");
        assert_eq!(amount(None), ABSENT);
        assert_eq!(amount(Some("what")), ABSENT);
    }

    #[test]
    fn prices_have_the_digits_that_matter() {
        let check = |text: &str, expected: &str| assert_eq!(price(Some(text)), expected, "{text}");
        check("95391", "95,391.00");
        check("95391.018", "95,391.02");
        check("1234567.5", "1,234,567.50");
        check("934.4", "934.40");
        check("0.000012345678", "0.0000123457");
        check("0.50", "0.5");
        assert_eq!(price(None), ABSENT);
    }

    #[test]
    fn percentages_and_times() {
        assert_eq!(change(Some(1.304)), "+1.30 %");
        assert_eq!(change(Some(-0.5)), "-0.50 %");
        assert_eq!(percent(Some(45.234)), "45.23 %");
        let wire = prost_types::Timestamp { seconds: 1_768_478_400, nanos: 250_000_000 };
        assert_eq!(time(Some(&wire)), "2026-01-15T12:00:00Z");
        assert_eq!(time(Some(&prost_types::Timestamp { seconds: i64::MAX, nanos: 0 })), ABSENT);
    }
}
