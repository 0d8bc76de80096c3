//! Where telemetry is sent, and how.

use std::time::Duration;

/// Where telemetry is sent, and how.
#[derive(Clone, Debug)]
pub struct OtlpOptions {
    /// `http://HOST:PORT` or `https://HOST:PORT`; over HTTP a path may follow, before `/v1/traces`.
    pub endpoint: String,
    /// How.
    pub protocol: Protocol,
    /// Sent with every request, as `name=value`; values may be secret.
    pub headers: Vec<(String, String)>,
    /// The time for one request.
    pub timeout: Duration,
    /// The time between two pages of metrics; `None` to send none.
    pub metrics_interval: Option<Duration>,
}

/// How OTLP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// Protocol Buffers in HTTP requests.
    HttpProtobuf,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 2] = [Self::Grpc, Self::HttpProtobuf];

    /// Its name, as in `OTEL_EXPORTER_OTLP_PROTOCOL`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
    }
}
