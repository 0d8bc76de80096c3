//! Positions and labels of ticks.

use jiff::civil::{Date, date};

/// Maximum number of ticks of an axis; fewer if that makes rounder values.
const TICKS_MAX: usize = 7;

const SECONDS_PER_DAY: f64 = 86_400.0;

/// A linear axis over values, widened to round ends.
pub(crate) fn linear(values: (f64, f64), name: impl Fn(f64) -> String) -> ((f64, f64), Vec<(f64, String)>) {
    let (low, high) = widened(values);
    let step = step(high - low);
    let (first, last) = ((low / step).floor(), (high / step).ceil());
    let ticks = (0..=(last - first) as usize).map(|index| (first + index as f64) * step);
    ((first * step, last * step), ticks.map(|value| (value, name(value))).collect())
}

/// A logarithmic axis over values above 0, slightly wider than the values.
pub(crate) fn logarithmic(values: (f64, f64), name: impl Fn(f64) -> String) -> ((f64, f64), Vec<(f64, String)>) {
    let (low, high) = (values.0.max(f64::MIN_POSITIVE), values.1.max(f64::MIN_POSITIVE));
    let margin = (high / low).powf(0.06).max(1.02);
    let range = (low / margin, high * margin);
    let named = |candidates: Vec<f64>| candidates.into_iter().map(|value| (value, name(value))).collect::<Vec<_>>();
    // From coarse to fine: the finest set that fits.
    let sets: [&[f64]; 5] = [
        &[1.0],
        &[1.0, 3.0],
        &[1.0, 2.0, 5.0],
        &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
        &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0],
    ];
    let decades = range.0.log10().floor() as i32..=range.1.log10().ceil() as i32;
    let within = |set: &[f64]| -> Vec<f64> {
        let all = decades.clone().flat_map(|decade| set.iter().map(move |digit| digit * 10f64.powi(decade)));
        all.filter(|value| (range.0..=range.1).contains(value)).collect()
    };
    let best = sets.iter().map(|set| within(set)).filter(|ticks| ticks.len() <= TICKS_MAX).max_by_key(Vec::len);
    match best {
        Some(ticks) if ticks.len() >= 3 => (range, named(ticks)),
        // The range spans only a few multiples, so round steps are better.
        _ => {
            let step = step(range.1 - range.0);
            let first = (range.0 / step).ceil();
            let count = ((range.1 / step).floor() - first).max(0.0) as usize;
            (range, named((0..=count).map(|index| (first + index as f64) * step).collect()))
        }
    }
}

/// Labelled dates between two instants, in Unix seconds, at round units that fit.
pub(crate) fn dates(range: (f64, f64)) -> Vec<(f64, String)> {
    let days = (range.1 - range.0) / SECONDS_PER_DAY;
    let Some(first) = day_of(range.0) else { return Vec::new() };
    let months = |step: i32| -> Vec<Date> {
        let from = i32::from(first.year()) * 12 + i32::from(first.month()) - 1;
        let from = from.div_euclid(step) * step;
        let until = from + (days / 28.0) as i32 + 2 * step;
        (from..=until)
            .step_by(step as usize)
            .filter_map(|month| Date::new((month.div_euclid(12)) as i16, (month.rem_euclid(12) + 1) as i8, 1).ok())
            .collect()
    };
    let every_days = |step: usize| -> Vec<Date> {
        let count = days as usize / step + 2;
        let begin = date(1970, 1, 5);
        let since = begin.until(first).map_or(0, |span| span.get_days());
        let from = since.div_euclid(step as i32) * step as i32;
        (0..count)
            .filter_map(|index| {
                begin.checked_add(jiff::Span::new().try_days(i64::from(from) + (index * step) as i64).ok()?).ok()
            })
            .collect()
    };
    let (dates, style) = match days {
        d if d > 365.25 * 24.0 => (months(60), "%Y"),
        d if d > 365.25 * 12.0 => (months(24), "%Y"),
        d if d > 365.25 * 4.0 => (months(12), "%Y"),
        d if d > 365.25 * 1.5 => (months(6), "%b %Y"),
        d if d > 200.0 => (months(3), "%b %Y"),
        d if d > 75.0 => (months(1), "%b %Y"),
        d if d > 35.0 => (every_days(14), "%-d %b"),
        d if d > 10.0 => (every_days(7), "%-d %b"),
        _ => (every_days(1), "%-d %b"),
    };
    let ticks = dates.into_iter().filter_map(|day| Some((seconds_of(day)?, day.strftime(style).to_string())));
    ticks.filter(|(at, _)| (range.0..=range.1).contains(at)).collect()
}

/// A day as `15 January 2026`.
pub(crate) fn long_date(seconds: f64) -> String {
    day_of(seconds).map_or_else(String::new, |day| day.strftime("%-d %B %Y").to_string())
}

