//! Keeps one enclave running and says where it is: does what [`Health`] decides.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use nacre_protocol::control::EnclaveStatus;
use nacre_protocol::evidence::RegistrationChallenge;
use nacre_protocol::ids::{NodeId, OperatorId};
use nacre_transport::Address;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::control::{Control, ControlError};
use crate::crash::{CrashLog, CrashReport, HostLog, unix_millis};
use crate::health::{Action, Cause, Event, Health, Timing};
use crate::launcher::{
    HowEnded, LaunchError, LaunchedImage, Launcher, RunningEnclave, stable_code,
};
use crate::metrics::Seen;

/// Longest version of an enclave's program that is kept.
const MAX_VERSION: usize = 64;

/// Where the enclave is; `None` while there is none.
pub type EnclaveState = Option<Arc<EnclaveEndpoints>>;

/// How to reach one run of an enclave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnclaveEndpoints {
    /// Counts the launches of this process; another number is another run.
    pub launch: u64,
    /// Where callers' TLS ends.
    pub tls: Address,
    /// The control channel.
    pub control: Address,
    /// Where this run asks for connections to the outside, if it can: listen here to serve them.
    pub egress: Option<Address>,
    /// What was launched, where that is an image with measurements of its own.
    pub image: Option<Arc<LaunchedImage>>,
}

/// What a supervisor needs beside a launcher.
#[derive(Debug, Clone)]
pub struct Supervision {
    /// How patient it is.
    pub timing: Timing,
    /// Where reports of crashes go.
    pub crashes: CrashLog,
    /// Who asks for evidence. The nonce is always a new one, so that nobody can register with what comes back.
    pub operator: OperatorId,
    /// The node that asks.
    pub node: NodeId,
    /// Where what is seen of the enclave is noted, for the metrics.
    pub seen: Arc<Seen>,
}

/// Launches an enclave, watches it, launches the next whenever one ended or had to be ended, and stops the last one when
/// told to.
///
/// Returns an error only if no enclave ever came up.
pub async fn supervise(
    launcher: impl Launcher,
    supervision: Supervision,
    state: watch::Sender<EnclaveState>,
    stop: CancellationToken,
) -> Result<(), LaunchError> {
    // Without randomness all nodes wait alike, which is no harm to one.
    let seed = getrandom::u64().unwrap_or_default();
    let mut health = Health::new(supervision.timing, seed, Instant::now());
    let mut supervisor = Supervisor {
        launcher: &launcher,
        supervision: &supervision,
        state,
        under_way: FuturesUnordered::new(),
        run: Run::default(),
        log: HostLog::default(),
    };
    let mut event = Some(Event::Tick);
    loop {
        if let Some(event) = event.take() {
            for action in health.on(event, Instant::now()) {
                if let Action::Finish { gave_up } = action {
                    return supervisor.outcome(gave_up);
                }
                supervisor.obey(action).await;
            }
        }
        let wakes = health.wakes_at();
        event = tokio::select! {
            Some(happened) = supervisor.under_way.next() => supervisor.take(happened),
            () = sleep_until(wakes.unwrap_or_else(Instant::now)), if wakes.is_some() => Some(Event::Tick),
            () = stop.cancelled(), if !health.is_stopping() => Some(Event::Stop),
        };
    }
}

/// Something that was under way and ended.
enum Happened {
    Launched(Result<Box<dyn RunningEnclave>, LaunchError>),
    /// The launch was given up.
    Abandoned,
    /// It ended by itself, or was told to.
    Ended(Box<dyn RunningEnclave>, Option<HowEnded>),
    Cleared,
    Probed(u64, Result<EnclaveStatus, ControlError>),
    Attested(u64, Result<(), ControlError>),
}

struct Supervisor<'a, L> {
    launcher: &'a L,
    supervision: &'a Supervision,
    state: watch::Sender<EnclaveState>,
    under_way: FuturesUnordered<BoxFuture<'a, Happened>>,
    run: Run,
    log: HostLog,
}

