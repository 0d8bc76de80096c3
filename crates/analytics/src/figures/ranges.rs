//! Highest and lowest prices of a window.

use std::time::Duration;

use super::history::{between, end_time};
use super::returns::Candles;
use crate::numbers::{count, float};
use crossmarket_domain::{Candle, CandleInterval, Decimal, Timestamp};

/// The highest and the lowest price of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HighLow {
    /// The highest price.
    pub high: Decimal,
    /// The lowest price.
    pub low: Decimal,
    /// The interval of the candles used.
    pub interval: CandleInterval,
    /// Number of candles used.
    pub observation_count: u32,
    /// Number of candles missing in the window.
    pub missing_count: u32,
    /// The start of the first candle.
    pub start_time: Timestamp,
    /// The end of the last candle, or `as_of` if it has not ended.
    pub end_time: Timestamp,
}

impl HighLow {
    /// Widens the range to include a price.
    pub(crate) fn including(self, price: Decimal) -> Self {
        Self { high: self.high.max(price), low: self.low.min(price), ..self }
    }
}

/// High and low of the 24 hours up to `as_of`, from 5-minute candles, else from hourly ones; up to a tenth may be
/// missing. A candle counts if it began in the window, including the current one.
pub(crate) fn last_24h(candles: Candles<'_>, as_of: Timestamp) -> Option<HighLow> {
    let window = Duration::from_secs(86_400);
    let try_interval = |interval| high_low(candles.of(interval), interval, window, as_of);
    try_interval(CandleInterval::FiveMinutes).or_else(|| try_interval(CandleInterval::OneHour))
}

/// High and low of the 7 days up to `as_of`, from hourly candles, else from 5-minute ones; up to a tenth may be
/// missing. Otherwise from the daily candles that began in the window, of which one may be missing. Daily candles leave
/// out up to the first day of the window.
pub(crate) fn last_7d(candles: Candles<'_>, as_of: Timestamp) -> Option<HighLow> {
    let window = Duration::from_secs(7 * 86_400);
    let intervals = [CandleInterval::OneHour, CandleInterval::FiveMinutes, CandleInterval::OneDay];
    intervals.into_iter().find_map(|interval| high_low(candles.of(interval), interval, window, as_of))
}

/// `(high − low) / low`, in per cent, at least 0. `None` unless the low is positive.
pub(crate) fn range_percent(high: Decimal, low: Decimal) -> Option<f64> {
    if !low.is_positive() {
        return None;
    }
    Some(100.0 * float(high.checked_sub(low)?) / float(low))
}

fn high_low(candles: &[Candle], interval: CandleInterval, window: Duration, as_of: Timestamp) -> Option<HighLow> {
    let inside = between(candles, as_of - window, as_of);
    let expected = usize::try_from(window.as_secs() / interval.duration().as_secs()).ok()?;
    let missing = expected.saturating_sub(inside.len());
    let missing_max = if interval == CandleInterval::OneDay { 1 } else { expected / 10 };
    if missing > missing_max {
        return None;
    }
    let (first, last) = (inside.first()?, inside.last()?);
    Some(HighLow {
        high: inside.iter().map(|candle| candle.high).max()?,
        low: inside.iter().map(|candle| candle.low).min()?,
        interval,
        observation_count: count(inside.len()),
        missing_count: count(missing),
        start_time: first.start,
        end_time: end_time(last, interval).min(as_of),
    })
}

#[cfg(test)]
mod tests {
    use super::super::history::tests::{candles, time};
    use super::*;

    const NOON: &str = "2026-01-15T12:00:00Z";

    fn found(range: Option<HighLow>) -> Option<(i64, i64, u32)> {
        let whole = |decimal: Decimal| decimal.to_f64() as i64;
        range.map(|range| (whole(range.high), whole(range.low), range.missing_count))
    }

    #[test]
    fn finer_candles_come_first() {
        let hours: Vec<f64> = (1..=168).map(f64::from).collect();
        let hourly = candles(CandleInterval::OneHour, time(NOON), &hours);
        let minutes: Vec<f64> = (1001..=1288).map(f64::from).collect();
        let five_minute = candles(CandleInterval::FiveMinutes, time(NOON), &minutes);
        let daily =
            candles(CandleInterval::OneDay, time("2026-01-16T00:00:00Z"), &[5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 4.0]);
        let check = |candles: Candles<'_>, day: Option<(i64, i64, u32)>, week: Option<(i64, i64, u32)>| {
            assert_eq!(found(last_24h(candles, time(NOON))), day);
            assert_eq!(found(last_7d(candles, time(NOON))), week);
        };
        let all = Candles { daily: &daily, hourly: &hourly, five_minute: &five_minute };
        check(all, Some((1288, 1001, 0)), Some((168, 1, 0)));
        check(Candles { five_minute: &five_minute[40..], ..all }, Some((168, 145, 0)), Some((168, 1, 0)));
        check(Candles { hourly: &hourly[100..], ..all }, Some((1288, 1001, 0)), Some((10, 4, 0)));
        check(
            Candles { hourly: &hourly[16..], daily: &[], five_minute: &[] },
            Some((168, 145, 0)),
            Some((168, 17, 16)),
        );
        check(Candles { hourly: &hourly[17..], daily: &daily[2..], five_minute: &[] }, Some((168, 145, 0)), None);
        check(Candles::default(), None, None);
    }

    #[test]
    fn ranges_are_relative_to_the_low() {
        assert_eq!(range_percent(Decimal::from(110), Decimal::from(100)), Some(10.0));
        assert_eq!(range_percent(Decimal::from(100), Decimal::from(100)), Some(0.0));
        assert_eq!(range_percent(Decimal::from(100), Decimal::ZERO), None);
    }
}
