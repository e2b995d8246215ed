//! The codec as callers use it: what is accepted, what is refused and how, and that what goes out comes back in.

mod bare;
mod binary;
mod classify;
mod clients;
mod json;
mod metadata;
mod properties;
mod refused;
mod response;
mod spec;

use bytes::Bytes;

use super::{InferHeaders, InferRequest, KserveError, decode_infer};
use crate::tensor::{DataType, Tensor};

fn decode_json(json: &str) -> Result<InferRequest, KserveError> {
    decode_infer(
        InferHeaders::default(),
        Bytes::copy_from_slice(json.as_bytes()),
    )
}

fn decode_mixed(json: &str, binary: &[u8]) -> Result<InferRequest, KserveError> {
    let length = json.len().to_string();
    let headers = InferHeaders {
        content_type: Some("application/octet-stream"),
        inference_header_content_length: Some(&length),
    };
    decode_infer(headers, [json.as_bytes(), binary].concat().into())
}

/// A request with one JSON input `x`.
fn one(datatype: &str, shape: &str, data: &str) -> Result<Tensor, KserveError> {
    let request = decode_json(&format!(
        r#"{{"inputs":[{{"name":"x","data":{data},"datatype":"{datatype}","shape":{shape}}}]}}"#
    ))?;
    assert_eq!(request.inputs.len(), 1);
    Ok(request.inputs.into_iter().next().unwrap())
}

fn tensor(name: &str, datatype: DataType, shape: &[u64], data: &[u8]) -> Tensor {
    Tensor {
        name: name.into(),
        datatype,
        shape: shape.to_vec(),
        data: Bytes::copy_from_slice(data),
    }
}

/// Little-endian bytes of a list of numbers.
macro_rules! le {
    ($($value:expr),* $(,)?) => {{
        let mut data: Vec<u8> = Vec::new();
        $(data.extend_from_slice(&$value.to_le_bytes());)*
        data
    }};
}
use le;
