//! Puts a receipt on an answer (DESIGN §3.3): the last step before it is sent, over the very bytes.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use nacre_protocol::digest::Digest;
use nacre_protocol::encoding::base64url;
use nacre_protocol::receipt::{InferenceReceipt, RequestParts, ResponseParts, SignedReceipt};
use nacre_protocol::{RECEIPT_HEADER, SALT_HEADER};

use super::answer::Answer;
use super::headers::AskedHeaders;
use super::model::off_loop_if_large;
use super::router::MoreHeaders;
use crate::boot::Enclave;

/// What a receipt says of the request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// Path and query, as sent.
    pub(crate) path: String,
    pub(crate) headers: AskedHeaders,
    /// Decoded; or as it came, where it cannot be decoded.
    pub(crate) body: Bytes,
    pub(crate) salt: [u8; 32],
}

/// When the work began, and how long the model took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) started_ms: u64,
    pub(crate) compute_micros: u32,
}

/// The answer with its receipt, or, where none can be signed, an answer that says so instead.
pub(super) async fn with_receipt(
    enclave: &Enclave,
    function: Digest,
    asked: Asked,
    work: Work,
    answer: Answer,
) -> (Answer, MoreHeaders) {
    let salt = asked.salt;
    let (answer, signed) = signed(enclave, function, asked, work, answer).await;
    let header = signed.and_then(|signed| HeaderValue::try_from(signed.to_header()).ok());
    match header {
        Some(header) => {
            let more = vec![
                (HeaderName::from_static(RECEIPT_HEADER), header),
                salt_header(&salt),
            ];
            (answer, more)
        }
        None => {
            let message = "the answer cannot be signed, so it is not given";
            let answer = Answer::kserve_error(
                StatusCode::SERVICE_UNAVAILABLE,
                "receipt-unavailable",
                message,
            );
            (answer, MoreHeaders::new())
        }
    }
}

/// The answer, unchanged, and its receipt; `None` where none can be signed.
pub(crate) async fn signed(
    enclave: &Enclave,
    function: Digest,
    asked: Asked,
    work: Work,
    answer: Answer,
) -> (Answer, Option<SignedReceipt>) {
    let salt = asked.salt;
    let status = answer.status.as_u16();
    let size = asked.body.len() + answer.body.len();
    let (answer, request_hash, response_hash) = off_loop_if_large(size, move || {
        let (request, response) = (request_hash(&asked), response_hash(&asked, &answer));
        (answer, request, response)
    })
    .await;
    let receipt = InferenceReceipt {
        function_digest: function,
        request_hash,
        response_hash,
        started_ms: work.started_ms,
        compute_micros: work.compute_micros,
        status,
    };
    let signed = enclave.receipts.sign(receipt, salt).await.ok();
    if signed.is_some() {
        enclave.counters.receipt();
    }
    (answer, signed)
}

fn salt_header(salt: &[u8; 32]) -> (HeaderName, HeaderValue) {
    // base64url is always a header value.
    let value = HeaderValue::try_from(base64url(salt)).unwrap_or(HeaderValue::from_static(""));
    (HeaderName::from_static(SALT_HEADER), value)
}

fn request_hash(asked: &Asked) -> [u8; 32] {
    let parts = RequestParts {
        method: asked.method.as_str(),
        path: &asked.path,
        content_type: asked.headers.content_type.as_deref().unwrap_or_default(),
        inference_header_length: asked
            .headers
            .inference_header_length
            .as_deref()
            .unwrap_or_default(),
        body: &asked.body,
    };
    parts.hash(&asked.salt)
}

fn response_hash(asked: &Asked, answer: &Answer) -> [u8; 32] {
    let length = answer
        .inference_header_length
        .map(|length| length.to_string());
    let parts = ResponseParts {
        status: answer.status.as_u16(),
        content_type: answer.content_type,
        inference_header_length: length.as_deref().unwrap_or_default(),
        // The answer to HEAD goes without its body.
        body: if asked.method == Method::HEAD {
            b""
        } else {
            &answer.body
        },
    };
    parts.hash(&asked.salt)
}