/// An instant as `15 January 2026, 12:00 UTC`.
pub(crate) fn long_time(seconds: f64) -> String {
    let minutes = (seconds.rem_euclid(SECONDS_PER_DAY) / 60.0) as u32;
    format!("{}, {:02}:{:02} UTC", long_date(seconds), minutes / 60, minutes % 60)
}

/// A number with this many significant digits, without trailing zeros, and with a unit from a million on.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 1e12 => (value / 1e12, " T"),
        size if size >= 1e9 => (value / 1e9, " B"),
        size if size >= 1e6 => (value / 1e6, " M"),
        _ => (value, ""),
    };
    if scaled == 0.0 || !scaled.is_finite() {
        return "0".to_owned();
    }
    let decimals = (digits as i32 - 1 - scaled.abs().log10().floor() as i32).clamp(0, 12) as usize;
    format!("{}{unit}", plain(scaled, decimals))
}

/// A percentage with its sign: `+7.0 %`, `−12.3 %`.
pub(crate) fn signed_percent(value: f64) -> String {
    format!("{value:+.1} %").replace('-', "−")
}

/// A number without trailing zeros, with at most this many decimals.
pub(crate) fn plain(value: f64, decimals_max: usize) -> String {
    let text = format!("{value:.decimals_max$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    if text == "-0" { "0".to_owned() } else { text.replace('-', "−") }
}

fn day_of(seconds: f64) -> Option<Date> {
    Some(jiff::Timestamp::from_second(seconds as i64).ok()?.to_zoned(jiff::tz::TimeZone::UTC).date())
}

fn seconds_of(day: Date) -> Option<f64> {
    Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second() as f64)
}

/// A range that is not empty.
fn widened((low, high): (f64, f64)) -> (f64, f64) {
    if high > low { (low, high) } else { (low - low.abs().max(1.0) * 0.05, low + low.abs().max(1.0) * 0.05) }
}

/// The smallest of 1, 2, 2.5 and 5 times a power of ten that divides a length into few enough parts.
fn step(length: f64) -> f64 {
    let rough = length / (TICKS_MAX - 1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step >= rough)
        .unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ticks: &[(f64, String)]) -> Vec<&str> {
        ticks.iter().map(|(_, name)| name.as_str()).collect()
    }

    #[test]
    fn plain_axes_end_at_round_values() {
        let (range, ticks) = linear((-3.2, 41.0), |value| plain(value, 1));
        assert_eq!(range, (-10.0, 50.0));
        assert_eq!(names(&ticks), ["−10", "0", "10", "20", "30", "40", "50"]);
        let (range, ticks) = linear((5.0, 5.0), |value| plain(value, 2));
        assert!(range.0 < 5.0 && range.1 > 5.0 && ticks.len() >= 2);
    }

    #[test]
    fn axes_of_ratios_name_round_multiples() {
        let (range, ticks) = logarithmic((0.6, 3.4), |value| plain(value, 2));
        assert!(range.0 < 0.6 && range.1 > 3.4);
        assert_eq!(names(&ticks), ["0.7", "1", "1.5", "2", "3"]);
        let (_, wide) = logarithmic((1e-4, 1e3), |value| plain(value, 4));
        assert!((3..=TICKS_MAX + 1).contains(&wide.len()), "{wide:?}");
        let (_, narrow) = logarithmic((98.0, 107.0), |value| plain(value, 1));
        assert!((3..=TICKS_MAX).contains(&narrow.len()), "{narrow:?}");
    }

    #[test]
    fn numbers_keep_the_digits_that_matter() {
        let check = |value: f64, expected: &str| assert_eq!(significant(value, 3), expected, "{value}");
        check(0.0, "0");
        check(0.123456, "0.123");
        check(95_391.0, "95391");
        check(2.5, "2.5");
        check(3.21e12, "3.21 T");
        check(-0.5, "−0.5");
        assert_eq!((signed_percent(7.04), signed_percent(-12.34)), ("+7.0 %".to_owned(), "−12.3 %".to_owned()));
    }

    #[test]
    fn dates_are_named_at_round_units() {
        let at = |year, month, day| seconds_of(date(year, month, day)).expect("a date");
        assert_eq!(
            names(&dates((at(2013, 5, 1), at(2026, 1, 15)))),
            ["2014", "2016", "2018", "2020", "2022", "2024", "2026"]
        );
        assert_eq!(names(&dates((at(2025, 9, 8), at(2026, 1, 15)))), ["Oct 2025", "Nov 2025", "Dec 2025", "Jan 2026"]);
        assert_eq!(names(&dates((at(2026, 1, 2), at(2026, 1, 15)))), ["5 Jan", "12 Jan"]);
        assert!(dates((at(1987, 9, 10), at(2026, 1, 15))).len() <= 9);
    }
}
