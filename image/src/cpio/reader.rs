//! Reading an archive that may come from anybody.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use crate::cpio::error::CpioError;
use crate::cpio::header::{
    HEADER_LENGTH, Header, TYPE_CHARACTER_DEVICE, TYPE_FILE, TYPE_FOLDER, TYPE_LINK, TYPE_MASK,
    padding,
};
use crate::cpio::path::{MAX_PATH, TRAILER, absolute, parent};

/// How much of an archive is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes, after gzip.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// Bytes of all names together: they are kept, to see one that stands twice.
    pub names: u64,
}

impl Default for Limits {
    /// 4 GiB, a quarter of a million entries, 32 MiB of names.
    fn default() -> Self {
        Self {
            bytes: 4 << 30,
            entries: 1 << 18,
            names: 32 << 20,
        }
    }
}

/// An entry; its path is absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where the kernel puts it.
    pub path: String,
    /// The permissions, without the type.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// When it was last changed, seconds since 1970.
    pub mtime: u32,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file of so many bytes, which [`Reader`] gives by [`Read`].
    File {
        /// How many.
        length: u64,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Link {
        /// Where it leads.
        target: String,
    },
    /// A character device.
    CharacterDevice {
        /// The device's major number.
        major: u32,
        /// And its minor number.
        minor: u32,
    },
}

/// Reads entry by entry, in memory that its [`Limits`] bound. What has no place in an image is refused, so that an
/// archive means one thing to the kernel and to whoever checks it: paths with `..`, a path twice
/// (but for folders), entries below a link,
/// hard links, types other than the four of [`EntryKind`], padding that is not zero, anything behind the trailer.
///
/// After [`Reader::next_entry`] gave a file, the reader itself gives its bytes; what is not read is skipped.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    limits: Limits,
    /// How many bytes were read.
    at: u64,
    /// Of the current file.
    left: u64,
    entries: u64,
    names: u64,
    /// Every path that stood, and whether it is a folder.
    seen: BTreeMap<String, bool>,
    ended: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads an archive that is not compressed; see [`unpacked`].
    pub fn new(source: R, limits: Limits) -> Self {
        Self {
            source,
            limits,
            at: 0,
            left: 0,
            entries: 0,
            names: 0,
            seen: BTreeMap::new(),
            ended: false,
        }
    }

    /// The next entry; none when the archive has ended as it should.
    ///
    /// # Errors
    ///
    /// [`CpioError`], a variant for each rule. The reader is of no use after one.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, CpioError> {
        if self.ended {
            return Ok(None);
        }
        self.finish_file()?;
        let start = self.at;
        let mut bytes = [0; HEADER_LENGTH];
        self.fill(&mut bytes)?;
        let header = Header::parse(&bytes, start)?;
        let name = self.name(&header, start)?;
        if name == TRAILER {
            self.finish_archive(&header)?;
            self.ended = true;
            return Ok(None);
        }
        self.entry(&header, &name).map(Some)
    }

    fn name(&mut self, header: &Header, start: u64) -> Result<String, CpioError> {
        let wrong = || CpioError::Name(start);
        let length = header.name_length as usize;
        if !(2..=MAX_PATH + 1).contains(&length) {
            return Err(wrong());
        }
        self.names += length as u64;
        within("bytes of names", self.names, self.limits.names)?;
        let mut name = vec![0; length];
        self.fill(&mut name)?;
        self.skip_padding()?;
        match name.pop() {
            Some(0) if !name.contains(&0) => String::from_utf8(name).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }

    fn entry(&mut self, header: &Header, name: &str) -> Result<Entry, CpioError> {
        self.entries += 1;
        within("entries", self.entries, self.limits.entries)?;
        let is_folder = header.mode & TYPE_MASK == TYPE_FOLDER;
        let path = absolute(name, is_folder)?;
        if header.checksum != 0 {
            return Err(CpioError::Checksum(path));
        }
        self.check_place(&path, is_folder)?;
        if header.size > 0 && !matches!(header.mode & TYPE_MASK, TYPE_FILE | TYPE_LINK) {
            return Err(CpioError::UnexpectedContent(path));
        }
        let kind = match header.mode & TYPE_MASK {
            TYPE_FOLDER => EntryKind::Folder,
            TYPE_FILE if header.links > 1 => return Err(CpioError::HardLink(path)),
            TYPE_FILE => {
                self.left = header.size.into();
                within("bytes", self.at + self.left, self.limits.bytes)?;
                EntryKind::File { length: self.left }
            }
            TYPE_LINK => EntryKind::Link {
                target: self.target(header.size, &path)?,
            },
            TYPE_CHARACTER_DEVICE => EntryKind::CharacterDevice {
                major: header.special_major,
                minor: header.special_minor,
            },
            _ => {
                let mode = header.mode;
                return Err(CpioError::FileType { path, mode });
            }
        };
        Ok(Entry {
            path,
            mode: header.mode & !TYPE_MASK,
            owner: (header.uid, header.gid),
            mtime: header.mtime,
            kind,
        })
    }

    /// Once, and not below what is no folder. Folders may stand again, as in what `nitro-cli` builds: the kernel then
    /// gives the folder the mode and owner of the last.
    fn check_place(&mut self, path: &str, is_folder: bool) -> Result<(), CpioError> {
        let mut above = parent(path);
        while let Some(folder) = above {
            if self.seen.get(folder) == Some(&false) {
                return Err(CpioError::NotInAFolder(path.to_owned()));
            }
            above = parent(folder);
        }
        match self.seen.insert(path.to_owned(), is_folder) {
            None => Ok(()),
            Some(true) if is_folder => Ok(()),
            Some(_) => Err(CpioError::Duplicate(path.to_owned())),
        }
    }

    fn target(&mut self, size: u32, path: &str) -> Result<String, CpioError> {
        let wrong = || CpioError::LinkTarget(path.to_owned());
        let length = size as usize;
        if !(1..=MAX_PATH).contains(&length) {
            return Err(wrong());
        }
        let mut target = vec![0; length];
        self.fill(&mut target)?;
        self.skip_padding()?;
        let target = String::from_utf8(target).map_err(|_| wrong())?;
        match target.contains('\0') {
            true => Err(wrong()),
            false => Ok(target),
        }
    }

    /// Skips what is left of a file.
    fn finish_file(&mut self) -> Result<(), CpioError> {
        if self.left > 0 {
            let left = self.left;
            let skipped = io::copy(&mut self.take(left), &mut io::sink())?;
            if skipped < left {
                return Err(CpioError::Truncated);
            }
        }
        self.skip_padding()
    }

    /// Behind the trailer there are only zeros.
    fn finish_archive(&mut self, trailer: &Header) -> Result<(), CpioError> {
        if trailer.size != 0 || trailer.checksum != 0 {
            return Err(CpioError::Trailer);
        }
        loop {
            let bytes = match self.source.fill_buf() {
                Ok([]) => return Ok(()),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            if let Some(index) = bytes.iter().position(|byte| *byte != 0) {
                return Err(CpioError::AfterTrailer(self.at + index as u64));
            }
            let length = bytes.len();
            self.source.consume(length);
            self.at += length as u64;
            within("bytes", self.at, self.limits.bytes)?;
        }
    }

    fn skip_padding(&mut self) -> Result<(), CpioError> {
        let mut zeros = [0; 4];
        let at = self.at;
        let zeros = &mut zeros[..padding(at) as usize];
        self.fill(zeros)?;
        match zeros.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(CpioError::Padding(at)),
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), CpioError> {
        within("bytes", self.at + buffer.len() as u64, self.limits.bytes)?;
        self.source.read_exact(buffer)?;
        self.at += buffer.len() as u64;
        Ok(())
    }
}

impl<R: BufRead> Read for Reader<R> {
    /// Bytes of the current file; none at its end, and where the entry is no file.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = self.source.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        self.at += read as u64;
        Ok(read)
    }
}

