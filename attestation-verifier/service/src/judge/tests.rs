use k256::ecdsa::SigningKey;
use nacre_attestation_verifier::Roots;
use nacre_emulator::testing::{DevNsm, Wanted};
use nacre_protocol::verified_enclave::ChainId;

use super::*;

const NOW: u64 = 1_700_000_000_000;
const IMAGE: [[u8; 48]; 3] = [[1; 48], [2; 48], [3; 48]];
const USER_DATA: [u8; 32] = [5; 32];

fn receipt_key() -> [u8; 64] {
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    point.as_bytes()[1..].try_into().unwrap()
}

/// What one of our enclaves puts into its documents.
fn ours(key: &[u8; 64]) -> Wanted<'_> {
    Wanted {
        user_data: Some(&USER_DATA),
        nonce: Some(b"fresh"),
        public_key: Some(key),
    }
}

fn asked(document: Vec<u8>) -> VerifyRequest {
    VerifyRequest {
        document,
        operator: EthAddress::from_bytes([0x0a; 20]),
        chain_id: ChainId::try_from(42161).unwrap(),
        verifying_contract: EthAddress::from_bytes([0x0c; 20]),
        nonce: None,
    }
}

fn judge(nsm: &DevNsm) -> Judge {
    let roots = Roots::development(nsm.root_der().to_vec()).unwrap();
    Judge::new(Verifier::new(roots))
}

#[test]
fn what_is_claimed_is_what_the_document_says() {
    let mut nsm = DevNsm::new(IMAGE, NOW);
    let document = nsm.attest(ours(&receipt_key()), NOW + 1234);
    let judged = judge(&nsm).judge(&asked(document), NOW + 2000).unwrap();
    let enclave = judged.enclave;
    // `printf` of 48 bytes each of 01, 02 and 03 into `sha256sum`.
    assert_eq!(
        hex::encode(enclave.image_id),
        "68f6dc415505b28437f0dcb824ddeec57bc0fefc2c02244771298851d3a70c7f"
    );
    assert_eq!(
        hex::encode(enclave.root_id),
        judge(&nsm).verifier().roots().fingerprint()
    );
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    assert_eq!(enclave.receipt_key, EthAddress::of_key(key.verifying_key()));
    assert_eq!(enclave.operator, EthAddress::from_bytes([0x0a; 20]));
    assert_eq!(enclave.user_data, USER_DATA);
    assert_eq!(enclave.timestamp_ms, NOW + 1234);
    // The leaf is the first of the chain to end: three hours after it was issued.
    assert_eq!(enclave.expires_ms, NOW + 3 * 3600 * 1000);
    assert_eq!(judged.claims.chain_not_after * 1000, enclave.expires_ms);
    assert_eq!(judged.claims.verified_at_ms, NOW + 2000);
    assert_eq!(judged.claims.nonce.as_deref(), Some(&b"fresh"[..]));
    assert_eq!(judged.claims.pcrs[&2], "03".repeat(48));
    assert_eq!(judged.claims.root_kind, "development");
}

/// The last moment at which a document is signed for, and the first at which it is not.
#[test]
fn age_has_exact_ends() {
    let mut nsm = DevNsm::new(IMAGE, NOW);
    let made = NOW + 60_000;
    let request = asked(nsm.attest(ours(&receipt_key()), made));
    let judge = judge(&nsm);
    let rule = |now| judge.judge(&request, now).map_err(|refused| refused.rule());
    assert!(rule(made + 300_000).is_ok());
    assert_eq!(rule(made + 300_001), Err("document-too-old"));
    assert!(rule(made - 30_000).is_ok());
    assert_eq!(rule(made - 30_001), Err("document-from-future"));
}

#[test]
fn nothing_is_signed_for_an_image_that_was_not_measured() {
    for (image, rule) in [
        ([[0; 48]; 3], "debug-enclave"),
        ([[0; 48], [2; 48], [3; 48]], "pcr-partly-zero"),
        ([[1; 48], [0; 48], [3; 48]], "pcr-partly-zero"),
        ([[1; 48], [0; 48], [0; 48]], "pcr-partly-zero"),
    ] {
        let mut nsm = DevNsm::new(image, NOW);
        let document = nsm.attest(ours(&receipt_key()), NOW);
        let refused = judge(&nsm).judge(&asked(document), NOW).unwrap_err();
        assert_eq!(
            (refused.rule(), refused.result()),
            (rule, ResultCode::Measurements)
        );
    }
}

