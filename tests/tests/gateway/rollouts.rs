//! Two versions of a function behind a gateway, and one that sleeps.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nacre_client::{AttestedClient, ClientOptions, KserveClient};
use nacre_protocol::digest::Digest;
use nacre_tests::beside::Beside;
use nacre_tests::examples::Example;
use nacre_tests::platform::{Platform, wait_for};
use nacre_tests::traffic::{Outcome, call_once};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::site::{DEADLINE, Site, client_of, endpoint_of, gateway_with};

/// Part of the connections that the version on trial gets, percent.
const TRIAL: u32 = 25;
/// Connections that are counted. Of as many draws, the part is off by 14 percent once in a thousand runs.
const COUNTED: usize = 100;
/// Callers who come again and again while versions change: half of them on connections that they keep.
const CALLERS: usize = 4;
/// A sleeping function's first caller is answered within this.
const WAKE: Duration = Duration::from_secs(30);

#[test]
fn versions_share_callers_by_weight_and_change_without_a_failed_call() -> anyhow::Result<()> {
    let two = TwoVersions::start()?;
    let platform = &two.site.platform;
    let name = two.site.example.name.as_str();
    let callers = Callers::start(&two)?;

    let trial = two.second.display().to_string();
    platform.json(&["deploy", &trial, "--canary", &TRIAL.to_string()])?;
    two.until_answered_by(two.new)?;
    let mut of_new = 0;
    for _ in 0..COUNTED {
        of_new += usize::from(two.call()? == two.new);
    }
    let off = of_new.abs_diff(COUNTED * TRIAL as usize / 100);
    ensure!(
        off <= 14,
        "{of_new} of {COUNTED} connections reached the trial"
    );

    platform.json(&["promote", name])?;
    two.until_all_are_answered_by(two.new)?;
    platform.json(&["rollback", name])?;
    two.until_all_are_answered_by(two.old)?;

    // Who keeps a connection learns of it there, too: nothing of the version that went is answered from it.
    callers.until_all_get(two.old)?;
    let seen = callers.stop()?;
    ensure!(seen.failures.is_empty(), "{:?}", seen.failures);
    ensure!(seen.answered > 50, "{} calls were answered", seen.answered);
    two.gateway.stop()
}

#[test]
fn the_first_caller_of_a_function_that_sleeps_is_held_and_answered() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let example = Example::load("iris-regression")?;
    let dir = example.dir().display().to_string();
    let sleepy = ["--replicas", "0", "--max-replicas", "1", "--stable", "1s"];
    let words = [&["deploy", &dir], &sleepy[..], &["--idle", "1s"]].concat();
    let deployed = platform.json(&words)?;
    let digest: Digest = deployed["digest"].as_str().context("no digest")?.parse()?;
    let key = PathBuf::from(platform.ready("data")).join("api-key");
    let gateway = gateway_with(&platform, &key, "gateway")?;
    let runtime = Runtime::new()?;
    let call = || -> anyhow::Result<Outcome> {
        let client = client_of(&platform, &gateway, &example.name, digest)?;
        Ok(runtime.block_on(call_once(&example, client)))
    };
    // More than once: it falls asleep again.
    for _ in 0..2 {
        wait_for("it sleeps", DEADLINE, || {
            let function = platform.json(&["functions", &example.name]).ok()?;
            let leases = function[0]["deployment"]["leases"].as_array()?;
            leases.is_empty().then_some(())
        })?;
        let begun = Instant::now();
        let outcome = call()?;
        let took = begun.elapsed();
        ensure!(outcome == Outcome::Right, "after {took:?}: {outcome:?}");
        ensure!(took < WAKE, "it took {took:?}");
        println!("a function that slept answered after {took:?}");
    }
    gateway.stop()
}

/// A function that one of two nodes runs, a second version of it, and a gateway.
struct TwoVersions {
    site: Site,
    gateway: Beside,
    /// The second version's folder.
    second: PathBuf,
    old: Digest,
    new: Digest,
}

impl TwoVersions {
    fn start() -> anyhow::Result<Self> {
        let site = Site::with_replicas(&[], 1)?;
        let second = site.platform.home().join("second-version");
        copy(&site.example.dir(), &second)?;
        let text = std::fs::read_to_string(second.join("nacre.toml"))?;
        std::fs::write(
            second.join("nacre.toml"),
            format!("# Another version.\n{text}"),
        )?;
        let printed = site
            .platform
            .json(&["digest", &second.display().to_string()])?;
        let new = printed["digest"].as_str().context("no digest")?.parse()?;
        let key = PathBuf::from(site.platform.ready("data")).join("api-key");
        let gateway = gateway_with(&site.platform, &key, "gateway")?;
        Ok(Self {
            old: site.digest,
            site,
            gateway,
            second,
            new,
        })
    }

