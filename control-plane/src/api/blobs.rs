//! `/v1/blobs/{digest}`

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use nacre_protocol::digest::Digest;

use super::Shared;
use super::answer::Refusal;
use super::auth::{Caller, KeyHolder};
use super::extract::{InPath, declared_length};
use crate::error::UploadError;
use crate::platform::Put;

/// The blob's bytes.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "described, never held: bodies are streamed")]
struct BlobBytes(Vec<u8>);

/// Stores a blob under its digest. The bytes are hashed as they arrive; a blob is stored whole or not at all. An organisation
/// has the blobs that it put; those of others are not there for it.
#[utoipa::path(
    put,
    path = "/v1/blobs/{digest}",
    operation_id = "putBlob",
    tag = "blobs",
    params(("digest" = String, Path, description = "`sha256:` and 64 lowercase hex digits")),
    request_body(content = inline(BlobBytes), content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "The organisation had put it before; the body was not looked at"),
        (status = 201, description = "It is stored now"),
        (status = 400, description = "`path-invalid`, `upload-incomplete`"),
        (status = 408, description = "`upload-stalled`: no byte came for 30 s"),
        (status = 413, description = "`blob-too-large`"),
        (status = 422, description = "`digest-mismatch`: the bytes have another digest"),
    ),
    security(("api_key" = ["functions:write"])),
)]
pub(super) async fn put(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InPath(digest): InPath<Digest>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let declared = declared_length(request.headers());
    let body = request.into_body().into_data_stream();
    let body = body.map(|bytes| bytes.map_err(|_| UploadError::Incomplete));
    let put = platform.put_blob(key.organisation, digest, declared, body);
    Ok(match put.await? {
        Put::Stored => StatusCode::CREATED,
        Put::Known => StatusCode::OK,
    })
}

/// The blob's bytes. A node gets only blobs of functions that are leased to it.
#[utoipa::path(
    get,
    path = "/v1/blobs/{digest}",
    operation_id = "getBlob",
    tag = "blobs",
    params(("digest" = String, Path, description = "`sha256:` and 64 lowercase hex digits")),
    responses(
        (status = 200, description = "The blob", body = inline(BlobBytes), content_type = "application/octet-stream"),
        (status = 400, description = "`path-invalid`"),
        (status = 404, description = "`blob-not-found`"),
    ),
    security(("api_key" = ["functions:read"]), ("node_token" = [])),
)]
pub(super) async fn get(
    State(platform): State<Shared>,
    Caller(principal): Caller,
    InPath(digest): InPath<Digest>,
) -> Result<Response, Refusal> {
    let blob = platform.blob(&digest, &principal).await?;
    Ok(head_of(&digest, blob.size, Body::from_stream(blob.bytes)))
}

/// Whether the blob is stored, and its length.
#[utoipa::path(
    head,
    path = "/v1/blobs/{digest}",
    operation_id = "headBlob",
    tag = "blobs",
    params(("digest" = String, Path, description = "`sha256:` and 64 lowercase hex digits")),
    responses(
        (status = 200, description = "It is stored; `Content-Length` is its length"),
        (status = 400, description = "`path-invalid`"),
        (status = 404, description = "`blob-not-found`"),
    ),
    security(("api_key" = ["functions:read"]), ("node_token" = [])),
)]
pub(super) async fn head(
    State(platform): State<Shared>,
    Caller(principal): Caller,
    InPath(digest): InPath<Digest>,
) -> Result<Response, Refusal> {
    let size = platform.blob_size(&digest, &principal).await?;
    Ok(head_of(&digest, size, Body::empty()))
}

fn head_of(digest: &Digest, size: u64, body: Body) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, size.to_string()),
        (ETAG, format!("\"{digest}\"")),
    ];
    (headers, body).into_response()
}
