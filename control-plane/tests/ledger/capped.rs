//! Caps: work stops before they are passed, and goes on when there is room again.

use nacre_protocol::api::ledger::{CapPeriod, SpendingCap};
use nacre_protocol::api::{Deployment, Page};
use nacre_protocol::control::FunctionState;
use reqwest::Method;
use serde_json::json;

use crate::site::{HOLD, Signer, Site};
use crate::support::refused;

fn is_stopped(deployment: &Deployment) -> bool {
    let reason = deployment.reason.as_deref().unwrap_or_default();
    deployment.leases.is_empty() && reason.starts_with("spending-cap: ")
}

/// Uses a fifth of a second after another until the lease is gone. Says how much was used.
async fn use_up(site: &Site, node: &Signer) -> i64 {
    let mut seq = 0;
    let lease = site.lease(node).await;
    while site.lease(node).await.is_some() {
        seq += 1;
        assert!(seq < 1000, "it does not stop");
        site.bring(node, &[node.used(seq, lease, 200_000)]).await;
    }
    i64::try_from(seq).unwrap() * 200_000
}

#[tokio::test]
async fn leases_end_while_what_they_may_still_use_is_covered() {
    let (site, nodes) = Site::start(1).await;
    let cap = site.cap(None, CapPeriod::Month, 5 * HOLD).await;
    assert_eq!((cap.spent, cap.held), (0, HOLD));
    let used = use_up(&site, &nodes[0]).await;
    // The last second is not begun: it is what the node has until it has stopped.
    assert!((4 * HOLD..5 * HOLD).contains(&used), "{used}");
    let deployment = site.until(is_stopped).await;
    assert_eq!(deployment.state, FunctionState::Loading);
    let balance = site.balance().await;
    assert_eq!((balance.owed, balance.stopped.len()), (used, 1));
    site.check().await;
}

#[tokio::test]
async fn what_comes_late_is_charged_up_to_the_cap_and_not_beyond() {
    let (site, nodes) = Site::start(1).await;
    let node = &nodes[0];
    let lease = site.lease(node).await;
    site.cap(Some("iris"), CapPeriod::Day, 3 * HOLD).await;
    // A node that was cut off for long: ten seconds at once, and some more after the stop.
    site.bring(node, &[node.used(1, lease, 10_000_000)]).await;
    site.until(is_stopped).await;
    site.bring(node, &[node.used(2, lease, 500_000)]).await;
    assert_eq!(site.balance().await.owed, 3 * HOLD);
    let charged = "SELECT CAST(SUM(charged) AS BIGINT) FROM usage_receipts";
    let cost = "SELECT CAST(SUM(cost) AS BIGINT) FROM usage_receipts";
    assert_eq!(site.count(charged).await, 3 * HOLD);
    assert_eq!(site.count(cost).await, 10_500_000);
    site.check().await;
}

#[tokio::test]
async fn jobs_are_refused_while_their_function_is_stopped() {
    let (site, nodes) = Site::start(1).await;
    site.cap(None, CapPeriod::Ever, 2 * HOLD).await;
    use_up(&site, &nodes[0]).await;
    let job = json!({
        "id": "job_00000000000000000000000000000001",
        "function": "iris",
        "digest": site.version.digest,
        "deadline_ms": site.server.now_ms() + 60_000,
        "input": {"form": "plain", "body": "e30"},
    });
    let request = || site.server.request(Method::POST, "/v1/jobs").json(&job);
    let problem = refused(request(), 402, "spending-cap-reached").await;
    assert!(problem.detail.unwrap().starts_with("spending-cap: "));
    assert_eq!(site.count("SELECT COUNT(*) FROM jobs").await, 0);
    // With more room it runs again, and its jobs are taken.
    site.cap(None, CapPeriod::Ever, 20 * HOLD).await;
    site.until(|deployment| deployment.leases.len() == 1).await;
    assert_eq!(request().send().await.unwrap().status(), 201);
    site.check().await;
}

#[tokio::test]
async fn a_day_that_begins_has_its_cap_to_itself() {
    let (site, nodes) = Site::start(1).await;
    site.cap(None, CapPeriod::Day, 2 * HOLD).await;
    use_up(&site, &nodes[0]).await;
    site.until(is_stopped).await;
    site.server.pass(24 * 3600 * 1000);
    // It was silent for a day.
    site.server
        .report(&nodes[0].node, FunctionState::Ready)
        .await;
    site.until(|deployment| deployment.leases.len() == 1).await;
    assert_eq!(site.balance().await.stopped, []);
    site.check().await;
}

#[tokio::test]
async fn a_cap_below_what_was_spent_stops_at_once() {
    let (site, nodes) = Site::start(2).await;
    let lease = site.lease(&nodes[0]).await;
    site.bring(&nodes[0], &[nodes[0].used(1, lease, 400_000)])
        .await;
    site.cap(Some("iris"), CapPeriod::Month, 100_000).await;
    site.until(is_stopped).await;
    assert_eq!(site.lease(&nodes[0]).await, None);
    assert_eq!(site.lease(&nodes[1]).await, None);
    site.check().await;
    // Taken away, it stops nothing.
    let path = "/v1/ledger/caps?function=iris&period=month";
    let remove = || site.server.request(Method::DELETE, path);
    assert_eq!(remove().send().await.unwrap().status(), 204);
    refused(remove(), 404, "cap-not-found").await;
    site.until(|deployment| deployment.leases.len() == 2).await;
}

#[tokio::test]
async fn other_functions_go_on() {
    let (site, nodes) = Site::start(1).await;
    let other = site.server.function("rose", "64MiB", "model 2").await;
    let other = site.server.deploy(&other, 1).await;
    site.cap(Some("iris"), CapPeriod::Month, 100_000).await;
    site.until(is_stopped).await;
    let other = site.server.deployment(other.id).await;
    assert_eq!(other.leases.len(), 1);
    let desired = site.server.desired(&nodes[0].node, "").await;
    assert_eq!(desired.functions.len(), 1);
    assert_eq!(desired.functions[0].name.as_str(), "rose");
}

#[tokio::test]
async fn caps_are_listed_with_what_counts_against_them() {
    let (site, _) = Site::start(1).await;
    site.cap(None, CapPeriod::Month, 7 * HOLD).await;
    site.cap(Some("iris"), CapPeriod::Day, 5 * HOLD).await;
    let page: Page<SpendingCap> = site.server.get("/v1/ledger/caps").await;
    let found = page
        .items
        .iter()
        .map(|cap| (cap.limit, cap.spent, cap.held));
    let found: Vec<_> = found.collect();
    assert_eq!(found, [(7 * HOLD, 0, HOLD), (5 * HOLD, 0, HOLD)]);
    let put = |body| {
        site.server
            .request(Method::PUT, "/v1/ledger/caps")
            .json(&body)
    };
    let nobody = json!({"function": "nobody", "period": "day", "limit": 1});
    refused(put(nobody), 404, "function-not-found").await;
    let huge = json!({"period": "day", "limit": u64::MAX});
    refused(put(huge), 422, "cap-out-of-range").await;
    let negative = json!({"period": "day", "limit": -1});
    refused(put(negative), 422, "json-invalid").await;
}
