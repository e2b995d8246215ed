//! Text encodings: base64url without padding for bytes in JSON and headers, lowercase hex for measurements.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A text that is not the encoding it should be, or not of the length it should have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodingError {
    /// Not base64url without padding (RFC 4648 §5).
    #[error("not base64url without padding")]
    NotBase64Url,
    /// Not hexadecimal digits.
    #[error("not hexadecimal")]
    NotHex,
    /// Decodes, but to another length than the field has.
    #[error("decodes to {got} bytes, expected {expected}")]
    WrongLength {
        /// Bytes that the field has.
        expected: usize,
        /// Bytes that came out.
        got: usize,
    },
}

/// Encodes bytes as base64url without padding.
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes base64url without padding; strict about alphabet and trailing bits.
pub fn from_base64url(text: &str) -> Result<Vec<u8>, EncodingError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| EncodingError::NotBase64Url)
}

/// Decodes base64url into exactly `N` bytes.
pub fn array_from_base64url<const N: usize>(text: &str) -> Result<[u8; N], EncodingError> {
    exactly(from_base64url(text)?)
}

/// Decodes hexadecimal digits (either case) into exactly `N` bytes.
pub fn array_from_hex<const N: usize>(text: &str) -> Result<[u8; N], EncodingError> {
    exactly(hex::decode(text).map_err(|_| EncodingError::NotHex)?)
}

fn exactly<const N: usize>(bytes: Vec<u8>) -> Result<[u8; N], EncodingError> {
    let got = bytes.len();
    bytes
        .try_into()
        .map_err(|_| EncodingError::WrongLength { expected: N, got })
}

/// `#[serde(with = "base64url_bytes")]` for byte strings of any length.
pub mod base64url_bytes {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    /// Writes the bytes as base64url.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::base64url(bytes))
    }

    /// Reads base64url.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::from_base64url(&text).map_err(D::Error::custom)
    }
}

/// `#[serde(with = "base64url_array")]` for byte strings of a fixed length.
pub mod base64url_array {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    /// Writes the bytes as base64url.
    pub fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::base64url(bytes))
    }

    /// Reads base64url of exactly `N` bytes.
    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(deserializer)?;
        super::array_from_base64url(&text).map_err(D::Error::custom)
    }
}

/// `#[serde(with = "base64url_hashes")]` for lists of 32-byte hashes.
pub mod base64url_hashes {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    /// Writes each hash as base64url.
    pub fn serialize<S: Serializer>(hashes: &[[u8; 32]], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(hashes.iter().map(|hash| super::base64url(hash)))
    }

    /// Reads a list of base64url hashes.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<[u8; 32]>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts
            .iter()
            .map(|text| super::array_from_base64url(text).map_err(D::Error::custom))
            .collect()
    }
}
