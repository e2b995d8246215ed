//! The end of a gateway.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::callers::{iris, next_byte, rest, say};
use crate::nodes::{Manner, PlayedNode};
use crate::world::{AFTER_FAILURES, DEADLINE, World, iris_on, limits, until};

#[tokio::test]
async fn who_has_connected_is_served_to_the_end_and_then_nobody_more() {
    let node = PlayedNode::start(Manner::Answers(b'a')).await;
    let world = World::with_nodes(&[node.address]).await;
    let (address, counters) = (world.address, world.counters.clone());
    let mut open = say(address, &iris()).await;
    assert_eq!(next_byte(&mut open).await, Some(b'a'));
    let hello = iris();
    let mut speaking = say(address, &hello[..200]).await;
    world
        .until("both are accepted", |seen| seen.open == 2)
        .await;
    // These may not have been accepted yet when it stops.
    let mut last = Vec::new();
    for _ in 0..50 {
        last.push(say(address, &iris()).await);
    }
    world.stop.cancel();
    let refused = || async { TcpStream::connect(address).await.is_err() };
    while !refused().await {
        tokio::task::yield_now().await;
    }

    speaking.write_all(&hello[200..]).await.unwrap();
    for caller in last.iter_mut().chain([&mut open, &mut speaking]) {
        caller.write_all(b"to the end").await.unwrap();
        caller.shutdown().await.unwrap();
    }
    assert_eq!(rest(&mut open).await, b"to the end");
    for caller in last.iter_mut().chain([&mut speaking]) {
        assert_eq!(rest(caller).await, b"ato the end");
    }
    world.ended().await;
    assert_eq!(counters.snapshot().cut, 0);
}

/// Connects again and again, each time to be answered, until nobody listens. Gives how often it was.
async fn come_until_refused(gateway: SocketAddr, hello: Vec<u8>) -> io::Result<usize> {
    for served in 0.. {
        let mut caller = match TcpStream::connect(gateway).await {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(served),
            connected => connected?,
        };
        // Connected is served: from here on nothing may fail.
        caller.write_all(&hello).await?;
        let answer = timeout(DEADLINE, caller.read_u8()).await??;
        assert_eq!(answer, b'a');
    }
    unreachable!("they come until they are refused")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_come_without_a_pause_are_served_or_refused_and_none_is_reset() {
    let node = PlayedNode::start(Manner::Answers(b'a')).await;
    let world = World::with_nodes(&[node.address]).await;
    let (gateway, hello) = (world.address, iris());
    let callers: Vec<_> = (0..32)
        .map(|_| tokio::spawn(come_until_refused(gateway, hello.clone())))
        .collect();
    world
        .until("they come in a crowd", |seen| seen.carried > 200)
        .await;
    world.stop.cancel();
    for caller in callers {
        let served = caller.await.unwrap();
        assert!(served.is_ok_and(|served| served > 0));
    }
    world.ended().await;
}

#[tokio::test]
async fn who_does_not_end_in_time_is_reset() {
    let node = PlayedNode::start(Manner::Answers(b'a')).await;
    let mut limits = limits();
    limits.drain = Duration::from_millis(200);
    let world = World::start(limits, AFTER_FAILURES).await;
    world.routes.replace(&iris_on(&[node.address]));
    let counters = world.counters.clone();
    let mut open = say(world.address, &iris()).await;
    assert_eq!(next_byte(&mut open).await, Some(b'a'));
    world.stop.cancel();
    let reset = open.read_u8().await.unwrap_err();
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    world.ended().await;
    assert_eq!(counters.snapshot().cut, 1);
    until("nothing is open", || counters.snapshot().open == 0).await;
}
