//! The command line's promises: exit statuses, errors in JSON, digests that depend on what runs and on nothing else.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use nacre_tests::examples::{EXAMPLES, Example};
use nacre_tests::platform::{Platform, Refusal, describe, nacre, with_input};
use serde_json::{Value, json};

#[test]
fn who_is_not_logged_in_is_told_so() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let dir = Example::load("iris-network")?.dir();
    let dir = dir.to_str().unwrap();
    let commands: [&[&str]; 8] = [
        &["deploy", dir],
        &["functions"],
        &["nodes"],
        &["delete", "iris-network"],
        &["logs", "iris-network"],
        &["invoke", "iris-network", "--input", "{}"],
        &["proxy"],
        &["--profile", "nobody", "functions"],
    ];
    for arguments in commands {
        let refused = refusal(home.path(), arguments)?;
        assert_eq!(refused.is(), (2, "usage"), "{arguments:?}");
        assert!(refused.message.contains("nacre login"), "{refused:?}");
    }
    assert!(
        std::fs::read_dir(home.path())?.next().is_none(),
        "nothing was written"
    );
    Ok(())
}

#[test]
fn an_api_key_is_checked_before_it_is_kept_and_never_travels_in_the_clear() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let login = |url: &str, key: &[u8]| -> anyhow::Result<Refusal> {
        let mut command = nacre(home.path());
        command.args(["--json", "login", url]);
        Refusal::read(&with_input(command, key)?)
    };
    for url in [
        "http://192.0.2.1",
        "http://api.example.org",
        "http://127.0.0.1.example.org",
    ] {
        let refused = login(url, b"secret")?;
        assert_eq!(refused.is(), (2, "usage"), "{url}");
        assert!(refused.message.contains("https"), "{refused:?}");
    }
    for url in ["ftp://127.0.0.1", "127.0.0.1:7600", ""] {
        assert_eq!(login(url, b"secret")?.is(), (2, "usage"), "{url}");
    }
    let nobody = format!("http://{}", free_address()?);
    assert_eq!(
        login(&nobody, b"secret")?.is(),
        (3, "control-plane-unreachable")
    );
    assert_eq!(login(&nobody, b"")?.is(), (2, "usage"));
    assert_eq!(login(&nobody, b"two words")?.is(), (2, "usage"));

    let platform = Platform::start()?;
    let url = platform.ready("control_plane");
    assert_eq!(login(url, b"secret")?.is(), (4, "unauthenticated"));
    assert!(!home.path().join("profiles").exists(), "nothing was kept");

    let key = kept_profile(&platform)?["key"].as_str().unwrap().to_owned();
    let mut command = nacre(home.path());
    command.args(["--json", "login", url]);
    let output = with_input(command, key.as_bytes())?;
    ensure!(output.status.success(), "{}", describe(&output));
    let printed = describe(&output);
    assert!(!printed.contains(&key), "the key is printed: {printed}");
    let functions = nacre(home.path()).args(["--json", "functions"]).output()?;
    ensure!(functions.status.success(), "{}", describe(&functions));
    Ok(())
}

#[test]
fn an_unreachable_or_unwilling_control_plane_has_its_own_exit_status() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let profile = json!({ "url": format!("http://{}", free_address()?), "key": "secret" });
    let dir = home.path().join("profiles/default");
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join("profile.json"), profile.to_string())?;
    let deploy = Example::load("iris-network")?.dir();
    let deploy = deploy.to_str().unwrap();
    for arguments in [
        &["functions"][..],
        &["nodes"],
        &["deploy", deploy],
        &["delete", "iris-network"],
    ] {
        let refused = refusal(home.path(), arguments)?;
        assert_eq!(
            refused.is(),
            (3, "control-plane-unreachable"),
            "{arguments:?}"
        );
        assert!(refused.message.contains("http://127.0.0.1"), "{refused:?}");
    }

    let platform = Platform::start()?;
    let profile = json!({ "url": platform.ready("control_plane"), "key": "secret" });
    std::fs::write(dir.join("profile.json"), profile.to_string())?;
    for arguments in [
        &["functions"][..],
        &["nodes"],
        &["deploy", deploy],
        &["delete", "iris-network"],
    ] {
        assert_eq!(
            refusal(home.path(), arguments)?.is(),
            (4, "unauthenticated"),
            "{arguments:?}"
        );
    }
    Ok(())
}

#[test]
fn every_command_explains_itself() -> anyhow::Result<()> {
    let mut todo = vec![Vec::<String>::new()];
    let mut seen = 0;
    while let Some(words) = todo.pop() {
        let output = bare().args(&words).arg("--help").output()?;
        ensure!(output.status.success(), "{words:?}: {}", describe(&output));
        let help = String::from_utf8(output.stdout)?;
        assert!(
            help.contains("Usage: nacre") && output.stderr.is_empty(),
            "{words:?}: {help}"
        );
        seen += 1;
        for command in subcommands(&help).into_iter().filter(|name| name != "help") {
            todo.push([words.clone(), vec![command]].concat());
        }
    }
    ensure!(seen >= 17, "only {seen} commands were found");
    let version = bare().arg("--version").output()?;
    assert!(String::from_utf8(version.stdout)?.starts_with("nacre "));
    Ok(())
}

