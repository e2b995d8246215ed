//! What a node keeps on disk: its operator's key, its id, and the port it had.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use nacre_protocol::ids::{NodeId, OperatorId};
use tempfile::NamedTempFile;

const KEY_FILE: &str = "operator.key";
const NODE_FILE: &str = "node-id";
const PORT_FILE: &str = "port";
const LOCK_FILE: &str = "lock";

/// A node's data directory, locked: one node, one process.
#[derive(Debug)]
pub struct NodeData {
    directory: PathBuf,
    identity: NodeIdentity,
    _lock: File,
}

/// Who a node is. The key signs registrations and what its operator wants of it, and nothing else.
#[derive(Debug, Clone)]
pub struct NodeIdentity {
    /// The operator's Ed25519 key.
    pub operator_key: SigningKey,
    /// The node.
    pub node: NodeId,
}

impl NodeIdentity {
    /// The operator: the key's public half.
    pub fn operator(&self) -> OperatorId {
        OperatorId::from_public_key(self.operator_key.verifying_key().to_bytes())
    }
}

/// A data directory that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process runs this node.
    #[error("another process already runs the node whose data is in {0}")]
    Locked(PathBuf),
    /// The key's file is not what was written there.
    #[error(
        "{0} does not hold an Ed25519 key in 64 hex digits; restore it from a backup, or remove it to become another operator"
    )]
    Key(PathBuf),
    /// Others can read the key.
    #[error("{0} can be read by others; `chmod 600` it, or remove it if the key may have leaked")]
    KeyMode(PathBuf),
    /// The id's file is not what was written there.
    #[error(
        "{0} does not hold a node's id; restore it from a backup, or remove it to become another node"
    )]
    Node(PathBuf),
    /// The system gave no randomness.
    #[error("the system gave no random bytes: {0}")]
    Random(getrandom::Error),
}

impl NodeData {
    /// Opens the directory; makes it (mode 0700), the key (mode 0600) and the id at the first start.
    pub fn open(directory: &Path) -> Result<Self, DataError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(at(directory))?;
        let lock = lock(directory)?;
        let identity = NodeIdentity {
            operator_key: operator_key(&directory.join(KEY_FILE))?,
            node: node_id(&directory.join(NODE_FILE))?,
        };
        Ok(Self {
            directory: directory.to_owned(),
            identity,
            _lock: lock,
        })
    }

    /// Who the node of a directory is, whether or not it runs; nothing is made.
    pub fn identity_in(directory: &Path) -> Result<NodeIdentity, DataError> {
        for file in [KEY_FILE, NODE_FILE] {
            let path = directory.join(file);
            fs::metadata(&path).map_err(at(&path))?;
        }
        Ok(NodeIdentity {
            operator_key: operator_key(&directory.join(KEY_FILE))?,
            node: node_id(&directory.join(NODE_FILE))?,
        })
    }

    /// Who the node is.
    pub fn identity(&self) -> &NodeIdentity {
        &self.identity
    }

    /// The port that callers used last time, if it is known.
    pub fn last_port(&self) -> Option<u16> {
        let text = fs::read_to_string(self.directory.join(PORT_FILE)).ok()?;
        text.trim().parse().ok().filter(|port| *port != 0)
    }

    /// Keeps the port for the next start.
    pub fn keep_port(&self, port: u16) -> Result<(), DataError> {
        let path = self.directory.join(PORT_FILE);
        let file = written(&path, &format!("{port}\n"))?;
        file.persist(&path)
            .map(drop)
            .map_err(|e| at(&path)(e.error))
    }
}

fn lock(directory: &Path) -> Result<File, DataError> {
    let path = directory.join(LOCK_FILE);
    let file = File::create(&path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DataError::Locked(directory.to_owned())),
        Err(TryLockError::Error(e)) => Err(at(&path)(e)),
    }
}

fn operator_key(path: &Path) -> Result<SigningKey, DataError> {
    let text = read_or_create(path, hex::encode)?;
    let mode = fs::metadata(path).map_err(at(path))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(DataError::KeyMode(path.to_owned()));
    }
    let mut seed = [0; 32];
    hex::decode_to_slice(text.trim(), &mut seed).map_err(|_| DataError::Key(path.to_owned()))?;
    Ok(SigningKey::from_bytes(&seed))
}

fn node_id(path: &Path) -> Result<NodeId, DataError> {
    let text = read_or_create(path, |random| {
        let mut id = [0; 16];
        id.copy_from_slice(&random[..16]);
        NodeId::from_random(id).to_string()
    })?;
    text.trim()
        .parse()
        .map_err(|_| DataError::Node(path.to_owned()))
}

/// The file's text; at the first start, what `make` makes of 32 random bytes, written whole or not at all.
fn read_or_create(path: &Path, make: fn([u8; 32]) -> String) -> Result<String, DataError> {
    match fs::read_to_string(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        found => return found.map_err(at(path)),
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(DataError::Random)?;
    let text = make(random);
    written(path, &format!("{text}\n"))?
        .persist_noclobber(path)
        .map_err(|e| at(path)(e.error))?;
    let parent = path.parent().unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(at(parent))?;
    Ok(text)
}

/// A temporary file beside `path`, mode 0600, with the text on disk.
fn written(path: &Path, text: &str) -> Result<NamedTempFile, DataError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(parent)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(at(path))
}

fn at(path: &Path) -> impl Fn(io::Error) -> DataError {
    move |source| DataError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_stays_who_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/data");
        let first = NodeData::open(&path).unwrap();
        let (operator, node) = (first.identity().operator(), first.identity().node);
        assert!(matches!(NodeData::open(&path), Err(DataError::Locked(_))));
        drop(first);
        let again = NodeData::open(&path).unwrap();
        assert_eq!(again.identity().operator(), operator);
        assert_eq!(again.identity().node, node);
        for (name, mode) in [(KEY_FILE, 0o600), (NODE_FILE, 0o600), ("", 0o700)] {
            let metadata = fs::metadata(path.join(name)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
        }
    }

    #[test]
    fn a_damaged_or_open_key_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        drop(NodeData::open(dir.path()).unwrap());
        let key = dir.path().join(KEY_FILE);
        fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            NodeData::open(dir.path()),
            Err(DataError::KeyMode(_))
        ));
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        fs::write(&key, "short").unwrap();
        assert!(matches!(NodeData::open(dir.path()), Err(DataError::Key(_))));
        assert_eq!(fs::read_to_string(&key).unwrap(), "short");
    }

    #[test]
    fn the_port_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let data = NodeData::open(dir.path()).unwrap();
        assert_eq!(data.last_port(), None);
        data.keep_port(4321).unwrap();
        data.keep_port(1234).unwrap();
        assert_eq!(data.last_port(), Some(1234));
        fs::write(dir.path().join(PORT_FILE), "99999").unwrap();
        assert_eq!(data.last_port(), None);
    }
}
