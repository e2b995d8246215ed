//! Offering the enclave's receipt key to smart contracts: its consent to work for the operator's address at each registry, and
//! a document that is young enough to be registered with, both at the control plane.
//!
//! The host only carries them. The enclave signs for whatever address it is told, which is why a node whose host lies about the
//! operator is worth nothing to that host: see [`nacre_protocol::operator_consent`].

use std::time::Duration;

use nacre_protocol::api::chain::{PUBLISH_EVERY_S, PublishChainKeys, RegistryConsent};
use nacre_protocol::control::AskConsent;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::evidence::RegistrationChallenge;
use nacre_protocol::verified_enclave::ContractDomain;
use tokio::time::timeout;

use super::platform::{PlatformError, Session};
use super::{Boot, Link};
use crate::backoff::{Backoff, pause};
use crate::control::ControlError;

/// Longest pause before an offer is made again that did not come through.
const RETRY: Duration = Duration::from_secs(30);

/// For whom the enclave's receipt key is to work on chain, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainOffer {
    /// The operator's Ethereum address.
    pub operator: EthAddress,
    /// The registries, each once.
    pub registries: Vec<ContractDomain>,
}

#[derive(Debug, thiserror::Error)]
enum OfferError {
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error(transparent)]
    Enclave(#[from] ControlError),
}

/// Offers the key of this boot in each session anew, and again before the document is old. Never ends.
pub(super) async fn keep_offering(link: &Link, boot: &Boot) {
    let Some(offer) = &link.config.chain else {
        return std::future::pending().await;
    };
    let mut sessions = link.session.subscribe();
    let mut backoff = Backoff::new(Duration::from_millis(200), RETRY);
    loop {
        let session = link.session_of(boot.id).await;
        match publish(link, boot, offer, &session).await {
            Ok(()) => {
                tracing::info!(operator = %offer.operator, registries = offer.registries.len(), "receipt key offered");
                backoff.reset();
                let same = |now: &Option<Session>| {
                    now.as_ref().is_some_and(|now| now.token == session.token)
                };
                let every = Duration::from_secs(PUBLISH_EVERY_S);
                // A control plane that lost the session may have lost the offer, too.
                let _ = timeout(every, sessions.wait_for(|now| !same(now))).await;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot offer the enclave's receipt key to smart contracts");
                // Whether the session has ended is for the reports to find out.
                pause(backoff.next_jittered()).await;
            }
        }
    }
}

async fn publish(
    link: &Link,
    boot: &Boot,
    offer: &ChainOffer,
    session: &Session,
) -> Result<(), OfferError> {
    let identity = &link.config.identity;
    let mut consents = Vec::new();
    for registry in &offer.registries {
        let ask = AskConsent {
            operator: offer.operator,
            chain_id: registry.chain_id,
            registry: registry.verifying_contract,
        };
        consents.push(RegistryConsent {
            chain_id: ask.chain_id,
            registry: ask.registry,
            consent: boot.control.consent(&ask).await?.consent,
        });
    }
    let nonce = link.platform.challenge().await?.nonce;
    let challenge = RegistrationChallenge {
        nonce,
        operator: identity.operator(),
        node: identity.node,
    };
    let keys = PublishChainKeys {
        operator: offer.operator,
        consents,
        nonce,
        evidence: boot.control.evidence(&challenge).await?,
    };
    let published = link
        .platform
        .publish_chain_keys(session, identity.node, &keys);
    Ok(published.await?)
}
