use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::verified_enclave::hex0x;

/// What an independent implementation makes of the same words; `vectors.py` says how.
const VECTORS: &str = include_str!("vectors.json");

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn point_of(key: &SigningKey) -> [u8; 64] {
    let point = key.verifying_key().to_sec1_point(false);
    point.as_bytes()[1..].try_into().unwrap()
}

fn registry() -> ContractDomain {
    "31337:0x1111111111111111111111111111111111111111"
        .parse()
        .unwrap()
}

const OPERATOR: EthAddress = EthAddress::from_bytes([0x22; 20]);

#[test]
fn agrees_with_another_implementation_of_eip712() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors.len(), 6);
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap();
        let key = key(vector["seed"].as_u64().unwrap() as u8);
        let registry: ContractDomain = text("registry").parse().unwrap();
        let operator = text("operator").parse().unwrap();
        let consent = OperatorConsent::of(&point_of(&key), operator).unwrap();
        assert_eq!(consent.receipt_key.to_string(), text("receiptKey"));
        assert_eq!(hex0x(&consent.digest(&registry)), text("digest"));
        let signature = OperatorConsent::sign(&key, operator, &registry);
        assert_eq!(signature.to_string(), text("signature"));
        assert!(consent.is_signed(&registry, &text("signature").parse().unwrap()));
    }
}

#[test]
fn a_word_to_one_operator_at_one_registry_is_none_to_another() {
    let signature = OperatorConsent::sign(&key(7), OPERATOR, &registry());
    let given = OperatorConsent::of(&point_of(&key(7)), OPERATOR).unwrap();
    assert!(given.is_signed(&registry(), &signature));
    for other in [
        OperatorConsent {
            operator: EthAddress::from_bytes([0; 20]),
            ..given
        },
        OperatorConsent::of(&point_of(&key(8)), OPERATOR).unwrap(),
    ] {
        assert!(!other.is_signed(&registry(), &signature));
    }
    for elsewhere in [
        "1:0x1111111111111111111111111111111111111111",
        "31337:0x1111111111111111111111111111111111111112",
    ] {
        assert!(!given.is_signed(&elsewhere.parse().unwrap(), &signature));
    }
    let mut changed = *signature.as_bytes();
    for bit in 0..8 * changed.len() {
        changed[bit / 8] ^= 1 << (bit % 8);
        let forged = ConsentSignature::from_bytes(changed);
        assert!(!given.is_signed(&registry(), &forged), "bit {bit}");
        changed[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn what_is_no_key_agrees_to_nothing() {
    assert_eq!(OperatorConsent::of(&[9; 64], OPERATOR), None);
}

#[test]
fn registries_and_signatures_have_one_text() {
    let text = "31337:0x1111111111111111111111111111111111111111";
    assert_eq!(registry().to_string(), text);
    for wrong in [
        "",
        "31337",
        "0:0x1111111111111111111111111111111111111111",
        "31337:1111111111111111111111111111111111111111",
        "31337:0x11111111111111111111111111111111111111",
        "31337:0x1111111111111111111111111111111111111111:",
        "031337:0x1111111111111111111111111111111111111111",
    ] {
        assert!(wrong.parse::<ContractDomain>().is_err(), "{wrong}");
    }
    let signature = OperatorConsent::sign(&key(7), OPERATOR, &registry());
    let json = serde_json::to_string(&signature).unwrap();
    assert_eq!(
        serde_json::from_str::<ConsentSignature>(&json).unwrap(),
        signature
    );
    let text = signature.to_string();
    for wrong in ["", "0x", &text[2..], &text[..130], &format!("{text}00")] {
        assert_eq!(
            wrong.parse::<ConsentSignature>(),
            Err(SignatureSyntaxError),
            "{wrong}"
        );
    }
}

/// The contract's own test reads the file: what is signed here, it takes.
#[test]
fn the_contracts_vectors_are_what_is_signed_here() {
    let consents = [7, 0x42].map(|seed| {
        let signer = key(seed);
        let consent = OperatorConsent::of(&point_of(&signer), OPERATOR).unwrap();
        json!({
            "receiptKey": consent.receipt_key,
            "operator": OPERATOR,
            "digest": hex0x(&consent.digest(&registry())),
            "signature": OperatorConsent::sign(&signer, OPERATOR, &registry()),
        })
    });
    let computed = json!({
        "chainId": 31_337,
        "registry": registry().verifying_contract,
        "consents": consents,
    });
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../relay-contracts/test/vectors/consent.json");
    if std::env::var_os("NACRE_WRITE_VECTORS").is_some() {
        let mut text = serde_json::to_string_pretty(&computed).unwrap();
        text.push('\n');
        std::fs::write(&path, text).unwrap();
    }
    let kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(kept, computed, "{} is not what is computed", path.display());
}
