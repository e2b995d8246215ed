//! What is written is read back, and measured as AWS does.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;

use nacre_image::eif::{
    Architecture, Eif, EifError, Image, ReadAt, SectionKind, Source, write_file,
};
use proptest::prelude::*;
use sha2::{Digest as _, Sha384};

use crate::support::{Parts, metadata};

/// RECIPES' rule, on whole byte strings: SHA-384(48 zeros ‖ SHA-384(x)).
fn extension(parts: &[&[u8]]) -> Vec<u8> {
    let inner = Sha384::digest(parts.concat());
    Sha384::digest([&[0; 48], &inner[..]].concat()).to_vec()
}

fn bytes(mut reader: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn an_image_holds_what_was_put_in() {
    let parts = Parts::small();
    let (file, measurements) = parts.write(None);
    let eif = Eif::open(file).unwrap();
    assert_eq!(bytes(eif.kernel()), parts.kernel);
    assert_eq!(eif.command_line(), parts.command_line);
    assert_eq!(eif.metadata(), Some(&metadata()));
    assert_eq!(
        eif.ramdisks().map(bytes).collect::<Vec<_>>(),
        parts.ramdisks
    );
    assert_eq!(
        (eif.version(), eif.architecture()),
        (4, Architecture::X86_64)
    );
    assert_eq!((eif.default_memory(), eif.default_cpus()), (1 << 30, 2));
    assert_eq!(eif.measurements(), &measurements);
    assert!(eif.signer().is_none() && measurements.pcr8.is_none());
    let kinds: Vec<_> = eif.sections().iter().map(|section| section.kind).collect();
    use SectionKind::{CommandLine, Kernel, Ramdisk};
    assert_eq!(
        kinds,
        [Kernel, CommandLine, SectionKind::Metadata, Ramdisk, Ramdisk]
    );
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    assert_eq!(Parts::small().write(None).0, Parts::small().write(None).0);
}

#[test]
fn metadata_is_not_measured_and_may_be_absent() {
    let mut parts = Parts::small();
    let (_, with) = parts.write(None);
    parts.metadata = None;
    let (file, without) = parts.write(None);
    assert_eq!(with, without);
    assert_eq!(Eif::open(file).unwrap().metadata(), None);
}

#[test]
fn a_source_that_is_not_as_long_as_it_said_makes_no_image() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.eif");
    fs::write(&path, "what was there").unwrap();
    for said in [3, 5] {
        let parts = Parts::small();
        let image = Image {
            kernel: Source::new(&b"four"[..], said),
            ..parts.image(None)
        };
        let error = write_file(image, &path).unwrap_err();
        assert!(
            matches!(error, EifError::SourceChanged { name: "kernel" }),
            "{error}"
        );
    }
    assert_eq!(fs::read(&path).unwrap(), b"what was there");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing half-written"
    );
}

#[test]
fn what_could_not_be_read_is_not_written() {
    let refused = |change: &dyn Fn(&mut Parts)| {
        let mut parts = Parts::small();
        change(&mut parts);
        let mut out = std::io::Cursor::new(Vec::new());
        nacre_image::eif::write(parts.image(None), &mut out)
            .unwrap_err()
            .code()
    };
    assert_eq!(refused(&|parts| parts.kernel.clear()), "eif-empty-kernel");
    assert_eq!(
        refused(&|parts| parts.ramdisks.clear()),
        "eif-missing-section"
    );
    assert_eq!(
        refused(&|parts| parts.ramdisks = vec![vec![]; 30]),
        "eif-section-count"
    );
    assert_eq!(
        refused(&|parts| parts.command_line = "x".repeat(2048)),
        "eif-command-line-too-long"
    );
    assert_eq!(
        refused(&|parts| parts.command_line = "a\0b".to_owned()),
        "eif-command-line-nul"
    );
}

#[test]
fn a_file_is_written_whole_and_readable_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.eif");
    let parts = Parts::small();
    let measurements = write_file(parts.image(None), &path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), parts.write(None).0);
    let eif = Eif::open(fs::File::open(&path).unwrap()).unwrap();
    assert_eq!(eif.measurements(), &measurements);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o600,
        0o600
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Gives at most so many bytes at a time, and sometimes is interrupted.
struct Slow<'a> {
    file: &'a [u8],
    most: usize,
    calls: std::cell::Cell<usize>,
}

impl ReadAt for Slow<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.calls.set(self.calls.get() + 1);
        if self.calls.get().is_multiple_of(3) {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let most = self.most.min(buffer.len());
        self.file.read_at(&mut buffer[..most], offset)
    }

    fn length(&self) -> std::io::Result<u64> {
        self.file.length()
    }
}

proptest! {
    #[test]
    fn bytes_that_come_in_pieces_measure_the_same(most in 1_usize..300) {
        let (file, written) = Parts::small().write(None);
        let slow = Slow { file: &file, most, calls: Default::default() };
        let eif = Eif::open(slow).unwrap();
        prop_assert_eq!(eif.measurements(), &written);
    }

    #[test]
    fn any_image_is_read_back_and_measured_by_the_rule(
        kernel in prop::collection::vec(any::<u8>(), 1..3000),
        command_line in "[ -~]{0,200}",
        ramdisks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 1..6),
        with_metadata: bool,
    ) {
        let metadata = with_metadata.then(|| metadata().to_json());
        let parts = Parts { kernel, command_line, metadata, ramdisks };
        let (file, written) = parts.write(None);
        let eif = Eif::open(file).unwrap();
        prop_assert_eq!(eif.measurements(), &written);
        let boot = [&parts.kernel[..], parts.command_line.as_bytes()].concat();
        let whole = [&boot[..], &parts.ramdisks.concat()].concat();
        prop_assert_eq!(written.pcr0.to_vec(), extension(&[&whole]));
        prop_assert_eq!(written.pcr1.to_vec(), extension(&[&boot, &parts.ramdisks[0]]));
        prop_assert_eq!(written.pcr2.to_vec(), extension(&[&parts.ramdisks[1..].concat()]));
        prop_assert_eq!(bytes(eif.kernel()), parts.kernel);
        prop_assert_eq!(eif.ramdisks().map(bytes).collect::<Vec<_>>(), parts.ramdisks);
    }
}
