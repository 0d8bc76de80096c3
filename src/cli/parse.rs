//! Readers for arguments: assets, indices, dates and lengths of time.

use std::time::Duration;

use crossmarket_domain::index::Subject;
use crossmarket_domain::{AssetName, Timestamp};

/// An asset's code in any letter case.
pub(super) fn asset(text: &str) -> Result<AssetName, String> {
    AssetName::parse(text).ok_or_else(|| "expected an asset, such as BTC or id:bitcoin".to_owned())
}

/// An asset or an index.
pub(super) fn subject(text: &str) -> Result<Subject<AssetName>, String> {
    let expected = "expected an asset or index, such as BTC, id:bitcoin, RUT or asset:SPX";
    Subject::parse(text).ok_or_else(|| expected.to_owned())
}

/// The code of an index, an asset or a quotient as the service spells it: `others/btc` is `OTHERS/BTC`, `Category:Privacy` is
/// `category:privacy`.
pub(super) fn index_code(text: &str) -> Result<String, String> {
    let part = |part: &str| match part.split_once(':') {
        Some((kind, name)) => format!("{}:{}", kind.to_ascii_lowercase(), name.to_ascii_lowercase()),
        None => part.to_ascii_uppercase(),
    };
    let code = text.trim().split('/').map(part).collect::<Vec<_>>().join("/");
    let known = |character: char| character.is_ascii_alphanumeric() || "/:._-$@^".contains(character);
    let well_formed = !code.is_empty() && code.len() <= 128 && code.chars().all(known);
    if well_formed {
        Ok(code)
    } else {
        Err("expected an index, asset or quotient, such as RUT, BTC or OTHERS/BTC".to_owned())
    }
}

/// A day as `2026-01-15`, at midnight UTC, or an instant as RFC 3339.
pub(super) fn date(text: &str) -> Result<Timestamp, String> {
    let day = || {
        let day: jiff::civil::Date = text.parse().ok()?;
        Timestamp::from_date(day.year(), day.month(), day.day())
    };
    Timestamp::parse(text).or_else(day).ok_or_else(|| "expected a date such as 2026-01-15".to_owned())
}

/// A length of time as `250ms`, `1.5s`, `2m` or `1h`; a bare number is seconds.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits_end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return Err("expected a length of time such as 250ms, 1s or 2m".to_owned()),
    };
    match number.parse::<f64>() {
        Ok(value) if value * seconds <= 86_400.0 => Ok(Duration::from_secs_f64(value * seconds)),
        Ok(_) => Err("at most 24h".to_owned()),
        Err(_) => Err("expected a length of time such as 250ms, 1s or 2m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_spelled_as_the_service_does() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(index_code(text).ok().as_deref(), expected, "{text}");
        };
        check("rut", Some("RUT"));
        check("others/btc", Some("OTHERS/BTC"));
        check("btc.d", Some("BTC.D"));
        check("Category:Privacy", Some("category:privacy"));
        check("basket:mine/btc", Some("basket:mine/BTC"));
        for bad in ["", "a b", "x\u{1b}[2J", &"A".repeat(200)] {
            check(bad, None);
        }
    }

    #[test]
    fn dates_are_days_or_instants() {
        assert_eq!(date("2026-01-15").map(|time| time.to_string()), Ok("2026-01-15T00:00:00Z".to_owned()));
        assert_eq!(
            date("2026-01-15T12:00:00.25Z").map(|time| time.to_string()),
            Ok("2026-01-15T12:00:00.25Z".to_owned())
        );
        assert!(date("15.1.2026").is_err());
    }

    #[test]
    fn durations_need_a_known_unit() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("3"), Ok(Duration::from_secs(3)));
        for text in ["", "s", "-1s", "1y", "1e9s", "99999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
