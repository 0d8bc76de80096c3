//! Spans: where a trace begins or continues, and whether it is recorded.
//!
//! The decision is made once, where a trace begins or enters the process, before any span exists. A trace that is not
//! recorded has no spans; it costs one load and, for calls, one header look-up. Code further down uses [`current`] or
//! the [`TraceContext`] that came with its data, and creates a span only below a recorded one.

use std::sync::OnceLock;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

pub use crossmarket_domain::TraceContext;

/// The target of every span. The service's log layers recognize spans by it.
pub const TARGET: &str = "crossmarket::trace";

/// Decides which traces are recorded. The names are those of `OTEL_TRACES_SAMPLER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampler {
    /// All traces, whatever the caller decided.
    AlwaysOn,
    /// No traces.
    AlwaysOff,
    /// A share of all traces, whatever the caller decided.
    TraceIdRatio,
    /// Follows the caller's decision; records all traces that begin here.
    ParentBasedAlwaysOn,
    /// Follows the caller's decision; records no traces that begin here.
    ParentBasedAlwaysOff,
    /// Follows the caller's decision; records a share of the traces that begin here.
    ParentBasedTraceIdRatio,
}

impl Sampler {
    /// Every sampler.
    pub const ALL: [Self; 6] = [
        Self::AlwaysOn,
        Self::AlwaysOff,
        Self::TraceIdRatio,
        Self::ParentBasedAlwaysOn,
        Self::ParentBasedAlwaysOff,
        Self::ParentBasedTraceIdRatio,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlwaysOn => "always_on",
            Self::AlwaysOff => "always_off",
            Self::TraceIdRatio => "traceidratio",
            Self::ParentBasedAlwaysOn => "parentbased_always_on",
            Self::ParentBasedAlwaysOff => "parentbased_always_off",
            Self::ParentBasedTraceIdRatio => "parentbased_traceidratio",
        }
    }
}

/// A sampler with its share.
#[derive(Clone, Copy, Debug)]
struct Sampling {
    follows_callers: bool,
    /// The threshold: of 2^63 random numbers, those below it are recorded.
    threshold: u64,
}

/// 2^63, half of the range of 64 bits. The specification compares trace ids with it.
const RANGE: f64 = 9_223_372_036_854_775_808.0;

impl Sampling {
    fn new(sampler: Sampler, ratio: f64) -> Self {
        let share = match sampler {
            Sampler::AlwaysOn | Sampler::ParentBasedAlwaysOn => 1.0,
            Sampler::AlwaysOff | Sampler::ParentBasedAlwaysOff => 0.0,
            Sampler::TraceIdRatio | Sampler::ParentBasedTraceIdRatio => ratio.clamp(0.0, 1.0),
        };
        let follows_callers = !matches!(sampler, Sampler::AlwaysOn | Sampler::AlwaysOff | Sampler::TraceIdRatio);
        Self { follows_callers, threshold: (share * RANGE) as u64 }
    }

    fn takes(&self, number: u64) -> bool {
        (number >> 1) < self.threshold
    }

    fn accept(&self, headers: &http::HeaderMap, is_stranger: bool) -> Option<Place> {
        let traceparent = headers.get("traceparent").filter(|_| !is_stranger);
        let caller = traceparent.and_then(|header| caller(header.to_str().ok()?, headers));
        let sampled = match &caller {
            Some(caller) if self.follows_callers => caller.is_sampled(),
            // The low half of the id, as in other implementations.
            Some(caller) => self.takes(u128::from_be_bytes(caller.trace_id().to_bytes()) as u64),
            None => self.takes(rand::random()),
        };
        sampled.then(|| caller.map_or(Place::Root, Place::BelowRemote))
    }
}

static SAMPLING: OnceLock<Sampling> = OnceLock::new();

/// Starts recording.
pub fn enable(sampler: Sampler, ratio: f64) {
    // The process rejects a second subscriber before it gets here.
    let _ = SAMPLING.set(Sampling::new(sampler, ratio));
}

/// The place of a recorded span in its trace.
#[derive(Clone, Debug)]
pub enum Place {
    /// The span begins a trace.
    Root,
    /// Below a span of this process.
    Below(TraceContext),
    /// Below a span of another process.
    BelowRemote(SpanContext),
}

impl Place {
    /// Gives a new span this place.
    pub fn take(self, span: Span) -> Span {
        let parent = match self {
            Self::Root => return span,
            Self::Below(context) => span_context(context, false),
            Self::BelowRemote(parent) => parent,
        };
        // Fails for a span that is not recorded, for example in tests without a tracer.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
        span
    }
}

/// Creates a span at a [`Place`], or none without one: `span!(place, "name", field = value, …)`. OpenTelemetry's
/// integers are signed: unsigned ones would arrive as text.
#[macro_export]
#[doc(hidden)]
macro_rules! trace_span {
    ($place:expr, $name:literal $(, $($fields:tt)*)?) => {
        match $place {
            Some(place) => place.take(tracing::info_span!(
                target: $crate::trace::TARGET,
                parent: None,
                $name
                $(, $($fields)*)?
            )),
            None => tracing::Span::none(),
        }
    };
}

pub use trace_span as span;

