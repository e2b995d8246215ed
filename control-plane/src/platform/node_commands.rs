//! Operators' commands for their nodes: leave, stay, ask another price.

use ed25519_dalek::{Signature, VerifyingKey};
use nacre_protocol::api::commands::{NodeCommand, SignedCommand, command_message};
use nacre_protocol::ids::NodeId;
use nacre_scheduler::{Ask, Event};

use super::Platform;
use super::uptime::drains;
use crate::error::{CommandError, Error};
use crate::store::{nodes, nonces};

/// Longest announcement, milliseconds: 30 days.
const MAX_AHEAD_MS: u64 = 30 * 24 * 3600 * 1000;

impl Platform {
    /// Does what a node's operator says. Nobody learns here whether a node exists: a stranger's signature is wrong for any.
    pub(crate) async fn command(&self, node: NodeId, signed: SignedCommand) -> Result<(), Error> {
        let now = self.clock.now_ms();
        if !self.challenges.is_fresh(&signed.nonce, now) {
            return Err(CommandError::Nonce.into());
        }
        if let NodeCommand::Drain { until_ms, .. } = signed.command
            && until_ms > now.saturating_add(MAX_AHEAD_MS)
        {
            return Err(CommandError::Until.into());
        }
        let mut tx = self.store.write().await?;
        let known = nodes::known(&mut tx, &node).await?;
        let operator = known.ok_or(CommandError::Signature)?.operator;
        let message = command_message(&signed.nonce, &node, signed.command);
        let refused = |_| CommandError::Signature;
        let key = VerifyingKey::from_bytes(operator.as_bytes()).map_err(refused)?;
        let signature = Signature::from_bytes(&signed.signature);
        key.verify_strict(&message, &signature).map_err(refused)?;
        if !nonces::take(&mut tx, &signed.nonce, now).await? {
            return Err(CommandError::Nonce.into());
        }
        let event = match signed.command {
            NodeCommand::Drain { until_ms, back_ms } => {
                drains::commanded(&mut tx, node, until_ms, back_ms, now).await?
            }
            NodeCommand::Keep => {
                drains::end_told(&mut tx, &node, now).await?;
                Event::NodeKept { node }
            }
            NodeCommand::Ask { price } => Event::AskChanged {
                node,
                ask: Ask {
                    memory: price,
                    cpu: 0,
                },
            },
        };
        let changed = self.market(&mut tx, &[event], now).await?;
        self.commit(tx, changed).await?;
        tracing::info!(%node, command = ?signed.command, "the operator's command");
        Ok(())
    }
}
