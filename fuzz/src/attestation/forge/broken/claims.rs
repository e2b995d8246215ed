//! The rules that the relying party brings: binding, DESIGN §4 *Time* and *Policy*.

use super::super::Forgery;
use super::super::payload::Value;
use super::super::question::Set;
use super::Broken;

/// Binding, age and measurements of a document whose claims have their shape.
pub(super) fn claims(broken: &mut Broken, forgery: &Forgery) {
    let (question, payload) = (&forgery.question, &forgery.payload);
    if let Some((key, expected)) = &question.bound_to {
        let is_it =
            matches!(payload.value(key), Some(Value::User(Some(value))) if value == expected);
        broken.extend((!is_it).then_some(match *key {
            "nonce" => "nonce-mismatch",
            "user_data" => "user-data-mismatch",
            _ => "public-key-mismatch",
        }));
    }
    if let Some(Value::Timestamp(made)) = payload.value("timestamp") {
        let (made, at) = (u128::from(*made), u128::from(question.at_ms));
        broken.extend((made > at + 30_000).then_some("document-from-future"));
        let oldest = made + u128::from(question.max_age_s) * 1000;
        broken.extend((at > oldest).then_some("document-too-old"));
    }
    if let Some(Value::Pcrs(pcrs)) = payload.value("pcrs") {
        broken.extend(measurements(forgery, pcrs));
    }
}

fn measurements(forgery: &Forgery, pcrs: &[(u64, Vec<u8>)]) -> Option<&'static str> {
    let question = &forgery.question;
    let pcr = |index: u8| {
        pcrs.iter()
            .find(|pcr| pcr.0 == u64::from(index))
            .map(|pcr| &*pcr.1)
    };
    let image: Option<Vec<_>> = (0..3).map(pcr).collect();
    let zeros = match image {
        None => return Some("pcr-missing"),
        Some(image) => image
            .iter()
            .filter(|value| value.iter().all(|byte| *byte == 0))
            .count(),
    };
    match zeros {
        0 => {}
        3 if question.allow_debug => {}
        3 => return Some("debug-enclave"),
        _ => return Some("pcr-partly-zero"),
    }
    let matches = |set: &&Set| {
        set.pcrs
            .iter()
            .all(|(index, value)| pcr(*index) == Some(value))
    };
    let second = question.at_ms / 1000;
    let windows: Vec<_> = question
        .sets
        .iter()
        .filter(matches)
        .map(|set| match set {
            Set {
                not_before: Some(first),
                ..
            } if second < *first => Some("measurement-not-yet-valid"),
            Set {
                not_after: Some(last),
                ..
            } if second > *last => Some("measurement-expired"),
            _ => None,
        })
        .collect();
    match windows.first() {
        None => Some("measurement-mismatch"),
        Some(_) if windows.contains(&None) => None,
        Some(first) => *first,
    }
}
