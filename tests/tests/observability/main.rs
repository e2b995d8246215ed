//! What every process says about itself: metrics that are exactly as documented, logs that a program can read, traces from
//! the command line to the node; and that none of it has a word of what callers sent.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

mod collector;
mod dashboard;
mod documented;
mod exposition;
mod job_traces;
mod secrets;
mod site;
mod traces;

use anyhow::ensure;
use exposition::{Exposition, sum};
use nacre_tests::http::ask_plain;
use serde_json::Value;
use site::Site;

/// How long a test waits for what must happen.
const DEADLINE: Duration = Duration::from_secs(90);

/// In a function's input.
const IN_THE_INPUT: &str = "marker-of-an-input-5f1d";
/// In a token that opens nothing.
const IN_A_TOKEN: &str = "6d61726b6572206f66206120746f6b65";
/// In a path.
const IN_A_PATH: &str = "marker-of-a-path-77c2";

#[test]
fn all_of_nacre_shows_what_it_does_and_nothing_of_what_it_is_sent() -> anyhow::Result<()> {
    let site = Site::start()?;
    let before = site.read_all()?;
    call(&site)?;
    let called = Instant::now();
    site.until("the watcher has seen a slot", "watcher", |now| {
        sum(now, "nacre_watcher_probes_total", &[("outcome", "up")]) >= 1.0
    })?;
    // What the enclave says comes with its next answer.
    site.until("the enclave has told its host", "node", |now| {
        let age = sum(now, "nacre_node_enclave_answer_age_seconds", &[]);
        age < called.elapsed().as_secs_f64()
    })?;
    let after = site.read_all()?;
    moved(&before, &after)?;
    // A relay needs a chain: its own tests have it.
    documented::is_exactly(&after, |name| !name.starts_with("nacre_relay_"))?;
    secrets::labels_are_ours(&after)?;
    traces::link(&site)?;
    job_traces::link(&site)?;
    let texts: Vec<_> = after.keys().map(|name| site.text(name)).collect();
    let texts = texts.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let secrets = [IN_THE_INPUT, IN_A_TOKEN, IN_A_PATH, &site.key.clone()].map(str::to_owned);
    let bodies = site.collector.bodies();
    ensure!(!bodies.is_empty(), "no traces came");
    for (n, text) in texts.iter().enumerate() {
        secrets::none_in(text.as_bytes(), &secrets, &format!("exposition {n}"))?;
    }
    for body in &bodies {
        secrets::none_in(body, &secrets, "a trace")?;
    }
    for (name, log) in site.stop()? {
        secrets::none_in(log.as_bytes(), &secrets, &name)?;
        // The verifier is an enclave's program, which logs for the host's log.
        if name != "verifier" {
            secrets::is_json(&log, &name)?;
        }
    }
    Ok(())
}

