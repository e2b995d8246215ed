//! The main job: deploy a model, call it through an attested channel, keep the proof.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use nacre_protocol::control::Counters;
use nacre_protocol::encoding::{base64url, from_base64url};
use nacre_protocol::identity::IdentityStatement;
use nacre_protocol::receipt::{RequestParts, ResponseParts, SignedReceipt};
use nacre_protocol::receipt_file::ReceiptFile;
use nacre_tests::examples::{EXAMPLES, Example};
use nacre_tests::http::Answer;
use nacre_tests::platform::{Platform, Refusal, nacre};
use nacre_tests::tls::RawTls;
use serde_json::Value;

#[test]
fn examples_answer_right_and_receipts_prove_it() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let dir = tempfile::tempdir()?;
    for name in EXAMPLES {
        let example = Example::load(name)?;
        let digest = platform.deploy_example(name)?;
        let (done, kept) = Kept::invoke(&platform, &example, dir.path())?;
        example.check(&done["response"])?;
        example.check_body(&std::fs::read(&kept.response)?)?;
        assert_eq!(done["function"], digest.as_str());
        assert_eq!(done["enclave"]["root"], "DEVELOPMENT ROOT");

        let proven = platform.json(&kept.verify(&[]))?;
        assert_eq!(proven["function"], digest.as_str());
        assert_eq!(proven["status"], 200);
        assert_eq!(proven["enclave"]["root"], "DEVELOPMENT ROOT");
        assert!(
            platform
                .text(&kept.verify(&[]))?
                .contains("DEVELOPMENT ROOT")
        );
        a_changed_byte_is_refused(&platform, &kept, dir.path())?;
    }
    let example = Example::load("iris-network")?;
    let (_, kept) = Kept::invoke(&platform, &example, dir.path())?;
    other_expectations_refuse_a_receipt(&platform, &kept, dir.path())?;
    no_changed_byte_of_a_receipt_passes(&kept)
}

fn a_changed_byte_is_refused(platform: &Platform, kept: &Kept, dir: &Path) -> anyhow::Result<()> {
    let changed = dir.join("changed");
    let mut file: ReceiptFile = serde_json::from_slice(&std::fs::read(&kept.receipt)?)?;
    let mut receipt = from_base64url(&file.receipt)?;
    *receipt.last_mut().unwrap() ^= 1;
    file.receipt = base64url(&receipt);
    let cases = [
        (
            Kept {
                request: changed.clone(),
                ..kept.clone()
            },
            flipped(&kept.request)?,
        ),
        (
            Kept {
                response: changed.clone(),
                ..kept.clone()
            },
            flipped(&kept.response)?,
        ),
        (
            Kept {
                receipt: changed.clone(),
                ..kept.clone()
            },
            serde_json::to_vec(&file)?,
        ),
    ];
    for (kept, bytes) in cases {
        std::fs::write(&changed, bytes)?;
        let refused = platform.refusal(&kept.verify(&[]))?;
        assert_eq!(refused.is(), (15, "receipt-refused"), "{kept:?}");
    }
    Ok(())
}

fn other_expectations_refuse_a_receipt(
    platform: &Platform,
    kept: &Kept,
    dir: &Path,
) -> anyhow::Result<()> {
    let other = format!("sha256:{}", "5".repeat(64));
    assert_eq!(
        platform.refusal(&kept.verify(&["--digest", &other]))?.is(),
        (15, "receipt-refused")
    );
    assert_eq!(platform.refusal(&kept.verify(&["--root", "aws"]))?.exit, 11);

    let mut policy = policy_of(platform)?;
    policy["measurements"][0]["pcr2"] = "7".repeat(96).into();
    let file = dir.join("other-policy.json");
    std::fs::write(&file, policy.to_string())?;
    let refused = platform.refusal(&kept.verify(&["--policy", file.to_str().unwrap()]))?;
    assert_eq!(refused.exit, 14);

    // Years later the certificates have expired: only who asks about then still gets a verdict.
    let refused = platform.refusal(&kept.verify(&["--at", "2099-01-01T00:00:00Z"]))?;
    assert_eq!(refused.exit, 11);
    Ok(())
}

