//! Metrics of one stream.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::messages::RPC_METHODS;
use crate::services::error::ServiceError;
use crossmarket_api::v1::StreamState;
use crossmarket_telemetry::metrics;
use crossmarket_telemetry::registry::{Counter, Gauge};

/// A reader that takes no frame for this long, though one is ready, has stalled.
const STALL: Duration = Duration::from_secs(1);

const STATES: [&str; 4] = ["snapshot", "live", "heartbeat", "resync"];

const ENDS: [&str; 5] = ["client", "drain", "age", "deadline", "error"];

/// Registers the series of every stream at 0.
pub(crate) fn expect() {
    for rpc_method in RPC_METHODS {
        StreamMetrics::of(rpc_method);
    }
}

struct StreamMetrics {
    open: Arc<Gauge>,
    frames: [Arc<Counter>; STATES.len()],
    delivered: Arc<Counter>,
    conflated: Arc<Counter>,
    stalls: Arc<Counter>,
    ends: [Arc<Counter>; ENDS.len()],
}

impl StreamMetrics {
    fn of(rpc_method: &'static str) -> Self {
        Self {
            open: metrics::STREAMS_OPEN.with(&[rpc_method]),
            frames: STATES.map(|state| metrics::STREAM_FRAMES.with(&[rpc_method, state])),
            delivered: metrics::STREAM_DELIVERED.with(&[rpc_method]),
            conflated: metrics::STREAM_CONFLATED.with(&[rpc_method]),
            stalls: metrics::STREAM_STALLS.with(&[rpc_method]),
            ends: ENDS.map(|reason| metrics::STREAM_ENDS.with(&[rpc_method, reason])),
        }
    }
}

/// One open stream. Dropped without [`Measure::ended`] it was ended by its client.
pub(super) struct Measure {
    series: StreamMetrics,
    ended: bool,
    /// When the last frame was given out, until the reader asks for the next.
    given: Option<Instant>,
}

impl Measure {
    /// A stream opens.
    pub(super) fn open(rpc_method: &'static str) -> Self {
        let series = StreamMetrics::of(rpc_method);
        series.open.increment();
        Self { series, ended: false, given: None }
    }

    /// The reader asks for the next frame. True when it comes late: if one is ready then, it has stalled.
    pub(super) fn asked(&mut self) -> bool {
        self.given.take().is_some_and(|given| given.elapsed() >= STALL)
    }

    /// A frame was ready for a reader who came late.
    pub(super) fn stalled(&self) {
        self.series.stalls.increment();
    }

    /// A frame is given out.
    pub(super) fn given(&mut self, state: StreamState, entry_count: usize, conflated_count: u64) {
        let [snapshot, live, heartbeat, resync] = &self.series.frames;
        match state {
            StreamState::Snapshot | StreamState::SnapshotComplete => snapshot,
            StreamState::Live => live,
            StreamState::Resync => resync,
            StreamState::Heartbeat | StreamState::Unspecified => heartbeat,
        }
        .increment();
        self.series.delivered.add(entry_count as u64);
        self.series.conflated.add(conflated_count);
        self.given = Some(Instant::now());
    }

    /// The stream ends by itself.
    pub(super) fn ended(&mut self, error: &ServiceError) {
        self.ended = true;
        let [_, drain, age, deadline, other] = &self.series.ends;
        match error {
            ServiceError::Draining { .. } => drain,
            ServiceError::StreamAge { .. } => age,
            ServiceError::DeadlineExceeded => deadline,
            _ => other,
        }
        .increment();
    }
}

impl Drop for Measure {
    fn drop(&mut self) {
        self.series.open.decrement();
        if !self.ended {
            let [client, ..] = &self.series.ends;
            client.increment();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_who_comes_late_is_told_apart() {
        let mut stream = Measure::open("test-stalls");
        assert!(!stream.asked(), "nothing was given yet");
        for (pause, late) in [(999, false), (1_000, true)] {
            stream.given(StreamState::Live, 1, 0);
            tokio::time::advance(Duration::from_millis(pause)).await;
            assert_eq!(stream.asked(), late, "{pause} ms");
            tokio::time::advance(Duration::from_secs(60)).await;
            assert!(!stream.asked(), "it waits for the next frame, which is no fault of its own");
        }
    }

    #[tokio::test]
    async fn frames_and_ends_are_counted() {
        let series = StreamMetrics::of("test-ends");
        let mut drained = Measure::open("test-ends");
        let left = Measure::open("test-ends");
        assert_eq!(series.open.get(), 2);
        drained.given(StreamState::SnapshotComplete, 3, 0);
        drained.given(StreamState::Live, 2, 5);
        drained.ended(&ServiceError::Draining { cursor: String::new() });
        drop((drained, left));
        assert_eq!((series.open.get(), series.delivered.get(), series.conflated.get()), (0, 5, 5));
        assert_eq!(series.frames.each_ref().map(|counter| counter.get()), [1, 1, 0, 0]);
        assert_eq!(series.ends.each_ref().map(|counter| counter.get()), [1, 1, 0, 0, 0]);
    }
}
