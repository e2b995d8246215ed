//! The booted image's way out: to the names that it was measured with, through the host's proxy, in TLS that ends inside.
//!
//! An image trusts the web's certification authorities and none besides, so it can believe no server of a test's, and
//! must not: what it fetches when it does believe one is tested in process mode, with the same code. Here is seen how far
//! it goes. For a name on its list the host is asked, TLS begins, and the enclave itself breaks it off. For another name
//! nobody is asked.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nacre_protocol::egress::ALLOW_LIST_FILE;
use nacre_tests::examples::Example;
use nacre_tests::image::{built_image, word};
use nacre_tests::platform::{describe, nacre, repository, wait_for};
use rustls::server::Acceptor;
use rustls::{AlertDescription, ServerConfig};
use serde_json::Value;

use crate::authority::Authority;
use crate::site::Site;

/// Until an event is in a function's log; an emulated processor is slow.
const LOGGED_WITHIN: Duration = Duration::from_secs(20);

#[test]
fn an_image_reaches_the_names_that_it_was_measured_with_and_no_others() -> anyhow::Result<()> {
    let Some(built) = built_image() else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let tls = Authority::new("nobody's").serves(&["localhost"]);
    let (listed, unlisted) = (Server::start(&tls)?, Server::start(&tls)?);
    let image = image_that_may_reach(&listed.destination, folder.path())?;
    // The host would carry to both.
    let site = Site::boot(image, &["--egress", "any", "--egress-allow-private"])?;
    ensure_the_list_is_measured(&site, &built)?;

    for (name, server) in [("iris-network", &listed), ("lenet-mnist", &unlisted)] {
        let example = Example::load(name)?;
        let function = with_address(&example, &server.destination, folder.path())?;
        let deployed = site.platform.json(&["deploy", &word(&function)])?;
        let digest = deployed["digest"].as_str().context("no digest")?;
        // From wherever the model came, it is the right one.
        site.answers(&example, digest)?;
    }

    // The host carried the enclave's TLS to the server, whose certificate the enclave did not take.
    let seen = wait_for("a visit to the listed name", LOGGED_WITHIN, || {
        Some(listed.seen()).filter(|visits| !visits.is_empty())
    })?;
    for visit in &seen {
        ensure!(visit.name.as_deref() == Some("localhost"), "{visit:?}");
        ensure!(
            visit.alert == Some(AlertDescription::UnknownCA),
            "{visit:?}"
        );
    }
    let events = events(&site, "iris-network")?;
    let failed = events.iter().find(|(code, _)| code == "fetch-failed");
    let (_, why) = failed.with_context(|| format!("{events:?}"))?;
    ensure!(
        why.contains("egress-tls-refused") && why.contains(&listed.destination),
        "{why}"
    );
    ensure!(
        events.iter().all(|(code, _)| code != "fetched"),
        "{events:?}"
    );

    let visits = unlisted.seen();
    ensure!(visits.is_empty(), "{visits:?}");
    let events = events_of_fetching(&site, "lenet-mnist")?;
    ensure!(events.is_empty(), "{events:?}");
    site.platform.stop()
}

/// The image again, from the same kernel and programs, with this destination on its list.
fn image_that_may_reach(destination: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let (list, image) = (folder.join("egress"), folder.join("nacre.eif"));
    std::fs::write(&list, format!("{destination} # of this test\n"))?;
    let output = nacre(folder)
        .args(["image", "build", "--workspace"])
        .arg(repository())
        .arg("--egress")
        .arg(&list)
        .arg("--output")
        .arg(&image)
        .output()?;
    ensure!(output.status.success(), "{}", describe(&output));
    Ok(image)
}

/// A policy for the image without the list refuses this one.
fn ensure_the_list_is_measured(site: &Site, built: &Path) -> anyhow::Result<()> {
    let compare = ["--json", "image", "diff", &word(built), &word(&site.image)];
    let output = site.platform.nacre(compare).output()?;
    let found: Value = serde_json::from_slice(&output.stdout)?;
    let changes = found["changes"].as_array().context("no changes")?;
    let list = changes
        .iter()
        .find(|change| change["path"] == ALLOW_LIST_FILE)
        .context("the list is the same")?;
    ensure!(list["registers"] == serde_json::json!([0, 2]), "{list}");
    Ok(())
}

/// The example as a function whose model can be had there.
fn with_address(example: &Example, destination: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let function = folder.join(&example.name);
    std::fs::create_dir(&function)?;
    let manifest = std::fs::read_to_string(example.dir().join("nacre.toml"))?;
    let file = "file = \"model.onnx\"";
    let urls = format!("{file}\nurls = [\"https://{destination}/model.onnx\"]");
    std::fs::write(function.join("nacre.toml"), manifest.replace(file, &urls))?;
    std::fs::copy(
        example.dir().join("model.onnx"),
        function.join("model.onnx"),
    )?;
    Ok(function)
}

/// Codes and words of a function's events, as soon as it is ready.
fn events(site: &Site, function: &str) -> anyhow::Result<Vec<(String, String)>> {
    wait_for("`ready` in the log", LOGGED_WITHIN, || {
        let log = site.platform.text(&["--json", "logs", function]).ok()?;
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let events: Vec<_> = lines
            .map(|line| {
                (
                    text(&line["event"]["code"]),
                    text(&line["event"]["message"]),
                )
            })
            .collect();
        events
            .iter()
            .any(|(code, _)| code == "ready")
            .then_some(events)
    })
}

fn events_of_fetching(site: &Site, function: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut events = events(site, function)?;
    events.retain(|(code, _)| code.starts_with("fetch"));
    Ok(events)
}

/// Somebody who came to a server.
#[derive(Debug, Clone)]
struct Visit {
    /// Whom the visitor believed to be speaking with.
    name: Option<String>,
    /// What the visitor said to the certificate.
    alert: Option<AlertDescription>,
}

/// A server of the web, for as long as the test runs.
struct Server {
    destination: String,
    visits: Arc<Mutex<Vec<Visit>>>,
}

impl Server {
    fn start(tls: &Arc<ServerConfig>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let destination = format!("localhost:{}", listener.local_addr()?.port());
        let visits = Arc::new(Mutex::new(Vec::new()));
        let (tls, log) = (Arc::clone(tls), Arc::clone(&visits));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let visit = receive(stream, &tls);
                log.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(visit);
            }
        });
        Ok(Self {
            destination,
            visits,
        })
    }

    fn seen(&self) -> Vec<Visit> {
        self.visits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// As far as TLS comes.
fn receive(mut stream: std::net::TcpStream, tls: &Arc<ServerConfig>) -> Visit {
    let mut visit = Visit {
        name: None,
        alert: None,
    };
    let mut acceptor = Acceptor::default();
    let accepted = loop {
        match (acceptor.read_tls(&mut stream), acceptor.accept()) {
            (Ok(1..), Ok(None)) => {}
            (_, Ok(Some(accepted))) => break accepted,
            _ => return visit,
        }
    };
    visit.name = accepted.client_hello().server_name().map(str::to_owned);
    let Ok(mut connection) = accepted.into_connection(Arc::clone(tls)) else {
        return visit;
    };
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut stream) {
            let said = error.get_ref().and_then(|error| error.downcast_ref());
            if let Some(rustls::Error::AlertReceived(alert)) = said {
                visit.alert = Some(*alert);
            }
            return visit;
        }
    }
    visit
}
