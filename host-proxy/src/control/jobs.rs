//! Running jobs through the control channel.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full};
use nacre_protocol::control::RunJob;
use nacre_protocol::job::{JOB_INPUT_TYPE, MAX_JOB_BYTES, SEALED_JOB_TYPE};
use nacre_protocol::{CHAIN_RESULT_HEADER, JOB_RECEIPT_HEADER};

use super::{Control, ControlError};

/// A job's result, as the enclave gave it.
#[derive(Debug, Clone)]
pub struct RanJob {
    /// The result as it is carried.
    pub result: Bytes,
    /// The value of `nacre-job-receipt`.
    pub receipt: String,
    /// The value of `nacre-chain-result`, where a contract asked for the job.
    pub chain_result: Option<String>,
}

impl Control {
    /// Runs a job on its input as carried. Dropped, it takes the job back: the enclave stops working for nobody.
    pub async fn run_job(
        &self,
        run: &RunJob,
        input: Bytes,
        within: Duration,
    ) -> Result<RanJob, ControlError> {
        let media_type = match run.result_key {
            Some(_) => SEALED_JOB_TYPE,
            None => JOB_INPUT_TYPE,
        };
        let length = input.len();
        let body = Full::new(input).map_err(|never| match never {});
        let target = run.path_and_query();
        let mut request = self.request(Method::POST, &target, Some(body.boxed_unsync()));
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(media_type));
        headers.insert(CONTENT_LENGTH, length.into());
        let answer = self.exchange_up_to(request, within, MAX_JOB_BYTES).await?;
        let answer = answer.success()?;
        let header = |name| {
            let value = answer.headers.get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let chain_result = header(CHAIN_RESULT_HEADER);
        match header(JOB_RECEIPT_HEADER) {
            Some(receipt) => Ok(RanJob {
                receipt,
                chain_result,
                result: answer.body,
            }),
            None => Err(ControlError::Malformed {
                status: answer.status,
                reason: "a result without its receipt".to_owned(),
            }),
        }
    }
}
