//! Reading requests.
//!
//! Anything serde's derived reader of AWS's `Request` accepts is accepted: keys in any order,
//! definite or indefinite maps, a unit variant as text or as a map. Unknown keys are skipped,
//! duplicate keys and trailing bytes are not.

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};

/// The device's error codes, in AWS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The request is no well-formed CBOR, or an argument is missing or of the wrong type.
    InvalidArgument,
    /// There is no register of that index.
    InvalidIndex,
    /// The register is locked.
    ReadOnlyIndex,
    /// The module has no such operation.
    InvalidOperation,
    /// The answer would not fit the response buffer.
    BufferTooSmall,
    /// The request, or a field of it, is longer than the module takes.
    InputTooLarge,
    /// The module failed.
    InternalError,
}

impl ErrorCode {
    /// The code as it stands in a response.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "InvalidArgument",
            Self::InvalidIndex => "InvalidIndex",
            Self::ReadOnlyIndex => "ReadOnlyIndex",
            Self::InvalidOperation => "InvalidOperation",
            Self::BufferTooSmall => "BufferTooSmall",
            Self::InputTooLarge => "InputTooLarge",
            Self::InternalError => "InternalError",
        }
    }
}

/// What a request asks for. In text it has AWS's name, e.g. `GetRandom`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Operation {
    /// What the module is.
    #[serde(rename = "DescribeNSM")]
    DescribeNsm,
    /// One register's value and whether it is locked.
    #[serde(rename = "DescribePCR")]
    DescribePcr,
    /// Extend one register.
    #[serde(rename = "ExtendPCR")]
    ExtendPcr,
    /// Lock one register.
    #[serde(rename = "LockPCR")]
    LockPcr,
    /// Lock all registers up to one.
    #[serde(rename = "LockPCRs")]
    LockPcrs,
    /// 256 random bytes.
    GetRandom,
    /// An attestation document.
    Attestation,
}

/// A request, borrowed from the bytes it came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    DescribeNsm,
    DescribePcr { index: u16 },
    ExtendPcr { index: u16, data: &'a [u8] },
    LockPcr { index: u16 },
    LockPcrs { range: u16 },
    GetRandom,
    Attestation(Attestation<'a>),
}

impl Request<'_> {
    pub(super) fn operation(&self) -> Operation {
        match self {
            Self::DescribeNsm => Operation::DescribeNsm,
            Self::DescribePcr { .. } => Operation::DescribePcr,
            Self::ExtendPcr { .. } => Operation::ExtendPcr,
            Self::LockPcr { .. } => Operation::LockPcr,
            Self::LockPcrs { .. } => Operation::LockPcrs,
            Self::GetRandom => Operation::GetRandom,
            Self::Attestation(_) => Operation::Attestation,
        }
    }
}

/// What an attestation document shall carry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Attestation<'a> {
    pub(super) user_data: Option<&'a [u8]>,
    pub(super) nonce: Option<&'a [u8]>,
    pub(super) public_key: Option<&'a [u8]>,
}

pub(super) fn decode(bytes: &[u8]) -> Result<Request<'_>, ErrorCode> {
    let mut input = Decoder::new(bytes);
    let request = match input.datatype()? {
        Type::String => bare(input.str()?)?,
        Type::Map | Type::MapIndef => tagged(&mut input)?,
        _ => return Err(ErrorCode::InvalidArgument),
    };
    if input.position() != bytes.len() {
        return Err(ErrorCode::InvalidArgument);
    }
    Ok(request)
}

/// An operation without arguments, written as plain text.
fn bare<'a>(operation: &str) -> Result<Request<'a>, ErrorCode> {
    match operation {
        "DescribeNSM" => Ok(Request::DescribeNsm),
        "GetRandom" => Ok(Request::GetRandom),
        "DescribePCR" | "ExtendPCR" | "LockPCR" | "LockPCRs" | "Attestation" => {
            Err(ErrorCode::InvalidArgument)
        }
        _ => Err(ErrorCode::InvalidOperation),
    }
}

