//! Jobs over the control channel (DESIGN §6): the same answers as over HTTP, and seals that hold.
#![cfg(feature = "process-mode")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its setting fails"
)]

mod enclave_support;
mod worker_support;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use enclave_support::peer::Ask;
use enclave_support::{Answer, Harness, TestFunction, Wanted};
use nacre_enclave::config::Limits;
use nacre_protocol::chain_job::{CarriedHashes, ChainJobId, ChainTerms, SignedChainResult};
use nacre_protocol::control::{JobRefusal, RunJob};
use nacre_protocol::digest::Digest;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::ids::JobId;
use nacre_protocol::job::{
    JOB_INPUT_TYPE, JOB_RESULT_TYPE, JobInput, JobResult, JobTerms, SEALED_JOB_TYPE,
    SEALED_RESULT_TYPE, SignedJobReceipt,
};
use nacre_protocol::sealed::{SealedJob, SealedResult, SealingSecret, key_id};
use worker_support::onnx;

/// A time that these tests do not reach.
fn soon() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_millis() as u64 + 600_000
}

fn terms(function: Digest) -> JobTerms {
    JobTerms {
        job: JobId::from_random([1; 16]),
        function,
        deadline_ms: soon(),
    }
}

fn input(body: &[u8]) -> JobInput<'_> {
    JobInput {
        content_type: "application/json",
        inference_header_length: "",
        salt: [7; 32],
        body,
    }
}

fn result_secret() -> SealingSecret {
    SealingSecret::from_bytes(&[9; 32])
}

/// The request that runs a job.
fn run(terms: JobTerms, result_key: Option<[u8; 32]>, carried: Vec<u8>) -> Ask {
    let content_type = match result_key {
        Some(_) => SEALED_JOB_TYPE,
        None => JOB_INPUT_TYPE,
    };
    let run = RunJob {
        terms,
        result_key,
        chain: None,
    };
    let ask = Ask {
        method: "POST",
        path: run.path_and_query(),
        body: carried.into(),
        ..Ask::default()
    };
    ask.with("content-type", content_type)
}

/// The same for a contract.
fn for_chain(ask: Ask, chain: &ChainTerms) -> Ask {
    Ask {
        path: format!("{}&chain={chain}", ask.path),
        ..ask
    }
}

fn plain(terms: JobTerms, body: &[u8]) -> Ask {
    run(terms, None, input(body).encode())
}

/// An input sealed to this enclave and one other.
fn sealed(harness: &Harness, terms: &JobTerms, body: &[u8]) -> Vec<u8> {
    let own = harness.enclave.identity().statement().hpke_key;
    let other = SealingSecret::from_bytes(&[3; 32]).public_key();
    let result_key = result_secret().public_key();
    SealedJob::seal(&input(body), terms, &result_key, &[other, own], &[4; 32]).unwrap()
}

/// What whoever carries a job can check.
#[track_caller]
fn check_job_receipt(harness: &Harness, terms: &JobTerms, ask: &Ask, answer: &Answer) {
    let receipt = SignedJobReceipt::from_header(answer.header("nacre-job-receipt")).unwrap();
    let (input, result) = (Digest::of(&ask.body), Digest::of(&answer.body));
    receipt
        .verify(&harness.receipt_key(), terms, &input, &result)
        .unwrap();
    let now = soon() - 600_000;
    assert!(receipt.receipt.finished_ms.abs_diff(now) < 60_000);
}

#[track_caller]
fn refusal(answer: &Answer) -> (String, bool) {
    let refusal: JobRefusal = answer.json();
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(refusal.problem.status, answer.status);
    (refusal.problem.code, refusal.retryable)
}

fn iris_network() -> (TestFunction, Vec<u8>) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/iris-network");
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    let mut function = TestFunction::new("iris-network", &read("model.onnx"));
    function
        .files
        .insert("nacre.toml".to_owned(), read("nacre.toml"));
    (function, read("input.json"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_answers_as_a_call_does_in_the_open_and_sealed() {
    let harness = Harness::start().await;
    let (function, body) = iris_network();
    let digest = harness.deploy(&function).await;
    let call = Ask::infer("iris-network", body.clone()).with("content-type", "application/json");
    let called = harness.connect().await.send(&call).await;
    assert_eq!(called.status, 200, "{}", called.text());
    let mut control = harness.control().await;
    let terms = terms(digest);
    let commitment = input(&body).commitment(&terms.job);

    let ask = plain(terms, &body);
    let answer = control.ask(&ask).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), JOB_RESULT_TYPE);
    check_job_receipt(&harness, &terms, &ask, &answer);
    let result = JobResult::decode(&answer.body).unwrap();
    assert_eq!(result.response_parts(), called.parts());
    result
        .verify(&digest, &commitment, &harness.receipt_key())
        .unwrap();

    let ask = run(
        terms,
        Some(result_secret().public_key()),
        sealed(&harness, &terms, &body),
    );
    let answer = control.ask(&ask).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), SEALED_RESULT_TYPE);
    check_job_receipt(&harness, &terms, &ask, &answer);
    let envelope = SealedResult::decode(&answer.body).unwrap();
    let opened = envelope.open(&result_secret(), &terms).unwrap();
    let result = opened
        .verified(&digest, &commitment, &harness.receipt_key())
        .unwrap();
    assert_eq!(result.response_parts(), called.parts());
}

