//! From a caller to a node that answers, whatever the others do.

use std::time::Duration;

use nacre_gateway::counters::Refusal;
use nacre_gateway::health::HealthTiming;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::callers::{connect_from, iris, next_byte, rest, say, who_answers};
use crate::nodes::{Manner, PlayedNode, Seen, nowhere};
use crate::world::{AFTER_FAILURES, World, iris_on, limits, until};

#[tokio::test]
async fn every_byte_arrives_untouched_and_the_node_learns_who_calls() {
    let node = PlayedNode::start(Manner::Answers(b'a')).await;
    let world = World::with_nodes(&[node.address]).await;
    let mut caller = connect_from([127, 0, 0, 9], world.address).await;
    let hello = iris();
    // In pieces, as a slow network brings them.
    for piece in hello.chunks(100) {
        caller.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(next_byte(&mut caller).await, Some(b'a'));
    let seen = Seen {
        caller: Some(caller.local_addr().unwrap()),
        hello: hello.clone(),
    };
    assert_eq!(node.seen(), [seen]);

    let bulk: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let (mut from, mut to) = caller.into_split();
    let sent = bulk.clone();
    let sending = tokio::spawn(async move {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    from.read_to_end(&mut back).await.unwrap();
    sending.await.unwrap();
    assert!(back == bulk, "{} bytes came back", back.len());
    let (inward, outward) = (hello.len() + bulk.len(), 1 + bulk.len());
    world
        .until("all is counted", |seen| {
            seen.open == 0 && (seen.bytes_in, seen.bytes_out) == (inward as u64, outward as u64)
        })
        .await;
}

#[tokio::test]
async fn a_dead_node_costs_one_connection_a_detour_and_nobody_an_error() {
    let (first, second) = (
        PlayedNode::start(Manner::Answers(b'a')).await,
        PlayedNode::start(Manner::Answers(b'b')).await,
    );
    let world = World::with_nodes(&[first.address, second.address]).await;
    first.kill().await;
    for _ in 0..40 {
        assert_eq!(who_answers(world.address).await, Some(b'b'));
    }
    assert_eq!(world.seen().tried_again, 1);
}

#[tokio::test]
async fn what_a_node_does_not_answer_is_said_to_another_in_the_same_words() {
    for manner in [Manner::Ends, Manner::Resets, Manner::Hangs] {
        let bad = PlayedNode::start(manner).await;
        let good = PlayedNode::start(Manner::Answers(b'g')).await;
        let world = World::with_nodes(&[bad.address, good.address]).await;
        // Until the draw falls on the bad one.
        while bad.seen().is_empty() {
            assert_eq!(who_answers(world.address).await, Some(b'g'), "{manner:?}");
        }
        let at_bad = bad.seen();
        assert!(good.seen().contains(&at_bad[0]), "{manner:?}: other words");
        assert_eq!(world.seen().tried_again, 1, "{manner:?}");
    }
}

#[tokio::test]
async fn after_the_first_byte_back_nothing_is_said_twice() {
    let nodes = [
        PlayedNode::start(Manner::AnswersAndResets(b'a')).await,
        PlayedNode::start(Manner::AnswersAndResets(b'b')).await,
    ];
    let world = World::with_nodes(&[nodes[0].address, nodes[1].address]).await;
    let mut caller = say(world.address, &iris()).await;
    assert!(next_byte(&mut caller).await.is_some());
    caller.write_all(b"x").await.unwrap();
    let reset = caller.read_u8().await.unwrap_err();
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    let seen = nodes.iter().map(|node| node.seen().len());
    assert_eq!(seen.sum::<usize>(), 1);
}

#[tokio::test]
async fn when_nobody_answers_the_caller_is_told_after_three_tries() {
    let nodes: Vec<_> = that_end(5).await;
    let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
    let world = World::with_nodes(&addresses).await;
    let mut caller = say(world.address, &iris()).await;
    assert_eq!(rest(&mut caller).await, [21, 3, 3, 0, 2, 2, 80]);
    assert_eq!(world.seen().tried_again, 3);
    assert_eq!(world.seen().refused(Refusal::NoNode), 1);
    let tried = nodes.iter().map(|node| node.seen().len());
    assert!(tried.clone().all(|times| times <= 1), "one was tried twice");
    assert_eq!(tried.sum::<usize>(), 3);
}

async fn that_end(count: usize) -> Vec<PlayedNode> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(PlayedNode::start(Manner::Ends).await);
    }
    nodes
}

#[tokio::test]
async fn the_only_node_that_is_left_is_given_the_time_to_start_its_enclave_again() {
    let late = PlayedNode::start(Manner::AnswersLate(b'l')).await;
    let world = World::with_nodes(&[late.address]).await;
    assert_eq!(who_answers(world.address).await, Some(b'l'));
}

#[tokio::test]
async fn a_node_that_is_back_is_found_by_a_probe() {
    let health = HealthTiming {
        every: Duration::from_secs(3600),
        first_retry: Duration::from_millis(20),
        longest_retry: Duration::from_millis(100),
    };
    let world = World::start(limits(), health).await;
    let other = PlayedNode::start(Manner::Answers(b'o')).await;
    let place = nowhere().await;
    world.routes.replace(&iris_on(&[place, other.address]));
    while world.seen().tried_again == 0 {
        assert_eq!(who_answers(world.address).await, Some(b'o'));
    }
    let back = PlayedNode::start_on(place, Manner::Answers(b'n')).await;
    while back.seen().is_empty() {
        assert!(who_answers(world.address).await.is_some());
    }
}

#[tokio::test]
async fn a_node_that_stands_still_is_left_by_a_probe_before_a_caller_meets_it() {
    let health = HealthTiming {
        every: Duration::from_millis(20),
        ..AFTER_FAILURES
    };
    let world = World::start(limits(), health).await;
    let other = PlayedNode::start(Manner::Answers(b'o')).await;
    // Accepts by its backlog, and never answers a probe.
    let stands = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = stands.local_addr().unwrap();
    world.routes.replace(&iris_on(&[address, other.address]));
    until("it is out of rotation", || {
        world.routes.out_of_rotation() == [address.into()]
    })
    .await;
    for _ in 0..20 {
        assert_eq!(who_answers(world.address).await, Some(b'o'));
    }
    assert_eq!(world.seen().tried_again, 0);
}
