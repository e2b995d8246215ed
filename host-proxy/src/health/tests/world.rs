//! The world in which the promises are tried: time is a number, and everything that an enclave may do has a place in it.

use std::collections::BTreeMap;

use super::super::*;

/// How one launch goes. Times are milliseconds since the step before.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) launch_takes: u64,
    pub(super) comes: bool,
    /// Until it answers; `None`: never.
    pub(super) wakes_after: Option<u64>,
    pub(super) answers_in: u64,
    /// Since it first answered.
    pub(super) until: u64,
    pub(super) fate: Fate,
    pub(super) clearing_takes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Ends,
    Hangs,
    LosesItsNsm,
}

pub(super) const TIMING: Timing = Timing {
    first_answer: Duration::from_secs(60),
    hung_after: Duration::from_secs(20),
    attest_every: Duration::from_secs(60),
    stale_after: Duration::from_secs(180),
};
pub(super) const QUESTION_TO_NSM: Duration = Duration::from_secs(10);

pub(super) struct World {
    pub(super) health: Health,
    pub(super) now: Instant,
    pub(super) queue: BTreeMap<(Instant, u64), Event>,
    pub(super) pushed: u64,
    pub(super) lives: Vec<Life>,
    pub(super) launch: u64,
    pub(super) phase: Phase,
    pub(super) open: bool,
    pub(super) asked: (bool, bool),
    pub(super) reported: Vec<(u64, Cause)>,
    pub(super) stopped: bool,
    pub(super) finished: Option<bool>,
    /// When the last enclave was cleared, and how long callers could see it.
    pub(super) cleared: Option<(Instant, Duration)>,
    pub(super) gaps: Vec<(Duration, Duration)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Nothing,
    Launching,
    /// Since when it runs, when it first answered, and when last.
    Running {
        since: Instant,
        first: Option<Instant>,
        last: Instant,
        document: Instant,
    },
    Ending {
        lasted: Duration,
    },
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl World {
    pub(super) fn new(lives: Vec<Life>, seed: u64) -> Self {
        let now = Instant::now();
        Self {
            health: Health::new(TIMING, seed, now),
            now,
            queue: BTreeMap::new(),
            pushed: 0,
            lives,
            launch: 0,
            phase: Phase::Nothing,
            open: false,
            asked: (false, false),
            reported: Vec::new(),
            stopped: false,
            finished: None,
            cleared: None,
            gaps: Vec::new(),
        }
    }

    pub(super) fn life(&self) -> &Life {
        &self.lives[(self.launch as usize - 1) % self.lives.len()]
    }

    pub(super) fn push(&mut self, after: Duration, event: Event) {
        self.pushed += 1;
        self.queue.insert((self.now + after, self.pushed), event);
    }

    /// Lives for so long; true when the machine has finished.
    pub(super) fn run(&mut self, time: Duration) -> bool {
        let end = self.now + time;
        self.tell(Event::Tick);
        while self.finished.is_none() {
            let wakes = self.health.wakes_at();
            let happens = self.queue.keys().next().map(|(at, _)| *at);
            let Some(next) = wakes.into_iter().chain(happens).min() else {
                panic!("nothing will ever happen: {:?}", self.phase);
            };
            if next > end {
                self.now = end;
                return false;
            }
            self.now = next;
            if happens == Some(next) {
                let (_, event) = self.queue.pop_first().unwrap();
                self.happen(event);
            } else {
                self.tell(Event::Tick);
            }
        }
        true
    }

    pub(super) fn happen(&mut self, event: Event) {
        match (event, &mut self.phase) {
            (Event::Launched, phase @ Phase::Launching) => {
                *phase = Phase::Running {
                    since: self.now,
                    first: None,
                    last: self.now,
                    document: self.now,
                };
            }
            (Event::LaunchFailed { .. }, phase) => {
                *phase = Phase::Nothing;
                self.cleared = Some((self.now, Duration::ZERO));
            }
            (Event::Probed { answered, launch }, phase) if launch == self.launch => {
                self.asked.0 = false;
                if let Phase::Running {
                    first,
                    last,
                    document,
                    ..
                } = phase
                    && answered
                {
                    *last = self.now;
                    if first.is_none() {
                        (*first, *document) = (Some(self.now), self.now);
                        let life = self.life().clone();
                        if life.fate == Fate::Ends {
                            self.push(ms(life.until), Event::Ended);
                        }
                    }
                }
            }
            (Event::Attested { answered, launch }, phase) if launch == self.launch => {
                self.asked.1 = false;
                if let Phase::Running { document, .. } = phase
                    && answered
                {
                    *document = self.now;
                }
            }
            (Event::Ended, Phase::Running { .. }) => self.clear(),
            // Was ended before it could end.
            (Event::Ended, _) => return,
            (Event::Cleared, Phase::Ending { lasted }) => {
                self.cleared = Some((self.now, *lasted));
                self.phase = Phase::Nothing;
            }
            _ => {}
        }
        self.tell(event);
    }

    pub(super) fn clear(&mut self) {
        let lasted = match self.phase {
            Phase::Running { first, .. } => first.map_or(Duration::ZERO, |at| self.now - at),
            _ => Duration::ZERO,
        };
        self.phase = Phase::Ending { lasted };
        let takes = self.life().clearing_takes;
        self.push(ms(takes), Event::Cleared);
    }

    pub(super) fn tell(&mut self, event: Event) {
        let actions = self.health.on(event, self.now);
        for action in actions {
            self.obey(action);
        }
        if let Some(at) = self.health.wakes_at() {
            assert!(at > self.now, "a clock that never advances");
        }
        if let (true, Phase::Running { last, .. }) = (self.open, self.phase) {
            assert!(
                self.now - last <= 2 * TIMING.hung_after,
                "a hung one is shown"
            );
        }
    }

    pub(super) fn obey(&mut self, action: Action) {
        match action {
            Action::Launch(number) => {
                assert_eq!((self.phase, self.stopped), (Phase::Nothing, false));
                assert_eq!(number, self.launch + 1);
                if let Some((at, lasted)) = self.cleared {
                    self.gaps.push((lasted, self.now - at));
                }
                (self.launch, self.phase) = (number, Phase::Launching);
                self.asked = (false, false);
                let life = self.life().clone();
                let event = if life.comes {
                    Event::Launched
                } else {
                    Event::LaunchFailed { lasting: false }
                };
                self.push(ms(life.launch_takes), event);
            }
            Action::Probe(number) => {
                assert_eq!((number, self.asked.0), (self.launch, false));
                self.asked.0 = true;
                let answered = self.answers(false);
                let takes = if answered {
                    ms(self.life().answers_in)
                } else {
                    TIMING.answer_within()
                };
                self.push(
                    takes,
                    Event::Probed {
                        launch: number,
                        answered,
                    },
                );
            }
            Action::Attest(number) => {
                assert_eq!((number, self.asked.1), (self.launch, false));
                self.asked.1 = true;
                let answered = self.answers(true);
                let takes = if answered {
                    ms(self.life().answers_in)
                } else {
                    QUESTION_TO_NSM
                };
                self.push(
                    takes,
                    Event::Attested {
                        launch: number,
                        answered,
                    },
                );
            }
            Action::Open => {
                let answered = matches!(self.phase, Phase::Running { first: Some(_), .. });
                assert!(answered && !self.open && !self.stopped);
                self.open = true;
            }
            Action::Close => assert!(std::mem::take(&mut self.open)),
            Action::End => {
                assert!(!self.open, "callers are led away first");
                match self.phase {
                    Phase::Launching => {
                        self.queue.retain(|_, e| {
                            !matches!(e, Event::Launched | Event::LaunchFailed { .. })
                        });
                    }
                    Phase::Running { .. } => {}
                    other => panic!("nothing to end: {other:?}"),
                }
                self.clear();
            }
            Action::Report(cause) => self.judge(cause),
            Action::Finish { gave_up } => {
                assert_eq!(self.phase, Phase::Nothing);
                assert!(!self.open && gave_up != self.stopped);
                self.finished = Some(gave_up);
            }
        }
    }

    /// Whether it answers a question put now.
    pub(super) fn answers(&self, with_a_document: bool) -> bool {
        let life = self.life();
        let Phase::Running { since, first, .. } = self.phase else {
            return false;
        };
        let awake = life
            .wakes_after
            .is_some_and(|after| self.now >= since + ms(after));
        let over = first.is_some_and(|first| self.now >= first + ms(life.until));
        awake
            && match life.fate {
                Fate::Ends => true,
                Fate::Hangs => !over,
                Fate::LosesItsNsm => !(over && with_a_document),
            }
    }

    /// Whether the report is true.
    pub(super) fn judge(&mut self, cause: Cause) {
        assert!(!self.stopped, "an end that was asked for is no crash");
        assert!(
            self.reported
                .iter()
                .all(|(launch, _)| *launch != self.launch)
        );
        self.reported.push((self.launch, cause));
        let life = self.life();
        match (cause, self.phase) {
            (Cause::LaunchFailed, _) => assert!(!life.comes),
            (Cause::Ended, _) => assert_eq!(life.fate, Fate::Ends),
            (Cause::NeverAnswered, Phase::Running { since, first, .. }) => {
                assert!(first.is_none() && self.now - since >= TIMING.first_answer);
            }
            (Cause::Hung, Phase::Running { last, .. }) => {
                assert_eq!(life.fate, Fate::Hangs);
                assert!(self.now - last >= TIMING.hung_after);
            }
            (Cause::AttestationStale, Phase::Running { document, .. }) => {
                assert_eq!(life.fate, Fate::LosesItsNsm);
                let age = self.now - document;
                assert!(age >= TIMING.stale_after && age <= 2 * TIMING.stale_after);
            }
            (cause, phase) => panic!("{cause:?} while {phase:?}"),
        }
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
        self.tell(Event::Stop);
    }
}
