//! Images and first verifiers, by those who may and those who may not.

use serde_json::json;

use crate::desk::{Desk, OTHER, OWNER, REVOKER};

const DELAY: u64 = 3_600;

fn pcrs(first: u8) -> String {
    let pcr = |byte: u8| alloy::hex::encode([byte; 48]);
    let [pcr0, pcr1, pcr2] = [first, first + 1, first + 2].map(pcr);
    format!("--pcr0 {pcr0} --pcr1 {pcr1} --pcr2 {pcr2}")
}

#[tokio::test]
async fn images_wait_count_and_are_taken_back_each_by_its_own_role() {
    let delay = |settings: &mut nacre_chain::settings::Settings| {
        settings.registry.approval_delay_seconds = DELAY;
    };
    let Some(desk) = Desk::start(delay).await else {
        return;
    };
    assert_eq!(desk.typed(OTHER, "images list").await.unwrap(), json!([]));

    let propose = format!("images propose --for workers {}", pcrs(1));
    assert_eq!(desk.refused(REVOKER, &propose).await, "not-approver");
    let proposed = desk.typed(OWNER, &propose).await.unwrap();
    let image = proposed["image"].as_str().unwrap().to_owned();
    assert!(proposed["valid_from"].as_u64().unwrap() >= desk.now().await + DELAY);
    assert_eq!(desk.refused(OWNER, &propose).await, "image-known");
    let debug = format!("images propose --for workers {}", pcrs(1))
        .replace(&"01".repeat(48), &"00".repeat(48));
    assert_eq!(desk.refused(OWNER, &debug).await, "zero-measurement");

    let listed = desk.typed(OTHER, "images list").await.unwrap();
    assert_eq!(listed[0]["image"], image.as_str());
    assert_eq!(
        (&listed[0]["for"], &listed[0]["state"]),
        (&json!("workers"), &json!("waits"))
    );
    assert_eq!(listed[0]["pcr2"], alloy::hex::encode([3; 48]));
    desk.pass(DELAY + 1).await;
    let listed = desk.typed(OTHER, "images list").await.unwrap();
    assert_eq!(listed[0]["state"], "counts");

    let revoke = format!("images revoke {image}");
    assert_eq!(desk.refused(OWNER, &revoke).await, "not-revoker");
    let unknown = format!("images revoke 0x{}", "7".repeat(64));
    assert_eq!(desk.refused(REVOKER, &unknown).await, "image-unknown");
    desk.typed(REVOKER, &revoke).await.unwrap();
    let listed = desk.typed(OTHER, "images list").await.unwrap();
    assert_eq!(listed[0]["state"], "revoked");
    assert_eq!(
        desk.refused(OWNER, &propose).await,
        "image-known",
        "it came back"
    );
}

#[tokio::test]
async fn an_image_is_named_by_a_policy_of_one_set() {
    let Some(desk) = Desk::start(|_| {}).await else {
        return;
    };
    let set = |byte: u8| {
        let pcr = alloy::hex::encode([byte; 48]);
        json!({ "pcr0": pcr, "pcr1": pcr, "pcr2": pcr })
    };
    let policy = |sets| json!({ "measurements": sets }).to_string().into_bytes();
    let one = desk.file("one.json", &policy(vec![set(1)]));
    let two = desk.file("two.json", &policy(vec![set(1), set(2)]));
    let named = format!("images propose --for workers --policy {two}");
    assert_eq!(desk.refused(OWNER, &named).await, "input");
    let missing = "images propose --for workers --policy /nowhere";
    assert_eq!(desk.refused(OWNER, missing).await, "input");
    let named = format!("images propose --for workers --policy {one}");
    desk.typed(OWNER, &named).await.unwrap();
    let listed = desk.typed(OTHER, "images list").await.unwrap();
    assert_eq!(listed[0]["pcr0"], alloy::hex::encode([1; 48]));
}

#[tokio::test]
async fn a_verifier_is_named_and_counts_after_the_delay() {
    let delay = |settings: &mut nacre_chain::settings::Settings| {
        settings.registry.approval_delay_seconds = DELAY;
    };
    let Some(desk) = Desk::start(delay).await else {
        return;
    };
    let name = |kind: &str, first| format!("images propose --for {kind} {}", pcrs(first));
    let workers = desk.typed(OWNER, &name("workers", 1)).await.unwrap();
    let verifiers = desk.typed(OWNER, &name("verifiers", 4)).await.unwrap();
    let image = |of: &serde_json::Value| of["image"].as_str().unwrap().to_owned();
    desk.pass(DELAY + 1).await;

    let key = alloy::primitives::Address::repeat_byte(9);
    let until = desk.now().await + 86_400;
    let propose = |image: &str| format!("verifiers propose {key} --image {image} --until {until}");
    let of_workers = propose(&image(&workers));
    assert_eq!(desk.refused(OWNER, &of_workers).await, "no-image-kind");
    let propose = propose(&image(&verifiers));
    assert_eq!(desk.refused(REVOKER, &propose).await, "not-approver");
    let enrol = format!("verifiers enrol {key}");
    assert_eq!(desk.refused(OTHER, &enrol).await, "not-proposed");
    desk.typed(OWNER, &propose).await.unwrap();

    let state = async || {
        let listed = desk.typed(OTHER, "verifiers list").await.unwrap();
        listed[0]["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state().await, "waits");
    assert_eq!(desk.refused(OTHER, &enrol).await, "not-proposed");
    desk.pass(DELAY + 1).await;
    assert_eq!(state().await, "to-enrol");
    desk.typed(OTHER, &enrol).await.unwrap();
    assert_eq!(state().await, "counts");
    let revoke = format!("images revoke {}", image(&verifiers));
    desk.typed(REVOKER, &revoke).await.unwrap();
    assert_eq!(state().await, "over");
}
