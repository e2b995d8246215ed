//! Usage receipts: booked once each, as they were signed, and not otherwise.

use nacre_control_plane::treasury::accounts;
use nacre_ledger::Amount;
use nacre_protocol::api::Page;
use nacre_protocol::api::ledger::LedgerEntry;
use nacre_protocol::ids::LeaseId;
use reqwest::Method;

use crate::site::{Signer, Site};
use crate::support::{TestNode, refused};

const RECEIPTS: &str = "SELECT COUNT(*) FROM usage_receipts";
const ENTRIES: &str = "SELECT COUNT(*) FROM ledger_entries";

async fn has(site: &Site, account: &str) -> i64 {
    let all = accounts(&site.server.database).await.unwrap();
    let found = all.iter().find(|(name, _)| name == account);
    found.map_or(Amount::ZERO, |(_, amount)| *amount).micros()
}

async fn incidents(site: &Site, code: &str) -> i64 {
    let sql = match code {
        "usage-gap" => "SELECT COUNT(*) FROM incidents WHERE code = 'usage-gap'",
        "usage-jump" => "SELECT COUNT(*) FROM incidents WHERE code = 'usage-jump'",
        "usage-repeat" => "SELECT COUNT(*) FROM incidents WHERE code = 'usage-repeat'",
        "usage-signature-invalid" => {
            "SELECT COUNT(*) FROM incidents WHERE code = 'usage-signature-invalid'"
        }
        "usage-boot-foreign" => "SELECT COUNT(*) FROM incidents WHERE code = 'usage-boot-foreign'",
        "usage-lease-foreign" => {
            "SELECT COUNT(*) FROM incidents WHERE code = 'usage-lease-foreign'"
        }
        "usage-lease-unknown" => {
            "SELECT COUNT(*) FROM incidents WHERE code = 'usage-lease-unknown'"
        }
        other => panic!("{other}"),
    };
    site.count(sql).await
}

#[tokio::test]
async fn a_receipt_is_booked_once_however_often_it_comes() {
    let (mut site, nodes) = Site::start(1).await;
    let node = &nodes[0];
    let lease = site.lease(node).await;
    let first = node.used(1, lease, 300_000);
    let second = node.used(2, lease, 200_001);
    site.bring(node, &[first]).await;
    site.bring(node, &[first, second]).await;
    site.bring(node, &[second, first]).await;
    // A control plane that comes back knows them too.
    site.server.stop().await;
    site.server.resume().await;
    site.bring(node, &[first, second]).await;

    let balance = site.balance().await;
    assert_eq!((balance.balance, balance.owed), (0, 500_001));
    // A tenth is the platform's, rounded down for each receipt.
    assert_eq!(has(&site, &node.account()).await, 270_000 + 180_001);
    assert_eq!(has(&site, "platform").await, 30_000 + 20_000);
    assert_eq!(
        (site.count(RECEIPTS).await, site.count(ENTRIES).await),
        (2, 2)
    );

    let page: Page<LedgerEntry> = site.server.get("/v1/ledger/entries?limit=1").await;
    assert_eq!(page.items[0].cause, format!("usage:{}:1", node.node.boot()));
    let next = format!("/v1/ledger/entries?after={}", page.next.unwrap());
    let page: Page<LedgerEntry> = site.server.get(&next).await;
    assert_eq!((page.items.len(), page.next), (1, None));
    assert_eq!(
        page.items[0].postings.iter().map(|p| p.amount).sum::<i64>(),
        0
    );
    site.check().await;
}

#[tokio::test]
async fn what_was_passed_over_is_noted_and_booked_when_it_comes() {
    let (site, nodes) = Site::start(1).await;
    let node = &nodes[0];
    let lease = site.lease(node).await;
    site.bring(node, &[node.used(1, lease, 10), node.used(4, lease, 10)])
        .await;
    assert_eq!(incidents(&site, "usage-gap").await, 1);
    assert_eq!(site.balance().await.owed, 20);
    let report = site.audit().await;
    assert_eq!(
        (report.findings.len(), report.notes.len()),
        (0, 1),
        "{report:?}"
    );
    site.bring(node, &[node.used(2, lease, 10), node.used(3, lease, 10)])
        .await;
    assert_eq!(site.balance().await.owed, 40);
    assert_eq!(site.audit().await.notes.len(), 0);
    site.check().await;
}

