//! Tensors as every part of the enclave passes them on: the KServe codec makes them out of requests, the worker
//! computes on them, the codec writes answers out of them.
//!
//! Data is little-endian and row major. An element of `BYTES` is its length as four little-endian bytes and then
//! the bytes themselves: the binary form of the Open Inference Protocol v2, so that a binary request becomes a
//! tensor without being copied.

use bytes::Bytes;

/// One named tensor. Call [`Tensor::validate`] before relying on `data` having the length that `shape` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Name of the model's input or output.
    pub name: String,
    /// Type of every element.
    pub datatype: DataType,
    /// Length of each dimension; empty for a scalar.
    pub shape: Vec<u64>,
    /// The elements, little-endian, row major.
    pub data: Bytes,
}

impl Tensor {
    /// Number of elements that the shape asks for (1 for a scalar), or an error where that overflows.
    pub fn element_count(&self) -> Result<usize, TensorError> {
        element_count(&self.name, &self.shape)
    }

    /// Checks that the data is what datatype and shape promise: its length, `BOOL` bytes of 0 and 1 only, and
    /// well-formed lengths inside `BYTES`.
    pub fn validate(&self) -> Result<(), TensorError> {
        let count = self.element_count()?;
        match self.datatype.element_size() {
            Some(size) => self.validate_fixed(count, size),
            None => self.validate_bytes(count),
        }
    }

    fn validate_fixed(&self, count: usize, size: usize) -> Result<(), TensorError> {
        let expected = count
            .checked_mul(size)
            .ok_or_else(|| TensorError::TooLarge {
                name: self.name.clone(),
            })?;
        if self.data.len() != expected {
            return Err(TensorError::Length {
                name: self.name.clone(),
                datatype: self.datatype,
                shape: self.shape.clone(),
                expected,
                actual: self.data.len(),
            });
        }
        if self.datatype == DataType::Bool
            && let Some(index) = self.data.iter().position(|byte| *byte > 1)
        {
            return Err(TensorError::Bool {
                name: self.name.clone(),
                index,
            });
        }
        Ok(())
    }

    fn validate_bytes(&self, count: usize) -> Result<(), TensorError> {
        let mut elements = BytesElements::new(&self.data);
        let mut found = 0usize;
        for element in &mut elements {
            if element.is_none() {
                return Err(TensorError::Framing {
                    name: self.name.clone(),
                    index: found,
                });
            }
            found += 1;
        }
        if found != count {
            return Err(TensorError::Count {
                name: self.name.clone(),
                expected: count,
                actual: found,
            });
        }
        Ok(())
    }
}

/// The element types that Open Inference Protocol v2 has a name for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DataType {
    /// `BOOL`, one byte, 0 or 1.
    Bool,
    /// `UINT8`.
    Uint8,
    /// `UINT16`.
    Uint16,
    /// `UINT32`.
    Uint32,
    /// `UINT64`.
    Uint64,
    /// `INT8`.
    Int8,
    /// `INT16`.
    Int16,
    /// `INT32`.
    Int32,
    /// `INT64`.
    Int64,
    /// `FP16`, IEEE 754 binary16.
    Fp16,
    /// `BF16`, the upper half of a binary32.
    Bf16,
    /// `FP32`, IEEE 754 binary32.
    Fp32,
    /// `FP64`, IEEE 754 binary64.
    Fp64,
    /// `BYTES`, elements of any length; ONNX strings.
    Bytes,
}

impl DataType {
    /// Every type, in the order of the protocol's table.
    pub const ALL: [DataType; 14] = [
        DataType::Bool,
        DataType::Uint8,
        DataType::Uint16,
        DataType::Uint32,
        DataType::Uint64,
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Fp16,
        DataType::Bf16,
        DataType::Fp32,
        DataType::Fp64,
        DataType::Bytes,
    ];

