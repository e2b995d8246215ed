//! One gateway for the functions of several organisations, with a key of its own for that.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use nacre_protocol::digest::Digest;
use nacre_tests::beside::Beside;
use nacre_tests::examples::Example;
use nacre_tests::http::ask_plain;
use nacre_tests::platform::{Platform, wait_for};
use nacre_tests::traffic::{Outcome, call_once};
use serde_json::Value;

use crate::site::{DEADLINE, client_of, gateway_with};

#[test]
fn the_platforms_gateway_brings_callers_to_the_functions_of_every_organisation()
-> anyhow::Result<()> {
    let tenants = Tenants::start()?;
    let platform = &tenants.platform;
    let edge = tenants.key("edge", &["--scope", "gateway"])?;
    let gateway = gateway_with(platform, &edge.file, "edge")?;
    tenants.are_answered(&gateway)?;

    // It may not even look at the functions that it routes to.
    let functions = edge.ask("GET", "/v1/functions")?;
    ensure!(
        functions == (403, "scope-missing".to_owned()),
        "{functions:?}"
    );
    // An organisation's own gateway knows its own functions.
    let own = gateway_with(platform, &tenants.acme.file, "own")?;
    let [(ours, of_ours), (theirs, of_theirs)] = &tenants.functions;
    ensure!(tenants.call(&own, theirs, *of_theirs)? == Outcome::Right);
    ensure!(tenants.call(&own, ours, *of_ours)? != Outcome::Right);
    own.stop()?;

    let mine = [
        "--json",
        "--profile",
        "acme",
        "key",
        "create",
        "--name",
        "mine",
    ];
    let refused = platform.nacre(mine.iter().chain(&["--scope", "gateway"]));
    let refused = { refused }.output()?;
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        !refused.status.success() && text.contains("grant-too-wide"),
        "{text}"
    );

    let id = edge.id.as_str();
    let data = tenants.data.display().to_string();
    platform.json(&["key", "revoke", id, "--data", &data])?;
    let routes = edge.ask("GET", "/v1/routes")?;
    ensure!(routes == (401, "unauthenticated".to_owned()), "{routes:?}");
    // Its callers do not miss the control plane, but it hears of nothing new.
    tenants.are_answered(&gateway)?;
    let done = |log: &Value| -> Vec<String> {
        let entries = log.as_array().into_iter().flatten();
        let line = |entry: &Value| format!("{} {}", entry["action"], entry["status"]);
        entries.map(line).collect()
    };
    wait_for("the refusal is in the platform's log", DEADLINE, || {
        let log = platform.json(&["audit", "--data", &data]).ok()?;
        let mut log = done(&log);
        let last = log.pop()?;
        let revoked = log.contains(&"\"revokeKey\" 200".to_owned());
        let refused = log.contains(&"\"authenticate\" 401".to_owned());
        (last == "\"createKey\" 200" && revoked && refused).then_some(())
    })?;
    gateway.stop()
}

/// A platform with two organisations, each of which has a function.
struct Tenants {
    platform: Platform,
    /// The control plane's folder.
    data: PathBuf,
    acme: Key,
    functions: [(Example, Digest); 2],
}

/// An API key in a file.
struct Key {
    id: String,
    file: PathBuf,
    text: String,
    control_plane: String,
}

impl Tenants {
    fn start() -> anyhow::Result<Self> {
        let platform = Platform::start()?;
        let data = PathBuf::from(platform.ready("data")).join("control-plane");
        let acme = make_key(
            &platform,
            &data,
            "acme",
            &["--all-scopes", "--organisation", "acme"],
        )?;
        let file = acme.file.display().to_string();
        let url = platform.ready("control_plane").to_owned();
        platform.json(&["--profile", "acme", "login", &url, "--key-file", &file])?;
        let deploy = |profile: &str, name: &str| -> anyhow::Result<(Example, Digest)> {
            let example = Example::load(name)?;
            let dir = example.dir().display().to_string();
            let deployed = platform.json(&["--profile", profile, "deploy", &dir])?;
            let digest = deployed["digest"].as_str().context("no digest")?.parse()?;
            Ok((example, digest))
        };
        let functions = [
            deploy("dev", "iris-network")?,
            deploy("acme", "iris-regression")?,
        ];
        Ok(Self {
            platform,
            data,
            acme,
            functions,
        })
    }

    /// A key that is made at the database.
    fn key(&self, name: &str, words: &[&str]) -> anyhow::Result<Key> {
        make_key(&self.platform, &self.data, name, words)
    }

    fn are_answered(&self, gateway: &Beside) -> anyhow::Result<()> {
        for (example, digest) in &self.functions {
            let outcome = self.call(gateway, example, *digest)?;
            ensure!(outcome == Outcome::Right, "{}: {outcome:?}", example.name);
        }
        Ok(())
    }

    fn call(&self, gateway: &Beside, example: &Example, digest: Digest) -> anyhow::Result<Outcome> {
        let client = client_of(&self.platform, gateway, &example.name, digest)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(runtime.block_on(call_once(example, client)))
    }
}

fn make_key(platform: &Platform, data: &Path, name: &str, words: &[&str]) -> anyhow::Result<Key> {
    let data = data.display().to_string();
    let all = [&["key", "create", "--name", name, "--data", &data], words].concat();
    let made = platform.json(&all)?;
    let text = made["key"].as_str().context("no key")?.to_owned();
    let file = platform.home().join(format!("{name}.key"));
    std::fs::write(&file, &text)?;
    Ok(Key {
        id: made["id"].as_str().context("no id")?.to_owned(),
        file,
        text,
        control_plane: platform.ready("control_plane").replace("http://", ""),
    })
}

impl Key {
    /// Status and code of an answer.
    fn ask(&self, method: &str, path: &str) -> anyhow::Result<(u16, String)> {
        let bearer = format!("Bearer {}", self.text);
        let headers = [("host", "localhost"), ("authorization", bearer.as_str())];
        let answer = ask_plain(&self.control_plane, method, path, &headers, b"")?;
        Ok((answer.status, answer.code()))
    }
}
