//! Keeping this boot registered: challenge, evidence, signature, token.

use std::time::Duration;

use ed25519_dalek::Signer as _;
use nacre_protocol::api::{Offer, RegisterNode};
use nacre_protocol::evidence::{RegistrationChallenge, register_leaf, registration_message};
use tokio::time::Instant;

use super::platform::{PlatformError, Session};
use super::{Boot, Link, platform_backoff};
use crate::backoff::pause;
use crate::control::ControlError;

/// A registration that lasted this long was a good one.
const GOOD: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
enum RegisterError {
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error(transparent)]
    Enclave(#[from] ControlError),
}

/// Registers whenever there is no session of this boot.
pub(super) async fn keep_registered(link: &Link, boot: &Boot) {
    let mut sessions = link.session.subscribe();
    let mut backoff = platform_backoff();
    loop {
        let registered =
            |session: &Option<Session>| session.as_ref().is_some_and(|s| s.boot == boot.id);
        if sessions
            .wait_for(|session| !registered(session))
            .await
            .is_err()
        {
            return;
        }
        match register(link, boot).await {
            Ok(session) => {
                tracing::info!(node = %link.config.identity.node, boot = %boot.id, "registered");
                let since = Instant::now();
                link.session.send_replace(Some(session));
                link.config.work.registered(true);
                // Wait for its end here, to tell a good session from one that is refused at once.
                if sessions
                    .wait_for(|session| !registered(session))
                    .await
                    .is_err()
                {
                    return;
                }
                if since.elapsed() >= GOOD {
                    backoff.reset();
                    continue;
                }
            }
            Err(error) => tracing::warn!(%error, "cannot register"),
        }
        pause(backoff.next_jittered()).await;
    }
}

async fn register(link: &Link, boot: &Boot) -> Result<Session, RegisterError> {
    let identity = &link.config.identity;
    let nonce = link.platform.challenge().await?.nonce;
    let challenge = RegistrationChallenge {
        nonce,
        operator: identity.operator(),
        node: identity.node,
    };
    let evidence = boot.control.evidence(&challenge).await?;
    let leaf = register_leaf(&nonce, &challenge.operator, &challenge.node);
    let signature = identity.operator_key.sign(&registration_message(&leaf));
    let registration = RegisterNode {
        id: identity.node,
        operator: challenge.operator,
        endpoint: link.config.endpoint.clone(),
        region: link.config.region.clone(),
        offer: Offer {
            memory_bytes: boot.memory_bytes,
            cpu_milli: boot.processors.saturating_mul(1000),
            price: link.config.price,
            cpu_price: link.config.cpu_price,
        },
        nonce,
        evidence,
        signature: signature.to_bytes(),
    };
    Ok(link.platform.register(&registration).await?)
}
