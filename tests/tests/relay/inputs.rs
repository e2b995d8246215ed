//! Inputs of which the chain has the hash alone, and inputs that only enclaves can read.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use nacre_client::sealed::{ContractJob, JobRequest, SealedSubmission, seal_for_contract};
use nacre_client::{AttestedClient, AttestedEnclave, ClientOptions};
use nacre_protocol::digest::Digest;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::job::JobInput;
use nacre_protocol::verified_enclave::ContractDomain;
use nacre_tests::platform::binary;

use crate::net::{Net, ONE, OWNER, account};
use crate::net_or_leave;
use crate::site::{Asked, Site};

impl Site {
    /// Puts bytes into the platform's object store, as the relay's organisation.
    fn store(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let digest = Digest::of(bytes);
        let url = format!("{}/v1/blobs/{digest}", self.platform.ready("control_plane"));
        let put = reqwest::Client::new()
            .put(url)
            .bearer_auth(self.api_key()?)
            .body(bytes.to_vec());
        let answer = self.net.runtime.block_on(put.send())?;
        ensure!(answer.status().is_success(), "{}", answer.status());
        Ok(())
    }

    fn attest(&self) -> anyhow::Result<Arc<AttestedEnclave>> {
        let endpoints = vec![self.platform.ready("node").parse()?];
        let options = ClientOptions::default();
        let client = AttestedClient::new(
            self.platform.trust()?,
            Some(self.function),
            endpoints,
            options,
        );
        Ok(self.net.runtime.block_on(client.attest())?)
    }

    /// `nacre chain request --upload --wait` with this input: what it prints.
    fn request(&self, input: &Path, more: &[&str]) -> anyhow::Result<Vec<u8>> {
        done(
            Command::new(binary("nacre"))
                .args(["chain", "request", &self.function.to_hex()])
                .args(["--fee", &Asked::default().fee.to_string(), "--wait"])
                .arg("--upload")
                .arg(input)
                .args(["--control-plane", self.platform.ready("control_plane")])
                .arg("--api-key-file")
                .arg(self.secret("api-key", &self.api_key()?)?)
                .args(["--rpc", self.net.url().as_str()])
                .arg("--deployment")
                .arg(self.deployment())
                .arg("--key-file")
                .arg(self.key_file(OWNER)?)
                .args(more),
        )
    }

    /// Seals the example's input for a job that the owner asks for.
    fn seal(&self, enclave: &AttestedEnclave, deadline: u64) -> anyhow::Result<SealedSubmission> {
        let job = ContractJob {
            contract: ContractDomain {
                chain_id: self.contracts.deployment.chain_id.try_into()?,
                verifying_contract: EthAddress::from_bytes(self.contract().into_array()),
            },
            requester: EthAddress::from_bytes(account(OWNER)?.address().into_array()),
            function: self.function,
            deadline,
        };
        let request = JobRequest {
            content_type: "application/json",
            inference_header_length: "",
            body: &self.example.request,
        };
        Ok(seal_for_contract([enclave], &job, request)?)
    }
}

#[test]
fn an_input_that_the_chain_has_the_hash_of_comes_from_the_platforms_store() -> anyhow::Result<()> {
    let site = Site::start(net_or_leave!())?;
    let relay = site.relay("one", &[])?;
    // Longer than what fits a block, and laid in after it was asked for.
    let mut body = site.example.request.to_vec();
    body.resize(300_000, b' ');
    let large = JobInput {
        content_type: "application/json",
        inference_header_length: "",
        salt: [8; 32],
        body: &body,
    };
    for input in [site.input(), large.encode()] {
        let job = site.ask(Asked {
            input: Some(input.clone()),
            only_hash: true,
            ..Asked::default()
        })?;
        site.store(&input)?;
        let output = site.answer(&job)?;
        site.example.check(&serde_json::from_slice(&output)?)?;
        assert_eq!(site.told(&job)?, [output]);
    }
    assert_eq!(site.transactions(ONE)?, 2);
    relay.stop()
}

/// As its users type it: `nacre chain request --upload`.
#[test]
fn a_requester_lays_in_what_the_chain_gets_the_hash_of() -> anyhow::Result<()> {
    let site = Site::start(net_or_leave!())?;
    let relay = site.relay("one", &[])?;
    let input = site.secret("input", "")?;
    std::fs::write(&input, site.input())?;
    let output = site.request(&input, &[])?;
    site.example.check(&serde_json::from_slice(&output)?)?;
    assert_eq!(site.transactions(ONE)?, 1);
    relay.stop()
}

