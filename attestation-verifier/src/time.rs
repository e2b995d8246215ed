//! The time at which a document is judged. It is always the caller's: the core has no clock.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use der::DateTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How far ahead of the time of verification a document's timestamp may be, for clocks that differ (DESIGN §4 *Time*).
pub const FUTURE_TOLERANCE: Duration = Duration::from_secs(30);

/// Milliseconds since the Unix epoch, without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The second that this time lies in.
    pub fn second(self) -> UnixSeconds {
        UnixSeconds(self.0 / 1000)
    }
}

/// Seconds since the Unix epoch, without leap seconds. Written and read as RFC 3339 has it, in UTC and whole seconds:
/// `2026-01-02T03:04:05Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub u64);

/// Text that is not a time, or not in UTC and whole seconds, or not from 1970 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is written in UTC and whole seconds, such as 2026-01-02T03:04:05Z")]
pub struct TimeSyntaxError;

impl FromStr for UnixSeconds {
    type Err = TimeSyntaxError;

    fn from_str(text: &str) -> Result<Self, TimeSyntaxError> {
        let time: DateTime = text.parse().map_err(|_| TimeSyntaxError)?;
        let time = Self(time.unix_duration().as_secs());
        // One spelling for each time.
        match time.to_string() == text {
            true => Ok(time),
            false => Err(TimeSyntaxError),
        }
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_unix_duration(Duration::from_secs(self.0)) {
            Ok(time) => time.fmt(formatter),
            // After the year 9999.
            Err(_) => write!(formatter, "@{}", self.0),
        }
    }
}

impl Serialize for UnixSeconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnixSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_spelling() {
        assert_eq!(
            "2026-01-02T03:04:05Z".parse(),
            Ok(UnixSeconds(1_767_323_045))
        );
        assert_eq!(
            UnixSeconds(1_767_323_045).to_string(),
            "2026-01-02T03:04:05Z"
        );
        assert_eq!("1970-01-01T00:00:00Z".parse(), Ok(UnixSeconds(0)));
        assert_eq!(UnixSeconds(u64::MAX).to_string(), "@18446744073709551615");
        for other in [
            "",
            "1767323045",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05z",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04:05.0Z",
            "2026-01-02T03:04:05+00:00",
            "2026-02-29T00:00:00Z",
            "2026-01-02T24:00:00Z",
            "2026-01-02T03:04:60Z",
            "1969-12-31T23:59:59Z",
            "10000-01-01T00:00:00Z",
        ] {
            assert_eq!(
                other.parse::<UnixSeconds>(),
                Err(TimeSyntaxError),
                "{other}"
            );
        }
    }
}
