//! What is signed, by whom, and that any wallet library finds the same.

use nacre_protocol::eip712::{EthAddress, point, recover_signer};
use nacre_protocol::verifier_api::Verdict;
use serde_json::{Value, json};

use super::eip712;
use super::setting::{CONTRACT, OPERATOR, Service, Subject, USER_DATA, WORKER, question};

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let digits = text.strip_prefix("0x").unwrap();
    hex::decode(digits).unwrap().try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_attested_key_signs_what_the_document_says() {
    let mut subject = Subject::running(WORKER);
    let service = Service::start(&subject, |_| ()).await;
    let mut caller = service.connect().await;
    let answer = caller.verify(&question(&subject.document())).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let verdict: Verdict = serde_json::from_value(answer.body).unwrap();

    // Hashed from the JSON alone, and signed by the key that the service's own evidence names.
    let digest = eip712::digest(&verdict.typed_data);
    assert_eq!(digest, bytes(&verdict.digest));
    let signature: [u8; 65] = bytes(&verdict.signature);
    let attested = point(&caller.connection.enclave().statement().receipt_key).unwrap();
    assert_eq!(recover_signer(&digest, &signature), Some(attested));
    assert_eq!(verdict.signer, EthAddress::of_key(&attested));

    let message = &verdict.typed_data["message"];
    assert_eq!(message["operator"], OPERATOR);
    assert_eq!(message["receiptKey"], Subject::address().to_string());
    assert_eq!(message["userData"], format!("0x{}", hex::encode(USER_DATA)));
    assert_eq!(message["timestampMs"], verdict.claims.timestamp_ms);
    assert_eq!(message["expiresMs"], verdict.claims.chain_not_after * 1000);
    assert_eq!(
        verdict.typed_data["domain"],
        json!({"name": "Nacre", "version": "1", "chainId": 42161, "verifyingContract": CONTRACT})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_for_one_chain_one_contract_and_one_operator() {
    let mut subject = Subject::running(WORKER);
    let service = Service::start(&subject, |_| ()).await;
    let mut caller = service.connect().await;
    let first = question(&subject.document());
    let mut digests = Vec::new();
    for (field, value) in [
        ("operator", json!(OPERATOR)),
        ("operator", json!(CONTRACT)),
        ("chainId", json!(1)),
        (
            "chainId",
            json!("115792089237316195423570985008687907853269984665640564039457584007913129639935"),
        ),
        ("verifyingContract", json!(OPERATOR)),
    ] {
        let mut question = first.clone();
        question[field] = value;
        let answer = caller.verify(&question).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let digest = answer.body["digest"].as_str().unwrap().to_owned();
        assert!(!digests.contains(&digest), "{field}");
        digests.push(digest);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_under_a_development_root_says_so_signed_or_refused() {
    let mut subject = Subject::running(WORKER);
    let service = Service::start(&subject, |_| ()).await;
    let mut caller = service.connect().await;
    let signed = caller.verify(&question(&subject.document())).await;
    assert_eq!(signed.status, 200);
    let refused = caller.verify(&question(b"\xd2\x84")).await;
    assert_eq!(refused.status, 422);
    for answer in [signed, refused] {
        assert_eq!(answer.body["warning"], "DEVELOPMENT ROOT");
    }
}

/// The service's claim about another enclave, and what any client finds itself in the same document.
#[tokio::test(flavor = "multi_thread")]
async fn claims_are_those_of_the_document() {
    let mut subject = Subject::running(WORKER);
    let service = Service::start(&subject, |_| ()).await;
    let mut caller = service.connect().await;
    let document = subject.document();
    let unverified = nacre_attestation_verifier::UnverifiedDocument::parse(&document).unwrap();
    let claims = unverified.claims();
    let answer = caller.verify(&question(&document)).await;
    let found = &answer.body["claims"];
    assert_eq!(found["moduleId"], claims.module_id);
    assert_eq!(found["timestampMs"], claims.timestamp_ms);
    assert_eq!(found["rootKind"], "development");
    assert_eq!(found["nonce"], "ZnJlc2g", "`fresh` in base64url");
    let pcrs: Vec<(String, Value)> = claims
        .pcrs
        .iter()
        .map(|(index, pcr)| (index.to_string(), json!(pcr)))
        .collect();
    assert_eq!(found["pcrs"], Value::Object(pcrs.into_iter().collect()));
}
