//! The command line's words.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use nacre_control_plane::admin::AdminCommand;
use nacre_control_plane::cli::ControlPlaneArgs;
use nacre_emulator::cli::NsmEmulatorArgs;
use nacre_emulator::emulate::EmulateArgs;
use nacre_gateway::cli::GatewayArgs;
use nacre_host_proxy::cli::{EnclaveKind, NodeArgs};
use nacre_host_proxy::egress::EgressArgs;
use nacre_image::cli::ImageCommand;
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{FunctionName, NodeId};
use nacre_telemetry::endpoint::MetricsArgs;
use nacre_telemetry::log::LogArgs;

mod deploy;

pub(crate) use deploy::{DeployArgs, RolloutArgs};

/// Confidential serverless inference: deploy a model, call it in an enclave, check the proof.
#[derive(Debug, Parser)]
#[command(name = "nacre", version, after_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Print one JSON value instead of text; errors are JSON on standard error.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Log what happens to standard error (more precisely: NACRE_LOG=filter).
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    /// Which login to use; `nacre dev` makes one named `dev`.
    #[arg(long, global = true, env = "NACRE_PROFILE")]
    pub(crate) profile: Option<String>,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_STATUS: &str = "\
Exit status: 0 done or trusted · 1 failed · 2 wrong usage, or a policy without measurements · 3 not reachable ·
4 the control plane or a contract refused · 5 timed out · 6 the function, its deployment or its job failed · attestation: 10 malformed ·
11 chain · 12 signature · 13 time · 14 measurements · 15 binding (nonce, key, receipt)";

