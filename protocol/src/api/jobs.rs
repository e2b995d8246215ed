//! Shapes of the control plane's job API: for callers, and for the nodes that run jobs.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/jobs` with [`CreateJob`] | 201 [`Job`]; 200 where the same job was there |
//! | `PUT /v1/jobs/{id}/input` with the bytes, where [`JobPayload::Upload`] was named | 204; the job is queued |
//! | `GET /v1/jobs/{id}?wait_ms={n}` | [`Job`], long-polled until it has ended |
//! | `GET /v1/jobs/{id}/result` | the result as carried, with `nacre-job-receipt`, and `nacre-chain-result` where a contract asked for it |
//! | `GET /v1/jobs?after={cursor}` | a page of [`Job`] |
//! | `DELETE /v1/jobs/{id}` | 204: cancelled if it had not ended; input and result are deleted |
//!
//! A node that holds leases takes jobs of its functions, runs them through its enclave's control channel
//! ([`crate::control::RunJob`]) and reports:
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/nodes/{id}/jobs?wait_ms={n}` | 200 [`AssignedJob`], or 204 where there was none in that time |
//! | `GET /v1/nodes/{id}/jobs/{job}/input?attempt={n}` | the input as carried |
//! | `POST /v1/nodes/{id}/jobs/{job}/started?attempt={n}` | 204 |
//! | `PUT /v1/nodes/{id}/jobs/{job}/result?attempt={n}` with the result as carried, `nacre-job-receipt` and what else came with it | 204; again: the same |
//! | `POST /v1/nodes/{id}/jobs/{job}/failed?attempt={n}` with [`JobFailure`] | 204 |
//! | `POST /v1/nodes/{id}/usage` with [`ReportUsage`] | 204; all of it is stored |

use serde::{Deserialize, Serialize};

use crate::chain_job::ChainTerms;
use crate::digest::Digest;
use crate::ids::{BootId, FunctionName, JobId, LeaseId, NodeId};
use crate::job::{JobInput, JobTerms};
use crate::usage::SignedUsage;

/// `POST /v1/jobs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateJob {
    /// Drawn by the caller (see [`crate::job`]): the same id with the same body is the same job, with another body an error.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: JobId,
    /// Which function.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub function: FunctionName,
    /// Which version of it; any other answer is refused.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
    /// Unix milliseconds; a job that has not ended by then has expired.
    pub deadline_ms: u64,
    /// The most that is paid for the job, micro-units. Absent: what the function's deployment pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_price: Option<u64>,
    /// Where the platform posts the [`Job`] when it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// For which contract the enclave signs the result, too ([`crate::chain_job`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<ChainTerms>,
    /// What it runs on.
    pub input: JobPayload,
}

/// A job's input on its way to the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "form",
    rename_all = "kebab-case",
    rename_all_fields = "snake_case",
    deny_unknown_fields
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobPayload {
    /// In the open: a KServe inference request.
    Plain {
        /// `content-type`.
        #[serde(default = "json_type")]
        content_type: String,
        /// `inference-header-content-length`, empty where absent.
        #[serde(default)]
        inference_header_length: String,
        /// Salt of the receipt's hashes, base64url. Absent: the platform draws one, and the receipt says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
        salt: Option<Bytes32>,
        /// The body, base64url.
        #[serde(with = "crate::encoding::base64url_bytes")]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        body: Vec<u8>,
    },
    /// Sealed: a [`crate::sealed::SealedJob`].
    Sealed {
        /// The envelope, base64url.
        #[serde(with = "crate::encoding::base64url_bytes")]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        envelope: Vec<u8>,
        /// The X25519 public key that the result is sealed to, base64url.
        #[serde(with = "crate::encoding::base64url_array")]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        result_key: [u8; 32],
    },
    /// Follows by `PUT /v1/jobs/{id}/input`, for what is too large for JSON.
    Upload {
        /// Bytes that will come.
        size: u64,
        /// Their digest.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        digest: Digest,
        /// The key that the result is sealed to, base64url, where the input is an envelope.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
        result_key: Option<Bytes32>,
    },
}

impl JobPayload {
    /// The bytes that are carried to the enclave, with `drawn` as the salt where the caller gave none; `None` where they
    /// follow by upload.
    pub fn carried(&self, drawn: [u8; 32]) -> Option<Vec<u8>> {
        match self {
            Self::Plain {
                content_type,
                inference_header_length,
                salt,
                body,
            } => {
                let salt = salt.map_or(drawn, |salt| salt.0);
                let input = JobInput {
                    content_type,
                    inference_header_length,
                    salt,
                    body,
                };
                Some(input.encode())
            }
            Self::Sealed { envelope, .. } => Some(envelope.clone()),
            Self::Upload { .. } => None,
        }
    }

    /// The key that the result is sealed to, where the input is sealed.
    pub fn result_key(&self) -> Option<[u8; 32]> {
        match self {
            Self::Plain { .. } => None,
            Self::Sealed { result_key, .. } => Some(*result_key),
            Self::Upload { result_key, .. } => result_key.map(|key| key.0),
        }
    }
}

fn json_type() -> String {
    "application/json".to_owned()
}

