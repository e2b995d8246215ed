//! The image in memory: what was checked is what boots.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use nacre_image::eif::{Architecture, Eif, EifError};
use rustix::fs::{MemfdFlags, memfd_create};

use super::MachineError;
use crate::nsm::{BootPcrs, Pcr};

/// An image whose checksum and signature hold, its parts in files in memory that have no name and that nobody else can
/// change.
#[derive(Debug)]
pub struct LoadedImage {
    pub(super) kernel: File,
    pub(super) ramdisk: File,
    pub(super) command_line: String,
    /// How many bytes kernel and ramdisks have.
    pub(super) size: u64,
    measurements: [Pcr; 3],
    signer: Option<Pcr>,
    default_memory: u64,
    default_cpus: u64,
}

impl LoadedImage {
    /// Reads the image once and checks all of it.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is not valid, or is for another processor than x86-64.
    pub fn open(path: &Path) -> Result<Self, MachineError> {
        let failed = |source: EifError| MachineError::Image {
            path: path.to_owned(),
            source,
        };
        let whole = in_memory("eif", File::open(path).map_err(at(path))?).map_err(at(path))?;
        let eif = Eif::open(whole).map_err(failed)?;
        if eif.architecture() != Architecture::X86_64 {
            return Err(MachineError::Architecture(path.to_owned()));
        }
        let kernel = in_memory("kernel", eif.kernel()).map_err(at(path))?;
        let ramdisks: Box<dyn Read + '_> = eif
            .ramdisks()
            .fold(Box::new(io::empty()), |all, next| Box::new(all.chain(next)));
        let ramdisk = in_memory("ramdisk", ramdisks).map_err(at(path))?;
        let size = [&kernel, &ramdisk]
            .into_iter()
            .map(|file| file.metadata().map(|metadata| metadata.len()))
            .sum::<io::Result<u64>>()
            .map_err(at(path))?;
        let measured = eif.measurements();
        Ok(Self {
            command_line: eif.command_line().to_owned(),
            size,
            measurements: [measured.pcr0.0, measured.pcr1.0, measured.pcr2.0],
            signer: measured.pcr8.map(|pcr8| pcr8.0),
            default_memory: eif.default_memory(),
            default_cpus: eif.default_cpus(),
            kernel,
            ramdisk,
        })
    }

    /// PCR0–2, and PCR8 where the image is signed. In debug mode PCR0–2 are zero, as the hypervisor has it.
    #[must_use]
    pub fn boot_pcrs(&self, debug_mode: bool) -> BootPcrs {
        let pcrs = BootPcrs::of_image(if debug_mode {
            [[0; 48]; 3]
        } else {
            self.measurements
        });
        match self.signer {
            Some(pcr8) => pcrs.with_signer(pcr8),
            None => pcrs,
        }
    }

    /// PCR0, PCR1 and PCR2.
    #[must_use]
    pub fn measurements(&self) -> [Pcr; 3] {
        self.measurements
    }

    /// The memory that the image asks for, in bytes; zero where it does not.
    #[must_use]
    pub fn default_memory(&self) -> u64 {
        self.default_memory
    }

    /// The processors that the image asks for; zero where it does not.
    #[must_use]
    pub fn default_cpus(&self) -> u64 {
        self.default_cpus
    }
}

/// A path by which a process that this one starts can open a file of this one that has no name.
pub(super) fn path_of(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}

fn in_memory(name: &str, mut source: impl Read) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
    io::copy(&mut source, &mut file)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

fn at(path: &Path) -> impl Fn(io::Error) -> MachineError + '_ {
    |source| MachineError::Io {
        what: path.display().to_string(),
        source,
    }
}
