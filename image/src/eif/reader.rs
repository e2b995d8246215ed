//! Reading an image: all of it is checked before any of it is given out.

use std::io::Read;

use crate::eif::error::EifError;
use crate::eif::header::{
    Architecture, CRC_OFFSET, HEADER_LENGTH, Header, SECTION_HEADER_LENGTH, SectionKind,
    parse_section_header,
};
use crate::eif::metadata::Metadata;
use crate::eif::read_at::{RangeReader, ReadAt};
use crate::measure::{Measurements, Measurer};
use crate::sign::{ImageSignature, SigningCertificate};

/// The longest command line: `COMMAND_LINE_SIZE` of Linux on x86-64 and arm64, less its zero byte.
pub const MAX_COMMAND_LINE: u64 = 2047;

/// The most metadata that is read, bytes.
pub const MAX_METADATA: u64 = 4 << 20;

/// The longest signature section that is read, bytes; one with a usual certificate has 2,500.
pub const MAX_SIGNATURE: u64 = 64 << 10;

/// A section and where its bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// What it is.
    pub kind: SectionKind,
    /// Where its bytes begin in the file, behind its header.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// A valid image: its sections are where they say, its checksum is right, and if it is signed, its signature is.
///
/// Sections may be gigabytes, so they are read from the source when they are asked for; memory is a few hundred
/// kilobytes whatever the image. The source must not change meanwhile: what is read later is not checked again.
#[derive(Debug)]
pub struct Eif<S> {
    source: S,
    header: Header,
    sections: Vec<Section>,
    command_line: String,
    metadata: Option<Metadata>,
    signature: Option<ImageSignature>,
    measurements: Measurements,
}

impl<S: ReadAt> Eif<S> {
    /// Reads all of the image once and checks every rule of the format, the checksum and the signature.
    ///
    /// Whether the signing certificate is within its validity is not judged here: that depends on the day.
    ///
    /// # Errors
    ///
    /// [`EifError`], a variant for each rule.
    pub fn open(source: S) -> Result<Self, EifError> {
        let length = source.length()?;
        if length < HEADER_LENGTH as u64 {
            return Err(EifError::TooShort(length));
        }
        let mut bytes = [0; HEADER_LENGTH];
        RangeReader::new(&source, 0, HEADER_LENGTH as u64).read_exact(&mut bytes)?;
        let header = Header::parse(&bytes)?;
        let sections = read_layout(&source, &header, length)?;
        let mut measurements = measure(&source, &header, &bytes, &sections)?;

        let small = |kind| read_section(&source, &sections, kind);
        let command_line = small(SectionKind::CommandLine)?.unwrap_or_default();
        let command_line = check_command_line(command_line)?;
        let metadata = small(SectionKind::Metadata)?
            .map(|json| Metadata::from_json(&json))
            .transpose()?;
        let signature = small(SectionKind::Signature)?
            .map(|bytes| ImageSignature::verify(&bytes, &measurements.pcr0))
            .transpose()?;
        measurements.pcr8 = signature.as_ref().map(|found| found.certificate().pcr8());
        Ok(Self {
            source,
            header,
            sections,
            command_line,
            metadata,
            signature,
            measurements,
        })
    }

    /// What the hypervisor will measure.
    pub fn measurements(&self) -> &Measurements {
        &self.measurements
    }

    /// The sections in the order in which they stand.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The kernel.
    pub fn kernel(&self) -> RangeReader<'_, S> {
        let kernel = self.of_kind(SectionKind::Kernel).next();
        // `open` has seen to it that there is one.
        kernel.unwrap_or_else(|| RangeReader::new(&self.source, 0, 0))
    }

    /// The ramdisks in order; the kernel gets them as one, concatenated.
    pub fn ramdisks(&self) -> impl Iterator<Item = RangeReader<'_, S>> {
        self.of_kind(SectionKind::Ramdisk)
    }

    /// A section's bytes.
    pub fn section(&self, section: &Section) -> RangeReader<'_, S> {
        RangeReader::new(&self.source, section.offset, section.length)
    }

    /// The kernel's command line.
    pub fn command_line(&self) -> &str {
        &self.command_line
    }

    /// What the image says of itself; not measured.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    /// The certificate that signed the image, where one did.
    pub fn signer(&self) -> Option<&SigningCertificate> {
        self.signature.as_ref().map(ImageSignature::certificate)
    }

    /// The format's version, 3 or 4.
    pub fn version(&self) -> u16 {
        self.header.version
    }

    /// The processor that the image is for.
    pub fn architecture(&self) -> Architecture {
        self.header.architecture
    }

    /// How much memory the image asks for, bytes; a hint that `nitro-cli` ignores.
    pub fn default_memory(&self) -> u64 {
        self.header.default_memory
    }

    /// How many processors the image asks for; a hint that `nitro-cli` ignores.
    pub fn default_cpus(&self) -> u64 {
        self.header.default_cpus
    }

    fn of_kind(&self, kind: SectionKind) -> impl Iterator<Item = RangeReader<'_, S>> {
        let found = self
            .sections
            .iter()
            .filter(move |section| section.kind == kind);
        found.map(|section| self.section(section))
    }
}

