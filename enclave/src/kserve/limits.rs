//! Checks that inputs, outputs and the request itself have in common: names, counts, parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use super::{MAX_NAME, MAX_PARAMETERS, ParameterValue, error::KserveError, wire::Parameters};

pub(super) const SHARED_MEMORY: [&str; 3] = [
    "shared_memory_region",
    "shared_memory_byte_size",
    "shared_memory_offset",
];

pub(super) fn refuse_parameters(
    parameters: &BTreeMap<String, ParameterValue>,
    place: &str,
    names: &[&'static str],
) -> Result<(), KserveError> {
    match names.iter().find(|name| parameters.contains_key(**name)) {
        Some(parameter) => Err(KserveError::UnsupportedParameter {
            place: place.to_owned(),
            parameter,
        }),
        None => Ok(()),
    }
}

pub(super) fn bool_parameter(
    parameters: &BTreeMap<String, ParameterValue>,
    place: &str,
    parameter: &'static str,
) -> Result<Option<bool>, KserveError> {
    match parameters.get(parameter) {
        None => Ok(None),
        Some(ParameterValue::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(KserveError::InvalidParameter {
            place: place.to_owned(),
            parameter,
            expected: "true or false",
        }),
    }
}

/// A count of at least one. What is beyond `usize` is more than there can be of anything, and the same as that.
pub(super) fn count_parameter(
    parameters: &BTreeMap<String, ParameterValue>,
    place: &str,
    parameter: &'static str,
) -> Result<Option<NonZeroUsize>, KserveError> {
    match parameters.get(parameter) {
        None => Ok(None),
        Some(ParameterValue::Integer(value @ 1..)) => {
            let count = usize::try_from(*value).unwrap_or(usize::MAX);
            Ok(NonZeroUsize::new(count))
        }
        Some(_) => Err(KserveError::InvalidParameter {
            place: place.to_owned(),
            parameter,
            expected: "a whole number above 0",
        }),
    }
}

pub(super) fn within_limit(
    parameters: Option<Parameters>,
    place: &str,
) -> Result<BTreeMap<String, ParameterValue>, KserveError> {
    let parameters = parameters.unwrap_or_default();
    check_count(parameters.count, "parameters", MAX_PARAMETERS, place)?;
    Ok(parameters.values)
}

pub(super) fn check_count(
    count: usize,
    what: &'static str,
    limit: usize,
    place: &str,
) -> Result<(), KserveError> {
    if count <= limit {
        return Ok(());
    }
    Err(KserveError::TooMany {
        place: place.to_owned(),
        what,
        count,
        limit,
    })
}

pub(super) fn checked_name(
    kind: &str,
    index: usize,
    name: Option<String>,
) -> Result<String, KserveError> {
    let place = format!("{kind} {index}");
    match name {
        None => Err(KserveError::MissingField {
            place,
            field: "name",
        }),
        Some(name) if name.is_empty() || name.len() > MAX_NAME => Err(KserveError::InvalidName {
            place,
            limit: MAX_NAME,
        }),
        Some(name) => Ok(name),
    }
}

pub(super) fn check_unique<'a>(
    kind: &'static str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), KserveError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(KserveError::DuplicateTensor {
                kind,
                name: name.to_owned(),
            });
        }
    }
    Ok(())
}
