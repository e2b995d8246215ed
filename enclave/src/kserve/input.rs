//! The inputs of a request, from JSON and from the binary data after it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{
    MAX_RANK, MAX_TENSORS, ParameterValue,
    error::{KserveError, excerpt},
    json_read::read_data,
    limits::{
        SHARED_MEMORY, check_count, check_unique, checked_name, refuse_parameters, within_limit,
    },
    wire::{Bounded, Object, WireInput},
};
use crate::tensor::{DataType, Tensor};

/// Decodes the inputs; `binary` is what follows the JSON in the body, `None` where nothing can.
pub(super) fn decode_inputs(
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
