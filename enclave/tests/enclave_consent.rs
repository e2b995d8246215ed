//! The enclave agrees to work for an operator at a registry of a chain, on its host's request.
#![cfg(feature = "process-mode")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its setting fails"
)]

mod enclave_support;
mod worker_support;

use enclave_support::Harness;
use nacre_protocol::control::{AskConsent, Consent};
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::operator_consent::OperatorConsent;
use nacre_protocol::verified_enclave::ContractDomain;
use serde_json::json;

const OPERATOR: EthAddress = EthAddress::from_bytes([0x22; 20]);

async fn ask(harness: &Harness, ask: &AskConsent) -> Consent {
    let body = serde_json::to_string(ask).unwrap();
    let answer = harness
        .control()
        .await
        .send("POST", "/v1/consent", body.into_bytes())
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_attested_receipt_key_agrees_to_the_operator_and_the_registry_that_were_named() {
    let harness = Harness::start().await;
    let registry: ContractDomain = "31337:0x1111111111111111111111111111111111111111"
        .parse()
        .unwrap();
    let wanted = AskConsent {
        operator: OPERATOR,
        chain_id: registry.chain_id,
        registry: registry.verifying_contract,
    };
    let given = ask(&harness, &wanted).await;
    let consent = OperatorConsent::of(&harness.receipt_key(), OPERATOR).unwrap();
    assert_eq!(given.receipt_key, consent.receipt_key);
    assert!(consent.is_signed(&registry, &given.consent));

    let other = OperatorConsent {
        operator: EthAddress::from_bytes([0x23; 20]),
        ..consent
    };
    assert!(!other.is_signed(&registry, &given.consent));
    let elsewhere: ContractDomain = "1:0x1111111111111111111111111111111111111111"
        .parse()
        .unwrap();
    assert!(!consent.is_signed(&elsewhere, &given.consent));
    // Asked again, it says the same.
    assert_eq!(ask(&harness, &wanted).await, given);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_operator_or_no_contract_is_refused() {
    let harness = Harness::start().await;
    let operator = OPERATOR.to_string();
    let long = format!("0x{}", "2".repeat(8192));
    for (body, status, code) in [
        (json!({}), 400, "json-malformed"),
        (
            json!({"operator": operator, "chain_id": 0, "registry": operator}),
            400,
            "json-malformed",
        ),
        (
            json!({"operator": "0x22", "chain_id": 1, "registry": operator}),
            400,
            "json-malformed",
        ),
        (
            json!({"operator": operator, "chain_id": 1, "registry": operator, "receipt_key": operator}),
            400,
            "json-malformed",
        ),
        (
            json!({"operator": long, "chain_id": 1, "registry": operator}),
            413,
            "body-too-large",
        ),
    ] {
        let body = body.to_string();
        let answer = harness
            .control()
            .await
            .send("POST", "/v1/consent", body.into_bytes())
            .await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
    }
    harness.stop().await;
}
