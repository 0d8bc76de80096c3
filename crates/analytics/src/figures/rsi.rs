//! The Relative Strength Index (J. Welles Wilder, New Concepts in Technical Trading Systems, 1978).

use super::history::{consecutive_days, end_time};
use crate::numbers::{Estimate, count, float};
use crossmarket_domain::{Candle, CandleInterval, Timestamp};

/// Number of changes that Wilder averages.
pub(crate) const PERIOD: usize = 14;

/// Maximum number of closes used. After this many, the first average has a weight of (13/14)^235, less than 10⁻⁷, so
/// further closes make no visible difference.
pub(crate) const CLOSE_COUNT_MAX: usize = 250;

/// The RSI over 14 daily closes at the end of the last full UTC day, 0 to 100.
///
/// The closes are those of consecutive UTC days that have ended, at least 15 and at most [`CLOSE_COUNT_MAX`]. A gap
/// ends the warm-up, and the current day does not count. `None` with fewer.
pub(crate) fn daily(daily: &[Candle], as_of: Timestamp) -> Option<Estimate> {
    let days = consecutive_days(daily, as_of, CLOSE_COUNT_MAX);
    let (first, last) = (days.first()?, days.last()?);
    Some(Estimate {
        value: wilder(days.iter().map(|day| float(day.close)))?,
        observation_count: count(days.len()),
        missing_count: 0,
        start_time: end_time(first, CandleInterval::OneDay),
        end_time: end_time(last, CandleInterval::OneDay),
    })
}

/// Wilder's RSI of closes, oldest first. The first average gain and loss are plain means of the first 14 changes. Each
/// later one is (13 × the previous average + the newest change) / 14. The index is 100 − 100 / (1 + gain / loss): 100
/// without any loss, and 50 when there was no change at all. `None` with fewer than 15 closes.
pub(crate) fn wilder(closes: impl IntoIterator<Item = f64>) -> Option<f64> {
    let period = PERIOD as f64;
    let (mut gain, mut loss) = (0.0, 0.0);
    let mut change_count = 0usize;
    let mut before: Option<f64> = None;
    for close in closes {
        if let Some(earlier) = before.replace(close) {
            let (up, down) = ((close - earlier).max(0.0), (earlier - close).max(0.0));
            change_count += 1;
            if change_count <= PERIOD {
                gain += up / period;
                loss += down / period;
            } else {
                gain = (gain * (period - 1.0) + up) / period;
                loss = (loss * (period - 1.0) + down) / period;
            }
        }
    }
    if change_count < PERIOD {
        return None;
    }
    // 100 − 100 / (1 + gain / loss), written so that it never divides by a loss of 0.
    Some(if gain + loss == 0.0 { 50.0 } else { 100.0 * gain / (gain + loss) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::history::tests::{candles, time};
    use super::*;

    #[test]
    fn follows_the_definition() {
        // Ten gains of 1 and four losses of 1: 100 × 10/14.
        let mut closes = vec![100.0];
        for index in 0..14 {
            let last = closes[closes.len() - 1];
            closes.push(if index < 10 { last + 1.0 } else { last - 1.0 });
        }
        let check = |closes: &[f64], expected: f64| {
            let found = wilder(closes.iter().copied()).expect("enough closes");
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        };
        check(&closes, 1_000.0 / 14.0);
        // One more gain of 7: gain = (10/14 × 13 + 7) / 14 = 1.163265…, loss = 4/14 × 13/14 = 0.265306…: 100 × 228/280.
        closes.push(closes[closes.len() - 1] + 7.0);
        check(&closes, 100.0 * 228.0 / 280.0);
        check(&[5.0; 15], 50.0);
        check(&(0..30).map(f64::from).collect::<Vec<_>>(), 100.0);
        check(&(0..30).map(|index| f64::from(50 - index)).collect::<Vec<_>>(), 0.0);
    }

    #[test]
    fn needs_fifteen_ended_days() {
        let history = candles(CandleInterval::OneDay, time("2026-01-15T00:00:00Z"), &[7.0; 15]);
        let found = daily(&history, time("2026-01-15T06:00:00Z")).expect("enough closes");
        assert_eq!((found.value, found.observation_count), (50.0, 15));
        assert_eq!(found.end_time, time("2026-01-15T00:00:00Z"));
        assert_eq!(daily(&history, time("2026-01-14T23:59:59Z")), None);
    }

    #[test]
    fn the_warm_up_beyond_the_limit_does_not_show() {
        let closes: Vec<f64> = (0..600).map(|index| 100.0 + 10.0 * f64::from(index * index % 37)).collect();
        let whole = wilder(closes.iter().copied()).expect("enough closes");
        let limited = wilder(closes[closes.len() - CLOSE_COUNT_MAX..].iter().copied()).expect("enough closes");
        assert!((whole - limited).abs() < 1e-5);
    }

    proptest! {
        #[test]
        fn lies_between_0_and_100(closes in prop::collection::vec(1e-9f64..1e9, 15..300)) {
            let found = wilder(closes.iter().copied()).expect("enough closes");
            prop_assert!((0.0..=100.0).contains(&found));
        }

        #[test]
        fn turning_the_market_upside_down_mirrors_it(changes in prop::collection::vec(-100i32..100, 14..100)) {
            let path = |sign: i32| {
                let mut level = 1_000_000;
                let mut closes = vec![f64::from(level)];
                for change in &changes {
                    level += sign * change;
                    closes.push(f64::from(level));
                }
                wilder(closes).expect("enough closes")
            };
            prop_assert!((path(1) + path(-1) - 100.0).abs() < 1e-6);
        }
    }
}
