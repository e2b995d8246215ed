//! From tensors to the body of an inference answer.

use bytes::Bytes;

use super::{
    JSON, OCTET_STREAM,
    error::KserveError,
    json_write::{list, put, write_data},
};
use crate::tensor::Tensor;

/// What an answer says beside its outputs.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead<'a> {
    /// Name of the model that answered.
    pub model_name: &'a str,
    /// Its version, where it has one.
    pub model_version: Option<&'a str>,
    /// The request's id.
    pub id: Option<&'a str>,
}

/// An answer, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedResponse {
    /// The body: JSON, and after it the binary data of those outputs that come so.
    pub body: Bytes,
    /// Value of `Inference-Header-Content-Length`; absent where the body is JSON only.
    pub inference_header_content_length: Option<usize>,
    /// Value of `Content-Type`.
    pub content_type: &'static str,
}

/// Encodes `outputs` in their order, each as binary data where `is_binary(name)` says so
/// ([`super::InferRequest::wants_binary`]), otherwise as JSON.
///
/// The outputs come from a worker, which a hostile model may have taken over: each is checked first.
pub fn encode_infer_response(
    head: ResponseHead<'_>,
    outputs: &[Tensor],
    is_binary: impl Fn(&str) -> bool,
) -> Result<EncodedResponse, KserveError> {
    let mut body = Vec::new();
    let mut binary = Vec::new();
    body.extend_from_slice(b"{\"model_name\":");
    put(&mut body, head.model_name);
    for (key, value) in [("model_version", head.model_version), ("id", head.id)] {
        if let Some(value) = value {
            put_key(&mut body, key);
            put(&mut body, value);
        }
    }
    put_key(&mut body, "outputs");
    list(&mut body, outputs.iter(), |body, output| {
        output.validate().map_err(KserveError::MalformedOutput)?;
        body.extend_from_slice(b"{\"name\":");
        put(body, &output.name);
        put_key(body, "datatype");
        put(body, output.datatype.name());
        put_key(body, "shape");
        put(body, &output.shape);
        if is_binary(&output.name) {
            put_key(body, "parameters");
            body.extend_from_slice(b"{\"binary_data_size\":");
            put(body, &output.data.len());
            body.push(b'}');
            binary.push(&output.data);
        } else {
            put_key(body, "data");
            write_data(body, output)?;
        }
        body.push(b'}');
        Ok(())
    })?;
    body.push(b'}');

    if binary.is_empty() {
        return Ok(EncodedResponse {
            body: body.into(),
            inference_header_content_length: None,
            content_type: JSON,
        });
    }
    let header_length = body.len();
    body.reserve_exact(binary.iter().map(|data| data.len()).sum());
    for data in binary {
        body.extend_from_slice(data);
    }
    Ok(EncodedResponse {
        body: body.into(),
        inference_header_content_length: Some(header_length),
        content_type: OCTET_STREAM,
    })
}

fn put_key(body: &mut Vec<u8>, key: &str) {
    body.push(b',');
    put(body, key);
    body.push(b':');
}
