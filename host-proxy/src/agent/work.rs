//! Carrying out what [`Reconciler`] decides.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use nacre_protocol::api::ObservedFunction;
use nacre_protocol::bundle::{Bundle, MAX_BUNDLE_MANIFEST};
use nacre_protocol::control::{EnclaveStatus, FunctionState, FunctionStatus};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{FunctionName, LeaseId};
use nacre_telemetry::trace;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::Instrument as _;

use super::platform::{PlatformError, Session};
use super::reconcile::{Action, Failure, FailureKind, Reconciler};
use super::{Boot, Link};
use crate::control::ControlError;

/// Functions that are loaded at once.
const AT_ONCE: usize = 2;
/// How often to look at the enclave when no event says that something changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The enclave's answer to a load whose blobs it does not have.
const BLOB_MISSING: &str = "blob-missing";

/// Something that was under way and ended.
enum Done {
    Action(Action, Result<Option<FunctionStatus>, Failure>),
    Status(u64, Result<EnclaveStatus, ControlError>),
}

/// Makes the enclave run what is desired, until it turns out to be another boot.
pub(super) async fn reconcile(link: &Link, boot: &Boot) {
    let mut reconciler = Reconciler::default();
    let mut under_way: FuturesUnordered<BoxFuture<'_, Done>> = FuturesUnordered::new();
    let mut desired = link.desired.subscribe();
    desired.mark_changed();
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looking = false;
    let mut look_again = false;
    let mut told = false;
    loop {
        let now = Instant::now().into_std();
        for action in reconciler.start_actions(AT_ONCE, now) {
            let span = trace::work(action.verb(), &link.cause.borrow());
            under_way.push(Box::pin(act(link, boot, action).instrument(span)));
        }
        publish(boot, &reconciler);
        if told {
            note_settled(link, boot);
        }
        let next_try = reconciler.next_try().filter(|at| *at > now);
        tokio::select! {
            changed = desired.changed() => {
                if changed.is_err() {
                    return;
                }
                let state = desired.borrow_and_update().clone();
                if let Some(state) = state {
                    told = true;
                    reconciler.set_desired(state);
                }
            }
            Some(done) = under_way.next() => match done {
                Done::Action(action, result) => {
                    note(&action, &result);
                    reconciler.finished(&action, result, Instant::now().into_std());
                }
                Done::Status(_, Ok(status)) if status.boot_id != boot.id => return,
                Done::Status(epoch, result) => {
                    looking = false;
                    match result {
                        Ok(status) => {
                            let now = Instant::now().into_std();
                            reconciler.set_actual(epoch, status.functions, now);
                        }
                        Err(error) => tracing::debug!(%error, "cannot look at the enclave"),
                    }
                }
            },
            () = boot.journal.stirred.notified() => look_again = true,
            _ = look.tick() => look_again = true,
            () = sleep_until(next_try.unwrap_or(now + LOOK_EVERY).into()), if next_try.is_some() => {}
        }
        if look_again && !looking {
            (looking, look_again) = (true, false);
            let epoch = reconciler.epoch();
            under_way.push(Box::pin(async move {
                Done::Status(epoch, boot.control.status().await)
            }));
        }
    }
}

fn publish(boot: &Boot, reconciler: &Reconciler) {
    let observed = reconciler.observed();
    boot.observed.send_if_modified(|current| {
        let differs = *current != observed;
        if differs {
            *current = observed;
        }
        differs
    });
}

/// Tells, once a launch, that everything desired is ready or has failed.
fn note_settled(link: &Link, boot: &Boot) {
    let loading = |function: &ObservedFunction| function.state == FunctionState::Loading;
    if boot.observed.borrow().iter().any(loading) {
        return;
    }
    link.settled.send_if_modified(|settled| {
        let news = *settled != Some(boot.launch);
        *settled = Some(boot.launch);
        news
    });
}

fn note(action: &Action, result: &Result<Option<FunctionStatus>, Failure>) {
    match result {
        Ok(_) => tracing::info!(?action, "done"),
        Err(failure) => tracing::warn!(?action, code = failure.code, "{}", failure.message),
    }
}

