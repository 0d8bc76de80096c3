//! The New York trading calendar: which days are sessions, when each opens and closes, and where in its day the market is.
//!
//! Rules and closures are those of the New York Stock Exchange: its Rule 7.2 with the holiday lists that it publishes
//! (<https://www.nyse.com/markets/hours-calendars>) and, for the past, "Special Closings of the New York Stock Exchange" (NYSE Archives). The Nasdaq and Cboe
//! index calculations keep the same days. What is not kept: delays and halts within a session, of which nothing is announced before.

use jiff::civil::{Date, DateTime, Time, Weekday, date, time};
use jiff::tz::TimeZone;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use super::Timestamp;
use super::index::MarketSession;

/// The years for which closures and half-days are known. Outside of them the rules are applied as they stand at the nearer end.
pub const COVERED_YEARS: RangeInclusive<i16> = 1990..=2030;

/// One day of regular trading in New York.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session {
    /// The trading date in New York.
    pub date: Date,
    /// 9:30 New York time.
    pub open: Timestamp,
    /// 16:00 New York time, earlier on a half-day.
    pub close: Timestamp,
    /// True when it closes early.
    pub is_half_day: bool,
}

impl Session {
    /// Midnight UTC of the trading date, under which the session's daily candle is kept.
    pub fn day_start(&self) -> Timestamp {
        day_start(self.date)
    }
}

/// The session of that New York date, or `None` when the market is closed on it.
pub(crate) fn session_on(date: Date) -> Option<Session> {
    let close = closing_time(date)?;
    Some(Session {
        date,
        open: new_york_instant(date.to_datetime(OPENING)),
        close: new_york_instant(date.to_datetime(close)),
        is_half_day: close != CLOSING,
    })
}

/// The session of the date that begins at this midnight UTC, where daily candles are kept.
pub fn session_of_day(day_start: Timestamp) -> Option<Session> {
    session_on(day_start.civil().date())
}

/// Where the New York market is at that time. Trading before the session begins at 4:00, after it ends at 20:00, on a half-day at 17:00.
pub fn market_session_at(instant: Timestamp) -> MarketSession {
    let local = new_york_civil(instant);
    let Some(close) = closing_time(local.date()) else { return MarketSession::Closed };
    let late_end = if close == CLOSING { LATE_END } else { HALF_DAY_LATE_END };
    match local.time() {
        now if now < EARLY_START => MarketSession::Closed,
        now if now < OPENING => MarketSession::Pre,
        now if now < close => MarketSession::Open,
        now if now < late_end => MarketSession::Post,
        _ => MarketSession::Closed,
    }
}

/// The last session that is over at that time.
pub fn last_closed_session(instant: Timestamp) -> Option<Session> {
    let today = new_york_civil(instant).date();
    session_on(today).filter(|session| session.close <= instant).or_else(|| previous_session(today))
}

/// The session that is going on at that time, otherwise the last one that is over.
pub fn latest_session(instant: Timestamp) -> Option<Session> {
    let today = new_york_civil(instant).date();
    session_on(today).filter(|session| session.open <= instant).or_else(|| previous_session(today))
}

/// The first session that opens after that time.
pub fn next_opening(instant: Timestamp) -> Option<Session> {
    let today = new_york_civil(instant).date();
    session_on(today).filter(|session| session.open > instant).or_else(|| next_session(today))
}

/// The last session before that date.
pub fn previous_session(date: Date) -> Option<Session> {
    std::iter::successors(date.yesterday().ok(), |day| day.yesterday().ok())
        .take(DAYS_SEARCHED_MAX)
        .find_map(session_on)
}

/// The first session after that date.
pub(crate) fn next_session(date: Date) -> Option<Session> {
    std::iter::successors(date.tomorrow().ok(), |day| day.tomorrow().ok()).take(DAYS_SEARCHED_MAX).find_map(session_on)
}

/// The sessions with `from <= date <= until`, oldest first.
pub fn sessions_between(from: Date, until: Date) -> impl Iterator<Item = Session> {
    std::iter::successors(Some(from), |day| day.tomorrow().ok())
        .take_while(move |day| *day <= until)
        .filter_map(session_on)
}

/// Whether a row for that date (as its midnight UTC) can be a close of an index. Providers repeat the session before on weekends and holidays. The
/// dollar index is calculated on some holidays of the share markets; of what the calendar does not know every day is taken as given.
pub fn may_have_close(index: &str, day: Timestamp) -> bool {
    let date = day.civil().date();
    if !COVERED_YEARS.contains(&date.year()) {
        return true;
    }
    match index {
        "RUT" | "SPX" | "NDX" | "IXIC" | "DJI" | "VIX" | "IWM" => session_on(date).is_some(),
        "DXY" | "DTWEXBGS" => date.weekday().to_monday_zero_offset() < 5,
        _ => true,
    }
}

