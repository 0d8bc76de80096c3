//! The process's log lines on standard error (standard output is for results), metrics and traces.
//!
//! The instruments and spans themselves are in `crossmarket-telemetry`.
//!
//! - [`otlp`]: sends spans and metrics to an OpenTelemetry collector.

pub(crate) mod otlp;

mod logs;

use std::io::IsTerminal;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler as SdkSampler, SdkTracerProvider, SpanData};
use tokio::sync::mpsc;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::fmt::format::Format;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crossmarket_telemetry::trace::{self, Sampler};
pub use logs::LogFormat;
use logs::WithTrace;
use otlp::{Otlp, OtlpError, OtlpOptions, Queue, TakePage};

/// Default name of the process.
const SERVICE_NAME: &str = "crossmarket";

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    /// The filter is not one.
    #[error("telemetry.log {filter:?} is not a filter")]
    Filter {
        /// The setting's value.
        filter: String,
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something else has set up logs in this process.
    #[error("logs are already set up")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
}

#[derive(Clone, Debug)]
pub struct TelemetryOptions {
    /// What is logged: a level, or levels by target.
    pub log: String,
    pub log_format: LogFormat,
    /// The sampler and its ratio; `None` to record no traces.
    pub traces: Option<(Sampler, f64)>,
    /// `None` to send nothing.
    pub otlp: Option<OtlpOptions>,
    /// The name under which the process is known there; `None` for what `OTEL_RESOURCE_ATTRIBUTES` says, or the program's name.
    pub service_name: Option<String>,
}

/// Telemetry that waits for the program's runtime. The default sends nothing.
#[derive(Default)]
pub(crate) struct Telemetry {
    otlp: Option<(OtlpOptions, Resource)>,
    spans: Option<mpsc::Receiver<SpanData>>,
}

/// Sets up the process's logs and traces. Call it once.
pub(crate) fn init(options: TelemetryOptions) -> Result<Telemetry, TelemetryError> {
    let TelemetryOptions { log, log_format, traces, otlp, service_name } = options;
    let directives = match log.as_str() {
        // Its warnings are about what peers do, frame by frame: peers could fill the log with them.
        level @ ("info" | "warn") => format!("{level},h2=error"),
        directives => directives.to_owned(),
    };
    let filter = EnvFilter::try_new(directives).map_err(|source| TelemetryError::Filter { filter: log, source })?;
    // Spans of traces are for their own layer: a line has their ids, not their fields. Without a hint of its own the second filter would hide the
    // first one's, and no line would be off by its level alone.
    let not_traces = filter_fn(|metadata| metadata.target() != trace::TARGET).with_max_level_hint(LevelFilter::TRACE);
    let filter = filter.and(not_traces);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match log_format {
        LogFormat::Text => lines
            .with_ansi(std::io::stderr().is_terminal())
            .event_format(WithTrace { line: Format::default(), format: log_format })
            .boxed(),
        LogFormat::Json => {
            let line = Format::default().json().flatten_event(true);
            lines.json().event_format(WithTrace { line, format: log_format }).boxed()
        }
    };
    let lines = lines.with_filter(filter);
    let resource = resource(service_name);
    let traces = traces.filter(|_| otlp.is_some());
    let (tracer, spans) = match traces {
        None => (None, None),
        Some(_) => {
            let (queue, spans) = Queue::new();
            // Sampling was decided before a span reaches the provider.
            let provider = SdkTracerProvider::builder()
                .with_span_processor(queue)
                .with_sampler(SdkSampler::AlwaysOn)
                .with_resource(resource.clone())
                .build();
            (Some(provider.tracer(SERVICE_NAME)), Some(spans))
        }
    };
    let recorded = tracer.map(|tracer| {
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
    });
    // The filter stays without a tracer: next to a layer without a filter, no callsite is ever disabled for good, and every line and span of every
    // dependency is checked each time (20 µs of processor time per call).
    let recorded = recorded.with_filter(Targets::new().with_target(trace::TARGET, LevelFilter::INFO));
    let subscriber = tracing_subscriber::registry().with(recorded).with(lines);
    subscriber.try_init().map_err(TelemetryError::AlreadySet)?;
    if let Some((sampler, ratio)) = traces {
        trace::enable(sampler, ratio);
    }
    Ok(Telemetry { otlp: otlp.map(|otlp| (otlp, resource)), spans })
}

/// Identifies this process among others. Attributes in `OTEL_RESOURCE_ATTRIBUTES` take precedence over the defaults here.
fn resource(service_name: Option<String>) -> Resource {
    let said = Resource::builder().build();
    let missing = |key: &'static str| {
        let value = said.get(&Key::from_static_str(key));
        // The detector's word for a process without a name.
        value.is_none_or(|value| value.as_str().starts_with("unknown_service"))
    };
    let name = service_name.or_else(|| missing("service.name").then(|| SERVICE_NAME.to_owned()));
    let instance = || format!("{:016x}", rand::random::<u64>());
    let attributes = [
        name.map(|name| KeyValue::new("service.name", name)),
        missing("service.version").then(|| KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))),
        missing("service.instance.id").then(|| KeyValue::new("service.instance.id", instance())),
    ];
    Resource::builder().with_attributes(attributes.into_iter().flatten()).build()
}

impl Telemetry {
    /// Begins to send; call it in the program's runtime. `page` takes the metrics. `None` when nothing is sent.
    pub(crate) fn start(self, page: TakePage) -> Result<Option<Otlp>, OtlpError> {
        let Some((options, resource)) = self.otlp else { return Ok(None) };
        Otlp::start(&options, &resource, self.spans, page).map(Some)
    }
}
