//! The measurements that a policy names, for libraries that take them as arguments.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The PCRs of one enclave that may be trusted, by index.
pub type PcrSet = BTreeMap<u8, Vec<u8>>;

/// The policy's measurement sets, of which one must match. `None` where there are none to compare with: the policy is
/// empty, or is not one. Everything else that a policy can say (ages, windows, debug mode) is passed over, because no
/// library here has an argument for it.
pub fn measurement_sets(policy: &RawValue) -> Option<Vec<PcrSet>> {
    let policy: Policy = serde_json::from_str(policy.get()).ok()?;
    let sets: Option<Vec<PcrSet>> = policy.measurements.iter().map(pcrs).collect();
    sets.filter(|sets| !sets.is_empty())
}

#[derive(Deserialize)]
struct Policy {
    measurements: Vec<serde_json::Map<String, serde_json::Value>>,
}

fn pcrs(set: &serde_json::Map<String, serde_json::Value>) -> Option<PcrSet> {
    set.iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("pcr")?, value)))
        .map(|(index, value)| Some((index.parse().ok()?, hex::decode(value.as_str()?).ok()?)))
        .collect()
}
