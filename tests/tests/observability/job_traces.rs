//! One trace from the request that lays a job in, over a control plane that dies and comes again, to the node that runs it.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use nacre_client::sealed::draw_job_id;
use nacre_protocol::api::jobs::{CreateJob, JobPayload};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::JobId;
use nacre_protocol::job::JobInput;
use nacre_tests::http::{Answer, ask_plain};
use nacre_tests::platform::wait_for;
use nacre_tests::processes::{Part, signal};
use opentelemetry_proto::tonic::trace::v1::Span;
use rustix::process::Signal;

use super::DEADLINE;
use super::site::Site;
use super::traces::says_little;

/// The caller's trace, and its span.
const TRACE: [u8; 16] = [0x5a; 16];
const CALLER: [u8; 8] = [0xc3; 8];

pub(crate) fn link(site: &Site) -> anyhow::Result<()> {
    let (job, input) = job(site)?;
    let body = serde_json::to_vec(&job)?;
    let laid_in = ask(site, "POST", "/v1/jobs", &body, true)?;
    ensure!(laid_in.status == 201, "{}", laid_in.code());
    let asked = span(site, "nacre-control-plane", "POST /v1/jobs")?;
    ensure!(asked.parent_span_id == CALLER, "the caller asked for it");

    // What knows of the trace is gone, but for the database. Then the input comes, which is of no trace.
    signal(site.platform.pid_of(Part::ControlPlane)?, Signal::KILL)?;
    let path = format!("/v1/jobs/{}/input", job.id);
    wait_for("the input is taken", DEADLINE, || {
        let answer = ask(site, "PUT", &path, &input, false).ok()?;
        (answer.status == 204).then_some(())
    })?;

    let given = span(site, "nacre-control-plane", "dispatch job")?;
    ensure!(given.parent_span_id == asked.span_id, "it was laid in so");
    let ran = span(site, "nacre-node", "run job")?;
    ensure!(ran.parent_span_id == given.span_id, "it was given so");
    for name in [
        "GET /v1/nodes/{id}/jobs/{job}/input",
        "PUT /v1/nodes/{id}/jobs/{job}/result",
    ] {
        let part = span(site, "nacre-control-plane", name)?;
        ensure!(part.parent_span_id == ran.span_id, "{name}: not of the run");
    }
    says_little(&site.collector.spans()?)?;
    done(site, &job.id)
}

/// A job whose input is to follow, and the input.
fn job(site: &Site) -> anyhow::Result<(CreateJob, Vec<u8>)> {
    let input = JobInput {
        content_type: "application/json",
        inference_header_length: "",
        salt: [7; 32],
        body: &site.example.request,
    };
    let carried = input.encode();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let job = CreateJob {
        id: draw_job_id()?,
        function: site.example.name.parse()?,
        digest: site.digest.parse()?,
        deadline_ms: u64::try_from(now.as_millis())? + 300_000,
        max_price: None,
        webhook: None,
        chain: None,
        input: JobPayload::Upload {
            size: carried.len() as u64,
            digest: Digest::of(&carried),
            result_key: None,
        },
    };
    Ok((job, carried))
}

fn ask(site: &Site, method: &str, path: &str, body: &[u8], traced: bool) -> anyhow::Result<Answer> {
    let control_plane = site.platform.ready("control_plane").replace("http://", "");
    let authorization = format!("Bearer {}", site.key);
    let traceparent = format!("00-{}-{}-01", hex::encode(TRACE), hex::encode(CALLER));
    let mut headers = vec![
        ("host", "localhost"),
        ("content-type", "application/json"),
        ("authorization", authorization.as_str()),
    ];
    if traced {
        headers.push(("traceparent", traceparent.as_str()));
    }
    ask_plain(&control_plane, method, path, &headers, body)
}

/// The span of this name in the caller's trace, as soon as it has come.
fn span(site: &Site, service: &str, name: &str) -> anyhow::Result<Span> {
    let found = wait_for(name, DEADLINE, || {
        let spans = site.collector.spans().ok()?;
        let found = spans.into_iter().find(|seen| {
            seen.service == service && seen.span.name == name && seen.span.trace_id == TRACE
        });
        found.map(|seen| seen.span)
    });
    found.with_context(|| format!("no {name} of {service} in the caller's trace"))
}

fn done(site: &Site, id: &JobId) -> anyhow::Result<()> {
    let path = format!("/v1/jobs/{id}");
    wait_for("the job is done", DEADLINE, || {
        let answer = ask(site, "GET", &path, b"", false).ok()?;
        (answer.json().ok()?["state"] == "done").then_some(())
    })
}
