//! Continuous calls whose right answers are known, for tests that break something under them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use nacre_client::{AttestedClient, KserveClient, KserveError};
use tokio::runtime::Runtime;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::examples::Example;
use crate::platform::wait_for;

/// From one call of a lane to its next.
const PACE: Duration = Duration::from_millis(1);
/// A call that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Callers that go on until they are told to stop.
#[derive(Debug)]
pub struct Traffic {
    runtime: Runtime,
    stopping: Arc<AtomicBool>,
    lanes: Vec<Lane>,
}

/// One caller, who waits for each answer before the next call.
#[derive(Debug, Clone)]
pub struct Lane {
    /// Whom it calls and how, for messages.
    pub name: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

#[derive(Debug, Clone)]
struct Call {
    begun: Instant,
    ended: Instant,
    outcome: Outcome,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The right answer, with a receipt that proves it.
    Right,
    /// No answer, or one that says that there is none.
    Failed(String),
    /// An answer that looks like one and is not right, or whose proof is not.
    Wrong(String),
}

impl Traffic {
    /// No callers yet.
    pub fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        Ok(Self {
            runtime,
            stopping: Arc::default(),
            lanes: vec![],
        })
    }

    /// Adds a caller who attests the enclave itself.
    pub fn attested(&mut self, example: &Example, client: AttestedClient) {
        let caller = Caller::Attested(KserveClient::new(client, example.name.as_str()));
        self.lane(
            format!("{}, attested", example.name),
            caller,
            example.clone(),
        );
    }

    /// Adds a caller who speaks plain HTTP to `nacre proxy` at this `host:port`.
    pub fn through_proxy(&mut self, example: &Example, address: &str) -> anyhow::Result<()> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let caller = Caller::Plain {
            http,
            url: format!("http://{address}{}", example.path()),
        };
        self.lane(
            format!("{}, through the proxy", example.name),
            caller,
            example.clone(),
        );
        Ok(())
    }

    /// Waits until every caller has so many right answers to calls that began after `since`.
    pub fn wait_for_right(
        &self,
        count: usize,
        since: Instant,
        limit: Duration,
    ) -> anyhow::Result<()> {
        let what = format!("{count} right answers on each lane");
        let done = || {
            self.lanes
                .iter()
                .all(|lane| lane.right_since(since) >= count)
        };
        wait_for(&what, limit, || done().then_some(())).map_err(|error| {
            let lanes: Vec<String> = self.lanes.iter().map(|lane| lane.tail(since)).collect();
            error.context(lanes.join("\n"))
        })
    }

    /// Stops the callers and gives what they saw.
    pub fn stop(self) -> Vec<Lane> {
        self.stopping.store(true, Ordering::Relaxed);
        self.runtime.shutdown_timeout(PATIENCE);
        self.lanes
    }

    fn lane(&mut self, name: String, caller: Caller, example: Example) {
        let lane = Lane {
            name,
            calls: Arc::default(),
        };
        let (calls, stopping) = (Arc::clone(&lane.calls), Arc::clone(&self.stopping));
        self.runtime.spawn(async move {
            let mut pace = interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !stopping.load(Ordering::Relaxed) {
                pace.tick().await;
                let begun = Instant::now();
                let outcome = timeout(PATIENCE, caller.call(&example)).await;
                let outcome = outcome.unwrap_or_else(|_| Outcome::Failed("no answer".to_owned()));
                let call = Call {
                    begun,
                    ended: Instant::now(),
                    outcome,
                };
                calls
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(call);
            }
        });
        self.lanes.push(lane);
    }
}

impl Lane {
    /// How many answers were right.
    pub fn right(&self) -> usize {
        self.calls()
            .iter()
            .filter(|call| call.outcome == Outcome::Right)
            .count()
    }

    /// What the calls that gave no answer said, in order.
    pub fn failures(&self) -> Vec<String> {
        let calls = self.calls();
        let failed = calls.iter().filter_map(|call| match &call.outcome {
            Outcome::Failed(reason) => Some(reason.clone()),
            _ => None,
        });
        failed.collect()
    }

    /// Fails if any answer was wrong, or any call failed before `disturbed`.
    pub fn check(&self, disturbed: Instant) -> anyhow::Result<()> {
        for call in self.calls() {
            match call.outcome {
                Outcome::Wrong(what) => anyhow::bail!("{}: wrong answer: {what}", self.name),
                Outcome::Failed(what) => {
                    ensure!(
                        call.ended >= disturbed,
                        "{}: failed too early: {what}",
                        self.name
                    );
                }
                Outcome::Right => {}
            }
        }
        Ok(())
    }

