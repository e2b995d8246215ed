//! `nacre image policy`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::cli::sign::read_certificate;
use crate::cli::{open, print};
use crate::error::ImageError;
use crate::policy::policy;

/// Arguments of `nacre image policy`.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// The images that the policy trusts.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Refuse images that this certificate (PEM) did not sign.
    #[arg(long, value_name = "CERT")]
    pub signer: Option<PathBuf>,
    /// Also trust enclaves in debug mode, whatever image they run: for development only.
    #[arg(long)]
    pub allow_debug: bool,
}

pub(crate) fn run(args: &PolicyArgs) -> Result<ExitCode, ImageError> {
    let signer = args.signer.as_deref().map(read_certificate).transpose()?;
    let wanted = signer.map(|certificate| certificate.pcr8());
    let mut images = Vec::with_capacity(args.files.len());
    for path in &args.files {
        let measurements = *open(path)?.measurements();
        if wanted.is_some() && measurements.pcr8 != wanted {
            return Err(ImageError::OtherSigner(path.clone()));
        }
        images.push(measurements);
    }
    print(&policy(&images, args.allow_debug)?.to_json())?;
    Ok(ExitCode::SUCCESS)
}
