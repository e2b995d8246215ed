use nacre_protocol::api::Page;
use nacre_protocol::api::incidents::Incident;
use nacre_protocol::ids::NodeId;
use reqwest::Method;

use crate::support::{START_MS, Server, TestNode, refused, statement};

async fn noted(server: &Server) -> Vec<(NodeId, String)> {
    let page: Page<Incident> = server.get("/v1/incidents").await;
    let noted = page.items.into_iter();
    noted
        .map(|incident| (incident.node, incident.code))
        .collect()
}

#[tokio::test]
async fn an_enclave_that_is_offered_twice_is_noted_against_the_node_that_has_it() {
    let mut server = Server::start().await;
    let mut node = TestNode::new(1, 1, 1);
    server.register(&mut node).await;
    let mut second = TestNode::new(2, 1, 1);
    second.statement = statement(1);
    for _ in 0..3 {
        let nonce = server.challenge().await;
        let request = second.registration(&mut server.nsm, nonce, START_MS);
        let post = server.anonymous(Method::POST, "/v1/nodes").json(&request);
        refused(post, 409, "boot-id-taken").await;
    }
    // Once a minute, however often.
    assert_eq!(
        noted(&server).await,
        [(node.id, "boot-id-taken".to_owned())]
    );
}

#[tokio::test]
async fn evidence_of_another_registration_is_noted_against_who_signed_for_it_and_nobody_else() {
    let mut server = Server::start().await;
    let (mut node, other) = (TestNode::new(1, 1, 1), TestNode::new(2, 1, 1));
    server.register(&mut node).await;
    let mut replay = async |who: &TestNode| {
        let nonce = server.challenge().await;
        let mut request = who.registration(&mut server.nsm, nonce, START_MS);
        let others = TestNode::new(3, 1, 1);
        let taken = others.registration(&mut server.nsm, nonce, START_MS);
        request.evidence = taken.evidence;
        let post = server.anonymous(Method::POST, "/v1/nodes").json(&request);
        refused(post, 403, "evidence-not-bound").await;
        noted(&server).await
    };
    // Nobody knows this node, and what strangers send leaves nothing.
    assert_eq!(replay(&other).await, []);
    // Another operator in the node's name does not blacken it.
    let mut stranger = TestNode::new(4, 1, 1);
    stranger.id = node.id;
    assert_eq!(replay(&stranger).await, []);
    let expected = [(node.id, "evidence-not-bound".to_owned())];
    assert_eq!(replay(&node).await, expected);
}