/// The date and time on a New York clock.
pub fn new_york_civil(instant: Timestamp) -> DateTime {
    let zone = new_york(instant.civil().date());
    // Every instant is between the years 1 and 9999, which jiff covers with hours to spare.
    jiff::Timestamp::from_microsecond(instant.as_micros()).unwrap_or_default().to_zoned(zone.clone()).datetime()
}

/// The instant of a date and time on a New York clock. One that a change of the clocks skips or repeats is taken as before the change.
pub(crate) fn new_york_instant(local: DateTime) -> Timestamp {
    let zoned = new_york(local.date()).to_ambiguous_zoned(local).compatible();
    zoned.map_or(Timestamp::EPOCH, |zoned| Timestamp::from_micros(zoned.timestamp().as_microsecond()))
}

/// Midnight UTC of a date.
pub fn day_start(date: Date) -> Timestamp {
    Timestamp::from_date(date.year(), date.month(), date.day()).unwrap_or(Timestamp::EPOCH)
}

const OPENING: Time = time(9, 30, 0, 0);
const CLOSING: Time = time(16, 0, 0, 0);
const HALF_DAY_CLOSING: Time = time(13, 0, 0, 0);
/// Until 1992 a half-day closed an hour later.
const HALF_DAY_CLOSING_BEFORE_1993: Time = time(14, 0, 0, 0);
const EARLY_START: Time = time(4, 0, 0, 0);
const LATE_END: Time = time(20, 0, 0, 0);
const HALF_DAY_LATE_END: Time = time(17, 0, 0, 0);

/// The market has never been closed for so long since 1990; the longest was six days in September 2001.
const DAYS_SEARCHED_MAX: usize = 10;

/// Days on which the market was closed outside its rules.
const SPECIAL_CLOSURES: &[Date] = &[
    date(1994, 4, 27), // funeral of President Nixon
    date(2001, 9, 11), // attacks of 11 September
    date(2001, 9, 12),
    date(2001, 9, 13),
    date(2001, 9, 14),
    date(2004, 6, 11),  // mourning for President Reagan
    date(2007, 1, 2),   // mourning for President Ford
    date(2012, 10, 29), // hurricane Sandy
    date(2012, 10, 30),
    date(2018, 12, 5), // mourning for President Bush
    date(2025, 1, 9),  // mourning for President Carter
];

/// Half-days outside the rules: Fridays after a holiday on Thursday, and the eve of the year 2000.
const SPECIAL_HALF_DAYS: &[Date] =
    &[date(1996, 7, 5), date(1997, 12, 26), date(1999, 12, 31), date(2002, 7, 5), date(2003, 12, 26)];

/// When the session of that date closes, `None` when there is none.
fn closing_time(date: Date) -> Option<Time> {
    let weekend = matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday);
    if weekend || is_holiday(date) || SPECIAL_CLOSURES.contains(&date) {
        return None;
    }
    let early = is_eve(date) || SPECIAL_HALF_DAYS.contains(&date);
    Some(match early {
        false => CLOSING,
        true if date.year() < 1993 => HALF_DAY_CLOSING_BEFORE_1993,
        true => HALF_DAY_CLOSING,
    })
}

/// The holidays of the rules. One on a Sunday is kept on the Monday, one on a Saturday on the Friday before, New Year's Day excepted: the
/// year's last trading day stays one.
fn is_holiday(date: Date) -> bool {
    let (year, month, day, weekday) = (date.year(), date.month(), date.day(), date.weekday());
    let kept = |holiday: i8| match weekday {
        Weekday::Monday => day == holiday || day == holiday + 1,
        Weekday::Friday => day == holiday || day + 1 == holiday,
        _ => day == holiday,
    };
    let monday = |nth: i8| weekday == Weekday::Monday && (day + 6) / 7 == nth;
    match month {
        1 => day == 1 || (day == 2 && weekday == Weekday::Monday) || (year >= 1998 && monday(3)),
        2 => monday(3),
        3 | 4 => weekday == Weekday::Friday && is_good_friday(date),
        5 => weekday == Weekday::Monday && day > 24,
        6 => year >= 2022 && kept(19),
        7 => kept(4),
        9 => monday(1),
        11 => weekday == Weekday::Thursday && (day + 6) / 7 == 4,
        12 => kept(25),
        _ => false,
    }
}

/// The half-days of the rules: the day before Independence Day since 1995 (since 2013 also a Wednesday), the Friday after Thanksgiving since
/// 1992, and Christmas Eve. A holiday is none of them: it is asked for before.
fn is_eve(date: Date) -> bool {
    let (year, day, weekday) = (date.year(), date.day(), date.weekday());
    match date.month() {
        7 => day == 3 && year >= 1995 && (weekday != Weekday::Wednesday || year >= 2013),
        11 => weekday == Weekday::Friday && (23..=29).contains(&day) && year >= 1992,
        12 => day == 24,
        _ => false,
    }
}

