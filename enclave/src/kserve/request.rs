//! From the body of an inference request to tensors.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{
    JSON, MAX_ID, MAX_NAME, MAX_PARAMETERS, MAX_RANK, MAX_TENSORS, OCTET_STREAM, ParameterValue,
    error::{KserveError, excerpt},
    json_read::read_data,
    wire::{Bounded, Object, Parameters, WireInput, WireOutput, WireRequest},
};
use crate::tensor::{DataType, Tensor};

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
}

/// An output that the caller wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedOutput {
    /// Name of the output.
    pub name: String,
    /// Whether it comes as binary data: the output's own `binary_data`, otherwise the request's default.
    pub binary: bool,
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

fn decode_inputs(
    wire: Bounded<Object<WireInput<'_>>, MAX_TENSORS>,
    binary: Option<Bytes>,
) -> Result<Vec<Tensor>, KserveError> {
    check_count(wire.count, "inputs", MAX_TENSORS, "the request")?;
    let headers = wire
        .items
        .into_iter()
        .enumerate()
        .map(|(index, Object(input))| InputHeader::new(index, input))
        .collect::<Result<Vec<_>, _>>()?;
    check_unique("input", headers.iter().map(|input| input.name.as_str()))?;
    let mut binary = BinaryPart::new(&headers, binary)?;
    headers
        .into_iter()
        .map(|input| input.into_tensor(&mut binary))
        .collect()
}

/// An input whose fields are checked and whose data is not read yet.
struct InputHeader<'a> {
    name: String,
    datatype: DataType,
    shape: Vec<u64>,
    source: DataSource<'a>,
}

enum DataSource<'a> {
    Json(&'a RawValue),
    Binary(u64),
}

impl<'a> InputHeader<'a> {
    fn new(index: usize, wire: WireInput<'a>) -> Result<Self, KserveError> {
        let name = checked_name("input", index, wire.name)?;
        let place = format!("input `{name}`");
        let missing = |field| KserveError::MissingField {
            place: place.clone(),
            field,
        };
        let datatype = wire.datatype.ok_or_else(|| missing("datatype"))?;
        let datatype =
            DataType::from_name(&datatype).ok_or_else(|| KserveError::UnknownDatatype {
                tensor: name.clone(),
                datatype: excerpt(&datatype),
            })?;
        let shape = decode_shape(&name, wire.shape.ok_or_else(|| missing("shape"))?)?;
        let parameters = within_limit(wire.parameters, &place)?;
        refuse_parameters(&parameters, &place, &SHARED_MEMORY)?;
        let source = match (binary_size(&parameters, &place)?, wire.data) {
            (Some(size), None) => DataSource::Binary(size),
            (None, Some(data)) => DataSource::Json(data),
            (Some(_), Some(_)) => return Err(KserveError::ConflictingData { tensor: name }),
            (None, None) => return Err(missing("data")),
        };
        Ok(InputHeader {
            name,
            datatype,
            shape,
            source,
        })
    }

    fn into_tensor(self, binary: &mut BinaryPart) -> Result<Tensor, KserveError> {
        let InputHeader {
            name,
            datatype,
            shape,
            source,
        } = self;
        match source {
            DataSource::Json(raw) => {
                let data = read_data(&name, datatype, &shape, raw.get())?;
                Ok(Tensor {
                    name,
                    datatype,
                    shape,
                    data,
                })
            }
            DataSource::Binary(size) => {
                let tensor = Tensor {
                    name,
                    datatype,
                    shape,
                    data: binary.take(size),
                };
                tensor.validate().map_err(KserveError::BinaryData)?;
                Ok(tensor)
            }
        }
    }
}

/// The body's binary data, already known to be as long as the inputs say in sum.
struct BinaryPart(Bytes);

impl BinaryPart {
    fn new(inputs: &[InputHeader<'_>], binary: Option<Bytes>) -> Result<Self, KserveError> {
        let mut sizes = inputs
            .iter()
            .filter_map(|input| match input.source {
                DataSource::Binary(size) => Some(u128::from(size)),
                DataSource::Json(_) => None,
            })
            .peekable();
        if sizes.peek().is_some() && binary.is_none() {
            return Err(KserveError::InvalidHeaderLength {
                reason: "is missing, and inputs have binary data".into(),
            });
        }
        let binary = binary.unwrap_or_default();
        let claimed = sizes.sum::<u128>();
        if u128::try_from(binary.len()) != Ok(claimed) {
            return Err(KserveError::BinaryLength {
                claimed,
                present: binary.len(),
            });
        }
        Ok(BinaryPart(binary))
    }

    fn take(&mut self, size: u64) -> Bytes {
        let size = usize::try_from(size).map_or(self.0.len(), |size| size.min(self.0.len()));
        self.0.split_to(size)
    }
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
        refuse_parameters(&parameters, &place, &["classification"])?;
        let binary =
            bool_parameter(&parameters, &place, "binary_data")?.unwrap_or(binary_data_output);
        outputs.push(RequestedOutput { name, binary });
    }
    check_unique("output", outputs.iter().map(|output| output.name.as_str()))?;
    Ok(Some(outputs))
}

