//! Every metric of the process: one row declares its name, type, labels and meaning, and the instruments that count it.
//!
//! docs/metrics.md is generated from this table (tests/docs.rs), and a test compares it with what the binary exposes. Labels take their values
//! from closed sets. Where a label has few values the parts of the program create their series at the start, so that they are exposed at 0.

use super::registry::{Age, Counter, Family, Gauge, Histogram, Kind, Metric, Page, Row};

/// 100 µs to 5 s: calls and store operations.
const CALL_BOUNDS: &[f64] =
    &[1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// 10 ms to 10 s: requests to venues.
const FETCH_BOUNDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// 10 µs to 1 s: pure computation.
const WORK_BOUNDS: &[f64] = &[1e-5, 2.5e-5, 1e-4, 2.5e-4, 1e-3, 2.5e-3, 1e-2, 2.5e-2, 0.1, 0.25, 1.0];
/// 500 µs to 5 s: from writer to reader.
const PROPAGATION_BOUNDS: &[f64] = &[5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// A section of docs/metrics.md.
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// Text between the title and the table; may be empty.
    pub intro: &'static str,
    /// One for each metric.
    pub rows: &'static [&'static dyn Row],
}

/// Expands a row's type word. The value of a `read_…` metric is read elsewhere when a page is taken; the others count as
/// things happen.
macro_rules! form {
    (type counter) => { Family<Counter> };
    (type gauge) => { Family<Gauge> };
    (type age) => { Family<Age> };
    (type histogram) => { Family<Histogram> };
    (type $read:ident) => { Metric };
    (new read_counter $metric:expr) => { $metric };
    (new read_gauge $metric:expr) => { $metric };
    (new $counted:ident $metric:expr) => { Family::new(&$metric) };
    (kind histogram $bounds:ident) => { Kind::Histogram($bounds) };
    (kind counter) => { Kind::Counter };
    (kind read_counter) => { Kind::Counter };
    (kind $level:ident) => { Kind::Gauge };
}

/// Rows: type, static, name, labels, help (exposed as `# HELP`), and a note that only the documentation has.
macro_rules! metrics {
    ($($title:literal $($intro:literal)? {
        $($form:ident $(($bounds:ident))? $id:ident $name:literal [$($label:literal),*] $help:literal $($note:literal)?;)*
    })*) => {
        $($(
            #[doc = $help]
            pub static $id: form!(type $form) = form!(new $form Metric {
                name: $name,
                help: $help,
                note: concat!($($note)?),
                kind: form!(kind $form $($bounds)?),
                labels: &[$($label),*],
            });
        )*)*

        /// Every metric, in the order of docs/metrics.md.
        pub static SECTIONS: &[Section] =
            &[$(Section { title: $title, intro: concat!($($intro)?), rows: &[$(&$id),*] }),*];
    };
}

