//! Seeds of enclave images and ramdisks.

use nacre_image::cpio::{Content, Tree};

use super::Seeds;

/// What AWS's own tool wrote.
const GOLDEN: &[u8] = include_bytes!("../../../../image/tests/golden/two-ramdisks.eif");
const SIGNED: &[u8] = include_bytes!("../../../../image/tests/golden/three-ramdisks-signed.eif");

pub(super) fn add(seeds: &mut Seeds) {
    eif(seeds);
    cpio(seeds);
}

fn eif(seeds: &mut Seeds) {
    // Read as it is (0), or with its checksum made right (1).
    let image = |mend: u8, file: &[u8]| [&[mend], file].concat();
    let changed = |at: usize, bytes: &[u8]| {
        let mut file = GOLDEN.to_vec();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        image(1, &file)
    };
    let section = |index: usize| -> usize {
        let at = 28 + 8 * index;
        u64::from_be_bytes(GOLDEN[at..at + 8].try_into().unwrap()) as usize
    };
    let row_size = |index: usize| 284 + 8 * index;
    // Behind three ramdisks.
    let signature = u64::from_be_bytes(SIGNED[76..84].try_into().unwrap()) as usize + 12;
    let mut forged = SIGNED.to_vec();
    forged[signature] = 0x82;
    let mut other = SIGNED.to_vec();
    other[600] ^= 1;
    seeds.add_all(
        "eif",
        [
            ("ok-two-ramdisks", image(0, GOLDEN)),
            ("ok-signed", image(0, SIGNED)),
            ("ok-version-3", changed(4, &[0, 3])),
            ("ok-arm64", changed(6, &[0, 1])),
            ("ok-kernel", changed(600, b"another")),
            ("refused-eif-crc", image(0, &changed(600, b"another")[1..])),
            ("refused-eif-too-short", image(0, &GOLDEN[..547])),
            ("refused-eif-magic", changed(0, b"\x7fELF")),
            ("refused-eif-version", changed(4, &[0, 5])),
            ("refused-eif-flags", changed(6, &[0, 2])),
            ("refused-eif-reserved", changed(24, &[1])),
            ("refused-eif-reserved.unused", changed(540, &[1])),
            ("refused-eif-section-count", changed(26, &[0, 33])),
            ("refused-eif-unused-table-row", changed(26, &[0, 4])),
            ("refused-eif-section-offset", changed(36, &[0xff; 8])),
            ("refused-eif-out-of-file", changed(row_size(4), &[0x7f; 8])),
            (
                "refused-eif-out-of-file.cut",
                image(1, &GOLDEN[..GOLDEN.len() - 1]),
            ),
            ("refused-eif-section-size", changed(row_size(0) + 7, &[1])),
            ("refused-eif-section-type", changed(section(3), &[0, 6])),
            (
                "refused-eif-section-flags",
                changed(section(3) + 2, &[0, 1]),
            ),
            ("refused-eif-section-order", changed(section(4), &[0, 5])),
            (
                "refused-eif-duplicate-section",
                changed(section(1), &[0, 1]),
            ),
            (
                "refused-eif-trailing-bytes",
                image(1, &[GOLDEN, &[0]].concat()),
            ),
            (
                "refused-eif-command-line-not-text",
                changed(section(1) + 12, &[0xff]),
            ),
            (
                "refused-eif-command-line-nul",
                changed(section(1) + 12, &[0]),
            ),
            ("refused-eif-metadata", changed(section(2) + 12, b"[")),
            ("refused-eif-signature-encoding", image(1, &forged)),
            ("refused-eif-signature-other-image", image(1, &other)),
        ],
    );
}

fn cpio(seeds: &mut Seeds) {
    let mut tree = Tree::new();
    tree.folder("/dev", 0o755).unwrap();
    tree.character_device("/dev/console", 0o600, 5, 1).unwrap();
    tree.file("/init", 0o755, Content::Bytes(b"#!".to_vec()))
        .unwrap();
    tree.link("/sbin", "usr/sbin").unwrap();
    let mut archive = Vec::new();
    tree.write(&mut archive).unwrap();
    // An entry is a header of 110 bytes, the name with its zero, and both are padded to 4.
    let console = 110 + "dev\0".len().next_multiple_of(4) + 2;
    let changed = |at: usize, bytes: &[u8]| {
        let mut changed = archive.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    std::io::Write::write_all(&mut gzip, &archive).unwrap();
    let gzip = gzip.finish().unwrap();
    let name = archive
        .windows(5)
        .position(|window| window == b"init\0")
        .unwrap();
    let trailer = archive
        .windows(7)
        .position(|window| window == b"TRAILER")
        .unwrap();
    seeds.add_all(
        "cpio",
        [
            ("ok-tree", archive.clone()),
            ("ok-gzip", gzip.clone()),
            ("ok-renamed", changed(name, b"in-t")),
            ("refused-cpio-gzip", [gzip.as_slice(), b"x"].concat()),
            ("refused-cpio-truncated", archive[..300].to_vec()),
            ("refused-cpio-truncated.empty", Vec::new()),
            (
                "refused-cpio-truncated.no-trailer",
                archive[..trailer - 110].to_vec(),
            ),
            ("refused-cpio-magic", changed(0, b"070702")),
            ("refused-cpio-number", changed(10, b"-")),
            ("refused-cpio-name", changed(name + 4, b"x")),
            ("refused-cpio-path", changed(name, b"a/..")),
            ("refused-cpio-path.slash", changed(name, b"ini/")),
            ("refused-cpio-not-in-a-folder", changed(14, b"00002180")),
            ("refused-cpio-file-type", changed(14, b"000011ed")),
            (
                "refused-cpio-hard-link",
                changed(name - 110 + 38, b"00000002"),
            ),
            ("refused-cpio-checksum", changed(102, b"1")),
            ("refused-cpio-unexpected-content", changed(54, b"00000008")),
            (
                "refused-cpio-too-large",
                changed(name - 110 + 54, b"7fffffff"),
            ),
            (
                "refused-cpio-trailer",
                changed(trailer - 110 + 54, b"00000001"),
            ),
            (
                "refused-cpio-after-trailer",
                changed(archive.len() - 1, b"x"),
            ),
            ("refused-cpio-padding", changed(console - 1, b"x")),
        ],
    );
}
