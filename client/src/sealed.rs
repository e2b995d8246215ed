//! Jobs that only attested enclaves can read (DESIGN §6, [`nacre_protocol::sealed`]).
//!
//! [`seal`] takes enclaves whose evidence was just checked and the input, and gives two things: the envelope, for the
//! platform, and a [`JobTicket`], for the caller alone. The ticket holds the private half of the result key and what the
//! result must prove, so the result can be fetched in another process, days later; the input need not be kept for it.

use nacre_protocol::api::jobs::{CreateJob, JobPayload};
use nacre_protocol::chain_job::sealed_terms;
use nacre_protocol::digest::Digest;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::encoding::{array_from_base64url, base64url};
use nacre_protocol::evidence::Evidence;
use nacre_protocol::identity::{IdentityStatement, StatementError};
use nacre_protocol::ids::{BootId, FunctionName, JobId};
use nacre_protocol::job::{
    InputCommitment, JobInput, JobResult, JobSyntaxError, JobTerms, job_path,
};
use nacre_protocol::receipt::ReceiptError;
use nacre_protocol::receipt_file::{ReceiptFile, RequestHead, ResponseHead};
use nacre_protocol::sealed::{OpenError, SealError, SealedJob, SealedResult, SealingSecret};
use nacre_protocol::verified_enclave::ContractDomain;
use serde::{Deserialize, Serialize};

use crate::appraisal::AttestedEnclave;

/// What a job runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobRequest<'a> {
    /// `content-type`, empty where absent.
    pub content_type: &'a str,
    /// `inference-header-content-length`, empty where absent.
    pub inference_header_length: &'a str,
    /// The body, without content encoding.
    pub body: &'a [u8],
}

/// A job that is ready to be submitted.
#[derive(Debug)]
pub struct SealedSubmission {
    /// What the platform carries.
    pub envelope: Vec<u8>,
    /// What the caller keeps, and keeps to itself.
    pub ticket: JobTicket,
}

/// Why a job was not sealed, or its result not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealedJobError {
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// Sealing.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The result is not an envelope.
    #[error(transparent)]
    Syntax(#[from] JobSyntaxError),
    /// The result does not open, or its receipt does not prove it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ticket is not one.
    #[error("not a job's ticket: {0}")]
    Ticket(String),
    /// The ticket's evidence holds no identity statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

impl SealedJobError {
    /// Stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Random(_) => "no-randomness",
            Self::Seal(error) => error.code(),
            Self::Syntax(error) => error.code(),
            Self::Open(error) => error.code(),
            Self::Ticket(_) => "ticket-malformed",
            Self::Statement(_) => "statement-malformed",
        }
    }
}

/// Draws the id of a new job.
///
/// # Errors
///
/// Where the operating system has no randomness.
pub fn draw_job_id() -> Result<JobId, SealedJobError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(JobId::from_random(bytes))
}

/// Seals an input to these enclaves, 1 to 64, any one of which may then run the job.
///
/// The caller's policy was applied to them when they were attested; nothing is asked again here, so seal soon after it.
///
/// # Errors
///
/// [`SealedJobError::Seal`] and [`SealedJobError::Random`].
pub fn seal<'e>(
    enclaves: impl IntoIterator<Item = &'e AttestedEnclave>,
    terms: JobTerms,
    request: JobRequest<'_>,
) -> Result<SealedSubmission, SealedJobError> {
    seal_as(enclaves, |_| terms, request, SealedJob::seal)
}

/// A job that is about to be asked for through a contract, with its input sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContractJob {
    /// The `JobRelay`, and its chain.
    pub contract: ContractDomain,
    /// Who asks there: the account or contract that calls `request`.
    pub requester: EthAddress,
    /// Which function.
    pub function: Digest,
    /// The deadline of the request, Unix seconds.
    pub deadline: u64,
}

/// Seals the input of a contract's job: the envelope's SHA-256 is the request's `inputHash`, and the ticket opens the answer.
///
/// # Errors
///
/// [`SealedJobError::Seal`] and [`SealedJobError::Random`].
pub fn seal_for_contract<'e>(
    enclaves: impl IntoIterator<Item = &'e AttestedEnclave>,
    job: &ContractJob,
    request: JobRequest<'_>,
) -> Result<SealedSubmission, SealedJobError> {
    let ContractJob {
        contract,
        requester,
        function,
        deadline,
    } = job;
    let terms =
        |result_key: &[u8; 32]| sealed_terms(contract, requester, *function, *deadline, result_key);
    seal_as(enclaves, terms, request, SealedJob::seal_showing_key)
}