/// A contract can check what model, input and output it was, and for whom; a refusal of the input is as final.
#[tokio::test(flavor = "multi_thread")]
async fn a_contracts_job_is_signed_for_the_contract() {
    let harness = Harness::start().await;
    let (function, body) = iris_network();
    let digest = harness.deploy(&function).await;
    let mut control = harness.control().await;
    let terms = terms(digest);
    let chain = ChainTerms {
        chain_id: 31_337.try_into().unwrap(),
        contract: EthAddress::from_bytes([1; 20]),
        job: ChainJobId::from_word([2; 32]),
        payee: EthAddress::from_bytes([3; 20]),
    };
    let verify = |ask: &Ask, answer: &Answer, output: &[u8], status: u16| {
        let signed = SignedChainResult::from_header(answer.header("nacre-chain-result")).unwrap();
        let carried = CarriedHashes {
            input: Digest::of(&ask.body),
            output: Digest::of(output),
            status,
        };
        signed
            .verify(&harness.receipt_key(), chain, digest, &carried)
            .unwrap();
        assert!(signed.executed_ms.abs_diff(soon() - 600_000) < 60_000);
    };

    let ask = for_chain(plain(terms, &body), &chain);
    let answer = control.ask(&ask).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let result = JobResult::decode(&answer.body).unwrap();
    verify(&ask, &answer, result.body, 200);

    let ask = for_chain(plain(terms, b"{\"inputs\":[]}"), &chain);
    let answer = control.ask(&ask).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let result = JobResult::decode(&answer.body).unwrap();
    assert_eq!(result.status, 400);
    verify(&ask, &answer, result.body, 400);

    let key = result_secret().public_key();
    let ask = for_chain(
        run(terms, Some(key), sealed(&harness, &terms, &body)),
        &chain,
    );
    let answer = control.ask(&ask).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    verify(&ask, &answer, &answer.body, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_tensors_pass_through_a_job() {
    let harness = Harness::start().await;
    let digest = harness
        .deploy(&TestFunction::new("sums", &onnx::arithmetic()))
        .await;
    let json = br#"{"parameters":{"binary_data_output":true},"inputs":[
        {"name":"a","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}},
        {"name":"b","shape":[2],"datatype":"FP32","data":[10,20]}]}"#;
    let tensor: Vec<u8> = [1f32, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let body = [&json[..], &tensor].concat();
    let length = json.len().to_string();
    let input = JobInput {
        content_type: "application/octet-stream",
        inference_header_length: &length,
        ..input(&body)
    };
    let terms = terms(digest);
    let answer = harness
        .control()
        .await
        .ask(&run(terms, None, input.encode()))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let result = JobResult::decode(&answer.body).unwrap();
    let head: usize = result.inference_header_length.parse().unwrap();
    let values: Vec<f32> = result.body[head..]
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    assert_eq!(values, [11.0, 22.0, 10.0, 40.0]);
    result
        .verify(
            &digest,
            &input.commitment(&terms.job),
            &harness.receipt_key(),
        )
        .unwrap();
}

/// The host replays a sealed job and says that it is another: none of it opens.
#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_job_opens_for_its_own_function_id_key_and_deadline_only() {
    let harness = Harness::start().await;
    let (iris, body) = iris_network();
    let digest = harness.deploy(&iris).await;
    let other_function = harness
        .deploy(&TestFunction::new("sums", &onnx::arithmetic()))
        .await;
    let honest = terms(digest);
    let key = result_secret().public_key();
    let own_key = SealingSecret::from_bytes(&[66; 32]).public_key();
    let envelope = sealed(&harness, &honest, &body);
    let mut control = harness.control().await;
    let replays = [
        (
            "another function",
            JobTerms {
                function: other_function,
                ..honest
            },
            key,
        ),
        (
            "another id",
            JobTerms {
                job: JobId::from_random([2; 16]),
                ..honest
            },
            key,
        ),
        (
            "a later deadline",
            JobTerms {
                deadline_ms: honest.deadline_ms + 1,
                ..honest
            },
            key,
        ),
        ("the host's own result key", honest, own_key),
    ];
    for (what, terms, key) in replays {
        let answer = control.ask(&run(terms, Some(key), envelope.clone())).await;
        assert_eq!(
            (answer.status, refusal(&answer)),
            (422, ("cannot-open".to_owned(), false)),
            "{what}"
        );
    }
    let own_id = key_id(&harness.enclave.identity().statement().hpke_key);
    let entry = envelope
        .windows(own_id.len())
        .position(|part| part == own_id);
    // The encapsulated key, the wrapped one, and the end of the ciphertext.
    for at in [entry.unwrap() + 40, entry.unwrap() + 80, envelope.len() - 1] {
        let mut changed = envelope.clone();
        changed[at] ^= 1;
        let answer = control.ask(&run(honest, Some(key), changed)).await;
        assert_eq!(refusal(&answer).0, "cannot-open", "byte {at}");
    }
    let answer = control.ask(&run(honest, Some(key), envelope)).await;
    assert_eq!(answer.status, 200, "the honest one opens still");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_sealed_to_others_is_for_others() {
    let harness = Harness::start().await;
    let (iris, body) = iris_network();
    let terms = terms(harness.deploy(&iris).await);
    let key = result_secret().public_key();
    let stranger = SealingSecret::from_bytes(&[3; 32]).public_key();
    let envelope = SealedJob::seal(&input(&body), &terms, &key, &[stranger], &[4; 32]).unwrap();
    let answer = harness
        .control()
        .await
        .ask(&run(terms, Some(key), envelope))
        .await;
    assert_eq!(refusal(&answer), ("not-a-recipient".to_owned(), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_its_code_and_says_whether_to_try_again() {
    let limits = Limits {
        max_body: 4 << 20,
        body_memory: 16 << 20,
        ..Limits::default()
    };
    let harness = Harness::with(Wanted {
        limits,
        ..Wanted::default()
    })
    .await;
    let (iris, body) = iris_network();
    let terms = terms(harness.deploy(&iris).await);
    let key = result_secret().public_key();
    let garbled = SealedJob::seal(
        &JobInput {
            content_type: &"x".repeat(300),
            ..input(&body)
        },
        &terms,
        &key,
        &[harness.enclave.identity().statement().hpke_key],
        &[4; 32],
    );
    let cases = [
        (
            "an unknown function",
            plain(
                JobTerms {
                    function: Digest::of(b"none"),
                    ..terms
                },
                &body,
            ),
            "unknown-function",
            true,
        ),
        (
            "a deadline that has passed",
            plain(
                JobTerms {
                    deadline_ms: soon() - 660_000,
                    ..terms
                },
                &body,
            ),
            "job-deadline-passed",
            false,
        ),
        (
            "an input that is none",
            run(terms, None, body.clone()),
            "job-malformed",
            false,
        ),
        (
            "an envelope that is none",
            run(terms, Some(key), body.clone()),
            "job-malformed",
            false,
        ),
        (
            "an envelope with something else inside",
            run(terms, Some(key), garbled.unwrap()),
            "sealed-content-malformed",
            false,
        ),
        (
            "an envelope that is said to be in the open",
            Ask {
                path: RunJob {
                    terms,
                    result_key: None,
                    chain: None,
                }
                .path_and_query(),
                ..run(terms, Some(key), sealed(&harness, &terms, &body))
            },
            "media-type",
            false,
        ),
        (
            "a result key of small order",
            run(terms, Some([0; 32]), sealed(&harness, &terms, &body)),
            "sealing-key-invalid",
            false,
        ),
        (
            "an input of more than a quarter of the largest body",
            run(terms, None, vec![0; (1 << 20) + 1]),
            "body-too-large",
            true,
        ),
    ];
    for (what, ask, code, retryable) in cases {
        let answer = harness.control().await.ask(&ask).await;
        assert_eq!(refusal(&answer), (code.to_owned(), retryable), "{what}");
        assert_eq!(answer.header("nacre-job-receipt"), "", "{what}");
    }
    let mut control = harness.control().await;
    let no_job = Ask {
        path: "/v1/jobs/job_00?function=x".to_owned(),
        ..plain(terms, &body)
    };
    assert_eq!(control.ask(&no_job).await.code(), "job-query-malformed");
    assert_eq!(control.ask(&plain(terms, &body)).await.status, 200);
}

/// What model and input determine is a result, with a receipt; what the machine lacked is not.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_model_and_input_determine_is_final() {
    let harness = Harness::start().await;
    let sums = harness
        .deploy(&TestFunction::new("sums", &onnx::arithmetic()))
        .await;
    let loops = TestFunction::with_limits("loops", &onnx::loops(), "64MiB", "300ms");
    let loops = harness.deploy(&loops).await;
    let zeros = harness
        .deploy(&TestFunction::new("zeros", &onnx::zeros()))
        .await;
    let mut control = harness.control().await;

    let missing = br#"{"inputs":[{"name":"a","shape":[2],"datatype":"FP32","data":[1,2]}]}"#;
    let terms_of = |function| terms(function);
    let terms = terms_of(sums);
    let key = result_secret().public_key();
    let ask = run(terms, Some(key), sealed(&harness, &terms, missing));
    let answer = control.ask(&ask).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    check_job_receipt(&harness, &terms, &ask, &answer);
    let envelope = SealedResult::decode(&answer.body).unwrap();
    assert_eq!(envelope.status, 400);
    let opened = envelope.open(&result_secret(), &terms).unwrap();
    let commitment = input(missing).commitment(&terms.job);
    let result = opened
        .verified(&sums, &commitment, &harness.receipt_key())
        .unwrap();
    let error: serde_json::Value = serde_json::from_slice(result.body).unwrap();
    assert_eq!(error["code"], "missing-input");

    let endless = br#"{"inputs":[{"name":"n","shape":[],"datatype":"INT64","data":[1099511627776]},
        {"name":"x","shape":[],"datatype":"FP32","data":[1]}]}"#;
    let answer = control.ask(&plain(terms_of(loops), endless)).await;
    assert_eq!(refusal(&answer), ("inference-timeout".to_owned(), true));
    let large =
        br#"{"inputs":[{"name":"shape","shape":[1],"datatype":"INT64","data":[32000000]}]}"#;
    let answer = control.ask(&plain(terms_of(zeros), large)).await;
    assert_eq!(refusal(&answer), ("memory-limit".to_owned(), true));
}

/// A function runs one job at a time, and when its connection goes, the next one comes.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_take_turns_and_go_with_their_connection() {
    let harness = Harness::start().await;
    let loops = TestFunction::with_limits("loops", &onnx::loops(), "64MiB", "2s");
    let terms = terms(harness.deploy(&loops).await);
    let turns = |n: u64| {
        let body = format!(
            r#"{{"inputs":[{{"name":"n","shape":[],"datatype":"INT64","data":[{n}]}},
                {{"name":"x","shape":[],"datatype":"FP32","data":[1]}}]}}"#
        );
        plain(terms, body.as_bytes())
    };
    let mut first = harness.control().await;
    let endless = turns(1 << 40);
    let running = tokio::spawn(async move { first.ask(&endless).await });
    // Others are refused as soon as it has its turn.
    let mut often = tokio::time::interval(Duration::from_millis(5));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let refused = loop {
        let answer = harness.control().await.ask(&turns(1)).await;
        if answer.status != 200 {
            break answer;
        }
        assert!(std::time::Instant::now() < deadline, "nothing was refused");
        often.tick().await;
    };
    assert_eq!(refusal(&refused), ("jobs-busy".to_owned(), true));
    assert_eq!(refused.header("retry-after"), "1");

    // Whose connection is cut waits for nobody.
    running.abort();
    let _ = running.await;
    let answer = loop {
        let answer = harness.control().await.ask(&turns(1)).await;
        if answer.status == 200 {
            break answer;
        }
        let (code, _) = refusal(&answer);
        // The model runs to its end or its limit, and a job behind it may find that it takes too long.
        assert!(["jobs-busy", "overloaded"].contains(&&*code), "{code}");
        assert!(std::time::Instant::now() < deadline, "still {code}");
        often.tick().await;
    };
    JobResult::decode(&answer.body).unwrap();
}

/// While there is no attested time, no deadline can be held and nothing signed.
#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_is_held_to_attested_time() {
    let harness = Harness::start().await;
    let (iris, body) = iris_network();
    let digest = harness.deploy(&iris).await;
    let mut control = harness.control().await;
    let now = soon() - 600_000;
    for (deadline_ms, status) in [(now + 60_000, 200), (now - 60_000, 410), (0, 410)] {
        let terms = JobTerms {
            deadline_ms,
            ..terms(digest)
        };
        let answer = control.ask(&plain(terms, &body)).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
}
