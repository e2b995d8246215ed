//! The relay: what a contract asked of `JobRelay` is run by an enclave, and the enclave's answer is brought to the contract
//! (DESIGN §7). Anybody may run one, and any number may run at once.
//!
//! - [`request`]: a job as the contract took it, and its id.
//! - [`job`]: where a job stands and what to do about it. Pure.
//! - [`outbox`]: transactions that must count once: nonces, replacement, repetition. Pure.
//! - [`worth`]: which jobs are worth their gas. Pure.
//! - [`store`]: cursor, jobs and outbox, in SQLite or PostgreSQL.
//! - [`follow`]: the chain as it is now, through reorganisations and nodes that lag.
//! - [`prove`]: what must hold of an answer before a transaction is paid for.
//! - [`draw`]: an operator's part in the draw: chains, links, terms.
//! - [`relay`]: the loop that does what those say, with [`node`], [`platform`] and [`account`].
//!
//! What it trusts: its own database, the root and the measurements that it was started with. The RPC node can deny service
//! and lie about what was asked; it cannot make the relay pay for an answer that no approved enclave gave. The platform can
//! deny service and nothing else.

pub mod account;
pub mod cli;
pub mod draw;
pub mod follow;
pub mod job;
pub mod meters;
pub mod node;
pub mod outbox;
pub mod platform;
pub mod prove;
pub mod reason;
pub mod relay;
pub mod request;
pub mod store;
pub mod worth;
