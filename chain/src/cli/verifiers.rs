//! `nacre chain verifiers`: the first verifier enclaves, whom the approver names himself. Others come by these one's word
//! (`nacre chain keys register`), and all go by `nacre chain keys revoke`.

use std::collections::BTreeMap;

use alloy::primitives::aliases::U40;
use alloy::primitives::{Address, B256};
use clap::Subcommand;
use serde::Serialize;

use super::session::{Printer, ReadArgs, SendArgs, Sent, chain_time};
use crate::account::call_to;
use crate::contracts::EnclaveRegistry;
use crate::deployment::Name;
use crate::error::ChainError;
use crate::events;

/// What is done with verifiers.
#[derive(Debug, Clone, Subcommand)]
pub enum VerifiersCommand {
    /// List verifiers, and whether their word counts now.
    List(ReadArgs),
    /// Name a verifier whose document the approver checked himself. It can be enrolled after the registry's delay.
    Propose(ProposeArgs),
    /// Make a verifier that was named count, once its delay is over. Anybody may.
    Enrol(EnrolArgs),
}

/// Arguments of `propose`.
#[derive(Debug, Clone, clap::Args)]
pub struct ProposeArgs {
    /// Its key's address.
    key: Address,
    /// The image that it runs: SHA-256 of PCR0, PCR1 and PCR2.
    #[arg(long, value_name = "HEX")]
    image: B256,
    /// Until when its word counts, Unix seconds.
    #[arg(long, value_name = "SECONDS")]
    until: u64,
    #[command(flatten)]
    send: SendArgs,
}

/// Arguments of `enrol`.
#[derive(Debug, Clone, clap::Args)]
pub struct EnrolArgs {
    /// Its key's address.
    key: Address,
    #[command(flatten)]
    send: SendArgs,
}

/// A verifier as the registry has it.
#[derive(Serialize)]
struct Known {
    key: Address,
    image: B256,
    /// `waits`, `to-enrol`, `counts`, or `over`: revoked, or at its end.
    state: &'static str,
    /// Unix seconds.
    until: u64,
}

pub(super) async fn run(command: VerifiersCommand, print: &Printer) -> Result<(), ChainError> {
    match command {
        VerifiersCommand::List(at) => list(&at, print).await,
        VerifiersCommand::Propose(args) => {
            let until = U40::try_from(args.until);
            let until = until.map_err(|_| ChainError::Input("--until: no such time".to_owned()))?;
            let call = EnclaveRegistry::proposeVerifierCall {
                key: args.key,
                imageId: args.image,
                expiresAt: until,
            };
            send(&args.send, "propose", &call, print).await
        }
        VerifiersCommand::Enrol(args) => {
            let call = EnclaveRegistry::enrolVerifierCall { key: args.key };
            send(&args.send, "enrol", &call, print).await
        }
    }
}

async fn list(at: &ReadArgs, print: &Printer) -> Result<(), ChainError> {
    let (provider, deployment) = at.open().await?;
    let registry = deployment.address(Name::EnclaveRegistry);
    let registry = EnclaveRegistry::new(registry, &provider);
    let (now, from) = (chain_time(&provider).await?, deployment.from_block);
    let mut known: BTreeMap<Address, Known> = BTreeMap::new();
    for found in events::all(registry.VerifierProposed_filter(), from).await? {
        let named = found.event;
        let state = match now < named.validFrom.to::<u64>() {
            true => "waits",
            false => "to-enrol",
        };
        let (key, image, until) = (named.key, named.imageId, named.expiresAt.to());
        known.insert(
            key,
            Known {
                key,
                image,
                state,
                until,
            },
        );
    }
    for found in events::all(registry.VerifierRegistered_filter(), from).await? {
        let came = found.event;
        let state = match registry.isVerifier(came.key).call().await? {
            true => "counts",
            false => "over",
        };
        let (key, image, until) = (came.key, came.imageId, came.expiresAt.to());
        known.insert(
            key,
            Known {
                key,
                image,
                state,
                until,
            },
        );
    }
    let known: Vec<_> = known.into_values().collect();
    print.result(&known, |known| {
        let line = |of: &Known| {
            format!(
                "{} of image {} {} (until {}, Unix seconds)",
                of.key, of.image, of.state, of.until
            )
        };
        known.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

async fn send(
    args: &SendArgs,
    what: &str,
    call: &impl alloy::sol_types::SolCall,
    print: &Printer,
) -> Result<(), ChainError> {
    let (account, deployment) = args.open().await?;
    let registry = deployment.address(Name::EnclaveRegistry);
    let done = print.send(&account, what, call_to(registry, call)).await?;
    print.result(&Sent::from(&done), Sent::text)
}
