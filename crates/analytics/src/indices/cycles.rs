//! Cycles: the rises from trough to peak in daily closes, and the size of the next one if their pattern continues.
//!
//! *Turning points* (zigzag), with a reversal of `r` per cent. A trough is the lowest close that is followed by a rise
//! of at least `r` per cent from it. A peak is the highest close that is followed by the fall that undoes such a rise,
//! `1 − 1 / (1 + r)`. They alternate. The first one is whichever is confirmed first, starting from the extremes since
//! the first close; of equal closes the earliest counts. With `r = 100`, a trough is confirmed when the level has
//! doubled and a peak when it has halved.
//!
//! *Extension.* A rally's multiple is peak / trough. Let `g` be the multiple of the latest completed cycle over that of
//! the one before it. The next multiple is the latest one × `g²`: the growth of the multiples, in logarithms, doubles
//! with each cycle. Rallies of 423 and 503 per cent are multiples of 5.23 and 6.03, so the next would be 6.03 × (6.03 /
//! 5.23)² = 8.02, a rally of 702 per cent. This is an extrapolation, not a forecast.

use super::daily::{Daily, Day};

/// Default rise in per cent that makes a rally.
pub const REVERSAL_PERCENT_DEFAULT: f64 = 100.0;

/// A close at which the direction turned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TurningPoint {
    pub day: Day,
    /// The close.
    pub level: f64,
    /// True for a trough, false for a peak.
    pub is_trough: bool,
}

/// One rise from a trough to a peak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cycle {
    pub trough_day: Day,
    /// Its level.
    pub trough: f64,
    /// The day of the peak; for the current cycle, of the highest close so far.
    pub peak_day: Day,
    /// Its level.
    pub peak: f64,
    /// `peak / trough − 1` in per cent, at least 0.
    pub rally_percent: f64,
    /// The lowest later close before the next cycle's rise, relative to the peak: close / peak − 1, in per cent. `None`
    /// when no close followed.
    pub decline_percent: Option<f64>,
    /// Days from trough to peak.
    pub rally_days: u32,
    /// True when the trough is confirmed: the level has risen from it by the reversal. Only a current cycle's trough
    /// may be unconfirmed.
    pub is_trough_confirmed: bool,
}

/// The cycles of one history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cycles {
    /// The confirmed turning points, oldest first.
    pub turning_points: Vec<TurningPoint>,
    /// The cycles whose peak is confirmed, oldest first.
    pub completed: Vec<Cycle>,
    /// The current cycle. It begins at the latest trough; if no rise has confirmed one, at the lowest close since the
    /// latest peak. `None` before the first turning point.
    pub current: Option<Cycle>,
    /// The rally that would follow, in per cent. `None` with fewer than two completed cycles, or when their pattern
    /// shrinks to nothing.
    pub extension_percent: Option<f64>,
}

/// Finds the cycles in the closes from `from` to `until`, both inclusive. `reversal_percent` must be finite and greater
/// than 0; otherwise there are no cycles.
pub fn find(closes: &Daily, from: Day, until: Day, reversal_percent: f64) -> Cycles {
    if !(reversal_percent.is_finite() && reversal_percent > 0.0) {
        return Cycles::default();
    }
    let mut zigzag = Zigzag::new(1.0 + reversal_percent / 100.0);
    for (day, level) in closes.between(from, until) {
        zigzag.push(day, level);
    }
    zigzag.into_cycles()
}

/// The rally in per cent that follows two others if their pattern continues, by the rule above. `None` unless it is
/// greater than 0.
pub fn extension_percent(before_last_rally_percent: f64, last_rally_percent: f64) -> Option<f64> {
    let [before_last, last] = [before_last_rally_percent, last_rally_percent].map(|rally| 1.0 + rally / 100.0);
    let growth = last / before_last;
    let rally = 100.0 * (last * growth * growth - 1.0);
    (rally.is_finite() && rally > 0.0).then_some(rally)
}

type Extreme = (Day, f64);

/// The state of the search.
struct Zigzag {
    factor: f64,
    turning_points: Vec<TurningPoint>,
    /// The lowest close since the latest peak, or since the beginning.
    low: Option<Extreme>,
    /// The highest close since the latest trough, or since the beginning.
    high: Option<Extreme>,
    /// The highest close since `low`, while no rise has confirmed it.
    high_since_low: Option<Extreme>,
    /// The lowest close since `high`, while no fall has confirmed it.
    low_since_high: Option<Extreme>,
}

