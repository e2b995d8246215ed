//! The faults in force, shared by those who set them and those who show them.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::module::Verdict;
use super::{Fault, Timed};
use crate::nsm::{ErrorCode, Operation};
use crate::vsock::wire::{Loss, Which, WireFault};

/// How many faults may be in force at once.
const MOST: usize = 256;

/// A handle on the faults in force; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    active: Mutex<Vec<Active>>,
    changed: watch::Sender<u64>,
}

/// What shall be wrong with the machine itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enclave {
    /// It stands still.
    pub paused: bool,
    /// It shall be gone.
    pub killed: bool,
}

#[derive(Debug)]
struct Active {
    fault: Fault,
    from_file: bool,
    since: Instant,
    until: Option<Instant>,
    /// How many requests it might have hit.
    seen: u64,
}

impl Faults {
    /// None yet.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds one, beginning now. False, and nothing changes, when too many are in force.
    pub fn add(&self, fault: Timed) -> bool {
        let mut active = self.lock();
        let room = active.len() < MOST;
        if room {
            active.push(Active::new(fault, false));
        }
        drop(active);
        self.tell();
        room
    }

    /// Replaces all that came from the file. One that the file had before goes on as it was.
    pub fn replace_file(&self, faults: Vec<Timed>) {
        let mut active = self.lock();
        let mut wanted: Vec<Option<Timed>> = faults.into_iter().take(MOST).map(Some).collect();
        active.retain(|old| {
            !old.from_file
                || wanted
                    .iter_mut()
                    .find(|new| new.as_ref().is_some_and(|new| old.is(new)))
                    .is_some_and(|new| new.take().is_some())
        });
        let new = wanted.into_iter().flatten();
        active.extend(new.map(|fault| Active::new(fault, true)));
        drop(active);
        self.tell();
    }

    /// Ends all that came by command.
    pub fn clear(&self) {
        self.lock().retain(|active| active.from_file);
        self.tell();
    }

    /// What is in force now, in the order of arrival.
    #[must_use]
    pub fn current(&self) -> Vec<Fault> {
        let active = self.lock();
        active.iter().map(|active| active.fault.clone()).collect()
    }

    /// What is wrong with connections now.
    #[must_use]
    pub fn wire(&self) -> Vec<WireFault> {
        let active = self.lock();
        active
            .iter()
            .filter_map(|active| active.fault.wire())
            .collect()
    }

    /// The connections to be lost at once, each time by the port they are to; they are told once.
    #[must_use]
    pub fn take_resets(&self) -> Vec<Loss> {
        let mut losses = Vec::new();
        self.lock().retain(|active| match active.fault {
            Fault::VsockReset { port } => {
                losses.push(Loss::All(Which { port }));
                false
            }
            _ => true,
        });
        losses
    }

    /// What is wrong with the machine now.
    #[must_use]
    pub fn enclave(&self) -> Enclave {
        let active = self.lock();
        Enclave {
            paused: active
                .iter()
                .any(|active| active.fault == Fault::EnclavePause {}),
            killed: active
                .iter()
                .any(|active| active.fault == Fault::EnclaveKill {}),
        }
    }

    /// When the next fault ends by itself.
    #[must_use]
    pub fn next_end(&self) -> Option<Instant> {
        self.lock().iter().filter_map(|active| active.until).min()
    }

    /// Becomes another number whenever faults are added or cleared (not when one ends by itself: [`Self::next_end`]).
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// What shall become of a request; counts it.
    pub(super) fn judge(&self, operation: Option<Operation>) -> (Verdict, Duration) {
        let mut verdict = Verdict::Serve;
        let mut latency = Duration::ZERO;
        let random = operation == Some(Operation::GetRandom);
        for active in self.lock().iter_mut() {
            let found = match active.fault {
                Fault::NsmLatency { by } => {
                    latency += by.duration();
                    None
                }
                Fault::NsmError {
                    code,
                    every,
                    operation: only,
                } => active
                    .hits(every, only, operation)
                    .then_some(Verdict::Refuse(code)),
                Fault::NsmSilence {
                    every,
                    operation: only,
                } => active
                    .hits(every, only, operation)
                    .then_some(Verdict::Silence),
                Fault::EntropyFailure {} => {
                    random.then_some(Verdict::Refuse(ErrorCode::InternalError))
                }
                Fault::EntropyConstant { byte } => random.then_some(Verdict::Constant(byte)),
                _ => None,
            };
            verdict = verdict.or(found);
        }
        (verdict, latency)
    }

    /// What the module takes for the time when it is `now_ms`.
    pub(super) fn stamp(&self, now_ms: u64) -> u64 {
        let mut stamp = i128::from(now_ms);
        for active in self.lock().iter() {
            match active.fault {
                Fault::ClockStep { by } => stamp += i128::from(by.millis()),
                Fault::ClockDrift { ppm } => {
                    let elapsed = active.since.elapsed().as_micros();
                    let elapsed = i128::try_from(elapsed).unwrap_or(i128::MAX >> 32);
                    stamp += elapsed * i128::from(ppm.get()) / 1_000_000_000;
                }
                _ => {}
            }
        }
        u64::try_from(stamp.max(0)).unwrap_or(u64::MAX)
    }

    /// The faults without those whose time is over.
    fn lock(&self) -> MutexGuard<'_, Vec<Active>> {
        let mut active = self.0.active.lock().unwrap_or_else(PoisonError::into_inner);
        if active.iter().any(|active| active.until.is_some()) {
            let now = Instant::now();
            active.retain(|active| active.until.is_none_or(|until| now < until));
        }
        active
    }

    fn tell(&self) {
        self.0.changed.send_modify(|count| *count += 1);
    }
}

impl Active {
    fn new(timed: Timed, from_file: bool) -> Self {
        let since = Instant::now();
        Self {
            fault: timed.fault,
            from_file,
            since,
            until: timed.lasts.map(|lasts| since + lasts.duration()),
            seen: 0,
        }
    }

    /// Whether it is what a file says again. One with an end has begun to run and begins anew.
    fn is(&self, timed: &Timed) -> bool {
        self.fault == timed.fault && self.until.is_none() && timed.lasts.is_none()
    }

    fn hits(
        &mut self,
        every: NonZeroU32,
        only: Option<Operation>,
        asked: Option<Operation>,
    ) -> bool {
        if only.is_some() && only != asked {
            return false;
        }
        self.seen += 1;
        self.seen.is_multiple_of(u64::from(every.get()))
    }
}
