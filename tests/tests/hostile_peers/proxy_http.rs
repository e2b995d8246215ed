//! What the proxy lets in, passes on, and gives back.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;

use bytes::Bytes;
use http::{Request, Response};
use nacre_client::proxy::{ProxyConfig, ProxyListen, bind};
use nacre_protocol::encoding::array_from_base64url;
use nacre_protocol::receipt::SignedReceipt;
use nacre_protocol::{FUNCTION_HEADER, RECEIPT_HEADER, SALT_HEADER};
use nacre_tests::evil::{Behaviour, Enclave, FakeEnclave, function};

use crate::calls::{infer, with_header};
use crate::proxy::{Running, code, echo, functions, honest, on_loopback};

#[tokio::test]
async fn an_answer_comes_with_its_proof_and_a_verdict() {
    let peer = honest().await;
    let proxy = Running::before(&peer).await;
    let answer = proxy.infer().await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.body(), infer().body());
    assert_eq!(
        answer.headers()["nacre-verdict"],
        "trusted; root=DEVELOPMENT ROOT"
    );
    assert_eq!(answer.headers()["content-type"], "application/json");
    let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
    let receipt = SignedReceipt::from_header(&header(RECEIPT_HEADER)).expect("a receipt");
    assert_eq!(receipt.receipt.function_digest, function());
    assert_eq!(array_from_base64url(&header(SALT_HEADER)), Ok(receipt.salt));
    receipt
        .verify_signature(&peer.enclave.statement.receipt_key)
        .expect("the enclave's");
}

