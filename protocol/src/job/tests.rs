use k256::ecdsa::SigningKey;
use proptest::prelude::*;

use super::*;
use crate::encoding::base64url;
use crate::receipt::{InferenceReceipt, ReceiptError, sign_batch};

fn key() -> SigningKey {
    SigningKey::from_slice(&[0x42; 32]).unwrap()
}

fn public(key: &SigningKey) -> [u8; 64] {
    let point = key.verifying_key().to_sec1_point(false);
    point.as_bytes()[1..].try_into().unwrap()
}

fn terms() -> JobTerms {
    JobTerms {
        job: JobId::from_random([1; 16]),
        function: Digest::from_bytes([2; 32]),
        deadline_ms: 1_700_000_060_000,
    }
}

fn input(body: &[u8]) -> JobInput<'_> {
    JobInput {
        content_type: "application/json",
        inference_header_length: "",
        salt: [7; 32],
        body,
    }
}

fn result<'a>(input: &JobInput<'_>, body: &'a [u8]) -> JobResult<'a> {
    let response = crate::receipt::ResponseParts {
        status: 200,
        content_type: "application/json",
        inference_header_length: "12",
        body,
    };
    let receipt = InferenceReceipt {
        function_digest: terms().function,
        request_hash: input.commitment(&terms().job).request_hash,
        response_hash: response.hash(&input.salt),
        started_ms: 1_700_000_000_000,
        compute_micros: 5,
        status: 200,
    };
    let mut signed = sign_batch(&key(), &[(receipt, input.salt)]).unwrap();
    JobResult {
        status: 200,
        content_type: "application/json",
        inference_header_length: "12",
        receipt: signed.remove(0),
        body,
    }
}

fn receipt() -> JobReceipt {
    JobReceipt {
        terms: terms(),
        input_hash: Digest::from_bytes([3; 32]),
        result_hash: Digest::from_bytes([4; 32]),
        status: 200,
        finished_ms: 1_700_000_000_000,
    }
}

/// Values that an independent EIP-712 implementation (Python's eth-account 0.14) gives for the same typed data and key.
#[test]
fn a_job_receipt_agrees_with_other_implementations_of_eip712() {
    let signed = receipt().sign(&key());
    assert_eq!(
        hex::encode(signed.receipt.digest()),
        "7f5ce19b52909eb886928895aa6f2df2958b039518ded0a0677ef252c27c1c5c"
    );
    assert_eq!(
        hex::encode(signed.signature),
        "14dcb6b32d6da3d0b1e594222823cd1cc8111d80adfe57c4cead95f82eafda74\
         32182b4b38ea7eab063e91e77c7761b59d2bd569a51f59ff3bfff643760cea9f1c"
    );
}

#[test]
fn an_input_is_encoded_as_the_table_says() {
    let expected = [
        "a5 01 01 02 63 612f62 03 61 39 04 5820",
        &"07".repeat(32),
        "05 43 616263",
    ]
    .concat()
    .replace(' ', "");
    let input = JobInput {
        content_type: "a/b",
        inference_header_length: "9",
        ..input(b"abc")
    };
    assert_eq!(hex::encode(input.encode()), expected);
    assert_eq!(JobInput::decode(&input.encode()), Ok(input));
}

#[test]
fn one_input_has_one_encoding() {
    let good = input(b"abc").encode();
    let refused = |bytes: &[u8]| JobInput::decode(bytes).is_err();
    let mut trailing = good.clone();
    trailing.push(0);
    assert!(refused(&trailing));
    assert!(refused(&good[..good.len() - 1]));
    // The body's length in more bytes than it needs.
    let mut long = good.clone();
    let at = good.len() - 4;
    assert_eq!(long[at], 0x43);
    long.splice(at..=at, [0x58, 3]);
    assert!(refused(&long));
    let mut version = good.clone();
    assert_eq!(version[2], 1);
    version[2] = 2;
    assert!(refused(&version));
    let content_type = "x".repeat(257);
    let wordy = JobInput {
        content_type: &content_type,
        ..input(b"abc")
    };
    assert!(refused(&wordy.encode()));
}

