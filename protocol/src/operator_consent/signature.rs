//! A consent's signature as it travels.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::encoding::array_from_hex;
use crate::verified_enclave::hex0x;

/// r‖s‖v with low s and v 27 or 28; as text `0x` and 130 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConsentSignature([u8; 65]);

impl ConsentSignature {
    /// Takes its bytes.
    pub const fn from_bytes(bytes: [u8; 65]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 65] {
        &self.0
    }
}

/// A text that is not a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signature is `0x` and 130 hexadecimal digits")]
pub struct SignatureSyntaxError;

impl fmt::Display for ConsentSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex0x(&self.0))
    }
}

impl FromStr for ConsentSignature {
    type Err = SignatureSyntaxError;

    fn from_str(text: &str) -> Result<Self, SignatureSyntaxError> {
        let digits = text.strip_prefix("0x").ok_or(SignatureSyntaxError)?;
        let bytes = array_from_hex(digits).map_err(|_| SignatureSyntaxError)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for ConsentSignature {
    type Error = SignatureSyntaxError;

    fn try_from(text: String) -> Result<Self, SignatureSyntaxError> {
        text.parse()
    }
}

impl From<ConsentSignature> for String {
    fn from(signature: ConsentSignature) -> Self {
        signature.to_string()
    }
}
