//! `nacre dev`: a whole platform on one machine, with any kind of enclave that the machine can run.
//!
//! The control plane and the node are child processes of this one, started again when they die; the node in turn holds
//! NSM emulator and enclave. Each child leaves when its standard input closes, so that even a killed `nacre dev` leaves
//! nothing behind.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use nacre_attestation_verifier::{Policy, Roots};
use nacre_control_plane::{Database, keys};
use nacre_emulator::pki::{Root, store};
use nacre_host_proxy::cli::EnclaveKind;
use nacre_protocol::digest::Digest;
use nacre_telemetry::endpoint::MetricsArgs;
use nacre_telemetry::log::LogFormat;
use rand::SeedableRng as _;
use rand::rngs::{StdRng, SysRng};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::args::DevArgs;
use crate::commands::Context;
use crate::error::CliError;
use crate::profile::{Profile, make_private_dir, write_private};

mod chain;
mod child;
mod enclave;

use chain::{Beside, ChainBase, ChainReady, DevChain};
use child::{Program, Supervised};
use enclave::DevEnclave;

/// The profile that `nacre dev` writes.
const PROFILE: &str = "dev";
/// How long everything together may take to come up. The first time an emulated machine is fetched as well.
const START: Duration = Duration::from_secs(600);
/// Where an Ethereum node usually is.
const RPC_PORT: u16 = 8545;

/// What `nacre dev --json` prints once callers can deploy.
#[derive(Serialize)]
struct Ready {
    control_plane: String,
    node: String,
    /// `process`, `emulator` or `nitro`.
    enclave: &'static str,
    /// From the start of the node to an enclave that answers.
    enclave_ready_ms: u64,
    profile: &'static str,
    data: PathBuf,
    /// A file, or `aws`.
    root: PathBuf,
    policy: PathBuf,
    /// With `--chain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    chain: Option<ChainReady>,
}

/// Runs until ctrl-C or SIGTERM.
pub(crate) async fn run(context: &Context, args: DevArgs) -> Result<(), CliError> {
    let stop = Stop::listen(args.exit_on_stdin_eof)?;
    let layout = Layout::new(
        args.data
            .clone()
            .unwrap_or_else(|| context.home.path("dev")),
    )?;
    let _lock = layout.lock()?;
    let enclave = DevEnclave::choose(&args)?;
    let root = match enclave.has_development_root() {
        true => Some(development_root(&layout)?),
        false => None,
    };
    let policy = write_policy(&layout, &enclave)?;
    let key = api_key(&layout).await?;

    let roots = match &root {
        Some(root) => Roots::development(root.der().to_vec())?,
        None => Roots::aws(),
    };
    tokio::select! {
        started = start(context, &args, &layout, &enclave, &roots) => {
            let Platform { control_plane, node, took, chain } = started?;
            let profile = Profile {
                url: control_plane.announced().replace("listening on ", ""),
                key,
                root: root.as_ref().map(|root| hex::encode(root.der())),
                policy: Some(serde_json::from_str(&policy).map_err(anyhow::Error::from)?),
            };
            context.home.save_profile(PROFILE, &profile)?;
            let online = async {
                let node = wait_until_online(&profile).await?;
                let Some(chain) = chain else {
                    return Ok((node, None));
                };
                let policy = Policy::from_json(policy.as_bytes())?;
                let beside = Beside {
                    context,
                    layout: &layout,
                    profile: &profile,
                    policy: &policy,
                    roots,
                    root: layout.root_of(&enclave),
                };
                let chain = chain.open_up(beside).await?;
                Ok::<_, CliError>((node, Some(chain)))
            };
            let mut running = None;
            tokio::select! {
                online = online => {
                    let (address, chain) = online?;
                    let started = Started { enclave: &enclave, kind: args.enclave, took };
                    let ready = chain.as_ref().map(DevChain::ready);
                    announce(context, &layout, &profile, address, &started, ready)?;
                    running = chain;
                    stop.wait().await;
                }
                () = stop.wait() => {}
            }
            if let Some(chain) = running {
                chain.stop().await;
            }
            node.stop().await;
            control_plane.stop().await;
        }
        () = stop.wait() => {}
    }
    Ok(())
}

/// An enclave that answers.
struct Started<'a> {
    enclave: &'a DevEnclave,
    kind: EnclaveKind,
    took: Duration,
}

