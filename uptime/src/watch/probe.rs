//! One try: an attested connection, the canary, its receipt.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use nacre_client::{AttestedConnection, ClientError, Trust};
use nacre_protocol::encoding::base64url;
use nacre_protocol::receipt::SignedReceipt;
use nacre_protocol::receipt_file::{ReceiptFile, RequestHead, ResponseHead};
use nacre_protocol::uptime::DownReason;
use nacre_protocol::{FUNCTION_HEADER, INFERENCE_HEADER_LENGTH, RECEIPT_HEADER, SALT_HEADER};
use tokio::time::{Instant, timeout_at};

use super::canary::{Canary, MAX_BODY};
use super::targets::Target;
use crate::evidence::Proof;

/// What a node without a canary is asked.
const HEALTH: &str = "/healthz";

/// Asks a node once; whatever is not an answer by `end` that proves itself is a reason.
pub(crate) async fn ask(
    target: &Target,
    trust: &Trust,
    nonce: &[u8; 32],
    end: Instant,
) -> Result<Proof, DownReason> {
    let asked = timeout_at(end, ask_unbounded(target, trust, nonce, end));
    asked.await.unwrap_or(Err(DownReason::Timeout))
}

async fn ask_unbounded(
    target: &Target,
    trust: &Trust,
    nonce: &[u8; 32],
    end: Instant,
) -> Result<Proof, DownReason> {
    let limit = end.saturating_duration_since(Instant::now());
    let limit = limit.max(Duration::from_millis(1));
    let opened = AttestedConnection::open_with_nonce(&target.endpoint, trust, *nonce, limit).await;
    let connection = opened.map_err(|error| {
        tracing::debug!(node = %target.node, code = error.code(), %error, "not attested");
        reason(&error)
    })?;
    let boot_id = connection.enclave().statement().boot_id;
    if target
        .boot_id
        .is_some_and(|registered| registered != boot_id)
    {
        return Err(DownReason::OtherEnclave);
    }
    match &target.canary {
        Some(canary) => call(connection, canary, nonce).await,
        None => health(connection).await,
    }
}

/// Calls the canary with the watcher's nonce as the receipt's salt, so that the enclave signs over it.
async fn call(
    mut connection: AttestedConnection,
    canary: &Canary,
    nonce: &[u8; 32],
) -> Result<Proof, DownReason> {
    const JSON: &str = "application/json";
    let path = canary.path();
    let request = Request::builder()
        .method(Method::POST)
        .uri(&path)
        .header(header::CONTENT_TYPE, JSON)
        .header(FUNCTION_HEADER, canary.digest.to_string())
        .header(SALT_HEADER, base64url(nonce))
        .body(Full::new(canary.request.clone()))
        .map_err(|_| DownReason::Refused)?;
    let response = answer(&mut connection, request).await?;

    let enclave = connection.enclave();
    let header = text(&response, RECEIPT_HEADER);
    let receipt = SignedReceipt::from_header(header).map_err(|_| DownReason::ReceiptRefused)?;
    let file = ReceiptFile {
        version: 1,
        receipt: header.to_owned(),
        function: canary.digest,
        request: RequestHead {
            method: Method::POST.to_string(),
            path,
            content_type: JSON.to_owned(),
            inference_header_length: String::new(),
        },
        response: ResponseHead {
            status: response.status().as_u16(),
            content_type: text(&response, header::CONTENT_TYPE.as_str()).to_owned(),
            inference_header_length: text(&response, INFERENCE_HEADER_LENGTH).to_owned(),
        },
        evidence: enclave.evidence().clone(),
    };
    let proven = receipt.verify(
        &enclave.statement().receipt_key,
        &canary.digest,
        &file.request.with_body(&canary.request),
        &file.response.with_body(response.body()),
    );
    if receipt.salt != *nonce || proven.is_err() {
        return Err(DownReason::ReceiptRefused);
    }
    if !canary.is_answered_by(response.body()) {
        return Err(DownReason::WrongAnswer);
    }
    Ok(Proof::Canary {
        receipt: Box::new(file),
        request: canary.request.to_vec(),
        response: response.body().to_vec(),
    })
}

async fn health(mut connection: AttestedConnection) -> Result<Proof, DownReason> {
    let request = Request::get(HEALTH).body(Full::default());
    let request = request.map_err(|_| DownReason::Refused)?;
    answer(&mut connection, request).await?;
    Ok(Proof::Health {
        evidence: connection.enclave().evidence().clone(),
        exporter: connection.binding().exporter,
    })
}

/// The whole of an answer with status 200.
async fn answer(
    connection: &mut AttestedConnection,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, DownReason> {
    let sent = connection.send(request).await.map_err(|e| reason(&e))?;
    if sent.status() != StatusCode::OK {
        return Err(DownReason::Refused);
    }
    let (head, body) = sent.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await;
    let body = body.map_err(|_| DownReason::ConnectionBroken)?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

fn text<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn reason(error: &ClientError) -> DownReason {
    match error {
        ClientError::Connect { .. } | ClientError::EndpointSyntax(_) | ClientError::NoEndpoint => {
            DownReason::ConnectFailed
        }
        ClientError::Tls { .. } => DownReason::TlsFailed,
        ClientError::Timeout { .. } => DownReason::Timeout,
        ClientError::Http(_) => DownReason::ConnectionBroken,
        _ => DownReason::EvidenceRefused,
    }
}
