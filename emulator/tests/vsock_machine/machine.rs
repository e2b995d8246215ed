//! A virtual machine whose only program is `../vsock_guest`, on the device under test.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use nacre_emulator::machine::TCG_CPU;
use nacre_emulator::vsock::wire::FaultPlan;
use nacre_emulator::vsock::{Device, DeviceError, Limits, Options, Stop};
use nacre_image::cpio::{Content, Tree};
use tempfile::TempDir;

/// How long anything may take on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const CID: u64 = 16;

/// A running virtual machine.
pub(crate) struct Machine {
    folder: TempDir,
    qemu: Child,
    device: Option<JoinHandle<Result<(), DeviceError>>>,
    stop: Stop,
    faults: FaultPlan,
}

impl Machine {
    /// Boots; waits until the guest listens. `None`, with a word about it, where kernel and QEMU are not there.
    pub(crate) fn boot() -> Option<Self> {
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
        ramdisk(&path("guest"), &path("ramdisk"));
        let device = Device::bind(Options {
            guest_cid: CID,
            vhost_user: path("device"),
            socket: path("vsock"),
            limits: Limits::default(),
        })
        .unwrap();
        let faults = device.faults();
        let stop = Stop::new().unwrap();
        let stopped = stop.clone();
        let device = std::thread::spawn(move || device.run(&stopped));
        let ready = UnixListener::bind(path("vsock_2000")).unwrap();
        let qemu = qemu_command(Path::new(&qemu), Path::new(&kernel), folder.path())
            .stdin(Stdio::null())
            .stdout(File::create(path("console")).unwrap())
            .spawn()
            .unwrap();
        let machine = Self {
            folder,
            qemu,
            device: Some(device),
            stop,
            faults,
        };
        let mut line = String::new();
        let mut said = machine.accepted(&ready);
        said.read_to_string(&mut line).unwrap();
        assert_eq!(line, "ready\n", "{}", machine.console());
        Some(machine)
    }

    fn console(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("console"));
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    }

    /// The device's socket for programs of the host.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("vsock")
    }

    /// A listener for connections of the guest.
    pub(crate) fn listen(&self, port: u32) -> UnixListener {
        UnixListener::bind(self.folder.path().join(format!("vsock_{port}"))).unwrap()
    }

    /// The next connection of the guest.
    pub(crate) fn accepted(&self, listener: &UnixListener) -> UnixStream {
        let ready = rustix::event::PollFd::new(listener, rustix::event::PollFlags::IN);
        let patience = rustix::time::Timespec {
            tv_sec: PATIENCE.as_secs() as i64,
            tv_nsec: 0,
        };
        let count = rustix::event::poll(&mut [ready], Some(&patience)).unwrap();
        assert_eq!(count, 1, "the guest does not connect: {}", self.console());
        patient(listener.accept().unwrap().0)
    }

    /// Connects to a port of the guest. `None`: refused.
    pub(crate) fn try_connect(&self, port: u32) -> Option<UnixStream> {
        let mut stream = patient(UnixStream::connect(self.socket()).unwrap());
        stream
            .write_all(format!("CONNECT {port}\n").as_bytes())
            .unwrap();
        let mut answer = Vec::new();
        loop {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) if byte == *b"\n" => break,
                Ok(1) => answer.push(byte[0]),
                Ok(_) => return None,
                Err(error) => panic!("the device does not answer: {error}\n{}", self.console()),
            }
        }
        assert!(answer.starts_with(b"OK "), "{}", answer.escape_ascii());
        Some(stream)
    }

    /// Connects to a port on which the guest listens.
    pub(crate) fn connect(&self, port: u32) -> UnixStream {
        self.try_connect(port)
            .unwrap_or_else(|| panic!("the guest refuses port {port}: {}", self.console()))
    }

    /// The device's faults.
    pub(crate) fn faults(&self) -> &FaultPlan {
        &self.faults
    }

    /// Gives the guest orders.
    pub(crate) fn orders(&self) -> Orders {
        let stream = self.connect(1);
        Orders(BufReader::new(stream))
    }

    /// Kills the virtual machine; gives how the device ended, and what is left in the folder.
    pub(crate) fn kill(mut self) -> (Result<(), DeviceError>, Vec<String>) {
        self.qemu.kill().unwrap();
        self.qemu.wait().unwrap();
        let ended = self.device.take().unwrap().join().unwrap();
        let left = std::fs::read_dir(self.folder.path()).unwrap();
        let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        (ended, left.collect())
    }

    /// Ends the device under the running machine.
    pub(crate) fn stop_device(&mut self) -> Result<(), DeviceError> {
        self.stop.stop();
        self.device.take().unwrap().join().unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        if let Some(device) = self.device.take() {
            let _ = device.join();
        }
    }
}

/// One line an order, one line an answer.
pub(crate) struct Orders(BufReader<UnixStream>);

impl Orders {
    /// Gives an order without waiting for the answer.
    pub(crate) fn give(&mut self, order: &str) {
        writeln!(self.0.get_mut(), "{order}").unwrap();
    }

    /// Waits for the answer.
    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Both.
    pub(crate) fn ask(&mut self, order: &str) -> String {
        self.give(order);
        self.answer()
    }
}

/// A stream on which nothing waits for ever.
pub(crate) fn patient(stream: UnixStream) -> UnixStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Writes all, ends the writing half, reads to the end.
pub(crate) fn exchange(mut stream: UnixStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// Compiles the guest's program and packs it.
fn ramdisk(program: &Path, ramdisk: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vsock_guest/guest.rs");
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let compiled = Command::new(compiler)
        .args(["--edition", "2024", "-O"])
        .args(["-C", "target-feature=+crt-static", "-C", "strip=symbols"])
        .arg("-o")
        .arg(program)
        .arg(source)
        .status()
        .unwrap();
    assert!(compiled.success());
    let mut tree = Tree::new();
    tree.folder("/dev", 0o755).unwrap();
    tree.character_device("/dev/console", 0o600, 5, 1).unwrap();
    tree.file("/init", 0o755, Content::File(program.to_owned()))
        .unwrap();
    tree.write(&mut File::create(ramdisk).unwrap()).unwrap();
}

fn qemu_command(qemu: &Path, kernel: &Path, folder: &Path) -> Command {
    let usr = qemu.join("usr");
    let libraries = usr.join("lib/x86_64-linux-gnu");
    let path = |name: &str| folder.join(name).display().to_string();
    let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
    command
        .env("QEMU_MODULE_DIR", libraries.join("qemu"))
        .arg("--library-path")
        .arg(format!(
            "{0}:{0}/pulseaudio",
            libraries.display()
        ))
        .arg(usr.join("bin/qemu-system-x86_64"))
        .arg("-L")
        .arg(usr.join("share/qemu"))
        .arg("-L")
        .arg(usr.join("share/seabios"))
        .args(["-M", "microvm,rtc=on,acpi=off,memory-backend=mem"])
        .args(["-accel", "tcg", "-cpu", TCG_CPU, "-smp", "2", "-m", "512M"])
        .args(["-object", "memory-backend-memfd,id=mem,size=512M,share=on"])
        .args(["-nodefaults", "-no-user-config", "-nographic", "-no-reboot"])
        .args(["-serial", "stdio"])
        .arg("-chardev")
        .arg(format!("socket,id=vsock,path={}", path("device")))
        .args(["-device", "vhost-user-vsock-device,chardev=vsock"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(path("ramdisk"))
        .arg("-append")
        .arg("reboot=k panic=-1 nomodules console=ttyS0 quiet i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd rootfstype=ramfs tsc=reliable no_timer_check");
    command
}
