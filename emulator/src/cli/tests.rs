//! The arguments, and that the three ways to name measurements exclude each other.

use clap::Parser as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::*;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    args: NsmEmulatorArgs,
}

fn parse(rest: &[&str]) -> Result<NsmEmulatorArgs, clap::Error> {
    let line = ["nacre", "--socket", "/tmp/s", "--pki-dir", "/tmp/p"]
        .iter()
        .chain(rest);
    Line::try_parse_from(line).map(|line| line.args)
}

#[test]
fn registers_may_be_given() {
    let (zero, one) = ("00".repeat(48), "01".repeat(48));
    let args = parse(&[
        "--pcr0",
        &zero,
        "--pcr1",
        &one,
        "--pcr2",
        &zero,
        "--latency-ms",
        "80",
    ])
    .unwrap();
    assert_eq!(
        args.measurements.registers().unwrap(),
        [[0; 48], [1; 48], [0; 48]]
    );
    assert_eq!(args.latency_ms, 80);
    assert!(!args.exit_on_stdin_eof);
}

#[test]
fn files_may_be_measured() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f");
    std::fs::write(&file, "f").unwrap();
    let file = file.to_str().unwrap();
    let args = parse(&[
        "--measure-enclave",
        file,
        "--measure-worker",
        file,
        "--measure-onnxruntime",
        file,
    ])
    .unwrap();
    let path = std::path::Path::new(file);
    assert_eq!(
        args.measurements.registers().unwrap(),
        measure_process(path, path, path).unwrap()
    );
}

#[test]
fn half_a_measurement_is_refused() {
    let pcr = "00".repeat(48);
    let short = "00".repeat(47);
    for line in [
        &[][..],
        &["--pcr0", &pcr],
        &["--pcr0", &pcr, "--pcr1", &pcr],
        &["--pcr1", &pcr, "--pcr2", &pcr],
        &["--pcr0", &short, "--pcr1", &pcr, "--pcr2", &pcr],
        &["--measure-enclave", "/bin/sh"],
        &[
            "--measure-worker",
            "/bin/sh",
            "--measure-onnxruntime",
            "/bin/sh",
        ],
        &[
            "--measure-enclave",
            "a",
            "--measure-worker",
            "b",
            "--measure-onnxruntime",
            "c",
            "--pcr0",
            &pcr,
            "--pcr1",
            &pcr,
            "--pcr2",
            &pcr,
        ],
        &[
            "--pcr0",
            &pcr,
            "--pcr1",
            &pcr,
            "--pcr2",
            &pcr,
            "--latency-ms",
            "60001",
        ],
    ] {
        assert!(parse(line).is_err(), "{line:?}");
    }
}

#[tokio::test]
async fn it_says_ready_when_it_listens_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let pcr = "01".repeat(48);
    let mut args = parse(&["--pcr0", &pcr, "--pcr1", &pcr, "--pcr2", &pcr]).unwrap();
    args.socket = folder.path().join("nsm.sock");
    args.pki_dir = folder.path().join("pki");
    args.instance_id = Some("i-0123456789abcdef0".to_owned());
    let path = args.socket.clone();

    let (out, log) = std::os::unix::net::UnixStream::pair().unwrap();
    log.set_nonblocking(true).unwrap();
    let mut log = BufReader::new(UnixStream::from_std(log).unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(run_until(
        args,
        async {
            let _ = stopped.await;
        },
        out,
    ));
    let mut line = String::new();
    log.read_line(&mut line).await.unwrap();
    assert_eq!(line, "ready\n");

    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream
        .write_all(b"\0\0\0\x0c\x6bDescribeNSM")
        .await
        .unwrap();
    let length = stream.read_u32().await.unwrap();
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("i-0123456789abcdef0-enc"));

    stop.send(()).unwrap();
    task.await.unwrap().unwrap();
    line.clear();
    log.read_to_string(&mut line).await.unwrap();
    assert_eq!(line, "");
    assert!(!path.exists());
    assert!(folder.path().join("pki/root.der").exists());
}

#[tokio::test]
async fn a_wrong_instance_id_is_refused_before_anything_listens() {
    let folder = tempfile::tempdir().unwrap();
    let pcr = "01".repeat(48);
    let mut args = parse(&["--pcr0", &pcr, "--pcr1", &pcr, "--pcr2", &pcr]).unwrap();
    args.socket = folder.path().join("nsm.sock");
    args.pki_dir = folder.path().join("pki");
    args.instance_id = Some("i-xyz".to_owned());
    let path = args.socket.clone();
    let error = run_until(args, std::future::pending(), io::sink())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("i-xyz"), "{error}");
    assert!(!path.exists());
}
