//! What is wrong with an image file.

use std::io;

use crate::eif::header::MAX_SECTIONS;
use crate::sign::SignatureError;

/// Why a file is no valid image, or an image cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EifError {
    /// The file cannot be read or written.
    #[error("cannot read or write the image: {0}")]
    Io(#[from] io::Error),
    /// Fewer bytes than a header has.
    #[error("the file has {0} bytes; an enclave image's header alone has 548")]
    TooShort(u64),
    /// Not the first four bytes of an image.
    #[error("this is no enclave image: it does not begin with \".eif\"")]
    Magic,
    /// A version that is not known.
    #[error("version {0} of the enclave image format is not supported; 3 and 4 are")]
    Version(u16),
    /// Header flags other than arm64's.
    #[error("the header's flags are {0:#06x}; only bit 0 (arm64) is defined")]
    Flags(u16),
    /// A reserved field of the header that is not zero.
    #[error("a reserved field of the header is not zero")]
    Reserved,
    /// Too few or too many sections.
    #[error("the header counts {0} sections; an image has 3 to {MAX_SECTIONS}")]
    SectionCount(u16),
    /// A row of the table beyond the count of sections that is not zero.
    #[error("the header's table has rows for sections that it does not count")]
    UnusedTableRow,
    /// A section that does not begin where the one before it ends.
    #[error("section {index} is said to be at {offset}, but the one before it ends at {expected}")]
    SectionOffset {
        /// Its row in the table.
        index: usize,
        /// What the table says.
        offset: u64,
        /// Where it must be.
        expected: u64,
    },
    /// A section that reaches beyond the end of the file.
    #[error("section {index} reaches beyond the end of the file")]
    OutOfFile {
        /// Its row in the table.
        index: usize,
    },
    /// A section whose own header states another size than the table.
    #[error("section {index} has {actual} bytes by its own header, {in_table} by the image's")]
    SectionSize {
        /// Its row in the table.
        index: usize,
        /// What the table says.
        in_table: u64,
        /// What its own header says.
        actual: u64,
    },
    /// A type of section that is not defined.
    #[error("section {index} is of unknown type {code}")]
    SectionType {
        /// Its row in the table.
        index: usize,
        /// The type.
        code: u16,
    },
    /// Section flags, of which none are defined.
    #[error("section {index} has flags; none are defined")]
    SectionFlags {
        /// Its row in the table.
        index: usize,
    },
    /// Sections in another order than kernel, command line, metadata, ramdisks, signature.
    #[error(
        "section {index} ({name}) is out of order: kernel, command line, metadata, ramdisks, signature"
    )]
    SectionOrder {
        /// Its row in the table.
        index: usize,
        /// What it is.
        name: &'static str,
    },
    /// A second section of a kind of which there is one.
    #[error("section {index} is a second {name}")]
    DuplicateSection {
        /// Its row in the table.
        index: usize,
        /// What it is.
        name: &'static str,
    },
    /// No kernel, command line or ramdisk.
    #[error("the image has no {0}")]
    MissingSection(&'static str),
    /// A kernel of no bytes.
    #[error("the kernel is empty")]
    EmptyKernel,
    /// Bytes after the last section.
    #[error("{0} bytes follow the last section")]
    TrailingBytes(u64),
    /// Another checksum than the header's.
    #[error("the checksum is wrong: the header says {expected:08x}, the file has {actual:08x}")]
    Crc {
        /// The header's.
        expected: u32,
        /// The file's.
        actual: u32,
    },
    /// More command line than the kernel takes.
    #[error("the command line has {length} bytes; the kernel takes {limit}")]
    CommandLineTooLong {
        /// How long it is.
        length: u64,
        /// How long it may be.
        limit: u64,
    },
    /// A command line that is not UTF-8.
    #[error("the command line is not UTF-8")]
    CommandLineNotText,
    /// A command line with a zero byte, at which the kernel would stop.
    #[error("the command line has a zero byte")]
    CommandLineNul,
    /// More metadata than is read.
    #[error("the metadata has {length} bytes; at most {limit} are read")]
    MetadataTooLong {
        /// How long it is.
        length: u64,
        /// How long it may be.
        limit: u64,
    },
    /// Metadata that is not what AWS's tool writes.
    #[error("the metadata is not understood: {0}")]
    Metadata(String),
    /// More signature than is read.
    #[error("the signature section has {length} bytes; at most {limit} are read")]
    SignatureTooLong {
        /// How long it is.
        length: u64,
        /// How long it may be.
        limit: u64,
    },
    /// The signature section.
    #[error("signature: {0}")]
    Signature(#[from] SignatureError),
    /// A source that has other bytes than it had when the image was begun.
    #[error("the {name} changed while it was being written into the image")]
    SourceChanged {
        /// What it is the source of.
        name: &'static str,
    },
}

impl EifError {
    /// The rule that was broken, as a stable kebab-case name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "eif-io",
            Self::TooShort(_) => "eif-too-short",
            Self::Magic => "eif-magic",
            Self::Version(_) => "eif-version",
            Self::Flags(_) => "eif-flags",
            Self::Reserved => "eif-reserved",
            Self::SectionCount(_) => "eif-section-count",
            Self::UnusedTableRow => "eif-unused-table-row",
            Self::SectionOffset { .. } => "eif-section-offset",
            Self::OutOfFile { .. } => "eif-out-of-file",
            Self::SectionSize { .. } => "eif-section-size",
            Self::SectionType { .. } => "eif-section-type",
            Self::SectionFlags { .. } => "eif-section-flags",
            Self::SectionOrder { .. } => "eif-section-order",
            Self::DuplicateSection { .. } => "eif-duplicate-section",
            Self::MissingSection(_) => "eif-missing-section",
            Self::EmptyKernel => "eif-empty-kernel",
            Self::TrailingBytes(_) => "eif-trailing-bytes",
            Self::Crc { .. } => "eif-crc",
            Self::CommandLineTooLong { .. } => "eif-command-line-too-long",
            Self::CommandLineNotText => "eif-command-line-not-text",
            Self::CommandLineNul => "eif-command-line-nul",
            Self::MetadataTooLong { .. } => "eif-metadata-too-long",
            Self::Metadata(_) => "eif-metadata",
            Self::SignatureTooLong { .. } => "eif-signature-too-long",
            Self::Signature(error) => error.code(),
            Self::SourceChanged { .. } => "eif-source-changed",
        }
    }
}
