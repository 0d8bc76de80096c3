//! `compare`: indices, assets and quotients against a benchmark, as a table and as lines rebased to 100.

use std::fmt::Write;

use clap::{Args, ValueEnum};

use super::chart::{Axis, Caption, Chart, Mark, Tone, ticks};
use super::output::{OutputArguments, instant_of, source_line, waiting, wire};
use crate::cli::error::CliError;
use crate::cli::message::json;
use crate::cli::numbers::{ABSENT, change, day, percent};
use crate::cli::parse::{date, index_code};
use crate::cli::snapshot_view::words;
use crate::cli::table::{Align, Table, printable};
use crossmarket_api::v1::*;
use crossmarket_domain::Timestamp;

/// Above this ratio of the highest to the lowest value, the axis is logarithmic.
const LINEAR_RATIO_MAX: f64 = 4.0;

/// Compares indices, assets and quotients such as OTHERS/BTC with a benchmark, sampled once per joint session.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crossmarket compare RUT BTC ETH OTHERS/BTC                    the last 90 joint sessions
  crossmarket compare RUT BTC --from 2025-01-01 --weekly
  crossmarket compare RUT BTC ETH SOL --lookback 250 --svg rut.svg
  crossmarket compare SPX BTC --json | jq '.comparisons[].correlation'")]