/// Two days before Easter Sunday, which is found by the rule of Meeus, Jones and Butcher for the Gregorian calendar.
fn is_good_friday(friday: Date) -> bool {
    let year = i32::from(friday.year());
    let (golden, century, of_century) = (year % 19, year / 100, year % 100);
    let correction = (century - century / 4 - (century - (century + 8) / 25 + 1) / 3 + 19 * golden + 15) % 30;
    let to_sunday = (32 + 2 * (century % 4) + 2 * (of_century / 4) - correction - of_century % 4) % 7;
    let late = (golden + 11 * correction + 22 * to_sunday) / 451;
    let days = correction + to_sunday - 7 * late + 114;
    let easter = Date::new(friday.year(), (days / 31) as i8, (days % 31 + 1) as i8);
    let sunday = friday.tomorrow().and_then(Date::tomorrow);
    matches!((easter, sunday), (Ok(easter), Ok(sunday)) if easter == sunday)
}

/// New York's clock: the rules of the Uniform Time Act as amended in 1986 and in 2005. As rules and not from the system's time zone database,
/// so that a machine without one keeps the same sessions.
fn new_york(date: Date) -> &'static TimeZone {
    static UNTIL_2006: LazyLock<TimeZone> = LazyLock::new(|| zone("EST5EDT,M4.1.0,M10.5.0"));
    static SINCE_2007: LazyLock<TimeZone> = LazyLock::new(|| zone("EST5EDT,M3.2.0,M11.1.0"));
    if date.year() < 2007 { &UNTIL_2006 } else { &SINCE_2007 }
}

