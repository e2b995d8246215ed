//! `nacre chain images`: which enclave images count. One role names them, and that takes its time; another takes them back.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use clap::{Subcommand, ValueEnum};
use nacre_attestation_verifier::{Measurements, Pcr, Policy};
use serde::Serialize;

use super::session::{Printer, ReadArgs, SendArgs, Sent};
use crate::account::call_to;
use crate::contracts::{EnclaveRegistry, enclave_registry};
use crate::deployment::Name;
use crate::error::ChainError;
use crate::events;

use enclave_registry::ImageList;

/// Largest policy that is read.
const MAX_POLICY: u64 = 1 << 20;

/// What is done with images.
#[derive(Debug, Clone, Subcommand)]
pub enum ImagesCommand {
    /// List all that were named: what they are for, and from when they count.
    List(ReadArgs),
    /// Name an image. It counts after the registry's delay, in which whoever disagrees has it revoked. The approver's.
    Propose(Box<ProposeArgs>),
    /// Take an image back, whether it counts yet or not: its keys are worth nothing from then on. The revoker's.
    Revoke(RevokeArgs),
}

/// Arguments of `propose`.
#[derive(Debug, Clone, clap::Args)]
pub struct ProposeArgs {
    /// What its enclaves do.
    #[arg(long = "for", value_enum)]
    kind: Kind,
    /// Its measurements: a policy with exactly one set, as `nacre image` makes it.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "pcr0",
        conflicts_with_all = ["pcr0", "pcr1", "pcr2"]
    )]
    policy: Option<PathBuf>,
    /// PCR0: the whole image, 96 hex digits.
    #[arg(long, requires_all = ["pcr1", "pcr2"])]
    pcr0: Option<Pcr>,
    /// PCR1: kernel and first ramdisk.
    #[arg(long, requires = "pcr0")]
    pcr1: Option<Pcr>,
    /// PCR2: the application.
    #[arg(long, requires = "pcr0")]
    pcr2: Option<Pcr>,
    #[command(flatten)]
    send: SendArgs,
}

/// Arguments of `revoke`.
#[derive(Debug, Clone, clap::Args)]
pub struct RevokeArgs {
    /// SHA-256 of PCR0, PCR1 and PCR2.
    image: B256,
    #[command(flatten)]
    send: SendArgs,
}

/// What an image's enclaves do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// Answer jobs.
    Workers,
    /// Vouch for others.
    Verifiers,
}

impl Kind {
    /// `ImageList.ImageKind`.
    fn number(self) -> u8 {
        match self {
            Self::Workers => 1,
            Self::Verifiers => 2,
        }
    }
}

/// An image that was named.
#[derive(Serialize)]
struct Named {
    image: B256,
    #[serde(rename = "for")]
    kind: Kind,
    /// `waits`, `counts` or `revoked`, by the chain's clock.
    state: &'static str,
    /// Unix seconds.
    valid_from: u64,
    pcr0: String,
    pcr1: String,
    pcr2: String,
}

/// An image that was just named.
#[derive(Serialize)]
struct Proposed {
    image: B256,
    /// Unix seconds.
    valid_from: u64,
    #[serde(flatten)]
    sent: Sent,
}

pub(super) async fn run(command: ImagesCommand, print: &Printer) -> Result<(), ChainError> {
    match command {
        ImagesCommand::List(at) => list(&at, print).await,
        ImagesCommand::Propose(args) => propose(&args, print).await,
        ImagesCommand::Revoke(args) => revoke(&args, print).await,
    }
}

