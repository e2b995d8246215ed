//! Platform configuration registers: the hardware's measurements of an enclave.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::error::MeasurementsError;

/// The value of one PCR: a SHA-384 digest. Written as 96 lower-case hexadecimal digits; read in either case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pcr(pub [u8; Pcr::LENGTH]);

impl Pcr {
    /// Bytes in a PCR.
    pub const LENGTH: usize = 48;

    /// The value that PCR0 to PCR2 have in debug mode, and that an unused PCR has.
    pub const ZERO: Self = Self([0; Self::LENGTH]);

    /// Whether all bytes are zero.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

/// Text or bytes that are not a PCR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a PCR is 48 bytes, written as 96 hexadecimal digits")]
pub struct PcrError;

impl FromStr for Pcr {
    type Err = PcrError;

    fn from_str(text: &str) -> Result<Self, PcrError> {
        let mut bytes = [0; Self::LENGTH];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| PcrError)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<&[u8]> for Pcr {
    type Error = PcrError;

    fn try_from(bytes: &[u8]) -> Result<Self, PcrError> {
        bytes.try_into().map(Self).map_err(|_| PcrError)
    }
}

impl From<[u8; Pcr::LENGTH]> for Pcr {
    fn from(bytes: [u8; Pcr::LENGTH]) -> Self {
        Self(bytes)
    }
}

impl Deref for Pcr {
    type Target = [u8; Pcr::LENGTH];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl AsRef<[u8]> for Pcr {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Pcr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Pcr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Pcr({self})")
    }
}

impl Serialize for Pcr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pcr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What identifies an enclave image that runs measured, not in debug mode: PCR0, PCR1 and PCR2, none of them zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageMeasurements([Pcr; Self::COUNT as usize]);

impl ImageMeasurements {
    const COUNT: u8 = 3;

    /// Takes them out of a document's PCRs.
    pub(crate) fn of(pcrs: &BTreeMap<u8, Pcr>) -> Result<Self, MeasurementsError> {
        let mut image = [Pcr::ZERO; Self::COUNT as usize];
        for (index, pcr) in (0..Self::COUNT).zip(&mut image) {
            *pcr = *pcrs
                .get(&index)
                .ok_or(MeasurementsError::MissingPcr(index))?;
        }
        match image.iter().filter(|pcr| pcr.is_zero()).count() {
            0 => Ok(Self(image)),
            zeros if zeros == image.len() => Err(MeasurementsError::Debug),
            _ => Err(MeasurementsError::PartlyZero),
        }
    }

    /// PCR0, PCR1 and PCR2.
    pub fn pcrs(&self) -> &[Pcr; Self::COUNT as usize] {
        &self.0
    }

    /// SHA-256 over PCR0 ‖ PCR1 ‖ PCR2: the image's name on a chain (DESIGN §7).
    pub fn id(&self) -> [u8; 32] {
        let hash = self
            .0
            .iter()
            .fold(Sha256::new(), |hash, pcr| hash.chain_update(pcr.0));
        hash.finalize().into()
    }
}
