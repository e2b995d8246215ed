//! What holds of jobs whoever was killed, read from the database and the object store alone.
//!
//! Pure: what callers, nodes and the webhooks' receiver were told, and what is kept, in; what does not fit, out.

use std::collections::{BTreeMap, BTreeSet};

use nacre_protocol::api::jobs::{Job, JobState};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::JobId;
use nacre_protocol::job::{JobTerms, SignedJobReceipt};

use crate::kept::{Kept, KeptAttempt, KeptJob, KeptResult, KeptSettlement};

/// How long an object is kept that nobody came to use.
pub(crate) const UNUSED_MS: u64 = 3_600_000;
/// Leases that a job may have in all.
const MAX_ATTEMPTS: u64 = 50;

/// What everybody outside was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// Jobs whose submission was answered.
    pub(crate) jobs: BTreeMap<JobId, ToldJob>,
    /// Whose result was taken from whom.
    pub(crate) taken: BTreeMap<JobId, String>,
    /// Jobs for which somebody brought a result without proof.
    pub(crate) lied: BTreeSet<JobId>,
    /// Those of them where that was answered.
    pub(crate) caught: BTreeSet<JobId>,
    /// What was posted.
    pub(crate) notices: Vec<Notice>,
    /// What webhooks are signed with.
    pub(crate) secret: String,
    /// Tries after which a job fails.
    pub(crate) max_tries: u64,
}

/// A job as its caller knows it.
#[derive(Debug, Clone)]
pub(crate) struct ToldJob {
    /// The ends that it may have had.
    pub(crate) may_end: &'static [JobState],
    /// Whether its end is to be told.
    pub(crate) webhook: bool,
    /// Whether the caller deleted its bytes.
    pub(crate) deleted: bool,
}

/// A webhook as it came.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    pub(crate) id: String,
    pub(crate) signature: String,
    pub(crate) body: String,
}

/// Something that does not fit: which rule, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) rule: &'static str,
    pub(crate) at: String,
}

/// Everything that does not fit at this time.
pub(crate) fn violations(told: &Told, kept: &Kept, now_ms: u64) -> Vec<Violation> {
    let mut found = Found::default();
    jobs_are_those_that_were_accepted(told, kept, &mut found);
    for job in &kept.jobs {
        let settlements: Vec<_> = kept
            .settlements
            .iter()
            .filter(|s| s.job == job.id)
            .collect();
        let attempts: Vec<_> = kept.attempts.iter().filter(|a| a.job == job.id).collect();
        settled_once(told, job, &settlements, &mut found);
        attempts_tell_its_course(told, job, &attempts, &mut found);
        for settlement in settlements {
            result_is_proven(told, kept, job, settlement, &mut found);
        }
    }
    objects_are_known(kept, now_ms, &mut found);
    ends_were_told(told, kept, &mut found);
    incidents_are_lies(told, kept, &mut found);
    found.0
}

#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn unless(&mut self, fine: bool, rule: &'static str, at: &dyn core::fmt::Display) {
        if !fine {
            let at = at.to_string();
            self.0.push(Violation { rule, at });
        }
    }
}

fn jobs_are_those_that_were_accepted(told: &Told, kept: &Kept, found: &mut Found) {
    let there: BTreeSet<JobId> = kept.jobs.iter().map(|job| job.id).collect();
    for id in told.jobs.keys() {
        found.unless(there.contains(id), "job-lost", id);
    }
    for id in &there {
        found.unless(told.jobs.contains_key(id), "job-of-nobody", id);
    }
    for settlement in &kept.settlements {
        found.unless(
            there.contains(&settlement.job),
            "settlement-of-nothing",
            &settlement.job,
        );
    }
    for attempt in &kept.attempts {
        found.unless(
            there.contains(&attempt.job),
            "attempt-of-nothing",
            &attempt.job,
        );
    }
}

fn settled_once(told: &Told, job: &KeptJob, settlements: &[&KeptSettlement], found: &mut Found) {
    found.unless(job.ended_ms.is_some(), "job-open", &job.id);
    found.unless(settlements.len() == 1, "not-settled-once", &job.id);
    for settlement in settlements {
        let same = settlement.ending == job.state
            && settlement.attempt == job.attempt
            && Some(settlement.settled_ms) == job.ended_ms;
        found.unless(same, "settlement-disagrees", &job.id);
        let ending = state(&settlement.ending);
        if let Some(told) = told.jobs.get(&job.id) {
            let expected = ending.is_some_and(|ending| told.may_end.contains(&ending));
            let at = format!("{} {} {:?}", job.id, job.state, told.may_end);
            found.unless(expected, "unexpected-end", &at);
        }
        if let Some(node) = told.taken.get(&job.id) {
            let theirs = settlement
                .result
                .as_ref()
                .is_some_and(|result| result.node == *node);
            found.unless(theirs, "taken-result-lost", &job.id);
        }
    }
}

