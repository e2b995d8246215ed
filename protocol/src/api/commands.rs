//! What an operator tells the market of a node, signed with the operator's key: from the node itself, or from elsewhere.

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;

/// `POST /v1/nodes/{id}/commands`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignedCommand {
    /// What is to be done.
    pub command: NodeCommand,
    /// The nonce of `POST /v1/nodes/challenges`; each is taken once.
    #[serde(with = "crate::encoding::base64url_array")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub nonce: [u8; 32],
    /// The operator's Ed25519 signature over [`command_message`], base64url.
    #[serde(with = "crate::encoding::base64url_array")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: [u8; 64],
}

/// What is to be done with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum NodeCommand {
    /// It leaves: its replicas move elsewhere; those that cannot end then. From then on its absence counts as announced now.
    Drain {
        /// Unix milliseconds.
        until_ms: u64,
        /// When it is back and takes new replicas again, at most 7 days later. Absent: when it registers again or is kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        back_ms: Option<u64>,
    },
    /// It stays after all, or is back: what it was to leave for ends now.
    Keep,
    /// It asks another price from now on; leases keep theirs until their terms end.
    Ask {
        /// Micro-units per GiB-second.
        price: u64,
        /// Micro-units per CPU-second; absent: what it asked before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cpu_price: Option<u64>,
    },
}

/// The bytes that an operator signs: `nacre/node-command/v1`, a zero byte, nonce, node id, one byte for the command (1
/// drain, 2 keep, 3 ask for memory, 4 ask for memory and processors) and its number as 8 bytes, big-endian; a second number,
/// where it is given (`back_ms`, `cpu_price`), follows in the same way.
pub fn command_message(nonce: &[u8; 32], node: &NodeId, command: NodeCommand) -> Vec<u8> {
    let (kind, number, more) = match command {
        NodeCommand::Drain { until_ms, back_ms } => (1, until_ms, back_ms),
        NodeCommand::Keep => (2, 0, None),
        NodeCommand::Ask { price, cpu_price } => match cpu_price {
            None => (3, price, None),
            Some(_) => (4, price, cpu_price),
        },
    };
    let more = more.map(u64::to_be_bytes);
    [
        b"nacre/node-command/v1\x00".as_slice(),
        nonce,
        node.as_bytes(),
        &[kind],
        &number.to_be_bytes(),
        more.as_ref().map_or(&[], |more| more.as_slice()),
    ]
    .concat()
}

/// `POST /v1/nodes/claims`: a node that was registered by its operator's word alone, or for another organisation, is from now
/// on that of the API key which comes along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClaimNode {
    /// The node.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub node: NodeId,
    /// The nonce of `POST /v1/nodes/challenges`; each is taken once.
    #[serde(with = "crate::encoding::base64url_array")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub nonce: [u8; 32],
    /// The operator's Ed25519 signature over [`claim_message`], base64url.
    #[serde(with = "crate::encoding::base64url_array")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: [u8; 64],
}

/// The bytes that an operator signs to give a node to an organisation: `nacre/node-claim/v1`, a zero byte, nonce, node id, and
/// the public id of the API key that it is claimed with (the hex digits after `nacre_`). So nobody else's key can use it.
pub fn claim_message(nonce: &[u8; 32], node: &NodeId, key_id: &str) -> Vec<u8> {
    let head = b"nacre/node-claim/v1\x00".as_slice();
    [head, nonce, node.as_bytes(), key_id.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_commands_are_signed_alike() {
        let (nonce, node) = ([1; 32], NodeId::from_random([2; 16]));
        let drain = |until_ms, back_ms| NodeCommand::Drain { until_ms, back_ms };
        let ask = |price, cpu_price| NodeCommand::Ask { price, cpu_price };
        let commands = [
            drain(0, None),
            drain(1, None),
            drain(0, Some(0)),
            drain(0, Some(1)),
            NodeCommand::Keep,
            ask(0, None),
            ask(1, None),
            ask(0, Some(0)),
            ask(0, Some(1)),
            ask(1, Some(0)),
        ];
        let mut messages: Vec<_> = commands
            .iter()
            .map(|command| command_message(&nonce, &node, *command))
            .collect();
        messages.push(command_message(&[3; 32], &node, commands[0]));
        messages.push(command_message(
            &nonce,
            &NodeId::from_random([3; 16]),
            commands[0],
        ));
        messages.sort();
        messages.dedup();
        assert_eq!(messages.len(), 12);
        let text = serde_json::to_string(&commands[1]).unwrap();
        assert_eq!(text, r#"{"drain":{"until_ms":1}}"#);
    }
}
