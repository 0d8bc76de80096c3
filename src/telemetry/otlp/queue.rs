//! Finished spans on their way to the exporter.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::mpsc;

use crossmarket_telemetry::metrics;
use crossmarket_telemetry::registry::Counter;

/// Maximum number of waiting spans. A thousand take a megabyte or two.
const WAITING_MAX: usize = 2_048;

/// Queues every finished span, or drops it when the queue is full.
#[derive(Debug)]
pub(crate) struct Queue {
    spans: mpsc::Sender<SpanData>,
    dropped: Arc<Counter>,
}

impl Queue {
    /// The queue and its other end.
    pub(crate) fn new() -> (Self, mpsc::Receiver<SpanData>) {
        let (spans, receiver) = mpsc::channel(WAITING_MAX);
        (Self { spans, dropped: metrics::SPANS_DROPPED.with(&["queue_full"]) }, receiver)
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.dropped.increment();
        }
    }

    /// The owner of the receiver sends the queued spans.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Tracer, TracerProvider};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    #[test]
    fn drops_rather_than_waits() {
        let (queue, mut receiver) = Queue::new();
        let dropped = Arc::clone(&queue.dropped);
        let before = dropped.get();
        let tracer = SdkTracerProvider::builder().with_span_processor(queue).build().tracer("test");
        for _ in 0..WAITING_MAX + 3 {
            drop(tracer.start("span"));
        }
        assert_eq!(dropped.get() - before, 3);
        let mut waiting = Vec::new();
        while let Ok(span) = receiver.try_recv() {
            waiting.push(span);
        }
        assert_eq!(waiting.len(), WAITING_MAX);
    }
}
