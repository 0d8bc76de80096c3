//! The HTTP client: a single GET, limited in time, size and destination.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use smol_str::{SmolStr, format_smolstr};
use tracing::field::Empty;
use tracing::{Instrument, Span};
use url::{Host, Url};

use crossmarket_clock::Clock;
use crossmarket_domain::Timestamp;
use crossmarket_telemetry::trace;
use crossmarket_venues::{Request, Response, VenueError};

/// User agent sent to the venues. Some refuse anything that does not begin like a browser's; this one still identifies
/// us.
const USER_AGENT: &str = concat!("Mozilla/5.0 (compatible; crossmarket/", env!("CARGO_PKG_VERSION"), ")");

/// Limits of one request.
#[derive(Clone, Copy, Debug)]
pub struct FetchLimits {
    /// Time limit for the connection.
    pub connect_timeout: Duration,
    /// Time limit for the whole request, including the body.
    pub total_timeout: Duration,
    /// Maximum length of the decompressed body, in bytes.
    pub body_bytes_max: usize,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(10),
            body_bytes_max: 16 << 20,
        }
    }
}

/// Why a client or an address is unusable.
#[derive(Debug, thiserror::Error)]
pub enum FetchSetupError {
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
    #[error(
        "{text:?} is not usable as a base address: https (or wss) is needed, plain http (or ws) is for loopback only"
    )]
    Address {
        /// The address, without user, password and query.
        text: String,
    },
}

/// An HTTP client. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Fetcher {
    client: reqwest::Client,
    limits: FetchLimits,
}

/// Sends requests. The collector uses [`Fetcher`]; tests use their own implementations.
#[async_trait]
pub(crate) trait Fetch: Send + Sync {
    /// Sends a request to `base_url` (absolute, without a trailing slash) and reads the whole response.
    async fn get(&self, base_url: &str, request: &Request) -> Result<Response, VenueError>;
}

impl Fetcher {
    /// A client with these limits: no redirects, gzip, HTTP/1.1 or 2.
    pub(crate) fn new(limits: FetchLimits) -> Result<Self, FetchSetupError> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // It does not matter if another installer wins the race.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let client = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(limits.connect_timeout)
            .timeout(limits.total_timeout)
            .gzip(true)
            .build()
            .map_err(FetchSetupError::Client)?;
        Ok(Self { client, limits })
    }
}

#[async_trait]
impl Fetch for Fetcher {
    /// Sends a request to `base_url` (absolute, without a trailing slash) and reads the whole response.
    ///
    /// A failed or broken connection is [`VenueError::Transient`], a redirect is [`VenueError::Rejected`], and a body
    /// over the limit is [`VenueError::Malformed`]. No error text contains the URL's query or any part of the body.
    async fn get(&self, base_url: &str, request: &Request) -> Result<Response, VenueError> {
        let text = format!("{base_url}{}", request.path);
        let url = Url::parse(&text).map_err(|_| VenueError::Rejected("the request's address is malformed".into()))?;
        if !is_allowed(&url, "http", "https") {
            return Err(VenueError::Rejected("plain http is for loopback only".into()));
        }
        let span = trace::span!(
            trace::within(),
            "GET",
            otel.kind = "client",
            otel.status_code = Empty,
            http.request.method = "GET",
            http.response.status_code = Empty,
            server.address = url.host_str(),
            server.port = url.port_or_known_default().map(i64::from),
            url.full = without_query(&url),
            error.type = Empty,
        );
        let result = self.read(url, &span).instrument(span.clone()).await;
        if let Err(error) = &result {
            span.record("error.type", error_type(error)).record("otel.status_code", "ERROR");
        }
        result
    }
}

impl Fetcher {
    async fn read(&self, url: Url, span: &Span) -> Result<Response, VenueError> {
        let sent = self.client.get(url).header(ACCEPT, "application/json, text/csv, */*;q=0.1").send().await;
        let mut answer = sent.map_err(|error| transient(&error))?;
        let status = answer.status().as_u16();
        span.record("http.response.status_code", i64::from(status));
        if status >= 400 {
            span.record("error.type", status.to_string()).record("otel.status_code", "ERROR");
        }
        if (300..400).contains(&status) {
            return Err(VenueError::Rejected(format_smolstr!("redirected with status {status}")));
        }
        let content_type = text_of(answer.headers(), &CONTENT_TYPE);
        let retry_after = retry_after(&text_of(answer.headers(), &RETRY_AFTER));
        let body = body_of(&mut answer, self.limits.body_bytes_max).await.map_err(|error| transient(&error))?;
        let Some(body) = body else {
            let limit = self.limits.body_bytes_max;
            return Err(VenueError::Malformed(format_smolstr!("body longer than {limit} bytes")));
        };
        Ok(Response { status, retry_after, content_type, body })
    }
}

/// The whole decompressed body; `None` if it is longer than `bytes_max`.
pub(super) async fn body_of(answer: &mut reqwest::Response, bytes_max: usize) -> Result<Option<Bytes>, reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > bytes_max {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body.freeze()))
}

/// A query may contain a key.
fn without_query(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.into()
}

fn error_type(error: &VenueError) -> &'static str {
    match error {
        VenueError::RateLimited { .. } => "rate_limited",
        VenueError::Transient(_) => "transient",
        VenueError::Malformed(_) | VenueError::Unasked(_) => "malformed",
        VenueError::Rejected(_) => "rejected",
    }
}

/// Checks a configured base address: `secure` anywhere, `plain` on loopback only; no user, password, query or fragment.
pub(crate) fn check_address(text: &str, plain: &str, secure: &str) -> Result<Url, FetchSetupError> {
    let shown = || FetchSetupError::Address {
        text: text.split(['?', '#']).next().and_then(|front| front.rsplit('@').next()).unwrap_or_default().to_owned(),
    };
    let url = Url::parse(text).map_err(|_| shown())?;
    let bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if bare && is_allowed(&url, plain, secure) { Ok(url) } else { Err(shown()) }
}

