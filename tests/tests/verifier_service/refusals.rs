//! What is refused, and under which code.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use nacre_emulator::socket::system_clock;
use nacre_emulator::testing::Wanted;
use nacre_protocol::encoding::base64url;
use serde_json::{Value, json};

use super::setting::{Service, Subject, WORKER, question};

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_refused_under_the_rule_that_it_breaks() {
    let mut subject = Subject::running(WORKER);
    let service = Service::start(&subject, |_| ()).await;
    let mut caller = service.connect().await;
    let good = subject.document();
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let stranger = nacre_emulator::testing::DevNsm::seeded(9, WORKER, system_clock());
    let strangers = Subject(stranger).document();
    let without = |wanted| Wanted {
        nonce: Some(b"fresh"),
        ..wanted
    };
    let keyless = subject.0.attest(
        without(Wanted {
            user_data: Some(&[5; 32]),
            ..Wanted::default()
        }),
        system_clock(),
    );
    let point = Subject::receipt_key().verifying_key().to_sec1_point(false);
    let shapeless = subject.0.attest(
        without(Wanted {
            user_data: Some(&[5; 31]),
            public_key: Some(&point.as_bytes()[1..]),
            ..Wanted::default()
        }),
        system_clock(),
    );
    for (document, rule, result) in [
        (Vec::new(), "cbor-truncated", 10),
        (vec![0; 16 * 1024 + 1], "document-too-long", 10),
        (strangers, "untrusted-root", 11),
        (forged, "signature-invalid", 12),
        (keyless, "receipt-key", 15),
        (shapeless, "user-data-shape", 15),
    ] {
        let answer = caller.verify(&question(&document)).await;
        assert_eq!(answer.refusal(), (422, rule, Some(result)));
        assert_eq!(answer.body.get("signature"), None);
    }
    let mut wrong_nonce = question(&good);
    wrong_nonce["nonce"] = json!(base64url(b"stale"));
    let answer = caller.verify(&wrong_nonce).await;
    assert_eq!(answer.refusal(), (422, "nonce-mismatch", Some(15)));

    // And the connection still serves.
    let mut right_nonce = question(&good);
    right_nonce["nonce"] = json!(base64url(b"fresh"));
    assert_eq!(caller.verify(&right_nonce).await.status, 200);
}

