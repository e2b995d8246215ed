//! Two images that differ, and what is said of it.

use nacre_image::cpio::{Content, Tree};
use nacre_image::diff::{Change, Diff, Kind, MAX_CHANGES};
use nacre_image::eif::{Eif, Metadata};

use crate::signing::signer;
use crate::support::{Parts, archive, metadata};

fn diff(first: &Parts, second: &Parts) -> Diff {
    let [first, second] = [first, second].map(|parts| Eif::open(parts.write(None).0).unwrap());
    Diff::of(&first, &second).unwrap()
}

/// The only change there is.
fn only(mut diff: Diff) -> Change {
    assert_eq!(diff.changes.len(), 1, "{diff:?}");
    diff.changes.remove(0)
}

fn registers(diff: &Diff) -> Vec<u8> {
    diff.registers
        .iter()
        .map(|change| change.register)
        .collect()
}

/// An application of these files.
fn application(files: &[(&str, u32, &[u8])]) -> Parts {
    let mut tree = Tree::new();
    for (path, mode, bytes) in files {
        tree.file(path, *mode, Content::Bytes(bytes.to_vec()))
            .unwrap();
    }
    let mut parts = Parts::small();
    parts.ramdisks[1] = archive(&tree);
    parts
}

#[test]
fn an_image_does_not_differ_from_itself() {
    let diff = diff(&Parts::small(), &Parts::small());
    assert!(diff.same_registers && diff.changes.is_empty() && diff.left_out == 0);
}

#[test]
fn a_changed_file_is_named_with_what_changed() {
    let before = application(&[
        ("/a", 0o755, b"one"),
        ("/b", 0o644, b"same"),
        ("/gone", 0o644, b""),
    ]);
    let after = application(&[
        ("/a", 0o700, b"longer"),
        ("/b", 0o644, b"same"),
        ("/new", 0o644, b"12"),
    ]);
    let diff = diff(&before, &after);
    assert_eq!(registers(&diff), [0, 2]);
    assert!(!diff.same_registers);
    let shown: Vec<_> = diff
        .changes
        .iter()
        .map(|change| {
            (
                change.path.as_deref().unwrap(),
                change.change,
                change.section.as_str(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("/a", Kind::Changed, "ramdisk 1"),
            ("/gone", Kind::Removed, "ramdisk 1"),
            ("/new", Kind::Added, "ramdisk 1"),
        ]
    );
    let details = &diff.changes[0].details;
    assert_eq!(details[..2], ["mode 0755 → 0700", "length 3 → 6"]);
    // SHA-256 of "one".
    assert!(
        details[2].contains("7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed")
    );
    assert!(diff.changes.iter().all(|change| change.registers == [0, 2]));
}

#[test]
fn each_section_moves_its_registers() {
    let change = |edit: &dyn Fn(&mut Parts)| {
        let mut parts = Parts::small();
        edit(&mut parts);
        let diff = diff(&Parts::small(), &parts);
        let registers = registers(&diff);
        let change = only(diff);
        assert_eq!(change.registers, registers, "{change:?}");
        (change.section, registers)
    };
    assert_eq!(
        change(&|parts| parts.kernel.push(0)),
        ("kernel".to_owned(), vec![0, 1])
    );
    assert_eq!(
        change(&|parts| parts.command_line.push_str(" quiet")),
        ("command line".to_owned(), vec![0, 1])
    );
    assert_eq!(
        change(&|parts| drop(parts.ramdisks.pop())),
        ("ramdisk 1".to_owned(), vec![0, 2])
    );
    let third = archive(&Tree::new());
    assert_eq!(
        change(&move |parts| parts.ramdisks.push(third.clone())),
        ("ramdisk 2".to_owned(), vec![0, 2])
    );
    let other = Metadata {
        image_version: "2".to_owned(),
        ..metadata()
    };
    assert_eq!(
        change(&move |parts| parts.metadata = Some(other.to_json())),
        ("metadata".to_owned(), vec![])
    );
}

#[test]
fn the_same_files_packed_differently_are_said_to_be_just_that() {
    let mut parts = Parts::small();
    // Zeros behind the trailer: the kernel does not mind, the registers do.
    let padded = parts.ramdisks[0].len() + 512;
    parts.ramdisks[0].resize(padded, 0);
    let diff = diff(&Parts::small(), &parts);
    assert_eq!(registers(&diff), [0, 1]);
    let details = only(diff).details.join(" ");
    assert!(details.contains("packed differently"), "{details}");
}

#[test]
fn a_ramdisk_that_is_no_archive_is_compared_as_a_whole() {
    let mut parts = Parts::small();
    parts.ramdisks[1] = b"some squashfs".to_vec();
    let details = only(diff(&Parts::small(), &parts)).details.join(" ");
    assert!(details.contains("not compared file by file"), "{details}");
}

#[test]
fn a_signature_moves_pcr8_alone() {
    let signer = signer("builder");
    let unsigned = Eif::open(Parts::small().write(None).0).unwrap();
    let signed = Eif::open(Parts::small().write(Some(&signer)).0).unwrap();
    let diff = Diff::of(&unsigned, &signed).unwrap();
    assert_eq!(registers(&diff), [8]);
    assert!(diff.registers[0].first.is_none() && !diff.same_registers);
    let change = only(diff);
    assert_eq!(
        (change.section.as_str(), change.change),
        ("signature", Kind::Added)
    );
}

#[test]
fn what_is_reported_is_bounded() {
    let names: Vec<_> = (0..MAX_CHANGES + 7)
        .map(|index| format!("/{index}"))
        .collect();
    let files: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), 0o644, &b""[..]))
        .collect();
    let diff = diff(&application(&[]), &application(&files));
    assert_eq!((diff.changes.len(), diff.left_out), (MAX_CHANGES, 7));
}
