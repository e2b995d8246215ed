//! Programs out of a tree of Debian packages that lies anywhere.
//!
//! Each is started by a small script through **its own** loader and libraries, so that the
//! machine's glibc matters neither to the program nor to what it makes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::cache::{CacheError, at, write};

/// Where the scripts are in the tree.
pub(crate) const PROGRAMS: &str = "nacre/bin";
const LIBRARIES: [&str; 2] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
const LOADER: &str = "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";

/// How a program is started; in all of this, `$root` is the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start<'a> {
    /// The script's folder, in the tree.
    pub(crate) folder: &'a str,
    /// The program's file, in the tree.
    pub(crate) place: &'a str,
    /// What the program takes for its own name.
    pub(crate) name: &'a str,
    /// Lines of shell before it.
    pub(crate) before: &'a str,
    /// Its options before the caller's, each with a space before it.
    pub(crate) options: &'a str,
}

impl Start<'_> {
    /// The script's text.
    pub(crate) fn script(&self) -> String {
        let Self {
            folder,
            place,
            name,
            before,
            options,
        } = self;
        let libraries = LIBRARIES.map(|folder| format!("$root/{folder}")).join(":");
        format!(
            r#"#!/bin/sh
root=${{0%/{folder}/*}}
{before}exec "$root/{LOADER}" --library-path "{libraries}" --argv0 "{name}" "$root/{place}"{options} "$@"
"#
        )
    }
}

/// Writes a script that can be run.
pub(crate) fn write_script(path: &Path, text: &str) -> Result<(), CacheError> {
    write(path, text.as_bytes())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_program_gets_its_callers_arguments_wherever_its_tree_lies() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("a tree");
        for folder in [PROGRAMS, "lib/x86_64-linux-gnu"] {
            fs::create_dir_all(tree.join(folder)).unwrap();
        }
        // A loader that shows what it is given.
        write_script(&tree.join(LOADER), "#!/bin/sh\nprintf '%s\\n' \"$@\"\n").unwrap();
        let start = Start {
            folder: PROGRAMS,
            place: "usr/bin/tool",
            name: "$root/usr/bin/tool",
            before: "",
            options: " \"--sysroot=$root\"",
        };
        let script = tree.join(PROGRAMS).join("tool");
        write_script(&script, &start.script()).unwrap();
        let mut command = Command::new(&script);
        let ran = command.args(["two words", "$HOME", ""]).output().unwrap();
        let shown = String::from_utf8(ran.stdout).unwrap();
        let root = tree.display();
        let expected = format!(
            "--library-path\n{root}/lib/x86_64-linux-gnu:{root}/usr/lib/x86_64-linux-gnu\n\
             --argv0\n{root}/usr/bin/tool\n{root}/usr/bin/tool\n--sysroot={root}\ntwo words\n$HOME\n\n"
        );
        assert_eq!(shown, expected);
    }
}
