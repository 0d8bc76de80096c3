//! The layer in front of every service: no request reaches a service before the caller is identified and its scope
//! checked.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tonic::Status;
use tower::{Layer, Service};

use super::client::{Caller, ClientSettings, Clients};
use super::method::{self, Access, Methods};
use super::peer::Peer;
use super::quota::{Permit, Quotas};
use super::refusal::{Refusal, Refusals};
use super::token::Tokens;

/// Decides about every call. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard {
    methods: Arc<Methods>,
    clients: Arc<Clients>,
}

impl Guard {
    /// Admits everybody to everything; `quotas` apply to each address.
    pub fn open(quotas: Quotas) -> Self {
        Self { methods: Arc::new(Methods::new()), clients: Arc::new(Clients::new(false, Vec::new(), None, quotas)) }
    }

    /// Admits these clients, and bearers of tokens, to what their scopes allow. `quotas` apply to each token subject.
    pub fn closed(clients: Vec<ClientSettings>, tokens: Option<Arc<Tokens>>, quotas: Quotas) -> Self {
        Self { methods: Arc::new(Methods::new()), clients: Arc::new(Clients::new(true, clients, tokens, quotas)) }
    }

    /// Replaces the clients. Admitted calls and streams continue.
    pub(crate) fn replace_clients(&self, clients: Vec<ClientSettings>) {
        self.clients.replace(clients);
    }

    /// The numbers of refused calls.
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.clients.refusals
    }

    /// True when a call has no credentials although they are required. Nothing is verified.
    pub(crate) fn is_stranger<B>(&self, request: &Request<B>) -> bool {
        self.clients.is_stranger(request.headers(), request.extensions().get::<Peer>())
    }

    /// Decides about a call. A stream gets a permit.
    fn admit<B>(&self, request: &Request<B>) -> Result<(Option<Caller>, Option<Permit>), Refusal> {
        let path = request.uri().path();
        let access = method::access(path);
        let (now, peer) = (Instant::now(), request.extensions().get::<Peer>());
        if access == Access::Open {
            // A probe is one call; streams stay open, and nothing else limits them.
            let is_streaming = self.methods.is_streaming(path);
            let permit = is_streaming.then(|| self.clients.usage_of_address(peer, now).stream()).transpose()?;
            return Ok((None, permit));
        }
        let caller = self.clients.identify(request.headers(), peer, now)?;
        if let Access::AnyOf(scopes) = access
            && !caller.has_any_of(scopes)
        {
            return Err(Refusal::Scope);
        }
        caller.usage().call(now)?;
        let permit = if self.methods.is_streaming(path) { Some(caller.usage().stream()?) } else { None };
        Ok((Some(caller), permit))
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded { guard: self.clone(), inner }
    }
}

/// A service behind a guard.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.guard.admit(&request) {
            Ok((caller, permit)) => {
                if let Some(caller) = caller {
                    request.extensions_mut().insert(caller);
                }
                let answer = self.inner.call(request);
                match permit {
                    None => Box::pin(answer),
                    Some(permit) => Box::pin(async move {
                        Ok(answer.await?.map(|body| Body::new(StreamBody { body, _permit: permit })))
                    }),
                }
            }
            Err(refusal) => {
                self.guard.clients.refusals.count(refusal);
                Box::pin(std::future::ready(Ok(Status::from(refusal).into_http())))
            }
        }
    }
}

/// The body of a stream, which holds the stream's permit until it ends or is dropped.
struct StreamBody {
    body: Body,
    _permit: Permit,
}

impl HttpBody for StreamBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::scope::{Scope, Scopes};
    use crate::security::{KeyEntry, KeyHash};

    const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";
    const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

    fn request(path: &str, address: &str, key: Option<&str>) -> Request<()> {
        let mut request = Request::builder().uri(path);
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        let address = Some(format!("{address}:1").parse().expect("an address"));
        request.extension(Peer { address, certificate_names: Arc::default() }).body(()).expect("a request")
    }

    fn closed(quotas: Quotas) -> Guard {
        let client = ClientSettings {
            name: "trading".to_owned(),
            keys: vec![KeyEntry { hash: KeyHash::of(b"key"), end: None }],
            certificate_names: Vec::new(),
            scopes: Scopes::of(&[Scope::Reflection]),
            quotas,
        };
        Guard::closed(vec![client], None, quotas)
    }

    #[test]
    fn streams_of_health_and_reflection_need_permits() {
        let quotas = Quotas { streams_max: Some(1), ..Quotas::default() };
        for guard in [Guard::open(quotas), closed(quotas)] {
            let admit =
                |path: &str, address: &str| guard.admit(&request(path, address, Some("key"))).map(|(_, permit)| permit);
            let watch = admit(HEALTH_WATCH, "192.0.2.1").expect("the first");
            assert!(watch.is_some());
            assert_eq!(admit(HEALTH_WATCH, "192.0.2.1").expect_err("the second"), Refusal::Streams);
            assert!(admit(HEALTH_WATCH, "192.0.2.2").is_ok(), "another address");
            assert!(admit("/grpc.health.v1.Health/Check", "192.0.2.1").expect("a probe").is_none());
            drop(watch);
            assert!(admit(HEALTH_WATCH, "192.0.2.1").is_ok());
            let _asking = admit(REFLECTION, "192.0.2.1").expect("the first").expect("a permit");
            assert_eq!(admit(REFLECTION, "192.0.2.1").expect_err("the second"), Refusal::Streams);
        }
    }

    #[test]
    fn a_call_without_required_credentials_is_a_stranger() {
        let guard = closed(Quotas::default());
        assert!(guard.is_stranger(&request(HEALTH_WATCH, "192.0.2.1", None)));
        assert!(!guard.is_stranger(&request(HEALTH_WATCH, "192.0.2.1", Some("key"))));
        assert!(!Guard::open(Quotas::default()).is_stranger(&request(HEALTH_WATCH, "192.0.2.1", None)));
    }
}
