//! Identifies callers: clients of the configuration, subjects of tokens, or addresses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use http::HeaderMap;

use super::key::{KEY_LEN_MAX, KeyEntry, KeyHash};
use super::peer::Peer;
use super::quota::{Permit, Quotas, Usage, Usages};
use super::refusal::{Refusal, Refusals};
#[cfg(test)]
use super::scope::Scope;
use super::scope::Scopes;
use super::token::Tokens;
use crossmarket_clock::Clock;

/// The request metadata that carries an API key.
const API_KEY_HEADER: &str = "x-api-key";

/// The maximum number of addresses, and of token subjects, whose usage is tracked.
const STRANGERS_MAX: usize = 10_000;

/// A client of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    pub name: String,
    pub keys: Vec<KeyEntry>,
    /// DNS names and URIs of certificates that identify it, with mutual TLS.
    pub certificate_names: Vec<String>,
    pub scopes: Scopes,
    pub quotas: Quotas,
}

/// An admitted caller, in the extensions of its request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    scopes: Scopes,
    usage: Arc<Usage>,
    refusals: Arc<Refusals>,
}

impl Caller {
    /// True when the caller's scopes include this one.
    #[cfg(test)]
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }

    /// A permit for one more subscription; dropping it releases it.
    ///
    /// # Errors
    ///
    /// When the caller has as many as its quota allows.
    #[allow(dead_code, reason = "SubscriptionService, which is not implemented yet, calls it")]
    pub(crate) fn subscribe(&self) -> Result<Permit, Refusal> {
        self.usage.subscription().inspect_err(|refusal| self.refusals.count(*refusal))
    }

    pub(super) fn has_any_of(&self, scopes: Scopes) -> bool {
        self.scopes.has_any_of(scopes)
    }

    pub(super) fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }
}

/// Everything needed to identify callers.
#[derive(Debug)]
pub(super) struct Clients {
    /// When false there is no authentication, and anybody may call anything.
    authentication_required: bool,
    configured: RwLock<Arc<Configured>>,
    tokens: Option<Arc<Tokens>>,
    subjects: Usages<String>,
    addresses: Usages<Option<IpAddr>>,
    pub(super) refusals: Arc<Refusals>,
}

/// The clients of the configuration.
#[derive(Debug, Default)]
struct Configured {
    keys: Vec<(KeyEntry, usize)>,
    certificate_names: Vec<(String, usize)>,
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    name: String,
    scopes: Scopes,
    usage: Arc<Usage>,
}

impl Configured {
    /// A client that existed before with the same quotas keeps its usage.
    fn new(clients: Vec<ClientSettings>, before: &Self, now: Instant) -> Self {
        let used: HashMap<&str, &Arc<Usage>> = before.known.iter().map(|one| (one.name.as_str(), &one.usage)).collect();
        let mut configured = Self::default();
        for (index, client) in clients.into_iter().enumerate() {
            let used = used.get(client.name.as_str()).filter(|usage| usage.quotas() == client.quotas);
            let usage = used.map_or_else(|| Usage::new(client.quotas, now), |usage| Arc::clone(usage));
            configured.keys.extend(client.keys.into_iter().map(|key| (key, index)));
            configured.certificate_names.extend(client.certificate_names.into_iter().map(|name| (name, index)));
            configured.known.push(Known { name: client.name, scopes: client.scopes, usage });
        }
        configured
    }
}

impl Clients {
    /// `quotas` apply to callers that the configuration does not name.
    pub(super) fn new(
        authentication_required: bool,
        clients: Vec<ClientSettings>,
        tokens: Option<Arc<Tokens>>,
        quotas: Quotas,
    ) -> Self {
        let now = Instant::now();
        Self {
            authentication_required,
            configured: RwLock::new(Arc::new(Configured::new(clients, &Configured::default(), now))),
            tokens,
            subjects: Usages::new(quotas, STRANGERS_MAX, now),
            addresses: Usages::new(quotas, STRANGERS_MAX, now),
            refusals: Arc::default(),
        }
    }

