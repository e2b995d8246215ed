//! When an enclave is launched, shown to callers, given up and launched again: a pure state machine.
//!
//! It is told what happened and what time it is, and says what to do; [`crate::supervisor`] does it. What it holds to,
//! whatever happens in whatever order (`health/tests.rs`):
//!
//! - There is never more than one enclave, and none is launched before the last one's remains are cleared.
//! - Callers see an enclave only after it has answered on its control channel, and never again once it is given up.
//! - An enclave that stops answering without ending is given up within twice [`Timing::hung_after`]: by questions that
//!   each had their own deadline, so that a host that slept does not blame the enclave for it.
//! - Launches are apart by a growing, jittered delay that a long healthy run makes small again.
//! - Every end that was not asked for is reported once.

mod words;

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::RestartDelay;

pub use words::{Action, Cause, Event, Timing};

/// How often the very first enclave may fail to come up before the node gives up: a wrong path or library does not
/// mend itself.
pub const FIRST_TRIES: u64 = 3;
/// Questions in a row that must go unanswered before an enclave is given up.
const MISSES: u32 = 3;
/// Between questions to an enclave that has just been launched.
const KNOCK: Duration = Duration::from_millis(50);

/// The machine.
#[derive(Debug, Clone)]
pub struct Health {
    timing: Timing,
    jitter: Jitter,
    delay: RestartDelay,
    state: State,
    launches: u64,
    ever_served: bool,
    lasting: bool,
    stopping: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Waiting {
        launch_at: Instant,
    },
    Launching,
    Booting {
        since: Instant,
        probe: Question,
    },
    Serving {
        since: Instant,
        probe: Question,
        attest: Question,
    },
    /// What ran is being ended or cleared.
    Ending {
        lasted: Duration,
    },
    Finished,
}

/// A question that is put again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Question {
    /// When to put it; `None` while an answer is awaited.
    next: Option<Instant>,
    answered: Instant,
    misses: u32,
}

impl Question {
    fn first(next: Instant, now: Instant) -> Self {
        Self {
            next: Some(next),
            answered: now,
            misses: 0,
        }
    }

    fn due(&mut self, now: Instant) -> bool {
        let due = self.next.is_some_and(|next| next <= now);
        if due {
            self.next = None;
        }
        due
    }

    fn note(&mut self, answered: bool, now: Instant, after: Duration, retry: Duration) {
        if answered {
            *self = Self::first(now + after, now);
        } else {
            self.misses = self.misses.saturating_add(1);
            self.next = Some(now + retry);
        }
    }

    /// When it has gone unanswered for `patience`; not before it has been put several times.
    fn lost_at(&self, patience: Duration) -> Option<Instant> {
        (self.misses >= MISSES).then(|| self.answered + patience)
    }
}

impl Health {
    /// Nothing runs; the first launch is due now. `seed` makes the jitter.
    pub fn new(timing: Timing, seed: u64, now: Instant) -> Self {
        Self {
            timing,
            jitter: Jitter(seed),
            delay: RestartDelay::new(),
            state: State::Waiting { launch_at: now },
            launches: 0,
            ever_served: false,
            lasting: false,
            stopping: false,
        }
    }

    /// When to send [`Event::Tick`] if nothing else happens before.
    pub fn wakes_at(&self) -> Option<Instant> {
        let timing = &self.timing;
        match &self.state {
            State::Waiting { launch_at } => Some(*launch_at),
            State::Booting { since, probe } => {
                earliest([Some(*since + timing.first_answer), probe.next])
            }
            State::Serving { probe, attest, .. } => earliest([
                probe.next,
                attest.next,
                probe.lost_at(timing.hung_after),
                attest.lost_at(timing.stale_after),
            ]),
            State::Launching | State::Ending { .. } | State::Finished => None,
        }
    }

