//! Usage receipts (DESIGN §3.3): what the platform bills by. They say how much, and nothing of what.
//!
//! An enclave counts what it did for each lease and caller, and signs the sums every now and then, numbered from 1 without
//! a gap for as long as it runs. So whoever bills sees a receipt that was held back, given twice or made up.

use k256::ecdsa::SigningKey;
use serde::{Deserialize, Serialize};

use crate::eip712::{
    Word, keccak, nacre_domain, point, recover_signer, sign_digest, typed_digest, word,
    word_of_bytes,
};
use crate::encoding::base64url_array;
use crate::ids::{BootId, LeaseId};

const TYPE: &[u8] = b"UsageReceipt(bytes32 leaseId,bytes16 bootId,uint64 seq,bytes32 caller,uint32 computeMicros,uint64 bytesIn,uint64 bytesOut)";

/// The caller of whom nothing is known.
pub const ANONYMOUS: [u8; 32] = [0; 32];

/// What one caller used under one lease.
///
/// EIP-712 typed data in the domain `{name: "Nacre", version: "1"}`, signed singly:
/// `UsageReceipt(bytes32 leaseId,bytes16 bootId,uint64 seq,bytes32 caller,uint32 computeMicros,uint64 bytesIn,uint64 bytesOut)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsageReceipt {
    /// The lease under which the function ran; `null` where the host named none. Signed as the id's 16 bytes and 16 zeros,
    /// or 32 zeros.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub lease: Option<LeaseId>,
    /// The run of the enclave that `seq` counts in.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub boot_id: BootId,
    /// Rises by one with each receipt of a boot, from 1.
    pub seq: u64,
    /// Who called, as authenticated inside the enclave, base64url; 32 zero bytes for [`ANONYMOUS`].
    #[serde(with = "base64url_array")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub caller: [u8; 32],
    /// Time in the model, microseconds.
    pub compute_micros: u32,
    /// Bytes of request bodies and job inputs, as they arrived.
    pub bytes_in: u64,
    /// Bytes of answers' bodies and job results, as they left.
    pub bytes_out: u64,
}

impl UsageReceipt {
    /// The EIP-712 digest that the receipt key signs.
    pub fn digest(&self) -> Word {
        let lease = self
            .lease
            .map_or([0; 32], |lease| word_of_bytes(lease.as_bytes()));
        let message = keccak(&[
            &keccak(&[TYPE]),
            &lease,
            &word_of_bytes(self.boot_id.as_bytes()),
            &word(self.seq),
            &self.caller,
            &word(self.compute_micros.into()),
            &word(self.bytes_in),
            &word(self.bytes_out),
        ]);
        typed_digest(&nacre_domain(), &message)
    }

    /// Signs it.
    pub fn sign(self, key: &SigningKey) -> SignedUsage {
        let signature = sign_digest(key, &self.digest());
        SignedUsage {
            receipt: self,
            signature,
        }
    }
}

/// A usage receipt with its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignedUsage {
    /// The claims.
    pub receipt: UsageReceipt,
    /// secp256k1 over [`UsageReceipt::digest`], r‖s‖v with low s and v 27 or 28, base64url.
    #[serde(with = "base64url_array")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: [u8; 65],
}

/// The key did not sign this usage receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node's receipt key did not sign this usage receipt")]
pub struct UsageSignatureError;

impl SignedUsage {
    /// Checks the signature against the receipt key (X‖Y) of an enclave whose evidence was checked. Whether the boot id is
    /// that enclave's, and the number the next, is for the caller to look at.
    ///
    /// # Errors
    ///
    /// [`UsageSignatureError`].
    pub fn verify(&self, receipt_key: &[u8; 64]) -> Result<(), UsageSignatureError> {
        let signer = recover_signer(&self.receipt.digest(), &self.signature);
        if signer.is_some() && signer == point(receipt_key) {
            Ok(())
        } else {
            Err(UsageSignatureError)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_slice(&[0x42; 32]).unwrap()
    }

    fn public() -> [u8; 64] {
        let point = key().verifying_key().to_sec1_point(false);
        point.as_bytes()[1..].try_into().unwrap()
    }

    fn receipt() -> UsageReceipt {
        UsageReceipt {
            lease: Some(LeaseId::from_random([1; 16])),
            boot_id: BootId::from_random([2; 16]),
            seq: 7,
            caller: [3; 32],
            compute_micros: 123_456,
            bytes_in: 1 << 40,
            bytes_out: 99,
        }
    }

    /// Values that an independent EIP-712 implementation (Python's eth-account 0.14) gives for the same typed data and key.
    #[test]
    fn agrees_with_other_implementations_of_eip712() {
        assert_eq!(
            hex::encode(receipt().digest()),
            "26fd9760e2d1d057516eb097c6d56a31557373eef8893fdaf5a907a3b3128a52"
        );
        assert_eq!(
            hex::encode(receipt().sign(&key()).signature),
            "c2758a70eb4bec635a4d3fa44987afda5b24a82524f7096348c8211cca64b021\
             0eccba04b1199ba04f06cfaac56fea144d8945f7d827edd4e63a139c7387e5b41c"
        );
    }

    #[test]
    fn every_field_is_signed() {
        let good = receipt().sign(&key());
        assert_eq!(good.verify(&public()), Ok(()));
        let changes: [fn(&mut UsageReceipt); 8] = [
            |r| r.lease = None,
            |r| r.lease = Some(LeaseId::from_random([9; 16])),
            |r| r.boot_id = BootId::from_random([9; 16]),
            |r| r.seq += 1,
            |r| r.caller = ANONYMOUS,
            |r| r.compute_micros += 1,
            |r| r.bytes_in += 1,
            |r| r.bytes_out += 1,
        ];
        for change in changes {
            let mut changed = good;
            change(&mut changed.receipt);
            assert_eq!(changed.verify(&public()), Err(UsageSignatureError));
        }
        assert_eq!(good.verify(&[0; 64]), Err(UsageSignatureError));
    }

    #[test]
    fn travels_as_json_that_says_everything() {
        let json = r#"{"receipt":{"lease":null,"boot_id":"boot_02020202020202020202020202020202","seq":7,"caller":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","compute_micros":1,"bytes_in":2,"bytes_out":3},"signature":"SIGNATURE"}"#;
        let json = json.replace("SIGNATURE", &"A".repeat(87));
        let read: SignedUsage = serde_json::from_str(&json).unwrap();
        assert_eq!((read.receipt.lease, read.receipt.caller), (None, ANONYMOUS));
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        assert!(serde_json::from_str::<SignedUsage>(&json.replace("\"seq\":7,", "")).is_err());
    }
}
