//! A lease whose term began anew at another price: what is charged, set aside and invoiced from then on.

use nacre_protocol::api::ledger::CapPeriod;
use nacre_protocol::ids::LeaseId;

use crate::site::{HOLD, PRICE, Signer, Site, patient};

/// A term of a lease.
const TERM: u64 = 3_600_000;
/// For how long what was used under a cheaper price may come.
const LAG: u64 = 1_000;

async fn start() -> (Site, Signer, Option<LeaseId>) {
    let (site, mut nodes) = Site::tuned(1, patient).await;
    let node = nodes.remove(0);
    let lease = site.lease(&node).await;
    (site, node, lease)
}

/// The node asks so many times its first price, and its lease's term begins anew at that.
async fn renew(site: &mut Site, node: &mut Signer, times: u64) {
    site.ask(node, times * PRICE, 0).await;
    let before = site.server.deployment(site.deployment.id).await.leases[0].price;
    assert_ne!(
        before,
        times * PRICE,
        "it keeps its price until its term ends"
    );
    site.server.pass(TERM);
    site.until(|deployment| deployment.leases[0].price == times * PRICE)
        .await;
}

#[tokio::test]
async fn a_dearer_term_charges_what_is_used_in_it_and_not_what_is_on_its_way() {
    let (mut site, mut node, lease) = start().await;
    let first = node.used(1, lease, 100);
    site.bring(&node, &[first]).await;
    renew(&mut site, &mut node, 3).await;
    let on_its_way = node.used(2, lease, 10);
    site.bring(&node, &[on_its_way]).await;
    assert_eq!(site.balance().await.owed, 110);
    assert_eq!(site.balance().await.held, 3 * HOLD);
    site.server.pass(LAG);
    let third = node.used(3, lease, 1_000);
    // What came before comes again, and costs nothing.
    site.bring(&node, &[first, on_its_way, third]).await;
    site.bring(&node, &[first, on_its_way, third]).await;
    assert_eq!(site.balance().await.owed, 110 + 3_000);

    let invoice = site.invoice().await;
    assert_eq!(invoice.total, 110 + 3_000);
    let lines = invoice.lines.iter();
    let lines = lines.map(|line| (line.agreement, line.price, line.receipts, line.amount));
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [(1, PRICE, 2, 110), (2, 3 * PRICE, 1, 3_000)]
    );
    // The operator gets its part of each, nine tenths.
    let earned = "SELECT balance FROM ledger_accounts WHERE name LIKE 'operator:%'";
    assert_eq!(site.count(earned).await, 90 + 9 + 2_700);
    site.check().await;
}

#[tokio::test]
async fn a_cheaper_term_counts_at_once_and_less_is_set_aside() {
    let (mut site, mut node, lease) = start().await;
    renew(&mut site, &mut node, 4).await;
    site.server.pass(LAG);
    assert_eq!(site.balance().await.held, 4 * HOLD);
    renew(&mut site, &mut node, 2).await;
    assert_eq!(site.balance().await.held, 2 * HOLD);
    site.bring(&node, &[node.used(1, lease, 100)]).await;
    assert_eq!(site.balance().await.owed, 200);
    site.check().await;
}

/// The clock of the control plane that booked it is ahead of the one that agrees anew.
#[tokio::test]
async fn what_was_booked_stays_with_its_agreement_whatever_the_clocks_say() {
    let (mut site, mut node, lease) = start().await;
    renew(&mut site, &mut node, 4).await;
    site.server.pass(LAG);
    // It costs nothing, so that no entry tells the time.
    site.bring(&node, &[node.used(1, lease, 0)]).await;
    for ahead in [
        "UPDATE usage_receipts SET booked_ms = booked_ms + 3660000",
        "UPDATE usage_sequences SET latest_ms = latest_ms + 3660000",
    ] {
        site.meddle(ahead).await;
    }
    renew(&mut site, &mut node, 2).await;
    site.check().await;
}

#[tokio::test]
async fn a_term_at_the_same_price_is_no_other_agreement() {
    let (mut site, mut node, _) = start().await;
    site.ask(&mut node, PRICE, 0).await;
    let until = "SELECT until_ms FROM leases";
    let first = site.count(until).await;
    site.server.pass(TERM);
    let renewed = async {
        while site.count(until).await == first {
            tokio::task::yield_now().await;
        }
    };
    let within = std::time::Duration::from_secs(20);
    tokio::time::timeout(within, renewed).await.unwrap();
    assert_eq!(site.count("SELECT COUNT(*) FROM lease_rates").await, 1);
    site.check().await;
}

#[tokio::test]
async fn a_receipt_that_was_held_back_costs_what_it_would_have() {
    let (mut site, mut node, lease) = start().await;
    let [first, held_back, third] = [1, 2, 3].map(|seq| node.used(seq, lease, 100));
    site.bring(&node, &[first, third]).await;
    renew(&mut site, &mut node, 5).await;
    site.server.pass(LAG);
    site.bring(&node, &[node.used(4, lease, 100)]).await;
    assert_eq!(site.balance().await.owed, 200 + 500);
    site.bring(&node, &[held_back]).await;
    assert_eq!(site.balance().await.owed, 300 + 500);
    site.check().await;
}

