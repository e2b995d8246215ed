//! The market hears of what changes, and looks at nothing else: loads, conduct, weights.

use std::time::Duration;

use nacre_control_plane::keys::{self, KeyOrder, Scope};
use nacre_control_plane::shares::{self, WeightError};
use nacre_protocol::api::incidents::Conduct;
use nacre_protocol::api::market::{Demand, Placement, Scaling};
use nacre_protocol::api::{Deployment, ObservedFunction, Page};
use nacre_protocol::control::FunctionState::Ready;
use reqwest::{Method, StatusCode};

use crate::market::run;
use crate::support::{START_MS, Server, TestNode, expect, order, refused, statement};

const MIB: u64 = 1 << 20;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// Waits until the database says so.
async fn until(server: &Server, sql: &'static str, wanted: i64) {
    let poll = async {
        while server.number(sql).await != wanted {
            tokio::task::yield_now().await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(30), poll).await;
    done.unwrap_or_else(|_| panic!("{sql} never comes to {wanted}"));
}

/// A function whose replicas follow the load.
async fn elastic(server: &Server, name: &str) -> Deployment {
    let version = server.function(name, "1MiB", name).await;
    let mut order = order(&version, 0);
    order.scaling = Some(Scaling::up_to(3));
    let post = server.request(Method::POST, "/v1/deployments").json(&order);
    expect(post, 201).await
}

/// The node has all that it shall run, with so many requests in each.
async fn busy(server: &Server, node: &TestNode, in_flight: u32) {
    let desired = server.desired(node, "").await;
    let functions = desired.functions.iter().map(|function| ObservedFunction {
        lease: function.lease,
        digest: function.digest,
        state: Ready,
        error: None,
        in_flight: Some(in_flight),
        oldest_wait_ms: Some(0),
    });
    let report = node.report(functions.collect(), vec![]);
    let response = server.observe(node, &report).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

const TO_LOOK_AT: &str =
    "SELECT CAST(COUNT(*) AS BIGINT) FROM orders WHERE look_ms IS NOT NULL AND look_ms <= 0";

#[tokio::test]
async fn a_load_that_did_not_change_is_not_read_again() {
    let mut server = Server::start().await;
    let (mut one, mut two) = (TestNode::new(1, MIB, 1), TestNode::new(2, MIB, 1));
    server.register(&mut one).await;
    elastic(&server, "iris").await;
    server.register(&mut two).await;
    elastic(&server, "rose").await;
    busy(&server, &one, 1).await;
    busy(&server, &two, 1).await;
    until(&server, TO_LOOK_AT, 0).await;
    let told = "SELECT CAST(SUM(in_flight) AS BIGINT) FROM orders";
    until(&server, told, 2).await;
    // Behind its back: whoever reads all loads finds it.
    run(
        &server,
        "UPDATE leases SET in_flight = 3 WHERE function = 'rose'",
    )
    .await;
    busy(&server, &one, 2).await;
    until(
        &server,
        "SELECT in_flight FROM orders WHERE function = 'iris'",
        2,
    )
    .await;
    until(&server, TO_LOOK_AT, 0).await;
    let rose = "SELECT in_flight FROM orders WHERE function = 'rose'";
    assert_eq!(server.number(rose).await, 1);
    // And whoever does not misses nothing that is said.
    busy(&server, &two, 4).await;
    until(&server, rose, 4).await;
    server.audit().await;
}

#[tokio::test]
async fn what_silent_nodes_and_gateways_said_ends_by_itself() {
    let mut server = Server::start().await;
    let mut node = TestNode::new(1, MIB, 1);
    server.register(&mut node).await;
    elastic(&server, "iris").await;
    busy(&server, &node, 3).await;
    let demand = Demand {
        source: "gateway-1".to_owned(),
        waiting: 5,
        oldest_wait_ms: 0,
    };
    let post = server.request(Method::POST, "/v1/functions/iris/demand");
    let said = post.json(&demand).send().await.unwrap();
    assert_eq!(said.status(), StatusCode::NO_CONTENT);
    let told = "SELECT in_flight FROM orders";
    until(&server, told, 8).await;
    // The gateway says nothing more.
    server.pass(9_999);
    busy(&server, &node, 2).await;
    until(&server, told, 7).await;
    server.pass(2);
    until(&server, told, 2).await;
    // Nor does the node.
    server.pass(3_600_000);
    until(&server, told, 0).await;
    busy(&server, &node, 1).await;
    until(&server, told, 1).await;
    server.audit().await;
}

/// An incident that only the node's own host can bring about.
async fn misbehave(server: &mut Server, n: u8) {
    let mut second = TestNode::new(200, 1, 1);
    second.statement = statement(n);
    let nonce = server.challenge().await;
    let now = server.now_ms();
    let request = second.registration(&mut server.nsm, nonce, now);
    let post = server.anonymous(Method::POST, "/v1/nodes").json(&request);
    refused(post, 409, "boot-id-taken").await;
}

async fn placed_by(server: &Server) -> Vec<(u32, u32)> {
    let page: Page<Conduct> = server.get("/v1/conduct").await;
    let all = page.items.iter();
    all.map(|conduct| (conduct.score, conduct.placed_by))
        .collect()
}

#[tokio::test]
async fn a_node_with_an_incident_loses_ties_and_orders_that_ask_for_more_until_it_is_old() {
    let mut server = Server::start().await;
    let (mut bad, mut good) = (TestNode::new(1, 8 * MIB, 1), TestNode::new(2, 8 * MIB, 1));
    server.register(&mut bad).await;
    server.register(&mut good).await;
    let place = async |server: &Server, name: &str, replicas, min_score| -> Deployment {
        let version = server.function(name, "1MiB", name).await;
        let mut order = order(&version, replicas);
        order.placement = Placement {
            min_score,
            ..Placement::default()
        };
        let post = server.request(Method::POST, "/v1/deployments").json(&order);
        expect(post, 201).await
    };
    // They ask the same, and nobody has said anything: the lower id wins.
    let tie = place(&server, "before", 1, 10_000).await;
    assert_eq!(tie.leases[0].node, bad.id);

    misbehave(&mut server, 1).await;
    let conduct = "SELECT conduct FROM nodes ORDER BY id LIMIT 1";
    until(&server, conduct, 5_000).await;
    assert_eq!(placed_by(&server).await, [(5_000, 5_000), (10_000, 10_000)]);
    let tie = place(&server, "tie", 1, 0).await;
    assert_eq!(tie.leases[0].node, good.id);
    let two = place(&server, "two", 2, 5_001).await;
    assert_eq!(two.leases.len(), 1);
    let reason = server.deployment(two.id).await.reason.unwrap();
    assert!(reason.contains("below the minimum score"), "{reason}");

    // It registers anew, and is known all the same.
    server.register(&mut bad).await;
    assert_eq!(server.deployment(two.id).await.leases.len(), 1);

    // Day by day it counts less.
    for node in [&bad, &good] {
        busy(&server, node, 0).await;
    }
    server.pass(DAY_MS);
    until(&server, conduct, 5_714).await;
    for node in [&bad, &good] {
        busy(&server, node, 0).await;
    }
    server.until(two.id, |two| two.leases.len() == 2).await;
    for node in [&bad, &good] {
        busy(&server, node, 0).await;
    }
    server.pass(6 * DAY_MS);
    until(&server, conduct, 10_000).await;
    assert_eq!(placed_by(&server).await, [(10_000, 10_000); 2]);
    for node in [&bad, &good] {
        busy(&server, node, 0).await;
    }
    let tie = place(&server, "after", 1, 10_000).await;
    assert_eq!(tie.leases[0].node, bad.id);
    server.audit().await;
}

#[tokio::test]
async fn organisations_share_what_is_short_by_the_weights_that_were_set() {
    let mut server = Server::start().await;
    let others = KeyOrder {
        name: "others".to_owned(),
        organisation: "others".parse().unwrap(),
        scopes: Scope::OF_ORGANISATIONS.into(),
        lifetime: None,
    };
    let key = keys::create_with(&server.database, &others)
        .await
        .unwrap()
        .key;
    let weigh = async |server: &Server, name: &str, weight| {
        shares::weight(&server.database, &name.parse().unwrap(), weight).await
    };
    assert_eq!(weigh(&server, "others", None).await.unwrap(), 1);
    assert_eq!(weigh(&server, "others", Some(3)).await.unwrap(), 3);
    assert_eq!(weigh(&server, "others", None).await.unwrap(), 3);
    let refused = weigh(&server, "others", Some(0)).await.unwrap_err();
    assert!(matches!(refused, WeightError::Range));
    let refused = weigh(&server, "strangers", Some(2)).await.unwrap_err();
    assert!(matches!(refused, WeightError::NotFound(_)));
    let untold = "SELECT CAST(COUNT(*) AS BIGINT) FROM organisations WHERE weight <> told_weight";
    until(&server, untold, 0).await;

    let mut waiting = Vec::new();
    for n in 0..4 {
        let version = server.function(&format!("first-{n}"), "1MiB", "m").await;
        waiting.push(server.deploy(&version, 1).await.id);
    }
    let first = core::mem::replace(&mut server.key, key);
    for n in 0..4 {
        let version = server.function(&format!("second-{n}"), "1MiB", "m").await;
        server.deploy(&version, 1).await;
    }
    let mut node = TestNode::new(1, 4 * MIB, 1);
    server.register(&mut node).await;
    let held = "SELECT CAST(COUNT(*) AS BIGINT) FROM leases
                WHERE ended_ms IS NULL AND function LIKE 'second-%'";
    assert_eq!(server.number(held).await, 3);
    let all = "SELECT CAST(COUNT(*) AS BIGINT) FROM leases WHERE ended_ms IS NULL";
    assert_eq!(server.number(all).await, 4);
    server.key = first;
    server.audit().await;

    // A market that begins anew knows them too.
    server.stop().await;
    run(
        &server,
        "DELETE FROM market_events; DELETE FROM market_snapshots",
    )
    .await;
    server.resume().await;
    assert_eq!(server.number(untold).await, 0);
    assert_eq!(server.number(held).await, 3);
    server.audit().await;
    assert!(server.now_ms() >= START_MS);
}

/// What an audit of a stopped server finds, by its codes.
async fn found(server: &Server) -> Vec<&'static str> {
    let report = nacre_control_plane::audit::audit(&server.database).await;
    let report = report.unwrap();
    let mut codes: Vec<_> = report.findings.iter().map(|f| f.code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

#[tokio::test]
async fn a_log_or_a_table_that_was_meddled_with_is_found() {
    let cases = [
        (
            "UPDATE market_events SET wake_ms = COALESCE(wake_ms, 0) + 1",
            "market-log",
        ),
        (
            "UPDATE market_events SET at_ms = 1 WHERE seq = (SELECT MAX(seq) FROM market_events)",
            "market-log",
        ),
        (
            "DELETE FROM market_events WHERE seq = (SELECT MAX(seq) - 1 FROM market_events)",
            "market-log",
        ),
        ("DELETE FROM market_events", "market-log"),
        (
            "UPDATE market_events SET event = 'nonsense' WHERE seq = (SELECT MAX(seq) FROM market_events)",
            "market-log",
        ),
        ("UPDATE market_events SET mark = 'another'", "market-log"),
        ("UPDATE market_snapshots SET state = 'AAAA'", "market-log"),
        ("DELETE FROM market_snapshots", "market-log"),
        (
            "UPDATE market_events SET event = '{\"event\":\"tick\"}' WHERE event LIKE '%\"ordered\"%'",
            "market-tables",
        ),
        ("UPDATE leases SET until_ms = until_ms + 1", "market-tables"),
        ("UPDATE orders SET target = 7", "market-tables"),
        ("DELETE FROM routes", "market-tables"),
        ("UPDATE nodes SET leaves_ms = 5", "market-tables"),
        ("UPDATE organisations SET told_weight = 2", "market-tables"),
    ];
    let mut server = Server::start().await;
    let mut node = TestNode::new(1, 4 * MIB, 1);
    server.register(&mut node).await;
    let version = server.function("iris", "1MiB", "model").await;
    server.deploy(&version, 1).await;
    server.report(&node, Ready).await;
    server.stop().await;
    assert_eq!(found(&server).await, Vec::<&str>::new());
    let kept = Kept::of(&server).await;
    for (sql, code) in cases {
        run(&server, sql).await;
        let codes = found(&server).await;
        assert!(codes.contains(&code), "{sql}: {codes:?}");
        kept.put_back(&server).await;
        assert_eq!(found(&server).await, Vec::<&str>::new(), "{sql}");
    }
}

/// Copies of the tables that are meddled with.
struct Kept;

impl Kept {
    async fn of(server: &Server) -> Self {
        run(
            server,
            "CREATE TABLE kept_events AS SELECT * FROM market_events;
             CREATE TABLE kept_snapshots AS SELECT * FROM market_snapshots;
             CREATE TABLE kept_routes AS SELECT * FROM routes;
             CREATE TABLE kept_orders AS SELECT function, target FROM orders;
             CREATE TABLE kept_leases AS SELECT id, until_ms FROM leases",
        )
        .await;
        Self
    }

    async fn put_back(&self, server: &Server) {
        run(
            server,
            "DELETE FROM market_events; INSERT INTO market_events SELECT * FROM kept_events;
             DELETE FROM market_snapshots; INSERT INTO market_snapshots SELECT * FROM kept_snapshots;
             DELETE FROM routes; INSERT INTO routes SELECT * FROM kept_routes;
             UPDATE orders SET target = (SELECT k.target FROM kept_orders k WHERE k.function = orders.function);
             UPDATE leases SET until_ms = (SELECT k.until_ms FROM kept_leases k WHERE k.id = leases.id);
             UPDATE nodes SET leaves_ms = NULL;
             UPDATE organisations SET told_weight = 1",
        )
        .await;
    }
}
