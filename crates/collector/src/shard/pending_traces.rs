//! Traced spans of the data received since the last batch.

use tracing::Span;
use tracing::field::Empty;

use crossmarket_domain::{ShardId, TraceContext};
use crossmarket_telemetry::trace;

/// Maximum number of spans linked to one batch.
const TRACES_MAX: usize = 32;

/// Spans whose observations the next batch may contain.
#[derive(Default)]
pub(crate) struct PendingTraces(Vec<TraceContext>);

impl PendingTraces {
    pub(crate) fn record(&mut self, trace: TraceContext) {
        if self.0.len() < TRACES_MAX {
            self.0.push(trace);
        }
    }

    /// Creates a span for building a batch, as a child of the first recorded span and linked to the others. Clears the
    /// list.
    pub(crate) fn aggregate(&mut self, shard: ShardId) -> Span {
        let traces = std::mem::take(&mut self.0);
        let span = trace::span!(
            traces.first().copied().and_then(trace::below),
            "aggregate",
            crossmarket.shard = i64::from(shard),
            crossmarket.state_count = Empty,
        );
        trace::link(&span, traces.into_iter().skip(1));
        span
    }
}
