//! What the root file system must hold, as `/etc/nacre/manifest` lists it.
//!
//! One entry a line, sorted by path, every line ended:
//!
//! ```text
//! <SHA-256, 64 hex digits> <mode, 4 octal digits> <length> <path>
//! link <target> <path>
//! dir <mode> <path>
//! ```
//!
//! Paths are absolute, of printable ASCII without spaces. The reader is strict: there is one way to write a manifest, and
//! anything else is refused, although the file is measured.

use std::collections::BTreeMap;

use crate::refusal::Refusal;

/// Where the manifest stands.
pub const PATH: &str = "/etc/nacre/manifest";

/// Largest manifest in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Longest path in bytes.
const MAX_PATH: usize = 1024;

/// The entries by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    entries: BTreeMap<String, Expected>,
}

/// What must stand at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// A regular file.
    File {
        /// SHA-256 of its bytes.
        sha256: [u8; 32],
        /// Permission bits.
        mode: u32,
        /// Length in bytes.
        length: u64,
    },
    /// A symbolic link.
    Link {
        /// What it says, not resolved.
        target: String,
    },
    /// A folder.
    Folder {
        /// Permission bits.
        mode: u32,
    },
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// `manifest-malformed`, with the line's number.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let malformed = |line: usize, what: &str| {
            Refusal::new("manifest-malformed", format!("{PATH} line {line}: {what}"))
        };
        if bytes.len() > MAX_BYTES {
            return Err(malformed(0, "longer than a megabyte"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| malformed(0, "not text"))?;
        let mut entries = BTreeMap::new();
        let mut number = 0;
        let mut rest = text;
        while !rest.is_empty() {
            number += 1;
            let (line, after) = rest
                .split_once('\n')
                .ok_or_else(|| malformed(number, "not ended"))?;
            let (path, expected) = entry(line).map_err(|what| malformed(number, what))?;
            if entries
                .last_key_value()
                .is_some_and(|(last, _): (&String, _)| last.as_str() >= path)
            {
                return Err(malformed(number, "out of order"));
            }
            entries.insert(path.to_owned(), expected);
            rest = after;
        }
        Ok(Self { entries })
    }

    /// What must stand at this path.
    pub fn get(&self, path: &str) -> Option<&Expected> {
        self.entries.get(path)
    }

    /// All entries, by path.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Expected)> {
        self.entries
            .iter()
            .map(|(path, expected)| (path.as_str(), expected))
    }
}

fn entry(line: &str) -> Result<(&str, Expected), &'static str> {
    let words: Vec<&str> = line.splitn(5, ' ').collect();
    match *words.as_slice() {
        ["link", target, path] => {
            if target.is_empty() || !is_plain(target) {
                return Err("the link's target is malformed");
            }
            let target = target.to_owned();
            Ok((absolute(path)?, Expected::Link { target }))
        }
        ["dir", mode, path] => Ok((absolute(path)?, Expected::Folder { mode: octal(mode)? })),
        [hash, mode, length, path] => {
            let file = Expected::File {
                sha256: sha256(hash)?,
                mode: octal(mode)?,
                length: decimal(length)?,
            };
            Ok((absolute(path)?, file))
        }
        _ => Err("neither a file, nor a link, nor a folder"),
    }
}

/// Absolute and in its one form.
fn absolute(path: &str) -> Result<&str, &'static str> {
    let malformed = Err("the path is malformed");
    let Some(relative) = path.strip_prefix('/') else {
        return malformed;
    };
    if path.len() > MAX_PATH || !is_plain(path) {
        return malformed;
    }
    if relative
        .split('/')
        .any(|name| ["", ".", ".."].contains(&name))
    {
        return malformed;
    }
    Ok(path)
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn sha256(hex: &str) -> Result<[u8; 32], &'static str> {
    let malformed = "the hash is not 64 lower-case hex digits";
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(malformed),
    };
    let digits: &[u8; 64] = hex.as_bytes().try_into().map_err(|_| malformed)?;
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(hash)
}

fn octal(mode: &str) -> Result<u32, &'static str> {
    let malformed = "the mode is not four octal digits";
    if mode.len() != 4 || !mode.bytes().all(|digit| (b'0'..=b'7').contains(&digit)) {
        return Err(malformed);
    }
    u32::from_str_radix(mode, 8).map_err(|_| malformed)
}

