//! Which rules of DESIGN §4 a forgery breaks: the naive statement that the verifier is held against.
//!
//! A list per part: nothing is parsed, and nothing is decided in order. Where two rules forbid the same bytes, both are
//! listed. What may be accepted has an empty list, and what is refused must be refused under a rule of its list.

use std::collections::BTreeSet;

use super::certificate::{
    BasicConstraints, Certificate, DIGITAL_SIGNATURE, KEY_CERT_SIGN, KeyChoice, KeyUsage, Name,
    Point, SignatureForm, Time, TimeForm,
};
use super::encode::{Encoded, number, year};
use super::envelope::{self, PayloadForm};
use super::payload::{Entry, MapHead, REQUIRED, USER_FIELDS, Value};
use super::question::{Pin, Set};
use super::{Forgery, Form};

/// Rules by name.
pub type Broken = BTreeSet<&'static str>;

/// Every rule that the forgery breaks, as long as it has no [`Edit`](super::Edit)s.
pub fn broken(forgery: &Forgery, encoded: &Encoded, usual_root: &[u8]) -> Broken {
    let mut broken = Broken::new();
    question(&mut broken, forgery);
    envelope(&mut broken, forgery, encoded);
    payload(&mut broken, forgery, encoded);
    chain(&mut broken, forgery, encoded, usual_root);
    document_signature(&mut broken, forgery);
    claims(&mut broken, forgery);
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
        MapHead::TooMany(_) => broken.extend(["cbor-truncated", "cbor-type", "cbor-break"]),
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

fn chain(broken: &mut Broken, forgery: &Forgery, encoded: &Encoded, usual_root: &[u8]) {
    let (chain, question) = (&forgery.chain, &forgery.question);
    let root = &encoded.certificates[0];
    match question.pin {
        Pin::Own => {
            let mut own = Broken::new();
            certificate(
                &mut own,
                &chain[0],
                chain[0].issuer.unwrap_or(chain[0].subject),
            );
            authority(&mut own, &chain[0], 0);
            broken.extend((!own.is_empty()).then_some("root-certificate"));
            broken.extend((root.len() > 1024).then_some("root-too-long"));
        }
        Pin::Usual => {
            broken.extend((chain.len() < 2 || root != usual_root).then_some("untrusted-root"))
        }
        Pin::Foreign => drop(broken.insert("untrusted-root")),
    }
    for (position, this) in chain.iter().enumerate() {
        let parent = &chain[position.saturating_sub(1)];
        let issuer = this.issuer.unwrap_or(parent.subject);
        certificate(broken, this, issuer);
        let second = question.at_ms / 1000;
        broken.extend((second < this.not_before.second).then_some("certificate-not-yet-valid"));
        broken.extend((second > this.not_after.second).then_some("certificate-expired"));
        if position + 1 < chain.len() {
            authority(broken, this, chain.len() - 2 - position);
        } else {
            end_entity(broken, this);
        }
        if position > 0 {
            broken.extend((issuer != parent.subject).then_some("certificate-issuer"));
            broken.extend((!is_signed(forgery, position)).then_some("certificate-signature"));
        }
    }
    let bundle = &encoded.certificates[..chain.len() - 1];
    let distinct: BTreeSet<_> = bundle.iter().collect();
    broken.extend((distinct.len() < bundle.len()).then_some("certificate-repeated"));
}

/// What a certificate breaks wherever it stands.
fn certificate(broken: &mut Broken, this: &Certificate, issuer: Name) {
    let mut forms: Vec<Form> = vec![
        this.version,
        this.serial,
        this.inner_algorithm,
        this.after_validity,
        this.key_algorithm,
        this.after_point,
        this.unique_identifier,
        this.after_tbs,
        this.outer_algorithm,
        this.after_signature,
        this.after,
    ];
    forms.extend(&this.more_extensions);
    for name in [issuer, this.subject] {
        forms.extend(if let Name::Odd(form) = name {
            Some(form)
        } else {
            None
        });
    }
    forms.extend(if let Point::Odd(form) = this.point {
        Some(form)
    } else {
        None
    });
    match this.basic_constraints {
        Some(BasicConstraints::Odd(form)) => forms.push(form),
        None | Some(BasicConstraints::Plain { .. }) => {}
    }
    match this.key_usage {
        Some(KeyUsage::Odd(form)) => forms.push(form),
        Some(KeyUsage::Bits { bits: 0, .. }) => drop(broken.insert("certificate-der")),
        None | Some(KeyUsage::Bits { .. }) => {}
    }
    match this.signature {
        // That it does not hold is said elsewhere.
        SignatureForm::Odd(form) if form.breaks != ["certificate-signature"] => forms.push(form),
        SignatureForm::Padded => drop(broken.insert("certificate-signature-encoding")),
        _ => {}
    }
    broken.extend(forms.iter().flat_map(|form| form.breaks));
    let odd_time = |time: Time| match time.form {
        TimeForm::Proper => false,
        TimeForm::Generalized => year(time.second) < 2050,
        _ => true,
    };
    let odd_time = odd_time(this.not_before) || odd_time(this.not_after);
    broken.extend(odd_time.then_some("certificate-validity-encoding"));
    let mut extensions: Vec<_> = this.more_extensions.iter().map(|form| form.bytes).collect();
    extensions.sort_unstable();
    let is_twice = extensions.windows(2).any(|pair| pair[0] == pair[1]);
    let has_some =
        this.basic_constraints.is_some() || this.key_usage.is_some() || !extensions.is_empty();
    let is_twice = is_twice || this.repeats_extension && has_some;
    broken.extend(is_twice.then_some("certificate-duplicate-extension"));
}

/// What it breaks as a CA certificate, with so many others between it and the leaf.
fn authority(broken: &mut Broken, this: &Certificate, following: usize) {
    match this.basic_constraints {
        Some(BasicConstraints::Plain {
            critical,
            is_ca,
            path_length,
        }) => {
            broken.extend((!is_ca).then_some("certificate-not-ca"));
            broken.extend((!critical).then_some("certificate-basic-constraints-critical"));
            let is_too_long = path_length.is_some_and(|limit| following > usize::from(limit));
            broken.extend(is_too_long.then_some("certificate-path-length"));
        }
        _ => drop(broken.insert("certificate-not-ca")),
    }
    broken.extend((usage(this) & KEY_CERT_SIGN == 0).then_some("certificate-key-cert-sign"));
}

/// What it breaks as the certificate of the key that signs the document.
fn end_entity(broken: &mut Broken, this: &Certificate) {
    if let Some(BasicConstraints::Plain {
        is_ca, path_length, ..
    }) = this.basic_constraints
    {
        broken.extend(is_ca.then_some("leaf-is-ca"));
        broken.extend(path_length.map(|_| "leaf-path-length"));
    }
    broken.extend((usage(this) & KEY_CERT_SIGN != 0).then_some("leaf-is-ca"));
    broken.extend((usage(this) & DIGITAL_SIGNATURE == 0).then_some("leaf-digital-signature"));
}

fn usage(this: &Certificate) -> u16 {
    match this.key_usage {
        Some(KeyUsage::Bits { bits, .. }) => bits,
        _ => 0,
    }
}

/// Whether the key in the parent is the one that signed, and the signature was left as it was.
fn is_signed(forgery: &Forgery, position: usize) -> bool {
    let (this, parent) = (&forgery.chain[position], &forgery.chain[position - 1]);
    let shown = match parent.point {
        Point::Own => forgery.key_of(position - 1),
        Point::Of(number) => KeyChoice::Number(number),
        Point::Odd(_) => return false,
    };
    let signer = this
        .signer
        .map_or(forgery.key_of(position - 1), KeyChoice::Number);
    let is_untouched = matches!(this.signature, SignatureForm::Good | SignatureForm::Negated);
    is_untouched && shown == signer && signer != KeyChoice::Cancelling
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

/// Binding, age and measurements of a document whose claims have their shape.
fn claims(broken: &mut Broken, forgery: &Forgery) {
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