#[test]
fn a_result_proves_this_input_this_job_this_function_and_nothing_else() {
    let asked = input(b"in");
    let answer = result(&asked, b"out");
    let (function, job, public) = (terms().function, terms().job, public(&key()));
    let verify = |answer: &JobResult<'_>, function: &Digest, input: InputCommitment| {
        answer.verify(function, &input, &public)
    };
    assert_eq!(verify(&answer, &function, asked.commitment(&job)), Ok(()));
    let other_salt = JobInput {
        salt: [8; 32],
        ..asked
    };
    for other in [
        input(b"In").commitment(&job),
        other_salt.commitment(&job),
        asked.commitment(&JobId::from_random([9; 16])),
    ] {
        assert_eq!(
            verify(&answer, &function, other),
            Err(ReceiptError::Request)
        );
    }
    assert!(matches!(
        verify(&answer, &Digest::of(b"other"), asked.commitment(&job)),
        Err(ReceiptError::Function { .. })
    ));
    let stranger = SigningKey::from_slice(&[0x43; 32]).unwrap();
    assert_eq!(
        answer.verify(&function, &asked.commitment(&job), &self::public(&stranger)),
        Err(ReceiptError::Signature)
    );
    let changed = JobResult {
        body: b"Out",
        ..answer.clone()
    };
    let other_status = JobResult {
        status: 400,
        ..answer
    };
    for changed in [changed, other_status] {
        assert_eq!(
            verify(&changed, &function, asked.commitment(&job)),
            Err(ReceiptError::Response)
        );
    }
}

#[test]
fn a_job_receipt_proves_these_terms_this_input_and_this_result() {
    let signed = receipt().sign(&key());
    let public = public(&key());
    let (input, result) = (Digest::from_bytes([3; 32]), Digest::from_bytes([4; 32]));
    let verify = |signed: &SignedJobReceipt, terms: &JobTerms, input: &Digest, result: &Digest| {
        signed.verify(&public, terms, input, result)
    };
    assert_eq!(verify(&signed, &terms(), &input, &result), Ok(()));
    assert_eq!(
        verify(&signed, &terms(), &result, &result),
        Err(JobReceiptError::Input)
    );
    assert_eq!(
        verify(&signed, &terms(), &input, &input),
        Err(JobReceiptError::Result)
    );
    for other in [
        JobTerms {
            job: JobId::from_random([0; 16]),
            ..terms()
        },
        JobTerms {
            function: Digest::of(b""),
            ..terms()
        },
        JobTerms {
            deadline_ms: 0,
            ..terms()
        },
    ] {
        assert_eq!(
            verify(&signed, &other, &input, &result),
            Err(JobReceiptError::Terms)
        );
        // Claiming the other terms does not make them signed.
        let mut claimed = signed;
        claimed.receipt.terms = other;
        assert_eq!(
            verify(&claimed, &other, &input, &result),
            Err(JobReceiptError::Signature)
        );
    }
    let stranger = SigningKey::from_slice(&[0x43; 32]).unwrap();
    assert_eq!(
        verify(&receipt().sign(&stranger), &terms(), &input, &result),
        Err(JobReceiptError::Signature)
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        content_type in "[ -~]{0,60}",
        inference_header_length in "[0-9]{0,20}",
        salt: [u8; 32],
        body in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let (content_type, inference_header_length) = (&*content_type, &*inference_header_length);
        let written = JobInput { content_type, inference_header_length, salt, body: &body };
        let bytes = written.encode();
        prop_assert_eq!(JobInput::decode(&bytes), Ok(written));
        let written = result(&written, &body);
        let bytes = written.encode();
        prop_assert_eq!(JobResult::decode(&bytes), Ok(written));
        let signed = receipt().sign(&key());
        prop_assert_eq!(SignedJobReceipt::from_header(&signed.to_header()), Ok(signed));
    }

    #[test]
    fn a_changed_job_receipt_proves_nothing(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = receipt().sign(&key()).encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = SignedJobReceipt::from_header(&base64url(&bytes)) {
            let claims = changed.receipt;
            let verdict = changed.verify(&public(&key()), &claims.terms, &claims.input_hash, &claims.result_hash);
            prop_assert_eq!(verdict, Err(JobReceiptError::Signature));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for decoded in [
            JobInput::decode(&bytes).map(|input| input.encode()),
            JobResult::decode(&bytes).map(|result| result.encode()),
            SignedJobReceipt::decode(&bytes).map(|receipt| receipt.encode()),
        ].into_iter().flatten() {
            prop_assert_eq!(&decoded, &bytes);
        }
    }
}

/// The heads are those of `TensorInput.sol`, whose tests have them, too.
#[test]
fn tensors_of_a_contract_are_a_job_input() {
    let head = concat!(
        "a5010102781d6170706c69636174696f6e2f766e642e6e616372652e74656e736f72730360045820",
        "0000000000000000000000000000000000000000000000000000000000000000",
    );
    for (length, tail) in [
        (0, "0540"),
        (23, "0557"),
        (24, "055818"),
        (255, "0558ff"),
        (256, "05590100"),
        (784, "05590310"),
        (65_535, "0559ffff"),
        (65_536, "055a00010000"),
    ] {
        let body = vec![0x2a; length];
        let input = JobInput {
            content_type: crate::TENSORS_TYPE,
            inference_header_length: "",
            salt: [0; 32],
            body: &body,
        };
        let mut wanted = hex::decode([head, tail].concat()).unwrap();
        wanted.extend_from_slice(&body);
        assert_eq!(input.encode(), wanted, "{length}");
    }
}
