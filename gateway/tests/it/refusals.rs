//! Callers who cannot be brought to a node: they are told why in TLS' own words, where TLS has words for it.

use std::time::{Duration, Instant};

use nacre_gateway::counters::Refusal;
use nacre_gateway::hello::MAX_HELLO;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::callers::{hello, hello_with, iris, next_byte, rest, say};
use crate::nodes::{Manner, PlayedNode};
use crate::world::{AFTER_FAILURES, World, limits};

/// A plain record with a fatal alert.
fn alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}

const DECODE_ERROR: u8 = 50;
const UNRECOGNIZED_NAME: u8 = 112;

#[tokio::test]
async fn names_that_are_no_functions_are_told_so() {
    let node = PlayedNode::start(Manner::Answers(b'a')).await;
    let world = World::with_nodes(&[node.address]).await;
    let unknown = [
        "other.fn.example.org",
        "iris.fn.example.com",
        "iris.example.org",
        "fn.example.org",
        "a.iris.fn.example.org",
    ];
    for name in unknown {
        let mut caller = say(world.address, &hello(name)).await;
        assert_eq!(rest(&mut caller).await, alert(UNRECOGNIZED_NAME), "{name}");
    }
    let mut nameless = say(world.address, &hello("127.0.0.1")).await;
    assert_eq!(rest(&mut nameless).await, alert(UNRECOGNIZED_NAME));
    let seen = world.seen();
    assert_eq!(seen.refused(Refusal::UnknownName), unknown.len() as u64);
    assert_eq!(seen.refused(Refusal::NoName), 1);
    assert_eq!(node.seen(), [], "none of it reached a node");
    let mut shouting = say(world.address, &hello("IRIS.FN.example.ORG")).await;
    assert_eq!(next_byte(&mut shouting).await, Some(b'a'));
}

#[tokio::test]
async fn a_first_message_that_is_none_or_too_long_is_refused() {
    let node = PlayedNode::start(Manner::Answers(b'a')).await;
    let world = World::with_nodes(&[node.address]).await;
    let mut plain = say(world.address, b"GET / HTTP/1.1\r\nhost: iris\r\n\r\n").await;
    assert_eq!(rest(&mut plain).await, alert(DECODE_ERROR));

    let protocols = vec![vec![b'p'; 255]; 80];
    let long = hello_with("iris.fn.example.org", &protocols);
    assert!(long.len() > MAX_HELLO);
    let mut long = say(world.address, &long).await;
    assert_eq!(rest(&mut long).await, alert(DECODE_ERROR));

    let seen = world.seen();
    assert_eq!(seen.refused(Refusal::HelloMalformed), 1);
    assert_eq!(seen.refused(Refusal::HelloTooLong), 1);
    assert_eq!(node.seen(), []);
}

#[tokio::test]
async fn who_does_not_finish_the_first_message_is_cut_off_in_time() {
    let node = PlayedNode::start(Manner::Answers(b'a')).await;
    let mut limits = limits();
    limits.hello = Duration::from_millis(300);
    let world = World::start(limits, AFTER_FAILURES).await;
    world
        .routes
        .replace(&crate::world::iris_on(&[node.address]));
    let begun = Instant::now();
    let mut silent = say(world.address, b"").await;
    let mut slow = say(world.address, &iris()[..200]).await;
    for caller in [&mut silent, &mut slow] {
        let reset = caller.read_u8().await.unwrap_err();
        assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    world
        .until("both are counted", |seen| {
            seen.refused(Refusal::HelloSlow) == 2 && seen.open == 0
        })
        .await;

    let mut gives_up = say(world.address, &iris()[..200]).await;
    gives_up.shutdown().await.unwrap();
    assert_eq!(next_byte(&mut gives_up).await, None);
    world
        .until("it is counted", |seen| {
            seen.refused(Refusal::HelloIncomplete) == 1
        })
        .await;
}