/// As its users type it: `nacre chain seal`, `request`, `open`.
#[test]
fn a_requester_seals_asks_and_opens() -> anyhow::Result<()> {
    let site = Site::start(net_or_leave!())?;
    let relay = site.relay("one", &[])?;
    let [envelope, ticket, answer] =
        ["envelope", "ticket", "answer"].map(|name| site.secret(name, ""));
    let (envelope, ticket, answer) = (envelope?, ticket?, answer?);
    let deadline = site.net.runtime.block_on(site.now())? + 600;
    let contract = format!("{}:{}", site.contracts.deployment.chain_id, site.contract());
    let sealed = done(
        site.platform
            .nacre(["chain", "seal", "--function", &site.example.name])
            .args(["--contract", &contract])
            .args(["--requester", &account(OWNER)?.address().to_string()])
            .args(["--deadline-at", &deadline.to_string()])
            .arg("--input")
            .arg(&site.example.request_file)
            .arg("--output")
            .arg(&envelope)
            .arg("--ticket")
            .arg(&ticket),
    )?;
    ensure!(String::from_utf8(sealed)?.contains("--deadline-at"));
    let secret = site.example.request.get(2..12).context("an input")?;
    let is_shown = |bytes: &[u8]| bytes.windows(10).any(|part| part == secret);
    ensure!(!is_shown(&std::fs::read(&envelope)?));

    let output = site.request(&envelope, &["--deadline-at", &deadline.to_string()])?;
    ensure!(!is_shown(&output));
    std::fs::write(&answer, &output)?;
    let open = |ticket: &Path| {
        let mut open = site.platform.nacre(["chain", "open", "--ticket"]);
        open.arg(ticket).arg("--answer").arg(&answer);
        open
    };
    site.example
        .check(&serde_json::from_slice(&done(&mut open(&ticket))?)?)?;
    // Somebody else's ticket does not open it.
    let others = site.secret(
        "others",
        &std::fs::read_to_string(&ticket)?.replacen("result_secret\":\"", "result_secret\":\"A", 1),
    )?;
    ensure!(!open(&others).output()?.status.success());
    relay.stop()
}

/// What a command prints, where it succeeds.
fn done(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

#[test]
fn an_input_that_does_not_come_or_is_too_large_is_not_run() -> anyhow::Result<()> {
    let site = Site::start(net_or_leave!())?;
    let relay = site.relay("one", &["--input-wait", "2", "--max-input", "100000"])?;
    let mut body = site.example.request.to_vec();
    body.resize(200_000, b' ');
    let large = JobInput {
        content_type: "application/json",
        inference_header_length: "",
        salt: [8; 32],
        body: &body,
    };
    let asked = |input: Vec<u8>| Asked {
        input: Some(input),
        only_hash: true,
        ..Asked::default()
    };
    site.store(&large.encode())?;
    site.ask(asked(large.encode()))?;
    relay.until_left("input-too-large")?;
    site.ask(asked(site.input()))?;
    relay.until_left("input-unavailable")?;
    site.store(b"no job's input")?;
    site.ask(asked(b"no job's input".to_vec()))?;
    relay.until_left("input-malformed")?;
    assert_eq!(site.transactions(ONE)?, 0);
    relay.stop()
}

#[test]
fn a_sealed_input_is_answered_to_its_requester_alone() -> anyhow::Result<()> {
    let site = Site::start(net_or_leave!())?;
    let relay = site.relay("one", &[])?;
    let enclave = site.attest()?;
    let mut tickets = Vec::new();
    // On the chain, and by its hash.
    for only_hash in [false, true] {
        let deadline = site.net.runtime.block_on(site.now())? + 600;
        let submission = site.seal(&enclave, deadline)?;
        if only_hash {
            site.store(&submission.envelope)?;
        }
        let job = site.ask(Asked {
            input: Some(submission.envelope),
            only_hash,
            deadline: Some(deadline),
            ..Asked::default()
        })?;
        let output = site.answer(&job)?;
        let secret = site.example.request.get(2..12).context("an input")?;
        ensure!(!output.windows(10).any(|part| part == secret));
        assert_eq!(site.told(&job)?, std::slice::from_ref(&output));
        let opened = submission.ticket.open(&output)?;
        site.example.check_body(&opened.body)?;
        assert_eq!(
            site.result_of(&job)?.outputHash.0,
            *Digest::of(&output).as_bytes()
        );
        tickets.push((submission.ticket, output));
    }
    let [(one, _), (_, others)] = &tickets[..] else {
        anyhow::bail!("two jobs");
    };
    let refused = one.open(others).unwrap_err();
    assert_eq!(refused.code(), "cannot-open");
    assert_eq!(site.transactions(ONE)?, 2);

    // Somebody who saw the envelope asks for the same with another deadline: no enclave opens it.
    let deadline = site.net.runtime.block_on(site.now())? + 600;
    let submission = site.seal(&enclave, deadline)?;
    site.ask(Asked {
        input: Some(submission.envelope),
        deadline: Some(deadline + 1),
        ..Asked::default()
    })?;
    relay.until_left("platform-failed")?;
    assert_eq!(site.transactions(ONE)?, 2);
    relay.stop()
}