fn no_changed_byte_of_a_receipt_passes(kept: &Kept) -> anyhow::Result<()> {
    let (sent, got) = (
        std::fs::read(&kept.request)?,
        std::fs::read(&kept.response)?,
    );
    let file: ReceiptFile = serde_json::from_slice(&std::fs::read(&kept.receipt)?)?;
    let key = IdentityStatement::decode(&file.evidence.statement)?.receipt_key;
    let request = RequestParts {
        method: &file.request.method,
        path: &file.request.path,
        content_type: &file.request.content_type,
        inference_header_length: &file.request.inference_header_length,
        body: &sent,
    };
    let response = ResponseParts {
        status: file.response.status,
        content_type: &file.response.content_type,
        inference_header_length: &file.response.inference_header_length,
        body: &got,
    };
    let proves = |receipt: &[u8]| {
        let receipt = SignedReceipt::from_header(&base64url(receipt));
        receipt.is_ok_and(|r| r.verify(&key, &file.function, &request, &response).is_ok())
    };
    let receipt = from_base64url(&file.receipt)?;
    assert!(proves(&receipt));
    for at in 0..receipt.len() {
        let mut changed = receipt.clone();
        changed[at] ^= 1;
        assert!(
            !proves(&changed),
            "byte {at} of {} does not matter",
            receipt.len()
        );
    }
    Ok(())
}

#[test]
fn a_live_enclave_is_judged_by_the_callers_root_and_measurements() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let node = format!("https://{}", platform.ready("node"));
    let verify = ["attest", "verify", &node];
    let and = |more: &[&str]| platform.refusal(&[&verify, more].concat());

    let verdict = platform.json(&verify)?;
    assert_eq!(
        (&verdict["verdict"], &verdict["result_code"]),
        (&"trusted".into(), &0.into())
    );
    assert_eq!(verdict["root"], "DEVELOPMENT ROOT");
    assert!(platform.text(&verify)?.contains("DEVELOPMENT ROOT"));

    assert_eq!(and(&["--root", "aws"])?.exit, 11);
    let policy = policy_of(&platform)?;
    let pcrs =
        ["pcr0", "pcr1", "pcr2"].map(|name| policy["measurements"][0][name].as_str().unwrap());
    platform.json(&[&verify[..], &flags(pcrs)].concat())?;
    for changed in 0..3 {
        let other = "3".repeat(96);
        let mut pcrs = pcrs;
        pcrs[changed] = &other;
        assert_eq!(and(&flags(pcrs))?.exit, 14, "PCR{changed}");
    }
    assert_eq!(and(&["--at", "2026-01-01T00:00:00Z"])?.is(), (2, "usage"));
    assert_eq!(
        and(&["--pcr0", pcrs[0]])?.exit,
        2,
        "two measurements are missing"
    );

    // Somebody who has no profile trusts nothing, and is not told "trusted".
    let home = tempfile::tempdir()?;
    for root in ["aws", platform.ready("root")] {
        let mut command = nacre(home.path());
        command.args(["--json"]).args(verify).args(["--root", root]);
        assert_eq!(Refusal::of(command)?.is(), (2, "usage"));
    }
    Ok(())
}

