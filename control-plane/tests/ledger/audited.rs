//! The audit: silent on an honest ledger beside a running control plane, and not on one that was meddled with.

use nacre_control_plane::treasury::{Payment, pay};
use nacre_ledger::Amount;
use nacre_protocol::api::ledger::CapPeriod;

use crate::site::{HOLD, Site};

/// A ledger with something of everything.
async fn lived_in() -> Site {
    let (site, nodes) = Site::start(1).await;
    let node = &nodes[0];
    let lease = site.lease(node).await;
    let database = &site.server.database;
    let deposit = Payment::Deposit("default".parse().unwrap(), Amount::from_micros(1_000));
    pay(database, &deposit, "d").await.unwrap();
    site.cap(None, CapPeriod::Month, 10 * HOLD).await;
    let receipts: Vec<_> = (1..=5).map(|seq| node.used(seq, lease, 1_000)).collect();
    site.bring(node, &receipts).await;
    site.check().await;
    site
}

#[tokio::test]
async fn each_thing_that_cannot_be_is_found() {
    let cases = [
        (
            "UPDATE ledger_postings SET amount = amount + 1 WHERE account = 'platform' AND entry = 3",
            vec!["ledger-balance", "ledger-unbalanced", "usage-booked"],
        ),
        (
            "UPDATE ledger_accounts SET balance = balance - 1 WHERE name = 'platform'",
            vec!["ledger-balance"],
        ),
        (
            "UPDATE ledger_accounts SET balance = balance + 1000000 WHERE name = 'owed:default'",
            vec!["ledger-balance", "ledger-owed"],
        ),
        (
            "UPDATE ledger_entries SET at_ms = at_ms - 86400000 WHERE id = 4",
            vec!["ledger-order", "usage-booked"],
        ),
        (
            "UPDATE ledger_entries SET cause = 'usage:boot_00000000000000000000000000000000:1' WHERE id = 4",
            vec!["usage-booked"],
        ),
        (
            "UPDATE usage_receipts SET compute_micros = 2000 WHERE seq = 2",
            vec!["usage-cost", "usage-signature"],
        ),
        (
            "UPDATE usage_receipts SET charged = charged + 1 WHERE seq = 2",
            vec!["spending", "usage-booked", "usage-charged"],
        ),
        (
            "DELETE FROM usage_receipts WHERE seq = 3",
            vec!["spending", "usage-gone", "usage-unproven"],
        ),
        (
            "UPDATE usage_sequences SET due = due + 1",
            vec!["usage-gone"],
        ),
        ("UPDATE spending SET amount = amount - 1", vec!["spending"]),
        (
            "UPDATE spending_caps SET amount = 100, floor = 0",
            vec!["cap-passed"],
        ),
        ("UPDATE lease_terms SET held = hold + 1", vec!["lease-held"]),
        (
            "INSERT INTO spending_stops (function, customer, reason, wanted, at_ms)
             SELECT function, customer, 'x', 9000000000000000, 0 FROM lease_terms",
            vec!["market-tables", "stopped-runs"],
        ),
        (
            "INSERT INTO invoices (customer, period, from_ms, to_ms, total, issued_ms)
             VALUES ('default', '2027-01', 1798761600000, 1801440000000, 1, 0)",
            vec!["invoice-lines", "invoice-total"],
        ),
    ];
    for (sql, codes) in cases {
        let mut site = lived_in().await;
        site.server.stop().await;
        site.meddle(sql).await;
        let report = site.audit().await;
        let mut found: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, codes, "{sql}: {report:#?}");
    }
}
