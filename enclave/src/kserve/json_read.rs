//! Tensor data out of JSON, written straight into its little-endian bytes.
//!
//! The text is one JSON value that `serde_json` has already found well-formed, so the scanner here only has to find
//! where tokens begin and end. It relies on that for its answers, not for its safety: no text makes it panic.

use bytes::Bytes;
use half::{bf16, f16};

use super::error::{KserveError, excerpt};
use crate::tensor::{DataType, element_count};

/// Reads the `data` of input `tensor`: `shape`'s elements, flat or nested, in row-major order.
pub(super) fn read_data(
    tensor: &str,
    datatype: DataType,
    shape: &[u64],
    text: &str,
) -> Result<Bytes, KserveError> {
    let reader = Reader {
        tensor,
        datatype,
        shape,
        expected: element_count(tensor, shape).map_err(KserveError::BinaryData)?,
        text,
        at: 0,
        read: 0,
        data: Vec::new(),
    };
    match datatype {
        DataType::Bool => reader.read(bool),
        DataType::Uint8 => {
            reader.read(|token, data| put(data, integer::<u8>(token)?.to_le_bytes()))
        }
        DataType::Uint16 => {
            reader.read(|token, data| put(data, integer::<u16>(token)?.to_le_bytes()))
        }
        DataType::Uint32 => {
            reader.read(|token, data| put(data, integer::<u32>(token)?.to_le_bytes()))
        }
        DataType::Uint64 => {
            reader.read(|token, data| put(data, integer::<u64>(token)?.to_le_bytes()))
        }
        DataType::Int8 => reader.read(|token, data| put(data, integer::<i8>(token)?.to_le_bytes())),
        DataType::Int16 => {
            reader.read(|token, data| put(data, integer::<i16>(token)?.to_le_bytes()))
        }
        DataType::Int32 => {
            reader.read(|token, data| put(data, integer::<i32>(token)?.to_le_bytes()))
        }
        DataType::Int64 => {
            reader.read(|token, data| put(data, integer::<i64>(token)?.to_le_bytes()))
        }
        DataType::Fp16 => reader.read(|token, data| {
            let value = f16::from_f32_const(round_to_odd(float(token)?));
            finite(value.is_finite())?;
            put(data, value.to_le_bytes())
        }),
        DataType::Bf16 => reader.read(|token, data| {
            let value = bf16::from_f32_const(round_to_odd(float(token)?));
            finite(value.is_finite())?;
            put(data, value.to_le_bytes())
        }),
        DataType::Fp32 => reader.read(|token, data| {
            let value: f32 = number(token)?.parse().map_err(|_| Fault::NotANumber)?;
            finite(value.is_finite())?;
            put(data, value.to_le_bytes())
        }),
        DataType::Fp64 => reader.read(|token, data| put(data, float(token)?.to_le_bytes())),
        DataType::Bytes => reader.read(string),
    }
}

struct Reader<'a> {
    tensor: &'a str,
    datatype: DataType,
    shape: &'a [u64],
    /// Elements that the shape asks for.
    expected: usize,
    text: &'a str,
    /// Where in `text` the next token is looked for.
    at: usize,
    /// Elements read so far.
    read: usize,
    data: Vec<u8>,
}

/// Why one JSON value is not an element.
enum Fault {
    NotABoolean,
    NotAnInteger,
    NotANumber,
    NotAString,
    OutOfRange,
}

