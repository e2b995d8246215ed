//! The rules of DESIGN §4 *Chain*.

use std::collections::BTreeSet;

use super::super::certificate::{
    BasicConstraints, Certificate, DIGITAL_SIGNATURE, KEY_CERT_SIGN, KeyChoice, KeyUsage, Name,
    Point, SignatureForm, Time, TimeForm,
};
use super::super::encode::Encoded;
use super::super::encode_certificate::year;
use super::super::question::Pin;
use super::super::{Forgery, Form};
use super::Broken;

pub(super) fn chain(broken: &mut Broken, forgery: &Forgery, encoded: &Encoded, usual_root: &[u8]) {
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
        let second = (question.at_ms / 1000) as i64;
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
