//! What a fake enclave does with what it is asked. Tests replace one of the two functions.

use std::fmt;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use nacre_protocol::FUNCTION_HEADER;
use nacre_protocol::evidence::Evidence;

use super::enclave::{Enclave, function};

/// A question for evidence.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The client's nonce.
    pub nonce: [u8; 32],
    /// The exporter of the connection it came over.
    pub exporter: [u8; 32],
    /// How many questions came before, over all connections.
    pub before: usize,
}

/// Any other request.
#[derive(Debug, Clone)]
pub struct Call {
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers.
    pub headers: HeaderMap,
    /// Body as it came.
    pub body: Bytes,
    /// Body without its content encoding.
    pub decoded: Bytes,
    /// The caller's salt.
    pub salt: [u8; 32],
}

impl Call {
    /// A header as text, empty where absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// What answers a question for evidence.
#[derive(Debug)]
pub enum Reply {
    /// Evidence, as it should be.
    Evidence(Evidence),
    /// Any response.
    Response(Response<Bytes>),
    /// So many bytes, in chunks: no length stands in the head.
    Endless(usize),
    /// Nothing, ever.
    Silence,
}

type OnEvidence = dyn Fn(&Enclave, &Asked) -> Reply + Send + Sync;
type OnCall = dyn Fn(&Enclave, &Call) -> Response<Bytes> + Send + Sync;

/// How a fake enclave behaves.
pub struct Behaviour {
    pub(super) on_evidence: Box<OnEvidence>,
    pub(super) on_call: Box<OnCall>,
}

impl Behaviour {
    /// Evidence as asked; answers that prove themselves.
    pub fn honest() -> Self {
        Self {
            on_evidence: Box::new(|enclave, asked| Reply::Evidence(enclave.evidence(asked))),
            on_call: Box::new(answer),
        }
    }

    /// Other evidence.
    pub fn evidence(f: impl Fn(&Enclave, &Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            on_evidence: Box::new(f),
            ..Self::honest()
        }
    }

    /// Other answers.
    pub fn answers(f: impl Fn(&Enclave, &Call) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        Self {
            on_call: Box::new(f),
            ..Self::honest()
        }
    }
}

/// What [`Behaviour::honest`] answers: the decoded body again, with a receipt; nothing about a function where it is
/// another; the server's own paths without a receipt.
pub fn answer(enclave: &Enclave, call: &Call) -> Response<Bytes> {
    if !call.path.starts_with("/v2/models/") && !call.path.starts_with("/v1/") {
        return json(200, format!("{{\"path\":{:?}}}", call.path));
    }
    if call.header(FUNCTION_HEADER) != function().to_string() {
        return json(
            409,
            r#"{"error":"another function runs here","code":"function-mismatch"}"#,
        );
    }
    enclave.prove(call, echo(call))
}

/// The body again, without a receipt.
pub fn echo(call: &Call) -> Response<Bytes> {
    let response = Response::builder().header(CONTENT_TYPE, "application/json");
    response.body(call.decoded.clone()).unwrap()
}

fn json(status: u16, body: impl Into<Bytes>) -> Response<Bytes> {
    let response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/json");
    response.body(body.into()).unwrap()
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Behaviour")
    }
}
