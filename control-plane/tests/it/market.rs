//! What the market promises of orders, nodes and loads, and that its log and the tables tell the same.

use ed25519_dalek::Signer as _;
use nacre_control_plane::Database;
use nacre_protocol::api::commands::{NodeCommand, SignedCommand, command_message};
use nacre_protocol::api::market::{Demand, Placement, Scaling};
use nacre_protocol::api::{Deployment, Function, Node, Page};
use nacre_protocol::control::FunctionState::{Loading, Ready};
use reqwest::{Method, RequestBuilder, StatusCode};
use sqlx::Connection as _;

use crate::support::{Server, TestNode, expect, order, refused};

const GIB: u64 = 1 << 30;

async fn market<const N: usize>(prices: [u64; N]) -> (Server, [TestNode; N]) {
    let mut server = Server::start().await;
    let mut n = 0;
    let mut nodes = prices.map(|price| {
        n += 1;
        TestNode::new(n, GIB, price)
    });
    for node in &mut nodes {
        server.register(node).await;
    }
    (server, nodes)
}

/// Every node reports what it shall run as ready, with so many requests in it.
async fn work(server: &Server, nodes: &[TestNode], in_flight: u32) {
    for node in nodes {
        let desired = server.desired(node, "").await;
        let functions =
            desired
                .functions
                .iter()
                .map(|function| nacre_protocol::api::ObservedFunction {
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
}

/// A function that sleeps when nobody calls it.
async fn elastic(server: &Server) -> Deployment {
    let version = server.function("iris", "1MiB", "model").await;
    let mut order = order(&version, 0);
    order.scaling = Some(Scaling {
        target_in_flight: 4,
        stable_ms: 5_000,
        idle_ms: 10_000,
        ..Scaling::up_to(3)
    });
    let post = server.request(Method::POST, "/v1/deployments").json(&order);
    expect(post, 201).await
}

fn demand(server: &Server, waiting: u32) -> RequestBuilder {
    let demand = Demand {
        source: "gateway-1".to_owned(),
        waiting,
        oldest_wait_ms: 0,
    };
    let path = "/v1/functions/iris/demand";
    server.request(Method::POST, path).json(&demand)
}

#[tokio::test]
async fn replicas_follow_the_load_down_to_none_and_the_first_caller_wakes_them() {
    let (server, nodes) = market([1, 2, 3]).await;
    let deployment = elastic(&server).await;
    assert_eq!((deployment.replicas, deployment.wanted), (0, 1));
    work(&server, &nodes, 9).await;
    let grown = server.until(deployment.id, |d| d.leases.len() == 3).await;
    assert_eq!(grown.wanted, 3);

    // Nothing to do any more: first fewer, then none.
    let asleep = async {
        loop {
            work(&server, &nodes, 0).await;
            server.pass(1_000);
            let now = server.deployment(deployment.id).await;
            if now.leases.is_empty() {
                return now;
            }
        }
    };
    let asleep = tokio::time::timeout(std::time::Duration::from_secs(30), asleep).await;
    let asleep = asleep.expect("it sleeps");
    assert_eq!((asleep.state, asleep.wanted), (Ready, 0));
    let function: Function = server.get("/v1/functions/iris").await;
    assert!(function.routes.iter().all(|route| route.weight == 0));

    let told = demand(&server, 1).send().await.unwrap();
    assert_eq!(told.status(), StatusCode::NO_CONTENT);
    let awake = server.deployment(deployment.id).await;
    assert_eq!(
        (awake.state, awake.wanted, awake.leases.len()),
        (Loading, 1, 1)
    );
    server.audit().await;
}

#[tokio::test]
async fn words_about_demand_are_checked() {
    let (server, _) = market([1]).await;
    refused(demand(&server, 1), 404, "function-not-found").await;
    elastic(&server).await;
    for source in ["", "with space", &"x".repeat(65)] {
        let demand = Demand {
            source: source.to_owned(),
            waiting: 1,
            oldest_wait_ms: 0,
        };
        let path = "/v1/functions/iris/demand";
        let post = server.request(Method::POST, path).json(&demand);
        refused(post, 422, "json-invalid").await;
    }
    // Nonsense wakes it and nothing else.
    let path = "/v1/functions/iris/demand";
    let post = server.request(Method::POST, path).json(&Demand {
        source: "g".to_owned(),
        waiting: u32::MAX,
        oldest_wait_ms: u64::MAX,
    });
    assert_eq!(post.send().await.unwrap().status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn orders_say_where_their_replicas_run_and_who_goes_first() {
    let mut server = Server::start().await;
    let mut near = TestNode::new(1, GIB, 9);
    near.region = "eu-central-1".to_owned();
    let mut far = TestNode::new(2, GIB, 1);
    let mut twin = TestNode::new(3, GIB, 2);
    twin.operator = far.operator.clone();
    for node in [&mut near, &mut far, &mut twin] {
        server.register(node).await;
    }
    let nodes: Page<Node> = server.get("/v1/nodes").await;
    assert_eq!(nodes.items[0].region, "eu-central-1");
    let place = async |name: &str, replicas, placement: Placement| -> Deployment {
        let version = server.function(name, "1MiB", name).await;
        let mut order = order(&version, replicas);
        order.placement = placement;
        let post = server.request(Method::POST, "/v1/deployments").json(&order);
        expect(post, 201).await
    };
    let regional = Placement {
        regions: vec!["eu-central-1".to_owned()],
        ..Placement::default()
    };
    let regional = place("regional", 1, regional).await;
    assert_eq!(regional.leases[0].node, near.id);
    let spread = Placement {
        max_per_operator: Some(1),
        ..Placement::default()
    };
    let spread = place("spread", 2, spread).await;
    let mut at: Vec<_> = spread.leases.iter().map(|lease| lease.node).collect();
    at.sort();
    assert_eq!(at, [near.id, far.id]);

    // All memory is taken; of two that wait the one with the higher priority gets what comes.
    let filling = server.function("filling", "900MiB", "f").await;
    server.deploy(&filling, 3).await;
    let low = Placement::default();
    let high = Placement {
        priority: 9,
        ..Placement::default()
    };
    let mut waiting = Vec::new();
    for (name, placement) in [("low", low), ("high", high)] {
        let version = server.function(name, "512MiB", name).await;
        let mut order = order(&version, 1);
        order.placement = placement;
        let post = server.request(Method::POST, "/v1/deployments").json(&order);
        let placed: Deployment = expect(post, 201).await;
        assert_eq!(placed.leases, []);
        waiting.push(placed.id);
    }
    let mut new = TestNode::new(4, 600 << 20, 5);
    server.register(&mut new).await;
    assert_eq!(server.deployment(waiting[0]).await.leases, []);
    assert_eq!(server.deployment(waiting[1]).await.leases.len(), 1);
    server.audit().await;
}

#[tokio::test]
async fn terms_that_cannot_be_kept_are_refused() {
    let server = Server::start().await;
    let version = server.function("iris", "1MiB", "model").await;
    let scaling = Scaling::up_to(3);
    let cases = [
        (
            0,
            Some(Scaling::up_to(0)),
            Placement::default(),
            "replicas-out-of-range",
        ),
        (
            4,
            Some(scaling),
            Placement::default(),
            "replicas-out-of-range",
        ),
        (
            1,
            Some(Scaling::up_to(101)),
            Placement::default(),
            "replicas-out-of-range",
        ),
        (
            1,
            Some(Scaling {
                target_in_flight: 0,
                ..scaling
            }),
            Placement::default(),
            "bad-scaling",
        ),
        (
            1,
            Some(Scaling {
                idle_ms: u64::MAX,
                ..scaling
            }),
            Placement::default(),
            "bad-scaling",
        ),
        (
            1,
            None,
            Placement {
                regions: vec![String::new()],
                ..Placement::default()
            },
            "bad-name",
        ),
        (
            1,
            None,
            Placement {
                regions: vec!["r".to_owned(); 17],
                ..Placement::default()
            },
            "too-many-regions",
        ),
        (
            1,
            None,
            Placement {
                max_per_operator: Some(0),
                ..Placement::default()
            },
            "bad-spread",
        ),
        (
            1,
            None,
            Placement {
                min_score: 10_001,
                ..Placement::default()
            },
            "score-out-of-range",
        ),
    ];
    for (replicas, scaling, placement, code) in cases {
        let mut order = order(&version, replicas);
        order.scaling = scaling;
        order.placement = placement;
        let post = server.request(Method::POST, "/v1/deployments").json(&order);
        refused(post, 422, code).await;
    }
    // None of them left anything behind.
    let function: Function = server.get("/v1/functions/iris").await;
    assert_eq!(function.deployment, None);
}

fn drain(until_ms: u64) -> NodeCommand {
    NodeCommand::Drain {
        until_ms,
        back_ms: None,
    }
}

pub(crate) async fn command(
    server: &Server,
    node: &TestNode,
    command: NodeCommand,
) -> RequestBuilder {
    let nonce = server.challenge().await;
    let message = command_message(&nonce, &node.id, command);
    let signed = SignedCommand {
        command,
        nonce,
        signature: node.operator.sign(&message).to_bytes(),
    };
    let path = format!("/v1/nodes/{}/commands", node.id);
    server.anonymous(Method::POST, &path).json(&signed)
}

pub(crate) async fn commanded(server: &Server, node: &TestNode, what: NodeCommand) {
    let request = command(server, node, what).await;
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT, "{what:?}");
}

fn ask(price: u64, cpu_price: Option<u64>) -> NodeCommand {
    NodeCommand::Ask { price, cpu_price }
}

#[tokio::test]
async fn a_node_that_leaves_is_empty_when_what_it_ran_answers_elsewhere() {
    let (server, nodes) = market([1, 2]).await;
    let version = server.function("iris", "1MiB", "model").await;
    let deployment = server.deploy(&version, 1).await;
    server.report(&nodes[0], Ready).await;
    let until_ms = server.now_ms() + 600_000;
    commanded(&server, &nodes[0], drain(until_ms)).await;
    let moving = server.deployment(deployment.id).await;
    assert_eq!(moving.leases.len(), 2, "it goes on until the other answers");
    assert_eq!(server.desired(&nodes[0], "").await.functions.len(), 1);
    let shown: Page<Node> = server.get("/v1/nodes").await;
    assert_eq!(shown.items[0].leaves_ms, Some(until_ms));

    server.report(&nodes[1], Ready).await;
    server.report(&nodes[0], Ready).await;
    server.pass(2_500);
    server.report(&nodes[0], Ready).await;
    assert_eq!(server.desired(&nodes[0], "").await.functions, []);
    let moved = server.deployment(deployment.id).await;
    assert_eq!((moved.state, moved.leases[0].node), (Ready, nodes[1].id));

    // It stays after all, and asks more than the other: what comes goes there.
    commanded(&server, &nodes[0], NodeCommand::Keep).await;
    commanded(&server, &nodes[0], ask(3, None)).await;
    let shown: Page<Node> = server.get("/v1/nodes").await;
    let first = &shown.items[0];
    assert_eq!((first.leaves_ms, first.offer.price), (None, 3));
    let other = server.function("other", "1MiB", "b").await;
    let other = server.deploy(&other, 1).await;
    assert_eq!(other.leases[0].node, nodes[1].id);
    server.audit().await;
}

#[tokio::test]
async fn only_the_operator_commands_a_node_and_each_command_counts_once() {
    let (server, [mine, other]) = market([1, 2]).await;
    let seven = ask(7, None);
    let mut forged = TestNode::new(1, GIB, 1);
    forged.operator = other.operator.clone();
    let request = command(&server, &forged, seven).await;
    refused(request, 403, "signature-invalid").await;
    let unknown = TestNode::new(9, GIB, 1);
    let request = command(&server, &unknown, seven).await;
    refused(request, 403, "signature-invalid").await;

    let once = command(&server, &mine, seven).await;
    let again = once.try_clone().unwrap();
    assert_eq!(once.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    refused(again, 403, "nonce-invalid").await;
    let old = command(&server, &mine, seven).await;
    server.pass(61_000);
    refused(old, 403, "nonce-invalid").await;
    let price = ask(u64::MAX, None);
    let request = command(&server, &mine, price).await;
    refused(request, 422, "price-out-of-range").await;
    let late = drain(u64::MAX);
    let request = command(&server, &mine, late).await;
    refused(request, 422, "drain-too-late").await;
}

/// Runs SQL on the database of a stopped server.
pub(crate) async fn run(server: &Server, sql: &'static str) {
    let url = match &server.database {
        Database::Postgres(url) => url.to_string(),
        Database::Folder(folder) => format!("sqlite://{}/nacre.db", folder.display()),
    };
    sqlx::any::install_default_drivers();
    let mut connection = sqlx::AnyConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_database_without_a_log_goes_on_with_what_runs() {
    let (mut server, nodes) = market([1, 2, 3]).await;
    let old = server.function("iris", "1MiB", "one").await;
    let new = server.function("iris", "1MiB", "two").await;
    let first = server.deploy(&old, 2).await;
    work(&server, &nodes, 0).await;
    let second = server.deploy(&new, 2).await;
    for _ in 0..4 {
        work(&server, &nodes, 0).await;
        server.pass(2_500);
    }
    work(&server, &nodes, 0).await;
    // Beside it an order that waits.
    let large = server.function("large", "2GiB", "large").await;
    let large = server.deploy(&large, 1).await;
    let before = [first.id, second.id, large.id];
    let mut told = Vec::new();
    for id in before {
        told.push(server.deployment(id).await);
    }
    let function: Function = server.get("/v1/functions/iris").await;
    server.audit().await;
    server.stop().await;
    run(
        &server,
        "DELETE FROM market_events; DELETE FROM market_snapshots",
    )
    .await;
    server.resume().await;
    server.audit().await;
    for (id, told) in before.into_iter().zip(told) {
        let now = server.deployment(id).await;
        assert_eq!(
            (now.leases, now.state, now.wanted),
            (told.leases, told.state, told.wanted)
        );
    }
    let after: Function = server.get("/v1/functions/iris").await;
    assert_eq!(after.routes, function.routes);
    // And the way back is still open.
    let back = server.request(Method::POST, "/v1/functions/iris/rollback");
    let live: Deployment = expect(back.json(&serde_json::json!({})), 200).await;
    assert_eq!(live.id, first.id);
    server.audit().await;
}

#[tokio::test]
async fn a_log_of_later_rules_is_left_alone() {
    let mut server = Server::start().await;
    server.stop().await;
    run(&server, "UPDATE market_snapshots SET format = 1000000").await;
    let refused = server.another().await.unwrap_err();
    assert!(refused.to_string().contains("market-too-new"), "{refused}");
    // One of earlier rules gives way to what the tables say.
    run(&server, "UPDATE market_snapshots SET format = 0").await;
    server.resume().await;
    server.audit().await;
}
