//! That the checker can fail: a world in which everything holds, and what it says of each single fault in it.

use nacre_protocol::api::jobs::{Job, JobOutcome, JobState};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{BootId, JobId, NodeId};
use nacre_protocol::job::{JobReceipt, JobTerms};

use crate::invariants::{Notice, Told, ToldJob, UNUSED_MS, state, violations};
use crate::kept::{Kept, KeptAttempt, KeptJob, KeptResult, KeptSettlement};

const NOW_MS: u64 = 100_000;
const KEPT_UNTIL_MS: u64 = 9_000_000_000;
const SECRET: &str = "secret";

/// Job 1 was lost once and then done, job 2 failed after its tries, job 3 was cancelled before anybody had it.
fn world() -> (Told, Kept) {
    let (mut told, mut kept) = (
        Told {
            secret: SECRET.to_owned(),
            max_tries: 2,
            ..Told::default()
        },
        Kept::default(),
    );
    for (n, state, outcomes) in [
        (1, "done", ["lost", "done"].as_slice()),
        (2, "failed", &["failed", "failed"]),
        (3, "cancelled", &[]),
    ] {
        let (told_job, job) = (told_job(state), job(n, state, outcomes));
        for (at, outcome) in (1u64..).zip(outcomes) {
            kept.attempts.push(KeptAttempt {
                job: job.id,
                attempt: at,
                leased_ms: 1_000 * at,
                ended_ms: Some(1_000 * at + 900),
                outcome: Some((*outcome).to_owned()),
            });
        }
        let result = (state == "done").then(|| result(&job, &mut kept));
        kept.settlements.push(KeptSettlement {
            job: job.id,
            ending: state.to_owned(),
            attempt: job.attempt,
            settled_ms: 5_000,
            result,
        });
        told.notices.push(notice(&job));
        told.jobs.insert(job.id, told_job);
        kept.jobs.push(job);
    }
    let first = kept.jobs[0].id;
    told.taken.insert(first, node().to_string());
    told.lied.insert(first);
    told.caught.insert(first);
    kept.incidents
        .push((Some(first.to_string()), node().to_string()));
    (told, kept)
}

fn node() -> NodeId {
    NodeId::from_random([7; 16])
}

fn told_job(state: &str) -> ToldJob {
    ToldJob {
        may_end: match state {
            "done" => &[JobState::Done],
            "failed" => &[JobState::Failed],
            _ => &[JobState::Cancelled, JobState::Done],
        },
        webhook: true,
        deleted: false,
    }
}

fn job(n: u8, state: &str, outcomes: &[&str]) -> KeptJob {
    KeptJob {
        id: JobId::from_random([n; 16]),
        state: state.to_owned(),
        attempt: outcomes.len() as u64,
        tries: outcomes
            .iter()
            .filter(|outcome| **outcome != "done")
            .count() as u64,
        digest: Digest::of(b"function"),
        deadline_ms: 50_000,
        input_digest: Digest::of(b"input"),
        input_object: Some(format!("{n}-input")),
        ended_ms: Some(5_000),
        kept_until_ms: Some(KEPT_UNTIL_MS),
    }
}

fn result(job: &KeptJob, kept: &mut Kept) -> KeptResult {
    let boot = BootId::from_random([7; 16]).to_string();
    let key = k256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let public = point.as_bytes()[1..].try_into().unwrap();
    kept.keys.insert(boot.clone(), public);
    let object = "1-result".to_owned();
    kept.files.insert(object.clone(), b"result".to_vec());
    kept.objects.insert(object.clone(), KEPT_UNTIL_MS);
    let receipt = JobReceipt {
        terms: JobTerms {
            job: job.id,
            function: job.digest,
            deadline_ms: job.deadline_ms,
        },
        input_hash: job.input_digest,
        result_hash: Digest::of(b"result"),
        status: 200,
        finished_ms: 1,
    };
    KeptResult {
        node: node().to_string(),
        boot,
        receipt: receipt.sign(&key).to_header(),
        size: 6,
        digest: Digest::of(b"result"),
        object,
    }
}

fn notice(job: &KeptJob) -> Notice {
    let outcome = JobOutcome {
        status: 200,
        node: node(),
        boot_id: BootId::from_random([7; 16]),
        size: 6,
        receipt: "receipt".to_owned(),
        chain_result: None,
        kept_until_ms: KEPT_UNTIL_MS,
    };
    let told = Job {
        id: job.id,
        function: "iris".parse().unwrap(),
        digest: job.digest,
        state: state(&job.state).unwrap(),
        sealed: false,
        attempts: 1,
        created_ms: 1,
        deadline_ms: job.deadline_ms,
        ended_ms: job.ended_ms,
        result: (job.state == "done").then_some(outcome),
        failure: None,
        chain: None,
    };
    signed(job.id.to_string(), serde_json::to_string(&told).unwrap())
}

fn signed(id: String, body: String) -> Notice {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, format!("5.{body}").as_bytes());
    let signature = format!("t=5,v1={}", hex::encode(tag));
    Notice {
        id,
        signature,
        body,
    }
}

#[test]
fn in_a_world_that_is_right_nothing_is_found() {
    let (mut told, mut kept) = world();
    assert_eq!(violations(&told, &kept, NOW_MS), []);
    // Told twice, an object that nobody came to use yet, and a result that its caller deleted: all of it may be.
    told.notices.push(told.notices[0].clone());
    kept.objects.insert("9-input".to_owned(), NOW_MS + 1);
    told.jobs.get_mut(&kept.jobs[0].id).unwrap().deleted = true;
    kept.objects.remove("1-result");
    kept.files.remove("1-result");
    assert_eq!(violations(&told, &kept, NOW_MS), []);
}

