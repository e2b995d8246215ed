//! A fake of `nacre emulate`: the host's side of its contract, and the fake enclave instead of a machine.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use nacre_image::eif::{Architecture, Eif, Image, Source, write_file};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

use crate::enclave::{option, serve};

/// An image whose kernel is a word that says how the machine shall behave.
pub(crate) fn image(path: &Path, behaviour: &str) {
    let image = Image {
        architecture: Architecture::X86_64,
        default_memory: 1 << 30,
        default_cpus: 2,
        kernel: Source::bytes(behaviour.as_bytes()),
        command_line: "console=ttyS0".to_owned(),
        metadata: None,
        ramdisks: vec![Source::bytes(b"init"), Source::bytes(b"app")],
        signer: None,
    };
    write_file(image, path).unwrap();
}

fn behaviour() -> String {
    let file = std::fs::File::open(option("--eif")).unwrap();
    let mut text = String::new();
    let eif = Eif::open(file).unwrap();
    eif.kernel().read_to_string(&mut text).unwrap();
    text
}

pub(crate) fn main() -> ExitCode {
    assert!(Path::new(&option("--pki-dir")).is_absolute());
    assert!(
        std::env::var_os("XDG_RUNTIME_DIR").is_some(),
        "a tool of the host's"
    );
    assert_eq!(std::env::args().next_back().unwrap(), "--exit-on-stdin-eof");
    assert_eq!(option("--memory"), format!("{}B", 64 << 20));
    if behaviour() == "dies" {
        eprintln!("qemu-not-found: there is none");
        return ExitCode::from(3);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let boots = note_boot();
    if behaviour() == "stalls" || behaviour() == "stalls once" && boots == 1 {
        runtime.block_on(stall());
        eprintln!("the guest has not said that it runs [boot-timed-out]");
        return ExitCode::FAILURE;
    }
    runtime.block_on(machine())
}

/// How long each machine of this image was given to boot, in order.
pub(crate) fn boots(eif: &Path) -> Vec<String> {
    let noted = std::fs::read_to_string(eif.with_extension("boots")).unwrap_or_default();
    noted.lines().map(str::to_owned).collect()
}

/// Writes down that a machine boots; says how many there were with it.
fn note_boot() -> usize {
    let eif = option("--eif");
    let mut noted = boots(eif.as_ref());
    noted.push(option("--boot-within"));
    std::fs::write(Path::new(&eif).with_extension("boots"), noted.join("\n")).unwrap();
    noted.len()
}

/// A guest of which nothing is heard for as long as it may take.
async fn stall() {
    let within = option("--boot-within");
    let millis = within.strip_suffix("ms").unwrap().parse().unwrap();
    let never = std::future::pending::<()>();
    let _ = tokio::time::timeout(Duration::from_millis(millis), never).await;
}

async fn machine() -> ExitCode {
    std::fs::write("nsm.pid", std::process::id().to_string()).unwrap();
    let vsock = option("--vsock");
    assert!(
        Path::new(&format!("{vsock}_9001")).exists(),
        "init is listened to"
    );
    if behaviour() != "is mute" {
        serve("tls.sock", "control.sock");
    }
    let listener = UnixListener::bind(&vsock).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(forward(stream));
        }
    });
    let mut fault = signal(SignalKind::user_defined1()).unwrap();
    println!("ready");
    std::io::stdout().flush().unwrap();
    let eof = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    tokio::select! {
        _ = eof => {}
        // The program inside crashes; init says so and powers off.
        _ = fault.recv() => {
            let mut parent = UnixStream::connect(format!("{vsock}_9001")).await.unwrap();
            parent.write_all(b"killed 11\n").await.unwrap();
            // Standard input is still being read: leave without waiting for it.
            return leave();
        }
    }
    ExitCode::SUCCESS
}

/// Ends this process although a thread of it is blocked.
#[expect(clippy::disallowed_methods, reason = "a machine that loses its power")]
fn leave() -> ExitCode {
    std::process::exit(0)
}

/// One connection of the host's: `CONNECT port`, `OK number`, and then bytes.
async fn forward(stream: UnixStream) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let _ = stream.read_line(&mut line).await;
    let socket = match line.as_str() {
        "CONNECT 443\n" => "tls.sock",
        "CONNECT 7001\n" => "control.sock",
        other => panic!("{other:?}"),
    };
    let Ok(mut guest) = UnixStream::connect(socket).await else {
        return;
    };
    let _ = stream.write_all(b"OK 1024\n").await;
    let _ = copy_bidirectional(&mut stream, &mut guest).await;
}
