//! What to do next: desired × actual × what was tried → actions. Nothing here does I/O or reads a clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nacre_protocol::api::{DesiredFunction, DesiredState, ObservedFunction};
use nacre_protocol::control::{FunctionState, FunctionStatus};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{FunctionName, LeaseId};

use super::loads::Loads;
use crate::backoff::doubled;

/// Longest error text that is reported.
const MAX_ERROR: usize = 512;
/// Transient failures in a row after which a function is reported as failed, though it is still tried.
const PATIENCE: u32 = 5;
/// A function that ran this long after a crash is forgiven.
const FORGIVEN: Duration = Duration::from_secs(60);

/// One thing to do with the enclave. At most one runs for a function at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Bring the blobs and load the function (replacing another digest under the same name). Where this version serves
    /// already, only the lease is another.
    Load {
        /// Which function.
        name: FunctionName,
        /// Which version.
        digest: Digest,
        /// What it does is billed to this.
        lease: LeaseId,
    },
    /// Unload the function.
    Unload {
        /// Which function.
        name: FunctionName,
    },
}

impl Action {
    /// What it is called in a trace.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Load { .. } => "load function",
            Self::Unload { .. } => "unload function",
        }
    }

    /// The function it is about.
    pub fn name(&self) -> &FunctionName {
        match self {
            Self::Load { name, .. } | Self::Unload { name } => name,
        }
    }
}

/// Why an action failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Stable code.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// How it may get better.
    pub kind: FailureKind,
}

/// How a failure may get better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// By itself, soon: the connection broke.
    Transient,
    /// By being loaded again: the function ran and then failed inside.
    Crashed,
    /// When others are unloaded: the enclave has no room.
    NoRoom,
    /// Hardly: the function was refused.
    Refused,
}

impl FailureKind {
    fn delay(self, failures_before: u32) -> Duration {
        let ms = Duration::from_millis;
        match self {
            Self::Transient => doubled(ms(200), ms(5000), failures_before),
            Self::Crashed if failures_before == 0 => Duration::ZERO,
            Self::Crashed => doubled(ms(1000), ms(60_000), failures_before - 1),
            Self::NoRoom => doubled(ms(2000), ms(60_000), failures_before),
            Self::Refused => ms(300_000),
        }
    }
}

/// What is known of earlier tries of one action.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Try {
    action: Action,
    failure: Failure,
    failures: u32,
    not_before: Instant,
    /// When the action worked after all; kept to count crashes that follow.
    worked: Option<Instant>,
}

/// What the enclave runs, by name. There are two entries while one version serves and the next is being loaded, or was
/// refused.
type Actual = BTreeMap<FunctionName, Vec<FunctionStatus>>;

/// Desired and actual state of one boot, and what was tried.
#[derive(Debug, Default)]
pub struct Reconciler {
    desired: Option<Arc<DesiredState>>,
    actual: Option<Actual>,
    tries: BTreeMap<FunctionName, Try>,
    busy: BTreeMap<FunctionName, Action>,
    loads: Loads,
    epoch: u64,
}

impl Reconciler {
    /// Takes a desired state. Another revision gives everything that failed a new chance.
    pub fn set_desired(&mut self, desired: Arc<DesiredState>) {
        if self.desired.as_ref().map(|d| d.revision) != Some(desired.revision) {
            self.tries.clear();
        }
        self.desired = Some(desired);
    }

    /// Changes with every action that ends; read it before asking the enclave for its status.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Takes the enclave's status. One that was asked for before an action ended, or while one runs, says nothing
    /// reliable about that function: `epoch` is that of the question, and an old answer is not used.
    pub fn set_actual(&mut self, epoch: u64, functions: Vec<FunctionStatus>, now: Instant) {
        if epoch != self.epoch {
            return;
        }
        self.loads.note(&functions, now);
        let mut before = self.actual.take().unwrap_or_default();
        let mut actual = Actual::new();
        for status in functions {
            if !self.busy.contains_key(&status.name) {
                self.note_health(&status, now);
                actual.entry(status.name.clone()).or_default().push(status);
            }
        }
        for name in self.busy.keys() {
            if let Some(statuses) = before.remove(name) {
                actual.insert(name.clone(), statuses);
            }
        }
        self.actual = Some(actual);
    }

    /// What to do now; each action counts as running until [`finished`](Self::finished) is called for it.
    pub fn start_actions(&mut self, most: usize, now: Instant) -> Vec<Action> {
        let room = most.saturating_sub(self.busy.len());
        let mut actions = self.due(|not_before| not_before <= now);
        actions.truncate(room);
        for action in &actions {
            self.busy.insert(action.name().clone(), action.clone());
        }
        actions
    }

    /// When to ask for actions again if nothing else happens.
    pub fn next_try(&self) -> Option<Instant> {
        let waiting = self.due(|_| true);
        let held_back = |action: &Action| self.try_of(action).map(|t| t.not_before);
        waiting.iter().filter_map(held_back).min()
    }

    /// An action ended. A load that worked gives the function's status.
    pub fn finished(
        &mut self,
        action: &Action,
        result: Result<Option<FunctionStatus>, Failure>,
        now: Instant,
    ) {
        self.epoch += 1;
        let name = action.name();
        self.busy.remove(name);
        match result {
            Ok(status) => {
                match self.tries.get_mut(name).filter(|t| t.action == *action) {
                    Some(earlier) => earlier.worked = Some(now),
                    None => drop(self.tries.remove(name)),
                }
                if let Some(actual) = &mut self.actual {
                    actual.remove(name);
                    if let Some(status) = &status {
                        actual.insert(name.clone(), vec![status.clone()]);
                    }
                }
                if let Some(status) = &status {
                    self.note_health(status, now);
                }
            }
            Err(failure) => note_failure(&mut self.tries, action.clone(), failure, now),
        }
    }

