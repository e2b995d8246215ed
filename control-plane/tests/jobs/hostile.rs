//! Nodes that bring what they should not.

use nacre_protocol::api::Page;
use nacre_protocol::api::incidents::{Conduct, Incident};
use nacre_protocol::api::jobs::JobState;
use nacre_protocol::control::FunctionState;
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::JobId;
use nacre_protocol::job::JobTerms;
use reqwest::Method;

use crate::signer::Signer;
use crate::site::{LATER_MS, Site};
use crate::support::{TestNode, refused};

const INCIDENTS: &str = "SELECT COUNT(*) FROM incidents";

#[tokio::test]
async fn a_result_without_proof_is_refused_and_kept_as_an_incident() {
    let (site, nodes) = Site::start(2).await;
    let cases = [
        "job-receipt-terms",
        "job-receipt-terms",
        "job-receipt-terms",
        "job-receipt-signature",
        "job-receipt-input",
        "job-receipt-result",
    ];
    for (n, code) in (1u8..).zip(cases) {
        let id = site.submit(n).await;
        let job = site.take(&nodes[0], 0).await.unwrap();
        let input = site.input(&nodes[0], &job).await;
        let honest = JobTerms {
            job: job.id,
            function: job.digest,
            deadline_ms: job.deadline_ms,
        };
        let (of_job, of_function, of_deadline) = (
            JobTerms {
                job: JobId::from_random([99; 16]),
                ..honest
            },
            JobTerms {
                function: Digest::of(b"other"),
                ..honest
            },
            JobTerms {
                deadline_ms: 1,
                ..honest
            },
        );
        let liar = &nodes[0];
        let receipt = match n {
            1 => liar.sign(of_job, &input, b"result"),
            2 => liar.sign(of_function, &input, b"result"),
            3 => liar.sign(of_deadline, &input, b"result"),
            4 => nodes[1].sign(honest, &input, b"result"),
            5 => liar.sign(honest, b"other", b"result"),
            _ => liar.sign(honest, &input, b"other"),
        };
        let brought = site.bring(liar, &job, b"result", &receipt);
        refused(brought, 422, code).await;
        assert_eq!(site.count(INCIDENTS).await, i64::from(n));

        // It is another node's now, however long the liar waits.
        site.server.pass(LATER_MS);
        for node in &nodes {
            let ready = nacre_protocol::control::FunctionState::Ready;
            site.server.report(&node.node, ready).await;
        }
        assert!(site.take(&nodes[0], 0).await.is_none());
        let again = site.take(&nodes[1], 0).await.unwrap();
        assert_eq!(site.finish(&nodes[1], &again, b"result").await, 204);
        assert_eq!(site.look(id).await.state, JobState::Done);
    }
}

#[tokio::test]
async fn a_result_without_any_receipt_is_not_read() {
    let (site, nodes) = Site::start(1).await;
    site.submit(1).await;
    let job = site.take(&nodes[0], 0).await.unwrap();
    let bare = site.of_job(Method::PUT, &nodes[0], &job, "result");
    refused(bare.body("x"), 400, "job-receipt-missing").await;
}

#[tokio::test]
async fn a_node_sees_and_touches_nothing_of_jobs_that_it_does_not_have() {
    let (mut site, nodes) = Site::start(1).await;
    let id = site.submit(1).await;
    let mut stranger = Signer {
        node: TestNode::new(9, 1 << 30, 1),
        ..Signer::new(9)
    };
    stranger.node.statement = Signer::new(9).node.statement;
    site.server.register(&mut stranger.node).await;
    assert!(
        site.take(&stranger, 0).await.is_none(),
        "it runs no function"
    );
    let job = site.take(&nodes[0], 0).await.unwrap();
    for (method, what) in [(Method::GET, "input"), (Method::POST, "started")] {
        let asked = site.of_job(method, &stranger, &job, what);
        refused(asked, 404, "job-not-found").await;
    }
    let failed = site.fail(&stranger, &job, "worker-crashed");
    refused(failed, 404, "job-not-found").await;
    let receipt = stranger.receipt(&job, b"", b"result");
    let brought = site.bring(&stranger, &job, b"result", &receipt);
    refused(brought, 404, "job-not-found").await;
    assert_eq!(site.look(id).await.state, JobState::Leased);

    // With the node's path and another's token.
    let path = format!("/v1/nodes/{}/jobs", nodes[0].node.id);
    let request = site.server.anonymous(Method::POST, &path);
    refused(request.bearer_auth(&stranger.node.token), 403, "forbidden").await;
}

#[tokio::test]
async fn a_failure_has_a_code_and_giving_back_for_ever_ends() {
    let (site, nodes) = Site::start(1).await;
    let id = site.submit(1).await;
    let job = site.take(&nodes[0], 0).await.unwrap();
    for code in ["", "Not A Code", &"a".repeat(65)] {
        refused(
            site.fail(&nodes[0], &job, code),
            422,
            "failure-code-invalid",
        )
        .await;
    }
    let back = site.fail(&nodes[0], &job, "node-draining");
    assert_eq!(back.send().await.unwrap().status(), 204);
    assert_eq!(site.look(id).await.state, JobState::Queued);
    assert_eq!(site.count("SELECT tries FROM jobs").await, 0);
}