type Seal =
    fn(&JobInput<'_>, &JobTerms, &[u8; 32], &[[u8; 32]], &[u8; 32]) -> Result<Vec<u8>, SealError>;

fn seal_as<'e>(
    enclaves: impl IntoIterator<Item = &'e AttestedEnclave>,
    terms: impl FnOnce(&[u8; 32]) -> JobTerms,
    request: JobRequest<'_>,
    seal: Seal,
) -> Result<SealedSubmission, SealedJobError> {
    let enclaves: Vec<&AttestedEnclave> = enclaves.into_iter().collect();
    let keys: Vec<_> = enclaves
        .iter()
        .map(|enclave| enclave.statement().hpke_key)
        .collect();
    let secret = SealingSecret::from_bytes(&random()?);
    let terms = terms(&secret.public_key());
    let input = JobInput {
        content_type: request.content_type,
        inference_header_length: request.inference_header_length,
        salt: random()?,
        body: request.body,
    };
    let envelope = seal(&input, &terms, &secret.public_key(), &keys, &random()?)?;
    let evidence = enclaves.iter().map(|enclave| enclave.evidence().clone());
    let ticket = JobTicket {
        commitment: input.commitment(&terms.job),
        request: RequestHead {
            method: "POST".to_owned(),
            path: job_path(&terms.job),
            content_type: request.content_type.to_owned(),
            inference_header_length: request.inference_header_length.to_owned(),
        },
        terms,
        secret,
        evidence: evidence.collect(),
    };
    Ok(SealedSubmission { envelope, ticket })
}

impl SealedSubmission {
    /// The body of `POST /v1/jobs`.
    pub fn create_job(&self, function: FunctionName) -> CreateJob {
        let terms = &self.ticket.terms;
        CreateJob {
            id: terms.job,
            function,
            digest: terms.function,
            deadline_ms: terms.deadline_ms,
            max_price: None,
            webhook: None,
            chain: None,
            input: JobPayload::Sealed {
                envelope: self.envelope.clone(),
                result_key: self.ticket.result_key(),
            },
        }
    }
}

/// What opens and checks one job's result. Whoever has it can read the result: it is the caller's secret.
#[derive(Debug, Clone)]
pub struct JobTicket {
    terms: JobTerms,
    secret: SealingSecret,
    commitment: InputCommitment,
    request: RequestHead,
    evidence: Vec<Evidence>,
}

/// A result that proved itself.
#[derive(Debug, Clone)]
pub struct OpenedJob {
    /// HTTP status: 200, or 400 where model and input do not go together.
    pub status: u16,
    /// `content-type`.
    pub content_type: String,
    /// `inference-header-content-length`, empty where absent.
    pub inference_header_length: String,
    /// The body.
    pub body: Vec<u8>,
    /// The run of the enclave that answered.
    pub boot_id: BootId,
    /// What a receipt file holds.
    pub proof: ReceiptFile,
}

impl JobTicket {
    /// The job, its function, its deadline.
    pub fn terms(&self) -> &JobTerms {
        &self.terms
    }

    /// The public key that the result is sealed to.
    pub fn result_key(&self) -> [u8; 32] {
        self.secret.public_key()
    }

    /// Opens a result, and checks that one of the enclaves that the job was sealed to gave exactly this answer of the function
    /// to the input.
    ///
    /// # Errors
    ///
    /// [`SealedJobError::Syntax`], [`SealedJobError::Open`].
    pub fn open(&self, result: &[u8]) -> Result<OpenedJob, SealedJobError> {
        let opened = SealedResult::decode(result)?.open(&self.secret, &self.terms)?;
        // Of none of them, until one is found.
        let mut refusal = OpenError::Receipt(ReceiptError::Signature);
        for evidence in &self.evidence {
            let statement = IdentityStatement::decode(&evidence.statement)?;
            let function = &self.terms.function;
            match opened.verified(function, &self.commitment, &statement.receipt_key) {
                Ok(result) => return Ok(self.proven(&result, statement.boot_id, evidence)),
                Err(OpenError::Receipt(ReceiptError::Signature)) => {}
                Err(other) => refusal = other,
            }
        }
        Err(refusal.into())
    }

