//! What is asked of the verifier service, and what it answers (`POST /v1/verify`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::eip712::EthAddress;
use crate::encoding::base64url_bytes;
use crate::verified_enclave::ChainId;

/// Path of the question.
pub const VERIFY_PATH: &str = "/v1/verify";

/// What a verdict under another root than AWS's says of itself.
pub const DEVELOPMENT_ROOT: &str = "DEVELOPMENT ROOT";

/// Verify this document and sign what it says, for one contract on one chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerifyRequest {
    /// The attestation document, base64url without padding; at most 16 KiB when decoded.
    #[serde(with = "base64url_bytes")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub document: Vec<u8>,
    /// Who operates the enclave, by the asker's word.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub operator: EthAddress,
    /// The chain of the contract that shall believe it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub chain_id: ChainId,
    /// That contract.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub verifying_contract: EthAddress,
    /// If given, the document must carry this nonce; base64url.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub nonce: Option<Vec<u8>>,
}

/// The document is genuine, fresh, and of an enclave that is not in debug mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Verdict {
    /// The numeric result code: 0.
    pub result: u8,
    /// [`DEVELOPMENT_ROOT`] where the root is not AWS's; absent where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// What the document says.
    pub claims: Claims,
    /// SHA-256 of the root's DER, `0x` and hex.
    pub root_id: String,
    /// SHA-256(PCR0 ‖ PCR1 ‖ PCR2), `0x` and hex.
    pub image_id: String,
    /// What was signed, as JSON of `eth_signTypedData_v4`.
    pub typed_data: serde_json::Value,
    /// The EIP-712 digest, `0x` and hex.
    pub digest: String,
    /// r‖s‖v with low s and v 27 or 28, `0x` and hex.
    pub signature: String,
    /// The address of the verifier's attested key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signer: EthAddress,
}

/// A verified document's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Claims {
    /// The Nitro module: instance id and enclave id.
    pub module_id: String,
    /// When the document was made, Unix milliseconds.
    pub timestamp_ms: u64,
    /// When it was verified, Unix milliseconds by the verifier's attested clock.
    pub verified_at_ms: u64,
    /// The registers by index, 96 hex digits each.
    pub pcrs: BTreeMap<u8, String>,
    /// `public_key`, base64url.
    #[serde(with = "optional")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub public_key: Option<Vec<u8>>,
    /// `user_data`, base64url.
    #[serde(with = "optional")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub user_data: Option<Vec<u8>>,
    /// `nonce`, base64url.
    #[serde(with = "optional")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub nonce: Option<Vec<u8>>,
    /// Whose root vouches for it: `aws` or `development`.
    pub root_kind: String,
    /// When the first certificate of the chain ends, Unix seconds.
    pub chain_not_after: u64,
}

/// Why nothing was signed: RFC 9457 problem details with the rule and the numeric result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Refusal {
    /// Status, `code` (the rule that was broken), title and detail.
    #[serde(flatten)]
    pub problem: crate::problem::Problem,
    /// The numeric result code: 2 usage, 10 malformed, 11 chain, 12 signature, 13 time, 14 measurements, 15 binding. Absent
    /// where nothing was judged, as in overload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<u8>,
    /// [`DEVELOPMENT_ROOT`] where the root is not AWS's; absent where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// Base64url, or null.
mod optional {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Bytes(#[serde(with = "super::base64url_bytes")] Vec<u8>);

    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = bytes.as_deref().map(crate::encoding::base64url);
        text.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let bytes = Option::<Bytes>::deserialize(deserializer)?;
        Ok(bytes.map(|Bytes(bytes)| bytes))
    }
}
