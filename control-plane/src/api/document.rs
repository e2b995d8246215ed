//! The OpenAPI document: collected from the handlers, then finished with what all of them share.

mod headers;

use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{MethodRouter, get};
use nacre_protocol::problem::{PROBLEM_JSON, Problem};
use utoipa::OpenApi as _;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, ContentBuilder, OpenApi, PathItem, Ref, RefOr, Response};

use super::Shared;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Nacre control plane",
        description = "Functions, deployments and nodes. Errors are RFC 9457 problem details with a stable `code`."
    ),
    paths(itself, super::docs::page),
    components(schemas(Problem)),
    tags(
        (name = "functions", description = "Functions, their versions and logs"),
        (name = "deployments", description = "Orders to run a version"),
        (name = "jobs", description = "Calls whose callers come back later"),
        (name = "ledger", description = "Money: balance, entries, spending caps and invoices"),
        (name = "blobs", description = "Content-addressed files"),
        (name = "keys", description = "API keys, and what was done with them"),
        (name = "nodes", description = "Machines that run functions"),
        (name = "uptime", description = "What watchers see of nodes, and what follows from it"),
        (name = "probes", description = "For whoever watches the process"),
    ),
)]
struct Base;

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "probes",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)),
    security(()),
)]
#[expect(
    dead_code,
    reason = "describes the route that serves the finished document"
)]
fn itself() {}

/// What the handlers' descriptions are added to.
pub(super) fn base() -> OpenApi {
    Base::openapi()
}

/// Adds what every operation shares: token schemes, the form of errors, and the errors that any request may meet.
pub(super) fn finish(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_default();
    let scheme = |description: &str| {
        let mut http = Http::new(HttpAuthScheme::Bearer);
        http.description = Some(description.to_owned());
        SecurityScheme::Http(http)
    };
    components.add_security_scheme(
        "api_key",
        scheme(
            "An API key: `nacre_<id>_<secret>`. An operation needs the scopes that it lists, or one of several sets of them.",
        ),
    );
    components.add_security_scheme(
        "node_token",
        scheme("A node's token, from `POST /v1/nodes`; it opens the node's own paths."),
    );
    for item in document.paths.paths.values_mut() {
        for (method, operation) in operations(item) {
            finish_operation(&method, operation);
        }
    }
    document
}

/// The route of the finished document.
pub(super) fn route(document: &OpenApi) -> MethodRouter<Shared> {
    let json = document.to_json().unwrap_or_default();
    get(move || async move { ([(CONTENT_TYPE, "application/json")], json) })
}

fn finish_operation(method: &Method, operation: &mut Operation) {
    let requires = |name: &str| {
        let schemes = operation.security.iter().flatten();
        schemes
            .filter_map(|scheme| serde_json::to_value(scheme).ok())
            .any(|s| s.get(name).is_some())
    };
    let guarded = requires("api_key") || requires("node_token");
    let responses = &mut operation.responses.responses;
    if guarded {
        for (status, text) in [
            ("401", "`unauthenticated`"),
            ("403", "`forbidden`, `scope-missing`"),
        ] {
            let response = || RefOr::T(Response::new(text));
            responses.entry(status.to_owned()).or_insert_with(response);
        }
    }
    headers::describe(method, guarded, operation);
    let responses = &mut operation.responses.responses;
    let other = || {
        RefOr::T(Response::new(
            "Any other problem, such as `internal` or `timeout`",
        ))
    };
    responses.entry("default".to_owned()).or_insert_with(other);
    for (status, response) in responses {
        if let RefOr::T(response) = response
            && !matches!(status.as_bytes(), [b'2', ..] | b"304")
        {
            response
                .content
                .insert(PROBLEM_JSON.to_owned(), RefOr::T(problem()));
        }
    }
}

fn problem() -> Content {
    ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build()
}

/// The operations of a path, with their methods.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::HEAD, &mut item.head),
        (Method::PATCH, &mut item.patch),
    ];
    let all = all.into_iter();
    all.filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}
