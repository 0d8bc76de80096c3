//! `telemetry.*`: logs.

use tracing_subscriber::EnvFilter;

use super::Reader;
pub use crate::telemetry::LogFormat;
use crate::telemetry::LogOptions;

/// `telemetry.*`: logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// What is logged: a level, or levels by target as in `info,crossmarket::collector=debug`; default `info`.
    pub log: String,
    /// How a log line looks, default text.
    pub log_format: LogFormat,
    /// Whether every call is counted and timed, default true. False is for finding out what that costs.
    pub metrics: bool,
}

impl TelemetryConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let filter_allowed =
            "off, error, warn, info, debug, trace, or such by target: info,crossmarket::collector=debug";
        let filter = |text: &str| (!text.is_empty() && EnvFilter::try_new(text).is_ok()).then(|| text.to_owned());
        let name = |format: &LogFormat| match format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        let format = |text: &str| [LogFormat::Text, LogFormat::Json].into_iter().find(|format| name(format) == text);
        Self {
            log: reader.parsed("telemetry.log", "info".to_owned(), filter_allowed, filter, String::clone),
            log_format: reader.parsed("telemetry.log_format", LogFormat::Text, "text or json", format, |format| {
                name(format).to_owned()
            }),
            metrics: reader.boolean("telemetry.metrics", true),
        }
    }

    /// How logs are set up.
    pub fn log_options(&self) -> LogOptions {
        LogOptions { filter: self.log.clone(), format: self.log_format }
    }
}
