//! `nacre job`, and jobs that do not end well.

use std::path::Path;

use anyhow::ensure;
use nacre_client::sealed::{JobRequest, draw_job_id, seal};
use nacre_client::{AttestedClient, ClientOptions};
use nacre_protocol::api::jobs::JobState;
use nacre_protocol::job::JobTerms;
use nacre_tests::processes::{Part, signal};
use reqwest::Method;
use rustix::process::Signal;

use crate::site::Site;

#[test]
fn a_job_is_laid_in_and_its_proven_result_fetched_sealed_or_not() -> anyhow::Result<()> {
    let site = Site::start()?;
    let input = site.example.request_file.display().to_string();
    for sealed in [false, true] {
        let mut words = vec!["job", "submit", "-f", "iris-network", "-i", &input];
        words.extend(sealed.then_some("--sealed"));
        let made = site.platform.json(&words)?;
        let id = made["id"].as_str().unwrap_or_default();
        ensure!(made["sealed"] == sealed, "{made}");
        let receipt = site.platform.home().join("receipt.json");
        let answer = site.platform.home().join("answer.json");
        let (receipt, answer) = (receipt.display().to_string(), answer.display().to_string());
        let waited = site.platform.json(&[
            "job",
            "wait",
            id,
            "--receipt",
            &receipt,
            "--output",
            &answer,
        ])?;
        site.example.check(&waited["response"])?;
        ensure!(waited["job"]["state"] == "done", "{waited}");
        // The receipt stands by itself, off line.
        site.platform.json(&[
            "receipt",
            "verify",
            &receipt,
            "--request",
            &input,
            "--response",
            &answer,
        ])?;
        let shown = site.platform.json(&["job", "get", id])?;
        ensure!(shown["result"]["boot_id"] == waited["boot_id"], "{shown}");

        site.platform.json(&["job", "cancel", id])?;
        let gone = site.platform.refusal(&["job", "wait", id])?;
        ensure!(gone.is() == (4, "job-result-deleted"), "{gone:?}");
    }
    let listed = site.platform.json(&["job", "list"])?;
    ensure!(
        listed.as_array().is_some_and(|jobs| jobs.len() == 2),
        "{listed}"
    );
    Ok(())
}

#[test]
fn a_sealed_input_stands_nowhere_in_the_platforms_files() -> anyhow::Result<()> {
    let site = Site::start()?;
    // Held back, so that the input is kept.
    let node = site.platform.pid_of(Part::Node)?;
    let secret: &[u8] = &site.example.request;
    // The open one shows that the search finds something.
    for sealed in [true, false] {
        let mut job = site.job(300)?;
        if sealed {
            job = seal_for(&site, job.id, job.deadline_ms)?.0;
        }
        signal(node, Signal::STOP)?;
        site.submit(&job)?;
        let data = Path::new(site.platform.ready("data")).join("control-plane");
        ensure!(
            holds(&data, secret)? != sealed,
            "sealed: {sealed}, and the wrong thing is found"
        );
        signal(node, Signal::CONT)?;
        site.until(&job.id, "it is done", |job| job.state == JobState::Done)?;
    }
    Ok(())
}

/// The example's request, sealed to the platform's enclave after it was attested.
fn seal_for(
    site: &Site,
    id: nacre_protocol::ids::JobId,
    deadline_ms: u64,
) -> anyhow::Result<(
    nacre_protocol::api::jobs::CreateJob,
    nacre_client::sealed::JobTicket,
)> {
    let endpoint = site.platform.ready("node").parse()?;
    let trust = site.platform.trust()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let enclave = runtime.block_on(async {
        let options = ClientOptions::default();
        let client = AttestedClient::new(trust, Some(site.digest), vec![endpoint], options);
        client.attest().await
    })?;
    let terms = JobTerms {
        job: id,
        function: site.digest,
        deadline_ms,
    };
    let request = JobRequest {
        content_type: "application/json",
        inference_header_length: "",
        body: &site.example.request,
    };
    let submission = seal([enclave.as_ref()], terms, request)?;
    let create = submission.create_job(site.example.name.parse()?);
    Ok((create, submission.ticket))
}

#[test]
fn a_sealed_job_under_another_id_or_deadline_opens_nowhere_and_stops_after_three_tries()
-> anyhow::Result<()> {
    let site = Site::start()?;
    let template = site.job(300)?;
    let (honest, _) = seal_for(&site, template.id, template.deadline_ms)?;
    let mut replayed = honest.clone();
    replayed.id = draw_job_id()?;
    let mut prolonged = seal_for(&site, draw_job_id()?, template.deadline_ms)?.0;
    prolonged.deadline_ms += 1000;
    for job in [&replayed, &prolonged] {
        site.submit(job)?;
        let failed = site.until(&job.id, "it has ended", |job| job.state.is_final())?;
        ensure!(failed.state == JobState::Failed, "{failed:?}");
        ensure!(failed.attempts == 3, "{failed:?}");
        let code = failed.failure.map(|failure| failure.code);
        ensure!(code.as_deref() == Some("cannot-open"), "{code:?}");
    }
    site.submit(&honest)?;
    site.until(&honest.id, "it is done", |job| job.state == JobState::Done)?;
    ensure!(site.count("SELECT COUNT(*) FROM job_settlements")? == 3);
    Ok(())
}

#[test]
fn a_job_is_cancelled_and_another_expires_while_the_enclave_hangs() -> anyhow::Result<()> {
    let site = Site::start()?;
    let enclave = site.platform.pid_of(Part::Enclave)?;
    signal(enclave, Signal::STOP)?;
    let (cancelled, short) = (site.job(300)?, site.job(3)?);
    site.submit(&cancelled)?;
    site.submit(&short)?;
    site.until(&cancelled.id, "it is running", |job| {
        job.state == JobState::Running
    })?;
    let path = format!("/v1/jobs/{}", cancelled.id);
    let answer = site.ask(&Method::DELETE, &path, None);
    ensure!(answer.is_some_and(|(status, _)| status == 204));
    site.until(&short.id, "it has expired", |job| {
        job.state == JobState::Expired
    })?;
    signal(enclave, Signal::CONT)?;
    // The enclave is free again, and nothing comes of what nobody wants any more.
    let next = site.job(300)?;
    site.submit(&next)?;
    site.until(&next.id, "the next is done", |job| {
        job.state == JobState::Done
    })?;
    for (id, state) in [
        (cancelled.id, JobState::Cancelled),
        (short.id, JobState::Expired),
    ] {
        let job = site.until(&id, "it is there", |_| true)?;
        ensure!(job.state == state && job.result.is_none(), "{job:?}");
    }
    ensure!(site.count("SELECT COUNT(*) FROM job_settlements")? == 3);
    Ok(())
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Whether any file below holds these bytes.
fn holds(folder: &Path, secret: &[u8]) -> anyhow::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let found = match path.is_dir() {
            true => holds(&path, secret)?,
            // Objects come and go.
            false => contains(&std::fs::read(&path).unwrap_or_default(), secret),
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}
