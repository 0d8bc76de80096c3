//! The Prometheus text format, written from what the process already knows: nothing is counted twice.

use std::collections::HashSet;
use std::fmt::Write as _;

/// A page of metrics. Samples of one metric must be added one after the other.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    described: HashSet<String>,
}

impl Exposition {
    /// The page's content type.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Adds a value that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: f64) {
        self.sample("gauge", name, help, labels, &value.to_string());
    }

    /// Adds a value that only goes up.
    pub fn counter(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: u64) {
        self.sample("counter", name, help, labels, &value.to_string());
    }

    /// Adds a value that only goes up and is not whole.
    pub fn counter_seconds(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: f64) {
        self.sample("counter", name, help, labels, &value.to_string());
    }

    /// The page.
    pub fn into_text(self) -> String {
        self.text
    }

    fn sample(&mut self, kind: &str, name: &str, help: &str, labels: &[(&str, &str)], value: &str) {
        // Writing to a string does not fail.
        if self.described.insert(name.to_owned()) {
            let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        }
        self.text.push_str(name);
        for (index, (label, content)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let content = content.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{open}{label}=\"{content}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describes_a_metric_once_and_escapes_labels() {
        let mut page = Exposition::default();
        page.gauge("a_b", "Help.", &[], 1.5);
        page.counter("c_total", "More.", &[("x", "1"), ("y", "\"q\"\n")], 2);
        page.counter("c_total", "More.", &[("x", "2")], 3);
        assert_eq!(
            page.into_text(),
            "# HELP a_b Help.\n# TYPE a_b gauge\na_b 1.5\n# HELP c_total More.\n# TYPE c_total counter\n\
             c_total{x=\"1\",y=\"\\\"q\\\"\\n\"} 2\nc_total{x=\"2\"} 3\n"
        );
    }
}
