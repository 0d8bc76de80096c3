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

use super::options::{OtlpOptions, Protocol};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Maximum length of an answer that is read, in bytes.
const ANSWER_LEN_MAX: usize = 64 << 10;

/// Why nothing can be sent to an endpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OtlpError {
    /// The address is invalid.
    #[error("telemetry.otlp_endpoint {0:?} is not an address of an endpoint")]
    Endpoint(String),
    /// A header is invalid.
    #[error("telemetry.otlp_headers: {0:?} is not a header, or its value is not one's")]
    Header(String),
    /// The HTTP client cannot be built.
    #[error("the HTTP client for OTLP cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// Why a message was not accepted.
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
    /// True when the same message may be accepted later.
    pub(crate) fn may_pass(&self) -> bool {
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

#[derive(Clone, Copy, Debug)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

/// A message to the endpoint.
pub(super) trait Export: Message + Clone + 'static {
    type Answer: Message + Default + 'static;

    /// Spans or data points that were rejected from an accepted message.
    fn rejected(answer: &Self::Answer) -> u64;
}

impl Export for ExportTraceServiceRequest {
    type Answer = ExportTraceServiceResponse;

    fn rejected(answer: &Self::Answer) -> u64 {
        let partial = answer.partial_success.as_ref();
        partial.and_then(|partial| u64::try_from(partial.rejected_spans).ok()).unwrap_or_default()
    }
}

impl Export for ExportMetricsServiceRequest {
    type Answer = ExportMetricsServiceResponse;

    fn rejected(answer: &Self::Answer) -> u64 {
        let partial = answer.partial_success.as_ref();
        partial.and_then(|partial| u64::try_from(partial.rejected_data_points).ok()).unwrap_or_default()
    }
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
    /// Creates the sender, without connecting.
    pub(crate) fn new(options: &OtlpOptions) -> Result<Self, OtlpError> {
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

    /// Sends a message and waits until it is accepted. Returns how many of its items were rejected.
    pub(crate) async fn send<M: Export>(&self, signal: Signal, message: &M) -> Result<u64, SendError> {
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
                    let answer = sent.map_err(|_| SendError::Unreachable)?;
                    match answer.status() {
                        status if status.is_success() => Ok(rejected_over_http::<M>(answer).await),
                        status => Err(SendError::Http(status.as_u16())),
                    }
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
) -> Result<u64, SendError> {
    let mut client = tonic::client::Grpc::new(channel);
    // Readiness shows whether the endpoint is reachable.
    client.ready().await.map_err(|_| SendError::Unreachable)?;
    let mut request = tonic::Request::new(message);
    *request.metadata_mut() = metadata.clone();
    let answer: Result<tonic::Response<M::Answer>, Status> = client.unary(request, path, ProstCodec::default()).await;
    // The status text may repeat what was sent.
    answer.map(|answer| M::rejected(answer.get_ref())).map_err(|status| SendError::Status { code: status.code() })
}

/// Items rejected from a message. An unreadable answer counts as none.
async fn rejected_over_http<M: Export>(mut answer: reqwest::Response) -> u64 {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        if body.len() + chunk.len() > ANSWER_LEN_MAX {
            return 0;
        }
        body.extend_from_slice(&chunk);
    }
    M::Answer::decode(body.as_slice()).map_or(0, |answer| M::rejected(&answer))
}

/// An endpoint without the parts that may be secret.
pub(super) fn shown(endpoint: &str) -> String {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("", endpoint));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn what_is_shown_has_no_secret() {
        assert_eq!(shown("https://user:geheim@otlp.example:4318/geheim?key=geheim"), "https://otlp.example:4318");
        assert_eq!(shown("http://127.0.0.1:4317"), "http://127.0.0.1:4317");
    }

    /// How a sender interprets an HTTP answer.
    async fn rejected_by(body: Vec<u8>) -> u64 {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let endpoint = async move {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            let mut request = [0; 4_096];
            assert!(stream.read(&mut request).await.expect("read") > 0);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat()).await.expect("written");
            stream
        };
        let options = OtlpOptions {
            endpoint: format!("http://{address}"),
            protocol: Protocol::HttpProtobuf,
            headers: Vec::new(),
            timeout: Duration::from_secs(5),
            metrics_interval: None,
        };
        let sender = Sender::new(&options).expect("usable");
        let message = ExportTraceServiceRequest::default();
        let (sent, _stream) = tokio::join!(sender.send(Signal::Traces, &message), endpoint);
        sent.expect("taken")
    }

    #[tokio::test]
    async fn what_was_not_taken_of_a_message_is_told() {
        let answer = |rejected_spans, error_message: &str| ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans,
                error_message: error_message.to_owned(),
            }),
        };
        assert_eq!(ExportTraceServiceRequest::rejected(&answer(2, "")), 2);
        assert_eq!(ExportTraceServiceRequest::rejected(&answer(-2, "")), 0);
        assert_eq!(rejected_by(answer(3, "too old").encode_to_vec()).await, 3);
        assert_eq!(rejected_by(Vec::new()).await, 0, "all was taken");
        assert_eq!(rejected_by(b"no message".to_vec()).await, 0);
        let long = answer(3, &"x".repeat(ANSWER_LEN_MAX));
        assert_eq!(rejected_by(long.encode_to_vec()).await, 0, "a long answer is cut off");
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
