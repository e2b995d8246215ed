//! A control plane of a test's own, with nodes of its own: real processes under a platform's development root.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use nacre_protocol::api::Node;
use nacre_tests::beside::Beside;
use nacre_tests::platform::{Platform, describe, wait_for};
use serde_json::Value;

use crate::DEADLINE;

const PROFILE: &str = "realm";

pub(crate) struct Realm {
    control_plane: Beside,
    /// Root, policy and measurements; its own control plane and node idle.
    pub(crate) platform: Platform,
    data: PathBuf,
}

/// A node process, and what the control plane knows of it.
pub(crate) struct RealNode {
    pub(crate) process: Beside,
    pub(crate) known: Node,
}

impl Realm {
    /// A control plane with these further arguments.
    pub(crate) fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let platform = Platform::start()?;
        let data = platform.home().join("realm");
        let mut words: Vec<OsString> = vec!["control-plane".into(), "--data".into()];
        words.push(data.clone().into());
        words.extend(["--root".into(), platform.ready("root").into()]);
        words.extend(["--node-policy".into(), platform.ready("policy").into()]);
        words.extend(arguments.iter().map(OsString::from));
        let realm = Self {
            control_plane: Beside::start(&platform, words)?,
            platform,
            data,
        };
        let words = ["key", "create", "--name", "test", "--all-scopes", "--data"];
        let mut create = realm.platform.nacre(words);
        create.arg(&realm.data);
        let key = succeeds(create)?;
        std::fs::write(realm.key_file(), key)?;
        let mut login = realm.nacre(&["login", realm.url(), "--key-file"]);
        login.arg(realm.key_file());
        realm.trust(&mut login);
        succeeds(login)?;
        Ok(realm)
    }

    pub(crate) fn url(&self) -> &str {
        &self.control_plane.address
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.platform.home().join("realm-key")
    }

    /// `nacre --json` at this control plane.
    pub(crate) fn nacre(&self, words: &[&str]) -> Command {
        let mut command = self.platform.nacre(["--json", "--profile", PROFILE]);
        command.args(words);
        command
    }

    /// What to trust here.
    pub(crate) fn trust(&self, command: &mut Command) {
        command.args(["--root", self.platform.ready("root")]);
        command.args(["--policy", self.platform.ready("policy")]);
    }

    pub(crate) fn json(&self, words: &[&str]) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&succeeds(self.nacre(words))?)?)
    }

    /// A command on the database, beside the running control plane.
    pub(crate) fn admin(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut command = self.platform.nacre(["control-plane"]);
        command.args(words).arg("--data").arg(&self.data);
        succeeds(command)
    }

    /// Asks the API.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let key = std::fs::read_to_string(self.key_file())?;
        let url = format!("{}{path}", self.url());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let http = reqwest::Client::builder().no_proxy().build()?;
            let request = http.get(url).bearer_auth(key.trim());
            let response = request.send().await?.error_for_status()?;
            Ok(serde_json::from_slice(&response.bytes().await?)?)
        })
    }

    /// Starts a node, and waits until it is registered.
    pub(crate) fn node(&self, name: &str) -> anyhow::Result<RealNode> {
        let pki = PathBuf::from(self.platform.ready("data")).join("pki");
        let words: Vec<OsString> = vec![
            "node".into(),
            "--control-plane".into(),
            self.url().into(),
            "--data".into(),
            self.platform.home().join(name).into(),
            "--pki-dir".into(),
            pki.into(),
        ];
        let process = Beside::start(&self.platform, words)?;
        let known = wait_for("the node is registered", DEADLINE, || {
            let mut nodes = self.nodes().ok()?.into_iter();
            nodes.find(|node| node.endpoint == process.address && node.online)
        })?;
        Ok(RealNode { process, known })
    }

    pub(crate) fn nodes(&self) -> anyhow::Result<Vec<Node>> {
        Ok(serde_json::from_value(self.json(&["nodes"])?)?)
    }
}

fn succeeds(mut command: Command) -> anyhow::Result<String> {
    let output = command.output().context("it does not start")?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        describe(&output)
    );
    Ok(String::from_utf8(output.stdout)?)
}
