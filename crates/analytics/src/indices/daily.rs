//! Daily series as dense columns: one slot per day, so that finding a day is an addition, not a search.
//!
//! Comparisons, altcoin season and indices look up thousands of days per answer; with candles each look-up would be a
//! search.

use crossmarket_domain::Timestamp;
use crossmarket_domain::time::MICROS_PER_DAY;

/// Longest span of a column, in days: 164 years. Older days are dropped.
const DAY_COUNT_MAX: usize = 60_000;

/// A day: a UTC day for what trades around the clock, the session's date for what is traded on an exchange.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Day(i32);

impl Day {
    /// From days since 1970-01-01.
    pub const fn from_number(number: i32) -> Self {
        Self(number)
    }

    /// Days since 1970-01-01.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// The UTC day of an instant.
    pub fn of(time: Timestamp) -> Self {
        // The years 1 to 9999 have fewer than 2³¹ days.
        Self(i32::try_from(time.as_micros().div_euclid(MICROS_PER_DAY)).unwrap_or_default())
    }

    /// The last UTC day that had ended at an instant; its close was the newest known one.
    pub fn last_ended(time: Timestamp) -> Self {
        Self::of(time).plus(-1)
    }

    /// A civil date, or `None` for an impossible one.
    pub fn from_date(year: i16, month: i8, day: i8) -> Option<Self> {
        Timestamp::from_date(year, month, day).map(Self::of)
    }

    /// Midnight UTC at which the day begins.
    pub fn start(self) -> Timestamp {
        Timestamp::from_micros(i64::from(self.0) * MICROS_PER_DAY)
    }

    /// Midnight UTC at which the day ends: the time of its close for what trades around the clock.
    pub fn end(self) -> Timestamp {
        self.plus(1).start()
    }

    /// The day `days` later, or earlier if negative.
    pub const fn plus(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Days from `earlier` to this one.
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.saturating_sub(earlier.0)
    }

    /// The number of its calendar week, Monday to Sunday. 1970-01-01 was a Thursday.
    pub const fn week(self) -> i32 {
        self.0.saturating_add(3).div_euclid(7)
    }

    /// 1 January of the same year.
    pub fn year_start(self) -> Self {
        Self::of(self.start().year_start())
    }
}

/// The date, as `2026-01-15`.
impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.start().civil().date(), f)
    }
}

impl std::fmt::Debug for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Positive values by day: closes in US dollars or index points, or market caps in US dollars. A day without a value is
/// missing; no value is carried forward.
#[derive(Clone, Debug, Default)]
pub struct Daily {
    first: Day,
    /// Values from `first`, NaN where missing. The first and the last are never missing.
    values: Vec<f64>,
}

impl Daily {
    /// Builds a series from points in any order. For equal days the later point wins. A value that is not finite and
    /// greater than 0 counts as missing, and so do days more than [`DAY_COUNT_MAX`] before the newest.
    pub fn new(points: impl IntoIterator<Item = (Day, f64)>) -> Self {
        let mut points: Vec<(Day, f64)> = points.into_iter().filter(|(_, value)| is_value(*value)).collect();
        // The sort is stable, so for equal days the later point is written last.
        points.sort_by_key(|(day, _)| *day);
        let Some((newest, _)) = points.last().copied() else { return Self::default() };
        let kept = points.partition_point(|(day, _)| newest.since(*day) >= DAY_COUNT_MAX as i32);
        let points = points.get(kept..).unwrap_or_default();
        let first = points.first().map_or(newest, |(day, _)| *day);
        let mut values = vec![f64::NAN; newest.since(first) as usize + 1];
        for (day, value) in points {
            if let Some(slot) = values.get_mut(day.since(first) as usize) {
                *slot = *value;
            }
        }
        Self { first, values }
    }

    /// Sets the value of a day that is not older than the first; used for the current day. A value that is not finite
    /// and greater than 0, a day before the first, and a day more than a year after the last are ignored.
    pub fn set(&mut self, day: Day, value: f64) {
        const DAYS_AHEAD_MAX: i32 = 366;
        if !is_value(value) {
            return;
        }
        let Some(last) = self.last_day() else {
            *self = Self { first: day, values: vec![value] };
            return;
        };
        if day < self.first || day.since(last) > DAYS_AHEAD_MAX || day.since(self.first) >= DAY_COUNT_MAX as i32 {
            return;
        }
        let index = day.since(self.first) as usize;
        if index >= self.values.len() {
            self.values.resize(index + 1, f64::NAN);
        }
        if let Some(slot) = self.values.get_mut(index) {
            *slot = value;
        }
    }

    /// The value of a day.
    pub fn get(&self, day: Day) -> Option<f64> {
        let value = self.raw(day);
        (!value.is_nan()).then_some(value)
    }

    /// The value of a day, NaN where it is missing.
    #[inline]
    pub(super) fn raw(&self, day: Day) -> f64 {
        // A day before the first wraps to an index beyond the end.
        let index = day.0.wrapping_sub(self.first.0) as u32 as usize;
        self.values.get(index).copied().unwrap_or(f64::NAN)
    }

    /// The newest value at or before a day.
    pub fn at_or_before(&self, day: Day) -> Option<(Day, f64)> {
        let last = self.last_day()?.min(day);
        let held = self.values.get(..usize::try_from(last.since(self.first)).ok()? + 1)?;
        let index = held.iter().rposition(|value| !value.is_nan())?;
        Some((self.first.plus(index as i32), *held.get(index)?))
    }