/// The service's time is its own module's, not the asker's or the document's.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_from_another_time_is_refused() {
    let mut subject = Subject::running(WORKER);
    let service = Service::start(&subject, |_| ()).await;
    let mut caller = service.connect().await;
    let now = system_clock();
    let ahead = caller
        .verify(&question(&subject.document_at(now + 120_000)))
        .await;
    assert_eq!(ahead.refusal(), (422, "document-from-future", Some(13)));
    let tolerated = caller
        .verify(&question(&subject.document_at(now + 10_000)))
        .await;
    assert_eq!(tolerated.status, 200, "{}", tolerated.body);

    // A module that has run for ten minutes, and its documents of five minutes ago.
    let start = now - 600_000;
    let mut old = Subject(nacre_emulator::testing::DevNsm::seeded(1, WORKER, start));
    let service = Service::start(&old, |_| ()).await;
    let mut caller = service.connect().await;
    let answer = caller
        .verify(&question(&old.document_at(now - 310_000)))
        .await;
    assert_eq!(answer.refusal(), (422, "document-too-old", Some(13)));
    let answer = caller
        .verify(&question(&old.document_at(now - 290_000)))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debug_enclave_gets_no_signature() {
    for (image, rule) in [
        ([[0; 48]; 3], "debug-enclave"),
        ([[1; 48], [0; 48], [3; 48]], "pcr-partly-zero"),
    ] {
        let mut subject = Subject::running(image);
        let service = Service::start(&subject, |_| ()).await;
        let mut caller = service.connect().await;
        let answer = caller.verify(&question(&subject.document())).await;
        assert_eq!(answer.refusal(), (422, rule, Some(14)));
        assert_eq!(answer.body.get("signature"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_none_is_refused_before_any_document_is_looked_at() {
    let mut subject = Subject::running(WORKER);
    let service = Service::start(&subject, |config| {
        config.desk.connection_rate.burst = 100;
    })
    .await;
    let mut caller = service.connect().await;
    let good = question(&subject.document());
    let changed = |field: &str, value: Value| {
        let mut question = good.clone();
        question[field] = value;
        question.to_string()
    };
    let without = |field: &str| {
        let mut question = good.clone();
        question.as_object_mut().unwrap().remove(field);
        question.to_string()
    };
    let bodies = [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        // Right values in the order of the fields, without their names.
        json!([
            good["document"],
            good["operator"],
            1,
            good["verifyingContract"],
            null
        ])
        .to_string(),
        format!("{good} "),
        format!("{good}x"),
        changed("document", json!("AAA=")),
        changed("document", json!("+/+/")),
        changed("document", json!(null)),
        changed(
            "operator",
            json!("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"),
        ),
        changed(
            "operator",
            json!("5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
        ),
        changed("operator", json!("0x00")),
        changed("chainId", json!(0)),
        changed("chainId", json!(-1)),
        changed("chainId", json!(1.5)),
        changed("chainId", json!("0x1")),
        changed("chainId", json!("01")),
        changed("verifyingContract", json!(null)),
        changed("nonce", json!("!")),
        changed("nonce", json!(7)),
        // Two readers of JSON may each believe another of the two.
        good.to_string().replacen('{', "{\"chainId\":1,", 1),
        changed("root", json!("AAAA")),
        changed("time", json!(0)),
        without("document"),
        without("operator"),
        without("chainId"),
        without("verifyingContract"),
    ];
    for body in bodies {
        // JSON may end in white space; that one is good.
        if body.ends_with("} ") {
            assert_eq!(caller.post(body).await.status, 200);
            continue;
        }
        let answer = caller.post(body.clone()).await;
        assert_eq!(
            answer.refusal(),
            (400, "request-malformed", Some(2)),
            "{body}"
        );
    }
    let metrics = service.metrics().await;
    assert_eq!(metrics["nacre_verifier_verify_seconds_count"], 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_to_verify_has_the_status_that_http_has_for_it() {
    let mut subject = Subject::running(WORKER);
    let service = Service::start(&subject, |_| ()).await;
    let mut caller = service.connect().await;
    let good = question(&subject.document()).to_string();
    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap()
    };
    let json = ("content-type", "application/json");
    for (request, refusal) in [
        (
            ask("GET", "/v1/verify", &[], ""),
            (405, "method-not-allowed", None),
        ),
        (
            ask("PUT", "/v1/verify", &[json], &good),
            (405, "method-not-allowed", None),
        ),
        (
            ask("POST", "/v1/verify/", &[json], &good),
            (404, "not-found", None),
        ),
        (ask("POST", "/", &[json], &good), (404, "not-found", None)),
        (ask("GET", "/metrics", &[], ""), (404, "not-found", None)),
        (
            ask("POST", "/v1/verify", &[], &good),
            (415, "media-type", Some(2)),
        ),
        (
            ask(
                "POST",
                "/v1/verify",
                &[("content-type", "text/json")],
                &good,
            ),
            (415, "media-type", Some(2)),
        ),
        (
            ask(
                "POST",
                "/v1/verify",
                &[json, ("content-encoding", "gzip")],
                &good,
            ),
            (415, "media-type", Some(2)),
        ),
    ] {
        let answer = caller.send(request).await;
        assert_eq!(answer.refusal(), refusal);
        if answer.status == 405 {
            assert_eq!(answer.headers["allow"], "POST");
        }
    }
    for (path, status) in [("/healthz", 200), ("/readyz", 200)] {
        let answer = caller.send(ask("GET", path, &[], "")).await;
        assert_eq!(answer.status, status, "{path}");
        let answer = caller.send(ask("POST", path, &[json], "{}")).await;
        assert_eq!(answer.refusal(), (405, "method-not-allowed", None));
    }
    let long = format!("{good}{}", " ".repeat(32 * 1024 - good.len()));
    assert_eq!(caller.post(long.clone()).await.status, 200);
    let answer = caller.post(format!("{long} ")).await;
    assert_eq!(answer.refusal(), (413, "body-too-large", None));
}
