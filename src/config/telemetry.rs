//! `telemetry.*`: logs, metrics and traces.

use std::time::Duration;

use tracing_subscriber::EnvFilter;
use url::Url;

use super::spec::{Spec, boolean, choice, milliseconds, optional, secret, settings, text, word};
pub use crate::telemetry::LogFormat;
use crate::telemetry::TelemetryOptions;
use crate::telemetry::otlp::{OtlpOptions, Protocol};
use crossmarket_telemetry::trace::Sampler;

settings! {
    /// `telemetry.*`: logs, metrics and traces.
    #[derive(Clone, Debug, PartialEq)]
    pub struct TelemetryConfig in "telemetry" {
        /// What is logged: a level, or levels by target. With `info` and `warn` alone the HTTP/2 library logs errors only: its warnings are about
        /// what peers do, and peers could fill the log with them.
        log: String = text("info".to_owned(), FILTERS, filter, String::clone);
        /// Format of a log line.
        log_format: LogFormat = choice(LogFormat::Text, &LogFormat::ALL, LogFormat::as_str);
        /// Whether every call is counted and timed. `false` is for measuring what that costs.
        metrics: bool = boolean(true);
        /// Where traces and metrics are sent over OTLP. Over HTTP a path may follow, before `/v1/traces`.
        otlp_endpoint: Option<String> = endpoint();
        /// Transport of OTLP.
        otlp_protocol: Protocol = choice(Protocol::Grpc, &Protocol::ALL, Protocol::as_str)
            .variable("OTEL_EXPORTER_OTLP_PROTOCOL");
        /// Sent with every request; percent-encoded, as W3C Baggage is.
        otlp_headers: Option<String> = secret("name=value, several separated by commas", given)
            .variable("OTEL_EXPORTER_OTLP_HEADERS");
        /// Time limit of one request.
        otlp_timeout as otlp_timeout_ms: Duration = milliseconds(Duration::from_millis(10_000), 100..=60_000)
            .variable("OTEL_EXPORTER_OTLP_TIMEOUT");
        /// Time between two pages of metrics.
        otlp_metrics_interval as otlp_metrics_interval_ms: Duration = milliseconds(Duration::from_millis(60_000), 0..=3_600_000)
            .note("0 sends none")
            .variable("OTEL_METRIC_EXPORT_INTERVAL");
        /// Which traces are recorded.
        sampler: Sampler = choice(Sampler::ParentBasedTraceIdRatio, &Sampler::ALL, Sampler::as_str)
            .variable("OTEL_TRACES_SAMPLER");
        /// Share of traces recorded by the samplers with a ratio.
        sample_ratio: f64 = text(0.01, "a number from 0 to 1", ratio, f64::to_string).variable("OTEL_TRACES_SAMPLER_ARG");
        /// Name of the process in traces and metrics; `crossmarket` if neither this nor `OTEL_RESOURCE_ATTRIBUTES` names it.
        service_name: Option<String> = word("a name").variable("OTEL_SERVICE_NAME");
    }
}

const FILTERS: &str = "off, error, warn, info, debug, trace, or such by target: info,crossmarket_collector=debug";

impl TelemetryConfig {
    /// What telemetry is set up with.
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

fn filter(text: &str) -> Option<String> {
    (!text.is_empty() && EnvFilter::try_new(text).is_ok()).then(|| text.to_owned())
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn ratio(text: &str) -> Option<f64> {
    text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
}

fn endpoint() -> Spec<Option<String>> {
    let allowed = "http:// or https:// with host and port, without user and password";
    optional(allowed, bare_url, Clone::clone).variable("OTEL_EXPORTER_OTLP_ENDPOINT")
}

fn bare_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && bare).then(|| text.to_owned())
}

/// Skips what is not `name=value`, as the standard says.
fn headers(text: &str) -> Vec<(String, String)> {
    let header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        // "+" and "&" have a meaning in forms and none here.
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
            assert_eq!(bare_url(text).is_some(), allowed, "{text}");
        }
    }
}
