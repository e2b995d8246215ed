//! A worker that is the model's author's enemy at heart: takes its place behind the same walls, by the same code,
//! as `nacre-worker`, and then does what its "model" tells it. Tests start it through the real supervisor.
//!
//! - `attack <supervisor pid> <sibling pid>`: tries what no worker may do, and answers with a list
//!   `attempt: outcome`, one a line, in place of a refused model.
//! - `lie <how>`: pretends to have a model of one FP32 input `x` and output `y`, and breaks the protocol so at the
//!   first inference. It also tells its standard error what it was given.
//!
//! Under the name `nacre-bare-worker` it admits that no wall stands, and under `nacre-mute-worker` it says nothing.

use std::fs::{File, OpenOptions};
use std::io::{IoSliceMut, Read};
use std::process::{Command, ExitCode};

use nacre_enclave::tensor::{DataType, ModelSpec, TensorSpec};
use nacre_enclave::worker::socket::{Socket, SocketError};
use nacre_enclave::worker::wire::{Fault, FaultCode, Isolation, Message, TensorHead};
use nacre_enclave::worker::{sandbox, serve};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket, socketpair};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nacre-hostile-worker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().next().unwrap_or_default();
    if name.ends_with("nacre-bare-worker") {
        return bare();
    }
    if name.ends_with("nacre-mute-worker") {
        std::thread::park();
    }
    let separated = sandbox::separate();
    let mut socket = Socket::new();
    let Some((Message::Configure(configure), _)) = socket.receive()? else {
        return Err("no configuration".into());
    };
    let isolation = match serve::prepare(separated, &configure) {
        Ok((_, isolation)) => isolation,
        Err(fault) => return Ok(socket.send(&Message::Refused(fault), &[])?),
    };
    socket.send(&Message::Ready(isolation), &[])?;
    let Some((Message::Load { .. }, length)) = socket.receive()? else {
        return Err("no model".into());
    };
    let mut order = String::new();
    socket.body(length).read_to_string(&mut order)?;
    match order.split_whitespace().collect::<Vec<_>>()[..] {
        ["attack", supervisor, sibling] => {
            let report = attack(
                supervisor.parse()?,
                sibling.parse()?,
                configure.memory_bytes,
            );
            let fault = Fault::new(FaultCode::ModelInvalid, report);
            Ok(socket.send(&Message::Refused(fault), &[])?)
        }
        ["lie", how] => Ok(lie(&mut socket, how)?),
        _ => Err("no such order".into()),
    }
}

/// Says that nothing stands around it. A model that comes nevertheless is answered as if all were well.
fn bare() -> Result<(), Box<dyn std::error::Error>> {
    let mut socket = Socket::new();
    socket.receive()?.ok_or("no configuration")?;
    socket.send(&Message::Ready(Isolation::default()), &[])?;
    if let Some((Message::Load { .. }, length)) = socket.receive()? {
        std::io::copy(&mut socket.body(length), &mut std::io::sink())?;
        socket.send(&Message::Loaded(ModelSpec::default()), &[])?;
    }
    Ok(())
}

