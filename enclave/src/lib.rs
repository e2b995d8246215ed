//! The program inside a Nitro Enclave: it makes its keys, proves them, and answers callers over TLS that ends here.
//!
//! | part | does |
//! |---|---|
//! | [`boot`] | brings everything up in the right order |
//! | [`node`] | the core that every attested program has: keys, evidence, time, TLS (DESIGN §3.1, §3.2) |
//! | [`nsm`], [`identity`], [`freshness`], [`clock`], [`tls`] | what the core is made of |
//! | [`http`], [`program`], [`share`] | limits of connections and bodies; modes, log and signals of a program; who may have how much memory |
//! | `server` | the public side: KServe v2, receipts |
//! | [`receipts`] | signs what was answered (DESIGN §3.3) |
//! | [`usage`] | counts what was used, and signs it for the bill (DESIGN §3.3) |
//! | `jobs` | runs what the host hands in for a caller who is not there, sealed or in the open (DESIGN §6) |
//! | `control`, [`functions`] | what the host wants run, held to its digests (DESIGN §5) |
//! | [`egress`] | the way out: TLS to the names that the image allows |
//! | [`workers`], [`worker`] | one process for each function |
//! | [`kserve`], [`tensor`] | the protocol's codec |
//!
//! The host is not trusted: its clock is not read, and what it sends is named by digest.

pub mod boot;
pub mod clock;
pub mod config;
mod control;
mod counters;
pub mod egress;
pub mod freshness;
pub mod functions;
mod histogram;
pub mod http;
pub mod identity;
mod jobs;
pub mod kserve;
pub mod node;
pub mod nsm;
pub mod program;
pub mod receipts;
mod server;
pub mod share;
pub mod tensor;
pub mod tls;
pub mod usage;
pub mod worker;
pub mod workers;
