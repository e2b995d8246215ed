//! `nacre-verifier`: verifies Nitro attestation documents for smart contracts, inside an enclave of its own.

use std::num::NonZeroU32;
use std::process::ExitCode;

use clap::{Args, Parser};
use nacre_enclave::node::rate::Rate;
use nacre_enclave::program::{self, Ending, Mode, Place, Refusal};
use nacre_transport::Address;
use nacre_verifier::desk::DeskLimits;
use nacre_verifier::root;
use nacre_verifier::server::{Config, boot};

/// Verifies AWS Nitro attestation documents and signs what they say, for smart contracts.
///
/// POST /v1/verify on attested TLS takes {document, operator, chainId, verifyingContract, nonce?} and gives the verified
/// claims with an EIP-712 signature over VerifiedEnclave. The trusted root is compiled in: no argument, variable or file
/// changes it. Prints the line "ready" when it accepts connections.
#[derive(Debug, Parser)]
#[command(name = "nacre-verifier", version)]
struct Arguments {
    #[command(subcommand)]
    mode: Mode<Common, ProcessOnly>,
}

#[derive(Debug, Args)]
struct Common {
    /// Where Prometheus reads, without TLS: vsock://any:PORT; in process mode unix:PATH or tcp://127.0.0.1:PORT
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<Address>,
    /// Requests a second that are answered in all
    #[arg(long, value_name = "N", default_value_t = rate(DeskLimits::default().rate.per_second))]
    rate: NonZeroU32,
    /// Requests a second that are answered on one connection
    #[arg(long, value_name = "N", default_value_t = rate(DeskLimits::default().connection_rate.per_second))]
    connection_rate: NonZeroU32,
}

/// Process mode asks for nothing more.
#[derive(Debug, Args)]
struct ProcessOnly {}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    program::run(|| async {
        let listening = |common: &Common, _: &ProcessOnly| common.metrics.iter().cloned().collect();
        let (place, common, _) = arguments.mode.place("nacre-verifier", listening)?;
        serve(place, common).await
    })
}

async fn serve(place: Place, common: Common) -> Result<(), Refusal> {
    let ending = Ending::prepare(&place)?;
    let roots = root::compiled_in().map_err(|error| Refusal::new("root-certificate", error))?;
    let mut config = Config::new(place.tls, roots);
    config.metrics = common.metrics;
    // Twice the rate at once, as by default.
    let twice = |rate: NonZeroU32| Rate {
        per_second: rate.get(),
        burst: rate.get().saturating_mul(2),
    };
    config.desk.rate = twice(common.rate);
    config.desk.connection_rate = twice(common.connection_rate);
    let verifier = boot(place.nsm, config).await?;
    tracing::info!(tls = %verifier.tls_address(), signer = %verifier.signer(), "listening");
    ending.ready_until().await;
    verifier.stop().await;
    Ok(())
}

fn rate(per_second: u32) -> NonZeroU32 {
    NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN)
}
