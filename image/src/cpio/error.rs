//! What is wrong with an archive.

use std::io;

/// Why an archive cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CpioError {
    /// The bytes cannot be read or written.
    #[error("cannot read or write the archive: {0}")]
    Io(io::Error),
    /// The archive ends within an entry, or without its trailer.
    #[error("the archive is cut off")]
    Truncated,
    /// An entry does not begin with `070701`.
    #[error("an entry does not begin with the magic number of a newc archive, at byte {0}")]
    Magic(u64),
    /// A header's number is not eight hexadecimal digits.
    #[error("a header is not hexadecimal, at byte {0}")]
    Number(u64),
    /// A checksum field, which this kind of archive has not.
    #[error("{0:?}: its checksum field is not zero")]
    Checksum(String),
    /// A name that is empty, too long, not UTF-8 or without its zero byte.
    #[error("a name is not one, at byte {0}")]
    Name(u64),
    /// A path with `..`, an empty or a `.` component.
    #[error("{0:?} is no plain path")]
    Path(String),
    /// Something that is neither file, folder, link nor character device.
    #[error("{path:?}: of a type that an image does not have (mode {mode:o})")]
    FileType {
        /// Its path.
        path: String,
        /// Its mode, with the type.
        mode: u32,
    },
    /// A file of several names.
    #[error("{0:?}: hard links are not supported")]
    HardLink(String),
    /// Content where there can be none.
    #[error("{0:?}: a folder or device with content")]
    UnexpectedContent(String),
    /// A link without a target, or one that is not text.
    #[error("{0:?}: a link without a proper target")]
    LinkTarget(String),
    /// A path that stood before, other than a folder that stands as one again.
    #[error("{0:?} stands twice")]
    Duplicate(String),
    /// An entry below something that is no folder in this archive: a link would lead it elsewhere.
    #[error("{0:?} is below something that is no folder")]
    NotInAFolder(String),
    /// An entry whose folder is not in the tree; the kernel would leave it out and say nothing.
    #[error("{0:?} is in a folder that is missing")]
    NoFolder(String),
    /// Padding that is not zero.
    #[error("padding is not zero, at byte {0}")]
    Padding(u64),
    /// A trailer that carries something.
    #[error("the trailer has content or a size")]
    Trailer,
    /// Something other than zeros behind the trailer.
    #[error("bytes follow the trailer, at byte {0}")]
    AfterTrailer(u64),
    /// More entries, names or bytes than are read.
    #[error("the archive has more {what} than the limit of {limit}")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How many are read.
        limit: u64,
    },
    /// A file of 4 GiB or more, which the format cannot hold.
    #[error("{0:?}: files of 4 GiB and more do not fit this format")]
    FileTooLarge(String),
    /// A file whose length changed between two looks.
    #[error("{0:?} changed while it was being archived")]
    Changed(String),
    /// Gzip that is broken.
    #[error("the archive's gzip is broken: {0}")]
    Gzip(String),
}

impl From<io::Error> for CpioError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                Self::Gzip(error.to_string())
            }
            _ => Self::Io(error),
        }
    }
}

impl CpioError {
    /// The rule that was broken, as a stable kebab-case name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "cpio-io",
            Self::Truncated => "cpio-truncated",
            Self::Magic(_) => "cpio-magic",
            Self::Number(_) => "cpio-number",
            Self::Checksum(_) => "cpio-checksum",
            Self::Name(_) => "cpio-name",
            Self::Path(_) => "cpio-path",
            Self::FileType { .. } => "cpio-file-type",
            Self::HardLink(_) => "cpio-hard-link",
            Self::UnexpectedContent(_) => "cpio-unexpected-content",
            Self::LinkTarget(_) => "cpio-link-target",
            Self::Duplicate(_) => "cpio-duplicate",
            Self::NotInAFolder(_) => "cpio-not-in-a-folder",
            Self::NoFolder(_) => "cpio-no-folder",
            Self::Padding(_) => "cpio-padding",
            Self::Trailer => "cpio-trailer",
            Self::AfterTrailer(_) => "cpio-after-trailer",
            Self::TooLarge { .. } => "cpio-too-large",
            Self::FileTooLarge(_) => "cpio-file-too-large",
            Self::Changed(_) => "cpio-changed",
            Self::Gzip(_) => "cpio-gzip",
        }
    }
}
