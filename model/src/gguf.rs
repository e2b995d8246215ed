//! GGUF files (ggml's `docs/gguf.md`, versions 2 and 3, little-endian): what a model says of itself, and its tensors.
//!
//! The file is a stranger's. Its header is read in order and in bounded pieces, nothing is allocated for a size that is merely
//! claimed, and every tensor is checked to lie within the file.

mod value;

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

pub use value::{Array, Value};

use crate::quantized::Quantization;
use value::Header;

/// Most key-value pairs of a file.
pub const MAX_PAIRS: u64 = 4_096;
/// Most tensors of a file.
pub const MAX_TENSORS: u64 = 65_536;
/// Longest text, in bytes.
pub const MAX_TEXT: u64 = 4 << 20;
/// Most elements of a list.
pub const MAX_ELEMENTS: u64 = 4 << 20;
/// Longest header, in bytes: everything before the tensors' data.
pub const MAX_HEADER: u64 = 256 << 20;
/// Most elements of a tensor.
const MAX_TENSOR: u64 = 1 << 33;
const MAGIC: &[u8; 4] = b"GGUF";
const MAX_DIMENSIONS: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;

/// A file whose header has been read.
#[derive(Debug)]
pub struct Gguf<R> {
    source: R,
    pairs: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Tensor>,
    /// Where the tensors' data begins.
    data: u64,
}

/// Where a tensor is and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Lengths, the innermost dimension first.
    pub shape: Vec<u64>,
    /// How its elements are written.
    pub quantization: Quantization,
    /// From the beginning of the data.
    offset: u64,
    /// Elements.
    elements: usize,
}

/// Why a file is none, or not one that can be read here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Other first bytes.
    #[error("not a GGUF file")]
    Magic,
    /// A version that is not known here, or a big-endian file.
    #[error("version {0} of GGUF is not known here (2 and 3 are)")]
    Version(u32),
    /// More of something than its limit.
    #[error("{what}: {count}, more than the limit of {limit}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        count: u64,
        /// How much there may be.
        limit: u64,
    },
    /// The file contradicts itself.
    #[error("{0}")]
    Malformed(String),
    /// A way of writing numbers that is not known here.
    #[error("tensor {tensor:?} has the type {kind}, which is not known here")]
    TensorType {
        /// Which tensor.
        tensor: String,
        /// Number of the type.
        kind: u32,
    },
    /// What the model needs is not there, or of another type.
    #[error("{0:?} is missing, or of another type")]
    Missing(String),
}

impl GgufError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "file-unreadable",
            Self::Magic => "not-gguf",
            Self::Version(_) => "gguf-version",
            Self::TooMany { .. } | Self::Malformed(_) => "gguf-malformed",
            Self::TensorType { .. } => "gguf-tensor-type",
            Self::Missing(_) => "gguf-incomplete",
        }
    }
}

impl<R: Read + Seek> Gguf<R> {
    /// Reads a file's header.
    ///
    /// # Errors
    ///
    /// [`GgufError`].
    pub fn read(mut source: R) -> Result<Self, GgufError> {
        let length = source.seek(SeekFrom::End(0))?;
        source.seek(SeekFrom::Start(0))?;
        let mut header = Header::new(io::BufReader::new(&mut source), MAX_HEADER);
        if header.bytes::<4>()? != *MAGIC {
            return Err(GgufError::Magic);
        }
        let version = header.u32()?;
        if !matches!(version, 2 | 3) {
            return Err(GgufError::Version(version));
        }
        let tensors = within(header.u64()?, "tensors", MAX_TENSORS)?;
        let count = within(header.u64()?, "key-value pairs", MAX_PAIRS)?;
        let mut pairs = BTreeMap::new();
        for _ in 0..count {
            let key = header.text()?;
            let value = header.value()?;
            if pairs.contains_key(&key) {
                return Err(GgufError::Malformed(format!("{key:?} is there twice")));
            }
            pairs.insert(key, value);
        }
        let mut all = BTreeMap::new();
        for _ in 0..tensors {
            let name = header.text()?;
            let tensor = tensor(&mut header, &name)?;
            if all.contains_key(&name) {
                return Err(GgufError::Malformed(format!("{name:?} is there twice")));
            }
            all.insert(name, tensor);
        }
        let alignment = match pairs.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(Value::U32(alignment)) if alignment.is_power_of_two() => (*alignment).into(),
            Some(_) => {
                return Err(GgufError::Malformed(
                    "general.alignment is no power of two".to_owned(),
                ));
            }
        };
        let data = header.position().next_multiple_of(alignment);
        let room = length.saturating_sub(data);
        for (name, tensor) in &all {
            let end = tensor.offset.checked_add(tensor.bytes() as u64);
            if end.is_none_or(|end| end > room) {
                return Err(GgufError::Malformed(format!(
                    "tensor {name:?} lies beyond the file's end"
                )));
            }
        }
        Ok(Self {
            source,
            pairs,
            tensors: all,
            data,
        })
    }

    /// The tensor's numbers, as they are written.
    ///
    /// # Errors
    ///
    /// `Missing`, `Io`.
    pub fn bytes_of(&mut self, name: &str) -> Result<(Tensor, Vec<u8>), GgufError> {
        let tensor = self.tensor(name)?.clone();
        self.source
            .seek(SeekFrom::Start(self.data + tensor.offset))?;
        let mut bytes = vec![0; tensor.bytes()];
        self.source.read_exact(&mut bytes)?;
        Ok((tensor, bytes))
    }

    /// The tensor's numbers.
    ///
    /// # Errors
    ///
    /// `Missing`, `Io`.
    pub fn numbers_of(&mut self, name: &str) -> Result<(Tensor, Vec<f32>), GgufError> {
        let (tensor, bytes) = self.bytes_of(name)?;
        let numbers = tensor.quantization.numbers(&bytes);
        Ok((tensor, numbers))
    }
}

