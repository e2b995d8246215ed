//! `nacre control-plane …`: arguments and main loop.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use nacre_attestation_verifier::{Policy, RootKind, Roots};
use nacre_telemetry::endpoint::MetricsArgs;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::ControlPlane;
use crate::config::{self, Config, Database, ObjectsAt};

mod watchers;

/// Serve the platform's API: functions, deployments and nodes.
#[derive(Debug, Clone, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ControlPlaneArgs {
    #[command(subcommand)]
    watchers: Option<watchers::WatcherCommand>,
    /// Address to listen on. Anything but loopback needs --behind-tls-proxy.
    #[arg(long, value_name = "ADDR", default_value_t = config::DEFAULT_LISTEN)]
    listen: SocketAddr,
    #[command(flatten)]
    storage: DatabaseArgs,
    /// Where blobs are kept: a folder, or s3://BUCKET/PREFIX with the usual AWS_* variables. `objects` in the data folder
    /// if absent.
    #[arg(long, value_name = "DIR|s3://…")]
    objects: Option<ObjectsAt>,
    /// Root of nodes' evidence: `aws`, or the PEM or DER file of a development root.
    #[arg(long, value_name = "aws|FILE", default_value = "aws")]
    root: String,
    /// Policy (JSON) that names the measurements of nodes' enclaves.
    #[arg(long, value_name = "FILE", required = true)]
    node_policy: Option<PathBuf>,
    /// How often nodes report, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    report_every_ms: u64,
    /// After which silence a node is offline and its leases move, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    offline_after_ms: u64,
    /// Largest blob that is stored, bytes.
    #[arg(long, value_name = "BYTES", default_value_t = config::DEFAULT_MAX_BLOB)]
    max_blob_bytes: u64,
    #[command(flatten)]
    jobs: config::JobsArgs,
    #[command(flatten)]
    uptime: config::UptimeArgs,
    /// Where its numbers are read.
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    ledger: config::LedgerArgs,
    #[command(flatten)]
    limits: config::LimitArgs,
    /// A proxy in front terminates TLS: allow an address other than loopback, and take the last address in its
    /// X-Forwarded-For for the caller's.
    #[arg(long)]
    behind_tls_proxy: bool,
    /// Stop when standard input ends, so that the server ends with the program that started it.
    #[arg(long)]
    exit_on_stdin_eof: bool,
}

/// Which database.
#[derive(Clone, clap::Args)]
pub struct DatabaseArgs {
    /// Folder for the SQLite database, and for the blobs unless --objects says otherwise; made if absent.
    #[arg(long, value_name = "DIR", required_unless_present = "database")]
    data: Option<PathBuf>,
    /// PostgreSQL instead, which several control planes may share: postgres://USER@HOST/NAME. The password may also be in
    /// PGPASSWORD or ~/.pgpass, where no list of processes shows it. Another machine is reached by TLS that verifies its
    /// name, by the authorities of browsers or ?sslrootcert=FILE; ?sslmode=… says otherwise.
    #[arg(
        long,
        value_name = "postgres://…",
        env = "NACRE_DATABASE",
        hide_env_values = true
    )]
    database: Option<String>,
}

impl DatabaseArgs {
    pub(crate) fn database(&self) -> anyhow::Result<Database> {
        match (&self.database, &self.data) {
            (Some(url), _) => Ok(Database::postgres(url)?),
            (None, Some(data)) => Ok(Database::Folder(data.clone())),
            (None, None) => anyhow::bail!("--data is missing"),
        }
    }
}

/// Without the URL, which may hold a password.
impl core::fmt::Debug for DatabaseArgs {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("DatabaseArgs")
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

/// Does what the arguments say; a server runs until it is told to stop.
pub async fn run(args: ControlPlaneArgs) -> anyhow::Result<()> {
    if let Some(command) = &args.watchers {
        return watchers::run(command).await;
    }
    // Listened for before anything starts, so that no signal falls between.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let config = configure(&args)?;
    if config.roots.kind() == RootKind::Development {
        tracing::warn!("DEVELOPMENT ROOT: nodes prove nothing to anybody else");
    }
    let control_plane = ControlPlane::bind(config).await?;
    println!("listening on {}", control_plane.url());
    let parent_gone = args.exit_on_stdin_eof.then(stdin_eof);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = ended(parent_gone) => {}
    }
    control_plane.shutdown().await;
    Ok(())
}

fn configure(args: &ControlPlaneArgs) -> anyhow::Result<Config> {
    let objects = match (&args.objects, &args.storage.data) {
        (Some(objects), _) => objects.clone(),
        (None, Some(data)) => ObjectsAt::in_data(data),
        (None, None) => anyhow::bail!("with --database, say --objects or --data too"),
    };
    let database = args.storage.database()?;
    let policy = args
        .node_policy
        .as_deref()
        .context("--node-policy is missing")?;
    let json = read(policy)?;
    let policy = Policy::from_json(&json).with_context(|| format!("in {}", policy.display()))?;
    let roots = match args.root.as_str() {
        "aws" => Roots::aws(),
        file => {
            Roots::from_pem_or_der(&read(Path::new(file))?).with_context(|| format!("in {file}"))?
        }
    };
    Ok(Config {
        listen: args.listen,
        report_every: Duration::from_millis(args.report_every_ms),
        offline_after: Duration::from_millis(args.offline_after_ms),
        max_blob_bytes: args.max_blob_bytes,
        jobs: args.jobs.config(),
        uptime: args.uptime.config()?,
        ledger: args.ledger.config(),
        rates: args.limits.rates(),
        audit_kept: args.limits.audit_kept(),
        behind_tls_proxy: args.behind_tls_proxy,
        metrics: args.metrics.clone(),
        database,
        objects,
        ..Config::new(PathBuf::new(), roots, policy)
    })
}

/// Roots and policies are small files.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    const LIMIT: u64 = 1 << 20;
    let file =
        std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(
        bytes.len() as u64 <= LIMIT,
        "{} is longer than 1 MiB",
        path.display()
    );
    Ok(bytes)
}

/// Ends when standard input does. A thread of its own reads it: a runtime's blocking thread would keep the runtime from
/// ending.
fn stdin_eof() -> oneshot::Receiver<()> {
    let (send, receive) = oneshot::channel();
    std::thread::spawn(move || {
        let mut sink = std::io::sink();
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut sink);
        drop(send);
    });
    receive
}

async fn ended(receiver: Option<oneshot::Receiver<()>>) {
    match receiver {
        // Either way the sender has gone.
        Some(receiver) => drop(receiver.await),
        None => core::future::pending().await,
    }
}
