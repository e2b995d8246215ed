use nacre_emulator::testing::Wanted;
use nacre_protocol::evidence::{Evidence, channel_leaf};
use nacre_protocol::merkle::Tree;
use nacre_protocol::uptime::{Epoch, Slot, Verdict};
use nacre_uptime::{EvidenceRecord, Proof, WatcherKey};
use reqwest::{Method, RequestBuilder};

use super::site::{Site, row, schedule, taken};
use crate::support::{TestNode, refused};

/// What a watcher keeps when the node's enclave answered its nonce in a slot.
fn record(site: &mut Site, watcher: usize, node: &TestNode, slot: Slot) -> EvidenceRecord {
    let key: &WatcherKey = &site.watchers[watcher];
    let nonce = key
        .epoch_secret(schedule().epoch_of(slot))
        .nonce(&node.id, slot, 0);
    let exporter = [5; 32];
    let root = Tree::new(vec![channel_leaf(&nonce, &exporter)])
        .unwrap()
        .root();
    let wanted = Wanted {
        user_data: Some(&node.statement.user_data()),
        nonce: Some(&root),
        public_key: Some(&node.statement.receipt_key),
    };
    let at_ms = schedule().slot_start(slot) + 300;
    let evidence = Evidence {
        document: site.server.nsm.attest(wanted, at_ms),
        statement: node.statement.encode(),
        leaf_index: 0,
        tree_size: 1,
        path: vec![],
    };
    EvidenceRecord {
        version: 1,
        watcher: site.watchers[watcher].id(),
        node: node.id,
        slot,
        slot_ms: schedule().slot_ms(),
        attempt: 0,
        proof: Proof::Health { evidence, exporter },
    }
}

fn dispute(site: &Site, record: &EvidenceRecord) -> RequestBuilder {
    let request = site.server.request(Method::POST, "/v1/uptime/disputes");
    request.json(record)
}

#[tokio::test]
async fn a_watchers_own_evidence_overturns_its_own_word_and_no_other_until_the_window_is_settled() {
    let mut site = Site::start(&[1, 1, 1]).await;
    let (node, other) = (site.node(1).await, site.node(2).await);
    let epoch = site.epoch;
    let slot = Slot(schedule().first_slot(epoch).0 + 3);
    let rows = |of_node: &str| Some(vec![row(node.id, of_node), row(other.id, "uuuuuuuu")]);
    // The first two say down, though the first was answered.
    let own = record(&mut site, 0, &node, slot);
    site.say(
        epoch,
        &[rows("uuudduuu"), rows("uuudduuu"), rows("uuuuuuuu")],
    )
    .await;
    let report = site.judged(epoch, node.id).await;
    assert_eq!(report.slots[3].verdict, Verdict::Down);

    // Another's nonce, another node's enclave, another slot, a word that was not said.
    let mut copied = own.clone();
    copied.watcher = site.watchers[1].id();
    refused(dispute(&site, &copied), 422, "evidence-nonce-differs").await;
    let mut moved = own.clone();
    moved.slot = Slot(slot.0 + 1);
    refused(dispute(&site, &moved), 422, "evidence-nonce-differs").await;
    let stranger = TestNode {
        id: node.id,
        ..TestNode::new(2, 1, 1)
    };
    let foreign = record(&mut site, 0, &stranger, slot);
    refused(dispute(&site, &foreign), 422, "dispute-other-enclave").await;
    let unsaid = record(&mut site, 2, &node, slot);
    refused(dispute(&site, &unsaid), 409, "nothing-to-overturn").await;
    let ahead = record(&mut site, 0, &node, Slot(slot.0 + 8));
    refused(dispute(&site, &ahead), 409, "dispute-closed").await;
    let stranger = site.server.anonymous(Method::POST, "/v1/uptime/disputes");
    refused(stranger.json(&own), 401, "unauthenticated").await;

    taken(dispute(&site, &own)).await;
    taken(dispute(&site, &own)).await;
    let report = site.judged(epoch, node.id).await;
    assert_eq!(report.slots[3].verdict, Verdict::Up);
    assert_eq!(
        report.slots[4].verdict,
        Verdict::Down,
        "the other slot stands"
    );
    let overturned: Vec<_> = report.slots[3]
        .saw
        .iter()
        .filter(|saw| saw.overturned)
        .collect();
    assert_eq!(overturned.len(), 1);
    assert_eq!(overturned[0].watcher.watcher, site.watchers[0].id());

    site.say(
        Epoch(epoch.0 + 1),
        &[rows("uuuuuuuu"), rows("uuuuuuuu"), rows("uuuuuuuu")],
    )
    .await;
    let slashes = site.slashes(epoch).await;
    assert_eq!(slashes.len(), 1);
    assert_eq!(slashes[0].missing, 1, "the one that was not overturned");
    let late = record(&mut site, 1, &node, slot);
    refused(dispute(&site, &late), 409, "dispute-closed").await;
}
