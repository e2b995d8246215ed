//! Answers of a trusted enclave's address that do not prove themselves: refused by the client, and by the proxy with 502
//! and without the body.

use std::sync::Mutex;

use bytes::Bytes;
use http::Response;
use k256::ecdsa::SigningKey;
use nacre_protocol::RECEIPT_HEADER;
use nacre_protocol::digest::Digest;
use nacre_protocol::receipt::{SignedReceipt, sign_batch};
use nacre_tests::evil::{Behaviour, Call, Enclave, FakeEnclave, answer, echo};

use crate::calls::{SECRET, infer};
use crate::proxy::Running;

type Answer = fn(&Enclave, &Call) -> Response<Bytes>;

/// What the peer answers, the client's code, and a word of its message.
const CASES: [(Answer, &str, &str); 12] = [
    (no_receipt, "receipt-missing", "200"),
    (not_a_receipt, "receipt-malformed", "not a receipt"),
    (eight_receipts_in_one, "receipt-malformed", "too long"),
    (of_another_answer, "receipt-refused", "response"),
    (of_another_request, "receipt-refused", "request"),
    (of_another_function, "receipt-refused", "wanted"),
    (of_another_status, "receipt-refused", "response"),
    (tampered_body, "receipt-refused", "response"),
    (tampered_type, "receipt-refused", "response"),
    (another_salt, "receipt-salt-mismatch", "salt"),
    (another_key, "receipt-refused", "sign"),
    (claims_changed_after_signing, "receipt-refused", "sign"),
];

#[tokio::test]
async fn the_client_refuses_them() {
    for (case, code, word) in CASES {
        let peer = FakeEnclave::start(Enclave::honest(), Behaviour::answers(case)).await;
        let error = peer
            .client(peer.enclave.trust())
            .call(infer())
            .await
            .expect_err(code);
        assert_eq!(
            (error.code(), error.result_code().map(|c| c as u8)),
            (code, Some(15)),
            "{error}"
        );
        assert!(error.to_string().contains(word), "{error}");
        // It was the answer, not the request, that was refused; and the connection is not used again.
        assert_eq!(peer.log.calls().len(), 1);
        peer.log.all_ended().await;
    }
}

#[tokio::test]
async fn the_proxy_does_not_pass_them_on() {
    for (case, code, _) in CASES {
        let peer = FakeEnclave::start(Enclave::honest(), Behaviour::answers(case)).await;
        let proxy = Running::before(&peer).await;
        let answer = proxy.infer().await;
        assert_eq!(answer.status(), 502, "{code}");
        let body: serde_json::Value = serde_json::from_slice(answer.body()).expect("JSON");
        assert_eq!(
            (&body["code"], &body["result_code"]),
            (&code.into(), &15.into())
        );
        assert!(body["error"].is_string());
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        assert!(!text.contains(SECRET) && !text.contains("forged"), "{text}");
        assert!(!answer.headers().contains_key(RECEIPT_HEADER));
        assert!(!answer.headers().contains_key("nacre-verdict"));
    }
}

#[tokio::test]
async fn an_earlier_receipt_for_the_same_request() {
    let kept = Mutex::new(None);
    let behaviour = Behaviour::answers(move |enclave, call| {
        let mut kept = kept.lock().expect("no panic");
        kept.get_or_insert_with(|| answer(enclave, call)).clone()
    });
    let peer = FakeEnclave::start(Enclave::honest(), behaviour).await;
    let client = peer.client(peer.enclave.trust());
    client.call(infer()).await.expect("true the first time");
    let error = client.call(infer()).await.expect_err("a replay");
    assert_eq!(error.code(), "receipt-salt-mismatch");
}

#[tokio::test]
async fn an_error_with_a_false_receipt() {
    let behaviour = Behaviour::answers(|enclave, call| {
        let receipt = answer(enclave, call).headers()[RECEIPT_HEADER].clone();
        let response = Response::builder()
            .status(500)
            .header(RECEIPT_HEADER, receipt);
        response.body("forged".into()).expect("a response")
    });
    let peer = FakeEnclave::start(Enclave::honest(), behaviour).await;
    let error = peer
        .client(peer.enclave.trust())
        .call(infer())
        .await
        .expect_err("false");
    assert_eq!(error.code(), "receipt-refused");
}

