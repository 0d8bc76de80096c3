//! The pool of connections to Redis.
//!
//! A connection is lent to one request at a time, so a late answer affects nobody else and a waiting `XREAD` blocks nothing. Anything suspicious
//! (no answer in time, a closed socket, a server that is read-only or moved) drops every connection and all knowledge of the servers: the next
//! request looks for the master again. A half-open connection therefore costs one response timeout. While no server can be reached, requests fail
//! immediately until the jittered back-off is over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crossmarket_backoff::Backoff;

use super::address::Endpoint;
use super::connection::{Identity, RESPONSE_TIMEOUT, connect, identify};
use super::route::{self, Routes};
use crate::error::StoreError;

/// Least speed at which bytes are taken to pass.
const BYTES_PER_SECOND_MIN: u64 = 10 << 20;

/// A request that may take longer than this is sent after a `PING`: a dead connection must not cost its whole time.
const UNCHECKED_MAX: Duration = Duration::from_secs(2);

/// Connections at the same time; more requests wait.
const CONNECTIONS_MAX: usize = 64;

/// Connections kept for later, for each server.
const IDLE_MAX: usize = 8;

/// After a failed connection.
const BACKOFF: Backoff = Backoff::between(Duration::from_millis(10), Duration::from_millis(500));

/// How a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was not carried out, and may work next time.
    NotDone(String),
    /// Nobody knows whether it was carried out.
    Unknown(String),
    /// Redis refuses it; the next time will be no better.
    Refused(String),
    /// The script is not there; it was not carried out.
    NoScript,
}

impl Failure {
    /// The caller's error.
    pub(super) fn into_error(self) -> StoreError {
        match self {
            Self::NotDone(text) | Self::Unknown(text) | Self::Refused(text) => StoreError::Unavailable(text),
            Self::NoScript => StoreError::Unavailable("redis does not keep scripts".to_owned()),
        }
    }
}

/// All connections of a store.
pub(super) struct Pool {
    endpoint: Endpoint,
    certificates: Option<Vec<u8>>,
    permits: Arc<Semaphore>,
    state: Mutex<State>,
    /// One search for servers at a time.
    finding: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    routes: Option<Routes>,
    idle: HashMap<String, Vec<Connection>>,
    /// Rises with every reset; connections of an earlier generation are not kept.
    generation: u64,
    failures: u32,
    not_before: Option<Instant>,
    last_failure: String,
}

struct Connection {
    inner: MultiplexedConnection,
    identity: Identity,
    address: String,
    generation: u64,
}

/// A connection, lent. Dropping it closes it; [`Lent::give_back`] keeps it.
pub(super) struct Lent<'p> {
    pool: &'p Pool,
    connection: Connection,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(endpoint: Endpoint, certificates: Option<Vec<u8>>) -> Self {
        Self {
            endpoint,
            certificates,
            permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            state: Mutex::default(),
            finding: tokio::sync::Mutex::default(),
        }
    }

    /// A connection to the server that has a slot.
    pub(super) async fn lend(&self, slot: u16) -> Result<Lent<'_>, Failure> {
        let closed = |_| Failure::NotDone("the store is closed".to_owned());
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(closed)?;
        if let Some(connection) = self.idle(slot) {
            return Ok(Lent { pool: self, connection, _permit: permit });
        }
        let _finding = self.finding.lock().await;
        {
            let state = self.state();
            if state.not_before.is_some_and(|at| Instant::now() < at) {
                return Err(Failure::NotDone(state.last_failure.clone()));
            }
        }
        match self.connect(slot).await {
            Ok(connection) => {
                let mut state = self.state();
                if state.failures > 0 {
                    tracing::info!(address = connection.address, "redis connected again");
                }
                (state.failures, state.not_before) = (0, None);
                Ok(Lent { pool: self, connection, _permit: permit })
            }
            Err(text) => {
                let mut state = self.state();
                state.reset();
                state.not_before = Some(Instant::now() + BACKOFF.pause(state.failures));
                state.failures = state.failures.saturating_add(1);
                state.last_failure.clone_from(&text);
                Err(Failure::NotDone(text))
            }
        }
    }

    /// Runs one command that may be repeated: a broken connection is tried again once, on a new one.
    pub(super) async fn read(&self, slot: u16, command: &Cmd, limit: Duration) -> Result<Value, StoreError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let failure = match self.lend(slot).await {
                Ok(mut lent) => match lent.send_checked(command, limit).await {
                    Ok(value) => {
                        lent.give_back();
                        return Ok(value);
                    }
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            if attempt > 1 || matches!(failure, Failure::Refused(_)) {
                return Err(failure.into_error());
            }
        }
    }

    fn idle(&self, slot: u16) -> Option<Connection> {
        let mut state = self.state();
        let address = state.routes.as_ref()?.address(slot)?.to_owned();
        state.idle.get_mut(&address)?.pop()
    }

    async fn connect(&self, slot: u16) -> Result<Connection, String> {
        let (known, generation) = {
            let state = self.state();
            let info = state.routes.as_ref().and_then(|routes| routes.info(slot));
            (info, state.generation)
        };
        let info = match known {
            Some(info) => info,
            None => {
                let routes = route::find(&self.endpoint, self.certificates.as_deref()).await?;
                let info = routes.info(slot).ok_or("redis cluster: no node has the slot")?;
                self.state().routes = Some(routes);
                info
            }
        };
        let address = info.addr().to_string();
        let inner =
            connect(info, self.certificates.as_deref()).await.map_err(|text| format!("redis {address}: {text}"))?;
        let identity = identify(&inner).await.map_err(|text| format!("redis {address}: {text}"))?;
        Ok(Connection { inner, identity, address, generation })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn reset(&mut self) {
        self.generation += 1;
        self.idle.clear();
        self.routes = None;
    }
}