/// Every attempt, and how it ended.
fn attack(supervisor: i32, sibling: i32, memory_bytes: u64) -> String {
    let (supervisor, sibling) = (Pid::from_raw(supervisor), Pid::from_raw(sibling));
    let attempts = [
        ("socket-inet", open_socket(AddressFamily::Inet)),
        ("socket-inet6", open_socket(AddressFamily::Inet6)),
        ("socket-unix", open_socket(AddressFamily::Unix)),
        ("socket-vsock", open_socket(AddressFamily::Vsock)),
        ("socket-netlink", open_socket(AddressFamily::Netlink)),
        ("socketpair", outcome(pair())),
        ("open-passwd", outcome(File::open("/etc/passwd"))),
        ("open-memory", outcome(File::open("/proc/self/mem"))),
        ("open-nsm", outcome(File::open("/dev/nsm"))),
        ("list-root", outcome(std::fs::read_dir("/"))),
        ("write-tmp", outcome(create("/tmp/nacre-hostile"))),
        ("write-root", outcome(create("/nacre-hostile"))),
        ("ptrace-sibling", outcome(nix::sys::ptrace::attach(sibling))),
        (
            "ptrace-supervisor",
            outcome(nix::sys::ptrace::attach(supervisor)),
        ),
        ("kill-sibling", outcome(kill(sibling, Signal::SIGKILL))),
        (
            "kill-supervisor",
            outcome(kill(supervisor, Signal::SIGKILL)),
        ),
        (
            "kill-everyone",
            outcome(kill(Pid::from_raw(-1), Signal::SIGKILL)),
        ),
        ("read-sibling", outcome(read_memory(sibling))),
        ("read-supervisor", outcome(read_memory(supervisor))),
        (
            "execve",
            outcome(nix::unistd::execve(c"/bin/true", &[c"true"], &[c""])),
        ),
        ("spawn", outcome(Command::new("/bin/true").status())),
        (
            "memfd",
            outcome(memfd_create(c"hostile", MFdFlags::empty())),
        ),
        (
            "unshare-user",
            outcome(nix::sched::unshare(CloneFlags::CLONE_NEWUSER)),
        ),
        (
            "duplicate-descriptor",
            outcome(nix::unistd::dup(std::io::stderr())),
        ),
        (
            "become-root",
            outcome(nix::unistd::setuid(nix::unistd::Uid::from_raw(0))),
        ),
        ("leave-root", outcome(nix::unistd::chroot("/"))),
        ("become-dumpable", outcome(dumpable())),
        ("raise-limit", outcome(raise_limit())),
        ("too-much-memory", outcome(allocate(memory_bytes))),
    ];
    attempts
        .iter()
        .map(|(name, outcome)| format!("{name}: {outcome}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn outcome<T, E: std::fmt::Display>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "SUCCEEDED".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn open_socket(family: AddressFamily) -> String {
    outcome(socket(family, SockType::Stream, SockFlag::empty(), None))
}

fn pair() -> nix::Result<()> {
    let kind = (AddressFamily::Unix, SockType::Stream);
    socketpair(kind.0, kind.1, None, SockFlag::empty()).map(drop)
}

fn create(path: &str) -> std::io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
}

/// Even nothing at all may not be read: what counts is whether the kernel lets it try.
fn read_memory(of: Pid) -> nix::Result<usize> {
    let mut buffer = [0u8; 16];
    let remote = RemoteIoVec {
        base: 0x1000,
        len: 16,
    };
    match process_vm_readv(of, &mut [IoSliceMut::new(&mut buffer)], &[remote]) {
        // The address is wrong, but it was looked at.
        Err(Errno::EFAULT) => Ok(0),
        other => other,
    }
}

fn dumpable() -> rustix::io::Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)
}

fn raise_limit() -> rustix::io::Result<()> {
    let unlimited = rustix::process::Rlimit {
        current: None,
        maximum: None,
    };
    rustix::process::setrlimit(rustix::process::Resource::Data, unlimited)
}

fn allocate(limit: u64) -> Result<(), String> {
    let bytes = usize::try_from(limit).map_err(|e| e.to_string())? + (16 << 20);
    let mut memory: Vec<u8> = Vec::new();
    memory.try_reserve_exact(bytes).map_err(|e| e.to_string())
}

/// Answers the first inference with something that is not an answer to it.
fn lie(socket: &mut Socket, how: &str) -> Result<(), SocketError> {
    let spec = |name: &str| TensorSpec {
        name: name.to_owned(),
        datatype: DataType::Fp32,
        shape: vec![1],
    };
    let model = ModelSpec {
        inputs: vec![spec("x")],
        outputs: vec![spec("y")],
    };
    eprintln!("loading\x07");
    socket.send(&Message::Loaded(model.clone()), &[])?;
    let Some((Message::Infer { id, .. }, length)) = socket.receive()? else {
        return Ok(());
    };
    let mut secret = Vec::new();
    socket.body(length).read_to_end(&mut secret)?;
    eprintln!("I was given {secret:?}");
    let head = |name: &str, datatype, shape: &[u64], len| TensorHead {
        name: name.to_owned(),
        datatype,
        shape: shape.to_vec(),
        len,
    };
    let honest = head("y", DataType::Fp32, &[1], 4);
    let output = |id, outputs| Message::Output {
        id,
        compute_micros: u32::MAX,
        outputs,
    };
    let four = [0u8; 4].as_slice();
    match how {
        "not-at-all" => socket.send(&output(id, vec![honest]), &[four]),
        "id" => socket.send(&output(id + 1, vec![honest]), &[four]),
        "name" => socket.send(
            &output(id, vec![head("z", DataType::Fp32, &[1], 4)]),
            &[four],
        ),
        "type" => socket.send(
            &output(id, vec![head("y", DataType::Int32, &[1], 4)]),
            &[four],
        ),
        "length" => socket.send(
            &output(id, vec![head("y", DataType::Fp32, &[1], 8)]),
            &[four, four],
        ),
        "more" => socket.send(&output(id, vec![honest.clone(), honest]), &[four, four]),
        "none" => socket.send(&output(id, vec![]), &[]),
        "huge" => {
            let elements = 1 << 40;
            let huge = head("y", DataType::Fp32, &[elements], elements * 4);
            socket.send(&output(id, vec![huge]), &[])
        }
        "turn" => socket.send(&Message::Loaded(model), &[]),
        "noise" => socket.send(&Message::Load { len: 3 }, &[b"abc"]),
        "fault" => {
            let fault = Fault::new(FaultCode::Isolation, "pretending");
            socket.send(&Message::Failed { id, fault }, &[])
        }
        _ => Ok(()),
    }
}
