//! Images that AWS's own tool wrote (`peers/check.sh --golden`), and the registers that it printed for them.

use std::fs;
use std::path::{Path, PathBuf};

use nacre_image::eif::{Eif, Image, SectionKind, Source, write};
use serde_json::{Value, json};

fn golden() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension() == Some("eif".as_ref()))
        .collect();
    files.sort();
    assert_eq!(files.len(), 3);
    files
}

#[test]
fn the_registers_are_those_that_the_tool_of_aws_printed() {
    for path in golden() {
        let printed = fs::read(path.with_extension("json")).unwrap();
        let printed: Value = serde_json::from_slice(&printed).unwrap();
        let eif = Eif::open(fs::File::open(&path).unwrap()).unwrap();
        assert_eq!(json!(eif.measurements()), printed, "{}", path.display());
        let is_signed = path.to_str().unwrap().contains("signed");
        assert_eq!(
            eif.signer().map(|signer| signer.subject()),
            is_signed.then_some("CN=golden")
        );
        let metadata = eif.metadata().unwrap();
        assert_eq!(metadata.build_metadata.kernel_version, "6.12");
        assert_eq!(metadata.docker_info, json!({"Os": "linux"}));
        assert_eq!(metadata.custom_metadata, json!({"answer": 42}));
    }
}

#[test]
fn from_the_same_parts_the_same_file_is_written() {
    for path in golden()
        .iter()
        .filter(|path| !path.to_str().unwrap().contains("signed"))
    {
        let file = fs::read(path).unwrap();
        let eif = Eif::open(&file).unwrap();
        let of_kind = |kind| {
            let sections = eif
                .sections()
                .iter()
                .filter(move |section| section.kind == kind);
            sections.map(|section| &file[section.offset as usize..][..section.length as usize])
        };
        let only = |kind| of_kind(kind).next().unwrap();
        let image = Image {
            architecture: eif.architecture(),
            default_memory: eif.default_memory(),
            default_cpus: eif.default_cpus(),
            kernel: Source::bytes(only(SectionKind::Kernel)),
            command_line: eif.command_line().to_owned(),
            metadata: Some(only(SectionKind::Metadata).to_vec()),
            ramdisks: of_kind(SectionKind::Ramdisk).map(Source::bytes).collect(),
            signer: None,
        };
        let mut out = std::io::Cursor::new(Vec::new());
        write(image, &mut out).unwrap();
        assert!(out.into_inner() == file, "{}", path.display());
    }
}