/// What runs.
struct Platform {
    control_plane: Supervised,
    node: Supervised,
    /// How long the node took until its enclave answered.
    took: Duration,
    /// With `--chain`.
    chain: Option<ChainBase>,
}

/// The chain where one is wanted, control plane and node.
async fn start(
    context: &Context,
    args: &DevArgs,
    layout: &Layout,
    enclave: &DevEnclave,
    roots: &Roots,
) -> Result<Platform, CliError> {
    let deadline = Instant::now() + START;
    let nacre = std::env::current_exe()?;
    if !context.output.json && context.log == LogFormat::Text {
        eprintln!("starting control plane, node and enclave …");
    }
    let chain = match args.chain {
        true => {
            let port = args.rpc_port.unwrap_or(RPC_PORT);
            let root_id = *Digest::of(roots.der()).as_bytes();
            Some(ChainBase::start(layout, port, root_id).await?)
        }
        false => None,
    };
    let listen = args.listen;
    let of_all = context.log.words();
    let control_plane = Supervised::start("control-plane", deadline, {
        let (data, policy) = (layout.control_plane(), layout.policy());
        let root = layout.root_of(enclave);
        let path = nacre.clone();
        let more = [&of_all[..], &args.metrics.words()].concat();
        move |announced| {
            // A port that the system chose stays the same for as long as `nacre dev` runs.
            let kept =
                announced.and_then(|line| line.rsplit_once("//").map(|(_, addr)| addr.to_owned()));
            let listen = kept.unwrap_or_else(|| listen.to_string());
            let mut arguments = words([
                ("control-plane", None),
                ("--listen", Some(listen.into())),
                ("--data", Some(data.clone().into())),
                ("--root", Some(root.clone().into())),
                ("--node-policy", Some(policy.clone().into())),
                ("--exit-on-stdin-eof", None),
            ]);
            arguments.extend(more.iter().cloned());
            let path = path.clone();
            Program { path, arguments }
        }
    })
    .await?;

    let url = control_plane.announced().replace("listening on ", "");
    let mut arguments = words([
        ("node", None),
        ("--control-plane", Some(url.into())),
        ("--api-key-file", Some(layout.api_key().into())),
        ("--listen", Some(args.node_listen.to_string().into())),
        ("--data", Some(layout.node().into())),
        ("--price", Some(args.price.to_string().into())),
        ("--cpu-price", Some(args.cpu_price.to_string().into())),
        // There is no other node that could take over.
        ("--leave-within", Some("0s".into())),
        ("--exit-on-stdin-eof", None),
    ]);
    arguments.extend(enclave.node_arguments(args, layout));
    if let Some(chain) = &chain {
        arguments.extend(chain.node_arguments()?);
    }
    arguments.extend(args.egress.words());
    let metrics = MetricsArgs {
        address: args.node_metrics.clone(),
    };
    arguments.extend(metrics.words());
    arguments.extend(of_all);
    let begun = Instant::now();
    let node = Supervised::start("node", deadline, move |_| Program {
        path: nacre.clone(),
        arguments: arguments.clone(),
    })
    .await?;
    Ok(Platform {
        control_plane,
        node,
        took: begun.elapsed(),
        chain,
    })
}

fn words<const N: usize>(pairs: [(&str, Option<OsString>); N]) -> Vec<OsString> {
    let words = pairs.into_iter();
    let words = words.flat_map(|(word, value)| std::iter::once(word.into()).chain(value));
    words.collect()
}

async fn wait_until_online(profile: &Profile) -> Result<String, CliError> {
    let api = Api::new(profile)?;
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let deadline = Instant::now() + START;
    while Instant::now() < deadline {
        ticks.tick().await;
        let online = api.nodes().await.ok();
        let online = online.and_then(|nodes| nodes.into_iter().find(|node| node.online));
        if let Some(node) = online {
            return Ok(node.endpoint);
        }
    }
    Err(CliError::TimedOut(
        "the node did not register: see its messages above".to_owned(),
    ))
}

