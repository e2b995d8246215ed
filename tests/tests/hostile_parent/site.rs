//! A platform whose host we are.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use nacre_client::{AttestedClient, ClientOptions};
use nacre_protocol::ids::BootId;
use nacre_tests::examples::Example;
use nacre_tests::platform::{Platform, wait_for};
use nacre_tests::traffic::{Outcome, call_once};
use tokio::runtime::Runtime;

/// A call that was damaged on its way may hang for as long as this, and no longer.
const SHORT: Duration = Duration::from_secs(2);
/// How long a platform may take until it serves again.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Site {
    pub(crate) platform: Platform,
    pub(crate) runtime: Runtime,
    pub(crate) example: Example,
    pub(crate) digest: String,
    boot: BootId,
}

impl Site {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let platform = Platform::start()?;
        let example = Example::load("iris-network")?;
        let digest = platform.deploy_example(&example.name)?;
        let boot = platform.enclave_status()?.boot_id;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        Ok(Self {
            platform,
            runtime,
            example,
            digest,
            boot,
        })
    }

    /// Where callers come in, if nobody stands before it.
    pub(crate) fn node(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.platform.ready("node").parse()?)
    }

    /// The host's side of the control channel.
    pub(crate) fn control(&self) -> anyhow::Result<PathBuf> {
        self.platform.control_socket()
    }

    /// A caller at this address who insists on the function that was deployed, and on a new connection for each call.
    pub(crate) fn caller(&self, address: SocketAddr) -> anyhow::Result<AttestedClient> {
        let options = ClientOptions {
            handshake_timeout: SHORT,
            call_timeout: SHORT,
            max_idle: 0,
            ..ClientOptions::default()
        };
        let endpoints = vec![address.to_string().parse()?];
        let function = Some(self.digest.parse()?);
        Ok(AttestedClient::new(
            self.platform.trust()?,
            function,
            endpoints,
            options,
        ))
    }

    /// One call at this address.
    pub(crate) fn call(&self, address: SocketAddr) -> anyhow::Result<Outcome> {
        let caller = self.caller(address)?;
        Ok(self.runtime.block_on(call_once(&self.example, caller)))
    }

    /// A caller whom nobody disturbs gets the right answer, from the very enclave that was there at the beginning.
    pub(crate) fn serves_as_before(&self) -> anyhow::Result<()> {
        let node = self.node()?;
        wait_for("the right answer", PATIENCE, || {
            (self.call(node).ok()? == Outcome::Right).then_some(())
        })?;
        let status = self.platform.enclave_status()?;
        ensure!(status.boot_id == self.boot, "the enclave has died");
        Ok(())
    }
}