fn zone(rule: &str) -> TimeZone {
    TimeZone::posix(rule).unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("RFC 3339")
    }

    #[test]
    fn opens_and_closes_by_new_yorks_clock() {
        let check = |day: Date, open: &str, close: &str| {
            let session = session_on(day).expect("a session");
            assert_eq!((session.open, session.close), (instant(open), instant(close)), "{day}");
        };
        check(date(2026, 1, 15), "2026-01-15T14:30:00Z", "2026-01-15T21:00:00Z");
        check(date(2025, 7, 2), "2025-07-02T13:30:00Z", "2025-07-02T20:00:00Z");
        check(date(2025, 7, 3), "2025-07-03T13:30:00Z", "2025-07-03T17:00:00Z");
        check(date(1990, 12, 24), "1990-12-24T14:30:00Z", "1990-12-24T19:00:00Z");
        // The last Friday and the first Monday around each change of the clocks, by the rule of 1986 and by that of 2005.
        check(date(2006, 3, 31), "2006-03-31T14:30:00Z", "2006-03-31T21:00:00Z");
        check(date(2006, 4, 3), "2006-04-03T13:30:00Z", "2006-04-03T20:00:00Z");
        check(date(2025, 3, 7), "2025-03-07T14:30:00Z", "2025-03-07T21:00:00Z");
        check(date(2025, 3, 10), "2025-03-10T13:30:00Z", "2025-03-10T20:00:00Z");
        check(date(2025, 11, 3), "2025-11-03T14:30:00Z", "2025-11-03T21:00:00Z");
    }

    #[test]
    fn keeps_the_clocks_of_the_time_zone_database() {
        let Ok(zone) = TimeZone::get("America/New_York") else {
            eprintln!("skipped: this machine has no time zone database");
            return;
        };
        for session in sessions_between(date(1990, 1, 1), date(2030, 12, 31)) {
            let expected = session.date.to_datetime(OPENING).to_zoned(zone.clone()).expect("a time").timestamp();
            assert_eq!(session.open.as_micros(), expected.as_microsecond(), "{}", session.date);
        }
    }

    #[test]
    fn counts_the_sessions_of_each_year() {
        // As the exchange_calendars package for Python has them, made independently of this table.
        let (sessions, half_days) = (
            [
                253, 253, 254, 253, 252, 252, 254, 253, 252, 252, 252, 248, 252, 252, 252, 252, 251, 251, 253, 252,
                252, 252, 250, 252, 252, 252, 252, 251, 251, 252, 253, 252, 251, 250, 252, 250, 251, 251, 251, 251,
                251,
            ],
            [
                1, 1, 2, 1, 1, 2, 3, 4, 2, 2, 2, 3, 3, 4, 1, 1, 2, 3, 3, 2, 1, 1, 3, 3, 3, 2, 1, 2, 3, 3, 2, 1, 1, 2,
                3, 3, 2, 1, 2, 3, 3,
            ],
        );
        for (place, year) in COVERED_YEARS.enumerate() {
            let of_year: Vec<Session> = sessions_between(date(year, 1, 1), date(year, 12, 31)).collect();
            let half_day_count = of_year.iter().filter(|session| session.is_half_day).count();
            assert_eq!((of_year.len(), half_day_count), (sessions[place], half_days[place]), "{year}");
        }
    }

    #[test]
    fn knows_holidays_and_what_is_none() {
        let closed = [
            (2000, 4, 21),
            (2012, 10, 29),
            (2018, 12, 5),
            (2021, 12, 24),
            (2022, 6, 20),
            (2023, 1, 2),
            (2025, 1, 9),
            (2027, 6, 18),
            (2026, 7, 3),
            (2026, 4, 3),
            (1998, 1, 19),
            (2001, 9, 14),
            (2016, 12, 26),
            (2010, 7, 5),
        ];
        for (year, month, day) in closed {
            assert_eq!(session_on(date(year, month, day)), None, "{year}-{month}-{day}");
        }
        // Fridays before New Year's Day on a Saturday, days that became holidays later, Columbus and Veterans Day.
        let open = [(1999, 12, 31), (2021, 12, 31), (1997, 1, 20), (2021, 6, 18), (2021, 10, 11), (2022, 11, 11)];
        for (year, month, day) in open {
            assert!(session_on(date(year, month, day)).is_some(), "{year}-{month}-{day}");
        }
    }

    #[test]
    fn tells_where_in_its_day_the_market_is() {
        let check = |text: &str, expected| assert_eq!(market_session_at(instant(text)), expected, "{text}");
        check("2026-01-15T08:59:59Z", MarketSession::Closed);
        check("2026-01-15T09:00:00Z", MarketSession::Pre);
        check("2026-01-15T14:30:00Z", MarketSession::Open);
        check("2026-01-15T20:59:59.999999Z", MarketSession::Open);
        check("2026-01-15T21:00:00Z", MarketSession::Post);
        check("2026-01-16T00:59:59Z", MarketSession::Post);
        check("2026-01-16T01:00:00Z", MarketSession::Closed);
        check("2026-01-17T15:00:00Z", MarketSession::Closed);
        check("2026-01-19T15:00:00Z", MarketSession::Closed);
        check("2025-11-28T17:59:59Z", MarketSession::Open);
        check("2025-11-28T18:00:00Z", MarketSession::Post);
        check("2025-11-28T22:00:00Z", MarketSession::Closed);
    }

    #[test]
    fn finds_the_sessions_around_an_instant() {
        let date_of = |session: Option<Session>| session.expect("a session").date;
        let friday_noon = instant("2026-01-16T17:00:00Z");
        assert_eq!(date_of(last_closed_session(friday_noon)), date(2026, 1, 15));
        assert_eq!(date_of(latest_session(friday_noon)), date(2026, 1, 16));
        assert_eq!(date_of(next_opening(friday_noon)), date(2026, 1, 20));
        assert_eq!(date_of(latest_session(instant("2026-01-16T14:29:59Z"))), date(2026, 1, 15));
        assert_eq!(date_of(last_closed_session(instant("2026-01-16T21:00:00Z"))), date(2026, 1, 16));
        assert_eq!(date_of(last_closed_session(instant("2026-01-19T12:00:00Z"))), date(2026, 1, 16));
        assert_eq!(date_of(next_session(date(2001, 9, 10))), date(2001, 9, 17));
        assert_eq!(date_of(previous_session(date(2001, 9, 17))), date(2001, 9, 10));
        assert_eq!(date_of(previous_session(date(2026, 1, 1))), date(2025, 12, 31));
        assert_eq!(date_of(previous_session(date(2023, 1, 1))), date(2022, 12, 30));
        assert_eq!(sessions_between(date(2026, 1, 1), date(2026, 1, 15)).count(), 10);
    }

    #[test]
    fn filler_rows_are_no_sessions() {
        let check = |index: &str, day: &str, expected: bool| {
            assert_eq!(may_have_close(index, instant(&format!("{day}T00:00:00Z"))), expected, "{index} {day}");
        };
        check("RUT", "2026-01-15", true);
        check("RUT", "2026-01-17", false);
        check("RUT", "2026-01-19", false);
        check("DXY", "2026-01-19", true);
        check("DXY", "2026-01-18", false);
        check("BTC", "2026-01-18", true);
        check("RUT", "1988-01-02", true);
    }

    #[test]
    fn no_date_is_out_of_its_reach() {
        for year in [i16::MIN, -9999, 1, 1970, 9999, i16::MAX] {
            let _ = Date::new(year, 1, 1).map(previous_session);
        }
        for micros in [i64::MIN, 0, i64::MAX] {
            let instant = Timestamp::from_micros(micros);
            let _ = (
                market_session_at(instant),
                latest_session(instant),
                last_closed_session(instant),
                next_opening(instant),
            );
        }
    }
}
