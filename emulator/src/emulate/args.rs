//! The words of `nacre emulate`.

use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use nacre_protocol::manifest::ByteSize;
use nacre_telemetry::endpoint::MetricsArgs;

use crate::faults::{FaultError, Span, SpanError, Timed};
use crate::machine::Accelerator;

/// Boots an enclave image without AWS, with a vsock socket for the host and signed documents for the guest.
///
/// Prints the line "ready" when the guest's heartbeat has come, and ends with the guest: status 0 when that was the
/// guest's own doing. Its documents chain to a development root, which no verifier trusts unless it is told to.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct EmulateArgs {
    /// Something else than booting an image
    #[command(subcommand)]
    pub command: Option<EmulateCommand>,

    /// What to boot
    #[command(flatten)]
    pub run: Option<RunArgs>,

    /// Where its numbers are read. Not among what to boot: clap takes a group of arguments for absent when another is
    /// flattened into it
    #[command(flatten)]
    pub metrics: MetricsArgs,
}

/// Something else than booting an image.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum EmulateCommand {
    /// Make something go wrong in an emulator that runs (started with --control)
    #[command(after_help = FAULTS)]
    Fault(FaultArgs),
}

const FAULTS: &str = "\
Faults:
  nsm-latency by=80ms                               each request takes longer
  nsm-error code=InternalError [every=3] [operation=Attestation]
  nsm-silence [every=3] [operation=GetRandom]       never answered
  entropy-failure                                   GetRandom fails
  entropy-constant [byte=0]                         GetRandom gives one byte 256 times
  clock-step by=-30s                                documents' time is off
  clock-drift ppm=500                               documents' time runs faster
  vsock-reset                                       connections are lost, once
  vsock-half-open                                   nothing passes any more, and nobody says so
  vsock-delay by=50ms [jitter=20ms] [seed=0]        bytes come later; connections overtake each other
  vsock-rate bytes-per-second=1000                  a slow reader
  vsock-flip at=0 [mask=1]                          one byte is changed
  vsock-noise every=1000 [seed=0]                   one bit in so many bytes is changed
  vsock-drop at=0 length=1                          bytes are left out
  vsock-repeat at=0 length=1                        bytes come twice
  vsock-cut at=0                                    a direction ends early
    each vsock fault: [port=443], each but the first two: [towards=guest|host]
  enclave-pause                                     the enclave hangs
  enclave-kill                                      the enclave is gone
  clear                                             ends all that came by command";

/// What to boot, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// The enclave image to boot
    #[arg(long, value_name = "FILE")]
    pub eif: PathBuf,

    /// The Unix socket that stands for the guest: a client says "CONNECT port"; what the guest connects to at its parent
    /// goes to SOCKET_port
    #[arg(long, value_name = "SOCKET")]
    pub vsock: PathBuf,

    /// The folder of the development root (root.key, root.der, root.pem); made at first start
    #[arg(long, value_name = "DIR")]
    pub pki_dir: PathBuf,

    /// The guest's memory
    #[arg(long, value_name = "SIZE", default_value = "512MiB")]
    pub memory: ByteSize,

    /// The guest's virtual processors
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub cpus: u32,

    /// The guest's vsock address
    #[arg(long, value_name = "CID", default_value_t = 16, value_parser = clap::value_parser!(u32).range(4..))]
    pub cid: u32,

    /// Show the guest's console on standard error; on real hardware only debug mode has one
    #[arg(long)]
    pub console: bool,

    /// A folder with an unpacked QEMU 11.1 or later; fetched by its pinned version if absent
    #[arg(long, value_name = "DIR")]
    pub qemu: Option<PathBuf>,

    /// What runs the guest's instructions
    #[arg(long, value_enum, default_value_t = Accelerator::Auto)]
    pub accelerator: Accelerator,

    /// A file of faults (TOML); read again on SIGHUP and when it changes
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,

    /// A Unix socket for `nacre emulate fault`
    #[arg(long, value_name = "SOCKET")]
    pub control: Option<PathBuf>,

    /// How long each request keeps the module busy, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=60_000))]
    pub nsm_latency_ms: u64,

    /// Boot in debug mode: PCR0, PCR1 and PCR2 are zero
    #[arg(long)]
    pub debug_mode: bool,

    /// The parent instance's id, i- and 17 hex digits, which PCR4 is made from; random if absent
    #[arg(long, value_name = "ID")]
    pub instance_id: Option<String>,

    /// The parent instance's IAM role, which PCR3 is made from; zero if absent
    #[arg(long, value_name = "ARN")]
    pub role_arn: Option<String>,

    /// The image sends no heartbeat: it is ready as soon as the machine runs
    #[arg(long)]
    pub no_heartbeat: bool,

    /// How long the heartbeat may take
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub boot_within: Within,

    /// Leave when standard input is closed, so that nothing outlives a parent that dies
    #[arg(long)]
    pub exit_on_stdin_eof: bool,
}

/// A fault by command.
#[derive(Clone, Debug, clap::Args)]
pub struct FaultArgs {
    /// The emulator's socket, as given to it with --control
    #[arg(long, value_name = "SOCKET")]
    pub control: PathBuf,

    /// How long it lasts; until cleared if absent
    #[arg(long = "for", value_name = "TIME")]
    pub lasts: Option<Span>,

    /// The fault and its key=value words, or "clear"
    #[arg(value_name = "FAULT", required = true)]
    pub fault: Vec<String>,
}

impl FaultArgs {
    /// The fault; none is to clear them.
    ///
    /// # Errors
    ///
    /// When the words are no fault.
    pub fn order(&self) -> Result<Option<Timed>, FaultError> {
        if self.fault == ["clear"] && self.lasts.is_none() {
            return Ok(None);
        }
        let mut fault = Timed::from_words(self.fault.iter().map(String::as_str))?;
        fault.lasts = self.lasts.or(fault.lasts);
        Ok(Some(fault))
    }
}

/// A length of time that is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within(Duration);

impl Deref for Within {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl FromStr for Within {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        Ok(Self(text.parse::<Span>()?.duration()))
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        emulate: EmulateArgs,
    }

    fn parse(words: &[&str]) -> Result<EmulateArgs, clap::Error> {
        let words = ["emulate"].iter().chain(words);
        Words::try_parse_from(words).map(|words| words.emulate)
    }

    #[test]
    fn an_image_is_booted_with_or_without_metrics() {
        let image = ["--eif", "a", "--vsock", "b", "--pki-dir", "c"];
        assert!(parse(&image).unwrap().run.is_some());
        let watched = parse(&[&image[..], &["--metrics", "unix:/m"]].concat()).unwrap();
        assert!(watched.run.is_some() && watched.metrics.address.is_some());
    }

    #[test]
    fn half_of_what_a_machine_needs_is_refused() {
        assert!(parse(&["--eif", "a"]).is_err());
        assert!(parse(&["fault", "--control", "s"]).is_err());
    }

    #[test]
    fn a_fault_needs_no_image() {
        let fault = parse(&["fault", "--control", "s", "enclave-kill"]).unwrap();
        assert!(fault.command.is_some() && fault.run.is_none());
    }
}
