//! The words of `nacre job`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nacre_protocol::ids::{FunctionName, JobId};

use crate::args::{TargetArgs, TrustArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Lay a job in, and print its id.
    Submit(Box<SubmitArgs>),
    /// Show where a job stands.
    Get {
        /// The job.
        id: JobId,
    },
    /// Wait until a job has ended, check its receipt, and print its result.
    Wait(Box<WaitArgs>),
    /// Cancel a job, or delete what is kept of one that has ended.
    Cancel {
        /// The job.
        id: JobId,
    },
    /// List jobs, the latest first.
    List,
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// The function.
    #[arg(long, short)]
    pub(crate) function: FunctionName,
    /// KServe v2 JSON: a file, `-` for standard input, or the JSON itself.
    #[arg(long, short, default_value = "-")]
    pub(crate) input: String,
    /// Seal the input to the enclaves that run the function now, after attesting each: nobody else can read it or its result.
    #[arg(long)]
    pub(crate) sealed: bool,
    /// Within how many seconds the job must be done.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) deadline: u64,
    /// The most to pay, micro-units.
    #[arg(long)]
    pub(crate) max_price: Option<u64>,
    /// Post the job here when it has ended (https, a public address).
    #[arg(long, value_name = "URL")]
    pub(crate) webhook: Option<String>,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// The job; it was submitted from here.
    pub(crate) id: JobId,
    /// How long to wait, seconds.
    #[arg(long, default_value_t = 600)]
    pub(crate) timeout: u64,
    /// Write the result's body here instead of standard output.
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
    /// Keep the receipt with its evidence here.
    #[arg(long)]
    pub(crate) receipt: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}
