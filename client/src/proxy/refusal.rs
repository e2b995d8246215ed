//! Errors that the proxy answers itself, in the shape that the caller's protocol has for errors.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use nacre_attestation_verifier::ResultCode;
use nacre_protocol::problem::{PROBLEM_JSON, Problem};
use serde_json::{Value, json};

use crate::error::ClientError;

/// Why a request was not forwarded, or its answer not passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// Where evidence or receipt was refused (DESIGN §4).
    result: Option<ResultCode>,
}

/// Whose error shape the caller reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `{"error": "…"}`
    Kserve,
    /// `{"error": {"message": "…"}}`
    OpenAi,
    /// RFC 9457.
    Problem,
}

impl Shape {
    /// The shape of a path's protocol.
    pub(super) fn of_path(path: &str) -> Self {
        match path.split('/').nth(1) {
            Some("v2") => Self::Kserve,
            Some("v1") => Self::OpenAi,
            _ => Self::Problem,
        }
    }
}

impl Refusal {
    /// A refusal that is not about evidence.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            result: None,
        }
    }

    pub(super) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is nothing at this path",
        )
    }

    pub(super) fn model_not_found(name: &str) -> Self {
        let shown: String = name.chars().take(63).collect();
        let message = format!("no function {shown:?} is served here");
        Self::new(StatusCode::NOT_FOUND, "model-not-found", message)
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "this proxy takes GET, HEAD and POST";
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            message,
        )
    }

    /// What the caller is told of a call that failed. `resolver` is why no other endpoint was found, where it was asked.
    pub(super) fn of_call(error: &ClientError, resolver: Option<String>) -> Self {
        let status = match error {
            ClientError::NoEndpoint => StatusCode::SERVICE_UNAVAILABLE,
            ClientError::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        let message = match resolver {
            Some(reason) => format!("{error} (asked where it runs: {reason})"),
            None => error.to_string(),
        };
        Self {
            status,
            code: error.code(),
            message,
            result: error.result_code(),
        }
    }

    /// Stable code.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// The answer in the caller's protocol.
    pub(super) fn into_response(self, shape: Shape) -> Response<Full<Bytes>> {
        let (code, message) = (self.code, self.message);
        let (media_type, mut body) = match shape {
            Shape::Kserve => ("application/json", json!({"error": message, "code": code})),
            Shape::OpenAi => {
                let kind = if self.status.is_client_error() {
                    "invalid_request_error"
                } else {
                    "server_error"
                };
                let error = json!({"message": message, "type": kind, "param": null, "code": code});
                ("application/json", json!({ "error": error }))
            }
            Shape::Problem => {
                let title = self.status.canonical_reason().unwrap_or("Error");
                let problem = Problem::new(self.status.as_u16(), code, title).with_detail(message);
                (PROBLEM_JSON, json!(problem))
            }
        };
        if let (Some(result), Value::Object(fields)) = (self.result, &mut body) {
            fields.insert("result_code".to_owned(), result.exit_status().into());
        }
        let mut response = Response::new(Full::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use nacre_attestation_verifier::{MeasurementsError, VerifyError};

    use super::*;

    async fn body(refusal: Refusal, path: &str) -> Value {
        let response = refusal.into_response(Shape::of_path(path));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn each_protocol_has_its_shape() {
        let refused = ClientError::from(VerifyError::from(MeasurementsError::NoMatch));
        let refusal = Refusal::of_call(&refused, None);
        assert_eq!(refusal.status, 502);
        let kserve = body(refusal.clone(), "/v2/models/iris/infer").await;
        assert_eq!(kserve["code"], "measurement-mismatch");
        assert_eq!(kserve["result_code"], 14);
        assert_eq!(kserve["error"], refused.to_string());
        let openai = body(refusal.clone(), "/v1/models").await;
        assert_eq!(openai["error"]["code"], "measurement-mismatch");
        assert_eq!(openai["error"]["message"], refused.to_string());
        let problem = body(refusal, "/x").await;
        assert_eq!(
            (&problem["status"], &problem["code"]),
            (&json!(502), &json!("measurement-mismatch"))
        );
        assert_eq!(
            body(Refusal::not_found(), "/v2x").await.get("result_code"),
            None
        );
    }
}
