//! Posts what was sealed: the commitment as soon as the epoch is over, the reveal when no more commitments are taken.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nacre_protocol::uptime::{Epoch, Schedule};
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::api::ControlPlane;
use super::meters::Meters;
use super::store::{Progress, Shared};
use super::unix_ms;
use crate::commit::sign_epoch;
use crate::error::WatchError;
use crate::seeds::WatcherKey;

/// Where commitments and reveals go.
#[derive(Debug)]
pub enum Sink {
    /// To the control plane.
    ControlPlane(ControlPlane),
    /// Appended to a file, one JSON object a line: `{"commit": …}` or `{"reveal": …}`. A line may come twice.
    File(PathBuf),
}

pub(crate) struct Submitter {
    pub(crate) key: WatcherKey,
    pub(crate) schedule: Schedule,
    pub(crate) sink: Sink,
    pub(crate) store: Shared,
    pub(crate) meters: Arc<Meters>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Commit,
    Reveal,
    /// Too late for it.
    GiveUp,
}

impl Submitter {
    /// Runs until `stop`. What could not be posted is tried again until it is too late for it.
    pub(crate) async fn run(
        &self,
        sealed: &Notify,
        stop: &CancellationToken,
    ) -> Result<(), WatchError> {
        let mut every = interval(Duration::from_millis(self.schedule.slot_ms().into()) / 4);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sealed.notified() => {}
                _ = every.tick() => {}
            }
            let pending = self.store.lock().pending();
            for (epoch, progress) in pending {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    advanced = self.advance(epoch, progress) => advanced?,
                }
            }
        }
    }

    /// Takes an epoch as far as its time has come.
    async fn advance(&self, epoch: Epoch, progress: Progress) -> Result<(), WatchError> {
        let Some(step) = self.step(epoch, progress, unix_ms()) else {
            return Ok(());
        };
        let done = match step {
            Step::GiveUp => {
                tracing::warn!(
                    epoch = epoch.0,
                    "too late to commit or reveal: the epoch does not count"
                );
                self.meters.posted(progress.awaits(), "too-late");
                Progress::Done
            }
            Step::Commit | Step::Reveal => match self.post(epoch, step).await {
                Ok(()) => {
                    self.meters.posted(progress.awaits(), "taken");
                    match step {
                        Step::Commit => Progress::Committed,
                        _ => Progress::Done,
                    }
                }
                // The disk is the watcher's own, and it cannot do without.
                Err(error @ (WatchError::File { .. } | WatchError::Content { .. })) => {
                    return Err(error);
                }
                Err(error) => {
                    self.meters.posted(progress.awaits(), "failed");
                    let code = error.code().to_owned();
                    tracing::warn!(epoch = epoch.0, ?step, code, %error, "not taken yet");
                    return Ok(());
                }
            },
        };
        self.store.with(move |store| store.mark(epoch, done)).await
    }

    fn step(&self, epoch: Epoch, progress: Progress, now_ms: u64) -> Option<Step> {
        let reveals_from = self.schedule.reveals_from(epoch);
        match progress {
            // An epoch is sealed a moment before its last slot ends.
            Progress::Sealed if now_ms < self.schedule.commits_from(epoch) => None,
            Progress::Sealed if now_ms < reveals_from => Some(Step::Commit),
            Progress::Sealed => Some(Step::GiveUp),
            Progress::Committed if now_ms < reveals_from => None,
            Progress::Committed if now_ms < self.schedule.closed_from(epoch) => Some(Step::Reveal),
            Progress::Committed => Some(Step::GiveUp),
            Progress::Done => None,
        }
    }

    async fn post(&self, epoch: Epoch, step: Step) -> Result<(), WatchError> {
        let rows = self
            .store
            .with(move |store| store.sealed_rows(epoch))
            .await?;
        let Some((commit, reveal)) = sign_epoch(&self.key, &self.schedule, epoch, rows) else {
            // More nodes than a watcher takes are refused when they are read.
            return Ok(());
        };
        match (&self.sink, step) {
            (Sink::ControlPlane(api), Step::Commit) => api.commit(&commit).await,
            (Sink::ControlPlane(api), _) => api.reveal(&reveal).await,
            (Sink::File(path), Step::Commit) => append(path, "commit", &commit),
            (Sink::File(path), _) => append(path, "reveal", &reveal),
        }
    }
}

fn append(path: &PathBuf, kind: &str, body: &impl Serialize) -> Result<(), WatchError> {
    let body = serde_json::to_string(body).map_err(|e| WatchError::content(path, e))?;
    let mut options = std::fs::OpenOptions::new();
    options
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| {
            file.write_all(format!("{{\"{kind}\":{body}}}\n").as_bytes())?;
            file.sync_data()
        })
        .map_err(WatchError::file(path))
}
