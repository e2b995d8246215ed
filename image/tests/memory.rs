//! An image of any size is written, read and signed in little memory. A process of its own: its peak is what counts.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::fs::{self, File};
use std::io::{Read as _, repeat};

use nacre_image::eif::{Architecture, Eif, Image, Source, write_file};

const RAMDISK: u64 = 192 << 20;
const MOST_KIB: u64 = 24 << 10;

/// The most memory that this process has had, KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_large_image_needs_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.eif");
    let before = peak();
    let image = Image {
        architecture: Architecture::X86_64,
        default_memory: 0,
        default_cpus: 0,
        kernel: Source::bytes(b"kernel"),
        command_line: String::new(),
        metadata: None,
        ramdisks: vec![
            Source::bytes(b""),
            Source::new(repeat(0).take(RAMDISK), RAMDISK),
        ],
        signer: None,
    };
    let written = write_file(image, &path).unwrap();
    let eif = Eif::open(File::open(&path).unwrap()).unwrap();
    assert_eq!(eif.measurements(), &written);
    let more = peak() - before;
    assert!(
        more < MOST_KIB,
        "{more} KiB for an image of {} KiB",
        RAMDISK >> 10
    );
}