fn decimal(length: &str) -> Result<u64, &'static str> {
    let malformed = "the length is malformed";
    let canonical = !length.is_empty() && length.bytes().all(|digit| digit.is_ascii_digit());
    if !canonical || (length.len() > 1 && length.starts_with('0')) {
        return Err(malformed);
    }
    length.parse().map_err(|_| malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn files_links_and_folders_are_read() {
        let text = format!(
            "link usr/lib /lib\ndir 0755 /usr\n{HASH} 0644 0 /usr/empty\n{HASH} 4755 17 /usr/tool\n"
        );
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let link = Expected::Link {
            target: "usr/lib".to_owned(),
        };
        assert_eq!(manifest.get("/lib"), Some(&link));
        assert_eq!(
            manifest.get("/usr"),
            Some(&Expected::Folder { mode: 0o755 })
        );
        let Some(Expected::File {
            sha256,
            mode,
            length,
        }) = manifest.get("/usr/tool")
        else {
            panic!("no file");
        };
        assert_eq!(
            (hex::encode(sha256).as_str(), *mode, *length),
            (HASH, 0o4755, 17)
        );
        assert_eq!(manifest.entries().count(), 4);
    }

    #[test]
    fn there_is_one_way_to_write_it() {
        for wrong in [
            "dir 0755 /usr".to_owned(),
            "dir 755 /usr\n".to_owned(),
            "dir 0788 /usr\n".to_owned(),
            "dir +755 /usr\n".to_owned(),
            "dir 0755 usr\n".to_owned(),
            "dir 0755 /\n".to_owned(),
            "dir 0755 /usr/\n".to_owned(),
            "dir 0755 //usr\n".to_owned(),
            "dir 0755 /usr/../etc\n".to_owned(),
            "dir 0755 /a b\n".to_owned(),
            "dir 0755  /usr\n".to_owned(),
            "dir 0755 /usr \n".to_owned(),
            "dir 0755 /usr\r\n".to_owned(),
            "dir 0755 /\u{e4}\n".to_owned(),
            "\n".to_owned(),
            "# comment\n".to_owned(),
            "link  /lib\n".to_owned(),
            "node 0600 /dev/null\n".to_owned(),
            "dir 0755 /b\ndir 0755 /a\n".to_owned(),
            "dir 0755 /a\ndir 0755 /a\n".to_owned(),
            format!("{} 0644 0 /a\n", HASH.to_uppercase()),
            format!("{} 0644 0 /a\n", &HASH[1..]),
            format!("{HASH} 0644 00 /a\n"),
            format!("{HASH} 0644 +1 /a\n"),
            format!("{HASH} 0644  /a\n"),
            format!("{HASH} 0644 18446744073709551616 /a\n"),
            format!("{HASH} 0644 0 /a extra\n"),
        ] {
            let refused = Manifest::parse(wrong.as_bytes());
            assert!(
                refused.is_err_and(|refusal| refusal.code() == "manifest-malformed"),
                "{wrong:?} was read"
            );
        }
        assert!(Manifest::parse(&vec![b'\n'; MAX_BYTES + 1]).is_err());
        assert!(Manifest::parse(b"dir 0755 /\xff\n").is_err());
    }

    /// Writes a manifest as an image's builder does.
    fn written(manifest: &Manifest) -> String {
        let mut text = String::new();
        for (path, expected) in manifest.entries() {
            text += &match expected {
                Expected::File {
                    sha256,
                    mode,
                    length,
                } => format!("{} {mode:04o} {length} {path}\n", hex::encode(sha256)),
                Expected::Link { target } => format!("link {target} {path}\n"),
                Expected::Folder { mode } => format!("dir {mode:04o} {path}\n"),
            };
        }
        text
    }

    fn expected() -> impl Strategy<Value = Expected> {
        prop_oneof![
            (any::<[u8; 32]>(), 0u32..0o10000, any::<u64>()).prop_map(|(sha256, mode, length)| {
                Expected::File {
                    sha256,
                    mode,
                    length,
                }
            }),
            "[!-~]{1,20}".prop_map(|target| Expected::Link { target }),
            (0u32..0o10000).prop_map(|mode| Expected::Folder { mode }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            entries in prop::collection::btree_map("(/[a-z0-9_+-]{1,8}){1,4}", expected(), 0..20)
        ) {
            let manifest = Manifest { entries };
            prop_assert_eq!(Manifest::parse(written(&manifest).as_bytes()), Ok(manifest));
        }

        /// What is accepted is already in its one form.
        #[test]
        fn what_is_read_is_written_the_same(text in "((dir|link|[0-9a-f]{64}) ([0-7]{4}|[a-z/.]{1,4}) ([0-9]{1,3} )?/[a-z./ ]{1,5}\n){0,3}") {
            if let Ok(manifest) = Manifest::parse(text.as_bytes()) {
                prop_assert_eq!(written(&manifest), text);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Manifest::parse(&bytes);
        }
    }
}
