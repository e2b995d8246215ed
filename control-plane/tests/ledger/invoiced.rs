//! Invoices: a month's lines are what was charged in it, and stay so.

use nacre_protocol::api::Page;
use nacre_protocol::api::ledger::Invoice;
use reqwest::Method;

use crate::site::Site;
use crate::support::refused;

/// From the tests' begin (2027-01-15T08:00:00Z) to the end of that month.
const TO_MONTHS_END: u64 = (16 * 24 + 16) * 3600 * 1000;
const HOUR: u64 = 3600 * 1000;

#[tokio::test]
async fn a_month_is_invoiced_when_it_is_over_and_does_not_change() {
    let (site, nodes) = Site::start(2).await;
    let mut leases = Vec::new();
    for (node, micros) in nodes.iter().zip([100_000, 250_000]) {
        let lease = site.lease(node).await;
        site.bring(node, &[node.used(1, lease, micros), node.used(2, lease, 7)])
            .await;
        leases.push(lease.unwrap());
    }
    let now: Invoice = site.server.get("/v1/ledger/invoices/now").await;
    assert_eq!((now.period.as_str(), now.issued_ms), ("2027-01", None));
    assert_eq!(now.total, 350_014);
    assert_eq!(now.lines.len(), 2);
    for line in &now.lines {
        assert!(leases.contains(&line.lease));
        assert_eq!(
            (line.function.as_str(), line.receipts, line.bytes),
            ("iris", 2, 60)
        );
        assert_eq!(u64::try_from(line.amount).unwrap(), line.compute_micros);
    }

    // In the hour after its end it is not issued; then it is, and the clock that goes back changes nothing.
    site.server.pass(TO_MONTHS_END + HOUR - 2_000);
    let open: Invoice = site.server.get("/v1/ledger/invoices/2027-01").await;
    assert_eq!(open.issued_ms, None);
    site.server.pass(2_000);
    let issued = async {
        loop {
            let invoice: Invoice = site.server.get("/v1/ledger/invoices/2027-01").await;
            if invoice.issued_ms.is_some() {
                return invoice;
            }
            tokio::task::yield_now().await;
        }
    };
    let issued = tokio::time::timeout(std::time::Duration::from_secs(20), issued).await;
    let issued = issued.expect("it is issued");
    assert_eq!((issued.total, &issued.lines), (350_014, &now.lines));
    site.server.pass((2 * HOUR).wrapping_neg());
    let node = &nodes[0];
    let lease = site.lease(node).await;
    site.bring(node, &[node.used(3, lease.or(Some(leases[0])), 5)])
        .await;
    site.server.pass(2 * HOUR);
    let again: Invoice = site.server.get("/v1/ledger/invoices/2027-01").await;
    assert_eq!(again, issued);
    let next: Invoice = site.server.get("/v1/ledger/invoices/2027-02").await;
    assert_eq!(next.total, 5);
    let page: Page<Invoice> = site.server.get("/v1/ledger/invoices").await;
    assert_eq!((page.items.len(), page.items[0].total), (1, 350_014));
    site.check().await;
}

#[tokio::test]
async fn usage_that_nobody_pays_is_on_no_invoice_and_keeps_none_back() {
    let (site, nodes) = Site::start(1).await;
    let node = &nodes[0];
    let lease = site.lease(node).await;
    site.bring(node, &[node.used(1, None, 100)]).await;
    let now = site.invoice().await;
    assert_eq!((now.total, now.lines.len()), (0, 0));
    site.server.pass(TO_MONTHS_END + HOUR);
    site.bring(node, &[node.used(2, lease, 100)]).await;
    // February has 28 days.
    site.server.pass(28 * 24 * HOUR);
    let issued = async {
        loop {
            let page: Page<Invoice> = site.server.get("/v1/ledger/invoices").await;
            if let Some(invoice) = page.items.first() {
                return invoice.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let issued = tokio::time::timeout(std::time::Duration::from_secs(20), issued).await;
    let issued = issued.expect("it is issued");
    assert_eq!((issued.period.as_str(), issued.total), ("2027-02", 100));
    site.check().await;
}

#[tokio::test]
async fn other_months_are_refused_politely() {
    let (site, _) = Site::start(1).await;
    let get = |month: &str| {
        site.server
            .request(Method::GET, &format!("/v1/ledger/invoices/{month}"))
    };
    for wrong in ["2027", "2027-13", "2027-1", "202-01", "%20"] {
        refused(get(wrong), 400, "path-invalid").await;
    }
    refused(get("2027-02"), 404, "invoice-not-found").await;
    let before: Invoice = site.server.get("/v1/ledger/invoices/2020-01").await;
    assert_eq!((before.total, before.lines.len()), (0, 0));
}
