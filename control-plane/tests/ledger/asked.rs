//! Payouts: what operators earned can be asked for once, is paid once, and is nobody else's to see.

use ed25519_dalek::Signer as _;
use nacre_control_plane::keys::{self, KeyOrder, Scope};
use nacre_control_plane::treasury::{Booked, Payment, PaymentError, pay};
use nacre_ledger::Amount;
use nacre_protocol::api::commands::{ClaimNode, claim_message};
use nacre_protocol::api::payouts::{OperatorBalance, Payout, PayoutState};
use nacre_protocol::api::{Node, Page};
use nacre_protocol::ids::{NodeId, OperatorId, PayoutId};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::site::{Signer, Site};
use crate::support::{expect, refused};

const PAYOUTS: &str = "/v1/ledger/payouts";

/// A site whose nodes are the organisation's, the first of which earned 900.
async fn earned(nodes: u8) -> (Site, Vec<Signer>) {
    let (mut site, mut nodes) = Site::start(nodes).await;
    for signer in &mut nodes {
        site.server.register_own(&mut signer.node).await;
    }
    let lease = site.lease(&nodes[0]).await;
    site.bring(&nodes[0], &[nodes[0].used(1, lease, 1_000)])
        .await;
    (site, nodes)
}

fn ask(site: &Site, operator: OperatorId, amount: Option<u64>) -> RequestBuilder {
    let mut wish = json!({ "operator": operator });
    if let Some(amount) = amount {
        wish["amount"] = json!(amount);
    }
    site.server.request(Method::POST, PAYOUTS).json(&wish)
}

/// Earned, asked for, kept back, available and paid.
async fn standing(site: &Site) -> [i64; 5] {
    let page: Page<OperatorBalance> = site.server.get("/v1/ledger/operators").await;
    let of = &page.items[0];
    [of.earned, of.asked, of.kept_back, of.available, of.paid]
}

#[tokio::test]
async fn what_was_earned_is_asked_for_once_and_paid_once() {
    let (site, nodes) = earned(1).await;
    let operator = nodes[0].node.operator_id();
    assert_eq!(standing(&site).await, [900, 0, 0, 900, 0]);

    let once = || ask(&site, operator, Some(400)).header("idempotency-key", "k");
    let first: Payout = expect(once(), 201).await;
    let again: Payout = expect(once(), 201).await;
    assert_eq!(
        (&again, first.amount, first.state),
        (&first, 400, PayoutState::Asked)
    );
    assert_eq!(standing(&site).await, [900, 400, 0, 500, 0]);
    refused(ask(&site, operator, Some(501)), 409, "payout-not-earned").await;
    let rest: Payout = expect(ask(&site, operator, None), 201).await;
    assert_eq!(rest.amount, 500);
    refused(ask(&site, operator, None), 409, "payout-not-earned").await;
    for wrong in [0, u64::MAX] {
        refused(
            ask(&site, operator, Some(wrong)),
            422,
            "payout-out-of-range",
        )
        .await;
    }

    let database = &site.server.database;
    let unasked = pay(database, &Payment::Payout(operator, None), "p0").await;
    assert!(matches!(unasked, Err(PaymentError::Amount)), "{unasked:?}");
    let payment = Payment::Asked(first.id);
    let paid = pay(database, &payment, "p1").await.unwrap();
    assert_eq!(paid, Booked::Now(Amount::from_micros(400)));
    let again = pay(database, &payment, "p1").await.unwrap();
    assert_eq!(again, Booked::Before(Amount::from_micros(400)));
    let other = pay(database, &payment, "p2").await;
    assert!(matches!(other, Err(PaymentError::Ended(..))), "{other:?}");
    let used = pay(database, &Payment::Asked(rest.id), "p1").await;
    assert!(matches!(used, Err(PaymentError::Used(_))), "{used:?}");
    let nobody = Payment::Asked(PayoutId::from_random([9; 16]));
    let nobody = pay(database, &nobody, "p3").await;
    assert!(
        matches!(nobody, Err(PaymentError::Unasked(_))),
        "{nobody:?}"
    );
    let shown: Payout = site.server.get(&format!("{PAYOUTS}/{}", first.id)).await;
    assert_eq!(
        (shown.state, shown.reference.as_deref()),
        (PayoutState::Paid, Some("p1"))
    );

    let withdraw = |id: PayoutId| {
        site.server
            .request(Method::DELETE, &format!("{PAYOUTS}/{id}"))
    };
    refused(withdraw(first.id), 409, "payout-paid").await;
    for _ in 0..2 {
        let back: Payout = expect(withdraw(rest.id), 200).await;
        assert_eq!(back.state, PayoutState::Withdrawn);
    }
    let gone = pay(database, &Payment::Asked(rest.id), "p4").await;
    assert!(matches!(gone, Err(PaymentError::Ended(..))), "{gone:?}");
    assert_eq!(standing(&site).await, [500, 0, 0, 500, 400]);
    // What is paid unasked is on the list as well.
    let unasked = pay(database, &Payment::Payout(operator, None), "p5").await;
    assert_eq!(unasked.unwrap(), Booked::Now(Amount::from_micros(500)));
    assert_eq!(standing(&site).await, [0, 0, 0, 0, 900]);
    site.check().await;

    for (sql, code) in [
        (
            "UPDATE payouts SET amount = amount - 1 WHERE reference = 'p1'",
            "payout-booked",
        ),
        (
            "UPDATE payouts SET amount = amount + 1, paid_ms = NULL, reference = NULL WHERE reference = 'p5'",
            "payout-unfounded",
        ),
        (
            "UPDATE payouts SET amount = 0 WHERE paid_ms IS NULL",
            "payout-amount",
        ),
    ] {
        site.meddle(sql).await;
        let found = site.audit().await.findings;
        assert!(
            found.iter().any(|found| found.code == code),
            "{sql}: {found:?}"
        );
    }
}

