//! A policy as JSON:
//!
//! ```json
//! {"measurements": [{"pcr0": "hex", "pcr1": "hex", "pcr2": "hex", "pcr8": "hex"}], "max_age_s": 300, "allow_debug": false}
//! ```
//!
//! A set needs `pcr0`, `pcr1` and `pcr2` and may have `pcr3`, `pcr4`, `pcr8` and `pcr16` to `pcr31`. `max_age_s` and
//! `allow_debug` may be left out. Every other key, and a key that stands twice, is refused: a policy that is not
//! understood is not applied.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pcr::Pcr;
use crate::policy::{DEFAULT_MAX_AGE, EXTRA_INDEXES, Measurements, Policy, PolicyError};

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    ///
    /// [`PolicyError`], also where it names no measurements.
    pub fn from_json(json: &[u8]) -> Result<Self, PolicyError> {
        if json.len() > MAX_JSON_BYTES {
            return Err(PolicyError::TooLong {
                length: json.len(),
                limit: MAX_JSON_BYTES,
            });
        }
        let json: PolicyJson =
            serde_json::from_slice(json).map_err(|error| PolicyError::Json(error.to_string()))?;
        let policy = Policy::new(json.measurements)?;
        Ok(policy
            .with_max_age(Duration::from_secs(json.max_age_s))
            .with_allow_debug(json.allow_debug))
    }

    /// Writes the policy, such that [`Policy::from_json`] reads it back. Fractions of a second of the age limit are
    /// left off.
    pub fn to_json(&self) -> String {
        let json = PolicyJson {
            measurements: self.measurements.clone(),
            max_age_s: self.max_age.as_secs(),
            allow_debug: self.allow_debug,
        };
        #[expect(
            clippy::expect_used,
            reason = "strings, integers and booleans under string keys are always JSON"
        )]
        serde_json::to_string(&json).expect("a policy is JSON")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyJson {
    #[serde(default)]
    measurements: Vec<Measurements>,
    #[serde(default = "default_max_age_s")]
    max_age_s: u64,
    #[serde(default)]
    allow_debug: bool,
}

fn default_max_age_s() -> u64 {
    DEFAULT_MAX_AGE.as_secs()
}

impl Serialize for Measurements {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (index, pcr) in self.iter() {
            map.serialize_entry(&format!("pcr{index}"), &pcr)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Measurements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MeasurementsVisitor)
    }
}

struct MeasurementsVisitor;

impl<'de> Visitor<'de> for MeasurementsVisitor {
    type Value = Measurements;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .write_str("PCRs: pcr0, pcr1 and pcr2, perhaps pcr3, pcr4, pcr8 and pcr16 to pcr31")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Measurements, A::Error> {
        let mut pcrs = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let index = index_of(&key)
                .ok_or_else(|| A::Error::custom(format_args!("unknown measurement `{key}`")))?;
            if pcrs.insert(index, map.next_value::<Pcr>()?).is_some() {
                return Err(A::Error::custom(format_args!("`{key}` stands twice")));
            }
        }
        let mut required = |index: u8, name| {
            pcrs.remove(&index)
                .ok_or_else(|| A::Error::missing_field(name))
        };
        Ok(Measurements {
            pcr0: required(0, "pcr0")?,
            pcr1: required(1, "pcr1")?,
            pcr2: required(2, "pcr2")?,
            pcr3: pcrs.remove(&3),
            pcr4: pcrs.remove(&4),
            pcr8: pcrs.remove(&8),
            extra: pcrs,
        })
    }
}

/// The PCR that a key names, if a policy may name it. `pcr016` names none.
fn index_of(key: &str) -> Option<u8> {
    let allowed = (0..=4).chain([8]).chain(EXTRA_INDEXES);
    allowed
        .into_iter()
        .find(|index| key.strip_prefix("pcr") == Some(index.to_string().as_str()))
}

const MAX_JSON_BYTES: usize = 256 * 1024;
