//! The endpoints of a client: one connection each, used in turn, and skipped for a time after failures.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crossmarket_backoff::Backoff;

use super::error::{Error, unusable};
use super::tls::Tls;

/// How long an endpoint is skipped after a failure.
const BACKOFF: Backoff = Backoff::between(Duration::from_millis(100), SHUNNED_MAX);

/// The longest time that an endpoint is skipped, whatever delay it requested.
const SHUNNED_MAX: Duration = Duration::from_secs(5);

/// While one call probes a failed endpoint, others skip it for this long.
const PROBE_TIME: Duration = Duration::from_secs(1);

/// The connection to one endpoint with the client's credentials, for the generated tonic clients.
pub type Connection = InterceptedService<Channel, Credentials>;

/// Adds the client's key or token, and the trace context, to the metadata of each request.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    pub(super) authorization: Option<(&'static str, MetadataValue<Ascii>)>,
    pub(super) trace: Option<TraceSource>,
}

/// Returns the trace context of a request.
#[derive(Clone)]
pub(super) struct TraceSource(pub(super) Arc<dyn Fn() -> Option<TraceHeaders> + Send + Sync>);

impl std::fmt::Debug for TraceSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TraceSource")
    }
}

/// The headers of [W3C Trace Context](https://www.w3.org/TR/trace-context/).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceHeaders {
    /// `traceparent`: the trace, the calling span, and whether it is recorded.
    pub traceparent: String,
    /// `tracestate`, if there is any.
    pub tracestate: Option<String>,
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some((name, value)) = &self.authorization {
            request.metadata_mut().insert(*name, value.clone());
        }
        // An invalid header must not fail the call.
        if let Some(TraceHeaders { traceparent, tracestate }) = self.trace.as_ref().and_then(|trace| (trace.0)())
            && let Ok(traceparent) = MetadataValue::try_from(traceparent)
        {
            request.metadata_mut().insert("traceparent", traceparent);
            if let Some(tracestate) = tracestate.and_then(|state| MetadataValue::try_from(state).ok()) {
                request.metadata_mut().insert("tracestate", tracestate);
            }
        }
        Ok(request)
    }
}

/// The health of an endpoint, as observed by this client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointHealth {
    /// The endpoint's URL.
    pub endpoint: String,
    /// The number of consecutive failures.
    pub failures_in_a_row: u32,
    /// Whether it is skipped at the moment if there is another.
    pub shunned: bool,
}

/// Options of connections.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    pub(super) connect_timeout: Duration,
    pub(super) keep_alive_interval: Duration,
    pub(super) keep_alive_timeout: Duration,
    pub(super) tls: Tls,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            keep_alive_interval: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(5),
            tls: Tls::default(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Pool {
    members: Vec<Member>,
    next: AtomicUsize,
    credentials: Credentials,
}

#[derive(Debug)]
struct Member {
    url: String,
    endpoint: Endpoint,
    /// Created at the first use, because it needs a runtime, while building a client does not.
    channel: OnceLock<Channel>,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    failures_in_a_row: u32,
    shunned_until: Option<Instant>,
}

/// The endpoint for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picked {
    /// Its index.
    pub(super) index: usize,
    /// False when all endpoints failed recently: pause before using it.
    pub(super) is_well: bool,
}

impl Pool {
    pub(super) fn new(urls: Vec<String>, transport: &Transport, credentials: Credentials) -> Result<Self, Error> {
        let members = urls.into_iter().map(|url| Member::new(url, transport)).collect::<Result<Vec<_>, Error>>()?;
        // A random start, so that clients that start together do not all use the first endpoint.
        let next = AtomicUsize::new(rand::rng().random_range(0..members.len().max(1)));
        Ok(Self { members, next, credentials })
    }

    /// The next healthy endpoint, in turn; otherwise the one that has been skipped for the longest time. Not `except` if there is another.
    pub(super) fn pick(&self, except: Option<usize>) -> Picked {
        let count = self.members.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let mut fallback: Option<(bool, Instant, usize)> = None;
        for index in (0..count).map(|step| first.wrapping_add(step) % count) {
            let mut health = self.health(index);
            let shunned_until = health.shunned_until.filter(|until| *until > now);
            if shunned_until.is_none() && except != Some(index) {
                if health.failures_in_a_row > 0 {
                    health.shunned_until = Some(now + PROBE_TIME);
                }
                return Picked { index, is_well: true };
            }
            let candidate = (except == Some(index), shunned_until.unwrap_or(now), index);
            fallback = Some(fallback.map_or(candidate, |best| best.min(candidate)));
        }
        Picked { index: fallback.map_or(0, |(_, _, index)| index), is_well: false }
    }

    /// The connection to an endpoint.
    pub(super) fn connection(&self, index: usize) -> Connection {
        let member = &self.members[index];
        let channel = member.channel.get_or_init(|| member.endpoint.connect_lazy()).clone();
        InterceptedService::new(channel, self.credentials.clone())
    }

    /// Records an answer.
    pub(super) fn succeeded(&self, index: usize) {
        *self.health(index) = Health::default();
    }