    /// The first day that has a value.
    pub fn first_day(&self) -> Option<Day> {
        (!self.values.is_empty()).then_some(self.first)
    }

    /// The last day that has a value.
    pub fn last_day(&self) -> Option<Day> {
        let length = i32::try_from(self.values.len()).ok()?;
        (length > 0).then(|| self.first.plus(length - 1))
    }

    /// The last day that has a value, and the value.
    pub fn last(&self) -> Option<(Day, f64)> {
        Some((self.last_day()?, *self.values.last()?))
    }

    /// Days with a value, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Day, f64)> + '_ {
        self.between(Day(i32::MIN), Day(i32::MAX))
    }

    /// Days with a value from `from` to `until`, both inclusive, oldest first.
    pub fn between(&self, from: Day, until: Day) -> impl DoubleEndedIterator<Item = (Day, f64)> + '_ {
        let index = |day: Day| usize::try_from(day.since(self.first)).unwrap_or_default().min(self.values.len());
        let start = index(from.max(self.first));
        let end = index(until.plus(1).max(self.first));
        let days = self.values.get(start..end.max(start)).unwrap_or_default().iter().enumerate();
        days.filter(|(_, value)| !value.is_nan())
            .map(move |(index, value)| (self.first.plus((start + index) as i32), *value))
    }

    /// Number of days with a value.
    pub fn count(&self) -> usize {
        self.values.iter().filter(|value| !value.is_nan()).count()
    }

    /// True when no day has a value.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// This series divided by another one, on the days on which both have a value.
    pub fn over(&self, denominator: &Self) -> Self {
        Self::new(self.iter().filter_map(|(day, value)| Some((day, value / denominator.get(day)?))))
    }
}

/// Equal values on the same days, and the same days missing.
impl PartialEq for Daily {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

fn is_value(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(number: i32) -> Day {
        Day::from_number(number)
    }

    #[test]
    fn days_know_their_date_and_week() {
        let thursday = Day::from_date(2026, 1, 15).expect("a date");
        assert_eq!(thursday.to_string(), "2026-01-15");
        assert_eq!(thursday.start().to_string(), "2026-01-15T00:00:00Z");
        assert_eq!(thursday.end().to_string(), "2026-01-16T00:00:00Z");
        assert_eq!(Day::last_ended(thursday.end()), thursday);
        assert_eq!(Day::last_ended(thursday.start()), thursday.plus(-1));
        assert_eq!(thursday.year_start(), Day::from_date(2026, 1, 1).expect("a date"));
        let week = |offset: i32| thursday.plus(offset).week() - thursday.week();
        assert_eq!([week(-4), week(-3), week(3), week(4)], [-1, 0, 0, 1], "Monday to Sunday");
        assert_eq!(day(-4).week(), day(-10).week(), "before 1970 too");
    }

    #[test]
    fn what_is_missing_stays_missing() {
        let series = Daily::new([(day(12), 3.0), (day(10), 1.0), (day(11), 0.0), (day(12), 4.0), (day(13), f64::NAN)]);
        let check = |number: i32, expected: Option<f64>, before: Option<(i32, f64)>| {
            assert_eq!(series.get(day(number)), expected, "{number}");
            assert_eq!(series.at_or_before(day(number)).map(|(at, value)| (at.number(), value)), before, "{number}");
        };
        check(9, None, None);
        check(10, Some(1.0), Some((10, 1.0)));
        check(11, None, Some((10, 1.0)));
        check(12, Some(4.0), Some((12, 4.0)));
        check(13, None, Some((12, 4.0)));
        check(i32::MIN, None, None);
        check(i32::MAX, None, Some((12, 4.0)));
        assert_eq!((series.count(), series.last()), (2, Some((day(12), 4.0))));
        assert_eq!(Daily::new([]).at_or_before(day(0)), None);
    }

    #[test]
    fn only_a_day_near_the_end_can_be_set() {
        let mut series = Daily::default();
        series.set(day(10), 1.0);
        series.set(day(12), 2.0);
        series.set(day(12), 3.0);
        for (number, value) in [(9, 1.0), (13, -1.0), (13, f64::INFINITY), (12 + 367, 1.0)] {
            series.set(day(number), value);
        }
        assert_eq!(series, Daily::new([(day(10), 1.0), (day(12), 3.0)]));
    }

    #[test]
    fn a_quotient_has_the_days_of_both() {
        let above = Daily::new([(day(1), 6.0), (day(2), 8.0), (day(4), 10.0)]);
        let below = Daily::new([(day(2), 2.0), (day(3), 2.0), (day(4), 4.0)]);
        assert_eq!(above.over(&below), Daily::new([(day(2), 4.0), (day(4), 2.5)]));
    }

    proptest! {
        #[test]
        fn a_column_holds_its_points(points in prop::collection::btree_map(-100_000i32..100_000, 1e-6f64..1e15, 0..50)) {
            let newest = points.keys().last().copied().unwrap_or_default();
            let series = Daily::new(points.iter().rev().map(|(number, value)| (day(*number), *value)));
            let kept = points.into_iter().filter(|(number, _)| newest - number < DAY_COUNT_MAX as i32);
            let expected: Vec<(Day, f64)> = kept.map(|(number, value)| (day(number), value)).collect();
            prop_assert_eq!(series.iter().collect::<Vec<_>>(), expected);
        }
    }
}
