//! What commands with a picture have in common: where it goes, dates as arguments, and a sign of life while the service works.

use std::future::Future;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::chart::terminal_width;
use super::error::CliError;
use crossmarket_domain::Timestamp;

/// Width of a chart that is asked for without a terminal, in columns.
const WIDTH_WITHOUT_TERMINAL: usize = 100;

/// Answers sooner than this need no sign of life.
const SIGN_OF_LIFE_AFTER: Duration = Duration::from_millis(400);

/// Where the picture goes.
#[derive(Args, Clone, Debug)]
pub(super) struct PictureArguments {
    /// Also writes the picture to a file, as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Whether the picture is drawn in the terminal; auto does so when standard output is one.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = When::Auto)]
    chart: When,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

impl PictureArguments {
    /// Draws and writes the picture, as far as that is asked for.
    pub(super) fn show(
        &self,
        svg: impl FnOnce() -> String,
        lines: impl FnOnce(usize) -> Vec<String>,
    ) -> Result<(), CliError> {
        let width = match self.chart {
            When::Never => None,
            When::Auto => terminal_width(),
            When::Always => Some(terminal_width().unwrap_or(WIDTH_WITHOUT_TERMINAL)),
        };
        if let Some(width) = width {
            let mut out = io::stdout().lock();
            writeln!(out)?;
            for line in lines(width) {
                writeln!(out, "{line}")?;
            }
            out.flush()?;
        }
        self.write(svg)
    }

    /// Writes the file, if one is asked for.
    pub(super) fn write(&self, svg: impl FnOnce() -> String) -> Result<(), CliError> {
        let Some(path) = &self.svg else { return Ok(()) };
        std::fs::write(path, svg()).map_err(|source| CliError::Write { path: path.clone(), source })?;
        eprintln!("wrote {}", path.display());
        Ok(())
    }

    /// Whether a picture is wanted at all, so that its data has to be asked for.
    pub(super) fn is_wanted(&self) -> bool {
        self.svg.is_some()
            || match self.chart {
                When::Never => false,
                When::Auto => terminal_width().is_some(),
                When::Always => true,
            }
    }
}

/// Waits for an answer, with a sign of life on a terminal when it takes longer.
pub(super) async fn waiting<T>(doing: &str, future: impl Future<Output = T>) -> T {
    tokio::pin!(future);
    if let Ok(answer) = tokio::time::timeout(SIGN_OF_LIFE_AFTER, &mut future).await {
        return answer;
    }
    let spinner = ProgressBar::new_spinner().with_message(doing.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    let answer = future.await;
    spinner.finish_and_clear();
    answer
}

/// A day as `2026-01-15`, at midnight UTC, or an instant as RFC 3339.
pub(super) fn date(text: &str) -> Result<Timestamp, String> {
    let day = || {
        let day: jiff::civil::Date = text.parse().ok()?;
        Timestamp::from_date(day.year(), day.month(), day.day())
    };
    Timestamp::parse(text).or_else(day).ok_or_else(|| "expected a date such as 2026-01-15".to_owned())
}

/// An instant for the wire.
pub(super) fn wire(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_seconds(), nanos: time.as_micros().rem_euclid(1_000_000) as i32 * 1_000 }
}

/// A time of the wire in seconds since 1970, as charts take it.
pub(super) fn instant_of(time: Option<&prost_types::Timestamp>) -> Option<f64> {
    time.map(|time| time.seconds as f64 + f64::from(time.nanos) / 1e9)
}

/// The line under a picture that says where its data comes from, each source once.
pub(super) fn source_line<'a>(sources: impl Iterator<Item = &'a str>) -> String {
    let mut sources: Vec<&str> = sources.filter(|source| *source != "crossmarket").collect();
    sources.sort_unstable();
    sources.dedup();
    if sources.is_empty() {
        "Source: crossmarket".to_owned()
    } else {
        format!("Source: crossmarket, from {}", sources.join(", "))
    }
}

/// The code of an index, an asset or a quotient as the service spells it: `others/btc` is `OTHERS/BTC`, `Category:Privacy` is
/// `category:privacy`.
pub(super) fn index_code(text: &str) -> Result<String, String> {
    let part = |part: &str| match part.split_once(':') {
        Some((kind, name)) => format!("{}:{}", kind.to_ascii_lowercase(), name.to_ascii_lowercase()),
        None => part.to_ascii_uppercase(),
    };
    let code = text.trim().split('/').map(part).collect::<Vec<_>>().join("/");
    let known = |character: char| character.is_ascii_alphanumeric() || "/:._-$@^".contains(character);
    let well_formed = !code.is_empty() && code.len() <= 128 && code.chars().all(known);
    if well_formed {
        Ok(code)
    } else {
        Err("expected an index, asset or quotient, such as RUT, BTC or OTHERS/BTC".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_spelled_as_the_service_does() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(index_code(text).ok().as_deref(), expected, "{text}");
        };
        check("rut", Some("RUT"));
        check("others/btc", Some("OTHERS/BTC"));
        check("btc.d", Some("BTC.D"));
        check("Category:Privacy", Some("category:privacy"));
        check("basket:mine/btc", Some("basket:mine/BTC"));
        for bad in ["", "a b", "x\u{1b}[2J", &"A".repeat(200)] {
            check(bad, None);
        }
    }

    #[test]
    fn dates_are_days_or_instants() {
        assert_eq!(date("2026-01-15").map(|time| time.to_string()), Ok("2026-01-15T00:00:00Z".to_owned()));
        assert_eq!(wire(date("2026-01-15T12:00:00.25Z").expect("valid")).nanos, 250_000_000);
        assert!(date("15.1.2026").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_waited_for_however_long_it_takes() {
        let slow = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            7
        };
        assert_eq!(waiting("computing", slow).await, 7);
    }
}
