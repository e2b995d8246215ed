//! The proxy when enclaves come and go.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use nacre_client::Endpoint;
use nacre_client::proxy::ProxyConfig;
use nacre_tests::evil::{Behaviour, Enclave, FakeEnclave, HONEST, now_ms};

use crate::calls::infer;
use crate::proxy::{DEADLINE, Places, Running, code, echo, on_loopback};

/// Enclaves of one root and one port, one after the other.
struct Lives {
    since_ms: u64,
}

impl Lives {
    fn begin() -> Self {
        Self {
            since_ms: now_ms() - 600_000,
        }
    }

    /// New keys, the same root.
    fn enclave(&self, measurements: [[u8; 48]; 3]) -> Enclave {
        Enclave::boot(3, self.since_ms, measurements)
    }
}

#[tokio::test]
async fn an_enclave_that_restarts_with_new_keys_is_found_again() {
    let lives = Lives::begin();
    let first = FakeEnclave::start(lives.enclave(HONEST), Behaviour::honest()).await;
    let address = first.address();
    let proxy = Arc::new(Running::before(&first).await);
    assert_eq!(proxy.infer().await.status(), 200);
    let spki = first.enclave.tls.spki_sha256();
    first.stop().await;

    // A call that comes while nobody is there waits for the next life.
    let asked = proxy.places.asked();
    let waiting = tokio::spawn({
        let proxy = Arc::clone(&proxy);
        async move { proxy.infer().await }
    });
    proxy.places.asked_more_than(asked).await;
    let second = FakeEnclave::start_at(address, lives.enclave(HONEST), Behaviour::honest()).await;
    let answer = waiting.await.expect("no panic");
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_ne!(second.enclave.tls.spki_sha256(), spki);
    assert_eq!(second.log.calls().len(), 1);
    assert_eq!(proxy.infer().await.status(), 200);
    assert_eq!(second.log.evidence_requests(), 1, "the connection is kept");
}

#[tokio::test]
async fn nothing_goes_to_another_image_until_the_right_one_is_back() {
    let lives = Lives::begin();
    let good = FakeEnclave::start(lives.enclave(HONEST), Behaviour::honest()).await;
    let address = good.address();
    let proxy = Running::before(&good).await;
    assert_eq!(proxy.infer().await.status(), 200);
    good.stop().await;

    let other = lives.enclave([[0x66; 48], HONEST[1], HONEST[2]]);
    let other = FakeEnclave::start_at(address, other, Behaviour::honest()).await;
    for request in [
        infer(),
        Request::get("/v2").body(Bytes::new()).expect("a request"),
    ] {
        let answer = proxy.send(request).await;
        assert_eq!(answer.status(), 502);
        assert_eq!(code(&answer), "measurement-mismatch");
        let body: serde_json::Value = serde_json::from_slice(answer.body()).expect("JSON");
        assert_eq!(body["result_code"], 14);
    }
    assert!(other.log.only_evidence_was_asked().await >= 2);
    other.stop().await;

    let good = FakeEnclave::start_at(address, lives.enclave(HONEST), Behaviour::honest()).await;
    assert_eq!(proxy.infer().await.status(), 200);
    assert_eq!(good.log.calls().len(), 1);
}

#[tokio::test]
async fn a_function_that_moves_is_followed() {
    let lives = Lives::begin();
    let (here, there) = (lives.enclave(HONEST), lives.enclave(HONEST));
    // The old node lives on without the function.
    let old = FakeEnclave::start(here, Behaviour::honest()).await;
    let gone = Behaviour::answers(|_, _| {
        let body = r#"{"error":"no such model","code":"model-not-found"}"#;
        Response::builder()
            .status(404)
            .body(body.into())
            .expect("a response")
    });
    let proxy = Running::before(&old).await;
    assert_eq!(proxy.infer().await.status(), 200);
    let address = old.address();
    old.stop().await;
    let old = FakeEnclave::start_at(address, lives.enclave(HONEST), gone).await;
    // So long as it is said to be there, its answer is the answer.
    assert_eq!(code(&proxy.infer().await), "model-not-found");

    let new = FakeEnclave::start(there, Behaviour::honest()).await;
    proxy.places.set(Ok(vec![new.endpoint()]));
    let asked = proxy.places.asked();
    let followed = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while proxy.infer().await.status() != 200 {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(DEADLINE, followed)
        .await
        .expect("the proxy follows");
    assert!(proxy.places.asked() > asked);
    assert_eq!(new.log.calls().len(), 1);
    let before = old.log.calls().len();
    assert_eq!(proxy.infer().await.status(), 200);
    assert_eq!(old.log.calls().len(), before);
}

#[tokio::test]
async fn a_broken_connection_costs_one_repetition_and_no_more() {
    let peer = FakeEnclave::start(
        Enclave::honest(),
        Behaviour::answers(|_, _| panic!("the worker dies")),
    )
    .await;
    let proxy = Running::before(&peer).await;
    let answer = proxy.infer().await;
    assert_eq!(
        (answer.status().as_u16(), code(&answer).as_str()),
        (502, "connection-broken")
    );
    assert_eq!(peer.log.calls().len(), 2);
}

#[tokio::test]
async fn without_an_enclave_the_caller_is_told_in_time() {
    let port = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let closed: Endpoint = port
        .local_addr()
        .expect("an address")
        .to_string()
        .parse()
        .expect("an endpoint");
    drop(port);
    let patience = Duration::from_millis(300);
    let trust = Enclave::honest().trust();
    for (places, status, expected) in [
        (Ok(vec![closed]), 502, "connect-failed"),
        (Ok(vec![]), 503, "no-endpoint"),
        (
            Err("the control plane is away".to_owned()),
            503,
            "no-endpoint",
        ),
    ] {
        let away = places.is_err();
        let config = ProxyConfig {
            patience,
            ..on_loopback()
        };
        let proxy = Running::start(config, trust.clone(), echo(), Places::new(places)).await;
        let answer = proxy.infer().await;
        assert_eq!(
            (answer.status().as_u16(), code(&answer).as_str()),
            (status, expected)
        );
        let told = String::from_utf8_lossy(answer.body()).contains("the control plane is away");
        assert_eq!(told, away);
    }
}

#[tokio::test]
async fn a_resolver_that_fails_does_not_stop_calls() {
    let peer = FakeEnclave::start(Enclave::honest(), Behaviour::honest()).await;
    let proxy = Running::before(&peer).await;
    assert_eq!(proxy.infer().await.status(), 200);
    proxy
        .places
        .set(Err("the control plane is away".to_owned()));
    assert_eq!(proxy.infer().await.status(), 200);
    assert_eq!(
        proxy.places.asked(),
        1,
        "asked once, when nothing was known"
    );
}
