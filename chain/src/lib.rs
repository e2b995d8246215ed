//! Nacre's contracts from Rust: bindings, deployment, transactions (DESIGN §7).
//!
//! [`contracts`] has a binding for each contract, [`rpc::connect`] a provider over several nodes, [`wallet::Wallet`] the
//! key of an account, [`account::Account`] its transactions until they count, and [`deploy::deploy`] the whole system.
//! [`error::ChainError`] names what a contract refused by the contract's own error.

pub mod account;
pub mod anvil;
pub mod cli;
pub mod contracts;
pub mod deploy;
pub mod deployment;
pub mod error;
pub mod events;
pub mod refusal;
pub mod registration;
pub mod rpc;
pub mod secret;
pub mod settings;
pub mod uptime;
pub mod wallet;
