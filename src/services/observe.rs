//! One layer around every RPC: counts it, times it when it is unary, and gives it a span when it is traced.
//!
//! It stands inside gRPC-Web's, so that it sees trailers, and outside everything that may refuse a call.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use prost::Message;
use tonic::Code;
use tower::{Layer, Service};
use tracing::Span;
use tracing::field::Empty;

use crate::security::Guard;
use crossmarket_api::FILE_DESCRIPTOR_SET;
use crossmarket_telemetry::metrics;
use crossmarket_telemetry::registry::{Counter, Gauge, Histogram};
use crossmarket_telemetry::trace;

/// The codes' names, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The label of methods that do not exist, since clients may send any name.
const UNKNOWN: &str = "unknown";

/// An RPC as metrics name it.
#[derive(Debug)]
struct Method {
    service: String,
    name: String,
    unary: bool,
    series: OnceLock<MethodMetrics>,
}

/// An RPC's series, there from its first call on.
#[derive(Debug)]
struct MethodMetrics {
    in_flight: Arc<Gauge>,
    duration: Option<Arc<Histogram>>,
    codes: [OnceLock<Arc<Counter>>; CODES.len()],
}

impl Method {
    fn new(service: &str, name: &str, unary: bool) -> Self {
        Self { service: service.to_owned(), name: name.to_owned(), unary, series: OnceLock::new() }
    }

    /// Its full name, as spans have it.
    fn traced_name(&self) -> String {
        if self.name == UNKNOWN { "_OTHER".to_owned() } else { format!("{}/{}", self.service, self.name) }
    }

    fn series(&self) -> &MethodMetrics {
        self.series.get_or_init(|| {
            let labels = [self.service.as_str(), self.name.as_str()];
            MethodMetrics {
                in_flight: metrics::RPC_IN_FLIGHT.with(&labels),
                duration: self.unary.then(|| metrics::RPC_DURATION.with(&labels)),
                codes: [const { OnceLock::new() }; CODES.len()],
            }
        })
    }

    fn count(&self, code: Code) {
        let index = code as usize;
        if let (Some(counter), Some(name)) = (self.series().codes.get(index), CODES.get(index)) {
            let labels = [self.service.as_str(), self.name.as_str(), name];
            counter.get_or_init(|| metrics::RPC_CALLS.with(&labels)).increment();
        }
    }
}

/// Every RPC by its path.
#[derive(Debug)]
struct Methods {
    known: HashMap<String, Arc<Method>>,
    unknown: Arc<Method>,
}

impl Methods {
    fn of(descriptors: &[&[u8]]) -> Self {
        let mut known = HashMap::new();
        for descriptor in descriptors {
            // They are compiled in; a reader of the API's own description refuses them at start.
            let Ok(set) = prost_types::FileDescriptorSet::decode(*descriptor) else { continue };
            for file in &set.file {
                for service in &file.service {
                    let full_name = format!("{}.{}", file.package(), service.name());
                    for method in &service.method {
                        let unary = !method.client_streaming() && !method.server_streaming();
                        let path = format!("/{full_name}/{}", method.name());
                        known.insert(path, Arc::new(Method::new(&full_name, method.name(), unary)));
                    }
                }
            }
        }
        Self { known, unknown: Arc::new(Method::new(UNKNOWN, UNKNOWN, true)) }
    }

    fn find(&self, path: &str) -> &Arc<Method> {
        self.known.get(path).unwrap_or(&self.unknown)
    }
}

/// Makes [`Observe`].
#[derive(Clone, Debug)]
pub(crate) struct ObserveLayer {
    methods: Arc<Methods>,
    guard: Guard,
}

impl ObserveLayer {
    /// Of every service that a listener has, behind a guard.
    pub(crate) fn new(guard: Guard) -> Self {
        let methods = Methods::of(&[
            FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ]);
        Self { methods: Arc::new(methods), guard }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, methods: Arc::clone(&self.methods), guard: self.guard.clone() }
    }
}

/// Observes the calls of a service.
#[derive(Clone, Debug)]
pub(crate) struct Observe<S> {
    inner: S,
    methods: Arc<Methods>,
    guard: Guard,
}

impl<S, B, A> Service<Request<B>> for Observe<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Future: Send + 'static,
{
    type Response = Response<Observed<A>>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let method = self.methods.find(request.uri().path());
        method.series().in_flight.increment();
        let span = trace_call(method, &request, &self.guard);
        let entered = span.enter();
        let answer = self.inner.call(request);
        drop(entered);
        let call = Call { method: Arc::clone(method), since: Instant::now(), span, ended: false };
        Answer { answer, call: Some(call) }
    }
}

/// A call that runs. One that is dropped before its end was given up by the client.
#[derive(Debug)]
struct Call {
    method: Arc<Method>,
    since: Instant,
    span: Span,
    ended: bool,
}

impl Call {
    fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let series = self.method.series();
        series.in_flight.decrement();
        if let Some(duration) = &series.duration {
            duration.observe(self.since.elapsed());
        }
        self.method.count(code);
        self.span.in_scope(|| tracing::debug!(rpc_method = self.method.name, ?code, "call ended"));
        if !self.span.is_none() {
            let name = CODES.get(code as usize).copied().unwrap_or_default();
            self.span.record("rpc.response.status_code", name);
            if code != Code::Ok {
                self.span.record("error.type", name);
            }
            if is_fault(code) {
                self.span.record("otel.status_code", "ERROR");
            }
        }
    }
}

