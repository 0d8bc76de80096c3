//! Where telemetry is sent, and how.

use std::time::Duration;

/// Where telemetry is sent, and how.
#[derive(Clone, Debug)]
pub struct OtlpOptions {
    /// `http://HOST:PORT` or `https://HOST:PORT`. Over HTTP a path may follow, which precedes `/v1/traces`.
    pub endpoint: String,
    pub protocol: Protocol,
    /// Headers of every request, as `name=value`; values may be secret.
    pub headers: Vec<(String, String)>,
    /// Time limit of one request.
    pub timeout: Duration,
    /// Time between two pages of metrics; `None` to send none.
    pub metrics_interval: Option<Duration>,
}

/// Transport of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    /// Protocol Buffers in HTTP requests.
    HttpProtobuf,
}

impl Protocol {
    pub const ALL: [Self; 2] = [Self::Grpc, Self::HttpProtobuf];

    /// The name, as in `OTEL_EXPORTER_OTLP_PROTOCOL`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
    }
}
