//! Uptime (DESIGN §6): what watchers see of nodes, and what follows from it.
//!
//! The first half is a pure core: no I/O, no clock, no randomness but given seeds. A control plane and anybody who wants
//! to check it compute the same from the same commitments, reveals, stakes and drains:
//!
//! 1. [`commit`]: who signed what; a reveal against its commitment.
//! 2. [`judge_epoch`]: several watchers' scores, weighed by stake, give one verdict a node and slot.
//! 3. [`WindowTally`]: verdicts of a window, without excused slots ([`excused_slots`]), give at most one [`Slash`] a node.
//! 4. [`Dispute`]: one watcher's own evidence, checked again, overturns its own word and nobody else's.
//!
//! What of it goes on a chain is in [`chain`].
//!
//! The second half, [`watch`], is the process that any operator may run: it probes nodes through attested connections and
//! keeps what it got as [`EvidenceRecord`]s, which anyone can check again off line.

pub mod chain;
pub mod cli;
mod combine;
pub mod commit;
mod dispute;
mod drain;
mod error;
mod evidence;
mod report;
mod scores;
mod seeds;
pub mod watch;
mod window;

pub use combine::{EpochInput, EpochVerdict, WatcherInput, judge_epoch, slot_verdict};
pub use dispute::{Dispute, DisputeError};
pub use drain::{Drain, DrainTerms, excused_slots};
pub use error::WatchError;
pub use evidence::{EvidenceError, EvidenceRecord, MAX_RECORD, Proof, VerifiedRecord};
pub use report::report_slots;
pub use scores::{EpochScores, Score};
pub use seeds::{EpochSecret, TRIES, TryPlan, WatcherKey};
pub use window::{Slash, Terms, TermsError, WindowTally};