fn is_allowed(url: &Url, plain: &str, secure: &str) -> bool {
    url.scheme() == secure || (url.scheme() == plain && is_loopback(url))
}

/// True when the host is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

/// Maps to a closed set of texts: the error's own text may contain the address with a key in it.
fn transient(error: &reqwest::Error) -> VenueError {
    VenueError::Transient(SmolStr::new_static(if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "could not connect"
    } else if error.is_body() || error.is_decode() {
        "the response was cut off"
    } else {
        "the request failed"
    }))
}

fn text_of(headers: &HeaderMap, name: &reqwest::header::HeaderName) -> SmolStr {
    headers.get(name).and_then(|value| value.to_str().ok()).map(SmolStr::new).unwrap_or_default()
}

/// Parses seconds or an HTTP date, from which the current time is subtracted.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    let until = Timestamp::from_micros(date.timestamp().as_microsecond());
    Some(until.since(Clock::system().now()))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::{Response as Answer, StatusCode};
    use axum::routing::get;

    use super::*;
    use crossmarket_domain::Feed;
    use crossmarket_venues::Ask;

    fn request(path: &str) -> Request {
        Request { ask: Ask::all(Feed::Tickers), path: path.to_owned(), host: None, scope: "weight", weight: 1 }
    }

    async fn serve(router: Router) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    fn limits() -> FetchLimits {
        FetchLimits { total_timeout: Duration::from_millis(500), body_bytes_max: 100_000, ..FetchLimits::default() }
    }

    /// A gzip member of stored and then run-length blocks is tedious to write by hand. A fixed-Huffman block of one
    /// literal and many 258-byte copies is short, and expands 1,000 times.
    fn gzip_of_zeros(copies: usize) -> Vec<u8> {
        let mut bits: Vec<bool> = vec![true, true, false];
        let mut push = |code: u32, length: u32| (0..length).rev().for_each(|bit| bits.push(code >> bit & 1 == 1));
        push(0b0011_0000, 8);
        for _ in 0..copies {
            push(0b1100_0101, 8);
            push(0, 5);
        }
        push(0, 7);
        let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        out.extend(
            bits.chunks(8)
                .map(|byte| byte.iter().enumerate().fold(0u8, |value, (index, bit)| value | (u8::from(*bit) << index))),
        );
        // The checksum is wrong; a reader that stops at the limit never gets there.
        out.extend([0; 8]);
        out
    }

    #[tokio::test]
    async fn answers_are_read_and_limits_kept() {
        let router = Router::new()
            .route("/ok", get(|| async { ([("retry-after", "7")], "{}") }))
            .route("/big", get(|| async { "x".repeat(100_001) }))
            .route(
                "/bomb",
                get(|| async {
                    Answer::builder()
                        .header("content-encoding", "gzip")
                        .body(Body::from(gzip_of_zeros(10_000)))
                        .expect("valid")
                }),
            )
            .route("/moved", get(|| async { (StatusCode::FOUND, [("location", "/ok")], "") }))
            .route(
                "/slow",
                get(|| async {
                    let drops = futures_util::stream::unfold(0u32, |count| async move {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        Some((Ok::<_, std::io::Error>("x"), count + 1))
                    });
                    Body::from_stream(drops)
                }),
            );
        let base = serve(router).await;
        let fetcher = Fetcher::new(limits()).expect("a client");
        let answer = fetcher.get(&base, &request("/ok?key=SECRET")).await.expect("an answer");
        assert_eq!((answer.status, answer.retry_after), (200, Some(Duration::from_secs(7))));
        assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
        let error = |path: &'static str| {
            let (fetcher, base) = (fetcher.clone(), base.clone());
            async move { fetcher.get(&base, &request(path)).await.expect_err(path) }
        };
        assert_eq!(error("/big").await, VenueError::Malformed("body longer than 100000 bytes".into()));
        assert_eq!(error("/bomb").await, VenueError::Malformed("body longer than 100000 bytes".into()));
        assert_eq!(error("/moved").await, VenueError::Rejected("redirected with status 302".into()));
        assert_eq!(error("/slow?key=SECRET").await, VenueError::Transient("timed out".into()));
    }

    #[tokio::test]
    async fn nobody_there_is_transient_and_says_no_address() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        drop(listener);
        let fetcher = Fetcher::new(limits()).expect("a client");
        let error = fetcher.get(&base, &request("/x?key=SECRET")).await.expect_err("nobody there");
        assert_eq!(error, VenueError::Transient("could not connect".into()));
    }

    #[tokio::test]
    async fn plain_http_stays_on_this_machine() {
        let fetcher = Fetcher::new(limits()).expect("a client");
        let error = fetcher.get("http://192.0.2.1", &request("/")).await.expect_err("not loopback");
        assert_eq!(error, VenueError::Rejected("plain http is for loopback only".into()));
        for (text, allowed) in [
            ("https://api.example.com/api/v3", true),
            ("http://127.0.0.1:80/x", true),
            ("http://[::1]:80", true),
            ("http://localhost:1", true),
            ("http://localhost.example.com", false),
            ("ftp://localhost", false),
            ("https://user:word@example.com", false),
            ("https://example.com?key=1", false),
        ] {
            assert_eq!(check_address(text, "http", "https").is_ok(), allowed, "{text}");
        }
        let error = check_address("https://user:word@example.com?key=1", "http", "https").expect_err("refused");
        assert!(!error.to_string().contains("word") && !error.to_string().contains("key"), "{error}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("120"), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after(""), None);
    }
}
