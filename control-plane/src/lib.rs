//! The control plane: the platform's REST API, its database, and the auction that places functions on nodes (DESIGN §6).
//!
//! Decisions are pure: [`nacre_scheduler`] matches orders with asks, `standing` says where a deployment stands. The market's
//! log of events is in the database; each control plane has the scheduler in memory and brings it up to the log before
//! it adds to it. Around them,
//! [`store`] holds all SQL, `objects` the blobs, [`platform`] does one request's effect in one transaction, `api` speaks
//! HTTP, and [`ControlPlane`] owns the listener. Everything that counts is in the database before it is answered, so that
//! the process can be killed at any moment; in memory are only long polls. On PostgreSQL several may serve one platform:
//! none of them knows what the others do not.
//!
//! It sees no payload and holds no key of an enclave: what nodes run is bound by digests that clients check themselves.

pub mod admin;
mod api;
pub mod audit;
mod challenges;
pub mod cli;
pub mod clock;
pub mod config;
mod cursors;
mod endpoint;
pub mod error;
pub mod keys;
mod market;
mod meters;
mod objects;
mod owner;
mod platform;
mod rate;
mod score;
mod server;
pub mod shares;
mod standing;
mod store;
mod terms;
mod token;
mod traces;
pub mod treasury;
mod wakers;
pub mod watchers;

pub use config::{Config, Database, JobsConfig, LedgerConfig, ObjectsAt, RateLimits, UptimeConfig};
pub use rate::Rate;
pub use server::{ControlPlane, StartError};
pub use store::StoreError;