pub(crate) struct CompareArguments {
    /// The benchmark.
    #[arg(value_name = "BENCHMARK", value_parser = index_code)]
    benchmark: String,
    /// The subjects to compare with it.
    #[arg(required = true, value_name = "SUBJECTS", value_parser = index_code)]
    subjects: Vec<String>,
    /// The number of returns in the window, from 10 to 10,000; by default 90.
    #[arg(long, value_name = "N", conflicts_with = "from", value_parser = clap::value_parser!(i32).range(10..=10_000))]
    lookback: Option<i32>,
    /// From the first joint session on or after this day.
    #[arg(long, value_name = "DATE", value_parser = date)]
    from: Option<Timestamp>,
    /// To the last joint session on or before this day; by default now.
    #[arg(long, value_name = "DATE", value_parser = date)]
    to: Option<Timestamp>,
    /// Sample the last joint session of each week only.
    #[arg(long)]
    weekly: bool,
    /// When to sample subjects that trade around the clock; by default the best that the history allows.
    #[arg(long, value_enum, value_name = "WHEN")]
    alignment: Option<Alignment>,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Alignment {
    /// At the close in New York; needs hourly history.
    SessionClose,
    /// At the end of the session's UTC day.
    UtcDailyClose,
}

pub(super) async fn run(arguments: CompareArguments) -> Result<(), CliError> {
    let client = arguments.output.client()?;
    let doing = format!("comparing with {}", arguments.benchmark);
    let response = waiting(&doing, client.indices().compare_indices(request(&arguments))).await?;
    let comparisons = &response.comparisons;
    let is_simulated = comparisons.iter().any(|comparison| comparison.simulated);
    arguments.output.print(is_simulated, || json("CompareIndicesResponse", &response), || as_text(comparisons))?;
    if comparisons.iter().any(|comparison| !comparison.points.is_empty()) {
        arguments.output.draw(|| chart(&arguments, comparisons))?;
    }
    let failed: Vec<&ItemStatus> = response.items.iter().filter(|item| item.state() != ItemState::Ok).collect();
    for item in &failed {
        let state = words(item.state().as_str_name(), "ITEM_STATE_");
        eprintln!("{}: {state}: {}", printable(&item.item), printable(&item.message));
    }
    if failed.is_empty() { Ok(()) } else { Err(CliError::AlreadyTold) }
}

fn request(arguments: &CompareArguments) -> CompareIndicesRequest {
    CompareIndicesRequest {
        benchmark: arguments.benchmark.clone(),
        subjects: arguments.subjects.clone(),
        end_time: arguments.to.map(wire),
        start_time: arguments.from.map(wire),
        lookback_observations: arguments.lookback,
        frequency: if arguments.weekly { ComparisonFrequency::Weekly } else { ComparisonFrequency::Daily }.into(),
        include_points: arguments.output.json || arguments.output.is_picture_wanted(),
        alignment: match arguments.alignment {
            None => ComparisonAlignment::Unspecified,
            Some(Alignment::SessionClose) => ComparisonAlignment::SessionClose,
            Some(Alignment::UtcDailyClose) => ComparisonAlignment::UtcDailyClose,
        }
        .into(),
        allow_partial: true,
    }
}

fn as_text(comparisons: &[Comparison]) -> String {
    let Some(first) = comparisons.first() else { return String::new() };
    let mut text = format!(
        "benchmark {}: return {}, volatility {} a year, deepest fall {}\n",
        printable(&first.benchmark),
        change(first.benchmark_return_percent),
        percent(first.volatility_benchmark_annualized_percent),
        change(first.max_drawdown_benchmark_percent),
    );
    let _ = writeln!(text, "{}{}", table(comparisons).render(None), method(first));
    text
}

fn table(comparisons: &[Comparison]) -> Table {
    let mut table = Table::new(&[
        ("SUBJECT", Align::Left),
        ("RETURN", Align::Right),
        ("AGAINST", Align::Right),
        ("CORRELATION", Align::Right),
        ("BETA", Align::Right),
        ("ALPHA/YEAR", Align::Right),
        ("TRACKING ERROR", Align::Right),
        ("VOLATILITY/YEAR", Align::Right),
        ("DEEPEST FALL", Align::Right),
        ("RETURNS", Align::Right),
        ("FROM", Align::Left),
        ("TO", Align::Left),
        ("", Align::Left),
    ]);
    for comparison in comparisons {
        let mut remarks = Vec::new();
        if comparison.provisional {
            remarks.push("provisional".to_owned());
        }
        if comparison.missing_count > 0 {
            remarks.push(format!("{} sessions missing", comparison.missing_count));
        }
        table.row(vec![
            comparison.subject.clone(),
            change(comparison.subject_return_percent),
            change(comparison.relative_strength_percent),
            plain(comparison.correlation),
            plain(comparison.beta),
            change(comparison.alpha_annualized_percent),
            percent(comparison.tracking_error_percent),
            percent(comparison.volatility_subject_annualized_percent),
            change(comparison.max_drawdown_subject_percent),
            comparison.observation_count.to_string(),
            session(comparison.start_time),
            session(comparison.end_time),
            remarks.join(", "),
        ]);
    }
    table
}

/// The day of a sample. A sample at the end of a UTC day has the timestamp of the next midnight.
fn session(time: Option<prost_types::Timestamp>) -> String {
    day(time.map(|time| prost_types::Timestamp { seconds: time.seconds - 1, ..time }).as_ref())
}

fn plain(value: Option<f64>) -> String {
    value.map_or_else(|| ABSENT.to_owned(), |value| format!("{value:+.2}"))
}

/// How the figures were sampled.
fn method(comparison: &Comparison) -> String {
    let calendar = match comparison.calendar() {
        Calendar::NewYork => "sessions of New York",
        Calendar::UtcDays => "UTC days",
        Calendar::Unspecified => "sessions",
    };
    let frequency = match comparison.frequency() {
        ComparisonFrequency::Weekly => "weekly",
        _ => "daily",
    };
    let alignment = match comparison.alignment() {
        ComparisonAlignment::SessionClose => "what trades around the clock is sampled at the session's close",
        ComparisonAlignment::UtcDailyClose => {
            "what trades around the clock is sampled at the end of the session's UTC day"
        }
        ComparisonAlignment::Unspecified => "",
    };
    let joint = if alignment.is_empty() { "" } else { "; " };
    format!(
        "{frequency} log returns over joint {calendar}{joint}{alignment}; annualized with {:.0}",
        comparison.periods_per_year
    )
}

/// One leg of a comparison, rebased to 100.
struct Line {
    points: Vec<(f64, f64)>,
    tone: Tone,
    label: String,
}

fn chart(arguments: &CompareArguments, comparisons: &[Comparison]) -> Chart {
    let time = |point: &ComparisonPoint| instant_of(point.time.as_ref()).unwrap_or_default();
    let mut lines: Vec<Line> = Vec::new();
    let shown = comparisons.iter().filter(|comparison| !comparison.points.is_empty());
    for (index, comparison) in shown.clone().enumerate() {
        let points = comparison.points.iter().map(|point| (time(point), point.subject)).collect();
        lines.push(Line {
            points,
            tone: Tone::Series(index),
            label: label(&comparison.subject, comparison.subject_return_percent),
        });
    }
    // The longest window's benchmark: a subject with gaps has fewer joint sessions.
    if let Some(longest) = shown.clone().max_by_key(|comparison| comparison.points.len()) {
        let points = longest.points.iter().map(|point| (time(point), point.benchmark)).collect();
        let label = label(&longest.benchmark, longest.benchmark_return_percent);
        lines.push(Line { points, tone: Tone::Ink, label });
    }
    let extent = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
    };
    let all = || lines.iter().flat_map(|line| &line.points);
    let times = extent(&mut all().map(|(time, _)| *time));
    let values = extent(&mut all().map(|(_, value)| *value));
    let logarithmic = values.1 / values.0 > LINEAR_RATIO_MAX;
    let name = |value: f64| ticks::significant(value, 4);
    let (range, y_ticks) = if logarithmic { ticks::logarithmic(values, name) } else { ticks::linear(values, name) };
    let mut marks = vec![Mark::Level { y: 100.0, span: None, tone: Tone::Faint, label: String::new() }];
    marks.extend(lines.into_iter().map(|line| Mark::Line {
        points: line.points.into_iter().map(|(time, value)| (time, Some(value))).collect(),
        tone: line.tone,
        heavy: line.tone == Tone::Ink,
        label: line.label,
    }));
    Chart {
        caption: caption(arguments, comparisons, times),
        x: Axis { title: String::new(), range: times, logarithmic: false, ticks: ticks::dates(times) },
        y: Axis { title: "First sample = 100".to_owned(), range, logarithmic, ticks: y_ticks },
        marks,
        legend: Vec::new(),
    }
}

