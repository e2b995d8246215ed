//! The time at which a document is judged. It is always the caller's: the core has no clock.

use std::time::Duration;

/// How far ahead of the time of verification a document's timestamp may be, for clocks that differ (DESIGN §4 *Time*).
pub const FUTURE_TOLERANCE: Duration = Duration::from_secs(30);

/// Milliseconds since the Unix epoch, without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

/// At which time, and in which sense, a document is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VerificationTime {
    /// Now, by the verifier's own clock. The evidence speaks for an enclave that runs now.
    Live(UnixMillis),
    /// A time in the past that the caller names. The evidence says what was true then; whether the PKI's keys were
    /// still good afterwards it cannot say. [`VerifiedEvidence::is_archive`](crate::VerifiedEvidence::is_archive)
    /// reports it.
    Archive(UnixMillis),
}

impl VerificationTime {
    /// The time itself.
    pub fn at(self) -> UnixMillis {
        match self {
            Self::Live(at) | Self::Archive(at) => at,
        }
    }

    /// Whether it is a time that the caller named rather than now.
    pub fn is_archive(self) -> bool {
        matches!(self, Self::Archive(_))
    }
}
