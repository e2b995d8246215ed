//! A chain's id: any uint256 but zero, as EIP-712 has it.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::eip712::{self, Word};

/// The largest integer that every JSON reader keeps exactly (RFC 8259 §6).
const MAX_SAFE: u64 = (1 << 53) - 1;

/// Which chain a signature is for: 1 to 2^256 − 1.
///
/// In JSON a number, or a string of decimal digits without leading zeros. Numbers that not every JSON reader keeps exactly
/// (above 2^53 − 1) are written as strings, and above 2^64 − 1 they are read only as strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainId(Word);

impl ChainId {
    /// As EIP-712 encodes it: 32 bytes, big-endian.
    pub const fn word(&self) -> Word {
        self.0
    }

    fn as_u64(&self) -> Option<u64> {
        let (high, low) = self.0.split_last_chunk::<8>()?;
        high.iter()
            .all(|byte| *byte == 0)
            .then(|| u64::from_be_bytes(*low))
    }
}

/// What is not the id of a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a chain's id is an integer from 1 to 2^256 - 1, in decimal digits without leading zeros")]
pub struct ChainIdSyntaxError;

impl TryFrom<u64> for ChainId {
    type Error = ChainIdSyntaxError;

    fn try_from(id: u64) -> Result<Self, ChainIdSyntaxError> {
        match id {
            0 => Err(ChainIdSyntaxError),
            id => Ok(Self(eip712::word(id))),
        }
    }
}

impl FromStr for ChainId {
    type Err = ChainIdSyntaxError;

    fn from_str(text: &str) -> Result<Self, ChainIdSyntaxError> {
        if text.is_empty() || text.starts_with('0') {
            return Err(ChainIdSyntaxError);
        }
        let mut value = [0; 32];
        for digit in text.bytes() {
            if !digit.is_ascii_digit() {
                return Err(ChainIdSyntaxError);
            }
            let mut carry = u16::from(digit - b'0');
            for byte in value.iter_mut().rev() {
                let [high, low] = (u16::from(*byte) * 10 + carry).to_be_bytes();
                *byte = low;
                carry = high.into();
            }
            if carry != 0 {
                return Err(ChainIdSyntaxError);
            }
        }
        Ok(Self(value))
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut value, mut digits) = (self.0, Vec::new());
        while value != [0; 32] {
            let mut rest = 0;
            for byte in &mut value {
                let dividend = u16::from_be_bytes([rest, *byte]);
                // Below 256, since the rest is below 10.
                [_, *byte] = (dividend / 10).to_be_bytes();
                [_, rest] = (dividend % 10).to_be_bytes();
            }
            digits.push(char::from(b'0' + rest));
        }
        f.write_str(&digits.iter().rev().collect::<String>())
    }
}

impl Serialize for ChainId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_u64().filter(|id| *id <= MAX_SAFE) {
            Some(id) => serializer.serialize_u64(id),
            None => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for ChainId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl de::Visitor<'_> for Either {
            type Value = ChainId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{ChainIdSyntaxError}")
            }

            fn visit_u64<E: de::Error>(self, id: u64) -> Result<ChainId, E> {
                ChainId::try_from(id).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ChainId, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
