//! From hand to hand to the end.

use nacre_protocol::JOB_RECEIPT_HEADER;
use nacre_protocol::api::Page;
use nacre_protocol::api::jobs::{Bytes32, Job, JobPayload, JobState};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::JobId;
use nacre_protocol::job::JobInput;
use nacre_protocol::sealed::SealedJob;
use reqwest::Method;

use crate::site::{LATER_MS, LEASE_MS, Site};
use crate::support::{expect, files, refused};

const SETTLED: &str = "SELECT COUNT(*) FROM job_settlements";

#[tokio::test]
async fn a_job_is_taken_run_and_settled_once() {
    let (site, nodes) = Site::start(1).await;
    let id = site.submit(1).await;
    let job = site.take(&nodes[0], 0).await.unwrap();
    assert_eq!((job.id, job.attempt), (id, 1));
    assert_eq!(site.look(id).await.state, JobState::Leased);
    let started = site.of_job(Method::POST, &nodes[0], &job, "started");
    assert_eq!(started.send().await.unwrap().status(), 204);
    assert_eq!(site.look(id).await.state, JobState::Running);
    let input = site.input(&nodes[0], &job).await;
    assert_eq!(JobInput::decode(&input).unwrap().body, b"{\"n\":1}");

    let receipt = nodes[0].receipt(&job, &input, b"result");
    for _ in 0..2 {
        let brought = site.bring(&nodes[0], &job, b"result", &receipt);
        assert_eq!(brought.send().await.unwrap().status(), 204);
    }
    let done = site.look(id).await;
    let outcome = done.result.unwrap();
    assert_eq!(done.state, JobState::Done);
    assert_eq!(
        (outcome.node, outcome.boot_id),
        (nodes[0].node.id, nodes[0].node.boot())
    );
    let path = format!("/v1/jobs/{id}/result");
    let result = site
        .server
        .request(Method::GET, &path)
        .send()
        .await
        .unwrap();
    assert_eq!(result.headers()[JOB_RECEIPT_HEADER], receipt.to_header());
    assert_eq!(result.bytes().await.unwrap(), "result");
    assert_eq!(site.count(SETTLED).await, 1);
}

#[tokio::test]
async fn the_same_id_is_the_same_job_and_with_another_body_an_error() {
    let (site, _) = Site::start(1).await;
    let id = site.submit(1).await;
    let again: Job = expect(site.create(&site.job(1)), 200).await;
    assert_eq!(again.id, id);
    let mut other = site.job(1);
    other.deadline_ms += 1;
    refused(site.create(&other), 409, "job-id-reused").await;
    assert_eq!(site.count("SELECT COUNT(*) FROM jobs").await, 1);
}

#[tokio::test]
async fn of_a_crowd_that_lays_one_job_in_one_makes_it() {
    let (site, _) = Site::start(1).await;
    let job = site.job(1);
    let crowd = (0..16).map(|_| site.create(&job).send());
    let answers = futures_util::future::join_all(crowd).await;
    let made = answers
        .into_iter()
        .filter(|a| a.as_ref().unwrap().status() == 201);
    assert_eq!(made.count(), 1);
    assert_eq!(site.count("SELECT COUNT(*) FROM jobs").await, 1);
}

