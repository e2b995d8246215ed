//! Changes of certificates, and of their row.

use super::super::Forgery;
use super::super::certificate::{
    BasicConstraints, Certificate, KeyChoice, KeyUsage, Name, Point, SignatureForm, TimeForm,
};
use super::super::certificate_forms as forms;
use super::{at, pick, second};

pub(super) fn name(number: u32) -> Name {
    match number % 4 {
        0 => Name::Odd(pick(forms::NAMES, number / 4)),
        _ => Name::Common((number / 4 % 8) as u8),
    }
}

pub(super) fn not_before(forgery: &mut Forgery, place: u8, number: u32) {
    let second = second(forgery, place, number);
    at(forgery, place).not_before.second = second;
}

pub(super) fn not_after(forgery: &mut Forgery, place: u8, number: u32) {
    let second = second(forgery, place, number);
    at(forgery, place).not_after.second = second;
}

pub(super) fn time_form(forgery: &mut Forgery, place: u8, number: u32) {
    let certificate = at(forgery, place);
    let form = match number / 2 % 5 {
        0 => TimeForm::Generalized,
        1 => TimeForm::Fraction,
        2 => TimeForm::NoSeconds,
        3 => TimeForm::Offset,
        _ => TimeForm::Month13,
    };
    match number.is_multiple_of(2) {
        true => certificate.not_before.form = form,
        false => certificate.not_after.form = form,
    }
}

pub(super) fn point(forgery: &mut Forgery, place: u8, number: u32) {
    at(forgery, place).point = match number % 4 {
        0 => Point::Of((number / 4 % 8) as u8),
        _ => Point::Odd(pick(forms::POINTS, number / 4)),
    };
}

pub(super) fn trailing(forgery: &mut Forgery, place: u8, number: u32) {
    let certificate = at(forgery, place);
    let place = match number % 5 {
        0 => &mut certificate.after,
        1 => &mut certificate.after_point,
        2 => &mut certificate.after_signature,
        3 => &mut certificate.after_tbs,
        _ => &mut certificate.after_validity,
    };
    *place = pick(forms::TRAILING, number / 5);
}

pub(super) fn basic_constraints(forgery: &mut Forgery, place: u8, number: u32) {
    at(forgery, place).basic_constraints = match number % 8 {
        0 => None,
        1 => Some(BasicConstraints::Odd(pick(
            forms::BASIC_CONSTRAINTS,
            number / 8,
        ))),
        _ => {
            let lengths = [
                None,
                None,
                Some(0),
                Some(1),
                Some(2),
                Some(7),
                Some(255),
                Some(256),
            ];
            Some(BasicConstraints::Plain {
                critical: number & 0x300 != 0,
                is_ca: number & 0x800 != 0,
                path_length: lengths[number as usize >> 12 & 7],
            })
        }
    };
}

pub(super) fn key_usage(forgery: &mut Forgery, place: u8, number: u32) {
    at(forgery, place).key_usage = match number % 8 {
        0 => None,
        1 => Some(KeyUsage::Odd(pick(forms::KEY_USAGES, number / 8))),
        _ => Some(KeyUsage::Bits {
            critical: number & 8 != 0,
            bits: (number >> 4) as u16 & 0x1ff,
        }),
    };
}

pub(super) fn certificate_signature(forgery: &mut Forgery, place: u8, number: u32) {
    at(forgery, place).signature = match number % 8 {
        0..=3 => SignatureForm::Negated,
        4 => SignatureForm::Padded,
        5 => SignatureForm::Flipped((number >> 8) as u8 | 1),
        _ => SignatureForm::Odd(pick(forms::SIGNATURES, number / 8)),
    };
}

pub(super) fn key(forgery: &mut Forgery, place: u8, number: u32) {
    at(forgery, place).key = match number % 4 {
        0 => KeyChoice::Cancelling,
        1 | 2 => KeyChoice::Doubling,
        _ => KeyChoice::Number((number / 4 % 8) as u8),
    };
}

/// More CA certificates before the leaf, none of which limits the path.
pub(super) fn insert_authority(forgery: &mut Forgery, place: u8, number: u32) {
    let count = [1, 1, 2, 5, 6, 7][usize::from(place) % 6];
    for next in 0..count {
        let name = (3 + (number % 4 + next) % 4) as u8;
        let validity = (1_749_859_200 + i64::from(next), 1_750_032_000);
        let position = 1.min(forgery.chain.len());
        forgery
            .chain
            .insert(position, Certificate::ca(name, validity, None));
    }
}

pub(super) fn remove_certificate(forgery: &mut Forgery, place: u8, _: u32) {
    if forgery.chain.len() > 1 {
        forgery
            .chain
            .remove(usize::from(place) % forgery.chain.len());
    }
}

pub(super) fn repeat_certificate(forgery: &mut Forgery, place: u8, number: u32) {
    if forgery.chain.len() < 12 {
        let certificate = at(forgery, place).clone();
        forgery
            .chain
            .insert(number as usize % (forgery.chain.len() + 1), certificate);
    }
}

pub(super) fn swap_certificates(forgery: &mut Forgery, place: u8, number: u32) {
    let count = forgery.chain.len();
    forgery
        .chain
        .swap(usize::from(place) % count, number as usize % count);
}