    /// Whether it was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// What to do about something that happened.
    pub fn on(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => {}
            Event::Launched => self.launched(now),
            Event::LaunchFailed { lasting } => self.launch_failed(lasting, now, &mut actions),
            Event::Probed { launch, answered } if launch == self.launches => {
                self.probed(answered, now, &mut actions);
            }
            Event::Attested { launch, answered } if launch == self.launches => {
                self.attested(answered, now);
            }
            // Of a launch that is no more.
            Event::Probed { .. } | Event::Attested { .. } => {}
            Event::Ended => self.ended(now, &mut actions),
            Event::Cleared => self.cleared(now, &mut actions),
            Event::Stop => self.stop(now, &mut actions),
        }
        self.act_on_time(now, &mut actions);
        actions
    }

    fn launched(&mut self, now: Instant) {
        if self.state == State::Launching {
            let probe = Question::first(now, now);
            self.state = State::Booting { since: now, probe };
        }
    }

    fn launch_failed(&mut self, lasting: bool, now: Instant, actions: &mut Vec<Action>) {
        match self.state {
            State::Launching => {
                actions.push(Action::Report(Cause::LaunchFailed));
                self.lasting = lasting;
                self.after_a_run(Duration::ZERO, now, actions);
            }
            // It was being ended anyway.
            State::Ending { lasted } => self.after_a_run(lasted, now, actions),
            _ => {}
        }
    }

    fn probed(&mut self, answered: bool, now: Instant, actions: &mut Vec<Action>) {
        let (every, retry) = (self.jitter.around(self.timing.every()), self.timing.retry());
        match &mut self.state {
            State::Booting { probe, .. } if !answered => probe.note(false, now, every, KNOCK),
            State::Booting { .. } => {
                let first_document = self.jitter.around(self.timing.attest_every);
                self.ever_served = true;
                self.state = State::Serving {
                    since: now,
                    probe: Question::first(now + every, now),
                    attest: Question::first(now + first_document, now),
                };
                actions.push(Action::Open);
            }
            State::Serving { probe, .. } => probe.note(answered, now, every, retry),
            _ => {}
        }
    }

    fn attested(&mut self, answered: bool, now: Instant) {
        let every = self.jitter.around(self.timing.attest_every);
        if let State::Serving { attest, .. } = &mut self.state {
            attest.note(answered, now, every, self.timing.attest_every / 4);
        }
    }

    fn ended(&mut self, now: Instant, actions: &mut Vec<Action>) {
        match self.state {
            State::Booting { .. } => {}
            State::Serving { .. } => actions.push(Action::Close),
            _ => return,
        }
        actions.push(Action::Report(Cause::Ended));
        self.state = State::Ending {
            lasted: self.lasted(now),
        };
    }

    fn cleared(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if let State::Ending { lasted } = self.state {
            self.after_a_run(lasted, now, actions);
        }
    }

    fn stop(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.stopping = true;
        match self.state {
            State::Waiting { .. } => self.finish(false, actions),
            State::Launching | State::Booting { .. } => self.end(now, actions),
            State::Serving { .. } => {
                actions.push(Action::Close);
                self.end(now, actions);
            }
            State::Ending { .. } | State::Finished => {}
        }
    }

    fn act_on_time(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let (timing, launch) = (self.timing, self.launches);
        let lost =
            |question: &Question, patience| question.lost_at(patience).is_some_and(|at| at <= now);
        match &mut self.state {
            State::Waiting { launch_at } if *launch_at <= now => {
                self.launches += 1;
                self.state = State::Launching;
                actions.push(Action::Launch(self.launches));
            }
            State::Booting { since, .. } if *since + timing.first_answer <= now => {
                actions.push(Action::Report(Cause::NeverAnswered));
                self.end(now, actions);
            }
            State::Booting { probe, .. } => {
                actions.extend(probe.due(now).then_some(Action::Probe(launch)));
            }
            State::Serving { probe, attest, .. } => {
                let cause = if lost(probe, timing.hung_after) {
                    Cause::Hung
                } else if lost(attest, timing.stale_after) {
                    Cause::AttestationStale
                } else {
                    if probe.due(now) {
                        actions.push(Action::Probe(launch));
                    }
                    if attest.due(now) {
                        actions.push(Action::Attest(launch));
                    }
                    return;
                };
                actions.extend([Action::Close, Action::Report(cause)]);
                self.end(now, actions);
            }
            _ => {}
        }
    }

    fn end(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let lasted = self.lasted(now);
        self.state = State::Ending { lasted };
        actions.push(Action::End);
    }

    /// How long callers could see the enclave.
    fn lasted(&self, now: Instant) -> Duration {
        match self.state {
            State::Serving { since, .. } => now.duration_since(since),
            _ => Duration::ZERO,
        }
    }

    fn after_a_run(&mut self, lasted: Duration, now: Instant, actions: &mut Vec<Action>) {
        let hopeless = !self.ever_served && (self.lasting || self.launches >= FIRST_TRIES);
        if self.stopping || hopeless {
            self.finish(!self.stopping, actions);
        } else {
            let delay = self.delay.after_run(lasted, self.jitter.share());
            self.state = State::Waiting {
                launch_at: now + delay,
            };
        }
    }

    fn finish(&mut self, gave_up: bool, actions: &mut Vec<Action>) {
        self.state = State::Finished;
        actions.push(Action::Finish { gave_up });
    }
}

fn earliest<const N: usize>(times: [Option<Instant>; N]) -> Option<Instant> {
    times.into_iter().flatten().min()
}

/// Numbers that only have to differ between nodes (splitmix64).
#[derive(Debug, Clone)]
struct Jitter(u64);

impl Jitter {
    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let top = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(u32::MAX);
        f64::from(top) / f64::from(u32::MAX)
    }

    /// The duration, give or take a quarter.
    fn around(&mut self, duration: Duration) -> Duration {
        duration.mul_f64(0.75 + self.share() / 2.0)
    }
}

#[cfg(test)]
mod tests;
