//! Why two images have different registers: which section, and inside a ramdisk which file.

mod items;

use std::io;

use nacre_attestation_verifier::Pcr;
use serde::Serialize;

use crate::contents::{hash, ramdisk};
use crate::diff::items::compare_items;
use crate::eif::{Eif, RangeReader, ReadAt, SectionKind};
use crate::error::ImageError;

/// How many changes are reported; the rest are counted.
pub const MAX_CHANGES: usize = 1000;

/// How two images differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Whether PCR0, PCR1, PCR2 and PCR8 are the same.
    pub same_registers: bool,
    /// Those that differ.
    pub registers: Vec<RegisterChange>,
    /// What differs, at most [`MAX_CHANGES`].
    pub changes: Vec<Change>,
    /// How many more differences there are.
    pub left_out: usize,
}

/// A register that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegisterChange {
    /// Which.
    pub register: u8,
    /// Its value in the first image; none is a PCR8 without signature.
    pub first: Option<Pcr>,
    /// Its value in the second.
    pub second: Option<Pcr>,
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Where: `kernel`, `command line`, `ramdisk 0`, `metadata`, …
    pub section: String,
    /// The path, where it is in a ramdisk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `added`, `removed` or `changed`.
    pub change: Kind,
    /// What about it.
    pub details: Vec<String>,
    /// The registers that differ for it; none where it is not measured.
    pub registers: Vec<u8>,
}

/// The kind of a difference, seen from the first image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Removed,
    /// Both have it.
    Changed,
}

impl Diff {
    /// Compares two images.
    ///
    /// # Errors
    ///
    /// [`ImageError`] where one cannot be read. A ramdisk that is no archive is no error: it is compared as a whole.
    pub fn of<A: ReadAt, B: ReadAt>(first: &Eif<A>, second: &Eif<B>) -> Result<Self, ImageError> {
        let registers = registers(first, second);
        let mut diff = Self {
            same_registers: registers.is_empty(),
            registers,
            changes: Vec::new(),
            left_out: 0,
        };
        diff.compare_small(first, second)?;
        diff.compare_ramdisks(first, second)?;
        Ok(diff)
    }

    fn compare_small<A: ReadAt, B: ReadAt>(
        &mut self,
        first: &Eif<A>,
        second: &Eif<B>,
    ) -> Result<(), ImageError> {
        if let Some(details) = compare_bytes(first.kernel(), second.kernel())? {
            self.add(section_change("kernel", Kind::Changed, details, &BOOT));
        }
        let lines = [first.command_line(), second.command_line()];
        if lines[0] != lines[1] {
            let details = vec![format!("{:?}", lines[0]), format!("{:?}", lines[1])];
            self.add(section_change(
                "command line",
                Kind::Changed,
                details,
                &BOOT,
            ));
        }
        let metadata = [first.metadata(), second.metadata()];
        if let Some(kind) = kind_of(metadata[0], metadata[1]) {
            self.add(section_change("metadata", kind, Vec::new(), &[]));
        }
        let hints = |words: [u64; 3]| {
            format!(
                "version {}, {} bytes, {} CPUs",
                words[0], words[1], words[2]
            )
        };
        let headers = [
            [
                first.version().into(),
                first.default_memory(),
                first.default_cpus(),
            ],
            [
                second.version().into(),
                second.default_memory(),
                second.default_cpus(),
            ],
        ];
        if headers[0] != headers[1] || first.architecture() != second.architecture() {
            let details = headers.map(hints).to_vec();
            self.add(section_change("header", Kind::Changed, details, &[]));
        }
        let subjects = [first.signer(), second.signer()].map(|signer| Some(signer?.fingerprint()));
        if let Some(kind) = kind_of(subjects[0].as_ref(), subjects[1].as_ref()) {
            let names = [first.signer(), second.signer()].into_iter().flatten();
            let details = names.map(|signer| signer.subject().to_owned()).collect();
            self.add(section_change("signature", kind, details, &[8]));
        }
        Ok(())
    }

