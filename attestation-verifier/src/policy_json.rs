//! A policy as JSON:
//!
//! ```json
//! {
//!   "measurements": [
//!     {"pcr0": "hex", "pcr1": "hex", "pcr2": "hex", "pcr8": "hex", "not_after": "2026-03-01T12:00:00Z"},
//!     {"pcr0": "hex", "pcr1": "hex", "pcr2": "hex", "not_before": "2026-03-01T00:00:00Z"}
//!   ],
//!   "max_age_s": 300,
//!   "allow_debug": false
//! }
//! ```
//!
//! A set needs `pcr0`, `pcr1` and `pcr2` and may have `pcr3`, `pcr4`, `pcr8` and `pcr16` to `pcr31`; and `not_before` and
//! `not_after`, the first and the last second at which it is trusted (RFC 3339, UTC, whole seconds). `max_age_s` and
//! `allow_debug` may be left out. Every other key, and a key that stands twice, is refused: a policy that is not
//! understood is not applied.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pcr::Pcr;
use crate::policy::{DEFAULT_MAX_AGE, Measurements, Policy, PolicyError};
use crate::time::UnixSeconds;

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
        // serde would also take an array, its elements by position.
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err(PolicyError::Json("expected an object".to_owned()));
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
        for (key, bound) in [(NOT_BEFORE, self.not_before), (NOT_AFTER, self.not_after)] {
            if let Some(bound) = bound {
                map.serialize_entry(key, &bound)?;
            }
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
            .write_str("PCRs: pcr0, pcr1 and pcr2, perhaps pcr3, pcr4, pcr8, pcr16 to pcr31, not_before and not_after")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Measurements, A::Error> {
        let mut pcrs = BTreeMap::new();
        let (mut not_before, mut not_after) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            let bound = match key.as_str() {
                NOT_BEFORE => Some(&mut not_before),
                NOT_AFTER => Some(&mut not_after),
                _ => None,
            };
            if let Some(bound) = bound {
                if bound.replace(map.next_value::<UnixSeconds>()?).is_some() {
                    return Err(A::Error::custom(format_args!("`{key}` stands twice")));
                }
                continue;
            }
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
            not_before,
            not_after,
        })
    }
}

/// The PCR that a key names; whether a policy may name it is judged in [`Policy::new`]. `pcr016` names none.
fn index_of(key: &str) -> Option<u8> {
    let digits = key.strip_prefix("pcr")?;
    let index: u8 = digits.parse().ok()?;
    (index.to_string() == digits).then_some(index)
}

