//! The last 24 hours of a ratio, one value per period, for its 24-hour change.

use std::collections::VecDeque;

use crossmarket_domain::long_short::{DayBefore, Shares};
use crossmarket_domain::{Period, Timestamp};

/// If the reading of exactly 24 hours ago is missing, an earlier one is used, up to this many periods earlier.
const STAND_IN_PERIODS_MAX: i64 = 2;

/// The long shares of slightly more than the last 24 hours, one per period. A missing value is NaN. A share takes four
/// bytes here, since there are thousands of series; the exact values are in the store.
#[derive(Clone, Debug, Default)]
pub(super) struct Rolling24h {
    /// Number of the first slot's period since 1970.
    first: i64,
    slots: VecDeque<f32>,
}

fn number(time: Timestamp, period: Period) -> i64 {
    time.as_seconds().div_euclid(seconds(period))
}

fn seconds(period: Period) -> i64 {
    period.duration().as_secs() as i64
}

fn slots_max(period: Period) -> i64 {
    86_400 / seconds(period) + 1 + STAND_IN_PERIODS_MAX
}

impl Rolling24h {
    /// Records a reading; true if it is new or differs from the previous value.
    pub(super) fn put(&mut self, period: Period, time: Timestamp, long_share: f64) -> bool {
        let number = number(time, period);
        let slots_max = slots_max(period);
        let value = long_share as f32;
        if self.slots.is_empty() {
            self.first = number;
        }
        let last = self.first + self.slots.len() as i64 - 1;
        if number <= last - slots_max {
            return false;
        }
        if number >= last + slots_max {
            self.slots.clear();
            self.first = number;
        }
        while number < self.first {
            self.slots.push_front(f32::NAN);
            self.first -= 1;
        }
        while number >= self.first + self.slots.len() as i64 {
            self.slots.push_back(f32::NAN);
        }
        while self.slots.len() as i64 > slots_max {
            self.slots.pop_front();
            self.first += 1;
        }
        let Some(slot) = self.slots.get_mut((number - self.first) as usize) else { return false };
        let changed = *slot != value;
        *slot = value;
        changed
    }

    /// The reading 24 hours before `time`.
    pub(super) fn before(&self, period: Period, time: Timestamp) -> Option<DayBefore> {
        let wanted = number(time, period) - 86_400 / seconds(period);
        (0..=STAND_IN_PERIODS_MAX).find_map(|back| {
            let number = wanted - back;
            let share = *self.slots.get(usize::try_from(number - self.first).ok()?)?;
            let shares = Shares::of_long_share(f64::from(share))?;
            Some(DayBefore { time: Timestamp::from_seconds(number * seconds(period)), ratio: shares.ratio })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_seconds(1_768_478_400 + hours * 3_600)
    }

    #[test]
    fn remembers_a_day_and_no_more() {
        let mut day = Rolling24h::default();
        let period = Period::OneHour;
        for hour in 0..100 {
            assert!(day.put(period, at(hour), 0.5 + hour as f64 / 1_000.0));
            assert!(!day.put(period, at(hour), 0.5 + hour as f64 / 1_000.0), "nothing new");
        }
        assert_eq!(day.slots.len() as i64, slots_max(period));
        let before = day.before(period, at(99)).expect("a day");
        assert_eq!(before.time, at(75));
        assert!((before.ratio - 0.575 / 0.425).abs() < 1e-6, "{before:?}");
        assert!(!day.put(period, at(3), 0.1), "too old");
    }

    #[test]
    fn a_missing_reading_is_stood_in_for_by_the_one_before() {
        let mut day = Rolling24h::default();
        day.put(Period::OneHour, at(24), 0.6);
        assert_eq!(day.before(Period::OneHour, at(24)), None);
        day.put(Period::OneHour, at(-2), 0.5);
        assert_eq!(day.before(Period::OneHour, at(24)).map(|before| before.time), Some(at(-2)));
        assert_eq!(day.before(Period::OneHour, at(25)), None, "three hours are too far");
        assert_eq!(day.before(Period::OneHour, at(23)).map(|before| before.time), Some(at(-2)));
    }
}