#[tokio::test]
async fn the_callers_own_proof_headers_and_hop_headers_do_not_pass() {
    let peer = honest().await;
    let proxy = Running::before(&peer).await;
    let mut request = infer();
    for (name, value) in [
        (FUNCTION_HEADER, "sha256:0000"),
        (SALT_HEADER, "AAAA"),
        ("connection", "keep-alive, x-mine"),
        ("x-mine", "1"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic x"),
        ("authorization", "Bearer the-callers-token"),
        ("x-request-id", "7"),
    ] {
        request = with_header(request, name, value);
    }
    assert_eq!(proxy.send(request).await.status(), 200);
    let [call] = &peer.log.calls()[..] else {
        panic!("one call");
    };
    assert_eq!(call.header(FUNCTION_HEADER), function().to_string());
    assert_eq!(call.headers.get_all(FUNCTION_HEADER).iter().count(), 1);
    assert_eq!(call.headers.get_all(SALT_HEADER).iter().count(), 1);
    assert_eq!(call.header("authorization"), "Bearer the-callers-token");
    assert_eq!(call.header("x-request-id"), "7");
    assert_eq!(call.header("host"), "127.0.0.1");
    for name in ["x-mine", "te", "proxy-authorization", "connection"] {
        assert!(!call.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn an_enclaves_hop_headers_and_own_verdict_do_not_pass() {
    let behaviour = Behaviour::answers(|enclave, call| {
        let mut answer = nacre_tests::evil::answer(enclave, call);
        for (name, value) in [
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "1"),
            ("nacre-verdict", "AWS"),
            ("x-end", "1"),
        ] {
            answer
                .headers_mut()
                .insert(name, value.parse().expect("a header"));
        }
        answer
    });
    let peer = FakeEnclave::start(Enclave::honest(), behaviour).await;
    let answer = Running::before(&peer).await.infer().await;
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.headers()["nacre-verdict"],
        "trusted; root=DEVELOPMENT ROOT"
    );
    assert_eq!(answer.headers()["x-end"], "1");
    for name in ["x-hop", "keep-alive"] {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn other_hosts_and_pages_are_refused() {
    let peer = honest().await;
    let config = ProxyConfig {
        allow_hosts: vec!["models.internal".to_owned()],
        ..on_loopback()
    };
    let proxy = Running::with(config, &peer, echo()).await;
    for host in ["evil.example", "127.0.0.1.evil.example:80", "0.0.0.0"] {
        let answer = proxy.send(with_header(infer(), "host", host)).await;
        assert_eq!(
            (answer.status().as_u16(), code(&answer).as_str()),
            (421, "host-not-allowed"),
            "{host}"
        );
    }
    for origin in ["https://evil.example", "null", "http://localhost:8000"] {
        let answer = proxy.send(with_header(infer(), "origin", origin)).await;
        assert_eq!(
            (answer.status().as_u16(), code(&answer).as_str()),
            (403, "origin-not-allowed"),
            "{origin}"
        );
        assert!(!answer.headers().contains_key("access-control-allow-origin"));
    }
    let answer = proxy
        .send(with_header(infer(), "sec-fetch-site", "cross-site"))
        .await;
    assert_eq!(code(&answer), "origin-not-allowed");
    assert_eq!(peer.log.connections(), 0, "nobody was even attested");
    for host in [
        "localhost",
        "127.0.0.1:9",
        "[::1]:80",
        "models.internal:7610",
    ] {
        assert_eq!(
            proxy
                .send(with_header(infer(), "host", host))
                .await
                .status(),
            200,
            "{host}"
        );
    }
}

#[tokio::test]
async fn paths_go_where_they_should_and_nowhere_else() {
    let peer = honest().await;
    let proxy = Running::with(on_loopback(), &peer, functions(&["echo", "other"])).await;
    for (path, status, expected) in [
        ("/v2/models/unknown/infer", 404, "model-not-found"),
        ("/v2/models/unknown", 404, "model-not-found"),
        ("/v2/models/echo%2F..%2Fother", 404, "model-not-found"),
        ("/v2/models/%zz/infer", 400, "invalid-path"),
        ("/v2/repository/models/echo/load", 404, "not-found"),
        ("/v2/logging", 404, "not-found"),
    ] {
        let answer = proxy.get(path).await;
        assert_eq!(
            (answer.status().as_u16(), code(&answer).as_str()),
            (status, expected),
            "{path}"
        );
    }
    // With two functions nothing says which one an OpenAI client means.
    let openai = proxy.get("/v1/models").await;
    let body: serde_json::Value = serde_json::from_slice(openai.body()).expect("JSON");
    assert_eq!(
        (openai.status().as_u16(), &body["error"]["code"]),
        (404, &"not-found".into())
    );
    for path in ["/.well-known/nacre/attestation?nonce=AAAA", "/", "/metrics"] {
        let answer = proxy.get(path).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    let put = Request::put("/v2/models/echo")
        .body(Bytes::new())
        .expect("a request");
    let answer = proxy.send(put).await;
    assert_eq!(
        (answer.status().as_u16(), code(&answer).as_str()),
        (405, "method-not-allowed")
    );
    assert_eq!(answer.headers()["allow"], "GET, HEAD, POST");
    assert_eq!(peer.log.connections(), 0);

    let health = proxy.get("/healthz").await;
    assert_eq!(health.body(), r#"{"functions":2,"status":"ok"}"#);
    assert_eq!(peer.log.connections(), 0);
}

#[tokio::test]
async fn requests_about_the_server_name_no_function() {
    let peer = honest().await;
    let proxy = Running::with(on_loopback(), &peer, functions(&["echo", "other"])).await;
    for path in ["/v2", "/v2/health/live", "/v2/health/ready"] {
        let answer = proxy.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(
            answer.headers()["nacre-verdict"],
            "trusted; root=DEVELOPMENT ROOT"
        );
    }
    let index = Request::post("/v2/repository/index")
        .body(Bytes::new())
        .expect("a request");
    assert_eq!(proxy.send(index).await.status(), 200);
    let calls = peer.log.calls();
    let paths: Vec<_> = calls.iter().map(|call| call.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/v2",
            "/v2/health/live",
            "/v2/health/ready",
            "/v2/repository/index"
        ]
    );
    assert!(
        calls
            .iter()
            .all(|call| !call.headers.contains_key(FUNCTION_HEADER))
    );
}

#[tokio::test]
async fn paths_and_queries_pass_as_they_were_sent() {
    let peer = honest().await;
    let proxy = Running::before(&peer).await;
    for path in [
        "/v2/models/%65cho/versions/1/infer?a=%20b&c",
        "/v1/models?x=1",
    ] {
        assert_eq!(proxy.get(path).await.status(), 200, "{path}");
        assert_eq!(
            peer.log
                .calls()
                .last()
                .map(|call| call.path.clone())
                .as_deref(),
            Some(path)
        );
    }
}

#[tokio::test]
async fn an_enclaves_refusal_is_passed_on() {
    let peer = FakeEnclave::start(
        Enclave::honest(),
        Behaviour::answers(|enclave, call| {
            let body = r#"{"error":"not JSON","code":"malformed-json"}"#;
            let response = Response::builder()
                .status(400)
                .header("content-type", "application/json");
            enclave.prove(call, response.body(body.into()).expect("a response"))
        }),
    )
    .await;
    let answer = Running::before(&peer).await.infer().await;
    assert_eq!(
        (answer.status().as_u16(), code(&answer).as_str()),
        (400, "malformed-json")
    );
    assert!(answer.headers().contains_key(RECEIPT_HEADER));
}

#[tokio::test]
async fn many_callers_at_once() {
    let peer = honest().await;
    let proxy = std::sync::Arc::new(Running::before(&peer).await);
    let callers: Vec<_> = (0..40)
        .map(|at| {
            let proxy = std::sync::Arc::clone(&proxy);
            tokio::spawn(async move {
                let body = Bytes::from(format!("[{at}]"));
                let answer = proxy.send(infer().map(|_| body.clone())).await;
                assert_eq!((answer.status().as_u16(), answer.body()), (200, &body));
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("every caller gets its own answer");
    }
    assert_eq!(peer.log.calls().len(), 40);
}

#[tokio::test]
async fn a_unix_socket_is_private_and_leaves_nothing() {
    let peer = honest().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("proxy.sock");
    // Somebody died here.
    drop(UnixListener::bind(&path).expect("a stale socket"));
    let config = ProxyConfig::new(ProxyListen::Unix(path.clone()));
    let proxy = Running::with(config.clone(), &peer, echo()).await;
    let file = std::fs::symlink_metadata(&path).expect("a socket");
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    // Whatever the host: who can open the socket is its user.
    let answer = proxy
        .send(with_header(infer(), "host", "models.example"))
        .await;
    assert_eq!(answer.status(), 200);
    let answer = proxy.send(with_header(infer(), "origin", "null")).await;
    assert_eq!(code(&answer), "origin-not-allowed");

    let trust = peer.enclave.trust();
    let second = bind(config, trust, echo(), Nowhere).await;
    assert_eq!(second.expect_err("it is in use").code(), "address-in-use");
    proxy.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_at_the_start() {
    let trust = Enclave::honest().trust();
    let open: ProxyListen = "0.0.0.0:0".parse().expect("an address");
    let hosts = ProxyConfig {
        allow_hosts: vec!["http://x".to_owned()],
        ..on_loopback()
    };
    for (config, names, expected) in [
        (ProxyConfig::new(open), functions(&["echo"]), "not-loopback"),
        (on_loopback(), functions(&[]), "no-function"),
        (
            on_loopback(),
            functions(&["echo", "echo"]),
            "duplicate-function",
        ),
        (hosts, functions(&["echo"]), "allow-host-syntax"),
    ] {
        let error = bind(config, trust.clone(), names, Nowhere)
            .await
            .expect_err(expected);
        assert_eq!(error.code(), expected, "{error}");
    }
}

struct Nowhere;

impl nacre_client::proxy::Resolver for Nowhere {
    async fn endpoints(
        &self,
        _: &nacre_protocol::ids::FunctionName,
    ) -> Result<Vec<nacre_client::Endpoint>, String> {
        Ok(vec![])
    }
}