/// A ramdisk's bytes with its gzip taken off, if it has one: the kernel takes both.
///
/// # Errors
///
/// When the source cannot be read.
pub fn unpacked<'a>(source: impl Read + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut source = BufReader::with_capacity(BUFFER, source);
    Ok(match source.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(BufReader::with_capacity(BUFFER, OneMember::new(source))),
        _ => Box::new(source),
    })
}

/// One gzip member and zeros, if anything, behind it.
struct OneMember<R: BufRead> {
    decoder: GzDecoder<R>,
    ended: bool,
}

impl<R: BufRead> OneMember<R> {
    fn new(source: R) -> Self {
        Self {
            decoder: GzDecoder::new(source),
            ended: false,
        }
    }
}

impl<R: BufRead> Read for OneMember<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let read = self.decoder.read(buffer)?;
        if read > 0 {
            return Ok(read);
        }
        self.ended = true;
        let behind = self.decoder.get_mut();
        loop {
            let bytes = behind.fill_buf()?;
            if bytes.is_empty() {
                return Ok(0);
            }
            if bytes.iter().any(|byte| *byte != 0) {
                let reason = "bytes follow the gzip stream";
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            let length = bytes.len();
            behind.consume(length);
        }
    }
}

fn within(what: &'static str, count: u64, limit: u64) -> Result<(), CpioError> {
    match count <= limit {
        true => Ok(()),
        false => Err(CpioError::TooLarge { what, limit }),
    }
}

const BUFFER: usize = 256 << 10;
