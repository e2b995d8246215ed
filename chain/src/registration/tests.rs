use std::collections::BTreeMap;

use k256::ecdsa::SigningKey;
use nacre_protocol::ids::NodeId;
use nacre_protocol::verifier_api::Claims;

use super::*;

const OPERATOR: EthAddress = EthAddress::from_bytes([0x22; 20]);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn point_of(key: &SigningKey) -> Vec<u8> {
    key.verifying_key().to_sec1_point(false).as_bytes()[1..].to_vec()
}

fn registry() -> ContractDomain {
    "31337:0x1111111111111111111111111111111111111111"
        .parse()
        .unwrap()
}

/// What the control plane shows of the enclave with key 7.
fn offered() -> ChainKey {
    ChainKey {
        node: NodeId::from_random([1; 16]),
        receipt_key: EthAddress::of_key(key(7).verifying_key()),
        operator: OPERATOR,
        chain_id: registry().chain_id,
        registry: registry().verifying_contract,
        consent: OperatorConsent::sign(&key(7), OPERATOR, &registry()),
        document: b"document".to_vec(),
        document_ms: 1_700_000_000_000,
    }
}

/// What the verifier with key 9 says of it.
fn verdict() -> Verdict {
    let enclave = VerifiedEnclave {
        root_id: [1; 32],
        image_id: [2; 32],
        receipt_key: offered().receipt_key,
        operator: OPERATOR,
        user_data: [3; 32],
        timestamp_ms: 1_700_000_000_000,
        expires_ms: 1_700_010_800_000,
    };
    Verdict {
        result: 0,
        warning: None,
        claims: Claims {
            module_id: "i-1-enc1".to_owned(),
            timestamp_ms: enclave.timestamp_ms,
            verified_at_ms: enclave.timestamp_ms + 1,
            pcrs: BTreeMap::new(),
            public_key: Some(point_of(&key(7))),
            user_data: Some(vec![3; 32]),
            nonce: None,
            root_kind: "development".to_owned(),
            chain_not_after: enclave.expires_ms / 1000,
        },
        root_id: hex0x(&enclave.root_id),
        image_id: hex0x(&enclave.image_id),
        typed_data: enclave.typed_data(&registry()),
        digest: hex0x(&enclave.digest(&registry())),
        signature: hex0x(&enclave.sign(&registry(), &key(9))),
        signer: EthAddress::of_key(key(9).verifying_key()),
    }
}

#[test]
fn two_honest_words_make_a_registration() {
    let made = Registration::of(&offered(), &verdict()).unwrap();
    assert_eq!(made.enclave().receipt_key, offered().receipt_key);
    assert_eq!(made.verifier(), verdict().signer);
    let call = abi::registerCall::abi_decode(&made.call()).unwrap();
    assert_eq!(call.enclave.operator, Address::from([0x22; 20]));
    assert_eq!(call.enclave.expiresMs, 1_700_010_800_000);
    assert_eq!(hex0x(&call.verifierSignature), verdict().signature);
    assert_eq!(hex0x(&call.consent), offered().consent.to_string());
}

#[test]
fn without_the_enclaves_consent_there_is_none() {
    let elsewhere: ContractDomain = "1:0x1111111111111111111111111111111111111111"
        .parse()
        .unwrap();
    for consent in [
        OperatorConsent::sign(&key(8), OPERATOR, &registry()),
        OperatorConsent::sign(&key(7), EthAddress::from_bytes([0x23; 20]), &registry()),
        OperatorConsent::sign(&key(7), OPERATOR, &elsewhere),
        ConsentSignature::from_bytes([0; 65]),
    ] {
        let claimed = ChainKey {
            consent,
            ..offered()
        };
        let error = Registration::of(&claimed, &verdict()).unwrap_err();
        assert_eq!(error.code(), "consent-refused");
    }
}

#[test]
fn a_verdict_on_another_enclave_operator_or_registry_is_none() {
    type Change = fn(&mut Verdict);
    let changes: [(&str, Change); 8] = [
        ("receipt key", |v| {
            v.claims.public_key = Some(point_of(&key(8)))
        }),
        ("receipt key", |v| v.claims.public_key = None),
        ("user data", |v| v.claims.user_data = Some(vec![3; 31])),
        ("digest", |v| v.claims.user_data = Some(vec![4; 32])),
        ("digest", |v| v.claims.timestamp_ms += 1),
        ("digest", |v| v.root_id = hex0x(&[9; 32])),
        ("image id", |v| v.image_id = "0x12".to_owned()),
        ("digest", |v| v.digest = hex0x(&[9; 32])),
    ];
    for (field, change) in changes {
        let mut told = verdict();
        change(&mut told);
        let error = Registration::of(&offered(), &told).unwrap_err();
        assert_eq!(error, RegistrationError::Verdict(field));
    }
    // To another registry: consistent in itself, and of no use here.
    let elsewhere = "1:0x1111111111111111111111111111111111111111"
        .parse()
        .unwrap();
    let enclave = *Registration::of(&offered(), &verdict()).unwrap().enclave();
    let told = Verdict {
        digest: hex0x(&enclave.digest(&elsewhere)),
        signature: hex0x(&enclave.sign(&elsewhere, &key(9))),
        ..verdict()
    };
    let error = Registration::of(&offered(), &told).unwrap_err();
    assert_eq!(error, RegistrationError::Verdict("digest"));
}

#[test]
fn a_verdict_that_its_verifier_did_not_sign_is_none() {
    let enclave = *Registration::of(&offered(), &verdict()).unwrap().enclave();
    for signature in [
        hex0x(&enclave.sign(&registry(), &key(8))),
        hex0x(&[0; 65]),
        "0x".to_owned(),
        verdict().signature[2..].to_owned(),
    ] {
        let told = Verdict {
            signature,
            ..verdict()
        };
        let error = Registration::of(&offered(), &told).unwrap_err();
        assert_eq!(error, RegistrationError::Signature);
    }
}
