//! The Enclave Image Format: what AWS's `nitro-cli build-enclave` writes and the Nitro hypervisor loads.
//!
//! ```text
//! header, 548 bytes, big-endian:
//!   0 magic ".eif"      4 version u16      6 flags u16 (bit 0: arm64)
//!   8 default memory    16 default CPUs    24 reserved u16 = 0   26 number of sections u16
//!  28 32 × section offset u64              284 32 × section size u64
//! 540 unused u32 = 0   544 CRC-32 (IEEE) of the whole file but these four bytes
//! then each section: type u16, flags u16 = 0, size u64, and its bytes
//! ```
//!
//! Sections follow one another without a gap in the order kernel, command line, metadata, ramdisks, signature; metadata
//! and signature may be absent. Version 4 is written, 3 and 4 are read. Kernel, command line and ramdisks are measured
//! ([`crate::measure`]); metadata and signature are not.
//!
//! Source of the rules: `src/defs` and `src/utils` of `aws-nitro-enclaves-image-format` 0.8.1. That reader walks the
//! sections in turn and never looks at the header's table; others use the table. Here the two must agree, so that nobody
//! can be shown two images in one file.

mod error;
mod header;
mod metadata;
mod read_at;
mod reader;
mod writer;

pub use error::EifError;
pub use header::{Architecture, MAX_SECTIONS, SectionKind, VERSION};
pub use metadata::{BuildMetadata, Metadata};
pub use read_at::{RangeReader, ReadAt};
pub use reader::{Eif, MAX_COMMAND_LINE, MAX_METADATA, MAX_SIGNATURE, Section};
pub use writer::{Image, Source, write, write_file};