    /// Replaces the clients of the configuration. Admitted calls and streams continue.
    pub(super) fn replace(&self, clients: Vec<ClientSettings>) {
        let configured = Configured::new(clients, &self.configured(), Instant::now());
        *self.configured.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(configured);
    }

    fn configured(&self) -> Arc<Configured> {
        Arc::clone(&self.configured.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Identifies the caller. The first kind of credentials present decides: if it is invalid, another kind does not
    /// help.
    pub(super) fn identify(&self, headers: &HeaderMap, peer: Option<&Peer>, now: Instant) -> Result<Caller, Refusal> {
        if !self.authentication_required {
            return Ok(self.caller(Scopes::ALL, self.usage_of_address(peer, now)));
        }
        if let Some(key) = single(headers, API_KEY_HEADER)? {
            return self.by_key(key);
        }
        if let Some(authorization) = single(headers, http::header::AUTHORIZATION.as_str())? {
            let (scheme, token) = authorization.split_at_checked(7).ok_or(Refusal::Invalid)?;
            let tokens = self.tokens.as_ref().filter(|_| scheme.eq_ignore_ascii_case(b"bearer "));
            let bearer = tokens.ok_or(Refusal::Invalid)?.verify(token)?;
            return Ok(self.caller(bearer.scopes, self.subjects.of(bearer.subject, now)));
        }
        let names = peer.map(|peer| &*peer.certificate_names).unwrap_or_default();
        if names.is_empty() {
            return Err(Refusal::Missing);
        }
        let configured = self.configured();
        let named = configured.certificate_names.iter().find(|(name, _)| names.contains(name));
        self.known_caller(&configured, named.ok_or(Refusal::Invalid)?.1)
    }

    /// The usage of an address, for callers that are not authenticated.
    pub(super) fn usage_of_address(&self, peer: Option<&Peer>, now: Instant) -> Arc<Usage> {
        self.addresses.of(peer.and_then(|peer| peer.address).map(|address| network(address.ip())), now)
    }

    /// True when a call needs credentials and has none.
    pub(super) fn is_stranger(&self, headers: &HeaderMap, peer: Option<&Peer>) -> bool {
        self.authentication_required
            && !headers.contains_key(API_KEY_HEADER)
            && !headers.contains_key(http::header::AUTHORIZATION)
            && peer.is_none_or(|peer| peer.certificate_names.is_empty())
    }

    /// Compares with every key, even after a match, so that the time reveals nothing.
    fn by_key(&self, key: &[u8]) -> Result<Caller, Refusal> {
        if key.len() > KEY_LEN_MAX {
            return Err(Refusal::Invalid);
        }
        let hash = KeyHash::of(key);
        let configured = self.configured();
        let matching =
            configured.keys.iter().fold(None, |found, one| if one.0.hash.matches(&hash) { Some(one) } else { found });
        let (entry, index) = matching.ok_or(Refusal::Invalid)?;
        if entry.end.is_some_and(|end| end <= Clock::system().now()) {
            return Err(Refusal::Expired);
        }
        self.known_caller(&configured, *index)
    }

    fn known_caller(&self, configured: &Configured, index: usize) -> Result<Caller, Refusal> {
        let known = configured.known.get(index).ok_or(Refusal::Invalid)?;
        Ok(self.caller(known.scopes, Arc::clone(&known.usage)))
    }

    fn caller(&self, scopes: Scopes, usage: Arc<Usage>) -> Caller {
        Caller { scopes, usage, refusals: Arc::clone(&self.refusals) }
    }
}

/// The value of a header that may occur at most once.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a [u8]>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(|value| value.as_bytes())),
        (_, Some(_)) => Err(Refusal::Invalid),
    }
}

/// The key of one caller: an IPv4 address, or the /64 network of an IPv6 address, because a host can use all of its
/// network.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests;
