//! A small client for the Open Inference Protocol v2, JSON form, over attested connections.

use bytes::Bytes;
use http::{Method, Request};
use serde::{Deserialize, Serialize};

use crate::checked::{CheckedResponse, Proof};
use crate::error::ClientError;
use crate::pool::AttestedClient;

/// One input tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InferInput {
    /// The input's name in the model.
    pub name: String,
    /// KServe's name of the element type: `FP32`, `INT64`, `BYTES`, …
    pub datatype: String,
    /// Dimensions.
    pub shape: Vec<u64>,
    /// Elements, flat in row-major order or nested.
    pub data: serde_json::Value,
}

/// One output tensor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct InferOutput {
    /// The output's name in the model.
    pub name: String,
    /// KServe's name of the element type.
    pub datatype: String,
    /// Dimensions.
    pub shape: Vec<u64>,
    /// Elements, flat in row-major order.
    pub data: Vec<serde_json::Value>,
}

/// Why an inference gave no outputs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KserveError {
    /// The attested channel.
    #[error(transparent)]
    Channel(#[from] ClientError),
    /// The enclave answered with an error.
    #[error("the function answered {status} ({code}): {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Stable code.
        code: String,
        /// The enclave's words.
        message: String,
    },
    /// The answer is not the protocol's.
    #[error("the answer is not an inference response: {0}")]
    Syntax(String),
}

/// Calls one model by name.
#[derive(Debug, Clone)]
pub struct KserveClient {
    client: AttestedClient,
    model: String,
}

impl KserveClient {
    /// A client for the model of this name, which is the function's.
    pub fn new(client: AttestedClient, model: impl Into<String>) -> Self {
        let model = model.into();
        Self { client, model }
    }

    /// Runs the model; the proof covers exactly these inputs and outputs.
    pub async fn infer(
        &self,
        inputs: &[InferInput],
    ) -> Result<(Vec<InferOutput>, Option<Proof>), KserveError> {
        let body = serde_json::to_vec(&InferBody { inputs })
            .map_err(|e| KserveError::Syntax(e.to_string()))?;
        let (answer, _) = self.infer_json(Bytes::from(body)).await?;
        let parsed: InferAnswer = serde_json::from_slice(answer.response.body())
            .map_err(|e| KserveError::Syntax(e.to_string()))?;
        Ok((parsed.outputs, answer.proof))
    }

    /// Runs the model on a body that is already the protocol's JSON; gives the answer and the path it was sent to.
    pub async fn infer_json(&self, body: Bytes) -> Result<(CheckedResponse, String), KserveError> {
        let path = format!("/v2/models/{}/infer", self.model);
        let request = Request::builder()
            .method(Method::POST)
            .uri(&path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|e| KserveError::Syntax(e.to_string()))?;
        let answer = self.client.call(request).await?;
        if answer.response.status().is_success() {
            return Ok((answer, path));
        }
        let error: ErrorBody = serde_json::from_slice(answer.response.body()).unwrap_or_default();
        Err(KserveError::Refused {
            status: answer.response.status().as_u16(),
            code: error.code,
            message: error.error,
        })
    }
}

#[derive(Serialize)]
struct InferBody<'a> {
    inputs: &'a [InferInput],
}

#[derive(Deserialize)]
struct InferAnswer {
    outputs: Vec<InferOutput>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    error: String,
    code: String,
}
