//! The words of `nacre node`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use nacre_protocol::api::commands::NodeCommand;
use nacre_protocol::api::market::DEFAULT_REGION;
use nacre_protocol::manifest::{ByteSize, Timeout};
use nacre_telemetry::endpoint::MetricsArgs;
use nacre_transport::Address;
use nacre_transport::proxy_header::Network;
use reqwest::Url;

use super::chain::ChainArgs;
use crate::agent::ApiKey;
use crate::egress::EgressArgs;
use crate::proxy::{self, ProxyLimits};

/// Files that a node needs beside those of its callers.
const OWN_FILES: usize = 256 + proxy::OWN_FILES;
/// The commands of `nacre node`.
const CRASHES: &str = "crashes";
const DRAIN: &str = "drain";
const KEEP: &str = "keep";
const ASK: &str = "ask";
const CLAIM: &str = "claim";

/// `nacre node`: without a command it runs a node.
#[derive(Debug, Clone)]
pub enum NodeArgs {
    /// `nacre node …`
    Run(Box<RunArgs>),
    /// `nacre node crashes …`
    Crashes(CrashesArgs),
    /// `nacre node drain …`, `keep …` and `ask …`
    Command(CommandArgs),
    /// `nacre node claim …`
    Claim(ClaimArgs),
}

/// What the operator wants of a node.
#[derive(Debug, Clone)]
pub struct CommandArgs {
    /// The node's data directory.
    pub data: PathBuf,
    /// URL of the control plane.
    pub control_plane: Url,
    /// What is to be done.
    pub command: NodeCommand,
}

/// Which node, and whom to tell.
#[derive(Debug, Clone, Args)]
struct NodeAt {
    /// The node's data directory
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// URL of the control plane
    #[arg(long, value_name = "URL")]
    control_plane: Url,
}

/// `nacre node drain`
#[derive(Debug, Clone, Args)]
struct DrainArgs {
    #[command(flatten)]
    node: NodeAt,
    /// How long replicas that have no other place are kept
    #[arg(long, value_name = "TIME", default_value = "600s", value_parser = days)]
    within: Timeout,
    /// How long it is gone after that; then it takes replicas again [default: until it is back, or is kept]. Its absence costs
    /// no stake where it was announced so long ahead as the platform asks for (one hour unless it says otherwise), within
    /// the month's budget (four hours)
    #[arg(long, value_name = "TIME", value_parser = days)]
    away: Option<Timeout>,
}

/// `nacre node ask`
#[derive(Debug, Clone, Args)]
struct AskArgs {
    #[command(flatten)]
    node: NodeAt,
    /// The ask for memory from now on: micro-units per GiB-second
    #[arg(long, value_name = "MICROS")]
    price: u64,
    /// The ask for processors from now on: micro-units per CPU-second [default: as before]
    #[arg(long, value_name = "MICROS")]
    cpu_price: Option<u64>,
}

/// `nacre node claim`
#[derive(Debug, Clone, Args)]
pub struct ClaimArgs {
    #[command(flatten)]
    node: NodeAt,
    /// File with an API key of the organisation, that has the scope `nodes`
    #[arg(long, value_name = "FILE")]
    api_key_file: PathBuf,
}

impl ClaimArgs {
    /// The node's data directory.
    pub(super) fn data(&self) -> &Path {
        &self.node.data
    }

    /// URL of the control plane.
    pub(super) fn control_plane(&self) -> &Url {
        &self.node.control_plane
    }

    /// The key in `--api-key-file`.
    pub(super) fn api_key(&self) -> anyhow::Result<ApiKey> {
        read_key(&self.api_key_file)
    }
}

