//! The 110 bytes before an entry's name.

use crate::cpio::error::CpioError;

pub(crate) const HEADER_LENGTH: usize = 110;

/// The numbers of a header, in the order in which they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) inode: u32,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) links: u32,
    pub(crate) mtime: u32,
    pub(crate) size: u32,
    pub(crate) device_major: u32,
    pub(crate) device_minor: u32,
    pub(crate) special_major: u32,
    pub(crate) special_minor: u32,
    /// With its zero byte.
    pub(crate) name_length: u32,
    pub(crate) checksum: u32,
}

impl Header {
    /// Reads a header that begins at byte `at` of the archive.
    pub(crate) fn parse(bytes: &[u8; HEADER_LENGTH], at: u64) -> Result<Self, CpioError> {
        let (magic, digits) = bytes.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(CpioError::Magic(at));
        }
        let mut header = Self::default();
        for (field, digits) in header.fields().into_iter().zip(digits.chunks_exact(8)) {
            let mut number = [0; 4];
            hex::decode_to_slice(digits, &mut number).map_err(|_| CpioError::Number(at))?;
            *field = u32::from_be_bytes(number);
        }
        Ok(header)
    }

    pub(crate) fn to_bytes(mut self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for field in self.fields() {
            bytes.extend(format!("{field:08x}").into_bytes());
        }
        bytes
    }

    fn fields(&mut self) -> [&mut u32; 13] {
        [
            &mut self.inode,
            &mut self.mode,
            &mut self.uid,
            &mut self.gid,
            &mut self.links,
            &mut self.mtime,
            &mut self.size,
            &mut self.device_major,
            &mut self.device_minor,
            &mut self.special_major,
            &mut self.special_minor,
            &mut self.name_length,
            &mut self.checksum,
        ]
    }
}

/// How many zeros follow what ends at byte `end`: names and contents end on a multiple of 4.
pub(crate) fn padding(end: u64) -> u64 {
    end.wrapping_neg() % 4
}

const MAGIC: &[u8] = b"070701";

/// The part of a mode that is the type.
pub(crate) const TYPE_MASK: u32 = 0o170_000;
pub(crate) const TYPE_FILE: u32 = 0o100_000;
pub(crate) const TYPE_FOLDER: u32 = 0o040_000;
pub(crate) const TYPE_LINK: u32 = 0o120_000;
pub(crate) const TYPE_CHARACTER_DEVICE: u32 = 0o020_000;