fn label(code: &str, return_percent: Option<f64>) -> String {
    match return_percent {
        Some(percent) => format!("{code} {}", ticks::signed_percent(percent)),
        None => code.to_owned(),
    }
}

fn caption(arguments: &CompareArguments, comparisons: &[Comparison], times: (f64, f64)) -> Caption {
    let subjects = arguments.subjects.join(", ");
    let first = comparisons.first();
    let correlations: Vec<String> = comparisons
        .iter()
        .filter_map(|comparison| {
            Some(format!("{} {}", comparison.subject, format!("{:+.2}", comparison.correlation?).replace('-', "−")))
        })
        .collect();
    let correlations = match correlations.as_slice() {
        [] => String::new(),
        some => format!(" Correlation of returns with {}: {}.", arguments.benchmark, some.join(", ")),
    };
    let samples = comparisons.iter().map(|comparison| comparison.observation_count + 1).max().unwrap_or(0);
    let alignment = match first.map(Comparison::alignment) {
        Some(ComparisonAlignment::SessionClose) => ", crypto sampled at the New York close",
        Some(ComparisonAlignment::UtcDailyClose) => ", crypto sampled at the end of the UTC day",
        _ => "",
    };
    let rhythm = if arguments.weekly { "weekly " } else { "" };
    let sources = comparisons
        .iter()
        .flat_map(|comparison| comparison.benchmark_sources.iter().chain(&comparison.subject_sources))
        .map(String::as_str);
    // A sample at the end of a UTC day has the timestamp of the next midnight.
    let last_day = |time: f64| ticks::long_date(time - 1.0);
    Caption {
        title: format!("{subjects} against {}", arguments.benchmark),
        subtitle: format!(
            "Rebased to 100 at the first of {samples} {rhythm}joint sessions, {} to {}{alignment}.{correlations}",
            last_day(times.0),
            last_day(times.1)
        ),
        source: source_line(sources),
        simulated: comparisons.iter().any(|comparison| comparison.simulated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_is_told_with_the_figures() {
        let comparison = Comparison {
            calendar: Calendar::NewYork.into(),
            frequency: ComparisonFrequency::Daily.into(),
            alignment: ComparisonAlignment::UtcDailyClose.into(),
            periods_per_year: 252.0,
            ..Default::default()
        };
        let told = method(&comparison);
        assert!(told.contains("daily log returns over joint sessions of New York"), "{told}");
        assert!(told.contains("end of the session's UTC day") && told.ends_with("annualized with 252"), "{told}");
    }

    #[test]
    fn absent_statistics_are_absent() {
        let text = table(&[Comparison { subject: "BTC".to_owned(), ..Default::default() }]).render(None);
        assert!(text.lines().nth(1).is_some_and(|row| row.matches(ABSENT).count() >= 8), "{text}");
        assert_eq!(label("BTC", None), "BTC");
        assert_eq!(label("BTC", Some(-3.25)), "BTC −3.2 %");
    }
}
