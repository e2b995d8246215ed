//! Request bodies through the proxy: encoded, too long, cut short, awaited.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::Request;
use nacre_client::proxy::ProxyConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::calls::{SECRET, infer, with_header};
use crate::proxy::{Running, code, echo, honest, on_loopback};

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

fn encoded(encoding: &str, body: Vec<u8>) -> Request<Bytes> {
    with_header(infer(), "content-encoding", encoding).map(|_| body.into())
}

#[tokio::test]
async fn encoded_bodies_pass_as_they_are_and_are_proven_decoded() {
    let peer = honest().await;
    let proxy = Running::before(&peer).await;
    let plain = format!(
        "{{\"secret\":\"{SECRET}\",\"much\":\"{}\"}}",
        "x".repeat(100_000)
    );
    for (encoding, body) in [
        ("gzip", gzip(plain.as_bytes())),
        ("deflate", zlib(plain.as_bytes())),
        ("identity", plain.clone().into_bytes()),
    ] {
        // The fake enclave's receipt covers the decoded body, so that a 200 says that the proxy's does too.
        let answer = proxy.send(encoded(encoding, body.clone())).await;
        assert_eq!(
            (answer.status().as_u16(), answer.body()),
            (200, &Bytes::from(plain.clone())),
            "{encoding}"
        );
        let calls = peer.log.calls();
        assert_eq!(calls.last().map(|call| &call.body[..]), Some(&body[..]));
    }
}

#[tokio::test]
async fn bodies_have_a_limit_also_decoded() {
    let peer = honest().await;
    let max_body = 1 << 20;
    let proxy = Running::with(
        ProxyConfig {
            max_body,
            ..on_loopback()
        },
        &peer,
        echo(),
    )
    .await;
    let zeros = vec![b'0'; max_body + 1];
    for (request, status, expected) in [
        (encoded("gzip", gzip(&zeros)), 413, "body-too-large"),
        (encoded("deflate", zlib(&zeros)), 413, "body-too-large"),
        (infer().map(|_| zeros.clone().into()), 413, "body-too-large"),
        (
            infer().map(|_| vec![b'0'; 20 * max_body].into()),
            413,
            "body-too-large",
        ),
        (
            encoded("gzip", b"not gzip".to_vec()),
            400,
            "malformed-encoding",
        ),
        (
            encoded("deflate", zlib(&zeros)[..500].to_vec()),
            400,
            "malformed-encoding",
        ),
        (encoded("br", b"x".to_vec()), 415, "unsupported-encoding"),
    ] {
        let answer = proxy.send(request).await;
        assert_eq!(
            (answer.status().as_u16(), code(&answer).as_str()),
            (status, expected)
        );
    }
    assert_eq!(peer.log.connections(), 0);
    assert_eq!(
        proxy
            .send(infer().map(|_| zeros[1..].to_vec().into()))
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn a_claimed_gigabyte_is_refused_before_it_is_sent() {
    let peer = honest().await;
    let proxy = Running::before(&peer).await;
    let mut caller = proxy.tcp().await;
    let head = "POST /v2/models/echo/infer HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 1073741824\r\n\r\n";
    caller.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    caller
        .read_to_string(&mut answer)
        .await
        .expect("the proxy answers and closes");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(peer.log.connections(), 0);
}

#[tokio::test]
async fn expect_continue_is_answered() {
    let peer = honest().await;
    let proxy = Running::before(&peer).await;
    let mut caller = proxy.tcp().await;
    let head = "POST /v2/models/echo/infer HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    caller.write_all(head.as_bytes()).await.expect("sent");
    let mut interim = [0; 25];
    caller
        .read_exact(&mut interim)
        .await
        .expect("an interim answer");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    caller.write_all(b"{}").await.expect("sent");
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.expect("an answer");
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("{}"),
        "{answer}"
    );
    assert!(!peer.log.calls()[0].headers.contains_key("expect"));
}

#[tokio::test]
async fn chunked_bodies_and_bodies_cut_short() {
    let peer = honest().await;
    let proxy = Running::before(&peer).await;
    let head = "POST /v2/models/echo/infer HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    for (body, status) in [
        ("1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", "200"),
        ("zz\r\n{}\r\n0\r\n\r\n", "400"),
    ] {
        let mut caller = proxy.tcp().await;
        caller
            .write_all(format!("{head}{body}").as_bytes())
            .await
            .expect("sent");
        let mut answer = String::new();
        caller.read_to_string(&mut answer).await.expect("an answer");
        assert_eq!(answer.get(9..12), Some(status), "{answer}");
    }
    let mut caller = proxy.tcp().await;
    let head =
        "POST /v2/models/echo/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{";
    caller.write_all(head.as_bytes()).await.expect("sent");
    caller.shutdown().await.expect("half closed");
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.expect("an end");
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
        "{answer}"
    );
    assert_eq!(peer.log.calls().len(), 1, "only the whole body went on");
}
