//! Deposits and payouts: booked once, and never more than there is.

use nacre_control_plane::Config;
use nacre_control_plane::treasury::{Booked, Payment, PaymentError, pay};
use nacre_ledger::Amount;

use crate::site::{HOLD, Site, rules};

fn prepaid(config: &mut Config) {
    rules(config);
    config.ledger.prepaid = true;
}

fn deposit(micros: i64) -> Payment {
    Payment::Deposit("default".parse().unwrap(), Amount::from_micros(micros))
}

#[tokio::test]
async fn where_customers_pay_first_nothing_runs_without_a_balance() {
    let (site, nodes) = Site::tuned(1, prepaid).await;
    let node = &nodes[0];
    assert_eq!(site.lease(node).await, None);
    let waiting = site.server.deployment(site.deployment.id).await;
    assert!(
        waiting
            .reason
            .unwrap()
            .starts_with("spending-cap: the balance")
    );
    let database = &site.server.database;
    pay(database, &deposit(3 * HOLD), "first").await.unwrap();
    site.until(|deployment| deployment.leases.len() == 1).await;

    let lease = site.lease(node).await;
    for seq in 1..=100 {
        site.bring(node, &[node.used(seq, lease, 100_000)]).await;
    }
    site.until(|deployment| deployment.leases.is_empty()).await;
    let balance = site.balance().await;
    assert_eq!(
        (balance.balance, balance.owed),
        (0, 0),
        "all of it, and no more"
    );
    site.check().await;
}

#[tokio::test]
async fn a_deposit_pays_what_is_owed_first_and_counts_once() {
    let (site, nodes) = Site::start(1).await;
    let node = &nodes[0];
    let lease = site.lease(node).await;
    site.bring(node, &[node.used(1, lease, 700)]).await;
    let database = &site.server.database;
    let now = pay(database, &deposit(1000), "r1").await.unwrap();
    assert_eq!(now, Booked::Now(Amount::from_micros(1000)));
    let again = pay(database, &deposit(1000), "r1").await.unwrap();
    assert_eq!(again, Booked::Before(Amount::from_micros(1000)));
    let balance = site.balance().await;
    assert_eq!((balance.balance, balance.owed), (300, 0));
    let other = pay(database, &deposit(1001), "r1").await;
    assert!(matches!(other, Err(PaymentError::Used(_))), "{other:?}");
    for wrong in [deposit(0), deposit(-5)] {
        let refused = pay(database, &wrong, "r2").await;
        assert!(
            matches!(refused, Err(PaymentError::Amount | PaymentError::Entry(_))),
            "{refused:?}"
        );
    }
    for reference in ["", "a b", "ü"] {
        let refused = pay(database, &deposit(1), reference).await;
        assert!(
            matches!(refused, Err(PaymentError::Reference)),
            "{refused:?}"
        );
    }
    // What is used next comes out of the balance.
    site.bring(node, &[node.used(2, lease, 500)]).await;
    let balance = site.balance().await;
    assert_eq!((balance.balance, balance.owed), (0, 200));
    site.check().await;
}

#[tokio::test]
async fn a_slash_is_booked_once_when_it_is_covered_and_kept_back_until_then() {
    let (site, nodes) = Site::start(1).await;
    let node = &nodes[0];
    let operator = node.node.operator_id();
    let lease = site.lease(node).await;
    site.bring(node, &[node.used(1, lease, 1000)]).await;
    site.slash(node, 7, 5000).await;
    let database = &site.server.database;
    let kept_back = pay(database, &Payment::Payout(operator, None), "p").await;
    assert!(
        matches!(kept_back, Err(PaymentError::Amount)),
        "{kept_back:?}"
    );
    assert_eq!(site.audit().await.notes.len(), 1);
    let stake = Payment::Stake(operator, Amount::from_micros(4500));
    pay(database, &stake, "s").await.unwrap();
    let booked = "SELECT COUNT(*) FROM ledger_entries WHERE cause LIKE 'slash:%'";
    let until = async {
        while site.count(booked).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    let within = std::time::Duration::from_secs(20);
    tokio::time::timeout(within, until)
        .await
        .expect("it is booked");
    // All of the stake, and 500 of the 900 that it earned.
    let rest = pay(database, &Payment::Payout(operator, None), "p").await;
    assert_eq!(rest.unwrap(), Booked::Now(Amount::from_micros(400)));
    assert_eq!(site.count(booked).await, 1);
    assert_eq!(site.audit().await.notes.len(), 0);
    site.check().await;
    site.meddle("UPDATE slashes SET amount = 4999").await;
    assert_eq!(site.audit().await.findings[0].code, "slash-unfounded");
}

#[tokio::test]
async fn an_operator_is_paid_what_it_earned_and_no_more() {
    let (site, nodes) = Site::start(1).await;
    let node = &nodes[0];
    let operator = node.node.operator_id();
    let lease = site.lease(node).await;
    site.bring(node, &[node.used(1, lease, 1000)]).await;
    let database = &site.server.database;
    let payout = |micros: Option<i64>| Payment::Payout(operator, micros.map(Amount::from_micros));
    let more = pay(database, &payout(Some(901)), "p1").await;
    assert!(matches!(more, Err(PaymentError::Short { .. })), "{more:?}");
    let part = pay(database, &payout(Some(400)), "p1").await.unwrap();
    assert_eq!(part, Booked::Now(Amount::from_micros(400)));
    let rest = pay(database, &payout(None), "p2").await.unwrap();
    assert_eq!(rest, Booked::Now(Amount::from_micros(500)));
    let none = pay(database, &payout(None), "p3").await;
    assert!(matches!(none, Err(PaymentError::Amount)), "{none:?}");
    site.check().await;
}
