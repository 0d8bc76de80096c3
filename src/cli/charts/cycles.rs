//! `cycles`: the rallies, the levels and the patterns in the history of an index, an asset or a quotient.

use std::fmt::Write;

use clap::Args;

use super::chart::{Axis, Caption, Chart, Mark, Point, Tone, ticks};
use super::output::{OutputArguments, instant_of, source_line, waiting, wire};
use crate::cli::error::CliError;
use crate::cli::message::json;
use crate::cli::numbers::{ABSENT, change, day};
use crate::cli::parse::{date, index_code};
use crate::cli::table::{Align, Table, printable};
use crossmarket_api::v1::*;
use crossmarket_client::Client;
use crossmarket_domain::Timestamp;

/// How many of the nearest levels above and below the chart draws.
const LEVELS_DRAWN: usize = 2;

/// Points per page.
const PAGE_SIZE: i32 = 10_000;

const SECONDS_PER_DAY: f64 = 86_400.0;

/// Finds the rallies, the support and resistance levels and the patterns in the history of an index, an asset or a quotient.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crossmarket cycles OTHERS/BTC                          rallies of at least 100 %
  crossmarket cycles BTC --reversal 50 --from 2017-01-01
  crossmarket cycles OTHERS/BTC --svg cycles.svg
  crossmarket cycles OTHERS/BTC --json | jq '.completed[].rally_percent'")]
pub(crate) struct CyclesArguments {
    /// The index, asset or quotient.
    #[arg(value_name = "INDEX", value_parser = index_code)]
    index: String,
    /// Only history on or after this day.
    #[arg(long, value_name = "DATE", value_parser = date)]
    from: Option<Timestamp>,
    /// Only history before this day.
    #[arg(long, value_name = "DATE", value_parser = date)]
    to: Option<Timestamp>,
    /// The least rise that counts as a rally, in per cent; by default 100.
    #[arg(long, value_name = "PERCENT")]
    reversal: Option<f64>,
    /// The width within which turning points form one level, in per cent; by default 10.
    #[arg(long, value_name = "PERCENT")]
    tolerance: Option<f64>,
    /// The least rise between the turning points of patterns, in per cent; by default 4.
    #[arg(long, value_name = "PERCENT")]
    pattern_reversal: Option<f64>,
    #[command(flatten)]
    output: OutputArguments,
}

pub(super) async fn run(arguments: CyclesArguments) -> Result<(), CliError> {
    let client = arguments.output.client()?;
    let request = GetCyclesRequest {
        index: arguments.index.clone(),
        start_time: arguments.from.map(wire),
        end_time: arguments.to.map(wire),
        reversal_percent: arguments.reversal,
        level_tolerance_percent: arguments.tolerance,
        pattern_reversal_percent: arguments.pattern_reversal,
    };
    let doing = format!("looking for cycles of {}", arguments.index);
    let cycles = waiting(&doing, client.indices().get_cycles(request)).await?.cycles.unwrap_or_default();
    arguments.output.print(cycles.simulated, || json("Cycles", &cycles), || as_text(&cycles))?;
    if !arguments.output.is_picture_wanted() {
        return Ok(());
    }
    let closes = closes(&client, &arguments).await?;
    if closes.is_empty() {
        eprintln!("no history to draw");
        return Ok(());
    }
    arguments.output.draw(|| chart(&cycles, &closes))
}

/// The daily closes in which the cycles were found.
async fn closes(client: &Client, arguments: &CyclesArguments) -> Result<Vec<(f64, f64)>, CliError> {
    let mut request = ListIndexHistoryRequest {
        index: arguments.index.clone(),
        interval: CandleInterval::CandleInterval1d.into(),
        start_time: arguments.from.map(wire),
        end_time: arguments.to.map(wire),
        page_size: PAGE_SIZE,
        page_token: String::new(),
    };
    let mut closes = Vec::new();
    loop {
        let doing = format!("fetching the history of {} ({} days so far)", arguments.index, closes.len());
        let page = waiting(&doing, client.indices().list_index_history(request.clone())).await?;
        // A point has the timestamp of the start of its day; its level, and turning points, belong to the end.
        let close =
            |point: &IndexPoint| Some((instant_of(point.time.as_ref())? + SECONDS_PER_DAY, number(&point.level)?));
        closes.extend(page.points.iter().filter_map(close));
        if page.next_page_token.is_empty() || page.next_page_token == request.page_token {
            return Ok(closes);
        }
        request.page_token = page.next_page_token;
    }
}

