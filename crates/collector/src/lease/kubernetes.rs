//! Leases in Kubernetes: one Lease object for each shard, `NAME-SHARD`, which must be there. Only `get` and `update` of these objects are needed.
//!
//! The object says who leads and for how long; the epoch is the store's as ever, so that its fence does not depend on another system. An update
//! carries the version that it was made from, and Kubernetes refuses it when somebody was faster. As among Kubernetes' own controllers no clocks are
//! compared: whoever waits counts the lease's life from the moment at which it first saw the object's version.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::{Value, json};
use smol_str::SmolStr;
use tokio::time::Instant;

use super::Leases;
use crate::fetch::{FetchSetupError, body_of, check_address};
use crossmarket_clock::Clock;
use crossmarket_domain::Timestamp;
use crossmarket_store::{Lease, LeaseClaim, ShardId, Store, StoreError};

/// How often a standby looks, at least and at most. Every look is a request to the cluster's API server.
const LOOK_INTERVAL: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(1));

/// Between two claims that had no answer, of the API server or of the store.
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Time for one request at most. One that renews has an eighth of the lease's life, so that there is time for others before work must stop.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// And at least.
const REQUEST_TIMEOUT_MIN: Duration = Duration::from_millis(200);

/// Longest answer. A Lease has less than a kilobyte, unless somebody hangs notes on it.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Longest part of a refusal's message that is told.
const MESSAGE_LEN_MAX: usize = 300;

/// Where the Lease objects are, and with what they are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesOptions {
    /// The API server: `https://HOST:PORT`, or http on loopback.
    pub api_url: String,
    /// A directory with `token`, `ca.crt` and `namespace`, as a pod has of its service account. What is in it may be renewed at any time.
    pub credentials_dir: PathBuf,
    /// Where the objects are; `None` for the namespace in that directory.
    pub namespace: Option<String>,
    /// What their names begin with, before `-SHARD`.
    pub name: String,
}

/// Keeps leases in Kubernetes, and epochs in the store.
pub struct KubernetesLeases {
    options: KubernetesOptions,
    store: Arc<dyn Store>,
    clock: Clock,
    /// Made anew after a failure, since the authority of the cluster may have been renewed.
    client: Mutex<Option<Client>>,
    seen: Mutex<HashMap<ShardId, Seen>>,
}

/// An object as it was last seen.
#[derive(Clone)]
struct Seen {
    object: LeaseObject,
    /// When this version was first seen.
    since: Instant,
}

/// The object as Kubernetes has it, also what is none of ours: an update says everything.
#[derive(Clone, Debug, PartialEq)]
struct LeaseObject(Value);

impl LeaseObject {
    fn version(&self) -> Option<&str> {
        self.0["metadata"]["resourceVersion"].as_str()
    }

    fn holder(&self) -> Option<&str> {
        self.0["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty())
    }

    fn life(&self) -> Duration {
        Duration::from_secs(self.0["spec"]["leaseDurationSeconds"].as_u64().unwrap_or(0))
    }

    fn transitions(&self) -> u64 {
        self.0["spec"]["leaseTransitions"].as_u64().unwrap_or(0)
    }

    /// The object when a holder claims it, or keeps it.
    fn held_by(&self, holder: &str, life: Duration, now: Timestamp) -> Self {
        let anew = self.holder() != Some(holder);
        let mut next = self.clone();
        let spec = next.spec();
        spec["holderIdentity"] = json!(holder);
        // Whole seconds, and never less than the holder goes by.
        spec["leaseDurationSeconds"] = json!(life.as_millis().div_ceil(1_000));
        spec["renewTime"] = json!(micro_time(now));
        if anew {
            spec["acquireTime"] = json!(micro_time(now));
            spec["leaseTransitions"] = json!(self.transitions() + 1);
        }
        next
    }

    /// The object when it is given back.
    fn given_back(&self, now: Timestamp) -> Self {
        let mut next = self.clone();
        let spec = next.spec();
        spec["holderIdentity"] = json!("");
        spec["leaseDurationSeconds"] = json!(1);
        spec["renewTime"] = json!(micro_time(now));
        next
    }

    fn spec(&mut self) -> &mut Value {
        let spec = &mut self.0["spec"];
        if !spec.is_object() {
            *spec = json!({});
        }
        spec
    }
}

/// A time as Kubernetes wants it, with exactly six digits of the second.
fn micro_time(time: Timestamp) -> String {
    format!("{}Z", time.civil().strftime("%Y-%m-%dT%H:%M:%S.%6f"))
}

impl KubernetesLeases {
    /// Leases at these objects, for a shared store. Nothing is asked yet.
    pub fn new(options: KubernetesOptions, store: Arc<dyn Store>, clock: Clock) -> Result<Self, FetchSetupError> {
        check_address(&options.api_url, "http", "https")?;
        Ok(Self { options, store, clock, client: Mutex::default(), seen: Mutex::default() })
    }

