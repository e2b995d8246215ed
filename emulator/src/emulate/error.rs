//! Why an emulator did not run, or ended.

use std::time::Duration;

use nacre_image::cache::CacheError;
use nacre_image::debian::DebianError;

use crate::faults::{CommandError, FaultError, FileError};
use crate::machine::MachineError;
use crate::pki::store::StoreError;
use crate::pki::{IdentityError, IssueError};
use crate::socket::BindError;

/// Why an emulator did not run, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmulateError {
    /// Neither an image nor a command.
    #[error("give an image with --eif, --vsock and --pki-dir")]
    NothingToDo,
    /// The image, or the machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The guest ended in order, but never said that it runs.
    #[error(
        "the guest ended before it said that it runs; --console shows what it said instead, and --no-heartbeat is for images that say nothing"
    )]
    EndedBeforeReady,
    /// The guest did not say in time that it runs.
    #[error(
        "the guest has not said within {0:?} that it runs (--boot-within); --console shows what it does, and --no-heartbeat is for images that say nothing"
    )]
    BootTimedOut(Duration),
    /// The fault `enclave-kill`.
    #[error("the enclave was killed by a fault, as asked for")]
    KilledByFault,
    /// QEMU could not be had.
    #[error(transparent)]
    Qemu(#[from] DebianError),
    /// The cache, where QEMU would be.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A socket.
    #[error(transparent)]
    Socket(#[from] BindError),
    /// The development root.
    #[error(transparent)]
    Root(#[from] StoreError),
    /// The module's certificates.
    #[error(transparent)]
    Certificates(#[from] IssueError),
    /// The instance's id.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The file of faults.
    #[error(transparent)]
    FaultsFile(#[from] FileError),
    /// Words that are no fault.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// An emulator that did not follow.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Anything else of the system's.
    #[error("{0:#}")]
    System(anyhow::Error),
}

impl EmulateError {
    /// A stable kebab-case name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NothingToDo => "usage",
            Self::Machine(error) => error.code(),
            Self::EndedBeforeReady => "ended-before-ready",
            Self::BootTimedOut(_) => "boot-timed-out",
            Self::KilledByFault => "killed-by-fault",
            Self::Qemu(error) => error.code(),
            Self::Cache(error) => error.code(),
            Self::Socket(_) => "socket",
            Self::Root(_) => "development-root",
            Self::Certificates(_) => "certificates",
            Self::Identity(_) => "instance-id",
            Self::FaultsFile(error) => error.code(),
            Self::Fault(_) => "faults-unknown",
            Self::Command(error) => error.code(),
            Self::System(_) => "system",
        }
    }
}
