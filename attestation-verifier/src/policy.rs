//! What a relying party demands of an enclave (DESIGN §4 *Policy*).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{MeasurementsError, ResultCode};
use crate::pcr::Pcr;

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
    /// [`PolicyError`] where there is no set, there are too many, or one names a PCR that carries no meaning.
    pub fn new(measurements: Vec<Measurements>) -> Result<Self, PolicyError> {
        if measurements.is_empty() {
            return Err(PolicyError::NoMeasurements);
        }
        if measurements.len() > MAX_SETS {
            return Err(PolicyError::TooManyMeasurements { limit: MAX_SETS });
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

    /// The index of the first set that a document's PCRs equal.
    pub(crate) fn match_pcrs(&self, pcrs: &BTreeMap<u8, Pcr>) -> Result<usize, MeasurementsError> {
        let mut zeros = 0;
        for index in 0..IMAGE_PCRS {
            let pcr = pcrs
                .get(&index)
                .ok_or(MeasurementsError::MissingPcr(index))?;
            zeros += u8::from(pcr.is_zero());
        }
        match zeros {
            0 => {}
            IMAGE_PCRS if self.allow_debug => {}
            IMAGE_PCRS => return Err(MeasurementsError::Debug),
            _ => return Err(MeasurementsError::PartlyZero),
        }
        self.measurements
            .iter()
            .position(|set| set.matches(pcrs))
            .ok_or(MeasurementsError::NoMatch)
    }
}

/// The PCRs of one enclave that is trusted. Those that are `None` or not in `extra` may be anything.
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
}

/// PCR0, PCR1 and PCR2.
const IMAGE_PCRS: u8 = 3;
pub(crate) const EXTRA_INDEXES: std::ops::RangeInclusive<u8> = 16..=31;
const MAX_SETS: usize = 256;
