//! Sends spans and metrics to an OTLP endpoint, over gRPC or HTTP.
//!
//! Both signals share one sender with the endpoint, its headers and its time limits. Finished spans go through a
//! bounded queue that drops spans instead of waiting, so an unreachable or unresponsive endpoint slows nothing down.
//! Everything runs as tasks of the program's runtime and ends within `END_WAIT_MAX`. docs/adr/014-own-otlp-sender.md
//! explains why this is not `opentelemetry-otlp`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::sender::{SendError, Sender, Signal};
use crossmarket_telemetry::metrics::{SPANS_DROPPED, SPANS_EXPORTED};
use crossmarket_telemetry::registry::{Counter, Page};

mod metrics;
mod options;
mod queue;
mod sender;

pub(crate) use options::{OtlpOptions, Protocol};
pub(super) use queue::Queue;
pub(crate) use sender::OtlpError;

/// Maximum number of spans in one request.
const BATCH_LEN_MAX: usize = 512;

/// How long a span waits for others to share its request.
const BATCH_WAIT: Duration = Duration::from_secs(1);

/// Attempts for one batch of spans, and the pause before the second attempt. The pause doubles.
const ATTEMPTS_MAX: u32 = 4;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(500);

/// How long the process waits for unsent telemetry when it ends.
const END_WAIT_MAX: Duration = Duration::from_secs(2);

pub(crate) type TakePage = Arc<dyn Fn() -> Page + Send + Sync>;

/// The sending tasks.
pub(crate) struct Otlp {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Otlp {
    /// Starts sending. Call it in the program's runtime.
    pub(super) fn start(
        options: &OtlpOptions,
        resource: &Resource,
        spans: Option<mpsc::Receiver<SpanData>>,
        page: TakePage,
    ) -> Result<Self, OtlpError> {
        let sender = Arc::new(Sender::new(options)?);
        let attributes = Arc::new(ResourceAttributesWithSchema::from(resource));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        if let Some(spans) = spans {
            let exporter = SpanExporter::new(Arc::clone(&sender), Arc::clone(&attributes), stop.clone());
            tasks.spawn(exporter.run(spans));
        }
        if let Some(interval) = options.metrics_interval {
            tasks.spawn(send_pages(sender, attributes, interval, page, stop.clone()));
        }
        let protocol = options.protocol.as_str();
        info!(endpoint = %sender::shown(&options.endpoint), protocol, "telemetry is sent over OTLP");
        Ok(Self { tasks, stop })
    }

    /// Sends the rest, within `END_WAIT_MAX`.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(END_WAIT_MAX, ended).await.is_err() {
            warn!("the last telemetry was not sent in time");
            self.tasks.abort_all();
        }
    }
}

/// Takes spans from the queue and sends them in batches.
struct SpanExporter {
    sender: Arc<Sender>,
    resource: Arc<ResourceAttributesWithSchema>,
    stop: CancellationToken,
    exported: Arc<Counter>,
    failed: Arc<Counter>,
    failing: bool,
}

impl SpanExporter {
    fn new(sender: Arc<Sender>, resource: Arc<ResourceAttributesWithSchema>, stop: CancellationToken) -> Self {
        let exported = SPANS_EXPORTED.with(&[]);
        let failed = SPANS_DROPPED.with(&["export_failed"]);
        Self { sender, resource, stop, exported, failed, failing: false }
    }

    async fn run(mut self, mut spans: mpsc::Receiver<SpanData>) {
        let mut batch = Vec::with_capacity(BATCH_LEN_MAX);
        while !self.stop.is_cancelled() {
            let gathered = async {
                if spans.recv_many(&mut batch, BATCH_LEN_MAX).await == 0 {
                    return;
                }
                let full = async {
                    while batch.len() < BATCH_LEN_MAX {
                        let room = BATCH_LEN_MAX - batch.len();
                        if spans.recv_many(&mut batch, room).await == 0 {
                            return;
                        }
                    }
                };
                // On a timeout, send the spans received so far.
                let _ = tokio::time::timeout(BATCH_WAIT, full).await;
            };
            let stop = self.stop.clone();
            stop.run_until_cancelled(gathered).await;
            self.send(&mut batch).await;
        }
        while let Ok(span) = spans.try_recv() {
            batch.push(span);
            if batch.len() == BATCH_LEN_MAX {
                self.send(&mut batch).await;
            }
        }
        self.send(&mut batch).await;
    }

    async fn send(&mut self, batch: &mut Vec<SpanData>) {
        if batch.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        let spans = std::mem::take(batch);
        let message =
            ExportTraceServiceRequest { resource_spans: group_spans_by_resource_and_scope(spans, &self.resource) };
        match self.attempt(&message).await {
            Ok(rejected) => {
                let rejected = rejected.min(count);
                self.exported.add(count - rejected);
                self.failed.add(rejected);
                if rejected == 0 && std::mem::take(&mut self.failing) {
                    info!("the OTLP endpoint takes spans again");
                }
                if rejected > 0 && !std::mem::replace(&mut self.failing, true) {
                    warn!(rejected, "spans are lost: the OTLP endpoint takes a part of them");
                }
            }
            Err(error) => {
                self.failed.add(count);
                if !std::mem::replace(&mut self.failing, true) {
                    warn!(%error, "spans are lost: the OTLP endpoint does not take them");
                }
            }
        }
    }

    async fn attempt(&self, message: &ExportTraceServiceRequest) -> Result<u64, SendError> {
        let mut pause = ATTEMPT_PAUSE;
        for _ in 1..ATTEMPTS_MAX {
            match self.sender.send(Signal::Traces, message).await {
                Err(error) if error.may_pass() && !self.stop.is_cancelled() => {
                    self.stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                    pause *= 2;
                }
                settled => return settled,
            }
        }
        self.sender.send(Signal::Traces, message).await
    }
}

/// Sends pages of metrics until the end, and then a last one. A failed page is not sent again: the next one contains
/// all its data.
async fn send_pages(
    sender: Arc<Sender>,
    resource: Arc<ResourceAttributesWithSchema>,
    interval: Duration,
    page: TakePage,
    stop: CancellationToken,
) {
    let begun = SystemTime::now();
    let mut failing = false;
    loop {
        stop.run_until_cancelled(tokio::time::sleep(interval)).await;
        let is_last = stop.is_cancelled();
        let message: ExportMetricsServiceRequest = metrics::request(&page(), &resource, begun, SystemTime::now());
        match sender.send(Signal::Metrics, &message).await {
            Ok(0) if std::mem::take(&mut failing) => info!("the OTLP endpoint takes metrics again"),
            Ok(0) => {}
            Ok(rejected) => {
                if !std::mem::replace(&mut failing, true) {
                    warn!(rejected, "the OTLP endpoint takes a part of the metrics");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    warn!(%error, "the OTLP endpoint does not take metrics");
                }
            }
        }
        if is_last {
            return;
        }
    }
}
