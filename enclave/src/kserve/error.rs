//! What can be wrong with a request or an answer.

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use crate::tensor::{DataType, TensorError};

/// Why a request was refused, or its answer could not be written.
///
/// The text may quote the caller's data (a tensor's name, one value): it is for the caller. Log [`KserveError::code`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KserveError {
    /// The body, decoded, is longer than the limit.
    #[error("the body is longer than {limit} bytes once decoded")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A content encoding other than gzip, deflate and identity.
    #[error("content encoding {encoding} is not supported; use gzip, deflate or none")]
    UnsupportedEncoding {
        /// What the request says, cut to a readable length.
        encoding: String,
    },
    /// The compressed body is damaged, cut short, or has bytes after its end.
    #[error("the body is not valid {encoding} data: {reason}")]
    MalformedEncoding {
        /// `gzip` or `deflate`.
        encoding: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A content type that inference requests do not have.
    #[error(
        "content type {content_type} is not supported; use application/json, application/octet-stream with binary data, or application/vnd.nacre.tensors"
    )]
    UnsupportedMediaType {
        /// What the request says, cut to a readable length.
        content_type: String,
    },
    /// `Inference-Header-Content-Length` is not a number, or more than the body has.
    #[error("Inference-Header-Content-Length {reason}")]
    InvalidHeaderLength {
        /// What is wrong with it.
        reason: String,
    },
    /// The JSON cannot be parsed.
    #[error("the request is not valid JSON: {reason}")]
    MalformedJson {
        /// The parser's words, with line and column.
        reason: String,
    },
    /// The JSON parses, but a field has the wrong type or stands there twice.
    #[error("not an inference request: {reason}")]
    InvalidRequest {
        /// The parser's words, with line and column.
        reason: String,
    },
    /// A field without which there is no request.
    #[error("{place} has no `{field}`")]
    MissingField {
        /// Which object lacks it.
        place: String,
        /// The field.
        field: &'static str,
    },
    /// More of something than its limit.
    #[error("{place} has {count} {what}, more than the limit of {limit}")]
    TooMany {
        /// Which object has them.
        place: String,
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A name that is empty or too long, or an id that is too long.
    #[error("{place} has a name or id that is empty or longer than {limit} bytes")]
    InvalidName {
        /// Whose name it is.
        place: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// Two inputs, or two outputs, with one name.
    #[error("{kind} `{name}` is there twice")]
    DuplicateTensor {
        /// `input` or `output`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A datatype that the protocol does not have.
    #[error("input `{tensor}` has the unknown datatype {datatype}")]
    UnknownDatatype {
        /// Name of the input.
        tensor: String,
        /// What the request says, cut to a readable length.
        datatype: String,
    },
    /// A shape that is not a list of lengths, or that no memory can hold.
    #[error("input `{tensor}` has an invalid shape: {reason}")]
    InvalidShape {
        /// Name of the input.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A parameter with a value that it cannot have.
    #[error("parameter `{parameter}` of {place} must be {expected}")]
    InvalidParameter {
        /// Which object has it.
        place: String,
        /// Name of the parameter.
        parameter: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// A parameter that asks for something that is not done here and would change the answer.
    #[error("parameter `{parameter}` of {place} is not supported")]
    UnsupportedParameter {
        /// Which object has it.
        place: String,
        /// Name of the parameter.
        parameter: &'static str,
    },
    /// An input with both JSON data and binary data.
    #[error("input `{tensor}` has both `data` and `binary_data_size`; send one of them")]
    ConflictingData {
        /// Name of the input.
        tensor: String,
    },
    /// The body's binary part is shorter or longer than what the inputs' sizes add up to.
    #[error(
        "the inputs' `binary_data_size` add up to {claimed} bytes, the body has {present} after its JSON"
    )]
    BinaryLength {
        /// Sum of the sizes.
        claimed: u128,
        /// Bytes that are there.
        present: usize,
    },
    /// JSON data with another number of elements than the shape says.
    #[error("input `{tensor}`: shape {shape:?} asks for {expected} elements, `data` has {found}")]
    ElementCount {
        /// Name of the input.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
        /// Elements that the shape asks for.
        expected: usize,
        /// Elements that are there.
        found: usize,
    },
    /// JSON data nested otherwise than the shape says.
    #[error(
        "input `{tensor}`: `data` is not nested as its shape {shape:?} says, at element {index}: {reason}"
    )]
    Nesting {
        /// Name of the input.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
        /// Flat index of the element before which the nesting goes wrong.
        index: usize,
        /// What is there instead.
        reason: String,
    },
    /// A JSON value that is not of the input's datatype.
    #[error("input `{tensor}`: element {index} is {value}, which is not {expected}")]
    WrongValue {
        /// Name of the input.
        tensor: String,
        /// Flat index of the element.
        index: usize,
        /// The value, cut to a readable length.
        value: String,
        /// What a value of the datatype looks like.
        expected: &'static str,
    },
    /// A number that the input's datatype cannot hold.
    #[error(
        "input `{tensor}`: element {index} is {value}, which is out of the range of {datatype}"
    )]
    OutOfRange {
        /// Name of the input.
        tensor: String,
        /// Flat index of the element.
        index: usize,
        /// The value, cut to a readable length.
        value: String,
        /// The datatype.
        datatype: DataType,
    },
    /// Binary data of an input is not what datatype and shape promise.
    #[error(transparent)]
    BinaryData(TensorError),
    /// Bare tensors ([`nacre_protocol::TENSORS_TYPE`]) that the model's inputs cannot be made of.
    #[error("{reason}")]
    BareTensors {
        /// What is wrong with them.
        reason: String,
    },
    /// The model has no such input or output.
    #[error("the model has no {kind} `{name}`")]
    UnknownTensor {
        /// `input` or `output`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The request leaves out an input of the model.
    #[error("input `{name}` is missing")]
    MissingInput {
        /// The name.
        name: String,
    },
    /// An input of another datatype than the model's.
    #[error("input `{tensor}` is {actual}, the model takes {expected}")]
    WrongDatatype {
        /// Name of the input.
        tensor: String,
        /// What the model takes.
        expected: DataType,
        /// What the request has.
        actual: DataType,
    },
    /// An input of another shape than the model's.
    #[error("input `{tensor}` has shape {actual:?}, the model takes {expected:?} (-1: any length)")]
    WrongShape {
        /// Name of the input.
        tensor: String,
        /// What the model takes.
        expected: Vec<i64>,
        /// What the request has.
        actual: Vec<u64>,
    },
    /// An output that JSON cannot carry.
    #[error(
        "output `{tensor}`: element {index} is {value}, which JSON cannot carry; ask for it with the parameter \"binary_data\": true"
    )]
    NotRepresentable {
        /// Name of the output.
        tensor: String,
        /// Flat index of the element.
        index: usize,
        /// What it is.
        value: &'static str,
    },
    /// A classification of an output that has no classes: text, truth values, or nothing at all.
    #[error(
        "output `{tensor}` is {datatype} of shape {shape:?}, which has no classes to choose among"
    )]
    NoClasses {
        /// Name of the output.
        tensor: String,
        /// Its type.
        datatype: DataType,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// The model's output is not what its datatype and shape promise: the worker's fault, not the caller's.
    #[error("the model's answer is malformed")]
    MalformedOutput(#[source] TensorError),
}

impl KserveError {
    /// Stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            KserveError::BodyTooLarge { .. } => "body-too-large",
            KserveError::UnsupportedEncoding { .. } => "unsupported-encoding",
            KserveError::MalformedEncoding { .. } => "malformed-encoding",
            KserveError::UnsupportedMediaType { .. } => "unsupported-media-type",
            KserveError::InvalidHeaderLength { .. } => "invalid-header-length",
            KserveError::MalformedJson { .. } => "malformed-json",
            KserveError::InvalidRequest { .. } => "invalid-request",
            KserveError::MissingField { .. } => "missing-field",
            KserveError::TooMany { .. } => "too-many",
            KserveError::InvalidName { .. } => "invalid-name",
            KserveError::DuplicateTensor { .. } => "duplicate-tensor",
            KserveError::UnknownDatatype { .. } => "unknown-datatype",
            KserveError::InvalidShape { .. } => "invalid-shape",
            KserveError::InvalidParameter { .. } => "invalid-parameter",
            KserveError::UnsupportedParameter { .. } => "unsupported-parameter",
            KserveError::ConflictingData { .. } => "conflicting-data",
            KserveError::BinaryLength { .. } => "binary-length",
            KserveError::ElementCount { .. } => "tensor-length",
            KserveError::Nesting { .. } => "tensor-nesting",
            KserveError::WrongValue { .. } => "wrong-value",
            KserveError::OutOfRange { .. } => "value-out-of-range",
            KserveError::BinaryData(error) => error.code(),
            KserveError::BareTensors { .. } => "bare-tensors",
            KserveError::UnknownTensor { .. } => "unknown-tensor",
            KserveError::MissingInput { .. } => "missing-input",
            KserveError::WrongDatatype { .. } => "wrong-datatype",
            KserveError::WrongShape { .. } => "wrong-shape",
            KserveError::NotRepresentable { .. } => "not-representable",
            KserveError::NoClasses { .. } => "no-classes",
            KserveError::MalformedOutput(_) => "malformed-output",
        }
    }

    /// The HTTP status to answer with.
    pub fn status(&self) -> StatusCode {
        match self {
            KserveError::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            KserveError::UnsupportedEncoding { .. } | KserveError::UnsupportedMediaType { .. } => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            KserveError::MalformedOutput(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The body to answer with.
    pub fn body(&self) -> Bytes {
        error_body(self.code(), &self.to_string())
    }
}

/// The protocol's error body, `{"error": message}`, with the stable code beside it; for errors outside this module
/// too (an unknown model, a worker that ran out of time).
pub fn error_body(code: &str, message: &str) -> Bytes {
    #[derive(Serialize)]
    struct Body<'a> {
        error: &'a str,
        code: &'a str,
    }
    super::json_write::to_bytes(&Body {
        error: message,
        code,
    })
}

/// A stranger's text, quoted and cut so that an error stays readable.
pub(super) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 48;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
