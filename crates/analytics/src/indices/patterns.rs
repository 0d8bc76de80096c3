//! Patterns in daily closes: the inverse head and shoulders.
//!
//! *Shape*, after Lo, Mamaysky and Wang, "Foundations of Technical Analysis" (Journal of Finance, 2000). Five
//! consecutive turning points of the zigzag ([`super::cycles`]): trough, peak, trough, peak, trough. The middle trough,
//! the head, is the lowest. The outer troughs, the shoulders, each lie within the tolerance of their mean; so do the
//! two peaks.
//!
//! *Neckline*: the straight line through the two peaks, in level and days, extended to the right. Both shoulders lie
//! below it.
//!
//! *Breakout*: the first close after the right shoulder that is above the neckline. It must come within as many days as
//! lie between the shoulders; otherwise the pattern expires. A close below the head before that is a failure.
//!
//! *Target*: the neckline at the breakout plus the height of the neckline above the head. This is the customary
//! measure, not a forecast.

use super::cycles::{self, TurningPoint};
use super::daily::{Daily, Day};

/// Default rise in per cent at which the zigzag turns.
pub const REVERSAL_PERCENT_DEFAULT: f64 = 4.0;

/// Maximum distance of a shoulder from the mean of both, in per cent of the mean; the same for the peaks.
pub const TOLERANCE_PERCENT: f64 = 1.5;

pub type Close = (Day, f64);

/// The outcome of a pattern.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// Still undecided.
    Forming,
    /// The close above the neckline.
    BrokenOut(Close),
    /// The close below the head.
    Failed(Close),
    /// The time for a breakout has passed.
    Expired,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InverseHeadAndShoulders {
    /// The first trough.
    pub left_shoulder: Close,
    /// The peak after it.
    pub left_peak: Close,
    /// The lowest trough.
    pub head: Close,
    /// The peak after it.
    pub right_peak: Close,
    /// The last trough.
    pub right_shoulder: Close,
    /// The outcome.
    pub outcome: Outcome,
    /// The neckline on the day of the breakout; without a breakout, on the last day examined.
    pub neckline: f64,
}

impl InverseHeadAndShoulders {
    fn neckline_on(&self, day: Day) -> f64 {
        let ((from, left), (until, right)) = (self.left_peak, self.right_peak);
        left + (right - left) * f64::from(day.since(from)) / f64::from(until.since(from))
    }

    /// The height of the neckline above the head, in per cent of the neckline there.
    pub fn depth_percent(&self) -> f64 {
        let neckline = self.neckline_on(self.head.0);
        100.0 * (neckline - self.head.1) / neckline
    }

    /// The target of a breakout by the customary measure. `None` when there was none or can be none.
    pub fn target(&self) -> Option<f64> {
        let is_open = matches!(self.outcome, Outcome::Forming | Outcome::BrokenOut(_));
        is_open.then(|| self.neckline + self.neckline_on(self.head.0) - self.head.1)
    }

    fn of(points: &[TurningPoint], tolerance_percent: f64) -> Option<Self> {
        let [left_shoulder, left_peak, head, right_peak, right_shoulder] = points else { return None };
        let is_shape = left_shoulder.is_trough
            && head.level < left_shoulder.level.min(right_shoulder.level)
            && is_level(left_shoulder.level, right_shoulder.level, tolerance_percent)
            && is_level(left_peak.level, right_peak.level, tolerance_percent);
        let close = |point: &TurningPoint| (point.day, point.level);
        let shape = is_shape.then(|| Self {
            left_shoulder: close(left_shoulder),
            left_peak: close(left_peak),
            head: close(head),
            right_peak: close(right_peak),
            right_shoulder: close(right_shoulder),
            outcome: Outcome::Forming,
            neckline: f64::NAN,
        })?;
        // A line so steep that it passes below a shoulder is not a neckline.
        let is_below = |(day, level): (Day, f64)| level < shape.neckline_on(day);
        (is_below(shape.left_shoulder) && is_below(shape.right_shoulder)).then_some(shape)
    }

    /// Examines the closes after the right shoulder, up to `until`.
    fn decide(&mut self, closes: &Daily, until: Day) {
        let (start, right) = (self.left_shoulder.0, self.right_shoulder.0);
        let last = right.plus(right.since(start));
        let mut day_seen = right;
        for (day, close) in closes.between(right.plus(1), until) {
            if day > last {
                self.outcome = Outcome::Expired;
                break;
            }
            day_seen = day;
            if close < self.head.1 {
                self.outcome = Outcome::Failed((day, close));
                break;
            }
            if close > self.neckline_on(day) {
                self.outcome = Outcome::BrokenOut((day, close));
                break;
            }
        }
        self.neckline = self.neckline_on(day_seen);
    }
}