metrics! {
    "Process" {
        read_gauge BUILD_INFO "crossmarket_build_info" ["version", "role"] "1, with what runs."
            "`role` is `all`, `server` or `collector`.";
        read_gauge SIMULATED "crossmarket_simulated" [] "1 when the process runs on simulated venues.";
        read_gauge READY "crossmarket_ready" [] "1 while /readyz answers 200.";
        read_gauge PROCESS_START "process_start_time_seconds" [] "When the process started, Unix time.";
        read_counter PROCESS_CPU "process_cpu_seconds_total" [] "Processor time, user and system.";
        read_gauge PROCESS_MEMORY "process_resident_memory_bytes" [] "Resident memory.";
        read_gauge PROCESS_OPEN_FDS "process_open_fds" [] "Open file descriptors.";
        read_gauge PROCESS_MAX_FDS "process_max_fds" [] "File descriptors allowed.";
    }
    "Calls (servers)" {
        counter RPC_CALLS "crossmarket_rpc_calls_total" ["rpc_service", "rpc_method", "code"] "Calls ended, by code."
            "Codes are in capitals: `OK`, `NOT_FOUND`, `UNAVAILABLE` … A stream counts when it ends. A call of an unknown method counts as `rpc_service=\"unknown\", rpc_method=\"unknown\"`.";
        histogram(CALL_BOUNDS) RPC_DURATION "crossmarket_rpc_duration_seconds" ["rpc_service", "rpc_method"]
            "Unary calls, from the request's headers to the answer's trailers.";
        gauge RPC_IN_FLIGHT "crossmarket_rpc_in_flight" ["rpc_service", "rpc_method"] "Calls running, streams included.";
        gauge CONNECTIONS_OPEN "crossmarket_connections_open" [] "Connections on the gRPC port.";
        counter CONNECTIONS_ACCEPTED "crossmarket_connections_accepted_total" [] "Connections accepted.";
        counter CONNECTIONS_REFUSED "crossmarket_connections_refused_total" ["reason"] "Connections turned away."
            "Reasons: `limit`, `address_limit`, `handshake`, `preface`, `abuse`.";
    }
    "Streams (servers)" {
        gauge STREAMS_OPEN "crossmarket_streams_open" ["rpc_method"] "Watch streams open."
            "An autoscaler can follow their sum.";
        counter STREAM_FRAMES "crossmarket_stream_frames_total" ["rpc_method", "state"] "Frames sent."
            "States: `snapshot`, `live`, `heartbeat`, `resync`.";
        counter STREAM_DELIVERED "crossmarket_stream_states_delivered_total" ["rpc_method"] "States in those frames.";
        counter STREAM_CONFLATED "crossmarket_stream_states_conflated_total" ["rpc_method"]
            "States superseded before they were sent."
            "The reader was slow, or asked for a `min_interval`.";
        counter STREAM_STALLS "crossmarket_stream_stalls_total" ["rpc_method"]
            "Times that a reader took no frame for a second or longer though one was ready."
            "This is the definition of a slow reader. Counted when the reader continues.";
        counter STREAM_ENDS "crossmarket_stream_ends_total" ["rpc_method", "reason"] "Streams ended."
            "Reasons: `client`, `drain`, `age`, `deadline`, `error`.";
    }
    "Venues (collectors; servers show the feeds of their image)"
    "Metrics with both `venue` and `feed`, except `crossmarket_venue_errors_total`, come from the state that the collectors publish, so every replica shows the same values: aggregate them with\n`max`, not `sum`. `crossmarket_venue_*` are the collector's own and may be summed." {
        read_gauge FEED_UP "crossmarket_feed_up" ["venue", "feed"] "1 while the feed is OK or DEGRADED."
            "0 while STARTING or DOWN; absent when disabled.";
        read_gauge FEED_AGE "crossmarket_feed_age_seconds" ["venue", "feed"] "Time since the feed's last success."
            "Absent before the first one and when disabled.";
        read_gauge FEED_AGE_BUDGET "crossmarket_feed_age_budget_seconds" ["venue", "feed"]
            "The age from which its values count as stale.";
        read_counter FEED_REQUESTS "crossmarket_feed_requests_total" ["venue", "feed"] "Requests and frames of the feed.";
        read_counter FEED_ERRORS "crossmarket_feed_errors_total" ["venue", "feed"] "Errors of the feed.";
        read_counter FEED_OBSERVATIONS "crossmarket_feed_observations_total" ["venue", "feed"]
            "Observations of the feed.";
        read_counter FEED_REJECTIONS "crossmarket_feed_rejections_total" ["venue", "feed", "reason"]
            "Entries refused, by reason.";
        read_counter FEED_RECONNECTS "crossmarket_feed_reconnects_total" ["venue", "feed"] "Reconnects of a stream.";
        gauge MAPPING_CONFLICTS "crossmarket_mapping_conflicts" []
            "Instruments that contribute to nothing, since their prices contradict their assets'."
            "`crossmarket instruments --state conflict` names them.";
        counter VENUE_ERRORS "crossmarket_venue_errors_total" ["venue", "feed", "kind"]
            "Errors of this process's requests."
            "Kinds: `rate_limited`, `transient`, `malformed`, `rejected`.";
        histogram(FETCH_BOUNDS) VENUE_FETCH "crossmarket_venue_fetch_duration_seconds" ["venue"]
            "From sending the request to the last byte of the body."
            "Waiting for the rate limit does not count.";
        histogram(WORK_BOUNDS) VENUE_PARSE "crossmarket_venue_parse_duration_seconds" ["venue"]
            "Decoding one answer or frame.";
        read_gauge VENUE_RATE_LIMIT "crossmarket_venue_rate_limit" ["venue", "scope"]
            "Weight that a metered scope allows in its window.";
        read_gauge VENUE_RATE_USED "crossmarket_venue_rate_used" ["venue", "scope"]
            "Weight used in the window that ends now.";
    }
    "Store and leases"
    "`store` is `embedded`, `memory` or `redis`. `operation` is one of `bootstrap`, `tail`, `write`, `lease`, `history_read`, `history_write`, `flush`. A refusal is an\nanswer: it counts as an error, and the store as up." {
        gauge STORE_UP "crossmarket_store_up" ["store"] "1 while the last operation of each kind was answered."
            "Answers to leases, bootstraps and tails count for writes too, because a standby has no writes.";
        histogram(CALL_BOUNDS) STORE_DURATION "crossmarket_store_operation_duration_seconds" ["operation"]
            "Operations of the store."
            "A tail waits for data, which is not the store's time: its waiting is left out.";
        counter STORE_ERRORS "crossmarket_store_errors_total" ["operation", "kind"] "Operations failed."
            "Kinds: `unavailable` (also: no answer in time), `fenced`, `lost` (the store no longer has what was written, or another process holds the lease), `corrupt`, `other`.";
        counter STORE_WRITTEN "crossmarket_store_states_written_total" ["shard"] "States written by this collector.";
        counter STORE_FENCED "crossmarket_store_writes_fenced_total" ["shard"]
            "Batches refused because another writer has a higher epoch.";
        read_gauge LEASE_HELD "crossmarket_lease_held" ["shard"] "1 while this collector holds the shard's lease."
            "0 while it stands by.";
        counter LEASE_ACQUISITIONS "crossmarket_lease_acquisitions_total" ["shard"]
            "Times that this collector acquired the lease.";
        counter LEASE_LOSSES "crossmarket_lease_losses_total" ["shard"]
            "Times that this collector lost the lease without releasing it.";
    }
    "Image (servers)" {
        read_gauge SHARD_LOADED "crossmarket_shard_loaded" ["shard"] "1 when the image holds the shard.";
        read_gauge SHARD_EPOCH "crossmarket_shard_epoch" ["shard"] "The epoch that the image follows.";
        read_gauge SHARD_REVISION "crossmarket_shard_revision" ["shard"] "The last revision applied.";
        age SHARD_AGE "crossmarket_shard_age_seconds" ["shard"] "Time since something was last applied."
            "Absent before the first time.";
        counter SHARD_GAPS "crossmarket_shard_gaps_total" ["shard"]
            "Times that the change feed had a gap within one epoch and the shard was loaded again.";
        counter SHARD_EPOCH_CHANGES "crossmarket_shard_epoch_changes_total" ["shard"]
            "Times that the image moved to a new writer's epoch.";
        histogram(PROPAGATION_BOUNDS) PROPAGATION "crossmarket_propagation_seconds" []
            "From the creation of a batch by the collector to its application here."
            "Taken from both machines' clocks; below 0 counts as 0.";
        read_gauge IMAGE_KEYS "crossmarket_image_keys" ["collection"] "Keys in the image."
            "Collections: `prices`, `assets`, `feeds`, `long_short`, `indices`.";
        read_gauge IMAGE_BYTES "crossmarket_image_bytes" [] "Encoded entries held, in bytes.";
        read_gauge IMAGE_PRICES "crossmarket_image_prices" [] "Assets with a price snapshot in the live image.";
        read_gauge IMAGE_PRICES_FRESH "crossmarket_image_prices_fresh" [] "Those whose price snapshot is fresh.";
        histogram(WORK_BOUNDS) ANALYTICS "crossmarket_analytics_duration_seconds" ["calculation"] "One calculation."
            "Servers: `comparison`, `season`, `cycles`, `signals`; collectors: `aggregate`, `snapshot`, `long_short`.";
    }
    "Security and telemetry" {
        read_gauge TLS_EXPIRY "crossmarket_tls_certificate_expiry_timestamp_seconds" ["certificate"]
            "When the certificate expires, Unix time."
            "`server`: the first to expire of those sent; `client_ca`: the first to expire of those trusted. Absent without TLS.";
        read_counter FILE_RELOADS "crossmarket_file_reloads_total" ["files", "outcome"]
            "Reloads of changed security files."
            "Files: `certificates`, `clients`, `token_keys` (the issuer's). Outcomes: `ok`, `failed` (the old ones stay in use). Absent for files that are not configured.";
        read_counter AUTH_REJECTIONS "crossmarket_auth_rejections_total" ["reason"]
            "Calls refused for their credentials."
            "Reasons: `missing`, `invalid`, `expired`, `scope`. Clients learn no reason.";
        read_counter QUOTA_REJECTIONS "crossmarket_quota_rejections_total" ["limit"]
            "Calls and subscriptions refused for exceeding a quota."
            "Limits: `calls`, `streams`, `subscriptions`.";
        counter SPANS_EXPORTED "crossmarket_trace_spans_exported_total" [] "Spans accepted by the OTLP endpoint."
            "Absent without an endpoint.";
        counter SPANS_DROPPED "crossmarket_trace_spans_dropped_total" ["reason"] "Spans lost."
            "Reasons: `queue_full`, `export_failed` (also spans that the endpoint rejected from a batch). Absent without an endpoint.";
    }
}

/// Adds everything counted so far to a page.
pub fn collect(page: &mut Page) {
    for row in SECTIONS.iter().flat_map(|section| section.rows) {
        row.collect(page);
    }
}

/// A calculation, as a label.
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
        ANALYTICS.with(&[self.label()]);
    }

    /// Computes and counts the time.
    pub fn time<T>(self, of: impl FnOnce() -> T) -> T {
        ANALYTICS.with(&[self.label()]).time(of)
    }
}
