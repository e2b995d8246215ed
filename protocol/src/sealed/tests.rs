use core::convert::Infallible;

use chacha20::rand_core::{TryCryptoRng, TryRng};
use hpke::{OpModeR, OpModeS, setup_receiver, setup_sender_with_rng};
use k256::ecdsa::SigningKey;
use proptest::prelude::*;

use super::*;
use crate::digest::Digest;
use crate::ids::JobId;
use crate::job::{JobInput, JobResult};
use crate::receipt::{InferenceReceipt, ResponseParts, sign_batch};

/// The vectors of RFC 9180, appendix A.2.1: base mode of the suite that is used here.
mod rfc9180 {
    pub(super) const INFO: &str = "4f6465206f6e2061204772656369616e2055726e";
    pub(super) const IKM_E: &str =
        "909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b";
    pub(super) const ENC: &str = "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a";
    pub(super) const PK_R: &str =
        "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a";
    pub(super) const SK_R: &str =
        "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb";
    pub(super) const PLAINTEXT: &str = "4265617574792069732074727574682c20747275746820626561757479";
    /// Associated data and ciphertext of sequence numbers 0, 1 and 2.
    pub(super) const MESSAGES: [(&str, &str); 3] = [
        (
            "436f756e742d30",
            "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
        ),
        (
            "436f756e742d31",
            "6b53c051e4199c518de79594e1c4ab18b96f081549d45ce015be002090bb119e85285337cc95ba5f59992dc98c",
        ),
        (
            "436f756e742d32",
            "71146bd6795ccc9c49ce25dda112a48f202ad220559502cef1f34271e0cb4b02b4f10ecac6f48c32f878fae86b",
        ),
    ];
}

fn bytes(digits: &str) -> Vec<u8> {
    hex::decode(digits).unwrap()
}

/// Gives the one value that a vector was made with.
struct Fixed(Vec<u8>);

impl TryRng for Fixed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("HPKE draws bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("HPKE draws bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.0);
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

#[test]
fn the_library_agrees_with_rfc_9180() {
    let recipient = PublicKey::from_bytes(&bytes(rfc9180::PK_R)).unwrap();
    let (encapsulated, mut sender) = setup_sender_with_rng::<Aead, Kdf, Kem>(
        &OpModeS::Base,
        &recipient,
        &bytes(rfc9180::INFO),
        &mut Fixed(bytes(rfc9180::IKM_E)),
    )
    .unwrap();
    assert_eq!(hex::encode(encapsulated.to_bytes()), rfc9180::ENC);

    let secret: [u8; 32] = bytes(rfc9180::SK_R).try_into().unwrap();
    let secret = SealingSecret::from_bytes(&secret);
    assert_eq!(hex::encode(secret.public_key()), rfc9180::PK_R);
    let mut receiver = setup_receiver::<Aead, Kdf, Kem>(
        &OpModeR::Base,
        &secret.0,
        &encapsulated,
        &bytes(rfc9180::INFO),
    )
    .unwrap();
    for (aad, ciphertext) in rfc9180::MESSAGES {
        let sealed = sender
            .seal(&bytes(rfc9180::PLAINTEXT), &bytes(aad))
            .unwrap();
        assert_eq!(hex::encode(&sealed), ciphertext);
        let opened = receiver.open(&sealed, &bytes(aad)).unwrap();
        assert_eq!(hex::encode(opened), rfc9180::PLAINTEXT);
    }
}

fn secret(seed: u8) -> SealingSecret {
    SealingSecret::from_bytes(&[seed; 32])
}