    /// The protocol's name of the type, such as `FP32`.
    pub const fn name(self) -> &'static str {
        match self {
            DataType::Bool => "BOOL",
            DataType::Uint8 => "UINT8",
            DataType::Uint16 => "UINT16",
            DataType::Uint32 => "UINT32",
            DataType::Uint64 => "UINT64",
            DataType::Int8 => "INT8",
            DataType::Int16 => "INT16",
            DataType::Int32 => "INT32",
            DataType::Int64 => "INT64",
            DataType::Fp16 => "FP16",
            DataType::Bf16 => "BF16",
            DataType::Fp32 => "FP32",
            DataType::Fp64 => "FP64",
            DataType::Bytes => "BYTES",
        }
    }

    /// The type with this name; names are case-sensitive.
    pub fn from_name(name: &str) -> Option<DataType> {
        DataType::ALL
            .into_iter()
            .find(|datatype| datatype.name() == name)
    }

    /// Bytes of one element; `None` for [`DataType::Bytes`], whose elements differ in length.
    pub const fn element_size(self) -> Option<usize> {
        match self {
            DataType::Bool | DataType::Uint8 | DataType::Int8 => Some(1),
            DataType::Uint16 | DataType::Int16 | DataType::Fp16 | DataType::Bf16 => Some(2),
            DataType::Uint32 | DataType::Int32 | DataType::Fp32 => Some(4),
            DataType::Uint64 | DataType::Int64 | DataType::Fp64 => Some(8),
            DataType::Bytes => None,
        }
    }
}

impl std::fmt::Display for DataType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What a model says of one of its inputs or outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name, unique among the model's inputs or outputs.
    pub name: String,
    /// Type of the elements.
    pub datatype: DataType,
    /// Length of each dimension, −1 where the caller chooses it.
    pub shape: Vec<i64>,
}

/// Inputs and outputs of a model, in the model's own order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelSpec {
    /// What the model takes.
    pub inputs: Vec<TensorSpec>,
    /// What the model gives.
    pub outputs: Vec<TensorSpec>,
}

/// Why a tensor's data is not what its datatype and shape promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The shape's element count or byte length overflows.
    #[error("tensor `{name}`: its shape asks for more elements than memory can hold")]
    TooLarge {
        /// Name of the tensor.
        name: String,
    },
    /// The data is shorter or longer than shape × element size.
    #[error(
        "tensor `{name}`: {datatype} of shape {shape:?} takes {expected} bytes of data, not {actual}"
    )]
    Length {
        /// Name of the tensor.
        name: String,
        /// Its type.
        datatype: DataType,
        /// Its shape.
        shape: Vec<u64>,
        /// Bytes that type and shape ask for.
        expected: usize,
        /// Bytes that are there.
        actual: usize,
    },
    /// A `BOOL` byte other than 0 and 1.
    #[error("tensor `{name}`: element {index} is neither 0 nor 1, as BOOL has to be")]
    Bool {
        /// Name of the tensor.
        name: String,
        /// Index of the first such element.
        index: usize,
    },
    /// A `BYTES` element whose length runs past the data.
    #[error("tensor `{name}`: BYTES element {index} is cut short")]
    Framing {
        /// Name of the tensor.
        name: String,
        /// Index of the element.
        index: usize,
    },
    /// A `BYTES` tensor with another number of elements than its shape says.
    #[error("tensor `{name}`: the shape asks for {expected} BYTES elements, the data has {actual}")]
    Count {
        /// Name of the tensor.
        name: String,
        /// Elements that the shape asks for.
        expected: usize,
        /// Elements that are there.
        actual: usize,
    },
}

impl TensorError {
    /// Stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            TensorError::TooLarge { .. } | TensorError::Length { .. } => "tensor-length",
            TensorError::Count { .. } => "tensor-length",
            TensorError::Bool { .. } | TensorError::Framing { .. } => "tensor-data",
        }
    }
}

/// The elements of a `BYTES` tensor's data, in order. An element whose length runs past the data comes as `None`,
/// and is the last.
#[derive(Debug, Clone)]
pub struct BytesElements<'a> {
    rest: &'a [u8],
}

impl<'a> BytesElements<'a> {
    /// Reads `data`, each element four little-endian bytes of length and then the bytes.
    pub fn new(data: &'a [u8]) -> Self {
        BytesElements { rest: data }
    }
}

