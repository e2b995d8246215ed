//! A private directory for one boot's Unix sockets.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nacre_transport::MAX_UNIX_PATH;
use tempfile::TempDir;

/// Random characters in a directory's name.
const RANDOM: usize = 6;
/// The longest name of a socket inside, with its slash: `/control.sock`.
const LONGEST_SOCKET: usize = "/control.sock".len();

/// Makes a directory of mode 0700 that is removed on drop, under `$XDG_RUNTIME_DIR` or `/tmp`, whichever is short enough
/// for socket paths and can be written.
pub(crate) fn create(prefix: &str) -> io::Result<TempDir> {
    let mut error = io::Error::new(io::ErrorKind::NotFound, "no directory to make it in");
    for base in bases(prefix) {
        let made = tempfile::Builder::new()
            .prefix(prefix)
            .rand_bytes(RANDOM)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&base);
        match made {
            Ok(directory) => return Ok(directory),
            Err(e) => error = e,
        }
    }
    Err(error)
}

/// Removes what a killed predecessor with the same prefix left behind. The caller makes sure that none lives.
pub(crate) fn remove_stale(prefix: &str) {
    let own_uid = rustix::process::geteuid().as_raw();
    for base in bases(prefix) {
        let entries = fs::read_dir(&base).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| is_ours(&entry.file_name(), prefix)) {
            let ours = entry
                .metadata()
                .is_ok_and(|m| m.is_dir() && m.uid() == own_uid);
            if ours && let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::warn!(path = %entry.path().display(), %error, "a stale directory stays");
            }
        }
    }
}

fn is_ours(name: &std::ffi::OsStr, prefix: &str) -> bool {
    name.to_str()
        .and_then(|name| name.strip_prefix(prefix))
        .is_some_and(|random| random.len() == RANDOM)
}

fn bases(prefix: &str) -> impl Iterator<Item = PathBuf> {
    let longest = MAX_UNIX_PATH - LONGEST_SOCKET - RANDOM - prefix.len() - 1;
    std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .into_iter()
        .chain([Path::new("/tmp").to_owned()])
        .filter(move |base| base.is_absolute() && base.as_os_str().len() <= longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_private_short_and_go_away() {
        let directory = create("nacre-test-a-").unwrap();
        let path = directory.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert!(path.join("control.sock").as_os_str().len() <= MAX_UNIX_PATH);
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn only_ones_own_prefix_is_swept() {
        let stale = create("nacre-test-b-").unwrap().keep();
        fs::write(stale.join("nsm.sock"), "").unwrap();
        let other = create("nacre-test-b-c-").unwrap();
        remove_stale("nacre-test-b-");
        assert!(!stale.exists());
        assert!(other.path().exists());
    }
}
