use std::time::Duration;

use futures_util::stream;
use nacre_control_plane::Config;
use nacre_protocol::digest::Digest;
use reqwest::{Body, Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Server, TestNode, bundle, files, problem, refused};

fn path(bytes: &[u8]) -> String {
    format!("/v1/blobs/{}", Digest::of(bytes))
}

#[tokio::test]
async fn a_blob_is_put_found_and_read() {
    let server = Server::start().await;
    let bytes: Vec<u8> = (0..20_000_000u32).map(|n| (n % 251) as u8).collect();
    let path = path(&bytes);
    refused(server.request(Method::GET, &path), 404, "blob-not-found").await;
    assert_eq!(server.put(&bytes).await.status(), StatusCode::CREATED);
    assert_eq!(server.put(&bytes).await.status(), StatusCode::OK);
    let head = server.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-length"], "20000000");
    let got = server.request(Method::GET, &path).send().await.unwrap();
    assert!(got.bytes().await.unwrap() == bytes);
    assert_eq!(server.put(b"").await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn other_bytes_than_the_digests_leave_nothing() {
    let server = Server::start().await;
    let put = server.request(Method::PUT, &path(b"right")).body("wrong");
    let refusal = refused(put, 422, "digest-mismatch").await;
    assert!(
        refusal
            .detail
            .unwrap()
            .contains(&Digest::of(b"wrong").to_string())
    );
    let head = server
        .request(Method::HEAD, &path(b"right"))
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    assert_eq!(files(&server.data.path().join("objects")), [""; 0]);
    assert_eq!(server.put(b"right").await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn a_blob_above_the_limit_is_refused_before_and_while_it_comes() {
    let server = Server::tuned(|config: &mut Config| config.max_blob_bytes = 10).await;
    assert_eq!(server.put(&[0; 10]).await.status(), StatusCode::CREATED);
    problem(server.put(&[0; 11]).await, 413, "blob-too-large").await;
    // Without a Content-Length nobody knows before.
    let chunks = stream::iter([Ok::<_, std::io::Error>("123456"), Ok("789012")]);
    let put = server
        .request(Method::PUT, &path(b"123456789012"))
        .body(Body::wrap_stream(chunks));
    refused(put, 413, "blob-too-large").await;
    assert_eq!(files(&server.data.path().join("objects")).len(), 1);
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let server = Server::start().await;
    let bytes = vec![7; 30_000_000];
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://"))
        .await
        .unwrap();
    let head = format!(
        "PUT {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        path(&bytes),
        server.key,
        bytes.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&bytes[..20_000_000]).await.unwrap();
    let objects = server.data.path().join("objects");
    until(|| files(&objects).len() == 1).await;
    drop(stream);
    until(|| files(&objects).is_empty()).await;
    let head = server
        .request(Method::HEAD, &path(&bytes))
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    assert_eq!(server.put(&bytes).await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn uploads_of_one_blob_at_once_all_succeed() {
    let server = Server::start().await;
    let bytes = vec![3; 1_000_000];
    let puts = (0..8).map(|_| server.put(&bytes));
    let all = futures_util::future::join_all(puts).await;
    assert!(all.iter().all(|response| response.status().is_success()));
    assert_eq!(
        files(&server.data.path().join("objects")),
        [Digest::of(&bytes).to_hex()]
    );
}

#[tokio::test]
async fn a_path_that_is_no_digest_is_refused() {
    let server = Server::start().await;
    for bad in ["x", "sha256:00", "sha512:00", "..%2f..%2fnacre.db", "%ff"] {
        let put = server
            .request(Method::PUT, &format!("/v1/blobs/{bad}"))
            .body("x");
        refused(put, 400, "path-invalid").await;
    }
}

#[tokio::test]
async fn a_node_reads_blobs_of_its_leases_only() {
    let mut server = Server::start().await;
    let mut node = TestNode::new(1, 1 << 30, 1);
    server.register(&mut node).await;
    let mine = server.function("mine", "1MiB", "model a").await;
    server.function("other", "1MiB", "model b").await;
    server.deploy(&mine, 1).await;
    let read = |bytes: &[u8]| {
        server
            .anonymous(Method::GET, &path(bytes))
            .bearer_auth(&node.token)
    };
    for blob in bundle("mine", "1MiB", "model a").0 {
        let response = read(&blob).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.bytes().await.unwrap() == blob);
    }
    refused(read(b"model b"), 403, "forbidden").await;
    refused(read(b"never put"), 403, "forbidden").await;
    let put = server
        .anonymous(Method::PUT, &path(b"x"))
        .bearer_auth(&node.token)
        .body("x");
    refused(put, 403, "forbidden").await;
}

#[tokio::test]
async fn an_upload_is_not_read_before_its_key_is() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://"))
        .await
        .unwrap();
    let head = format!(
        "PUT {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer nacre_no\r\ncontent-length: 9\r\n\r\n",
        path(b"x")
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
}

pub(crate) async fn until(done: impl Fn() -> bool) {
    let poll = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while !done() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), poll)
        .await
        .expect("it comes to this");
}
