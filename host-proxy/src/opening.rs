//! When callers are let through to a new run of the enclave: once it runs again what it is meant to run, so that a
//! restart looks to them like a slow answer, not like a function that does not exist.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::supervisor::EnclaveState;

/// How long a new run of the enclave may take to be what it should be before callers are let through all the same: a
/// function that loads slowly must not keep callers from the others, nor a lost control plane from all.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// The enclave as callers see it: absent until the agent has `settled` this launch, or `patience` has passed.
pub fn open_when_settled(
    enclave: watch::Receiver<EnclaveState>,
    settled: watch::Receiver<Option<u64>>,
    patience: Duration,
) -> watch::Receiver<EnclaveState> {
    let (open, opened) = watch::channel(EnclaveState::None);
    tokio::spawn(follow(enclave, settled, patience, open));
    opened
}

/// Ends with the supervisor, or with the last caller of `open`.
async fn follow(
    mut enclave: watch::Receiver<EnclaveState>,
    mut settled: watch::Receiver<Option<u64>>,
    patience: Duration,
    open: watch::Sender<EnclaveState>,
) {
    loop {
        let state = enclave.borrow_and_update().clone();
        open.send_replace(None);
        let gone = if let Some(endpoints) = state {
            let launch = Some(endpoints.launch);
            // Too long, or an agent that has ended: either way nothing better will come.
            let ready = settled.wait_for(|settled| *settled == launch);
            let ready = timeout(patience, ready.map(drop)).map(drop);
            tokio::select! {
                () = ready => {
                    open.send_replace(Some(endpoints));
                    enclave.changed().await.is_err()
                }
                changed = enclave.changed() => changed.is_err(),
            }
        } else {
            enclave.changed().await.is_err()
        };
        if gone {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::supervisor::EnclaveEndpoints;

    const LONG: Duration = Duration::from_secs(60);

    fn run(launch: u64) -> EnclaveState {
        let address = |text: &str| text.parse().unwrap();
        Some(Arc::new(EnclaveEndpoints {
            launch,
            tls: address("unix:/tls.sock"),
            control: address("unix:/control.sock"),
            egress: None,
            image: None,
        }))
    }

    #[tokio::test]
    async fn callers_wait_until_the_functions_are_back() {
        let (state, enclave) = watch::channel(run(1));
        let (settle, settled) = watch::channel(None);
        let mut open = open_when_settled(enclave, settled, LONG);
        settle.send_replace(Some(1));
        open.wait_for(|open| *open == run(1)).await.unwrap();

        // What was true of the last run says nothing of the next.
        state.send_replace(run(2));
        open.wait_for(Option::is_none).await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(*open.borrow(), None);
        settle.send_replace(Some(2));
        open.wait_for(|open| *open == run(2)).await.unwrap();

        state.send_replace(None);
        open.wait_for(Option::is_none).await.unwrap();
    }

    #[tokio::test]
    async fn patience_ends() {
        let (_state, enclave) = watch::channel(run(1));
        let (_settle, settled) = watch::channel(None);
        let mut open = open_when_settled(enclave, settled, Duration::from_millis(5));
        open.wait_for(|open| *open == run(1)).await.unwrap();
    }
}
