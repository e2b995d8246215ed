//! HTTP: paths, tokens, bodies and errors. What requests do is in [`crate::platform`].

mod answer;
mod audit;
mod auth;
mod blobs;
mod chain_keys;
mod deployments;
mod docs;
mod document;
mod etag;
mod extract;
mod functions;
mod gate;
mod guard;
mod health;
mod incidents;
mod jobs;
mod jobs_nodes;
mod keys;
mod ledger;
mod limits;
mod logs;
mod nodes;
mod payouts;
mod rollouts;
mod routes;
mod uptime;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use nacre_protocol::uptime::MAX_REVEAL;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::Config;
use crate::error::{Error, MAX_JSON};
use crate::meters;
use crate::platform::Platform;
use answer::refuse;
use gate::Gate;
use guard::Guard;
pub(crate) use limits::Peer;

/// Requests, other than uploads and long polls, that are worked on at a time.
const MAX_REQUESTS: usize = 256;
/// Blobs that travel at a time.
const MAX_TRANSFERS: usize = 32;
/// Inputs and results of jobs that travel at a time; each is held whole.
const MAX_JOB_TRANSFERS: usize = 16;
/// Registrations that are worked on at a time: what needs no token must not crowd out what does.
const MAX_REGISTRATIONS: usize = 32;

/// Words of watchers that are read at a time: what needs no token must not crowd out what does.
const MAX_WORDS: usize = 16;
/// Longest commitment, bytes.
const MAX_COMMIT: usize = 4096;

/// What handlers share.
pub(crate) type Shared = Arc<Platform>;

/// The whole API, and its OpenAPI document.
pub(crate) fn router(platform: Shared, config: &Config) -> Router {
    let (router, document) = described().split_for_parts();
    let document = document::finish(document);
    let guard = Guard::new(Arc::clone(&platform), &document, config);
    router
        .route("/openapi.json", document::route(&document))
        .route("/docs", docs::route(&document))
        .method_not_allowed_fallback(|| async { refuse(&Error::NoSuchMethod) })
        .fallback(|| async { refuse(&Error::NoSuchPath) })
        .layer(from_fn(etag::pass))
        .layer(from_fn_with_state(guard, guard::pass))
        .layer(from_fn_with_state(Arc::clone(&platform), meters::observe))
        .with_state(platform)
}

/// Every route with its description: one list for both, so that neither lacks what the other has.
fn described() -> OpenApiRouter<Shared> {
    // Transfers bound themselves: every chunk must come in time. Long polls hold no place while they wait.
    let transfers = OpenApiRouter::new()
        .routes(routes!(blobs::put, blobs::get, blobs::head))
        .layer(from_fn_with_state(Gate::places(MAX_TRANSFERS), gate::pass))
        .layer(DefaultBodyLimit::disable());
    let job_transfers = OpenApiRouter::new()
        .routes(routes!(jobs::input))
        .routes(routes!(jobs::result))
        .routes(routes!(jobs_nodes::input))
        .routes(routes!(jobs_nodes::result))
        .layer(from_fn_with_state(
            Gate::places(MAX_JOB_TRANSFERS),
            gate::pass,
        ))
        .layer(DefaultBodyLimit::disable());
    let registrations = OpenApiRouter::new()
        .routes(routes!(nodes::challenge))
        .routes(routes!(nodes::register))
        .routes(routes!(nodes::command))
        .routes(routes!(nodes::claim))
        .layer(from_fn_with_state(
            Gate::timed(MAX_REGISTRATIONS),
            gate::pass,
        ))
        .layer(DefaultBodyLimit::max(MAX_JSON));
    let commits = OpenApiRouter::new()
        .routes(routes!(uptime::commit))
        .layer(from_fn_with_state(Gate::timed(MAX_WORDS), gate::pass))
        .layer(DefaultBodyLimit::max(MAX_COMMIT));
    let reveals = OpenApiRouter::new()
        .routes(routes!(uptime::reveal))
        .layer(from_fn_with_state(Gate::timed(MAX_WORDS), gate::pass))
        .layer(DefaultBodyLimit::max(MAX_REVEAL));
    let polls = OpenApiRouter::new()
        .routes(routes!(deployments::get))
        .routes(routes!(logs::get))
        .routes(routes!(nodes::desired))
        .routes(routes!(jobs::get, jobs::delete))
        .routes(routes!(jobs_nodes::take));
    let requests = OpenApiRouter::new()
        .routes(routes!(functions::create, functions::list))
        .routes(routes!(functions::get, functions::delete))
        .routes(routes!(deployments::create))
        .routes(routes!(rollouts::set_canary))
        .routes(routes!(rollouts::promote))
        .routes(routes!(rollouts::roll_back))
        .routes(routes!(routes::list))
        .routes(routes!(routes::demand))
        .routes(routes!(nodes::list))
        .routes(routes!(chain_keys::publish))
        .routes(routes!(chain_keys::list))
        .routes(routes!(incidents::list))
        .routes(routes!(incidents::conduct))
        .routes(routes!(jobs::create, jobs::list))
        .routes(routes!(jobs::webhook_secret))
        .routes(routes!(jobs_nodes::started))
        .routes(routes!(jobs_nodes::failed))
        .routes(routes!(keys::create, keys::list))
        .routes(routes!(keys::get, keys::revoke))
        .routes(routes!(keys::rotate))
        .routes(routes!(audit::list))
        .routes(routes!(nodes::observed))
        .routes(routes!(uptime::schedule))
        .routes(routes!(uptime::dispute))
        .routes(routes!(uptime::report))
        .routes(routes!(uptime::slashes))
        .routes(routes!(uptime::watchers))
        .routes(routes!(uptime::announce, uptime::drains))
        .routes(routes!(ledger::usage))
        .routes(routes!(ledger::balance))
        .routes(routes!(ledger::entries))
        .routes(routes!(ledger::caps, ledger::set_cap, ledger::remove_cap))
        .routes(routes!(ledger::invoices))
        .routes(routes!(ledger::invoice))
        .routes(routes!(payouts::operators))
        .routes(routes!(payouts::list, payouts::ask))
        .routes(routes!(payouts::get, payouts::withdraw))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .layer(from_fn_with_state(Gate::timed(MAX_REQUESTS), gate::pass))
        .layer(DefaultBodyLimit::max(MAX_JSON));
    OpenApiRouter::with_openapi(document::base())
        .merge(transfers)
        .merge(job_transfers)
        .merge(registrations)
        .merge(commits)
        .merge(reveals)
        .merge(polls)
        .merge(requests)
}
