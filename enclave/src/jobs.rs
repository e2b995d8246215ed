//! Runs jobs (DESIGN §6): calls whose callers are not there. The host hands the input in over the control channel
//! ([`nacre_protocol::control::RunJob`]) and carries the result away.
//!
//! A job takes the same way through the same function as a call over HTTP, and its result holds the same receipt. Beside it
//! there is a [`JobReceipt`] for those who only carry, and a [`ChainResult`] where a contract asked for the job. A sealed input opens only if every term is the one that it was sealed
//! for: the terms are the associated data, and they are made here from what will be run, held to, and signed.
//!
//! **What is final.** An answer that model and input determine is a result and is signed, whether it is outputs or a
//! refusal of the input (status 400). Whatever this machine lacked, time, memory, a worker that lives, is a refusal, and not
//! signed: nobody can make an enclave say that a job cannot be done by starving it.
//!
//! **What jobs may take.** Callers who wait come first. A function runs one job at a time, so that a call finds at most one
//! before it; the enclave runs [`MAX_JOBS`]; and their inputs have memory of their own, as much as the largest call. Who
//! comes beyond is told `jobs-busy` at once. When the host's connection goes, the job goes, too: what waits is dropped, and
//! what the model has begun is thrown away.

mod refusal;
mod work;

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use nacre_protocol::chain_job::{ChainResult, SignedChainResult};
use nacre_protocol::control::RunJob;
use nacre_protocol::job::{
    JOB_INPUT_TYPE, JOB_RESULT_TYPE, JobReceipt, SEALED_JOB_TYPE, SEALED_RESULT_TYPE,
    SignedJobReceipt,
};
use nacre_protocol::sealed::{ResultSealer, SealingSecret};
use nacre_protocol::{CHAIN_RESULT_HEADER, JOB_RECEIPT_HEADER};
use tokio::sync::{Semaphore, SemaphorePermit};
use zeroize::Zeroizing;

use crate::boot::Enclave;
use crate::functions::Function;
use crate::http::{BodyLimits, linger, read_body, reply};
use refusal::{Refusal, Refused};

/// Most jobs at once.
pub(crate) const MAX_JOBS: usize = 8;

/// What jobs share.
pub(crate) struct Jobs {
    secret: SealingSecret,
    places: Semaphore,
    bodies: BodyLimits,
}

impl Jobs {
    /// Opens what is sealed to `secret`. Inputs are at most a quarter as long as a call's body, of `max_body` bytes: one takes
    /// up to three times its length while it is read and opened.
    pub(crate) fn new(secret: SealingSecret, max_body: usize) -> Self {
        Self {
            secret,
            places: Semaphore::new(MAX_JOBS),
            bodies: BodyLimits::new(max_body / 4, max_body),
        }
    }
}

/// A job that may run: everything was checked that can be before its input is read.
struct Admitted<'a> {
    run: RunJob,
    function: Arc<Function>,
    sealer: Option<ResultSealer>,
    _place: SemaphorePermit<'a>,
}

/// Runs a job to its result, or says why there is none.
pub(crate) async fn answer(
    enclave: &Arc<Enclave>,
    run: &RunJob,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let outcome = match admit(enclave, run, &request) {
        Ok(admitted) => perform(enclave, admitted, request).await,
        Err(refusal) => {
            let (parts, body) = request.into_parts();
            linger(&parts.headers, body);
            Err(refusal)
        }
    };
    match outcome {
        Ok(finished) => result_response(run.result_key.is_some(), finished),
        Err(refusal) => refusal.response(),
    }
}

