//! `nacre image fetch`: what building and emulating need, in the cache before it is needed.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use crate::build::{BuildError, kernel_of};
use crate::cli::build::{cache, processors, workspace};
use crate::cli::print;
use crate::debian;
use crate::error::ImageError;

/// Arguments of `nacre image fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// What to have.
    #[arg(required = true)]
    pub what: Vec<What>,
    /// The workspace with Nacre's crates (default: the one around the current folder).
    #[arg(long, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
}

/// Something that is fetched or built once and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// The enclave's kernel, a bzImage; built if need be.
    Kernel,
    /// The emulator's QEMU, the folder that `nacre emulate --qemu` takes.
    Qemu,
}

pub(crate) fn run(args: &FetchArgs, json: bool) -> Result<ExitCode, ImageError> {
    let cache = cache()?;
    let mut found = Map::new();
    for what in &args.what {
        let (name, path) = match what {
            What::Kernel => {
                let workspace = workspace(args.workspace.as_deref())?;
                let kernel = kernel_of(&workspace, &cache, processors())?;
                ("kernel", kernel.image)
            }
            What::Qemu => {
                let qemu = debian::qemu(&cache).map_err(BuildError::from)?;
                ("qemu", qemu.root().to_owned())
            }
        };
        if !json {
            print(&path.display().to_string())?;
        }
        found.insert(name.to_owned(), json!(path));
    }
    if json {
        print(&Value::Object(found).to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
