//! Asking for an inference, and waiting for what an enclave signed.

use alloy::primitives::aliases::U40;
use alloy::primitives::{Address, B256, Bytes, U256};
use k256::ecdsa::SigningKey;
use nacre_chain::contracts::enclave_registry::{
    EnclaveRegistry::VerifiedEnclave as Shown, ImageList,
};
use nacre_chain::contracts::job_relay::IJobRelay;
use nacre_chain::contracts::{DevToken, EnclaveRegistry, JobRelay};
use nacre_chain::deployment::Name;
use nacre_chain::events;
use nacre_protocol::eip712::{EthAddress, sign_digest};
use nacre_protocol::operator_consent::OperatorConsent;
use nacre_protocol::verified_enclave::{ContractDomain, VerifiedEnclave};
use serde_json::json;

use crate::desk::{Desk, OTHER, OWNER, TOKEN_FLOOR};

/// The enclave's receipt key, and a verifier's.
const WORKER: [u8; 32] = [3; 32];
const VERIFIER: [u8; 32] = [4; 32];

fn key(seed: [u8; 32]) -> SigningKey {
    SigningKey::from_slice(&seed).unwrap()
}

fn eth(address: Address) -> EthAddress {
    EthAddress::from_bytes(address.into_array())
}

fn alloy_address(address: EthAddress) -> Address {
    Address::from(*address.as_bytes())
}

/// Registers the worker's key for [`OTHER`].
async fn register_worker(desk: &Desk) {
    let registry = desk.at(Name::EnclaveRegistry);
    let domain = ContractDomain {
        chain_id: desk.account(OWNER).chain_id().try_into().unwrap(),
        verifying_contract: eth(registry),
    };
    let mut images = [B256::ZERO; 2];
    for (kind, image) in [1_u8, 2].into_iter().zip(&mut images) {
        let [pcr0, pcr1, pcr2] = [[kind; 48]; 3].map(|pcr| pcr.to_vec().into());
        let measurements = ImageList::Measurements { pcr0, pcr1, pcr2 };
        let propose = EnclaveRegistry::proposeImageCall { measurements, kind };
        desk.call(OWNER, registry, &propose).await;
        let named = EnclaveRegistry::new(registry, desk.account(OWNER).provider());
        let named = events::all(named.ImageProposed_filter(), 0).await.unwrap();
        *image = named.last().unwrap().event.imageId;
    }
    let verifier = alloy_address(EthAddress::of_key(key(VERIFIER).verifying_key()));
    let expires = desk.now().await + 86_400;
    let propose = EnclaveRegistry::proposeVerifierCall {
        key: verifier,
        imageId: images[1],
        expiresAt: U40::from(expires),
    };
    desk.call(OWNER, registry, &propose).await;
    let enrol = EnclaveRegistry::enrolVerifierCall { key: verifier };
    desk.call(OWNER, registry, &enrol).await;

    let operator = eth(desk.account(OTHER).address());
    let shown = VerifiedEnclave {
        root_id: desk.deployment.settings.registry.root_id.0,
        image_id: images[0].0,
        receipt_key: EthAddress::of_key(key(WORKER).verifying_key()),
        operator,
        user_data: [5; 32],
        timestamp_ms: desk.now().await * 1000,
        expires_ms: expires * 1000,
    };
    let consent = OperatorConsent::sign(&key(WORKER), operator, &domain);
    let register = EnclaveRegistry::registerCall {
        enclave: Shown {
            rootId: B256::from(shown.root_id),
            imageId: images[0],
            receiptKey: alloy_address(shown.receipt_key),
            operator: alloy_address(operator),
            userData: B256::from(shown.user_data),
            timestampMs: shown.timestamp_ms,
            expiresMs: shown.expires_ms,
        },
        verifierSignature: shown.sign(&domain, &key(VERIFIER)).to_vec().into(),
        consent: consent.as_bytes().to_vec().into(),
    };
    desk.call(OTHER, registry, &register).await;
}

/// The jobs that were asked for, once there are so many.
async fn asked(desk: &Desk, count: usize) -> Vec<JobRelay::Requested> {
    let relay = JobRelay::new(desk.at(Name::JobRelay), desk.account(OWNER).provider());
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(20));
    loop {
        looks.tick().await;
        let asked = events::all(relay.Requested_filter(), 0).await.unwrap();
        if asked.len() >= count {
            return asked.into_iter().map(|found| found.event).collect();
        }
    }
}

