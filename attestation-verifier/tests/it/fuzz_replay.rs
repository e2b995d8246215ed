//! The fuzzers' corpora, replayed on a stable compiler: no input may panic, and a seed must get the verdict in its name.

use std::fs;
use std::path::{Path, PathBuf};

use crate::builder::certificate::CertificateOrder;
use crate::builder::{DocumentOrder, Envelope, NOW_MS, cbor, signing_key};

#[expect(
    unreachable_pub,
    reason = "the file is a public module of the fuzz crate"
)]
#[path = "../../../fuzz/src/attestation.rs"]
mod entry;

#[test]
fn documents() {
    replay("document", |bytes| match entry::document(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.rule()),
    });
}

#[test]
fn payloads() {
    replay("payload", |bytes| match entry::payload(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.rule()),
    });
}

#[test]
fn certificates() {
    use nacre_attestation_verifier::RootsError;
    replay("certificate", |bytes| match entry::certificate(bytes) {
        Ok(_) => Ok(()),
        Err(RootsError::Certificate(error)) => Err(error.rule()),
        Err(_) => Err("not-a-certificate"),
    });
}

/// Runs every file of a target's corpus through its entry function.
fn replay(target: &str, run: impl Fn(&[u8]) -> Result<(), &'static str>) {
    let mut seeds = 0;
    for file in fs::read_dir(fuzz_folder().join("corpus").join(target)).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let verdict = run(&fs::read(&path).unwrap());
        // Of what a fuzzer found itself, only the absence of a panic is known.
        if name.starts_with("ok-") {
            assert_eq!(verdict, Ok(()), "{target}/{name}");
        } else if let Some(rule) = name.strip_prefix("refused-") {
            assert_eq!(verdict, Err(rule), "{target}/{name}");
        } else {
            continue;
        }
        seeds += 1;
    }
    assert!(seeds > 0, "no seeds for {target}");
}

#[test]
fn the_seeds_are_those_that_the_builder_makes() {
    for (path, bytes) in seeds() {
        let found = fs::read(fuzz_folder().join(&path)).ok();
        assert!(
            found == Some(bytes),
            "fuzz/{path} is out of date: run the ignored test write_the_seeds"
        );
    }
}

#[test]
#[ignore = "writes fuzz/corpus and fuzz/roots; to be run when the builder has changed"]
fn write_the_seeds() {
    for (path, bytes) in seeds() {
        let path = fuzz_folder().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Paths below `fuzz/`, and contents.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let root = CertificateOrder::root().make(&signing_key(0));
    let mut seeds = vec![("roots/attestation.der".to_owned(), root)];
    let mut add =
        |target: &str, name: &str, bytes| seeds.push((format!("corpus/{target}/{name}"), bytes));
    for (name, order) in orders() {
        add("document", name, order.make());
    }
    for (name, order) in orders() {
        if matches!(
            name,
            "refused-digest-algorithm" | "refused-duplicate-pcr" | "refused-cbor-depth"
        ) || name.starts_with("ok-")
        {
            add("payload", name, order.payload());
        }
    }
    let valid = DocumentOrder::valid();
    let mut forged = Envelope::new(valid.payload(), vec![1; 96]);
    add("document", "refused-signature-invalid", forged.make());
    forged.signature = cbor::bytes(&[0; 96]);
    add("document", "refused-signature-range", forged.make());
    let [root, intermediate, leaf] = valid.certificates().try_into().unwrap();
    add("certificate", "ok-root", root);
    add("certificate", "ok-intermediate", intermediate);
    add("certificate", "refused-certificate-not-ca", leaf);
    let compressed = CertificateOrder {
        point: Some(vec![0x02; 49]),
        ..CertificateOrder::root()
    };
    add(
        "certificate",
        "refused-certificate-public-key-point",
        compressed.make(&signing_key(0)),
    );
    seeds
}

/// Documents, signed after they were changed, under the verdict that each must get.
fn orders() -> Vec<(&'static str, DocumentOrder)> {
    let changed = |change: fn(&mut DocumentOrder)| {
        let mut order = DocumentOrder::valid();
        change(&mut order);
        order
    };
    vec![
        ("ok-indefinite", DocumentOrder::valid()),
        ("ok-definite", changed(|order| order.indefinite = false)),
        (
            "ok-unknown-key",
            changed(|order| order.add("new", vec![0xbf, 0x01, 0x9f, 0xf9, 0, 0, 0xff, 0xff])),
        ),
        (
            "refused-digest-algorithm",
            changed(|order| order.set("digest", cbor::text("SHA512"))),
        ),
        (
            "refused-duplicate-pcr",
            changed(|order| order.set("pcrs", cbor::pcrs([(0, [1; 48]); 2]))),
        ),
        (
            "refused-cbor-depth",
            changed(|order| order.add("deep", [vec![0x81; 20], vec![0]].concat())),
        ),
        (
            "refused-certificate-issuer",
            changed(|order| order.leaf.issuer = order.bundle[0].issuer.clone()),
        ),
        (
            "refused-leaf-digital-signature",
            changed(|order| order.leaf.key_usage = None),
        ),
        (
            "refused-document-too-old",
            changed(|order| order.set("timestamp", cbor::uint(NOW_MS - 300_001))),
        ),
        (
            "refused-debug-enclave",
            changed(|order| order.set_pcrs(&[0, 1, 2].map(|index| (index, [0; 48])))),
        ),
    ]
}

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}
