//! Whose request it is.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use nacre_protocol::ATTESTATION_PATH;
use nacre_protocol::problem::Problem;

use super::answer::Answer;
use super::{attestation, model};
use crate::boot::Enclave;
use crate::http::{linger, read_body};
use crate::kserve::{self, Route, RouteError};

/// Headers beside those of the [`Answer`]: salt and receipt.
pub(super) type MoreHeaders = Vec<(HeaderName, HeaderValue)>;

/// Answers one request of a connection with this exporter.
pub(super) async fn answer(
    enclave: Arc<Enclave>,
    exporter: [u8; 32],
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let (answer, more) = match path {
        ATTESTATION_PATH => {
            let answer =
                attestation::answer(&enclave, &exporter, request.method(), request.uri().query())
                    .await;
            (answer, MoreHeaders::new())
        }
        "/healthz" => (probe(request.method(), Ok(())), MoreHeaders::new()),
        "/readyz" => (
            probe(request.method(), readiness(&enclave)),
            MoreHeaders::new(),
        ),
        _ => {
            enclave.counters.request();
            if path == "/v2" || path.starts_with("/v2/") {
                kserve(&enclave, request).await
            } else {
                let problem = Problem::new(404, "not-found", "There is nothing at this path");
                (
                    refuse(request, Answer::problem(&problem)),
                    MoreHeaders::new(),
                )
            }
        }
    };
    answer.into_response(more)
}

async fn kserve(enclave: &Arc<Enclave>, request: Request<Incoming>) -> (Answer, MoreHeaders) {
    let route = match Route::parse(request.method(), request.uri().path()) {
        Ok(route) => route,
        Err(error) => return (refuse(request, route_error(&error)), MoreHeaders::new()),
    };
    let answer = match route {
        Route::Model {
            name,
            version,
            action,
        } => {
            return model::answer(enclave, request, &name, version.as_deref(), action).await;
        }
        Route::ServerMetadata => Answer::json(
            StatusCode::OK,
            kserve::server_metadata(env!("CARGO_PKG_VERSION")),
        ),
        Route::Live => Answer::json(StatusCode::OK, kserve::live(true)),
        Route::Ready => {
            let ready = readiness(enclave).is_ok() && enclave.functions.all_ready();
            Answer::json(ready_status(ready), kserve::ready(ready))
        }
        Route::RepositoryIndex => {
            let serving = enclave.functions.serving();
            let models = serving
                .iter()
                .map(|function| (function.name().as_str(), function.version()));
            Answer::json(StatusCode::OK, kserve::repository_index(models))
        }
    };
    // These take no body, but one that comes is taken off the connection within the limits.
    let (parts, mut body) = request.into_parts();
    let count = |bytes| enclave.counters.request_bytes(bytes);
    let answer = match read_body(&parts.headers, &mut body, &enclave.bodies, count).await {
        Ok(_) => answer,
        Err(error) => {
            if error.is_refusal() {
                linger(&parts.headers, body);
            }
            model::body_error(&error)
        }
    };
    (answer, MoreHeaders::new())
}

/// The answer to a request whose body nobody reads.
fn refuse(request: Request<Incoming>, answer: Answer) -> Answer {
    let (parts, body) = request.into_parts();
    linger(&parts.headers, body);
    answer
}

fn route_error(error: &RouteError) -> Answer {
    Answer {
        allow: error.allow(),
        ..Answer::json(error.status(), error.body())
    }
}

/// Ready is who can sign: without attested time the enclave answers nothing.
fn readiness(enclave: &Enclave) -> Result<(), Problem> {
    match enclave.clock.now() {
        Ok(_) => Ok(()),
        Err(error) => {
            let problem = Problem::new(503, "clock-unavailable", "There is no attested time");
            Err(problem.with_detail(error.to_string()))
        }
    }
}

fn probe(method: &Method, state: Result<(), Problem>) -> Answer {
    if method != Method::GET && method != Method::HEAD {
        let problem = Problem::new(405, "method-not-allowed", "This path takes GET");
        return Answer {
            allow: Some("GET, HEAD"),
            ..Answer::problem(&problem)
        };
    }
    match state {
        Ok(()) => Answer::json(StatusCode::OK, Bytes::from_static(b"{\"status\":\"ok\"}")),
        Err(problem) => Answer::problem(&problem),
    }
}

pub(super) fn ready_status(ready: bool) -> StatusCode {
    if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
