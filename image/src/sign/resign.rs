//! Signing an image that is there.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::eif::{Eif, EifError, Image, SectionKind, Source, write_file};
use crate::measure::Measurements;
use crate::sign::Signer;

/// Writes the image in `input`, signed, to `output`, which may be the same file. A signature that it had is replaced;
/// the other sections stay as they are, byte for byte. An image of version 3 becomes one of version 4.
///
/// # Errors
///
/// [`EifError`] where the input is not valid (also where the signature to be replaced is not), the signer fails, or a
/// file does; `output` is then what it was.
pub fn sign_file(
    input: &Path,
    signer: &dyn Signer,
    output: &Path,
) -> Result<Measurements, EifError> {
    let eif = Eif::open(File::open(input)?)?;
    let source = |section| Source::new(eif.section(section), section.length);
    let of_kind = |kind| {
        eif.sections()
            .iter()
            .filter(move |section| section.kind == kind)
    };
    let mut metadata = None;
    if let Some(section) = of_kind(SectionKind::Metadata).next() {
        let mut bytes = Vec::new();
        eif.section(section).read_to_end(&mut bytes)?;
        metadata = Some(bytes);
    }
    let kernel = of_kind(SectionKind::Kernel).next();
    let image = Image {
        architecture: eif.architecture(),
        default_memory: eif.default_memory(),
        default_cpus: eif.default_cpus(),
        kernel: kernel
            .map(source)
            .ok_or(EifError::MissingSection(SectionKind::Kernel.name()))?,
        command_line: eif.command_line().to_owned(),
        metadata,
        ramdisks: of_kind(SectionKind::Ramdisk).map(source).collect(),
        signer: Some(signer),
    };
    write_file(image, output)
}