fn terms() -> JobTerms {
    JobTerms {
        job: JobId::from_random([1; 16]),
        function: Digest::of(b"function"),
        deadline_ms: 1_700_000_000_000,
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

/// A job sealed to the keys of seeds 1, 2 and 3, for the result key of seed 9.
fn sealed(body: &[u8], entropy: [u8; 32]) -> Vec<u8> {
    let recipients = [1, 2, 3].map(|seed| secret(seed).public_key());
    SealedJob::seal(
        &input(body),
        &terms(),
        &secret(9).public_key(),
        &recipients,
        &entropy,
    )
    .unwrap()
}

fn receipt_key() -> SigningKey {
    SigningKey::from_slice(&[0x42; 32]).unwrap()
}

fn receipt_public() -> [u8; 64] {
    let point = receipt_key().verifying_key().to_sec1_point(false);
    point.as_bytes()[1..].try_into().unwrap()
}

/// The honest result of the job with this input.
fn result<'a>(input: &JobInput<'_>, body: &'a [u8]) -> JobResult<'a> {
    let response = ResponseParts {
        status: 200,
        content_type: "application/json",
        inference_header_length: "",
        body,
    };
    let claims = InferenceReceipt {
        function_digest: terms().function,
        request_hash: input.commitment(&terms().job).request_hash,
        response_hash: response.hash(&input.salt),
        started_ms: 1,
        compute_micros: 2,
        status: 200,
    };
    let mut signed = sign_batch(&receipt_key(), &[(claims, input.salt)]).unwrap();
    JobResult {
        status: 200,
        content_type: "application/json",
        inference_header_length: "",
        receipt: signed.remove(0),
        body,
    }
}

fn sealed_result(result: &JobResult<'_>, entropy: [u8; 32]) -> Vec<u8> {
    let sealer = ResultSealer::new(&terms(), &secret(9).public_key(), &entropy);
    sealer.unwrap().seal(result).unwrap()
}

/// Every single thing that the associated data bind, changed.
fn other_terms() -> [JobTerms; 3] {
    [
        JobTerms {
            job: JobId::from_random([2; 16]),
            ..terms()
        },
        JobTerms {
            function: Digest::of(b"another function"),
            ..terms()
        },
        JobTerms {
            deadline_ms: terms().deadline_ms + 1,
            ..terms()
        },
    ]
}

#[test]
fn the_associated_data_are_as_the_table_says() {
    let expected = [
        Digest::of(b"function").to_hex(),
        "01".repeat(16),
        "05".repeat(32),
        "0000018bcfe56800".to_owned(),
    ];
    assert_eq!(
        hex::encode(associated_data(&terms(), &[5; 32])),
        expected.concat()
    );
}

#[test]
fn a_job_does_not_open_under_other_terms_or_another_result_key() {
    let envelope = sealed(b"in", [4; 32]);
    let sealed = SealedJob::decode(&envelope).unwrap();
    let key = secret(9).public_key();
    assert!(sealed.open(&secret(1), &terms(), &key).is_ok());
    for other in other_terms() {
        assert_eq!(
            sealed.open(&secret(1), &other, &key),
            Err(OpenError::CannotOpen)
        );
    }
    let mut other = key;
    other[0] ^= 1;
    assert_eq!(
        sealed.open(&secret(1), &terms(), &other),
        Err(OpenError::CannotOpen)
    );
    assert_eq!(
        sealed.open(&secret(8), &terms(), &key),
        Err(OpenError::NotARecipient)
    );
}

#[test]
fn an_envelope_that_shows_its_result_key_opens_for_that_one_alone() {
    let (key, other) = (secret(9).public_key(), secret(8).public_key());
    let recipients = [secret(1).public_key()];
    let envelope =
        SealedJob::seal_showing_key(&input(b"in"), &terms(), &key, &recipients, &[4; 32]).unwrap();
    let read = SealedJob::decode(&envelope).unwrap();
    assert_eq!(read.result_key(), Some(key));
    assert_eq!(read.encode(), envelope);
    let opened = read.open(&secret(1), &terms(), &key).unwrap();
    assert_eq!(JobInput::decode(&opened), Ok(input(b"in")));
    // Whoever carries it puts another key there: what shows is not what binds.
    let mut changed = read.clone();
    changed.result_key = Some(other);
    let changed = changed.encode();
    let changed = SealedJob::decode(&changed).unwrap();
    assert_eq!(
        changed.open(&secret(1), &terms(), &other),
        Err(OpenError::CannotOpen)
    );
    let hidden = sealed(b"in", [4; 32]);
    assert_eq!(SealedJob::decode(&hidden).unwrap().result_key(), None);
    // The two versions' forms are not mixed.
    for (at, byte) in [(0, 0xa3), (2, 1)] {
        let mut mixed = envelope.clone();
        assert_ne!(mixed[at], byte);
        mixed[at] = byte;
        assert!(SealedJob::decode(&mixed).is_err());
    }
}

#[test]
fn a_recipients_place_cannot_be_given_to_another() {
    let envelope = sealed(b"in", [4; 32]);
    let mut moved = SealedJob::decode(&envelope).unwrap();
    let outsider = secret(8);
    let key = secret(9).public_key();
    moved.recipients[0].key_id = key_id(&outsider.public_key());
    moved.recipients.sort_unstable_by_key(|r| r.key_id);
    assert_eq!(
        moved.open(&outsider, &terms(), &key),
        Err(OpenError::CannotOpen)
    );
}

#[test]
fn a_result_does_not_open_under_other_terms_or_by_another_key() {
    let envelope = sealed_result(&result(&input(b"in"), b"out"), [5; 32]);
    let sealed = SealedResult::decode(&envelope).unwrap();
    let opened = sealed.open(&secret(9), &terms()).unwrap();
    let verified = opened.verified(
        &terms().function,
        &input(b"in").commitment(&terms().job),
        &receipt_public(),
    );
    assert_eq!(verified.unwrap().body, b"out");
    for other in other_terms() {
        assert_eq!(
            sealed.open(&secret(9), &other).unwrap_err(),
            OpenError::CannotOpen
        );
    }
    assert_eq!(
        sealed.open(&secret(1), &terms()).unwrap_err(),
        OpenError::CannotOpen
    );
}

/// Anybody can seal to a public key; what nobody else can make is the receipt.
#[test]
fn a_result_that_the_host_made_up_is_refused() {
    let honest = result(&input(b"in"), b"out");
    let forged = JobResult {
        body: b"made up",
        ..honest
    };
    let envelope = sealed_result(&forged, [5; 32]);
    let sealed = SealedResult::decode(&envelope).unwrap();
    let opened = sealed.open(&secret(9), &terms()).unwrap();
    let verdict = opened.verified(
        &terms().function,
        &input(b"in").commitment(&terms().job),
        &receipt_public(),
    );
    assert_eq!(verdict, Err(OpenError::Receipt(ReceiptError::Response)));
}

#[test]
fn only_to_sensible_keys_is_sealed() {
    let seal = |result_key: &[u8; 32], recipients: &[[u8; 32]]| {
        SealedJob::seal(&input(b""), &terms(), result_key, recipients, &[4; 32]).map(drop)
    };
    let good = secret(9).public_key();
    let many: Vec<_> = (0..65u8)
        .map(|seed| secret(seed.wrapping_mul(3)).public_key())
        .collect();
    assert_eq!(seal(&good, &many[..64]), Ok(()));
    assert_eq!(seal(&good, &many), Err(SealError::Recipients(65)));
    assert_eq!(seal(&good, &[]), Err(SealError::Recipients(0)));
    assert_eq!(
        seal(&good, &[good, good]),
        Err(SealError::SameRecipientTwice)
    );
    // Points of small order give the same secret to everybody.
    let mut one = [0; 32];
    one[0] = 1;
    for weak in [[0; 32], one] {
        assert_eq!(seal(&good, &[weak]), Err(SealError::Key));
        assert_eq!(seal(&weak, &[good]), Err(SealError::Key));
        assert!(ResultSealer::new(&terms(), &weak, &[4; 32]).is_err());
    }
}

#[test]
fn a_secret_is_not_printed() {
    assert_eq!(format!("{:?}", secret(1)), "SealingSecret { .. }");
}

proptest! {
    #[test]
    fn what_is_sealed_opens_for_every_recipient(
        body in proptest::collection::vec(any::<u8>(), 0..300),
        entropy: [u8; 32],
    ) {
        let envelope = sealed(&body, entropy);
        let sealed = SealedJob::decode(&envelope).unwrap();
        prop_assert_eq!(sealed.encode(), &envelope[..]);
        for seed in [1, 2, 3] {
            let opened = sealed.open(&secret(seed), &terms(), &secret(9).public_key()).unwrap();
            prop_assert_eq!(JobInput::decode(&opened), Ok(input(&body)));
        }
        let envelope = sealed_result(&result(&input(&body), &body), entropy);
        let sealed = SealedResult::decode(&envelope).unwrap();
        prop_assert_eq!(sealed.encode(), &envelope[..]);
        let opened = sealed.open(&secret(9), &terms()).unwrap();
        let result = opened.verified(&terms().function, &input(&body).commitment(&terms().job), &receipt_public()).unwrap();
        prop_assert_eq!(result.body, &body[..]);
    }

    #[test]
    fn a_changed_job_does_not_open(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let envelope = sealed(b"a body", [4; 32]);
        let mut changed = envelope.clone();
        let at = at.index(changed.len());
        changed[at] ^= 1 << bit;
        let Ok(job) = SealedJob::decode(&changed) else { return Ok(()) };
        let key = secret(9).public_key();
        for seed in [1, 2, 3] {
            // What was done to another recipient's entry is no matter to this one; else nothing is given out.
            if let Ok(opened) = job.open(&secret(seed), &terms(), &key) {
                prop_assert_eq!(JobInput::decode(&opened), Ok(input(b"a body")));
                let mine = key_id(&secret(seed).public_key());
                let whole = SealedJob::decode(&envelope).unwrap();
                let entry = |job: &SealedJob<'_>| job.recipients.iter().find(|r| r.key_id == mine).cloned();
                prop_assert_eq!(entry(&job), entry(&whole));
                prop_assert_eq!(job.ciphertext, whole.ciphertext);
            }
        }
    }

    #[test]
    fn a_changed_result_does_not_open(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut envelope = sealed_result(&result(&input(b"in"), b"out"), [5; 32]);
        let at = at.index(envelope.len());
        envelope[at] ^= 1 << bit;
        if let Ok(changed) = SealedResult::decode(&envelope) {
            prop_assert_eq!(changed.open(&secret(9), &terms()).unwrap_err(), OpenError::CannotOpen);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(sealed) = SealedJob::decode(&bytes) {
            prop_assert_eq!(sealed.encode(), &bytes[..]);
        }
        if let Ok(sealed) = SealedResult::decode(&bytes) {
            prop_assert_eq!(sealed.encode(), &bytes[..]);
        }
    }
}
