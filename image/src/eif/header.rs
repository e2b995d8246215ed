//! The header and the headers of the sections.

use crate::eif::error::EifError;

/// The version that is written.
pub const VERSION: u16 = 4;

/// How many sections an image may have.
pub const MAX_SECTIONS: usize = 32;

pub(crate) const HEADER_LENGTH: usize = 548;
pub(crate) const SECTION_HEADER_LENGTH: usize = 12;

/// Where the CRC stands: the header's last four bytes.
pub(crate) const CRC_OFFSET: usize = HEADER_LENGTH - 4;

/// The processor that the kernel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// x86-64.
    X86_64,
    /// 64-bit Arm: bit 0 of the header's flags.
    Arm64,
}

/// What a section is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SectionKind {
    /// The kernel, as the boot loader takes it.
    Kernel,
    /// The kernel's command line.
    CommandLine,
    /// What the image says of itself; not measured.
    Metadata,
    /// A cpio archive, possibly compressed. The first is measured in PCR1, the others in PCR2.
    Ramdisk,
    /// Who signed PCR0; not measured, but PCR8 is the certificate's.
    Signature,
}

impl SectionKind {
    /// The section's name in errors and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::CommandLine => "command line",
            Self::Metadata => "metadata",
            Self::Ramdisk => "ramdisk",
            Self::Signature => "signature",
        }
    }

    fn from_code(code: u16) -> Option<Self> {
        match code {
            1 => Some(Self::Kernel),
            2 => Some(Self::CommandLine),
            3 => Some(Self::Ramdisk),
            4 => Some(Self::Signature),
            5 => Some(Self::Metadata),
            _ => None,
        }
    }

    fn code(self) -> u16 {
        match self {
            Self::Kernel => 1,
            Self::CommandLine => 2,
            Self::Ramdisk => 3,
            Self::Signature => 4,
            Self::Metadata => 5,
        }
    }
}

/// The header's fields, their values checked one by one; whether they fit the file is the reader's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: u16,
    pub(crate) architecture: Architecture,
    pub(crate) default_memory: u64,
    pub(crate) default_cpus: u64,
    /// Offset (of the section's header) and size (of its bytes) of each.
    pub(crate) table: Vec<(u64, u64)>,
    pub(crate) crc: u32,
}

impl Header {
    pub(crate) fn parse(bytes: &[u8; HEADER_LENGTH]) -> Result<Self, EifError> {
        let (magic, mut rest) = bytes.split_at(4);
        if magic != MAGIC {
            return Err(EifError::Magic);
        }
        let version = u16::from_be_bytes(take(&mut rest));
        if !READABLE_VERSIONS.contains(&version) {
            return Err(EifError::Version(version));
        }
        let architecture = match u16::from_be_bytes(take(&mut rest)) {
            0 => Architecture::X86_64,
            FLAG_ARM64 => Architecture::Arm64,
            flags => return Err(EifError::Flags(flags)),
        };
        let default_memory = u64::from_be_bytes(take(&mut rest));
        let default_cpus = u64::from_be_bytes(take(&mut rest));
        if u16::from_be_bytes(take(&mut rest)) != 0 {
            return Err(EifError::Reserved);
        }
        let count = u16::from_be_bytes(take(&mut rest));
        if !(MIN_SECTIONS..=MAX_SECTIONS).contains(&usize::from(count)) {
            return Err(EifError::SectionCount(count));
        }
        let mut column = || -> [u64; MAX_SECTIONS] {
            std::array::from_fn(|_| u64::from_be_bytes(take(&mut rest)))
        };
        let mut table: Vec<_> = column().into_iter().zip(column()).collect();
        if table.drain(usize::from(count)..).any(|row| row != (0, 0)) {
            return Err(EifError::UnusedTableRow);
        }
        if u32::from_be_bytes(take(&mut rest)) != 0 {
            return Err(EifError::Reserved);
        }
        let crc = u32::from_be_bytes(take(&mut rest));
        Ok(Self {
            version,
            architecture,
            default_memory,
            default_cpus,
            table,
            crc,
        })
    }

    /// The header's bytes; a table of more than [`MAX_SECTIONS`] rows is cut, so callers check its length before.
    pub(crate) fn to_bytes(&self) -> [u8; HEADER_LENGTH] {
        let mut bytes = Vec::with_capacity(HEADER_LENGTH);
        bytes.extend(MAGIC);
        bytes.extend(self.version.to_be_bytes());
        let flags = match self.architecture {
            Architecture::X86_64 => 0,
            Architecture::Arm64 => FLAG_ARM64,
        };
        bytes.extend(flags.to_be_bytes());
        bytes.extend(self.default_memory.to_be_bytes());
        bytes.extend(self.default_cpus.to_be_bytes());
        bytes.extend([0; 2]);
        bytes.extend((self.table.len() as u16).to_be_bytes());
        let rows = || self.table.iter().copied().chain(std::iter::repeat((0, 0)));
        bytes.extend(
            rows()
                .take(MAX_SECTIONS)
                .flat_map(|row| row.0.to_be_bytes()),
        );
        bytes.extend(
            rows()
                .take(MAX_SECTIONS)
                .flat_map(|row| row.1.to_be_bytes()),
        );
        bytes.extend([0; 4]);
        bytes.extend(self.crc.to_be_bytes());
        let mut header = [0; HEADER_LENGTH];
        header.copy_from_slice(&bytes);
        header
    }
}

/// The header of the section that the table's row `index` names.
pub(crate) fn parse_section_header(
    index: usize,
    bytes: &[u8; SECTION_HEADER_LENGTH],
) -> Result<(SectionKind, u64), EifError> {
    let mut rest = &bytes[..];
    let code = u16::from_be_bytes(take(&mut rest));
    let kind = SectionKind::from_code(code).ok_or(EifError::SectionType { index, code })?;
    if u16::from_be_bytes(take(&mut rest)) != 0 {
        return Err(EifError::SectionFlags { index });
    }
    Ok((kind, u64::from_be_bytes(take(&mut rest))))
}

pub(crate) fn section_header(kind: SectionKind, size: u64) -> [u8; SECTION_HEADER_LENGTH] {
    let mut bytes = [0; SECTION_HEADER_LENGTH];
    bytes[..2].copy_from_slice(&kind.code().to_be_bytes());
    bytes[4..].copy_from_slice(&size.to_be_bytes());
    bytes
}

/// The next bytes of a header, of which there are always enough: its length is in its type.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (head, tail) = rest.split_at(N);
    *rest = tail;
    let mut bytes = [0; N];
    bytes.copy_from_slice(head);
    bytes
}

const MAGIC: &[u8] = b".eif";
const READABLE_VERSIONS: std::ops::RangeInclusive<u16> = 3..=VERSION;
const FLAG_ARM64: u16 = 1;
/// Kernel, command line and a ramdisk.
const MIN_SECTIONS: usize = 3;
