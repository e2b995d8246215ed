//! The middleware around everything: each request is counted, and is a span of its caller's trace.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use nacre_telemetry::metrics::{Label, method_label, status_label};
use nacre_telemetry::trace;
use tracing::Instrument as _;

use crate::api::Shared;
use crate::error::Error;

/// What is noted at an answer that refuses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused {
    pub(super) code: &'static str,
    pub(super) database: Option<&'static str>,
}

impl Refused {
    /// That it was for this error.
    pub(crate) fn for_error(error: &Error) -> Self {
        Self {
            code: error.code(),
            database: error.database(),
        }
    }
}

/// The middleware. Nothing of the request is kept but its method, if it is one of the usual ones, and the pattern that its
/// path matched.
pub(crate) async fn observe(
    State(platform): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let method = method_label(request.method().as_str());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("none", MatchedPath::as_str).to_owned();
    let span = trace::request(method, &route, request.headers());
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    trace::answered(&span, status);
    let meters = platform.meters();
    meters.answered(
        method,
        Label::known(route),
        status_label(status),
        begun.elapsed(),
    );
    if let Some(refused) = response.extensions().get::<Refused>() {
        meters.refused(*refused);
    }
    response
}
