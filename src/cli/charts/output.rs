//! How the chart commands run: print an answer, draw its picture, and show progress while the service works.

use std::future::Future;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::chart::{Picture, terminal_width};
use crate::cli::client::ClientArguments;
use crate::cli::error::CliError;
use crate::cli::snapshot_view::SIMULATED_DATA;
use crossmarket_client::Client;
use crossmarket_domain::Timestamp;

/// Width of a chart without a terminal, in columns.
const WIDTH_WITHOUT_TERMINAL: usize = 100;

/// A spinner appears when an answer takes longer than this.
const SPINNER_AFTER: Duration = Duration::from_millis(400);

/// How the answer is printed, where the picture goes, and which service answers.
#[derive(Args, Clone, Debug)]
pub(super) struct OutputArguments {
    /// Print JSON, with the field names of the API, instead of tables.
    #[arg(long)]
    pub(super) json: bool,
    /// Also write the picture to a file, as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// When to draw the picture in the terminal; auto does so when standard output is one.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = When::Auto)]
    chart: When,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

impl OutputArguments {
    pub(super) fn client(&self) -> Result<Client, CliError> {
        self.client.client()
    }

    /// Prints the answer, as JSON or as text. Text of simulated data begins with a line that says so.
    pub(super) fn print(
        &self,
        is_simulated: bool,
        json: impl FnOnce() -> Result<String, CliError>,
        text: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json()?)?;
        } else {
            if is_simulated {
                writeln!(out, "{SIMULATED_DATA}")?;
            }
            out.write_all(text().as_bytes())?;
        }
        Ok(out.flush()?)
    }

    /// Draws the picture in the terminal and writes it to the file, as far as the arguments ask for that. With `--json` nothing is drawn.
    pub(super) fn draw<P: Picture>(&self, picture: impl FnOnce() -> P) -> Result<(), CliError> {
        if !self.is_picture_wanted() {
            return Ok(());
        }
        let picture = picture();
        if let Some(width) = self.width() {
            let mut out = io::stdout().lock();
            writeln!(out)?;
            for line in picture.lines(width) {
                writeln!(out, "{line}")?;
            }
            out.flush()?;
        }
        let Some(path) = &self.svg else { return Ok(()) };
        std::fs::write(path, picture.svg()).map_err(|source| CliError::Write { path: path.clone(), source })?;
        eprintln!("wrote {}", path.display());
        Ok(())
    }

    /// Whether there will be a picture, so that its data must be requested.
    pub(super) fn is_picture_wanted(&self) -> bool {
        self.svg.is_some() || self.width().is_some()
    }

    /// The columns of a chart in the terminal; `None` when none is drawn.
    fn width(&self) -> Option<usize> {
        match self.chart {
            _ if self.json => None,
            When::Never => None,
            When::Auto => terminal_width(),
            When::Always => Some(terminal_width().unwrap_or(WIDTH_WITHOUT_TERMINAL)),
        }
    }
}

/// Waits for an answer, with a spinner on a terminal when it takes longer.
pub(super) async fn waiting<T>(doing: &str, future: impl Future<Output = T>) -> T {
    tokio::pin!(future);
    if let Ok(answer) = tokio::time::timeout(SPINNER_AFTER, &mut future).await {
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

/// An instant for the wire.
pub(super) fn wire(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_seconds(), nanos: time.as_micros().rem_euclid(1_000_000) as i32 * 1_000 }
}

/// A time of the wire in seconds since 1970, as charts take it.
pub(super) fn instant_of(time: Option<&prost_types::Timestamp>) -> Option<f64> {
    time.map(|time| time.seconds as f64 + f64::from(time.nanos) / 1e9)
}

/// The line below a picture that names its sources, each once.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_waited_for_however_long_it_takes() {
        let slow = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            7
        };
        assert_eq!(waiting("computing", slow).await, 7);
    }
}