#[tokio::test]
async fn a_receipt_from_a_batch_of_many() {
    let behaviour = Behaviour::answers(|enclave, call| {
        let mut response = echo(call);
        let claims = enclave.claims(call, &response, &call.salt);
        let batch: Vec<_> = (0..5u16)
            .map(|at| match at {
                3 => (claims, call.salt),
                _ => (
                    nacre_protocol::receipt::InferenceReceipt {
                        status: at,
                        ..claims
                    },
                    [9; 32],
                ),
            })
            .collect();
        let receipt = sign_batch(&enclave.receipt_key, &batch)
            .expect("a batch")
            .remove(3);
        with(&mut response, &receipt);
        response
    });
    let peer = FakeEnclave::start(Enclave::honest(), behaviour).await;
    let client = peer.client(peer.enclave.trust());
    client
        .call(infer())
        .await
        .expect("a true receipt among five");
}

fn with(response: &mut Response<Bytes>, receipt: &SignedReceipt) {
    let header = receipt.to_header().parse().expect("a header");
    response.headers_mut().insert(RECEIPT_HEADER, header);
}

fn forged(call: &Call) -> Response<Bytes> {
    echo(call).map(|_| Bytes::from_static(b"{\"forged\":true}"))
}

fn no_receipt(_: &Enclave, call: &Call) -> Response<Bytes> {
    forged(call)
}

fn not_a_receipt(_: &Enclave, call: &Call) -> Response<Bytes> {
    let mut response = forged(call);
    response
        .headers_mut()
        .insert(RECEIPT_HEADER, "AAAA".parse().expect("a header"));
    response
}

fn eight_receipts_in_one(enclave: &Enclave, call: &Call) -> Response<Bytes> {
    let mut response = answer(enclave, call);
    let receipt = response.headers()[RECEIPT_HEADER]
        .to_str()
        .expect("text")
        .repeat(8);
    response
        .headers_mut()
        .insert(RECEIPT_HEADER, receipt.parse().expect("a header"));
    response
}

fn of_another_answer(enclave: &Enclave, call: &Call) -> Response<Bytes> {
    let mut response = forged(call);
    with(&mut response, &enclave.receipt(call, &echo(call)));
    response
}

fn of_another_request(enclave: &Enclave, call: &Call) -> Response<Bytes> {
    let mut response = echo(call);
    let other = Call {
        decoded: "another".into(),
        ..call.clone()
    };
    let receipt = enclave.receipt(&other, &response);
    with(&mut response, &receipt);
    response
}

fn of_another_function(enclave: &Enclave, call: &Call) -> Response<Bytes> {
    let mut response = echo(call);
    let mut claims = enclave.claims(call, &response, &call.salt);
    claims.function_digest = Digest::of(b"another model under the same name");
    with(&mut response, &enclave.signed(claims, call.salt));
    response
}

fn of_another_status(enclave: &Enclave, call: &Call) -> Response<Bytes> {
    let mut response = answer(enclave, call);
    *response.status_mut() = http::StatusCode::CREATED;
    response
}

fn tampered_body(enclave: &Enclave, call: &Call) -> Response<Bytes> {
    answer(enclave, call).map(|body| {
        let mut body = body.to_vec();
        body[0] ^= 1;
        body.into()
    })
}

fn tampered_type(enclave: &Enclave, call: &Call) -> Response<Bytes> {
    let mut response = answer(enclave, call);
    let html = "text/html".parse().expect("a header");
    response.headers_mut().insert("content-type", html);
    response
}

fn another_salt(enclave: &Enclave, call: &Call) -> Response<Bytes> {
    let mut response = echo(call);
    let salt = [1; 32];
    let claims = enclave.claims(call, &response, &salt);
    with(&mut response, &enclave.signed(claims, salt));
    response
}

fn another_key(enclave: &Enclave, call: &Call) -> Response<Bytes> {
    let mut response = echo(call);
    let claims = enclave.claims(call, &response, &call.salt);
    let thief = SigningKey::from_slice(&[0x77; 32]).expect("a key");
    let receipt = sign_batch(&thief, &[(claims, call.salt)])
        .expect("a batch")
        .remove(0);
    with(&mut response, &receipt);
    response
}

fn claims_changed_after_signing(enclave: &Enclave, call: &Call) -> Response<Bytes> {
    let mut response = echo(call);
    let mut receipt = enclave.receipt(call, &response);
    receipt.receipt.compute_micros += 1;
    with(&mut response, &receipt);
    response
}