/// Calls that carry the markers: through the proxy, through the gateway's door, and to the control plane.
fn call(site: &Site) -> anyhow::Result<()> {
    let mut request: Value = serde_json::from_slice(&site.example.request)?;
    request["id"] = IN_THE_INPUT.into();
    let body = request.to_string();
    let json = [("host", "localhost"), ("content-type", "application/json")];
    for _ in 0..3 {
        let answer = ask_plain(
            &site.proxy,
            "POST",
            &site.example.path(),
            &json,
            body.as_bytes(),
        )?;
        ensure!(
            answer.status == 200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        ensure!(
            answer.json()?["id"] == IN_THE_INPUT,
            "the marker did not go through"
        );
        site.example.check_body(&answer.body)?;
    }
    let unknown = format!("/v2/models/{IN_A_PATH}/infer");
    let answer = ask_plain(&site.proxy, "POST", &unknown, &json, body.as_bytes())?;
    ensure!(answer.status == 404, "{}", answer.status);
    // No ClientHello.
    let _ = ask_plain(&site.gateway, "GET", &format!("/{IN_A_PATH}"), &json, b"");

    let control_plane = site.platform.ready("control_plane").replace("http://", "");
    let path = format!("/v1/functions/{IN_A_PATH}");
    let token = format!(
        "Bearer nacre_{}_{IN_A_TOKEN}{IN_A_TOKEN}",
        "0123456789abcdef"
    );
    let known = format!("Bearer {}", site.key);
    for (authorization, method, status) in [
        (&token, "GET", 401),
        (&known, "GET", 404),
        (&known, "BREW", 405),
    ] {
        let headers = [
            ("host", "localhost"),
            ("authorization", authorization.as_str()),
        ];
        let answer = ask_plain(&control_plane, method, &path, &headers, b"")?;
        ensure!(answer.status == status, "{method}: {}", answer.status);
    }
    let headers = [("host", "localhost"), ("authorization", known.as_str())];
    let answer = ask_plain(
        &control_plane,
        "GET",
        &format!("/{IN_A_PATH}"),
        &headers,
        b"",
    )?;
    ensure!(answer.status == 404, "{}", answer.status);
    Ok(())
}

/// What must have risen, and by how much at least.
fn moved(
    before: &BTreeMap<&str, Exposition>,
    after: &BTreeMap<&str, Exposition>,
) -> anyhow::Result<()> {
    for (process, name, labels, least) in [
        (
            "proxy",
            "nacre_proxy_requests_total",
            &[("function", "iris-network"), ("status", "200")][..],
            3.0,
        ),
        (
            "proxy",
            "nacre_proxy_request_seconds_count",
            &[("function", "iris-network")],
            3.0,
        ),
        (
            "proxy",
            "nacre_proxy_requests_total",
            &[("function", "none"), ("status", "404")],
            1.0,
        ),
        (
            "proxy",
            "nacre_proxy_refusals_total",
            &[("code", "model-not-found")],
            1.0,
        ),
        ("gateway", "nacre_gateway_connections_total", &[], 1.0),
        (
            "gateway",
            "nacre_gateway_refused_connections_total",
            &[("reason", "hello-malformed")],
            1.0,
        ),
        (
            "control-plane",
            "nacre_control_plane_requests_total",
            &[
                ("method", "GET"),
                ("route", "/v1/functions/{name}"),
                ("status", "401"),
            ],
            1.0,
        ),
        (
            "control-plane",
            "nacre_control_plane_requests_total",
            &[("method", "other"), ("status", "405")],
            1.0,
        ),
        (
            "control-plane",
            "nacre_control_plane_requests_total",
            &[("route", "none"), ("status", "404")],
            1.0,
        ),
        (
            "control-plane",
            "nacre_control_plane_refusals_total",
            &[("code", "unauthenticated")],
            1.0,
        ),
        ("node", "nacre_host_proxy_connections_total", &[], 1.0),
        (
            "node",
            "nacre_host_proxy_carried_bytes_total",
            &[("direction", "in")],
            100.0,
        ),
        (
            "node",
            "nacre_host_proxy_carried_bytes_total",
            &[("direction", "out")],
            100.0,
        ),
        (
            "node",
            "nacre_node_reports_total",
            &[("outcome", "taken")],
            1.0,
        ),
        ("node", "nacre_enclave_connections_total", &[], 1.0),
        ("node", "nacre_enclave_attestations_total", &[], 1.0),
        ("node", "nacre_enclave_requests_total", &[], 3.0),
        ("node", "nacre_enclave_receipts_total", &[], 3.0),
        (
            "node",
            "nacre_enclave_function_compute_seconds_count",
            &[("function", "iris-network")],
            3.0,
        ),
        ("watcher", "nacre_watcher_slots_total", &[], 1.0),
    ] {
        let of = |all: &BTreeMap<&str, Exposition>| sum(&all[process], name, labels);
        let (was, is) = (of(before), of(after));
        ensure!(is >= was + least, "{name} {labels:?}: {was}, then {is}");
    }
    for (process, name, labels, value) in [
        (
            "control-plane",
            "nacre_control_plane_nodes",
            &[("state", "online")][..],
            1.0,
        ),
        (
            "control-plane",
            "nacre_control_plane_leases",
            &[("state", "ready")],
            1.0,
        ),
        (
            "control-plane",
            "nacre_control_plane_market_events_total",
            &[("event", "granted")],
            1.0,
        ),
        ("node", "nacre_node_enclave_up", &[], 1.0),
        ("node", "nacre_node_registered", &[], 1.0),
        ("node", "nacre_node_functions", &[("state", "ready")], 1.0),
        ("node", "nacre_node_enclave_launches_total", &[], 1.0),
        ("gateway", "nacre_gateway_functions", &[], 1.0),
        ("gateway", "nacre_gateway_nodes", &[("rotation", "in")], 1.0),
        ("watcher", "nacre_watcher_nodes", &[], 1.0),
        (
            "emulator",
            "nacre_emulator_nsm_requests_total",
            &[("operation", "LockPCR")],
            1.0,
        ),
    ] {
        let is = sum(&after[process], name, labels);
        ensure!(is == value, "{name} {labels:?}: {is}, not {value}");
    }
    let asked = sum(
        &after["emulator"],
        "nacre_emulator_nsm_requests_total",
        &[("operation", "Attestation")],
    );
    ensure!(asked >= 1.0, "the verifier attested at the emulator");
    Ok(())
}

/// What is measured carries nothing that could send: no exporter, no client of a collector.
#[test]
fn an_enclaves_programs_hold_no_opentelemetry() {
    for program in ["nacre-enclave", "nacre-verifier"] {
        let tree = std::process::Command::new(env!("CARGO"))
            .args([
                "tree",
                "--offline",
                "--locked",
                "--prefix",
                "none",
                "-e",
                "normal,build",
            ])
            .args(["-p", program])
            .current_dir(nacre_tests::platform::repository())
            .output()
            .unwrap();
        assert!(tree.status.success(), "{tree:?}");
        let tree = String::from_utf8(tree.stdout).unwrap();
        assert!(tree.contains("tracing-subscriber "), "{program} logs");
        for other in ["opentelemetry", "prost", "reqwest"] {
            assert!(!tree.contains(other), "{program} holds {other}");
        }
    }
}

/// Units are base units, and a counter says that it is one.
#[test]
fn names_are_as_prometheus_has_them() {
    for (name, row) in documented::rows().unwrap() {
        assert_eq!(row.kind == "counter", name.ends_with("_total"), "{name}");
        assert_eq!(row.kind == "info", name.ends_with("_info"), "{name}");
        assert!(
            name.starts_with("nacre_") || name.starts_with("process_"),
            "{name}"
        );
        for unit in ["_ms", "_millis", "_micros", "_kb", "_mb", "_percent"] {
            assert!(!name.contains(unit), "{name}");
        }
        if row.kind == "histogram" {
            assert!(name.ends_with("_seconds"), "{name}");
        }
    }
}
