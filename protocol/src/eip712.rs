//! EIP-712: what is signed so that Ethereum's contracts and wallets can check it. Hashing, addresses, signatures.

use core::fmt;
use core::str::FromStr;

use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use k256::elliptic_curve::scalar::IsHigh as _;
use serde::{Deserialize, Serialize};
use sha3::{Digest as _, Keccak256};

use crate::encoding::array_from_hex;

/// One EIP-712 word, and what hashes are made of: 32 bytes.
pub type Word = [u8; 32];

/// The domain of everything that is checked off chain (DESIGN §3.3): `{name: "Nacre", version: "1"}`.
pub fn nacre_domain() -> Word {
    keccak(&[
        &keccak(&[b"EIP712Domain(string name,string version)"]),
        &keccak(&[b"Nacre"]),
        &keccak(&[b"1"]),
    ])
}

/// The digest that is signed: keccak256(0x19 ‖ 0x01 ‖ domain separator ‖ `hashStruct` of the message).
pub fn typed_digest(domain: &Word, message: &Word) -> Word {
    keccak(&[b"\x19\x01", domain, message])
}

/// r‖s‖v over a digest, as the EVM's `ecrecover` takes it: low s, v 27 or 28. The same key and digest give the same bytes
/// (RFC 6979).
pub fn sign_digest(key: &SigningKey, digest: &Word) -> [u8; 65] {
    let (signature, recovery) = key.sign_prehash_recoverable(digest);
    let mut bytes = [0; 65];
    bytes[..64].copy_from_slice(&signature.to_bytes());
    bytes[64] = 27 + recovery.to_byte();
    bytes
}

/// The key that made a signature, and only by a signature of the form that [`sign_digest`] makes: a high s, another v or
/// an r beyond the curve's order gives `None`, so that no signature has a twin.
pub fn recover_signer(digest: &Word, signature: &[u8; 65]) -> Option<VerifyingKey> {
    let (rs, v) = signature.split_at(64);
    let signature = Signature::from_slice(rs).ok()?;
    let recovery = v[0]
        .checked_sub(27)
        .and_then(RecoveryId::from_byte)
        .filter(|id| !id.is_x_reduced())?;
    if bool::from(signature.s().is_high()) {
        return None;
    }
    VerifyingKey::recover_from_prehash(digest, &signature, recovery).ok()
}

/// An uncompressed public key without its prefix, X‖Y, as a key; `None` where it is not a point of secp256k1.
pub fn point(xy: &[u8; 64]) -> Option<VerifyingKey> {
    let mut sec1 = [4; 65];
    sec1[1..].copy_from_slice(xy);
    VerifyingKey::from_sec1_bytes(&sec1).ok()
}

/// An Ethereum address. Written with EIP-55's checksum; read with it, or in digits of one case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EthAddress([u8; 20]);

impl EthAddress {
    /// Takes the 20 bytes.
    pub const fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The address of whoever holds this key: the last 20 bytes of keccak256(X‖Y).
    pub fn of_key(key: &VerifyingKey) -> Self {
        let hash = keccak(&[&key.to_sec1_point(false).as_bytes()[1..]]);
        let mut bytes = [0; 20];
        bytes.copy_from_slice(&hash[12..]);
        Self(bytes)
    }

    /// The 20 bytes.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// As EIP-712 encodes it: 32 bytes, zeros first.
    pub fn word(&self) -> Word {
        let mut word = [0; 32];
        word[12..].copy_from_slice(&self.0);
        word
    }
}

impl fmt::Display for EthAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = hex::encode(self.0);
        let hash = hex::encode(keccak(&[digits.as_bytes()]));
        let checksummed = digits.chars().zip(hash.bytes()).map(|(digit, nibble)| {
            if nibble >= b'8' {
                digit.to_ascii_uppercase()
            } else {
                digit
            }
        });
        write!(f, "0x{}", checksummed.collect::<String>())
    }
}

/// A text that is not an Ethereum address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an address is `0x` and 40 hexadecimal digits, all in one case or with the checksum of EIP-55"
)]
pub struct AddressSyntaxError;

impl FromStr for EthAddress {
    type Err = AddressSyntaxError;