    async fn get(&self, shard: ShardId, timeout: Duration) -> Result<Seen, StoreError> {
        match self.request(Method::GET, shard, None, timeout).await? {
            Some(object) => Ok(self.note(shard, object)),
            None => Err(StoreError::Unavailable("kubernetes: a conflict where nothing was written".to_owned())),
        }
    }

    /// Writes the object, unless it is not the version any more that it was made from.
    async fn update(
        &self,
        shard: ShardId,
        object: &LeaseObject,
        timeout: Duration,
    ) -> Result<Option<Seen>, StoreError> {
        let written = self.request(Method::PUT, shard, Some(object), timeout).await?;
        Ok(written.map(|object| self.note(shard, object)))
    }

    fn note(&self, shard: ShardId, object: LeaseObject) -> Seen {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.get(&shard).filter(|before| before.object.version() == object.version());
        let since = before.map_or_else(Instant::now, |before| before.since);
        let now_seen = Seen { object, since };
        seen.insert(shard, now_seen.clone());
        now_seen
    }

    fn last_seen(&self, shard: ShardId) -> Option<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&shard).cloned()
    }

    /// One request; `None` when the object is not the version any more that the caller had.
    async fn request(
        &self,
        method: Method,
        shard: ShardId,
        body: Option<&LeaseObject>,
        timeout: Duration,
    ) -> Result<Option<LeaseObject>, StoreError> {
        let name = format!("{}-{shard}", self.options.name);
        let failed = |what: String| StoreError::Unavailable(format!("kubernetes: lease {name}: {what}"));
        // A connection that did not answer is not asked again, also when it is the caller who waits no longer.
        let client = DropUnlessAnswered { slot: &self.client, answered: false };
        let sent = tokio::time::timeout(timeout, self.send(method, &name, body)).await;
        let (status, text) = sent.unwrap_or_else(|_| Err("no answer in time".to_owned())).map_err(failed)?;
        client.answered();
        if status == StatusCode::CONFLICT {
            return Ok(None);
        }
        let value: Value = serde_json::from_slice(&text).unwrap_or_default();
        if !status.is_success() {
            let message: String = value["message"].as_str().unwrap_or_default().chars().take(MESSAGE_LEN_MAX).collect();
            return Err(failed(format!("status {}: {message}", status.as_u16())));
        }
        let object = LeaseObject(value);
        if object.version().is_none() {
            return Err(failed("the answer is no Lease".to_owned()));
        }
        Ok(Some(object))
    }

    async fn send(
        &self,
        method: Method,
        name: &str,
        body: Option<&LeaseObject>,
    ) -> Result<(StatusCode, bytes::Bytes), String> {
        let token = self.credential("token").await?;
        let namespace = match &self.options.namespace {
            Some(namespace) => namespace.clone(),
            None => self.credential("namespace").await?,
        };
        let base = self.options.api_url.trim_end_matches('/');
        let url = format!("{base}/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}");
        let client = self.client().await?;
        let mut request = client.request(method, url).bearer_auth(token).header(ACCEPT, "application/json");
        if let Some(object) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(object.0.to_string());
        }
        // The error's own text has the address, which is no secret here, and nothing of the headers.
        let mut answer = request.send().await.map_err(|error| format!("cannot be asked: {}", causes(&error)))?;
        match body_of(&mut answer, ANSWER_BYTES_MAX).await {
            Ok(Some(body)) => Ok((answer.status(), body)),
            Ok(None) => Err(format!("an answer of more than {ANSWER_BYTES_MAX} bytes")),
            Err(error) => Err(format!("the answer broke off: {}", causes(&error))),
        }
    }

    async fn client(&self) -> Result<Client, String> {
        if let Some(client) = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(client);
        }
        let mut builder =
            Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().connect_timeout(REQUEST_TIMEOUT);
        if self.options.api_url.starts_with("https:") {
            let authority = self.credential("ca.crt").await?;
            let certificates = Certificate::from_pem_bundle(authority.as_bytes()).unwrap_or_default();
            if certificates.is_empty() {
                return Err("ca.crt holds no certificate".to_owned());
            }
            builder = builder.tls_certs_only(certificates);
        }
        let client = builder.build().map_err(|error| causes(&error))?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client)
    }

    /// A file of the service account, read anew each time: tokens are renewed within the hour.
    async fn credential(&self, name: &str) -> Result<String, String> {
        let path = self.options.credentials_dir.join(name);
        let text = tokio::fs::read_to_string(&path).await.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(text.trim().to_owned())
    }

    /// Writes that the lease is free, if it is still this holder's.
    async fn give_back(&self, shard: ShardId, holder: &str) -> Result<(), StoreError> {
        let Some(seen) = self.last_seen(shard).filter(|seen| seen.object.holder() == Some(holder)) else {
            return Ok(());
        };
        self.update(shard, &seen.object.given_back(self.clock.now()), REQUEST_TIMEOUT).await.map(|_| ())
    }
}

