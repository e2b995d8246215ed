//! Typed identifiers, so that a node's id is never taken for a deployment's.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not the name or identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {rule}")]
pub struct IdSyntaxError {
    what: &'static str,
    rule: &'static str,
}

/// The name of a function: a DNS label (RFC 1123 §2.1), because `<function>.<zone>` is its address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FunctionName(String);

impl FunctionName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FunctionName {
    type Err = IdSyntaxError;

    fn from_str(text: &str) -> Result<Self, IdSyntaxError> {
        let label = is_label(text);
        label.then(|| Self(text.to_owned())).ok_or(IdSyntaxError {
            what: "a function's name",
            rule: "a DNS label: 1 to 63 of a-z, 0-9 and `-`, with no `-` at either end",
        })
    }
}

/// The name of an organisation: functions, jobs and API keys belong to one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrganisationName(String);

impl OrganisationName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `default`, to which everything belongs where nobody says otherwise.
impl Default for OrganisationName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for OrganisationName {
    type Err = IdSyntaxError;

    fn from_str(text: &str) -> Result<Self, IdSyntaxError> {
        let plain = is_label(text);
        plain.then(|| Self(text.to_owned())).ok_or(IdSyntaxError {
            what: "an organisation's name",
            rule: "1 to 63 of a-z, 0-9 and `-`, with no `-` at either end",
        })
    }
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

macro_rules! text_conversions {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = IdSyntaxError;
            fn try_from(text: String) -> Result<Self, IdSyntaxError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    )*};
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for OrganisationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 16]);

        impl $name {
            /// Makes the id of 16 random bytes, which the caller draws.
            pub const fn from_random(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), hex::encode(self.0))
            }
        }

        impl FromStr for $name {
            type Err = IdSyntaxError;

            fn from_str(text: &str) -> Result<Self, IdSyntaxError> {
                let error = IdSyntaxError {
                    what: $what,
                    rule: concat!("`", $prefix, "_` and 32 lowercase hex digits"),
                };
                let digits = text.strip_prefix(concat!($prefix, "_")).ok_or(error.clone())?;
                if digits.len() != 32 || digits.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(error);
                }
                let mut bytes = [0; 16];
                hex::decode_to_slice(digits, &mut bytes).map_err(|_| error)?;
                Ok(Self(bytes))
            }
        }
    };
}

random_id!(
    /// A machine that an operator rents out. Chosen by the node at its first start and kept.
    NodeId, "node", "a node's id"
);
random_id!(
    /// One wish to run a function version on a number of nodes.
    DeploymentId, "dep", "a deployment's id"
);
random_id!(
    /// An agreement that one node runs one deployment's replica.
    LeaseId, "lease", "a lease's id"
);
random_id!(
    /// One run of an enclave, drawn at boot (DESIGN §3.1, field 5).
    BootId, "boot", "a boot id"
);
random_id!(
    /// An asynchronous job. Drawn by the caller, because a sealed input is bound to it before anybody else knows it.
    JobId, "job", "a job's id"
);

random_id!(
    /// What an operator asked to be paid, or was.
    PayoutId, "payout", "a payout's id"
);

text_conversions!(
    FunctionName,
    OrganisationName,
    NodeId,
    DeploymentId,
    LeaseId,
    BootId,
    JobId,
    PayoutId
);

/// An operator: an Ed25519 public key, written as 64 lowercase hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperatorId([u8; 32]);

impl OperatorId {
    /// Takes the 32 bytes of an Ed25519 public key; whether it is a point is the verifier's question.
    pub const fn from_public_key(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The public key's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for OperatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for OperatorId {
    type Err = IdSyntaxError;

    fn from_str(text: &str) -> Result<Self, IdSyntaxError> {
        let error = IdSyntaxError {
            what: "an operator's id",
            rule: "an Ed25519 public key in 64 lowercase hex digits",
        };
        if text.len() != 64 || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(error);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| error)?;
        Ok(Self(bytes))
    }
}

text_conversions!(OperatorId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_functions_name_is_a_dns_label() {
        for good in ["a", "iris-network", "0", &"a".repeat(63)] {
            assert!(good.parse::<FunctionName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a.b",
            "a_b",
            "ä",
            "a/b",
            &"a".repeat(64),
        ] {
            assert!(bad.parse::<FunctionName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_round_trip_and_keep_apart() {
        let node = NodeId::from_random([7; 16]);
        assert_eq!(node.to_string().parse(), Ok(node));
        assert!(node.to_string().parse::<LeaseId>().is_err());
        let operator = OperatorId::from_public_key([9; 32]);
        assert_eq!(operator.to_string().parse(), Ok(operator));
    }
}