/// A level for drawing; the answer has the exact decimal.
fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0)
}

/// The day of a close. A close at midnight belongs to the day that ends.
fn close_day(time: Option<&prost_types::Timestamp>) -> String {
    let before = time.map(|time| prost_types::Timestamp { seconds: time.seconds.saturating_sub(1), ..*time });
    day(before.as_ref())
}

fn level_name(text: &str) -> String {
    number(text).map_or_else(|| printable(text), |value| ticks::significant(value, 4))
}

fn as_text(cycles: &Cycles) -> String {
    let mut text = format!(
        "{} at {}; {} daily closes, {} to {}, from {}\n",
        printable(&cycles.index),
        cycles.level.as_deref().map_or_else(|| "no level".to_owned(), level_name),
        cycles.observation_count,
        close_day(cycles.start_time.as_ref()),
        close_day(cycles.end_time.as_ref()),
        printable(&cycles.sources.join(", ")),
    );
    let mut tables = vec![cycle_table(cycles), level_table(cycles)];
    if !cycles.patterns.is_empty() {
        tables.push(pattern_table(cycles));
    }
    for table in tables {
        let _ = write!(text, "\n{}", table.render(None));
    }
    for line in findings(cycles) {
        let _ = writeln!(text, "{line}");
    }
    text
}

fn cycle_table(cycles: &Cycles) -> Table {
    let mut table = Table::new(&[
        ("CYCLE", Align::Left),
        ("TROUGH", Align::Left),
        ("AT", Align::Right),
        ("PEAK", Align::Left),
        ("AT", Align::Right),
        ("RALLY", Align::Right),
        ("DAYS", Align::Right),
        ("THEN FELL", Align::Right),
    ]);
    let current = cycles.current.iter().map(|cycle| ("current", cycle));
    for (word, cycle) in cycles.completed.iter().map(|cycle| ("completed", cycle)).chain(current) {
        table.row(vec![
            word.to_owned(),
            close_day(cycle.trough_time.as_ref()),
            level_name(&cycle.trough),
            close_day(cycle.peak_time.as_ref()),
            level_name(&cycle.peak),
            change(Some(cycle.rally_percent)),
            cycle.rally_days.to_string(),
            change(cycle.decline_percent),
        ]);
    }
    table
}

fn level_table(cycles: &Cycles) -> Table {
    let mut table = Table::new(&[
        ("LEVEL", Align::Left),
        ("AT", Align::Right),
        ("FROM", Align::Right),
        ("TO", Align::Right),
        ("TURNED", Align::Right),
        ("FIRST", Align::Left),
        ("LAST", Align::Left),
        ("NOW FROM IT", Align::Right),
    ]);
    let resistances = cycles.resistances.iter().rev().map(|level| ("resistance", level));
    for (word, level) in resistances.chain(cycles.supports.iter().map(|level| ("support", level))) {
        table.row(vec![
            word.to_owned(),
            level_name(&level.level),
            level_name(&level.low),
            level_name(&level.high),
            format!("{} ×", level.touch_count),
            close_day(level.first_time.as_ref()),
            close_day(level.last_time.as_ref()),
            change(level.distance_percent),
        ]);
    }
    table
}

