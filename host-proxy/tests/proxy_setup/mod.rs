//! A running proxy for tests.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::sync::Arc;
use std::time::Duration;

use nacre_host_proxy::proxy::{Counters, Exposure, Proxy, ProxyLimits};
use nacre_host_proxy::supervisor::{EnclaveEndpoints, EnclaveState};
use nacre_transport::{Address, Listener, Stream, connect};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Longer than anything takes.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A proxy in the background.
pub(crate) struct Setup {
    pub(crate) dir: TempDir,
    pub(crate) address: Address,
    pub(crate) counters: Arc<Counters>,
    pub(crate) running: JoinHandle<()>,
    pub(crate) stop: CancellationToken,
    state: watch::Sender<EnclaveState>,
}

impl Setup {
    pub(crate) async fn new(limits: ProxyLimits) -> Self {
        Self::with(limits, |proxy| proxy).await
    }

    pub(crate) async fn behind(limits: ProxyLimits, networks: &[&str]) -> Self {
        let networks = networks.iter().map(|text| text.parse().unwrap()).collect();
        Self::with(limits, |proxy| proxy.behind(networks)).await
    }

    pub(crate) async fn announcing(limits: ProxyLimits) -> Self {
        Self::with(limits, Proxy::announcing).await
    }

    async fn with(limits: ProxyLimits, change: impl FnOnce(Proxy) -> Proxy) -> Self {
        let (state, enclave) = watch::channel(None);
        let any_port = "tcp://127.0.0.1:0".parse().unwrap();
        let bound = Proxy::bind(&any_port, Exposure::LoopbackOnly, limits).await;
        let proxy = change(bound.unwrap());
        let stop = CancellationToken::new();
        Self {
            dir: tempfile::tempdir().unwrap(),
            address: proxy.address().clone(),
            counters: proxy.counters(),
            running: tokio::spawn(proxy.serve(enclave, stop.clone())),
            stop,
            state,
        }
    }

    /// Says where the enclave is.
    pub(crate) fn announce(&self, tls: Address) {
        self.state.send_replace(Some(Arc::new(EnclaveEndpoints {
            launch: 1,
            control: tls.clone(),
            tls,
            egress: None,
            image: None,
        })));
    }

    pub(crate) async fn caller(&self) -> Stream {
        connect(&self.address, Instant::now() + SOON).await.unwrap()
    }

    pub(crate) async fn pair(&self, enclave: &Listener) -> (Stream, Stream) {
        let (caller, inside) = tokio::join!(self.caller(), enclave.accept());
        (caller, inside.unwrap())
    }
}

/// Waits until it is so.
pub(crate) async fn until(mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            tokio::task::yield_now().await;
        }
    };
    assert!(
        timeout(SOON, wait).await.is_ok(),
        "it does not become so within {SOON:?}"
    );
}
