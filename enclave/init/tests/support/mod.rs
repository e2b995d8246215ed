//! A root file system to be checked, in a folder of its own.
#![allow(dead_code, reason = "each test uses a part")]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What stands in a tree.
pub(crate) enum Entry {
    Folder(u32),
    Link(String),
    File(u32, Vec<u8>),
}

/// A folder with `/etc/nacre` in it.
pub(crate) struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let tree = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        tree.folder("etc", 0o755);
        tree.folder("etc/nacre", 0o755);
        tree
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn folder(&self, path: &str, mode: u32) {
        let path = self.path(path);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn file(&self, path: &str, bytes: &[u8], mode: u32) {
        let path = self.path(path);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Puts a program at `to`, and the libraries that it is linked with where its loader looks for them.
    pub(crate) fn program(&self, program: &Path, to: &str) {
        self.file(to, &fs::read(program).unwrap(), 0o755);
        let linked = Command::new("ldd").arg(program).output().unwrap();
        for word in String::from_utf8(linked.stdout).unwrap().split_whitespace() {
            let Some(library) = word.strip_prefix('/') else {
                continue;
            };
            for (end, _) in library.match_indices('/') {
                self.folder(&library[..end], 0o755);
            }
            self.file(library, &fs::read(word).unwrap(), 0o755);
        }
    }

    /// Calls `take` with each entry and its absolute path.
    pub(crate) fn each(&self, mut take: impl FnMut(&str, Entry)) {
        let mut lines = Vec::new();
        self.list("", &mut lines);
        lines.sort();
        for (path, _) in lines {
            let at = self.path(path.trim_start_matches('/'));
            let metadata = fs::symlink_metadata(&at).unwrap();
            let mode = metadata.permissions().mode() & 0o7777;
            let entry = if metadata.is_symlink() {
                Entry::Link(fs::read_link(&at).unwrap().to_str().unwrap().to_owned())
            } else if metadata.is_dir() {
                Entry::Folder(mode)
            } else {
                Entry::File(mode, fs::read(&at).unwrap())
            };
            take(&path, entry);
        }
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        symlink(target, self.path(path)).unwrap();
    }

    /// Lists all that is there now, but for what a manifest never lists.
    pub(crate) fn write_manifest(&self) {
        let mut lines = Vec::new();
        self.list("", &mut lines);
        lines.sort();
        let mut manifest = String::new();
        for (path, line) in lines {
            if !["/init", "/etc/nacre/manifest"].contains(&path.as_str()) {
                writeln!(manifest, "{line} {path}").unwrap();
            }
        }
        self.file("etc/nacre/manifest", manifest.as_bytes(), 0o644);
    }

    fn list(&self, folder: &str, lines: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(self.path(folder.trim_start_matches('/'))).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            let metadata = entry.metadata().unwrap();
            let mode = metadata.permissions().mode() & 0o7777;
            if metadata.is_symlink() {
                let target = fs::read_link(entry.path()).unwrap();
                lines.push((path, format!("link {}", target.display())));
            } else if metadata.is_dir() {
                self.list(&path, lines);
                lines.push((path, format!("dir {mode:04o}")));
            } else {
                let bytes = fs::read(entry.path()).unwrap();
                let hash = hex::encode(Sha256::digest(&bytes));
                lines.push((path, format!("{hash} {mode:04o} {}", bytes.len())));
            }
        }
    }
}
