//! Who a module says it is.

use rand::Rng as _;
use rand::rngs::StdRng;

/// The parent instance and the enclave on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceIdentity {
    instance_id: String,
    enclave: [u8; 8],
}

/// An id that AWS would not give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no instance id: expected i- and 17 lower-case hex digits")]
pub struct IdentityError(String);

impl InstanceIdentity {
    /// An enclave that starts at `now_ms` on the instance of the given id.
    ///
    /// As AWS does, the enclave's number is its start in milliseconds (six bytes) and two random
    /// bytes.
    ///
    /// # Errors
    ///
    /// When `instance_id` is not `i-` and 17 lower-case hex digits.
    pub fn on_instance(
        instance_id: &str,
        rng: &mut StdRng,
        now_ms: u64,
    ) -> Result<Self, IdentityError> {
        let valid = instance_id.strip_prefix("i-").is_some_and(|number| {
            number.len() == 17
                && number
                    .bytes()
                    .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        });
        if !valid {
            return Err(IdentityError(instance_id.to_owned()));
        }
        let mut enclave = (now_ms << 16).to_be_bytes();
        rng.fill_bytes(&mut enclave[6..]);
        Ok(Self {
            instance_id: instance_id.to_owned(),
            enclave,
        })
    }

    /// An enclave that starts at `now_ms` on an instance of a random id.
    #[must_use]
    pub fn random(rng: &mut StdRng, now_ms: u64) -> Self {
        let mut number = [0; 8];
        rng.fill_bytes(&mut number);
        let mut enclave = (now_ms << 16).to_be_bytes();
        rng.fill_bytes(&mut enclave[6..]);
        Self {
            instance_id: format!("i-0{}", hex::encode(number)),
            enclave,
        }
    }

    /// `i-<17 hex>`.
    #[must_use]
    pub fn instance_id(&self) -> &str {
        &self.instance_id
    }

    /// `i-<17 hex>-enc<16 hex>`.
    #[must_use]
    pub fn module_id(&self) -> String {
        format!("{}-enc{}", self.instance_id, hex::encode(self.enclave))
    }

    /// The enclave's number.
    #[must_use]
    pub fn enclave(&self) -> [u8; 8] {
        self.enclave
    }
}
