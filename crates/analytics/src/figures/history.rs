//! Finds candles in a history. The caller provides histories sorted by start, without duplicates.

use std::time::Duration;

use crossmarket_domain::{Candle, CandleInterval, Decimal, Timestamp};

/// A price from a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferencePrice {
    /// The price: a candle's close.
    pub price: Decimal,
    /// The price's time: the candle's end.
    pub time: Timestamp,
    pub interval: CandleInterval,
}

pub(crate) fn end_time(candle: &Candle, interval: CandleInterval) -> Timestamp {
    candle.start + interval.duration()
}

/// The candles with `from <= start < until`.
pub(crate) fn between(candles: &[Candle], from: Timestamp, until: Timestamp) -> &[Candle] {
    let first = candles.partition_point(|candle| candle.start < from);
    let end = candles.partition_point(|candle| candle.start < until);
    candles.get(first..end).unwrap_or_default()
}

/// The candles that had ended at a given time.
pub(crate) fn closed(candles: &[Candle], interval: CandleInterval, as_of: Timestamp) -> &[Candle] {
    let end = candles.partition_point(|candle| end_time(candle, interval) <= as_of);
    candles.get(..end).unwrap_or_default()
}

/// The newest close at or before a time, unless it is more than `tolerance` older.
pub(crate) fn close_at_or_before(
    candles: &[Candle],
    interval: CandleInterval,
    time: Timestamp,
    tolerance: Duration,
) -> Option<ReferencePrice> {
    let candle = closed(candles, interval, time).last()?;
    let reference = ReferencePrice { price: candle.close, time: end_time(candle, interval), interval };
    (time.since(reference.time) <= tolerance && candle.close.is_positive()).then_some(reference)
}

/// The last consecutive days that had ended at a time, at most `days_max` of them. Empty when the newest ended two or
/// more days earlier. One day may be missing, because a day's candle arrives some time after its end.
pub(crate) fn consecutive_days(daily: &[Candle], as_of: Timestamp, days_max: usize) -> &[Candle] {
    let day = CandleInterval::OneDay;
    let ended = closed(daily, day, as_of);
    let Some(newest) = ended.last() else { return &[] };
    if as_of.since(end_time(newest, day)) >= 2 * day.duration() {
        return &[];
    }
    let links = ended.windows(2).rev().take_while(
        |pair| matches!(pair, [earlier, later] if end_time(earlier, day) == later.start && earlier.close.is_positive()),
    );
    let length = (links.take(days_max.saturating_sub(1)).count() + 1).min(days_max);
    ended.get(ended.len() - length..).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Consecutive candles with these closes, the last of which ends at `end`. Open, high and low equal the close.
    pub(crate) fn candles(interval: CandleInterval, end: Timestamp, closes: &[f64]) -> Vec<Candle> {
        let first = end - interval.duration() * u32::try_from(closes.len()).expect("few");
        let flat = |(index, close): (u32, &f64)| {
            let price = Decimal::from_f64(*close).expect("finite");
            Candle {
                start: first + interval.duration() * index,
                open: price,
                high: price,
                low: price,
                close: price,
                base_volume: None,
                quote_volume: None,
            }
        };
        (0..).zip(closes).map(flat).collect()
    }

    pub(crate) fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).expect(text)
    }

    #[test]
    fn the_reference_is_at_or_before_and_not_too_old() {
        let history = candles(CandleInterval::OneHour, time("2026-01-15T12:00:00Z"), &[1.0, 2.0, 3.0]);
        let check = |at: &str, tolerance_minutes: u64, expected: Option<i64>| {
            let tolerance = Duration::from_secs(60 * tolerance_minutes);
            let found = close_at_or_before(&history, CandleInterval::OneHour, time(at), tolerance);
            assert_eq!(found.map(|reference| reference.price), expected.map(Decimal::from), "{at}");
        };
        check("2026-01-15T12:00:00Z", 0, Some(3));
        check("2026-01-15T11:59:59Z", 60, Some(2));
        check("2026-01-15T11:30:00Z", 29, None);
        check("2026-01-15T09:59:59Z", 600, None);
        check("2026-01-15T14:00:00Z", 120, Some(3));
        check("2026-01-15T14:00:01Z", 120, None);
    }

    #[test]
    fn days_run_back_to_the_first_gap() {
        let end = time("2026-01-15T00:00:00Z");
        let mut daily = candles(CandleInterval::OneDay, end, &[1.0, 2.0, 3.0, 4.0, 5.0]);
        let check = |daily: &[Candle], at: &str, days_max: usize, expected: usize| {
            assert_eq!(consecutive_days(daily, time(at), days_max).len(), expected, "{at}");
        };
        check(&daily, "2026-01-15T10:00:00Z", 250, 5);
        check(&daily, "2026-01-15T10:00:00Z", 3, 3);
        check(&daily, "2026-01-15T10:00:00Z", 0, 0);
        check(&daily, "2026-01-14T23:00:00Z", 250, 4);
        check(&daily, "2026-01-16T23:00:00Z", 250, 5);
        check(&daily, "2026-01-17T00:00:00Z", 250, 0);
        daily.remove(2);
        check(&daily, "2026-01-15T10:00:00Z", 250, 2);
        check(&[], "2026-01-15T10:00:00Z", 250, 0);
    }
}
