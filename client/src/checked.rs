//! One call over an attested connection: named function, salt, receipt.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use nacre_protocol::digest::Digest;
use nacre_protocol::encoding::base64url;
use nacre_protocol::receipt::SignedReceipt;
use nacre_protocol::receipt_file::{ReceiptFile, RequestHead, ResponseHead};
use nacre_protocol::{FUNCTION_HEADER, INFERENCE_HEADER_LENGTH, RECEIPT_HEADER, SALT_HEADER};

use crate::appraisal::AttestedEnclave;
use crate::body::collect;
use crate::connection::AttestedConnection;
use crate::error::ClientError;

/// An answer whose receipt, where it has one, was checked.
#[derive(Debug)]
pub struct CheckedResponse {
    /// Status, headers and body as they came.
    pub response: Response<Bytes>,
    /// What proves it; absent where the answer is about no function (health, server metadata, unknown model).
    pub proof: Option<Proof>,
}

impl CheckedResponse {
    /// Whether the enclave refused the request because it runs another version of the function.
    pub(crate) fn is_of_another_version(&self) -> bool {
        self.is_refused_as(StatusCode::CONFLICT, "function-mismatch")
    }

    /// Whether the enclave refused the request because it does not run the function, in this version or at all.
    pub(crate) fn is_not_here(&self) -> bool {
        self.is_of_another_version() || self.is_refused_as(StatusCode::NOT_FOUND, "unknown-model")
    }

    /// Refused like this, and therefore before a worker saw a byte.
    fn is_refused_as(&self, status: StatusCode, code: &str) -> bool {
        let refused = self.proof.is_none() && self.response.status() == status;
        refused
            && serde_json::from_slice::<Refusal>(self.response.body())
                .is_ok_and(|refusal| refusal.code == code)
    }
}

/// What is read of an answer without a proof.
#[derive(serde::Deserialize)]
struct Refusal {
    code: String,
}

/// A checked receipt with what it covers.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The receipt.
    pub receipt: SignedReceipt,
    /// What a receipt file holds.
    pub file: ReceiptFile,
}

/// Sends a request for `function` and checks the answer's receipt against exactly what was sent and received.
///
/// `body` is what the enclave hashes: where the request is content-encoded, the caller gives `decoded` as well.
pub(crate) async fn call(
    connection: &mut AttestedConnection,
    function: Option<&Digest>,
    request: Request<Bytes>,
    decoded: Option<&[u8]>,
    max_answer: usize,
) -> Result<CheckedResponse, ClientError> {
    let enclave = connection.enclave().clone();
    let (mut parts, body) = request.into_parts();
    let salt = random_salt()?;
    set(&mut parts.headers, SALT_HEADER, &base64url(&salt));
    if let Some(function) = function {
        set(&mut parts.headers, FUNCTION_HEADER, &function.to_string());
    }
    let head = RequestHead {
        method: parts.method.to_string(),
        path: parts
            .uri
            .path_and_query()
            .map_or("/", |p| p.as_str())
            .to_owned(),
        content_type: text(&parts.headers, CONTENT_TYPE.as_str()).to_owned(),
        inference_header_length: text(&parts.headers, INFERENCE_HEADER_LENGTH).to_owned(),
    };
    debug_assert!(decoded.is_some() || !parts.headers.contains_key(CONTENT_ENCODING));

    let sent = Request::from_parts(parts, Full::new(body.clone()));
    let (answer, mut answer_body) = connection.send(sent).await?.into_parts();
    let answer_body = collect(&mut answer_body, max_answer).await;
    let answer_body = answer_body.map_err(|e| ClientError::of_answer(e, max_answer))?;
    let response = Response::from_parts(answer, answer_body);
    let proof = match response.headers().get(RECEIPT_HEADER) {
        Some(header) => Some(check(
            header,
            &enclave,
            function,
            head,
            decoded.unwrap_or(&body),
            &salt,
            &response,
        )?),
        None if needs_receipt(function, &response, &head.path) => {
            let status = response.status().as_u16();
            return Err(ClientError::NoReceipt { status });
        }
        None => None,
    };
    Ok(CheckedResponse { response, proof })
}

fn check(
    header: &HeaderValue,
    enclave: &AttestedEnclave,
    function: Option<&Digest>,
    request: RequestHead,
    request_body: &[u8],
    salt: &[u8; 32],
    response: &Response<Bytes>,
) -> Result<Proof, ClientError> {
    let header = header.to_str().unwrap_or_default();
    let receipt = SignedReceipt::from_header(header)?;
    if receipt.salt != *salt {
        return Err(ClientError::Salt);
    }
    let head = ResponseHead {
        status: response.status().as_u16(),
        content_type: text(response.headers(), CONTENT_TYPE.as_str()).to_owned(),
        inference_header_length: text(response.headers(), INFERENCE_HEADER_LENGTH).to_owned(),
    };
    // A caller that named no function takes the one that answered, and learns which from the receipt.
    let wanted = function.copied().unwrap_or(receipt.receipt.function_digest);
    receipt.verify(
        &enclave.statement().receipt_key,
        &wanted,
        &request.with_body(request_body),
        &head.with_body(response.body()),
    )?;
    let file = ReceiptFile {
        version: 1,
        receipt: header.to_owned(),
        function: wanted,
        request,
        response: head,
        evidence: enclave.evidence().clone(),
    };
    Ok(Proof { receipt, file })
}

/// An answer of a function must prove itself; so must every success about a model. Refusals from before any function was
/// found (unknown model, another digest, overload) come without: they claim nothing about a model's output.
fn needs_receipt(function: Option<&Digest>, response: &Response<Bytes>, path: &str) -> bool {
    response.status().is_success() && (function.is_some() || path.starts_with("/v2/models/"))
}

fn random_salt() -> Result<[u8; 32], ClientError> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|e| ClientError::EvidenceSyntax(e.to_string()))?;
    Ok(salt)
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // Hex and base64url are always valid header values.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}
