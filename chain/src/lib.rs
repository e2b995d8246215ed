//! Nacre's contracts from Rust: bindings, deployment, transactions (DESIGN §7).
//!
//! [`contracts`] has a binding for each contract, [`rpc::connect`] a provider over several nodes, [`wallet::Wallet`] the
//! key of an account; [`error::ChainError`] names what a contract refused by the contract's own error.

pub mod contracts;
pub mod error;
pub mod refusal;
pub mod rpc;
pub mod wallet;
