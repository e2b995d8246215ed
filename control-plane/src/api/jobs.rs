//! `/v1/jobs`: for those who have jobs run.

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use nacre_protocol::api::Page;
use nacre_protocol::api::jobs::{CreateJob, Job};
use nacre_protocol::ids::JobId;
use nacre_protocol::job::{JOB_RESULT_TYPE, SEALED_RESULT_TYPE};
use nacre_protocol::{CHAIN_RESULT_HEADER, JOB_RECEIPT_HEADER};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Shared;
use super::answer::{Refusal, ok};
use super::auth::KeyHolder;
use super::extract::{InBody, InPath, InQuery, PageQuery, declared_length};
use super::functions::to_its_end;
use crate::error::UploadError;
use crate::platform::{Answer, WebhookSecret};

/// Bytes as they are carried.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "described, never held")]
pub(super) struct CarriedBytes(Vec<u8>);

/// Lays a job in. The id is the caller's, 16 random bytes: the same id with the same body is the same job, however often it
/// is sent. An idempotency key may come besides; what came before under it is answered as then. An input that is too large for JSON follows by `PUT /v1/jobs/{id}/input`.
#[utoipa::path(
    post,
    path = "/v1/jobs",
    operation_id = "createJob",
    tag = "jobs",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; the answer is kept for 24 h")),
    request_body = CreateJob,
    responses(
        (status = 200, description = "The same job was there; where it stands", body = Job),
        (status = 201, description = "There is a new job", body = Job),
        (status = 400, description = "`json-syntax`, `body-incomplete`, `idempotency-key-invalid`"),
        (status = 402, description = "`spending-cap-reached`: the function has no leases until its next use is covered"),
        (status = 404, description = "`function-not-found`, `version-not-found`"),
        (status = 409, description = "`job-id-reused`, `idempotency-key-reused`"),
        (status = 413, description = "`body-too-long`, `job-too-large`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`, `deadline-out-of-range`, `price-out-of-range`, `webhook-invalid`, `job-malformed`"),
    ),
    security(("api_key" = ["jobs"])),
)]
pub(super) async fn create(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    body: InBody<CreateJob>,
) -> Result<Answer, Refusal> {
    let once = body.once(&key)?;
    let work = async move { platform.submit_job(body.value, &key, once.as_ref()).await };
    Ok(to_its_end(work).await?)
}

/// Takes the input of a job that was made with `"form": "upload"`; then nodes may have it.
#[utoipa::path(
    put,
    path = "/v1/jobs/{id}/input",
    operation_id = "putJobInput",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    request_body(content = inline(CarriedBytes), content_type = "application/octet-stream"),
    responses(
        (status = 204, description = "Taken"),
        (status = 400, description = "`path-invalid`, `upload-incomplete`"),
        (status = 404, description = "`job-not-found`"),
        (status = 408, description = "`upload-stalled`: no byte came for 30 s"),
        (status = 409, description = "`job-input-not-expected`, `job-ended`"),
        (status = 413, description = "`job-too-large`"),
        (status = 422, description = "`job-input-size`, `digest-mismatch`, `job-malformed`"),
    ),
    security(("api_key" = ["jobs"])),
)]
pub(super) async fn input(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InPath(id): InPath<JobId>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let declared = declared_length(request.headers());
    let body = request.into_body().into_data_stream();
    let body = body.map(|bytes| bytes.map_err(|_| UploadError::Incomplete));
    to_its_end(async move {
        platform
            .put_job_input(&key.organisation, id, declared, body)
            .await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// Longest wait in milliseconds; above 60,000 is 60,000. Absent: answer at once.
    #[serde(default)]
    #[param(minimum = 0, default = 0)]
    pub(super) wait_ms: u64,
}

/// Where a job stands. With `wait_ms`, answered when it has ended, or the time is up.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}",
    operation_id = "getJob",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id"), WaitQuery),
    responses(
        (status = 200, description = "The job", body = Job),
        (status = 400, description = "`path-invalid`, `query-invalid`"),
        (status = 404, description = "`job-not-found`"),
    ),
    security(("api_key" = ["jobs"])),
)]
pub(super) async fn get(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InPath(id): InPath<JobId>,
    InQuery(wait): InQuery<WaitQuery>,
) -> Result<Response, Refusal> {
    Ok(ok(&platform
        .job(&key.organisation, id, wait.wait_ms)
        .await?))
}

/// The result as the enclave made it, with its receipt in `nacre-job-receipt`.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/result",
    operation_id = "getJobResult",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "The result; sealed where the input was", content(
            (inline(CarriedBytes) = "application/vnd.nacre.job-result.v1+cbor"),
            (inline(CarriedBytes) = "application/vnd.nacre.sealed-job-result.v1+cbor"),
        ),
            headers(
                ("nacre-job-receipt" = String, description = "What the enclave signed over it"),
                ("nacre-chain-result" = Option<String>, description = "What it signed for the contract that asked for the job"),
            )),
        (status = 400, description = "`path-invalid`"),
        (status = 404, description = "`job-not-found`"),
        (status = 409, description = "`job-no-result`: there is none, or not yet"),
        (status = 410, description = "`job-result-deleted`"),
    ),
    security(("api_key" = ["jobs"])),
)]
pub(super) async fn result(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InPath(id): InPath<JobId>,
) -> Result<Response, Refusal> {
    let result = platform.job_result(&key.organisation, id).await?;
    let media_type = match result.sealed {
        true => SEALED_RESULT_TYPE,
        false => JOB_RESULT_TYPE,
    };
    let mut response = result.bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    let proofs = [
        (JOB_RECEIPT_HEADER, Some(result.receipt)),
        (CHAIN_RESULT_HEADER, result.chain_result),
    ];
    for (name, value) in proofs {
        // base64url is always a header value.
        if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

/// Lists jobs, the latest first.
#[utoipa::path(
    get,
    path = "/v1/jobs",
    operation_id = "listJobs",
    tag = "jobs",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of jobs", body = Page<Job>),
        (status = 400, description = "`query-invalid`, `cursor-invalid`"),
    ),
    security(("api_key" = ["jobs"])),
)]
pub(super) async fn list(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InQuery(page): InQuery<PageQuery>,
) -> Result<Response, Refusal> {
    let page = platform.jobs(&key.organisation, &page.after, page.limit()?);
    Ok(ok(&page.await?))
}

/// Cancels a job that has not ended, and deletes its input and result. Where it stood can be asked on.
#[utoipa::path(
    delete,
    path = "/v1/jobs/{id}",
    operation_id = "deleteJob",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 204, description = "It has ended, and its bytes are deleted"),
        (status = 400, description = "`path-invalid`"),
        (status = 404, description = "`job-not-found`"),
    ),
    security(("api_key" = ["jobs"])),
)]
pub(super) async fn delete(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InPath(id): InPath<JobId>,
) -> Result<StatusCode, Refusal> {
    to_its_end(async move { platform.delete_job(&key.organisation, id).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The key that webhooks of this API key's jobs are signed with: HMAC-SHA256 over `{t}.{body}`, in the header
/// `nacre-webhook-signature: t={Unix ms},v1={hex}`.
#[utoipa::path(
    get,
    path = "/v1/webhook-secret",
    operation_id = "getWebhookSecret",
    tag = "jobs",
    responses((status = 200, description = "The key", body = WebhookSecret)),
    security(("api_key" = ["jobs"])),
)]
pub(super) async fn webhook_secret(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
) -> Result<Response, Refusal> {
    Ok(ok(&platform.webhook_secret(&key.id)))
}
