//! The machine in a world where time is a number: enclaves that come or do not, answer, hang, end, and lose their NSM.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// How one launch goes. Times are milliseconds since the step before.
#[derive(Debug, Clone)]
struct Life {
    launch_takes: u64,
    comes: bool,
    /// Until it answers; `None`: never.
    wakes_after: Option<u64>,
    answers_in: u64,
    /// Since it first answered.
    until: u64,
    fate: Fate,
    clearing_takes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Ends,
    Hangs,
    LosesItsNsm,
}

const TIMING: Timing = Timing {
    first_answer: Duration::from_secs(60),
    hung_after: Duration::from_secs(20),
    attest_every: Duration::from_secs(60),
    stale_after: Duration::from_secs(180),
};
const QUESTION_TO_NSM: Duration = Duration::from_secs(10);

struct World {
    health: Health,
    now: Instant,
    queue: BTreeMap<(Instant, u64), Event>,
    pushed: u64,
    lives: Vec<Life>,
    launch: u64,
    phase: Phase,
    open: bool,
    asked: (bool, bool),
    reported: Vec<(u64, Cause)>,
    stopped: bool,
    finished: Option<bool>,
    /// When the last enclave was cleared, and how long callers could see it.
    cleared: Option<(Instant, Duration)>,
    gaps: Vec<(Duration, Duration)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
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

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl World {
    fn new(lives: Vec<Life>, seed: u64) -> Self {
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

    fn life(&self) -> &Life {
        &self.lives[(self.launch as usize - 1) % self.lives.len()]
    }

    fn push(&mut self, after: Duration, event: Event) {
        self.pushed += 1;
        self.queue.insert((self.now + after, self.pushed), event);
    }

    /// Lives for so long; true when the machine has finished.
    fn run(&mut self, time: Duration) -> bool {
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

    fn happen(&mut self, event: Event) {
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

    fn clear(&mut self) {
        let lasted = match self.phase {
            Phase::Running { first, .. } => first.map_or(Duration::ZERO, |at| self.now - at),
            _ => Duration::ZERO,
        };
        self.phase = Phase::Ending { lasted };
        let takes = self.life().clearing_takes;
        self.push(ms(takes), Event::Cleared);
    }

    fn tell(&mut self, event: Event) {
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

    fn obey(&mut self, action: Action) {
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
    fn answers(&self, with_a_document: bool) -> bool {
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
    fn judge(&mut self, cause: Cause) {
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

    fn stop(&mut self) {
        self.stopped = true;
        self.tell(Event::Stop);
    }
}

fn life() -> impl Strategy<Value = Life> {
    let fate = prop_oneof![
        3 => Just(Fate::Ends),
        2 => Just(Fate::Hangs),
        1 => Just(Fate::LosesItsNsm),
    ];
    (
        0u64..5_000,
        prop::bool::weighted(0.8),
        prop::option::weighted(0.9, 0u64..70_000),
        0u64..4_900,
        prop_oneof![0u64..2_000, 0u64..600_000],
        fate,
        0u64..6_000,
    )
        .prop_map(
            |(launch_takes, comes, wakes_after, answers_in, until, fate, clearing_takes)| Life {
                launch_takes,
                comes,
                wakes_after,
                answers_in,
                until,
                fate,
                clearing_takes,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The promises of the module's head, at every step of every history.
    #[test]
    fn whatever_enclaves_do_the_promises_hold(
        lives in prop::collection::vec(life(), 1..8),
        seed in any::<u64>(),
        runs in 1u64..3_000_000,
    ) {
        let mut world = World::new(lives, seed);
        if !world.run(ms(runs)) {
            world.stop();
            // Whatever goes on is ended, and the end of it waited for.
            prop_assert!(world.run(ms(6_001)), "{:?}", world.phase);
        }
        for (lasted, gap) in &world.gaps {
            prop_assert!(*gap <= ms(5_000));
            prop_assert!(*lasted < RestartDelay::HEALTHY || gap.is_zero());
        }
        // The first failure after a healthy run is answered at once, the next ones ever later.
        for pair in world.gaps.windows(2) {
            if pair.iter().all(|(lasted, _)| *lasted < RestartDelay::HEALTHY) {
                prop_assert!(pair[1].1 >= ms(100));
            }
        }
    }

    /// Events that no world would send do no harm either.
    #[test]
    fn any_order_of_events_is_survived(
        events in prop::collection::vec((0u8..10, any::<bool>(), 0u64..30_000), 0..200),
    ) {
        let mut now = Instant::now();
        let mut health = Health::new(TIMING, 1, now);
        let mut launches = 0;
        for (kind, answered, after) in events {
            now += ms(after);
            let launch = launches;
            let event = match kind {
                0 => Event::Launched,
                1 => Event::LaunchFailed { lasting: answered },
                2..4 => Event::Probed { launch, answered },
                4 => Event::Attested { launch, answered },
                5 => Event::Ended,
                6 => Event::Cleared,
                7 if after < 1_000 => Event::Stop,
                _ => Event::Tick,
            };
            for action in health.on(event, now) {
                if let Action::Launch(number) = action {
                    prop_assert_eq!(number, launches + 1);
                    launches = number;
                }
            }
            prop_assert!(health.wakes_at().is_none_or(|at| at > now));
        }
    }
}

fn one(life: &Life) -> World {
    World::new(vec![life.clone()], 7)
}

const GOOD: Life = Life {
    launch_takes: 500,
    comes: true,
    wakes_after: Some(1_000),
    answers_in: 10,
    until: u64::MAX / 2,
    fate: Fate::Hangs,
    clearing_takes: 100,
};

#[test]
fn a_hung_enclave_is_replaced_and_a_living_one_never() {
    let mut world = one(&GOOD);
    assert!(!world.run(Duration::from_secs(24 * 3600)));
    assert_eq!((world.launch, world.reported.len()), (1, 0));

    let mut world = one(&Life {
        until: 100_000,
        ..GOOD
    });
    assert!(!world.run(Duration::from_secs(600)));
    assert!(
        world
            .reported
            .iter()
            .all(|(_, cause)| *cause == Cause::Hung)
    );
    // 1.5 s of launch, 100 s of life, at most 40 s until it is noticed.
    assert!(
        (4..=6).contains(&world.reported.len()),
        "{}",
        world.reported.len()
    );
}

#[test]
fn what_never_worked_is_given_up_and_what_once_worked_never() {
    for hopeless in [
        Life {
            comes: false,
            ..GOOD
        },
        Life {
            wakes_after: None,
            ..GOOD
        },
    ] {
        let mut world = one(&hopeless);
        assert!(world.run(Duration::from_secs(1000)));
        assert_eq!((world.finished, world.launch), (Some(true), FIRST_TRIES));
    }
    let lives = vec![
        Life {
            until: 1,
            fate: Fate::Ends,
            ..GOOD
        },
        Life {
            comes: false,
            ..GOOD
        },
    ];
    let mut world = World::new(lives, 7);
    assert!(!world.run(Duration::from_secs(1000)));
    assert!(world.launch > 100);
}

#[test]
fn what_cannot_mend_itself_is_tried_once() {
    let now = Instant::now();
    let mut health = Health::new(TIMING, 1, now);
    assert_eq!(health.on(Event::Tick, now), [Action::Launch(1)]);
    let actions = health.on(Event::LaunchFailed { lasting: true }, now);
    assert_eq!(actions.last(), Some(&Action::Finish { gave_up: true }));
}
