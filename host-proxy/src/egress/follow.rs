//! One proxy for an enclave that comes and goes.

use nacre_transport::{Address, Listener};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Egress;
use crate::supervisor::EnclaveState;

impl Egress {
    /// Serves whichever enclave runs now, where it asks for egress, until told to stop. An enclave that has no way to ask
    /// is left alone; one whose address cannot be listened on has no egress, and serves its callers all the same.
    pub async fn follow(self, mut enclave: watch::Receiver<EnclaveState>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let now = enclave.borrow_and_update().clone();
            let address = now.and_then(|now| now.egress.clone());
            let over = stop.child_token();
            let mut serving = std::pin::pin!(self.serve_at(address, over.clone()));
            tokio::select! {
                () = &mut serving => continue,
                changed = enclave.changed() => if changed.is_err() {
                    stop.cancelled().await;
                },
            }
            over.cancel();
            serving.await;
        }
    }

    async fn serve_at(&self, address: Option<Address>, over: CancellationToken) {
        let Some(address) = address else {
            return over.cancelled().await;
        };
        match Listener::bind(&address).await {
            Ok(listener) => self.serve(listener, over).await,
            Err(error) => {
                tracing::error!(%error, "the enclave has no egress");
                over.cancelled().await;
            }
        }
    }
}
