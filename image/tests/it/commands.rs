//! The commands, as they are called.

use std::fs;
use std::path::Path;

use clap::Parser;
use nacre_image::ImageError;
use nacre_image::cli::{ImageCommand, run};
use nacre_image::eif::Eif;

use crate::signing::key_and_certificate;
use crate::support::Parts;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: ImageCommand,
}

fn call(words: &[&str]) -> Result<bool, ImageError> {
    let cli = Cli::try_parse_from([&["image"], words].concat()).unwrap();
    run(cli.command, true).map(|status| status == std::process::ExitCode::SUCCESS)
}

fn refused(words: &[&str]) -> &'static str {
    call(words).unwrap_err().code()
}

/// A folder with an image, one that is broken, and a key with its certificate.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (image, _) = Parts::small().write(None);
    let (key, certificate, _) = key_and_certificate("builder");
    write(folder.path(), "good.eif", &image);
    write(folder.path(), "broken.eif", &{
        let mut broken = image;
        *broken.last_mut().unwrap() ^= 1;
        broken
    });
    write(folder.path(), "key.pem", key.as_bytes());
    write(folder.path(), "certificate.pem", certificate.as_bytes());
    folder
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).unwrap();
}

#[test]
fn an_image_is_signed_into_another_file_and_the_policy_demands_it() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let before = fs::read(path("good.eif")).unwrap();
    let sign = [
        "sign",
        &path("good.eif"),
        "--key",
        &path("key.pem"),
        "--certificate",
    ];
    let output = [&path("certificate.pem"), "--output", &path("signed.eif")];
    assert!(call(&[&sign[..], &output].concat()).unwrap());
    assert_eq!(fs::read(path("good.eif")).unwrap(), before);
    let signed = Eif::open(fs::File::open(path("signed.eif")).unwrap()).unwrap();
    assert!(signed.signer().is_some());
    let certificate = path("certificate.pem");
    assert!(call(&["policy", &path("signed.eif"), "--signer", &certificate]).unwrap());
    assert_eq!(
        refused(&["policy", &path("good.eif"), "--signer", &certificate]),
        "image-other-signer"
    );
    // Different PCR8.
    assert!(!call(&["diff", &path("good.eif"), &path("signed.eif")]).unwrap());
    assert!(call(&["diff", &path("good.eif"), &path("good.eif")]).unwrap());
}

#[test]
fn nothing_is_made_of_an_image_that_is_broken() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (good, broken) = (path("good.eif"), path("broken.eif"));
    assert_eq!(refused(&["policy", &good, &broken]), "eif-crc");
    assert_eq!(refused(&["measure", &broken]), "eif-crc");
    assert_eq!(refused(&["diff", &good, &broken]), "eif-crc");
    let (key, certificate) = (path("key.pem"), path("certificate.pem"));
    let sign = [
        "sign",
        &broken,
        "--key",
        &key,
        "--certificate",
        &certificate,
        "--output",
    ];
    let output = path("signed.eif");
    assert_eq!(refused(&[&sign[..], &[&output]].concat()), "eif-crc");
    assert!(!Path::new(&output).exists());
    assert_eq!(refused(&["measure", &path("no.eif")]), "file");
}

#[test]
fn words_that_do_not_go_together_are_refused() {
    let wrong = |words: &[&str]| Cli::try_parse_from([&["image"], words].concat()).is_err();
    assert!(wrong(&["sign", "x", "--certificate", "c"]), "no key");
    assert!(wrong(&["sign", "x", "--key", "k"]), "no certificate");
    let both = [
        "--key",
        "k",
        "--pkcs11-module",
        "m",
        "--token",
        "t",
        "--key-label",
        "l",
    ];
    assert!(
        wrong(&[&["sign", "x", "--certificate", "c"], &both[..]].concat()),
        "two keys"
    );
    assert!(
        wrong(&["sign", "x", "--certificate", "c", "--pkcs11-module", "m"]),
        "no token"
    );
    assert!(wrong(&["policy"]), "no image");
}
