//! One request, from its head to the answer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming as Body;
use nacre_telemetry::metrics::Label;

use super::body::{self, Encoding};
use super::refusal::{Refusal, Shape};
use super::route::Route;
use super::upstream::{Incoming, Outgoing};
use super::{Shared, headers};

/// Answers a request; refusals come in the caller's protocol.
pub(super) async fn answer(shared: &Shared, request: Request<Body>) -> Response<Full<Bytes>> {
    let begun = Instant::now();
    let (head, body) = request.into_parts();
    let (method, path) = (head.method.clone(), head.uri.path());
    let shape = Shape::of_path(path);
    let route = shared
        .guard
        .check(&head)
        .and_then(|()| Route::of(&head.method, path));
    let function = route
        .as_ref()
        .map_or("none".into(), |route| shared.label(route));
    let answer = match route {
        Ok(route) => routed(shared, route, head, body).await,
        Err(refusal) => {
            body::linger(&head.headers, body);
            Err(refusal)
        }
    };
    let response = match answer {
        Ok(response) => response,
        Err(refusal) => {
            // Neither path nor body: both are the caller's.
            tracing::debug!(%method, code = refusal.code(), "refused");
            shared.meters.refused(refusal.code());
            refusal.into_response(shape)
        }
    };
    let status = response.status().as_u16();
    shared.meters.answered(function, status, begun.elapsed());
    response
}

async fn routed(
    shared: &Shared,
    route: Route,
    head: Parts,
    body: Body,
) -> Result<Response<Full<Bytes>>, Refusal> {
    if route == Route::Health {
        body::linger(&head.headers, body);
        return Ok(health(shared.upstreams.len()));
    }
    let upstream = match &route {
        Route::Function(name) => match shared.upstreams.get(name) {
            Some(upstream) => Some(upstream),
            None => {
                return Err(refused(
                    &head,
                    body,
                    Refusal::model_not_found(name.as_str()),
                ));
            }
        },
        Route::OpenAi => match shared.only() {
            Some(only) => Some(only),
            None => return Err(refused(&head, body, Refusal::not_found())),
        },
        Route::Enclave | Route::Health => None,
    };
    let encoding = match Encoding::of(&head.headers) {
        Ok(encoding) => encoding,
        Err(refusal) => return Err(refused(&head, body, refusal)),
    };
    let body = body::read(&head.headers, body, shared.max_body).await?;
    let decoded = body::decode(encoding, &body, shared.max_body).await?;
    let request = outgoing(head, encoding, body)?;
    let outgoing = Outgoing {
        request: &request,
        decoded: decoded.as_ref(),
        names_function: upstream.is_some(),
    };
    let got = match upstream {
        Some(upstream) => upstream.forward(outgoing, shared.patience).await?,
        None => any_enclave(shared, outgoing).await?,
    };
    Ok(passed_on(&request, got))
}

fn refused(head: &Parts, body: Body, refusal: Refusal) -> Refusal {
    body::linger(&head.headers, body);
    refusal
}

/// Tries each function's enclaves, and is patient only with the last.
async fn any_enclave(shared: &Shared, outgoing: Outgoing<'_>) -> Result<Incoming, Refusal> {
    let mut left = shared.upstreams.len();
    let mut refusal = Refusal::not_found();
    for upstream in shared.upstreams.values() {
        left -= 1;
        let patience = if left == 0 {
            shared.patience
        } else {
            Duration::ZERO
        };
        match upstream.forward(outgoing, patience).await {
            Ok(got) => return Ok(got),
            Err(refused) => refusal = refused,
        }
    }
    Err(refusal)
}

/// The request as the enclave gets it.
fn outgoing(mut head: Parts, encoding: Encoding, body: Bytes) -> Result<Request<Bytes>, Refusal> {
    headers::prepare_request(&mut head.headers);
    if encoding == Encoding::Identity {
        head.headers.remove(CONTENT_ENCODING);
    }
    // An absolute target names this proxy.
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let uri: Result<Uri, _> = target.parse();
    let uri = uri.map_err(|_| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "invalid-path",
            "the path cannot be read",
        )
    })?;
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = head.headers;
    Ok(request)
}

/// The answer as the caller gets it.
fn passed_on(request: &Request<Bytes>, got: Incoming) -> Response<Full<Bytes>> {
    let (mut parts, body) = got.answer.response.into_parts();
    let proof = got.answer.proof.as_ref();
    headers::prepare_answer(
        &mut parts.headers,
        request.method(),
        got.enclave.trusted(),
        proof,
    );
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    response
}

fn health(functions: usize) -> Response<Full<Bytes>> {
    let body = serde_json::json!({"status": "ok", "functions": functions}).to_string();
    let mut response = Response::new(Full::from(body));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

impl Shared {
    /// Which function a request counts for: one that is served.
    fn label(&self, route: &Route) -> Label {
        let served = match route {
            Route::Function(name) => self.upstreams.get_key_value(name).map(|(name, _)| name),
            Route::OpenAi if self.only().is_some() => self.upstreams.keys().next(),
            _ => None,
        };
        served.map_or("none".into(), |name| Label::known(name.as_str()))
    }

    /// The function, where there is exactly one.
    fn only(&self) -> Option<&super::Upstream> {
        let mut all = self.upstreams.values();
        all.next().filter(|_| all.next().is_none())
    }
}
