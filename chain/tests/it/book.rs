//! What an operator says of its nodes, and what the book does not take.

use alloy::primitives::{Address, FixedBytes, U256};
use nacre_chain::contracts::NodeBook;
use nacre_chain::deployment::Name;
use nacre_chain::settings::Settings;
use nacre_protocol::ids::NodeId;

use crate::desk::{Desk, OTHER, OWNER};

const NOTICE: u64 = 100;

fn tune(settings: &mut Settings) {
    (settings.uptime.slot_ms, settings.uptime.guard_ms) = (1_000, 1_000);
    let nodes = &mut settings.nodes;
    (nodes.min_node_stake, nodes.notice_slots) = (1_000, 100);
    (nodes.budget_slots, nodes.month_slots) = (20, 1_000_000);
}

#[tokio::test]
async fn a_node_is_answered_for_drained_and_retired() {
    let Some(desk) = Desk::start(tune).await else {
        return;
    };
    let node = NodeId::from_random([7; 16]);
    let word = FixedBytes::from(*node.as_bytes());
    let operator = desk.account(OTHER).address();
    let book = NodeBook::new(desk.at(Name::NodeBook), desk.account(OWNER).provider());
    let say = |what: &str, more: &str| format!("nodes {what} --node {node}{more}");

    let register = say("register", " --stake 1000");
    assert_eq!(desk.refused(OTHER, &register).await, "not-covered");
    desk.typed(OTHER, "stake 3000 --mint").await.unwrap();
    let little = say("register", " --stake 999");
    assert_eq!(desk.refused(OTHER, &little).await, "too-little-behind");
    assert_eq!(
        desk.refused(OTHER, &say("raise", " --stake 1")).await,
        "node-unknown"
    );
    let said = desk.typed(OTHER, &register).await.unwrap();
    assert_eq!(said["node"], node.to_string());
    assert_eq!(desk.refused(OTHER, &register).await, "node-known");
    assert_eq!(
        desk.refused(OTHER, &say("raise", " --stake 2001")).await,
        "not-covered"
    );
    desk.typed(OTHER, &say("raise", " --stake 500"))
        .await
        .unwrap();
    let known = book.nodeOf(operator, word).call().await.unwrap();
    assert_eq!(known.behind, U256::from(1500));

    let stranger = say(
        "bind",
        &format!(" --receipt-key {}", Address::repeat_byte(9)),
    );
    assert_eq!(desk.refused(OTHER, &stranger).await, "key-unknown");

    let from = desk.now().await + NOTICE + 60;
    let drain =
        |from: u64, slots: u64| say("drain", &format!(" --from {from} --to {}", from + slots));
    assert_eq!(
        desk.refused(OTHER, &drain(from - NOTICE, 5)).await,
        "drain-times"
    );
    assert_eq!(desk.refused(OTHER, &drain(from, 0)).await, "drain-times");
    assert_eq!(desk.refused(OTHER, &drain(from, 21)).await, "drain-budget");
    desk.typed(OTHER, &drain(from, 20)).await.unwrap();
    for (slot, excused) in [
        (from - 1, false),
        (from, true),
        (from + 19, true),
        (from + 20, false),
    ] {
        let is = book.isExcused(operator, word, slot).call().await.unwrap();
        assert_eq!(is, excused, "{slot}");
    }

    // Another account has no such node.
    assert_eq!(
        desk.refused(OWNER, &say("retire", "")).await,
        "node-unknown"
    );
    desk.typed(OTHER, &say("retire", "")).await.unwrap();
    assert_eq!(
        desk.refused(OTHER, &say("retire", "")).await,
        "node-unknown"
    );
    assert!(book.nodeOf(operator, word).call().await.unwrap().retiresAt > 0);
}
