//! What one control plane is told at its start.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nacre_attestation_verifier::{Policy, Roots};
use nacre_telemetry::endpoint::MetricsArgs;

use crate::clock::Clock;

mod database;
mod jobs;
mod ledger;
mod limits;
mod uptime;

pub use database::Database;
pub(crate) use jobs::JobsArgs;
pub use jobs::JobsConfig;
pub(crate) use ledger::LedgerArgs;
pub use ledger::LedgerConfig;
pub(crate) use limits::LimitArgs;
pub use limits::{DEFAULT_AUDIT_KEPT, RateLimits};
pub(crate) use uptime::UptimeArgs;
pub use uptime::UptimeConfig;

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

/// Where the blobs are. Only control planes of one database use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectsAt {
    /// A folder, which is made if absent. Control planes on several machines need one that they share.
    Folder(PathBuf),
    /// S3, or what speaks like it. Credentials, region and `AWS_ENDPOINT_URL` come from the environment.
    S3 {
        /// The bucket.
        bucket: String,
        /// What all names begin with; may be empty.
        prefix: String,
    },
}

impl ObjectsAt {
    /// Where they are unless told otherwise.
    pub fn in_data(data: &Path) -> Self {
        Self::Folder(data.join("objects"))
    }
}

impl core::str::FromStr for ObjectsAt {
    type Err = ObjectsError;

    /// A folder's path or `s3://BUCKET[/PREFIX]`.
    fn from_str(text: &str) -> Result<Self, ObjectsError> {
        let Some(rest) = text.strip_prefix("s3://") else {
            return match text {
                "" => Err(ObjectsError),
                text if text.contains("://") => Err(ObjectsError),
                folder => Ok(Self::Folder(folder.into())),
            };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let may = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b);
        let prefix = prefix.trim_end_matches('/');
        if !(3..=63).contains(&bucket.len())
            || !bucket.bytes().all(may)
            || object_store::path::Path::parse(prefix).is_err()
        {
            return Err(ObjectsError);
        }
        Ok(Self::S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

/// Neither a folder nor a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("objects-url: blobs are kept in a folder or in s3://BUCKET/PREFIX")]
pub struct ObjectsError;

/// Configuration of [`crate::ControlPlane::bind`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Address to listen on; port 0 takes any.
    pub listen: SocketAddr,
    /// Where the database is.
    pub database: Database,
    /// Where the blobs are.
    pub objects: ObjectsAt,
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
    /// Rules of jobs.
    pub jobs: JobsConfig,
    /// Rules of uptime.
    pub uptime: UptimeConfig,
    /// Rules of the ledger.
    pub ledger: LedgerConfig,
    /// How often may be asked.
    pub rates: RateLimits,
    /// How long the audit log is kept.
    pub audit_kept: Duration,
    /// Whether something in front speaks TLS, so that an address other than loopback is safe. It names its callers in
    /// `X-Forwarded-For`.
    pub behind_tls_proxy: bool,
    /// Where metrics are read, if anywhere.
    pub metrics: MetricsArgs,
    /// The time.
    pub clock: Clock,
}

impl Config {
    /// The defaults: everything in one folder.
    pub fn new(data: PathBuf, roots: Roots, node_policy: Policy) -> Self {
        Self {
            listen: DEFAULT_LISTEN,
            objects: ObjectsAt::in_data(&data),
            database: Database::Folder(data),
            roots,
            node_policy,
            report_every: DEFAULT_REPORT_EVERY,
            offline_after: DEFAULT_OFFLINE_AFTER,
            max_blob_bytes: DEFAULT_MAX_BLOB,
            blob_grace: DEFAULT_BLOB_GRACE,
            jobs: JobsConfig::default(),
            uptime: UptimeConfig::default(),
            ledger: LedgerConfig::default(),
            rates: RateLimits::default(),
            audit_kept: DEFAULT_AUDIT_KEPT,
            behind_tls_proxy: false,
            metrics: MetricsArgs::default(),
            clock: Clock::system(),
        }
    }
}
