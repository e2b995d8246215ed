//! Which rules of DESIGN §4 a forgery breaks: the naive statement that the verifier is held against.
//!
//! A list per part: nothing is parsed, and nothing is decided in order. Where two rules forbid the same bytes, both are
//! listed. What may be accepted has an empty list, and what is refused must be refused under a rule of its list.

mod chain;
mod claims;

use std::collections::BTreeSet;

use super::Forgery;
use super::certificate::Point;
use super::encode::{Encoded, number};
use super::envelope::{self, PayloadForm};
use super::payload::{Entry, MapHead, REQUIRED, USER_FIELDS, Value};

/// Rules by name.
pub type Broken = BTreeSet<&'static str>;

/// Every rule that the forgery breaks, as long as it has no [`Edit`](super::Edit)s.
pub fn broken(forgery: &Forgery, encoded: &Encoded, usual_root: &[u8]) -> Broken {
    let mut broken = Broken::new();
    question(&mut broken, forgery);
    envelope(&mut broken, forgery, encoded);
    payload(&mut broken, forgery, encoded);
    chain::chain(&mut broken, forgery, encoded, usual_root);
    document_signature(&mut broken, forgery);
    claims::claims(&mut broken, forgery);
    broken
}

fn question(broken: &mut Broken, forgery: &Forgery) {
    let sets = &forgery.question.sets;
    broken.extend(sets.is_empty().then_some("policy-no-measurements"));
    broken.extend((sets.len() > 256).then_some("policy-too-many-measurements"));
    for set in sets {
        let ends_early =
            matches!((set.not_before, set.not_after), (Some(first), Some(last)) if last < first);
        broken.extend(ends_early.then_some("policy-window"));
        // 5 to 7 have no place in a set that is not JSON.
        let unnamed = |index: &u8| (9..16).contains(index) || *index > 31;
        broken.extend(set.pcrs.keys().any(unnamed).then_some("policy-pcr-index"));
    }
}

fn envelope(broken: &mut Broken, forgery: &Forgery, encoded: &Encoded) {
    let envelope = &forgery.envelope;
    broken.extend((encoded.document.len() > 16 * 1024).then_some("document-too-long"));
    for form in [
        envelope.head,
        envelope.protected,
        envelope.unprotected,
        envelope.after,
    ] {
        broken.extend(form.breaks);
    }
    broken.extend(match envelope.payload {
        PayloadForm::Plain => None,
        PayloadForm::Chunked => Some("cbor-chunked-string"),
        PayloadForm::Text | PayloadForm::Detached => Some("cbor-type"),
        PayloadForm::Long => Some("cbor-not-shortest"),
    });
    let other_length = match envelope.signature {
        envelope::SignatureForm::Length(length) => length != 96,
        envelope::SignatureForm::Der => true,
        _ => false,
    };
    broken.extend(other_length.then_some("signature-length"));
}

fn payload(broken: &mut Broken, forgery: &Forgery, encoded: &Encoded) {
    let payload = &forgery.payload;
    match payload.head {
        MapHead::Indefinite | MapHead::Definite => {}
        // A byte after the map is then read as a key.
        MapHead::TooMany(_) => {
            broken.extend(["cbor-truncated", "cbor-type", "cbor-break"]);
            // After 32 keys none is read any more.
            broken.extend((payload.entries.len() >= 32).then_some("too-many-keys"));
        }
        MapHead::TooFew if payload.entries.is_empty() => {}
        MapHead::TooFew => broken.extend(["cbor-trailing-bytes"]),
        MapHead::Long => broken.extend(["cbor-not-shortest"]),
        MapHead::Odd(form) => broken.extend(form.breaks),
    }
    broken.extend(payload.after.breaks);
    let keys: Vec<&str> = payload.entries.iter().map(|entry| &*entry.key).collect();
    broken.extend((keys.len() > 32).then_some("too-many-keys"));
    let distinct: BTreeSet<_> = keys.iter().collect();
    broken.extend((distinct.len() < keys.len()).then_some("duplicate-key"));
    let is_missing = REQUIRED.iter().any(|key| !keys.contains(key));
    broken.extend(is_missing.then_some("missing-key"));
    for entry in &payload.entries {
        value(broken, entry, &encoded.certificates);
    }
}

