//! Whose request it is.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use nacre_protocol::ATTESTATION_PATH;
use nacre_protocol::problem::Problem;

use super::answer::Answer;
use super::model;
use crate::boot::Enclave;
use crate::http::{linger, read_body};
use crate::kserve::{self, Route, RouteError};
use crate::node::Exporter;

/// Headers beside those of the [`Answer`]: salt and receipt.
pub(super) type MoreHeaders = Vec<(HeaderName, HeaderValue)>;

/// Answers one request of a connection with this exporter.
pub(super) async fn answer(
    enclave: Arc<Enclave>,
    exporter: Exporter,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (method, uri) = (request.method(), request.uri());
    if let Some(response) = enclave.node.answer(&exporter, method, uri).await {
        if uri.path() == ATTESTATION_PATH && response.status() == StatusCode::OK {
            enclave.counters.attestation();
        }
        return response;
    }
    enclave.counters.request();
    let begun = Instant::now();
    let path = uri.path();
    let (answer, more) = if path == "/v2" || path.starts_with("/v2/") {
        kserve(&enclave, request).await
    } else {
        let problem = Problem::new(404, "not-found", "There is nothing at this path");
        let answer = refuse(request, Answer::problem(&problem));
        (answer, MoreHeaders::new())
    };
    enclave
        .counters
        .answered(answer.status.as_u16(), begun.elapsed());
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
            let ready = enclave.node.ready().is_ok() && enclave.functions.all_ready();
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

pub(super) fn ready_status(ready: bool) -> StatusCode {
    if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