    /// Makes callers who take an answer of either version and of no other, with no connection yet.
    fn clients(&self) -> anyhow::Result<impl Fn() -> AttestedClient + Send + 'static> {
        let endpoint = endpoint_of(&self.gateway, &self.site.example.name)?;
        let trust = self.site.platform.trust()?;
        let (old, new) = (self.old, self.new);
        Ok(move || {
            let (trust, endpoints) = (trust.clone(), vec![endpoint.clone()]);
            AttestedClient::new(trust, Some(old), endpoints, ClientOptions::default()).or([new])
        })
    }

    /// The version that answers a new connection.
    fn call(&self) -> anyhow::Result<Digest> {
        let client = self.clients()?();
        let call = answered_by(&self.site.example, client);
        self.site.runtime.block_on(call)
    }

    fn until_answered_by(&self, digest: Digest) -> anyhow::Result<()> {
        let what = format!("{digest} answers");
        wait_for(&what, DEADLINE, || match self.call() {
            Ok(version) => (version == digest).then_some(Ok(())),
            Err(error) => Some(Err(error)),
        })?
    }

    /// So many in a row: of two that share callers, the other one would be among them.
    fn until_all_are_answered_by(&self, digest: Digest) -> anyhow::Result<()> {
        let mut row = 0;
        let what = format!("{digest} alone answers");
        wait_for(&what, DEADLINE, || match self.call() {
            Ok(version) => {
                row = if version == digest { row + 1 } else { 0 };
                (row == 20).then_some(Ok(()))
            }
            Err(error) => Some(Err(error)),
        })?
    }
}

/// The version whose receipt proves the right answer.
async fn answered_by(example: &Example, client: AttestedClient) -> anyhow::Result<Digest> {
    let client = KserveClient::new(client, example.name.as_str());
    let (answer, _) = client.infer_json(example.request.clone()).await?;
    example.check_body(answer.response.body())?;
    let proof = answer.proof.context("no receipt")?;
    Ok(proof.receipt.receipt.function_digest)
}

/// Callers of either version, until they are told to stop: each call of the first half on a connection of its own, those of the
/// others on one that is kept.
struct Callers {
    runtime: Runtime,
    stopping: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    answered: usize,
    failures: Vec<String>,
    /// The version that each caller had its last answer of.
    last: BTreeMap<usize, Digest>,
}

impl Callers {
    fn start(two: &TwoVersions) -> anyhow::Result<Self> {
        let runtime = Runtime::new()?;
        let (stopping, seen) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Seen>>::default());
        let mut tasks = JoinSet::new();
        for n in 0..CALLERS {
            let (stopping, seen) = (Arc::clone(&stopping), Arc::clone(&seen));
            let example = two.site.example.clone();
            let new_client = two.clients()?;
            let calls = async move {
                let kept = (n >= CALLERS / 2).then(&new_client);
                while !stopping.load(Ordering::Relaxed) {
                    let client = kept.clone().unwrap_or_else(&new_client);
                    let answered = answered_by(&example, client).await;
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    match answered {
                        Ok(version) => {
                            seen.answered += 1;
                            seen.last.insert(n, version);
                        }
                        Err(error) => seen.failures.push(format!("{error:#}")),
                    }
                }
            };
            tasks.spawn_on(calls, runtime.handle());
        }
        Ok(Self {
            runtime,
            stopping,
            seen,
            tasks,
        })
    }

    fn until_all_get(&self, digest: Digest) -> anyhow::Result<()> {
        wait_for("all are answered by one version", DEADLINE, || {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let all = seen.last.len() == CALLERS;
            (all && seen.last.values().all(|last| *last == digest)).then_some(())
        })
    }

    fn stop(mut self) -> anyhow::Result<Seen> {
        self.stopping.store(true, Ordering::Relaxed);
        while let Some(ended) = self.runtime.block_on(self.tasks.join_next()) {
            ended?;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *seen))
    }
}

/// A folder's files.
fn copy(from: &std::path::Path, to: &std::path::Path) -> anyhow::Result<()> {
    std::fs::create_dir(to)?;
    for file in std::fs::read_dir(from)? {
        let file = file?;
        std::fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}
