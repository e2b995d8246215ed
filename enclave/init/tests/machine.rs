//! Init in a machine of its own, under a real kernel and with a secure module: what it starts, and what it refuses.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Parser;
use nacre_emulator::emulate::{self, EmulateArgs};
use nacre_image::cpio::{self, Content};
use nacre_image::eif::{Architecture, Image, Source, write};
use nacre_protocol::vsock::EXIT_STATUS_PORT;
use support::Tree;

const INIT: &str = env!("CARGO_BIN_EXE_nacre-init");
const COMMAND_LINE: &str = "reboot=k panic=30 pci=off nomodules console=ttyS0 i8042.noaux i8042.nomux i8042.nopnp \
    i8042.dumbkbd rootfstype=ramfs";

/// What the program is to find, and nothing besides.
const ENVIRONMENT: &[u8] = b"ONLY=this one\0";
const SCRIPT: &str = "cat /proc/$$/environ | cmp - /environment && cat /proc/$$/cmdline | cmp - /arguments && exit 42";

/// Kernel and QEMU, where they are; a word about it where not.
fn equipment() -> Option<(PathBuf, PathBuf)> {
    let path = |name| std::env::var_os(name).map(PathBuf::from);
    let both = path("NACRE_TEST_KERNEL").zip(path("NACRE_TEST_QEMU"));
    if both.is_none() {
        let required = std::env::var_os("NACRE_REQUIRE_EIF").is_some();
        assert!(
            !required,
            "NACRE_TEST_KERNEL and NACRE_TEST_QEMU are not set"
        );
        eprintln!(
            "left out: NACRE_TEST_KERNEL and NACRE_TEST_QEMU do not say where kernel and QEMU are"
        );
    }
    both
}

/// Init, a shell that looks around, and the libraries that they are linked with.
fn tree() -> Tree {
    let tree = Tree::new();
    for (folder, mode) in [
        ("dev", 0o755),
        ("proc", 0o755),
        ("sys", 0o755),
        ("tmp", 0o1777),
        ("run", 0o755),
    ] {
        tree.folder(folder, mode);
    }
    tree.folder("usr", 0o755);
    tree.folder("usr/bin", 0o755);
    tree.program(Path::new(INIT), "init");
    for tool in ["sh", "cat", "cmp"] {
        let path = fs::canonicalize(Path::new("/usr/bin").join(tool)).unwrap();
        tree.program(&path, &format!("usr/bin/{tool}"));
    }
    let boot = format!(
        "program /usr/bin/sh\nargument -c\nargument {SCRIPT}\nenvironment ONLY=this one\nheartbeat yes\n"
    );
    tree.file("etc/nacre/boot", boot.as_bytes(), 0o644);
    tree.file("environment", ENVIRONMENT, 0o644);
    let arguments = format!("/usr/bin/sh\0-c\0{SCRIPT}\0");
    tree.file("arguments", arguments.as_bytes(), 0o644);
    tree.write_manifest();
    tree
}

/// Writes an image of the tree.
fn image(tree: &Tree, kernel: &Path, command_line: String, file: &Path) {
    let mut ramdisk = cpio::Tree::new();
    tree.each(|path, entry| match entry {
        support::Entry::Folder(mode) => ramdisk.folder(path, mode).unwrap(),
        support::Entry::Link(target) => ramdisk.link(path, &target).unwrap(),
        support::Entry::File(mode, bytes) => {
            ramdisk.file(path, mode, Content::Bytes(bytes)).unwrap();
        }
    });
    ramdisk
        .character_device("/dev/console", 0o600, 5, 1)
        .unwrap();
    let archive = file.with_extension("cpio");
    ramdisk.write(&mut File::create(&archive).unwrap()).unwrap();
    let image = Image {
        architecture: Architecture::X86_64,
        default_memory: 1 << 30,
        default_cpus: 2,
        kernel: Source::file(kernel).unwrap(),
        command_line,
        metadata: None,
        ramdisks: vec![Source::file(&archive).unwrap()],
        signer: None,
    };
    write(image, &mut File::create(file).unwrap()).unwrap();
}

#[derive(Parser)]
struct Emulate {
    #[command(flatten)]
    arguments: EmulateArgs,
}

/// An image and the sockets of its machine, in a folder of their own.
struct Setting {
    folder: tempfile::TempDir,
}

