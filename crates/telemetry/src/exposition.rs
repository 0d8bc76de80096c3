//! The Prometheus text format of a page of metrics.

use std::fmt::Write as _;

use smol_str::SmolStr;

use super::registry::{Distribution, Kind, Metric, Page, Value};

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub fn text(page: &Page) -> String {
    let mut text = String::new();
    for samples in page.metrics() {
        let Metric { name, help, kind, .. } = samples.metric;
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram(_) => "histogram",
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in &samples.samples {
            match value {
                Value::Whole(value) => sample(&mut text, samples.metric, "", labels, None, value),
                Value::Number(value) => sample(&mut text, samples.metric, "", labels, None, value),
                Value::Distribution(held) => distribution(&mut text, samples.metric, labels, held),
            }
        }
    }
    text
}

fn distribution(text: &mut String, metric: &Metric, labels: &[SmolStr], held: &Distribution) {
    let bounds = held.bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
    let mut count = 0;
    for (bound, of_bucket) in bounds.zip(&held.counts) {
        count += of_bucket;
        sample(text, metric, "_bucket", labels, Some(&bound), &count);
    }
    sample(text, metric, "_sum", labels, None, &held.sum);
    sample(text, metric, "_count", labels, None, &count);
}

fn sample(
    text: &mut String,
    metric: &Metric,
    suffix: &str,
    labels: &[SmolStr],
    bound: Option<&str>,
    value: &impl std::fmt::Display,
) {
    text.push_str(metric.name);
    text.push_str(suffix);
    let labels = metric.labels.iter().copied().zip(labels.iter().map(SmolStr::as_str));
    let mut open = '{';
    for (label, content) in labels.chain(bound.map(|bound| ("le", bound))) {
        let content = content.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{open}{label}=\"{content}\"");
        open = ',';
    }
    let close = if open == ',' { "}" } else { "" };
    let _ = writeln!(text, "{close} {value}");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::registry::{Family, Histogram, Row as _};
    use super::*;

    static GAUGE: Metric = Metric { name: "a_b", help: "Help.", note: "", kind: Kind::Gauge, labels: &[] };
    static COUNTER: Metric =
        Metric { name: "c_total", help: "More.", note: "", kind: Kind::Counter, labels: &["x", "y"] };
    static SPANS: Metric =
        Metric { name: "d_seconds", help: "Spans.", note: "", kind: Kind::Histogram(&[0.5, 2.0]), labels: &["x"] };

    #[test]
    fn describes_a_metric_once_and_escapes_labels() {
        let mut page = Page::default();
        page.add(&GAUGE, &[], 1.5);
        page.add(&COUNTER, &["1", "\"q\"\n"], 2);
        page.add(&COUNTER, &["2", ""], 3);
        assert_eq!(
            text(&page),
            "# HELP a_b Help.\n# TYPE a_b gauge\na_b 1.5\n# HELP c_total More.\n# TYPE c_total counter\n\
             c_total{x=\"1\",y=\"\\\"q\\\"\\n\"} 2\nc_total{x=\"2\",y=\"\"} 3\n"
        );
    }

    #[test]
    fn buckets_are_added_up() {
        let family = Family::<Histogram>::new(&SPANS);
        for millis in [100, 1_000, 9_000] {
            family.with(&["1"]).observe(Duration::from_millis(millis));
        }
        let mut page = Page::default();
        family.collect(&mut page);
        assert_eq!(
            text(&page),
            "# HELP d_seconds Spans.\n# TYPE d_seconds histogram\nd_seconds_bucket{x=\"1\",le=\"0.5\"} 1\n\
             d_seconds_bucket{x=\"1\",le=\"2\"} 2\nd_seconds_bucket{x=\"1\",le=\"+Inf\"} 3\nd_seconds_sum{x=\"1\"} 10.1\n\
             d_seconds_count{x=\"1\"} 3\n"
        );
    }
}
