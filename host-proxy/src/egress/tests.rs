//! The proxy against real sockets: what it opens, refuses and bounds.

use std::time::Duration;

use nacre_transport::{Address, Listener};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Allowed, Egress, EgressLimits, EgressPolicy};

const SOON: Duration = Duration::from_secs(10);
const OPEN: &str = "HTTP/1.1 200 Connection Established\r\n\r\n";

struct Proxy {
    directory: TempDir,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Proxy {
    async fn start(policy: EgressPolicy, limits: EgressLimits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = Address::Unix(directory.path().join("egress"));
        let listener = Listener::bind(&address).await.unwrap();
        let stop = CancellationToken::new();
        let egress = Egress::new(policy, limits);
        let stopped = stop.clone();
        let serving = tokio::spawn(async move { egress.serve(listener, stopped).await });
        Self {
            directory,
            stop,
            serving,
        }
    }

    /// Any name, this machine included.
    async fn open(limits: EgressLimits) -> Self {
        Self::start(EgressPolicy::new([Allowed::Any], true), limits).await
    }

    async fn connect(&self) -> UnixStream {
        let path = self.directory.path().join("egress");
        UnixStream::connect(path).await.unwrap()
    }

    /// Asks for a destination and reads the head of the answer.
    async fn ask(&self, to: &str) -> (UnixStream, String) {
        let mut stream = self.connect().await;
        let request = format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(SOON, stream.read_u8()).await.unwrap();
            head.push(byte.unwrap());
        }
        (stream, String::from_utf8(head).unwrap())
    }

    /// Asks, and gives status and code of the refusal.
    async fn refusal(&self, to: &str) -> (String, String) {
        let (mut stream, head) = self.ask(to).await;
        let mut rest = Vec::new();
        timeout(SOON, stream.read_to_end(&mut rest))
            .await
            .unwrap()
            .unwrap();
        assert!(rest.is_empty());
        refusal(&head)
    }
}

fn refusal(head: &str) -> (String, String) {
    let status = head.split(' ').nth(1).unwrap_or_default();
    let code = head
        .split("nacre-error: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next());
    (status.to_owned(), code.unwrap_or_default().to_owned())
}

fn is(status: &str, code: &str) -> (String, String) {
    (status.to_owned(), code.to_owned())
}

async fn peer() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = format!("localhost:{}", listener.local_addr().unwrap().port());
    (listener, to)
}

#[tokio::test]
async fn bytes_go_both_ways_and_one_direction_may_end_first() {
    let (listener, to) = peer().await;
    let proxy = Proxy::open(EgressLimits::default()).await;
    let answer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut question = Vec::new();
        stream.read_to_end(&mut question).await.unwrap();
        question.reverse();
        stream.write_all(&question).await.unwrap();
    });
    let (mut stream, head) = proxy.ask(&to).await;
    assert_eq!(head, OPEN);
    let question: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
    stream.write_all(&question).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answered = Vec::new();
    timeout(SOON, stream.read_to_end(&mut answered))
        .await
        .unwrap()
        .unwrap();
    answered.reverse();
    assert!(answered == question, "{} bytes", answered.len());
    answer.await.unwrap();
}

#[tokio::test]
async fn nothing_is_reached_that_the_operator_did_not_name() {
    let (listener, to) = peer().await;
    let nothing = Proxy::start(EgressPolicy::default(), EgressLimits::default()).await;
    assert_eq!(
        nothing.refusal(&to).await,
        is("403", "egress-name-not-allowed")
    );
    let other = EgressPolicy::new(["localhost:1".parse().unwrap()], true);
    let other = Proxy::start(other, EgressLimits::default()).await;
    assert_eq!(
        other.refusal(&to).await,
        is("403", "egress-name-not-allowed")
    );
    // `any` means any name, not any network.
    let public = EgressPolicy::new([Allowed::Any], false);
    let public = Proxy::start(public, EgressLimits::default()).await;
    assert_eq!(
        public.refusal(&to).await,
        is("403", "egress-address-refused")
    );
    let came = timeout(Duration::ZERO, listener.accept()).await;
    assert!(came.is_err(), "somebody connected");
}

