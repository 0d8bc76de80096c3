//! Selects the source of an exchange-traded index, and compares the others with it.
//!
//! Sources are not averaged: they all report the same calculation, some of them late. The preferred source that is up
//! to date is used. Each other source is compared with it, session by session, and reported as agreeing or not.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use crossmarket_domain::calendar::{last_closed_session, latest_session, previous_session};
use crossmarket_domain::index::{IndexKind, IndexSource};
use crossmarket_domain::state::ContributionStatus;
use crossmarket_domain::{Decimal, Timestamp};

/// Maximum age of a level during its session: sources are up to 15 minutes late.
pub const LEVEL_AGE_MAX: std::time::Duration = std::time::Duration::from_secs(30 * 60);

/// Maximum difference between two sources for a session's close, in per cent.
const CLOSE_TOLERANCE_PERCENT: f64 = 0.25;

/// Maximum difference during a session, in per cent: one source may be 15 minutes behind.
const RUNNING_TOLERANCE_PERCENT: f64 = 1.0;

/// A volatility index moves this many times as much.
const VOLATILITY_FACTOR: f64 = 8.0;

/// A source's newest reading of an index.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Midnight UTC of the session's date.
    pub day: Timestamp,
    /// The level, or the session's close.
    pub level: Decimal,
    /// The previous session's close, if the source reports it.
    pub previous_close: Option<Decimal>,
    /// The source's time of the level; for a close, the end of the session.
    pub event_time: Timestamp,
    /// The receive time.
    pub receive_time: Timestamp,
}

/// A source and its readings of one index.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The venue's id.
    pub venue: &'static str,
    pub venue_symbol: SmolStr,
    /// The newest reading.
    pub reading: Option<Reading>,
    /// The latest closes by session day.
    pub closes: BTreeMap<Timestamp, Decimal>,
}

/// The position of the source used, and the status of each. `sources` are in order of preference.
pub fn resolve(sources: &[Source], kind: IndexKind, now: Timestamp) -> (Option<usize>, Vec<IndexSource>) {
    let fresh =
        sources.iter().position(|source| source.reading.as_ref().is_some_and(|reading| is_current(reading, now)));
    let newest = || {
        let readings = sources.iter().enumerate().filter_map(|(place, source)| Some((place, source.reading.as_ref()?)));
        // Of equally recent ones, take the preferred one.
        readings.max_by_key(|(place, reading)| (reading.event_time, std::cmp::Reverse(*place))).map(|(place, _)| place)
    };
    let used = fresh.or_else(newest);
    let used_source = used.and_then(|place| sources.get(place));
    let status = |place: usize, source: &Source| -> (ContributionStatus, Option<f64>) {
        let Some(reading) = &source.reading else { return (ContributionStatus::NoPrice, None) };
        if used == Some(place) {
            let status = if fresh.is_some() { ContributionStatus::Used } else { ContributionStatus::Carried };
            return (status, Some(0.0));
        }
        let compared = used_source.and_then(|used| compare(source, used, now));
        let deviation = compared.map(|(deviation, _)| deviation);
        let factor = if kind == IndexKind::Volatility { VOLATILITY_FACTOR } else { 1.0 };
        let status = match compared {
            Some((deviation, tolerance)) if deviation.abs() > tolerance * factor => ContributionStatus::Disagrees,
            _ if is_current(reading, now) || is_recent_close(reading, now) => ContributionStatus::Standby,
            _ => ContributionStatus::Stale,
        };
        (status, deviation)
    };
    let told = sources.iter().enumerate().map(|(place, source)| {
        let (status, deviation_percent) = status(place, source);
        IndexSource {
            venue: SmolStr::new_static(source.venue),
            venue_symbol: source.venue_symbol.clone(),
            level: source.reading.as_ref().map(|reading| reading.level),
            event_time: source.reading.as_ref().map(|reading| reading.event_time),
            deviation_percent,
            status,
            // Closes are used as printed: for a fund they are adjusted for splits only, never for dividends.
            adjusted: false,
        }
    });
    (used, told.collect())
}

/// True for a recent reading of the current session or, outside a session, a reading of the last ended one.
fn is_current(reading: &Reading, now: Timestamp) -> bool {
    let Some(session) = latest_session(now) else { return false };
    let running = now < session.close;
    reading.day >= session.day_start() && (!running || now.since(reading.event_time) <= LEVEL_AGE_MAX)
}

/// True for a reading of one of the last two ended sessions: some sources publish a close the next morning.
fn is_recent_close(reading: &Reading, now: Timestamp) -> bool {
    let Some(last) = last_closed_session(now) else { return false };
    let before = previous_session(last.date).unwrap_or(last);
    (before.day_start()..=last.day_start()).contains(&reading.day)
}

