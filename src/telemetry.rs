//! Logs: one line an event, on standard error, so that standard output stays for results.

pub mod exposition;
pub mod metrics;
pub mod registry;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("telemetry.log {filter:?} is not a filter")]
    Filter {
        /// The setting's value.
        filter: String,
        /// What the filter's parser says.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something else has set up logs in this process.
    #[error("logs are already set up")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How logs are set up.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// What is logged: a level, or levels by target.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// Sets up the process's logs. To be called once.
pub fn init(options: &LogOptions) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&options.filter)
        .map_err(|source| TelemetryError::Filter { filter: options.filter.clone(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match options.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    }
    .map_err(TelemetryError::AlreadySet)
}
