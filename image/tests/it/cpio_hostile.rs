//! Archives that mean one thing to one reader and another to the next, or that cost more than they weigh.

use std::io::Write as _;

use nacre_image::cpio::{Limits, Reader, unpacked};
use proptest::prelude::*;

use crate::cpio::entries;

/// An entry's header fields that the tests change.
#[derive(Clone, Copy)]
struct Raw<'a> {
    mode: u32,
    links: u32,
    size: usize,
    checksum: u32,
    name: &'a str,
    content: &'a [u8],
}

const FILE: Raw<'static> = Raw {
    mode: 0o100_644,
    links: 1,
    size: 2,
    checksum: 0,
    name: "a",
    content: b"hi",
};

const FOLDER: Raw<'static> = Raw {
    mode: 0o040_755,
    size: 0,
    content: b"",
    ..FILE
};

const TRAILER: Raw<'static> = Raw {
    mode: 0,
    size: 0,
    name: "TRAILER!!!",
    content: b"",
    ..FILE
};

fn raw(entries: &[Raw<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let fields = [
            1,
            entry.mode,
            0,
            0,
            entry.links,
            0,
            entry.size as u32,
            0,
            0,
            0,
            0,
            entry.name.len() as u32 + 1,
            entry.checksum,
        ];
        bytes.extend(b"070701");
        fields
            .iter()
            .for_each(|field| bytes.extend(format!("{field:08X}").into_bytes()));
        bytes.extend(entry.name.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(entry.content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn refused(archive: &[u8]) -> &'static str {
    match entries(archive) {
        Ok(_) => "accepted",
        Err(error) => error.code(),
    }
}

fn with(entries: &[Raw<'_>]) -> &'static str {
    refused(&raw(&[entries, &[TRAILER]].concat()))
}

#[test]
fn what_an_image_does_not_have_is_refused() {
    assert_eq!(with(&[FILE]), "accepted");
    for mode in [0o060_600, 0o010_600, 0o140_600, 0o644, 0o150_600, 0x1_0000] {
        let entry = Raw {
            mode,
            size: 0,
            content: b"",
            ..FILE
        };
        assert_eq!(with(&[entry]), "cpio-file-type", "{mode:o}");
    }
    assert_eq!(with(&[Raw { links: 2, ..FILE }]), "cpio-hard-link");
    assert_eq!(
        with(&[Raw {
            checksum: 1,
            ..FILE
        }]),
        "cpio-checksum"
    );
    assert_eq!(
        with(&[Raw {
            mode: 0o040_755,
            ..FILE
        }]),
        "cpio-unexpected-content"
    );
    assert_eq!(
        with(&[Raw {
            mode: 0o020_600,
            ..FILE
        }]),
        "cpio-unexpected-content"
    );
}

#[test]
fn a_path_leads_to_one_place_inside() {
    for name in [
        "../a", "a/../b", "a//b", "a/./b", "//a", "..", ".", "/", "a/", "./../a", "a/..",
    ] {
        assert_eq!(with(&[Raw { name, ..FILE }]), "cpio-path", "{name:?}");
    }
    for name in ["a", "./a", "/a"] {
        let archive = raw(&[Raw { name, ..FILE }, TRAILER]);
        assert_eq!(entries(&archive).unwrap()[0].0.path, "/a");
        assert_eq!(
            with(&[FILE, Raw { name, ..FILE }]),
            "cpio-duplicate",
            "{name:?}"
        );
    }
    for name in [".", "/", "./"] {
        let archive = raw(&[Raw { name, ..FOLDER }, TRAILER]);
        assert_eq!(entries(&archive).unwrap()[0].0.path, "/");
    }
    let again = Raw {
        name: "a/",
        ..FOLDER
    };
    // As `nitro-cli` has it; but a folder is nothing else as well.
    assert_eq!(with(&[FOLDER, again]), "accepted");
    assert_eq!(with(&[FOLDER, FILE]), "cpio-duplicate");
    assert_eq!(with(&[FILE, FOLDER]), "cpio-duplicate");
    assert_eq!(
        with(&[Raw {
            name: "a\0b",
            ..FILE
        }]),
        "cpio-name"
    );
    assert_eq!(with(&[Raw { name: "", ..FILE }]), "cpio-name");
    assert_eq!(
        with(&[Raw {
            name: &"x".repeat(4096),
            ..FILE
        }]),
        "cpio-name"
    );
}

#[test]
fn nothing_is_below_what_is_no_folder() {
    let link = Raw {
        mode: 0o120_777,
        content: b"/e",
        ..FILE
    };
    let below = Raw {
        name: "a/b/c",
        ..FILE
    };
    assert_eq!(with(&[link, below]), "cpio-not-in-a-folder");
    assert_eq!(with(&[FILE, below]), "cpio-not-in-a-folder");
    assert_eq!(with(&[FOLDER, below]), "accepted");
}

#[test]
fn a_link_has_a_target_that_is_text() {
    let link = Raw {
        mode: 0o120_777,
        ..FILE
    };
    assert_eq!(with(&[link]), "accepted");
    assert_eq!(
        with(&[Raw {
            size: 0,
            content: b"",
            ..link
        }]),
        "cpio-link-target"
    );
    assert_eq!(
        with(&[Raw {
            content: b"\xff\xff",
            ..link
        }]),
        "cpio-link-target"
    );
    assert_eq!(
        with(&[Raw {
            content: b"a\0",
            ..link
        }]),
        "cpio-link-target"
    );
    assert_eq!(with(&[Raw { size: 4096, ..link }]), "cpio-link-target");
}

#[test]
fn the_archive_ends_with_its_trailer() {
    assert_eq!(refused(b""), "cpio-truncated");
    assert_eq!(refused(&raw(&[FILE])), "cpio-truncated");
    assert_eq!(
        with(&[Raw {
            size: 4_000,
            ..FILE
        }]),
        "cpio-truncated"
    );
    assert_eq!(
        with(&[Raw {
            size: u32::MAX as usize,
            ..FILE
        }]),
        "cpio-too-large"
    );
    assert_eq!(refused(&raw(&[Raw { size: 1, ..TRAILER }])), "cpio-trailer");
    assert_eq!(refused(&raw(&[TRAILER, FILE])), "cpio-after-trailer");
    assert_eq!(
        refused(&[raw(&[TRAILER]), vec![0; 1000]].concat()),
        "accepted"
    );
}

#[test]
fn numbers_magic_and_padding_are_strict() {
    let valid = raw(&[FILE, TRAILER]);
    let changed = |at: usize, byte: u8| {
        let mut bytes = valid.clone();
        bytes[at] = byte;
        refused(&bytes)
    };
    assert_eq!(changed(5, b'2'), "cpio-magic");
    assert_eq!(changed(6, b'+'), "cpio-number");
    assert_eq!(changed(110 + 2 + 2, 1), "cpio-padding", "after the content");
    assert_eq!(
        changed(111, b'x'),
        "cpio-name",
        "no zero byte at the name's end"
    );
}

#[test]
fn work_and_memory_are_bounded() {
    let limited = |archive: &[u8], limits: Limits| {
        let mut reader = Reader::new(unpacked(archive).unwrap(), limits);
        loop {
            match reader.next_entry() {
                Ok(Some(_)) => {}
                Ok(None) => return "accepted",
                Err(error) => return error.code(),
            }
        }
    };
    let archive = raw(&[FILE, Raw { name: "b", ..FILE }, TRAILER]);
    let enough = Limits {
        bytes: 4096,
        entries: 2,
        names: 15,
    };
    assert_eq!(limited(&archive, enough), "accepted");
    assert_eq!(
        limited(
            &archive,
            Limits {
                entries: 1,
                ..enough
            }
        ),
        "cpio-too-large"
    );
    assert_eq!(
        limited(
            &archive,
            Limits {
                names: 14,
                ..enough
            }
        ),
        "cpio-too-large"
    );
    assert_eq!(
        limited(
            &archive,
            Limits {
                bytes: 350,
                ..enough
            }
        ),
        "cpio-too-large"
    );
    // A bomb: 64 MiB of zeros in 64 KiB of gzip.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&raw(&[TRAILER])).unwrap();
    gzip.write_all(&vec![0; 64 << 20]).unwrap();
    let bomb = gzip.finish().unwrap();
    assert_eq!(
        limited(
            &bomb,
            Limits {
                bytes: 1 << 20,
                ..enough
            }
        ),
        "cpio-too-large"
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), at in 0_usize..500) {
        let mut archive = raw(&[FILE, FOLDER, TRAILER]);
        let _ = entries(&bytes);
        let at = at.min(archive.len());
        let end = (at + bytes.len()).min(archive.len());
        archive[at..end].copy_from_slice(&bytes[..end - at]);
        let _ = entries(&archive);
    }
}
