//! `nacre watch …`: arguments and main loop. What to trust is the caller's to find out.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use nacre_client::Trust;
use nacre_protocol::encoding::array_from_base64url;
use nacre_protocol::ids::{BootId, NodeId};
use nacre_protocol::uptime::{Schedule, Slot, WatcherId};
use nacre_telemetry::endpoint::MetricsArgs;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::WatchError;
use crate::evidence::EvidenceRecord;
use crate::seeds::EpochSecret;
use crate::watch::store::{Limits, Store, kept_schedule, read_bounded};
use crate::watch::{self, Canary, Chain, ControlPlane, Meters, Sink, Source, WatcherConfig};

/// Largest file of canaries that is read, bytes.
const MAX_CANARIES: u64 = 4 << 20;
/// Largest file of evidence that is read, bytes: a slot of 10,000 nodes.
const MAX_EVIDENCE: u64 = 1 << 30;

/// Probe nodes in every slot, keep what they answered, commit to it and reveal it.
#[derive(Debug, Clone, Args)]
pub struct Watch {
    /// Folder for the watcher's key, scores and evidence; made if absent.
    #[arg(long, value_name = "DIR", required = true)]
    data: Option<PathBuf>,
    /// Read nodes from this file instead of the control plane: {"nodes":[{"id","endpoint","boot_id","canary"}]}; boot_id
    /// and canary (a function's name) may be left out.
    #[arg(long, value_name = "FILE")]
    nodes: Option<PathBuf>,
    /// Canaries (JSON): [{"function","digest","request","outputs","tolerance"}]; nodes that run none are asked for their
    /// health.
    #[arg(long, value_name = "FILE")]
    canaries: Option<PathBuf>,
    /// The control plane to learn nodes from and to post to (default: the login's).
    #[arg(long, value_name = "URL")]
    control_plane: Option<String>,
    /// Append commitments and reveals to this file instead of posting them.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Length of a slot, milliseconds [default: as the control plane says that it is posted to; 10000 without one].
    #[arg(long, value_name = "MS")]
    slot_ms: Option<u32>,
    /// Slots that are committed to at once [default: likewise; 60].
    #[arg(long, value_name = "N")]
    epoch_slots: Option<u16>,
    /// For how many slots after an epoch commitments are taken [default: likewise; 6].
    #[arg(long, value_name = "N")]
    commit_slots: Option<u16>,
    /// For how many slots after that reveals are taken [default: likewise; 24].
    #[arg(long, value_name = "N")]
    reveal_slots: Option<u16>,
    /// How many nodes are probed at once.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// The most evidence that is kept, bytes; the oldest goes first. An answer is about 8 kB and
    /// the canary's bodies.
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 30)]
    evidence_bytes: u64,
    /// How long evidence is kept, hours.
    #[arg(long, value_name = "HOURS", default_value_t = 48)]
    evidence_hours: u32,
    /// Where its numbers are read.
    #[command(flatten)]
    metrics: MetricsArgs,
    /// Leave when standard input closes.
    #[arg(long)]
    exit_on_stdin_eof: bool,
}

/// Check kept evidence again, off line.
#[derive(Debug, Clone, Args)]
pub struct Verify {
    /// A file of the watcher's folder `evidence`, or one record.
    evidence: PathBuf,
    /// Only this node's record.
    #[arg(long)]
    node: Option<NodeId>,
    /// The salt that the watcher revealed for the epoch, base64url: check also that the nonces were its own.
    #[arg(long)]
    salt: Option<String>,
}

/// The control plane that a login names.
#[derive(Debug, Clone)]
pub struct Login {
    /// Its address.
    pub url: String,
    /// An API key that reads nodes and functions.
    pub key: String,
}

impl Watch {
    /// Whether nodes and control plane are named by flags, so that no login is needed.
    pub fn is_complete(&self) -> bool {
        self.nodes.is_some() && (self.report.is_some() || self.control_plane.is_some())
    }

    /// As the flags say, or the control plane that is posted to; where that is away, as it said before.
    async fn schedule(&self, data: &Path, sink: &Sink) -> Result<Schedule, WatchError> {
        let given = self.slot_ms.is_some()
            || self.epoch_slots.is_some()
            || self.commit_slots.is_some()
            || self.reveal_slots.is_some();
        match sink {
            Sink::ControlPlane(api) if !given => {
                match (api.schedule().await, kept_schedule(data)) {
                    (Err(WatchError::Unreachable { .. }), Some(kept)) => Ok(kept),
                    (asked, _) => asked,
                }
            }
            _ => self.given_schedule(),
        }
    }

    fn given_schedule(&self) -> Result<Schedule, WatchError> {
        let epoch = self.epoch_slots.unwrap_or(60);
        Ok(Schedule::new(
            self.slot_ms.unwrap_or(10_000),
            epoch,
            // Windows are no concern of a watcher's.
            epoch.into(),
            self.commit_slots.unwrap_or(6),
            self.reveal_slots.unwrap_or(24),
        )?)
    }

    fn limits(&self, schedule: &Schedule) -> Limits {
        Limits {
            bytes: self.evidence_bytes,
            slots: u64::from(self.evidence_hours) * 3_600_000 / u64::from(schedule.slot_ms()),
        }
    }

