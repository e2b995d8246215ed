//! The REST side of the Open Inference Protocol v2 (KServe), with the binary tensor extension: bytes in, tensors
//! out, and back. Nothing here does I/O.
//!
//! A request passes through four steps, each a function: [`Route::parse`] reads method and path, [`decode_body`]
//! undoes the content encoding, [`decode_infer`] makes [`crate::tensor::Tensor`]s, and [`InferRequest::check`] holds
//! them against what the model takes. [`encode_infer_response`] writes the answer. Beside the protocol's JSON there are bare
//! tensors ([`nacre_protocol::TENSORS_TYPE`]), in and out.
//!
//! Everything in a request is a stranger's. Nothing is allocated for a size that is merely claimed: memory grows
//! only with bytes that have arrived, and every list has a limit, all of them below.
//!
//! # Choices where the protocol leaves one
//!
//! * JSON data is flat or nested in row-major order; nested data must have the shape exactly.
//! * An integer is written as one (`1`, not `1.0` or `1e0`) and keeps all 64 bits. A number out of its type's range is
//!   refused, never wrapped, clipped or turned into infinity.
//! * `FP16` and `BF16` may stand in JSON as numbers and are rounded to nearest, ties to even.
//! * JSON has no NaN and no infinity: an output that holds one is an error that tells the caller to ask for binary
//!   data. The same goes for `BYTES` that are not UTF-8.
//! * Unknown fields and parameters are ignored, except those that would change the answer (shared memory): these are
//!   refused.
//! * A classification of an output with two dimensions or more is one of each row of its first; the others are flat.
//! * Object keys must not repeat, and neither must the names of inputs or outputs.

mod bare;
mod body;
mod classify;
mod error;
mod input;
mod json_read;
mod json_write;
mod limits;
mod metadata;
mod request;
mod response;
mod route;
mod spec;
#[cfg(test)]
mod tests;
mod wire;

pub use bare::{decode_bare, encode_bare, is_bare};
pub use body::decode_body;
pub use classify::classify;
pub use error::{KserveError, error_body};
pub use metadata::{
    ModelStatistics, live, model_config, model_metadata, model_ready, model_statistics, ready,
    repository_index, server_metadata,
};
pub use request::{InferHeaders, InferRequest, RequestedOutput, decode_infer};
pub use response::{EncodedResponse, ResponseHead, encode_infer_response};
pub use route::{ModelAction, Route, RouteError};
pub use wire::ParameterValue;

/// Most inputs, and most outputs, that one request may name.
pub const MAX_TENSORS: usize = 256;
/// Most dimensions of a tensor.
pub const MAX_RANK: usize = 16;
/// Longest name of a tensor, a model or a version, in bytes.
pub const MAX_NAME: usize = 256;
/// Longest request id, in bytes.
pub const MAX_ID: usize = 256;
/// Most parameters of a request, an input or an output.
pub const MAX_PARAMETERS: usize = 64;

/// Content type of a body that is JSON only.
pub const JSON: &str = "application/json";
/// Content type of a body with binary tensor data after its JSON.
pub const OCTET_STREAM: &str = "application/octet-stream";
