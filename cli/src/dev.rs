//! `nacre dev`: a whole platform on one machine, in process mode.
//!
//! The control plane and the node are child processes of this one, started again when they die; the node in turn holds
//! NSM emulator and enclave. Each child leaves when its standard input closes, so that even a killed `nacre dev` leaves
//! nothing behind.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use nacre_attestation_verifier::{Measurements, Pcr, Policy};
use nacre_control_plane::keys;
use nacre_emulator::measure::measure_process;
use nacre_emulator::pki::{Root, store};
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

mod child;

use child::{Program, Supervised};

/// The profile that `nacre dev` writes.
const PROFILE: &str = "dev";
/// How long everything together may take to come up.
const START: Duration = Duration::from_secs(60);

/// What `nacre dev --json` prints once callers can deploy.
#[derive(Serialize)]
struct Ready {
    control_plane: String,
    node: String,
    profile: &'static str,
    data: PathBuf,
    root: PathBuf,
    policy: PathBuf,
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
    let binaries = Binaries::find(args.onnxruntime.as_deref())?;
    let root = development_root(&layout)?;
    let policy = write_policy(&layout, &binaries)?;
    let key = api_key(&layout).await?;

    tokio::select! {
        started = start(context, &args, &layout, &binaries) => {
            let (control_plane, node) = started?;
            let profile = Profile {
                url: control_plane.announced().replace("listening on ", ""),
                key,
                root: Some(hex::encode(root.der())),
                policy: Some(serde_json::from_str(&policy).map_err(anyhow::Error::from)?),
            };
            context.home.save_profile(PROFILE, &profile)?;
            let online = wait_until_online(&profile);
            tokio::select! {
                online = online => {
                    announce(context, &layout, &profile, online?)?;
                    stop.wait().await;
                }
                () = stop.wait() => {}
            }
            node.stop().await;
            control_plane.stop().await;
        }
        () = stop.wait() => {}
    }
    Ok(())
}

/// How the node's launcher starts the NSM emulator: this binary again.
pub(crate) fn nsm_emulator_command() -> Result<Vec<OsString>, CliError> {
    let nacre = std::env::current_exe()?;
    Ok(vec![nacre.into(), "nsm-emulator".into()])
}

async fn start(
    context: &Context,
    args: &DevArgs,
    layout: &Layout,
    binaries: &Binaries,
) -> Result<(Supervised, Supervised), CliError> {
    let deadline = Instant::now() + START;
    if !context.output.json {
        eprintln!("starting control plane, NSM emulator and enclave …");
    }
    let listen = args.listen;
    let control_plane = Supervised::start("control-plane", deadline, {
        let (data, root, policy) = (layout.control_plane(), layout.root(), layout.policy());
        let path = binaries.nacre.clone();
        move |announced| {
            // A port that the system chose stays the same for as long as `nacre dev` runs.
            let kept =
                announced.and_then(|line| line.rsplit_once("//").map(|(_, addr)| addr.to_owned()));
            let listen = kept.unwrap_or_else(|| listen.to_string());
            let arguments = words([
                ("control-plane", None),
                ("--listen", Some(listen.into())),
                ("--data", Some(data.clone().into())),
                ("--root", Some(root.clone().into())),
                ("--node-policy", Some(policy.clone().into())),
                ("--exit-on-stdin-eof", None),
            ]);
            let path = path.clone();
            Program { path, arguments }
        }
    })
    .await?;

    let url = control_plane.announced().replace("listening on ", "");
    let arguments = words([
        ("node", None),
        ("--control-plane", Some(url.into())),
        ("--listen", Some(args.node_listen.to_string().into())),
        ("--data", Some(layout.node().into())),
        ("--enclave-bin", Some(binaries.enclave.clone().into())),
        ("--worker-bin", Some(binaries.worker.clone().into())),
        ("--onnxruntime", Some(binaries.onnxruntime.clone().into())),
        ("--pki-dir", Some(layout.pki().into())),
        (
            "--nsm-latency-ms",
            Some(args.nsm_latency_ms.to_string().into()),
        ),
        ("--memory", Some(args.memory.to_string().into())),
        ("--exit-on-stdin-eof", None),
    ]);
    let path = binaries.nacre.clone();
    let node = Supervised::start("node", deadline, move |_| Program {
        path: path.clone(),
        arguments: arguments.clone(),
    })
    .await?;
    Ok((control_plane, node))
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
) -> Result<(), CliError> {
    let ready = Ready {
        control_plane: profile.url.clone(),
        node,
        profile: PROFILE,
        data: layout.dir.clone(),
        root: layout.root(),
        policy: layout.policy(),
    };
    context.output.result(&ready, |ready| {
        format!(
            "ready, in process mode: no enclave protects this machine's processes (DEVELOPMENT ROOT)\n\
             control plane  {}\nnode           {}\npolicy         {}\nroot           {}\n\
             next           nacre deploy DIR   (ctrl-C stops everything)",
            ready.control_plane,
            ready.node,
            ready.policy.display(),
            ready.root.display(),
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

/// The measurements of exactly the files that will run; a development policy for clients and control plane.
fn write_policy(layout: &Layout, binaries: &Binaries) -> Result<String, CliError> {
    let pcrs = measure_process(&binaries.enclave, &binaries.worker, &binaries.onnxruntime)?;
    let [pcr0, pcr1, pcr2] = pcrs.map(Pcr);
    let policy = Policy::new(vec![Measurements::new(pcr0, pcr1, pcr2)])?.to_json();
    write_private(&layout.policy(), policy.as_bytes())?;
    Ok(policy)
}

/// The API key of this data folder, made at the first start.
async fn api_key(layout: &Layout) -> Result<String, CliError> {
    let file = layout.dir.join("api-key");
    if let Ok(key) = std::fs::read_to_string(&file) {
        return Ok(key.trim().to_owned());
    }
    let made = keys::create(&layout.control_plane(), "nacre dev").await;
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

    fn policy(&self) -> PathBuf {
        self.dir.join("policy.json")
    }

    fn control_plane(&self) -> PathBuf {
        self.dir.join("control-plane")
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

/// The programs and the library of process mode.
struct Binaries {
    nacre: PathBuf,
    enclave: PathBuf,
    worker: PathBuf,
    onnxruntime: PathBuf,
}

impl Binaries {
    fn find(onnxruntime: Option<&Path>) -> Result<Self, CliError> {
        let nacre = std::env::current_exe()?;
        let beside = |name: &str| {
            let path = nacre.with_file_name(name);
            let missing =
                || CliError::Usage(format!("{} is missing: run `make build`", path.display()));
            path.is_file().then(|| path.clone()).ok_or_else(missing)
        };
        let brought = || {
            let found = nacre
                .ancestors()
                .map(|dir| dir.join(".deps/onnxruntime/libonnxruntime.so"));
            found.into_iter().find(|path| path.is_file())
        };
        let library = onnxruntime
            .map(Path::to_owned)
            .or_else(brought)
            .filter(|path| path.is_file());
        let library = library.ok_or_else(|| {
            CliError::Usage(
                "libonnxruntime.so is missing: run `make setup`, or name it with --onnxruntime"
                    .to_owned(),
            )
        })?;
        Ok(Self {
            enclave: beside("nacre-enclave")?,
            worker: beside("nacre-worker")?,
            onnxruntime: std::path::absolute(library)?,
            nacre,
        })
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
