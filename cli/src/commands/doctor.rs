//! `nacre doctor`: what this machine can run, what is missing, and the command that mends it.
//!
//! Three steps that know nothing of each other's inside: [`probe`](probe::probe) reads the machine into plain values,
//! [`checks`](check::all) judges them without looking at anything else, [`report`] prints. Paths are read below a root
//! folder, so that tests build machines out of files.

mod check;
mod emulator;
mod fix;
mod machine;
mod nitro;
mod probe;
mod process;
mod report;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

pub(crate) use check::Mode;

use crate::args::DoctorArgs;
use crate::commands::Context;
use crate::error::CliError;
use report::Report;

/// Prints the report. The exit status is 0 when the mode that was asked for works, or any mode if none was.
pub(crate) fn run(context: &Context, args: &DoctorArgs) -> Result<ExitCode, CliError> {
    let machine = probe::probe(&probe::Surroundings::here());
    let report = Report::of(check::all(&machine));
    context.output.result(&report, Report::text)?;
    Ok(match report.works(args.mode) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