/// Answers a job as the worker's enclave signs it.
async fn answer(desk: &Desk, asked: JobRelay::Requested, output: &[u8], payee: Address) {
    let relay = JobRelay::new(desk.at(Name::JobRelay), desk.account(OWNER).provider());
    let job = IJobRelay::Job {
        requester: asked.requester,
        nonce: asked.nonce,
        request: asked.request,
    };
    let result = IJobRelay::Result {
        status: 0,
        executedMs: desk.now().await * 1000,
        payee,
    };
    let hash = B256::from(*nacre_protocol::digest::Digest::of(output).as_bytes());
    let digest = relay.resultDigest(job.clone(), result.clone(), hash);
    let digest = digest.call().await.unwrap();
    let submit = JobRelay::submitCall {
        job,
        result,
        output: Bytes::copy_from_slice(output),
        signature: sign_digest(&key(WORKER), &digest.0).to_vec().into(),
    };
    desk.call(OTHER, *relay.address(), &submit).await;
}

#[tokio::test]
async fn a_request_waits_for_its_answer_and_prints_it() {
    let Some(desk) = Desk::start(|_| {}).await else {
        return;
    };
    register_worker(&desk).await;
    let (function, input) = (B256::repeat_byte(1), desk.file("input", b"words"));
    let ask = format!("request {function} --input {input} --wait");
    let payee = Address::repeat_byte(6);
    let answering = async {
        let first = asked(&desk, 1).await.remove(0);
        answer(&desk, first, b"\"seven\"", payee).await;
    };
    let (printed, ()) = tokio::join!(desk.typed(OWNER, &ask), answering);
    let answer = &printed.unwrap()["answer"];
    let said = format!("0x{}", alloy::hex::encode("\"seven\""));
    assert_eq!(
        (&answer["output"], &answer["status"]),
        (&json!(said), &json!(0))
    );
    assert_eq!(answer["payee"], format!("{payee:#x}"));

    // Nobody answers the next one: the wait is over with its deadline.
    let passing = async {
        asked(&desk, 2).await;
        desk.pass(601).await;
    };
    let (code, ()) = tokio::join!(desk.refused(OWNER, &ask), passing);
    assert_eq!(code, "not-answered");
}

#[tokio::test]
async fn a_fee_is_paid_in_a_token_that_is_taken() {
    let Some(desk) = Desk::start(|_| {}).await else {
        return;
    };
    let (function, token) = (B256::repeat_byte(1), desk.token);
    let relay = desk.at(Name::JobRelay);
    let erc20 = DevToken::new(token, desk.account(OTHER).provider());
    let ask = format!("request {function} --input-hash {function} --token");
    let other = format!("{ask} {}", desk.deployment.stake_token());
    assert_eq!(desk.refused(OTHER, &other).await, "token-not-taken");
    let ask = format!("{ask} {token}");
    assert_eq!(
        desk.refused(OTHER, &ask).await,
        "erc20-insufficient-balance"
    );

    // At the floor and a quarter where no fee is named, and as it is named otherwise.
    desk.mint(OTHER, 10_000).await;
    let printed = desk.typed(OTHER, &ask).await.unwrap();
    let fee = U256::from(TOKEN_FLOOR * 5 / 4);
    assert_eq!(printed["token"], format!("{token:#x}"));
    assert_eq!(erc20.balanceOf(relay).call().await.unwrap(), fee);
    desk.typed(OTHER, &format!("{ask} --fee 7")).await.unwrap();
    assert_eq!(
        erc20.balanceOf(relay).call().await.unwrap(),
        fee + U256::from(7)
    );

    // And given back in it.
    desk.pass(601).await;
    desk.typed(
        OWNER,
        &format!("cancel {}", printed["job"].as_str().unwrap()),
    )
    .await
    .unwrap();
    let status = format!("status --account {}", desk.account(OTHER).address());
    let held = desk.typed(OTHER, &status).await.unwrap();
    assert_eq!(held["owed_tokens"], json!({ format!("{token:#x}"): fee }));
    desk.typed(OTHER, &format!("claim --token {token}"))
        .await
        .unwrap();
    assert_eq!(erc20.balanceOf(relay).call().await.unwrap(), U256::from(7));
}
