//! What the hypervisor measures of an image.
//!
//! With ext(x) = SHA-384(48 zero bytes ‖ SHA-384(x)), the extension of a register that was zero:
//!
//! | register | x |
//! |---|---|
//! | PCR0 | kernel ‖ command line ‖ every ramdisk |
//! | PCR1 | kernel ‖ command line ‖ first ramdisk |
//! | PCR2 | the other ramdisks |
//! | PCR8 | the signing certificate's DER; zero where the image is not signed |
//!
//! Source: `EifBuilder::measure` and `EifReader` of `aws-nitro-enclaves-image-format` 0.8.1.

use nacre_attestation_verifier::Pcr;
use serde::Serialize;
use sha2::{Digest as _, Sha384};

use crate::eif::SectionKind;

/// An image's registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Measurements {
    /// The whole image.
    pub pcr0: Pcr,
    /// Kernel, command line and first ramdisk.
    pub pcr1: Pcr,
    /// The application: the other ramdisks.
    pub pcr2: Pcr,
    /// The certificate that signed the image; the register is zero where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pcr8: Option<Pcr>,
}

/// Takes an image's sections in order and gives its measurements. PCR0 and PCR1 begin alike and are hashed once.
#[derive(Clone)]
pub struct Measurer {
    image: Sha384,
    /// What `image` was when the second ramdisk began.
    boot: Option<Sha384>,
    application: Sha384,
    ramdisks: usize,
    current: Option<SectionKind>,
}

impl Measurer {
    /// One that has seen nothing.
    #[expect(
        clippy::new_without_default,
        reason = "a measurer of nothing is no value of its own"
    )]
    pub fn new() -> Self {
        Self {
            image: Sha384::new(),
            boot: None,
            application: Sha384::new(),
            ramdisks: 0,
            current: None,
        }
    }

    /// A section begins.
    pub fn begin(&mut self, kind: SectionKind) {
        self.current = Some(kind);
        if kind == SectionKind::Ramdisk {
            self.ramdisks += 1;
            if self.ramdisks == 2 {
                self.boot = Some(self.image.clone());
            }
        }
    }

    /// More bytes of the section.
    pub fn update(&mut self, bytes: &[u8]) {
        match self.current {
            Some(SectionKind::Kernel | SectionKind::CommandLine) => self.image.update(bytes),
            Some(SectionKind::Ramdisk) => {
                self.image.update(bytes);
                if self.ramdisks > 1 {
                    self.application.update(bytes);
                }
            }
            Some(SectionKind::Metadata | SectionKind::Signature) | None => {}
        }
    }

    /// The measurements of the sections that were given, PCR8 left out.
    pub fn finish(self) -> Measurements {
        Measurements {
            pcr1: extended(self.boot.unwrap_or_else(|| self.image.clone())),
            pcr0: extended(self.image),
            pcr2: extended(self.application),
            pcr8: None,
        }
    }
}

/// A zero register after it was extended with what the hash has seen.
pub(crate) fn extended(hash: Sha384) -> Pcr {
    let hash = Sha384::new()
        .chain_update([0; Pcr::LENGTH])
        .chain_update(hash.finalize());
    Pcr(hash.finalize().into())
}
