//! `PUT /v1/blobs/{digest}`: bytes come in, are hashed on the way, and stay only if the hash is theirs.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use nacre_protocol::digest::Digest;
use nacre_protocol::problem::Problem;

use crate::functions::{BlobError, BlobStore, Upload};
use crate::http::linger;

/// Longest time without a byte.
const IDLE: Duration = Duration::from_secs(30);

/// Stores the request's body: 201, or 200 where the blob was there already.
pub(super) async fn put(
    store: &BlobStore,
    digest: Digest,
    request: Request<Incoming>,
) -> Result<StatusCode, Problem> {
    let (parts, mut body) = request.into_parts();
    if store.get(&digest).is_some() {
        receive(&mut body, |_| Ok(())).await?;
        return Ok(StatusCode::OK);
    }
    let length = parts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let stored = match length {
        Some(length) => match store.begin(digest, length) {
            Ok(upload) => fill(store, upload, &mut body).await,
            Err(error) => Err(problem(&error)),
        },
        None => Err(Problem::new(
            411,
            "length-required",
            "A blob is sent with its Content-Length",
        )),
    };
    match stored {
        Ok(()) => Ok(StatusCode::CREATED),
        Err(problem) => {
            linger(&parts.headers, body);
            Err(problem)
        }
    }
}

async fn fill(store: &BlobStore, mut upload: Upload, body: &mut Incoming) -> Result<(), Problem> {
    receive(body, |chunk| upload.write(chunk)).await?;
    store.finish(upload).map_err(|error| problem(&error))
}

async fn receive(
    body: &mut Incoming,
    mut take: impl FnMut(&Bytes) -> Result<(), BlobError>,
) -> Result<(), Problem> {
    while !body.is_end_stream() {
        let frame = tokio::time::timeout(IDLE, body.frame())
            .await
            .map_err(|_| Problem::new(408, "body-timeout", "The blob did not arrive in time"))?;
        let Some(frame) = frame else { break };
        let frame = frame
            .map_err(|_| Problem::new(400, "body-incomplete", "The blob did not arrive whole"))?;
        if let Some(data) = frame.data_ref() {
            take(data).map_err(|error| problem(&error))?;
        }
    }
    Ok(())
}

fn problem(error: &BlobError) -> Problem {
    let problem = match error {
        BlobError::Memory(_) => Problem::new(
            507,
            "insufficient-memory",
            "The enclave has no memory for this blob",
        ),
        BlobError::Length { .. } => {
            Problem::new(400, "body-incomplete", "The blob did not arrive whole")
        }
        BlobError::Digest { .. } => Problem::new(
            422,
            "digest-mismatch",
            "The bytes have another digest than their name",
        ),
    };
    problem.with_detail(error.to_string())
}
