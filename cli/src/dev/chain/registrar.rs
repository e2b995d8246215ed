//! Keeps the receipt keys of this platform's enclaves registered: each boot makes a new one, and none is valid for ever.

use std::time::Duration;

use alloy::primitives::Address;
use anyhow::Context as _;
use nacre_chain::account::Account;
use nacre_chain::registration::{Registration, registered, vouch};
use nacre_emulator::socket::system_clock;
use nacre_protocol::api::chain::ChainKey;
use nacre_protocol::verified_enclave::ContractDomain;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::eth;
use super::verifier::Contact;
use crate::api::Api;
use crate::error::CliError;

/// How often the platform is asked for keys.
const LOOK: Duration = Duration::from_secs(2);
/// How often until the first is registered.
const EAGER: Duration = Duration::from_millis(100);
/// How long that may take.
const FIRST: Duration = Duration::from_secs(60);
/// How long the verifier may take.
const VOUCH: Duration = Duration::from_secs(20);
/// A key that ends sooner than this is prolonged, seconds.
const PROLONG: u64 = 3_600;

/// Registers keys until it is stopped.
pub(super) struct Registrar {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Desk {
    api: Api,
    verifier: Contact,
    operator: Account,
    registry: ContractDomain,
}

impl Registrar {
    /// Waits until a key is registered, and looks after all of them from then on.
    pub(super) async fn start(
        api: Api,
        verifier: Contact,
        operator: Account,
        registry: ContractDomain,
    ) -> Result<Self, CliError> {
        let desk = Desk {
            api,
            verifier,
            operator,
            registry,
        };
        let deadline = Instant::now() + FIRST;
        loop {
            let problem = match desk.round().await {
                Ok(0) => "the node has not offered its key".to_owned(),
                Ok(_) => break,
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() > deadline {
                let message = format!("no enclave's key is registered: {problem}");
                return Err(CliError::TimedOut(message));
            }
            sleep_until(Instant::now() + EAGER).await;
        }
        let stop = CancellationToken::new();
        let task = tokio::spawn(desk.keep(stop.clone()));
        Ok(Self { stop, task })
    }

    /// Ends it.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

impl Desk {
    async fn keep(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(Instant::now() + LOOK) => {}
            }
            let done = tokio::select! {
                () = stop.cancelled() => return,
                done = self.round() => done,
            };
            if let Err(error) = done {
                tracing::warn!("receipt keys: {error:#}; tried again soon");
            }
        }
    }

    /// Registers every key that needs it; how many are registered then.
    async fn round(&self) -> anyhow::Result<usize> {
        let mut keys = self.api.chain_keys(&self.registry).await?;
        // A node of somebody else's is somebody else's to register.
        let own = eth(self.operator.address());
        keys.retain(|key| key.operator == own);
        for key in &keys {
            if !self.is_registered(key).await? {
                self.register(key).await?;
            }
        }
        Ok(keys.len())
    }

    async fn is_registered(&self, key: &ChainKey) -> anyhow::Result<bool> {
        let registry = Address::from(*self.registry.verifying_contract.as_bytes());
        let address = Address::from(*key.receipt_key.as_bytes());
        let known = registered(registry, self.operator.provider(), address).await?;
        let soon = system_clock() / 1000 + PROLONG;
        Ok(known.is_some_and(|known| known.valid && known.expires_at > soon))
    }

    async fn register(&self, key: &ChainKey) -> anyhow::Result<()> {
        let Contact { endpoint, trust } = &self.verifier;
        let verdict = vouch(endpoint, trust, key, VOUCH)
            .await
            .context("verifier")?;
        let registration = Registration::of(key, &verdict)?;
        self.operator.send(registration.transaction()).await?;
        tracing::info!(key = %key.receipt_key, operator = %key.operator, "receipt key registered");
        Ok(())
    }
}
