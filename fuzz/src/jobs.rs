//! Asynchronous jobs: inputs, results, receipts and envelopes, and the request that runs one.
//!
//! Each function returns a refusal's rule in kebab-case.

use std::sync::LazyLock;

use k256::ecdsa::SigningKey;
use nacre_protocol::chain_job::{
    CarriedHashes, ChainJobId, ChainResult, ChainResultError, ChainStatus, ChainTerms,
    SignedChainResult,
};
use nacre_protocol::control::RunJob;
use nacre_protocol::digest::Digest;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::ids::JobId;
use nacre_protocol::job::{
    InputCommitment, JobInput, JobReceipt, JobReceiptError, JobResult, JobTerms, SignedJobReceipt,
};
use nacre_protocol::receipt::{InferenceReceipt, ResponseParts, SignedReceipt, sign_batch};
use nacre_protocol::sealed::{
    MAX_RECIPIENTS, OpenError, ResultSealer, SealedJob, SealedResult, SealingSecret,
};

/// Reads a job's input: what is taken has no second encoding.
pub fn job_input(data: &[u8]) -> Result<(), &'static str> {
    let input = JobInput::decode(data).map_err(|_| "syntax")?;
    assert_eq!(input.encode(), data);
    Ok(())
}

/// Reads a job's result and checks that it is the one of [`INPUT`].
pub fn job_result(data: &[u8]) -> Result<(), &'static str> {
    let result = JobResult::decode(data).map_err(|_| "syntax")?;
    assert_eq!(result.encode(), data);
    let verdict = result.verify(&TERMS.function, &commitment(), &RECEIPT_KEY);
    verdict.map_err(|_| "receipt")?;
    assert_eq!(result.body, BODY, "nobody else can sign another");
    Ok(())
}

/// Reads a job receipt, as CBOR or as the header's text, and checks it against the terms and hashes that were signed.
pub fn job_receipt(data: &[u8]) -> Result<(), &'static str> {
    let receipt = match SignedJobReceipt::decode(data) {
        Ok(receipt) => {
            assert_eq!(receipt.encode(), data);
            receipt
        }
        Err(_) => {
            let text = core::str::from_utf8(data).map_err(|_| "syntax")?;
            let receipt = SignedJobReceipt::from_header(text).map_err(|_| "syntax")?;
            assert_eq!(receipt.to_header(), text);
            receipt
        }
    };
    let (input, result) = (Digest::of(b"input"), Digest::of(b"result"));
    match receipt.verify(&RECEIPT_KEY, &TERMS, &input, &result) {
        Ok(()) => {
            assert_eq!(receipt, *RECEIPT, "nobody else can sign another");
            Ok(())
        }
        Err(JobReceiptError::Signature) => Err("signature"),
        Err(other) => panic!("one receipt was signed, and it is not this one: {other}"),
    }
}

/// Reads what was signed for a contract, as CBOR or as the header's text, and checks it against what was.
pub fn chain_result(data: &[u8]) -> Result<(), &'static str> {
    let signed = match SignedChainResult::decode(data) {
        Ok(signed) => {
            assert_eq!(signed.encode(), data);
            signed
        }
        Err(_) => {
            let text = core::str::from_utf8(data).map_err(|_| "syntax")?;
            let signed = SignedChainResult::from_header(text).map_err(|_| "syntax")?;
            assert_eq!(signed.to_header(), text);
            signed
        }
    };
    let carried = CarriedHashes {
        input: CHAIN_RESULT.input_hash,
        output: CHAIN_RESULT.output_hash,
        status: 200,
    };
    match signed.verify(&RECEIPT_KEY, chain_terms(), TERMS.function, &carried) {
        Ok(()) => {
            assert_eq!(signed, *CHAIN_RESULT, "nobody else can sign another");
            Ok(())
        }
        Err(ChainResultError::Signature) => Err("signature"),
        Err(other) => panic!("one result was signed, and it is not this one: {other}"),
    }
}

/// Reads the envelope of an input, and opens it with the key of [`recipient`].
pub fn sealed_job(data: &[u8]) -> Result<(), &'static str> {
    let sealed = SealedJob::decode(data).map_err(|_| "syntax")?;
    assert_eq!(sealed.encode(), data);
    let ids: Vec<_> = sealed.key_ids().collect();
    assert!((1..=MAX_RECIPIENTS).contains(&ids.len()) && ids.is_sorted());
    match sealed.open(&recipient(1), &TERMS, &result_secret().public_key()) {
        Ok(opened) => JobInput::decode(&opened).map(|_| ()).map_err(|_| "content"),
        Err(OpenError::NotARecipient) => Err("not-a-recipient"),
        Err(OpenError::CannotOpen) => Err("cannot-open"),
        Err(other) => panic!("opening looks at nothing inside: {other}"),
    }
}

/// Reads the envelope of a result, opens it with the key of [`result_secret`], and checks what is inside.
pub fn sealed_result(data: &[u8]) -> Result<(), &'static str> {
    let sealed = SealedResult::decode(data).map_err(|_| "syntax")?;
    assert_eq!(sealed.encode(), data);
    let opened = match sealed.open(&result_secret(), &TERMS) {
        Ok(opened) => opened,
        Err(OpenError::CannotOpen) => return Err("cannot-open"),
        Err(OpenError::Contradiction) => return Err("contradiction"),
        Err(_) => return Err("content"),
    };
    match opened.verified(&TERMS.function, &commitment(), &RECEIPT_KEY) {
        Ok(result) => {
            assert_eq!(result.status, sealed.status);
            assert_eq!(result.body, BODY, "nobody else can sign another");
            Ok(())
        }
        Err(_) => Err("receipt"),
    }
}