impl<R> Gguf<R> {
    /// A tensor's place and shape.
    ///
    /// # Errors
    ///
    /// `Missing`.
    pub fn tensor(&self, name: &str) -> Result<&Tensor, GgufError> {
        let tensor = self.tensors.get(name);
        tensor.ok_or_else(|| GgufError::Missing(name.to_owned()))
    }

    /// Names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The value of a key, if it is there.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.pairs.get(key)
    }

    /// A text.
    ///
    /// # Errors
    ///
    /// `Missing`.
    pub fn text(&self, key: &str) -> Result<&str, GgufError> {
        match self.get(key) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(GgufError::Missing(key.to_owned())),
        }
    }

    /// A whole number of any width.
    ///
    /// # Errors
    ///
    /// `Missing`.
    pub fn whole(&self, key: &str) -> Result<u64, GgufError> {
        let value = self.get(key).and_then(Value::whole);
        value.ok_or_else(|| GgufError::Missing(key.to_owned()))
    }

    /// A number with a fraction.
    ///
    /// # Errors
    ///
    /// `Missing`.
    pub fn float(&self, key: &str) -> Result<f64, GgufError> {
        match self.get(key) {
            Some(Value::F32(value)) => Ok((*value).into()),
            Some(Value::F64(value)) => Ok(*value),
            _ => Err(GgufError::Missing(key.to_owned())),
        }
    }

    /// A list of texts.
    ///
    /// # Errors
    ///
    /// `Missing`.
    pub fn texts(&self, key: &str) -> Result<&[String], GgufError> {
        match self.get(key) {
            Some(Value::Array(Array::Texts(texts))) => Ok(texts),
            _ => Err(GgufError::Missing(key.to_owned())),
        }
    }
}

impl Tensor {
    fn bytes(&self) -> usize {
        self.quantization.bytes(self.elements)
    }
}

fn tensor(header: &mut Header<impl Read>, name: &str) -> Result<Tensor, GgufError> {
    let malformed = |what: &str| GgufError::Malformed(format!("tensor {name:?} {what}"));
    let dimensions = header.u32()?;
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        return Err(malformed("has no dimension, or more than four"));
    }
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        shape.push(header.u64()?);
    }
    let kind = header.u32()?;
    let offset = header.u64()?;
    let quantization = Quantization::of(kind).ok_or_else(|| GgufError::TensorType {
        tensor: name.to_owned(),
        kind,
    })?;
    let product = shape.iter().try_fold(1u64, |product, length| {
        product.checked_mul(*length).filter(|p| *p <= MAX_TENSOR)
    });
    let elements = product.and_then(|elements| usize::try_from(elements).ok());
    let elements = elements.ok_or_else(|| malformed("is too large"))?;
    let block = quantization.block() as u64;
    if shape.first().is_some_and(|row| !row.is_multiple_of(block)) {
        return Err(malformed("has rows that are no whole blocks"));
    }
    Ok(Tensor {
        shape,
        quantization,
        offset,
        elements,
    })
}

fn within(count: u64, what: &'static str, limit: u64) -> Result<u64, GgufError> {
    if count <= limit {
        return Ok(count);
    }
    Err(GgufError::TooMany { what, count, limit })
}

#[cfg(test)]
mod tests;
