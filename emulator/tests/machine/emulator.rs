//! An emulator process with `../machine_guest` in its machine.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nacre_image::cpio::{Content, Tree};
use nacre_image::eif::{Architecture, Image, Source, write_file};
use nacre_image::measure::Measurements;
use tempfile::TempDir;

/// How long anything may take on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A running emulator whose guest has said that it runs.
pub(crate) struct Emulator {
    pub(crate) folder: TempDir,
    pub(crate) child: Child,
    pub(crate) measurements: Measurements,
}

impl Emulator {
    /// Boots. `None`, with a word about it, where kernel and QEMU are not there.
    pub(crate) fn boot(more: &[&str]) -> Option<Self> {
        let (Some(kernel), Some(qemu)) = (
            std::env::var_os("NACRE_TEST_KERNEL"),
            std::env::var_os("NACRE_TEST_QEMU"),
        ) else {
            let required = std::env::var_os("NACRE_REQUIRE_EIF").is_some();
            assert!(
                !required,
                "NACRE_TEST_KERNEL and NACRE_TEST_QEMU are not set"
            );
            eprintln!(
                "left out: NACRE_TEST_KERNEL and NACRE_TEST_QEMU do not say where kernel and QEMU are"
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let measurements = image(Path::new(&kernel), folder.path());
        std::fs::write(path("faults.toml"), "").unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_nacre-emulator"))
            .arg("--eif")
            .arg(path("image.eif"))
            .arg("--vsock")
            .arg(path("v"))
            .arg("--pki-dir")
            .arg(path("pki"))
            .arg("--control")
            .arg(path("control"))
            .arg("--faults")
            .arg(path("faults.toml"))
            .arg("--qemu")
            .arg(qemu)
            .args(["--memory", "256MiB", "--boot-within", "90s"])
            .args(more)
            .env("XDG_RUNTIME_DIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let emulator = Self {
            folder,
            child,
            measurements,
        };
        assert_eq!(line, "ready\n");
        Some(emulator)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A conversation with the guest.
    pub(crate) fn guest(&self) -> Guest {
        let mut stream = UnixStream::connect(self.path("v")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"CONNECT 1\n").unwrap();
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        assert!(line.starts_with(b"OK "), "{}", line.escape_ascii());
        Guest(stream)
    }

    /// `nacre emulate fault`.
    pub(crate) fn fault(&self, words: &[&str]) {
        let done = Command::new(env!("CARGO_BIN_EXE_nacre-emulator"))
            .args(["fault", "--control"])
            .arg(self.path("control"))
            .args(words)
            .status()
            .unwrap();
        assert!(done.success(), "{words:?}");
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::yield_now();
        }
    }

    /// QEMU's process id: the emulator's only child.
    pub(crate) fn qemu(&self) -> u32 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let mut children = tasks.flat_map(|task| {
            let children = std::fs::read_to_string(task.unwrap().path().join("children"));
            let children = children.unwrap_or_default();
            let pids: Vec<u32> = children
                .split_whitespace()
                .map(|pid| pid.parse().unwrap())
                .collect();
            pids
        });
        children.next().unwrap()
    }

    /// What is left in the folder of what the emulator may make and shall remove.
    pub(crate) fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with('v') || name == "control" || name.starts_with("nacre-"))
            .collect()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A conversation with the guest.
pub(crate) struct Guest(UnixStream);

impl Guest {
    pub(crate) fn say(&mut self, question: &[u8]) {
        let length = u16::try_from(question.len()).unwrap();
        self.0.write_all(&length.to_be_bytes()).unwrap();
        self.0.write_all(question).unwrap();
    }

    /// The answer, or the number of the guest's error.
    pub(crate) fn answer(&mut self) -> Result<Vec<u8>, u16> {
        let mut head = [0; 3];
        self.0.read_exact(&mut head).unwrap();
        let number = u16::from_be_bytes([head[1], head[2]]);
        if head[0] != 0 {
            return Err(number);
        }
        let mut bytes = vec![0; number.into()];
        self.0.read_exact(&mut bytes).unwrap();
        Ok(bytes)
    }

    pub(crate) fn ask(&mut self, question: &[u8]) -> Result<Vec<u8>, u16> {
        self.say(question);
        self.answer()
    }

    /// Nothing comes for as long.
    pub(crate) fn is_silent(&mut self, time: Duration) -> bool {
        self.0.set_read_timeout(Some(time)).unwrap();
        let read = self.0.read(&mut [0]);
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

/// Compiles the guest's program and makes an image of it.
fn image(kernel: &Path, folder: &Path) -> Measurements {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machine_guest/guest.rs");
    let program = folder.join("guest");
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let compiled = Command::new(compiler)
        .args(["--edition", "2024", "-O"])
        .args(["-C", "target-feature=+crt-static", "-C", "strip=symbols"])
        .arg("-o")
        .arg(&program)
        .arg(source)
        .status()
        .unwrap();
    assert!(compiled.success());
    let mut boot = Tree::new();
    boot.folder("/dev", 0o755).unwrap();
    boot.folder("/sys", 0o755).unwrap();
    boot.character_device("/dev/console", 0o600, 5, 1).unwrap();
    boot.file("/init", 0o755, Content::File(program)).unwrap();
    let mut application = Tree::new();
    application.folder("/opt", 0o755).unwrap();
    let ramdisks = [boot, application].map(|tree| {
        let mut bytes = Vec::new();
        tree.write(&mut bytes).unwrap();
        bytes
    });
    let image = Image {
        architecture: Architecture::X86_64,
        default_memory: 1 << 30,
        default_cpus: 2,
        kernel: Source::file(kernel).unwrap(),
        command_line: "reboot=k panic=30 pci=off nomodules console=ttyS0 rootfstype=ramfs"
            .to_owned(),
        metadata: None,
        ramdisks: ramdisks.iter().map(|bytes| Source::bytes(bytes)).collect(),
        signer: None,
    };
    write_file(image, &folder.join("image.eif")).unwrap()
}