/// The span of a call that is recorded, none otherwise: as its caller decided, unless nobody can know them.
fn trace_call<B>(method: &Method, request: &Request<B>, guard: &Guard) -> Span {
    let Some(place) = trace::accept(request.headers(), || guard.is_stranger(request)) else { return Span::none() };
    let name = method.traced_name();
    let authority = request.uri().authority();
    trace::span!(
        Some(place),
        "rpc",
        otel.name = if method.name == UNKNOWN { "grpc" } else { name.as_str() },
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = name.as_str(),
        rpc.response.status_code = Empty,
        error.type = Empty,
        server.address = authority.map(|authority| authority.host()),
        server.port = authority.and_then(|authority| authority.port_u16()).map(i64::from),
    )
}

/// Codes that are the server's fault, by the conventions for servers' spans.
fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// The code that headers or trailers tell.
fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|status| Code::from_bytes(status.as_bytes()))
}

pin_project_lite::pin_project! {
    /// A call's answer, until its headers are there.
    #[derive(Debug)]
    pub(crate) struct Answer<F> {
        #[pin]
        answer: F,
        call: Option<Call>,
    }
}

impl<F, A, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<A>, E>>,
{
    type Output = Result<Response<Observed<A>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let entered = this.call.as_ref().map(|call| call.span.enter());
        let answer = this.answer.poll(context);
        drop(entered);
        let answer = ready!(answer);
        let mut call = this.call.take();
        Poll::Ready(answer.map(|answer| {
            // An answer without a body tells its code at once.
            if let (Some(call), Some(code)) = (&mut call, code_of(answer.headers())) {
                call.end(code);
            }
            answer.map(|body| Observed { body, call })
        }))
    }
}

pin_project_lite::pin_project! {
    /// An answer's body, whose trailers tell how the call ended.
    #[derive(Debug)]
    pub(crate) struct Observed<B> {
        #[pin]
        body: B,
        call: Option<Call>,
    }
}

impl<B: Body> Body for Observed<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let entered = this.call.as_ref().map(|call| call.span.enter());
        let frame = this.body.poll_frame(context);
        drop(entered);
        let frame = ready!(frame);
        let code = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().map(|trailers| code_of(trailers).unwrap_or(Code::Unknown)),
            Some(Err(_)) | None => Some(Code::Unknown),
        };
        if let (Some(call), Some(code)) = (this.call.as_mut(), code) {
            call.end(code);
        }
        Poll::Ready(frame)
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
    use std::convert::Infallible;

    use axum::body::Body as AxumBody;

    use super::*;
    use crate::security::Quotas;

    async fn answer(request: Request<()>) -> Result<Response<AxumBody>, Infallible> {
        let mut answer = Response::new(AxumBody::empty());
        match request.uri().path() {
            "/grpc.health.v1.Health/Check" => {
                let trailers =
                    HeaderMap::from_iter([("grpc-status".parse().expect("a name"), "5".parse().expect("a value"))]);
                let frames = [Ok::<_, Infallible>(Frame::data("x".into())), Ok(Frame::trailers(trailers))];
                answer = Response::new(AxumBody::new(Frames(frames.into_iter().collect())));
            }
            "/grpc.health.v1.Health/Watch" => answer = Response::new(AxumBody::new(Frames([].into()))),
            _ => {
                answer.headers_mut().insert("grpc-status", "12".parse().expect("a value"));
            }
        }
        Ok(answer)
    }

    /// A body of these frames.
    struct Frames(std::collections::VecDeque<Result<Frame<bytes::Bytes>, Infallible>>);

    impl Body for Frames {
        type Data = bytes::Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<bytes::Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front())
        }
    }

    #[tokio::test]
    async fn a_call_counts_once_by_how_it_ended() {
        let service = ObserveLayer::new(Guard::open(Quotas::default()));
        let methods = Arc::clone(&service.methods);
        let mut service = service.layer(tower::service_fn(answer));
        let mut call = async |path: &str| {
            let request = Request::builder().uri(path).body(()).expect("a request");
            service.call(request).await.expect("infallible").into_body()
        };
        let counted = |path: &str, code: Code| {
            let series = methods.find(path).series();
            (series.in_flight.get(), series.codes[code as usize].get().map_or(0, |counter| counter.get()))
        };
        let check = "/grpc.health.v1.Health/Check";
        let (in_flight, before) = counted(check, Code::NotFound);
        let mut body = Box::pin(call(check).await);
        assert_eq!(counted(check, Code::NotFound), (in_flight + 1, before), "it runs until its trailers");
        while std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await.is_some() {}
        drop(body);
        assert_eq!(counted(check, Code::NotFound), (in_flight, before + 1));
        let watch = "/grpc.health.v1.Health/Watch";
        drop(call(watch).await);
        assert_eq!(counted(watch, Code::Cancelled), (0, 1), "a client that goes away gives the call up");
        assert!(methods.find(watch).series().duration.is_none(), "a stream's life is no duration of a call");
        for made_up in ["/a.B/C", "/a.B/D"] {
            drop(call(made_up).await);
        }
        assert_eq!(counted("/a.B/C", Code::Unimplemented), (0, 2), "names that a client makes up are one label");
        assert_eq!(methods.find("/a.B/C").name, UNKNOWN);
    }
}
