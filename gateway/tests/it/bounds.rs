//! Crowds, and those who are not of them. Each of this machine's loopback addresses counts as a caller of its own.

use std::time::{Duration, Instant};

use nacre_gateway::counters::Refusal;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::callers::{connect_from, iris, next_byte, try_connect_from};
use crate::nodes::{Manner, PlayedNode};
use crate::world::{AFTER_FAILURES, World, iris_on, limits};

const CROWD: [u8; 4] = [127, 0, 0, 66];
const OTHER: [u8; 4] = [127, 0, 0, 1];

#[tokio::test]
async fn a_crowd_that_never_finishes_its_hello_keeps_nobody_waiting() {
    let node = PlayedNode::start(Manner::Answers(b'a')).await;
    let mut limits = limits();
    (limits.hellos, limits.hellos_of_one, limits.waiting) = (16, 12, 16);
    // Nobody of the crowd is cut off for its slowness while the test runs.
    limits.hello = Duration::from_secs(60);
    let world = World::start(limits, AFTER_FAILURES).await;
    world.routes.replace(&iris_on(&[node.address]));
    let mut crowd = Vec::new();
    for _ in 0..40 {
        let mut one = try_connect_from(CROWD, world.address).await;
        if let Ok(one) = &mut one {
            let _ = one.write_all(&iris()[..100]).await;
        }
        crowd.push(one);
    }
    world
        .until("its address has what one may have", |seen| {
            seen.refused(Refusal::TurnedAway) == 28
        })
        .await;
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(answer_to(OTHER, &world).await, Some(b'a'));
    }
    assert!(begun.elapsed() < Duration::from_secs(2));
    // Even where a second crowd has taken the rest.
    for _ in 0..20 {
        crowd.push(try_connect_from([127, 0, 0, 67], world.address).await);
    }
    assert_eq!(answer_to(OTHER, &world).await, Some(b'a'));
    drop(crowd);
}

#[tokio::test]
async fn one_address_has_no_more_connections_than_it_may() {
    let node = PlayedNode::start(Manner::Answers(b'a')).await;
    let mut limits = limits();
    (limits.connections, limits.connections_of_one) = (8, 5);
    limits.wait = Duration::from_millis(200);
    let world = World::start(limits, AFTER_FAILURES).await;
    world.routes.replace(&iris_on(&[node.address]));
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut caller = call(CROWD, &world).await;
        assert_eq!(next_byte(&mut caller).await, Some(b'a'));
        held.push(caller);
    }
    assert_eq!(answer_to(CROWD, &world).await, None, "the sixth");
    for _ in 0..3 {
        let mut caller = call(OTHER, &world).await;
        assert_eq!(next_byte(&mut caller).await, Some(b'a'));
        held.push(caller);
    }
    // All places are taken: one of those who have the most makes way.
    let mut third = call([127, 0, 0, 2], &world).await;
    assert_eq!(next_byte(&mut third).await, Some(b'a'));
    world
        .until("one of the five was taken back", |seen| {
            seen.refused(Refusal::TakenBack) == 1
        })
        .await;
    drop(held);
}

async fn call(source: [u8; 4], world: &World) -> TcpStream {
    let mut caller = connect_from(source, world.address).await;
    caller.write_all(&iris()).await.unwrap();
    caller
}

async fn answer_to(source: [u8; 4], world: &World) -> Option<u8> {
    next_byte(&mut call(source, world).await).await
}
