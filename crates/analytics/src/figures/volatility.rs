//! Realized volatility.

use super::history::{between, consecutive_days, end_time};
use crate::numbers::{Estimate, count, float};
use crossmarket_domain::{Candle, CandleInterval, Timestamp};

/// Number of 5-minute samples in 24 hours, including both ends.
pub(crate) const DAY_SAMPLE_COUNT: usize = 289;

/// How many of them may be missing: a tenth.
pub(crate) const DAY_MISSING_MAX: usize = 28;

/// Longest time between two samples, and between the window's ends and the nearest sample: one hour.
pub(crate) const DAY_GAP_MAX: std::time::Duration = std::time::Duration::from_secs(3_600);

/// Daily returns in the 30-day volatility.
pub(crate) const MONTH_RETURN_COUNT: usize = 30;

/// Days per year of a market that never closes.
pub(crate) const DAYS_PER_YEAR: f64 = 365.0;

/// Volatility of the 24 hours up to the last full 5 minutes: the square root of the sum of the squared log returns of
/// 5-minute samples (the closes of 5-minute candles), mean taken as zero, in per cent, not annualized (Andersen and
/// Bollerslev 1998).
///
/// A return across missing samples is squared as one. Without drift, its expected square is the sum of the expected
/// squares of the returns it covers, so the estimate stays unbiased. `None` with more than [`DAY_MISSING_MAX`] of
/// [`DAY_SAMPLE_COUNT`] samples missing or a gap longer than [`DAY_GAP_MAX`].
pub(crate) fn realized_24h(five_minute: &[Candle], as_of: Timestamp) -> Option<Estimate> {
    let interval = CandleInterval::FiveMinutes;
    let window_end = as_of.floor_to(interval.duration());
    let window_start = window_end - CandleInterval::OneDay.duration();
    let samples = between(five_minute, window_start - interval.duration(), window_end);
    let missing = DAY_SAMPLE_COUNT.saturating_sub(samples.len());
    let (first, last) = (samples.first()?, samples.last()?);
    let (start_time, last_time) = (end_time(first, interval), end_time(last, interval));
    let edge_missing = start_time.since(window_start) > DAY_GAP_MAX || window_end.since(last_time) > DAY_GAP_MAX;
    if missing > DAY_MISSING_MAX || edge_missing {
        return None;
    }
    let mut variance = 0.0;
    for pair in samples.windows(2) {
        let [earlier, later] = pair else { continue };
        if later.start.since(earlier.start) > DAY_GAP_MAX {
            return None;
        }
        variance += log_return(earlier, later)?.powi(2);
    }
    Some(Estimate {
        value: 100.0 * variance.sqrt(),
        observation_count: count(samples.len()),
        missing_count: count(missing),
        start_time,
        end_time: last_time,
    })
}

/// Volatility of the last 30 daily log returns: their sample standard deviation (divisor 29) times the square root of
/// 365, in per cent.
///
/// The closes are those of 31 consecutive UTC days that have ended; `None` when one is missing.
pub(crate) fn annualized_30d(daily: &[Candle], as_of: Timestamp) -> Option<Estimate> {
    let days = consecutive_days(daily, as_of, MONTH_RETURN_COUNT + 1);
    let (first, last) = (days.first()?, days.last()?);
    if days.len() <= MONTH_RETURN_COUNT {
        return None;
    }
    let mut returns = [0.0; MONTH_RETURN_COUNT];
    for (slot, pair) in returns.iter_mut().zip(days.windows(2)) {
        let [earlier, later] = pair else { continue };
        *slot = log_return(earlier, later)?;
    }
    let length = MONTH_RETURN_COUNT as f64;
    let mean = returns.iter().sum::<f64>() / length;
    let variance = returns.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / (length - 1.0);
    Some(Estimate {
        value: 100.0 * (variance * DAYS_PER_YEAR).sqrt(),
        observation_count: count(days.len()),
        missing_count: 0,
        start_time: end_time(first, CandleInterval::OneDay),
        end_time: end_time(last, CandleInterval::OneDay),
    })
}