#[test]
fn without_trust_no_byte_of_the_request_is_sent() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let example = Example::load("lenet-mnist")?;
    platform.deploy_example(&example.name)?;
    let input = example.request_file.to_str().unwrap();
    let invoke = ["invoke", &example.name, "--input", input];
    let other = "4".repeat(96);
    let other = flags([&other; 3]);
    for (trust, exit) in [(other.as_slice(), 14), (&["--root", "aws"], 11)] {
        let before = counters(&platform)?;
        assert_eq!(platform.refusal(&[&invoke[..], trust].concat())?.exit, exit);
        let after = counters(&platform)?;
        assert!(
            after.attestations > before.attestations,
            "the enclave was not even asked"
        );
        let sent = (
            after.requests - before.requests,
            after.request_bytes - before.request_bytes,
        );
        assert_eq!(sent, (0, 0), "requests and bytes that reached the enclave");
    }
    // The same counters do see the request of a client that is satisfied.
    let before = counters(&platform)?;
    platform.json(&invoke)?;
    let after = counters(&platform)?;
    assert_eq!(after.requests - before.requests, 1);
    assert_eq!(
        after.request_bytes - before.request_bytes,
        example.request.len() as u64
    );
    Ok(())
}

#[test]
fn another_digest_than_the_running_one_is_refused_before_a_worker_sees_a_byte() -> anyhow::Result<()>
{
    let platform = Platform::start()?;
    let example = Example::load("iris-network")?;
    let digest = platform.deploy_example(&example.name)?;
    let input = example.request_file.to_str().unwrap();
    let other = format!("sha256:{}", "6".repeat(64));

    let (before, inferences) = (counters(&platform)?, inferences(&platform, &example)?);
    let refused = platform.refusal(&[
        "invoke",
        &example.name,
        "--input",
        input,
        "--digest",
        &other,
    ])?;
    assert_eq!(refused.is(), (6, "function-mismatch"));
    assert!(refused.message.contains("409"), "{}", refused.message);
    assert!(
        refused.message.contains(&digest),
        "it says what runs: {}",
        refused.message
    );

    let after = counters(&platform)?;
    let untouched = |counters: &Counters| (counters.request_bytes, counters.workers_started);
    assert_eq!(
        untouched(&after),
        untouched(&before),
        "no byte of the body was read"
    );
    assert_eq!(self::inferences(&platform, &example)?, inferences);
    Ok(())
}

/// A call with everything that proves it.
#[derive(Debug, Clone)]
struct Kept {
    request: PathBuf,
    response: PathBuf,
    receipt: PathBuf,
}

impl Kept {
    fn invoke(platform: &Platform, example: &Example, dir: &Path) -> anyhow::Result<(Value, Self)> {
        let kept = Self {
            request: example.request_file.clone(),
            response: dir.join(format!("{}.answer", example.name)),
            receipt: dir.join(format!("{}.receipt", example.name)),
        };
        let [request, response, receipt] = kept.words();
        let done = platform.json(&[
            "invoke",
            &example.name,
            "--input",
            request,
            "--output",
            response,
            "--receipt",
            receipt,
        ])?;
        Ok((done, kept))
    }

    fn verify<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let [request, response, receipt] = self.words();
        let verify = [
            "receipt",
            "verify",
            receipt,
            "--request",
            request,
            "--response",
            response,
        ];
        [&verify, more].concat()
    }

    fn words(&self) -> [&str; 3] {
        [&self.request, &self.response, &self.receipt].map(|path| path.to_str().unwrap())
    }
}

fn flags(pcrs: [&str; 3]) -> [&str; 6] {
    ["--pcr0", pcrs[0], "--pcr1", pcrs[1], "--pcr2", pcrs[2]]
}

fn flipped(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = std::fs::read(file)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Ok(bytes)
}

fn policy_of(platform: &Platform) -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(&std::fs::read(
        platform.ready("policy"),
    )?)?)
}

fn counters(platform: &Platform) -> anyhow::Result<Counters> {
    Ok(platform.enclave_status()?.counters)
}

/// How often the model ran, by its own statistics.
fn inferences(platform: &Platform, example: &Example) -> anyhow::Result<Value> {
    let mut connection = RawTls::connect(platform.ready("node"))?;
    let path = format!("/v2/models/{}/stats", example.name);
    connection.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())?;
    let answer: Answer = connection.answer()?;
    Ok(answer.json()?["model_stats"][0]["execution_count"].clone())
}
