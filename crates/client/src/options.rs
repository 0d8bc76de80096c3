//! Options of a client.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use tonic::metadata::{Ascii, MetadataValue};

use super::budget::{BudgetLeft, RetryBudget};
use super::call::{Client, Settings};
use super::error::{Error, unusable};
use super::pool::{Credentials, Pool, TraceHeaders, TraceSource, Transport};
use super::tls::Tls;

/// Maximum number of endpoints of a client.
const ENDPOINTS_MAX: usize = 256;

/// The request metadata that carries an API key.
const API_KEY_HEADER: &str = "x-api-key";

/// Builds a client. Everything but the endpoints has a default.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ClientBuilder {
    endpoints: Vec<String>,
    transport: Transport,
    settings: Settings,
    retry_budget: RetryBudget,
    secret: Option<(&'static str, String)>,
    trace: Option<TraceSource>,
}

impl Client {
    /// A client with default options for one endpoint, or for several separated by commas.
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`] when one is not `http://HOST:PORT` or `https://HOST:PORT`.
    ///
    /// ```
    /// use crossmarket_client::Client;
    ///
    /// let client = Client::new("http://10.0.0.1:50051,http://10.0.0.2:50051").expect("two endpoints");
    /// assert_eq!(client.endpoints().len(), 2);
    /// ```
    pub fn new(endpoints: &str) -> Result<Self, Error> {
        Self::builder().endpoints(endpoints.split(',')).build()
    }

    /// A client with other options.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }
}

impl ClientBuilder {
    /// Adds an endpoint: `http://HOST:PORT`, `https://HOST:PORT`, or `HOST:PORT` for the former. Several endpoints are used in turn.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoints.push(endpoint.into());
        self
    }

    /// Adds endpoints.
    pub fn endpoints<E: Into<String>>(mut self, endpoints: impl IntoIterator<Item = E>) -> Self {
        self.endpoints.extend(endpoints.into_iter().map(Into::into));
        self
    }

    /// The deadline of a call over all its attempts and pauses; 10 s by default. It is sent to the server. [`Client::with_deadline`] sets
    /// another for single calls.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = deadline;
        self
    }

    /// The time after which an attempt is abandoned and repeated at another endpoint, if there is one; 3 s by default.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.settings.attempt_timeout = timeout;
        self
    }

    /// The maximum number of attempts per call, at least 1; 8 by default.
    pub fn attempts_max(mut self, attempts: u32) -> Self {
        self.settings.attempts_max = attempts.max(1);
        self
    }

    /// The retry budget over all calls of the client.
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        self.retry_budget = budget;
        self
    }

    /// How long an interrupted stream tries to resume before it fails; indefinitely by default.
    pub fn watch_patience(mut self, patience: Duration) -> Self {
        self.settings.watch_patience = Some(patience);
        self
    }

    /// The maximum size of an answer, in bytes; 64 MiB by default.
    pub fn answer_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.answer_bytes_max = bytes;
        self
    }

    /// The time limit for connecting; 2 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.transport.connect_timeout = timeout;
        self
    }

    /// The interval of pings on a connection, and the time without an answer after which it counts as lost; 10 s and 5 s by default.
    pub fn keep_alive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.transport.keep_alive_interval = interval;
        self.transport.keep_alive_timeout = timeout;
        self
    }

    /// How `https` endpoints are verified, and the client's certificate. By default the public certificate authorities are trusted.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.transport.tls = tls;
        self
    }

    /// Sends an API key with every call, as `x-api-key`.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.secret = Some((API_KEY_HEADER, key.into()));
        self
    }

    /// Sends a bearer token with every call, as `authorization: Bearer …`.
    pub fn bearer_token(mut self, token: impl AsRef<str>) -> Self {
        self.secret = Some(("authorization", format!("Bearer {}", token.as_ref())));
        self
    }

    /// Sends the trace context returned by `current` with every attempt; with OpenTelemetry, what its propagator injects for the current span.
    ///
    /// ```
    /// use crossmarket_client::{Client, TraceHeaders};
    ///
    /// let traceparent = || "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    /// let current = move || Some(TraceHeaders { traceparent: traceparent(), tracestate: None });
    /// let client = Client::builder().endpoint("127.0.0.1:50051").trace_context(current).build();
    /// assert!(client.is_ok());
    /// ```
    pub fn trace_context(mut self, current: impl Fn() -> Option<TraceHeaders> + Send + Sync + 'static) -> Self {
        self.trace = Some(TraceSource(Arc::new(current)));
        self
    }

    /// Builds the client, which connects on the first call.
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`] when there is no endpoint, one is not a URL, or a certificate, key or token cannot be used.
    ///
    /// ```
    /// use crossmarket_client::Client;
    ///
    /// assert!(Client::builder().build().is_err(), "no endpoint");
    /// assert!(Client::builder().endpoint("ftp://there").build().is_err());
    /// let client = Client::builder().endpoint("127.0.0.1:50051").api_key("secret").build().expect("usable");
    /// assert!(!format!("{client:?}").contains("secret"));
    /// ```
    pub fn build(self) -> Result<Client, Error> {
        let urls = self.endpoints.iter().map(|endpoint| url(endpoint)).collect::<Result<Vec<String>, Error>>()?;
        if urls.is_empty() || urls.len() > ENDPOINTS_MAX {
            let reason = format!("from 1 to {ENDPOINTS_MAX} endpoints, such as http://HOST:50051");
            return Err(unusable("endpoints", &urls.len().to_string(), reason));
        }
        let secret = self.secret.map(|(name, value)| secret(name, &value)).transpose()?;
        let pool = Pool::new(urls, &self.transport, Credentials { authorization: secret, trace: self.trace })?;
        Ok(Client::assemble(Arc::new(pool), Arc::new(BudgetLeft::new(self.retry_budget)), self.settings))
    }
}

