//! Who this boot of the enclave is: the keys it made, and the statement that commits to them (DESIGN §3.1).
//!
//! The private halves are made here, once, and never leave: there is no way to write one out but to the TLS library,
//! inside the crate. Their memory is wiped when they are dropped.

use k256::ecdsa::SigningKey;
use nacre_protocol::eip712::{EthAddress, Word, sign_digest};
use nacre_protocol::identity::IdentityStatement;
use nacre_protocol::ids::BootId;
use p256::ecdsa::SigningKey as TlsKey;
use p256::pkcs8::EncodePublicKey as _;
use sha2::{Digest as _, Sha256};
use x25519_dalek::{PublicKey as HpkePublicKey, StaticSecret as HpkeKey};
use zeroize::Zeroizing;

use crate::nsm::AttestationRequest;

/// The public side of one boot.
#[derive(Debug, Clone)]
pub struct Identity {
    statement: IdentityStatement,
    encoded: Vec<u8>,
}

/// The private side of one boot.
pub struct PrivateKeys {
    pub(crate) tls: TlsKey,
    pub(crate) receipt: SigningKey,
    pub(crate) hpke: HpkeKey,
}

impl PrivateKeys {
    /// The receipt key; the others are wiped.
    pub fn into_receipt_key(self) -> ReceiptKey {
        ReceiptKey(self.receipt)
    }
}

/// The receipt key, for a program that signs its answers singly. It signs, and nobody can read it.
pub struct ReceiptKey(SigningKey);

impl ReceiptKey {
    pub(crate) fn new(key: SigningKey) -> Self {
        Self(key)
    }

    pub(crate) fn into_inner(self) -> SigningKey {
        self.0
    }

    /// Signs an EIP-712 digest: r‖s‖v with low s and v 27 or 28.
    pub fn sign(&self, digest: &Word) -> [u8; 65] {
        sign_digest(&self.0, digest)
    }

    /// The address by which contracts know it.
    pub fn address(&self) -> EthAddress {
        EthAddress::of_key(self.0.verifying_key())
    }
}

/// The keys could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The operating system has no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// The public key has no encoding.
    #[error("the TLS key cannot be encoded: {0}")]
    Encoding(#[from] p256::pkcs8::spki::Error),
}

impl Identity {
    /// Makes the keys of this boot out of the operating system's randomness, mixed with what the secure module gave.
    pub fn generate(module_random: &[u8]) -> Result<(Self, PrivateKeys), KeyError> {
        let entropy = Entropy { module_random };
        let keys = PrivateKeys {
            tls: entropy.key(b"tls", |seed| TlsKey::from_slice(seed).ok())?,
            receipt: entropy.key(b"receipt", |seed| SigningKey::from_slice(seed).ok())?,
            hpke: entropy.key(b"hpke", |seed| Some(HpkeKey::from(*seed)))?,
        };
        let boot: [u8; 16] = entropy.key(b"boot", |seed| seed[..16].try_into().ok())?;

        let mut receipt_key = [0; 64];
        receipt_key
            .copy_from_slice(&keys.receipt.verifying_key().to_sec1_point(false).as_bytes()[1..]);
        let statement = IdentityStatement {
            tls_spki_sha256: Sha256::digest(
                keys.tls.verifying_key().to_public_key_der()?.as_bytes(),
            )
            .into(),
            receipt_key,
            hpke_key: HpkePublicKey::from(&keys.hpke).to_bytes(),
            boot_id: BootId::from_random(boot),
        };
        let encoded = statement.encode();
        Ok((Self { statement, encoded }, keys))
    }

    /// The statement.
    pub fn statement(&self) -> &IdentityStatement {
        &self.statement
    }

    /// The statement's one encoding.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// This run of the enclave.
    pub fn boot_id(&self) -> BootId {
        self.statement.boot_id
    }

    /// What every attestation document of this boot says, with this nonce.
    pub fn attestation_request(&self, nonce: Option<[u8; 32]>) -> AttestationRequest {
        AttestationRequest {
            user_data: Some(IdentityStatement::user_data_of(&self.encoded).to_vec()),
            nonce: nonce.map(|nonce| nonce.to_vec()),
            public_key: Some(self.statement.receipt_key.to_vec()),
        }
    }
}

/// Two sources, so that a weak one spoils nothing.
struct Entropy<'a> {
    module_random: &'a [u8],
}

impl Entropy<'_> {
    /// Draws until `make` accepts; only a scalar outside the curve's order is refused, once in 2^32 at most.
    fn key<T>(
        &self,
        purpose: &[u8],
        make: impl Fn(&[u8; 32]) -> Option<T>,
    ) -> Result<T, getrandom::Error> {
        loop {
            let mut drawn = Zeroizing::new([0; 32]);
            getrandom::fill(&mut *drawn)?;
            let seed: Zeroizing<[u8; 32]> = Zeroizing::new(
                Sha256::new_with_prefix(b"nacre/boot-keys/v1\x00")
                    .chain_update((purpose.len() as u64).to_be_bytes())
                    .chain_update(purpose)
                    .chain_update(*drawn)
                    .chain_update(self.module_random)
                    .finalize()
                    .into(),
            );
            if let Some(key) = make(&seed) {
                return Ok(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_commits_to_the_keys() {
        let (identity, keys) = Identity::generate(&[1; 256]).unwrap();
        let statement = IdentityStatement::decode(identity.encoded()).unwrap();
        assert_eq!(&statement, identity.statement());
        assert_eq!(
            statement.hpke_key,
            HpkePublicKey::from(&keys.hpke).to_bytes()
        );
        let request = identity.attestation_request(Some([9; 32]));
        assert_eq!(request.user_data.unwrap(), statement.user_data());
        assert_eq!(request.public_key.unwrap(), statement.receipt_key);
        assert_eq!(request.nonce.unwrap(), [9; 32]);
    }

    #[test]
    fn no_two_boots_share_a_key() {
        // The module's randomness alone does not decide: it is the same here.
        let (a, _) = Identity::generate(&[1; 256]).unwrap();
        let (b, _) = Identity::generate(&[1; 256]).unwrap();
        assert_ne!(a.statement().tls_spki_sha256, b.statement().tls_spki_sha256);
        assert_ne!(a.statement().receipt_key, b.statement().receipt_key);
        assert_ne!(a.statement().hpke_key, b.statement().hpke_key);
        assert_ne!(a.boot_id(), b.boot_id());
    }
}
