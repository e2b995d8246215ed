//! Ramdisks: what is written is read back, and the bytes depend on nothing else.

use std::fs;
use std::io::{Read as _, Write as _};

use nacre_image::cpio::{Content, CpioError, Entry, EntryKind, Limits, Reader, Tree, unpacked};
use proptest::prelude::*;

use crate::support::archive;

/// Every entry, files with their bytes.
pub(crate) fn entries(archive: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, CpioError> {
    let mut reader = Reader::new(unpacked(archive)?, Limits::default());
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        entries.push((entry, bytes));
    }
    Ok(entries)
}

fn tree() -> Tree {
    let mut tree = Tree::new();
    // Not in order: the archive is.
    tree.file("/usr/lib/x", 0o644, Content::Bytes(b"content".to_vec()))
        .unwrap();
    tree.folder("/usr/lib", 0o755).unwrap();
    tree.folder("/usr", 0o755).unwrap();
    tree.link("/lib", "usr/lib").unwrap();
    tree.folder("/dev", 0o700).unwrap();
    tree.character_device("/dev/console", 0o600, 5, 1).unwrap();
    tree
}

#[test]
fn a_tree_is_read_back_in_the_order_of_its_paths() {
    let archive = archive(&tree());
    assert_eq!(archive.len() % 512, 0);
    let read = entries(&archive).unwrap();
    let shown: Vec<_> = read
        .iter()
        .map(|(entry, bytes)| {
            (
                entry.path.as_str(),
                entry.mode,
                &entry.kind,
                bytes.as_slice(),
            )
        })
        .collect();
    let link = EntryKind::Link {
        target: "usr/lib".to_owned(),
    };
    let console = EntryKind::CharacterDevice { major: 5, minor: 1 };
    assert_eq!(
        shown,
        [
            ("/dev", 0o700, &EntryKind::Folder, &b""[..]),
            ("/dev/console", 0o600, &console, b""),
            ("/lib", 0o777, &link, b""),
            ("/usr", 0o755, &EntryKind::Folder, b""),
            ("/usr/lib", 0o755, &EntryKind::Folder, b""),
            (
                "/usr/lib/x",
                0o644,
                &EntryKind::File { length: 7 },
                b"content"
            ),
        ]
    );
    assert!(read.iter().all(|(entry, _)| entry.owner == (0, 0)));
}

#[test]
fn gnu_cpio_reads_the_archive() {
    // The peer, where it is installed.
    let Ok(mut child) = std::process::Command::new("cpio")
        .args(["--list", "--quiet"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
    else {
        eprintln!("left out: GNU cpio is not installed");
        return;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&archive(&tree()))
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let listing = String::from_utf8(output.stdout).unwrap();
    let names = ["dev", "dev/console", "lib", "usr", "usr/lib", "usr/lib/x"];
    assert_eq!(listing.lines().collect::<Vec<_>>(), names);
}

#[test]
fn a_files_content_comes_from_the_disk_when_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source");
    fs::write(&path, vec![9; 70_000]).unwrap();
    let mut tree = Tree::new();
    tree.file("/a", 0o755, Content::File(path.clone())).unwrap();
    let read = entries(&archive(&tree)).unwrap();
    assert_eq!(read[0].1, vec![9; 70_000]);
    fs::remove_file(&path).unwrap();
    let error = tree.write(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("/a"), "{error}");
}

#[test]
fn what_the_kernel_would_leave_out_is_not_written() {
    let refused = |build: &dyn Fn(&mut Tree) -> Result<(), CpioError>| {
        let mut tree = Tree::new();
        let built = build(&mut tree);
        built
            .and_then(|()| tree.write(&mut Vec::new()).map(drop))
            .unwrap_err()
            .code()
    };
    let bytes = || Content::Bytes(Vec::new());
    assert_eq!(
        refused(&|tree| tree.file("/a/b", 0o644, bytes())),
        "cpio-no-folder"
    );
    assert_eq!(
        refused(&|tree| {
            tree.link("/a", "b")?;
            tree.file("/a/b", 0o644, bytes())
        }),
        "cpio-not-in-a-folder"
    );
    assert_eq!(
        refused(&|tree| {
            tree.folder("/a", 0o755)?;
            tree.link("/a", "b")
        }),
        "cpio-duplicate"
    );
    assert_eq!(refused(&|tree| tree.link("/a", "")), "cpio-link-target");
    for path in [
        "",
        "a",
        "/a/",
        "//a",
        "/a/../b",
        "/.",
        "/a\0b",
        "/TRAILER!!!",
    ] {
        assert_eq!(
            refused(&|tree| tree.folder(path, 0o755)),
            "cpio-path",
            "{path:?}"
        );
    }
}

#[test]
fn a_compressed_ramdisk_is_read_as_the_kernel_does() {
    let plain = archive(&tree());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let mut packed = gzip.finish().unwrap();
    assert_eq!(entries(&packed).unwrap(), entries(&plain).unwrap());
    packed.extend([0; 100]);
    assert_eq!(entries(&packed).unwrap(), entries(&plain).unwrap());
    packed.push(1);
    assert_eq!(entries(&packed).unwrap_err().code(), "cpio-gzip");
    packed.truncate(40);
    assert_eq!(entries(&packed).unwrap_err().code(), "cpio-truncated");
}

proptest! {
    #[test]
    fn any_tree_is_read_back(
        files in prop::collection::btree_map("[a-zé!-]{1,8}", (0_u32..0o10000, prop::collection::vec(any::<u8>(), 0..600)), 0..20),
    ) {
        let mut tree = Tree::new();
        tree.folder("/f", 0o755).unwrap();
        for (name, (mode, bytes)) in &files {
            tree.file(&format!("/f/{name}"), *mode, Content::Bytes(bytes.clone())).unwrap();
        }
        let read = entries(&archive(&tree)).unwrap();
        prop_assert_eq!(read.len(), files.len() + 1);
        for ((name, (mode, bytes)), (entry, read)) in files.iter().zip(&read[1..]) {
            prop_assert_eq!((&entry.path, entry.mode, read), (&format!("/f/{name}"), *mode, bytes));
        }
    }
}
