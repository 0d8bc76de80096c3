//! The spans of what was heard since the last batch, as far as it is traced.

use tracing::Span;
use tracing::field::Empty;

use crossmarket_domain::{ShardId, TraceContext};
use crossmarket_telemetry::trace;

/// Spans that one batch is linked to at most.
const TRACES_MAX: usize = 32;

/// Spans whose observations the next batch may hold.
#[derive(Default)]
pub(crate) struct PendingTraces(Vec<TraceContext>);

impl PendingTraces {
    /// Notes one.
    pub(crate) fn record(&mut self, trace: TraceContext) {
        if self.0.len() < TRACES_MAX {
            self.0.push(trace);
        }
    }

    /// A span for the making of a batch: below the first of them, linked to the others. Begins anew.
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
