//! Lengths of time as people write them in faults: `80ms`, `10s`, `-30s`, `5m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest span: a day. Faults are for tests, and sums of times stay far from any limit.
const LONGEST_MS: i64 = 24 * 60 * 60 * 1000;

const UNITS: [(&str, i64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

/// A length of time, zero to one day, in milliseconds. Written with a unit: `ms`, `s`, `m` or `h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(Duration);

/// A difference of time, at most one day either way, in milliseconds. Written like [`Span`], with `-` or `+` before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Step(i64);

/// A text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no length of time: expected a number and ms, s, m or h, such as 80ms; at most 24h"
)]
pub struct SpanError(String);

impl Span {
    /// As the standard library counts it.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl Span {
    /// Microseconds.
    #[must_use]
    pub(super) fn micros(self) -> u64 {
        u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX)
    }
}

impl Step {
    /// Milliseconds; negative is into the past.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let millis = millis(text).ok_or_else(|| SpanError(text.to_owned()))?;
        Ok(Self(Duration::from_millis(millis.unsigned_abs())))
    }
}

impl FromStr for Step {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let millis = millis(rest).ok_or_else(|| SpanError(text.to_owned()))?;
        Ok(Self(sign * millis))
    }
}

/// A number of digits alone and its unit, in milliseconds.
fn millis(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let millis = number.parse::<i64>().ok()?.checked_mul(*factor)?;
    (millis <= LONGEST_MS).then_some(millis)
}

impl TryFrom<String> for Span {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Self, SpanError> {
        text.parse()
    }
}

impl TryFrom<String> for Step {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Self, SpanError> {
        text.parse()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0.as_millis())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl From<Step> for String {
    fn from(step: Step) -> Self {
        step.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_numbers_with_a_unit() {
        for (text, millis) in [
            ("0ms", 0),
            ("80ms", 80),
            ("10s", 10_000),
            ("24h", 86_400_000),
        ] {
            assert_eq!(text.parse::<Span>().unwrap().duration().as_millis(), millis);
        }
        for text in [
            "",
            "80",
            "ms",
            "-1s",
            "1.5s",
            "1 s",
            "25h",
            "99999999999999999999s",
            "1d",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn steps_go_both_ways() {
        assert_eq!("-30s".parse::<Step>().unwrap().millis(), -30_000);
        assert_eq!("+5m".parse::<Step>().unwrap().millis(), 300_000);
        assert_eq!("250ms".parse::<Step>().unwrap().millis(), 250);
        for text in ["", "-", "--1s", "+-1s", "-25h"] {
            assert!(text.parse::<Step>().is_err(), "{text:?}");
        }
    }
}
