//! The fuzz targets of the verifier, run on a stable compiler.
//!
//! The corpora are replayed: no input may panic, and a seed must get the verdict in its name. And a fixed number of inputs
//! is generated from a fixed seed, so that what the targets assert is asserted in every run of the tests.

mod corpus;
#[expect(
    unreachable_pub,
    reason = "the files are public modules of the fuzz crate"
)]
#[path = "../../../fuzz/src/attestation/mod.rs"]
mod entry;
mod generated;
mod seeds;

use std::fs;
use std::path::{Path, PathBuf};

macro_rules! replayed {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target), entry::$target);
            }
        )*
    };
}

replayed! { document envelope payload certificate signed_document differential policy }

/// Runs every file of a target's corpus through its entry function.
fn replay(target: &str, run: fn(&[u8]) -> entry::Verdict) {
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
#[ignore = "writes fuzz/corpus and fuzz/roots; to be run when the builder or a target has changed"]
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
