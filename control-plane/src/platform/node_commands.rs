//! Operators' commands for their nodes: leave, stay, ask another price.

use ed25519_dalek::{Signature, VerifyingKey};
use nacre_protocol::api::commands::{NodeCommand, SignedCommand, command_message};
use nacre_protocol::ids::{NodeId, OperatorId};
use nacre_scheduler::{Ask, Event};

use super::Platform;
use super::uptime::drains;
use crate::error::{CommandError, Error};
use crate::store::market::seed;
use crate::store::{Transaction, nodes, nonces};

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
        check_operator(&operator, &message, &signed.signature)?;
        if !nonces::take(&mut tx, &signed.nonce, now).await? {
            return Err(CommandError::Nonce.into());
        }
        let event = event(&mut tx, node, signed.command, now).await?;
        let changed = self.market(&mut tx, &[event], now).await?;
        self.commit(tx, changed).await?;
        tracing::info!(%node, command = ?signed.command, "the operator's command");
        Ok(())
    }
}

/// Whether the operator signed this.
pub(super) fn check_operator(
    operator: &OperatorId,
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), CommandError> {
    let refused = |_| CommandError::Signature;
    let key = VerifyingKey::from_bytes(operator.as_bytes()).map_err(refused)?;
    let signature = Signature::from_bytes(signature);
    key.verify_strict(message, &signature).map_err(refused)
}

/// What the market hears of it.
async fn event(
    tx: &mut Transaction,
    node: NodeId,
    command: NodeCommand,
    now_ms: u64,
) -> Result<Event, Error> {
    Ok(match command {
        NodeCommand::Drain { until_ms, back_ms } => {
            drains::commanded(tx, node, until_ms, back_ms, now_ms).await?
        }
        NodeCommand::Keep => {
            drains::end_told(tx, &node, now_ms).await?;
            Event::NodeKept { node }
        }
        NodeCommand::Ask { price, cpu_price } => {
            let offer = seed::offer(tx, &node).await?;
            let before = offer.ok_or(Error::Internal("a registered node vanished"))?;
            let ask = Ask {
                memory: price,
                cpu: cpu_price.unwrap_or(before.ask.cpu),
            };
            Event::AskChanged { node, ask }
        }
    })
}
