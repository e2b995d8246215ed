//! Operators give their nodes to organisations: what a node earned can then be asked for with the organisation's keys.

use nacre_protocol::api::commands::{ClaimNode, claim_message};

use super::node_commands::check_operator;
use super::{Key, Platform};
use crate::error::{CommandError, Error};
use crate::store::{commit, nodes, nonces};

impl Platform {
    /// Makes a node the organisation's whose key asks, by its operator's word for this very key. Nobody learns here whether a
    /// node exists: a stranger's signature is wrong for any.
    pub(crate) async fn claim_node(&self, key: &Key, claim: &ClaimNode) -> Result<(), Error> {
        let now = self.clock.now_ms();
        if !self.challenges.is_fresh(&claim.nonce, now) {
            return Err(CommandError::Nonce.into());
        }
        let mut tx = self.store.write().await?;
        let known = nodes::known(&mut tx, &claim.node).await?;
        let operator = known.ok_or(CommandError::Signature)?.operator;
        let message = claim_message(&claim.nonce, &claim.node, key.id.as_str());
        check_operator(&operator, &message, &claim.signature)?;
        if !nonces::take(&mut tx, &claim.nonce, now).await? {
            return Err(CommandError::Nonce.into());
        }
        nodes::claim(&mut tx, &claim.node, &key.organisation).await?;
        commit(tx).await?;
        let (node, organisation) = (claim.node, &key.organisation);
        tracing::info!(%node, %organisation, "the node is the organisation's");
        Ok(())
    }
}