#[tokio::test]
async fn each_job_is_given_to_one_of_many_who_ask() {
    let (site, nodes) = Site::start(3).await;
    for n in 1..=12 {
        site.submit(n).await;
    }
    let asking = (0..24).map(|n| site.take(&nodes[n % 3], 0));
    let taken = futures_util::future::join_all(asking).await;
    let mut ids: Vec<JobId> = taken.into_iter().flatten().map(|job| job.id).collect();
    while let Some(job) = site.take(&nodes[0], 0).await {
        ids.push(job.id);
    }
    ids.sort();
    let expected: Vec<_> = (1..=12).map(|n| JobId::from_random([n; 16])).collect();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn who_waits_is_given_a_job_as_soon_as_there_is_one() {
    let (site, nodes) = Site::start(1).await;
    let (taken, id) = tokio::join!(site.take(&nodes[0], 20_000), site.submit(1));
    assert_eq!(taken.unwrap().id, id);
}

#[tokio::test]
async fn a_lease_that_ran_out_goes_elsewhere_and_its_first_holder_is_refused() {
    let (site, nodes) = Site::start(2).await;
    let id = site.submit(1).await;
    let first = site.take(&nodes[0], 0).await.unwrap();
    let input = site.input(&nodes[0], &first).await;
    site.server.pass(LEASE_MS + 1);
    site.until(id, JobState::Queued).await;
    assert!(
        site.take(&nodes[0], 0).await.is_none(),
        "it has just failed"
    );
    let second = site.take(&nodes[1], 0).await.unwrap();
    assert_eq!((second.id, second.attempt), (id, 2));
    let receipt = nodes[0].receipt(&first, &input, b"late");
    let late = site.bring(&nodes[0], &first, b"late", &receipt);
    refused(late, 409, "job-attempt-over").await;
    assert_eq!(site.finish(&nodes[1], &second, b"result").await, 204);
    assert_eq!(site.look(id).await.result.unwrap().node, nodes[1].node.id);
    assert_eq!(site.count(SETTLED).await, 1);
}

#[tokio::test]
async fn a_late_result_is_taken_while_nobody_else_has_the_job() {
    let (site, nodes) = Site::start(1).await;
    let id = site.submit(1).await;
    let job = site.take(&nodes[0], 0).await.unwrap();
    let input = site.input(&nodes[0], &job).await;
    site.server.pass(LEASE_MS + 1);
    site.until(id, JobState::Queued).await;
    let receipt = nodes[0].receipt(&job, &input, b"late");
    let late = site.bring(&nodes[0], &job, b"late", &receipt);
    assert_eq!(late.send().await.unwrap().status(), 204);
    assert_eq!(site.look(id).await.state, JobState::Done);
}

#[tokio::test]
async fn a_job_fails_after_three_tries() {
    let (site, nodes) = Site::start(1).await;
    let id = site.submit(1).await;
    for attempt in 1..=3 {
        let job = site.take(&nodes[0], 0).await.unwrap();
        assert_eq!(job.attempt, attempt);
        let failed = site.fail(&nodes[0], &job, "worker-crashed");
        assert_eq!(failed.send().await.unwrap().status(), 204);
        site.server.pass(LATER_MS);
        site.server
            .report(
                &nodes[0].node,
                nacre_protocol::control::FunctionState::Ready,
            )
            .await;
    }
    let failed = site.look(id).await;
    assert_eq!(failed.state, JobState::Failed);
    assert_eq!(failed.failure.unwrap().code, "worker-crashed");
    assert!(site.take(&nodes[0], 0).await.is_none());
    assert_eq!(site.count(SETTLED).await, 1);
}

#[tokio::test]
async fn a_job_expires_and_one_that_was_cancelled_stays_so() {
    let (site, nodes) = Site::start(1).await;
    let mut short = site.job(1);
    short.deadline_ms = site.server.now_ms() + 1000;
    let _: Job = expect(site.create(&short), 201).await;
    let job = site.take(&nodes[0], 0).await.unwrap();
    let input = site.input(&nodes[0], &job).await;
    site.server.pass(1000);
    site.until(short.id, JobState::Expired).await;
    let receipt = nodes[0].receipt(&job, &input, b"late");
    let late = site.bring(&nodes[0], &job, b"late", &receipt);
    refused(late, 409, "job-ended").await;

    let id = site.submit(2).await;
    let job = site.take(&nodes[0], 0).await.unwrap();
    let path = format!("/v1/jobs/{id}");
    let cancel = || site.server.request(Method::DELETE, &path).send();
    assert_eq!(cancel().await.unwrap().status(), 204);
    let started = site.of_job(Method::POST, &nodes[0], &job, "started");
    refused(started, 409, "job-ended").await;
    assert_eq!(cancel().await.unwrap().status(), 204);
    assert_eq!(site.look(id).await.state, JobState::Cancelled);
    assert_eq!(site.count(SETTLED).await, 2);
}

#[tokio::test]
async fn bytes_go_when_they_are_deleted_or_old() {
    let (site, nodes) = Site::start(1).await;
    let folder = site.server.data.path().join("objects/jobs");
    for n in [1, 2] {
        let id = site.submit(n).await;
        let job = site.take(&nodes[0], 0).await.unwrap();
        assert_eq!(site.finish(&nodes[0], &job, b"result").await, 204);
        assert_eq!(site.look(id).await.state, JobState::Done);
    }
    let (one, two) = (JobId::from_random([1; 16]), JobId::from_random([2; 16]));
    let delete = site
        .server
        .request(Method::DELETE, &format!("/v1/jobs/{one}"));
    assert_eq!(delete.send().await.unwrap().status(), 204);
    // Inputs went with the jobs' ends, and one result now.
    let left = files(&folder);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].starts_with(&format!("{}-result-", "02".repeat(16))));
    let gone = site
        .server
        .request(Method::GET, &format!("/v1/jobs/{one}/result"));
    refused(gone, 410, "job-result-deleted").await;

    site.server.pass(24 * 3600 * 1000);
    let old = site
        .server
        .request(Method::GET, &format!("/v1/jobs/{two}/result"));
    refused(old, 410, "job-result-deleted").await;
    let swept = async {
        while !files(&folder).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), swept)
        .await
        .expect("old results are deleted");
}