    fn source(&self, api: Option<ControlPlane>) -> Result<Source, WatchError> {
        let canaries = match &self.canaries {
            None => Vec::new(),
            Some(path) => serde_json::from_slice::<Vec<Canary>>(&read_bounded(path, MAX_CANARIES)?)
                .map_err(|e| WatchError::content(path, e))?,
        };
        match (&self.nodes, api) {
            (Some(path), _) => Ok(Source::File {
                path: path.clone(),
                canaries,
            }),
            (None, Some(api)) => Ok(Source::ControlPlane { api, canaries }),
            (None, None) => Err(no_control_plane()),
        }
    }
}

/// Watches until SIGTERM, SIGINT, or the end of standard input if that was asked for.
///
/// Prints `watching as ID` (with `json`: `{"watcher": ID}`) to standard output when it begins.
pub async fn run(
    args: &Watch,
    trust: Trust,
    login: Option<Login>,
    chain: Option<Box<dyn Chain>>,
    json: bool,
) -> Result<(), WatchError> {
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    if args.exit_on_stdin_eof {
        stop_on_stdin_eof(stop.clone())?;
    }
    let data = args.data.as_deref();
    let data = data.ok_or_else(|| WatchError::Usage("--data is missing".to_owned()))?;
    let api = control_plane(args, login)?;
    let sink = match (&args.report, &api) {
        (Some(path), _) => Sink::File(path.clone()),
        (None, Some(api)) => Sink::ControlPlane(api.clone()),
        (None, None) => return Err(no_control_plane()),
    };
    let schedule = args.schedule(data, &sink).await?;
    let store = Store::open(data, schedule, args.limits(&schedule))?;
    let (meters, metrics) = Meters::new();
    let _metrics = args.metrics.serve(metrics).await?;
    let config = WatcherConfig {
        meters,
        key: store.key().clone(),
        trust,
        schedule,
        source: args.source(api)?,
        sink,
        chain,
        concurrency: args.concurrency.into(),
    };
    say_who(&config.key.id(), json)?;
    watch::run(config, store, stop).await
}

/// What [`verify`] found of one record.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    /// Who asked.
    pub watcher: WatcherId,
    /// Which node.
    pub node: NodeId,
    /// In which slot.
    pub slot: Slot,
    /// When it was answered, by the enclave's attested clock, Unix milliseconds.
    pub at_ms: u64,
    /// The run of the enclave that answered.
    pub boot_id: BootId,
    /// The function that answered; absent where the node was asked for its health.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The nonce was found to be the watcher's own; needs the salt.
    pub own_nonce: bool,
    /// What the watcher committed to: SHA-256 of the record, hex.
    pub sha256: String,
}

/// Checks every record of a file, or one node's. Any that fails is an error.
pub fn verify(args: &Verify, trust: &Trust) -> Result<Vec<Verified>, WatchError> {
    let bytes = read_bounded(&args.evidence, MAX_EVIDENCE)?;
    let salt = args.salt.as_deref().map(array_from_base64url).transpose();
    let salt = salt.map_err(|e| WatchError::Usage(format!("--salt: {e}")))?;
    let mut verified = Vec::new();
    for line in bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let record = EvidenceRecord::from_json(line)?;
        if args.node.is_some_and(|node| node != record.node) {
            continue;
        }
        let secret = salt.map(|salt| EpochSecret::revealed(record.watcher, salt));
        let shown = record.verify(trust, secret.as_ref())?;
        verified.push(Verified {
            watcher: record.watcher,
            node: record.node,
            slot: record.slot,
            at_ms: shown.at_ms,
            boot_id: shown.boot_id,
            function: shown.function.map(|digest| digest.to_string()),
            own_nonce: shown.own_nonce,
            sha256: hex::encode(EvidenceRecord::hash(line)),
        });
    }
    if verified.is_empty() {
        return Err(WatchError::content(
            &args.evidence,
            "holds no record that was asked for",
        ));
    }
    Ok(verified)
}

fn control_plane(args: &Watch, login: Option<Login>) -> Result<Option<ControlPlane>, WatchError> {
    let (url, key) = match (&args.control_plane, login) {
        // A key is for the control plane that it was made for, and no other.
        (Some(url), Some(login)) if *url == login.url => (url.clone(), Some(login.key)),
        (Some(url), _) => (url.clone(), None),
        (None, Some(login)) => (login.url, Some(login.key)),
        (None, None) => return Ok(None),
    };
    ControlPlane::new(&url, key).map(Some)
}

fn no_control_plane() -> WatchError {
    let words = "no control plane: log in, give --control-plane URL, or give --nodes FILE with --report FILE";
    WatchError::Usage(words.to_owned())
}

fn say_who(watcher: &WatcherId, json: bool) -> std::io::Result<()> {
    let line = match json {
        true => format!("{{\"watcher\":\"{watcher}\"}}"),
        false => format!("watching as {watcher}"),
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn stop_on_signals(stop: &CancellationToken) -> std::io::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)?;
        let stop = stop.clone();
        tokio::spawn(async move {
            signals.recv().await;
            stop.cancel();
        });
    }
    Ok(())
}

fn stop_on_stdin_eof(stop: CancellationToken) -> std::io::Result<()> {
    let wait = move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        stop.cancel();
    };
    let thread = std::thread::Builder::new().name("stdin".to_owned());
    thread.spawn(wait).map(drop)
}