/// Checks that the command line is what a kernel takes.
pub(crate) fn check_command_line(bytes: Vec<u8>) -> Result<String, EifError> {
    check_length(SectionKind::CommandLine, bytes.len() as u64)?;
    let text = String::from_utf8(bytes).map_err(|_| EifError::CommandLineNotText)?;
    match text.contains('\0') {
        true => Err(EifError::CommandLineNul),
        false => Ok(text),
    }
}

/// Checks a section's length against the limit of its kind.
pub(crate) fn check_length(kind: SectionKind, length: u64) -> Result<(), EifError> {
    match kind {
        SectionKind::Kernel if length == 0 => Err(EifError::EmptyKernel),
        SectionKind::CommandLine if length > MAX_COMMAND_LINE => {
            Err(EifError::CommandLineTooLong {
                length,
                limit: MAX_COMMAND_LINE,
            })
        }
        SectionKind::Metadata if length > MAX_METADATA => Err(EifError::MetadataTooLong {
            length,
            limit: MAX_METADATA,
        }),
        SectionKind::Signature if length > MAX_SIGNATURE => Err(EifError::SignatureTooLong {
            length,
            limit: MAX_SIGNATURE,
        }),
        _ => Ok(()),
    }
}

/// Walks the table and the sections' headers, which must agree.
fn read_layout<S: ReadAt>(
    source: &S,
    header: &Header,
    length: u64,
) -> Result<Vec<Section>, EifError> {
    let mut sections: Vec<Section> = Vec::with_capacity(header.table.len());
    let mut end = HEADER_LENGTH as u64;
    for (index, (offset, size)) in header.table.iter().copied().enumerate() {
        if offset != end {
            return Err(EifError::SectionOffset {
                index,
                offset,
                expected: end,
            });
        }
        let start = end + SECTION_HEADER_LENGTH as u64;
        end = match start.checked_add(size) {
            Some(end) if end <= length => end,
            _ => return Err(EifError::OutOfFile { index }),
        };
        let mut bytes = [0; SECTION_HEADER_LENGTH];
        RangeReader::new(source, offset, bytes.len() as u64).read_exact(&mut bytes)?;
        let (kind, actual) = parse_section_header(index, &bytes)?;
        if actual != size {
            return Err(EifError::SectionSize {
                index,
                in_table: size,
                actual,
            });
        }
        check_length(kind, size)?;
        if let Some(before) = sections.last() {
            check_order(index, before.kind, kind)?;
        }
        sections.push(Section {
            kind,
            offset: start,
            length: size,
        });
    }
    for kind in [
        SectionKind::Kernel,
        SectionKind::CommandLine,
        SectionKind::Ramdisk,
    ] {
        if !sections.iter().any(|section| section.kind == kind) {
            return Err(EifError::MissingSection(kind.name()));
        }
    }
    match length - end {
        0 => Ok(sections),
        trailing => Err(EifError::TrailingBytes(trailing)),
    }
}

/// [`SectionKind`]'s order is that of the sections.
fn check_order(index: usize, before: SectionKind, kind: SectionKind) -> Result<(), EifError> {
    let name = kind.name();
    match kind.cmp(&before) {
        std::cmp::Ordering::Greater => Ok(()),
        std::cmp::Ordering::Equal if kind == SectionKind::Ramdisk => Ok(()),
        std::cmp::Ordering::Equal => Err(EifError::DuplicateSection { index, name }),
        std::cmp::Ordering::Less => Err(EifError::SectionOrder { index, name }),
    }
}

/// Reads the whole file once, for its checksum and its measurements.
fn measure<S: ReadAt>(
    source: &S,
    header: &Header,
    bytes: &[u8; HEADER_LENGTH],
    sections: &[Section],
) -> Result<Measurements, EifError> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..CRC_OFFSET]);
    let mut measurer = Measurer::new();
    let mut buffer = vec![0; READ_BYTES];
    for section in sections {
        let mut head = [0; SECTION_HEADER_LENGTH];
        let start = section.offset - head.len() as u64;
        RangeReader::new(source, start, head.len() as u64).read_exact(&mut head)?;
        crc.update(&head);
        measurer.begin(section.kind);
        let mut reader = RangeReader::new(source, section.offset, section.length);
        loop {
            let read = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            crc.update(&buffer[..read]);
            measurer.update(&buffer[..read]);
        }
    }
    let actual = crc.finalize();
    match actual == header.crc {
        true => Ok(measurer.finish()),
        false => Err(EifError::Crc {
            expected: header.crc,
            actual,
        }),
    }
}

/// The bytes of the only section of this kind; its length has been checked.
fn read_section<S: ReadAt>(
    source: &S,
    sections: &[Section],
    kind: SectionKind,
) -> Result<Option<Vec<u8>>, EifError> {
    let Some(section) = sections.iter().find(|section| section.kind == kind) else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    RangeReader::new(source, section.offset, section.length).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

const READ_BYTES: usize = 256 << 10;
