//! The paths that every attested program answers: evidence for this connection (DESIGN §3.2), and probes.

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Method, Response, StatusCode, Uri};
use http_body_util::Full;
use nacre_protocol::ATTESTATION_PATH;
use nacre_protocol::encoding::array_from_base64url;
use nacre_protocol::evidence::channel_leaf;
use nacre_protocol::problem::Problem;

use super::{Exporter, Node};
use crate::http::reply;

impl Node {
    /// Answers what all programs answer: evidence and probes. `None` where the path is the program's own.
    pub async fn answer(
        &self,
        exporter: &Exporter,
        method: &Method,
        uri: &Uri,
    ) -> Option<Response<Full<Bytes>>> {
        if uri.path() == ATTESTATION_PATH {
            return Some(self.attest(exporter, method, uri.query()).await);
        }
        self.answer_probe(method, uri)
    }

    /// Answers `/healthz` and `/readyz`. `None` where the path is another.
    pub fn answer_probe(&self, method: &Method, uri: &Uri) -> Option<Response<Full<Bytes>>> {
        match uri.path() {
            "/healthz" => Some(probe(method, Ok(()))),
            "/readyz" => Some(probe(method, self.ready())),
            _ => None,
        }
    }

    /// Ready is who can sign: without attested time nothing is answered.
    ///
    /// # Errors
    ///
    /// The problem to answer with, code `clock-unavailable`.
    pub fn ready(&self) -> Result<(), Problem> {
        match self.now() {
            Ok(_) => Ok(()),
            Err(error) => {
                let problem = Problem::new(503, "clock-unavailable", "There is no attested time");
                Err(problem.with_detail(error.to_string()))
            }
        }
    }

    /// Evidence whose leaf binds the caller's nonce to the connection's exporter.
    async fn attest(
        &self,
        exporter: &Exporter,
        method: &Method,
        query: Option<&str>,
    ) -> Response<Full<Bytes>> {
        if method != Method::GET {
            return reply::method_not_allowed("GET");
        }
        let Some(nonce) = query.and_then(nonce) else {
            let problem = Problem::new(400, "nonce-malformed", "The nonce is missing or malformed");
            let detail = "ask for ?nonce= and 32 random bytes in base64url without padding";
            return reply::problem(&problem.with_detail(detail));
        };
        if !exporter.may_ask() {
            let title = "This connection asked for evidence too often";
            let problem = Problem::new(503, "too-many-attestations", title);
            let detail = "a connection is answered 16 times at once, and then once a second";
            let mut refusal = reply::problem(&problem.with_detail(detail));
            // Who asks on has to connect again, and that is where the host lets others go first.
            let close = HeaderValue::from_static("close");
            refusal.headers_mut().insert(CONNECTION, close);
            return refusal;
        }
        let leaf = channel_leaf(&nonce, exporter.bytes());
        match self.freshness.evidence(leaf).await {
            Ok(evidence) => reply::json(StatusCode::OK, &evidence),
            Err(error) => {
                let problem = Problem::new(
                    503,
                    "attestation-unavailable",
                    "No attestation at the moment",
                );
                reply::problem(&problem.with_detail(error.to_string()))
            }
        }
    }
}

/// The query must be the nonce and nothing else.
fn nonce(query: &str) -> Option<[u8; 32]> {
    array_from_base64url(query.strip_prefix("nonce=")?).ok()
}

fn probe(method: &Method, state: Result<(), Problem>) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        return reply::method_not_allowed("GET, HEAD");
    }
    match state {
        Ok(()) => reply::with_body(
            StatusCode::OK,
            "application/json",
            Bytes::from_static(b"{\"status\":\"ok\"}"),
        ),
        Err(problem) => reply::problem(&problem),
    }
}
