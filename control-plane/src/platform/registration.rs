//! Nodes register: the operator's signature, and evidence of an enclave made for this very registration (DESIGN §6).

use ed25519_dalek::{Signature, VerifyingKey};
use nacre_attestation_verifier::{UnixMillis, VerificationTime, verify};
use nacre_protocol::api::{Challenge, RegisterNode, Registered};
use nacre_protocol::evidence::{Evidence, register_leaf, registration_message};
use nacre_protocol::identity::IdentityStatement;
use nacre_protocol::ids::OrganisationName;
use nacre_protocol::merkle::Hash;
use nacre_scheduler::{Event, MAX_CPU, MAX_MEMORY, MAX_NAME, MAX_PRICE, Report};

use super::Platform;
use super::uptime::drains;
use crate::endpoint::is_endpoint;
use crate::error::{Error, RegistrationError};
use crate::store::market::seed;
use crate::store::uptime::circumstances;
use crate::store::{Transaction, deployments, nodes, nonces};
use crate::token::mint_node_token;

impl Platform {
    /// A nonce for one registration.
    pub(crate) fn challenge(&self) -> Result<Challenge, Error> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)?;
        let nonce = self.challenges.issue(random, self.clock.now_ms());
        Ok(Challenge { nonce })
    }

    /// Registers a node or its enclave's new boot, for an organisation if a key of one came along: its operator's word and
    /// the organisation's. The former token ends; after a new boot all leases are loading.
    pub(crate) async fn register(
        &self,
        request: RegisterNode,
        organisation: Option<&OrganisationName>,
    ) -> Result<Registered, Error> {
        check_form(&request)?;
        let now = self.clock.now_ms();
        self.check_nonce(&request.nonce, now).await?;
        let leaf = register_leaf(&request.nonce, &request.operator, &request.id);
        // From the cheap to the dear, so that strangers cannot make us work.
        check_signature(&request, &registration_message(&leaf))?;
        let (statement, _) = self.check_evidence(&request.evidence, &leaf, now)?;
        let boot = statement.boot_id;
        let token = mint_node_token(&request.id)?;

        let mut tx = self.store.write().await?;
        // Of two at the same moment, the second finds it taken.
        if !nonces::take(&mut tx, &request.nonce, now).await? {
            return Err(RegistrationError::Nonce.into());
        }
        let known = nodes::known(&mut tx, &request.id).await?;
        if known
            .as_ref()
            .is_some_and(|known| known.operator != request.operator)
        {
            return Err(RegistrationError::Operator(request.id).into());
        }
        let owner = nodes::node_of_boot(&mut tx, &boot).await?;
        if owner.is_some_and(|owner| owner != request.id) {
            return Err(RegistrationError::BootTaken.into());
        }
        let hash = token.hash;
        nodes::register(&mut tx, &request, &statement, hash, organisation, now).await?;
        let another = known.as_ref().is_some_and(|known| known.boot_id != boot);
        let unreachable =
            circumstances::note_boot(&mut tx, &request.id, &boot, another, now).await?;
        drains::back(&mut tx, &request.id, now).await?;
        let mut events = registered(&mut tx, &request, another).await?;
        if unreachable {
            let node = request.id;
            events.push(Event::NodeOffline { node });
        }
        let affected = deployments::on_nodes(&mut tx, &[request.id]).await?;
        let changed = self.market(&mut tx, &events, now).await?;
        let changed = changed.deployments(affected).nodes([request.id]);
        self.commit(tx, changed).await?;
        tracing::info!(
            node = %request.id, operator = %request.operator, %boot, root = %self.roots.kind(), "node registered"
        );
        Ok(Registered {
            token: token.text,
            report_every_ms: u64::try_from(self.report_every.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// That the nonce was given out lately and not used so far.
    pub(super) async fn check_nonce(&self, nonce: &[u8; 32], now_ms: u64) -> Result<(), Error> {
        let fresh = self.challenges.is_fresh(nonce, now_ms);
        if !fresh {
            return Err(RegistrationError::Nonce.into());
        }
        let mut tx = self.store.read().await?;
        if nonces::is_used(&mut tx, nonce).await? {
            return Err(RegistrationError::Nonce.into());
        }
        Ok(())
    }

    /// That an enclave of the platform's images made this evidence for this leaf: who it is, and when it did.
    pub(super) fn check_evidence(
        &self,
        evidence: &Evidence,
        leaf: &Hash,
        now_ms: u64,
    ) -> Result<(IdentityStatement, u64), RegistrationError> {
        let statement = IdentityStatement::decode(&evidence.statement)?;
        let at = VerificationTime::Live(UnixMillis(now_ms));
        let verified = verify(&evidence.document, &self.roots, at)?;
        let trusted = verified.appraise(&self.node_policy)?;
        let verified = trusted.evidence();
        let unvouched = RegistrationError::Unvouched;
        verified
            .require_user_data(&statement.user_data())
            .map_err(unvouched)?;
        verified
            .require_public_key(&statement.receipt_key)
            .map_err(unvouched)?;
        let nonce = verified.nonce().ok_or(RegistrationError::NoNonce)?;
        evidence.verify_leaf(leaf, nonce)?;
        Ok((statement, verified.timestamp_ms()))
    }
}

/// What the market hears of a registration. A node that is here again stays; its enclave's new boot has nothing loaded.
async fn registered(
    tx: &mut Transaction,
    request: &RegisterNode,
    new_boot: bool,
) -> Result<Vec<Event>, Error> {
    let node = request.id;
    let offer = seed::offer(tx, &node).await?;
    let offer = offer.ok_or(Error::Internal("a registered node vanished"))?;
    let mut events = vec![Event::NodeOffered(offer), Event::NodeKept { node }];
    if new_boot {
        for held in deployments::held_by(tx, &node).await? {
            let report = match held.draining_ms {
                None => Report::Loading,
                Some(_) => Report::Drained,
            };
            let lease = held.id;
            events.push(Event::LeaseReported {
                node,
                lease,
                report,
            });
        }
        deployments::reset_leases(tx, &node).await?;
    }
    Ok(events)
}

fn check_form(request: &RegisterNode) -> Result<(), RegistrationError> {
    if !is_endpoint(&request.endpoint) {
        let shown: String = request.endpoint.chars().take(300).collect();
        return Err(RegistrationError::Endpoint(shown));
    }
    let offer = request.offer;
    let dear = offer.price > MAX_PRICE || offer.cpu_price > MAX_PRICE;
    if offer.memory_bytes > MAX_MEMORY || offer.cpu_milli > MAX_CPU || dear {
        return Err(RegistrationError::Offer);
    }
    if request.region.is_empty() || request.region.len() > MAX_NAME {
        return Err(RegistrationError::Region);
    }
    Ok(())
}

fn check_signature(request: &RegisterNode, message: &[u8]) -> Result<(), RegistrationError> {
    let refused = |_| RegistrationError::Signature;
    let key = VerifyingKey::from_bytes(request.operator.as_bytes()).map_err(refused)?;
    let signature = Signature::from_bytes(&request.signature);
    key.verify_strict(message, &signature).map_err(refused)
}
