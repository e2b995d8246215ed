//! Streams over every kind of address that this machine can open.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use nacre_transport::{
    Address, BindError, ConnectError, Listener, Stream, connect, connect_saying,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

async fn pair(address: &Address) -> (Listener, Stream, Stream) {
    let listener = Listener::bind(address).await.unwrap();
    let (ours, theirs) = tokio::join!(connect(listener.local_address(), soon()), listener.accept());
    (listener, ours.unwrap(), theirs.unwrap())
}

#[tokio::test]
async fn shutdown_closes_one_direction_only() {
    let dir = tempfile::tempdir().unwrap();
    let unix = Address::Unix(dir.path().join("s"));
    for address in [unix, "tcp://127.0.0.1:0".parse().unwrap()] {
        let (_listener, mut ours, mut theirs) = pair(&address).await;
        ours.write_all(b"question").await.unwrap();
        ours.shutdown().await.unwrap();
        let mut text = String::new();
        theirs.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "question");
        theirs.write_all(b"answer").await.unwrap();
        theirs.shutdown().await.unwrap();
        text.clear();
        ours.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "answer", "{address}");
    }
}

#[tokio::test]
async fn what_is_said_at_once_comes_first_and_what_does_not_fit_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let unix = Address::Unix(dir.path().join("s"));
    // The kernel lends no socket a buffer of this size.
    let much: Vec<u8> = (0..64_000_000u32).map(|n| n as u8).collect();
    for address in [unix, "tcp://127.0.0.1:0".parse().unwrap()] {
        let listener = Listener::bind(&address).await.unwrap();
        for first in [b"".as_slice(), b"hello", &much] {
            let reached = connect_saying(listener.local_address(), first, soon());
            let (reached, theirs) = tokio::join!(reached, listener.accept());
            let ((mut ours, said), mut theirs) = (reached.unwrap(), theirs.unwrap());
            assert!(said == first.len() || first.len() == much.len(), "{said}");
            assert!(said < much.len(), "{address}");
            ours.shutdown().await.unwrap();
            let mut heard = Vec::new();
            theirs.read_to_end(&mut heard).await.unwrap();
            assert!(heard == first[..said], "{address}");
        }
    }
}

#[tokio::test]
async fn nobody_to_say_it_to_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let gone = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let tcp = Address::from(gone.local_addr().unwrap());
    drop(gone);
    for address in [Address::Unix(dir.path().join("s")), tcp] {
        for first in [b"".as_slice(), b"hello"] {
            let reached = connect_saying(&address, first, soon()).await;
            assert!(
                matches!(reached, Err(ConnectError::Io(..))),
                "{address}: {reached:?}"
            );
        }
    }
}

#[tokio::test]
async fn nagle_is_off_on_both_sides() {
    let (_listener, ours, theirs) = pair(&"tcp://127.0.0.1:0".parse().unwrap()).await;
    for stream in [ours, theirs] {
        let Stream::Tcp(stream) = stream else {
            panic!("TCP address, other stream")
        };
        assert!(stream.nodelay().unwrap());
    }
}

#[tokio::test]
async fn an_aborted_tcp_stream_resets_its_peer() {
    let (_listener, ours, mut theirs) = pair(&"tcp://127.0.0.1:0".parse().unwrap()).await;
    ours.abort_on_close();
    drop(ours);
    let error = theirs.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_unix_socket_is_private_and_goes_with_its_listener() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = Listener::bind(&Address::Unix(path.clone())).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let address = Address::Unix(path.clone());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the standard library leaves the file");

    let living = Listener::bind(&address).await.unwrap();
    let refused = Listener::bind(&address).await;
    assert!(matches!(refused, Err(BindError::InUse(_))), "{refused:?}");
    assert!(connect(&address, soon()).await.is_ok());

    // A successor that came by a rename is not deleted by its predecessor.
    let successor = std::os::unix::net::UnixListener::bind(dir.path().join("new")).unwrap();
    std::fs::rename(dir.path().join("new"), &path).unwrap();
    drop(living);
    assert!(path.exists());
    drop(successor);
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("precious");
    std::fs::write(&path, "data").unwrap();
    let refused = Listener::bind(&Address::Unix(path.clone())).await;
    assert!(matches!(refused, Err(BindError::Io(..))), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
}

#[tokio::test]
async fn paths_that_are_too_long_are_refused_before_the_kernel_sees_them() {
    let address = Address::Unix(format!("/tmp/{}", "a".repeat(120)).into());
    assert!(matches!(
        Listener::bind(&address).await,
        Err(BindError::Address(..))
    ));
    assert!(matches!(
        connect(&address, soon()).await,
        Err(ConnectError::Address(..))
    ));
}

/// A monitor's side of hybrid vsock: reads the line, answers, and speaks as the guest.
async fn monitor(listener: &UnixListener, answer: &[u8]) -> (String, UnixStream) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(answer).await.unwrap();
    (String::from_utf8(line).unwrap(), stream)
}

#[tokio::test]
async fn hybrid_asks_for_the_port_and_keeps_what_follows() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("v");
    let listener = UnixListener::bind(&socket).unwrap();
    let address = Address::Hybrid { socket, port: 443 };
    let (stream, (line, guest)) = tokio::join!(
        connect(&address, soon()),
        monitor(&listener, b"OK 1073741824\nfirst bytes")
    );
    assert_eq!(line, "CONNECT 443\n");
    drop(guest);
    let mut text = String::new();
    stream.unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "first bytes");
}

#[tokio::test]
async fn hybrid_takes_nothing_but_ok() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("v");
    let listener = UnixListener::bind(&socket).unwrap();
    let address = Address::Hybrid { socket, port: 1 };
    let endless = [b'O'; 64];
    for answer in [&b""[..], b"NO\n", b"OK\n", b"OK x\n", b"OK ", &endless] {
        let guest = async { drop(monitor(&listener, answer).await) };
        let (stream, ()) = tokio::join!(connect(&address, soon()), guest);
        let refused = matches!(stream, Err(ConnectError::GuestRefused(_)));
        assert!(refused, "{answer:?}: {stream:?}");
    }
}

#[tokio::test]
async fn hybrid_listens_beside_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("v");
    let address = Address::Hybrid { socket, port: 9000 };
    let listener = Listener::bind(&address).await.unwrap();
    let path = dir.path().join("v_9000");
    let (guest, accepted) = tokio::join!(UnixStream::connect(&path), listener.accept());
    assert!(guest.is_ok() && accepted.is_ok());
}

#[tokio::test]
async fn a_monitor_that_says_nothing_meets_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("v");
    let _silent = UnixListener::bind(&socket).unwrap();
    let address = Address::Hybrid { socket, port: 1 };
    let deadline = Instant::now() + Duration::from_millis(20);
    let stream = connect(&address, deadline).await;
    assert!(
        matches!(stream, Err(ConnectError::Deadline(_))),
        "{stream:?}"
    );
}

#[tokio::test]
async fn a_vsock_peer_that_does_not_exist_is_an_error() {
    let address = "vsock://4000000000:9".parse().unwrap();
    let deadline = Instant::now() + Duration::from_millis(500);
    let error = connect(&address, deadline).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("vsock://4000000000:9"), "{text}");
}
