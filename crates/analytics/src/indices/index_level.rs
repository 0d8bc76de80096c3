//! Figures of an index's level: changes, all-time high, and the market cap that belongs to it.
//!
//! An exchange-traded index has sessions: its closes are stored under the session's date, and "a day before" means the
//! previous session. An index that trades around the clock has UTC days, each closing at the following midnight.

use std::time::Duration;

use super::daily::{Daily, Day};
use crossmarket_domain::Timestamp;

/// How much older than the start of the span a session's close may be, in days. No closure of the New York exchanges
/// since 1933 was longer.
const CLOSURE_DAYS_MAX: i32 = 7;

/// How much older than the start of the span the 24-hour reference may be.
const DAY_TOLERANCE: Duration = Duration::from_secs(7_200);

/// How much older than the start of the span the 7-day and 30-day references may be.
const SPAN_TOLERANCE: Duration = Duration::from_secs(86_400);

/// How much older than midnight of 1 January the year-to-date reference may be.
const YEAR_TOLERANCE: Duration = Duration::from_secs(900);

/// A change since an earlier level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Level / reference − 1, in per cent.
    pub percent: f64,
    /// The earlier level.
    pub reference: f64,
    /// The time of the earlier level. For a session, midnight UTC at the beginning of its date, under which the close
    /// is stored; otherwise the time of the close.
    pub reference_time: Timestamp,
}

/// The changes of an index. Each is absent while its reference is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Changes {
    /// Since the previous session, or 24 hours ago.
    pub day: Option<Change>,
    /// Since 7 days ago.
    pub week: Option<Change>,
    /// Since 30 days ago.
    pub month: Option<Change>,
    /// Since the start of the year.
    pub year_to_date: Option<Change>,
}

/// The changes of an index with sessions. Its level belongs to the session `day`, which may or may not have ended.
///
/// One day: compared with the close of `previous_session`, the session before `day` in the calendar. Absent when that
/// close is missing, since an older one would cover more than a day. 7 and 30 days: compared with the last close at or
/// before that many days before `day`. Year to date: compared with the last close of the previous year. Closes more
/// than [`CLOSURE_DAYS_MAX`] days older than that do not count.
pub fn session_changes(level: f64, day: Day, previous_session: Option<Day>, closes: &Daily) -> Changes {
    let against = |(at, reference): (Day, f64)| change(level, reference, at.start());
    let at_or_before = |latest: Day| {
        closes.at_or_before(latest).filter(|(at, _)| latest.since(*at) <= CLOSURE_DAYS_MAX).and_then(against)
    };
    Changes {
        day: previous_session.and_then(|session| against((session, closes.get(session)?))),
        week: at_or_before(day.plus(-7)),
        month: at_or_before(day.plus(-30)),
        year_to_date: at_or_before(day.year_start().plus(-1)),
    }
}

/// The changes of an index that trades around the clock, with its level at `as_of`.
///
/// The reference is the newest level at or before the start of the span, from the daily closes and from `finer`,
/// intraday levels in ascending order of time. It may be older than the start by [`DAY_TOLERANCE`] for a day and by
/// [`SPAN_TOLERANCE`] for 7 and 30 days. Year to date, it is the level of 1 January 00:00 UTC: the close of 31
/// December, or a finer level within [`YEAR_TOLERANCE`] before.
pub fn continuous_changes(level: f64, as_of: Timestamp, closes: &Daily, finer: &[(Timestamp, f64)]) -> Changes {
    let since = |start: Timestamp, tolerance: Duration| {
        let daily = closes.at_or_before(Day::last_ended(start)).map(|(day, close)| (day.end(), close));
        let before = finer.partition_point(|(time, _)| *time <= start);
        let fine = before.checked_sub(1).and_then(|index| finer.get(index)).copied();
        let newest = match (daily, fine) {
            (Some(daily), Some(fine)) if fine.0 > daily.0 => Some(fine),
            (daily, fine) => daily.or(fine),
        };
        newest
            .filter(|(time, _)| start.since(*time) <= tolerance)
            .and_then(|(time, reference)| change(level, reference, time))
    };
    let day = |days: u64| Duration::from_secs(86_400 * days);
    Changes {
        day: since(as_of - day(1), DAY_TOLERANCE),
        week: since(as_of - day(7), SPAN_TOLERANCE),
        month: since(as_of - day(30), SPAN_TOLERANCE),
        year_to_date: since(as_of.year_start(), YEAR_TOLERANCE),
    }
}