    /// Records a failure; the endpoint is skipped for a time, or for `retry_delay` if it requested that.
    pub(super) fn failed(&self, index: usize, retry_delay: Option<Duration>) {
        let mut health = self.health(index);
        let shunned = shunned_for(health.failures_in_a_row, retry_delay);
        health.failures_in_a_row = health.failures_in_a_row.saturating_add(1);
        health.shunned_until = Some(Instant::now() + shunned);
    }

    pub(super) fn url(&self, index: usize) -> &str {
        &self.members[index].url
    }

    /// The URLs of all endpoints, separated by commas.
    pub(super) fn urls(&self) -> String {
        self.members.iter().map(|member| member.url.as_str()).collect::<Vec<_>>().join(",")
    }

    pub(super) fn has_several(&self) -> bool {
        self.members.len() > 1
    }

    pub(super) fn endpoints(&self) -> Vec<EndpointHealth> {
        let now = Instant::now();
        let health = |(index, member): (usize, &Member)| {
            let health = self.health(index);
            EndpointHealth {
                endpoint: member.url.clone(),
                failures_in_a_row: health.failures_in_a_row,
                shunned: health.shunned_until.is_some_and(|until| until > now),
            }
        };
        self.members.iter().enumerate().map(health).collect()
    }

    fn health(&self, index: usize) -> std::sync::MutexGuard<'_, Health> {
        self.members[index].health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    fn new(url: String, transport: &Transport) -> Result<Self, Error> {
        let expected = |_| unusable("endpoint", &url, "expected http://HOST:PORT or https://HOST:PORT");
        // Unanswered pings reveal a dead peer before the next call has to wait for it.
        let mut endpoint = Endpoint::from_shared(url.clone())
            .map_err(expected)?
            .connect_timeout(transport.connect_timeout)
            .http2_keep_alive_interval(transport.keep_alive_interval)
            .keep_alive_timeout(transport.keep_alive_timeout)
            .keep_alive_while_idle(true);
        if url.starts_with("https://") {
            let refused = |_| unusable("tls", "", "a certificate or key is not PEM, or they do not belong together");
            endpoint = endpoint.tls_config(transport.tls.config()).map_err(refused)?;
        }
        Ok(Self { url, endpoint, channel: OnceLock::new(), health: Mutex::default() })
    }
}

/// How long an endpoint is passed over after `failures_before` failures in a row before this one.
fn shunned_for(failures_before: u32, retry_delay: Option<Duration>) -> Duration {
    BACKOFF.pause(failures_before).max(retry_delay.unwrap_or_default()).min(SHUNNED_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest first pause.
    const BACKOFF_FIRST_MAX: Duration = Duration::from_millis(200);

    fn pool(count: usize) -> Pool {
        let urls = (0..count).map(|index| format!("http://127.0.0.1:{}", index + 1)).collect();
        let pool = Pool::new(urls, &Transport::default(), Credentials::default()).expect("valid");
        pool.next.store(0, Ordering::Relaxed);
        pool
    }

    fn picks(pool: &Pool, count: usize) -> Vec<usize> {
        (0..count).map(|_| pool.pick(None).index).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_dead_are_passed_over_and_tried_again_by_one() {
        let pool = pool(3);
        assert_eq!(picks(&pool, 4), [0, 1, 2, 0]);
        pool.failed(1, None);
        assert!(!picks(&pool, 6).contains(&1));
        tokio::time::advance(BACKOFF_FIRST_MAX).await;
        let later = picks(&pool, 9);
        assert_eq!(later.iter().filter(|index| **index == 1).count(), 1, "one call tries it: {later:?}");
        pool.succeeded(1);
        assert_eq!(picks(&pool, 6).iter().filter(|index| **index == 1).count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn with_nobody_well_the_longest_alone_is_taken_after_a_pause() {
        let pool = pool(2);
        pool.failed(0, Some(Duration::from_secs(2)));
        pool.failed(1, Some(Duration::from_secs(4)));
        assert_eq!(pool.pick(None), Picked { index: 0, is_well: false });
        assert_eq!(pool.pick(Some(0)), Picked { index: 1, is_well: false }, "another than the one that just failed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_endpoint_is_always_taken() {
        let pool = pool(1);
        assert_eq!(pool.pick(Some(0)), Picked { index: 0, is_well: false });
        assert_eq!(pool.pick(None), Picked { index: 0, is_well: true });
    }

    #[test]
    fn the_time_alone_grows_to_a_limit() {
        assert!((Duration::from_millis(100)..=BACKOFF_FIRST_MAX).contains(&shunned_for(0, None)));
        assert!((BACKOFF_FIRST_MAX * 2..=BACKOFF_FIRST_MAX * 4).contains(&shunned_for(2, None)));
        assert_eq!(shunned_for(0, Some(Duration::from_secs(1))), Duration::from_secs(1));
        assert_eq!(shunned_for(u32::MAX, Some(Duration::from_secs(3_600))), SHUNNED_MAX);
    }
}
