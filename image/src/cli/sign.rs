//! `nacre image sign`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use zeroize::Zeroizing;

use crate::cli::print;
use crate::error::ImageError;
use crate::sign::{KeyFile, Signer, SigningCertificate, sign_file};

/// Arguments of `nacre image sign`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("where").required(true).args(["key", "pkcs11_module"]))]
pub struct SignArgs {
    /// The image.
    pub file: PathBuf,
    /// The private key: PEM, PKCS#8 or SEC 1, on P-384, not encrypted.
    #[arg(long, value_name = "PEM")]
    pub key: Option<PathBuf>,
    /// The key's certificate in PEM.
    #[arg(long, value_name = "PEM")]
    pub certificate: PathBuf,
    /// The shared library of a PKCS#11 token that has the key.
    #[arg(long, value_name = "LIB", requires_all = ["token", "key_label"])]
    pub pkcs11_module: Option<PathBuf>,
    /// The token's label.
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pub token: Option<String>,
    /// The key's label in the token.
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pub key_label: Option<String>,
    /// A file with the token's PIN (default: the environment variable NACRE_PKCS11_PIN).
    #[arg(long, value_name = "FILE", requires = "pkcs11_module")]
    pub pin_file: Option<PathBuf>,
    /// Where to write the signed image (default: over the image).
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

pub(crate) fn run(args: &SignArgs, json: bool) -> Result<ExitCode, ImageError> {
    let certificate = read_certificate(&args.certificate)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    certificate.check_validity(now.as_secs())?;
    let signer = signer(args, certificate)?;
    let output = args.output.as_ref().unwrap_or(&args.file);
    let measurements =
        sign_file(&args.file, signer.as_ref(), output).map_err(ImageError::image(&args.file))?;
    match (json, measurements.pcr8) {
        (false, Some(pcr8)) => print(&format!("PCR8  {pcr8}"))?,
        _ => print(&serde_json::json!({ "measurements": measurements }).to_string())?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn read_certificate(path: &Path) -> Result<SigningCertificate, ImageError> {
    let pem = fs::read(path).map_err(ImageError::file(path))?;
    SigningCertificate::from_pem(&pem).map_err(|error| ImageError::Certificate {
        path: path.to_owned(),
        error,
    })
}

fn signer(args: &SignArgs, certificate: SigningCertificate) -> Result<Box<dyn Signer>, ImageError> {
    if let Some(path) = &args.key {
        let key = Zeroizing::new(fs::read_to_string(path).map_err(ImageError::file(path))?);
        return Ok(Box::new(KeyFile::from_pem(&key, certificate)?));
    }
    match (&args.pkcs11_module, &args.token, &args.key_label) {
        (Some(module), Some(token), Some(label)) => {
            let pin = pin(args.pin_file.as_deref())?;
            token_key(module, token, label, pin, certificate)
        }
        _ => Err(ImageError::Usage(
            "give --key, or --pkcs11-module with --token and --key-label".to_owned(),
        )),
    }
}

#[cfg(feature = "pkcs11")]
fn token_key(
    module: &Path,
    token: &str,
    label: &str,
    pin: String,
    certificate: SigningCertificate,
) -> Result<Box<dyn Signer>, ImageError> {
    let key = crate::sign::pkcs11::TokenKey::open(module, token, label, pin, certificate)?;
    Ok(Box::new(key))
}

#[cfg(not(feature = "pkcs11"))]
fn token_key(
    _: &Path,
    _: &str,
    _: &str,
    _: String,
    _: SigningCertificate,
) -> Result<Box<dyn Signer>, ImageError> {
    let reason = "this program was built without PKCS#11 (cargo feature `pkcs11`)";
    Err(ImageError::Usage(reason.to_owned()))
}

/// The token's PIN: from a file or the environment, never from an argument, which everybody on the machine can see.
fn pin(file: Option<&Path>) -> Result<String, ImageError> {
    match file {
        Some(path) => {
            let text = Zeroizing::new(fs::read_to_string(path).map_err(ImageError::file(path))?);
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        None => std::env::var(PIN_VARIABLE).map_err(|_| {
            ImageError::Usage(format!(
                "give the token's PIN by --pin-file or {PIN_VARIABLE}"
            ))
        }),
    }
}

const PIN_VARIABLE: &str = "NACRE_PKCS11_PIN";