fn decode_shape(tensor: &str, raw: &RawValue) -> Result<Vec<u64>, KserveError> {
    let invalid = |reason: String| KserveError::InvalidShape {
        tensor: tensor.to_owned(),
        reason,
    };
    let shape = serde_json::from_str::<Bounded<u64, MAX_RANK>>(raw.get())
        .map_err(|_| invalid(format!("{} is not a list of lengths", excerpt(raw.get()))))?;
    check_count(
        shape.count,
        "dimensions",
        MAX_RANK,
        &format!("input `{tensor}`"),
    )?;
    // Beside a length of 0 the others are counted all the same: runtimes multiply them in any order, in 64 bits.
    let fits = shape
        .items
        .iter()
        .filter(|length| **length > 0)
        .try_fold(8i64, |bytes, length| {
            i64::try_from(*length)
                .ok()
                .and_then(|length| bytes.checked_mul(length))
        });
    if fits.is_none() {
        return Err(invalid(format!(
            "{:?} is more than memory can hold",
            shape.items
        )));
    }
    Ok(shape.items)
}

const SHARED_MEMORY: [&str; 3] = [
    "shared_memory_region",
    "shared_memory_byte_size",
    "shared_memory_offset",
];

fn refuse_parameters(
    parameters: &BTreeMap<String, ParameterValue>,
    place: &str,
    names: &[&'static str],
) -> Result<(), KserveError> {
    match names.iter().find(|name| parameters.contains_key(**name)) {
        Some(parameter) => Err(KserveError::UnsupportedParameter {
            place: place.to_owned(),
            parameter,
        }),
        None => Ok(()),
    }
}

fn bool_parameter(
    parameters: &BTreeMap<String, ParameterValue>,
    place: &str,
    parameter: &'static str,
) -> Result<Option<bool>, KserveError> {
    match parameters.get(parameter) {
        None => Ok(None),
        Some(ParameterValue::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(KserveError::InvalidParameter {
            place: place.to_owned(),
            parameter,
            expected: "true or false",
        }),
    }
}

fn binary_size(
    parameters: &BTreeMap<String, ParameterValue>,
    place: &str,
) -> Result<Option<u64>, KserveError> {
    const PARAMETER: &str = "binary_data_size";
    let size = match parameters.get(PARAMETER) {
        None => return Ok(None),
        Some(ParameterValue::Integer(size)) => u64::try_from(*size).ok(),
        Some(_) => None,
    };
    size.map(Some).ok_or_else(|| KserveError::InvalidParameter {
        place: place.to_owned(),
        parameter: PARAMETER,
        expected: "a number of bytes",
    })
}

fn within_limit(
    parameters: Option<Parameters>,
    place: &str,
) -> Result<BTreeMap<String, ParameterValue>, KserveError> {
    let parameters = parameters.unwrap_or_default();
    check_count(parameters.count, "parameters", MAX_PARAMETERS, place)?;
    Ok(parameters.values)
}

fn check_count(
    count: usize,
    what: &'static str,
    limit: usize,
    place: &str,
) -> Result<(), KserveError> {
    if count <= limit {
        return Ok(());
    }
    Err(KserveError::TooMany {
        place: place.to_owned(),
        what,
        count,
        limit,
    })
}

fn checked_name(kind: &str, index: usize, name: Option<String>) -> Result<String, KserveError> {
    let place = format!("{kind} {index}");
    match name {
        None => Err(KserveError::MissingField {
            place,
            field: "name",
        }),
        Some(name) if name.is_empty() || name.len() > MAX_NAME => Err(KserveError::InvalidName {
            place,
            limit: MAX_NAME,
        }),
        Some(name) => Ok(name),
    }
}

fn check_unique<'a>(
    kind: &'static str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), KserveError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(KserveError::DuplicateTensor {
                kind,
                name: name.to_owned(),
            });
        }
    }
    Ok(())
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