/// An operation as a map of one entry, `{operation: arguments}`.
fn tagged<'a>(input: &mut Decoder<'a>) -> Result<Request<'a>, ErrorCode> {
    let entries = input.map()?;
    if entries.is_some_and(|count| count != 1) {
        return Err(ErrorCode::InvalidArgument);
    }
    let request = match input.str()? {
        unit @ ("DescribeNSM" | "GetRandom") => {
            input.skip()?;
            bare(unit)?
        }
        "DescribePCR" => Request::DescribePcr {
            index: Arguments::read(input)?.index()?,
        },
        "LockPCR" => Request::LockPcr {
            index: Arguments::read(input)?.index()?,
        },
        "LockPCRs" => Request::LockPcrs {
            range: Arguments::read(input)?
                .range
                .ok_or(ErrorCode::InvalidArgument)?,
        },
        "ExtendPCR" => {
            let arguments = Arguments::read(input)?;
            Request::ExtendPcr {
                index: arguments.index()?,
                data: arguments.data.ok_or(ErrorCode::InvalidArgument)?,
            }
        }
        "Attestation" => Request::Attestation(Arguments::read(input)?.attestation),
        _ => return Err(ErrorCode::InvalidOperation),
    };
    if entries.is_none() {
        close_indefinite(input)?;
    }
    Ok(request)
}

/// The arguments that any operation may have.
#[derive(Default)]
struct Arguments<'a> {
    index: Option<u16>,
    range: Option<u16>,
    data: Option<&'a [u8]>,
    attestation: Attestation<'a>,
}

impl<'a> Arguments<'a> {
    fn read(input: &mut Decoder<'a>) -> Result<Self, ErrorCode> {
        let mut arguments = Self::default();
        let mut seen = Vec::new();
        let mut left = input.map()?;
        loop {
            match &mut left {
                Some(0) => return Ok(arguments),
                Some(count) => *count -= 1,
                None if input.datatype()? == Type::Break => {
                    close_indefinite(input)?;
                    return Ok(arguments);
                }
                None => {}
            }
            let key = input.str()?;
            if seen.contains(&key) {
                return Err(ErrorCode::InvalidArgument);
            }
            seen.push(key);
            match key {
                "index" => arguments.index = Some(input.u16()?),
                "range" => arguments.range = Some(input.u16()?),
                "data" => arguments.data = Some(bytes(input)?),
                "user_data" => arguments.attestation.user_data = optional_bytes(input)?,
                "nonce" => arguments.attestation.nonce = optional_bytes(input)?,
                "public_key" => arguments.attestation.public_key = optional_bytes(input)?,
                _ => input.skip()?,
            }
        }
    }

    fn index(&self) -> Result<u16, ErrorCode> {
        self.index.ok_or(ErrorCode::InvalidArgument)
    }
}

fn optional_bytes<'a>(input: &mut Decoder<'a>) -> Result<Option<&'a [u8]>, ErrorCode> {
    if input.datatype()? == Type::Null {
        input.null()?;
        return Ok(None);
    }
    bytes(input).map(Some)
}

/// A byte string; text stands for its UTF-8 bytes, as it does for `serde_bytes`.
fn bytes<'a>(input: &mut Decoder<'a>) -> Result<&'a [u8], ErrorCode> {
    match input.datatype()? {
        Type::String => Ok(input.str()?.as_bytes()),
        _ => Ok(input.bytes()?),
    }
}

/// Consumes the break that ends an indefinite map; anything else there is an error.
fn close_indefinite(input: &mut Decoder<'_>) -> Result<(), ErrorCode> {
    if input.datatype()? != Type::Break {
        return Err(ErrorCode::InvalidArgument);
    }
    input.set_position(input.position() + 1);
    Ok(())
}

