//! `nacre image measure`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use nacre_attestation_verifier::UnixSeconds;
use serde_json::{Value, json};

use crate::cli::{open, print};
use crate::eif::{Architecture, Eif, ReadAt};
use crate::error::ImageError;
use crate::sbom::Sbom;

/// Arguments of `nacre image measure`.
#[derive(Debug, Args)]
pub struct MeasureArgs {
    /// The image.
    pub file: PathBuf,
    /// Print every file of the ramdisks with its hash, and its licence and source where the image lists them, as
    /// CycloneDX 1.6 JSON.
    #[arg(long)]
    pub sbom: bool,
}

pub(crate) fn run(args: &MeasureArgs, json: bool) -> Result<ExitCode, ImageError> {
    let eif = open(&args.file)?;
    if args.sbom {
        let sbom = Sbom::of(&eif)?;
        print(&sbom.to_json())?;
    } else if json {
        print(&describe(&eif).to_string())?;
    } else {
        print(&lines(&eif))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn lines<S: ReadAt>(eif: &Eif<S>) -> String {
    let measured = eif.measurements();
    let mut lines = vec![
        format!("PCR0  {}", measured.pcr0),
        format!("PCR1  {}", measured.pcr1),
        format!("PCR2  {}", measured.pcr2),
    ];
    match (measured.pcr8, eif.signer()) {
        (Some(pcr8), Some(signer)) => {
            let (_, not_after) = signer.validity();
            lines.push(format!("PCR8  {pcr8}"));
            lines.push(format!(
                "signed by {}, certificate sha256:{}, valid until {}",
                signer.subject(),
                hex::encode(signer.fingerprint()),
                UnixSeconds(not_after),
            ));
        }
        _ => lines.push("not signed: PCR8 is zero".to_owned()),
    }
    lines.join("\n")
}

fn describe<S: ReadAt>(eif: &Eif<S>) -> Value {
    let sections = eif.sections().iter().map(|section| {
        json!({ "kind": section.kind.name(), "offset": section.offset, "length": section.length })
    });
    let signer = eif.signer().map(|signer| {
        let (not_before, not_after) = signer.validity();
        json!({
            "subject": signer.subject(),
            "certificate_sha256": hex::encode(signer.fingerprint()),
            "not_before": UnixSeconds(not_before),
            "not_after": UnixSeconds(not_after),
        })
    });
    json!({
        "measurements": eif.measurements(),
        "signer": signer,
        "version": eif.version(),
        "architecture": match eif.architecture() {
            Architecture::X86_64 => "x86_64",
            Architecture::Arm64 => "arm64",
        },
        "command_line": eif.command_line(),
        "sections": sections.collect::<Vec<_>>(),
        "metadata": eif.metadata(),
    })
}
