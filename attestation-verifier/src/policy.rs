//! What a relying party demands of an enclave (DESIGN §4 *Policy*).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{MeasurementsError, ResultCode};
use crate::pcr::{ImageMeasurements, Pcr};
use crate::time::{UnixMillis, UnixSeconds};

/// The age limit of a policy that names none.
pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(300);

/// Which enclaves are trusted. A policy names at least one set of measurements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub(crate) measurements: Vec<Measurements>,
    pub(crate) max_age: Duration,
    pub(crate) allow_debug: bool,
}

impl Policy {
    /// A policy that trusts enclaves with any one of these sets, documents up to [`DEFAULT_MAX_AGE`] old, and no debug
    /// mode.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] where there is no set, there are too many, one names a PCR that carries no meaning, or the end of
    /// its window lies before its beginning.
    pub fn new(measurements: Vec<Measurements>) -> Result<Self, PolicyError> {
        if measurements.is_empty() {
            return Err(PolicyError::NoMeasurements);
        }
        if measurements.len() > MAX_SETS {
            return Err(PolicyError::TooManyMeasurements { limit: MAX_SETS });
        }
        if let Some(index) = measurements.iter().position(Measurements::is_never_trusted) {
            return Err(PolicyError::Window(index));
        }
        let mut extra = measurements.iter().flat_map(|set| set.extra.keys());
        match extra.find(|index| !EXTRA_INDEXES.contains(*index)) {
            Some(index) => Err(PolicyError::PcrIndex(*index)),
            None => Ok(Self {
                measurements,
                max_age: DEFAULT_MAX_AGE,
                allow_debug: false,
            }),
        }
    }

    /// The same policy with another age limit for documents.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// The same policy, allowing debug mode or not. A debug enclave also needs a set whose PCR0, PCR1 and PCR2 are zero.
    #[must_use]
    pub fn with_allow_debug(mut self, allow_debug: bool) -> Self {
        self.allow_debug = allow_debug;
        self
    }

    /// The sets, of which one must match.
    pub fn measurements(&self) -> &[Measurements] {
        &self.measurements
    }

    /// How old a document may be.
    pub fn max_age(&self) -> Duration {
        self.max_age
    }

    /// Whether debug mode is allowed.
    pub fn allow_debug(&self) -> bool {
        self.allow_debug
    }

    /// The index of the first set that a document's PCRs equal and that is trusted at this time.
    pub(crate) fn match_pcrs(
        &self,
        pcrs: &BTreeMap<u8, Pcr>,
        at: UnixMillis,
    ) -> Result<usize, MeasurementsError> {
        match ImageMeasurements::of(pcrs) {
            Ok(_) => {}
            Err(MeasurementsError::Debug) if self.allow_debug => {}
            Err(error) => return Err(error),
        }
        let mut outside = None;
        for (index, set) in self.measurements.iter().enumerate() {
            if !set.matches(pcrs) {
                continue;
            }
            match set.check_window(at.second()) {
                Ok(()) => return Ok(index),
                Err(error) => outside = outside.or(Some(error)),
            }
        }
        Err(outside.unwrap_or(MeasurementsError::NoMatch))
    }
}

/// The PCRs of one enclave that is trusted, and when it is. Those that are `None` or not in `extra` may be anything.
///
/// The windows of two sets may overlap: while a new image is rolled out, both are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurements {
    /// The enclave image file.
    pub pcr0: Pcr,
    /// Kernel and first ramdisk.
    pub pcr1: Pcr,
    /// The application: the other ramdisks.
    pub pcr2: Pcr,
    /// The IAM role of the parent instance.
    pub pcr3: Option<Pcr>,
    /// The id of the parent instance.
    pub pcr4: Option<Pcr>,
    /// The certificate that signed the image.
    pub pcr8: Option<Pcr>,
    /// PCR16 to PCR31, which the enclave extends itself.
    pub extra: BTreeMap<u8, Pcr>,
    /// The first second at which the set is trusted; always, if there is none.
    pub not_before: Option<UnixSeconds>,
    /// The last second at which the set is trusted; for ever, if there is none.
    pub not_after: Option<UnixSeconds>,
}

impl Measurements {
    /// A set of the three measurements that identify an image.
    pub fn new(pcr0: Pcr, pcr1: Pcr, pcr2: Pcr) -> Self {
        Self {
            pcr0,
            pcr1,
            pcr2,
            pcr3: None,
            pcr4: None,
            pcr8: None,
            extra: BTreeMap::new(),
            not_before: None,
            not_after: None,
        }
    }

    /// The PCRs that the set names, with their indexes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u8, Pcr)> {
        let optional = [(3, self.pcr3), (4, self.pcr4), (8, self.pcr8)];
        [(0, self.pcr0), (1, self.pcr1), (2, self.pcr2)]
            .into_iter()
            .chain(
                optional
                    .into_iter()
                    .filter_map(|(index, pcr)| Some((index, pcr?))),
            )
            .chain(self.extra.iter().map(|(index, pcr)| (*index, *pcr)))
    }

    fn matches(&self, pcrs: &BTreeMap<u8, Pcr>) -> bool {
        self.iter()
            .all(|(index, expected)| pcrs.get(&index) == Some(&expected))
    }

    fn check_window(&self, second: UnixSeconds) -> Result<(), MeasurementsError> {
        match (self.not_before, self.not_after) {
            (Some(not_before), _) if second < not_before => {
                Err(MeasurementsError::NotYetValid { not_before })
            }
            (_, Some(not_after)) if second > not_after => {
                Err(MeasurementsError::Expired { not_after })
            }
            _ => Ok(()),
        }
    }

    fn is_never_trusted(&self) -> bool {
        matches!((self.not_before, self.not_after), (Some(first), Some(last)) if last < first)
    }
}

/// Why a policy cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// No set of measurements (DESIGN §4 *Policy*).
    #[error("a policy names at least one set of measurements (pcr0, pcr1 and pcr2)")]
    NoMeasurements,
    /// More sets than a policy may have.
    #[error("a policy has at most {limit} sets of measurements")]
    TooManyMeasurements {
        /// How many it may have.
        limit: usize,
    },
    /// A PCR that a policy cannot name (DESIGN §4 *Policy*: 0 to 4, 8 and 16 to 31).
    #[error("a policy cannot name PCR{0}; it may name 0 to 4, 8 and 16 to 31")]
    PcrIndex(u8),
    /// A set whose window ends before it begins.
    #[error("measurements[{0}] is never trusted: its not_after lies before its not_before")]
    Window(usize),
    /// Not a policy's JSON.
    #[error("not a policy: {0}")]
    Json(String),
    /// More JSON than a policy can need.
    #[error("the policy has {length} bytes; it may have {limit}")]
    TooLong {
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
}

impl PolicyError {
    /// Always [`ResultCode::Usage`]: nothing was verified yet.
    pub fn code(&self) -> ResultCode {
        ResultCode::Usage
    }

    /// The rule that was broken, as a stable kebab-case name.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::NoMeasurements => "policy-no-measurements",
            Self::TooManyMeasurements { .. } => "policy-too-many-measurements",
            Self::PcrIndex(_) => "policy-pcr-index",
            Self::Window(_) => "policy-window",
            Self::Json(_) => "policy-json",
            Self::TooLong { .. } => "policy-too-long",
        }
    }
}

const EXTRA_INDEXES: std::ops::RangeInclusive<u8> = 16..=31;
const MAX_SETS: usize = 256;
