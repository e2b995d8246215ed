//! Bodies with a bound.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::error::ClientError;

/// Reads a whole body of at most `limit` bytes.
pub(crate) async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, ClientError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(ClientError::AnswerTooLarge { limit });
    }
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        let so_far = first.as_ref().map_or(0, Bytes::len) + rest.len();
        if so_far + data.len() > limit {
            return Err(ClientError::AnswerTooLarge { limit });
        }
        // One frame is the common case, and then nothing is copied.
        if first.is_none() {
            first = Some(data);
        } else {
            rest.extend_from_slice(&data);
        }
    }
    let first = first.unwrap_or_default();
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}
