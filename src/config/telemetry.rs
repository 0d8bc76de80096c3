//! `telemetry.*`: logs, metrics and traces.

use std::time::Duration;

use tracing_subscriber::EnvFilter;
use url::Url;

use super::Reader;
pub use crate::telemetry::LogFormat;
use crate::telemetry::TelemetryOptions;
use crate::telemetry::otlp::{OtlpOptions, Protocol};
use crossmarket_telemetry::trace::Sampler;

/// The standard variables of OpenTelemetry that are read, and the settings that they are.
pub(super) const STANDARD_VARIABLES: &[(&str, &str)] = &[
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "telemetry.otlp_protocol"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "telemetry.otlp_headers"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "telemetry.otlp_timeout_ms"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "telemetry.otlp_metrics_interval_ms"),
    ("OTEL_TRACES_SAMPLER", "telemetry.sampler"),
    ("OTEL_TRACES_SAMPLER_ARG", "telemetry.sample_ratio"),
    ("OTEL_SERVICE_NAME", "telemetry.service_name"),
];

/// `telemetry.*`: logs, metrics and traces.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetryConfig {
    /// What is logged: a level, or levels by target as in `info,crossmarket::collector=debug`; default `info`. With `info` and
    /// `warn` alone the HTTP/2 library tells errors only: its warnings are of what peers do, who could so fill the log.
    pub log: String,
    /// How a log line looks, default text.
    pub log_format: LogFormat,
    /// Whether every call is counted and timed, default true. False is for finding out what that costs.
    pub metrics: bool,
    /// Where traces and metrics are sent over OTLP: `http://HOST:PORT` or `https://HOST:PORT`. Nowhere by default.
    pub otlp_endpoint: Option<String>,
    /// How, default gRPC.
    pub otlp_protocol: Protocol,
    /// Sent with every request, as `name=value,…`; percent-encoded, as W3C Baggage is.
    pub otlp_headers: Option<String>,
    /// The time for one request, 100 ms to 60 s, default 10 s.
    pub otlp_timeout: Duration,
    /// The time between two pages of metrics, default 60 s; 0 to send none.
    pub otlp_metrics_interval: Duration,
    /// Who decides which traces are recorded: the caller, and a share of what begins here, by default.
    pub sampler: Sampler,
    /// That share, 0 to 1, default 0.01.
    pub sample_ratio: f64,
    /// The name under which the process is known there, default `crossmarket`.
    pub service_name: Option<String>,
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
        let given = |text: &str| (!text.is_empty()).then(|| Some(text.to_owned()));
        let shown = |text: &Option<String>| text.clone().unwrap_or_default();
        let protocol = |text: &str| Protocol::ALL.into_iter().find(|protocol| protocol.as_str() == text);
        let sampler = |text: &str| Sampler::ALL.into_iter().find(|sampler| sampler.as_str() == text);
        let samplers = Sampler::ALL.map(Sampler::as_str).join(", ");
        let ratio = |text: &str| text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        Self {
            log: reader.parsed("telemetry.log", "info".to_owned(), filter_allowed, filter, String::clone),
            log_format: reader.parsed("telemetry.log_format", LogFormat::Text, "text or json", format, |format| {
                name(format).to_owned()
            }),
            metrics: reader.boolean("telemetry.metrics", true),
            otlp_endpoint: reader.parsed(
                "telemetry.otlp_endpoint",
                None,
                "http:// or https:// with host and port, without user and password",
                endpoint,
                shown,
            ),
            otlp_protocol: reader.parsed(
                "telemetry.otlp_protocol",
                Protocol::Grpc,
                "grpc or http/protobuf",
                protocol,
                |protocol| protocol.as_str().to_owned(),
            ),
            otlp_headers: reader.secret("telemetry.otlp_headers", "name=value, several separated by commas"),
            otlp_timeout: Duration::from_millis(reader.integer(
                "telemetry.otlp_timeout_ms",
                10_000,
                100..=60_000,
                "milliseconds",
            )),
            otlp_metrics_interval: Duration::from_millis(reader.integer(
                "telemetry.otlp_metrics_interval_ms",
                60_000,
                0..=3_600_000,
                "milliseconds, 0 for none",
            )),
            sampler: reader.parsed(
                "telemetry.sampler",
                Sampler::ParentBasedTraceIdRatio,
                &samplers,
                sampler,
                |sampler| sampler.as_str().to_owned(),
            ),
            sample_ratio: reader.parsed("telemetry.sample_ratio", 0.01, "a number from 0 to 1", ratio, f64::to_string),
            service_name: reader.parsed("telemetry.service_name", None, "a name", given, shown),
        }
    }

    /// How the process tells of itself.
    pub fn options(&self) -> TelemetryOptions {
        let otlp = self.otlp_endpoint.clone().map(|endpoint| OtlpOptions {
            endpoint,
            protocol: self.otlp_protocol,
            headers: self.otlp_headers.as_deref().map(headers).unwrap_or_default(),
            timeout: self.otlp_timeout,
            metrics_interval: Some(self.otlp_metrics_interval).filter(|interval| !interval.is_zero()),
        });
        TelemetryOptions {
            log: self.log.clone(),
            log_format: self.log_format,
            traces: Some((self.sampler, self.sample_ratio)).filter(|(sampler, _)| *sampler != Sampler::AlwaysOff),
            otlp,
            service_name: self.service_name.clone(),
        }
    }
}

fn endpoint(text: &str) -> Option<Option<String>> {
    let url = Url::parse(text).ok()?;
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && bare).then(|| Some(text.to_owned()))
}

/// What is not `name=value` is passed over, as the standard says.
fn headers(text: &str) -> Vec<(String, String)> {
    let header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        // What a form has a meaning for is itself here.
        let field = format!("value={}", value.trim().replace('+', "%2B").replace('&', "%26"));
        let (_, value) = url::form_urlencoded::parse(field.as_bytes()).next()?;
        Some((name.trim().to_ascii_lowercase(), value.into_owned())).filter(|(name, _)| !name.is_empty())
    };
    text.split(',').filter_map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_standard_says() {
        let read = headers("api-key=a%20b&c, Authorization=Basic YWI+=,, nothing");
        let pairs: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("api-key", "a b&c"), ("authorization", "Basic YWI+=")]);
    }

    #[test]
    fn an_endpoint_has_no_password() {
        for (text, allowed) in [
            ("http://127.0.0.1:4317", true),
            ("https://otlp.example.com/otlp", true),
            ("https://user:word@otlp.example.com", false),
            ("https://otlp.example.com?key=1", false),
            ("otlp.example.com:4317", false),
        ] {
            assert_eq!(endpoint(text).is_some(), allowed, "{text}");
        }
    }
}