#[tokio::test]
async fn pages_hold_every_payout_once_the_latest_first() {
    let (site, nodes) = earned(2).await;
    let operator = nodes[0].node.operator_id();
    let mut asked = Vec::new();
    for micros in 1..=5 {
        let payout: Payout = expect(ask(&site, operator, Some(micros)), 201).await;
        asked.push(payout.id);
        site.server.pass(u64::from(micros % 2 == 0));
    }
    let mut shown = Vec::new();
    let mut path = format!("{PAYOUTS}?limit=2");
    loop {
        let page: Page<Payout> = site.server.get(&path).await;
        shown.extend(
            page.items
                .into_iter()
                .map(|payout| (payout.asked_ms, payout.id)),
        );
        let Some(next) = page.next else { break };
        path = format!("{PAYOUTS}?limit=2&after={next}");
    }
    let mut sorted = shown.clone();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(shown, sorted);
    let mut ids: Vec<_> = shown.into_iter().map(|(_, id)| id).collect();
    ids.sort_unstable();
    asked.sort_unstable();
    assert_eq!(ids, asked);
    let other = nodes[1].node.operator_id();
    let path = format!("{PAYOUTS}?operator={other}");
    let none: Page<Payout> = site.server.get(&path).await;
    assert_eq!(none.items, []);
    let mut operators = Vec::new();
    let mut path = "/v1/ledger/operators?limit=1".to_owned();
    loop {
        let page: Page<OperatorBalance> = site.server.get(&path).await;
        operators.extend(page.items.into_iter().map(|of| of.operator));
        let Some(next) = page.next else { break };
        path = format!("/v1/ledger/operators?limit=1&after={next}");
    }
    let mut wanted = [operator, other];
    wanted.sort_unstable();
    assert_eq!(operators, wanted);
    for wrong in ["?after=x", "?limit=0", "?operator=x", "?x=1"] {
        let request = site
            .server
            .request(Method::GET, &format!("{PAYOUTS}{wrong}"));
        assert_eq!(request.send().await.unwrap().status(), 400, "{wrong}");
    }
}

#[tokio::test]
async fn others_neither_see_nor_ask_nor_withdraw() {
    let (site, nodes) = earned(1).await;
    let operator = nodes[0].node.operator_id();
    let payout: Payout = expect(ask(&site, operator, None), 201).await;
    let key = async |organisation: &str, scope| {
        let order = KeyOrder {
            name: "other".to_owned(),
            organisation: organisation.parse().unwrap(),
            scopes: [scope].into(),
            lifetime: None,
        };
        let made = keys::create_with(&site.server.database, &order).await;
        made.unwrap().key
    };
    let stranger = key("strangers", Scope::Billing).await;
    let one = format!("{PAYOUTS}/{}", payout.id);
    let wish = json!({ "operator": operator });
    let with = |key: &str, method: Method, path: &str| {
        site.server.anonymous(method, path).bearer_auth(key)
    };
    for path in [PAYOUTS, "/v1/ledger/operators"] {
        let page: Page<Value> = expect(with(&stranger, Method::GET, path), 200).await;
        assert_eq!(page.items, Vec::<Value>::new());
    }
    for method in [Method::GET, Method::DELETE] {
        refused(with(&stranger, method, &one), 404, "payout-not-found").await;
    }
    let asks = with(&stranger, Method::POST, PAYOUTS).json(&wish);
    refused(asks, 404, "operator-not-found").await;

    let without = key("default", Scope::Nodes).await;
    let asks = with(&without, Method::POST, PAYOUTS).json(&wish);
    refused(asks, 403, "scope-missing").await;
    for (method, path) in [
        (Method::GET, PAYOUTS),
        (Method::GET, "/v1/ledger/operators"),
        (Method::GET, one.as_str()),
        (Method::DELETE, one.as_str()),
    ] {
        refused(with(&without, method, path), 403, "scope-missing").await;
    }
    // A node that was registered by its operator's word alone is no organisation's.
    let (site, nodes) = Site::start(1).await;
    let asks = ask(&site, nodes[0].node.operator_id(), None);
    refused(asks, 404, "operator-not-found").await;
}

