//! The client and its unary calls: attempts, pauses, and one deadline over all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Request, Response, Status};

use crossmarket_backoff::Backoff;

use super::budget::BudgetLeft;
use super::error::{Error, is_local, is_timeout, may_pass, retry_delay};
use super::pool::{Connection, EndpointHealth, Pool};

/// Pauses before retries when no endpoint is healthy.
const BACKOFF: Backoff = Backoff::between(Duration::from_millis(10), PAUSE_MAX);

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The client of a crossmarket service with one or more endpoints. Cheap to clone: clones share connections, health and retry budget.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) pool: Arc<Pool>,
    pub(super) settings: Settings,
    budget: Arc<BudgetLeft>,
    tally: Arc<Tally>,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) deadline: Duration,
    pub(super) attempt_timeout: Duration,
    pub(super) attempts_max: u32,
    pub(super) watch_patience: Option<Duration>,
    pub(super) answer_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(3),
            attempts_max: 8,
            watch_patience: None,
            // 1,000 full snapshots with 50 contributions each fit several times.
            answer_bytes_max: 64 << 20,
        }
    }
}

/// Counters of a client, over all its clones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls started, including the opening of streams.
    pub calls: u64,
    /// Retries.
    pub retries: u64,
    /// Calls that ended with an error, including errors that the service returned.
    pub failures: u64,
    /// Streams resumed after an interruption.
    pub streams_resumed: u64,
}

#[derive(Debug, Default)]
struct Tally {
    calls: AtomicU64,
    retries: AtomicU64,
    failures: AtomicU64,
    streams_resumed: AtomicU64,
}

impl Client {
    pub(super) fn assemble(pool: Arc<Pool>, budget: Arc<BudgetLeft>, settings: Settings) -> Self {
        Self { pool, settings, budget, tally: Arc::default() }
    }

    /// The same client with another deadline for its calls.
    ///
    /// ```
    /// # use crossmarket_client::Client;
    /// # let client = Client::new("http://127.0.0.1:50051").expect("an endpoint");
    /// let patient = client.with_deadline(std::time::Duration::from_secs(60));
    /// ```
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        let settings = Settings { deadline, ..self.settings.clone() };
        Self { settings, ..self.clone() }
    }

    /// The health of each endpoint, in the given order.
    pub fn endpoints(&self) -> Vec<EndpointHealth> {
        self.pool.endpoints()
    }

    /// The client's counters.
    pub fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            calls: read(&self.tally.calls),
            retries: read(&self.tally.retries),
            failures: read(&self.tally.failures),
            streams_resumed: read(&self.tally.streams_resumed),
        }
    }

    /// The connection to the next endpoint, for use with a generated client. It does not retry.
    pub fn connection(&self) -> Connection {
        self.pool.connection(self.pool.pick(None).index)
    }

    /// Runs a unary RPC as the typed methods do, and returns the whole answer with its metadata. `attempt` is called once per attempt, with a
    /// connection and the request. The RPC must be safe to repeat, as all RPCs of this API are.
    ///
    /// # Errors
    ///
    /// When no endpoint can be reached, the deadline passes, or the service returns a permanent error.
    ///
    /// ```no_run
    /// use crossmarket_api::v1::GetPriceSnapshotRequest;
    /// use crossmarket_api::v1::price_service_client::PriceServiceClient;
    ///
    /// # async fn example(client: crossmarket_client::Client) -> Result<(), crossmarket_client::Error> {
    /// let request = GetPriceSnapshotRequest { asset: "BTC".to_owned(), ..Default::default() };
    /// let answer = client
    ///     .call(request, |connection, request| async move {
    ///         PriceServiceClient::new(connection).get_price_snapshot(request).await
    ///     })
    ///     .await?;
    /// println!("simulated: {}", answer.metadata().contains_key("crossmarket-simulated"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn call<Q, A, F>(
        &self,
        request: Q,
        attempt: impl Fn(Connection, Request<Q>) -> F + Send + Sync,
    ) -> Result<Response<A>, Error>
    where
        Q: Clone + Send + Sync,
        F: Future<Output = Result<Response<A>, Status>> + Send,
    {
        let deadline = Instant::now() + self.settings.deadline;
        let send = |index: usize| {
            let mut sent = Request::new(request.clone());
            sent.set_timeout(deadline.saturating_duration_since(Instant::now()));
            attempt(self.pool.connection(index), sent)
        };
        self.attempt(deadline, send).await.map(|(_, answer)| answer)
    }

    /// Runs attempts until one is answered. Returns the endpoint and the answer.
    pub(super) async fn attempt<A, F>(
        &self,
        deadline: Instant,
        send: impl Fn(usize) -> F + Send,
    ) -> Result<(usize, A), Error>
    where
        F: Future<Output = Result<A, Status>> + Send,
    {
        count(&self.tally.calls);
        let result = self.attempt_uncounted(deadline, send).await;
        if result.is_err() {
            count(&self.tally.failures);
        }
        result
    }

    async fn attempt_uncounted<A, F>(
        &self,
        deadline: Instant,
        send: impl Fn(usize) -> F + Send,
    ) -> Result<(usize, A), Error>
    where
        F: Future<Output = Result<A, Status>> + Send,
    {
        let mut failed_at = None;
        let mut attempts = 0;
        let mut last: Option<Status> = None;
        loop {
            let picked = self.pool.pick(failed_at);
            if attempts > 0 && !picked.is_well {
                // An endpoint that asked for a delay gets it; another that failed before may have recovered, and is tried carefully.
                let same = failed_at == Some(picked.index);
                let asked_for = last.as_ref().filter(|_| same).and_then(retry_delay).unwrap_or_default();
                let pause = BACKOFF.pause(attempts - 1).max(asked_for.min(PAUSE_MAX));
                if Instant::now() + pause >= deadline {
                    return Err(self.out_of_time(attempts, last));
                }
                sleep(pause).await;
            }
            let attempt_end = match self.pool.has_several() && attempts + 1 < self.settings.attempts_max {
                true => deadline.min(Instant::now() + self.settings.attempt_timeout),
                false => deadline,
            };
            let status = match timeout_at(attempt_end, send(picked.index)).await {
                Ok(Ok(answer)) => {
                    self.pool.succeeded(picked.index);
                    self.budget.deposit();
                    return Ok((picked.index, answer));
                }
                Ok(Err(status)) if is_timeout(&status) => return Err(self.out_of_time(attempts, last)),
                Ok(Err(status)) if may_pass(&status) => status,
                Ok(Err(status)) => {
                    self.pool.succeeded(picked.index);
                    return Err(Error::Status(Box::new(status)));
                }
                Err(_) if Instant::now() >= deadline => return Err(self.out_of_time(attempts, last)),
                Err(_) => Status::unavailable("the attempt took too long"),
            };
            self.pool.failed(picked.index, retry_delay(&status));
            failed_at = Some(picked.index);
            attempts += 1;
            if attempts >= self.settings.attempts_max || !self.budget.withdraw() {
                return Err(self.given_up(attempts, status));
            }
            count(&self.tally.retries);
            last = Some(status);
        }
    }

    pub(super) fn count_resumed(&self) {
        count(&self.tally.streams_resumed);
    }

    fn out_of_time(&self, attempts: u32, last: Option<Status>) -> Error {
        Error::Deadline { deadline: self.settings.deadline, attempts, last: last.map(Box::new) }
    }

    pub(super) fn given_up(&self, attempts: u32, status: Status) -> Error {
        let status = Box::new(status);
        if is_local(&status) {
            Error::Unreachable { endpoints: self.pool.urls(), attempts, status }
        } else {
            Error::Status(status)
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