/// 32 bytes, base64url.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes32(#[serde(with = "crate::encoding::base64url_array")] pub [u8; 32]);

/// A job and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Job {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: JobId,
    /// Which function.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub function: FunctionName,
    /// Which version.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
    /// Where it stands.
    pub state: JobState,
    /// Whether its input and result are sealed.
    pub sealed: bool,
    /// How often it was given to a node.
    pub attempts: u32,
    /// Unix milliseconds.
    pub created_ms: u64,
    /// Unix milliseconds.
    pub deadline_ms: u64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// What came of it, where it is [`JobState::Done`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<JobOutcome>,
    /// The last attempt's failure, where it is not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<JobFailure>,
    /// For which contract its result is signed, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<ChainTerms>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobState {
    /// Waits for a node.
    Queued,
    /// Given to a node, which has not begun.
    Leased,
    /// A node says that it runs.
    Running,
    /// Has a result.
    Done,
    /// Has none, and will have none.
    Failed,
    /// Had not ended by its deadline.
    Expired,
    /// The caller took it back.
    Cancelled,
}

impl JobState {
    /// Whether nothing more will happen to it.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Done | Self::Failed | Self::Expired | Self::Cancelled
        )
    }
}

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobOutcome {
    /// HTTP status of the result: 200, or 400 where model and input do not go together.
    pub status: u16,
    /// The node that gave it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub node: NodeId,
    /// The run of its enclave.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub boot_id: BootId,
    /// Bytes of the result as carried.
    pub size: u64,
    /// The value of `nacre-job-receipt` ([`crate::job::SignedJobReceipt`]).
    pub receipt: String,
    /// The value of `nacre-chain-result` ([`crate::chain_job::SignedChainResult`]), where a contract asked for the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_result: Option<String>,
    /// Until when the platform keeps it, Unix milliseconds.
    pub kept_until_ms: u64,
}

/// Why an attempt had no result: a [`crate::control::JobRefusal`], or the node's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobFailure {
    /// Stable kebab-case code.
    pub code: String,
    /// One sentence, without any payload.
    pub message: String,
    /// Whether another try may have another outcome.
    pub retryable: bool,
}

/// A job that a node is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AssignedJob {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: JobId,
    /// Which attempt this is; what is reported for an earlier one is refused.
    pub attempt: u32,
    /// The lease of the function that runs it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub lease: LeaseId,
    /// Which version.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
    /// Unix milliseconds.
    pub deadline_ms: u64,
    /// The key that the result is sealed to, base64url, where the input is sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub result_key: Option<Bytes32>,
    /// For which contract the enclave signs the result, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<ChainTerms>,
    /// Bytes of the input as carried.
    pub input_size: u64,
    /// By when the node must have reported, Unix milliseconds; then the job goes elsewhere.
    pub lease_until_ms: u64,
}

impl AssignedJob {
    /// What the enclave is asked for.
    pub fn run(&self) -> crate::control::RunJob {
        let terms = JobTerms {
            job: self.id,
            function: self.digest,
            deadline_ms: self.deadline_ms,
        };
        let result_key = self.result_key.map(|key| key.0);
        crate::control::RunJob {
            terms,
            result_key,
            chain: self.chain,
        }
    }
}

/// `POST /v1/nodes/{id}/usage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportUsage {
    /// In the order of their numbers, at most 256.
    pub receipts: Vec<SignedUsage>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "job_00000000000000000000000000000001";

    fn create(input: &str) -> Result<CreateJob, String> {
        let digest = Digest::of(b"f");
        let json = format!(
            r#"{{"id":"{JOB}","function":"iris","digest":"{digest}","deadline_ms":7,"input":{input}}}"#
        );
        serde_json::from_str(&json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_request_in_the_open_can_be_written_by_hand() {
        let create = create(r#"{"form":"plain","body":"e30"}"#).unwrap();
        assert_eq!(create.input.result_key(), None);
        let carried = create.input.carried([5; 32]).unwrap();
        let expected = JobInput {
            content_type: "application/json",
            inference_header_length: "",
            salt: [5; 32],
            body: b"{}",
        };
        assert_eq!(JobInput::decode(&carried), Ok(expected));
    }

    #[test]
    fn a_sealed_request_is_carried_as_it_is() {
        let key = "A".repeat(43);
        let input = format!(r#"{{"form":"sealed","envelope":"AQID","result_key":"{key}"}}"#);
        let create = create(&input).unwrap();
        assert_eq!(create.input.result_key(), Some([0; 32]));
        assert_eq!(create.input.carried([5; 32]), Some(vec![1, 2, 3]));
        let again = serde_json::to_string(&create.input).unwrap();
        assert_eq!(again, input);
    }

    #[test]
    fn what_has_no_form_is_no_input() {
        for wrong in [
            r#"{"body":"e30"}"#,
            r#"{"form":"plain"}"#,
            r#"{"form":"plain","body":"e30="}"#,
            r#"{"form":"plain","body":"e30","result_key":"AA"}"#,
            r#"{"form":"sealed","envelope":"AQID"}"#,
            r#"{"form":"upload","size":1}"#,
            r#"{"form":"other"}"#,
        ] {
            assert!(create(wrong).is_err(), "{wrong}");
        }
    }
}