fn pattern_table(cycles: &Cycles) -> Table {
    let mut table = Table::new(&[
        ("PATTERN", Align::Left),
        ("LEFT SHOULDER", Align::Left),
        ("HEAD", Align::Left),
        ("AT", Align::Right),
        ("RIGHT SHOULDER", Align::Left),
        ("NECKLINE", Align::Right),
        ("STATE", Align::Left),
        ("TARGET", Align::Right),
    ]);
    for pattern in &cycles.patterns {
        let on = |point: Option<&PatternPoint>| close_day(point.and_then(|point| point.time.as_ref()));
        let kind = match pattern.kind() {
            PatternKind::InverseHeadAndShoulders => "inverse head and shoulders",
            PatternKind::Unspecified => "unknown",
        };
        let decided = on(pattern.decision.as_ref());
        let state = match pattern.state() {
            PatternState::Forming => "forming".to_owned(),
            PatternState::BrokenOut => format!("broken out {decided}"),
            PatternState::Failed => format!("failed {decided}"),
            PatternState::Expired => "expired".to_owned(),
            PatternState::Unspecified => "unknown".to_owned(),
        };
        table.row(vec![
            kind.to_owned(),
            on(pattern.left_shoulder.as_ref()),
            on(pattern.head.as_ref()),
            pattern.head.as_ref().map(|head| level_name(&head.level)).unwrap_or_default(),
            on(pattern.right_shoulder.as_ref()),
            level_name(&pattern.neckline),
            state,
            pattern.target.as_deref().map_or_else(|| ABSENT.to_owned(), level_name),
        ]);
    }
    table
}

/// The distance from support, the extrapolation, and the rules behind both.
fn findings(cycles: &Cycles) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(distance) = cycles.distance_from_support_percent {
        let at = if cycles.at_support { "at its nearest support" } else { "above its nearest support" };
        lines.push(format!("{at}: {}", change(Some(distance))));
    }
    if let Some(extension) = cycles.extension_percent {
        let method = cycles.extension.as_ref().map_or("", |derivation| derivation.method.as_str());
        let method = if method.is_empty() { String::new() } else { format!("; {}", printable(method)) };
        let rally = change(Some(extension));
        lines.push(format!("if the pattern of its rallies extends: {rally}, an extrapolation, not a forecast{method}"));
    }
    lines.push(format!(
        "a rally is a rise of at least {} %, a level gathers turning points within {} %",
        ticks::plain(cycles.reversal_percent, 1),
        ticks::plain(cycles.level_tolerance_percent, 1)
    ));
    if !cycles.patterns.is_empty() {
        lines.push(format!(
            "patterns by closes that turn by at least {} %; a target is the customary measure of a breakout, not a forecast",
            ticks::plain(cycles.pattern_reversal_percent, 1)
        ));
    }
    lines
}

fn chart(cycles: &Cycles, closes: &[(f64, f64)]) -> Chart {
    let extent = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
    };
    let first = closes.first().map_or(0.0, |(time, _)| *time);
    let times = (first, closes.last().map_or(first, |(time, _)| *time).max(first + 1.0));
    let target = target(cycles);
    let values = extent(&mut closes.iter().map(|(_, value)| *value).chain(target));
    let (range, y_ticks) = ticks::logarithmic(values, |value| ticks::significant(value, 3));
    let mut marks = Vec::new();
    for (levels, tone, word) in
        [(&cycles.supports, Tone::Series(2), "support"), (&cycles.resistances, Tone::Series(1), "resistance")]
    {
        for level in levels.iter().take(LEVELS_DRAWN) {
            let Some(y) = number(&level.level) else { continue };
            marks.push(Mark::Level { y, span: None, tone, label: format!("{word} {}", level_name(&level.level)) });
        }
    }
    if let (Some(y), Some(extension)) = (target, cycles.extension_percent) {
        let label = format!("{} if the pattern extends", ticks::signed_percent(extension));
        marks.push(Mark::Level { y, span: None, tone: Tone::Faint, label });
    }
    let last = closes.last().map(|(_, value)| ticks::significant(*value, 4)).unwrap_or_default();
    marks.push(Mark::Line {
        points: closes.iter().map(|(time, value)| (*time, Some(*value))).collect(),
        tone: Tone::Series(0),
        heavy: false,
        label: format!("{} {last}", cycles.index),
    });
    marks.push(Mark::Points(turning_points(cycles)));
    Chart {
        caption: caption(cycles, times),
        x: Axis { title: String::new(), range: times, logarithmic: false, ticks: ticks::dates(times) },
        y: Axis {
            title: format!("{}, daily close, logarithmic", cycles.index),
            range,
            logarithmic: true,
            ticks: y_ticks,
        },
        marks,
        legend: Vec::new(),
    }
}

