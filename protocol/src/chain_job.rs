//! Jobs that a smart contract asked for (DESIGN §3.3, §7): for whom an enclave signs a result so that the contract can check
//! it, and what it then signs.
//!
//! | hash | of |
//! |---|---|
//! | `inputHash` | SHA-256 of the job's input as it is carried: [`crate::job::JobInput`], or the envelope where it is sealed |
//! | `outputHash` | SHA-256 of the answer's body; where it is sealed, of the sealed result as it is carried |
//!
//! A contract's own input is of bare tensors ([`crate::TENSORS_TYPE`]), which `TensorInput.sol` writes; so is its answer.
//!
//! Both are what a contract can make of bytes that it sees. An input's salt is inside what is hashed, so that a small input
//! cannot be guessed from the hash.
//!
//! The enclave takes the terms from its host and signs what it ran under them: a result for another job, contract, chain or
//! payee is another signature, and a contract refuses an input or a function that it did not ask for.

mod result;
mod sealed;
mod terms;
#[cfg(test)]
mod tests;

pub use result::{CarriedHashes, ChainResult, ChainResultError, ChainStatus, SignedChainResult};
pub use sealed::sealed_terms;
pub use terms::{ChainJobId, ChainTerms, ChainTermsSyntaxError};