async fn list(at: &ReadArgs, print: &Printer) -> Result<(), ChainError> {
    let (provider, deployment) = at.open().await?;
    let registry = deployment.address(Name::EnclaveRegistry);
    let registry = EnclaveRegistry::new(registry, &provider);
    let now = super::session::chain_time(&provider).await?;
    let named = events::all(registry.ImageProposed_filter(), deployment.from_block).await?;
    let mut images = Vec::new();
    for image in named.into_iter().map(|found| found.event) {
        let known = registry.imageOf(image.imageId).call().await?;
        images.push(Named {
            image: image.imageId,
            kind: match known.kind {
                2 => Kind::Verifiers,
                _ => Kind::Workers,
            },
            state: match known.revoked {
                true => "revoked",
                false if now < known.validFrom.to::<u64>() => "waits",
                false => "counts",
            },
            valid_from: known.validFrom.to(),
            pcr0: hex::encode(&image.pcr0),
            pcr1: hex::encode(&image.pcr1),
            pcr2: hex::encode(&image.pcr2),
        });
    }
    print.result(&images, |images| {
        let line = |of: &Named| {
            let kind = match of.kind {
                Kind::Workers => "workers",
                Kind::Verifiers => "verifiers",
            };
            let from = of.valid_from;
            format!(
                "{} {kind} {} (from {from} on, Unix seconds)",
                of.image, of.state
            )
        };
        images.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

async fn propose(args: &ProposeArgs, print: &Printer) -> Result<(), ChainError> {
    let measurements = args.measurements()?;
    let (account, deployment) = args.send.open().await?;
    let call = EnclaveRegistry::proposeImageCall {
        measurements,
        kind: args.kind.number(),
    };
    let registry = deployment.address(Name::EnclaveRegistry);
    let done = print
        .send(&account, "propose", call_to(registry, &call))
        .await?;
    let named = done.receipt.decoded_log::<EnclaveRegistry::ImageProposed>();
    let named = named.ok_or_else(|| ChainError::BadAnswer("no event of it".to_owned()))?;
    let proposed = Proposed {
        image: named.imageId,
        valid_from: named.validFrom.to(),
        sent: Sent::from(&done),
    };
    print.result(&proposed, |of| {
        let (image, from) = (of.image, of.valid_from);
        format!(
            "image {image} counts from {from} on (Unix seconds)\n{}",
            of.sent.text()
        )
    })
}

async fn revoke(args: &RevokeArgs, print: &Printer) -> Result<(), ChainError> {
    let (account, deployment) = args.send.open().await?;
    let call = EnclaveRegistry::revokeImageCall {
        imageId: args.image,
    };
    let registry = deployment.address(Name::EnclaveRegistry);
    let done = print
        .send(&account, "revoke", call_to(registry, &call))
        .await?;
    print.result(&Sent::from(&done), Sent::text)
}

impl ProposeArgs {
    fn measurements(&self) -> Result<ImageList::Measurements, ChainError> {
        let set = match (&self.policy, self.pcr0, self.pcr1, self.pcr2) {
            (Some(path), ..) => only_set(path)?,
            (None, Some(pcr0), Some(pcr1), Some(pcr2)) => Measurements::new(pcr0, pcr1, pcr2),
            _ => {
                return Err(ChainError::Input(
                    "give --policy, or all three PCRs".to_owned(),
                ));
            }
        };
        let [pcr0, pcr1, pcr2] = [set.pcr0, set.pcr1, set.pcr2].map(|pcr| pcr.0.into());
        Ok(ImageList::Measurements { pcr0, pcr1, pcr2 })
    }
}

/// The one set of a policy: a registry takes images one by one.
fn only_set(path: &Path) -> Result<Measurements, ChainError> {
    let wrong = |reason: String| ChainError::Input(format!("{}: {reason}", path.display()));
    let mut policy = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_POLICY).read_to_end(&mut policy))
        .map_err(|error| wrong(error.to_string()))?;
    let policy = Policy::from_json(&policy).map_err(|error| wrong(error.to_string()))?;
    match policy.measurements() {
        [set] => Ok(set.clone()),
        sets => Err(wrong(format!(
            "has {} sets of measurements, not one",
            sets.len()
        ))),
    }
}
