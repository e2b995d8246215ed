//! The kinds of faults and how they are written.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{Span, Step};
use crate::nsm::{ErrorCode, Operation};

/// One thing that is wrong.
///
/// Written as a table whose `kind` is the variant's name in kebab-case and whose other keys are its fields; unknown
/// kinds and keys are refused. The same words stand in a file of faults and, as `key=value`, on the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
#[non_exhaustive]
pub enum Fault {
    /// The module is busy with each request for this much longer; others wait. Several add up. The kernel's driver
    /// gives up after 5 s, so a device answers nothing that takes longer.
    NsmLatency {
        /// By how much.
        by: Span,
    },
    /// The module refuses requests.
    NsmError {
        /// With which code.
        code: ErrorCode,
        /// Only each n-th request, counted from when the fault begins; absent: each.
        #[serde(default = "each")]
        every: NonZeroU32,
        /// Only requests for this; absent: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        operation: Option<Operation>,
    },
    /// The module never answers: the kernel's driver waits for 5 s and reports a timeout; a client of the socket waits
    /// for as long as it likes, while others are served.
    NsmSilence {
        /// Only each n-th request, as above.
        #[serde(default = "each")]
        every: NonZeroU32,
        /// Only requests for this; absent: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        operation: Option<Operation>,
    },
    /// Entropy is exhausted: `GetRandom` fails with `InternalError`.
    EntropyFailure {},
    /// Entropy is exhausted and nobody says so: `GetRandom` returns 256 times the same byte.
    EntropyConstant {
        /// Which.
        #[serde(default)]
        byte: u8,
    },
    /// The time in documents is off by this much; certificates stay those of the true time. Several add up.
    ClockStep {
        /// By how much: `-30s` is behind.
        by: Step,
    },
    /// The time in documents runs at another speed from when the fault begins.
    ClockDrift {
        /// Millionths faster; negative is slower. At most a tenth either way.
        ppm: Ppm,
    },
    /// The enclave hangs: its virtual processors stand still, its connections stay open, nobody answers.
    EnclavePause {},
    /// The enclave is gone from one moment to the next, as when its parent instance dies.
    EnclaveKill {},
}

/// Parts in a million, −100,000 to 100,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub struct Ppm(i32);

impl Ppm {
    /// The number.
    #[must_use]
    pub fn get(self) -> i32 {
        self.0
    }
}

impl TryFrom<i32> for Ppm {
    type Error = &'static str;

    fn try_from(ppm: i32) -> Result<Self, Self::Error> {
        if (-100_000..=100_000).contains(&ppm) {
            Ok(Self(ppm))
        } else {
            Err("a drift is -100000 to 100000 ppm")
        }
    }
}

impl From<Ppm> for i32 {
    fn from(ppm: Ppm) -> Self {
        ppm.0
    }
}

/// A fault and how long it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// What is wrong.
    pub fault: Fault,
    /// For how long; none is until it is cleared or the file no longer has it.
    pub lasts: Option<Span>,
}

/// Text that is no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a fault: {0}")]
pub struct FaultError(pub(super) String);

impl Timed {
    /// Reads the table of a fault; its key `for` says how long it lasts.
    ///
    /// # Errors
    ///
    /// When the kind is unknown, a key is unknown, missing or of the wrong type, or a value is out of its range.
    pub fn from_table(mut table: toml::Table) -> Result<Self, FaultError> {
        let said = |error: toml::de::Error| FaultError(error.message().to_owned());
        let lasts = table.remove("for").map(Span::deserialize).transpose();
        let fault = Fault::deserialize(toml::Value::Table(table)).map_err(said)?;
        Ok(Self {
            fault,
            lasts: lasts.map_err(said)?,
        })
    }

    /// Reads `kind key=value key=value`. A value is a number where it is one, otherwise text.
    ///
    /// # Errors
    ///
    /// As [`Timed::from_table`], or when a word has no `=` or comes twice.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, FaultError> {
        let mut words = words.into_iter();
        let kind = words.next().unwrap_or_default();
        let mut table = toml::Table::new();
        table.insert("kind".to_owned(), kind.into());
        for word in words {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| FaultError(format!("{word:?} is not key=value")))?;
            let value = match value.parse::<i64>() {
                Ok(number) => toml::Value::from(number),
                Err(_) => toml::Value::from(value),
            };
            if table.insert(key.to_owned(), value).is_some() {
                return Err(FaultError(format!("{key:?} stands there twice")));
            }
        }
        Self::from_table(table)
    }

    /// The table that [`Timed::from_table`] reads.
    pub(super) fn to_table(&self) -> Result<toml::Table, toml::ser::Error> {
        let mut table = toml::Table::try_from(&self.fault)?;
        if let Some(lasts) = self.lasts {
            table.insert("for".to_owned(), lasts.to_string().into());
        }
        Ok(table)
    }
}

fn each() -> NonZeroU32 {
    NonZeroU32::MIN
}
