//! From an input that has arrived to a result that can be carried.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use nacre_protocol::chain_job::{ChainStatus, ChainTerms};
use nacre_protocol::digest::Digest;
use nacre_protocol::job::{JobInput, JobResult, JobTerms, MAX_JOB_BYTES, job_path};
use nacre_protocol::receipt::SignedReceipt;
use nacre_protocol::sealed::{OpenError, ResultSealer, SealedJob, SealingSecret};
use nacre_protocol::usage::ANONYMOUS;

use super::Admitted;
use super::refusal::{Refusal, Refused};
use crate::boot::Enclave;
use crate::functions::Function;
use crate::http::Room;
use crate::server::answer::Answer;
use crate::server::headers::AskedHeaders;
use crate::server::model::{infer, off_loop_if_large};
use crate::server::signed::{Asked, Work, signed};
use crate::usage::Used;

/// A result, and what a job receipt says of it.
pub(super) struct Done {
    pub(super) terms: JobTerms,
    pub(super) input_hash: Digest,
    pub(super) result_hash: Digest,
    pub(super) status: u16,
    pub(super) result: Bytes,
    pub(super) chain: Option<DoneForChain>,
}

/// What is signed for the contract that asked for the job.
pub(super) struct DoneForChain {
    pub(super) terms: ChainTerms,
    pub(super) output_hash: Digest,
    pub(super) status: ChainStatus,
}

/// Opens the input if it is sealed, runs the function, and makes the result.
pub(super) async fn run(
    enclave: &Arc<Enclave>,
    admitted: Admitted<'_>,
    carried: Bytes,
    started_ms: u64,
) -> Result<Done, Refusal> {
    let terms = admitted.run.terms;
    let chain = admitted.run.chain;
    let (input, input_hash, _room) = open(enclave, &admitted, carried).await?;
    let asked = Asked {
        method: Method::POST,
        path: job_path(&terms.job),
        headers: AskedHeaders {
            function: Some(terms.function),
            salt: Some(input.salt),
            content_type: given(input.content_type),
            content_encoding: None,
            inference_header_length: given(input.inference_header_length),
        },
        body: input.body,
        salt: input.salt,
    };
    let _expected = enclave.receipts.expect();
    let (answer, compute_micros) = answer(enclave, &admitted.function, &asked, started_ms).await?;
    let work = Work {
        started_ms,
        compute_micros,
    };
    let (answer, receipt) = signed(enclave, terms.function, asked, work, answer).await;
    let receipt = receipt.ok_or(Refused::NoReceipt)?;
    let status = answer.status.as_u16();
    let chain_status = ChainStatus::of_http(status);
    let (result, result_hash, output_hash) =
        close(admitted.sealer, answer, receipt, chain.is_some()).await?;
    let chain = match (chain, output_hash, chain_status) {
        (None, ..) => None,
        (Some(terms), Some(output_hash), Some(status)) => Some(DoneForChain {
            terms,
            output_hash,
            status,
        }),
        _ => return Err(Refused::NoReceipt.into()),
    };
    Ok(Done {
        terms,
        input_hash,
        result_hash,
        status,
        result,
        chain,
    })
}

/// Adds what a job carried to its lease's usage; the model's time was added when it was spent.
pub(super) fn record(enclave: &Enclave, function: &Function, bytes_in: usize, bytes_out: usize) {
    let used = Used {
        bytes_in: bytes_in as u64,
        bytes_out: bytes_out as u64,
        ..Used::default()
    };
    enclave.usage.record(function.lease(), ANONYMOUS, used);
}

/// The function's answer, if it is one that model and input determine.
async fn answer(
    enclave: &Enclave,
    function: &Function,
    asked: &Asked,
    started_ms: u64,
) -> Result<(Answer, u32), Refusal> {
    let body = asked.body.clone();
    match infer(enclave, function, &asked.headers, body, started_ms).await {
        Ok(answered) => Ok(answered),
        Err(failure) if failure.is_final() => Ok((failure.answer(), 0)),
        Err(failure) => Err(Refused::Failed(failure.code()).into()),
    }
}

/// An input that owns what it needs; its body is a part of the opened bytes, which are wiped with it.
struct Opened {
    content_type: String,
    inference_header_length: String,
    salt: [u8; 32],
    body: Bytes,
}

impl Opened {
    fn read(bytes: &Bytes) -> Result<Self, nacre_protocol::job::JobSyntaxError> {
        let input = JobInput::decode(bytes)?;
        Ok(Self {
            content_type: input.content_type.to_owned(),
            inference_header_length: input.inference_header_length.to_owned(),
            salt: input.salt,
            body: bytes.slice_ref(input.body),
        })
    }
}

/// The input, the hash of it as it was carried, and the room that it takes beside that.
async fn open(
    enclave: &Enclave,
    admitted: &Admitted<'_>,
    carried: Bytes,
) -> Result<(Opened, Digest, Option<Room>), Refusal> {
    let Some(result_key) = admitted.run.result_key else {
        let read = move || Ok((Opened::read(&carried)?, Digest::of(&carried), None));
        return off_loop_if_large(usize::MAX, read).await;
    };
    let room = enclave.jobs.bodies.room_in_turn(carried.len()).await?;
    let (secret, terms) = (enclave.jobs.secret.clone(), admitted.run.terms);
    off_loop_if_large(carried.len(), move || {
        let opened = unseal(&carried, &secret, &terms, &result_key)?;
        let input = Opened::read(&opened).map_err(OpenError::Content)?;
        Ok((input, Digest::of(&carried), Some(room)))
    })
    .await
}

fn unseal(
    carried: &[u8],
    secret: &SealingSecret,
    terms: &JobTerms,
    result_key: &[u8; 32],
) -> Result<Bytes, Refusal> {
    let sealed = SealedJob::decode(carried)?;
    Ok(Bytes::from_owner(sealed.open(secret, terms, result_key)?))
}

/// The result as it is carried, and its hash; and for a contract, that of what it is given as the output.
async fn close(
    sealer: Option<ResultSealer>,
    answer: Answer,
    receipt: SignedReceipt,
    for_chain: bool,
) -> Result<(Bytes, Digest, Option<Digest>), Refusal> {
    off_loop_if_large(answer.body.len(), move || {
        let length = answer.inference_header_length.map(|n| n.to_string());
        let result = JobResult {
            status: answer.status.as_u16(),
            content_type: answer.content_type,
            inference_header_length: length.as_deref().unwrap_or_default(),
            receipt,
            body: &answer.body,
        };
        let (carried, sealed) = match sealer {
            Some(sealer) => {
                let sealed = sealer.seal(&result);
                (sealed.map_err(|_| Refused::ResultTooLarge)?, true)
            }
            None => (result.encode(), false),
        };
        if carried.len() > MAX_JOB_BYTES {
            return Err(Refused::ResultTooLarge.into());
        }
        let hash = Digest::of(&carried);
        let output_hash = for_chain.then(|| match sealed {
            true => hash,
            false => Digest::of(&answer.body),
        });
        Ok((carried.into(), hash, output_hash))
    })
    .await
}

fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
