//! The same inference through the platform: TLS that ends in the enclave, host proxy, router, worker, receipt.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use nacre_client::{AttestedClient, AttestedConnection, ClientOptions, Endpoint, Trust};
use nacre_protocol::digest::Digest;
use nacre_protocol::{FUNCTION_HEADER, INFERENCE_HEADER_LENGTH, RECEIPT_HEADER};

use super::samples::Samples;

/// One call, ready to be sent again and again.
#[derive(Debug, Clone)]
pub struct Call {
    /// Path of the infer endpoint.
    pub path: String,
    /// The function that must answer.
    pub digest: Digest,
    /// Body, JSON or JSON followed by binary tensors.
    pub body: Bytes,
    /// Length of the JSON part where the body has binary tensors.
    pub json_length: Option<usize>,
}

impl Call {
    /// A call with one FP32 input as a binary tensor, asking for binary outputs.
    pub fn binary(model: &str, digest: Digest, input: &str, shape: &[u64], data: &[f32]) -> Self {
        let bytes: Vec<u8> = data.iter().flat_map(|value| value.to_le_bytes()).collect();
        let head = serde_json::json!({
            "inputs": [{
                "name": input, "shape": shape, "datatype": "FP32",
                "parameters": { "binary_data_size": bytes.len() },
            }],
            "parameters": { "binary_data_output": true },
        });
        let head = head.to_string().into_bytes();
        let json_length = Some(head.len());
        Self {
            path: format!("/v2/models/{model}/infer"),
            digest,
            body: [head, bytes].concat().into(),
            json_length,
        }
    }

    fn request<B: From<Bytes>>(&self) -> anyhow::Result<Request<B>> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(FUNCTION_HEADER, self.digest.to_string());
        request = match self.json_length {
            Some(length) => request
                .header(header::CONTENT_TYPE, "application/octet-stream")
                .header(INFERENCE_HEADER_LENGTH, length),
            None => request.header(header::CONTENT_TYPE, "application/json"),
        };
        Ok(request.body(B::from(self.body.clone()))?)
    }
}

/// Times calls on one connection that was attested once; receipts are received and not checked.
pub async fn sample_connection(
    connection: &mut AttestedConnection,
    call: &Call,
    calls: usize,
) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..calls {
        let request = call.request::<Full<Bytes>>()?;
        let begun = Instant::now();
        let response = connection.send(request).await?;
        let status = response.status();
        ensure!(
            response.headers().contains_key(RECEIPT_HEADER),
            "no receipt ({status})"
        );
        let body = response.into_body().collect().await?.to_bytes();
        samples.push(begun.elapsed());
        ensure!(
            status.is_success(),
            "{status}: {}",
            String::from_utf8_lossy(&body)
        );
    }
    Ok(samples)
}

/// Times bare GETs on one connection: what is left of a call when nothing is inferred.
pub async fn sample_get(
    connection: &mut AttestedConnection,
    path: &str,
    calls: usize,
) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..calls {
        let request = Request::get(path).body(Full::<Bytes>::default())?;
        let begun = Instant::now();
        let response = connection.send(request).await?;
        let status = response.status();
        response.into_body().collect().await?;
        samples.push(begun.elapsed());
        ensure!(status.is_success(), "{path}: {status}");
    }
    Ok(samples)
}

/// Times calls of the checking client: every receipt is verified.
pub async fn sample_checked(
    client: &AttestedClient,
    call: &Call,
    calls: usize,
) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..calls {
        let request = call.request::<Bytes>()?;
        let begun = Instant::now();
        let answer = client.call(request).await?;
        samples.push(begun.elapsed());
        ensure!(answer.response.status().is_success() && answer.proof.is_some());
    }
    Ok(samples)
}

/// Many connections at once.
#[derive(Debug)]
pub struct Throughput {
    /// Answers a second.
    pub per_second: f64,
    /// Latency of each.
    pub samples: Samples,
}

/// Sends `calls` calls over `connections` keep-alive connections as fast as they answer.
pub async fn throughput(
    endpoint: &Endpoint,
    trust: &Trust,
    call: &Call,
    connections: usize,
    calls: usize,
) -> anyhow::Result<Throughput> {
    let mut open = Vec::new();
    for _ in 0..connections {
        let connection = AttestedConnection::open(endpoint, trust, Duration::from_secs(30)).await;
        open.push(connection.context("opening connections")?);
    }
    let left = Arc::new(AtomicUsize::new(calls));
    let begun = Instant::now();
    let tasks: Vec<_> = open
        .into_iter()
        .map(|mut connection| {
            let (left, call) = (left.clone(), call.clone());
            tokio::spawn(async move {
                let mut samples = Samples::default();
                // Eight at a time keeps the shared counter out of the way.
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(8))
                    .is_ok()
                {
                    samples.extend(sample_connection(&mut connection, &call, 8).await?);
                }
                anyhow::Ok(samples)
            })
        })
        .collect();
    let mut samples = Samples::default();
    for task in tasks {
        samples.extend(task.await??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let done = calls - left.load(Ordering::Relaxed);
    Ok(Throughput {
        per_second: done as f64 / seconds,
        samples,
    })
}

/// A client that checks every receipt.
pub fn checking_client(endpoint: &Endpoint, trust: &Trust, digest: Digest) -> AttestedClient {
    let endpoints = vec![endpoint.clone()];
    AttestedClient::new(
        trust.clone(),
        Some(digest),
        endpoints,
        ClientOptions::default(),
    )
}