/// By hand, because derived code asks for what running requires before it looks for a command.
impl Args for NodeArgs {
    fn augment_args(command: Command) -> Command {
        RunArgs::augment_args(command)
            .args_conflicts_with_subcommands(true)
            .subcommand_negates_reqs(true)
            .subcommand(described::<CrashesArgs>(
                CRASHES,
                "List the newest crash reports of a node's enclave, the oldest first",
            ))
            .subcommand(described::<DrainArgs>(
                DRAIN,
                "Let a node leave, and announce its absence: its replicas move elsewhere, and no new ones come",
            ))
            .subcommand(described::<NodeAt>(
                KEEP,
                "Let a node that leaves stay after all, or take replicas again when it is back",
            ))
            .subcommand(described::<ClaimArgs>(
                CLAIM,
                "Make a node an organisation's, so that what it earned can be asked for with the organisation's keys (nacre payout)",
            ))
            .subcommand(described::<AskArgs>(
                ASK,
                "Ask another price from now on; leases keep theirs until their terms end",
            ))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// A command with these arguments. What it does is said last: the arguments bring a text of their own.
fn described<A: Args>(name: &'static str, about: &'static str) -> Command {
    A::augment_args(Command::new(name))
        .about(about)
        .long_about(None)
}

impl FromArgMatches for NodeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match matches.subcommand() {
            Some((CRASHES, matches)) => CrashesArgs::from_arg_matches(matches).map(Self::Crashes),
            Some((CLAIM, matches)) => ClaimArgs::from_arg_matches(matches).map(Self::Claim),
            Some((word, matches)) => CommandArgs::of(word, matches).map(Self::Command),
            None => RunArgs::from_arg_matches(matches).map(|args| Self::Run(Box::new(args))),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl CommandArgs {
    fn of(word: &str, matches: &ArgMatches) -> Result<Self, clap::Error> {
        let (node, command) = match word {
            DRAIN => {
                let args = DrainArgs::from_arg_matches(matches)?;
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                let until = since.unwrap_or_default() + args.within.duration();
                let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                let back_ms = args.away.map(|away| millis(until + away.duration()));
                let until_ms = millis(until);
                (args.node, NodeCommand::Drain { until_ms, back_ms })
            }
            ASK => {
                let args = AskArgs::from_arg_matches(matches)?;
                let AskArgs {
                    node,
                    price,
                    cpu_price,
                } = args;
                (node, NodeCommand::Ask { price, cpu_price })
            }
            _ => (NodeAt::from_arg_matches(matches)?, NodeCommand::Keep),
        };
        Ok(Self {
            data: node.data,
            control_plane: node.control_plane,
            command,
        })
    }
}

fn read_key(file: &Path) -> anyhow::Result<ApiKey> {
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(ApiKey::new(&text))
}

fn days(text: &str) -> Result<Timeout, String> {
    let time: Timeout = text.parse().map_err(|error| format!("{error}"))?;
    let most = Duration::from_secs(7 * 24 * 3600);
    (time.duration() <= most)
        .then_some(time)
        .ok_or_else(|| "at most 7 days".to_owned())
}

/// `nacre node crashes`
#[derive(Debug, Clone, Args)]
pub struct CrashesArgs {
    /// The node's data directory
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Print the whole reports as one JSON array
    #[arg(long)]
    pub json: bool,
}

/// How to run a node.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// URL of the control plane
    #[arg(long, value_name = "URL")]
    pub control_plane: Url,
    /// File with an API key that has the scope `nodes`: the node is then its organisation's
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// Address for callers; port 0 takes the port of the last run, or a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// What callers are told to connect to, if that is not the address listened on
    #[arg(long, value_name = "HOST:PORT", value_parser = endpoint)]
    pub advertise: Option<String>,
    /// Directory for the operator's key, the node's id and its port
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Kind of enclave
    #[arg(long, value_enum, default_value_t = EnclaveKind::Process)]
    pub enclave: EnclaveKind,
    /// Which enclave, and how it is started.
    #[command(flatten)]
    pub options: EnclaveOptions,
    /// Where it may reach out to.
    #[command(flatten)]
    pub egress: EgressArgs,
    /// How long an enclave may take until it runs, and then until it answers [default: 30s; emulator: 120s; nitro: 60s].
    /// An emulated one's first boot has a quarter of it, and the next, if that failed, a half
    #[arg(long, value_name = "TIME", value_parser = patience)]
    pub boot_within: Option<Timeout>,
    /// An enclave that runs and no longer answers is killed after this long, or a little later
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = patience)]
    pub hung_after: Timeout,
    /// Where the node stands, for orders that name regions: 1 to 64 bytes, such as eu-central-1
    #[arg(long, value_name = "NAME", default_value = DEFAULT_REGION)]
    pub region: String,
    /// The ask for memory: micro-units per GiB-second
    #[arg(long, value_name = "MICROS", default_value_t = 0)]
    pub price: u64,
    /// The ask for processors: micro-units per CPU-second. A replica computes on one at a time
    #[arg(long, value_name = "MICROS", default_value_t = 0)]
    pub cpu_price: u64,
    /// For whom it works on chain.
    #[command(flatten)]
    pub chain: ChainArgs,
    /// When it is told to end (SIGTERM, SIGINT), the node leaves first: its replicas move elsewhere, for so long at most.
    /// A second signal ends it at once
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = days)]
    pub leave_within: Timeout,
    /// Connections that are open to the enclave at once. One address may have all that nobody else wants, and loses
    /// them first when somebody does. Lowered to half the files that this process may open; above 4000 the enclave,
    /// which sees no addresses, would do the refusing
    #[arg(long, value_name = "N", default_value_t = 4000, value_parser = at_least_one)]
    pub max_connections: usize,
    /// Connections that may wait for one of those; when more come, the address with the most waiting loses one
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub max_waiting: usize,
    /// Connections whose handshake the enclave is given at once; addresses take turns
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    pub max_opening: usize,
    /// Proxies before this one, as IP addresses or networks (10.0.0.0/8). Their connections must begin with a PROXY
    /// protocol v2 header, and count for the address in it; nobody else's header is believed. The enclave is told of none
    #[arg(long, value_name = "NETWORK", value_delimiter = ',')]
    pub proxy_protocol_from: Vec<Network>,
    /// How long open connections may take to end when this node stops; those left are then reset. It takes no more jobs, and
    /// those that it has may take as long, and at least 5 s; those left go to other nodes
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = patience)]
    pub drain_within: Timeout,
    /// Where its numbers are read.
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// Stop when standard input ends (for a parent process that must not leave this one behind)
    #[arg(long)]
    pub exit_on_stdin_eof: bool,
}

