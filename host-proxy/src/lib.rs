//! The parent instance's side of a node: what surrounds an enclave and is trusted with nothing but its availability.
//!
//! - [`launcher`] starts an enclave and knows when it ended; [`supervisor`] keeps one running.
//! - [`proxy`] carries callers' bytes to it. TLS ends inside the enclave; here are only bytes.
//! - [`control`] speaks to it over its control channel.
//! - [`agent`] registers the node with the control plane and makes the enclave run what the platform wants.
//! - [`cli`] puts them together as `nacre node`.
//!
//! The four parts meet in one value: [`supervisor::EnclaveState`], which says where the enclave can be reached now, if
//! anywhere. Each part follows it by itself, so that no part's failure stops another: callers are served while the
//! control plane is away, and a restarted enclave looks to callers like a slow connection.

pub mod agent;
pub mod backoff;
pub mod cli;
pub mod control;
pub mod crash;
pub mod data;
pub mod egress;
pub mod health;
pub mod launcher;
pub mod metrics;
pub mod opening;
pub mod proxy;
pub mod supervisor;

pub use cli::{NodeArgs, Programs, run};