/// The logarithm of the quotient of two closes; `None` unless both are positive.
fn log_return(earlier: &Candle, later: &Candle) -> Option<f64> {
    let positive = earlier.close.is_positive() && later.close.is_positive();
    positive.then(|| (float(later.close) / float(earlier.close)).ln())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::history::tests::{candles, time};
    use super::*;

    const NOON: &str = "2026-01-15T12:00:00Z";

    fn near(found: Option<f64>, expected: f64) {
        let value = found.expect("there is history");
        assert!((value - expected).abs() < 1e-9 * expected.max(1.0), "{value} is not {expected}");
    }

    #[test]
    fn one_jump_is_its_own_volatility() {
        let mut closes = [100.0; DAY_SAMPLE_COUNT];
        closes[200..].fill(101.0);
        let history = candles(CandleInterval::FiveMinutes, time(NOON), &closes);
        // 100 × ln 1.01
        near(realized_24h(&history, time("2026-01-15T12:04:59Z")).map(|found| found.value), 0.995_033_085_316_808_3);
    }

    #[test]
    fn alternating_samples_add_up() {
        let closes: Vec<f64> = (0..DAY_SAMPLE_COUNT).map(|index| if index % 2 == 0 { 1.0 } else { 1.001 }).collect();
        let found = realized_24h(&candles(CandleInterval::FiveMinutes, time(NOON), &closes), time(NOON));
        // 288 returns of ± ln 1.001: 100 × √288 × 0.000999500333…
        near(found.map(|estimate| estimate.value), 1.696_208_311_971_8);
        let estimate = found.expect("there is history");
        assert_eq!((estimate.observation_count, estimate.missing_count), (289, 0));
        assert_eq!(estimate.start_time, time("2026-01-14T12:00:00Z"));
    }

    #[test]
    fn missing_samples_are_tolerated_up_to_the_limits() {
        let rising: Vec<f64> = (0..DAY_SAMPLE_COUNT).map(|index| 100.0 + index as f64).collect();
        let full = candles(CandleInterval::FiveMinutes, time(NOON), &rising);
        let check = |dropped: &dyn Fn(usize) -> bool, expected_missing: Option<u32>| {
            let kept: Vec<Candle> = full
                .iter()
                .enumerate()
                .filter(|(index, _)| !dropped(*index))
                .map(|(_, candle)| candle.clone())
                .collect();
            assert_eq!(realized_24h(&kept, time(NOON)).map(|found| found.missing_count), expected_missing);
        };
        check(&|_| false, Some(0));
        check(&|index| index % 11 == 5, Some(26));
        check(&|index| index % 10 == 5, None);
        check(&|index| (100..111).contains(&index), Some(11));
        check(&|index| (100..112).contains(&index), None);
        check(&|index| index < 12, Some(12));
        check(&|index| index < 13, None);
        check(&|index| index > 276, Some(12));
        check(&|index| index > 275, None);
        check(&|_| true, None);
    }

    #[test]
    fn thirty_days_need_thirty_one_closes() {
        let closes: Vec<f64> = (0..31).map(|index| if index % 2 == 0 { 100.0 } else { 102.0 }).collect();
        let daily = candles(CandleInterval::OneDay, time("2026-01-15T00:00:00Z"), &closes);
        // Returns ± ln 1.02, mean 0: √(30/29) × 0.0198026273 × √365 × 100
        near(annualized_30d(&daily, time(NOON)).map(|found| found.value), 38.479_628_841_468_7);
        assert_eq!(annualized_30d(&daily[1..], time(NOON)), None);
        assert_eq!(annualized_30d(&daily, time("2026-01-14T12:00:00Z")), None);
    }

    #[test]
    fn steady_growth_has_no_thirty_day_volatility() {
        let closes: Vec<f64> = (0..31).map(|index| 1024.0 * 2f64.powi(index)).collect();
        let daily = candles(CandleInterval::OneDay, time("2026-01-15T00:00:00Z"), &closes);
        assert!(annualized_30d(&daily, time(NOON)).expect("there is history").value < 1e-9);
    }

    proptest! {
        #[test]
        fn the_unit_of_the_price_does_not_matter(
            closes in prop::collection::vec(1u32..1_000_000, DAY_SAMPLE_COUNT),
            factor in 1u32..10_000,
        ) {
            let of = |factor: f64| {
                let scaled: Vec<f64> = closes.iter().map(|close| f64::from(*close) * factor).collect();
                let found = realized_24h(&candles(CandleInterval::FiveMinutes, time(NOON), &scaled), time(NOON));
                found.expect("there is history").value
            };
            let (one, other) = (of(1.0), of(f64::from(factor)));
            prop_assert!((one - other).abs() <= 1e-9 * one.max(1.0), "{} and {}", one, other);
        }
    }
}