/// The highest level of a history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordHigh {
    pub level: f64,
    /// The day of the high; the first of equal ones.
    pub day: Day,
    /// Current level / the high − 1, in per cent, from −100 to 0. `None` without a current level.
    pub drawdown_percent: Option<f64>,
    /// True when the current level is the high.
    pub is_new: bool,
    /// The first day of the history searched.
    pub history_start: Day,
}

/// The all-time high over the daily closes and the current level. The current level belongs to the day `current.0` and
/// replaces that day's close. `None` without a close of an earlier day: a level alone is not a record.
pub fn record_high(closes: &Daily, current: Option<(Day, f64)>) -> Option<RecordHigh> {
    let history_start = closes.first_day()?;
    let until = current.map_or(Day::from_number(i32::MAX), |(day, _)| day.plus(-1));
    let mut highest: Option<(Day, f64)> = None;
    for (day, close) in closes.between(history_start, until) {
        if highest.is_none_or(|(_, level)| close > level) {
            highest = Some((day, close));
        }
    }
    let (past_day, past) = highest?;
    let newer = current.filter(|(_, level)| *level > past);
    let (day, level) = newer.unwrap_or((past_day, past));
    Some(RecordHigh {
        level,
        day,
        drawdown_percent: current.map(|(_, now)| 100.0 * (now - level) / level),
        is_new: newer.is_some(),
        history_start,
    })
}

/// The estimated market cap of an index: a published, dated market cap × level / the level of that date. It ignores
/// shares issued or bought back and constituents replaced since. `None` unless it is finite and greater than 0.
pub fn estimated_market_cap(level: f64, reference_market_cap: f64, reference_level: f64) -> Option<f64> {
    let estimate = reference_market_cap * (level / reference_level);
    (estimate.is_finite() && estimate > 0.0).then_some(estimate)
}

