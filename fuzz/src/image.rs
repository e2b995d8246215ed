//! Enclave images and ramdisks, which may come from anybody.

use std::collections::BTreeSet;
use std::io::Read as _;

use nacre_image::cpio::{Content, EntryKind, Limits, Reader, Tree, unpacked};
use nacre_image::eif::{Architecture, Eif, Image, Section, SectionKind, Source, write};
use sha2::{Digest as _, Sha384};

/// Reads an image. The first byte says whether its checksum is to be made right first, without which a fuzzer would
/// never come past it. What is accepted is measured as the rule has it, and written again from its parts it is the same
/// file.
pub fn eif(data: &[u8]) -> Result<(), &'static str> {
    let Some((mend, file)) = data.split_first() else {
        return Err("eif-too-short");
    };
    let mut file = file.to_vec();
    if mend & 1 == 1 && file.len() >= HEADER {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&file[..HEADER - 4]);
        crc.update(&file[HEADER..]);
        file[HEADER - 4..HEADER].copy_from_slice(&crc.finalize().to_be_bytes());
    }
    let eif = Eif::open(file.as_slice()).map_err(|error| error.code())?;
    let bytes = |section: &Section| &file[section.offset as usize..][..section.length as usize];
    let of_kind = |kind| {
        let sections = eif
            .sections()
            .iter()
            .filter(move |section| section.kind == kind);
        sections.map(bytes)
    };
    let kernel = of_kind(SectionKind::Kernel).next().unwrap();
    let ramdisks: Vec<_> = of_kind(SectionKind::Ramdisk).collect();
    let boot = [kernel, eif.command_line().as_bytes()].concat();
    let measured = eif.measurements();
    assert_eq!(measured.pcr0.0, extension(&[&boot, &ramdisks.concat()]));
    assert_eq!(measured.pcr1.0, extension(&[&boot, ramdisks[0]]));
    assert_eq!(measured.pcr2.0, extension(&[&ramdisks[1..].concat()]));
    assert_eq!(measured.pcr8.is_some(), eif.signer().is_some());

    if eif.version() == 4 && eif.signer().is_none() {
        let metadata = of_kind(SectionKind::Metadata).next();
        let image = Image {
            architecture: eif.architecture(),
            default_memory: eif.default_memory(),
            default_cpus: eif.default_cpus(),
            kernel: Source::bytes(kernel),
            command_line: eif.command_line().to_owned(),
            metadata: metadata.map(<[u8]>::to_vec),
            ramdisks: ramdisks.into_iter().map(Source::bytes).collect(),
            signer: None,
        };
        let mut again = std::io::Cursor::new(Vec::new());
        assert_eq!(write(image, &mut again).as_ref().ok(), Some(measured));
        assert!(
            again.into_inner() == file,
            "written again, it is another file"
        );
    }
    assert!(matches!(
        eif.architecture(),
        Architecture::X86_64 | Architecture::Arm64
    ));
    Ok(())
}

/// Reads a ramdisk, packed or not. What is accepted has plain paths, each once, and makes an archive that reads the
/// same.
pub fn cpio(data: &[u8]) -> Result<(), &'static str> {
    let limits = Limits {
        bytes: 1 << 20,
        entries: 1000,
        names: 64 << 10,
    };
    let entries = |archive: &[u8]| -> Result<_, nacre_image::cpio::CpioError> {
        let mut reader = Reader::new(unpacked(archive)?, limits);
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes)?;
            entries.push((entry, bytes));
        }
        Ok(entries)
    };
    let found = entries(data).map_err(|error| error.code())?;
    let mut paths = BTreeSet::new();
    let mut tree = Tree::new();
    for (entry, bytes) in &found {
        let path = entry.path.as_str();
        assert!(path.starts_with('/') && !path.contains('\0'));
        assert!(
            path == "/"
                || path
                    .split('/')
                    .skip(1)
                    .all(|part| !["", ".", ".."].contains(&part))
        );
        let is_new = paths.insert(path);
        assert!(is_new || entry.kind == EntryKind::Folder, "{path:?} twice");
        let added = match &entry.kind {
            EntryKind::Folder if !is_new => Ok(()),
            EntryKind::Folder => tree.folder(path, entry.mode),
            EntryKind::File { length } => {
                assert_eq!(*length, bytes.len() as u64);
                tree.file(path, entry.mode, Content::Bytes(bytes.clone()))
            }
            EntryKind::Link { target } => tree.link(path, target),
            EntryKind::CharacterDevice { major, minor } => {
                tree.character_device(path, entry.mode, *major, *minor)
            }
        };
        assert_eq!(added.map_err(|error| error.code()), Ok(()));
    }
    let mut again = Vec::new();
    // Only a tree whose every folder is there can be written.
    if tree.write(&mut again).is_ok() {
        let again = entries(&again).map_err(|error| error.code()).unwrap();
        let names: Vec<_> = again.iter().map(|(entry, _)| entry.path.as_str()).collect();
        assert_eq!(names, paths.into_iter().collect::<Vec<_>>());
    }
    Ok(())
}

fn extension(parts: &[&[u8]]) -> [u8; 48] {
    let inner = Sha384::digest(parts.concat());
    Sha384::digest([&[0; 48], inner.as_slice()].concat()).into()
}

const HEADER: usize = 548;