impl Zigzag {
    fn new(factor: f64) -> Self {
        let nothing = None;
        Self {
            factor,
            turning_points: Vec::new(),
            low: nothing,
            high: nothing,
            high_since_low: nothing,
            low_since_high: nothing,
        }
    }

    fn push(&mut self, day: Day, level: f64) {
        let close = (day, level);
        let rises = self.turning_points.last().map(|point| point.is_trough);
        if rises != Some(true) {
            if self.low.is_none_or(|(_, low)| level < low) {
                (self.low, self.high_since_low) = (Some(close), Some(close));
            }
            if self.high_since_low.is_none_or(|(_, high)| level > high) {
                self.high_since_low = Some(close);
            }
        }
        if rises != Some(false) {
            if self.high.is_none_or(|(_, high)| level > high) {
                (self.high, self.low_since_high) = (Some(close), Some(close));
            }
            if self.low_since_high.is_none_or(|(_, low)| level < low) {
                self.low_since_high = Some(close);
            }
        }
        let trough = self.low.filter(|(_, low)| rises != Some(true) && level >= low * self.factor);
        let peak = self.high.filter(|(_, high)| rises != Some(false) && level <= high / self.factor);
        // Both cannot happen at once: they would be so far apart that one would have been confirmed earlier.
        if let Some((day, level)) = trough {
            self.turn(TurningPoint { day, level, is_trough: true }, close);
        } else if let Some((day, level)) = peak {
            self.turn(TurningPoint { day, level, is_trough: false }, close);
        }
    }

    /// Records a turning point that this close has confirmed. The search for the opposite one begins with this close.
    fn turn(&mut self, point: TurningPoint, close: Extreme) {
        self.turning_points.push(point);
        (self.low, self.high_since_low) = (Some(close), Some(close));
        (self.high, self.low_since_high) = (Some(close), Some(close));
    }

    fn into_cycles(self) -> Cycles {
        let mut completed = Vec::new();
        for (index, pair) in self.turning_points.windows(2).enumerate() {
            let [trough, peak] = pair else { continue };
            if trough.is_trough {
                let next = self.turning_points.get(index + 2).map(|trough| trough.level);
                let lowest = next.or(self.low.map(|(_, low)| low));
                completed.push(Cycle::new(
                    (trough.day, trough.level),
                    (peak.day, peak.level),
                    lowest.filter(|lowest| *lowest < peak.level),
                    true,
                ));
            }
        }
        let current = self.turning_points.last().and_then(|latest| {
            if latest.is_trough {
                let high = self.high?;
                let lowest = self.low_since_high.filter(|(day, _)| *day > high.0).map(|(_, low)| low);
                Some(Cycle::new((latest.day, latest.level), high, lowest, true))
            } else {
                Some(Cycle::new(self.low?, self.high_since_low?, None, false))
            }
        });
        let extension_percent = match completed.as_slice() {
            [.., before_last, last] => extension_percent(before_last.rally_percent, last.rally_percent),
            _ => None,
        };
        Cycles { turning_points: self.turning_points, completed, current, extension_percent }
    }
}