/// The difference in per cent between a source and the one used, for the newest session that both have, and the maximum
/// allowed.
fn compare(source: &Source, used: &Source, now: Timestamp) -> Option<(f64, f64)> {
    let percent = |own: Decimal, other: Decimal| (own.to_f64() / other.to_f64() - 1.0) * 100.0;
    let (own, other) = (source.reading.as_ref()?, used.reading.as_ref()?);
    if own.day == other.day && !used.closes.contains_key(&own.day) {
        let both_young = now.since(own.event_time) <= LEVEL_AGE_MAX && now.since(other.event_time) <= LEVEL_AGE_MAX;
        if both_young {
            return Some((percent(own.level, other.level), RUNNING_TOLERANCE_PERCENT));
        }
    }
    let common = source.closes.iter().rev().find_map(|(day, close)| Some((*close, *used.closes.get(day)?)));
    common.map(|(own, other)| (percent(own, other), CLOSE_TOLERANCE_PERCENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a time")
    }

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).expect("a number")
    }

    fn source(venue: &'static str, level: Option<(&str, &str)>, closes: &[(&str, &str)]) -> Source {
        let reading = level.map(|(level, time)| Reading {
            day: at(time).day_start(),
            level: number(level),
            previous_close: None,
            event_time: at(time),
            receive_time: at(time),
        });
        let closes = closes.iter().map(|(day, close)| (at(&format!("{day}T00:00:00Z")), number(close))).collect();
        Source { venue, venue_symbol: "X".into(), reading, closes }
    }

    fn statuses(sources: &[Source], now: &str) -> (Option<usize>, Vec<ContributionStatus>) {
        let (used, told) = resolve(sources, IndexKind::Equity, at(now));
        (used, told.into_iter().map(|source| source.status).collect())
    }

    use ContributionStatus::{Carried, Disagrees, NoPrice, Stale, Standby, Used};

    #[test]
    fn the_preferred_source_is_used_and_others_stand_by() {
        let live = |level| Some((level, "2026-01-15T18:00:00Z"));
        let sources = [
            source("a", live("2650"), &[("2026-01-14", "2640")]),
            source("b", live("2655"), &[]),
            source("c", live("2700"), &[]),
            source("d", Some(("2640.1", "2026-01-14T21:00:00Z")), &[("2026-01-14", "2640.1")]),
            source("e", Some(("2600", "2026-01-14T21:00:00Z")), &[("2026-01-14", "2600")]),
            source("f", None, &[]),
        ];
        assert_eq!(
            statuses(&sources, "2026-01-15T18:05:00Z"),
            (Some(0), vec![Used, Standby, Disagrees, Standby, Disagrees, NoPrice])
        );
        let (_, told) = resolve(&sources, IndexKind::Equity, at("2026-01-15T18:05:00Z"));
        assert!((told[2].deviation_percent.expect("compared") - 50.0 / 26.5).abs() < 1e-9);
        // A volatility index may differ by more.
        let (_, told) = resolve(&sources[..3], IndexKind::Volatility, at("2026-01-15T18:05:00Z"));
        assert_eq!(told[2].status, Standby);
    }

    #[test]
    fn a_silent_source_gives_way_and_comes_back() {
        let sources = [
            source("a", Some(("2650", "2026-01-15T17:00:00Z")), &[]),
            source("b", Some(("2655", "2026-01-15T18:00:00Z")), &[]),
        ];
        assert_eq!(statuses(&sources, "2026-01-15T17:20:00Z").0, Some(0));
        assert_eq!(statuses(&sources, "2026-01-15T18:00:00Z"), (Some(1), vec![Stale, Used]));
        // With the session over both have its level, however old.
        assert_eq!(statuses(&sources, "2026-01-15T22:00:00Z").0, Some(0));
    }

    #[test]
    fn with_nothing_current_the_newest_is_carried() {
        let sources = [
            source("a", Some(("2600", "2026-01-08T21:00:00Z")), &[]),
            source("b", Some(("2610", "2026-01-09T21:00:00Z")), &[]),
            source("c", None, &[]),
        ];
        assert_eq!(statuses(&sources, "2026-01-15T18:00:00Z"), (Some(1), vec![Stale, Carried, NoPrice]));
        assert_eq!(statuses(&[], "2026-01-15T18:00:00Z"), (None, vec![]));
    }

    #[test]
    fn a_weekend_keeps_the_fridays_close_current() {
        let sources = [source("a", Some(("2650", "2026-01-16T21:00:00Z")), &[])];
        assert_eq!(statuses(&sources, "2026-01-19T15:00:00Z"), (Some(0), vec![Used]));
        assert_eq!(statuses(&sources, "2026-01-20T15:00:00Z"), (Some(0), vec![Carried]));
    }
}
