//! Whoever does not do what its stake stands for loses some of it, once.

use alloy::primitives::{Address, B256, U256, keccak256};
use nacre_chain::contracts::{DevToken, JobRelay, UptimeOracle};
use nacre_chain::deployment::Name;
use nacre_chain::settings::Settings;
use serde_json::{Value, json};

use crate::desk::{Desk, OTHER, OWNER};

const TERM: u64 = 600;
const REVEAL: u64 = 10;
const EXCLUSIVE: u64 = 20;
const SLOT: u64 = 1;
const EPOCH_SLOTS: u64 = 4;

fn tune(settings: &mut Settings) {
    let relay = &mut settings.relay;
    (relay.min_stake, relay.late_penalty, relay.withhold_penalty) = (1_000, 50, 100);
    (
        relay.term_seconds,
        relay.reveal_seconds,
        relay.exclusive_seconds,
    ) = (TERM, REVEAL, EXCLUSIVE);
    let uptime = &mut settings.uptime;
    (uptime.slot_ms, uptime.epoch_slots, uptime.window_slots) = (1_000, 4, 8);
    (uptime.commit_slots, uptime.reveal_slots, uptime.guard_ms) = (10, 10, 1_000);
    (uptime.min_watcher_stake, uptime.quorum_stake) = (1_000, 1_000);
    (uptime.silence_ppm, uptime.double_ppm) = (10_000, 100_000);
}

fn loss(printed: &Value) -> (Address, U256) {
    let loss = &printed["slashed"][0];
    let amount = loss["amount"].as_str().unwrap().parse().unwrap();
    (loss["account"].as_str().unwrap().parse().unwrap(), amount)
}

/// The operator takes a seat with a chain of one link.
async fn seat(desk: &Desk, link: B256) {
    let relay = desk.at(Name::JobRelay);
    let enlist = JobRelay::enlistCall {
        tip: keccak256(link),
        displaced: Address::ZERO,
    };
    desk.call(OTHER, relay, &enlist).await;
    desk.call(OTHER, relay, &JobRelay::startTermCall {}).await;
}

#[tokio::test]
async fn a_link_kept_back_and_a_job_left_lying_cost_their_operator() {
    let Some(desk) = Desk::start(tune).await else {
        return;
    };
    let operator = desk.account(OTHER).address();
    let relay = desk.at(Name::JobRelay);
    desk.typed(OTHER, "stake 2000 --mint").await.unwrap();
    seat(&desk, B256::repeat_byte(7)).await;
    let function = B256::repeat_byte(1);
    let serve = JobRelay::serveCall {
        digest: function,
        served: true,
    };
    desk.call(OWNER, relay, &serve).await;
    let input = desk.file("input", b"words");
    let ask = format!("request {function} --input {input}");

    let asked = desk.typed(OWNER, &ask).await.unwrap();
    assert_eq!(
        (&asked["drawn"], &asked["assured"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        desk.refused(OWNER, "slash --withheld 1").await,
        "nothing-withheld"
    );
    desk.pass(REVEAL + 1).await;
    let slashed = desk.typed(OWNER, "slash --withheld 1").await.unwrap();
    assert_eq!(loss(&slashed), (operator, U256::from(100)));
    assert_eq!(
        desk.refused(OWNER, "slash --withheld 1").await,
        "nothing-withheld"
    );

    // Two terms later its stake stands for the function's jobs.
    desk.pass(2 * TERM + 1).await;
    let link = B256::repeat_byte(8);
    seat(&desk, link).await;
    let asked = desk.typed(OWNER, &ask).await.unwrap();
    assert_eq!(
        (&asked["drawn"], &asked["assured"]),
        (&json!(true), &json!(true))
    );
    let slash = format!("slash {}", asked["job"].as_str().unwrap());
    desk.pass(1).await;
    let reveal = JobRelay::revealCall {
        term: 2,
        seat: 0,
        upTo: "2".parse().unwrap(),
        link,
    };
    desk.call(OTHER, relay, &reveal).await;
    assert_eq!(desk.refused(OWNER, &slash).await, "not-late");
    desk.pass(EXCLUSIVE + 1).await;
    let slashed = desk.typed(OWNER, &slash).await.unwrap();
    assert_eq!(loss(&slashed), (operator, U256::from(50)));
    assert_eq!(desk.refused(OWNER, &slash).await, "not-late");
}

#[tokio::test]
async fn a_watcher_that_does_not_reveal_what_it_committed_to_loses_stake() {
    let Some(desk) = Desk::start(tune).await else {
        return;
    };
    let (oracle, watcher) = (desk.at(Name::UptimeOracle), desk.account(OTHER).address());
    desk.typed(OTHER, "stake 5000 --mint").await.unwrap();
    let enroll = UptimeOracle::enrollCall {
        watcherId: B256::repeat_byte(1),
    };
    desk.call(OTHER, oracle, &enroll).await;
    desk.pass(2 * EPOCH_SLOTS * SLOT).await;
    let epoch = desk.now().await / (EPOCH_SLOTS * SLOT);
    desk.pass(EPOCH_SLOTS * SLOT + 1).await;
    let commit = UptimeOracle::commitCall {
        epoch,
        seal: B256::repeat_byte(2),
    };
    desk.call(OTHER, oracle, &commit).await;

    let slash = format!("slash --silent {watcher} --epoch {epoch}");
    assert_eq!(desk.refused(OWNER, &slash).await, "not-chargeable");
    desk.pass(30).await;
    let before = format!("slash --silent {watcher} --epoch {}", epoch - 1);
    assert_eq!(desk.refused(OWNER, &before).await, "not-chargeable");
    let slashed = desk.typed(OWNER, &slash).await.unwrap();
    assert_eq!(loss(&slashed), (watcher, U256::from(50)));

    // The reporter is the treasury too: all of it is its own, once.
    let status = format!("status --account {}", desk.account(OWNER).address());
    let held = desk.typed(OWNER, &status).await.unwrap();
    assert_eq!(held["credited"], "0x32");
    let code = desk.refused(OTHER, "claim --slashes").await;
    assert_eq!(code, "zero-amount");
    desk.typed(OWNER, "claim --slashes").await.unwrap();
    let token = desk.deployment.stake_token();
    let token = DevToken::new(token, desk.account(OWNER).provider());
    let got = token.balanceOf(desk.account(OWNER).address()).call().await;
    assert_eq!(got.unwrap(), U256::from(50));
}
