//! From the body of an inference request to tensors.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use bytes::Bytes;

use super::{
    JSON, MAX_ID, MAX_TENSORS, OCTET_STREAM, ParameterValue,
    error::{KserveError, excerpt},
    input::decode_inputs,
    limits::{
        SHARED_MEMORY, bool_parameter, check_count, check_unique, checked_name, count_parameter,
        refuse_parameters, within_limit,
    },
    wire::{Bounded, Object, WireOutput, WireRequest},
};
use crate::tensor::Tensor;

/// The headers that say how to read an inference request's body.
#[derive(Debug, Clone, Copy, Default)]
pub struct InferHeaders<'a> {
    /// `Content-Type`. May be absent: well-known clients send none with JSON.
    pub content_type: Option<&'a str>,
    /// `Inference-Header-Content-Length`: length of the JSON before the binary data.
    pub inference_header_content_length: Option<&'a str>,
}

/// A decoded inference request. Every tensor holds what its datatype and shape promise.
#[derive(Debug, Clone, PartialEq)]
pub struct InferRequest {
    /// The caller's id, to be sent back.
    pub id: Option<String>,
    /// The inputs, in the request's order, no two of one name.
    pub inputs: Vec<Tensor>,
    /// The outputs that the caller wants, no two of one name; `None` for all of them.
    pub outputs: Option<Vec<RequestedOutput>>,
    /// Whether outputs that do not say otherwise come as binary data.
    pub binary_data_output: bool,
    /// The request's parameters, `binary_data_output` among them.
    pub parameters: BTreeMap<String, ParameterValue>,
    /// Whether the inputs came as bare tensors; then so do the outputs.
    pub bare: bool,
}

/// An output that the caller wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedOutput {
    /// Name of the output.
    pub name: String,
    /// Whether it comes as binary data: the output's own `binary_data`, otherwise the request's default.
    pub binary: bool,
    /// How many of its classes the caller wants instead of the tensor itself.
    pub classes: Option<NonZeroUsize>,
}

impl InferRequest {
    /// Whether the output `name` is to come as binary data.
    pub fn wants_binary(&self, name: &str) -> bool {
        self.outputs
            .iter()
            .flatten()
            .find(|output| output.name == name)
            .map_or(self.binary_data_output, |output| output.binary)
    }

    /// How many classes of the output `name` are wanted; `None`: the tensor itself.
    pub fn wants_classes(&self, name: &str) -> Option<NonZeroUsize> {
        self.outputs
            .iter()
            .flatten()
            .find(|output| output.name == name)
            .and_then(|output| output.classes)
    }
}

/// Decodes the body of `POST …/infer`, whose content encoding is already undone ([`super::decode_body`]).
///
/// Without `Inference-Header-Content-Length` the whole body is JSON. With it, that many bytes are, and the binary data
/// of those inputs that have the parameter `binary_data_size` follows, in the inputs' order and without gaps; these
/// tensors share the body's memory.
pub fn decode_infer(headers: InferHeaders<'_>, body: Bytes) -> Result<InferRequest, KserveError> {
    check_content_type(headers.content_type)?;
    let (json, binary) = split_body(headers.inference_header_content_length, body)?;
    let json = std::str::from_utf8(&json).map_err(|error| KserveError::MalformedJson {
        reason: format!("byte {} is not UTF-8", error.valid_up_to()),
    })?;
    let Object(wire) = serde_json::from_str::<Object<WireRequest<'_>>>(json).map_err(json_error)?;

    if wire.id.as_ref().is_some_and(|id| id.len() > MAX_ID) {
        return Err(KserveError::InvalidName {
            place: "the request".into(),
            limit: MAX_ID,
        });
    }
    let parameters = within_limit(wire.parameters, "the request")?;
    let binary_data_output =
        bool_parameter(&parameters, "the request", "binary_data_output")?.unwrap_or(false);
    let inputs = wire.inputs.ok_or_else(|| KserveError::MissingField {
        place: "the request".into(),
        field: "inputs",
    })?;
    Ok(InferRequest {
        id: wire.id,
        inputs: decode_inputs(inputs, binary)?,
        outputs: decode_outputs(wire.outputs, binary_data_output)?,
        binary_data_output,
        parameters,
        bare: false,
    })
}

fn check_content_type(content_type: Option<&str>) -> Result<(), KserveError> {
    let Some(content_type) = content_type else {
        return Ok(());
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(JSON) || essence.eq_ignore_ascii_case(OCTET_STREAM) {
        return Ok(());
    }
    Err(KserveError::UnsupportedMediaType {
        content_type: excerpt(content_type),
    })
}

/// The JSON and the binary data after it; `None` for the second where the body is JSON only.
fn split_body(
    header_length: Option<&str>,
    mut body: Bytes,
) -> Result<(Bytes, Option<Bytes>), KserveError> {
    let Some(text) = header_length else {
        return Ok((body, None));
    };
    // `parse` alone would take "+5".
    let length = Some(text.trim())
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse::<usize>().ok())
        .ok_or_else(|| KserveError::InvalidHeaderLength {
            reason: format!("is {}, not a number of bytes", excerpt(text)),
        })?;
    if length > body.len() {
        return Err(KserveError::InvalidHeaderLength {
            reason: format!("is {length}, but the body has {} bytes", body.len()),
        });
    }
    if length == 0 {
        return Err(KserveError::InvalidHeaderLength {
            reason: "is 0: raw binary requests are not supported, send the JSON part".into(),
        });
    }
    let binary = body.split_off(length);
    Ok((body, Some(binary)))
}

fn decode_outputs(
    wire: Option<Bounded<Object<WireOutput>, MAX_TENSORS>>,
    binary_data_output: bool,
) -> Result<Option<Vec<RequestedOutput>>, KserveError> {
    let Some(wire) = wire.filter(|outputs| outputs.count > 0) else {
        return Ok(None);
    };
    check_count(wire.count, "outputs", MAX_TENSORS, "the request")?;
    let mut outputs = Vec::with_capacity(wire.items.len());
    for (index, Object(output)) in wire.items.into_iter().enumerate() {
        let name = checked_name("output", index, output.name)?;
        let place = format!("output `{name}`");
        let parameters = within_limit(output.parameters, &place)?;
        refuse_parameters(&parameters, &place, &SHARED_MEMORY)?;
        let classes = count_parameter(&parameters, &place, "classification")?;
        let binary =
            bool_parameter(&parameters, &place, "binary_data")?.unwrap_or(binary_data_output);
        outputs.push(RequestedOutput {
            name,
            binary,
            classes,
        });
    }
    check_unique("output", outputs.iter().map(|output| output.name.as_str()))?;
    Ok(Some(outputs))
}

/// serde's words may quote a string of the body, of any length: they are cut.
fn json_error(error: serde_json::Error) -> KserveError {
    const SHOWN: usize = 200;
    let text = error.to_string();
    let reason = match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!(
            "{}… at line {} column {}",
            text.get(..end).unwrap_or_default(),
            error.line(),
            error.column()
        ),
        None => text,
    };
    if error.is_data() {
        KserveError::InvalidRequest { reason }
    } else {
        KserveError::MalformedJson { reason }
    }
}
