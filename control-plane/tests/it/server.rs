use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser as _;
use nacre_control_plane::cli::{self, ControlPlaneArgs};
use nacre_control_plane::{ControlPlane, StartError};
use nacre_emulator::testing::DevNsm;
use nacre_protocol::api::DesiredState;

use crate::support::{IMAGE, START_MS, Server, TestNode, config};

#[tokio::test]
async fn without_tls_only_loopback_is_listened_on() {
    let data = tempfile::tempdir().unwrap();
    let nsm = DevNsm::new(IMAGE, START_MS);
    let mut config = config(data.path(), nsm.root_der());
    config.listen = "0.0.0.0:0".parse().unwrap();
    let refused = ControlPlane::bind(config.clone()).await.unwrap_err();
    assert!(matches!(refused, StartError::Plaintext(_)));
    assert!(refused.to_string().contains("--behind-tls-proxy"));
    config.behind_tls_proxy = true;
    ControlPlane::bind(config).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn one_control_plane_uses_a_folder_at_a_time_and_several_a_server() {
    let mut server = Server::start().await;
    let second = server.another().await;
    if server.is_shared() {
        second.unwrap().shutdown().await;
    } else {
        assert!(matches!(second, Err(StartError::InUse(_))));
    }
    server.stop().await;
    server.resume().await;
}

#[tokio::test]
async fn stopping_ends_long_polls_at_once() {
    let mut server = Server::start().await;
    let mut node = TestNode::new(1, 1, 1);
    server.register(&mut node).await;
    let revision = server.desired(&node, "").await.revision;
    let path = format!(
        "/v1/nodes/{}/desired?after={revision}&wait_ms=60000",
        node.id
    );
    let request = server
        .anonymous(reqwest::Method::GET, &path)
        .bearer_auth(&node.token);
    let poll = tokio::spawn(request.send());
    // The poll's connection is accepted once a later one is answered.
    server.desired(&node, "").await;
    let began = Instant::now();
    server.stop().await;
    assert!(began.elapsed() < Duration::from_secs(4));
    if let Ok(response) = poll.await.unwrap() {
        assert_eq!(
            response.json::<DesiredState>().await.unwrap().revision,
            revision
        );
    }
}

#[derive(clap::Parser)]
struct Program {
    #[command(flatten)]
    args: ControlPlaneArgs,
}

#[test]
fn arguments_are_all_needed_to_serve() {
    let parse = |line: &str| Program::try_parse_from(line.split(' '));
    assert!(parse("x --data d --node-policy p").is_ok());
    assert!(
        parse("x --data d --node-policy p --root aws --listen [::1]:0 --exit-on-stdin-eof").is_ok()
    );
    assert!(parse("x --database postgres://h/n --objects s3://bucket/p --node-policy p").is_ok());
    for line in [
        "x",
        "x --data d",
        "x --node-policy p",
        "x --data d --node-policy p --listen nowhere",
        "x --data d --node-policy p --objects ftp://x",
        "x --data d --node-policy p --objects s3://B",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[tokio::test]
async fn a_policy_that_is_not_there_is_named() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().display();
    let line = format!("x --data {folder} --node-policy {folder}/none");
    let program = Program::try_parse_from(line.split(' ')).unwrap();
    let missing = cli::run(program.args).await;
    assert!(missing.unwrap_err().to_string().contains("none"));
}

const SERVED_DATA: &str = "NACRE_TEST_SERVED_DATA";

/// Not a test: the process that `the_program_announces_itself_and_ends_when_told` starts.
#[tokio::test]
#[ignore = "started by another test"]
async fn serve_by_arguments() {
    let Some(data) = std::env::var_os(SERVED_DATA) else {
        return;
    };
    let mut line = OsString::from("x --listen 127.0.0.1:0 --exit-on-stdin-eof --root ");
    for (before, file) in [
        ("", "root"),
        (" --node-policy ", "policy"),
        (" --data ", "data"),
    ] {
        line.push(before);
        line.push(Path::new(&data).join(file));
    }
    let program = Program::try_parse_from(line.to_str().unwrap().split(' ')).unwrap();
    cli::run(program.args).await.unwrap();
}

#[test]
fn the_program_announces_itself_and_ends_when_told() {
    let data = tempfile::tempdir().unwrap();
    let nsm = DevNsm::new(IMAGE, START_MS);
    std::fs::write(data.path().join("root"), nsm.root_der()).unwrap();
    let [pcr0, pcr1, pcr2] = IMAGE.map(hex::encode);
    let policy =
        serde_json::json!({ "measurements": [{ "pcr0": pcr0, "pcr1": pcr1, "pcr2": pcr2 }] });
    std::fs::write(data.path().join("policy"), policy.to_string()).unwrap();
    let run = |stop: &dyn Fn(&mut Child)| {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "server::serve_by_arguments",
                "--nocapture",
            ])
            .env(SERVED_DATA, data.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let announced = lines.find(|line| line.contains("listening on ")).unwrap();
        assert!(
            announced.contains("listening on http://127.0.0.1:"),
            "{announced}"
        );
        stop(&mut child);
        assert!(!lines.any(|line| line.contains("listening")));
        assert!(child.wait().unwrap().success());
    };
    run(&|child| drop(child.stdin.take()));
    for signal in ["-TERM", "-INT"] {
        // The child's standard input stays open meanwhile.
        run(&|child| {
            let sent = Command::new("kill")
                .args([signal, &child.id().to_string()])
                .status();
            assert!(sent.unwrap().success());
        });
    }
}