/// The level that the rally would reach if the pattern extends.
fn target(cycles: &Cycles) -> Option<f64> {
    let trough = number(&cycles.current.as_ref()?.trough)?;
    Some(trough * (1.0 + cycles.extension_percent? / 100.0))
}

/// Troughs, and peaks with the rally that led there.
fn turning_points(cycles: &Cycles) -> Vec<Point> {
    let mut points = Vec::new();
    let mut point = |time: Option<&prost_types::Timestamp>, level: &str, label: String| {
        if let (Some(x), Some(y)) = (instant_of(time), number(level)) {
            points.push(Point { x, y, tone: Tone::Ink, label });
        }
    };
    for cycle in &cycles.completed {
        point(cycle.trough_time.as_ref(), &cycle.trough, String::new());
        point(cycle.peak_time.as_ref(), &cycle.peak, ticks::signed_percent(cycle.rally_percent));
    }
    if let Some(current) = &cycles.current {
        point(current.trough_time.as_ref(), &current.trough, String::new());
    }
    points
}

fn caption(cycles: &Cycles, times: (f64, f64)) -> Caption {
    let title = if cycles.at_support {
        format!("{} is back at its support", cycles.index)
    } else {
        format!("Cycles of {}", cycles.index)
    };
    let rallies: Vec<String> =
        cycles.completed.iter().map(|cycle| ticks::signed_percent(cycle.rally_percent)).collect();
    let rallies = match rallies.as_slice() {
        [] => "No completed rally".to_owned(),
        [one] => format!("One completed rally: {one}"),
        some => format!("{} completed rallies: {}", some.len(), some.join(", ")),
    };
    let extension = cycles.extension_percent.map(|extension| {
        format!(
            " {} would follow if the pattern extended, which is an extrapolation and not a forecast.",
            ticks::signed_percent(extension)
        )
    });
    Caption {
        title,
        subtitle: format!(
            "{rallies}, each of at least {} % from trough to peak, in {} daily closes, {} to {}.{}",
            ticks::plain(cycles.reversal_percent, 1),
            cycles.observation_count,
            ticks::long_date(times.0 - SECONDS_PER_DAY),
            ticks::long_date(times.1 - SECONDS_PER_DAY),
            extension.unwrap_or_default()
        ),
        source: source_line(cycles.sources.iter().map(String::as_str)),
        simulated: cycles.simulated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_rises_from_the_current_trough() {
        let cycles = Cycles {
            current: Some(Cycle { trough: "0.1".to_owned(), ..Default::default() }),
            extension_percent: Some(700.0),
            ..Default::default()
        };
        assert!(target(&cycles).is_some_and(|target| (target - 0.8).abs() < 1e-9));
        assert_eq!(target(&Cycles { extension_percent: None, ..cycles }), None);
    }

    #[test]
    fn a_close_at_midnight_is_of_the_day_that_ends() {
        let at = |seconds| close_day(Some(&prost_types::Timestamp { seconds, nanos: 0 }));
        // 15 January 2026, midnight and 21:00 UTC.
        assert_eq!(at(1_768_435_200), "2026-01-14");
        assert_eq!(at(1_768_435_200 + 21 * 3_600), "2026-01-15");
    }

    #[test]
    fn an_extrapolation_is_called_one() {
        let told =
            findings(&Cycles { extension_percent: Some(702.0), at_support: true, ..Default::default() }).join("\n");
        assert!(told.contains("+702.00 %") && told.contains("not a forecast"), "{told}");
    }

    #[test]
    fn levels_that_are_no_numbers_are_shown_and_not_drawn() {
        assert_eq!(number("0"), None);
        assert_eq!(number("what"), None);
        assert_eq!(level_name("0.123456"), "0.1235");
        assert_eq!(level_name("wh\u{1b}at"), "wh\u{fffd}at");
    }
}
