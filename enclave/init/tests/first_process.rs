//! Init as the first process of a PID namespace, with a root of its own and no secure module: it refuses, says why, and
//! ends what it is the first process of. What it does with a module is tested in a machine of its own.
//!
//! Needs root and namespaces.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::{Tree, is_root};

const INIT: &str = env!("CARGO_BIN_EXE_nacre-init");

/// `unshare` in new namespaces, its first process being the command.
fn apart() -> Command {
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--pid",
        "--net",
        "--ipc",
        "--fork",
        "--kill-child",
    ]);
    command
}

fn can_be_tested() -> bool {
    let privileged = is_root() && apart().arg("true").status().is_ok_and(|it| it.success());
    if !privileged {
        eprintln!("left out: not root, or no namespaces here");
    }
    privileged && !Path::new("/dev/nsm").exists()
}

/// A root with init, and the libraries that this build of it is linked with.
fn tree(boot: &str) -> Tree {
    let tree = Tree::new();
    for folder in ["dev", "proc", "sys", "tmp", "run"] {
        tree.folder(folder, 0o755);
    }
    tree.program(Path::new(INIT), "init");
    tree.file("etc/nacre/boot", boot.as_bytes(), 0o644);
    tree.write_manifest();
    tree
}

/// Boots it, with arguments and an environment such as a kernel passes on.
fn boot(tree: &Tree) -> Output {
    // The root has to be a mount, and nothing of it may reach the machine's.
    let script = "mount --bind \"$1\" \"$1\" && exec chroot \"$1\" /init --evil";
    apart()
        .args(["sh", "-c", script, "sh"])
        .arg(tree.root())
        .env("EVIL", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

const BOOT: &str = "program /bin/true\n";

#[test]
fn without_a_secure_module_nothing_is_started() {
    if !can_be_tested() {
        return;
    }
    let began = Instant::now();
    let output = boot(&tree(BOOT));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("init: refused nsm-unavailable: /dev/nsm: "),
        "{said}"
    );
    // Nobody here takes the last word, and init does not wait for ever; then it restarts its world.
    assert!(said.contains("init: the parent was not told: "), "{said}");
    assert!(began.elapsed() < Duration::from_secs(30));
    const SIGHUP: i32 = 1;
    assert_eq!(output.status.signal(), Some(SIGHUP), "{:?}", output.status);
}

#[test]
fn a_root_that_is_not_the_manifests_is_refused_before_anything_is_mounted() {
    if !can_be_tested() {
        return;
    }
    let spoilt = tree(BOOT);
    spoilt.file("etc/nacre/boot", b"program /bin/false\n", 0o644);
    let said = boot(&spoilt).stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(
        said.contains("refused rootfs-differs: /etc/nacre/boot "),
        "{said}"
    );
}

#[test]
fn a_boot_file_with_an_unknown_word_is_refused() {
    if !can_be_tested() {
        return;
    }
    let said = boot(&tree("program /bin/true\nshell /bin/sh\n")).stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("refused boot-file-malformed: "), "{said}");
}

#[test]
fn elsewhere_than_first_it_touches_nothing() {
    let output = Command::new(INIT).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not-init: "));
}