impl<'a> Iterator for BytesElements<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some((length, rest)) = self.rest.split_first_chunk::<4>() else {
            self.rest = &[];
            return Some(None);
        };
        let element = usize::try_from(u32::from_le_bytes(*length))
            .ok()
            .and_then(|length| rest.split_at_checked(length));
        match element {
            Some((element, rest)) => {
                self.rest = rest;
                Some(Some(element))
            }
            None => {
                self.rest = &[];
                Some(None)
            }
        }
    }
}

/// Number of elements of a shape, 1 for a scalar; `name` is for the error.
pub fn element_count(name: &str, shape: &[u64]) -> Result<usize, TensorError> {
    // A zero anywhere makes the tensor empty, however large the other dimensions are; they must still be honest.
    shape
        .iter()
        .try_fold(1usize, |count, dimension| {
            usize::try_from(*dimension)
                .ok()
                .and_then(|dimension| count.checked_mul(dimension))
        })
        .ok_or_else(|| TensorError::TooLarge {
            name: name.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tensor(datatype: DataType, shape: &[u64], data: &[u8]) -> Tensor {
        Tensor {
            name: "x".into(),
            datatype,
            shape: shape.to_vec(),
            data: Bytes::copy_from_slice(data),
        }
    }

    #[test]
    fn names_are_the_protocols() {
        let names: Vec<_> = DataType::ALL.iter().map(|d| d.name()).collect();
        assert_eq!(
            names.join(" "),
            "BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 BF16 FP32 FP64 BYTES"
        );
        for datatype in DataType::ALL {
            assert_eq!(DataType::from_name(datatype.name()), Some(datatype));
        }
        assert_eq!(DataType::from_name("fp32"), None);
    }

    #[test]
    fn lengths_must_agree() {
        assert_eq!(tensor(DataType::Fp32, &[2], &[0; 8]).validate(), Ok(()));
        assert_eq!(tensor(DataType::Fp32, &[], &[0; 4]).validate(), Ok(()));
        assert_eq!(tensor(DataType::Fp32, &[0, 3], &[]).validate(), Ok(()));
        let short = tensor(DataType::Fp32, &[2], &[0; 7]).validate();
        assert!(matches!(
            short,
            Err(TensorError::Length {
                expected: 8,
                actual: 7,
                ..
            })
        ));
    }

    #[test]
    fn overflowing_shapes_are_refused() {
        for shape in [&[u64::MAX, 2][..], &[1 << 32, 1 << 32], &[1 << 62, 2]] {
            let error = tensor(DataType::Fp64, shape, &[]).validate().unwrap_err();
            assert_eq!(error.code(), "tensor-length");
        }
        assert!(matches!(
            tensor(DataType::Fp64, &[1 << 61], &[]).validate(),
            Err(TensorError::TooLarge { .. })
        ));
    }

    #[test]
    fn bool_is_zero_or_one() {
        assert_eq!(tensor(DataType::Bool, &[2], &[0, 1]).validate(), Ok(()));
        assert!(matches!(
            tensor(DataType::Bool, &[2], &[0, 2]).validate(),
            Err(TensorError::Bool { index: 1, .. })
        ));
    }

    #[test]
    fn bytes_framing_is_checked() {
        let two = b"\x02\0\0\0ab\0\0\0\0";
        assert_eq!(tensor(DataType::Bytes, &[2], two).validate(), Ok(()));
        assert!(matches!(
            tensor(DataType::Bytes, &[1], two).validate(),
            Err(TensorError::Count {
                expected: 1,
                actual: 2,
                ..
            })
        ));
        for cut in [1, 5, 7] {
            assert!(matches!(
                tensor(DataType::Bytes, &[2], &two[..cut]).validate(),
                Err(TensorError::Framing { .. })
            ));
        }
    }

    proptest! {
        #[test]
        fn validation_never_panics(
            kind in 0usize..14,
            shape in prop::collection::vec(any::<u64>(), 0..5),
            data in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let _ = tensor(DataType::ALL[kind], &shape, &data).validate();
        }
    }
}
