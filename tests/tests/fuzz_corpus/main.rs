//! The fuzzers' corpora, replayed on a stable compiler: no input may panic, and a seed must get the verdict in its name.
//!
//! The targets' bodies are the fuzz crate's own modules. (Those of the attestation verifier are replayed in its tests.)

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod seeds;
#[expect(
    unreachable_pub,
    reason = "the files are public modules of the fuzz crate"
)]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use targets::{egress, emulator, enclave, gateway, image, jobs, model, protocol, transport, vsock};

/// Runs every file of a target's corpus through its entry function.
fn replay(target: &str, run: impl Fn(&[u8]) -> Result<(), &'static str>) {
    let (mut accepted, mut refused) = (0, 0);
    for file in fs::read_dir(fuzz_folder().join("corpus").join(target)).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let verdict = run(&fs::read(&path).unwrap());
        // Of what a fuzzer found itself, only the absence of a panic is known.
        if name.starts_with("ok-") {
            assert_eq!(verdict, Ok(()), "{target}/{name}");
            accepted += 1;
        } else if let Some(rule) = name.strip_prefix("refused-") {
            let rule = rule.split_once('.').map_or(rule, |(rule, _)| rule);
            assert_eq!(verdict, Err(rule), "{target}/{name}");
            refused += 1;
        }
    }
    assert!(accepted > 0 && refused > 0, "too few seeds for {target}");
}

macro_rules! replayed {
    ($($module:ident: $($target:ident)*;)*) => {
        $($(
            #[test]
            fn $target() {
                replay(stringify!($target), $module::$target);
            }
        )*)*

        /// Every target that is replayed here.
        const REPLAYED: &[&str] = &[$($(stringify!($target),)*)*];
    };
}

replayed! {
    protocol: identity_statement receipt receipt_file evidence_json certificate_evidence bundle_manifest
        function_manifest inclusion_path;
    transport: address proxy_header;
    egress: connect_request connect_answer allow_list;
    gateway: client_hello;
    emulator: nsm_request;
    vsock: vsock_conversation vsock_packets;
    image: eif cpio;
    model: gguf;
    jobs: job_input job_result job_receipt chain_result sealed_job sealed_result run_job_query;
    enclave: kserve_infer kserve_route worker_frame;
}

/// The verifier's tests replay these.
const VERIFIERS: [&str; 7] = [
    "certificate",
    "differential",
    "document",
    "envelope",
    "payload",
    "policy",
    "signed_document",
];

#[test]
fn every_target_is_replayed_somewhere() {
    let targets: BTreeSet<String> = fs::read_dir(fuzz_folder().join("fuzz_targets"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let replayed = REPLAYED.iter().chain(&VERIFIERS);
    assert_eq!(targets, replayed.map(|name| (*name).to_owned()).collect());
}

#[test]
fn the_seeds_are_those_that_are_made_here() {
    for (path, bytes) in seeds::all() {
        let found = fs::read(fuzz_folder().join(&path)).ok();
        assert!(
            found == Some(bytes),
            "fuzz/{path} is out of date: run the ignored test write_the_seeds"
        );
    }
}

#[test]
#[ignore = "writes fuzz/corpus; to be run when the seeds or a format have changed"]
fn write_the_seeds() {
    for (path, bytes) in seeds::all() {
        let path = fuzz_folder().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}
