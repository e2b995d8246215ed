//! Folders of this machine, whose names have no business in a program.

use std::fs;
use std::path::{Path, PathBuf};

use super::BuildError;
use super::programs::NAMES;
use crate::cache::{Cache, at};
use crate::rust::Rust;

/// Shorter names (`/`, `/w`) are in every program by chance.
const SHORTEST: usize = 5;

/// The folders that take part in a build.
#[derive(Debug)]
pub(super) struct MachinePaths(Vec<String>);

impl MachinePaths {
    pub(super) fn of(workspace: &Path, cache: &Cache, rust: &Rust) -> Self {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let folders = [
            Some(workspace),
            Some(cache.dir()),
            Some(rust.cargo_home.as_path()),
            home.as_deref(),
        ];
        Self::among(folders.into_iter().flatten())
    }

    fn among<'a>(folders: impl Iterator<Item = &'a Path>) -> Self {
        let with_slash = folders
            // A workspace that lies in `/nacre` is called what every workspace is called.
            .filter(|path| !NAMES.iter().any(|name| *path == Path::new(name)))
            .map(|path| format!("{}/", path.display()));
        Self(with_slash.filter(|path| path.len() >= SHORTEST).collect())
    }

    /// Fails if the file has one of them inside.
    pub(super) fn none_in(&self, file: &Path) -> Result<(), BuildError> {
        let bytes = fs::read(file).map_err(at(file))?;
        let found = self.0.iter().find(|path| contains(&bytes, path.as_bytes()));
        match found {
            None => Ok(()),
            Some(path) => Err(BuildError::NotReproducible {
                file: file.to_owned(),
                path: path.clone(),
            }),
        }
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    let Some(last) = bytes.len().checked_sub(wanted.len()) else {
        return false;
    };
    (0..=last).any(|start| bytes[start] == wanted[0] && bytes[start..].starts_with(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_called_here_what_it_is_called_everywhere_is_no_trace() {
        let paths = |folders: &[&str]| MachinePaths::among(folders.iter().map(Path::new)).0;
        assert_eq!(paths(&["/nacre", "/home/a", "/w"]), ["/home/a/"]);
        assert_eq!(paths(&["/nacre/sub"]), ["/nacre/sub/"]);
    }

    #[test]
    fn a_program_with_a_folder_of_the_machine_inside_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("program");
        let paths = MachinePaths(vec!["/home/someone/".to_owned()]);
        for (content, clean) in [
            ("\0/home/someone/nacre/src/lib.rs", false),
            ("/home/someone/", false),
            ("/home/someon", true),
            ("/nacre/src/lib.rs", true),
            ("", true),
        ] {
            fs::write(&file, content).unwrap();
            let error = paths.none_in(&file).err().map(|error| error.code());
            assert_eq!(
                error,
                (!clean).then_some("image-not-reproducible"),
                "{content:?}"
            );
        }
    }
}