fn admit<'a>(
    enclave: &'a Enclave,
    run: &RunJob,
    request: &Request<Incoming>,
) -> Result<Admitted<'a>, Refusal> {
    let expected = match run.result_key {
        Some(_) => SEALED_JOB_TYPE,
        None => JOB_INPUT_TYPE,
    };
    let given = request.headers().get(CONTENT_TYPE);
    if given.is_none_or(|given| given != expected) {
        return Err(Refused::MediaType { expected }.into());
    }
    let place = enclave.jobs.places.try_acquire();
    let place = place.map_err(|_| Refused::Busy)?;
    let wanted = run.terms.function;
    let function = enclave.functions.get_by_digest(&wanted);
    let function = function.ok_or(Refused::UnknownFunction(wanted))?;
    check_deadline(enclave, run)?;
    let sealer = run.result_key.map(|key| {
        let entropy = entropy()?;
        Ok::<_, Refusal>(ResultSealer::new(&run.terms, &key, &entropy)?)
    });
    Ok(Admitted {
        run: *run,
        function,
        sealer: sealer.transpose()?,
        _place: place,
    })
}

async fn perform(
    enclave: &Arc<Enclave>,
    admitted: Admitted<'_>,
    request: Request<Incoming>,
) -> Result<Finished, Refusal> {
    let function = Arc::clone(&admitted.function);
    let Some(_turn) = function.job_turn() else {
        let (parts, body) = request.into_parts();
        linger(&parts.headers, body);
        return Err(Refused::Busy.into());
    };
    let (parts, mut body) = request.into_parts();
    let arrived = match read_body(&parts.headers, &mut body, &enclave.jobs.bodies, |_| ()).await {
        Ok(arrived) => arrived,
        Err(error) => {
            if error.is_refusal() {
                linger(&parts.headers, body);
            }
            return Err(error.into());
        }
    };
    // The input may have taken its time.
    let started_ms = check_deadline(enclave, &admitted.run)?;
    let done = work::run(enclave, admitted, arrived.bytes.clone(), started_ms).await?;
    let finished_ms = enclave.node.now()?;
    let receipt = JobReceipt {
        terms: done.terms,
        input_hash: done.input_hash,
        result_hash: done.result_hash,
        status: done.status,
        finished_ms,
    };
    let chain = done.chain.map(|chain| ChainResult {
        terms: chain.terms,
        function: done.terms.function,
        input_hash: done.input_hash,
        output_hash: chain.output_hash,
        status: chain.status,
        executed_ms: finished_ms,
    });
    let (receipt, chain) = enclave
        .receipts
        .with_key(|key| (receipt.sign(key), chain.map(|chain| chain.sign(key))));
    work::record(enclave, &function, arrived.bytes.len(), done.result.len());
    Ok(Finished {
        result: done.result,
        receipt,
        chain,
    })
}

/// A result and what is signed of it.
struct Finished {
    result: Bytes,
    receipt: SignedJobReceipt,
    chain: Option<SignedChainResult>,
}

/// Attested time, if it is not past the deadline.
fn check_deadline(enclave: &Enclave, run: &RunJob) -> Result<u64, Refusal> {
    let now_ms = enclave.node.now()?;
    let deadline_ms = run.terms.deadline_ms;
    if now_ms > deadline_ms {
        return Err(Refused::DeadlinePassed {
            deadline_ms,
            now_ms,
        }
        .into());
    }
    Ok(now_ms)
}

/// Randomness for one sealing.
fn entropy() -> Result<Zeroizing<[u8; 32]>, Refusal> {
    let mut entropy = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *entropy).map_err(|_| Refused::NoRandomness)?;
    Ok(entropy)
}

fn result_response(sealed: bool, finished: Finished) -> Response<Full<Bytes>> {
    let media_type = match sealed {
        true => SEALED_RESULT_TYPE,
        false => JOB_RESULT_TYPE,
    };
    let mut response = reply::with_body(StatusCode::OK, media_type, finished.result);
    let chain = finished.chain.map(|chain| chain.to_header());
    let proofs = [
        (JOB_RECEIPT_HEADER, Some(finished.receipt.to_header())),
        (CHAIN_RESULT_HEADER, chain),
    ];
    for (name, value) in proofs {
        // base64url is always a header value.
        if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
