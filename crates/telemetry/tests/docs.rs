//! docs/metrics.md is generated from the declarations of the metrics: `UPDATE_DOCS=1 cargo test -p crossmarket-telemetry --test docs` writes it.

use std::fmt::Write as _;

use crossmarket_telemetry::metrics::SECTIONS;
use crossmarket_telemetry::registry::{Kind, Metric};

const METRICS_HEADER: &str = r#"# Metrics

<!-- Generated from crates/telemetry/src/metrics.rs by crates/telemetry/tests/docs.rs -->

What `/metrics` on the admin port exposes, and what is sent over OTLP with `telemetry.otlp_endpoint`: the same names, labels and buckets. Alert rules and the dashboard use
only these names, and a test compares the list with what the binary exposes. Names follow Prometheus: base units, `_total` for counters; histograms have `_bucket`, `_sum`
and `_count`.

Labels take their values from closed sets: a role, a method of the API, a gRPC code, a venue and a feed of the registry, a shard. No label carries what a client or a venue
sent. None is called `service`, `pod`, `instance`, `namespace`, `job`, `container` or `endpoint`: a scrape adds those.

**When a series is there.** A metric of a part that the process does not run (a lease on a server, calls on a collector) is absent. One of a part that runs is there from
the start, with 0 for every value of a label of fewer than 20 values, so that `increase()` sees the first event; methods × codes appear as they happen. An unknown value is
absent, never 0: no age before a feed's first success, no expiry without a certificate.

**Why no native histograms.** They need the Protobuf exposition, which nobody can read, and pay off where the spread of values is unknown or where there are many labels.
Here the buckets are at the limits that alerts and promises name, there are at most 16 per histogram, and the largest histogram has one label of about 40 methods. Over OTLP
they are explicit-bound histograms for the same reason.

**What counting costs.** An event is one to five atomic additions on series that the code holds on to. `telemetry.metrics = false` leaves out what is counted for every
call, to find out what that costs.
"#;

fn metrics_page() -> String {
    let mut page = METRICS_HEADER.to_owned();
    for section in SECTIONS {
        let _ = writeln!(page, "\n## {}\n", section.title);
        if !section.intro.is_empty() {
            let _ = writeln!(page, "{}\n", section.intro);
        }
        page.push_str("| name | type | labels | meaning |\n|---|---|---|---|\n");
        for row in section.rows {
            page.push_str(&metric_row(row.metric()));
        }
    }
    page
}

fn metric_row(metric: &Metric) -> String {
    let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
    let (kind, buckets) = match metric.kind {
        Kind::Gauge => ("gauge", None),
        Kind::Counter => ("counter", None),
        Kind::Histogram(bounds) => ("histogram", bounds.first().zip(bounds.last())),
    };
    let buckets = buckets.map(|(first, last)| format!("Buckets {} to {}.", seconds(*first), seconds(*last)));
    let sentences = [metric.help, metric.note, buckets.as_deref().unwrap_or_default()];
    let meaning = sentences.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
    format!("| `{}` | {kind} | {} | {meaning} |\n", metric.name, labels.join(", "))
}

fn seconds(value: f64) -> String {
    let (number, unit) = match value {
        ..1e-3 => (value * 1e6, "µs"),
        ..1.0 => (value * 1e3, "ms"),
        _ => (value, "s"),
    };
    format!("{} {unit}", number.round())
}

#[test]
fn the_metrics_page_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let page = metrics_page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).expect("docs/ is writable");
    }
    let current = std::fs::read_to_string(path).expect("docs/metrics.md is there");
    assert!(current == page, "out of date: UPDATE_DOCS=1 cargo test -p crossmarket-telemetry --test docs");
}
