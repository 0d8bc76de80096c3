//! The format of log lines: the default format plus the ids of the current trace.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crossmarket_telemetry::trace::{self, TraceContext};

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Human-readable text.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    pub(crate) const ALL: [Self; 2] = [Self::Text, Self::Json];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// A line in the default format, plus the trace ids if the trace is recorded.
pub(super) struct WithTrace<F> {
    /// The default format.
    pub line: F,
    pub format: LogFormat,
}

impl<S, N, F> FormatEvent<S, N> for WithTrace<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some(trace) = trace::current() else {
            return self.line.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.line.format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(&with_ids(&line, self.format, trace))
    }
}

fn with_ids(line: &str, format: LogFormat, TraceContext { trace_id, span_id }: TraceContext) -> String {
    let line = line.trim_end();
    match format {
        LogFormat::Text => format!("{line} trace_id={trace_id:032x} span_id={span_id:016x}\n"),
        LogFormat::Json => {
            let object = line.strip_suffix('}').unwrap_or(line);
            format!("{object},\"trace_id\":\"{trace_id:032x}\",\"span_id\":\"{span_id:016x}\"}}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_last_in_both_formats() {
        let trace = TraceContext { trace_id: 0xabc, span_id: 7 };
        assert_eq!(
            with_ids("INFO all is well\n", LogFormat::Text, trace),
            "INFO all is well trace_id=00000000000000000000000000000abc span_id=0000000000000007\n"
        );
        let json = with_ids("{\"level\":\"INFO\",\"n\":{\"a\":1}}\n", LogFormat::Json, trace);
        let read: serde_json::Value = serde_json::from_str(&json).expect("one object");
        assert_eq!(read["trace_id"], "00000000000000000000000000000abc");
        assert_eq!(read["n"]["a"], 1);
    }
}
