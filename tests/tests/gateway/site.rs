//! A platform of two nodes behind gateways.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nacre_client::{AttestedClient, ClientOptions, Endpoint};
use nacre_protocol::digest::Digest;
use nacre_tests::beside::Beside;
use nacre_tests::examples::Example;
use nacre_tests::platform::{Platform, wait_for};
use nacre_tests::traffic::{Outcome, call_once};
use tokio::runtime::Runtime;

/// Functions are called below this name.
const ZONE: &str = "fn.example.org";
/// What must happen, happens within this.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A platform with a second node, and a function that both run.
pub(crate) struct Site {
    pub(crate) node: Beside,
    pub(crate) platform: Platform,
    pub(crate) runtime: Runtime,
    pub(crate) example: Example,
    pub(crate) digest: Digest,
}

impl Site {
    pub(crate) fn start(of_second_node: &[&str]) -> anyhow::Result<Self> {
        Self::with_replicas(of_second_node, 2)
    }

    /// The same with the function on so many nodes.
    pub(crate) fn with_replicas(of_second_node: &[&str], replicas: u32) -> anyhow::Result<Self> {
        let platform = Platform::start()?;
        let data = platform.home().join("second-node");
        let pki = PathBuf::from(platform.ready("data")).join("pki");
        let mut words: Vec<OsString> = vec!["node".into(), "--control-plane".into()];
        words.push(platform.ready("control_plane").into());
        words.extend(["--data".into(), data.into(), "--pki-dir".into(), pki.into()]);
        words.extend(of_second_node.iter().map(OsString::from));
        let node = Beside::start(&platform, words)?;
        wait_for("both nodes are online", DEADLINE, || {
            let nodes = platform.json(&["nodes"]).ok()?;
            let online = nodes
                .as_array()?
                .iter()
                .filter(|node| node["online"] == true);
            (online.count() == 2).then_some(())
        })?;
        let example = Example::load("iris-network")?;
        let dir = example.dir().display().to_string();
        let deployed = platform.json(&["deploy", &dir, "--replicas", &replicas.to_string()])?;
        let digest = deployed["digest"].as_str().context("no digest")?.parse()?;
        Ok(Self {
            node,
            platform,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?,
            example,
            digest,
        })
    }

    pub(crate) fn gateway(
        &self,
        words: impl IntoIterator<Item = OsString>,
    ) -> anyhow::Result<Beside> {
        let mut all: Vec<OsString> = vec!["gateway".into(), "--zone".into(), ZONE.into()];
        all.extend(words);
        Beside::start(&self.platform, all)
    }

    /// A client that calls by name, with no connection yet.
    pub(crate) fn client(&self, gateway: &Beside) -> anyhow::Result<AttestedClient> {
        client_of(&self.platform, gateway, &self.example.name, self.digest)
    }

    /// One call on a connection of its own, with its proof.
    pub(crate) fn is_answered(&self, gateway: &Beside) -> anyhow::Result<()> {
        let call = call_once(&self.example, self.client(gateway)?);
        let outcome = self.runtime.block_on(call);
        ensure!(outcome == Outcome::Right, "{outcome:?}");
        Ok(())
    }
}

/// A client that calls a function by name, with no connection yet.
pub(crate) fn client_of(
    platform: &Platform,
    gateway: &Beside,
    name: &str,
    digest: Digest,
) -> anyhow::Result<AttestedClient> {
    let endpoint = endpoint_of(gateway, name)?;
    let options = ClientOptions::default();
    Ok(AttestedClient::new(
        platform.trust()?,
        Some(digest),
        vec![endpoint],
        options,
    ))
}

/// Where a function is called by name.
pub(crate) fn endpoint_of(gateway: &Beside, name: &str) -> anyhow::Result<Endpoint> {
    let endpoint = gateway.address.parse::<Endpoint>()?;
    Ok(endpoint.with_server_name(format!("{name}.{ZONE}")))
}

/// A gateway that asks the platform's control plane with the key in this file.
pub(crate) fn gateway_with(platform: &Platform, key: &Path, name: &str) -> anyhow::Result<Beside> {
    let words: [OsString; 12] = [
        "gateway".into(),
        "--zone".into(),
        ZONE.into(),
        "--control-plane".into(),
        platform.ready("control_plane").into(),
        "--key-file".into(),
        key.into(),
        "--data".into(),
        platform.home().join(name).into(),
        "--no-proxy-protocol".into(),
        "--poll-every".into(),
        "250ms".into(),
    ];
    Beside::start(platform, words.into())
}
