use k256::ecdsa::Signature;
use proptest::prelude::*;

use super::*;

fn key() -> SigningKey {
    SigningKey::from_slice(&[0x42; 32]).unwrap()
}

fn public(key: &SigningKey) -> [u8; 64] {
    let point = key.verifying_key().to_sec1_point(false);
    point.as_bytes()[1..].try_into().unwrap()
}

const SALT: [u8; 32] = [7; 32];

fn request(body: &[u8]) -> RequestParts<'_> {
    RequestParts {
        method: "POST",
        path: "/v2/models/iris/infer",
        content_type: "application/json",
        inference_header_length: "",
        body,
    }
}

fn response(body: &[u8]) -> ResponseParts<'_> {
    ResponseParts {
        status: 200,
        content_type: "application/json",
        inference_header_length: "",
        body,
    }
}

fn receipt() -> InferenceReceipt {
    InferenceReceipt {
        function_digest: Digest::of(b"function"),
        request_hash: request(b"in").hash(&SALT),
        response_hash: response(b"out").hash(&SALT),
        started_ms: 1_700_000_000_000,
        compute_micros: 12,
        status: 200,
    }
}

#[test]
fn every_part_of_an_answer_is_bound() {
    let signed = sign_batch(&key(), &[(receipt(), SALT)]).unwrap().remove(0);
    let function = Digest::of(b"function");
    let public = public(&key());
    let verify =
        |f: &Digest, q: &RequestParts<'_>, a: &ResponseParts<'_>| signed.verify(&public, f, q, a);

    assert_eq!(
        verify(&function, &request(b"in"), &response(b"out")),
        Ok(())
    );
    assert_eq!(
        verify(&function, &request(b"in "), &response(b"out")),
        Err(ReceiptError::Request)
    );
    assert_eq!(
        verify(&function, &request(b"in"), &response(b"ouT")),
        Err(ReceiptError::Response)
    );
    let teapot = ResponseParts {
        status: 418,
        ..response(b"out")
    };
    assert_eq!(
        verify(&function, &request(b"in"), &teapot),
        Err(ReceiptError::Response)
    );
    assert!(matches!(
        verify(&Digest::of(b"other"), &request(b"in"), &response(b"out")),
        Err(ReceiptError::Function { .. })
    ));
    let other_key = SigningKey::from_slice(&[0x43; 32]).unwrap();
    let mut other = [0; 64];
    other.copy_from_slice(&other_key.verifying_key().to_sec1_point(false).as_bytes()[1..]);
    assert_eq!(
        signed.verify_signature(&other),
        Err(ReceiptError::Signature)
    );
}

#[test]
fn lengths_keep_neighbouring_parts_apart() {
    let moved = RequestParts {
        content_type: "application/jso",
        inference_header_length: "n",
        ..request(b"in")
    };
    assert_ne!(moved.hash(&SALT), request(b"in").hash(&SALT));
}

#[test]
fn a_high_s_twin_is_refused() {
    let mut signed = sign_batch(&key(), &[(receipt(), SALT)]).unwrap().remove(0);
    let signature = Signature::from_slice(&signed.signature[..64]).unwrap();
    let (r, s) = signature.split_scalars();
    let twin = Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap();
    signed.signature[..64].copy_from_slice(&twin.to_bytes());
    signed.signature[64] = 55 - signed.signature[64];
    assert_eq!(
        signed.verify_signature(&public(&key())),
        Err(ReceiptError::Signature)
    );
}

proptest! {
    #[test]
    fn every_receipt_of_a_batch_verifies_and_travels(count in 1u64..40) {
        let receipts: Vec<_> = (0..count)
            .map(|i| (InferenceReceipt { started_ms: i, ..receipt() }, SALT))
            .collect();
        for signed in sign_batch(&key(), &receipts).unwrap() {
            prop_assert_eq!(signed.verify_signature(&public(&key())), Ok(()));
            let header = signed.to_header();
            prop_assert_eq!(SignedReceipt::from_header(&header), Ok(signed));
        }
    }

    #[test]
    fn a_flipped_bit_never_verifies(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let receipts: Vec<_> = (0..5)
            .map(|i| (InferenceReceipt { started_ms: i, ..receipt() }, SALT))
            .collect();
        let signed = sign_batch(&key(), &receipts).unwrap().remove(3);
        let mut bytes = signed.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = SignedReceipt::decode(&bytes) {
            // The tree's size is not part of the root, so another size with a path of the same length may pass:
            // what is claimed stays what was signed.
            let parts = (&request(b"in"), &response(b"out"));
            if changed.verify(&public(&key()), &Digest::of(b"function"), parts.0, parts.1).is_ok() {
                let same = SignedReceipt { size: signed.size, ..changed };
                prop_assert_eq!(same, signed);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1100)) {
        let _ = SignedReceipt::decode(&bytes);
    }
}

/// Values that an independent EIP-712 implementation (Python's eth-account 0.13) gives for the same typed data and key.
#[test]
fn agrees_with_other_implementations_of_eip712() {
    let receipt = InferenceReceipt {
        function_digest: Digest::from_bytes([1; 32]),
        request_hash: [2; 32],
        response_hash: [3; 32],
        started_ms: 1_700_000_000_000,
        compute_micros: 12,
        status: 200,
    };
    assert_eq!(
        hex::encode(receipt.hash_struct()),
        "2856043fa1e5a72b565162fbf39f58e6bad19b7873371c888d59a2f4a549162c"
    );
    let digest = batch_digest(&[9; 32]);
    assert_eq!(
        hex::encode(digest),
        "27c433f58f99fefd3db48fc061d6d63c07f65fa60c067fcb1a883c9362830ba1"
    );
    let (signature, recovery) = key().sign_prehash_recoverable(&digest);
    assert_eq!(
        hex::encode(signature.to_bytes()),
        "6a11542278995530098fe42467b35ca12853c8eb996a08bf8db508d5805b4eb2\
         41d33a827b5369faf5885e8a059c2afe7c43f133bc6567d9ade14a979100a0aa"
    );
    assert_eq!(recovery.to_byte() + 27, 0x1c);
}