impl From<Error> for ErrorCode {
    fn from(_: Error) -> Self {
        Self::InvalidArgument
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn operations_are_read_in_every_form_serde_writes() {
        for (bytes, expected) in [
            (&b"\x6bDescribeNSM"[..], Request::DescribeNsm),
            (b"\xa1\x6bDescribeNSM\xf6", Request::DescribeNsm),
            (b"\xa1\x6bDescribeNSM\xa0", Request::DescribeNsm),
            (b"\x69GetRandom", Request::GetRandom),
            (
                b"\xa1\x6bDescribePCR\xa1\x65index\x07",
                Request::DescribePcr { index: 7 },
            ),
            (
                b"\xbf\x6bDescribePCR\xbf\x65index\x18\x20\xff\xff",
                Request::DescribePcr { index: 32 },
            ),
            (
                b"\xa1\x69ExtendPCR\xa2\x64data\x42ab\x65index\x10",
                Request::ExtendPcr {
                    index: 16,
                    data: b"ab",
                },
            ),
            (
                b"\xa1\x67LockPCR\xa2\x65other\x81\x01\x65index\x10",
                Request::LockPcr { index: 16 },
            ),
            (
                b"\xa1\x68LockPCRs\xa1\x65range\x18\x20",
                Request::LockPcrs { range: 32 },
            ),
            (
                b"\xa1\x6bAttestation\xa0",
                Request::Attestation(Attestation::default()),
            ),
            (
                b"\xa1\x6bAttestation\xa3\x69user_data\xf6\x65nonce\x41n\x6apublic_key\x40",
                Request::Attestation(Attestation {
                    user_data: None,
                    nonce: Some(b"n"),
                    public_key: Some(b""),
                }),
            ),
        ] {
            assert_eq!(decode(bytes), Ok(expected), "{}", hex::encode(bytes));
        }
    }

    #[test]
    fn malformed_requests_are_refused() {
        for (bytes, expected) in [
            (&b""[..], ErrorCode::InvalidArgument),
            (b"\x6bDescribeNS", ErrorCode::InvalidArgument),
            (b"\x6bDescribeNSM\x00", ErrorCode::InvalidArgument),
            (b"\x6bDescribePCR", ErrorCode::InvalidArgument),
            (b"\x69Selfdestr", ErrorCode::InvalidOperation),
            (b"\xa1\x69Selfdestr\xf6", ErrorCode::InvalidOperation),
            (b"\xa0", ErrorCode::InvalidArgument),
            (b"\xbf\xff", ErrorCode::InvalidArgument),
            (
                b"\xa2\x6bDescribeNSM\xf6\x69GetRandom\xf6",
                ErrorCode::InvalidArgument,
            ),
            (
                b"\xbf\x6bDescribeNSM\xf6\x69GetRandom\xf6\xff",
                ErrorCode::InvalidArgument,
            ),
            (b"\xa1\x6bDescribePCR\xa0", ErrorCode::InvalidArgument),
            (
                b"\xa1\x6bDescribePCR\xa1\x65index\x20",
                ErrorCode::InvalidArgument,
            ),
            (
                b"\xa1\x6bDescribePCR\xa1\x65index\x1a\x00\x01\x00\x00",
                ErrorCode::InvalidArgument,
            ),
            (
                b"\xa1\x6bDescribePCR\xa2\x65index\x01\x65index\x01",
                ErrorCode::InvalidArgument,
            ),
            (
                b"\xa1\x69ExtendPCR\xa1\x65index\x10",
                ErrorCode::InvalidArgument,
            ),
            (
                b"\xa1\x69ExtendPCR\xa2\x65index\x10\x64data\x01",
                ErrorCode::InvalidArgument,
            ),
            (b"\xa1\x6bAttestation\xf6", ErrorCode::InvalidArgument),
            (
                b"\xa1\x6bAttestation\xa1\x65nonce\x5f\x41a\xff",
                ErrorCode::InvalidArgument,
            ),
            (b"\x01", ErrorCode::InvalidArgument),
        ] {
            assert_eq!(decode(bytes), Err(expected), "{}", hex::encode(bytes));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn no_tail_is_ignored(tail in proptest::collection::vec(any::<u8>(), 1..20)) {
            let mut bytes = b"\xa1\x67LockPCR\xa1\x65index\x10".to_vec();
            bytes.extend(tail);
            prop_assert_eq!(decode(&bytes), Err(ErrorCode::InvalidArgument));
        }
    }
}
