//! Evidence as it travels (DESIGN §3.2): a document, the identity statement it vouches for, and the path from the
//! asker's leaf to the document's nonce.

use serde::{Deserialize, Serialize};

use crate::encoding::{base64url_array, base64url_bytes, base64url_hashes};
use crate::ids::{NodeId, OperatorId};
use crate::merkle::{Hash, InclusionError, leaf_hash, verify_inclusion};

/// Longest attestation document that is looked at (DESIGN §4).
pub const MAX_DOCUMENT: usize = 16 * 1024;

/// Longest JSON body of [`Evidence`] that a client reads.
pub const MAX_EVIDENCE_JSON: usize = 32 * 1024;

/// The label of RFC 9266's `tls-exporter` channel binding; the context is empty, the output 32 bytes.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// The answer of `GET /.well-known/nacre/attestation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Evidence {
    /// The attestation document (COSE_Sign1), base64url. Its nonce is the root of the freshness tree.
    #[serde(with = "base64url_bytes")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub document: Vec<u8>,
    /// The identity statement (deterministic CBOR), base64url.
    #[serde(with = "base64url_bytes")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub statement: Vec<u8>,
    /// Where the asker's leaf stands.
    pub leaf_index: u32,
    /// How many leaves the tree has, at most 65,536.
    pub tree_size: u32,
    /// Inclusion path, from the leaf's sibling up; each hash base64url.
    #[serde(with = "base64url_hashes")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub path: Vec<Hash>,
}

impl Evidence {
    /// Checks that `leaf` is in the tree whose root is the document's nonce. The caller takes `nonce` from a *verified*
    /// document.
    pub fn verify_leaf(&self, leaf: &Hash, nonce: &[u8]) -> Result<(), InclusionError> {
        let root: &Hash = nonce.try_into().map_err(|_| InclusionError::Root)?;
        verify_inclusion(leaf, self.leaf_index, self.tree_size, &self.path, root)
    }
}

/// The leaf that binds evidence to one TLS connection.
pub fn channel_leaf(nonce: &[u8; 32], exporter: &[u8; 32]) -> Hash {
    leaf_hash(&[b"nacre/channel/v1", nonce, exporter])
}

/// The leaf that binds evidence to one registration: one boot, one node, one operator (DESIGN §6).
pub fn register_leaf(nonce: &[u8; 32], operator: &OperatorId, node: &NodeId) -> Hash {
    leaf_hash(&[
        b"nacre/register/v1",
        nonce,
        operator.as_bytes(),
        node.as_bytes(),
    ])
}

/// The bytes that an operator signs (Ed25519) to register a node: the leaf itself, under a domain of its own.
pub fn registration_message(leaf: &Hash) -> Vec<u8> {
    [b"nacre/registration/v1\x00".as_slice(), leaf].concat()
}

/// What a node asks its enclave for when it registers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationChallenge {
    /// The control plane's nonce.
    #[serde(with = "base64url_array")]
    pub nonce: [u8; 32],
    /// The operator who registers.
    pub operator: OperatorId,
    /// The node that is registered.
    pub node: NodeId,
}
