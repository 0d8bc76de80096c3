//! One OTLP endpoint.

use std::time::Duration;

use http::uri::PathAndQuery;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::OtlpOptions;

/// The time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

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

/// Why nothing can be sent to an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The address is none.
    #[error("telemetry.otlp_endpoint {0:?} is not an address of an endpoint")]
    Endpoint(String),
    /// A header is none.
    #[error("telemetry.otlp_headers: {0:?} is not a header, or its value is not one's")]
    Header(String),
    /// The HTTP client cannot be built.
    #[error("the HTTP client for OTLP cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("no answer in time")]
    Timeout,
    #[error("gRPC status {code}: {}", code.description())]
    Status { code: Code },
    #[error("HTTP status {0}")]
    Http(u16),
    #[error("not to be reached")]
    Unreachable,
}

impl SendError {
    /// Whether the same message may be taken later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Timeout | Self::Unreachable => true,
            Self::Http(status) => matches!(status, 429 | 502..=504),
            Self::Status { code } => matches!(
                code,
                Code::Unavailable
                    | Code::Cancelled
                    | Code::DeadlineExceeded
                    | Code::Aborted
                    | Code::OutOfRange
                    | Code::DataLoss
            ),
        }
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

/// A message to the endpoint.
pub(super) trait Export: Message + Clone + 'static {
    /// What is answered.
    type Answer: Message + Default + 'static;
}

impl Export for ExportTraceServiceRequest {
    type Answer = ExportTraceServiceResponse;
}

impl Export for ExportMetricsServiceRequest {
    type Answer = ExportMetricsServiceResponse;
}

enum Transport {
    Grpc(Channel, MetadataMap),
    Http(reqwest::Client, String),
}

/// Sends to one endpoint.
pub(super) struct Sender {
    transport: Transport,
    timeout: Duration,
}

impl Sender {
    /// Nothing is connected yet.
    pub fn new(options: &OtlpOptions) -> Result<Self, OtlpError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &options.headers {
            let refused = || OtlpError::Header(name.clone());
            let name = HeaderName::try_from(name).map_err(|_| refused())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| refused())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let refused = || OtlpError::Endpoint(shown(&options.endpoint));
        let transport = match options.protocol {
            Protocol::Grpc => {
                let mut endpoint = Endpoint::from_shared(options.endpoint.clone()).map_err(|_| refused())?;
                if options.endpoint.starts_with("https:") {
                    let tls = ClientTlsConfig::new().with_webpki_roots();
                    endpoint = endpoint.tls_config(tls).map_err(|_| refused())?;
                }
                let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).connect_lazy();
                Transport::Grpc(channel, MetadataMap::from_headers(headers))
            }
            Protocol::HttpProtobuf => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
                let client = reqwest::Client::builder()
                    .user_agent(concat!("crossmarket/", env!("CARGO_PKG_VERSION")))
                    .default_headers(headers)
                    .redirect(reqwest::redirect::Policy::none())
                    .connect_timeout(CONNECT_TIMEOUT)
                    .build()
                    .map_err(OtlpError::Client)?;
                Transport::Http(client, options.endpoint.trim_end_matches('/').to_owned())
            }
        };
        Ok(Self { transport, timeout: options.timeout })
    }

    /// Sends a message and waits until it is taken.
    pub async fn send<M: Export>(&self, signal: Signal, message: &M) -> Result<(), SendError> {
        let sent = async {
            match &self.transport {
                Transport::Grpc(channel, metadata) => {
                    let path = PathAndQuery::from_static(match signal {
                        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
                    });
                    call(channel.clone(), metadata, path, message.clone()).await
                }
                Transport::Http(client, base) => {
                    let path = match signal {
                        Signal::Traces => "/v1/traces",
                        Signal::Metrics => "/v1/metrics",
                    };
                    let sent = client.post(format!("{base}{path}")).body(message.encode_to_vec()).send().await;
                    let status = sent.map_err(|_| SendError::Unreachable)?.status();
                    if status.is_success() { Ok(()) } else { Err(SendError::Http(status.as_u16())) }
                }
            }
        };
        tokio::time::timeout(self.timeout, sent).await.unwrap_or(Err(SendError::Timeout))
    }
}

async fn call<M: Export>(
    channel: Channel,
    metadata: &MetadataMap,
    path: PathAndQuery,
    message: M,
) -> Result<(), SendError> {
    let mut client = tonic::client::Grpc::new(channel);
    // An endpoint that is not there is told by its readiness.
    client.ready().await.map_err(|_| SendError::Unreachable)?;
    let mut request = tonic::Request::new(message);
    *request.metadata_mut() = metadata.clone();
    let answer: Result<tonic::Response<M::Answer>, Status> = client.unary(request, path, ProstCodec::default()).await;
    // The text may repeat what was sent.
    answer.map(|_| ()).map_err(|status| SendError::Status { code: status.code() })
}

/// An endpoint without what may be secret in it.
pub(super) fn shown(endpoint: &str) -> String {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("", endpoint));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_no_secret() {
        assert_eq!(shown("https://user:geheim@otlp.example:4318/geheim?key=geheim"), "https://otlp.example:4318");
        assert_eq!(shown("http://127.0.0.1:4317"), "http://127.0.0.1:4317");
    }

    #[tokio::test]
    async fn refusals_name_the_setting() {
        let options = |endpoint: &str, header: (&str, &str)| OtlpOptions {
            endpoint: endpoint.to_owned(),
            protocol: Protocol::Grpc,
            headers: vec![(header.0.to_owned(), header.1.to_owned())],
            timeout: Duration::from_secs(1),
            metrics_interval: None,
        };
        let refusal = |options: OtlpOptions| Sender::new(&options).err().map(|error| error.to_string());
        assert_eq!(refusal(options("http://127.0.0.1:4317", ("api-key", "x"))), None);
        let text = refusal(options("http://127.0.0.1:4317", ("api key", "geheim"))).expect("refused");
        assert!(text.contains("otlp_headers") && text.contains("api key") && !text.contains("geheim"), "{text}");
        let text = refusal(options("http://", ("a", "b"))).expect("refused");
        assert!(text.contains("otlp_endpoint"), "{text}");
    }
}
