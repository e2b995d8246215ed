//! The arguments, and that the three ways to name measurements exclude each other.

use clap::Parser as _;

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
