//! The spans that leave, all of them; and how a trace goes on from one process to the next (W3C Trace Context).
//!
//! A span's fields are fixed here: a command's name, a method, a route's pattern, a status. Ids, names of functions and
//! everything that callers send stay out. Other spans, whoever makes them, are not sent (`log` passes on this target only).
//!
//! What another process says of its trace is believed as far as that goes: it decides which trace a span is shown in, and
//! whether it is sampled where the sampler asks the parent. `tracestate` goes along; baggage does not.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::field::Empty;
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of the spans that leave, and of no others.
pub(crate) const TARGET: &str = "nacre::trace";

/// The header that carries a trace on.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Longest `tracestate` that is passed on, bytes (W3C Trace Context §3.3.1.5 asks for 512 at least).
const MAX_STATE: usize = 512;

/// One run of a command that a person typed.
pub fn command(name: &'static str) -> Span {
    info_span!(target: TARGET, "command", otel.name = format!("nacre {name}"), otel.kind = "client")
}

/// One request that is answered. `route` is the pattern, not the path; the trace goes on from the request's headers.
pub fn request(method: &'static str, route: &str, headers: &HeaderMap) -> Span {
    let span = info_span!(
        target: TARGET,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    );
    continue_from(&span, headers);
    span
}

/// Says how the request of a [`request`] was answered.
pub fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// Work that somebody's answer has set off, going on from that answer's headers.
pub fn work(name: &'static str, headers: &HeaderMap) -> Span {
    let span = info_span!(target: TARGET, "work", otel.name = name, otel.kind = "consumer");
    continue_from(&span, headers);
    span
}

/// The headers that carry the current trace on; none where there is no trace.
pub fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    let context = Context::current();
    if context.span().span_context().is_valid() {
        let mut carrier = HeaderInjector(&mut headers);
        TraceContextPropagator::new().inject_context(&context, &mut carrier);
        if headers.get("tracestate").is_some_and(HeaderValue::is_empty) {
            headers.remove("tracestate");
        }
    }
    headers
}

/// The current trace as one header's value, to be kept until somebody goes on with it.
pub fn traceparent() -> Option<HeaderValue> {
    headers().remove(TRACEPARENT)
}

fn continue_from(span: &Span, headers: &HeaderMap) {
    if !headers.contains_key(TRACEPARENT) {
        return;
    }
    let mut carried = HeaderMap::new();
    carried.extend(single(headers, "traceparent"));
    carried.extend(single(headers, "tracestate").filter(|(_, value)| value.len() <= MAX_STATE));
    let carrier = HeaderExtractor(&carried);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    // Without an exporter there is nothing to go on with.
    let _ = span.set_parent(context);
}

/// A header that came exactly once.
fn single(headers: &HeaderMap, name: &'static str) -> Option<(HeaderName, HeaderValue)> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => Some((HeaderName::from_static(name), value.clone())),
        _ => None,
    }
}
