//! Tensors without a word around them, for callers that cannot write JSON, such as a smart contract.
//!
//! The request's body is the data of the model's inputs, in the model's order and without gaps; the answer's is that of its
//! outputs. Names, datatypes and shapes are the model's. One dimension of all inputs together may be of any length: it
//! follows from the body's. A refusal is JSON, as everywhere.

use bytes::Bytes;
use nacre_protocol::TENSORS_TYPE;

use super::error::KserveError;
use super::request::{InferHeaders, InferRequest};
use super::response::EncodedResponse;
use crate::tensor::{ModelSpec, Tensor, TensorSpec};

/// Whether a request of this content type is one.
pub fn is_bare(content_type: Option<&str>) -> bool {
    let essence = content_type.and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(TENSORS_TYPE))
}

/// Cuts the body into the model's inputs, which share its memory.
pub fn decode_bare(
    headers: InferHeaders<'_>,
    mut body: Bytes,
    model: &ModelSpec,
) -> Result<InferRequest, KserveError> {
    if headers.inference_header_content_length.is_some() {
        let reason = format!("has no meaning beside {TENSORS_TYPE}");
        return Err(KserveError::InvalidHeaderLength { reason });
    }
    let shapes = shapes(model, body.len())?;
    let mut inputs = Vec::with_capacity(model.inputs.len());
    for (spec, (shape, size)) in model.inputs.iter().zip(shapes) {
        let tensor = Tensor {
            name: spec.name.clone(),
            datatype: spec.datatype,
            shape,
            data: body.split_to(size),
        };
        tensor.validate().map_err(KserveError::BinaryData)?;
        inputs.push(tensor);
    }
    Ok(InferRequest {
        id: None,
        inputs,
        outputs: None,
        binary_data_output: true,
        parameters: Default::default(),
        bare: true,
    })
}

/// The outputs' data, in their order. They come from a worker, which a hostile model may have taken over: each is checked first.
pub fn encode_bare(outputs: &[Tensor]) -> Result<EncodedResponse, KserveError> {
    let mut body = Vec::with_capacity(outputs.iter().map(|output| output.data.len()).sum());
    for output in outputs {
        output.validate().map_err(KserveError::MalformedOutput)?;
        body.extend_from_slice(&output.data);
    }
    Ok(EncodedResponse {
        body: body.into(),
        inference_header_content_length: None,
        content_type: TENSORS_TYPE,
    })
}

/// Of each input its shape and bytes, which add up to exactly `length`.
fn shapes(model: &ModelSpec, length: usize) -> Result<Vec<(Vec<u64>, usize)>, KserveError> {
    let free = model.inputs.iter().flat_map(|input| &input.shape);
    if free.filter(|dimension| **dimension < 0).count() > 1 {
        return Err(refused(
            "the model's inputs have more than one dimension of any length: send JSON",
        ));
    }
    // Of each input: bytes for each step of its free dimension, or all of them.
    let units = model
        .inputs
        .iter()
        .map(unit)
        .collect::<Result<Vec<_>, _>>()?;
    let with_units = || model.inputs.iter().zip(&units);
    let mut fixed = with_units().filter(|(input, _)| !is_free(input));
    let fixed = fixed.try_fold(0usize, |sum, (_, unit)| sum.checked_add(*unit));
    let fixed = fixed.ok_or_else(too_large)?;
    let rest = length.checked_sub(fixed);
    let steps = match (rest, with_units().find(|(input, _)| is_free(input))) {
        (Some(0), None) => Some(1),
        (Some(rest), Some((_, unit))) if *unit > 0 && rest % unit == 0 => Some(rest / unit),
        _ => None,
    };
    let steps = steps.ok_or_else(|| {
        refused(&format!(
            "the model's inputs take {fixed} bytes{}, the body has {length}",
            match with_units().find(|(input, _)| is_free(input)) {
                Some((_, unit)) => format!(" and a multiple of {unit}"),
                None => String::new(),
            }
        ))
    })?;
    Ok(with_units()
        .map(|(input, unit)| {
            let size = if is_free(input) { unit * steps } else { *unit };
            let dimension = |d: &i64| u64::try_from(*d).unwrap_or(steps as u64);
            (input.shape.iter().map(dimension).collect(), size)
        })
        .collect())
}

fn is_free(input: &TensorSpec) -> bool {
    input.shape.iter().any(|dimension| *dimension < 0)
}

/// Bytes of a tensor whose free dimension is 1.
fn unit(input: &TensorSpec) -> Result<usize, KserveError> {
    let size = input.datatype.element_size().ok_or_else(|| {
        refused(&format!(
            "input `{}` is {}, whose elements have no fixed length: send JSON",
            input.name, input.datatype
        ))
    })?;
    let fixed = input.shape.iter().filter(|dimension| **dimension >= 0);
    let mut lengths = fixed.map(|dimension| usize::try_from(*dimension).ok());
    lengths
        .try_fold(size, |product, length| product.checked_mul(length?))
        .ok_or_else(too_large)
}

fn too_large() -> KserveError {
    refused("the model's inputs are larger than memory can hold")
}

fn refused(reason: &str) -> KserveError {
    KserveError::BareTensors {
        reason: reason.to_owned(),
    }
}
