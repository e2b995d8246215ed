//! An answer before it is sent.

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use nacre_protocol::INFERENCE_HEADER_LENGTH;
use nacre_protocol::problem::{PROBLEM_JSON, Problem};

use crate::http::reply;
use crate::kserve;

/// Status, the headers that a receipt covers, and the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) inference_header_length: Option<usize>,
    pub(crate) body: Bytes,
    /// Value of `allow`.
    pub(crate) allow: Option<&'static str>,
    /// The connection is of no more use after it.
    pub(crate) close: bool,
}

impl Answer {
    /// JSON.
    pub(crate) fn json(status: StatusCode, body: Bytes) -> Self {
        Self {
            status,
            content_type: kserve::JSON,
            inference_header_length: None,
            body,
            allow: None,
            close: false,
        }
    }

    /// An error in KServe's shape.
    pub(crate) fn kserve_error(status: StatusCode, code: &str, message: &str) -> Self {
        Self::json(status, kserve::error_body(code, message))
    }

    /// An error as problem details.
    pub(crate) fn problem(problem: &Problem) -> Self {
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            content_type: PROBLEM_JSON,
            ..Self::json(
                status,
                serde_json::to_vec(problem).unwrap_or_default().into(),
            )
        }
    }

    /// Ends the connection after this answer.
    pub(crate) fn closing(self) -> Self {
        Self {
            close: true,
            ..self
        }
    }

    /// The response, with whatever headers come on top.
    pub(crate) fn into_response(
        self,
        more: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> Response<Full<Bytes>> {
        let mut response = reply::with_body(self.status, self.content_type, self.body);
        let headers = response.headers_mut();
        if let Some(length) = self.inference_header_length {
            headers.insert(INFERENCE_HEADER_LENGTH, HeaderValue::from(length));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        headers.extend(more);
        response
    }
}
