//! For whom a result is signed.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::eip712::{EthAddress, Word};
use crate::encoding::array_from_hex;
use crate::verified_enclave::{ChainId, ContractDomain, hex0x};

/// A job as its contract knows it, and whom the contract is to pay for it.
///
/// As text, in a query: `{chain id}:{contract}:{job}:{payee}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChainTerms {
    /// Which chain: a number, or a string of decimal digits.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub chain_id: ChainId,
    /// The contract that asked: `0x` and 40 hexadecimal digits.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub contract: EthAddress,
    /// The contract's id for the job: `0x` and 64 hexadecimal digits.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub job: ChainJobId,
    /// Who is paid: `0x` and 40 hexadecimal digits.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub payee: EthAddress,
}

impl ChainTerms {
    /// The domain that results for the contract are signed in.
    pub fn domain(&self) -> ContractDomain {
        ContractDomain {
            chain_id: self.chain_id,
            verifying_contract: self.contract,
        }
    }
}

impl fmt::Display for ChainTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            chain_id,
            contract,
            job,
            payee,
        } = self;
        write!(f, "{chain_id}:{contract}:{job}:{payee}")
    }
}

/// A text that does not say for whom a result is to be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected `chain id:contract:job:payee`, addresses as `0x` and 40, the job as `0x` and 64 hexadecimal digits"
)]
pub struct ChainTermsSyntaxError;

impl FromStr for ChainTerms {
    type Err = ChainTermsSyntaxError;

    fn from_str(text: &str) -> Result<Self, ChainTermsSyntaxError> {
        let mut parts = text.split(':');
        let mut part = || parts.next().ok_or(ChainTermsSyntaxError);
        let terms = Self {
            chain_id: part()?.parse().map_err(|_| ChainTermsSyntaxError)?,
            contract: part()?.parse().map_err(|_| ChainTermsSyntaxError)?,
            job: part()?.parse()?,
            payee: part()?.parse().map_err(|_| ChainTermsSyntaxError)?,
        };
        match parts.next() {
            None => Ok(terms),
            Some(_) => Err(ChainTermsSyntaxError),
        }
    }
}

/// A contract's id for a job: a uint256, written as `0x` and 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChainJobId(Word);

impl ChainJobId {
    /// Takes its 32 bytes, big-endian.
    pub const fn from_word(word: Word) -> Self {
        Self(word)
    }

    /// Its 32 bytes, big-endian.
    pub const fn word(&self) -> Word {
        self.0
    }
}

impl fmt::Display for ChainJobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex0x(&self.0))
    }
}

impl FromStr for ChainJobId {
    type Err = ChainTermsSyntaxError;

    fn from_str(text: &str) -> Result<Self, ChainTermsSyntaxError> {
        let digits = text.strip_prefix("0x").ok_or(ChainTermsSyntaxError)?;
        let word = array_from_hex(digits).map_err(|_| ChainTermsSyntaxError)?;
        Ok(Self(word))
    }
}

impl TryFrom<String> for ChainJobId {
    type Error = ChainTermsSyntaxError;

    fn try_from(text: String) -> Result<Self, ChainTermsSyntaxError> {
        text.parse()
    }
}

impl From<ChainJobId> for String {
    fn from(id: ChainJobId) -> Self {
        id.to_string()
    }
}