    fn compare_ramdisks<A: ReadAt, B: ReadAt>(
        &mut self,
        first: &Eif<A>,
        second: &Eif<B>,
    ) -> Result<(), ImageError> {
        let ramdisks = [count(first), count(second)];
        for index in 0..ramdisks[0].max(ramdisks[1]) {
            let name = format!("ramdisk {index}");
            let measured = if index == 0 { BOOT } else { APPLICATION };
            match (first.ramdisks().nth(index), second.ramdisks().nth(index)) {
                (Some(a), Some(b)) => {
                    let Some(details) = compare_bytes(a, b)? else {
                        continue;
                    };
                    let pair = (first.ramdisks().nth(index), second.ramdisks().nth(index));
                    self.compare_archives(&name, pair, details, &measured)?;
                }
                (None, _) => self.add(section_change(&name, Kind::Added, Vec::new(), &measured)),
                (_, None) => self.add(section_change(&name, Kind::Removed, Vec::new(), &measured)),
            }
        }
        Ok(())
    }

    /// Two ramdisks whose bytes differ, entry by entry.
    fn compare_archives<A: ReadAt, B: ReadAt>(
        &mut self,
        name: &str,
        pair: (Option<RangeReader<'_, A>>, Option<RangeReader<'_, B>>),
        mut details: Vec<String>,
        measured: &[u8],
    ) -> Result<(), ImageError> {
        let (Some(first), Some(second)) = pair else {
            return Ok(());
        };
        let changes = match (ramdisk(first), ramdisk(second)) {
            (Ok(first), Ok(second)) => compare_items(&first, &second),
            (Err(error), _) | (_, Err(error)) => {
                details.push(format!("not compared file by file: {error}"));
                self.add(section_change(name, Kind::Changed, details, measured));
                return Ok(());
            }
        };
        if changes.is_empty() {
            details.push(
                "the same files, packed differently (order, padding, inodes, compression)"
                    .to_owned(),
            );
            self.add(section_change(name, Kind::Changed, details, measured));
        }
        for (path, change, details) in changes {
            self.add(Change {
                path: Some(path),
                ..section_change(name, change, details, measured)
            });
        }
        Ok(())
    }

    fn add(&mut self, change: Change) {
        match self.changes.len() < MAX_CHANGES {
            true => self.changes.push(change),
            false => self.left_out += 1,
        }
    }
}

fn registers<A: ReadAt, B: ReadAt>(first: &Eif<A>, second: &Eif<B>) -> Vec<RegisterChange> {
    let (a, b) = (first.measurements(), second.measurements());
    let all = [
        (0, Some(a.pcr0), Some(b.pcr0)),
        (1, Some(a.pcr1), Some(b.pcr1)),
        (2, Some(a.pcr2), Some(b.pcr2)),
        (8, a.pcr8, b.pcr8),
    ];
    let different = all.into_iter().filter(|(_, first, second)| first != second);
    different
        .map(|(register, first, second)| RegisterChange {
            register,
            first,
            second,
        })
        .collect()
}

fn section_change(section: &str, change: Kind, details: Vec<String>, registers: &[u8]) -> Change {
    Change {
        section: section.to_owned(),
        path: None,
        change,
        details,
        registers: registers.to_vec(),
    }
}

fn kind_of<T: PartialEq>(first: Option<&T>, second: Option<&T>) -> Option<Kind> {
    match (first, second) {
        (None, Some(_)) => Some(Kind::Added),
        (Some(_), None) => Some(Kind::Removed),
        (first, second) if first != second => Some(Kind::Changed),
        _ => None,
    }
}

/// The hashes of two sections, where they differ.
fn compare_bytes(
    mut first: impl io::Read,
    mut second: impl io::Read,
) -> Result<Option<Vec<String>>, ImageError> {
    let first = hash(&mut first).map_err(ImageError::Read)?;
    let second = hash(&mut second).map_err(ImageError::Read)?;
    let details = [first, second].map(|hash| format!("sha256:{}", hex::encode(hash)));
    Ok((first != second).then(|| details.to_vec()))
}

fn count<S: ReadAt>(eif: &Eif<S>) -> usize {
    let ramdisks = eif.sections().iter();
    ramdisks
        .filter(|section| section.kind == SectionKind::Ramdisk)
        .count()
}

/// The registers of kernel, command line and first ramdisk.
const BOOT: [u8; 2] = [0, 1];
/// Those of the other ramdisks.
const APPLICATION: [u8; 2] = [0, 2];
