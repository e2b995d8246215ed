//! Receipt keys that nodes offer to smart contracts: checked as a contract would, so that nobody who registers keys pays for
//! one that the registry refuses.

use nacre_protocol::api::Page;
use nacre_protocol::api::chain::{ChainKey, MAX_REGISTRIES, PublishChainKeys};
use nacre_protocol::evidence::register_leaf;
use nacre_protocol::identity::IdentityStatement;
use nacre_protocol::ids::{NodeId, OrganisationName};
use nacre_protocol::operator_consent::OperatorConsent;
use nacre_protocol::verified_enclave::ContractDomain;

use super::Platform;
use crate::error::{ChainKeyError, Error, RegistrationError};
use crate::store::chain_keys::{self, Shown};
use crate::store::{commit, nodes, nonces};

/// What cursors of the list are sealed for.
const LIST: &str = "chain-keys";

impl Platform {
    /// Takes what a node's enclave agreed to, instead of what it agreed to before.
    pub(crate) async fn publish_chain_keys(
        &self,
        node: NodeId,
        request: PublishChainKeys,
    ) -> Result<(), Error> {
        check_form(&request)?;
        let now = self.clock.now_ms();
        self.check_nonce(&request.nonce, now).await?;
        let mut tx = self.store.read().await?;
        let known = nodes::known(&mut tx, &node).await?;
        drop(tx);
        let known = known.ok_or(Error::Unauthenticated)?;
        let leaf = register_leaf(&request.nonce, &known.operator, &node);
        let (statement, document_ms) = self.check_evidence(&request.evidence, &leaf, now)?;
        let consent = check_consents(&request, &statement)?;

        let mut tx = self.store.write().await?;
        if !nonces::take(&mut tx, &request.nonce, now).await? {
            return Err(RegistrationError::Nonce.into());
        }
        if nodes::boot(&mut tx, &node).await? != Some(statement.boot_id) {
            return Err(ChainKeyError::Boot.into());
        }
        let shown = Shown {
            node,
            boot: statement.boot_id,
            receipt_key: consent.receipt_key,
            operator: consent.operator,
            document: &request.evidence.document,
            document_ms,
        };
        chain_keys::replace(&mut tx, shown, &request.consents).await?;
        commit(tx).await?;
        tracing::debug!(%node, operator = %consent.operator, key = %consent.receipt_key, "receipt key offered");
        Ok(())
    }

    /// A page of keys that can be registered, at all registries or at one.
    pub(crate) async fn chain_keys(
        &self,
        organisation: &OrganisationName,
        registry: Option<&ContractDomain>,
        after: &str,
        limit: u32,
    ) -> Result<Page<ChainKey>, Error> {
        let after = self.cursors.open(LIST, organisation, after, position)?;
        let mut tx = self.store.read().await?;
        let rows = chain_keys::page(&mut tx, registry, after, limit + 1).await?;
        Ok(self.cursors.page(LIST, organisation, rows, limit, |key| {
            format!("{} {}", key.node, key.domain())
        }))
    }
}

fn position(text: &str) -> Option<(NodeId, ContractDomain)> {
    let (node, registry) = text.split_once(' ')?;
    Some((node.parse().ok()?, registry.parse().ok()?))
}

fn check_form(request: &PublishChainKeys) -> Result<(), ChainKeyError> {
    let consents = &request.consents;
    if !(1..=MAX_REGISTRIES).contains(&consents.len()) {
        return Err(ChainKeyError::Count(consents.len()));
    }
    for (at, consent) in consents.iter().enumerate() {
        let domain = consent.domain();
        if consents[..at].iter().any(|other| other.domain() == domain) {
            return Err(ChainKeyError::Twice(domain));
        }
    }
    if request.operator.as_bytes() == &[0; 20] {
        return Err(ChainKeyError::Nobody);
    }
    Ok(())
}

/// That the statement's receipt key signed each of them.
fn check_consents(
    request: &PublishChainKeys,
    statement: &IdentityStatement,
) -> Result<OperatorConsent, ChainKeyError> {
    let consent = OperatorConsent::of(&statement.receipt_key, request.operator);
    for given in &request.consents {
        let domain = given.domain();
        let signed = consent.filter(|consent| consent.is_signed(&domain, &given.consent));
        signed.ok_or(ChainKeyError::Consent(domain))?;
    }
    let first = request.consents.first().map(|first| first.domain());
    consent.ok_or_else(|| first.map_or(ChainKeyError::Count(0), ChainKeyError::Consent))
}
