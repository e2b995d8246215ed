//! What is laid in again: the same job, whether its id says so or an idempotency key.

use nacre_protocol::api::jobs::{CreateJob, JobState};
use reqwest::RequestBuilder;

use crate::site::Site;
use crate::support::refused;

const JOBS: &str = "SELECT COUNT(*) FROM jobs";

async fn answer(request: RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn with_key(site: &Site, job: &CreateJob, key: &str) -> RequestBuilder {
    site.create(job).header("idempotency-key", key)
}

#[tokio::test]
async fn under_an_idempotency_key_the_first_answer_is_given_again() {
    let (site, nodes) = Site::start(1).await;
    let job = site.job(1);
    let first = answer(with_key(&site, &job, "one")).await;
    assert_eq!(first.0, 201);
    let taken = site.take(&nodes[0], 0).await.unwrap();
    assert_eq!(site.finish(&nodes[0], &taken, b"result").await, 204);
    // Long after its deadline too, and though it has ended.
    site.server.pass(3_600_000);
    assert_eq!(answer(with_key(&site, &job, "one")).await, first);
    // Without the key, and under another one, the id finds the job as it stands; that answer is kept as well.
    for request in [site.create(&job), with_key(&site, &job, "two")] {
        let (status, body) = answer(request).await;
        assert_eq!(status, 200);
        let known: nacre_protocol::api::jobs::Job = serde_json::from_str(&body).unwrap();
        assert_eq!((known.id, known.state), (job.id, JobState::Done));
    }
    let other = site.job(2);
    for key in ["one", "two"] {
        refused(with_key(&site, &other, key), 409, "idempotency-key-reused").await;
    }
    let mut changed = site.job(1);
    changed.deadline_ms += 1;
    refused(with_key(&site, &changed, "three"), 409, "job-id-reused").await;
    refused(
        with_key(&site, &other, "two words"),
        400,
        "idempotency-key-invalid",
    )
    .await;
    assert_eq!(site.count(JOBS).await, 1);
}

#[tokio::test]
async fn a_crowd_under_one_idempotency_key_has_one_answer() {
    let (site, _) = Site::start(1).await;
    let job = site.job(1);
    let crowd = (0..16).map(|_| answer(with_key(&site, &job, "k")));
    let answers = futures_util::future::join_all(crowd).await;
    assert_eq!(answers[0].0, 201);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(site.count(JOBS).await, 1);
}