#[test]
fn nothing_is_signed_for_a_key_that_no_contract_can_check() {
    let mut off_curve = receipt_key();
    off_curve[63] ^= 1;
    let mut compressed = vec![2];
    compressed.extend(&receipt_key()[..32]);
    let keys: [Option<&[u8]>; 6] = [
        None,
        Some(&off_curve),
        Some(&[0; 64]),
        Some(&compressed),
        Some(&receipt_key()[..63]),
        Some(b""),
    ];
    for public_key in keys {
        let wanted = Wanted {
            public_key,
            ..ours(&[0; 64])
        };
        let mut nsm = DevNsm::new(IMAGE, NOW);
        let document = nsm.attest(wanted, NOW);
        let refused = judge(&nsm).judge(&asked(document), NOW).unwrap_err();
        assert_eq!(
            (refused.rule(), refused.result()),
            ("receipt-key", ResultCode::Binding),
            "{public_key:?}"
        );
    }
}

#[test]
fn nothing_is_signed_for_user_data_that_is_not_one_word() {
    for length in [None, Some(0), Some(31), Some(33), Some(512)] {
        let data = length.map(|length| vec![5; length]);
        let key = receipt_key();
        let wanted = Wanted {
            user_data: data.as_deref(),
            ..ours(&key)
        };
        let mut nsm = DevNsm::new(IMAGE, NOW);
        let document = nsm.attest(wanted, NOW);
        let refused = judge(&nsm).judge(&asked(document), NOW).unwrap_err();
        assert_eq!(
            (refused.rule(), refused.result()),
            ("user-data-shape", ResultCode::Binding),
            "{length:?}"
        );
    }
}

#[test]
fn a_nonce_that_is_asked_for_must_be_there() {
    let mut nsm = DevNsm::new(IMAGE, NOW);
    let request = asked(nsm.attest(ours(&receipt_key()), NOW));
    let judge = judge(&nsm);
    for (nonce, outcome) in [
        (None, Ok(())),
        (Some(&b"fresh"[..]), Ok(())),
        (Some(b"stale"), Err("nonce-mismatch")),
        (Some(b""), Err("nonce-mismatch")),
    ] {
        let request = VerifyRequest {
            nonce: nonce.map(<[u8]>::to_vec),
            ..request.clone()
        };
        let got = judge.judge(&request, NOW);
        assert_eq!(
            got.map(|_| ()).map_err(|refused| refused.rule()),
            outcome,
            "{nonce:?}"
        );
    }
}

/// A document that breaks all of them is refused under the first; with that one mended, under the next.
#[test]
fn the_order_of_the_rules_is_the_cores() {
    let broken = Wanted {
        user_data: None,
        nonce: Some(b"stale"),
        public_key: None,
    };
    let mut debug = DevNsm::new([[0; 48]; 3], NOW);
    let mut measured = DevNsm::new(IMAGE, NOW);
    let key = receipt_key();
    let with_key = Wanted {
        public_key: Some(&key),
        ..broken
    };
    let late = NOW + 400_000;
    let wrong_nonce = Some(b"fresh".to_vec());
    let old_debug = debug.attest(broken, NOW);
    let mut forged = old_debug.clone();
    *forged.last_mut().unwrap() ^= 1;
    let by_debug = |document: Vec<u8>| (judge(&debug), document);
    let steps = [
        (by_debug(vec![0xff]), &wrong_nonce, late, "cbor-break"),
        (
            (judge(&DevNsm::seeded(9, IMAGE, NOW)), forged.clone()),
            &wrong_nonce,
            late,
            "untrusted-root",
        ),
        (by_debug(forged), &wrong_nonce, late, "signature-invalid"),
        (
            by_debug(old_debug.clone()),
            &wrong_nonce,
            late,
            "nonce-mismatch",
        ),
        (by_debug(old_debug.clone()), &None, late, "document-too-old"),
        (by_debug(old_debug), &None, NOW, "debug-enclave"),
        (
            (judge(&measured), measured.attest(broken, NOW)),
            &None,
            NOW,
            "receipt-key",
        ),
        (
            (judge(&measured), measured.attest(with_key, NOW)),
            &None,
            NOW,
            "user-data-shape",
        ),
    ];
    for ((judge, document), nonce, now, rule) in steps {
        let request = VerifyRequest {
            nonce: nonce.clone(),
            ..asked(document)
        };
        let refused = judge.judge(&request, now).unwrap_err();
        assert_eq!(refused.rule(), rule);
    }
}

#[test]
fn a_development_document_is_nothing_to_the_program_as_it_is_built_by_default() {
    let mut nsm = DevNsm::new(IMAGE, NOW);
    let document = nsm.attest(ours(&receipt_key()), NOW);
    let judge = Judge::new(Verifier::new(crate::root::compiled_in().unwrap()));
    if option_env!("NACRE_VERIFIER_ROOT").is_some() {
        return;
    }
    assert_eq!(judge.warning(), None);
    assert_eq!(
        hex::encode(judge.root_id),
        nacre_attestation_verifier::AWS_ROOT_SHA256
    );
    let refused = judge.judge(&asked(document), NOW).unwrap_err();
    assert_eq!(refused.rule(), "untrusted-root");
}
