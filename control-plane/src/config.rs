//! What one control plane is told at its start.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use nacre_attestation_verifier::{Policy, Roots};

use crate::clock::Clock;

/// Where it listens unless told otherwise.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7600);
/// How often nodes report unless told otherwise.
pub const DEFAULT_REPORT_EVERY: Duration = Duration::from_secs(1);
/// After which silence a node is offline unless told otherwise.
pub const DEFAULT_OFFLINE_AFTER: Duration = Duration::from_secs(5);
/// Largest blob unless told otherwise: 8 GiB.
pub const DEFAULT_MAX_BLOB: u64 = 8 << 30;
/// How long an unused blob is kept unless told otherwise: time enough between the upload of a function's first blob and
/// the making of its version.
pub const DEFAULT_BLOB_GRACE: Duration = Duration::from_secs(3600);

/// Configuration of [`crate::ControlPlane::bind`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Address to listen on; port 0 takes any.
    pub listen: SocketAddr,
    /// Folder for the database and the blobs; made if absent. One control plane uses it at a time.
    pub data: PathBuf,
    /// The root that nodes' evidence must lead to.
    pub roots: Roots,
    /// The measurements that nodes' enclaves must have.
    pub node_policy: Policy,
    /// How often a node is told to report.
    pub report_every: Duration,
    /// After which silence a node is offline and its leases move.
    pub offline_after: Duration,
    /// Largest blob that is stored, bytes.
    pub max_blob_bytes: u64,
    /// How long a blob that no version has is kept after it was last put or asked for.
    pub blob_grace: Duration,
    /// Whether something in front speaks TLS, so that an address other than loopback is safe.
    pub behind_tls_proxy: bool,
    /// The time.
    pub clock: Clock,
}

impl Config {
    /// The defaults.
    pub fn new(data: PathBuf, roots: Roots, node_policy: Policy) -> Self {
        Self {
            listen: DEFAULT_LISTEN,
            data,
            roots,
            node_policy,
            report_every: DEFAULT_REPORT_EVERY,
            offline_after: DEFAULT_OFFLINE_AFTER,
            max_blob_bytes: DEFAULT_MAX_BLOB,
            blob_grace: DEFAULT_BLOB_GRACE,
            behind_tls_proxy: false,
            clock: Clock::system(),
        }
    }
}
