//! The chain itself: anvil, started again when it dies, and what happened on it kept in a file.
//!
//! While everything is set up it makes a block for each transaction at once; then one a second, as a chain would. It is kept as
//! soon as it is set up, from time to time, and at the end. Where it dies in between, what happened since is undone: to whoever
//! follows it, a reorganisation.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nacre_chain::anvil::{Anvil, AnvilOptions};
use nacre_chain::error::ChainError;
use nacre_chain::rpc::Rpc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::keep::Kept;
use super::rpc_of;
use crate::profile::write_private;

/// Seconds between two blocks.
const BLOCK: u64 = 1;
/// How often the chain is kept at most.
const KEEP: Duration = Duration::from_secs(10);
/// A chain that takes long to write is written less often: at most this part of the time.
const PART: u32 = 30;
/// Before another try where anvil does not start again.
const AGAIN: Duration = Duration::from_secs(1);

/// A chain that is being set up.
pub(super) struct Net {
    anvil: Anvil,
    state: PathBuf,
}

/// A chain that makes its blocks by itself.
pub(super) struct Running {
    url: Url,
    stop: CancellationToken,
    keeper: JoinHandle<()>,
}

impl Net {
    /// Starts one, from what was kept if anything was.
    pub(super) async fn start(folder: &Path, port: u16) -> Result<Self, ChainError> {
        let state = Kept::state(folder);
        let anvil = begin(&state, Some(port)).await?;
        Ok(Self { anvil, state })
    }

    /// Whether an empty one would start there.
    pub(super) async fn would_start(port: u16) -> Result<(), ChainError> {
        let options = AnvilOptions {
            port: Some(port),
            ..AnvilOptions::default()
        };
        Anvil::start(&options).await?.stop().await;
        Ok(())
    }

    /// Ends it as it is; nothing is kept.
    pub(super) async fn abandon(self) {
        self.anvil.stop().await;
    }

    pub(super) fn rpc(&self) -> Rpc {
        rpc_of(self.anvil.url())
    }

    /// Keeps it as it is, and has it run by itself from now on.
    pub(super) async fn run(self) -> Result<Running, ChainError> {
        let Self { anvil, state } = self;
        keep(&anvil, &state).await?;
        anvil.mine_every(BLOCK).await?;
        let url = anvil.url().clone();
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(look_after(anvil, state, stop.clone()));
        Ok(Running { url, stop, keeper })
    }
}

impl Running {
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Keeps it and ends it.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        // A keeper that panicked has dropped anvil, which kills it.
        let _ = self.keeper.await;
    }
}

async fn look_after(mut anvil: Anvil, state: PathBuf, stop: CancellationToken) {
    let mut pause = KEEP;
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                keep_or_say(&anvil, &state).await;
                return anvil.stop().await;
            }
            () = anvil.ended() => {
                tracing::warn!("anvil ended: the chain goes on from where it was kept last");
                match again(&anvil, &state, &stop).await {
                    Some(started) => anvil = started,
                    None => return,
                }
            }
            () = sleep_until(Instant::now() + pause) => {
                let begun = Instant::now();
                keep_or_say(&anvil, &state).await;
                pause = KEEP.max(begun.elapsed() * PART);
            }
        }
    }
}

/// Starts it again at the same address; `None` where it is to stop.
async fn again(ended: &Anvil, state: &Path, stop: &CancellationToken) -> Option<Anvil> {
    let port = ended.url().port();
    loop {
        let started = async {
            let anvil = begin(state, port).await?;
            anvil.mine_every(BLOCK).await?;
            Ok::<_, ChainError>(anvil)
        };
        let pause = tokio::select! {
            () = stop.cancelled() => return None,
            started = started => match started {
                Ok(anvil) => return Some(anvil),
                Err(error) => {
                    tracing::warn!(code = error.code(), %error, "anvil does not start again");
                    Instant::now() + AGAIN
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => return None,
            () = sleep_until(pause) => {}
        }
    }
}

async fn begin(state: &Path, port: Option<u16>) -> Result<Anvil, ChainError> {
    let options = AnvilOptions {
        port,
        load: state.is_file().then(|| state.to_owned()),
        ..AnvilOptions::default()
    };
    Anvil::start(&options).await
}

async fn keep(anvil: &Anvil, state: &Path) -> Result<(), ChainError> {
    let bytes = anvil.dump().await?;
    write_private(state, &bytes)
        .map_err(|error| ChainError::Anvil(format!("{}: {error}", state.display())))
}

async fn keep_or_say(anvil: &Anvil, state: &Path) {
    if let Err(error) = keep(anvil, state).await {
        tracing::warn!(code = error.code(), %error, "the chain is not kept");
    }
}
