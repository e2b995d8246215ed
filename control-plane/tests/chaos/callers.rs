//! Callers: they lay jobs in of every kind of course, and note what they were told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nacre_protocol::api::Version;
use nacre_protocol::api::jobs::{Bytes32, CreateJob, Job, JobPayload, JobState};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::JobId;
use nacre_protocol::job::JobInput;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::{Method, RequestBuilder};
use serde::{Deserialize, Serialize};

use crate::invariants::ToldJob;
use crate::site::{Site, now_ms, take_time};

/// What becomes of a job: nodes read it in the input and do accordingly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// It is run.
    Plain,
    /// It takes longer than a lease.
    Slow,
    /// Whoever has it fails.
    Poison,
    /// Who has it first fails.
    Stumble,
    /// Who has it first is never heard of again.
    Vanish,
    /// Who has it first comes after its lease has run out.
    Late,
    /// Who has it first gives it back.
    Busy,
    /// Who has it first answers with another function's receipt.
    Lie,
    /// Nobody ever finishes it.
    Endless,
    /// Its caller takes it back.
    Cancelled,
    /// Its caller deletes the result.
    Deleted,
    /// Its input follows.
    Upload,
    /// Its input does not follow.
    NoInput,
}

const KINDS: [Kind; 16] = [
    Kind::Plain,
    Kind::Plain,
    Kind::Plain,
    Kind::Slow,
    Kind::Poison,
    Kind::Stumble,
    Kind::Vanish,
    Kind::Late,
    Kind::Busy,
    Kind::Lie,
    Kind::Endless,
    Kind::Cancelled,
    Kind::Deleted,
    Kind::Upload,
    Kind::Upload,
    Kind::NoInput,
];

impl Kind {
    fn may_end(self) -> &'static [JobState] {
        match self {
            Self::Poison => &[JobState::Failed],
            Self::Endless | Self::NoInput => &[JobState::Expired],
            Self::Cancelled => &[JobState::Cancelled, JobState::Done],
            _ => &[JobState::Done],
        }
    }

    fn seconds(self) -> u64 {
        match self {
            Self::Endless | Self::NoInput => 1,
            _ => 3600,
        }
    }
}

/// One caller: a job after the other, until it is enough.
pub(crate) async fn lay_in_on_and_on(site: Arc<Site>, version: Version, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    while !site.enough.load(Ordering::SeqCst) {
        let kind = KINDS[rng.random_range(0..KINDS.len())];
        let webhook = rng.random_ratio(2, 3);
        let id = JobId::from_random(rng.random());
        lay_in(&site, &version, id, kind, webhook).await;
        let patience = rng.random_range(0..300);
        follow(&site, id, kind, patience).await;
    }
}

/// Lays a job in. If it is refused, which only a deadline that passed meanwhile brings about, there is none.
pub(crate) async fn lay_in(site: &Site, version: &Version, id: JobId, kind: Kind, webhook: bool) {
    let body = serde_json::to_vec(&kind).unwrap();
    let input = JobInput {
        content_type: "application/json",
        inference_header_length: "",
        salt: [7; 32],
        body: &body,
    };
    let carried = input.encode();
    let hook = site.hook.read().unwrap().clone();
    let job = CreateJob {
        id,
        function: version.function.clone(),
        digest: version.digest,
        deadline_ms: now_ms() + 1000 * kind.seconds(),
        max_price: None,
        webhook: webhook.then_some(hook),
        chain: None,
        input: match kind {
            Kind::Upload | Kind::NoInput => JobPayload::Upload {
                size: carried.len() as u64,
                digest: Digest::of(&carried),
                result_key: None,
            },
            _ => JobPayload::Plain {
                content_type: "application/json".to_owned(),
                inference_header_length: String::new(),
                salt: Some(Bytes32([7; 32])),
                body,
            },
        },
    };
    let body = serde_json::to_value(&job).unwrap();
    let asked = site.ask_as_caller(&Method::POST, "/v1/jobs", Some(&body));
    let (status, said) = asked.await;
    if status == 422 && kind.seconds() == 1 {
        return;
    }
    assert!(status.is_success(), "{}", String::from_utf8_lossy(&said));
    let told = ToldJob {
        may_end: kind.may_end(),
        webhook,
        deleted: false,
    };
    site.told().jobs.insert(id, told);
    if kind == Kind::Upload {
        let dress = |r: RequestBuilder| r.bearer_auth(&site.key).body(carried.clone());
        let path = format!("/v1/jobs/{id}/input");
        let (status, _) = site.ask(&Method::PUT, &path, dress).await;
        // 409: it came, and the answer was lost.
        assert!(matches!(status.as_u16(), 204 | 409), "{status}");
    }
}

/// Does what callers do with a job of this kind until it has ended.
pub(crate) async fn follow(site: &Site, id: JobId, kind: Kind, patience_ms: u64) {
    if kind == Kind::Cancelled {
        take_time(patience_ms).await;
        return delete(site, id).await;
    }
    if !site.told().jobs.contains_key(&id) {
        return;
    }
    loop {
        let path = format!("/v1/jobs/{id}?wait_ms=2000");
        let (status, body) = site.ask_as_caller(&Method::GET, &path, None).await;
        assert_eq!(status, 200);
        let job: Job = serde_json::from_slice(&body).unwrap();
        if job.state.is_final() {
            break;
        }
    }
    if kind == Kind::Deleted {
        delete(site, id).await;
    }
}

async fn delete(site: &Site, id: JobId) {
    let path = format!("/v1/jobs/{id}");
    let (status, _) = site.ask_as_caller(&Method::DELETE, &path, None).await;
    assert_eq!(status, 204);
    if let Some(told) = site.told().jobs.get_mut(&id) {
        told.deleted = true;
    }
}