/// Reads the query of the request that runs a job; what is taken says the same when it is written again.
pub fn run_job_query(data: &[u8]) -> Result<(), &'static str> {
    let query = core::str::from_utf8(data).map_err(|_| "not-text")?;
    let run = RunJob::parse(TERMS.job, query).map_err(|_| "syntax")?;
    let written = run.path_and_query();
    let again = written.split_once('?').map(|(_, query)| query);
    assert_eq!(RunJob::parse(TERMS.job, again.unwrap_or_default()), Ok(run));
    Ok(())
}

/// The terms of everything here.
pub static TERMS: LazyLock<JobTerms> = LazyLock::new(|| JobTerms {
    job: JobId::from_random([1; 16]),
    function: Digest::of(b"function"),
    deadline_ms: 1_750_000_000_000,
});

/// The one input.
pub const INPUT: JobInput<'static> = JobInput {
    content_type: "application/json",
    inference_header_length: "",
    salt: [3; 32],
    body: b"{}",
};

/// The body of its one result.
pub const BODY: &[u8] = b"{\"outputs\":[]}";

/// The private keys of enclaves, by number.
pub fn recipient(number: u8) -> SealingSecret {
    SealingSecret::from_bytes(&[number; 32])
}

/// The caller's private key.
pub fn result_secret() -> SealingSecret {
    SealingSecret::from_bytes(&[0x55; 32])
}

/// [`INPUT`], sealed to these recipients.
pub fn sealed_to(numbers: &[u8]) -> Vec<u8> {
    let keys: Vec<_> = numbers
        .iter()
        .map(|number| recipient(*number).public_key())
        .collect();
    let result_key = result_secret().public_key();
    match SealedJob::seal(&INPUT, &TERMS, &result_key, &keys, &[9; 32]) {
        Ok(sealed) => sealed,
        Err(error) => panic!("the keys are good: {error}"),
    }
}

/// The result of [`INPUT`] with this body and, for its receipt, this body.
pub fn result<'a>(body: &'a [u8], signed: &[u8]) -> JobResult<'a> {
    let input = commitment();
    let response = ResponseParts {
        status: 200,
        content_type: "application/json",
        inference_header_length: "",
        body: signed,
    };
    let claims = InferenceReceipt {
        function_digest: TERMS.function,
        request_hash: input.request_hash,
        response_hash: response.hash(&input.salt),
        started_ms: 1_750_000_000_000,
        compute_micros: 250,
        status: 200,
    };
    JobResult {
        status: 200,
        content_type: "application/json",
        inference_header_length: "",
        receipt: receipt_over(claims, input.salt),
        body,
    }
}

/// This result, sealed to the caller.
pub fn sealed(result: &JobResult<'_>) -> Vec<u8> {
    let sealer = ResultSealer::new(&TERMS, &result_secret().public_key(), &[8; 32]);
    match sealer.and_then(|sealer| sealer.seal(result)) {
        Ok(sealed) => sealed,
        Err(error) => panic!("the key is good: {error}"),
    }
}

fn commitment() -> InputCommitment {
    INPUT.commitment(&TERMS.job)
}

fn receipt_over(claims: InferenceReceipt, salt: [u8; 32]) -> SignedReceipt {
    match sign_batch(&SIGNER, &[(claims, salt)]).and_then(|mut signed| signed.pop()) {
        Some(signed) => signed,
        None => panic!("one receipt is a batch"),
    }
}

/// The one job receipt that was signed.
pub static RECEIPT: LazyLock<SignedJobReceipt> = LazyLock::new(|| {
    let receipt = JobReceipt {
        terms: *TERMS,
        input_hash: Digest::of(b"input"),
        result_hash: Digest::of(b"result"),
        status: 200,
        finished_ms: 1_750_000_000_000,
    };
    receipt.sign(&SIGNER)
});

/// For whom [`CHAIN_RESULT`] was signed.
pub fn chain_terms() -> ChainTerms {
    let chain_id = match "31337".parse() {
        Ok(chain_id) => chain_id,
        Err(error) => panic!("a number is a chain's id: {error}"),
    };
    ChainTerms {
        chain_id,
        contract: EthAddress::from_bytes([1; 20]),
        job: ChainJobId::from_word([2; 32]),
        payee: EthAddress::from_bytes([3; 20]),
    }
}

/// The one result that was signed for a contract.
pub static CHAIN_RESULT: LazyLock<SignedChainResult> = LazyLock::new(|| {
    let result = ChainResult {
        terms: chain_terms(),
        function: TERMS.function,
        input_hash: Digest::of(b"input"),
        output_hash: Digest::of(b"output"),
        status: ChainStatus::Answered,
        executed_ms: 1_750_000_000_000,
    };
    result.sign(&SIGNER)
});

static SIGNER: LazyLock<SigningKey> = LazyLock::new(|| match SigningKey::from_slice(&[6; 32]) {
    Ok(key) => key,
    Err(error) => panic!("a small number is a key: {error}"),
});

static RECEIPT_KEY: LazyLock<[u8; 64]> = LazyLock::new(|| {
    let point = SIGNER.verifying_key().to_sec1_point(false);
    let mut key = [0; 64];
    key.copy_from_slice(&point.as_bytes()[1..]);
    key
});
