//! `nacre proxy` as its user starts it: what it promises about trust, whatever the client behind it is.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use nacre_protocol::control::Counters;
use nacre_tests::examples::Example;
use nacre_tests::http::{Answer, ask_plain, ask_socket};
use nacre_tests::platform::{Platform, Service, wait_for};
use rustix::process::Signal;

/// How long a test waits for what must happen.
const DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn answers_come_proven_and_nothing_goes_to_an_enclave_that_is_not_trusted() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let example = Example::load("iris-network")?;
    let digest = platform.deploy_example(&example.name)?;

    let trusting = start(&platform, &[])?;
    assert_eq!(trusting.ready()["root"], "DEVELOPMENT ROOT");
    let answer = infer(&trusting, &example, &[("host", "localhost")])?;
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    example.check_body(&answer.body)?;
    assert_eq!(
        answer.header("nacre-verdict"),
        "trusted; root=DEVELOPMENT ROOT"
    );
    assert!(!answer.header("nacre-receipt").is_empty());

    let other = "8".repeat(96);
    let other_pcrs = ["--pcr0", &other, "--pcr1", &other, "--pcr2", &other];
    let other_digest = format!("sha256:{}", "9".repeat(64));
    let cases: [(&[&str], u16, &str, i64); 3] = [
        (&other_pcrs, 502, "measurement-mismatch", 14),
        (&["--root", "aws"], 502, "untrusted-root", 11),
        (
            &["iris-network", "--digest", &other_digest],
            409,
            "function-mismatch",
            0,
        ),
    ];
    for (arguments, status, code, result) in cases {
        let proxy = start(&platform, arguments)?;
        let before = counters(&platform)?;
        let answer = infer(&proxy, &example, &[("host", "localhost")])?;
        let body = answer.json()?;
        let got = (
            answer.status,
            answer.code(),
            body["result_code"].as_i64().unwrap_or(0),
        );
        assert_eq!(
            got,
            (status, code.to_owned(), result),
            "{arguments:?}: {body}"
        );
        let after = counters(&platform)?;
        assert_eq!(after.request_bytes, before.request_bytes, "{arguments:?}");
        assert_eq!(after.receipts, before.receipts, "{arguments:?}");
        if result != 0 {
            assert_eq!(after.requests, before.requests, "{arguments:?}");
        }
    }
    ensure!(platform.deploy_example(&example.name)? == digest);
    Ok(())
}

#[test]
fn pages_in_a_browser_reach_nothing_through_it() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let example = Example::load("iris-network")?;
    platform.deploy_example(&example.name)?;
    let proxy = start(&platform, &["--allow-host", "models.internal"])?;
    let before = counters(&platform)?;
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[("host", "rebound.example.org")], "host-not-allowed"),
        (&[], "host-not-allowed"),
        (
            &[("host", "localhost"), ("origin", "https://example.org")],
            "origin-not-allowed",
        ),
        (
            &[("host", "localhost"), ("origin", "null")],
            "origin-not-allowed",
        ),
        (
            &[("host", "localhost"), ("sec-fetch-site", "cross-site")],
            "origin-not-allowed",
        ),
    ];
    for (headers, code) in cases {
        let answer = infer(&proxy, &example, headers)?;
        assert!(
            (400..500).contains(&answer.status),
            "{headers:?}: {}",
            answer.status
        );
        assert_eq!(answer.code(), code, "{headers:?}");
    }
    assert_eq!(counters(&platform)?.requests, before.requests);
    let allowed = infer(&proxy, &example, &[("host", "models.internal")])?;
    example.check_body(&allowed.body)
}

#[test]
fn it_listens_on_loopback_or_on_a_socket_of_its_user_and_nowhere_else() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let example = Example::load("iris-network")?;
    platform.deploy_example(&example.name)?;

    let socket = platform.home().join("p.sock");
    let listen = format!("unix:{}", socket.display());
    let proxy = platform.nacre([
        "--json",
        "proxy",
        "--exit-on-stdin-eof",
        "--listen",
        &listen,
    ]);
    let proxy = Service::start(proxy)?;
    assert_eq!(
        std::fs::metadata(&socket)?.permissions().mode() & 0o777,
        0o600
    );
    let answer = ask_socket(&socket, "POST", &example.path(), &example.request)?;
    example.check_body(&answer.body)?;
    proxy.stop()?;
    assert!(!socket.exists(), "the socket is left behind");

    for listen in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0", "localhost", "8080"] {
        let refused = platform.refusal(&["proxy", "--listen", listen])?;
        assert!(
            refused.exit == 2 || refused.exit == 1,
            "{listen}: {refused:?}"
        );
    }
    assert_eq!(
        platform.refusal(&["proxy", "never-deployed"])?.is(),
        (2, "usage")
    );
    Ok(())
}

#[test]
fn the_policy_is_read_again_at_sighup_and_a_bad_one_changes_nothing() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let example = Example::load("iris-network")?;
    platform.deploy_example(&example.name)?;
    let policy = platform.home().join("policy.json");
    let other = "8".repeat(96);
    let other =
        format!(r#"{{"measurements":[{{"pcr0":"{other}","pcr1":"{other}","pcr2":"{other}"}}]}}"#);
    let own = std::fs::read_to_string(platform.ready("policy"))?;
    std::fs::write(&policy, &other)?;
    let log = platform.home().join("proxy.log");
    let mut command = proxy_command(&platform, &["--policy", &policy.display().to_string()]);
    command.stderr(std::fs::File::create(&log)?);
    let proxy = Service::start(command)?;
    let status = || anyhow::Ok(infer(&proxy, &example, &[("host", "localhost")])?.status);
    ensure!(status()? == 502, "another image is not trusted");

    let becomes = |text: &str, wanted: u16| {
        std::fs::write(&policy, text)?;
        proxy.signal(Signal::HUP)?;
        wait_for("the new policy holds", DEADLINE, || {
            (status().ok()? == wanted).then_some(())
        })
    };
    becomes(&own, 200)?;
    becomes(&other, 502)?;
    becomes(&own, 200)?;
    // Half a policy, and a policy that names nothing.
    for (bad, complaints) in [(&own[..own.len() / 2], 1), (r#"{"measurements":[]}"#, 2)] {
        std::fs::write(&policy, bad)?;
        proxy.signal(Signal::HUP)?;
        wait_for("the proxy complains", DEADLINE, || {
            let said = std::fs::read_to_string(&log).ok()?;
            (said.matches("could not be read again").count() == complaints).then_some(())
        })?;
        ensure!(status()? == 200, "the policy before stays");
    }
    Ok(())
}

fn start(platform: &Platform, arguments: &[&str]) -> anyhow::Result<Service> {
    Service::start(proxy_command(platform, arguments))
}

fn proxy_command(platform: &Platform, arguments: &[&str]) -> Command {
    let fixed = [
        "--json",
        "proxy",
        "--listen",
        "127.0.0.1:0",
        "--exit-on-stdin-eof",
    ];
    platform.nacre(fixed.iter().chain(arguments))
}

fn infer(proxy: &Service, example: &Example, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
    let address = proxy.ready()["listening"].as_str().unwrap();
    let headers = [headers, &[("content-type", "application/json")]].concat();
    ask_plain(address, "POST", &example.path(), &headers, &example.request)
}

fn counters(platform: &Platform) -> anyhow::Result<Counters> {
    Ok(platform.enclave_status()?.counters)
}
