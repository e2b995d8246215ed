//! A drain is one thing: the market lets the node leave, and its absence is excused.

use nacre_protocol::api::commands::NodeCommand;
use nacre_protocol::api::{Deployment, Version};
use nacre_protocol::control::FunctionState::Ready;
use nacre_protocol::uptime::{AnnounceDrain, AnnouncedDrain, Epoch};
use reqwest::Method;

use super::excuses::excused;
use super::site::{Site, made, row, schedule, until};
use crate::market::{command, commanded};
use crate::support::{TestNode, refused};

/// The first moment of an epoch.
fn begin(epoch: Epoch) -> u64 {
    schedule().slot_start(schedule().first_slot(epoch))
}

async fn drains(site: &Site, node: &TestNode) -> Vec<AnnouncedDrain> {
    let path = format!("/v1/nodes/{}/drains", node.id);
    site.server.get(&path).await
}

/// Until the market lets the node leave then, or lets it stay.
async fn leaves(site: &Site, node: &TestNode, at_ms: Option<u64>) {
    until("the market knows", async || {
        let shown = site.shown(node.id).await;
        (shown.leaves_ms == at_ms).then_some(())
    })
    .await;
}

/// A deployment that no node has.
async fn waits(site: &Site, version: &Version) -> Deployment {
    let deployment = site.server.deploy(version, 1).await;
    assert_eq!(deployment.leases, []);
    deployment
}

/// Until the only node has it.
async fn placed(site: &Site, deployment: &Deployment) {
    let leased = |now: &Deployment| now.leases.len() == 1;
    site.server.until(deployment.id, leased).await;
}

#[tokio::test]
async fn the_operators_command_takes_a_node_out_of_the_market_and_excuses_its_absence() {
    let mut site = Site::start(&[1]).await;
    let node = site.node(1).await;
    let begin = begin(site.epoch);
    let version = site.server.function("iris", "1MiB", "model").await;
    let away = NodeCommand::Drain {
        until_ms: begin + 1_000,
        back_ms: Some(begin + 4_000),
    };
    commanded(&site.server, &node, away).await;
    leaves(&site, &node, Some(begin + 1_000)).await;
    let waiting = waits(&site, &version).await;
    let said = drains(&site, &node).await;
    assert_eq!(said.len(), 1);
    assert_eq!(
        (said[0].from_ms, said[0].to_ms),
        (begin + 1_000, begin + 4_000)
    );
    assert_eq!((said[0].excused_slots, said[0].until_back), (3, false));
    // The same again is the same.
    commanded(&site.server, &node, away).await;
    assert_eq!(drains(&site, &node).await, said);

    site.say(site.epoch, &[Some(vec![row(node.id, "uddddddd")])])
        .await;
    let report = site.judged(site.epoch, node.id).await;
    assert_eq!(excused(&report), ".xxx....");
    // Its time is up: it takes replicas again.
    leaves(&site, &node, None).await;
    placed(&site, &waiting).await;
    site.server.audit().await;
}

#[tokio::test]
async fn an_absence_without_an_end_ends_when_the_node_is_back_and_spends_no_more() {
    let mut site = Site::start(&[1]).await;
    let mut node = site.node(1).await;
    let begin = begin(site.epoch);
    let away = NodeCommand::Drain {
        until_ms: begin + 1_000,
        back_ms: None,
    };
    commanded(&site.server, &node, away).await;
    let said = drains(&site, &node).await;
    // As much as the month's budget has.
    assert_eq!((said[0].excused_slots, said[0].until_back), (6, true));
    // That it stops, it says itself: late, which takes nothing away.
    site.at(begin + 500);
    let stops = NodeCommand::Drain {
        until_ms: begin + 900,
        back_ms: None,
    };
    commanded(&site.server, &node, stops).await;
    site.at(begin + 2_500);
    site.server.register(&mut node).await;
    leaves(&site, &node, None).await;
    assert_eq!(drains(&site, &node).await, []);

    let said = Some(vec![row(node.id, "udduuddd")]);
    site.say(site.epoch, &[said]).await;
    let report = site.judged(site.epoch, node.id).await;
    assert_eq!(excused(&report), ".xx.....");
}

#[tokio::test]
async fn a_node_that_stays_after_all_has_announced_nothing() {
    let mut site = Site::start(&[1]).await;
    let node = site.node(1).await;
    let begin = begin(site.epoch);
    for back_ms in [None, Some(begin + 4_000)] {
        let until_ms = begin + 1_000;
        let away = NodeCommand::Drain { until_ms, back_ms };
        commanded(&site.server, &node, away).await;
        commanded(&site.server, &node, NodeCommand::Keep).await;
        assert_eq!(drains(&site, &node).await, []);
        leaves(&site, &node, None).await;
    }
    site.say(site.epoch, &[Some(vec![row(node.id, "uddddddd")])])
        .await;
    let report = site.judged(site.epoch, node.id).await;
    assert_eq!(excused(&report), "........");
}

#[tokio::test]
async fn a_drain_announced_for_later_takes_the_node_out_of_the_market_when_it_is_near() {
    let mut site = Site::start(&[1]).await;
    let node = site.node(1).await;
    let version = site.server.function("iris", "1MiB", "model").await;
    let from_ms = site.server.now_ms() + 1_800_000;
    let to_ms = from_ms + 2_000;
    let path = format!("/v1/nodes/{}/drains", node.id);
    let announce = site.server.anonymous(Method::POST, &path);
    let announce = announce.bearer_auth(&node.token);
    let said: AnnouncedDrain = made(announce.json(&AnnounceDrain { from_ms, to_ms })).await;
    assert_eq!(said.excused_slots, 2);
    // Until then it is a node like others.
    leaves(&site, &node, None).await;
    let early = site.server.deploy(&version, 1).await;
    placed(&site, &early).await;
    site.server.report(&node, Ready).await;

    site.at(from_ms - 600_000);
    leaves(&site, &node, Some(from_ms)).await;
    let other = site.server.function("other", "1MiB", "other").await;
    let waiting = waits(&site, &other).await;
    site.at(to_ms);
    leaves(&site, &node, None).await;
    placed(&site, &waiting).await;
    site.server.audit().await;
}

#[tokio::test]
async fn drains_that_make_no_sense_change_neither_the_market_nor_the_account() {
    let mut site = Site::start(&[1]).await;
    let node = site.node(1).await;
    let now = site.server.now_ms();
    let week = 7 * 24 * 3_600_000;
    for (until_ms, back_ms) in [
        (now + 1_000, now + 1_000),
        (now + 1_000, now),
        (now + 1_000, now + 1_001 + week),
        (now + 1_000, u64::MAX),
    ] {
        let back_ms = Some(back_ms);
        let away = NodeCommand::Drain { until_ms, back_ms };
        let request = command(&site.server, &node, away).await;
        refused(request, 422, "drain-out-of-range").await;
    }
    // So many, and not one more.
    for n in 1..=32 {
        let away = NodeCommand::Drain {
            until_ms: now + 1_000 * n,
            back_ms: None,
        };
        commanded(&site.server, &node, away).await;
    }
    let one_more = NodeCommand::Drain {
        until_ms: now + 60_000,
        back_ms: None,
    };
    let request = command(&site.server, &node, one_more).await;
    refused(request, 409, "too-many-drains").await;
    assert_eq!(site.shown(node.id).await.leaves_ms, Some(now + 32_000));
    commanded(&site.server, &node, NodeCommand::Keep).await;
    assert_eq!(drains(&site, &node).await, []);
    assert_eq!(site.shown(node.id).await.leaves_ms, None);
}