    /// From `disturbed` to the first right answer after which no call failed.
    pub fn back_after(&self, disturbed: Instant) -> Option<Duration> {
        let calls = self.calls();
        let steady = calls.rsplit(|call| call.outcome != Outcome::Right).next()?;
        let first = steady.iter().find(|call| call.begun >= disturbed)?;
        Some(first.ended - disturbed)
    }

    fn right_since(&self, since: Instant) -> usize {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = calls.iter().rev().take_while(|call| call.begun >= since);
        begun.filter(|call| call.outcome == Outcome::Right).count()
    }

    fn tail(&self, since: Instant) -> String {
        let calls = self.calls();
        let right = self.right_since(since);
        format!(
            "{}: {} calls, {right} right since, the last: {:?}",
            self.name,
            calls.len(),
            calls.last()
        )
    }

    fn calls(&self) -> Vec<Call> {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// One call of a caller who attests the enclave itself.
pub async fn call_once(example: &Example, client: AttestedClient) -> Outcome {
    let client = KserveClient::new(client, example.name.as_str());
    let outcome = timeout(PATIENCE, attested(&client, example)).await;
    outcome.unwrap_or_else(|_| Outcome::Failed("no answer".to_owned()))
}

/// How a lane calls.
#[derive(Debug)]
enum Caller {
    Attested(KserveClient),
    Plain { http: reqwest::Client, url: String },
}

impl Caller {
    async fn call(&self, example: &Example) -> Outcome {
        match self {
            Self::Attested(client) => attested(client, example).await,
            Self::Plain { http, url } => plain(http, url, example).await,
        }
    }
}

async fn attested(client: &KserveClient, example: &Example) -> Outcome {
    match client.infer_json(example.request.clone()).await {
        Ok((answer, _)) if answer.proof.is_none() => Outcome::Wrong("no receipt".to_owned()),
        Ok((answer, _)) => judge(example, answer.response.body()),
        // Evidence or a receipt that does not hold is no gap in service: it is somebody else's answer.
        Err(KserveError::Channel(error)) if error.result_code().is_some() => {
            Outcome::Wrong(error.to_string())
        }
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

async fn plain(http: &reqwest::Client, url: &str, example: &Example) -> Outcome {
    let request = http.post(url).body(example.request.clone());
    let request = request.header("content-type", "application/json");
    let answer = async {
        let response = request.send().await?;
        Ok::<_, reqwest::Error>((response.status(), response.bytes().await?))
    };
    match answer.await {
        Ok((status, body)) if status.is_success() => judge(example, &body),
        Ok((status, body)) => {
            Outcome::Failed(format!("{status}: {}", String::from_utf8_lossy(&body)))
        }
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

fn judge(example: &Example, body: &[u8]) -> Outcome {
    match example.check_body(body) {
        Ok(()) => Outcome::Right,
        Err(error) => Outcome::Wrong(format!("{error:#}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// A lane whose calls took a millisecond each, one after the other.
    fn lane(start: Instant, outcomes: &[Outcome]) -> Lane {
        let at = |millis: usize| start + Duration::from_millis(millis as u64);
        let calls = outcomes.iter().enumerate().map(|(nth, outcome)| Call {
            begun: at(nth),
            ended: at(nth + 1),
            outcome: outcome.clone(),
        });
        let calls = Arc::new(Mutex::new(calls.collect()));
        Lane {
            name: "lane".to_owned(),
            calls,
        }
    }

    fn failed() -> Outcome {
        Outcome::Failed("gone".to_owned())
    }

    #[test]
    fn service_is_back_after_the_last_failure_and_not_before_the_disturbance() {
        let start = Instant::now();
        let disturbed = start + Duration::from_millis(2);
        let back = |outcomes: &[Outcome]| lane(start, outcomes).back_after(disturbed);
        let right = Outcome::Right;
        let [a, b, c, d] = [right.clone(), right.clone(), right.clone(), right];
        let undisturbed = [a.clone(), b.clone(), c.clone(), d.clone()];
        assert_eq!(back(&undisturbed), Some(Duration::from_millis(1)));
        let relapsed = [a.clone(), failed(), b, failed(), c, d];
        assert_eq!(back(&relapsed), Some(Duration::from_millis(3)));
        assert_eq!(back(&[a, failed(), failed()]), None);
    }

    #[test]
    fn no_wrong_answer_and_no_early_failure_passes() {
        let start = Instant::now();
        let late = start + Duration::from_millis(3);
        let wrong = Outcome::Wrong("7 is 3".to_owned());
        let check = |outcomes: &[Outcome]| lane(start, outcomes).check(late);
        assert!(check(&[Outcome::Right, Outcome::Right, Outcome::Right, failed()]).is_ok());
        assert!(check(&[Outcome::Right, failed()]).is_err());
        assert!(check(&[Outcome::Right, Outcome::Right, Outcome::Right, wrong]).is_err());
    }
}
