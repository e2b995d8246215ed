//! `nacre node`: one node of the platform on this machine.

mod args;
mod chain;
mod enclave;

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use nacre_transport::Address;
use nacre_tunnel::system;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::agent::{self, AgentConfig};
use crate::crash::{CrashLog, CrashReport};
use crate::data::NodeData;
use crate::health::Timing;
use crate::metrics;
use crate::opening::{self, open_when_settled};
use crate::proxy::{Proxy, ProxyError, ProxyLimits};
use crate::supervisor::{EnclaveState, Supervision, supervise};

pub use args::{
    ClaimArgs, CommandArgs, CrashesArgs, EnclaveKind, EnclaveOptions, NodeArgs, RunArgs,
};
pub use chain::ChainArgs;

/// How long jobs may take to end when the node stops, unless open connections may take longer.
const JOBS_END: Duration = Duration::from_secs(5);

/// The programs that a node starts to have an enclave: each the program and its leading arguments.
#[derive(Debug, Clone)]
pub struct Programs {
    /// An NSM emulator on a Unix socket, for `process`.
    pub nsm_emulator: Vec<OsString>,
    /// An emulated machine that boots an image, for `emulator`.
    pub emulator: Vec<OsString>,
}

impl Programs {
    /// The commands of this `nacre`.
    pub fn of(nacre: &Path) -> Self {
        let command = |word: &str| vec![nacre.into(), word.into()];
        Self {
            nsm_emulator: command("nsm-emulator"),
            emulator: command("emulate"),
        }
    }
}

/// `nacre node` and its commands.
pub async fn run(args: NodeArgs, programs: Programs) -> anyhow::Result<()> {
    match args {
        NodeArgs::Crashes(args) => list_crashes(&args),
        NodeArgs::Command(args) => command(&args).await,
        NodeArgs::Claim(args) => claim(&args).await,
        NodeArgs::Run(args) => run_node(*args, programs).await,
    }
}

/// Runs a node until SIGTERM, SIGINT, or the end of standard input if that was asked for.
///
/// Prints `listening on ADDR` to standard output once callers reach an enclave.
async fn run_node(args: RunArgs, programs: Programs) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let leave = CancellationToken::new();
    stop_on_signals(&leave, &stop)?;
    if args.exit_on_stdin_eof {
        stop_on_stdin_eof(stop.clone())?;
    }
    let limits = args.limits(system::raise_file_limit());
    let data = NodeData::open(&args.data).context("the node's data directory")?;
    enclave::check_exposure(&args)?;
    let launcher = enclave::launcher(&args, data.identity(), programs)?;
    let supervision = Supervision {
        timing: Timing {
            first_answer: enclave::boot_within(&args),
            hung_after: args.hung_after.duration(),
            ..Timing::default()
        },
        crashes: CrashLog::of(&args.data),
        operator: data.identity().operator(),
        node: data.identity().node,
        seen: Arc::default(),
    };
    let (seen, work) = (Arc::clone(&supervision.seen), Arc::default());
    let proxy = bind(&args, limits, &data).await?;
    let metrics = metrics::node(&proxy.counters(), &seen, &work);
    let _metrics = args.metrics.serve(metrics).await?;
    let proxy = proxy.behind(args.proxy_protocol_from.clone());
    let listening_on = proxy.address().clone();
    let agent_config = AgentConfig {
        control_plane: args.control_plane.clone(),
        api_key: args.api_key()?,
        identity: data.identity().clone(),
        endpoint: args
            .advertise
            .clone()
            .unwrap_or_else(|| host_and_port(&listening_on)),
        region: args.region.clone(),
        price: args.price,
        cpu_price: args.cpu_price,
        chain: args.chain.offer()?,
        work,
        leave,
        leave_within: args.leave_within.duration(),
        stop: stop.clone(),
    };

    let (state, enclave) = watch::channel(EnclaveState::None);
    // Who follows it must not end before the supervisor has said why it ended.
    let _open = state.clone();
    // The proxy drains before the enclave goes.
    let stop_enclave = CancellationToken::new();
    let mut supervising = tokio::spawn(supervise(
        launcher,
        supervision,
        state,
        stop_enclave.clone(),
    ));
    let egress = args.egress.proxy();
    let egress = tokio::spawn(egress.follow(enclave.clone(), stop_enclave.clone()));
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
    let jobs_end = JOBS_END.max(args.drain_within.duration());
    if !agent.is_finished() && timeout(jobs_end, &mut agent).await.is_err() {
        tracing::warn!("jobs are left to other nodes: they did not end within {jobs_end:?}");
    }
    agent.abort();
    if !proxying.is_finished() {
        let _ = proxying.await;
    }
    stop_enclave.cancel();
    if !supervising.is_finished() {
        let _ = supervising.await;
    }
    let _ = egress.await;
    outcome
}

/// Listens; a port that was chosen once is kept, so that endpoints stay valid over restarts.
async fn bind(args: &RunArgs, limits: ProxyLimits, data: &NodeData) -> anyhow::Result<Proxy> {
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

/// The first signal asks the node to leave, the second to stop at once.
fn stop_on_signals(leave: &CancellationToken, stop: &CancellationToken) -> anyhow::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).context("signal handlers")?;
        let (leave, stop) = (leave.clone(), stop.clone());
        tokio::spawn(async move {
            signals.recv().await;
            if leave.is_cancelled() {
                return stop.cancel();
            }
            leave.cancel();
            signals.recv().await;
            stop.cancel();
        });
    }
    Ok(())
}

/// Tells the control plane what the operator wants of a node, whether or not it runs.
async fn command(args: &CommandArgs) -> anyhow::Result<()> {
    let identity = NodeData::identity_in(&args.data).context("the node's data directory")?;
    agent::command(&args.control_plane, &identity, args.command).await?;
    println!("{}: done", identity.node);
    Ok(())
}

/// Gives the node to the organisation of an API key, whether or not it runs.
async fn claim(args: &ClaimArgs) -> anyhow::Result<()> {
    let identity = NodeData::identity_in(args.data()).context("the node's data directory")?;
    agent::claim(args.control_plane(), &identity, args.api_key()?).await?;
    println!("{}: claimed", identity.node);
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

/// One line a report, or all of them as JSON.
fn list_crashes(args: &CrashesArgs) -> anyhow::Result<()> {
    let (reports, unreadable) = CrashLog::of(&args.data)
        .read()
        .with_context(|| format!("crash reports in {}", args.data.display()))?;
    for path in unreadable {
        tracing::warn!(path = %path.display(), "not a crash report");
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &reports)?;
        writeln!(out)?;
        return Ok(());
    }
    for report in reports {
        let CrashReport {
            at_ms,
            kind,
            launch,
            cause,
            uptime_ms,
            ..
        } = &report;
        let how = report.ended.as_ref().map(ToString::to_string);
        let how = how.or_else(|| report.error.clone()).unwrap_or_default();
        writeln!(
            out,
            "{at_ms}  {kind} launch {launch}  {}  after {uptime_ms} ms  {how}",
            cause.code()
        )?;
    }
    Ok(())
}
