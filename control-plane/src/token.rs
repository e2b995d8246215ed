//! Bearer tokens: what callers present, and the hash that is kept.
//!
//! An API key is `nacre_<16 hex digits>_<43 base64url>`, a node's token `node_<32 hex digits>_<43 base64url>`: a public
//! id to look it up by, and 32 random bytes of which only the SHA-256 is stored. A fast hash is right here: nobody
//! guesses 256 random bits.

use core::fmt;

use nacre_protocol::encoding::{array_from_base64url, base64url};
use nacre_protocol::ids::NodeId;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

const KEY_PREFIX: &str = "nacre_";
const NODE_PREFIX: &str = "node_";
const KEY_ID_DIGITS: usize = 16;
const NODE_ID_DIGITS: usize = 32;

/// The id of an API key: 16 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// Reads 16 lowercase hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == KEY_ID_DIGITS && text.bytes().all(digits)).then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no key's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key's id must be the 16 lowercase hex digits after `nacre_`")]
pub struct KeyIdError;

impl core::str::FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        Self::parse(text).ok_or(KeyIdError)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of a token's secret part.
#[derive(Clone, Copy)]
pub(crate) struct SecretHash([u8; 32]);

impl SecretHash {
    fn of(secret: &[u8; 32]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Takes the 64 hex digits that the store keeps.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// For the store.
    pub(crate) fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// Compares in constant time.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

/// A token that was just made: the only moment at which its text exists here.
pub(crate) struct Minted {
    /// What the holder presents. Secret.
    pub text: String,
    /// What is stored.
    pub hash: SecretHash,
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Minted(..)")
    }
}

/// Makes an API key.
pub(crate) fn mint_key() -> Result<(KeyId, Minted), getrandom::Error> {
    let mut id = [0; KEY_ID_DIGITS / 2];
    getrandom::fill(&mut id)?;
    let id = KeyId(hex::encode(id));
    let minted = mint(&format!("{KEY_PREFIX}{id}"))?;
    Ok((id, minted))
}

/// Makes a new secret for an API key.
pub(crate) fn mint_key_again(id: &KeyId) -> Result<Minted, getrandom::Error> {
    mint(&format!("{KEY_PREFIX}{id}"))
}

/// Makes a node's token.
pub(crate) fn mint_node_token(node: &NodeId) -> Result<Minted, getrandom::Error> {
    mint(&format!("{NODE_PREFIX}{}", hex::encode(node.as_bytes())))
}

fn mint(public: &str) -> Result<Minted, getrandom::Error> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    Ok(Minted {
        text: format!("{public}_{}", base64url(&secret)),
        hash: SecretHash::of(&secret),
    })
}

/// A token as a caller presents it, read but not yet believed.
#[derive(Debug)]
pub(crate) enum Presented {
    /// Claims to be this API key.
    ApiKey(KeyId, SecretHash),
    /// Claims to be this node.
    Node(NodeId, SecretHash),
}

impl Presented {
    /// Reads a token; `None` when it has neither form.
    pub(crate) fn parse(token: &str) -> Option<Self> {
        if let Some(rest) = token.strip_prefix(KEY_PREFIX) {
            let (id, hash) = split(rest, KEY_ID_DIGITS)?;
            return Some(Self::ApiKey(KeyId::parse(id)?, hash));
        }
        let (id, hash) = split(token.strip_prefix(NODE_PREFIX)?, NODE_ID_DIGITS)?;
        Some(Self::Node(format!("node_{id}").parse().ok()?, hash))
    }
}

fn split(rest: &str, digits: usize) -> Option<(&str, SecretHash)> {
    let (id, secret) = rest.split_at_checked(digits)?;
    let secret: [u8; 32] = array_from_base64url(secret.strip_prefix('_')?).ok()?;
    Some((id, SecretHash::of(&secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_form_that_is_promised_and_reads_back() {
        let (id, minted) = mint_key().unwrap();
        assert_eq!(minted.text.len(), "nacre_".len() + 16 + 1 + 43);
        let Some(Presented::ApiKey(read, hash)) = Presented::parse(&minted.text) else {
            panic!("not read: {}", minted.text);
        };
        assert_eq!(read, id);
        assert!(hash.matches(&minted.hash));
        let (_, other) = mint_key().unwrap();
        assert!(!hash.matches(&other.hash));
    }

    #[test]
    fn a_nodes_token_names_its_node() {
        let node = NodeId::from_random([0xab; 16]);
        let minted = mint_node_token(&node).unwrap();
        let Some(Presented::Node(read, hash)) = Presented::parse(&minted.text) else {
            panic!("not read: {}", minted.text);
        };
        assert_eq!(read, node);
        assert!(hash.matches(&minted.hash));
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let good = mint_key().unwrap().1.text;
        for bad in [
            String::new(),
            "nacre_".into(),
            good[..good.len() - 1].into(),
            format!("{good}A"),
            good.replace("nacre_", "node_"),
            good.to_uppercase(),
            "nacre_0123456789abcdeé_AAAA".into(),
        ] {
            assert!(Presented::parse(&bad).is_none(), "{bad}");
        }
    }
}
