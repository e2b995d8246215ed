//! What the way out may be used for, and where it begins.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nacre_protocol::egress::{ALLOW_LIST_FILE, AllowList, AllowListError, MAX_ALLOW_LIST};
use nacre_protocol::vsock::{EGRESS_PORT, PARENT_CID};
use nacre_transport::Address;
use rustls::pki_types::CertificateDer;

/// Settings of [`super::Egress`]. The default allows nothing.
#[derive(Debug, Clone, Default)]
pub struct EgressSettings {
    /// The host's CONNECT proxy.
    pub proxy: Option<Address>,
    /// Where connections may go.
    pub allow: AllowList,
    /// How long things may take.
    pub limits: EgressLimits,
    /// Roots beside those of the web's PKI. A production build has no such thing.
    #[cfg(feature = "process-mode")]
    pub extra_roots: Vec<CertificateDer<'static>>,
}

/// Bounds of connections to the outside.
#[derive(Debug, Clone, Copy)]
pub struct EgressLimits {
    /// Connections at once.
    pub connections: usize,
    /// From the first byte to the host until TLS is up.
    pub connect: Duration,
    /// Longest time without a byte of an answer.
    pub idle: Duration,
    /// Time that a whole file has beside what its size takes at [`Self::least_rate`].
    pub patience: Duration,
    /// Bytes a second below which a source is given up for the next.
    pub least_rate: u64,
}

impl Default for EgressLimits {
    fn default() -> Self {
        Self {
            connections: 4,
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(10),
            patience: Duration::from_secs(15),
            least_rate: 1 << 20,
        }
    }
}

/// Files that make no settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A file cannot be read, or is too long.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    /// The allow-list is none.
    #[error("{0}: {1}")]
    AllowList(PathBuf, AllowListError),
}

impl SettingsError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(..) => "egress-file-unreadable",
            Self::AllowList(..) => "egress-allow-list-invalid",
        }
    }
}

impl EgressSettings {
    /// Those of an image: the parent's proxy, and the allow-list that was measured with it. An image without the list
    /// allows nothing.
    ///
    /// # Errors
    ///
    /// [`SettingsError`]; a list that cannot be understood is not taken for an empty one.
    pub fn of_image() -> Result<Self, SettingsError> {
        let path = Path::new(ALLOW_LIST_FILE);
        let allow = match read_allow_list(path) {
            Err(SettingsError::File(_, error)) if error.kind() == std::io::ErrorKind::NotFound => {
                AllowList::default()
            }
            read => read?,
        };
        let proxy = Address::Vsock {
            cid: PARENT_CID,
            port: EGRESS_PORT,
        };
        Ok(Self {
            proxy: Some(proxy),
            allow,
            ..Self::default()
        })
    }

    /// Those of process mode: all by name, and none by default. `root` is one certificate, in DER.
    ///
    /// # Errors
    ///
    /// [`SettingsError`].
    #[cfg(feature = "process-mode")]
    pub fn of_process(
        proxy: Option<Address>,
        allow: Option<&Path>,
        root: Option<&Path>,
    ) -> Result<Self, SettingsError> {
        let root = root.map(|path| read_bounded(path, MAX_ROOT)).transpose()?;
        Ok(Self {
            proxy,
            allow: allow.map(read_allow_list).transpose()?.unwrap_or_default(),
            extra_roots: root.map(CertificateDer::from).into_iter().collect(),
            ..Self::default()
        })
    }

    pub(super) fn extra_roots(&self) -> &[CertificateDer<'static>] {
        #[cfg(feature = "process-mode")]
        return &self.extra_roots;
        #[cfg(not(feature = "process-mode"))]
        return &[];
    }
}

/// Longest certificate that is read as a root.
#[cfg(feature = "process-mode")]
const MAX_ROOT: usize = 16 * 1024;

fn read_allow_list(path: &Path) -> Result<AllowList, SettingsError> {
    let bytes = read_bounded(path, MAX_ALLOW_LIST)?;
    AllowList::from_text(&bytes).map_err(|error| SettingsError::AllowList(path.into(), error))
}

fn read_bounded(path: &Path, most: usize) -> Result<Vec<u8>, SettingsError> {
    let failed = |error| SettingsError::File(path.into(), error);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    let read = file.take(most as u64 + 1).read_to_end(&mut bytes);
    read.map_err(failed)?;
    if bytes.len() > most {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}