#[tokio::test]
async fn a_number_from_nowhere_is_refused_and_what_came_before_it_stays() {
    let (site, nodes) = Site::start(1).await;
    let node = &nodes[0];
    let lease = site.lease(node).await;
    let far = [node.used(1, lease, 10), node.used(100_000, lease, 10)];
    for _ in 0..3 {
        refused(site.report(node, &far), 409, "usage-jump").await;
    }
    assert_eq!(
        incidents(&site, "usage-jump").await,
        1,
        "the same is noted once"
    );
    assert_eq!(site.balance().await.owed, 10);
    site.check().await;
}

#[tokio::test]
async fn a_number_with_two_contents_is_an_incident_and_its_first_stays() {
    let (site, nodes) = Site::start(1).await;
    let node = &nodes[0];
    let lease = site.lease(node).await;
    site.bring(node, &[node.used(1, lease, 10)]).await;
    site.bring(node, &[node.used(1, lease, 99)]).await;
    assert_eq!(incidents(&site, "usage-repeat").await, 1);
    assert_eq!(site.balance().await.owed, 10);
    site.check().await;
}

#[tokio::test]
async fn a_report_that_proves_nothing_is_refused_whole() {
    let (site, nodes) = Site::start(2).await;
    let (node, other) = (&nodes[0], &nodes[1]);
    let lease = site.lease(node).await;
    let mut forged = node.used(2, lease, 10);
    forged.receipt.compute_micros += 1;
    let request = site.report(node, &[node.used(1, lease, 10), forged]);
    refused(request, 422, "usage-signature-invalid").await;
    let request = site.report(node, &[node.used(1, lease, 10), other.used(1, lease, 10)]);
    refused(request, 403, "usage-boot-foreign").await;
    let many: Vec<_> = (1..=257).map(|seq| node.used(seq, lease, 1)).collect();
    refused(site.report(node, &many), 422, "usage-too-long").await;
    let mut huge = node.used(1, lease, 10).receipt;
    huge.bytes_in = u64::MAX;
    let request = site.report(node, &[node.sign(huge)]);
    refused(request, 422, "usage-out-of-range").await;
    assert_eq!(site.count(RECEIPTS).await, 0);
    assert_eq!(incidents(&site, "usage-signature-invalid").await, 1);
    assert_eq!(incidents(&site, "usage-boot-foreign").await, 1);
    // The right ones are taken after all.
    site.bring(node, &[node.used(1, lease, 10), node.used(2, lease, 10)])
        .await;
    assert_eq!(site.balance().await.owed, 20);
    site.check().await;
}

#[tokio::test]
async fn nobody_pays_for_a_lease_that_is_not_the_nodes() {
    let (site, nodes) = Site::start(2).await;
    let (node, other) = (&nodes[0], &nodes[1]);
    let theirs = site.lease(other).await;
    let invented = Some(LeaseId::from_random([77; 16]));
    let receipts = [
        node.used(1, theirs, 10),
        node.used(2, invented, 10),
        node.used(3, None, 10),
    ];
    site.bring(node, &receipts).await;
    assert_eq!(
        (site.count(RECEIPTS).await, site.count(ENTRIES).await),
        (3, 0)
    );
    assert_eq!(incidents(&site, "usage-lease-foreign").await, 1);
    assert_eq!(incidents(&site, "usage-lease-unknown").await, 1);
    site.check().await;
}

#[tokio::test]
async fn usage_is_its_own_nodes_to_report() {
    let (site, nodes) = Site::start(1).await;
    let node = &nodes[0];
    let path = format!("/v1/nodes/{}/usage", node.node.id);
    let body = serde_json::json!({ "receipts": [] });
    let with_key = site.server.request(Method::POST, &path).json(&body);
    refused(with_key, 403, "forbidden").await;
    let elsewhere = Signer {
        node: TestNode {
            token: node.node.token.clone(),
            ..TestNode::new(9, 1, 1)
        },
        key: node.key.clone(),
    };
    refused(site.report(&elsewhere, &[]), 403, "forbidden").await;
}