#[test]
fn wrong_words_are_refused_with_status_2_also_in_json() -> anyhow::Result<()> {
    let commands: [&[&str]; 6] = [
        &["no-such-command"],
        &["invoke"],
        &["invoke", "Not A Name"],
        &["functions", "--no-such-flag"],
        &["invoke", "iris", "--digest", "sha256:12"],
        &["attest", "verify", "document", "--pcr0", "00"],
    ];
    let home = tempfile::tempdir()?;
    for arguments in commands {
        assert_eq!(
            refusal(home.path(), arguments)?.is(),
            (2, "usage"),
            "{arguments:?}"
        );
        let output = bare().args(arguments).output()?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            output.stdout.is_empty() && output.stderr.starts_with(b"error"),
            "{arguments:?}"
        );
    }
    Ok(())
}

#[test]
fn a_manifest_that_is_not_understood_is_refused_by_the_name_of_the_field() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let toml = std::fs::read_to_string(Example::load("iris-network")?.dir().join("nacre.toml"))?;
    let cases = [
        (
            toml.replace("timeout =", "time_out ="),
            "manifest-invalid",
            "time_out",
        ),
        (
            toml.replace("[limits]", "[limit]"),
            "manifest-invalid",
            "limit",
        ),
        (
            toml.replace("64MiB", "64 potatoes"),
            "manifest-invalid",
            "memory",
        ),
        (
            toml.replace("\"onnx\"", "\"pickle\""),
            "manifest-invalid",
            "pickle",
        ),
        (
            toml.replace("model.onnx", "../model.onnx"),
            "manifest-invalid",
            "../model.onnx",
        ),
        (
            toml.replace("iris-network", "Iris Network"),
            "manifest-invalid",
            "name",
        ),
    ];
    for (changed, code, word) in cases {
        assert_ne!(changed, toml, "{word}");
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("nacre.toml"), changed)?;
        std::fs::write(dir.path().join("model.onnx"), "anything")?;
        let refused = refusal(home.path(), &["digest", dir.path().to_str().unwrap()])?;
        assert_eq!(refused.is(), (2, code), "{word}");
        assert!(
            refused.message.contains(word),
            "{word}: {}",
            refused.message
        );
    }
    let empty = tempfile::tempdir()?;
    let refused = refusal(home.path(), &["digest", empty.path().to_str().unwrap()])?;
    assert_eq!(refused.code, "file");
    assert!(
        refused.message.contains("nacre.toml"),
        "{}",
        refused.message
    );
    Ok(())
}

#[test]
fn a_digest_depends_on_what_runs_and_on_nothing_else() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let mut digests = BTreeSet::new();
    for name in EXAMPLES {
        let dir = Example::load(name)?.dir();
        let computed = digest(&dir)?;
        assert_eq!(computed, platform.deploy_example(name)?, "what deploy pins");
        assert!(digests.insert(computed.clone()));

        let copy = tempfile::tempdir()?;
        for file in ["nacre.toml", "model.onnx"] {
            std::fs::copy(dir.join(file), copy.path().join(file))?;
        }
        assert_eq!(
            digest(copy.path())?,
            computed,
            "without the files that nacre.toml does not name"
        );
        std::fs::write(copy.path().join("notes.txt"), "not part of the function")?;
        std::fs::create_dir(copy.path().join("folder"))?;
        assert_eq!(digest(copy.path())?, computed, "with others");

        let mut model = std::fs::read(copy.path().join("model.onnx"))?;
        *model.last_mut().unwrap() ^= 1;
        std::fs::write(copy.path().join("model.onnx"), model)?;
        assert!(
            digests.insert(digest(copy.path())?),
            "a bit of the model does not matter"
        );
    }
    Ok(())
}

fn digest(dir: &Path) -> anyhow::Result<String> {
    let output = bare().args(["--json", "digest"]).arg(dir).output()?;
    ensure!(output.status.success(), "{}", describe(&output));
    let computed: Value = serde_json::from_slice(&output.stdout)?;
    let text = bare().arg("digest").arg(dir).output()?;
    let digest = computed["digest"].as_str().unwrap();
    assert_eq!(String::from_utf8(text.stdout)?.trim_end(), digest);
    Ok(digest.to_owned())
}

/// `nacre` for what needs no home of its own.
fn bare() -> Command {
    nacre(Path::new("/nonexistent"))
}

fn refusal(home: &Path, arguments: &[&str]) -> anyhow::Result<Refusal> {
    let mut command = nacre(home);
    command.arg("--json").args(arguments);
    Refusal::of(command)
}

/// An address on which nobody listens.
fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.to_string())
}

fn kept_profile(platform: &Platform) -> anyhow::Result<Value> {
    let file = platform.home().join("profiles/dev/profile.json");
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

/// The names in the list of commands of a help text.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let list = lines.take_while(|line| !line.trim().is_empty());
    // Further lines of a description stand deeper.
    let names = list.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}
