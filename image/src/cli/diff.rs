//! `nacre image diff`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::cli::{open, print};
use crate::diff::{Change, Diff, Kind};
use crate::error::ImageError;

/// Arguments of `nacre image diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The first image.
    pub first: PathBuf,
    /// The second.
    pub second: PathBuf,
}

pub(crate) fn run(args: &DiffArgs, json: bool) -> Result<ExitCode, ImageError> {
    let diff = Diff::of(&open(&args.first)?, &open(&args.second)?)?;
    match json {
        true => print(&serde_json::json!(diff).to_string())?,
        false => print(&lines(&diff))?,
    }
    Ok(match diff.same_registers {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(DIFFERENT),
    })
}

fn lines(diff: &Diff) -> String {
    let mut lines = Vec::new();
    for change in &diff.registers {
        let values = [change.first, change.second];
        let [first, second] =
            values.map(|pcr| pcr.map_or("zero".to_owned(), |pcr| pcr.to_string()));
        lines.push(format!("PCR{}  {first}\n   →  {second}", change.register));
    }
    if diff.same_registers {
        lines.push("the PCRs are the same".to_owned());
    }
    lines.extend(diff.changes.iter().map(line));
    if diff.left_out > 0 {
        lines.push(format!("… and {} more differences", diff.left_out));
    }
    lines.join("\n")
}

/// Such as `~ ramdisk 1: /usr/bin/nacre-enclave: length 5 → 6 [PCR0, PCR2]`.
fn line(change: &Change) -> String {
    let sign = match change.change {
        Kind::Added => '+',
        Kind::Removed => '-',
        Kind::Changed => '~',
    };
    let mut place = change.section.clone();
    if let Some(path) = &change.path {
        // A name in a ramdisk may hold anything; the terminal gets none of it raw.
        place.push_str(&format!(": {}", path.escape_debug()));
    }
    if !change.details.is_empty() {
        place.push_str(&format!(": {}", change.details.join(", ")));
    }
    let registers = change
        .registers
        .iter()
        .map(|register| format!("PCR{register}"));
    let registers: Vec<_> = registers.collect();
    let registers = match registers.is_empty() {
        true => "not measured".to_owned(),
        false => registers.join(", "),
    };
    format!("{sign} {place} [{registers}]")
}

const DIFFERENT: u8 = 1;