const NOT_BEFORE: &str = "not_before";
const NOT_AFTER: &str = "not_after";
const MAX_JSON_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ResultCode;

    fn hex_of(byte: u8) -> String {
        hex::encode([byte; 48])
    }

    /// A policy whose only set has PCR0 to PCR2 and the given members besides.
    fn with_members(members: &str) -> String {
        let [pcr0, pcr1, pcr2] = [1, 2, 3].map(hex_of);
        format!(
            r#"{{"measurements":[{{"pcr0":"{pcr0}","pcr1":"{pcr1}","pcr2":"{pcr2}"{members}}}]}}"#
        )
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let policy = Policy::from_json(with_members("").as_bytes()).unwrap();
        let set = Measurements::new(Pcr([1; 48]), Pcr([2; 48]), Pcr([3; 48]));
        assert_eq!(policy.measurements(), [set]);
        assert_eq!(
            (policy.max_age(), policy.allow_debug()),
            (Duration::from_secs(300), false)
        );
    }

    #[test]
    fn everything_can_be_named() {
        let (four, thirty_one) = (hex_of(4).to_uppercase(), hex_of(31));
        let json = with_members(&format!(r#","pcr8":"{four}","pcr31":"{thirty_one}""#));
        let json = json.replacen('{', r#"{"max_age_s":7,"allow_debug":true,"#, 1);
        let policy = Policy::from_json(json.as_bytes()).unwrap();
        assert_eq!(
            (policy.max_age(), policy.allow_debug()),
            (Duration::from_secs(7), true)
        );
        let set = &policy.measurements()[0];
        assert_eq!((set.pcr3, set.pcr8), (None, Some(Pcr([4; 48]))));
        assert_eq!(set.extra, BTreeMap::from([(31, Pcr([31; 48]))]));
    }

    #[test]
    fn a_window_has_two_ends_in_order() {
        let window = |first: &str, last: &str| {
            let members = format!(r#","not_before":"{first}","not_after":"{last}""#);
            Policy::from_json(with_members(&members).as_bytes())
        };
        let (earlier, later) = ("2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z");
        let set = window(earlier, later).unwrap().measurements()[0].clone();
        assert_eq!(set.not_before, Some(UnixSeconds(1_767_323_045)));
        assert_eq!(set.not_after, Some(UnixSeconds(1_767_323_046)));
        assert!(window(earlier, earlier).is_ok());
        assert_eq!(window(later, earlier), Err(PolicyError::Window(0)));
    }

    #[test]
    fn no_measurements_is_a_wrong_question_never_a_policy() {
        for json in [
            "{}",
            r#"{"measurements":[]}"#,
            r#"{"allow_debug":true,"max_age_s":1}"#,
        ] {
            let error = Policy::from_json(json.as_bytes()).unwrap_err();
            assert_eq!(
                (&error, error.code()),
                (&PolicyError::NoMeasurements, ResultCode::Usage),
                "{json}"
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let pcr = hex_of(9);
        for (json, reason) in [
            (String::new(), "expected an object"),
            ("{".to_owned(), "EOF"),
            ("[]".to_owned(), "expected an object"),
            ("null".to_owned(), "expected an object"),
            (
                r#"{"measurements":[{}]}"#.to_owned(),
                "missing field `pcr0`",
            ),
            (r#"{"measurements":null}"#.to_owned(), "invalid type"),
            (
                with_members("").replace("pcr2", "pcr3"),
                "missing field `pcr2`",
            ),
            (
                with_members("").replacen('{', r#"{"max_age":1,"#, 1),
                "unknown field `max_age`",
            ),
            (
                with_members("").replacen('{', r#"{"max_age_s":-1,"#, 1),
                "invalid value",
            ),
            (
                with_members("").replacen('{', r#"{"max_age_s":1.5,"#, 1),
                "invalid type",
            ),
            (
                with_members("").replacen('{', r#"{"allow_debug":1,"#, 1),
                "invalid type",
            ),
            (
                with_members("").replacen('{', r#"{"allow_debug":true,"allow_debug":false,"#, 1),
                "duplicate field",
            ),
            (
                with_members(&format!(r#","pcr08":"{pcr}""#)),
                "unknown measurement `pcr08`",
            ),
            (
                with_members(&format!(r#","PCR8":"{pcr}""#)),
                "unknown measurement `PCR8`",
            ),
            (
                with_members(&format!(r#","pcr256":"{pcr}""#)),
                "unknown measurement `pcr256`",
            ),
            (
                with_members(&format!(r#","pcr0":"{pcr}""#)),
                "`pcr0` stands twice",
            ),
            (
                with_members(&format!(r#","pcr8":"0x{pcr}""#)),
                "96 hexadecimal digits",
            ),
            (
                with_members(&format!(r#","pcr8":"{}""#, &pcr[2..])),
                "96 hexadecimal digits",
            ),
            (with_members(r#","pcr8":null"#), "invalid type"),
            (with_members(r#","not_before":null"#), "invalid type"),
            (with_members(r#","not_after":1767323045"#), "invalid type"),
            (
                with_members(r#","not_after":"2026-01-02""#),
                "whole seconds",
            ),
            (
                with_members(
                    r#","not_after":"2026-01-02T03:04:05Z","not_after":"2026-01-02T03:04:05Z""#,
                ),
                "`not_after` stands twice",
            ),
            (with_members("") + "x", "trailing characters"),
        ] {
            match Policy::from_json(json.as_bytes()) {
                Err(PolicyError::Json(message)) => {
                    assert!(message.contains(reason), "{json}: {message}")
                }
                other => panic!("{json}: {other:?}"),
            }
        }
    }

    #[test]
    fn registers_without_a_meaning_are_not_named() {
        for index in [5, 6, 7, 9, 15, 32, 255] {
            let json = with_members(&format!(r#","pcr{index}":"{}""#, hex_of(9)));
            let error = Policy::from_json(json.as_bytes());
            assert_eq!(error, Err(PolicyError::PcrIndex(index)));
        }
    }

    #[test]
    fn a_policy_is_bounded() {
        let set = Measurements::new(Pcr([1; 48]), Pcr([2; 48]), Pcr([3; 48]));
        assert!(Policy::new(vec![set.clone(); 256]).is_ok());
        let error = Policy::new(vec![set.clone(); 257]);
        assert_eq!(error, Err(PolicyError::TooManyMeasurements { limit: 256 }));
        let long = vec![b' '; MAX_JSON_BYTES + 1];
        assert!(matches!(
            Policy::from_json(&long),
            Err(PolicyError::TooLong { .. })
        ));
        for index in [0, 8, 15, 32] {
            let extra = BTreeMap::from([(index, Pcr::ZERO)]);
            let named = Policy::new(vec![Measurements {
                extra,
                ..set.clone()
            }]);
            assert_eq!(named, Err(PolicyError::PcrIndex(index)));
        }
    }

    proptest! {
        #[test]
        fn every_policy_survives_json(
            sets in prop::collection::vec(
                (
                    prop::collection::vec(any::<u8>(), 3),
                    prop::option::of(any::<u8>()),
                    prop::collection::btree_map(16_u8..32, any::<u8>(), 0..16),
                    prop::option::of(0_u64..100_000_000_000),
                    prop::option::of(100_000_000_000_u64..253_402_300_800),
                ),
                1..4,
            ),
            max_age_s in any::<u64>(),
            allow_debug in any::<bool>(),
        ) {
            let pcr = |byte: u8| Pcr([byte; 48]);
            let sets = sets.into_iter().map(|(image, pcr8, extra, first, last)| Measurements {
                not_before: first.map(UnixSeconds),
                not_after: last.map(UnixSeconds),
                pcr4: pcr8.map(|byte| pcr(!byte)),
                pcr8: pcr8.map(pcr),
                extra: extra.into_iter().map(|(index, byte)| (index, pcr(byte))).collect(),
                ..Measurements::new(pcr(image[0]), pcr(image[1]), pcr(image[2]))
            });
            let policy = Policy::new(sets.collect()).unwrap();
            let policy = policy.with_max_age(Duration::from_secs(max_age_s)).with_allow_debug(allow_debug);
            prop_assert_eq!(Policy::from_json(policy.to_json().as_bytes()), Ok(policy));
        }
    }
}
