//! How the proxy stops, and how it stands behind another proxy.

#![allow(clippy::unwrap_used, reason = "tests")]

mod proxy_setup;

use std::time::Duration;

use nacre_host_proxy::proxy::ProxyLimits;
use nacre_transport::proxy_header::{LOCAL_HEADER, header};
use nacre_transport::{Address, Listener};
use proxy_setup::{SOON, Setup, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

fn unix(setup: &Setup) -> Address {
    Address::Unix(setup.dir.path().join("tls"))
}

#[tokio::test]
async fn connections_have_the_time_to_end_that_was_given_and_are_then_reset() {
    let drain = Duration::from_millis(700);
    let limits = ProxyLimits {
        drain,
        ..ProxyLimits::default()
    };
    let setup = Setup::new(limits).await;
    let enclave = Listener::bind(&unix(&setup)).await.unwrap();
    setup.announce(unix(&setup));
    let (mut ends, mut one) = setup.pair(&enclave).await;
    let (mut stays, _other) = setup.pair(&enclave).await;
    // All are on their way before the end begins.
    one.write_all(b"an answer, ").await.unwrap();
    let mut answer = vec![0; 11];
    ends.read_exact(&mut answer).await.unwrap();
    stays.write_all(b"x").await.unwrap();
    until(|| setup.counters.snapshot().bytes_in == 1).await;

    let begun = Instant::now();
    setup.stop.cancel();
    one.write_all(b"and its end").await.unwrap();
    drop(one);
    ends.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"an answer, and its end");
    drop(ends);
    let error = timeout(SOON, stays.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(begun.elapsed() >= drain);
    let counters = setup.counters.clone();
    timeout(SOON, setup.running).await.unwrap().unwrap();
    let counted = counters.snapshot();
    assert_eq!((counted.cut, counted.aborted, counted.open), (1, 0, 0));
}

#[tokio::test]
async fn the_end_does_not_wait_for_who_only_waits() {
    let limits = ProxyLimits {
        drain: SOON,
        hold: SOON,
        ..ProxyLimits::default()
    };
    let setup = Setup::new(limits).await;
    let mut waits = setup.caller().await;
    until(|| setup.counters.snapshot().held == 1).await;
    setup.stop.cancel();
    assert!(timeout(SOON / 2, waits.read_u8()).await.unwrap().is_err());
    timeout(SOON / 2, setup.running).await.unwrap().unwrap();
}

#[tokio::test]
async fn whom_a_named_proxy_speaks_for_has_the_share() {
    let limits = ProxyLimits {
        connections: 2,
        waiting: 4,
        ..ProxyLimits::default()
    };
    let setup = Setup::behind(limits, &["127.0.0.0/8"]).await;
    let enclave = Listener::bind(&unix(&setup)).await.unwrap();
    setup.announce(unix(&setup));
    let from = |n: u8| header(([192, 0, 2, n], 9).into(), ([198, 51, 100, 1], 443).into());
    // One takes both places; the other, through the same proxy, gets its share all the same.
    let mut greedy = Vec::new();
    for _ in 0..2 {
        let mut caller = setup.caller().await;
        // The header in two parts, the second together with the caller's first bytes.
        let bytes = [from(1), b"hello".to_vec()].concat();
        caller.write_all(&bytes[..5]).await.unwrap();
        tokio::task::yield_now().await;
        caller.write_all(&bytes[5..]).await.unwrap();
        let mut inside = enclave.accept().await.unwrap();
        let mut hello = [0; 5];
        inside.read_exact(&mut hello).await.unwrap();
        assert_eq!(
            &hello, b"hello",
            "the enclave sees the caller's bytes and nothing else"
        );
        greedy.push((caller, inside));
    }
    let mut other = setup.caller().await;
    other.write_all(&from(2)).await.unwrap();
    timeout(SOON, enclave.accept()).await.unwrap().unwrap();
    assert_eq!(setup.counters.snapshot().taken_back, 1);
    // The proxy's own check, without a caller, waits for its turn behind the two.
    let mut check = setup.caller().await;
    check.write_all(&LOCAL_HEADER).await.unwrap();
    until(|| setup.counters.snapshot().waited == 2).await;
    drop(other);
    timeout(SOON, enclave.accept()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_named_proxy_must_say_for_whom_it_comes() {
    let setup = Setup::behind(ProxyLimits::default(), &["127.0.0.1"]).await;
    let _enclave = Listener::bind(&unix(&setup)).await.unwrap();
    setup.announce(unix(&setup));
    for wrong in [
        &b"\x16\x03\x01"[..],
        b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
    ] {
        let mut caller = setup.caller().await;
        caller.write_all(wrong).await.unwrap();
        assert!(timeout(SOON, caller.read_u8()).await.unwrap().is_err());
    }
    let mut silent = setup.caller().await;
    assert!(timeout(SOON, silent.read_u8()).await.unwrap().is_err());
    let counted = setup.counters.snapshot();
    assert_eq!((counted.unintroduced, counted.accepted), (3, 0));
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let setup = Setup::behind(ProxyLimits::default(), &["192.0.2.0/24"]).await;
    let enclave = Listener::bind(&unix(&setup)).await.unwrap();
    setup.announce(unix(&setup));
    let (mut caller, mut inside) = setup.pair(&enclave).await;
    caller.write_all(&LOCAL_HEADER).await.unwrap();
    let mut bytes = [0; 16];
    inside.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, LOCAL_HEADER, "bytes for the enclave, as any other");
}

#[tokio::test]
async fn a_chain_of_proxies_keeps_the_callers_address() {
    let second = Setup::behind(ProxyLimits::default(), &["127.0.0.1"]).await;
    let enclave = Listener::bind(&unix(&second)).await.unwrap();
    second.announce(unix(&second));
    let first = Setup::announcing(ProxyLimits::default()).await;
    first.announce(second.address.clone());
    let (mut caller, mut inside) = first.pair(&enclave).await;
    caller.write_all(b"hello").await.unwrap();
    let mut hello = [0; 5];
    inside.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello");
    assert_eq!(second.counters.snapshot().unintroduced, 0);
}
