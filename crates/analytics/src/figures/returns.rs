//! Changes: the price compared with an earlier one.

use std::time::Duration;

pub use crate::numbers::change_percent;

use super::history::{ReferencePrice, close_at_or_before};
use crossmarket_domain::{Candle, CandleInterval, Timestamp};

/// An asset's candles at the three stored intervals; each may be empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Candles<'a> {
    /// Daily candles.
    pub daily: &'a [Candle],
    /// Hourly candles.
    pub hourly: &'a [Candle],
    /// 5-minute candles: the close is the 5-minute sample.
    pub five_minute: &'a [Candle],
}

impl<'a> Candles<'a> {
    /// The candles of one interval.
    pub fn of(&self, interval: CandleInterval) -> &'a [Candle] {
        match interval {
            CandleInterval::FiveMinutes => self.five_minute,
            CandleInterval::OneHour => self.hourly,
            CandleInterval::OneDay => self.daily,
        }
    }
}

/// The spans over which a change is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Span {
    /// 1 hour.
    OneHour,
    /// 24 hours.
    OneDay,
    /// 7 days.
    SevenDays,
    /// 30 days.
    ThirtyDays,
    /// Since 1 January 00:00 UTC.
    YearToDate,
}

impl Span {
    /// Every span, shortest first.
    pub const ALL: [Self; 5] = [Self::OneHour, Self::OneDay, Self::SevenDays, Self::ThirtyDays, Self::YearToDate];

    /// `1h`, `24h`, `7d`, `30d` or `ytd`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OneHour => "1h",
            Self::OneDay => "24h",
            Self::SevenDays => "7d",
            Self::ThirtyDays => "30d",
            Self::YearToDate => "ytd",
        }
    }

    /// The start of the span that ends at a given time.
    pub fn start(self, as_of: Timestamp) -> Timestamp {
        match self {
            Self::OneHour => as_of - Duration::from_secs(3_600),
            Self::OneDay => as_of - Duration::from_secs(86_400),
            Self::SevenDays => as_of - Duration::from_secs(7 * 86_400),
            Self::ThirtyDays => as_of - Duration::from_secs(30 * 86_400),
            Self::YearToDate => as_of.year_start(),
        }
    }

    /// The histories to search for the price at the span's start, in order, each with the maximum age of the close
    /// relative to the start. Finer candles come first; daily ones are used only where a day more or less is a small
    /// part of the span.
    fn tolerances(self) -> &'static [(CandleInterval, Duration)] {
        const FIVE_MINUTES: (CandleInterval, Duration) = (CandleInterval::FiveMinutes, Duration::from_secs(900));
        const HOUR: (CandleInterval, Duration) = (CandleInterval::OneHour, Duration::from_secs(7_200));
        const DAY: (CandleInterval, Duration) = (CandleInterval::OneDay, Duration::from_secs(86_400));
        const EXACT_DAY: (CandleInterval, Duration) = (CandleInterval::OneDay, Duration::ZERO);
        const EXACT_HOUR: (CandleInterval, Duration) = (CandleInterval::OneHour, Duration::ZERO);
        match self {
            Self::OneHour => &[FIVE_MINUTES],
            Self::OneDay => &[FIVE_MINUTES, HOUR],
            Self::SevenDays | Self::ThirtyDays => &[FIVE_MINUTES, HOUR, DAY],
            Self::YearToDate => &[EXACT_DAY, EXACT_HOUR],
        }
    }
}

/// The price at the start of a span that ends at `as_of`. It is the newest close at or before the start: of 5-minute
/// candles within 15 minutes, else of hourly ones within 2 hours (not for 1 hour), else of daily ones within a day
/// (only for 7 and 30 days). Year to date: the close of 31 December's daily candle, or of its last hour. `None` while
/// that history is missing.
pub fn reference_price(span: Span, candles: Candles<'_>, as_of: Timestamp) -> Option<ReferencePrice> {
    let start = span.start(as_of);
    span.tolerances()
        .iter()
        .find_map(|(interval, tolerance)| close_at_or_before(candles.of(*interval), *interval, start, *tolerance))
}

#[cfg(test)]
mod tests {
    use crossmarket_domain::Decimal;

    use proptest::prelude::*;

    use super::super::history::tests::{candles, time};
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).expect(text)
    }

    #[test]
    fn changes_are_in_per_cent() {
        let check = |price: &str, reference: &str, expected: Option<f64>| {
            assert_eq!(change_percent(decimal(price), decimal(reference)), expected, "{price} / {reference}");
        };
        check("110", "100", Some(10.0));
        check("95391.01", "95391.010", Some(0.0));
        check("1", "4", Some(-75.0));
        check("0.00000002", "0.00000001", Some(100.0));
        check("1", "0", None);
    }

    #[test]
    fn each_span_finds_its_reference() {
        let now = time("2026-01-15T12:02:00Z");
        let five_minute = candles(CandleInterval::FiveMinutes, time("2026-01-15T12:00:00Z"), &[5.0; 20]);
        let hourly = candles(CandleInterval::OneHour, time("2026-01-15T12:00:00Z"), &[60.0; 200]);
        let daily = candles(CandleInterval::OneDay, time("2026-01-15T00:00:00Z"), &[1440.0; 60]);
        let all = Candles { daily: &daily, hourly: &hourly, five_minute: &five_minute };
        let check = |span: Span, expected: Option<(i64, &str)>| {
            let found = reference_price(span, all, now).map(|reference| (reference.price, reference.time));
            assert_eq!(found, expected.map(|(price, at)| (Decimal::from(price), time(at))), "{span:?}");
        };
        check(Span::OneHour, Some((5, "2026-01-15T11:00:00Z")));
        check(Span::OneDay, Some((60, "2026-01-14T12:00:00Z")));
        check(Span::SevenDays, Some((60, "2026-01-08T12:00:00Z")));
        check(Span::ThirtyDays, Some((1440, "2025-12-16T00:00:00Z")));
        check(Span::YearToDate, Some((1440, "2026-01-01T00:00:00Z")));
    }

    #[test]
    fn without_history_there_is_no_reference() {
        let now = time("2026-01-15T12:02:00Z");
        // The daily history is enough for 7 days, too coarse for 24 hours, and too short for 30 days and the year.
        let daily = candles(CandleInterval::OneDay, time("2026-01-15T00:00:00Z"), &[1440.0; 9]);
        let all = Candles { daily: &daily, ..Candles::default() };
        let found = Span::ALL.map(|span| reference_price(span, all, now).is_some());
        assert_eq!(found, [false, false, true, false, false]);
    }

    #[test]
    fn the_year_begins_with_the_close_of_december() {
        let now = time("2026-01-01T00:00:00Z");
        let daily = candles(CandleInterval::OneDay, time("2026-01-02T00:00:00Z"), &[1.0, 2.0, 3.0]);
        let all = Candles { daily: &daily, ..Candles::default() };
        let found = reference_price(Span::YearToDate, all, now).map(|reference| reference.price);
        assert_eq!(found, Some(Decimal::from(2)));
    }

    proptest! {
        #[test]
        fn a_change_and_its_inverse_cancel(price in 1i64..1_000_000_000, reference in 1i64..1_000_000_000) {
            let there = change_percent(Decimal::from(price), Decimal::from(reference)).expect("positive");
            let back = change_percent(Decimal::from(reference), Decimal::from(price)).expect("positive");
            prop_assert!(((1.0 + there / 100.0) * (1.0 + back / 100.0) - 1.0).abs() < 1e-9);
        }
    }
}
