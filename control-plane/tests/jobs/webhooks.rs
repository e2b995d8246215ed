//! Whoever laid a job in is told, and nobody else's neighbour is called.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use nacre_protocol::api::jobs::{Job, JobState};
use reqwest::Method;
use serde_json::Value;

use crate::site::Site;
use crate::support::{expect, refused};

#[tokio::test]
async fn only_public_https_is_called() {
    let (site, _) = Site::start(1).await;
    for url in [
        "http://example.org/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.0.0.1:7600/v1/jobs",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:127.0.0.1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://user:word@example.org/",
        "https://example.org/#part",
        "ftp://example.org/",
        "file:///etc/passwd",
        "example.org",
        "",
    ] {
        let mut job = site.job(1);
        job.webhook = Some(url.to_owned());
        refused(site.create(&job), 422, "webhook-invalid").await;
    }
}

type Calls = Arc<Mutex<Vec<(HeaderMap, String)>>>;

/// Refuses the first call, as a receiver that is just starting.
async fn receive(State(calls): State<Calls>, headers: HeaderMap, body: String) -> StatusCode {
    let mut calls = calls.lock().unwrap();
    calls.push((headers, body));
    match calls.len() {
        1 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    }
}

#[tokio::test]
async fn the_end_of_a_job_is_posted_signed_until_it_is_taken() {
    let (site, nodes) = Site::tuned(1, |config| config.jobs.private_webhooks = true).await;
    let calls = Calls::default();
    let router = Router::new()
        .route("/hook", post(receive))
        .with_state(Arc::clone(&calls));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let receiver = tokio::spawn(async move { axum::serve(listener, router).await });

    let mut job = site.job(1);
    job.webhook = Some(format!("http://{address}/hook"));
    let _: Job = expect(site.create(&job), 201).await;
    let taken = site.take(&nodes[0], 0).await.unwrap();
    assert_eq!(site.finish(&nodes[0], &taken, b"result").await, 204);

    // The second time is due a second after the first was refused.
    let twice = async {
        while calls.lock().unwrap().len() < 2 {
            site.server.pass(10);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), twice)
        .await
        .expect("it is posted again");
    receiver.abort();

    let secret: Value = site.server.get("/v1/webhook-secret").await;
    let secret = secret["secret"].as_str().unwrap();
    for (headers, body) in calls.lock().unwrap().iter() {
        let told: Job = serde_json::from_str(body).unwrap();
        assert_eq!((told.id, told.state), (job.id, JobState::Done));
        let signature = headers["nacre-webhook-signature"].to_str().unwrap();
        let (time, tag) = signature.split_once(",v1=").unwrap();
        let time = time.strip_prefix("t=").unwrap();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hex::decode(tag).unwrap();
        let signed = format!("{time}.{body}");
        assert!(aws_lc_rs::hmac::verify(&key, signed.as_bytes(), &tag).is_ok());
    }
    let anonymous = site.server.anonymous(Method::GET, "/v1/webhook-secret");
    refused(anonymous, 401, "unauthenticated").await;
}

#[tokio::test]
async fn a_job_is_not_forgotten_before_its_end_was_told() {
    let (mut site, nodes) = Site::tuned(1, |config| {
        config.jobs.private_webhooks = true;
        config.jobs.retention = std::time::Duration::from_secs(1);
    })
    .await;
    // Nobody listens there.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (mut told, silent) = (site.job(1), site.job(2));
    told.webhook = Some(format!("http://{address}/"));
    for job in [&told, &silent] {
        let _: Job = expect(site.create(job), 201).await;
        let taken = site.take(&nodes[0], 0).await.unwrap();
        assert_eq!(site.finish(&nodes[0], &taken, b"result").await, 204);
    }
    site.server.stop().await;
    site.server.pass(5_000);
    // What is old is forgotten at the start.
    site.server.resume().await;
    let forgotten = async {
        let path = format!("/v1/jobs/{}", silent.id);
        while site
            .server
            .request(Method::GET, &path)
            .send()
            .await
            .unwrap()
            .status()
            != 404
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), forgotten)
        .await
        .expect("old jobs are forgotten");
    assert_eq!(site.look(told.id).await.state, JobState::Done);
}
