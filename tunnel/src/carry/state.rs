//! What a tunnel does next: a state machine that knows neither sockets nor clocks.
//!
//! Two ways, each by itself: *inward* from caller to enclave, *outward* back. A way reads only when all that it read was
//! written, so that at most one load of bytes is on it, and an end or a reset that it reads stands after the last byte.
//!
//! | read on a way | what follows |
//! |---|---|
//! | end | the other side is told once that there is no more; the other way goes on (half-close) |
//! | reset | both sides are reset, once what the broken one had sent is written, and the survivor could read it |
//!
//! | a write fails because its side… | what follows |
//! |---|---|
//! | reads no more (`EPIPE`) | what the writer still sends is dropped; what that side sent before is still carried, and its end is an end |
//! | was reset | the same, but its end is a reset: the kernel tells of a reset only once, and here it told the writer |
//!
//! The last end is not told to the other side by itself: closing the sockets says it.

use std::time::Duration;

use tokio::time::Instant;

/// How long a silent connection is kept.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// No byte in either direction.
    pub idle: Duration,
    /// No byte in the direction that is left, after the other ended. Above the longest time a call may take.
    pub half_closed: Duration,
    /// Nothing is left to be carried, and the survivor of a broken connection still sends.
    pub linger: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(15 * 60),
            half_closed: nacre_protocol::manifest::MAX_TIMEOUT + Duration::from_secs(30),
            linger: Duration::from_millis(500),
        }
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both sides ended in order: both are to be closed.
    Closed,
    /// One side broke: both are to be reset.
    Broken,
    /// Silence: both are to be reset.
    Idle,
}

/// One of the two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Caller to enclave.
    Inward,
    /// Enclave to caller.
    Outward,
}

impl Way {
    fn back(self) -> Self {
        match self {
            Self::Inward => Self::Outward,
            Self::Outward => Self::Inward,
        }
    }
}

/// What a way wants done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Read from its source.
    Read,
    /// Write what was read.
    Write,
    /// Tell the sink that there is no more.
    Finish,
    /// Read from its source, and forget what came.
    Discard,
    /// Nothing.
    Nothing,
}

/// What was done, or came of trying to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// So many bytes were read; more than none.
    Read(usize),
    /// The source has ended.
    Ended,
    /// The source is broken.
    ReadFailed,
    /// So many of the bytes were written.
    Written(usize),
    /// The sink takes nothing more.
    WriteFailed(Failure),
    /// The sink was told that there is no more.
    Finished,
}

/// Why a write failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The sink reads no more.
    Gone,
    /// The sink was reset.
    Reset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Carries bytes.
    Copying,
    /// The source ended; the sink is to be told.
    Finishing,
    /// The sink is broken; what the source still sends is dropped.
    Discarding,
    /// The source is broken; the sink is left time to read what was written to it.
    Lingering,
    /// Nothing more will come.
    Done,
}

#[derive(Debug, Clone, Copy)]
struct OneWay {
    phase: Phase,
    /// Bytes that were read and not written yet.
    loaded: usize,
    /// Bytes written.
    moved: u64,
    /// Its source was reset, as a write to it said.
    source_was_reset: bool,
}

impl OneWay {
    const NEW: Self = Self {
        phase: Phase::Copying,
        loaded: 0,
        moved: 0,
        source_was_reset: false,
    };

    fn carries(&self) -> bool {
        matches!(self.phase, Phase::Copying | Phase::Finishing)
    }
}

/// The state of one connection.
#[derive(Debug, Clone)]
pub(crate) struct State {
    inward: OneWay,
    outward: OneWay,
    broken: bool,
    last_progress: Instant,
    patience: Patience,
}

impl State {
    /// Nothing was carried yet.
    pub(crate) fn new(patience: Patience, now: Instant) -> Self {
        Self {
            inward: OneWay::NEW,
            outward: OneWay::NEW,
            broken: false,
            last_progress: now,
            patience,
        }
    }

    /// What to do next on this way.
    pub(crate) fn wants(&self, way: Way) -> Want {
        let this = self.way(way);
        match this.phase {
            Phase::Copying if this.loaded > 0 => Want::Write,
            Phase::Copying => Want::Read,
            Phase::Finishing => Want::Finish,
            Phase::Discarding => Want::Discard,
            Phase::Lingering | Phase::Done => Want::Nothing,
        }
    }

    /// Takes note of what was done as this way wanted.
    pub(crate) fn on(&mut self, way: Way, event: Event, now: Instant) {
        let discards = self.way(way).phase == Phase::Discarding;
        match event {
            // What is dropped keeps nobody waiting.
            Event::Read(_) if discards => return,
            Event::Ended | Event::ReadFailed if discards => self.way_mut(way).phase = Phase::Done,
            Event::Read(bytes) => self.way_mut(way).loaded = bytes,
            Event::Ended if self.way(way).source_was_reset => self.source_broke(way),
            Event::Ended => self.source_ended(way),
            Event::ReadFailed => self.source_broke(way),
            Event::Written(bytes) => {
                let this = self.way_mut(way);
                this.loaded = this.loaded.saturating_sub(bytes);
                this.moved += bytes as u64;
            }
            Event::WriteFailed(failure) => self.sink_broke(way, failure),
            Event::Finished => self.way_mut(way).phase = Phase::Done,
        }
        self.last_progress = now;
    }

    fn source_ended(&mut self, way: Way) {
        let last = self.way(way.back()).phase == Phase::Done && !self.broken;
        self.way_mut(way).phase = if last { Phase::Done } else { Phase::Finishing };
    }

    /// A side that cannot be read cannot be written either; the reverse does not hold.
    fn source_broke(&mut self, way: Way) {
        self.broken = true;
        let survivor_ended = self.way(way.back()).phase == Phase::Done;
        let this = self.way_mut(way);
        this.phase = if survivor_ended && this.moved > 0 {
            Phase::Lingering
        } else {
            Phase::Done
        };
        self.give_up(way.back());
    }

    fn sink_broke(&mut self, way: Way, failure: Failure) {
        self.broken = true;
        self.give_up(way);
        self.way_mut(way.back()).source_was_reset |= failure == Failure::Reset;
    }

    /// Writes nothing more on this way.
    fn give_up(&mut self, way: Way) {
        let this = self.way_mut(way);
        this.loaded = 0;
        this.phase = match this.phase {
            Phase::Copying => Phase::Discarding,
            Phase::Finishing => Phase::Done,
            other => other,
        };
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<End> {
        let done = self.inward.phase == Phase::Done && self.outward.phase == Phase::Done;
        let how = if self.broken {
            End::Broken
        } else {
            End::Closed
        };
        done.then_some(how)
    }

    /// When patience ends, if nothing more happens.
    pub(crate) fn deadline(&self) -> Instant {
        let patience = match (self.inward.carries(), self.outward.carries()) {
            (true, true) => self.patience.idle,
            (false, false) => self.patience.linger,
            _ => self.patience.half_closed,
        };
        self.last_progress + patience
    }

    /// How it ends when the deadline has passed.
    pub(crate) fn out_of_patience(&self) -> End {
        if self.broken { End::Broken } else { End::Idle }
    }

    /// Bytes written on this way.
    pub(crate) fn moved(&self, way: Way) -> u64 {
        self.way(way).moved
    }

    fn way(&self, way: Way) -> &OneWay {
        match way {
            Way::Inward => &self.inward,
            Way::Outward => &self.outward,
        }
    }

    fn way_mut(&mut self, way: Way) -> &mut OneWay {
        match way {
            Way::Inward => &mut self.inward,
            Way::Outward => &mut self.outward,
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
