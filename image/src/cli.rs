//! `nacre image …`: the arguments, and what each prints.

mod build;
mod diff;
mod fetch;
mod measure;
mod policy;
mod sign;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use crate::eif::Eif;
use crate::error::ImageError;

/// Build, measure, sign and compare enclave images (EIF).
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Build the image from a workspace: the same sources, locks and compiler give the same bytes on every machine.
    Build(build::BuildArgs),
    /// Write the lock files of Debian packages anew, with the newest versions that the archive signs. PCRs change.
    UpdateLocks(build::UpdateLocksArgs),
    /// Have what building and emulating need in the cache, and print where it is.
    Fetch(fetch::FetchArgs),
    /// Check an image and print its PCRs, or with --sbom what is in it.
    Measure(measure::MeasureArgs),
    /// Sign an image with a P-384 key, in a file or a PKCS#11 token: PCR8. A signature that it has is replaced.
    Sign(sign::SignArgs),
    /// Say which section and which file makes two images' PCRs differ. Exit status 0: same PCRs, 1: different.
    Diff(diff::DiffArgs),
    /// Print the policy by which clients trust these images.
    Policy(policy::PolicyArgs),
}

/// Runs a command; with `json`, it prints one JSON value.
///
/// # Errors
///
/// [`ImageError`]; nothing was written then.
pub fn run(command: ImageCommand, json: bool) -> Result<ExitCode, ImageError> {
    match command {
        ImageCommand::Build(args) => build::run(&args, json),
        ImageCommand::UpdateLocks(args) => build::run_update(&args, json),
        ImageCommand::Fetch(args) => fetch::run(&args, json),
        ImageCommand::Measure(args) => measure::run(&args, json),
        ImageCommand::Sign(args) => sign::run(&args, json),
        ImageCommand::Diff(args) => diff::run(&args, json),
        ImageCommand::Policy(args) => policy::run(&args),
    }
}

/// Opens an image and checks all of it.
fn open(path: &Path) -> Result<Eif<File>, ImageError> {
    let file = File::open(path).map_err(ImageError::file(path))?;
    Eif::open(file).map_err(ImageError::image(path))
}

/// Prints lines; a reader that has gone (`| head`) is no error.
fn print(text: &str) -> Result<(), ImageError> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(ImageError::File {
            path: "standard output".into(),
            error,
        }),
        _ => Ok(()),
    }
}
