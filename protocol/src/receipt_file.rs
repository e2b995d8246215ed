//! A receipt as it is kept: with the request line and headers it covers, and the evidence that vouches for its key.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::evidence::Evidence;
use crate::receipt::{RequestParts, ResponseParts};

/// Largest receipt file that is read.
pub const MAX_RECEIPT_FILE: usize = 128 * 1024;

/// The JSON of a receipt file, version 1. The bodies stand beside it: they are the caller's secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptFile {
    /// 1.
    pub version: u8,
    /// The `nacre-receipt` header as it came.
    pub receipt: String,
    /// The function digest that the caller asked for.
    pub function: Digest,
    /// What the request's hash covers besides its body.
    pub request: RequestHead,
    /// What the response's hash covers besides its body.
    pub response: ResponseHead,
    /// The evidence checked on the connection: its statement holds the receipt key.
    pub evidence: Evidence,
}

/// See [`crate::receipt::RequestParts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestHead {
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// `content-type`, empty where absent.
    pub content_type: String,
    /// `inference-header-content-length`, empty where absent.
    pub inference_header_length: String,
}

/// See [`crate::receipt::ResponseParts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponseHead {
    /// HTTP status.
    pub status: u16,
    /// `content-type`, empty where absent.
    pub content_type: String,
    /// `inference-header-content-length`, empty where absent.
    pub inference_header_length: String,
}

impl RequestHead {
    /// Everything that the request's hash covers.
    pub fn with_body<'a>(&'a self, body: &'a [u8]) -> RequestParts<'a> {
        RequestParts {
            method: &self.method,
            path: &self.path,
            content_type: &self.content_type,
            inference_header_length: &self.inference_header_length,
            body,
        }
    }
}

impl ResponseHead {
    /// Everything that the response's hash covers.
    pub fn with_body<'a>(&'a self, body: &'a [u8]) -> ResponseParts<'a> {
        ResponseParts {
            status: self.status,
            content_type: &self.content_type,
            inference_header_length: &self.inference_header_length,
            body,
        }
    }
}
