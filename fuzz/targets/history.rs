//! The reader of histories in CSV.

use std::collections::HashSet;

use crossmarket::cli::history_csv::{self, Effect, History, PROBLEMS_MAX, Row};
use crossmarket_domain::Decimal;

/// Reads an input as a history, with the usual columns and with a column of the caller's choice.
pub fn history_csv(data: &[u8]) {
    for value_column in [None, Some("value"), Some("Volume")] {
        let history = history_csv::parse(data, value_column);
        assert_eq!(history, history_csv::parse(data, value_column));
        every_line_is_accounted_for(data, &history);
        history.rows.iter().for_each(row);
        assert!(history.rows.iter().zip(history.rows.iter().skip(1)).all(|(before, after)| before.day < after.day));
    }
}

fn every_line_is_accounted_for(data: &[u8], history: &History) {
    let listed = |effect| history.problems.iter().filter(|problem| problem.effect == effect).count() as u64;
    let not_listed = |effect| history.problems_not_listed.get(&effect).copied().unwrap_or_default();
    let total = |effect| listed(effect) + not_listed(effect);
    assert!(history.problems.len() <= PROBLEMS_MAX);
    assert!(history.problems.is_sorted_by_key(|problem| problem.line));
    assert_eq!(total(Effect::Skipped), history.skipped_count);
    if total(Effect::Refused) > 0 {
        assert!(history.rows.is_empty() && history.line_count == 0);
        return;
    }
    assert_eq!(history.rows.len() as u64 + history.skipped_count, history.line_count);
    let row_lines: HashSet<u64> = history.rows.iter().map(|row| row.line).collect();
    assert_eq!(row_lines.len(), history.rows.len(), "two rows of one line");
    let skipped = history.problems.iter().filter(|problem| problem.effect == Effect::Skipped);
    assert!(skipped.map(|problem| problem.line).all(|line| !row_lines.contains(&line)), "skipped and kept");
    // Without quotes a line is a line, which can be counted another way.
    if !data.contains(&b'"') {
        let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
        let lines = text.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty()).count() as u64;
        assert_eq!(history.line_count + 1, lines);
    }
}

fn row(row: &Row) {
    let prices = [row.open, row.high, row.low, Some(row.close), row.market_cap];
    assert!(prices.iter().flatten().all(|price| price.is_positive()), "{row:?}");
    assert!([row.volume, row.quote_volume].iter().flatten().all(|volume| *volume >= Decimal::ZERO), "{row:?}");
    let others = [row.open, row.high, row.low, Some(row.close)];
    assert!(row.high.is_none_or(|high| others.iter().flatten().all(|price| *price <= high)), "{row:?}");
    assert!(row.low.is_none_or(|low| others.iter().flatten().all(|price| *price >= low)), "{row:?}");
    assert_eq!(row.day.day_start(), row.day);
}
