//! A job as `JobRelay` took it: everything that its id is the hash of, and that whoever acts on it shows again.

use nacre_protocol::chain_job::{ChainJobId, ChainTerms};
use nacre_protocol::digest::Digest;
use nacre_protocol::eip712::{EthAddress, Word, keccak};
use nacre_protocol::verified_enclave::ChainId;

/// `IJobRelay.Job`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainJob {
    /// Who asked.
    pub requester: EthAddress,
    /// The contract's count of requests.
    pub nonce: u64,
    /// What was asked; `input_hash` is never zero.
    pub request: Request,
}

/// `IJobRelay.Request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Which function.
    pub function: Digest,
    /// Which image must answer, SHA-256(PCR0 ‖ PCR1 ‖ PCR2); zero: any that is approved.
    pub image: Word,
    /// SHA-256 of the input as it is carried.
    pub input_hash: Digest,
    /// Who is told; zero: nobody.
    pub callback: EthAddress,
    /// With how much gas exactly.
    pub callback_gas: u32,
    /// The last second in which an answer counts, Unix time; 40 bits.
    pub deadline: u64,
    /// What the fee is paid in; zero: ETH.
    pub token: EthAddress,
    /// The fee in base units; 96 bits.
    pub fee: u128,
}

/// Which contract on which chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contract {
    /// The chain.
    pub chain_id: ChainId,
    /// The `JobRelay`.
    pub address: EthAddress,
}

/// Bytes that are not a job's encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the encoding of a contract's job")]
pub struct JobEncodingError;

impl ChainJob {
    /// The contract's id: keccak256(chain, contract, nonce, keccak256(requester, request)), each as a word.
    pub fn id(&self, contract: &Contract) -> ChainJobId {
        let [requester, nonce, request @ ..] = self.words();
        let mut committed = vec![requester];
        committed.extend(request);
        let commitment = keccak(
            &committed
                .iter()
                .map(<[u8; 32]>::as_slice)
                .collect::<Vec<_>>(),
        );
        let chain = contract.chain_id.word();
        ChainJobId::from_word(keccak(&[
            &chain,
            &contract.address.word(),
            &nonce,
            &commitment,
        ]))
    }

    /// For whom an enclave is to sign the answer.
    pub fn terms(&self, contract: &Contract, payee: EthAddress) -> ChainTerms {
        ChainTerms {
            chain_id: contract.chain_id,
            contract: contract.address,
            job: self.id(contract),
            payee,
        }
    }

    /// Solidity's `abi.encode`: ten words.
    pub fn encode(&self) -> Vec<u8> {
        self.words().concat()
    }

    /// Reads what [`Self::encode`] wrote; any byte out of place is an error.
    ///
    /// # Errors
    ///
    /// Another length, or a number beyond its field.
    pub fn decode(bytes: &[u8]) -> Result<Self, JobEncodingError> {
        let (words, rest) = bytes.as_chunks::<32>();
        let words: &[Word; WORDS] = words.try_into().map_err(|_| JobEncodingError)?;
        let job = Self::of_words(words)?;
        match rest.is_empty() && job.request.deadline >> 40 == 0 && job.request.fee >> 96 == 0 {
            true => Ok(job),
            false => Err(JobEncodingError),
        }
    }
}

/// Writes and reads a job's words, in this order.
macro_rules! layout {
    ($($field:ident $(.$of_request:ident)?,)*) => {
        impl ChainJob {
            fn words(&self) -> [Word; WORDS] {
                [$(self.$field$(.$of_request)?.to_word(),)*]
            }

            fn of_words(words: &[Word; WORDS]) -> Result<Self, JobEncodingError> {
                let mut words = words.iter();
                let mut job = Self::EMPTY;
                $(
                    let word = words.next().ok_or(JobEncodingError)?;
                    job.$field$(.$of_request)? = Field::of_word(word)?;
                )*
                Ok(job)
            }
        }
    };
}

const WORDS: usize = 10;

layout! {
    requester,
    nonce,
    request.function,
    request.image,
    request.input_hash,
    request.callback,
    request.callback_gas,
    request.deadline,
    request.token,
    request.fee,
}

impl ChainJob {
    const EMPTY: Self = Self {
        requester: ZERO,
        nonce: 0,
        request: Request {
            function: Digest::from_bytes([0; 32]),
            image: [0; 32],
            input_hash: Digest::from_bytes([0; 32]),
            callback: ZERO,
            callback_gas: 0,
            deadline: 0,
            token: ZERO,
            fee: 0,
        },
    };
}