/// Drops the client, and with it its connections, unless there was an answer.
struct DropUnlessAnswered<'a> {
    slot: &'a Mutex<Option<Client>>,
    answered: bool,
}

impl DropUnlessAnswered<'_> {
    fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for DropUnlessAnswered<'_> {
    fn drop(&mut self) {
        if !self.answered {
            *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

/// An error with what it comes from.
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[async_trait]
impl Leases for KubernetesLeases {
    async fn acquire(
        &self,
        shard: ShardId,
        holder: &str,
        life: Duration,
        now: Timestamp,
    ) -> Result<LeaseClaim, StoreError> {
        let seen = self.get(shard, REQUEST_TIMEOUT).await?;
        if let Some(other) = seen.object.holder().filter(|other| *other != holder) {
            let remaining = seen.object.life().saturating_sub(seen.since.elapsed());
            if !remaining.is_zero() {
                return Ok(LeaseClaim::Held { holder: SmolStr::new(other), remaining });
            }
        }
        let since = Instant::now();
        let claimed = seen.object.held_by(holder, life, now);
        let Some(_) = self.update(shard, &claimed, REQUEST_TIMEOUT).await? else {
            return Ok(LeaseClaim::Held { holder: SmolStr::new_static("whoever was faster"), remaining: life });
        };
        match self.store.open_writer(shard, now).await {
            Ok((epoch, revision)) => {
                Ok(LeaseClaim::Granted(Lease { shard, holder: SmolStr::new(holder), epoch, revision, life, since }))
            }
            Err(error) => {
                // Another may reach the store. Without an answer the lease runs out by itself.
                let _ = self.give_back(shard, holder).await;
                Err(error)
            }
        }
    }

    async fn renew(&self, lease: &Lease) -> Result<Lease, StoreError> {
        let timeout = (lease.life / 8).clamp(REQUEST_TIMEOUT_MIN, REQUEST_TIMEOUT);
        let mut seen = match self.last_seen(lease.shard) {
            Some(seen) if seen.object.holder() == Some(lease.holder.as_str()) => seen,
            _ => self.get(lease.shard, timeout).await?,
        };
        // Of an earlier request the answer may have been lost, or somebody wrote a note on the object: then the second attempt finds it so.
        for _ in 0..2 {
            if seen.object.holder() != Some(lease.holder.as_str()) {
                break;
            }
            let since = Instant::now();
            let renewed = seen.object.held_by(&lease.holder, lease.life, self.clock.now());
            if self.update(lease.shard, &renewed, timeout).await?.is_some() {
                return Ok(Lease { since, ..lease.clone() });
            }
            seen = self.get(lease.shard, timeout).await?;
        }
        Err(StoreError::LeaseLost { shard: lease.shard, holder: seen.object.holder().map(SmolStr::new) })
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.give_back(lease.shard, &lease.holder).await
    }

    fn look_interval(&self) -> (Duration, Duration) {
        LOOK_INTERVAL
    }

    fn retry_wait(&self) -> (Duration, Duration) {
        RETRY_WAIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> LeaseObject {
        LeaseObject(serde_json::from_str(text).expect("JSON"))
    }

    #[test]
    fn an_update_keeps_what_is_not_ours() {
        let made_by_the_chart =
            object(r#"{"metadata": {"name": "cm-0", "resourceVersion": "7", "labels": {"app": "cm"}}}"#);
        let now = Timestamp::parse("2026-01-15T12:00:00Z").expect("a time");
        let held = made_by_the_chart.held_by("one", Duration::from_millis(2_500), now);
        assert_eq!((held.holder(), held.life(), held.transitions()), (Some("one"), Duration::from_secs(3), 1));
        assert_eq!(held.0["metadata"], made_by_the_chart.0["metadata"]);
        assert_eq!(held.0["spec"]["acquireTime"], "2026-01-15T12:00:00.000000Z");
        let later = Timestamp::from_micros(now.as_micros() + 1_500_001);
        let kept = held.held_by("one", Duration::from_millis(2_500), later);
        assert_eq!((kept.transitions(), &kept.0["spec"]["acquireTime"]), (1, &held.0["spec"]["acquireTime"]));
        assert_eq!(kept.0["spec"]["renewTime"], "2026-01-15T12:00:01.500001Z");
        let free = kept.given_back(later);
        assert_eq!((free.holder(), free.transitions()), (None, 1));
        assert_eq!(free.held_by("two", Duration::from_secs(2), later).transitions(), 2);
    }
}
