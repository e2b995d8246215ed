//! The header's values.

use std::io::Read;

use super::{GgufError, MAX_ELEMENTS, MAX_TEXT, within};

/// What a key stands for.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each is what its name says")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Text(String),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// A list. Lists in lists are not known to any model.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// Whole numbers of any width, and truth values as 0 and 1.
    Whole(Vec<i64>),
    /// Numbers with fractions.
    Floats(Vec<f64>),
    /// Texts.
    Texts(Vec<String>),
}

impl Value {
    /// A whole number that is not below zero.
    pub fn whole(&self) -> Option<u64> {
        match self {
            Self::U8(value) => Some((*value).into()),
            Self::U16(value) => Some((*value).into()),
            Self::U32(value) => Some((*value).into()),
            Self::U64(value) => Some(*value),
            Self::I8(value) => u64::try_from(*value).ok(),
            Self::I16(value) => u64::try_from(*value).ok(),
            Self::I32(value) => u64::try_from(*value).ok(),
            Self::I64(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }
}

/// The header's bytes, in order.
pub(super) struct Header<R> {
    source: R,
    position: u64,
    longest: u64,
}

impl<R: Read> Header<R> {
    pub(super) fn new(source: R, longest: u64) -> Self {
        Self {
            source,
            position: 0,
            longest,
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        self.step(N as u64)?;
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    pub(super) fn text(&mut self) -> Result<String, GgufError> {
        let length = within(self.u64()?, "bytes of a text", MAX_TEXT)?;
        self.step(length)?;
        let mut bytes = Vec::new();
        // Grows with what has come.
        let come = (&mut self.source).take(length).read_to_end(&mut bytes)?;
        if come as u64 != length {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        String::from_utf8(bytes).map_err(|_| GgufError::Malformed("a text is not UTF-8".to_owned()))
    }

    pub(super) fn value(&mut self) -> Result<Value, GgufError> {
        let kind = self.u32()?;
        Ok(match kind {
            0 => Value::U8(u8::from_le_bytes(self.bytes()?)),
            1 => Value::I8(i8::from_le_bytes(self.bytes()?)),
            2 => Value::U16(u16::from_le_bytes(self.bytes()?)),
            3 => Value::I16(i16::from_le_bytes(self.bytes()?)),
            4 => Value::U32(self.u32()?),
            5 => Value::I32(i32::from_le_bytes(self.bytes()?)),
            6 => Value::F32(f32::from_le_bytes(self.bytes()?)),
            7 => Value::Bool(self.truth()?),
            8 => Value::Text(self.text()?),
            9 => Value::Array(self.array()?),
            10 => Value::U64(self.u64()?),
            11 => Value::I64(i64::from_le_bytes(self.bytes()?)),
            12 => Value::F64(f64::from_le_bytes(self.bytes()?)),
            _ => return Err(GgufError::Malformed(format!("a value has the type {kind}"))),
        })
    }

    fn array(&mut self) -> Result<Array, GgufError> {
        let kind = self.u32()?;
        let count = within(self.u64()?, "elements of a list", MAX_ELEMENTS)?;
        Ok(match kind {
            0 => self.whole(count, |h| Ok(u8::from_le_bytes(h.bytes()?).into()))?,
            1 => self.whole(count, |h| Ok(i8::from_le_bytes(h.bytes()?).into()))?,
            2 => self.whole(count, |h| Ok(u16::from_le_bytes(h.bytes()?).into()))?,
            3 => self.whole(count, |h| Ok(i16::from_le_bytes(h.bytes()?).into()))?,
            4 => self.whole(count, |h| Ok(h.u32()?.into()))?,
            5 => self.whole(count, |h| Ok(i32::from_le_bytes(h.bytes()?).into()))?,
            7 => self.whole(count, |h| Ok(h.truth()?.into()))?,
            11 => self.whole(count, |h| Ok(i64::from_le_bytes(h.bytes()?)))?,
            6 => Array::Floats(self.list(count, |h| Ok(f32::from_le_bytes(h.bytes()?).into()))?),
            12 => Array::Floats(self.list(count, |h| Ok(f64::from_le_bytes(h.bytes()?)))?),
            8 => Array::Texts(self.list(count, Self::text)?),
            _ => {
                return Err(GgufError::Malformed(format!(
                    "a list has elements of the type {kind}"
                )));
            }
        })
    }

    fn whole(
        &mut self,
        count: u64,
        element: impl FnMut(&mut Self) -> Result<i64, GgufError>,
    ) -> Result<Array, GgufError> {
        self.list(count, element).map(Array::Whole)
    }

    fn list<T>(
        &mut self,
        count: u64,
        mut element: impl FnMut(&mut Self) -> Result<T, GgufError>,
    ) -> Result<Vec<T>, GgufError> {
        (0..count).map(|_| element(self)).collect()
    }

    fn truth(&mut self) -> Result<bool, GgufError> {
        match self.bytes()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(GgufError::Malformed(
                "a truth value is neither 0 nor 1".to_owned(),
            )),
        }
    }

    fn step(&mut self, length: u64) -> Result<(), GgufError> {
        self.position = self.position.saturating_add(length);
        within(self.position, "bytes of the header", self.longest).map(drop)
    }
}
