//! `/v1/nodes/{id}/jobs`: for the nodes that run jobs.

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use nacre_protocol::api::jobs::{AssignedJob, JobFailure};
use nacre_protocol::chain_job::ChainResultError;
use nacre_protocol::ids::{JobId, NodeId};
use nacre_protocol::job::{JOB_INPUT_TYPE, SEALED_JOB_TYPE};
use nacre_protocol::{CHAIN_RESULT_HEADER, JOB_RECEIPT_HEADER};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Shared;
use super::answer::{Refusal, ok};
use super::auth::NodeCaller;
use super::extract::{InBody, InPath, InQuery, declared_length};
use super::functions::to_its_end;
use super::jobs::{CarriedBytes, WaitQuery};
use crate::error::{JobError, RequestError, UploadError};
use crate::platform::{Attempt, ResultBody};
use crate::traces;

/// Which lease of the job it is about.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AttemptQuery {
    /// The `attempt` of the job as it was given.
    #[param(minimum = 1)]
    attempt: u32,
}

/// A node's path about a job that it has.
pub(super) struct Held {
    attempt: Attempt,
    job: JobId,
}

impl FromRequestParts<Shared> for Held {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, platform: &Shared) -> Result<Self, Refusal> {
        let caller = NodeCaller::from_request_parts(parts, platform).await?;
        let paths = Path::<(String, String)>::from_request_parts(parts, platform).await;
        let Path((node, job)) = paths.map_err(|e| RequestError::Path(e.body_text()))?;
        let wrong =
            |error: nacre_protocol::ids::IdSyntaxError| RequestError::Path(error.to_string());
        let node: NodeId = node.parse().map_err(wrong)?;
        let job = job.parse().map_err(wrong)?;
        let node = caller.is(node)?;
        let InQuery(query) = InQuery::<AttemptQuery>::from_request_parts(parts, platform).await?;
        let number = query.attempt;
        Ok(Self {
            attempt: Attempt { node, number },
            job,
        })
    }
}

/// Gives the node the oldest job that its functions may run: of a version that it has reported ready, within the job's
/// price ceiling, and, where the input is sealed, sealed to its enclave's key. The node has it until `lease_until_ms`;
/// `started` gives it more time.
#[utoipa::path(
    post,
    path = "/v1/nodes/{id}/jobs",
    operation_id = "takeJob",
    tag = "nodes",
    params(("id" = String, Path, description = "The node's id"), WaitQuery),
    responses(
        (status = 200, description = "A job", body = AssignedJob),
        (status = 204, description = "There was none in that time"),
        (status = 400, description = "`path-invalid`, `query-invalid`"),
    ),
    security(("node_token" = [])),
)]
pub(super) async fn take(
    State(platform): State<Shared>,
    caller: NodeCaller,
    InPath(id): InPath<NodeId>,
    InQuery(wait): InQuery<WaitQuery>,
) -> Result<Response, Refusal> {
    let id = caller.is(id)?;
    let next = platform.next_job(id, &caller.token, wait.wait_ms).await?;
    let Some((job, trace)) = next else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let mut response = ok(&job);
    let goes_on = traces::headers(trace.as_deref());
    response.headers_mut().extend(goes_on);
    Ok(response)
}

/// The input of a job that the node has.
#[utoipa::path(
    get,
    path = "/v1/nodes/{id}/jobs/{job}/input",
    operation_id = "getAssignedInput",
    tag = "nodes",
    params(("id" = String, Path, description = "The node's id"), ("job" = String, Path, description = "The job's id"), AttemptQuery),
    responses(
        (status = 200, description = "The input; sealed where the job is", content(
            (inline(CarriedBytes) = "application/vnd.nacre.job-input.v1+cbor"),
            (inline(CarriedBytes) = "application/vnd.nacre.sealed-job.v1+cbor"),
        )),
        (status = 400, description = "`path-invalid`, `query-invalid`"),
        (status = 404, description = "`job-not-found`"),
        (status = 409, description = "`job-attempt-over`, `job-ended`"),
    ),
    security(("node_token" = [])),
)]
pub(super) async fn input(State(platform): State<Shared>, held: Held) -> Result<Response, Refusal> {
    let (bytes, sealed) = platform.job_input(held.attempt, held.job).await?;
    let media_type = match sealed {
        true => SEALED_JOB_TYPE,
        false => JOB_INPUT_TYPE,
    };
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(response)
}