/// What is known of the current launch.
#[derive(Default)]
struct Run {
    launch: u64,
    since: Option<Instant>,
    endpoints: EnclaveState,
    status: Option<EnclaveStatus>,
    ended: Option<HowEnded>,
    error: Option<LaunchError>,
    last_problem: Option<String>,
    end: CancellationToken,
}

impl<'a, L: Launcher> Supervisor<'a, L> {
    async fn obey(&mut self, action: Action) {
        match action {
            Action::Launch(launch) => self.launch(launch),
            Action::Probe(launch) => self.probe(launch),
            Action::Attest(launch) => self.attest(launch),
            Action::Open => {
                let launch = self.run.launch;
                let boot_ms = millis(self.uptime());
                tracing::info!(launch, boot_ms, "the enclave is ready");
                self.supervision.seen.opened();
                self.log.note(format!("ready, {boot_ms} ms after it ran"));
                self.state.send_replace(self.run.endpoints.clone());
            }
            Action::Close => {
                self.supervision.seen.closed();
                self.state.send_replace(None);
            }
            Action::End => {
                self.log.note("ending it");
                self.run.end.cancel();
            }
            Action::Report(cause) => self.report(cause).await,
            Action::Finish { .. } => {}
        }
    }

    fn launch(&mut self, launch: u64) {
        self.run = Run {
            launch,
            ..Run::default()
        };
        self.log.note(format!("launch {launch}"));
        self.supervision.seen.launched();
        let (launcher, end) = (self.launcher, self.run.end.clone());
        self.under_way.push(Box::pin(async move {
            tokio::select! {
                launched = launcher.launch() => Happened::Launched(launched),
                () = end.cancelled() => Happened::Abandoned,
            }
        }));
    }

    fn probe(&mut self, launch: u64) {
        let Some(control) = self.control() else {
            return;
        };
        let within = self.supervision.timing.answer_within();
        self.under_way.push(Box::pin(async move {
            let answer = timeout(within, control.status()).await;
            Happened::Probed(launch, answer.unwrap_or(Err(ControlError::Deadline)))
        }));
    }

    fn attest(&mut self, launch: u64) {
        let Some(control) = self.control() else {
            return;
        };
        let Supervision { operator, node, .. } = *self.supervision;
        self.under_way.push(Box::pin(async move {
            let mut nonce = [0; 32];
            // An answer to a known nonce would still show that the NSM lives.
            let _ = getrandom::fill(&mut nonce);
            let challenge = RegistrationChallenge {
                nonce,
                operator,
                node,
            };
            Happened::Attested(launch, control.evidence(&challenge).await.map(drop))
        }));
    }

    fn control(&self) -> Option<Control> {
        let endpoints = self.run.endpoints.as_ref()?;
        Some(Control::new(endpoints.control.clone()))
    }

    fn take(&mut self, happened: Happened) -> Option<Event> {
        match happened {
            Happened::Launched(Ok(enclave)) => {
                self.launched(enclave);
                Some(Event::Launched)
            }
            Happened::Launched(Err(error)) => {
                let lasting = error.is_lasting();
                tracing::error!(launch = self.run.launch, code = error.code(), %error, "the enclave did not come up");
                self.run.last_problem = Some(error.code().to_owned());
                self.run.error = Some(error);
                Some(Event::LaunchFailed { lasting })
            }
            Happened::Abandoned | Happened::Cleared => Some(Event::Cleared),
            Happened::Ended(enclave, how) => {
                self.under_way.push(Box::pin(async move {
                    enclave.stop().await;
                    Happened::Cleared
                }));
                self.run.ended = how;
                self.run.ended.is_some().then_some(Event::Ended)
            }
            Happened::Probed(launch, answer) => {
                let answered = answer.is_ok();
                match answer {
                    Ok(status) if launch == self.run.launch => {
                        self.supervision.seen.answered(status.clone());
                        self.run.status = Some(status);
                        self.run.last_problem = None;
                    }
                    Ok(_) => {}
                    Err(error) => self.unanswered(launch, "its control channel", &error),
                }
                Some(Event::Probed { launch, answered })
            }
            Happened::Attested(launch, answer) => {
                match &answer {
                    Ok(()) if launch == self.run.launch => self.supervision.seen.attested(),
                    Ok(()) => {}
                    Err(error) => self.unanswered(launch, "for fresh evidence", error),
                }
                let answered = answer.is_ok();
                Some(Event::Attested { launch, answered })
            }
        }
    }