fn announce(
    context: &Context,
    layout: &Layout,
    profile: &Profile,
    node: String,
    started: &Started<'_>,
    chain: Option<&ChainReady>,
) -> Result<(), CliError> {
    let ready = Ready {
        control_plane: profile.url.clone(),
        node,
        enclave: enclave::name(started.kind),
        enclave_ready_ms: u64::try_from(started.took.as_millis()).unwrap_or(u64::MAX),
        profile: PROFILE,
        data: layout.dir.clone(),
        root: layout.root_of(started.enclave),
        policy: layout.policy(),
        chain: chain.cloned(),
    };
    context.output.result(&ready, |ready| {
        format!(
            "ready, {}\n\
             control plane  {}\nnode           {}\npolicy         {}\nroot           {}\n{}\
             next           nacre deploy DIR   (ctrl-C stops everything)",
            started.enclave.in_words(),
            ready.control_plane,
            ready.node,
            ready.policy.display(),
            ready.root.display(),
            ready
                .chain
                .as_ref()
                .map(ChainReady::text)
                .unwrap_or_default(),
        )
    })
}

/// The root of everything this platform attests, made at the first start.
fn development_root(layout: &Layout) -> Result<Root, CliError> {
    let mut rng = StdRng::try_from_rng(&mut SysRng).context("the system gives no randomness")?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let root = store::load_or_create(&layout.pki(), &mut rng, now_ms);
    Ok(root.context("the development root")?)
}

/// The policy for clients and control plane: what will run, and nothing else.
fn write_policy(layout: &Layout, enclave: &DevEnclave) -> Result<String, CliError> {
    let policy = enclave.policy()?.to_json();
    write_private(&layout.policy(), policy.as_bytes())?;
    Ok(policy)
}

/// The API key of this data folder, made at the first start.
async fn api_key(layout: &Layout) -> Result<String, CliError> {
    let file = layout.api_key();
    if let Ok(key) = std::fs::read_to_string(&file) {
        return Ok(key.trim().to_owned());
    }
    let made = keys::create(&Database::Folder(layout.control_plane()), "nacre dev").await;
    let key = made.context("the control plane's first API key")?.key;
    write_private(&file, key.as_bytes())?;
    Ok(key)
}

/// Where a development platform keeps its things.
struct Layout {
    dir: PathBuf,
}

impl Layout {
    fn new(dir: PathBuf) -> Result<Self, CliError> {
        let dir = std::path::absolute(dir)?;
        let layout = Self { dir };
        for dir in [
            layout.dir.clone(),
            layout.pki(),
            layout.control_plane(),
            layout.node(),
        ] {
            make_private_dir(&dir)?;
        }
        Ok(layout)
    }

    fn pki(&self) -> PathBuf {
        self.dir.join("pki")
    }

    fn root(&self) -> PathBuf {
        self.pki().join("root.der")
    }

    /// What the control plane is told to trust: a file, or `aws`.
    fn root_of(&self, enclave: &DevEnclave) -> PathBuf {
        match enclave.has_development_root() {
            true => self.root(),
            false => "aws".into(),
        }
    }

    fn policy(&self) -> PathBuf {
        self.dir.join("policy.json")
    }

    fn control_plane(&self) -> PathBuf {
        self.dir.join("control-plane")
    }

    fn chain(&self) -> PathBuf {
        self.dir.join("chain")
    }

    fn api_key(&self) -> PathBuf {
        self.dir.join("api-key")
    }

    fn node(&self) -> PathBuf {
        self.dir.join("node")
    }

    /// One platform a folder. The lock ends with the process, however it ends.
    fn lock(&self) -> Result<File, CliError> {
        let path = self.dir.join("lock");
        let file = File::create(&path).map_err(CliError::file(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                let message = format!("another `nacre dev` runs in {}", self.dir.display());
                Err(CliError::Usage(message))
            }
            Err(TryLockError::Error(error)) => Err(CliError::file(&path)(error)),
        }
    }
}

/// When to stop: ctrl-C, SIGTERM, or the end of standard input where that was asked for.
pub(crate) struct Stop {
    stopped: CancellationToken,
}

impl Stop {
    pub(crate) fn listen(on_stdin_eof: bool) -> Result<Self, CliError> {
        let stopped = CancellationToken::new();
        if on_stdin_eof {
            let eof = stopped.clone();
            // A read of standard input cannot be cancelled: it gets a thread that the process does not wait for.
            std::thread::spawn(move || {
                // An error is an end as well.
                let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
                eof.cancel();
            });
        }
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let signalled = stopped.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            signalled.cancel();
        });
        Ok(Self { stopped })
    }

    pub(crate) async fn wait(&self) {
        self.stopped.cancelled().await;
    }
}
