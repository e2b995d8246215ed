//! `nacre node`: one node of the platform on this machine.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use nacre_protocol::manifest::ByteSize;
use nacre_transport::Address;
use reqwest::Url;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::agent::{self, AgentConfig};
use crate::data::NodeData;
use crate::launcher::{ProcessConfig, ProcessLauncher};
use crate::opening::{self, open_when_settled};
use crate::proxy::{Exposure, Proxy, ProxyError, ProxyLimits};
use crate::supervisor::{EnclaveState, supervise};

/// How long an enclave may take to boot.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Files that a node needs beside those of its callers.
const OWN_FILES: usize = 256;

/// Arguments of `nacre node`.
#[derive(Debug, Clone, Args)]
pub struct NodeArgs {
    /// URL of the control plane
    #[arg(long, value_name = "URL")]
    pub control_plane: Url,
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
    /// The enclave program [default: nacre-enclave beside this program]
    #[arg(long, value_name = "FILE")]
    pub enclave_bin: Option<PathBuf>,
    /// The worker program [default: nacre-worker beside this program]
    #[arg(long, value_name = "FILE")]
    pub worker_bin: Option<PathBuf>,
    /// The ONNX Runtime library (libonnxruntime.so)
    #[arg(long, value_name = "FILE", env = "NACRE_ONNXRUNTIME")]
    pub onnxruntime: PathBuf,
    /// Where the NSM emulator keeps its development PKI [default: nsm-pki in the data directory]
    #[arg(long, value_name = "DIR")]
    pub pki_dir: Option<PathBuf>,
    /// How long the emulated NSM takes for an attestation
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub nsm_latency_ms: u64,
    /// Memory of the enclave for models and workers
    #[arg(long, value_name = "SIZE", default_value = "2GiB")]
    pub memory: ByteSize,
    /// The ask: micro-units per GiB-second
    #[arg(long, value_name = "MICROS", default_value_t = 0)]
    pub price: u64,
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
    /// Stop when standard input ends (for a parent process that must not leave this one behind)
    #[arg(long)]
    pub exit_on_stdin_eof: bool,
}

/// Kinds of enclave that a node can boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EnclaveKind {
    /// A child process with an NSM emulator: for development, loopback only
    Process,
}

impl EnclaveKind {
    fn exposure(self) -> Exposure {
        match self {
            Self::Process => Exposure::LoopbackOnly,
        }
    }
}

impl NodeArgs {
    /// What the proxy may do with this many open files.
    fn limits(&self, files: u64) -> ProxyLimits {
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

/// Runs a node until SIGTERM, SIGINT, or the end of standard input if that was asked for. `nsm_emulator` is the program
/// and the leading arguments that start an NSM emulator.
///
/// Prints `listening on ADDR` to standard output once callers reach an enclave.
pub async fn run(args: NodeArgs, nsm_emulator: Vec<OsString>) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    if args.exit_on_stdin_eof {
        stop_on_stdin_eof(stop.clone())?;
    }
    let limits = args.limits(raise_file_limit());
    let data = NodeData::open(&args.data).context("the node's data directory")?;
    let launcher = ProcessLauncher::new(process_config(&args, &data, nsm_emulator)?);
    let proxy = bind(&args, limits, &data).await?;
    let listening_on = proxy.address().clone();
    let agent_config = AgentConfig {
        control_plane: args.control_plane.clone(),
        identity: data.identity().clone(),
        endpoint: args
            .advertise
            .clone()
            .unwrap_or_else(|| host_and_port(&listening_on)),
        price: args.price,
    };

    let (state, enclave) = watch::channel(EnclaveState::None);
    // The proxy drains before the enclave goes.
    let stop_enclave = CancellationToken::new();
    let mut supervising = tokio::spawn(supervise(launcher, state, stop_enclave.clone()));
    let (settle, settled) = watch::channel(None);
    let open = open_when_settled(enclave.clone(), settled, opening::PATIENCE);
    let mut proxying = tokio::spawn(proxy.serve(open, stop.clone()));
    let mut agent = tokio::spawn(agent::run(agent_config, enclave.clone(), settle));
    let announcing = announce(enclave, &listening_on);

    let outcome = tokio::select! {
        ended = &mut supervising => match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error).context("the enclave does not start"),
            Err(error) => Err(error.into()),
        },
        ended = &mut agent => match ended {
            Ok(result) => result.context("the node's agent"),
            Err(error) => Err(error.into()),
        },
        ended = &mut proxying => ended.context("the proxy"),
        error = announcing => Err(error),
    };
    stop.cancel();
    agent.abort();
    if !proxying.is_finished() {
        let _ = proxying.await;
    }
    stop_enclave.cancel();
    if !supervising.is_finished() {
        let _ = supervising.await;
    }
    outcome
}

