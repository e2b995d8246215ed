//! The core of every attested program: who it is, that it is now, and the TLS that ends in it (DESIGN §3.1, §3.2).
//!
//! What a program answers is its own; how it proves itself is here, once. [`boot`] keeps the order that matters: the
//! module is asked for randomness before a key is made, and the register that tells verifiers what kind of node this is
//! (PCR16) is extended and locked before the first attestation. A [`Front`] then serves connections, and [`Node::answer`]
//! the paths that all programs have.

use std::io;
use std::sync::Arc;

use nacre_transport::BindError;
use sha2::{Digest as _, Sha256};
use x25519_dalek::StaticSecret;

use crate::clock::{AttestedClock, ClockUnavailable};
use crate::egress::EgressError;
use crate::freshness::Freshness;
use crate::identity::{Identity, KeyError, PrivateKeys, ReceiptKey};
use crate::nsm::{NsmError, NsmHandle};
use crate::tls::{Certificates, TlsError};

mod front;
mod paths;
pub mod rate;

pub use front::{Exporter, Front, FrontLimits, serve_plain};

/// The register that says what kind of node this is (DESIGN §3.1).
const NODE_PCR: u16 = 16;

/// Why a program did not come up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// The secure module does not do what it must.
    #[error(transparent)]
    Nsm(#[from] NsmError),
    /// The keys could not be made.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// No certificate or no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A listener could not be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The way out cannot be made.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(#[source] io::Error),
}

impl BootError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Nsm(_) => "nsm-unavailable",
            Self::Keys(_) => "keys-unavailable",
            Self::Tls(_) => "tls-unavailable",
            Self::Bind(_) => "address-unavailable",
            Self::Egress(error) => error.code(),
            Self::Thread(_) => "threads-unavailable",
        }
    }
}

/// What came up. The private keys are each somebody's: the TLS key is the front's, the others the program's.
pub struct Booted {
    /// What the program's parts share.
    pub node: Arc<Node>,
    /// The key that signs what the program answers.
    pub receipt_key: ReceiptKey,
    /// The public side.
    pub front: Front,
    /// Opens what is sealed to this boot. A program that takes nothing sealed lets it be wiped.
    pub(crate) sealing_key: StaticSecret,
}

/// Identity, fresh evidence and attested time.
#[derive(Debug)]
pub struct Node {
    identity: Arc<Identity>,
    freshness: Freshness,
    clock: Arc<AttestedClock>,
}

/// Makes this boot's keys, tells the hardware what kind of node it is (PCR16 is extended with SHA-256(`kind`) and locked),
/// and gets the first certificate.
///
/// # Errors
///
/// [`BootError`]; where PCR16 is locked already, the module refuses.
pub async fn boot(nsm: NsmHandle, kind: &[u8]) -> Result<Booted, BootError> {
    let module = nsm.describe().await?;
    let (identity, keys) = Identity::generate(&nsm.get_random().await?)?;
    let identity = Arc::new(identity);
    nsm.extend_pcr(NODE_PCR, Sha256::digest(kind).to_vec())
        .await?;
    nsm.lock_pcr(NODE_PCR).await?;
    tracing::info!(module = module.module_id, boot = %identity.boot_id(), "keys made, PCR16 locked");

    let clock = Arc::new(AttestedClock::default());
    let PrivateKeys { tls, receipt, hpke } = keys;
    let (certificates, next_certificate) =
        Certificates::issue_first(tls, nsm.clone(), Arc::clone(&identity), Arc::clone(&clock))
            .await?;
    let front = Front::new(certificates, next_certificate)?;
    let node = Node {
        freshness: Freshness::start(nsm, Arc::clone(&identity), Arc::clone(&clock)),
        identity,
        clock,
    };
    Ok(Booted {
        node: Arc::new(node),
        receipt_key: ReceiptKey::new(receipt),
        front,
        sealing_key: hpke,
    })
}

impl Node {
    /// Who this boot is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Evidence for whoever asks.
    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// The clock itself.
    pub fn clock(&self) -> &Arc<AttestedClock> {
        &self.clock
    }

    /// Attested time, Unix milliseconds.
    ///
    /// # Errors
    ///
    /// [`ClockUnavailable`] while the module is silent or its time was stepped back; then nothing may be signed.
    pub fn now(&self) -> Result<u64, ClockUnavailable> {
        self.clock.now()
    }
}