#[tokio::test]
async fn a_term_that_is_not_covered_stops_the_function() {
    let (mut site, mut node, _) = start().await;
    site.cap(None, CapPeriod::Ever, 2 * HOLD).await;
    site.ask(&mut node, 3 * PRICE, 0).await;
    site.server.pass(TERM);
    let stopped = site.until(|deployment| deployment.leases.is_empty()).await;
    let reason = stopped.reason.unwrap();
    assert!(reason.starts_with("spending-cap: "), "{reason}");
    site.check().await;
    // The node's ask of today is what must be covered before it goes on.
    site.cap(None, CapPeriod::Ever, 4 * HOLD).await;
    let back = site.until(|deployment| deployment.leases.len() == 1).await;
    assert_eq!(back.leases[0].price, 3 * PRICE);
    // Beside it what the first lease had, for receipts of it that may still come.
    assert_eq!(site.balance().await.held, 3 * HOLD + HOLD);
    site.check().await;
}

#[tokio::test]
async fn a_term_does_not_begin_anew_without_its_agreement() {
    let (mut site, mut node, lease) = start().await;
    site.bring(&node, &[node.used(1, lease, 100)]).await;
    site.ask(&mut node, 2 * PRICE, 0).await;
    site.server.stop().await;
    // Whoever renews it now breaks off before the agreement is written.
    site.run("ALTER TABLE lease_rates RENAME TO lease_rates_away")
        .await;
    site.server.pass(TERM);
    assert!(site.server.another().await.is_err());
    let price = i64::try_from(PRICE).unwrap();
    assert_eq!(site.count("SELECT price FROM leases").await, price);
    site.run("ALTER TABLE lease_rates_away RENAME TO lease_rates")
        .await;
    site.check().await;
    site.server.resume().await;
    site.until(|deployment| deployment.leases[0].price == 2 * PRICE)
        .await;
    site.server.pass(LAG);
    site.bring(&node, &[node.used(2, lease, 100)]).await;
    assert_eq!(site.balance().await.owed, 100 + 200);
    site.check().await;
}

#[tokio::test]
async fn a_history_that_was_meddled_with_is_found() {
    let cases = [
        (
            "UPDATE lease_rates SET gib_second = gib_second + 16000000 WHERE number = 1",
            "UPDATE lease_rates SET gib_second = gib_second - 16000000 WHERE number = 1",
            vec!["usage-cost"],
        ),
        (
            "UPDATE lease_rates SET gib_second = gib_second - 16000000 WHERE number = 2",
            "UPDATE lease_rates SET gib_second = gib_second + 16000000 WHERE number = 2",
            vec!["lease-rates", "usage-cost"],
        ),
        (
            "UPDATE lease_rates SET fee = fee + 100 WHERE number = 2",
            "UPDATE lease_rates SET fee = fee - 100 WHERE number = 2",
            vec!["usage-booked"],
        ),
        (
            "UPDATE lease_rates SET from_ms = from_ms + 1000000 WHERE number = 2",
            "UPDATE lease_rates SET from_ms = from_ms - 1000000 WHERE number = 2",
            vec!["usage-rate"],
        ),
        (
            "UPDATE lease_rates SET from_ms = from_ms - 1001 WHERE number = 2",
            "UPDATE lease_rates SET from_ms = from_ms + 1001 WHERE number = 2",
            vec!["lease-rates"],
        ),
        (
            "UPDATE lease_rates SET number = 3 WHERE number = 2",
            "UPDATE lease_rates SET number = 2 WHERE number = 3",
            vec!["lease-rates", "usage-rate"],
        ),
        (
            "UPDATE lease_rates SET hold = hold + 1 WHERE number = 2",
            "UPDATE lease_rates SET hold = hold - 1 WHERE number = 2",
            vec!["lease-rates"],
        ),
        (
            "UPDATE lease_terms SET until_ms = until_ms + 1",
            "UPDATE lease_terms SET until_ms = until_ms - 1",
            vec!["lease-rates"],
        ),
        (
            "UPDATE usage_receipts SET rate = 1 WHERE seq = 4",
            "UPDATE usage_receipts SET rate = 2 WHERE seq = 4",
            vec!["usage-cost", "usage-rate"],
        ),
        (
            "UPDATE usage_receipts SET rate = NULL, cost = 0, charged = 0 WHERE seq = 1",
            "UPDATE usage_receipts SET rate = 1, cost = 100, charged = 100 WHERE seq = 1",
            vec!["spending", "usage-booked", "usage-rate", "usage-unproven"],
        ),
        (
            "UPDATE usage_gaps SET noted_ms = noted_ms + 1",
            "UPDATE usage_gaps SET noted_ms = noted_ms - 1",
            vec!["usage-dated"],
        ),
        (
            "UPDATE usage_sequences SET latest_ms = latest_ms - 1",
            "UPDATE usage_sequences SET latest_ms = latest_ms + 1",
            vec!["usage-dated"],
        ),
    ];
    let (mut site, mut node, lease) = start().await;
    site.bring(&node, &[node.used(1, lease, 100), node.used(3, lease, 100)])
        .await;
    renew(&mut site, &mut node, 2).await;
    site.server.pass(LAG);
    site.bring(&node, &[node.used(4, lease, 1_000)]).await;
    site.check().await;
    site.server.stop().await;
    for (sql, undo, codes) in cases {
        site.meddle(sql).await;
        let report = site.audit().await;
        let mut found: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, codes, "{sql}: {report:#?}");
        site.meddle(undo).await;
        site.check().await;
    }
}
