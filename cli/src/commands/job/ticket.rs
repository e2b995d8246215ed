//! What is kept here of a job that was submitted: what its result must prove, and, where it is sealed, the key that opens it.

use nacre_client::sealed::{JobRequest, JobTicket, OpenedJob};
use nacre_client::{AttestedEnclave, ClientError};
use nacre_protocol::encoding::base64url_array;
use nacre_protocol::evidence::Evidence;
use nacre_protocol::identity::IdentityStatement;
use nacre_protocol::ids::FunctionName;
use nacre_protocol::job::{InputCommitment, JobResult, JobTerms, job_path};
use nacre_protocol::receipt::ReceiptError;
use nacre_protocol::receipt_file::{ReceiptFile, RequestHead, ResponseHead};
use serde::{Deserialize, Serialize};

use crate::error::CliError;

/// A ticket's file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Ticket {
    /// In the open.
    Plain(PlainTicket),
    /// Sealed: [`JobTicket`]'s own JSON.
    Sealed {
        /// For finding the function's nodes.
        function: FunctionName,
        /// The text.
        ticket: String,
    },
}

/// What the result of a job in the open must prove.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlainTicket {
    pub(crate) function: FunctionName,
    pub(crate) digest: nacre_protocol::digest::Digest,
    #[serde(with = "base64url_array")]
    salt: [u8; 32],
    #[serde(with = "base64url_array")]
    request_hash: [u8; 32],
    request: RequestHead,
    /// Of the enclaves that ran the function when the job was submitted.
    evidence: Vec<Evidence>,
}

impl PlainTicket {
    pub(crate) fn new(
        function: FunctionName,
        terms: &JobTerms,
        request: JobRequest<'_>,
        commitment: InputCommitment,
        enclaves: &[std::sync::Arc<AttestedEnclave>],
    ) -> Self {
        Self {
            function,
            digest: terms.function,
            salt: commitment.salt,
            request_hash: commitment.request_hash,
            request: RequestHead {
                method: "POST".to_owned(),
                path: job_path(&terms.job),
                content_type: request.content_type.to_owned(),
                inference_header_length: request.inference_header_length.to_owned(),
            },
            evidence: enclaves.iter().map(|e| e.evidence().clone()).collect(),
        }
    }

    /// Checks that an enclave that was attested, then or now, gave exactly this answer to the input. `None` where none of
    /// them did.
    pub(crate) fn open(
        &self,
        result: &[u8],
        now: &[std::sync::Arc<AttestedEnclave>],
    ) -> Result<Option<OpenedJob>, CliError> {
        let result =
            JobResult::decode(result).map_err(nacre_client::sealed::SealedJobError::from)?;
        let commitment = InputCommitment {
            salt: self.salt,
            request_hash: self.request_hash,
        };
        let now = now.iter().map(|enclave| enclave.evidence());
        for evidence in self.evidence.iter().chain(now) {
            let statement =
                IdentityStatement::decode(&evidence.statement).map_err(ClientError::from)?;
            match result.verify(&self.digest, &commitment, &statement.receipt_key) {
                Ok(()) => return Ok(Some(self.proven(&result, &statement, evidence))),
                Err(ReceiptError::Signature) => {}
                Err(error) => return Err(ClientError::from(error).into()),
            }
        }
        Ok(None)
    }

    fn proven(
        &self,
        result: &JobResult<'_>,
        statement: &IdentityStatement,
        evidence: &Evidence,
    ) -> OpenedJob {
        OpenedJob {
            status: result.status,
            content_type: result.content_type.to_owned(),
            inference_header_length: result.inference_header_length.to_owned(),
            body: result.body.to_vec(),
            boot_id: statement.boot_id,
            proof: ReceiptFile {
                version: 1,
                receipt: result.receipt.to_header(),
                function: self.digest,
                request: self.request.clone(),
                response: ResponseHead {
                    status: result.status,
                    content_type: result.content_type.to_owned(),
                    inference_header_length: result.inference_header_length.to_owned(),
                },
                evidence: evidence.clone(),
            },
        }
    }
}

impl Ticket {
    pub(crate) fn sealed(function: FunctionName, ticket: &JobTicket) -> Self {
        let ticket = ticket.to_json();
        Self::Sealed { function, ticket }
    }
}