#[tokio::test]
async fn a_large_input_follows_and_is_what_was_said() {
    let (site, nodes) = Site::start(1).await;
    let input = JobInput {
        content_type: "application/json",
        inference_header_length: "",
        salt: [1; 32],
        body: &vec![b' '; 2 << 20],
    }
    .encode();
    let mut job = site.job(1);
    job.input = JobPayload::Upload {
        size: input.len() as u64,
        digest: Digest::of(&input),
        result_key: None,
    };
    let _: Job = expect(site.create(&job), 201).await;
    assert!(
        site.take(&nodes[0], 0).await.is_none(),
        "its input is not there"
    );
    let put = |bytes: Vec<u8>| {
        let path = format!("/v1/jobs/{}/input", job.id);
        site.server.request(Method::PUT, &path).body(bytes)
    };
    let mut other = input.clone();
    other[9] ^= 1;
    refused(put(other), 422, "digest-mismatch").await;
    refused(put(input[1..].to_vec()), 422, "job-input-size").await;
    assert_eq!(put(input.clone()).send().await.unwrap().status(), 204);
    refused(put(input.clone()), 409, "job-input-not-expected").await;
    let taken = site.take(&nodes[0], 0).await.unwrap();
    assert_eq!(site.input(&nodes[0], &taken).await, input);
}

#[tokio::test]
async fn a_sealed_job_is_given_to_its_recipients_only() {
    let (site, nodes) = Site::start(2).await;
    let mut job = site.job(1);
    let terms = nacre_protocol::job::JobTerms {
        job: job.id,
        function: job.digest,
        deadline_ms: job.deadline_ms,
    };
    let input = JobInput {
        content_type: "application/json",
        inference_header_length: "",
        salt: [1; 32],
        body: b"{}",
    };
    let result = nacre_protocol::sealed::SealingSecret::from_bytes(&[9; 32]).public_key();
    let recipient = nodes[1].node.statement.hpke_key;
    job.input = JobPayload::Sealed {
        envelope: SealedJob::seal(&input, &terms, &result, &[recipient], &[3; 32]).unwrap(),
        result_key: result,
    };
    let made: Job = expect(site.create(&job), 201).await;
    assert!(made.sealed);
    assert!(site.take(&nodes[0], 0).await.is_none());
    let taken = site.take(&nodes[1], 0).await.unwrap();
    assert_eq!(taken.result_key, Some(Bytes32(result)));
}

#[tokio::test]
async fn a_job_goes_to_no_node_that_is_dearer_than_it_pays() {
    let (site, nodes) = Site::start(2).await;
    // 64 MiB for 2 s at 1 micro-unit a GiB-second are 0.125; the nodes ask 1 and 2.
    let mut job = site.job(1);
    job.max_price = Some(0);
    let _: Job = expect(site.create(&job), 201).await;
    for node in &nodes {
        assert!(site.take(node, 0).await.is_none());
    }
    let mut job = site.job(2);
    job.max_price = Some(1);
    let _: Job = expect(site.create(&job), 201).await;
    assert_eq!(site.take(&nodes[1], 0).await.unwrap().id, job.id);
}

#[tokio::test]
async fn pages_hold_every_job_once_the_latest_first() {
    let (site, _) = Site::start(1).await;
    let mut expected = Vec::new();
    for n in 1..=5 {
        expected.insert(0, site.submit(n).await);
        site.server.pass(u64::from(n % 2));
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page: Page<Job> = site
            .server
            .get(&format!("/v1/jobs?limit=2&after={after}"))
            .await;
        seen.extend(page.items.into_iter().map(|job| job.id));
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen, expected);
    let strange = site.server.request(Method::GET, "/v1/jobs?after=x");
    refused(strange, 400, "cursor-invalid").await;
}

#[tokio::test]
async fn jobs_that_cannot_be_run_are_refused() {
    let (site, _) = Site::start(1).await;
    let now = site.server.now_ms();
    for deadline_ms in [0, now, now + 8 * 24 * 3600 * 1000, u64::MAX] {
        let mut job = site.job(1);
        job.deadline_ms = deadline_ms;
        refused(site.create(&job), 422, "deadline-out-of-range").await;
    }
    let mut job = site.job(1);
    job.digest = Digest::of(b"other");
    refused(site.create(&job), 404, "version-not-found").await;
    let mut job = site.job(1);
    job.input = JobPayload::Sealed {
        envelope: vec![1, 2, 3],
        result_key: [1; 32],
    };
    refused(site.create(&job), 422, "job-malformed").await;
    let mut job = site.job(1);
    job.input = JobPayload::Upload {
        size: u64::MAX,
        digest: Digest::of(b""),
        result_key: None,
    };
    refused(site.create(&job), 413, "job-too-large").await;
    let absent = site
        .server
        .request(Method::GET, &format!("/v1/jobs/{}", job.id));
    refused(absent, 404, "job-not-found").await;
    assert_eq!(site.count("SELECT COUNT(*) FROM jobs").await, 0);
}

#[tokio::test]
async fn a_control_plane_that_starts_again_knows_every_job() {
    let (mut site, nodes) = Site::start(1).await;
    let id = site.submit(1).await;
    let job = site.take(&nodes[0], 0).await.unwrap();
    site.server.stop().await;
    site.server.pass(LEASE_MS + 1);
    site.server.resume().await;
    // While it was away nobody could keep a lease, so none is lost yet.
    assert_eq!(site.look(id).await.state, JobState::Leased);
    assert_eq!(site.finish(&nodes[0], &job, b"result").await, 204);
    assert_eq!(site.count(SETTLED).await, 1);
}
