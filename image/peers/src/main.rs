//! AWS's `aws-nitro-enclaves-image-format` by argument vector, one JSON object out:
//!
//! - `build OUT KERNEL COMMAND_LINE METADATA KEY CERTIFICATE RAMDISK…` (`-` for key and certificate: not signed)
//! - `describe EIF`: registers, whether the checksum and the signature are right, and the metadata
//! - `sign EIF KEY CERTIFICATE`: in place

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;

use aws_nitro_enclaves_image_format::utils::eif_reader::EifReader;
use aws_nitro_enclaves_image_format::utils::{EifBuilder, EifSigner, SignKeyData};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha384};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<Value, Box<dyn Error>> {
    match arguments {
        ["build", out, kernel, command_line, metadata, key, certificate, ramdisks @ ..] => {
            let metadata = serde_json::from_slice(&fs::read(metadata)?)?;
            let mut builder = EifBuilder::new(
                Path::new(kernel),
                fs::read_to_string(command_line)?,
                signer(key, certificate)?,
                Sha384::new(),
                0,
                metadata,
            );
            for ramdisk in ramdisks {
                builder.add_ramdisk(Path::new(ramdisk));
            }
            Ok(json!(builder.write_to(&mut File::create(out)?)))
        }
        ["describe", eif] => describe(eif),
        ["sign", eif, key, certificate] => {
            let signer = EifSigner::new(signer(key, certificate)?).ok_or("no key")?;
            signer.sign_image(eif)?;
            describe(eif)
        }
        _ => Err("see the head of main.rs".into()),
    }
}

fn signer(key: &str, certificate: &str) -> Result<Option<SignKeyData>, String> {
    match key {
        "-" => Ok(None),
        key => SignKeyData::new(key, Path::new(certificate)).map(Some),
    }
}

fn describe(eif: &str) -> Result<Value, Box<dyn Error>> {
    let mut reader = EifReader::from_eif(eif.to_owned())?;
    let registers = reader.get_measurements()?;
    let mut signature = Value::Null;
    if reader.signature_section.is_some() {
        reader.get_certificate_info(registers.clone())?;
        signature = json!(reader.sign_check);
    }
    Ok(json!({
        "measurements": registers,
        "checksum": reader.check_crc(),
        "signature": signature,
        "metadata": reader.get_metadata(),
    }))
}
