//! A tree of files, and the one archive that it makes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::cpio::error::CpioError;
use crate::cpio::header::{
    Header, TYPE_CHARACTER_DEVICE, TYPE_FILE, TYPE_FOLDER, TYPE_LINK, padding,
};
use crate::cpio::path::{MAX_PATH, TRAILER, check, parent};

/// What a ramdisk shall hold. Every entry's folder must be in the tree too, but for `/`.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

/// A file's bytes.
#[derive(Debug, Clone)]
pub enum Content {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file of this machine.
    File(PathBuf),
}

#[derive(Debug, Clone)]
struct Node {
    /// With the type.
    mode: u32,
    content: Content,
    device: (u32, u32),
}

impl Tree {
    /// A tree of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder. `mode` is its permissions, as with the others.
    ///
    /// # Errors
    ///
    /// [`CpioError::Path`] and [`CpioError::Duplicate`], as with the others.
    pub fn folder(&mut self, path: &str, mode: u32) -> Result<(), CpioError> {
        self.add(path, TYPE_FOLDER, mode, Content::Bytes(Vec::new()), (0, 0))
    }

    /// Adds a file.
    ///
    /// # Errors
    ///
    /// See [`Tree::folder`].
    pub fn file(&mut self, path: &str, mode: u32, content: Content) -> Result<(), CpioError> {
        self.add(path, TYPE_FILE, mode, content, (0, 0))
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    ///
    /// See [`Tree::folder`]; [`CpioError::LinkTarget`] where the target is empty, too long or has a zero byte.
    pub fn link(&mut self, path: &str, target: &str) -> Result<(), CpioError> {
        if target.is_empty() || target.len() > MAX_PATH || target.contains('\0') {
            return Err(CpioError::LinkTarget(path.to_owned()));
        }
        let content = Content::Bytes(target.as_bytes().to_vec());
        self.add(path, TYPE_LINK, 0o777, content, (0, 0))
    }

    /// Adds a character device, such as `/dev/console`: 5, 1.
    ///
    /// # Errors
    ///
    /// See [`Tree::folder`].
    pub fn character_device(
        &mut self,
        path: &str,
        mode: u32,
        major: u32,
        minor: u32,
    ) -> Result<(), CpioError> {
        let content = Content::Bytes(Vec::new());
        self.add(path, TYPE_CHARACTER_DEVICE, mode, content, (major, minor))
    }

    /// Writes the archive; gives its length in bytes.
    ///
    /// # Errors
    ///
    /// [`CpioError`] where an entry's folder is missing or is none, or a file cannot be read or `out` not written.
    pub fn write(&self, out: &mut impl Write) -> Result<u64, CpioError> {
        self.check_folders()?;
        let mut out = Counted { out, length: 0 };
        for ((path, node), inode) in self.nodes.iter().zip(1..) {
            node.write(path, inode, &mut out)?;
        }
        let trailer = Header {
            links: 1,
            name_length: TRAILER.len() as u32 + 1,
            ..Header::default()
        };
        out.entry(trailer, TRAILER)?;
        out.zeros(out.length.wrapping_neg() % BLOCK)?;
        Ok(out.length)
    }

    fn add(
        &mut self,
        path: &str,
        kind: u32,
        mode: u32,
        content: Content,
        device: (u32, u32),
    ) -> Result<(), CpioError> {
        check(path)?;
        if self.nodes.contains_key(path) {
            return Err(CpioError::Duplicate(path.to_owned()));
        }
        let mode = kind | (mode & PERMISSIONS);
        let node = Node {
            mode,
            content,
            device,
        };
        self.nodes.insert(path.to_owned(), node);
        Ok(())
    }

    /// The order of paths has every folder before what is in it.
    fn check_folders(&self) -> Result<(), CpioError> {
        for path in self.nodes.keys() {
            let Some(parent) = parent(path) else { continue };
            match self.nodes.get(parent) {
                Some(node) if node.mode & !PERMISSIONS == TYPE_FOLDER => {}
                Some(_) => return Err(CpioError::NotInAFolder(path.clone())),
                None if parent == "/" => {}
                None => return Err(CpioError::NoFolder(path.clone())),
            }
        }
        Ok(())
    }
}

impl Node {
    fn write(
        &self,
        path: &str,
        inode: u32,
        out: &mut Counted<impl Write>,
    ) -> Result<(), CpioError> {
        let (mut content, length) = self.content.open(path)?;
        // The kernel's name for `/` is `.`.
        let name = match path.trim_start_matches('/') {
            "" => ".",
            name => name,
        };
        let is_folder = self.mode & !PERMISSIONS == TYPE_FOLDER;
        let header = Header {
            inode,
            mode: self.mode,
            links: if is_folder { 2 } else { 1 },
            size: u32::try_from(length).map_err(|_| CpioError::FileTooLarge(path.to_owned()))?,
            special_major: self.device.0,
            special_minor: self.device.1,
            name_length: name.len() as u32 + 1,
            ..Header::default()
        };
        out.entry(header, name)?;
        // One byte more than there should be, to see a file that has grown.
        let copied = io::copy(&mut (&mut content).take(length + 1), out)
            .map_err(|error| named(path, error))?;
        if copied != length {
            return Err(CpioError::Changed(path.to_owned()));
        }
        out.zeros(padding(out.length))?;
        Ok(())
    }
}

impl Content {
    fn open(&self, path: &str) -> Result<(Box<dyn Read + '_>, u64), CpioError> {
        match self {
            Self::Bytes(bytes) => Ok((Box::new(bytes.as_slice()), bytes.len() as u64)),
            Self::File(source) => {
                let (file, length) = open_file(source).map_err(|error| named(path, error))?;
                Ok((Box::new(file), length))
            }
        }
    }
}

fn open_file(path: &Path) -> io::Result<(File, u64)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

fn named(path: &str, error: io::Error) -> CpioError {
    CpioError::Io(io::Error::new(error.kind(), format!("{path}: {error}")))
}

/// Counts what is written, for the padding.
struct Counted<W> {
    out: W,
    length: u64,
}

impl<W: Write> Counted<W> {
    fn entry(&mut self, header: Header, name: &str) -> io::Result<()> {
        self.write_all(&header.to_bytes())?;
        self.write_all(name.as_bytes())?;
        self.zeros(1)?;
        self.zeros(padding(self.length))
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(count), self).map(drop)
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

const PERMISSIONS: u32 = 0o7777;
const BLOCK: u64 = 512;
