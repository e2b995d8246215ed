//! Versions on trial, promoted, and the way back.

use nacre_protocol::api::market::{RollBack, SetCanary};
use nacre_protocol::api::{Deployment, Function, Version};
use nacre_protocol::control::FunctionState::{Failed, Ready};
use nacre_protocol::digest::Digest;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::support::{Server, TestNode, expect, refused};

/// A server with three nodes, and two versions of `iris` of which the first runs on two nodes.
struct Market {
    server: Server,
    nodes: [TestNode; 3],
    old: Version,
    new: Version,
    first: Deployment,
}

impl Market {
    async fn start() -> Self {
        let mut server = Server::start().await;
        let mut nodes = [1, 2, 3].map(|n| TestNode::new(n, 1 << 30, u64::from(n)));
        for node in &mut nodes {
            server.register(node).await;
        }
        let old = server.function("iris", "1MiB", "one").await;
        let new = server.function("iris", "1MiB", "two").await;
        let first = server.deploy(&old, 2).await;
        let market = Self {
            server,
            nodes,
            old,
            new,
            first,
        };
        market.settle().await;
        market
    }

    /// Every node reports all that it shall run as ready and idle, until nothing is in progress.
    async fn settle(&self) {
        for _ in 0..4 {
            for node in &self.nodes {
                self.server.report(node, Ready).await;
            }
            self.server.pass(2500);
        }
        for node in &self.nodes {
            self.server.report(node, Ready).await;
        }
        self.server.audit().await;
    }

    fn post(&self, what: &str) -> RequestBuilder {
        let path = format!("/v1/functions/iris/{what}");
        self.server.request(Method::POST, &path)
    }

    fn canary(&self, digest: Digest, weight: u32) -> RequestBuilder {
        self.post("canary").json(&SetCanary { digest, weight })
    }

    async fn function(&self) -> Function {
        self.server.get("/v1/functions/iris").await
    }

    /// Each digest's weight and how many nodes answer for it, the old version first.
    async fn routes(&self) -> [Option<(u32, usize)>; 2] {
        let routes = self.function().await.routes;
        [self.old.digest, self.new.digest].map(|digest| {
            let route = routes.iter().find(|route| route.digest == digest)?;
            Some((route.weight, route.nodes.len()))
        })
    }
}

#[tokio::test]
async fn a_canary_gets_its_part_when_it_answers_and_all_when_it_is_promoted() {
    let market = Market::start().await;
    assert_eq!(market.routes().await, [Some((10_000, 2)), None]);

    let canary: Deployment = expect(market.canary(market.new.digest, 1000), 201).await;
    assert_eq!((canary.canary_weight, canary.wanted), (Some(1000), 1));
    // Callers may name it before it answers; nothing goes there yet.
    let before = market.routes().await;
    assert_eq!(before[1], Some((0, 0)));
    market.settle().await;
    let [old, new] = market.routes().await.map(Option::unwrap);
    assert_eq!((old.0, new), (9000, (1000, 1)));
    let function = market.function().await;
    assert_eq!(function.canary.map(|canary| canary.state), Some(Ready));
    assert_eq!(function.deployment.unwrap().id, market.first.id);

    // The same digest again: another part, the same deployment.
    let more: Deployment = expect(market.canary(market.new.digest, 5000), 201).await;
    assert_eq!((more.id, more.canary_weight), (canary.id, Some(5000)));
    assert_eq!(market.routes().await[1].unwrap().0, 5000);

    let live: Deployment = expect(market.post("promote").json(&json!({})), 200).await;
    assert_eq!((live.id, live.canary_weight), (canary.id, None));
    assert_eq!((live.replicas, live.wanted), (2, 2));
    market.settle().await;
    assert_eq!(market.routes().await, [None, Some((10_000, 2))]);
    let replaced = market.server.deployment(market.first.id).await;
    assert_eq!(replaced.state, Failed);
    let function = market.function().await;
    assert_eq!(function.canary, None);
    assert_eq!(function.deployment.unwrap().state, Ready);
}

#[tokio::test]
async fn going_back_ends_the_trial_or_turns_the_last_update_around() {
    let market = Market::start().await;
    let back = |from| market.post("rollback").json(&RollBack { from });
    refused(back(None), 409, "no-other-version").await;

    let canary: Deployment = expect(market.canary(market.new.digest, 5000), 201).await;
    market.settle().await;
    let live: Deployment = expect(back(Some(canary.id)), 200).await;
    assert_eq!(live.id, market.first.id);
    market.settle().await;
    assert_eq!(market.routes().await, [Some((10_000, 2)), None]);

    let second = market.server.deploy(&market.new, 3).await;
    market.settle().await;
    assert_eq!(market.routes().await, [None, Some((10_000, 3))]);
    refused(back(Some(market.first.id)), 409, "not-that-deployment").await;
    // The version goes back, the terms stay. Asked twice with one key it goes back once.
    for _ in 0..2 {
        let post = back(Some(second.id)).header("idempotency-key", "back");
        let live: Deployment = expect(post, 200).await;
        assert_eq!((live.id, live.replicas), (market.first.id, 3));
    }
    market.settle().await;
    assert_eq!(market.routes().await, [Some((10_000, 3)), None]);
    let ended = market.server.deployment(second.id).await;
    let reason = format!("replaced by deployment {}", market.first.id);
    assert_eq!(ended.reason, Some(reason));
    // And forth again.
    let live: Deployment = expect(back(None), 200).await;
    assert_eq!(live.id, second.id);
}

#[tokio::test]
async fn trials_that_cannot_be_are_refused() {
    let market = Market::start().await;
    refused(market.canary(market.old.digest, 1), 409, "same-version").await;
    let unknown = Digest::of(b"unknown");
    refused(market.canary(unknown, 1), 404, "version-not-found").await;
    for weight in [0, 10_000, u32::MAX] {
        let put = market.canary(market.new.digest, weight);
        refused(put, 422, "canary-weight").await;
    }
    // A refusal leaves nothing behind.
    assert_eq!(market.function().await.canary, None);
    let promote = market.post("promote").json(&json!({}));
    refused(promote, 409, "no-other-version").await;
    let other = market.server.function("other", "1MiB", "x").await;
    let path = "/v1/functions/other/canary";
    let body = SetCanary {
        digest: other.digest,
        weight: 1,
    };
    let post = market.server.request(Method::POST, path).json(&body);
    refused(post, 409, "not-deployed").await;
}
