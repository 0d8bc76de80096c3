//! `telemetry.*`: logs.

use tracing_subscriber::EnvFilter;

use super::Reader;

/// `telemetry.*`: logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// What is logged: a level, or levels by target as in `info,crossmarket::collector=debug`; default `info`.
    pub log: String,
    /// How a log line looks, default text.
    pub log_format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// `text` or `json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl TelemetryConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let filter_allowed =
            "off, error, warn, info, debug, trace, or such by target: info,crossmarket::collector=debug";
        let filter = |text: &str| (!text.is_empty() && EnvFilter::try_new(text).is_ok()).then(|| text.to_owned());
        let format = |text: &str| [LogFormat::Text, LogFormat::Json].into_iter().find(|format| format.as_str() == text);
        Self {
            log: reader.parsed("telemetry.log", "info".to_owned(), filter_allowed, filter, String::clone),
            log_format: reader.parsed("telemetry.log_format", LogFormat::Text, "text or json", format, |format| {
                format.as_str().to_owned()
            }),
        }
    }
}