    /// What to report: one entry a lease.
    pub fn observed(&self) -> Vec<ObservedFunction> {
        let Some(desired) = &self.desired else {
            return Vec::new();
        };
        let wanted = wanted(desired);
        let observe = |function: &DesiredFunction| {
            let (state, error) = match wanted.get(&function.name) {
                Some(first) if first.digest != function.digest => (
                    FunctionState::Failed,
                    Some("name-conflict: another version of this function runs here".to_owned()),
                ),
                _ => self.state_of(function),
            };
            ObservedFunction {
                lease: function.lease,
                digest: function.digest,
                state,
                error: error.map(|e| e.chars().take(MAX_ERROR).collect()),
                in_flight: self.loads.in_flight(function),
                oldest_wait_ms: self.loads.oldest_wait_ms(function),
            }
        };
        desired.functions.iter().map(observe).collect()
    }

    fn state_of(&self, function: &DesiredFunction) -> (FunctionState, Option<String>) {
        let load = load(function);
        let earlier = self.try_of(&load).filter(|t| t.worked.is_none());
        let failure = earlier.map(|t| format!("{}: {}", t.failure.code, t.failure.message));
        if self.serves(function) {
            return (FunctionState::Ready, None);
        }
        let given_up = earlier
            .is_some_and(|t| t.failure.kind != FailureKind::Transient || t.failures >= PATIENCE);
        if given_up {
            (FunctionState::Failed, failure)
        } else {
            (FunctionState::Loading, failure)
        }
    }

    fn serves(&self, function: &DesiredFunction) -> bool {
        let statuses = self.actual.as_ref().and_then(|a| a.get(&function.name));
        statuses
            .into_iter()
            .flatten()
            .any(|status| status.digest == function.digest && status.state == FunctionState::Ready)
    }

    /// Counts a wanted function that failed inside the enclave, once a failure; forgives one that has run for long.
    fn note_health(&mut self, status: &FunctionStatus, now: Instant) {
        let of_this = |desired: &Arc<DesiredState>| {
            let function = wanted(desired).get(&status.name).copied();
            function.filter(|f| f.digest == status.digest).map(load)
        };
        let Some(load) = self.desired.as_ref().and_then(of_this) else {
            return;
        };
        match (status.state, self.try_of(&load)) {
            (
                FunctionState::Failed,
                None
                | Some(Try {
                    worked: Some(_), ..
                }),
            ) => {
                let text = status.error.as_deref().unwrap_or("failed in the enclave");
                let (code, message) = text.split_once(": ").unwrap_or(("function-failed", text));
                let failure = Failure {
                    code: code.to_owned(),
                    message: message.to_owned(),
                    kind: FailureKind::Crashed,
                };
                note_failure(&mut self.tries, load, failure, now);
            }
            (
                FunctionState::Ready,
                Some(Try {
                    worked: Some(at), ..
                }),
            ) if now.duration_since(*at) >= FORGIVEN => {
                self.tries.remove(&status.name);
            }
            _ => {}
        }
    }

    fn try_of(&self, action: &Action) -> Option<&Try> {
        self.tries
            .get(action.name())
            .filter(|t| t.action == *action)
    }

    /// The actions that separate actual from desired, without those that run, and of those that failed before only the
    /// ones whose time `may` come.
    fn due(&self, may: impl Fn(Instant) -> bool) -> Vec<Action> {
        // Before both sides are known, doing nothing is the only safe thing.
        let (Some(desired), Some(actual)) = (&self.desired, &self.actual) else {
            return Vec::new();
        };
        decide(&wanted(desired), actual)
            .into_iter()
            .filter(|action| !self.busy.contains_key(action.name()))
            .filter(|action| self.try_of(action).is_none_or(|t| may(t.not_before)))
            .collect()
    }
}

/// The difference between what is wanted and what is, as actions.
fn decide(wanted: &BTreeMap<&FunctionName, &DesiredFunction>, actual: &Actual) -> Vec<Action> {
    let unload = actual
        .keys()
        .filter(|name| !wanted.contains_key(name))
        .map(|name| Action::Unload { name: name.clone() });
    let load = wanted
        .values()
        .filter(|function| {
            let statuses = actual.get(&function.name).into_iter().flatten();
            !statuses
                .filter(|status| status.digest == function.digest)
                .any(|status| status.state != FunctionState::Failed && bills(status, function))
        })
        .map(|function| load(function));
    // Memory is freed before it is filled.
    unload.chain(load).collect()
}

/// Whether it is billed to the function's lease. One that is still loading was put with the lease of its time, which it tells
/// when it serves.
fn bills(status: &FunctionStatus, function: &DesiredFunction) -> bool {
    status.lease.is_none_or(|lease| lease == function.lease)
}

fn load(function: &DesiredFunction) -> Action {
    Action::Load {
        name: function.name.clone(),
        digest: function.digest,
        lease: function.lease,
    }
}

/// One version a name: the first that is listed.
fn wanted(desired: &DesiredState) -> BTreeMap<&FunctionName, &DesiredFunction> {
    let mut wanted = BTreeMap::new();
    for function in &desired.functions {
        wanted.entry(&function.name).or_insert(function);
    }
    wanted
}

fn note_failure(
    tries: &mut BTreeMap<FunctionName, Try>,
    action: Action,
    failure: Failure,
    now: Instant,
) {
    let earlier = tries.get(action.name()).filter(|t| t.action == action);
    let failures = earlier.map_or(0, |t| t.failures);
    let entry = Try {
        not_before: now + failure.kind.delay(failures),
        failures: failures + 1,
        worked: None,
        action: action.clone(),
        failure,
    };
    tries.insert(action.name().clone(), entry);
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