/// True when two levels each lie within the tolerance of their mean.
fn is_level(one: f64, other: f64, tolerance_percent: f64) -> bool {
    let mean = (one + other) / 2.0;
    (one - mean).abs() <= mean * tolerance_percent / 100.0
}

/// Finds the inverse head and shoulders in the closes from `from` to `until`, both inclusive, oldest first. No two
/// patterns share a head, and no head is another pattern's shoulder, since a head is lower than both troughs beside it.
/// Without a finite reversal greater than 0 there are none.
pub fn inverse_heads_and_shoulders(
    closes: &Daily,
    from: Day,
    until: Day,
    reversal_percent: f64,
    tolerance_percent: f64,
) -> Vec<InverseHeadAndShoulders> {
    let turning_points = cycles::find(closes, from, until, reversal_percent).turning_points;
    let shapes = turning_points.windows(5).filter_map(|points| InverseHeadAndShoulders::of(points, tolerance_percent));
    let mut found: Vec<InverseHeadAndShoulders> = shapes.collect();
    found.iter_mut().for_each(|pattern| pattern.decide(closes, until));
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(number: i32) -> Day {
        Day::from_number(number)
    }

    fn daily(values: &[f64], start: i32) -> Daily {
        Daily::new((start..).zip(values).map(|(number, value)| (day(number), *value)))
    }

    fn patterns(closes: &Daily) -> Vec<InverseHeadAndShoulders> {
        let until = closes.last_day().unwrap_or_default();
        inverse_heads_and_shoulders(closes, day(i32::MIN), until, REVERSAL_PERCENT_DEFAULT, TOLERANCE_PERCENT)
    }

    /// The closes of the market note: shoulders at 2,425 and 2,432, the head at 2,310.
    const NOTE: [f64; 10] = [2_600.0, 2_425.0, 2_535.0, 2_400.0, 2_310.0, 2_450.0, 2_538.0, 2_432.0, 2_535.0, 2_575.0];

    #[test]
    fn the_pattern_of_the_market_note_breaks_out_above_its_neckline() {
        let found = patterns(&daily(&NOTE, 100));
        let [pattern] = found.as_slice() else { panic!("one pattern: {found:?}") };
        assert_eq!(
            (pattern.left_shoulder, pattern.head, pattern.right_shoulder),
            ((day(101), 2_425.0), (day(104), 2_310.0), (day(107), 2_432.0))
        );
        // The neckline rises by 3 points in four days: at 2,539.5 on the eighth day, where 2,535 is no breakout.
        assert_eq!(pattern.outcome, Outcome::BrokenOut((day(109), 2_575.0)));
        assert_eq!(pattern.neckline, 2_535.0 + 3.0 * 7.0 / 4.0);
        assert_eq!(pattern.target(), Some(pattern.neckline + 2_536.5 - 2_310.0));
        assert!((pattern.depth_percent() - 100.0 * 226.5 / 2_536.5).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_breakout_is_told_apart() {
        let after = |closes: &[f64]| {
            let values: Vec<f64> = NOTE.iter().take(8).chain(closes).copied().collect();
            let found = patterns(&daily(&values, 0));
            assert_eq!(found.len(), 1, "{found:?}");
            (found[0].outcome, found[0].target().is_some())
        };
        assert_eq!(after(&[2_535.0]), (Outcome::Forming, true));
        assert_eq!(after(&[2_535.0, 2_309.0]), (Outcome::Failed((day(9), 2_309.0)), false));
        // Shoulder to shoulder took six days.
        let waiting = [2_535.0, 2_500.0, 2_520.0, 2_530.0, 2_500.0, 2_510.0];
        assert_eq!(after(&waiting), (Outcome::Forming, true));
        assert_eq!(after(&[waiting.as_slice(), &[2_600.0]].concat()), (Outcome::Expired, false));
    }

    #[test]
    fn shoulders_and_peaks_must_be_level_and_the_head_the_lowest() {
        for (at, value) in [(7, 2_300.0), (7, 2_330.0), (6, 2_640.0), (4, 2_430.0)] {
            let mut values = NOTE;
            values[at] = value;
            let found = patterns(&daily(&values, 0));
            assert!(found.iter().all(|pattern| pattern.head.0 != day(4)), "{value} on day {at}: {found:?}");
        }
    }

    /// Peaks three days apart and a right shoulder a month later: the line through the peaks would be at 56.5 when the
    /// price is 100.
    #[test]
    fn a_line_that_runs_below_a_shoulder_is_no_neckline() {
        let mut values = vec![110.0, 97.0];
        values.extend((1..=9).map(|step| 97.0 + 6.0 * f64::from(step) / 9.0));
        values.extend([90.0, 100.0]);
        values.extend((1..=28).map(|step| 100.0 - 4.0 * f64::from(step) / 28.0));
        values.push(100.0);
        assert_eq!(patterns(&daily(&values, 0)), []);
    }

    fn walk() -> impl Strategy<Value = Vec<f64>> {
        // Steps of a few kinds, so that troughs are level now and then.
        prop::collection::vec(prop::sample::select(vec![-0.06, -0.03, 0.0, 0.03, 0.06]), 1..300).prop_map(|steps| {
            steps
                .iter()
                .scan(0.0, |log: &mut f64, step| {
                    *log += step;
                    Some(100.0 * log.exp())
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn what_is_found_has_the_shape(values in walk()) {
            let closes = daily(&values, 0);
            for pattern in patterns(&closes) {
                let order = [pattern.left_shoulder, pattern.left_peak, pattern.head, pattern.right_peak, pattern.right_shoulder];
                prop_assert!(order.windows(2).all(|pair| pair[0].0 < pair[1].0));
                prop_assert!(order.iter().all(|(day, level)| closes.get(*day) == Some(*level)));
                let lowest = order.iter().map(|(_, level)| *level).fold(f64::INFINITY, f64::min);
                prop_assert_eq!(lowest, pattern.head.1);
                prop_assert!(pattern.neckline > 0.0 && pattern.target().is_none_or(|target| target > pattern.neckline));
                let decided = match pattern.outcome {
                    Outcome::BrokenOut((day, close)) => {
                        prop_assert!(close > pattern.neckline_on(day) && pattern.neckline == pattern.neckline_on(day));
                        Some(day)
                    }
                    Outcome::Failed((day, close)) => {
                        prop_assert!(close < pattern.head.1);
                        Some(day)
                    }
                    Outcome::Forming | Outcome::Expired => None,
                };
                let length = pattern.right_shoulder.0.since(pattern.left_shoulder.0);
                let end = pattern.right_shoulder.0.plus(length);
                let before = decided.map_or(end, |day| day.plus(-1));
                for (day, close) in closes.between(pattern.right_shoulder.0.plus(1), before) {
                    prop_assert!(close >= pattern.head.1 && close <= pattern.neckline_on(day), "nothing earlier decides");
                }
                prop_assert!(decided.is_none_or(|day| day <= end));
                prop_assert_eq!(pattern.outcome == Outcome::Expired, decided.is_none() && closes.last_day() > Some(end));
            }
        }

        #[test]
        fn neither_scale_nor_date_matters(values in walk(), doublings in -20i32..20, days in -5_000i32..5_000) {
            let scale = 2f64.powi(doublings);
            let scaled: Vec<f64> = values.iter().map(|value| value * scale).collect();
            let moved = |(at, level): Close| (at.plus(days), level * scale);
            let expected: Vec<InverseHeadAndShoulders> = patterns(&daily(&values, 0)).into_iter().map(|pattern| InverseHeadAndShoulders {
                left_shoulder: moved(pattern.left_shoulder),
                left_peak: moved(pattern.left_peak),
                head: moved(pattern.head),
                right_peak: moved(pattern.right_peak),
                right_shoulder: moved(pattern.right_shoulder),
                outcome: match pattern.outcome {
                    Outcome::BrokenOut(close) => Outcome::BrokenOut(moved(close)),
                    Outcome::Failed(close) => Outcome::Failed(moved(close)),
                    other => other,
                },
                neckline: pattern.neckline * scale,
            }).collect();
            prop_assert_eq!(patterns(&daily(&scaled, days)), expected);
        }

        #[test]
        fn a_series_that_only_rises_or_only_falls_has_none(steps in prop::collection::vec(0f64..0.2, 1..200), falls in any::<bool>()) {
            let sign = if falls { -1.0 } else { 1.0 };
            let values: Vec<f64> = steps.iter().scan(0.0, |log: &mut f64, step| { *log += sign * step; Some(100.0 * log.exp()) }).collect();
            prop_assert_eq!(patterns(&daily(&values, 0)), vec![]);
        }
    }
}
