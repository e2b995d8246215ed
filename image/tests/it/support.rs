//! Small images to test with.

use std::io::Cursor;

use nacre_image::cpio::{Content, Tree};
use nacre_image::eif::{Architecture, BuildMetadata, Image, Metadata, Source, write};
use nacre_image::measure::Measurements;
use nacre_image::sign::Signer;

/// What the image is made of.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) kernel: Vec<u8>,
    pub(crate) command_line: String,
    pub(crate) metadata: Option<Vec<u8>>,
    pub(crate) ramdisks: Vec<Vec<u8>>,
}

impl Parts {
    /// A kernel that is none, and two ramdisks.
    pub(crate) fn small() -> Self {
        let mut boot = Tree::new();
        boot.folder("/dev", 0o755).unwrap();
        boot.character_device("/dev/console", 0o600, 5, 1).unwrap();
        boot.file("/init", 0o755, Content::Bytes(b"init".to_vec()))
            .unwrap();
        let mut application = Tree::new();
        application.folder("/usr", 0o755).unwrap();
        application
            .file("/usr/program", 0o755, Content::Bytes(vec![7; 1000]))
            .unwrap();
        application.link("/program", "usr/program").unwrap();
        Self {
            kernel: b"not a kernel".repeat(50),
            command_line: "console=ttyS0 rootfstype=ramfs".to_owned(),
            metadata: Some(metadata().to_json()),
            ramdisks: vec![archive(&boot), archive(&application)],
        }
    }

    pub(crate) fn image<'a>(&'a self, signer: Option<&'a dyn Signer>) -> Image<'a> {
        Image {
            architecture: Architecture::X86_64,
            default_memory: 1 << 30,
            default_cpus: 2,
            kernel: Source::bytes(&self.kernel),
            command_line: self.command_line.clone(),
            metadata: self.metadata.clone(),
            ramdisks: self
                .ramdisks
                .iter()
                .map(|bytes| Source::bytes(bytes))
                .collect(),
            signer,
        }
    }

    pub(crate) fn write(&self, signer: Option<&dyn Signer>) -> (Vec<u8>, Measurements) {
        let mut file = Cursor::new(Vec::new());
        let measurements = write(self.image(signer), &mut file).unwrap();
        (file.into_inner(), measurements)
    }
}

pub(crate) fn metadata() -> Metadata {
    Metadata {
        image_name: "test".to_owned(),
        image_version: "1".to_owned(),
        build_metadata: BuildMetadata {
            build_time: "2026-01-02T03:04:05+00:00".to_owned(),
            build_tool: "nacre".to_owned(),
            build_tool_version: "0.1.0".to_owned(),
            operating_system: "Linux".to_owned(),
            kernel_version: "6.12.117".to_owned(),
        },
        docker_info: serde_json::Value::Null,
        custom_metadata: serde_json::json!({"answer": 42}),
    }
}

pub(crate) fn archive(tree: &Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = tree.write(&mut bytes).unwrap();
    assert_eq!(length, bytes.len() as u64);
    bytes
}