    fn launched(&mut self, enclave: Box<dyn RunningEnclave>) {
        self.run.since = Some(Instant::now());
        let endpoints = EnclaveEndpoints {
            launch: self.run.launch,
            tls: enclave.tls().clone(),
            control: enclave.control().clone(),
            egress: enclave.egress().cloned(),
            image: enclave.image().cloned(),
        };
        self.log
            .note(format!("runs; control channel {}", endpoints.control));
        self.run.endpoints = Some(Arc::new(endpoints));
        let (mut enclave, end) = (enclave, self.run.end.clone());
        self.under_way.push(Box::pin(async move {
            let how = tokio::select! {
                how = enclave.ended() => Some(how),
                () = end.cancelled() => None,
            };
            Happened::Ended(enclave, how)
        }));
    }

    /// One unanswered question is nothing; what becomes of it is [`Health`]'s to say. While it boots it is the rule.
    fn unanswered(&mut self, launch: u64, asked: &str, error: &ControlError) {
        if launch != self.run.launch {
            return;
        }
        let code = stable_code(error.code());
        if self.run.status.is_some() {
            tracing::warn!(launch, code, %error, "asked {asked}, the enclave did not answer");
            self.log.note(format!("asked {asked}: {code}"));
        }
        self.run.last_problem = Some(code.to_owned());
    }

    /// How long the enclave has run.
    fn uptime(&self) -> Duration {
        self.run.since.map(|at| at.elapsed()).unwrap_or_default()
    }

    async fn report(&mut self, cause: Cause) {
        self.supervision.seen.ended(cause);
        let (run, uptime_ms) = (&self.run, millis(self.uptime()));
        let how = run.ended.as_ref().map(ToString::to_string);
        let how = how.as_deref().unwrap_or_default();
        tracing::error!(
            launch = run.launch,
            cause = cause.code(),
            uptime_ms,
            how,
            "the enclave is no more"
        );
        self.log.note(format!("{} {how}", cause.code()).trim_end());
        let report = CrashReport {
            schema: 1,
            at_ms: unix_millis(),
            kind: self.launcher.kind().to_owned(),
            launch: run.launch,
            cause,
            error: run.last_problem.clone(),
            ended: run.ended.clone(),
            uptime_ms,
            boot_id: run.status.as_ref().map(|status| status.boot_id),
            counters: run.status.as_ref().map(|status| status.counters),
            host_version: env!("CARGO_PKG_VERSION").to_owned(),
            enclave_version: run.status.as_ref().map(|status| version(&status.version)),
            image: (run.endpoints.as_ref())
                .and_then(|endpoints| endpoints.image.as_deref().cloned()),
            log: self.log.lines(),
        };
        let crashes = self.supervision.crashes.clone();
        match tokio::task::spawn_blocking(move || crashes.write(&report)).await {
            Ok(Ok(path)) => tracing::info!(path = %path.display(), "crash report"),
            Ok(Err(error)) => tracing::warn!(%error, "the crash report cannot be written"),
            Err(error) => tracing::warn!(%error, "the crash report was not written"),
        }
    }

    fn outcome(self, gave_up: bool) -> Result<(), LaunchError> {
        if !gave_up {
            return Ok(());
        }
        let within = self.supervision.timing.first_answer;
        Err(self.run.error.unwrap_or_else(|| {
            (self.run.ended).map_or(LaunchError::NeverAnswered(within), LaunchError::Ended)
        }))
    }
}

/// A version as the enclave said it, as far as it looks like one.
fn version(said: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || ".-+".contains(*c);
    said.chars().filter(plain).take(MAX_VERSION).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
