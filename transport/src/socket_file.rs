//! The file of a listening Unix socket: private from its first moment, never stolen from a living listener, gone
//! afterwards.

use std::fs::{self, File, Metadata, Permissions, TryLockError};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixSocket, UnixStream};

use crate::listener::BACKLOG;

/// Removes the socket's file on drop, if it is still the one that was bound.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// Binds a listener to the path with mode 0600. A file left behind by a dead process is replaced; a living
    /// listener's, or a file that is no socket, is an error.
    pub(crate) async fn bind(path: &Path) -> io::Result<(UnixListener, Self)> {
        // Two processes that both find the same stale file must not delete each other's new one.
        let _lock = lock_directory(path).await?;
        remove_stale(path).await?;
        let socket = UnixSocket::new_stream()?;
        // On Linux the file takes its mode from the socket's own inode, so there is no moment with a wider one.
        File::from(socket.as_fd().try_clone_to_owned()?)
            .set_permissions(Permissions::from_mode(0o600))?;
        socket.bind(path)?;
        let file = Self {
            path: path.to_owned(),
            identity: identity(&fs::symlink_metadata(path)?),
        };
        Ok((socket.listen(BACKLOG)?, file))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|m| identity(&m) == self.identity);
        if ours {
            // Nobody to tell; the next listener replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

async fn lock_directory(path: &Path) -> io::Result<File> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let directory = File::open(parent.unwrap_or(Path::new(".")))?;
    match directory.try_lock() {
        Ok(()) => Ok(directory),
        Err(TryLockError::Error(e)) => Err(e),
        Err(TryLockError::WouldBlock) => tokio::task::spawn_blocking(move || {
            directory.lock()?;
            Ok(directory)
        })
        .await
        .map_err(io::Error::other)?,
    }
}

async fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the path exists and is not a socket",
        ));
    }
    match UnixStream::connect(path).await {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        // Connected, or the backlog is full: somebody listens.
        Ok(_) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}
