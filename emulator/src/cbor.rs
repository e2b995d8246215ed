//! One place where CBOR is written into memory.

use std::convert::Infallible;

use minicbor::encode::{Encoder, Error};

/// An encoder that appends to a byte vector.
pub(crate) type Writer<'a> = Encoder<&'a mut Vec<u8>>;

/// Runs `write` against a fresh buffer and returns what it wrote.
#[expect(
    clippy::expect_used,
    reason = "a Vec takes every byte, and no value written here can fail to encode"
)]
pub(crate) fn to_vec(
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), Error<Infallible>>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Encoder::new(&mut bytes)).expect("writing to memory cannot fail");
    bytes
}
