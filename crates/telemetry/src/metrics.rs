//! Every metric's name, and the process's recorder for those that are counted as things happen. docs/metrics.md is the same list for people; a
//! check compares what the binary exposes with it.
//!
//! Labels take their values from closed sets. What a label may be is there from the start where it is few (see docs/metrics.md), so the parts
//! of the program ask for their series when they begin.

use std::sync::LazyLock;

use super::registry::{Age, Counter, Family, Gauge, Histogram, Kind, Metric, Page};

/// 100 µs to 5 s: calls and store operations.
const CALL_BOUNDS: &[f64] =
    &[1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// 10 ms to 10 s: requests to venues.
const FETCH_BOUNDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// 10 µs to 1 s: what only computes.
const WORK_BOUNDS: &[f64] = &[1e-5, 2.5e-5, 1e-4, 2.5e-4, 1e-3, 2.5e-3, 1e-2, 2.5e-2, 0.1, 0.25, 1.0];
/// 500 µs to 5 s: from writer to reader.
const PROPAGATION_BOUNDS: &[f64] = &[5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

macro_rules! metrics {
    ($($id:ident = $kind:expr, $name:literal, [$($label:literal),*], $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $id: Metric = Metric { name: $name, help: $help, kind: $kind, labels: &[$($label),*] };
        )*
    };
}

use Kind::{Counter as COUNT, Gauge as LEVEL};

metrics! {
    BUILD_INFO = LEVEL, "crossmarket_build_info", ["version", "role"], "1, with what runs.";
    SIMULATED = LEVEL, "crossmarket_simulated", [], "1 when the process runs on simulated venues.";
    READY = LEVEL, "crossmarket_ready", [], "1 while /readyz answers 200.";
    PROCESS_START = LEVEL, "process_start_time_seconds", [], "When the process started, Unix time.";
    PROCESS_CPU = COUNT, "process_cpu_seconds_total", [], "Processor time, user and system.";
    PROCESS_MEMORY = LEVEL, "process_resident_memory_bytes", [], "Resident memory.";
    PROCESS_OPEN_FDS = LEVEL, "process_open_fds", [], "Open file descriptors.";
    PROCESS_MAX_FDS = LEVEL, "process_max_fds", [], "File descriptors allowed.";

    RPC_CALLS = COUNT, "crossmarket_rpc_calls_total", ["rpc_service", "rpc_method", "code"], "Calls ended, by code.";
    RPC_DURATION = Kind::Histogram(CALL_BOUNDS), "crossmarket_rpc_duration_seconds", ["rpc_service", "rpc_method"],
        "Unary calls, from the request's headers to the answer's trailers.";
    RPC_IN_FLIGHT = LEVEL, "crossmarket_rpc_in_flight", ["rpc_service", "rpc_method"], "Calls running, streams included.";
    CONNECTIONS_OPEN = LEVEL, "crossmarket_connections_open", [], "Connections on the gRPC port.";
    CONNECTIONS_ACCEPTED = COUNT, "crossmarket_connections_accepted_total", [], "Connections accepted.";
    CONNECTIONS_REFUSED = COUNT, "crossmarket_connections_refused_total", ["reason"], "Connections turned away.";

    STREAMS_OPEN = LEVEL, "crossmarket_streams_open", ["rpc_method"], "Watch streams open.";
    STREAM_FRAMES = COUNT, "crossmarket_stream_frames_total", ["rpc_method", "state"], "Frames sent.";
    STREAM_DELIVERED = COUNT, "crossmarket_stream_states_delivered_total", ["rpc_method"], "States in those frames.";
    STREAM_CONFLATED = COUNT, "crossmarket_stream_states_conflated_total", ["rpc_method"],
        "States superseded before they were sent.";
    STREAM_STALLS = COUNT, "crossmarket_stream_stalls_total", ["rpc_method"],
        "Times that a reader took no frame for a second or longer though one was ready.";
    STREAM_ENDS = COUNT, "crossmarket_stream_ends_total", ["rpc_method", "reason"], "Streams ended.";

    FEED_UP = LEVEL, "crossmarket_feed_up", ["venue", "feed"], "1 while the feed is OK or DEGRADED.";
    FEED_AGE = LEVEL, "crossmarket_feed_age_seconds", ["venue", "feed"], "Time since the feed's last success.";
    FEED_AGE_BUDGET = LEVEL, "crossmarket_feed_age_budget_seconds", ["venue", "feed"],
        "The age from which its values count as stale.";
    FEED_REQUESTS = COUNT, "crossmarket_feed_requests_total", ["venue", "feed"], "Requests and frames of the feed.";
    FEED_ERRORS = COUNT, "crossmarket_feed_errors_total", ["venue", "feed"], "Errors of the feed.";
    FEED_OBSERVATIONS = COUNT, "crossmarket_feed_observations_total", ["venue", "feed"], "Observations of the feed.";
    FEED_REJECTIONS = COUNT, "crossmarket_feed_rejections_total", ["venue", "feed", "reason"],
        "Entries refused, by reason.";
    FEED_RECONNECTS = COUNT, "crossmarket_feed_reconnects_total", ["venue", "feed"], "Reconnects of a stream.";
    VENUE_ERRORS = COUNT, "crossmarket_venue_errors_total", ["venue", "feed", "kind"], "Errors of this process's requests.";
    VENUE_FETCH = Kind::Histogram(FETCH_BOUNDS), "crossmarket_venue_fetch_duration_seconds", ["venue"],
        "From asking to the last byte of the body.";
    VENUE_PARSE = Kind::Histogram(WORK_BOUNDS), "crossmarket_venue_parse_duration_seconds", ["venue"],
        "Decoding one answer or frame.";
    VENUE_RATE_LIMIT = LEVEL, "crossmarket_venue_rate_limit", ["venue", "scope"], "Weight that a metered scope allows.";
    VENUE_RATE_USED = LEVEL, "crossmarket_venue_rate_used", ["venue", "scope"], "Weight used in the last window.";

    STORE_UP = LEVEL, "crossmarket_store_up", ["store"], "1 while the last operation of each kind worked.";
    STORE_DURATION = Kind::Histogram(CALL_BOUNDS), "crossmarket_store_operation_duration_seconds", ["operation"],
        "Operations of the store.";
    STORE_ERRORS = COUNT, "crossmarket_store_errors_total", ["operation", "kind"], "Operations failed.";
    STORE_WRITTEN = COUNT, "crossmarket_store_states_written_total", ["shard"], "States written by this collector.";
    STORE_FENCED = COUNT, "crossmarket_store_writes_fenced_total", ["shard"],
        "Batches refused because another writer has a higher epoch.";
    LEASE_HELD = LEVEL, "crossmarket_lease_held", ["shard"], "1 while this collector holds the shard's lease.";
    LEASE_ACQUISITIONS = COUNT, "crossmarket_lease_acquisitions_total", ["shard"],
        "Times that this collector came to hold the lease.";
    LEASE_LOSSES = COUNT, "crossmarket_lease_losses_total", ["shard"],
        "Times that it lost the lease without giving it up.";

    SHARD_LOADED = LEVEL, "crossmarket_shard_loaded", ["shard"], "1 when the image holds the shard.";
    SHARD_EPOCH = LEVEL, "crossmarket_shard_epoch", ["shard"], "The epoch that the image follows.";
    SHARD_REVISION = LEVEL, "crossmarket_shard_revision", ["shard"], "The last revision applied.";
    SHARD_AGE = LEVEL, "crossmarket_shard_age_seconds", ["shard"], "Time since something was last applied.";
    SHARD_GAPS = COUNT, "crossmarket_shard_gaps_total", ["shard"],
        "Times that the feed did not continue and the shard was loaded again.";
    SHARD_EPOCH_CHANGES = COUNT, "crossmarket_shard_epoch_changes_total", ["shard"],
        "Times that a new writer's epoch was taken up.";
    PROPAGATION = Kind::Histogram(PROPAGATION_BOUNDS), "crossmarket_propagation_seconds", [],
        "From the making of a batch by the collector to its application here.";
    IMAGE_KEYS = LEVEL, "crossmarket_image_keys", ["collection"], "Keys in the image.";
    IMAGE_BYTES = LEVEL, "crossmarket_image_bytes", [], "Encoded entries held, in bytes.";
    IMAGE_PRICES = LEVEL, "crossmarket_image_prices", [], "Assets with a price snapshot in the live image.";
    IMAGE_PRICES_FRESH = LEVEL, "crossmarket_image_prices_fresh", [], "Those within their freshness budget.";
    ANALYTICS = Kind::Histogram(WORK_BOUNDS), "crossmarket_analytics_duration_seconds", ["calculation"],
        "One calculation.";

    SPANS_EXPORTED = COUNT, "crossmarket_trace_spans_exported_total", [], "Spans handed to the OTLP endpoint.";
    SPANS_DROPPED = COUNT, "crossmarket_trace_spans_dropped_total", ["reason"], "Spans lost.";
    TLS_EXPIRY = LEVEL, "crossmarket_tls_certificate_expiry_timestamp_seconds", ["certificate"],
        "When the certificate ends, Unix time.";
    FILE_RELOADS = COUNT, "crossmarket_file_reloads_total", ["files", "outcome"], "Changed files of security read anew.";
    AUTH_REJECTIONS = COUNT, "crossmarket_auth_rejections_total", ["reason"], "Calls refused for their credentials.";
    QUOTA_REJECTIONS = COUNT, "crossmarket_quota_rejections_total", ["limit"],
        "Calls and subscriptions refused for their number.";
}

/// What is counted as it happens.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the family of the metric of its name above")]
pub struct Recorder {
    pub rpc_calls: Family<Counter>,
    pub rpc_duration: Family<Histogram>,
    pub rpc_in_flight: Family<Gauge>,
    pub connections_open: Family<Gauge>,
    pub connections_accepted: Family<Counter>,
    pub connections_refused: Family<Counter>,
    pub streams_open: Family<Gauge>,
    pub stream_frames: Family<Counter>,
    pub stream_delivered: Family<Counter>,
    pub stream_conflated: Family<Counter>,
    pub stream_stalls: Family<Counter>,
    pub stream_ends: Family<Counter>,
    pub venue_errors: Family<Counter>,
    pub venue_fetch: Family<Histogram>,
    pub venue_parse: Family<Histogram>,
    pub store_up: Family<Gauge>,
    pub store_duration: Family<Histogram>,
    pub store_errors: Family<Counter>,
    pub store_written: Family<Counter>,
    pub store_fenced: Family<Counter>,
    pub lease_acquisitions: Family<Counter>,
    pub lease_losses: Family<Counter>,
    pub shard_age: Family<Age>,
    pub shard_gaps: Family<Counter>,
    pub shard_epoch_changes: Family<Counter>,
    pub propagation: Family<Histogram>,
    pub analytics: Family<Histogram>,
    pub trace_spans_exported: Family<Counter>,
    pub trace_spans_dropped: Family<Counter>,
}

impl Recorder {
    /// Adds everything that there is to a page.
    pub fn collect(&self, page: &mut Page) {
        let Self {
            rpc_calls,
            rpc_duration,
            rpc_in_flight,
            connections_open,
            connections_accepted,
            connections_refused,
            streams_open,
            stream_frames,
            stream_delivered,
            stream_conflated,
            stream_stalls,
            stream_ends,
            venue_errors,
            venue_fetch,
            venue_parse,
            store_up,
            store_duration,
            store_errors,
            store_written,
            store_fenced,
            lease_acquisitions,
            lease_losses,
            shard_age,
            shard_gaps,
            shard_epoch_changes,
            propagation,
            analytics,
            trace_spans_exported,
            trace_spans_dropped,
        } = self;
        for counters in [
            rpc_calls,
            connections_accepted,
            connections_refused,
            stream_frames,
            stream_delivered,
            stream_conflated,
            stream_stalls,
            stream_ends,
            venue_errors,
            store_errors,
            store_written,
            store_fenced,
            lease_acquisitions,
            lease_losses,
            shard_gaps,
            shard_epoch_changes,
            trace_spans_exported,
            trace_spans_dropped,
        ] {
            counters.collect(page);
        }
        for gauges in [rpc_in_flight, connections_open, streams_open, store_up] {
            gauges.collect(page);
        }
        shard_age.collect(page);
        for histograms in [rpc_duration, venue_fetch, venue_parse, store_duration, propagation, analytics] {
            histograms.collect(page);
        }
    }
}

/// What analytics compute, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are named after what they make")]
pub enum Calculation {
    Aggregate,
    Snapshot,
    LongShort,
    Comparison,
    Season,
    Cycles,
}

impl Calculation {
    /// Those that answer calls.
    pub const OF_SERVERS: [Self; 3] = [Self::Comparison, Self::Season, Self::Cycles];
    /// Those that make states.
    pub const OF_COLLECTORS: [Self; 3] = [Self::Aggregate, Self::Snapshot, Self::LongShort];

    fn label(self) -> &'static str {
        match self {
            Self::Aggregate => "aggregate",
            Self::Snapshot => "snapshot",
            Self::LongShort => "long_short",
            Self::Comparison => "comparison",
            Self::Season => "season",
            Self::Cycles => "cycles",
        }
    }

    /// Makes its series be there from now on.
    pub fn expect(self) {
        RECORDER.analytics.with(&[self.label()]);
    }

    /// Computes and counts the time.
    pub fn time<T>(self, of: impl FnOnce() -> T) -> T {
        RECORDER.analytics.with(&[self.label()]).time(of)
    }
}

static RECORDER: LazyLock<Recorder> = LazyLock::new(|| Recorder {
    rpc_calls: Family::new(&RPC_CALLS),
    rpc_duration: Family::new(&RPC_DURATION),
    rpc_in_flight: Family::new(&RPC_IN_FLIGHT),
    connections_open: Family::new(&CONNECTIONS_OPEN),
    connections_accepted: Family::new(&CONNECTIONS_ACCEPTED),
    connections_refused: Family::new(&CONNECTIONS_REFUSED),
    streams_open: Family::new(&STREAMS_OPEN),
    stream_frames: Family::new(&STREAM_FRAMES),
    stream_delivered: Family::new(&STREAM_DELIVERED),
    stream_conflated: Family::new(&STREAM_CONFLATED),
    stream_stalls: Family::new(&STREAM_STALLS),
    stream_ends: Family::new(&STREAM_ENDS),
    venue_errors: Family::new(&VENUE_ERRORS),
    venue_fetch: Family::new(&VENUE_FETCH),
    venue_parse: Family::new(&VENUE_PARSE),
    store_up: Family::new(&STORE_UP),
    store_duration: Family::new(&STORE_DURATION),
    store_errors: Family::new(&STORE_ERRORS),
    store_written: Family::new(&STORE_WRITTEN),
    store_fenced: Family::new(&STORE_FENCED),
    lease_acquisitions: Family::new(&LEASE_ACQUISITIONS),
    lease_losses: Family::new(&LEASE_LOSSES),
    shard_age: Family::new(&SHARD_AGE),
    shard_gaps: Family::new(&SHARD_GAPS),
    shard_epoch_changes: Family::new(&SHARD_EPOCH_CHANGES),
    propagation: Family::new(&PROPAGATION),
    analytics: Family::new(&ANALYTICS),
    trace_spans_exported: Family::new(&SPANS_EXPORTED),
    trace_spans_dropped: Family::new(&SPANS_DROPPED),
});

/// The process's recorder.
pub fn recorder() -> &'static Recorder {
    &RECORDER
}