fn process_config(
    args: &NodeArgs,
    data: &NodeData,
    nsm_emulator: Vec<OsString>,
) -> anyhow::Result<ProcessConfig> {
    let beside = |given: &Option<PathBuf>, name: &str| match given {
        Some(path) => existing(path),
        None => {
            let own = std::env::current_exe().context("where this program is")?;
            existing(&own.with_file_name(name))
        }
    };
    let pki_dir = args
        .pki_dir
        .clone()
        .unwrap_or_else(|| args.data.join("nsm-pki"));
    Ok(ProcessConfig {
        nsm_emulator,
        pki_dir: std::path::absolute(pki_dir)?,
        nsm_latency_ms: args.nsm_latency_ms,
        enclave: beside(&args.enclave_bin, "nacre-enclave")?,
        worker: beside(&args.worker_bin, "nacre-worker")?,
        onnxruntime: existing(&args.onnxruntime)?,
        memory_bytes: args.memory.bytes(),
        dir_prefix: format!(
            "nacre-{}-",
            hex::encode(&data.identity().node.as_bytes()[..6])
        ),
        ready_within: READY_WITHIN,
    })
}

fn existing(path: &Path) -> anyhow::Result<PathBuf> {
    if !path.is_file() {
        bail!("{} does not exist or is no file", path.display());
    }
    Ok(std::path::absolute(path)?)
}

/// Listens; a port that was chosen once is kept, so that endpoints stay valid over restarts.
async fn bind(args: &NodeArgs, limits: ProxyLimits, data: &NodeData) -> anyhow::Result<Proxy> {
    let exposure = args.enclave.exposure();
    let bind = |port: u16| {
        let address = Address::from(SocketAddr::new(args.listen.ip(), port));
        async move { Proxy::bind(&address, exposure, limits).await }
    };
    if args.listen.port() != 0 {
        return Ok(bind(args.listen.port()).await?);
    }
    if let Some(port) = data.last_port() {
        match bind(port).await {
            Err(ProxyError::Bind(error)) => {
                tracing::warn!(%error, "the port of the last run is taken; callers will see another");
            }
            bound => return Ok(bound?),
        }
    }
    let proxy = bind(0).await?;
    if let Address::Tcp { port, .. } = proxy.address() {
        data.keep_port(*port)?;
    }
    Ok(proxy)
}

fn host_and_port(address: &Address) -> String {
    let text = address.to_string();
    text.strip_prefix("tcp://").unwrap_or(&text).to_owned()
}

/// Prints the address when the first enclave is ready; then never returns, except with an error.
async fn announce(mut enclave: watch::Receiver<EnclaveState>, address: &Address) -> anyhow::Error {
    if enclave.wait_for(Option::is_some).await.is_ok() {
        let mut out = std::io::stdout();
        let line = format!("listening on {}\n", host_and_port(address));
        if let Err(error) = out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
            return anyhow::Error::new(error).context("standard output");
        }
    }
    std::future::pending().await
}

fn stop_on_signals(stop: &CancellationToken) -> anyhow::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).context("signal handlers")?;
        let stop = stop.clone();
        tokio::spawn(async move {
            signals.recv().await;
            stop.cancel();
        });
    }
    Ok(())
}

/// A thread of its own, because a blocked read cannot be taken back and would hold up the runtime's end.
fn stop_on_stdin_eof(stop: CancellationToken) -> anyhow::Result<()> {
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            stop.cancel();
        })
        .context("a thread for standard input")?;
    Ok(())
}

/// As many open files as the system lets us have; how many that is.
fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays low");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Node {
        #[command(flatten)]
        args: NodeArgs,
    }

    #[test]
    fn connections_are_no_more_than_there_are_files_for() {
        let needed = ["node", "--control-plane", "http://localhost", "--data", "d"];
        let node = Node::parse_from(needed.into_iter().chain(["--onnxruntime", "f"]));
        let connections = |files| node.args.limits(files).connections;
        assert_eq!(connections(1 << 20), 4000);
        assert_eq!(connections(u64::MAX), 4000);
        assert_eq!(connections(4096), (4096 - 1024 - 256) / 2);
        assert_eq!(connections(100), 1);
        let usual = ProxyLimits::default();
        let limits = node.args.limits(1 << 20);
        assert_eq!(
            (limits.waiting, limits.opening),
            (usual.waiting, usual.opening)
        );
        assert!(Node::try_parse_from(needed.into_iter().chain(["--max-opening", "0"])).is_err());
    }
}