impl Setting {
    fn new(tree: &Tree, kernel: &Path, more_words: &str, faults: &str) -> Self {
        let setting = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let command_line = format!("{COMMAND_LINE}{more_words}");
        image(tree, kernel, command_line, &setting.path("eif"));
        fs::write(setting.path("faults"), faults).unwrap();
        setting
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A port of the parent.
    fn listener(&self, port: u32) -> UnixListener {
        UnixListener::bind(self.path(&format!("vsock_{port}"))).unwrap()
    }

    /// Runs the machine to its end.
    fn run(&self, qemu: &Path) {
        let options = ["eif", "vsock", "pki-dir", "faults"];
        let options = options.map(|name| format!("--{name}={}", self.path(name).display()));
        let words = ["emulate", "--console", "--memory=256MiB"].map(str::to_owned);
        let qemu = format!("--qemu={}", qemu.display());
        let words = words.into_iter().chain(options).chain([qemu]);
        let emulate = Emulate::try_parse_from(words).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        // Where init refuses, the emulator says that the machine ended before its heartbeat.
        let _ = runtime.block_on(emulate::run(emulate.arguments));
    }
}

/// Boots the tree, and returns what init told the parent last, once the machine has ended.
fn boot(tree: &Tree, more_words: &str, faults: &str) -> Option<String> {
    let (kernel, qemu) = equipment()?;
    let machine = Setting::new(tree, &kernel, more_words, faults);
    let listener = machine.listener(EXIT_STATUS_PORT);
    let told = std::thread::spawn(move || {
        let mut line = String::new();
        let mut connection = listener.accept().unwrap().0;
        connection.read_to_string(&mut line).unwrap();
        line
    });
    machine.run(&qemu);
    // Whatever it said is here; a machine that said nothing is no reason to wait.
    drop(UnixStream::connect(
        machine.path(&format!("vsock_{EXIT_STATUS_PORT}")),
    ));
    Some(told.join().unwrap())
}

#[test]
fn unknown_words_of_the_kernels_command_line_reach_no_program() {
    let words = " nacre.evil=1 EVIL=1 ONLY=evil --evil evil";
    let Some(told) = boot(&tree(), words, "") else {
        return;
    };
    assert_eq!(told, "exited 42\n");
}

#[test]
fn a_root_that_is_not_the_manifests_ends_the_machine() {
    let spoilt = tree();
    spoilt.file("usr/bin/evil", b"", 0o755);
    let Some(told) = boot(&spoilt, "", "") else {
        return;
    };
    let refused = "refused rootfs-differs: /usr/bin/evil is not in the manifest\n";
    assert_eq!(told, refused);
}

#[test]
fn a_module_without_randomness_starts_nothing() {
    for (fault, refused) in [
        (
            "entropy-constant",
            "refused nsm-random-constant: one byte comes too often\n",
        ),
        (
            "entropy-failure",
            "refused nsm-random-malformed: not an answer to GetRandom\n",
        ),
    ] {
        let faults = format!("[[fault]]\nkind = \"{fault}\"\n");
        let Some(told) = boot(&tree(), "", &faults) else {
            return;
        };
        assert_eq!(told, refused);
    }
}

#[test]
fn a_parent_that_holds_the_line_cannot_keep_the_machine() {
    let Some((kernel, qemu)) = equipment() else {
        return;
    };
    let machine = Setting::new(&tree(), &kernel, "", "");
    let listener = machine.listener(EXIT_STATUS_PORT);
    let held = std::thread::spawn(move || {
        let connection = listener.accept().unwrap().0;
        let mut line = [0; 10];
        (&connection).read_exact(&mut line).unwrap();
        (connection, line)
    });
    let began = Instant::now();
    machine.run(&qemu);
    assert!(began.elapsed() < Duration::from_secs(60));
    // The connection was open until now.
    assert_eq!(&held.join().unwrap().1, b"exited 42\n");
}

/// Without the tools that the guest's shell uses the tests above would prove nothing.
#[test]
fn the_shell_tells_a_difference() {
    let same = |left: &str, right: &str| {
        let script = format!("echo {left} | cmp - {right}");
        Command::new("/usr/bin/sh")
            .args(["-c", &script])
            .output()
            .unwrap()
            .status
            .success()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "one\n").unwrap();
    assert!(same("one", file.to_str().unwrap()));
    assert!(!same("two", file.to_str().unwrap()));
}
