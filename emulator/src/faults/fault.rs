//! The kinds of faults and how they are written.

use std::num::{NonZeroU8, NonZeroU32};

use serde::{Deserialize, Serialize};

use super::{Span, Step};
use crate::nsm::{ErrorCode, Operation};
use crate::vsock::wire::{Damage, Side, Trouble, Which, WireFault};

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
    /// gives up after two minutes, so a device answers nothing that takes longer.
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
    /// The module never answers: the kernel's driver waits for two minutes and reports a timeout; a client of the socket waits
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
    /// Connections that there are when it is put in force are lost: both ends see a reset. Happens once.
    VsockReset {
        /// Only those to this port, the guest's or the host's; absent: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u32>,
    },
    /// The other side is gone and nobody says so: nothing passes any more in either direction, and new connections get no
    /// answer. Lasts for a connection's life, also when the fault has ended.
    VsockHalfOpen {
        /// As above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u32>,
    },
    /// Bytes come later; those of different connections overtake each other.
    VsockDelay {
        /// By this much at least.
        by: Span,
        /// And by up to this much more.
        #[serde(default)]
        jitter: Span,
        /// Where the randomness comes from.
        #[serde(default)]
        seed: u64,
        /// As above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u32>,
        /// Only bytes towards this end; absent: both.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        towards: Option<Side>,
    },
    /// A slow reader.
    VsockRate {
        /// What it takes.
        bytes_per_second: NonZeroU32,
        /// As above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u32>,
        /// As above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        towards: Option<Side>,
    },
    /// The host changes one byte of each connection.
    VsockFlip {
        /// Which; the first is 0.
        at: u64,
        /// What is XORed to it.
        #[serde(default = "one_bit")]
        mask: NonZeroU8,
        /// As above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u32>,
        /// As above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        towards: Option<Side>,
    },
    /// The host changes one bit in so many bytes, on average.
    VsockNoise {
        /// In how many.
        every: NonZeroU32,
        /// Where the randomness comes from.
        #[serde(default)]
        seed: u64,
        /// As above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u32>,
        /// As above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        towards: Option<Side>,
    },
    /// The host leaves bytes out.
    VsockDrop {
        /// The first.
        at: u64,
        /// How many.
        length: u32,
        /// As above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u32>,
        /// As above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        towards: Option<Side>,
    },
    /// The host sends bytes twice.
    VsockRepeat {
        /// The first.
        at: u64,
        /// How many.
        length: u32,
        /// As above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u32>,
        /// As above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        towards: Option<Side>,
    },
    /// A direction ends early, as if its sender had finished.
    VsockCut {
        /// The first byte that does not arrive.
        at: u64,
        /// As above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u32>,
        /// As above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        towards: Option<Side>,
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

impl Fault {
    /// What it means for the vsock device; none for faults of other things.
    #[must_use]
    pub fn wire(&self) -> Option<WireFault> {
        let bytes = |towards, damage| Trouble::Bytes { towards, damage };
        let (port, trouble) = match *self {
            Self::VsockHalfOpen { port } => (port, Trouble::HalfOpen),
            Self::VsockDelay {
                by,
                jitter,
                seed,
                port,
                towards,
            } => {
                let (by, jitter) = (by.micros(), jitter.micros());
                (port, bytes(towards, Damage::Delay { by, jitter, seed }))
            }
            Self::VsockRate {
                bytes_per_second,
                port,
                towards,
            } => (port, bytes(towards, Damage::Rate { bytes_per_second })),
            Self::VsockFlip {
                at,
                mask,
                port,
                towards,
            } => {
                let mask = mask.get();
                (port, bytes(towards, Damage::Flip { at, mask }))
            }
            Self::VsockNoise {
                every,
                seed,
                port,
                towards,
            } => (port, bytes(towards, Damage::Noise { every, seed })),
            Self::VsockDrop {
                at,
                length,
                port,
                towards,
            } => (port, bytes(towards, Damage::Drop { at, length })),
            Self::VsockRepeat {
                at,
                length,
                port,
                towards,
            } => (port, bytes(towards, Damage::Repeat { at, length })),
            Self::VsockCut { at, port, towards } => (port, bytes(towards, Damage::Cut { at })),
            _ => return None,
        };
        Some(WireFault {
            connections: Which { port },
            trouble,
        })
    }
}

fn each() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn one_bit() -> NonZeroU8 {
    NonZeroU8::MIN
}
