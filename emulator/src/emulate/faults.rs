//! Faults of the machine itself, and where they come from.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::faults::{Control, Faults, Watched};
use crate::machine::Grip;
use crate::vsock::wire::FaultPlan;

/// How often the file of faults is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Puts faults in force for as long as it is polled; never ends.
pub(super) async fn follow(
    faults: Faults,
    machine: Grip,
    wire: FaultPlan,
    watched: Option<Watched>,
    control: Option<Control>,
) {
    tokio::join!(apply(&faults, &machine, &wire), watch(watched), async {
        match control {
            Some(control) => control.serve().await,
            None => std::future::pending().await,
        }
    });
}

/// Holds the machine up, lets it go on, and ends it, as the faults in force say.
async fn apply(faults: &Faults, machine: &Grip, wire: &FaultPlan) {
    let mut changes = faults.changes();
    let mut paused = false;
    let mut befallen = Vec::new();
    loop {
        let wanted = faults.enclave();
        if wanted.killed {
            machine.kill();
        }
        if wanted.paused != paused {
            tracing::info!(paused = wanted.paused, "the enclave is held up");
            machine.pause(wanted.paused);
            paused = wanted.paused;
        }
        let trouble = faults.wire();
        if trouble != befallen {
            wire.set(trouble.clone());
            befallen = trouble;
        }
        for loss in faults.take_resets() {
            wire.lose(loss);
        }
        let end = faults.next_end().map(Instant::from_std);
        tokio::select! {
            // The other end is `faults`, which is still there.
            _ = changes.changed() => {}
            () = until(end) => {}
        }
    }
}

/// Reads the file again when it changes or SIGHUP comes; never ends.
pub(crate) async fn watch(watched: Option<Watched>) {
    let Some(mut watched) = watched else {
        return std::future::pending().await;
    };
    let mut hangup = signal(SignalKind::hangup()).ok();
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let done = tokio::select! {
            _ = ticks.tick() => watched.look().map(drop),
            () = hung_up(&mut hangup) => watched.reload(),
        };
        if let Err(error) = done {
            tracing::error!(code = error.code(), %error, "the faults stay what they were");
        }
    }
}

async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => {
            hangup.recv().await;
        }
        None => std::future::pending().await,
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}