/// Kinds of enclave that a node can boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EnclaveKind {
    /// A child process with an NSM emulator: for development, loopback only
    Process,
    /// The real image in an emulated machine: for development, loopback only
    Emulator,
    /// The real image in a Nitro Enclave of this EC2 instance
    Nitro,
}

/// Options that only some kinds of enclave have. One that does not fit the kind is refused.
#[derive(Debug, Clone, Default, Args)]
pub struct EnclaveOptions {
    /// emulator, nitro: the enclave image
    #[arg(long, value_name = "FILE")]
    pub eif: Option<PathBuf>,
    /// Memory: of the enclave's models and workers (process; 2GiB unless given), or of the whole enclave (emulator: 512MiB
    /// unless given; nitro: four times the image, and at least 512MiB, unless given)
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<ByteSize>,
    /// emulator, nitro: virtual processors; on Nitro whole cores [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub cpus: Option<u32>,
    /// emulator, nitro: the enclave's context id on vsock [default: 16; nitro: the hypervisor chooses]
    #[arg(long, value_name = "CID", value_parser = clap::value_parser!(u32).range(4..0xffff_ffff))]
    pub cid: Option<u32>,
    /// emulator, nitro: run the enclave in debug mode, where nothing protects it and its measurements are zero
    #[arg(long)]
    pub debug_mode: bool,
    /// process: the enclave program [default: nacre-enclave beside this program]
    #[arg(long, value_name = "FILE")]
    pub enclave_bin: Option<PathBuf>,
    /// process: the worker program [default: nacre-worker beside this program]
    #[arg(long, value_name = "FILE")]
    pub worker_bin: Option<PathBuf>,
    /// process: the ONNX Runtime library, libonnxruntime.so [default: the variable NACRE_ONNXRUNTIME]
    #[arg(long, value_name = "FILE")]
    pub onnxruntime: Option<PathBuf>,
    /// process, emulator: where the NSM emulator keeps its development PKI [default: nsm-pki in the data directory]
    #[arg(long, value_name = "DIR")]
    pub pki_dir: Option<PathBuf>,
    /// process, emulator: how long the emulated NSM takes for an attestation
    #[arg(long, value_name = "MS")]
    pub nsm_latency_ms: Option<u64>,
    /// emulator: an unpacked QEMU to use [default: the one of the cache, fetched if need be]
    #[arg(long, value_name = "DIR")]
    pub qemu: Option<PathBuf>,
    /// emulator: faults to inject
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,
}