    fn proven(&self, result: &JobResult<'_>, boot_id: BootId, evidence: &Evidence) -> OpenedJob {
        let response = ResponseHead {
            status: result.status,
            content_type: result.content_type.to_owned(),
            inference_header_length: result.inference_header_length.to_owned(),
        };
        OpenedJob {
            status: result.status,
            content_type: response.content_type.clone(),
            inference_header_length: response.inference_header_length.clone(),
            body: result.body.to_vec(),
            boot_id,
            proof: ReceiptFile {
                version: 1,
                receipt: result.receipt.to_header(),
                function: self.terms.function,
                request: self.request.clone(),
                response,
                evidence: evidence.clone(),
            },
        }
    }

    /// The ticket as JSON, for a file that only the caller may read.
    pub fn to_json(&self) -> String {
        let form = TicketForm {
            version: 1,
            job: self.terms.job,
            function: self.terms.function,
            deadline_ms: self.terms.deadline_ms,
            result_secret: base64url(&*self.secret.to_bytes()),
            salt: base64url(&self.commitment.salt),
            request_hash: base64url(&self.commitment.request_hash),
            request: self.request.clone(),
            evidence: self.evidence.clone(),
        };
        // Strings, numbers and lists are always JSON.
        serde_json::to_string(&form).unwrap_or_default()
    }

    /// Reads a ticket.
    ///
    /// # Errors
    ///
    /// [`SealedJobError::Ticket`].
    pub fn from_json(json: &[u8]) -> Result<Self, SealedJobError> {
        let malformed = |what: String| SealedJobError::Ticket(what);
        let form: TicketForm =
            serde_json::from_slice(json).map_err(|e| malformed(e.to_string()))?;
        if form.version != 1 {
            return Err(malformed(format!("version {} is unknown", form.version)));
        }
        let array = |text: &str| array_from_base64url(text).map_err(|e| malformed(e.to_string()));
        Ok(Self {
            terms: JobTerms {
                job: form.job,
                function: form.function,
                deadline_ms: form.deadline_ms,
            },
            secret: SealingSecret::from_bytes(&array(&form.result_secret)?),
            commitment: InputCommitment {
                salt: array(&form.salt)?,
                request_hash: array(&form.request_hash)?,
            },
            request: form.request,
            evidence: form.evidence,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketForm {
    version: u8,
    job: JobId,
    function: Digest,
    deadline_ms: u64,
    result_secret: String,
    salt: String,
    request_hash: String,
    request: RequestHead,
    evidence: Vec<Evidence>,
}

fn random() -> Result<[u8; 32], SealedJobError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> JobTicket {
        let terms = JobTerms {
            job: JobId::from_random([1; 16]),
            function: Digest::of(b"f"),
            deadline_ms: 5,
        };
        JobTicket {
            terms,
            secret: SealingSecret::from_bytes(&[7; 32]),
            commitment: InputCommitment {
                salt: [2; 32],
                request_hash: [3; 32],
            },
            request: RequestHead {
                method: "POST".to_owned(),
                path: job_path(&terms.job),
                content_type: "application/json".to_owned(),
                inference_header_length: String::new(),
            },
            evidence: Vec::new(),
        }
    }

    #[test]
    fn a_ticket_is_read_as_it_was_written() {
        let json = ticket().to_json();
        let read = JobTicket::from_json(json.as_bytes()).unwrap();
        assert_eq!(read.to_json(), json);
        assert_eq!(read.result_key(), ticket().result_key());
        assert_eq!(read.terms(), ticket().terms());
    }

    #[test]
    fn what_is_no_ticket_has_its_code() {
        let good = ticket().to_json();
        for bad in [
            String::new(),
            good.replace("\"version\":1", "\"version\":2"),
            good.replace("\"salt\":\"", "\"salt\":\"A"),
            good.replace("\"deadline_ms\":5", "\"deadline_ms\":-5"),
        ] {
            let error = JobTicket::from_json(bad.as_bytes()).unwrap_err();
            assert_eq!(error.code(), "ticket-malformed", "{bad}");
        }
    }

    #[test]
    fn a_ticket_does_not_print_its_secret() {
        let printed = format!("{:?}", ticket());
        assert!(printed.contains("SealingSecret { .. }"), "{printed}");
    }
}