/// Says that the node runs the job; said again, that it still does, which gives it as much time again.
#[utoipa::path(
    post,
    path = "/v1/nodes/{id}/jobs/{job}/started",
    operation_id = "reportJobStarted",
    tag = "nodes",
    params(("id" = String, Path, description = "The node's id"), ("job" = String, Path, description = "The job's id"), AttemptQuery),
    responses(
        (status = 204, description = "Taken"),
        (status = 400, description = "`path-invalid`, `query-invalid`"),
        (status = 404, description = "`job-not-found`"),
        (status = 409, description = "`job-attempt-over`, `job-ended`: stop it"),
    ),
    security(("node_token" = [])),
)]
pub(super) async fn started(
    State(platform): State<Shared>,
    held: Held,
) -> Result<StatusCode, Refusal> {
    to_its_end(async move { platform.job_started(held.attempt, held.job).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Brings the result as the enclave made it. The job receipt must prove it: signed by the receipt key of the boot that the
/// job was given to, over the job, its function and deadline, its input and this result; and where a contract asked for the
/// job, the chain result must be over the same, for that contract. One that does not ends the attempt, and is kept as an incident of the node. A result that comes after its lease ran out is taken as long as nobody
/// else was given the job.
#[utoipa::path(
    put,
    path = "/v1/nodes/{id}/jobs/{job}/result",
    operation_id = "putJobResult",
    tag = "nodes",
    params(
        ("id" = String, Path, description = "The node's id"),
        ("job" = String, Path, description = "The job's id"),
        AttemptQuery,
        ("nacre-job-receipt" = String, Header, description = "As the enclave gave it"),
        ("nacre-chain-result" = Option<String>, Header, description = "As the enclave gave it, where the job has `chain`"),
    ),
    request_body(content = inline(CarriedBytes), content_type = "application/octet-stream"),
    responses(
        (status = 204, description = "The job is done; the same again changes nothing"),
        (status = 400, description = "`path-invalid`, `query-invalid`, `job-receipt-missing`, `upload-incomplete`"),
        (status = 404, description = "`job-not-found`"),
        (status = 408, description = "`upload-stalled`: no byte came for 30 s"),
        (status = 409, description = "`job-attempt-over`, `job-ended`"),
        (status = 413, description = "`job-too-large`"),
        (status = 422, description = "`job-receipt-malformed`, `job-receipt-signature`, `job-receipt-terms`, `job-receipt-input`, `job-receipt-result`, `chain-result-missing`, `chain-result-malformed`, `chain-result-signature`, `chain-result-input`, `chain-result-output`"),
    ),
    security(("node_token" = [])),
)]
pub(super) async fn result(
    State(platform): State<Shared>,
    held: Held,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let receipt = receipt(request.headers())?;
    let chain_result = chain_result(request.headers())?;
    let declared = declared_length(request.headers());
    let body = request.into_body().into_data_stream();
    let body = body.map(|bytes| bytes.map_err(|_| UploadError::Incomplete));
    let result = ResultBody {
        declared,
        body,
        receipt,
        chain_result,
    };
    to_its_end(async move { platform.job_done(held.attempt, held.job, result).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says that the attempt has no result, and why. Nobody else vouches for it, so it counts as one of the job's tries, whatever
/// it says; what says that the job was not run at all (`jobs-busy`, `node-draining` and the like) does not.
#[utoipa::path(
    post,
    path = "/v1/nodes/{id}/jobs/{job}/failed",
    operation_id = "reportJobFailed",
    tag = "nodes",
    params(("id" = String, Path, description = "The node's id"), ("job" = String, Path, description = "The job's id"), AttemptQuery),
    request_body = JobFailure,
    responses(
        (status = 204, description = "Taken"),
        (status = 400, description = "`path-invalid`, `query-invalid`, `json-syntax`, `body-incomplete`"),
        (status = 404, description = "`job-not-found`"),
        (status = 409, description = "`job-attempt-over`, `job-ended`"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`, `failure-code-invalid`"),
    ),
    security(("node_token" = [])),
)]
pub(super) async fn failed(
    State(platform): State<Shared>,
    held: Held,
    body: InBody<JobFailure>,
) -> Result<StatusCode, Refusal> {
    let work = async move {
        platform
            .job_failed(held.attempt, held.job, body.value)
            .await
    };
    to_its_end(work).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn receipt(headers: &HeaderMap) -> Result<String, JobError> {
    match only(headers, JOB_RECEIPT_HEADER) {
        Ok(Some(receipt)) => Ok(receipt),
        Ok(None) | Err(_) => Err(JobError::NoReceipt),
    }
}

fn chain_result(headers: &HeaderMap) -> Result<Option<String>, JobError> {
    only(headers, CHAIN_RESULT_HEADER)
        .map_err(|_| JobError::Receipt(ChainResultError::Missing.into()))
}

/// Neither text nor there once.
struct Unreadable;

fn only(headers: &HeaderMap, name: &str) -> Result<Option<String>, Unreadable> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| Unreadable)?;
            Ok(Some(text.to_owned()))
        }
        (Some(_), Some(_)) => Err(Unreadable),
    }
}
