//! What an enclave is told at its start.

use std::time::Duration;

use nacre_transport::Address;

use crate::egress::EgressSettings;
use crate::functions::WorkerSettings;
use crate::http::ConnectionLimits;
use crate::node::FrontLimits;

/// Largest request body where nothing else is said.
pub const DEFAULT_MAX_BODY: usize = 64 << 20;

/// Everything that one enclave needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where callers come in, with TLS.
    pub tls: Address,
    /// Where the host tells the enclave what to run, without TLS.
    pub control: Address,
    /// Bytes that blobs and workers may hold together.
    pub memory: u64,
    /// How workers are run.
    pub workers: WorkerSettings,
    /// Where the enclave may reach out to.
    pub egress: EgressSettings,
    /// Limits of the public server.
    pub limits: Limits,
}

/// Limits of the public server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest request body in bytes, before and after content decoding.
    pub max_body: usize,
    /// Bytes that all request bodies together may hold.
    pub body_memory: usize,
    /// Most connections at once; more wait to be accepted.
    pub max_connections: usize,
    /// Longest TLS handshake.
    pub handshake: Duration,
    /// Longest time without a byte of a body.
    pub body_idle: Duration,
    /// Time limits of a connection.
    pub connection: ConnectionLimits,
}

impl Limits {
    pub(crate) fn front(&self) -> FrontLimits {
        FrontLimits {
            max_connections: self.max_connections,
            handshake: self.handshake,
            connection: self.connection,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body: DEFAULT_MAX_BODY,
            body_memory: 4 * DEFAULT_MAX_BODY,
            max_connections: 4096,
            handshake: Duration::from_secs(10),
            body_idle: Duration::from_secs(10),
            connection: ConnectionLimits::default(),
        }
    }
}
