//! Files that are no images, and images that somebody changed.

use nacre_image::eif::Eif;
use proptest::prelude::*;

use crate::support::Parts;

const HEADER: usize = 548;
const SECTION_HEADER: usize = 12;

/// The rule under which a file is refused.
fn refused(file: &[u8]) -> &'static str {
    match Eif::open(file) {
        Ok(_) => "accepted",
        Err(error) => error.code(),
    }
}

/// Puts bytes into a valid image at a place and makes the checksum right again.
fn changed(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = Parts::small().write(None).0;
    file[at..at + bytes.len()].copy_from_slice(bytes);
    with_checksum(file)
}

pub(crate) fn with_checksum(mut file: Vec<u8>) -> Vec<u8> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&file[..HEADER - 4]);
    crc.update(&file[HEADER..]);
    file[HEADER - 4..HEADER].copy_from_slice(&crc.finalize().to_be_bytes());
    file
}

/// Where the table has a section's offset, and its size.
fn row(index: usize) -> (usize, usize) {
    (28 + 8 * index, 284 + 8 * index)
}

/// Where a section of [`Parts::small`] begins.
fn section(index: usize) -> usize {
    let file = Parts::small().write(None).0;
    let at = row(index).0;
    u64::from_be_bytes(file[at..at + 8].try_into().unwrap()) as usize
}

#[test]
fn every_field_of_the_header_is_checked() {
    assert_eq!(refused(&changed(0, b".eif")), "accepted");
    for (at, bytes, rule) in [
        (0, &b".elf"[..], "eif-magic"),
        (4, &[0, 2], "eif-version"),
        (4, &[0, 5], "eif-version"),
        (4, &[0, 3], "accepted"),
        (6, &[0, 1], "accepted"),
        (6, &[0, 2], "eif-flags"),
        (6, &[0x80, 1], "eif-flags"),
        (24, &[0, 1], "eif-reserved"),
        (26, &[0, 2], "eif-section-count"),
        (26, &[0, 33], "eif-section-count"),
        (26, &[0, 4], "eif-unused-table-row"),
        (row(31).0, &[1], "eif-unused-table-row"),
        (row(5).1, &[1], "eif-unused-table-row"),
        (540, &[1], "eif-reserved"),
    ] {
        assert_eq!(refused(&changed(at, bytes)), rule, "{bytes:?} at {at}");
    }
}

#[test]
fn the_table_and_the_sections_agree() {
    // A section out of the file, over another one, of another size than its own header says.
    for (at, bytes, rule) in [
        (row(4).1, [0xff; 8], "eif-out-of-file"),
        (row(4).1, (1_u64 << 40).to_be_bytes(), "eif-out-of-file"),
        (row(1).0, [0xff; 8], "eif-section-offset"),
        (row(1).0, 548_u64.to_be_bytes(), "eif-section-offset"),
        (row(0).0, 549_u64.to_be_bytes(), "eif-section-offset"),
        (row(0).1, 599_u64.to_be_bytes(), "eif-section-size"),
        (section(0) + 4, 599_u64.to_be_bytes(), "eif-section-size"),
    ] {
        assert_eq!(refused(&changed(at, &bytes)), rule, "{bytes:?} at {at}");
    }
}

#[test]
fn the_sections_are_the_known_ones_in_their_order() {
    for (index, kind, rule) in [
        (0, 0, "eif-section-type"),
        (3, 6, "eif-section-type"),
        (1, 1, "eif-duplicate-section"),
        (0, 3, "eif-section-order"),
        (2, 1, "eif-section-order"),
        (2, 2, "eif-duplicate-section"),
        (4, 5, "eif-section-order"),
        (1, 5, "eif-duplicate-section"),
        (0, 2, "eif-duplicate-section"),
    ] {
        let file = changed(section(index) + 1, &[kind]);
        assert_eq!(refused(&file), rule, "section {index} as type {kind}");
    }
    assert_eq!(refused(&changed(section(2) + 3, &[1])), "eif-section-flags");
}

#[test]
fn kernel_command_line_and_ramdisk_are_needed() {
    // Three sections are enough by count: a kernel, a command line and metadata are no image.
    let mut parts = Parts::small();
    parts.ramdisks.truncate(1);
    parts.metadata = None;
    let mut file = parts.write(None).0;
    let at = row(2).0;
    let ramdisk = u64::from_be_bytes(file[at..at + 8].try_into().unwrap()) as usize;
    file[ramdisk + 1] = 5;
    assert_eq!(refused(&with_checksum(file)), "eif-missing-section");
}

#[test]
fn the_command_line_is_text_that_a_kernel_takes() {
    let at = section(1) + SECTION_HEADER;
    assert_eq!(refused(&changed(at, &[0xff])), "eif-command-line-not-text");
    assert_eq!(refused(&changed(at, &[0])), "eif-command-line-nul");
}

#[test]
fn sizes_are_bounded_before_anything_is_read() {
    // A kernel of another type has too many bytes for what it now says it is.
    let mut parts = Parts::small();
    parts.kernel = vec![1; (4 << 20) + 1];
    let valid = parts.write(None).0;
    for (kind, rule) in [
        (2, "eif-command-line-too-long"),
        (4, "eif-signature-too-long"),
        (5, "eif-metadata-too-long"),
    ] {
        let mut file = valid.clone();
        file[HEADER + 1] = kind;
        assert_eq!(refused(&with_checksum(file)), rule);
    }
}

#[test]
fn metadata_is_what_the_tools_of_aws_read() {
    let at = section(2) + SECTION_HEADER;
    assert_eq!(refused(&changed(at, b"[")), "eif-metadata");
    assert_eq!(refused(&changed(at, b"{\"imageName\":")), "eif-metadata");
}

#[test]
fn nothing_follows_the_last_section() {
    let mut file = Parts::small().write(None).0;
    file.push(0);
    assert_eq!(refused(&with_checksum(file)), "eif-trailing-bytes");
}

#[test]
fn a_file_that_was_cut_is_refused_wherever_it_was_cut() {
    let file = Parts::small().write(None).0;
    for length in 0..file.len() {
        let rule = refused(&file[..length]);
        let expected = match length {
            0..HEADER => "eif-too-short",
            _ => "eif-out-of-file",
        };
        assert_eq!(rule, expected, "{length} bytes");
    }
}

#[test]
fn any_bit_that_flips_is_noticed() {
    let file = Parts::small().write(None).0;
    for at in 0..file.len() {
        for bit in [0, 7] {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            let rule = refused(&flipped);
            assert_ne!(rule, "accepted", "bit {bit} of byte {at}");
            if at >= HEADER + SECTION_HEADER && at < section(1) {
                assert_eq!(rule, "eif-crc", "byte {at} of the kernel");
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(Eif::open(bytes).is_err());
    }

    #[test]
    fn a_changed_table_never_shows_bytes_of_another_place(
        index in 0_usize..5, offset: u64, size: u64, small in 0_u64..4000,
    ) {
        for (offset, size) in [(offset, size), (small, size), (offset, small), (small, small)] {
            let mut file = Parts::small().write(None).0;
            let rows = row(index);
            let before = file.clone();
            file[rows.0..rows.0 + 8].copy_from_slice(&offset.to_be_bytes());
            file[rows.1..rows.1 + 8].copy_from_slice(&size.to_be_bytes());
            prop_assert!(file == before || Eif::open(with_checksum(file)).is_err());
        }
    }
}