/// Every command: those of people, and those that run a part of the platform.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    User(UserCommand),
    #[command(flatten)]
    Platform(PlatformCommand),
    /// Book payments and check the ledger, on the control plane's database itself.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// The contracts: deploy them, stake, ask for inferences, register enclaves' keys, settle uptime.
    #[command(subcommand)]
    Chain(crate::commands::chain::ChainCommand),
    /// Build, check, sign and compare enclave images (EIF), and make the policy that trusts them.
    #[command(subcommand)]
    Image(ImageCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum PlatformCommand {
    /// Run a control plane.
    ControlPlane(ControlPlaneArgs),
    /// Run a node: an enclave with its host proxy and agent.
    Node(NodeArgs),
    /// Run an SNI gateway: callers of `<function>.<zone>` reach a node that runs it; TLS ends in the enclave.
    Gateway(Box<GatewayArgs>),
    /// Run the NSM emulator: a Nitro Security Module with a development root, on a Unix socket.
    NsmEmulator(NsmEmulatorArgs),
    /// Boot an enclave image without AWS, with signed documents under a development root.
    Emulate(Box<EmulateArgs>),
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Run control plane, node and enclave on this machine; ctrl-C leaves nothing behind.
    Dev(DevArgs),
    /// Keep the address and API key of a control plane, and what to trust.
    Login(LoginArgs),
    /// Upload a function and wait until it answers.
    Deploy(DeployArgs),
    /// Put the version on trial in force, by a rolling update.
    Promote(RolloutArgs),
    /// End the trial, or go back to the version before.
    Rollback(RolloutArgs),
    /// List functions, or show one.
    Functions {
        /// Show only this one.
        name: Option<FunctionName>,
    },
    /// List nodes.
    Nodes,
    /// List what nodes did that honest ones do not, the latest first; or the scores that it leaves them.
    Incidents {
        /// Of this node only.
        #[arg(long)]
        node: Option<NodeId>,
        /// Each node's score: 10,000 less what its incidents of the last seven days take off.
        #[arg(long)]
        scores: bool,
    },
    /// Delete a function and everything of it.
    Delete {
        /// Its name.
        name: FunctionName,
    },
    /// What happened to a function: started, failed, restarted. Never payloads.
    Logs(LogsArgs),
    /// Call a function through an attested connection and check the receipt.
    Invoke(InvokeArgs),
    /// Lay jobs in and fetch their results later.
    #[command(subcommand)]
    Job(crate::commands::job::JobCommand),
    /// What there is, what is owed and what is set aside.
    Balance,
    /// What this month has cost so far, by function and lease.
    Usage,
    /// A month's invoice, or all that were issued.
    Invoice {
        /// Such as 2026-11 (UTC).
        month: Option<String>,
    },
    /// What moved the money: usage receipts, deposits.
    Entries {
        /// Only those after this one.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
    /// The most that may be spent: work stops before it is passed.
    #[command(subcommand)]
    Cap(crate::commands::ledger::CapCommand),
    /// What operators of the organisation's nodes earned: ask for it, and see what was paid.
    #[command(subcommand)]
    Payout(crate::commands::payout::PayoutCommand),
    /// Make, list, rotate and revoke API keys.
    #[command(subcommand)]
    Key(crate::commands::key::KeyCommand),
    /// What the organisation's keys did and were refused, the latest first. At the database: what was done with the platform's
    /// own keys, and what they were refused.
    Audit {
        /// Most entries.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[command(flatten)]
        at: crate::commands::key::DatabaseArgs,
    },
    /// Check or show attestation documents.
    #[command(subcommand)]
    Attest(AttestCommand),
    /// Check receipts.
    #[command(subcommand)]
    Receipt(ReceiptCommand),
    /// Plain HTTP on loopback in, attested TLS out: for unmodified KServe clients. SIGHUP reads the policy again.
    Proxy(ProxyArgs),
    /// Watch nodes: probe each in every slot, keep what it answered, commit to it and reveal it.
    Watch(Box<crate::watch::WatchArgs>),
    /// Print the digest a function directory will have.
    Digest {
        /// The directory with nacre.toml.
        dir: PathBuf,
    },
    /// Say what this machine can run (nitro, emulator, process), what is missing, and the command that mends it.
    #[command(after_help = DOCTOR)]
    Doctor(DoctorArgs),
}

const DOCTOR: &str = "\
Exit status: 0 the mode of --for works, or any mode where none is named · 1 it does not, or none does.
With --json: {\"modes\": {MODE: {\"works\", \"missing\", \"degraded\"}}, \"checks\": [{\"code\", \"status\", \"modes\", \"found\",
\"fix\"}]}; codes are stable, a status is ok, missing (its modes do not work) or degraded (they work less well).";

#[derive(Debug, ClapArgs)]
pub(crate) struct DoctorArgs {
    /// Insist on this mode.
    #[arg(long = "for", value_name = "MODE", value_enum)]
    pub(crate) mode: Option<crate::commands::doctor::Mode>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DevArgs {
    /// Where everything is kept (default: `dev` in Nacre's folder).
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// Address of the control plane.
    #[arg(long, default_value = "127.0.0.1:7600")]
    pub(crate) listen: std::net::SocketAddr,
    /// Address of the node for callers.
    #[arg(long, default_value = "127.0.0.1:7601")]
    pub(crate) node_listen: std::net::SocketAddr,
    /// Kind of enclave.
    #[arg(long, value_enum, default_value_t = EnclaveKind::Process)]
    pub(crate) enclave: EnclaveKind,
    /// emulator, nitro: the enclave image [default: target/image/nacre.eif, which `make image` builds].
    #[arg(long, value_name = "FILE")]
    pub(crate) eif: Option<PathBuf>,
    /// process: libonnxruntime.so [default: the variable NACRE_ONNXRUNTIME, or what `make setup` brought].
    #[arg(long)]
    pub(crate) onnxruntime: Option<PathBuf>,
    /// Memory for functions (process; 2GiB unless given), or of the whole enclave (emulator: 512MiB unless given).
    #[arg(long)]
    pub(crate) memory: Option<nacre_protocol::manifest::ByteSize>,
    /// process, emulator: how long the emulated NSM takes for one call, milliseconds.
    #[arg(long)]
    pub(crate) nsm_latency_ms: Option<u64>,
    /// emulator: faults to inject, as in `nacre emulate --faults`.
    #[arg(long, value_name = "FILE")]
    pub(crate) faults: Option<PathBuf>,
    /// An enclave that runs and no longer answers is killed after this long [default: 20s].
    #[arg(long, value_name = "TIME")]
    pub(crate) hung_after: Option<nacre_protocol::manifest::Timeout>,
    /// The node's ask for memory: micro-units per GiB-second.
    #[arg(long, value_name = "MICROS", default_value_t = 0)]
    pub(crate) price: u64,
    /// The node's ask for processors: micro-units per CPU-second.
    #[arg(long, value_name = "MICROS", default_value_t = 0)]
    pub(crate) cpu_price: u64,
    #[command(flatten)]
    pub(crate) egress: EgressArgs,
    /// Where the control plane's numbers are read.
    #[command(flatten)]
    pub(crate) metrics: MetricsArgs,
    /// The same for the node's and its enclave's.
    #[arg(long, value_name = "ADDR", value_parser = MetricsArgs::parse_address)]
    pub(crate) node_metrics: Option<nacre_transport::Address>,
    /// A chain beside the platform: anvil with the contracts, an operator with stake whose enclave is registered, a relay, and
    /// a contract that asks the function of examples/digit. A second start goes on with it.
    #[arg(long)]
    pub(crate) chain: bool,
    /// With --chain: the port of its RPC on loopback, 0 for a free one [default: 8545].
    #[arg(long, value_name = "PORT", requires = "chain")]
    pub(crate) rpc_port: Option<u16>,
    /// Leave when standard input closes.
    #[arg(long)]
    pub(crate) exit_on_stdin_eof: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct LoginArgs {
    /// The control plane, such as https://api.example.org.
    pub(crate) url: String,
    /// Read the API key from this file; `-` or absent: standard input.
    #[arg(long)]
    pub(crate) key_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

/// What to trust: a root and measurements.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct TrustArgs {
    /// `aws`, `dev` (the root of `nacre dev`), or a certificate file in PEM or DER.
    #[arg(long)]
    pub(crate) root: Option<String>,
    /// Policy in JSON: {"measurements":[{"pcr0":…,"pcr1":…,"pcr2":…}],"max_age_s":300,"allow_debug":false}; a set may
    /// have "not_before" and "not_after", the first and last second at which it is trusted (2026-01-02T03:04:05Z).
    #[arg(long, conflicts_with_all = ["pcr0", "pcr1", "pcr2"])]
    pub(crate) policy: Option<PathBuf>,
    /// PCR0: the whole image, 96 hex digits.
    #[arg(long, requires_all = ["pcr1", "pcr2"])]
    pub(crate) pcr0: Option<String>,
    /// PCR1: kernel and first ramdisk.
    #[arg(long, requires_all = ["pcr0", "pcr2"])]
    pub(crate) pcr1: Option<String>,
    /// PCR2: the application.
    #[arg(long, requires_all = ["pcr0", "pcr1"])]
    pub(crate) pcr2: Option<String>,
    /// How old a document may be, seconds.
    #[arg(long)]
    pub(crate) max_age: Option<u64>,
    /// Allow a debug enclave (PCR0–2 zero), where the measurements list zeros as well.
    #[arg(long)]
    pub(crate) allow_debug: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct LogsArgs {
    /// The function.
    pub(crate) name: FunctionName,
    /// Go on printing.
    #[arg(long, short)]
    pub(crate) follow: bool,
}

/// Which version of a function shall answer.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct TargetArgs {
    /// The function digest that must answer (default: what `nacre deploy` recorded here).
    #[arg(long)]
    pub(crate) digest: Option<Digest>,
    /// `host:port` of the enclave (default: ask the control plane).
    #[arg(long)]
    pub(crate) endpoint: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct InvokeArgs {
    /// The function.
    pub(crate) name: FunctionName,
    /// KServe v2 JSON: a file, `-` for standard input, or the JSON itself.
    #[arg(long, short, default_value = "-")]
    pub(crate) input: String,
    /// Write the answer's body here instead of standard output.
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
    /// Keep the receipt with its evidence here.
    #[arg(long)]
    pub(crate) receipt: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AttestCommand {
    /// Check a document (a file) or a live enclave (https://host:port) against root and measurements.
    Verify(AttestVerifyArgs),
    /// Show what a document claims, unverified.
    Inspect {
        /// The document's file: bytes, base64 or hex.
        document: PathBuf,
    },
    /// Put the adversarial corpus to any verifier and print where it differs.
    #[command(after_help = CONFORMANCE)]
    Conformance(AttestConformanceArgs),
    /// Answer conformance requests from standard input with this verifier: one JSON object a line.
    Respond(AttestRespondArgs),
}

const CONFORMANCE: &str = r#"The program reads one JSON object a line:
  {"id", "document", "root", "time_ms", "policy", "nonce"}
  (document, root as DER, and nonce in base64; nonce is null where nothing is asked of it)
and answers each with one a line, in the same order, flushed:
  {"id", "code", "rule", "detail"}   a result code of attestations; rule and detail may be left out
  {"id", "accepted": true|false}     from a verifier without codes
  {"id", "unsupported": "what"}      it cannot be asked this; counts neither for nor against it
  {"id", "error": "why"}             it has no verdict
A code that is not the demanded one counts as a difference; a rule only where an answer names one.

Exit status: 0 no differences · 1 it differs, ended early, or supports nothing · 2 wrong usage."#;

#[derive(Debug, ClapArgs)]
pub(crate) struct AttestVerifyArgs {
    /// A document's file (bytes, base64 or hex), or https://host:port of a live enclave.
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// Check as of this time (RFC 3339): an archive check.
    #[arg(long)]
    pub(crate) at: Option<jiff::Timestamp>,
    /// The nonce that the document must carry, hex.
    #[arg(long)]
    pub(crate) nonce: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct AttestConformanceArgs {
    /// Only cases whose name contains this.
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
    /// Another corpus than the one built in.
    #[arg(long, value_name = "FILE")]
    pub(crate) corpus: Option<PathBuf>,
    /// How long each answer may take, seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
    /// The program and its arguments; no shell reads them.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct AttestRespondArgs {
    /// What does the arithmetic: `portable` or `aws-lc` (default: the fastest of this build).
    #[arg(long, value_parser = crate::commands::conformance::backend)]
    pub(crate) backend: Option<nacre_attestation_verifier::Backend>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Check that a receipt proves this request and this response.
    Verify(ReceiptVerifyArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReceiptVerifyArgs {
    /// The receipt file that `nacre invoke --receipt` kept.
    pub(crate) file: PathBuf,
    /// The request's body.
    #[arg(long)]
    pub(crate) request: PathBuf,
    /// The response's body.
    #[arg(long)]
    pub(crate) response: PathBuf,
    /// The function digest that must have answered (default: the one that the file names).
    #[arg(long)]
    pub(crate) digest: Option<Digest>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// Check the evidence as of this time (RFC 3339; default: the receipt's own).
    #[arg(long)]
    pub(crate) at: Option<jiff::Timestamp>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ProxyArgs {
    /// The functions to serve (default: all that `nacre deploy` recorded here).
    pub(crate) names: Vec<FunctionName>,
    /// Loopback address to listen on, or `unix:PATH`.
    #[arg(long, default_value = "127.0.0.1:7610")]
    pub(crate) listen: String,
    /// Another `Host` that callers may name, besides loopback's names. Repeatable.
    #[arg(long)]
    pub(crate) allow_host: Vec<String>,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// Where its numbers are read.
    #[command(flatten)]
    pub(crate) metrics: MetricsArgs,
    /// Leave when standard input closes.
    #[arg(long)]
    pub(crate) exit_on_stdin_eof: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn no_two_words_of_a_command_are_the_same() {
        super::Args::command().debug_assert();
    }
}