impl RunArgs {
    /// The key in `--api-key-file`.
    pub(super) fn api_key(&self) -> anyhow::Result<Option<ApiKey>> {
        self.api_key_file.as_deref().map(read_key).transpose()
    }

    /// What the proxy may do with this many open files.
    pub(super) fn limits(&self, files: u64) -> ProxyLimits {
        // Two files a connection and one for each that waits, beside what the node itself needs.
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        let most = (files.saturating_sub(self.max_waiting + OWN_FILES) / 2).max(1);
        if most < self.max_connections {
            tracing::warn!(
                most,
                files,
                "fewer connections: this process may not open more files"
            );
        }
        let connections = self.max_connections.min(most);
        ProxyLimits {
            connections,
            waiting: self.max_waiting,
            opening: self.max_opening,
            held: connections,
            drain: self.drain_within.duration(),
            ..ProxyLimits::default()
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

fn endpoint(text: &str) -> Result<String, String> {
    match format!("tcp://{text}").parse() {
        Ok(Address::Tcp { port, .. }) if port != 0 => Ok(text.to_owned()),
        Ok(_) => Err("the port that callers connect to is not 0".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Time for several questions and their answers.
fn patience(text: &str) -> Result<Timeout, String> {
    let timeout: Timeout = text.parse().map_err(|e| format!("{e}"))?;
    let (least, most) = (1, 3600);
    if (least..=most).contains(&timeout.duration().as_secs()) {
        Ok(timeout)
    } else {
        Err(format!("{least}s to {most}s"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Node {
        #[command(flatten)]
        args: NodeArgs,
    }

    fn parse(words: &[&str]) -> Result<NodeArgs, clap::Error> {
        Node::try_parse_from([&["node"], words].concat()).map(|node| node.args)
    }

    const NEEDED: [&str; 4] = ["--control-plane", "http://localhost", "--data", "d"];

    fn run(words: &[&str]) -> Result<RunArgs, clap::Error> {
        match parse(&[&NEEDED, words].concat())? {
            NodeArgs::Run(args) => Ok(*args),
            other => panic!("not asked for: {other:?}"),
        }
    }

    #[test]
    fn connections_are_no_more_than_there_are_files_for() {
        let args = run(&[]).unwrap();
        let connections = |files| args.limits(files).connections;
        assert_eq!(connections(1 << 20), 4000);
        assert_eq!(connections(u64::MAX), 4000);
        assert_eq!(connections(4096), (4096 - 1024 - 256 - 672) / 2);
        assert_eq!(connections(100), 1);
        let usual = ProxyLimits::default();
        let limits = args.limits(1 << 20);
        assert_eq!(
            (limits.waiting, limits.opening),
            (usual.waiting, usual.opening)
        );
    }

    #[test]
    fn a_number_out_of_range_is_refused() {
        for words in [
            ["--max-opening", "0"],
            ["--cid", "3"],
            ["--cpus", "0"],
            ["--hung-after", "500ms"],
            ["--hung-after", "2h"],
            ["--drain-within", "2h"],
            ["--proxy-protocol-from", "10.0.0.1/8"],
        ] {
            assert!(run(&words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn help_says_what_each_command_does() {
        let help = NodeArgs::augment_args(Command::new("node")).render_help();
        let help = help.to_string();
        for says in [
            "newest crash reports",
            "Let a node leave",
            "stay after all",
            "another price",
        ] {
            assert!(help.contains(says), "{says}: {help}");
        }
    }

    #[test]
    fn crashes_are_listed_without_anything_that_running_needs() {
        let args = parse(&["crashes", "--data", "d", "--json"]).unwrap();
        assert!(matches!(args, NodeArgs::Crashes(c) if c.json));
        assert!(parse(&[]).is_err(), "running needs a control plane");
        assert!(parse(&["--data", "d", "crashes", "--data", "d"]).is_err());
    }
}