impl<'a> Reader<'a> {
    fn read(
        mut self,
        element: impl Fn(&'a str, &mut Vec<u8>) -> Result<(), Fault>,
    ) -> Result<Bytes, KserveError> {
        // Each element takes at least two characters, its own and a comma's or bracket's.
        let size = self.datatype.element_size().unwrap_or(4);
        let capacity = self.expected.min(self.text.len() / 2).saturating_mul(size);
        self.data = Vec::with_capacity(capacity);
        if self.is_nested() {
            self.dimension(self.shape, &element)?;
        } else {
            self.flat(&element)?;
        }
        if self.read != self.expected {
            return Err(self.count_error());
        }
        Ok(self.data.into())
    }

    /// A scalar written without brackets, or a list whose first item is a list.
    fn is_nested(&self) -> bool {
        let mut tokens = self.text.bytes().filter(|byte| !is_space(*byte));
        match self.shape.len() {
            0 => tokens.next() != Some(b'['),
            1 => false,
            _ => tokens.next() == Some(b'[') && tokens.next() == Some(b'['),
        }
    }

    fn flat(
        &mut self,
        element: &impl Fn(&'a str, &mut Vec<u8>) -> Result<(), Fault>,
    ) -> Result<(), KserveError> {
        self.open()?;
        while !self.close(self.read == 0)? {
            if self.read < self.expected {
                self.element(element)?;
            } else {
                // Beyond the shape: only counted, for the error.
                self.token();
                self.read += 1;
            }
        }
        Ok(())
    }

    /// One nested level; at most [`super::MAX_RANK`] deep.
    fn dimension(
        &mut self,
        shape: &[u64],
        element: &impl Fn(&'a str, &mut Vec<u8>) -> Result<(), Fault>,
    ) -> Result<(), KserveError> {
        let Some((length, inner)) = shape.split_first() else {
            return self.element(element);
        };
        self.open()?;
        let mut found = 0u64;
        while !self.close(found == 0)? {
            if found == *length {
                return Err(self.nesting(format!("a list of more than {length} items")));
            }
            self.dimension(inner, element)?;
            found += 1;
        }
        if found < *length {
            return Err(self.nesting(format!("a list of {found} items in place of {length}")));
        }
        Ok(())
    }

    fn element(
        &mut self,
        element: &impl Fn(&'a str, &mut Vec<u8>) -> Result<(), Fault>,
    ) -> Result<(), KserveError> {
        if matches!(self.peek(), Some(b'[')) {
            return Err(self.nesting("a list in place of a value".into()));
        }
        let token = self.token();
        element(token, &mut self.data).map_err(|fault| self.value_error(token, fault))?;
        self.read += 1;
        Ok(())
    }

    fn open(&mut self) -> Result<(), KserveError> {
        if self.peek() != Some(b'[') {
            return Err(self.nesting("a value in place of a list".into()));
        }
        self.at += 1;
        Ok(())
    }

    /// Steps over `]`, or over the comma before the next item.
    fn close(&mut self, first: bool) -> Result<bool, KserveError> {
        match self.peek() {
            Some(b']') => {
                self.at += 1;
                Ok(true)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(false)
            }
            Some(_) if first => Ok(false),
            _ => Err(self.nesting("the list does not end".into())),
        }
    }

    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).copied().is_some_and(is_space) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// The next string, number or word, whole. Of a list or an object, what stands before its first delimiter.
    fn token(&mut self) -> &'a str {
        let start = match self.peek() {
            Some(_) => self.at,
            None => return "",
        };
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let length = match rest {
            [b'"', string @ ..] => string_length(string) + 1,
            _ => rest
                .iter()
                .skip(1)
                .position(|byte| {
                    matches!(byte, b',' | b']' | b'[' | b'}' | b'"') || is_space(*byte)
                })
                .map_or(rest.len(), |length| length + 1),
        };
        self.at = start + length;
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn count_error(&self) -> KserveError {
        KserveError::ElementCount {
            tensor: self.tensor.to_owned(),
            shape: self.shape.to_vec(),
            expected: self.expected,
            found: self.read,
        }
    }

    fn nesting(&self, reason: String) -> KserveError {
        KserveError::Nesting {
            tensor: self.tensor.to_owned(),
            shape: self.shape.to_vec(),
            index: self.read,
            reason,
        }
    }

    fn value_error(&self, token: &str, fault: Fault) -> KserveError {
        let tensor = self.tensor.to_owned();
        let index = self.read;
        let value = match token.as_bytes().first() {
            Some(b'"') => format!("the string {}", excerpt(token.trim_matches('"'))),
            Some(b'{') => "an object".to_owned(),
            _ => excerpt(token).replace('"', ""),
        };
        let expected = match fault {
            Fault::OutOfRange => {
                return KserveError::OutOfRange {
                    tensor,
                    index,
                    value,
                    datatype: self.datatype,
                };
            }
            Fault::NotABoolean => "true or false",
            Fault::NotAnInteger => "an integer (written without fraction and exponent)",
            Fault::NotANumber => "a number",
            Fault::NotAString => "a string of valid Unicode",
        };
        KserveError::WrongValue {
            tensor,
            index,
            value,
            expected,
        }
    }
}

/// Length of a string's text with its closing quote, the opening one already behind.
fn string_length(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match text.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return text.len(),
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn put<const N: usize>(data: &mut Vec<u8>, element: [u8; N]) -> Result<(), Fault> {
    data.extend_from_slice(&element);
    Ok(())
}

fn bool(token: &str, data: &mut Vec<u8>) -> Result<(), Fault> {
    match token {
        "false" => put(data, [0]),
        "true" => put(data, [1]),
        _ => Err(Fault::NotABoolean),
    }
}

/// All 64 bits of an integer: a detour through floating point would lose those above 2^53.
fn integer<T: TryFrom<i128>>(token: &str) -> Result<T, Fault> {
    let (negative, digits) = match token.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, token),
    };
    if digits.is_empty() {
        return Err(Fault::NotAnInteger);
    }
    let mut magnitude = Some(0u64);
    for byte in digits.bytes() {
        if !byte.is_ascii_digit() {
            return Err(Fault::NotAnInteger);
        }
        magnitude = magnitude
            .and_then(|magnitude| magnitude.checked_mul(10))
            .and_then(|magnitude| magnitude.checked_add(u64::from(byte - b'0')));
    }
    let magnitude = i128::from(magnitude.ok_or(Fault::OutOfRange)?);
    T::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| Fault::OutOfRange)
}

/// Rust's parser rounds correctly and takes all of JSON's numbers, but words such as `inf` too.
fn number(token: &str) -> Result<&str, Fault> {
    match token.bytes().next() {
        Some(b'-' | b'0'..=b'9') => Ok(token),
        _ => Err(Fault::NotANumber),
    }
}

fn float(token: &str) -> Result<f64, Fault> {
    let value: f64 = number(token)?.parse().map_err(|_| Fault::NotANumber)?;
    finite(value.is_finite())?;
    Ok(value)
}

fn finite(is_finite: bool) -> Result<(), Fault> {
    if is_finite {
        Ok(())
    } else {
        Err(Fault::OutOfRange)
    }
}

/// `value` as an `f32` that rounds on to 16 bits as `value` itself would: where it is not exact, its last bit is set,
/// so that it cannot be taken for the middle between two 16-bit numbers. (`half` rounds from `f64` twice, or without
/// its low bits, depending on the processor.)
fn round_to_odd(value: f64) -> f32 {
    let nearest = value as f32;
    if f64::from(nearest) == value || nearest.to_bits() & 1 == 1 || nearest.is_infinite() {
        return nearest;
    }
    let bits = nearest.to_bits();
    // Bits of one sign are ordered by magnitude.
    f32::from_bits(if value.abs() > f64::from(nearest).abs() {
        bits + 1
    } else {
        bits - 1
    })
}

fn string(token: &str, data: &mut Vec<u8>) -> Result<(), Fault> {
    let plain = token
        .strip_prefix('"')
        .ok_or(Fault::NotAString)?
        .strip_suffix('"')
        .ok_or(Fault::NotAString)?;
    if plain.contains('\\') {
        // Escapes, among which lone surrogates are found here.
        let unescaped: String = serde_json::from_str(token).map_err(|_| Fault::NotAString)?;
        put_bytes(data, unescaped.as_bytes())
    } else {
        put_bytes(data, plain.as_bytes())
    }
}

fn put_bytes(data: &mut Vec<u8>, element: &[u8]) -> Result<(), Fault> {
    let length = u32::try_from(element.len()).map_err(|_| Fault::OutOfRange)?;
    data.extend_from_slice(&length.to_le_bytes());
    data.extend_from_slice(element);
    Ok(())
}
