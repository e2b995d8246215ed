//! Bodies with a bound.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

/// Why a body was not read.
#[derive(Debug)]
pub(crate) enum CollectError {
    /// Longer than the limit, by its own account or in fact.
    TooLarge,
    /// The connection ended inside the body, or its framing is wrong.
    Broken(hyper::Error),
}

/// Reads a whole body of at most `limit` bytes. One whose `Content-Length` is above it is refused before a byte is read.
pub(crate) async fn collect(body: &mut Incoming, limit: usize) -> Result<Bytes, CollectError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(CollectError::TooLarge);
    }
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(CollectError::Broken)?.into_data() else {
            continue;
        };
        let so_far = first.as_ref().map_or(0, Bytes::len) + rest.len();
        if so_far + data.len() > limit {
            return Err(CollectError::TooLarge);
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