async fn act(link: &Link, boot: &Boot, action: Action) -> Done {
    let result = match &action {
        Action::Load {
            name,
            digest,
            lease,
        } => load(link, boot, name, *digest, *lease).await.map(Some),
        Action::Unload { name } => boot
            .control
            .unload(name)
            .await
            .map(|()| None)
            .map_err(Failure::from),
    };
    Done::Action(action, result)
}

/// Brings the manifest and the layers that the enclave lacks, then loads. Layers that say where they can be fetched are
/// the enclave's to get first; what it could not get is brought after all.
async fn load(
    link: &Link,
    boot: &Boot,
    name: &FunctionName,
    digest: Digest,
    lease: LeaseId,
) -> Result<FunctionStatus, Failure> {
    // It may be there already, under another lease.
    if boot.control.has_blob(&digest).await? {
        match boot.control.load(name, digest, lease).await {
            Err(ControlError::Refused(problem)) if problem.code == BLOB_MISSING => {}
            loaded => return Ok(loaded?),
        }
    }
    // Not the former boot's, which ends with this boot's registration, in the middle of a blob perhaps.
    let session = link.session_of(boot.id).await;
    let manifest = link
        .platform
        .small_blob(&session, &digest, MAX_BUNDLE_MANIFEST)
        .await
        .map_err(|error| blob_failure(link, &session, &error))?;
    if Digest::of(&manifest) != digest {
        return Err(Failure {
            code: "digest-mismatch".to_owned(),
            message: format!("the control plane's blob {digest} has another digest"),
            kind: FailureKind::Transient,
        });
    }
    let bundle = Bundle::from_oci_manifest(&manifest).map_err(|error| Failure {
        code: "bundle-invalid".to_owned(),
        message: error.to_string(),
        kind: FailureKind::Refused,
    })?;
    let (brought, fetched): (Vec<_>, Vec<_>) =
        (bundle.files().iter()).partition(|file| file.urls.is_empty());
    for file in brought {
        bring(link, boot, &session, &file.digest, file.size).await?;
    }
    let size = manifest.len() as u64;
    let whole = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(manifest)]);
    boot.control.put_blob(&digest, size, whole).await?;
    match boot.control.load(name, digest, lease).await {
        Err(ControlError::Refused(problem))
            if problem.code == BLOB_MISSING && !fetched.is_empty() => {}
        loaded => return Ok(loaded?),
    }
    for file in fetched {
        bring(link, boot, &session, &file.digest, file.size).await?;
    }
    Ok(boot.control.load(name, digest, lease).await?)
}

/// Streams one blob from the control plane into the enclave, unless it is there.
async fn bring(
    link: &Link,
    boot: &Boot,
    session: &Session,
    digest: &Digest,
    size: u64,
) -> Result<(), Failure> {
    if boot.control.has_blob(digest).await? {
        return Ok(());
    }
    let chunks = link
        .platform
        .blob(session, digest)
        .await
        .map_err(|error| blob_failure(link, session, &error))?;
    Ok(boot.control.put_blob(digest, size, chunks).await?)
}

fn blob_failure(link: &Link, session: &Session, error: &PlatformError) -> Failure {
    let kind = if error.is_transient() {
        // A missing blob says nothing about the session; a refused token does.
        link.note_failure(session, error);
        FailureKind::Transient
    } else {
        FailureKind::Refused
    };
    Failure {
        code: error.code().to_owned(),
        message: error.to_string(),
        kind,
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        let kind = match &error {
            ControlError::Refused(problem) if problem.status == 507 => FailureKind::NoRoom,
            other if other.is_transient() => FailureKind::Transient,
            _ => FailureKind::Refused,
        };
        let message = match &error {
            ControlError::Refused(problem) => problem
                .detail
                .clone()
                .unwrap_or_else(|| problem.title.clone()),
            other => other.to_string(),
        };
        Self {
            code: error.code().to_owned(),
            message,
            kind,
        }
    }
}
