//! Subscriptions from their first deposit to their last refund.

use alloy::primitives::{B256, U256};
use nacre_chain::contracts::DevToken;
use nacre_chain::deployment::Name;
use serde_json::Value;

use crate::desk::{Desk, OTHER, OWNER};

const PERIOD: u64 = 100;
const WITHIN: u64 = 60;

fn open(more: &str) -> String {
    let (function, input) = (B256::repeat_byte(1), B256::repeat_byte(2));
    format!("subscribe open {function} --input-hash {input} --answer-within {WITHIN} {more}")
}

fn fields(of: &Value) -> (&str, u64, u64, u64) {
    let number = |name: &str| of[name].as_u64().unwrap();
    let state = of["state"].as_str().unwrap();
    (state, number("balance"), number("runs"), number("refunded"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test]
async fn a_subscription_runs_pauses_is_refunded_and_ends() {
    let Some(desk) = Desk::start(|_| {}).await else {
        return;
    };
    let status = async || desk.typed(OTHER, "subscribe status 1").await.unwrap();
    assert_eq!(
        desk.refused(OTHER, "subscribe status 1").await,
        "no-such-subscription"
    );
    for unsound in [
        "--period 0 --fee 2000 --reward 10",
        "--period 100 --fee 0 --reward 10",
    ] {
        assert_eq!(desk.refused(OWNER, &open(unsound)).await, "plan-unsound");
    }
    let too_much = open(&format!("--period 100 --fee {} --reward 10", 1_u128 << 96));
    assert_eq!(desk.refused(OWNER, &too_much).await, "input");

    let plan = open(&format!(
        "--period {PERIOD} --fee 2000 --reward 10 --deposit 5000"
    ));
    let opened = desk.typed(OWNER, &plan).await.unwrap();
    assert_eq!(opened["subscription"], 1);
    assert_eq!(fields(&status().await), ("active", 5000, 0, 0));

    // Once a slot, by anybody.
    let first = desk.typed(OTHER, "subscribe run 1").await.unwrap();
    assert_eq!(first["slot"], 0);
    assert_eq!(desk.refused(OWNER, "subscribe run 1").await, "not-due");
    assert_eq!(fields(&status().await), ("active", 2990, 1, 0));
    let due = opened["start"].as_u64().unwrap() + PERIOD;
    assert_eq!(status().await["due"], due);

    // Only the owner stops it, and goes on.
    assert_eq!(desk.refused(OTHER, "subscribe pause 1").await, "not-owner");
    desk.typed(OWNER, "subscribe pause 1").await.unwrap();
    desk.pass(PERIOD).await;
    assert_eq!(desk.refused(OTHER, "subscribe run 1").await, "is-paused");
    assert_eq!(fields(&status().await), ("paused", 2990, 1, 0));
    desk.typed(OWNER, "subscribe resume 1").await.unwrap();
    let second = desk.typed(OTHER, "subscribe run 1").await.unwrap();
    assert_eq!(second["slot"], 1);
    desk.pass(PERIOD).await;
    assert_eq!(
        desk.refused(OTHER, "subscribe run 1").await,
        "too-little-left"
    );
    assert_eq!(
        desk.refused(OTHER, "subscribe top-up 1 0").await,
        "zero-amount"
    );
    desk.typed(OTHER, "subscribe top-up 1 20").await.unwrap();
    assert_eq!(fields(&status().await), ("active", 1000, 2, 0));

    // Nobody answered the first run: its fee comes back, once, when its job is cancelled.
    let refund = format!("subscribe refund {}", text(&first["job"]));
    assert_eq!(desk.refused(OTHER, &refund).await, "not-cancelled");
    desk.typed(OTHER, &format!("cancel {}", text(&first["job"])))
        .await
        .unwrap();
    desk.typed(OTHER, &refund).await.unwrap();
    assert_eq!(desk.refused(OTHER, &refund).await, "nothing-to-refund");
    assert_eq!(fields(&status().await), ("active", 3000, 2, 1));

    assert_eq!(
        desk.refused(OWNER, "subscribe withdraw 1 3001").await,
        "too-little-left"
    );
    desk.typed(OWNER, "subscribe withdraw 1 1000")
        .await
        .unwrap();
    assert_eq!(
        desk.refused(OTHER, "subscribe terminate 1").await,
        "not-owner"
    );
    desk.typed(OWNER, "subscribe terminate 1").await.unwrap();
    assert_eq!(fields(&status().await), ("terminated", 0, 2, 1));
    for over in ["run 1", "top-up 1 5", "pause 1", "terminate 1"] {
        let code = desk.refused(OWNER, &format!("subscribe {over}")).await;
        assert_eq!(code, "not-active", "{over}");
    }

    // Everybody takes what is his, once; nothing but the fee of the second run is left anywhere.
    let subscriptions = desk.at(Name::JobSubscriptions);
    let provider = desk.account(OWNER).provider();
    let held = async |at| {
        alloy::providers::Provider::get_balance(provider, at)
            .await
            .unwrap()
    };
    assert_eq!(held(subscriptions).await, U256::from(3020));
    desk.typed(OWNER, "subscribe claim").await.unwrap();
    assert_eq!(held(subscriptions).await, U256::from(20));
    desk.typed(OTHER, "subscribe claim").await.unwrap();
    assert_eq!(desk.refused(OTHER, "subscribe claim").await, "nothing-owed");
    assert_eq!(held(subscriptions).await, U256::ZERO);
    assert_eq!(held(desk.at(Name::JobRelay)).await, U256::from(2000));
}

#[tokio::test]
async fn a_subscription_is_paid_in_a_token() {
    let Some(desk) = Desk::start(|_| {}).await else {
        return;
    };
    let token = desk.token;
    let plan = open(&format!(
        "--period 100 --fee 2000 --reward 10 --deposit 2010 --token {token}"
    ));
    assert_eq!(
        desk.refused(OTHER, &plan).await,
        "erc20-insufficient-balance"
    );
    desk.mint(OTHER, 3_000).await;
    desk.typed(OTHER, &plan).await.unwrap();
    desk.typed(OTHER, "subscribe top-up 1 990").await.unwrap();
    let standing = desk.typed(OTHER, "subscribe status 1").await.unwrap();
    assert_eq!(fields(&standing), ("active", 3000, 0, 0));
    assert_eq!(text(&standing["token"]), format!("{token:#x}"));
    desk.typed(OWNER, "subscribe run 1").await.unwrap();
    let erc20 = DevToken::new(token, desk.account(OWNER).provider());
    let held = async |at| erc20.balanceOf(at).call().await.unwrap();
    assert_eq!(held(desk.at(Name::JobRelay)).await, U256::from(2000));
    assert_eq!(
        held(desk.at(Name::JobSubscriptions)).await,
        U256::from(1000)
    );
    desk.typed(OWNER, &format!("subscribe claim --token {token}"))
        .await
        .unwrap();
    assert_eq!(held(desk.account(OWNER).address()).await, U256::from(10));
}
