//! What a [`Health`](super::Health) is told, and what it says.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How patient a supervisor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long a launched enclave may take until it answers for the first time.
    pub first_answer: Duration,
    /// Without an answer for this long, and to several questions, a running enclave counts as hung. The questions'
    /// rhythm and deadlines follow from it.
    pub hung_after: Duration,
    /// Between two fresh attestation documents.
    pub attest_every: Duration,
    /// Without a fresh document for this long an enclave is of no use: DESIGN §3.1 lets it sign nothing by then.
    pub stale_after: Duration,
}

impl Timing {
    /// Between an answer and the next question, give or take a quarter.
    pub(super) fn every(&self) -> Duration {
        self.hung_after / 4
    }

    /// Between an unanswered question and the next.
    pub(super) fn retry(&self) -> Duration {
        self.hung_after / 20
    }

    /// How long one question may take.
    pub fn answer_within(&self) -> Duration {
        self.hung_after / 4
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            first_answer: Duration::from_secs(60),
            hung_after: Duration::from_secs(20),
            attest_every: Duration::from_secs(60),
            stale_after: Duration::from_secs(180),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The time that [`Health::wakes_at`](super::Health::wakes_at) named has come. Harmless at any other time.
    Tick,
    /// The launch that was asked for brought an enclave.
    Launched,
    /// It brought none, and nothing of it is left.
    LaunchFailed {
        /// Whether the same will happen again until a person does something.
        lasting: bool,
    },
    /// The answer to [`Action::Probe`] of this launch, or that there was none.
    Probed {
        /// Which launch was asked.
        launch: u64,
        /// Whether it answered in time.
        answered: bool,
    },
    /// The answer to [`Action::Attest`] of this launch, or that there was none.
    Attested {
        /// Which launch was asked.
        launch: u64,
        /// Whether it brought a fresh document in time.
        answered: bool,
    },
    /// The enclave ended by itself; what is left of it is being cleared.
    Ended,
    /// Nothing is left of the enclave.
    Cleared,
    /// There shall be no enclave any more.
    Stop,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Launch an enclave; [`Event::Launched`] or [`Event::LaunchFailed`] follows.
    Launch(u64),
    /// Ask it whether it is there; [`Event::Probed`] follows within [`Timing::answer_within`].
    Probe(u64),
    /// Ask it for fresh evidence; [`Event::Attested`] follows.
    Attest(u64),
    /// Let callers see it.
    Open,
    /// Callers no longer see it.
    Close,
    /// End it, or the launch that is under way; [`Event::Cleared`] follows.
    End,
    /// Write down that and why it ended.
    Report(Cause),
    /// Nothing runs and nothing will.
    Finish {
        /// Whether that is so because no enclave ever came up.
        gave_up: bool,
    },
}

/// Why an enclave is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It could not be launched.
    LaunchFailed,
    /// It was launched and never answered.
    NeverAnswered,
    /// It ended by itself.
    Ended,
    /// It ran and no longer answered.
    Hung,
    /// It answered, but brought no fresh attestation document for too long.
    AttestationStale,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::LaunchFailed,
        Self::NeverAnswered,
        Self::Ended,
        Self::Hung,
        Self::AttestationStale,
    ];

    /// Stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::LaunchFailed => "launch-failed",
            Self::NeverAnswered => "never-answered",
            Self::Ended => "ended",
            Self::Hung => "hung",
            Self::AttestationStale => "attestation-stale",
        }
    }
}