impl Lent<'_> {
    /// Which server it leads to.
    pub(super) fn identity(&self) -> &Identity {
        &self.connection.identity
    }

    /// Sends a command and waits for the answer: `limit` and the time that its own bytes take.
    pub(super) async fn send(&mut self, command: &Cmd, limit: Duration) -> Result<Value, Failure> {
        let bytes: u64 = command
            .args_iter()
            .map(|arg| if let redis::Arg::Simple(bytes) = arg { bytes.len() as u64 } else { 0 })
            .sum();
        let limit = limit + Duration::from_millis(1_000 * bytes / BYTES_PER_SECOND_MIN);
        let answer = match tokio::time::timeout(limit, self.connection.inner.send_packed_command(command)).await {
            Ok(Ok(value)) => value.extract_error(),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                return Err(
                    self.broken(Failure::Unknown(format!("redis {}: no answer in {limit:?}", self.connection.address)))
                );
            }
        };
        answer.map_err(|error| self.failed(&error))
    }

    async fn send_checked(&mut self, command: &Cmd, limit: Duration) -> Result<Value, Failure> {
        if limit > UNCHECKED_MAX {
            self.send(&redis::cmd("PING"), RESPONSE_TIMEOUT).await?;
        }
        self.send(command, limit).await
    }

    /// Keeps the connection for the next request.
    pub(super) fn give_back(self) {
        let mut state = self.pool.state();
        if self.connection.generation == state.generation {
            let idle = state.idle.entry(self.connection.address.clone()).or_default();
            if idle.len() < IDLE_MAX {
                idle.push(self.connection);
            }
        }
    }

    fn failed(&self, error: &RedisError) -> Failure {
        let text = format!("redis {}: {error}", self.connection.address);
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoScript) => Failure::NoScript,
            ErrorKind::Server(
                ServerErrorKind::ReadOnly
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::BusyLoading,
            ) => self.broken(Failure::NotDone(text)),
            // A script that a demoted or full server cut short says so inside its own error. Redis refuses before the first write.
            _ if ["READONLY", "MASTERDOWN", "NOREPLICAS", "MISCONF", "OOM"].iter().any(|word| text.contains(word)) => {
                self.broken(Failure::NotDone(text))
            }
            ErrorKind::Server(_) | ErrorKind::Extension => Failure::Refused(text),
            _ => self.broken(Failure::Unknown(text)),
        }
    }

    /// Drops every connection: where one is dead the others are as well.
    fn broken(&self, failure: Failure) -> Failure {
        let mut state = self.pool.state();
        if self.connection.generation == state.generation {
            state.reset();
        }
        failure
    }
}