fn attempts_tell_its_course(
    told: &Told,
    job: &KeptJob,
    attempts: &[&KeptAttempt],
    found: &mut Found,
) {
    let at = &job.id;
    let numbers = attempts.iter().map(|attempt| attempt.attempt);
    found.unless(numbers.eq(1..=job.attempt), "attempt-missing", at);
    let over = attempts
        .iter()
        .all(|a| a.ended_ms.is_some() && a.outcome.is_some());
    found.unless(over, "attempt-open", at);
    let apart = attempts
        .windows(2)
        .all(|two| two[0].ended_ms <= Some(two[1].leased_ms));
    found.unless(apart, "attempts-overlap", at);
    let with = |outcome: &str| {
        let is = |a: &&&KeptAttempt| a.outcome.as_deref() == Some(outcome);
        attempts.iter().filter(is).count() as u64
    };
    let done = job.state == "done";
    let last = attempts
        .last()
        .and_then(|attempt| attempt.outcome.as_deref());
    let one = with("done") == u64::from(done) && done == (last == Some("done"));
    found.unless(one, "attempt-done", at);
    // A result that came after its lease ran out counts as a try and is done all the same.
    let tries = with("lost") + with("failed") + with("overran");
    let counted = job.tries == tries || done && job.tries == tries + 1;
    found.unless(counted, "tries-miscounted", at);
    let enough = job.tries >= told.max_tries || job.attempt >= MAX_ATTEMPTS;
    found.unless(job.state != "failed" || enough, "failed-too-soon", at);
}

fn result_is_proven(
    told: &Told,
    kept: &Kept,
    job: &KeptJob,
    settled: &KeptSettlement,
    found: &mut Found,
) {
    let at = &job.id;
    let done = settled.ending == "done";
    found.unless(
        settled.result.is_some() == done,
        "result-without-receipt",
        at,
    );
    let Some(result) = &settled.result else {
        return;
    };
    found.unless(is_proven(kept, job, result), "receipt-false", at);
    let deleted = told.jobs.get(at).is_some_and(|told| told.deleted);
    let bytes = kept.files.get(&result.object);
    if deleted {
        found.unless(bytes.is_none(), "deleted-bytes-left", at);
        return;
    }
    let whole = bytes.is_some_and(|bytes| {
        bytes.len() as u64 == result.size && Digest::of(bytes) == result.digest
    });
    found.unless(whole, "result-lost", at);
    let kept_until = kept.objects.get(&result.object).copied();
    found.unless(kept_until == job.kept_until_ms, "result-not-kept", at);
}

fn is_proven(kept: &Kept, job: &KeptJob, result: &KeptResult) -> bool {
    let terms = JobTerms {
        job: job.id,
        function: job.digest,
        deadline_ms: job.deadline_ms,
    };
    let (Some(key), Ok(receipt)) = (
        kept.keys.get(&result.boot),
        SignedJobReceipt::from_header(&result.receipt),
    ) else {
        return false;
    };
    let verified = receipt.verify(key, &terms, &job.input_digest, &result.digest);
    verified.is_ok()
}

fn objects_are_known(kept: &Kept, now_ms: u64, found: &mut Found) {
    for name in kept.files.keys() {
        found.unless(kept.objects.contains_key(name), "object-of-nobody", name);
    }
    let inputs = kept.jobs.iter().filter_map(|job| job.input_object.as_ref());
    let inputs: BTreeSet<&String> = inputs.collect();
    let results = kept.settlements.iter().filter_map(|s| s.result.as_ref());
    let results: BTreeSet<&String> = results.map(|result| &result.object).collect();
    for (name, expires_ms) in &kept.objects {
        // All jobs have ended.
        found.unless(!inputs.contains(name), "input-left", name);
        found.unless(*expires_ms > now_ms, "object-overdue", name);
        let short = *expires_ms <= now_ms + UNUSED_MS;
        found.unless(results.contains(name) || short, "object-unused", name);
    }
}

fn ends_were_told(told: &Told, kept: &Kept, found: &mut Found) {
    for id in &kept.notices {
        found.unless(false, "notice-left", id);
    }
    let mut heard = BTreeSet::new();
    for notice in &told.notices {
        found.unless(
            is_signed(&told.secret, notice),
            "notice-unsigned",
            &notice.id,
        );
        let Ok(job) = serde_json::from_str::<Job>(&notice.body) else {
            found.unless(false, "notice-malformed", &notice.id);
            continue;
        };
        found.unless(notice.id == job.id.to_string(), "notice-id", &notice.id);
        let asked = told.jobs.get(&job.id).is_some_and(|told| told.webhook);
        found.unless(asked, "notice-unasked", &notice.id);
        let there = kept.jobs.iter().find(|there| there.id == job.id);
        // Old jobs are forgotten.
        let same = there.is_none_or(|there| state(&there.state) == Some(job.state));
        found.unless(job.state.is_final() && same, "notice-false", &notice.id);
        heard.insert(job.id);
    }
    for (id, _) in told.jobs.iter().filter(|(_, told)| told.webhook) {
        found.unless(heard.contains(id), "end-not-told", id);
    }
}

fn is_signed(secret: &str, notice: &Notice) -> bool {
    let Some((time, tag)) = notice.signature.split_once(",v1=") else {
        return false;
    };
    let time = time.strip_prefix("t=").unwrap_or_default();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let signed = format!("{time}.{}", notice.body);
    hex::decode(tag).is_ok_and(|tag| aws_lc_rs::hmac::verify(&key, signed.as_bytes(), &tag).is_ok())
}

fn incidents_are_lies(told: &Told, kept: &Kept, found: &mut Found) {
    let mut noted = BTreeSet::new();
    for (job, node) in &kept.incidents {
        let job = job.as_deref().and_then(|job| job.parse().ok());
        let lied = job.is_some_and(|job| told.lied.contains(&job));
        found.unless(lied, "incident-of-an-honest-node", node);
        let first = job.is_some_and(|job| noted.insert(job));
        found.unless(first, "incident-twice", node);
    }
    for id in &told.caught {
        found.unless(noted.contains(id), "incident-lost", id);
    }
}

/// The state of this name.
pub(crate) fn state(text: &str) -> Option<JobState> {
    serde_json::from_value(text.into()).ok()
}