impl Cycle {
    fn new(trough: Extreme, peak: Extreme, lowest_after: Option<f64>, is_trough_confirmed: bool) -> Self {
        Self {
            trough_day: trough.0,
            trough: trough.1,
            peak_day: peak.0,
            peak: peak.1,
            rally_percent: 100.0 * (peak.1 - trough.1) / trough.1,
            decline_percent: lowest_after.map(|lowest| 100.0 * (lowest - peak.1) / peak.1),
            rally_days: u32::try_from(peak.0.since(trough.0)).unwrap_or_default(),
            is_trough_confirmed,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(number: i32) -> Day {
        Day::from_number(number)
    }

    fn cycles(values: &[f64], reversal_percent: f64) -> Cycles {
        let closes = Daily::new((0..).zip(values).map(|(number, value)| (day(number), *value)));
        find(&closes, day(0), day(10_000), reversal_percent)
    }

    fn turns(found: &Cycles) -> Vec<(i32, f64, bool)> {
        found.turning_points.iter().map(|point| (point.day.number(), point.level, point.is_trough)).collect()
    }

    #[test]
    fn rallies_run_from_trough_to_peak() {
        let found = cycles(&[3.0, 1.0, 1.0, 1.9, 1.2, 2.0, 5.0, 5.0, 2.6, 4.0, 2.5, 1.5, 2.0, 3.0, 4.0], 100.0);
        // 3 falls to 1, which is more than half, so that the first close is a peak.
        assert_eq!(turns(&found), [(0, 3.0, false), (1, 1.0, true), (6, 5.0, false), (11, 1.5, true)]);
        let [cycle] = found.completed.as_slice() else { panic!("one cycle: {:?}", found.completed) };
        assert_eq!((cycle.rally_percent, cycle.decline_percent, cycle.rally_days), (400.0, Some(-70.0), 5));
        let current = found.current.expect("under way");
        assert_eq!((current.trough_day, current.peak_day, current.decline_percent), (day(11), day(14), None));
        assert!(current.is_trough_confirmed);
        assert_eq!(found.extension_percent, None, "one rally is no pattern");
    }

    #[test]
    fn a_trough_that_is_not_confirmed_says_so() {
        let found = cycles(&[1.0, 2.0, 8.0, 4.0, 3.0, 3.5, 5.0, 4.0], 100.0);
        assert_eq!(turns(&found), [(0, 1.0, true), (2, 8.0, false)]);
        assert_eq!(found.completed[0].decline_percent, Some(-62.5));
        let current = found.current.expect("under way");
        assert_eq!((current.trough_day, current.trough, current.peak_day, current.peak), (day(4), 3.0, day(6), 5.0));
        assert!(!current.is_trough_confirmed);
    }

    #[test]
    fn a_running_rally_has_its_fall_so_far() {
        let found = cycles(&[1.0, 2.0, 8.0, 5.0, 6.0], 100.0);
        let current = found.current.expect("under way");
        assert_eq!((current.peak, current.decline_percent, current.is_trough_confirmed), (8.0, Some(-37.5), true));
        assert!(found.completed.is_empty());
    }

    #[test]
    fn without_a_turn_there_is_nothing() {
        for (values, reversal) in
            [(&[1.0, 1.5, 1.9, 1.0][..], 100.0), (&[], 100.0), (&[1.0, 9.0], f64::NAN), (&[1.0, 9.0], 0.0)]
        {
            assert_eq!(cycles(values, reversal), Cycles::default(), "{values:?}");
        }
    }

    #[test]
    fn the_pattern_of_the_market_note_extends() {
        let found = cycles(&[1.0, 5.23, 1.0, 6.03, 1.05], 100.0);
        let rallies: Vec<f64> = found.completed.iter().map(|cycle| cycle.rally_percent.round()).collect();
        assert_eq!(rallies, [423.0, 503.0]);
        assert_eq!(found.extension_percent.map(f64::round), Some(702.0));
        assert_eq!(extension_percent(100.0, 100.0), Some(100.0));
        // Multiples of 8 and 2 would be followed by one of 2 / 16.
        assert_eq!(extension_percent(700.0, 100.0), None);
        assert_eq!(extension_percent(-100.0, 100.0), None);
    }

    #[test]
    fn only_the_closes_of_the_window_enter() {
        let closes = Daily::new((0..).zip([1.0, 4.0, 1.0, 4.0, 1.0]).map(|(number, value)| (day(number), value)));
        assert_eq!(turns(&find(&closes, day(1), day(3), 100.0)), [(1, 4.0, false), (2, 1.0, true)]);
    }

    proptest! {
        #[test]
        fn turning_points_alternate_and_are_extremes(
            steps in prop::collection::vec(-0.4f64..0.4, 1..200),
            reversal in 5f64..150.0,
        ) {
            let values: Vec<f64> = steps.iter().scan(0.0, |log: &mut f64, step| { *log += step; Some(100.0 * log.exp()) }).collect();
            let found = cycles(&values, reversal);
            let factor = 1.0 + reversal / 100.0;
            for pair in found.turning_points.windows(2) {
                prop_assert_ne!(pair[0].is_trough, pair[1].is_trough);
                prop_assert!(pair[0].day < pair[1].day);
                let (from, until) = (pair[0].day.number() as usize, pair[1].day.number() as usize);
                let (low, high) = if pair[0].is_trough { (pair[0], pair[1]) } else { (pair[1], pair[0]) };
                prop_assert!(high.level >= low.level * factor * (1.0 - 1e-12));
                for value in &values[from..=until] {
                    prop_assert!(low.level <= *value && *value <= high.level);
                }
                // Nothing between them would have been a turn of its own.
                let between = &values[from..=until];
                for (start, earlier) in between.iter().enumerate() {
                    for later in &between[start..] {
                        let against = if pair[0].is_trough { earlier / later } else { later / earlier };
                        prop_assert!(against < factor * (1.0 + 1e-12));
                    }
                }
            }
            prop_assert_eq!(found.current.is_some(), !found.turning_points.is_empty());
        }
    }
}