fn change(level: f64, reference: f64, reference_time: Timestamp) -> Option<Change> {
    // Subtract first: equal levels change by exactly 0, and small changes keep their digits.
    let percent = 100.0 * (level - reference) / reference;
    percent.is_finite().then_some(Change { percent, reference, reference_time })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::history::tests::time;

    fn date(year: i16, month: i8, day: i8) -> Day {
        Day::from_date(year, month, day).expect("a date")
    }

    fn against(change: Option<Change>) -> Option<(f64, f64, String)> {
        change.map(|change| (change.percent, change.reference, change.reference_time.to_string()))
    }

    #[test]
    fn an_index_with_sessions_is_measured_against_closes() {
        let closes = Daily::new([
            (date(2025, 12, 15), 80.0),
            (date(2025, 12, 31), 100.0),
            (date(2026, 1, 5), 110.0),
            (date(2026, 1, 14), 120.0),
            (date(2026, 1, 15), 999.0),
        ]);
        let on = |previous: Day| session_changes(125.0, date(2026, 1, 15), Some(previous), &closes);
        let found = on(date(2026, 1, 14));
        assert_eq!(against(found.day), Some((100.0 * 5.0 / 120.0, 120.0, "2026-01-14T00:00:00Z".into())));
        // 8 January has no close; the last one before it is that of the 5th.
        assert_eq!(against(found.week).map(|found| found.1), Some(110.0));
        assert_eq!(against(found.month).map(|found| found.1), Some(80.0));
        assert_eq!(against(found.year_to_date), Some((25.0, 100.0, "2025-12-31T00:00:00Z".into())));
        assert_eq!(on(date(2026, 1, 13)).day, None, "the close of the session before is missing");
        assert_eq!(session_changes(125.0, date(2026, 1, 15), None, &closes).day, None);
        // The close of 15 December is too old for 14 January − 7 days, and for the end of the year.
        let old = Daily::new([(date(2025, 12, 15), 80.0)]);
        let found = session_changes(125.0, date(2026, 1, 15), Some(date(2026, 1, 14)), &old);
        assert_eq!((found.week, found.year_to_date), (None, None));
        assert!(found.month.is_some());
    }

    #[test]
    fn what_is_never_closed_is_measured_against_the_time() {
        // The close of 1 January is at midnight, the start of the 2nd.
        let closes = Daily::new((0..20).map(|offset| (date(2025, 12, 28).plus(offset), 100.0 + f64::from(offset))));
        let finer = [(time("2026-01-14T11:30:00Z"), 200.0), (time("2026-01-14T12:30:00Z"), 300.0)];
        let noon = time("2026-01-15T12:00:00Z");
        let found = continuous_changes(220.0, noon, &closes, &finer);
        assert_eq!(against(found.day), Some((10.0, 200.0, "2026-01-14T11:30:00Z".into())));
        // The newest close at or before 8 January 12:00 is that of the 7th.
        assert_eq!(against(found.week).map(|found| (found.1, found.2)), Some((110.0, "2026-01-08T00:00:00Z".into())));
        assert_eq!(against(found.year_to_date), Some((100.0 * 117.0 / 103.0, 103.0, "2026-01-01T00:00:00Z".into())));
        assert_eq!(found.month, None);
        let found = continuous_changes(220.0, noon, &closes, &[]);
        assert_eq!(found.day, None, "a close of 12 hours before the start is no reference for a day");
        let found = continuous_changes(220.0, time("2026-01-15T00:00:00Z"), &closes, &[]);
        assert_eq!(against(found.day).map(|found| found.1), Some(116.0), "at midnight it is");
        let found = continuous_changes(220.0, noon, &Daily::default(), &[(time("2025-12-31T23:50:00Z"), 110.0)]);
        assert_eq!(against(found.year_to_date).map(|found| found.0), Some(100.0));
        let found = continuous_changes(220.0, noon, &Daily::default(), &[(time("2025-12-31T23:30:00Z"), 110.0)]);
        assert_eq!(found, Changes::default());
    }

    #[test]
    fn a_record_is_the_highest_close_and_the_first_of_equal_ones() {
        let first = date(2026, 1, 1);
        let closes =
            Daily::new((0..).zip([50.0, 80.0, 70.0, 80.0, 60.0]).map(|(offset, close)| (first.plus(offset), close)));
        let check = |current: Option<(i32, f64)>, expected: Option<(f64, i32, Option<f64>, bool)>| {
            let found = record_high(&closes, current.map(|(offset, level)| (first.plus(offset), level)));
            let found = found.map(|found| (found.level, found.day.since(first), found.drawdown_percent, found.is_new));
            assert_eq!(found, expected, "{current:?}");
        };
        check(None, Some((80.0, 1, None, false)));
        check(Some((4, 60.0)), Some((80.0, 1, Some(-25.0), false)));
        check(Some((5, 80.0)), Some((80.0, 1, Some(0.0), false)));
        check(Some((5, 100.0)), Some((100.0, 5, Some(0.0), true)));
        // The level replaces its own day's close.
        check(Some((1, 75.0)), Some((75.0, 1, Some(0.0), true)));
        check(Some((0, 75.0)), None);
        assert_eq!(record_high(&Daily::default(), Some((first, 1.0))), None);
    }

    #[test]
    fn a_market_cap_follows_the_level() {
        assert_eq!(estimated_market_cap(150.0, 3e12, 100.0), Some(4.5e12));
        assert_eq!(estimated_market_cap(110.0, 3e12, 0.0), None);
        assert_eq!(estimated_market_cap(110.0, 0.0, 100.0), None);
    }
}
