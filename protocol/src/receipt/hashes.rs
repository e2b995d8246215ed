//! What exactly the two hashes of a receipt cover.

use sha2::{Digest as _, Sha256};

use crate::merkle::Hash;

/// The parts of a request that its hash covers, as the enclave saw them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestParts<'a> {
    /// HTTP method, upper case.
    pub method: &'a str,
    /// Path with its query, as sent.
    pub path: &'a str,
    /// `content-type`, empty where absent.
    pub content_type: &'a str,
    /// `inference-header-content-length`, empty where absent.
    pub inference_header_length: &'a str,
    /// Body after content decoding (gzip, deflate).
    pub body: &'a [u8],
}

impl RequestParts<'_> {
    /// SHA-256("nacre/request/v1" ‖ salt ‖ each part with its 8-byte big-endian length before it).
    pub fn hash(&self, salt: &[u8; 32]) -> Hash {
        hash(
            b"nacre/request/v1",
            salt,
            &[
                self.method.as_bytes(),
                self.path.as_bytes(),
                self.content_type.as_bytes(),
                self.inference_header_length.as_bytes(),
                self.body,
            ],
        )
    }
}

/// The parts of a response that its hash covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseParts<'a> {
    /// HTTP status; hashed as its three decimal digits.
    pub status: u16,
    /// `content-type`, empty where absent.
    pub content_type: &'a str,
    /// `inference-header-content-length`, empty where absent.
    pub inference_header_length: &'a str,
    /// Body as sent.
    pub body: &'a [u8],
}

impl ResponseParts<'_> {
    /// SHA-256("nacre/response/v1" ‖ salt ‖ each part with its 8-byte big-endian length before it).
    pub fn hash(&self, salt: &[u8; 32]) -> Hash {
        hash(
            b"nacre/response/v1",
            salt,
            &[
                self.status.to_string().as_bytes(),
                self.content_type.as_bytes(),
                self.inference_header_length.as_bytes(),
                self.body,
            ],
        )
    }
}

fn hash(domain: &[u8], salt: &[u8; 32], parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new_with_prefix(domain);
    hasher.update(salt);
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}