async fn incidents(site: &Site, query: &str) -> Vec<Incident> {
    let page: Page<Incident> = site.server.get(&format!("/v1/incidents{query}")).await;
    page.items
}

async fn scores(site: &Site) -> Vec<(u32, u64)> {
    let page: Page<Conduct> = site.server.get("/v1/conduct").await;
    page.items
        .iter()
        .map(|of| (of.score, of.incidents))
        .collect()
}

#[tokio::test]
async fn a_node_that_never_finishes_loses_the_job_and_keeps_the_incident() {
    let (site, nodes) = Site::tuned(2, |config| {
        config.jobs.lease = std::time::Duration::from_millis(500);
        config.jobs.longest = std::time::Duration::from_secs(2);
    })
    .await;
    let id = site.submit(1).await;
    let job = site.take(&nodes[0], 0).await.unwrap();
    // It always says that it still runs the job, in time.
    for _ in 0..5 {
        let started = site.of_job(Method::POST, &nodes[0], &job, "started");
        assert_eq!(started.send().await.unwrap().status(), 204);
        site.server.pass(400);
    }
    site.server.pass(1);
    site.until(id, JobState::Queued).await;
    let started = site.of_job(Method::POST, &nodes[0], &job, "started");
    refused(started, 409, "job-attempt-over").await;
    let noted = incidents(&site, "").await;
    assert_eq!(noted.len(), 1);
    let which = (noted[0].node, noted[0].code.as_str(), noted[0].job);
    assert_eq!(which, (nodes[0].node.id, "job-never-finished", Some(id)));
    assert_eq!(scores(&site).await, [(9_000, 1), (10_000, 0)]);

    site.server.pass(LATER_MS);
    for node in &nodes {
        site.server.report(&node.node, FunctionState::Ready).await;
    }
    assert!(site.take(&nodes[0], 0).await.is_none());
    let again = site.take(&nodes[1], 0).await.unwrap();
    assert_eq!(site.finish(&nodes[1], &again, b"result").await, 204);
}

#[tokio::test]
async fn a_node_that_reports_ready_what_its_enclave_does_not_serve_is_noted() {
    let (site, nodes) = Site::start(2).await;
    site.submit(1).await;
    // It may have changed between the report and the job.
    let job = site.take(&nodes[0], 0).await.unwrap();
    let failed = site.fail(&nodes[0], &job, "unknown-function");
    assert_eq!(failed.send().await.unwrap().status(), 204);
    assert_eq!(incidents(&site, "").await, []);
    site.server.pass(LATER_MS);
    for node in &nodes {
        site.server.report(&node.node, FunctionState::Ready).await;
    }
    // It says both at once.
    let job = site.take(&nodes[0], 0).await.unwrap();
    site.server.pass(10);
    site.server
        .report(&nodes[0].node, FunctionState::Ready)
        .await;
    let failed = site.fail(&nodes[0], &job, "unknown-function");
    assert_eq!(failed.send().await.unwrap().status(), 204);
    let noted = incidents(&site, "").await;
    assert_eq!(noted.len(), 1);
    assert_eq!(
        (noted[0].node, noted[0].code.as_str()),
        (nodes[0].node.id, "state-false")
    );
}

#[tokio::test]
async fn incidents_are_listed_by_node_page_by_page_and_leave_a_score() {
    let (site, nodes) = Site::start(2).await;
    for n in 1..=3 {
        let id = site.submit(n).await;
        let liar = &nodes[usize::from(n % 2)];
        let job = site.take(liar, 0).await.unwrap();
        let terms = JobTerms {
            job: id,
            function: Digest::of(b"another function"),
            deadline_ms: job.deadline_ms,
        };
        let input = site.input(liar, &job).await;
        let receipt = liar.sign(terms, &input, b"result");
        refused(
            site.bring(liar, &job, b"result", &receipt),
            422,
            "job-receipt-terms",
        )
        .await;
        let cancel = site
            .server
            .request(Method::DELETE, &format!("/v1/jobs/{id}"));
        assert_eq!(cancel.send().await.unwrap().status(), 204);
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/incidents?limit=2&after={after}");
        let page: Page<Incident> = site.server.get(&path).await;
        seen.extend(page.items);
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen.len(), 3);
    assert!(seen.windows(2).all(|two| two[0].at_ms >= two[1].at_ms));
    assert_eq!(incidents(&site, "").await, seen);
    let one = incidents(&site, &format!("?node={}", nodes[1].node.id)).await;
    assert_eq!(one.len(), 2);
    assert!(one.iter().all(|incident| incident.points == 2_500));
    assert_eq!(scores(&site).await, [(7_500, 1), (5_000, 2)]);
    for (strange, code) in [
        ("?after=x", "cursor-invalid"),
        ("?after=1.x", "cursor-invalid"),
        ("?node=x", "query-invalid"),
        ("?limit=0", "query-invalid"),
    ] {
        let asked = site
            .server
            .request(Method::GET, &format!("/v1/incidents{strange}"));
        refused(asked, 400, code).await;
    }
    let anonymous = site.server.anonymous(Method::GET, "/v1/incidents");
    refused(anonymous, 401, "unauthenticated").await;
    // They grow old.
    site.server.pass(7 * 24 * 3_600_000 + 1);
    assert_eq!(scores(&site).await, [(10_000, 0), (10_000, 0)]);
}
