//! Tensor data into JSON, and every other JSON body of the protocol.

use bytes::Bytes;
use half::{bf16, f16};
use serde::Serialize;

use super::error::KserveError;
use crate::tensor::{BytesElements, DataType, Tensor};

/// Appends the tensor's elements as one flat list. The tensor must be valid ([`Tensor::validate`]).
///
/// Floats are the shortest text that reads back as the same number of their own width; 16-bit ones as `f32`s.
pub(super) fn write_data(out: &mut Vec<u8>, tensor: &Tensor) -> Result<(), KserveError> {
    match tensor.datatype {
        DataType::Bool => exact(out, tensor, |[byte]| byte != 0),
        DataType::Uint8 => exact(out, tensor, u8::from_le_bytes),
        DataType::Uint16 => exact(out, tensor, u16::from_le_bytes),
        DataType::Uint32 => exact(out, tensor, u32::from_le_bytes),
        DataType::Uint64 => exact(out, tensor, u64::from_le_bytes),
        DataType::Int8 => exact(out, tensor, i8::from_le_bytes),
        DataType::Int16 => exact(out, tensor, i16::from_le_bytes),
        DataType::Int32 => exact(out, tensor, i32::from_le_bytes),
        DataType::Int64 => exact(out, tensor, i64::from_le_bytes),
        DataType::Fp16 => float(out, tensor, |raw| f16::from_le_bytes(raw).to_f32()),
        DataType::Bf16 => float(out, tensor, |raw| bf16::from_le_bytes(raw).to_f32()),
        DataType::Fp32 => float(out, tensor, f32::from_le_bytes),
        DataType::Fp64 => float(out, tensor, f64::from_le_bytes),
        DataType::Bytes => strings(out, tensor),
    }
}

/// Elements of a type whose every value JSON can carry.
fn exact<const N: usize, T: Serialize>(
    out: &mut Vec<u8>,
    tensor: &Tensor,
    value: impl Fn([u8; N]) -> T,
) -> Result<(), KserveError> {
    let (elements, _) = tensor.data.as_chunks::<N>();
    list(out, elements.iter(), |out, raw| {
        put(out, &value(*raw));
        Ok(())
    })
}

fn float<const N: usize, T: Serialize + Copy + Into<f64>>(
    out: &mut Vec<u8>,
    tensor: &Tensor,
    value: impl Fn([u8; N]) -> T,
) -> Result<(), KserveError> {
    let (elements, _) = tensor.data.as_chunks::<N>();
    list(out, elements.iter().enumerate(), |out, (index, raw)| {
        let value = value(*raw);
        finite(tensor, index, value.into())?;
        put(out, &value);
        Ok(())
    })
}

fn strings(out: &mut Vec<u8>, tensor: &Tensor) -> Result<(), KserveError> {
    let elements = BytesElements::new(&tensor.data).enumerate();
    list(out, elements, |out, (index, element)| {
        let text = element
            .and_then(|element| std::str::from_utf8(element).ok())
            .ok_or_else(|| not_representable(tensor, index, "not UTF-8"))?;
        put(out, text);
        Ok(())
    })
}

/// Appends `[`, the items with commas between them, and `]`.
pub(super) fn list<T>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = T>,
    mut item: impl FnMut(&mut Vec<u8>, T) -> Result<(), KserveError>,
) -> Result<(), KserveError> {
    out.push(b'[');
    for (index, value) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        item(out, value)?;
    }
    out.push(b']');
    Ok(())
}

fn finite(tensor: &Tensor, index: usize, value: f64) -> Result<(), KserveError> {
    if value.is_finite() {
        return Ok(());
    }
    let value = if value.is_nan() { "NaN" } else { "infinite" };
    Err(not_representable(tensor, index, value))
}

fn not_representable(tensor: &Tensor, index: usize, value: &'static str) -> KserveError {
    KserveError::NotRepresentable {
        tensor: tensor.name.clone(),
        index,
        value,
    }
}

/// Appends one value as JSON.
#[expect(
    clippy::expect_used,
    reason = "writing to a Vec cannot fail, and no type that is written here has a key that is not a string"
)]
pub(super) fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("JSON is written to memory");
}

/// One value as a JSON body.
pub(super) fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Bytes {
    let mut out = Vec::new();
    put(&mut out, value);
    out.into()
}