fn value(broken: &mut Broken, entry: &Entry, certificates: &[Vec<u8>]) {
    let is_plain = |text: &str, limit| {
        !text.is_empty() && text.len() <= limit && !text.chars().any(char::is_control)
    };
    let is_known = REQUIRED.contains(&&*entry.key) || USER_FIELDS.contains(&&*entry.key);
    if entry.key == "nitrotpm_pcrs" {
        broken.insert("nitrotpm-document");
    } else if !is_known && !is_plain(&entry.key, 64) {
        broken.insert("unknown-key-shape");
    }
    match (&*entry.key, &entry.value) {
        (_, Value::Odd(form)) => broken.extend(form.breaks),
        ("module_id", Value::Text(text)) => {
            broken.extend((!is_plain(text, 256)).then_some("module-id"))
        }
        ("digest", Value::Text(text)) => {
            broken.extend((text != "SHA384").then_some("digest-algorithm"))
        }
        ("timestamp", Value::Timestamp(at)) => {
            broken.extend((*at == 0).then_some("timestamp-zero"))
        }
        ("pcrs", Value::Pcrs(pcrs)) => registers(broken, pcrs),
        ("certificate", Value::Leaf) => lengths(broken, &certificates[certificates.len() - 1..]),
        ("cabundle", Value::Bundle) => {
            let bundle = &certificates[..certificates.len() - 1];
            broken.extend((!(1..=8).contains(&bundle.len())).then_some("cabundle-count"));
            lengths(broken, bundle);
        }
        ("cabundle", Value::OddBundle { count, length }) => {
            broken.extend((!(1..=8).contains(count)).then_some("cabundle-count"));
            broken.extend((!(1..=1024).contains(length)).then_some("certificate-length"));
            broken.insert("untrusted-root");
        }
        ("public_key" | "user_data" | "nonce", Value::User(value)) => {
            let length = value.as_ref().map_or(0, Vec::len);
            broken.extend((length > 1024).then_some("user-field-length"));
        }
        (_, Value::Nested(depth)) if !is_known => {
            broken.extend((*depth > 8).then_some("cbor-depth"))
        }
        (_, Value::Many(count)) if !is_known => {
            broken.extend((*count > 255).then_some("cbor-count"))
        }
        _ if is_known => drop(broken.insert("cbor-type")),
        _ => {}
    }
}

fn registers(broken: &mut Broken, pcrs: &[(u64, Vec<u8>)]) {
    broken.extend((!(1..=32).contains(&pcrs.len())).then_some("pcr-count"));
    let distinct: BTreeSet<_> = pcrs.iter().map(|pcr| pcr.0).collect();
    broken.extend((distinct.len() < pcrs.len()).then_some("duplicate-pcr"));
    broken.extend(
        distinct
            .iter()
            .any(|index| *index > 31)
            .then_some("pcr-index"),
    );
    broken.extend(
        pcrs.iter()
            .any(|pcr| pcr.1.len() != 48)
            .then_some("pcr-length"),
    );
}

fn lengths(broken: &mut Broken, certificates: &[Vec<u8>]) {
    let is_bad = |der: &Vec<u8>| !(1..=1024).contains(&der.len());
    broken.extend(
        certificates
            .iter()
            .any(is_bad)
            .then_some("certificate-length"),
    );
}

fn document_signature(broken: &mut Broken, forgery: &Forgery) {
    use envelope::SignatureForm;
    let leaf = forgery.chain.len() - 1;
    let own = number(forgery.key_of(leaf));
    let shown = match forgery.chain[leaf].point {
        Point::Own => own,
        Point::Of(number) => number,
        // The chain is refused.
        Point::Odd(_) => return,
    };
    let holds = shown == forgery.envelope.signer.unwrap_or(own);
    match forgery.envelope.signature {
        SignatureForm::Good | SignatureForm::Negated | SignatureForm::Length(96) if holds => {}
        SignatureForm::ZeroR
        | SignatureForm::ZeroS
        | SignatureForm::OrderR
        | SignatureForm::OrderS => {
            broken.insert("signature-range");
        }
        // A bit at the front may carry the number over the order.
        SignatureForm::Flipped(_) => broken.extend(["signature-range", "signature-invalid"]),
        _ => drop(broken.insert("signature-invalid")),
    }
}
