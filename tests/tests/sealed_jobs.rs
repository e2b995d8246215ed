//! A caller seals a job to an enclave that it has attested, the host carries it, and the result proves itself. The host is
//! this test: it holds the control channel, and tries what a host could.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use nacre_client::sealed::{JobRequest, JobTicket, SealedSubmission, draw_job_id, seal};
use nacre_client::{AttestedClient, AttestedEnclave, ClientOptions, verify_receipt_file};
use nacre_protocol::control::RunJob;
use nacre_protocol::digest::Digest;
use nacre_protocol::job::{JobResult, JobTerms, SEALED_JOB_TYPE};
use nacre_protocol::sealed::{ResultSealer, SealedResult};
use nacre_tests::examples::Example;
use nacre_tests::http::Answer;
use nacre_tests::platform::Platform;

/// Longest that a job may take.
const PATIENCE: Duration = Duration::from_secs(20);

struct Site {
    platform: Platform,
    example: Example,
    digest: Digest,
}

impl Site {
    fn start() -> anyhow::Result<Self> {
        let platform = Platform::start()?;
        let example = Example::load("iris-network")?;
        let digest = platform.deploy_example(&example.name)?.parse()?;
        Ok(Self {
            platform,
            example,
            digest,
        })
    }

    /// The enclave, attested by the caller's own policy.
    fn attest(&self) -> anyhow::Result<Arc<AttestedEnclave>> {
        let endpoints = vec![self.platform.ready("node").parse()?];
        let options = ClientOptions::default();
        let trust = self.platform.trust()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let client = AttestedClient::new(trust, Some(self.digest), endpoints, options);
            Ok(client.attest().await?)
        })
    }

    fn seal(&self, enclave: &AttestedEnclave) -> anyhow::Result<SealedSubmission> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let terms = JobTerms {
            job: draw_job_id()?,
            function: self.digest,
            deadline_ms: now.as_millis() as u64 + 60_000,
        };
        let request = JobRequest {
            content_type: "application/json",
            inference_header_length: "",
            body: &self.example.request,
        };
        Ok(seal([enclave], terms, request)?)
    }

    /// What the node's agent does with a job.
    fn run(&self, submission: &SealedSubmission) -> anyhow::Result<Answer> {
        let run = RunJob {
            terms: *submission.ticket.terms(),
            result_key: Some(submission.ticket.result_key()),
            chain: None,
        };
        let socket = self.platform.control_socket()?;
        post(&socket, &run.path_and_query(), &submission.envelope)
    }
}

fn post(socket: &Path, target: &str, body: &[u8]) -> anyhow::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "POST {target} HTTP/1.1\r\nhost: e\r\nconnection: close\r\ncontent-type: {SEALED_JOB_TYPE}\r\n\
         content-length: {length}\r\n\r\n"
    )?;
    stream.write_all(body)?;
    Answer::read(&mut stream)
}

#[test]
fn a_sealed_job_gives_the_right_answer_to_its_caller_and_to_nobody_else() -> anyhow::Result<()> {
    let site = Site::start()?;
    let enclave = site.attest()?;
    let submission = site.seal(&enclave)?;
    let sent = &submission.envelope;
    let secret = b"measurements";
    ensure!(
        !sent.windows(secret.len()).any(|part| part == secret),
        "the input can be read"
    );
    let answer = site.run(&submission)?;
    ensure!(answer.status == 200, "{}", answer.code());

    // In another process, from a file.
    let ticket = JobTicket::from_json(submission.ticket.to_json().as_bytes())?;
    let opened = ticket.open(&answer.body)?;
    ensure!(opened.status == 200);
    site.example.check_body(&opened.body)?;
    ensure!(opened.boot_id == enclave.statement().boot_id);

    // Years later, off line.
    let file = serde_json::to_vec(&opened.proof)?;
    let (request, trust) = (&site.example.request, site.platform.trust()?);
    verify_receipt_file(&file, request, &opened.body, &trust, None)?;
    let other = verify_receipt_file(&file, request, b"{}", &trust, None);
    ensure!(other.is_err());

    // Whoever is not the caller of this job.
    let stranger = site.seal(&enclave)?.ticket;
    let refused = stranger.open(&answer.body).unwrap_err();
    ensure!(refused.code() == "cannot-open", "{refused}");
    Ok(())
}

#[test]
fn a_result_that_the_host_makes_is_refused() -> anyhow::Result<()> {
    let site = Site::start()?;
    let enclave = site.attest()?;
    let submission = site.seal(&enclave)?;
    let ticket = &submission.ticket;
    let answer = site.run(&submission)?;
    ticket.open(&answer.body)?;

    // Another job's honest result.
    let other = site.run(&site.seal(&enclave)?)?;
    let refused = ticket.open(&other.body).unwrap_err();
    ensure!(refused.code() == "cannot-open", "{refused}");

    // The envelope says another status.
    let mut changed = answer.body.clone();
    let status = SealedResult::decode(&changed)?.status;
    ensure!(status == 200 && changed[4..6] == [0x18, 200]);
    changed[5] = 201;
    let refused = ticket.open(&changed).unwrap_err();
    ensure!(refused.code() == "cannot-open", "{refused}");

    // The host has a job of its own run on the same input, and seals its answer to this caller, receipt and all.
    let own = site.seal(&enclave)?;
    let theirs = own.ticket.open(&site.run(&own)?.body)?;
    let forged = JobResult {
        status: 200,
        content_type: "application/json",
        inference_header_length: "",
        receipt: nacre_protocol::receipt::SignedReceipt::from_header(&theirs.proof.receipt)?,
        body: &theirs.body,
    };
    let sealer = ResultSealer::new(ticket.terms(), &ticket.result_key(), &[1; 32])?;
    let refused = ticket.open(&sealer.seal(&forged)?).unwrap_err();
    ensure!(refused.code() == "receipt-refused", "{refused}");
    Ok(())
}