impl Request {
    /// Whether it is paid in ETH.
    pub fn pays_ether(&self) -> bool {
        self.token == ZERO
    }
}

/// Nobody's address.
pub const ZERO: EthAddress = EthAddress::from_bytes([0; 20]);

/// What one word holds.
trait Field: Sized {
    fn to_word(self) -> Word;
    fn of_word(word: &Word) -> Result<Self, JobEncodingError>;
}

impl Field for Word {
    fn to_word(self) -> Word {
        self
    }

    fn of_word(word: &Word) -> Result<Self, JobEncodingError> {
        Ok(*word)
    }
}

impl Field for Digest {
    fn to_word(self) -> Word {
        *self.as_bytes()
    }

    fn of_word(word: &Word) -> Result<Self, JobEncodingError> {
        Ok(Self::from_bytes(*word))
    }
}

impl Field for EthAddress {
    fn to_word(self) -> Word {
        self.word()
    }

    fn of_word(word: &Word) -> Result<Self, JobEncodingError> {
        let (zeros, tail) = word.split_at(12);
        let bytes = tail.try_into().map_err(|_| JobEncodingError)?;
        match zeros.iter().all(|byte| *byte == 0) {
            true => Ok(Self::from_bytes(bytes)),
            false => Err(JobEncodingError),
        }
    }
}

impl Field for u128 {
    fn to_word(self) -> Word {
        let mut word = [0; 32];
        word[16..].copy_from_slice(&self.to_be_bytes());
        word
    }

    fn of_word(word: &Word) -> Result<Self, JobEncodingError> {
        let (zeros, tail) = word.split_at(16);
        let bytes = tail.try_into().map_err(|_| JobEncodingError)?;
        match zeros.iter().all(|byte| *byte == 0) {
            true => Ok(Self::from_be_bytes(bytes)),
            false => Err(JobEncodingError),
        }
    }
}

impl Field for u64 {
    fn to_word(self) -> Word {
        u128::from(self).to_word()
    }

    fn of_word(word: &Word) -> Result<Self, JobEncodingError> {
        u128::of_word(word)?
            .try_into()
            .map_err(|_| JobEncodingError)
    }
}

impl Field for u32 {
    fn to_word(self) -> Word {
        u128::from(self).to_word()
    }

    fn of_word(word: &Word) -> Result<Self, JobEncodingError> {
        u128::of_word(word)?
            .try_into()
            .map_err(|_| JobEncodingError)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn contract() -> Contract {
        Contract {
            chain_id: 31_337.try_into().unwrap(),
            address: EthAddress::from_bytes([0x11; 20]),
        }
    }

    pub(crate) fn job(nonce: u64) -> ChainJob {
        ChainJob {
            requester: EthAddress::from_bytes([0x22; 20]),
            nonce,
            request: Request {
                function: Digest::from_bytes([0x44; 32]),
                image: [0; 32],
                input_hash: Digest::of(b"input"),
                callback: EthAddress::from_bytes([0x33; 20]),
                callback_gas: 100_000,
                deadline: 1_790_000_000,
                token: ZERO,
                fee: 1_000_000_000_000_000,
            },
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(nonce: u64, image: [u8; 32], gas: u32, deadline in 0_u64..1 << 40, fee in 0_u128..1 << 96) {
            let mut job = job(nonce);
            job.request = Request { image, callback_gas: gas, deadline, fee, ..job.request };
            let bytes = job.encode();
            prop_assert_eq!(ChainJob::decode(&bytes), Ok(job));
            prop_assert!(ChainJob::decode(&bytes[..bytes.len() - 1]).is_err());
            prop_assert!(ChainJob::decode(&[&bytes[..], &[0]].concat()).is_err());
        }

        #[test]
        fn a_number_beyond_its_field_is_no_jobs(word in prop::sample::select(vec![1_usize, 6, 7, 9]), byte in 0_usize..12) {
            let mut bytes = job(1).encode();
            bytes[32 * word + byte] = 1;
            prop_assert_eq!(ChainJob::decode(&bytes), Err(JobEncodingError));
        }

        #[test]
        fn whatever_is_asked_differently_has_another_id(at in 0_usize..320, bit in 0_u8..8) {
            let mut bytes = job(1).encode();
            bytes[at] ^= 1 << bit;
            if let Ok(other) = ChainJob::decode(&bytes) {
                prop_assert_ne!(other.id(&contract()), job(1).id(&contract()));
            }
        }
    }
}