    fn from_str(text: &str) -> Result<Self, AddressSyntaxError> {
        let digits = text.strip_prefix("0x").ok_or(AddressSyntaxError)?;
        let address = array_from_hex(digits).map(Self);
        let address = address.map_err(|_| AddressSyntaxError)?;
        let one_case = |other: fn(&u8) -> bool| !digits.as_bytes().iter().any(other);
        if one_case(u8::is_ascii_uppercase)
            || one_case(u8::is_ascii_lowercase)
            || address.to_string() == text
        {
            Ok(address)
        } else {
            Err(AddressSyntaxError)
        }
    }
}

impl TryFrom<String> for EthAddress {
    type Error = AddressSyntaxError;

    fn try_from(text: String) -> Result<Self, AddressSyntaxError> {
        text.parse()
    }
}

impl From<EthAddress> for String {
    fn from(address: EthAddress) -> Self {
        address.to_string()
    }
}

/// keccak256 of the parts, one after the other.
pub fn keccak(parts: &[&[u8]]) -> Word {
    let mut hasher = Keccak256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

/// An unsigned integer as EIP-712 encodes it: 32 bytes, big-endian.
pub fn word(value: u64) -> Word {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&value.to_be_bytes());
    word
}

/// Up to 32 bytes as EIP-712 encodes `bytesN`: zeros last.
pub fn word_of_bytes<const N: usize>(bytes: &[u8; N]) -> Word {
    const { assert!(N <= 32) };
    let mut word = [0; 32];
    word[..N].copy_from_slice(bytes);
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples in EIP-55's own text.
    const CHECKSUMMED: [&str; 4] = [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ];

    #[test]
    fn the_empty_hash_is_keccak_not_sha3() {
        assert_eq!(
            hex::encode(keccak(&[b""])),
            "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
        );
    }

    #[test]
    fn addresses_have_eip_55s_checksum() {
        for text in CHECKSUMMED {
            let address: EthAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(text.to_lowercase().parse(), Ok(address));
            let upper = format!("0x{}", text[2..].to_uppercase());
            assert_eq!(upper.parse(), Ok(address));
        }
    }

    #[test]
    fn a_mistyped_address_is_refused() {
        let good = CHECKSUMMED[0];
        for wrong in [
            "",
            "0x",
            &good[2..],
            &good[..41],
            &format!("{good}0"),
            &good.replace("5aA", "5AA"),
            &good.replace("0x", "0X"),
            &good.replace("5a", "5g"),
            &format!(" {good}"),
        ] {
            assert_eq!(
                wrong.parse::<EthAddress>(),
                Err(AddressSyntaxError),
                "{wrong}"
            );
        }
    }

    /// The first account of the well-known development mnemonic ("test test … junk"), as every Ethereum tool derives it.
    #[test]
    fn an_address_is_its_keys() {
        let key = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
        let key: [u8; 32] = array_from_hex(key).unwrap();
        let key = SigningKey::from_slice(&key).unwrap();
        assert_eq!(
            EthAddress::of_key(key.verifying_key()).to_string(),
            "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
        );
    }

    #[test]
    fn a_signature_has_no_twin() {
        let key = SigningKey::from_slice(&[0x42; 32]).unwrap();
        let digest = keccak(&[b"digest"]);
        let signature = sign_digest(&key, &digest);
        assert_eq!(
            recover_signer(&digest, &signature),
            Some(*key.verifying_key())
        );
        let parsed = Signature::from_slice(&signature[..64]).unwrap();
        let (r, s) = parsed.split_scalars();
        let high = Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap();
        let mut twin = signature;
        twin[..64].copy_from_slice(&high.to_bytes());
        for v in 0..=255 {
            twin[64] = v;
            assert_eq!(recover_signer(&digest, &twin), None, "v {v}");
            if v != signature[64] {
                let mut other = signature;
                other[64] = v;
                assert_ne!(
                    recover_signer(&digest, &other),
                    Some(*key.verifying_key()),
                    "v {v}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_point_is_no_key() {
        assert_eq!(point(&[0; 64]), None);
        assert_eq!(point(&[0xff; 64]), None);
        let key = SigningKey::from_slice(&[0x42; 32]).unwrap();
        let mut xy: [u8; 64] = key.verifying_key().to_sec1_point(false).as_bytes()[1..]
            .try_into()
            .unwrap();
        assert_eq!(point(&xy), Some(*key.verifying_key()));
        xy[63] ^= 1;
        assert_eq!(point(&xy), None);
    }
}