/// What an operator sends to give a node to the organisation of a key.
fn claim(site: &Site, signer: &Signer, node: NodeId, nonce: [u8; 32], key: &str) -> RequestBuilder {
    let message = claim_message(&nonce, &node, &key[6..22]);
    let claim = ClaimNode {
        node,
        nonce,
        signature: signer.node.operator.sign(&message).to_bytes(),
    };
    let post = site.server.request(Method::POST, "/v1/nodes/claims");
    post.json(&claim)
}

#[tokio::test]
async fn a_node_that_was_registered_without_a_key_is_claimed_by_its_operators_word() {
    let (site, nodes) = Site::start(2).await;
    let (signer, other) = (&nodes[0], &nodes[1]);
    let lease = site.lease(signer).await;
    site.bring(signer, &[signer.used(1, lease, 1_000)]).await;
    let (node, key) = (signer.node.id, site.server.key.clone());
    let operator = signer.node.operator_id();
    refused(ask(&site, operator, None), 404, "operator-not-found").await;

    // Nobody but its operator gives it away, and nobody but the holder of the key that was named takes it.
    let nonce = site.server.challenge().await;
    let forged = claim(&site, other, node, nonce, &key);
    refused(forged, 403, "signature-invalid").await;
    let elsewhere = claim(&site, signer, node, nonce, "nacre_0123456789abcdef_");
    refused(elsewhere, 403, "signature-invalid").await;
    let unknown = claim(&site, signer, NodeId::from_random([9; 16]), nonce, &key);
    refused(unknown, 403, "signature-invalid").await;
    let unheard = claim(&site, signer, node, [7; 32], &key);
    refused(unheard, 403, "nonce-invalid").await;
    refused(ask(&site, operator, None), 404, "operator-not-found").await;

    let once = claim(&site, signer, node, nonce, &key);
    let again = once.try_clone().unwrap();
    assert_eq!(once.send().await.unwrap().status(), 204);
    refused(again, 403, "nonce-invalid").await;
    assert_eq!(standing(&site).await, [900, 0, 0, 900, 0]);
    let payout: Payout = expect(ask(&site, operator, None), 201).await;
    assert_eq!((payout.operator, payout.amount), (operator, 900));
    let others = ask(&site, other.node.operator_id(), None);
    refused(others, 404, "operator-not-found").await;
    site.check().await;
}

#[tokio::test]
async fn a_claimed_node_stays_its_organisations_when_it_registers_by_its_operators_word_again() {
    let (mut site, mut nodes) = Site::start(1).await;
    let nonce = site.server.challenge().await;
    let key = site.server.key.clone();
    let request = claim(&site, &nodes[0], nodes[0].node.id, nonce, &key);
    assert_eq!(request.send().await.unwrap().status(), 204);
    site.server.register(&mut nodes[0].node).await;
    let own: Page<Node> = site.server.get("/v1/nodes?own=true").await;
    let own: Vec<_> = own.items.iter().map(|node| node.id).collect();
    assert_eq!(own, [nodes[0].node.id]);
}

#[tokio::test]
async fn what_is_to_be_slashed_is_not_paid_though_it_was_asked_for() {
    let (site, nodes) = earned(1).await;
    let operator = nodes[0].node.operator_id();
    let payout: Payout = expect(ask(&site, operator, Some(500)), 201).await;
    site.slash(&nodes[0], 7, 5_000).await;
    assert_eq!(standing(&site).await, [900, 500, 5_000, 0, 0]);
    let short = pay(&site.server.database, &Payment::Asked(payout.id), "p").await;
    assert!(
        matches!(short, Err(PaymentError::Short { .. })),
        "{short:?}"
    );
    // The slash, and what was asked for and is not there.
    let report = site.audit().await;
    assert_eq!(
        (report.findings.len(), report.notes.len()),
        (0, 2),
        "{report:?}"
    );
}