/// A place for a new trace, if it is recorded. Every call draws again.
pub fn begin() -> Option<Place> {
    let sampling = SAMPLING.get()?;
    sampling.takes(rand::random()).then_some(Place::Root)
}

/// A place for a call's span, if the call is recorded. The caller's headers decide, if there are any. Malformed headers
/// are ignored. So are the headers of unauthenticated callers, who could otherwise control how much is recorded, by the
/// flag or by their choice of id. `is_stranger` is called only when the result matters.
pub fn accept(headers: &http::HeaderMap, is_stranger: impl FnOnce() -> bool) -> Option<Place> {
    let sampling = SAMPLING.get()?;
    sampling.accept(headers, headers.contains_key("traceparent") && is_stranger())
}

/// The caller's span: <https://www.w3.org/TR/trace-context/>.
fn caller(traceparent: &str, headers: &http::HeaderMap) -> Option<SpanContext> {
    let mut parts = traceparent.trim().split('-');
    let [version, trace, span, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let is_hex = |part: &str, len| {
        part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let well_formed = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
    // A later version may have more parts; the first has none.
    if !well_formed || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let state = headers.get("tracestate").and_then(|state| state.to_str().ok()?.parse::<TraceState>().ok());
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED,
        true,
        state.unwrap_or_default(),
    );
    context.is_valid().then_some(context)
}

/// A place below a span of another process, whose context came with data.
pub fn continued(context: TraceContext) -> Option<Place> {
    SAMPLING.get()?;
    Some(Place::BelowRemote(span_context(context, true)))
}

/// A place below a span of this process.
pub fn below(context: TraceContext) -> Option<Place> {
    Some(Place::Below(context))
}

/// A place below the current span, if that is recorded.
pub fn within() -> Option<Place> {
    current().map(Place::Below)
}

/// The current span, if it is recorded.
pub fn current() -> Option<TraceContext> {
    SAMPLING.get()?;
    context_of(&Span::current())
}

/// The context for spans below this one; `None` for a span that is not recorded.
pub fn context_of(span: &Span) -> Option<TraceContext> {
    if span.is_none() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let known = span.span_context();
    (known.is_valid() && known.is_sampled()).then(|| TraceContext {
        trace_id: u128::from_be_bytes(known.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(known.span_id().to_bytes()),
    })
}

pub fn link(span: &Span, others: impl IntoIterator<Item = TraceContext>) {
    for other in others {
        span.add_link(span_context(other, false));
    }
}

fn span_context(context: TraceContext, is_remote: bool) -> SpanContext {
    let trace_id = TraceId::from_bytes(context.trace_id.to_be_bytes());
    let span_id = SpanId::from_bytes(context.span_id.to_be_bytes());
    SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, is_remote, TraceState::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(traceparent: &str) -> http::HeaderMap {
        let value = traceparent.parse().expect("a header");
        http::HeaderMap::from_iter([(http::HeaderName::from_static("traceparent"), value)])
    }

    fn read(traceparent: &str) -> Option<SpanContext> {
        caller(traceparent, &headers(traceparent))
    }

    #[test]
    fn a_caller_is_read_as_the_specification_says() {
        let known = read("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").expect("well formed");
        assert_eq!(known.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert!(known.is_sampled() && known.is_remote());
        let later = read("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more").expect("a later version");
        assert!(!later.is_sampled());
        for not_one in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        ] {
            assert!(read(not_one).is_none(), "{not_one}");
        }
    }

    #[test]
    fn a_share_is_that_of_all_numbers() {
        let share = |sampler, ratio| {
            let sampling = Sampling::new(sampler, ratio);
            // Evenly over all numbers.
            let part = u64::MAX / 1_000;
            let taken = (0..1_000).filter(|number| sampling.takes(number * part + part / 2)).count();
            (sampling.follows_callers, taken)
        };
        assert_eq!(share(Sampler::AlwaysOn, 0.0), (false, 1_000));
        assert_eq!(share(Sampler::AlwaysOff, 1.0), (false, 0));
        assert_eq!(share(Sampler::ParentBasedTraceIdRatio, 0.25), (true, 250));
        assert_eq!(share(Sampler::TraceIdRatio, 0.01), (false, 10));
        assert_eq!(share(Sampler::ParentBasedTraceIdRatio, f64::NAN), (true, 0));
    }

    #[test]
    fn strangers_do_not_decide_what_is_recorded() {
        let sampled = headers("00-00000000000000000000000000000001-b7ad6b7169203331-01");
        for sampler in [Sampler::ParentBasedTraceIdRatio, Sampler::TraceIdRatio] {
            let sampling = Sampling::new(sampler, 1e-9);
            assert!(matches!(sampling.accept(&sampled, false), Some(Place::BelowRemote(_))), "a client decides");
            assert!(sampling.accept(&sampled, true).is_none());
        }
        let all = Sampling::new(Sampler::ParentBasedAlwaysOn, 0.0);
        assert!(matches!(all.accept(&sampled, true), Some(Place::Root)), "no trace is continued that a stranger names");
    }

    #[test]
    fn without_a_tracer_nothing_is_recorded() {
        assert!(begin().is_none() && within().is_none());
        assert!(accept(&headers("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), || false).is_none());
        let span = span!(begin(), "nothing");
        assert!(span.is_none() && context_of(&span).is_none());
    }
}
