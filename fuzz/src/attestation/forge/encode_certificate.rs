//! From a model to DER.

use super::certificate::{
    BasicConstraints, Certificate, KeyUsage, Name, Point, SignatureForm, Time, TimeForm,
};
use super::ecdsa::{self, key};
use crate::builder::der;

pub(super) fn to_be_signed(certificate: &Certificate, issuer: Name, own_point: &[u8]) -> Vec<u8> {
    let point = match certificate.point {
        Point::Own => own_point,
        Point::Of(number) => &key(number).point,
        Point::Odd(form) => form.bytes,
    };
    der::sequence(&[
        certificate.version.bytes,
        &der::integer(certificate.serial.bytes),
        certificate.inner_algorithm.bytes,
        &name(issuer),
        &der::sequence(&[
            &time(certificate.not_before),
            &time(certificate.not_after),
            certificate.after_validity.bytes,
        ]),
        &name(certificate.subject),
        &der::sequence(&[
            certificate.key_algorithm.bytes,
            &der::bits(0, point),
            certificate.after_point.bytes,
        ]),
        certificate.unique_identifier.bytes,
        &extensions(certificate),
        certificate.after_tbs.bytes,
    ])
}

fn name(name: Name) -> Vec<u8> {
    match name {
        Name::Common(number) => der::name(&format!("fuzz {number}")),
        Name::Odd(form) => form.bytes.to_vec(),
    }
}

/// Year, month, day, hour, minute and second in the Gregorian calendar.
fn calendar(second: i64) -> [u64; 6] {
    // No certificate's time is before 1950 (RFC 5280 §4.1.2.5.1).
    let second = second.saturating_add(631_152_000).max(0).unsigned_abs();
    let (mut days, of_day) = (second / 86_400, second % 86_400);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1950;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    [
        year,
        month as u64 + 1,
        days + 1,
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
    ]
}

/// The year of a time.
pub fn year(second: i64) -> u64 {
    calendar(second)[0]
}

fn time(time: Time) -> Vec<u8> {
    let [year, month, day, hour, minute, second] = calendar(time.second);
    let month = if time.form == TimeForm::Month13 {
        13
    } else {
        month
    };
    let date = format!("{month:02}{day:02}{hour:02}{minute:02}");
    let tail = match time.form {
        TimeForm::Proper | TimeForm::Generalized | TimeForm::Month13 => format!("{second:02}Z"),
        TimeForm::Fraction => format!("{second:02}.5Z"),
        TimeForm::NoSeconds => "Z".to_owned(),
        TimeForm::Offset => format!("{second:02}+0000"),
    };
    if year < 2050 && time.form != TimeForm::Generalized && time.form != TimeForm::Fraction {
        der::utc_time(&format!("{:02}{date}{tail}", year % 100))
    } else {
        der::generalized_time(&format!("{year:04}{date}{tail}"))
    }
}

fn extensions(certificate: &Certificate) -> Vec<u8> {
    let mut all = Vec::new();
    match certificate.basic_constraints {
        None => {}
        Some(BasicConstraints::Odd(form)) => {
            all.push(extension(BASIC_CONSTRAINTS, true, form.bytes))
        }
        Some(BasicConstraints::Plain {
            critical,
            is_ca,
            path_length,
        }) => {
            let is_ca: &[u8] = if is_ca { &[1, 1, 0xff] } else { &[] };
            let length = path_length.map_or(Vec::new(), |length| unsigned(&length.to_be_bytes()));
            all.push(extension(
                BASIC_CONSTRAINTS,
                critical,
                &der::sequence(&[is_ca, &length]),
            ));
        }
    }
    match certificate.key_usage {
        None => {}
        Some(KeyUsage::Odd(form)) => all.push(extension(KEY_USAGE, true, form.bytes)),
        Some(KeyUsage::Bits { critical, bits }) => {
            all.push(extension(KEY_USAGE, critical, &named_bits(bits)));
        }
    }
    all.extend(
        certificate
            .more_extensions
            .iter()
            .map(|form| form.bytes.to_vec()),
    );
    if certificate.repeats_extension {
        all.extend(all.first().cloned());
    }
    if all.is_empty() {
        return Vec::new();
    }
    der::tlv(0xa3, &der::tlv(0x30, &all.concat()))
}

fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    der::sequence(&[&der::oid(id), critical, &der::octets(value)])
}

/// A named bit list without zeros at its end (X.690 §11.2).
fn named_bits(bits: u16) -> Vec<u8> {
    let reversed = bits.reverse_bits();
    let octets = (16 - reversed.trailing_zeros()).div_ceil(8) as usize;
    let octets = &reversed.to_be_bytes()[..octets];
    let unused = octets.last().map_or(0, |last| last.trailing_zeros());
    der::bits(unused as u8, octets)
}

/// An INTEGER from a big-endian number.
pub(super) fn unsigned(number: &[u8]) -> Vec<u8> {
    let start = number.iter().take_while(|byte| **byte == 0).count();
    let number = &number[start.min(number.len() - 1)..];
    let sign: &[u8] = if number[0] >= 0x80 { &[0] } else { &[] };
    der::integer(&[sign, number].concat())
}

/// A BIT STRING with an ECDSA-Sig-Value.
pub(super) fn signature_value(form: SignatureForm, mut signature: [u8; 96]) -> Vec<u8> {
    match form {
        SignatureForm::Good | SignatureForm::Padded => {}
        SignatureForm::Negated => signature = ecdsa::negated(&signature),
        SignatureForm::Flipped(bit) => signature[95 - usize::from(bit / 8)] ^= 1 << (bit % 8),
        SignatureForm::Odd(form) => return der::tlv(3, form.bytes),
    }
    let (r, s) = signature.split_at(48);
    let r = match form {
        SignatureForm::Padded => der::integer(&[&[0, 0], r].concat()),
        _ => unsigned(r),
    };
    der::bits(0, &der::sequence(&[&r, &unsigned(s)]))
}

const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
