//! The trading calendar against the days of real index histories: a weekday is missing there exactly when the calendar has no session.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crossmarket_domain::calendar::{COVERED_YEARS, sessions_between};
use jiff::civil::Date;

fn histories() -> Option<PathBuf> {
    let named = std::env::var_os("CROSSMARKET_SHARED_DATA").map(PathBuf::from);
    let root = named.unwrap_or_else(|| PathBuf::from("../shared/data"));
    let found = Some(root.join("history/indices")).filter(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("skipped: no recorded histories; CROSSMARKET_SHARED_DATA names their directory");
    }
    found
}

/// The dates of a file, or of its rows that have something in `column`.
fn dates(file: &PathBuf, column: Option<&str>) -> BTreeSet<Date> {
    let mut reader = csv::Reader::from_path(file).expect("readable");
    let place =
        column.map(|name| reader.headers().expect("a header").iter().position(|head| head == name).expect("a column"));
    let rows = reader.records().map(|row| row.expect("a row"));
    let filled = rows.filter(|row| place.is_none_or(|place| !row[place].is_empty()));
    filled.map(|row| row[0].parse().expect("a date")).collect()
}

/// Sessions that the file has no row of, and rows on days without a session.
fn differences(dates: &BTreeSet<Date>) -> (Vec<String>, Vec<String>) {
    let covered = dates.iter().copied().find(|date| COVERED_YEARS.contains(&date.year())).expect("covered dates");
    let sessions: BTreeSet<Date> =
        sessions_between(covered, *dates.last().expect("dates")).map(|session| session.date).collect();
    let dates: BTreeSet<Date> = dates.range(covered..).copied().collect();
    let text = |date: &Date| date.to_string();
    (sessions.difference(&dates).map(text).collect(), dates.difference(&sessions).map(text).collect())
}

#[test]
fn share_indices_have_a_row_exactly_for_each_session() {
    let Some(folder) = histories() else { return };
    let yahoo = "yahoo_multi_2024-08-21_2025-06-30.csv";
    for (name, column) in [
        ("RUT_daily_1987-09-10_2024-08-02.csv", None),
        ("RUT_daily_2016-06-28_2024-08-02.csv", None),
        ("SPX_daily_2016-06-28_2024-08-02.csv", None),
        ("IXIC_daily_2016-06-28_2024-08-02.csv", None),
        (yahoo, Some("RUT")),
        (yahoo, Some("SPX")),
        (yahoo, Some("NDX")),
        (yahoo, Some("DJI")),
    ] {
        let dates = dates(&folder.join(name), column);
        assert!(dates.len() > 200, "{name}");
        assert_eq!(differences(&dates), (Vec::new(), Vec::new()), "{name}, {column:?}");
    }
}

/// The volatility and the dollar index are calculated on some days on which no shares are traded; such rows are none of a session.
#[test]
fn other_indices_differ_on_known_days_only() {
    let Some(folder) = histories() else { return };
    let (gaps, extra) = differences(&dates(&folder.join("yahoo_multi_2024-08-21_2025-06-30.csv"), Some("DXY")));
    assert_eq!((gaps, extra), (Vec::new(), vec!["2025-01-09".to_owned(), "2025-05-26".to_owned()]));
    let (gaps, extra) = differences(&dates(&folder.join("VIX_daily_1990_2024.csv"), None));
    // Four sessions are missing in the file; since 2022 its rows go on through holidays, with the extended hours of the options.
    assert_eq!(gaps, ["1991-03-01", "1997-01-31", "1997-11-26", "1999-12-31"]);
    let (before, since): (Vec<_>, Vec<_>) = extra.iter().partition(|date| date.as_str() < "2022");
    assert_eq!(before, ["2004-06-11"]);
    let is_weekday = |date: &&String| date.parse::<Date>().expect("a date").weekday().to_monday_zero_offset() < 5;
    assert!(since.iter().all(is_weekday), "{since:?}");
}
