//! Writing an image: the same inputs give the same bytes.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::eif::error::EifError;
use crate::eif::header::{
    Architecture, CRC_OFFSET, HEADER_LENGTH, Header, MAX_SECTIONS, SECTION_HEADER_LENGTH,
    SectionKind, VERSION, section_header,
};
use crate::eif::reader::{check_command_line, check_length};
use crate::measure::{Measurements, Measurer};
use crate::sign::{Signer, sign_pcr0};

/// What an image is made of.
pub struct Image<'a> {
    /// The processor that the kernel is for.
    pub architecture: Architecture,
    /// How much memory the image asks for, bytes; a hint. AWS's tool writes 1 GiB.
    pub default_memory: u64,
    /// How many processors the image asks for; a hint. AWS's tool writes 2.
    pub default_cpus: u64,
    /// The kernel.
    pub kernel: Source<'a>,
    /// Its command line, at most [`crate::eif::MAX_COMMAND_LINE`] bytes.
    pub command_line: String,
    /// What [`crate::eif::Metadata::to_json`] gives; none leaves the section out.
    pub metadata: Option<Vec<u8>>,
    /// At least one; the first is measured in PCR1, the others in PCR2.
    pub ramdisks: Vec<Source<'a>>,
    /// Who signs the image; none leaves it unsigned.
    pub signer: Option<&'a dyn Signer>,
}

/// A section's bytes and how many there are.
pub struct Source<'a> {
    reader: Box<dyn Read + 'a>,
    length: u64,
}

impl<'a> Source<'a> {
    /// Bytes from anywhere; there must be exactly `length`.
    pub fn new(reader: impl Read + 'a, length: u64) -> Self {
        Self {
            reader: Box::new(reader),
            length,
        }
    }

    /// A file.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn file(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self::new(file, length))
    }

    /// Bytes in memory.
    pub fn bytes(bytes: &'a [u8]) -> Self {
        Self::new(bytes, bytes.len() as u64)
    }
}

/// Writes the image to `out`, which begins where it stands, and gives its measurements.
///
/// # Errors
///
/// [`EifError`] where the image would not be valid, or a source or `out` fails; `out` then has half an image.
pub fn write(image: Image<'_>, out: &mut (impl Write + Seek)) -> Result<Measurements, EifError> {
    let start = out.stream_position()?;
    out.write_all(&[0; HEADER_LENGTH])?;
    let mut body = Body {
        out: io::BufWriter::with_capacity(COPY_BYTES, &mut *out),
        crc: crc32fast::Hasher::new(),
        measurer: Measurer::new(),
        table: Vec::new(),
        end: HEADER_LENGTH as u64,
    };
    check_command_line(image.command_line.clone().into_bytes())?;
    if image.ramdisks.is_empty() {
        return Err(EifError::MissingSection(SectionKind::Ramdisk.name()));
    }
    body.section(SectionKind::Kernel, image.kernel)?;
    let command_line = Source::bytes(image.command_line.as_bytes());
    body.section(SectionKind::CommandLine, command_line)?;
    if let Some(metadata) = &image.metadata {
        body.section(SectionKind::Metadata, Source::bytes(metadata))?;
    }
    for ramdisk in image.ramdisks {
        body.section(SectionKind::Ramdisk, ramdisk)?;
    }
    let mut measurements = body.measurer.clone().finish();
    if let Some(signer) = image.signer {
        let signature = sign_pcr0(signer, &measurements.pcr0)?;
        body.section(SectionKind::Signature, Source::bytes(&signature))?;
        measurements.pcr8 = Some(signer.certificate().pcr8());
    }
    let (crc, table) = body.finish()?;
    let mut header = Header {
        version: VERSION,
        architecture: image.architecture,
        default_memory: image.default_memory,
        default_cpus: image.default_cpus,
        table,
        crc: 0,
    };
    // The signature's length is known last, hence the header too; but the checksum begins with it.
    let mut whole = crc32fast::Hasher::new();
    whole.update(&header.to_bytes()[..CRC_OFFSET]);
    whole.combine(&crc);
    header.crc = whole.finalize();
    let end = out.stream_position()?;
    out.seek(SeekFrom::Start(start))?;
    out.write_all(&header.to_bytes())?;
    out.seek(SeekFrom::Start(end))?;
    Ok(measurements)
}

/// Writes the image to a file, all of it or nothing: a file of this name stays as it was until the new one is on disk.
///
/// # Errors
///
/// As [`write`].
pub fn write_file(image: Image<'_>, path: &Path) -> Result<Measurements, EifError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".nacre-eif-")
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    let measurements = write(image, file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()?;
    Ok(measurements)
}

/// Everything behind the header, as it is written.
struct Body<W: Write> {
    out: io::BufWriter<W>,
    crc: crc32fast::Hasher,
    measurer: Measurer,
    table: Vec<(u64, u64)>,
    end: u64,
}

impl<W: Write> Body<W> {
    fn section(&mut self, kind: SectionKind, mut source: Source<'_>) -> Result<(), EifError> {
        check_length(kind, source.length)?;
        if self.table.len() == MAX_SECTIONS {
            return Err(EifError::SectionCount(MAX_SECTIONS as u16 + 1));
        }
        self.table.push((self.end, source.length));
        self.end += SECTION_HEADER_LENGTH as u64 + source.length;
        self.put(&section_header(kind, source.length))?;
        self.measurer.begin(kind);
        let mut buffer = vec![0; COPY_BYTES];
        let mut left = source.length;
        loop {
            let read = match source.reader.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            left = match left.checked_sub(read as u64) {
                Some(0) if read == 0 => return Ok(()),
                Some(left) if read > 0 => left,
                _ => return Err(EifError::SourceChanged { name: kind.name() }),
            };
            self.put(&buffer[..read])?;
            self.measurer.update(&buffer[..read]);
        }
    }

    fn finish(mut self) -> io::Result<(crc32fast::Hasher, Vec<(u64, u64)>)> {
        self.out.flush()?;
        Ok((self.crc, self.table))
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.out.write_all(bytes)
    }
}

const COPY_BYTES: usize = 256 << 10;