#[test]
fn every_single_fault_is_found() {
    type Fault = fn(&mut Told, &mut Kept);
    let faults: &[(&str, Fault)] = &[
        ("job-lost", |_, kept| drop(kept.jobs.remove(1))),
        ("job-of-nobody", |told, kept| {
            let _ = told.jobs.remove(&kept.jobs[1].id);
        }),
        ("settlement-of-nothing", |_, kept| {
            kept.settlements[2].job = JobId::from_random([9; 16])
        }),
        ("attempt-of-nothing", |_, kept| {
            kept.attempts[3].job = JobId::from_random([9; 16])
        }),
        ("job-open", |_, kept| kept.jobs[2].ended_ms = None),
        // What a settlement outside the transaction of its job would leave.
        ("not-settled-once", |_, kept| {
            let _ = kept.settlements.remove(2);
        }),
        ("not-settled-once", |_, kept| {
            kept.settlements.push(kept.settlements[1].clone())
        }),
        ("settlement-disagrees", |_, kept| {
            kept.jobs[1].state = "expired".to_owned()
        }),
        ("settlement-disagrees", |_, kept| {
            kept.settlements[1].attempt = 1
        }),
        ("settlement-disagrees", |_, kept| {
            kept.settlements[1].settled_ms += 1
        }),
        ("unexpected-end", |told, kept| {
            told.jobs.get_mut(&kept.jobs[1].id).unwrap().may_end = &[JobState::Done];
        }),
        ("taken-result-lost", |told, kept| {
            told.taken.insert(kept.jobs[1].id, node().to_string());
        }),
        ("taken-result-lost", |told, kept| {
            let other = NodeId::from_random([8; 16]).to_string();
            told.taken.insert(kept.jobs[0].id, other);
        }),
        ("attempt-missing", |_, kept| drop(kept.attempts.remove(0))),
        ("attempt-open", |_, kept| kept.attempts[2].outcome = None),
        ("attempts-overlap", |_, kept| {
            kept.attempts[1].leased_ms = 1_899
        }),
        ("attempt-done", |_, kept| {
            kept.attempts[0].outcome = Some("done".to_owned())
        }),
        ("attempt-done", |_, kept| {
            kept.attempts[1].outcome = Some("failed".to_owned())
        }),
        ("tries-miscounted", |_, kept| kept.jobs[1].tries += 1),
        ("tries-miscounted", |_, kept| kept.jobs[0].tries += 2),
        ("failed-too-soon", |told, _| told.max_tries = 3),
        ("result-without-receipt", |_, kept| {
            kept.settlements[0].result = None
        }),
        ("result-without-receipt", |_, kept| {
            kept.settlements[1].result = kept.settlements[0].result.clone();
        }),
        ("receipt-false", |_, kept| {
            kept.jobs[0].digest = Digest::of(b"other")
        }),
        ("receipt-false", |_, kept| kept.keys.clear()),
        ("deleted-bytes-left", |told, kept| {
            told.jobs.get_mut(&kept.jobs[0].id).unwrap().deleted = true;
        }),
        ("result-lost", |_, kept| drop(kept.files.remove("1-result"))),
        ("result-lost", |_, kept| {
            kept.files.insert("1-result".to_owned(), b"resulT".to_vec());
        }),
        ("result-not-kept", |_, kept| {
            kept.objects.retain(|name, _| name != "1-result")
        }),
        ("object-of-nobody", |_, kept| {
            kept.files.insert("9-result".to_owned(), Vec::new());
        }),
        ("input-left", |_, kept| {
            kept.objects.insert("2-input".to_owned(), NOW_MS + 1);
        }),
        ("object-overdue", |_, kept| {
            kept.objects.insert("9-input".to_owned(), NOW_MS);
        }),
        ("object-unused", |_, kept| {
            kept.objects
                .insert("9-input".to_owned(), NOW_MS + UNUSED_MS + 1);
        }),
        ("notice-left", |_, kept| kept.notices.push("job".to_owned())),
        ("notice-unsigned", |told, _| {
            told.secret = "other".to_owned()
        }),
        ("notice-malformed", |told, _| {
            told.notices[0] = signed("job".to_owned(), "{}".to_owned())
        }),
        ("notice-id", |told, _| {
            told.notices[0].id = told.notices[1].id.clone()
        }),
        ("notice-unasked", |told, kept| {
            told.jobs.get_mut(&kept.jobs[0].id).unwrap().webhook = false;
        }),
        ("notice-false", |told, _| {
            let body = told.notices[1].body.replace("failed", "running");
            told.notices[1] = signed(told.notices[1].id.clone(), body);
        }),
        ("end-not-told", |told, _| drop(told.notices.remove(2))),
        ("incident-of-an-honest-node", |told, _| told.lied.clear()),
        ("incident-twice", |_, kept| {
            kept.incidents.push(kept.incidents[0].clone())
        }),
        ("incident-lost", |_, kept| kept.incidents.clear()),
    ];
    for (rule, fault) in faults {
        let (mut told, mut kept) = world();
        fault(&mut told, &mut kept);
        let found = violations(&told, &kept, NOW_MS);
        assert!(
            found.iter().any(|found| found.rule == *rule),
            "{rule}: {found:?}"
        );
    }
}