#[tokio::test]
async fn who_does_not_ask_properly_is_told_why() {
    let proxy = Proxy::open(EgressLimits::default()).await;
    for (request, answer) in [
        (
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            is("405", "egress-method-not-allowed"),
        ),
        (
            "CONNECT 127.0.0.1:1 HTTP/1.1\r\nhost: 127.0.0.1:1\r\n\r\n",
            is("400", "egress-target-malformed"),
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nhost: b:1\r\n\r\n",
            is("400", "egress-request-malformed"),
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\nearly",
            is("400", "egress-request-malformed"),
        ),
        (
            &"x".repeat(super::MAX_HEAD),
            is("431", "egress-request-too-long"),
        ),
    ] {
        let mut stream = proxy.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = String::new();
        timeout(SOON, stream.read_to_string(&mut head))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(refusal(&head), answer, "{request:?}");
    }
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_said_so() {
    let (listener, to) = peer().await;
    drop(listener);
    let proxy = Proxy::open(EgressLimits::default()).await;
    assert_eq!(proxy.refusal(&to).await, is("502", "egress-connect-failed"));
}

#[tokio::test]
async fn a_request_that_does_not_come_is_not_waited_for() {
    let limits = EgressLimits {
        request: Duration::from_millis(100),
        ..EgressLimits::default()
    };
    let proxy = Proxy::open(limits).await;
    let mut stream = proxy.connect().await;
    stream.write_all(b"CONNECT a:1 HT").await.unwrap();
    let mut head = String::new();
    timeout(SOON, stream.read_to_string(&mut head))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(refusal(&head), is("408", "egress-request-timeout"));
}

#[tokio::test]
async fn there_are_so_many_connections_and_no_more() {
    let (_listener, to) = peer().await;
    let limits = EgressLimits {
        connections: 2,
        ..EgressLimits::default()
    };
    let proxy = Proxy::open(limits).await;
    let (first, second) = (proxy.ask(&to).await, proxy.ask(&to).await);
    assert_eq!((first.1.as_str(), second.1.as_str()), (OPEN, OPEN));
    let mut third = proxy.connect().await;
    let read = timeout(SOON, third.read(&mut [0])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    drop(first);
    // Its place is free as soon as both ends have gone; the peer's end goes with the listener's backlog.
    drop(_listener);
    let (listener, to) = peer().await;
    let again = async {
        loop {
            let mut stream = proxy.connect().await;
            let request = format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n\r\n");
            let sent = stream.write_all(request.as_bytes()).await;
            if sent.is_ok() && stream.read(&mut [0]).await.is_ok_and(|count| count == 1) {
                return;
            }
        }
    };
    timeout(SOON, again).await.unwrap();
    drop(listener);
}

#[tokio::test]
async fn silence_and_endless_bytes_are_cut_off() {
    let (listener, to) = peer().await;
    let limits = EgressLimits {
        idle: Duration::from_millis(100),
        bytes: 100_000,
        ..EgressLimits::default()
    };
    let proxy = Proxy::open(limits).await;
    let (mut silent, head) = proxy.ask(&to).await;
    assert_eq!(head, OPEN);
    let (_peer, _) = listener.accept().await.unwrap();
    let ended = timeout(SOON, silent.read(&mut [0])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");

    let (mut flooded, head) = proxy.ask(&to).await;
    assert_eq!(head, OPEN);
    let flood = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while stream.write_all(&[0; 4096]).await.is_ok() {}
    });
    let mut came = 0;
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = timeout(SOON, flooded.read(&mut buffer)).await.unwrap() {
        came += count;
    }
    assert!(came < 1_000_000, "{came} bytes came");
    timeout(SOON, flood).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_slow_reader_slows_its_writer() {
    let (listener, to) = peer().await;
    let proxy = Proxy::open(EgressLimits::default()).await;
    let (mut stream, head) = proxy.ask(&to).await;
    assert_eq!(head, OPEN);
    let (mut slow, _) = listener.accept().await.unwrap();
    let chunk = [0; 64 * 1024];
    let mut taken = 0;
    // The kernel's buffers take some megabytes; what waits for longer than this waits for the reader.
    while let Ok(count) = timeout(Duration::from_millis(300), stream.write(&chunk)).await {
        taken += count.unwrap();
        assert!(taken < 64 << 20, "there is no end to what the proxy takes");
    }
    drop(stream);
    let mut came = Vec::new();
    timeout(SOON, slow.read_to_end(&mut came))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(came.len(), taken);
}

#[tokio::test]
async fn it_stops_when_told_with_connections_open() {
    let (_listener, to) = peer().await;
    let proxy = Proxy::open(EgressLimits::default()).await;
    let (mut stream, head) = proxy.ask(&to).await;
    assert_eq!(head, OPEN);
    proxy.stop.cancel();
    timeout(SOON, proxy.serving).await.unwrap().unwrap();
    let ended = timeout(SOON, stream.read(&mut [0])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}