/// The endpoint with its scheme.
fn url(endpoint: &str) -> Result<String, Error> {
    let text = endpoint.trim();
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let expected = || unusable("endpoint", endpoint, "expected http://HOST:PORT or https://HOST:PORT");
    let uri: Uri = text.parse().map_err(|_| expected())?;
    let scheme_known = matches!(uri.scheme_str(), Some("http" | "https"));
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    // A user name and password in a URL would appear in logs; there are options for credentials.
    let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    if scheme_known && has_host && plain { Ok(text.trim_end_matches('/').to_owned()) } else { Err(expected()) }
}

fn secret(name: &'static str, value: &str) -> Result<(&'static str, MetadataValue<Ascii>), Error> {
    let mut value = MetadataValue::try_from(value)
        .map_err(|_| unusable(name, "", "it has characters that a header cannot carry"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_urls_or_host_and_port() {
        let check = |endpoint: &str, expected: Option<&str>| {
            assert_eq!(url(endpoint).ok().as_deref(), expected, "{endpoint}");
        };
        check("127.0.0.1:50051", Some("http://127.0.0.1:50051"));
        check(" https://crossmarket:443/ ", Some("https://crossmarket:443"));
        check("[::1]:50051", Some("http://[::1]:50051"));
        for bad in ["", "http://", "ftp://a", "not a host", "http://user:password@host:1"] {
            check(bad, None);
        }
    }

    #[test]
    fn secrets_that_no_header_can_carry_are_refused_without_being_shown() {
        let error = Client::builder().endpoint("a:1").api_key("se\ncret").build().expect_err("a line break");
        assert!(!error.to_string().contains("se"), "{error}");
    }

    #[test]
    fn certificates_that_are_none_are_refused() {
        let tls = Tls::default().authority("no certificate").identity("none", "none");
        assert!(!format!("{tls:?}").contains("none"));
        let built = Client::builder().endpoint("https://a:1").tls(tls).build();
        assert!(matches!(built, Err(Error::Unusable { .. })), "{built:?}");
    }
}
