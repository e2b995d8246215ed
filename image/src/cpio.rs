//! Ramdisks: cpio archives of the "new ASCII" kind (`070701`), which the kernel unpacks at boot.
//!
//! What is written depends on nothing but its contents: entries sorted by path, no times, owner 0:0, inodes counted
//! from 1, the whole padded with zeros to 512 bytes, as GNU cpio pads it. Paths are absolute here and stand in the
//! archive without the leading slash.
//!
//! What is read may come from anybody: see [`Reader`].
//!
//! Source of the format: `Documentation/driver-api/early-userspace/buffer-format.rst` of Linux, and `init/initramfs.c`
//! for what the kernel makes of it.

mod error;
mod header;
mod path;
mod reader;
mod tree;

pub use error::CpioError;
pub use reader::{Entry, EntryKind, Limits, Reader, unpacked};
pub use tree::{Content, Tree};
