//! Bytes that can stand in a certificate, and the rules that they break.

use super::{Forms, bad, good};

pub const VERSIONS: Forms = &[
    good(&[0xa0, 3, 2, 1, 2]),
    bad(&[], &["certificate-version"]),
    bad(&[0xa0, 3, 2, 1, 0], &["certificate-version"]),
    bad(&[0xa0, 3, 2, 1, 1], &["certificate-version"]),
    bad(&[0xa0, 3, 2, 1, 3], &["certificate-version"]),
    bad(&[0xa0, 4, 2, 2, 0, 2], &["certificate-version"]),
    bad(&[0x80, 1, 2], &["certificate-version"]),
];

const SERIAL: &[&str] = &["certificate-serial-number"];

pub const SERIALS: Forms = &[
    good(&[0x5a; 16]),
    good(&[1]),
    good(&[0, 0x80]),
    good(&[0x7f; 20]),
    good(&[0x7f; 21]),
    bad(&[], SERIAL),
    bad(&[0], SERIAL),
    bad(&[0, 1], SERIAL),
    bad(&[0x80], SERIAL),
    bad(&[0xff, 0x80], SERIAL),
    bad(&[0x7f; 22], SERIAL),
];

const ALGORITHM: &[&str] = &["certificate-signature-algorithm"];

/// AlgorithmIdentifiers of signatures: ES384 first.
pub const ALGORITHMS: Forms = &[
    good(b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"),
    bad(
        b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
        ALGORITHM,
    ),
    bad(
        b"\x30\x0c\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03\x05\x00",
        ALGORITHM,
    ),
    bad(
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00",
        ALGORITHM,
    ),
    bad(b"\x30\x00", ALGORITHM),
];

const KEY_ALGORITHM: &[&str] = &["certificate-public-key-algorithm"];

/// AlgorithmIdentifiers of keys: P-384 first; then P-256, P-521, secp256k1, no curve, RSA, and a curve that is spelled out
/// (begins to be).
pub const KEY_ALGORITHMS: Forms = &[
    good(b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22"),
    bad(
        b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
        KEY_ALGORITHM,
    ),
    bad(
        b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23",
        KEY_ALGORITHM,
    ),
    bad(
        b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x0a",
        KEY_ALGORITHM,
    ),
    bad(
        b"\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x02\x01",
        KEY_ALGORITHM,
    ),
    bad(
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00",
        KEY_ALGORITHM,
    ),
    bad(
        b"\x30\x0e\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x30\x03\x02\x01\x01",
        KEY_ALGORITHM,
    ),
];

const POINT: &[&str] = &["certificate-public-key-point"];

/// What a key's BIT STRING must not hold: nothing, the point at infinity, points off the curve, the compressed, the
/// hybrid and the bare form of something.
pub const POINTS: Forms = &[
    bad(&[], POINT),
    bad(&[0], POINT),
    bad(&[4; 97], POINT),
    bad(&[0; 97], POINT),
    bad(&[0xff; 97], POINT),
    bad(&[2; 49], POINT),
    bad(&[3; 49], POINT),
    bad(&[6; 97], POINT),
    bad(&[7; 97], POINT),
    bad(&[4; 96], POINT),
    bad(&[4; 65], POINT),
];

/// What stands behind the last element of a structure.
pub const TRAILING: Forms = &[
    good(&[]),
    bad(&[5, 0], &["certificate-trailing-bytes", "certificate-der"]),
    bad(&[0], &["certificate-trailing-bytes", "certificate-der"]),
];

pub const UNIQUE_IDENTIFIERS: Forms = &[
    good(&[]),
    bad(&[0x81, 2, 0, 1], &["certificate-unique-identifier"]),
    bad(&[0x82, 2, 0, 1], &["certificate-unique-identifier"]),
    bad(&[0xa2, 2, 5, 0], &["certificate-unique-identifier"]),
];

const NAME: &[&str] = &["certificate-name"];
/// General rules of DER come last: the name's own rule may be named instead.
const NAME_OR_DER: &[&str] = &["certificate-name", "certificate-der"];

/// Names other than a common name: two of RFC 5280's kinds, then none, one with an empty part, an attribute out of its
/// set, a set out of order, a PrintableString that is none, text that is not UTF-8, and BER.
pub const NAMES: Forms = &[
    good(b"\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02\x55\x53"),
    good(b"\x30\x1a\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02\x55\x53\x31\x0b\x30\x09\x06\x03\x55\x04\x0a\x0c\x02\x6e\x61"),
    bad(b"\x30\x00", NAME),
    bad(b"\x30\x02\x31\x00", NAME),
    bad(b"\x30\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02\x55\x53", NAME),
    bad(b"\x30\x18\x31\x16\x30\x09\x06\x03\x55\x04\x0a\x0c\x02\x6e\x61\x30\x09\x06\x03\x55\x04\x06\x13\x02\x55\x53", NAME_OR_DER),
    bad(b"\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02\x2a\x2a", NAME_OR_DER),
    bad(b"\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x0c\x02\xc3\x28", NAME_OR_DER),
    bad(b"\x30\x81\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02\x55\x53", NAME_OR_DER),
];

const DER: &[&str] = &["certificate-der"];

/// Contents of basicConstraints that are refused: nothing, FALSE spelled out, a negative length, one with a leading zero,
/// BER's TRUE, another element, a byte after it.
pub const BASIC_CONSTRAINTS: Forms = &[
    bad(b"", DER),
    bad(b"\x30\x03\x01\x01\x00", DER),
    bad(b"\x30\x06\x01\x01\xff\x02\x01\xff", DER),
    bad(b"\x30\x07\x01\x01\xff\x02\x02\x00\x01", DER),
    bad(b"\x30\x03\x01\x01\x01", DER),
    bad(b"\x30\x05\x01\x01\xff\x05\x00", DER),
    bad(b"\x30\x03\x01\x01\xff\x00", DER),
    bad(b"\x30\x80\x01\x01\xff\x00\x00", DER),
];

/// Contents of keyUsage that are refused: nothing, no bits, bits among the unused, zeros at the end, too many octets, no
/// BIT STRING.
pub const KEY_USAGES: Forms = &[
    bad(b"", DER),
    bad(b"\x03\x01\x00", DER),
    bad(b"\x03\x02\x07\xff", DER),
    bad(b"\x03\x02\x00\x80", DER),
    bad(b"\x03\x03\x07\x84\x00", DER),
    bad(b"\x03\x04\x00\x84\x00\x01", DER),
    bad(b"\x04\x02\x07\x80", DER),
];

const CRITICAL: &[&str] = &["certificate-critical-extension"];

/// Extensions, whole: a key identifier, a private one, one of any DER, one that leaves no room for others; then critical ones, name constraints among them,
/// a FALSE that is spelled out, a value that is not DER, no value, and a byte after the value.
pub const EXTENSIONS: Forms = &[
    good(b"\x30\x0d\x06\x03\x55\x1d\x0e\x04\x06\x04\x04\x01\x02\x03\x04"),
    good(b"\x30\x0b\x06\x05\x2b\x06\x01\x04\x01\x04\x02\x05\x00"),
    good(b"\x30\x0c\x06\x03\x55\x1d\x12\x04\x05\x30\x03\x80\x01\xff"),
    good(&LONG_EXTENSION),
    bad(
        b"\x30\x0c\x06\x03\x55\x1d\x1e\x01\x01\xff\x04\x02\x30\x00",
        CRITICAL,
    ),
    bad(
        b"\x30\x0e\x06\x05\x2b\x06\x01\x04\x02\x01\x01\xff\x04\x02\x05\x00",
        CRITICAL,
    ),
    bad(
        b"\x30\x0e\x06\x05\x2b\x06\x01\x04\x03\x01\x01\x00\x04\x02\x05\x00",
        DER,
    ),
    bad(
        b"\x30\x0c\x06\x05\x2b\x06\x01\x04\x05\x04\x03\x05\x81\x00",
        DER,
    ),
    bad(b"\x30\x09\x06\x05\x2b\x06\x01\x04\x06\x04\x00", DER),
    bad(b"\x30\x07\x06\x05\x2b\x06\x01\x04\x07", DER),
    bad(
        b"\x30\x0d\x06\x05\x2b\x06\x01\x04\x08\x04\x02\x05\x00\x05\x00",
        &["certificate-trailing-bytes"],
    ),
    bad(
        b"\x30\x0d\x06\x05\x2b\x06\x01\x04\x09\x04\x04\x13\x02\x2a\x2a",
        DER,
    ),
];

/// 900 zeros in an OCTET STRING.
const LONG_EXTENSION: [u8; 919] = {
    let head = *b"\x30\x82\x03\x93\x06\x05\x2b\x06\x01\x04\x0a\x04\x82\x03\x88\x04\x82\x03\x84";
    let mut bytes = [0; 919];
    let mut at = 0;
    while at < head.len() {
        bytes[at] = head[at];
        at += 1;
    }
    bytes
};

const SIGNATURE_ENCODING: &[&str] = &["certificate-signature-encoding"];

/// Contents of a signature's BIT STRING, its count of unused bits first: (1, 1) in DER, which holds for nobody; then r and
/// s of zero, numbers that are too long, negative ones, an element more, BER, unused bits, nothing at all.
pub const SIGNATURES: Forms = &[
    bad(b"\x00\x30\x06\x02\x01\x01\x02\x01\x01", &["certificate-signature"]),
    bad(b"\x00\x30\x06\x02\x01\x00\x02\x01\x01", SIGNATURE_ENCODING),
    bad(b"\x00\x30\x06\x02\x01\x01\x02\x01\x00", SIGNATURE_ENCODING),
    bad(b"\x00\x30\x06\x02\x01\xff\x02\x01\x01", SIGNATURE_ENCODING),
    bad(b"\x00\x30\x09\x02\x01\x01\x02\x01\x01\x02\x01\x01", SIGNATURE_ENCODING),
    bad(b"\x00\x30\x80\x02\x01\x01\x02\x01\x01\x00\x00", SIGNATURE_ENCODING),
    bad(b"\x00\x30\x06\x02\x01\x01\x02\x01\x01\x00", SIGNATURE_ENCODING),
    bad(b"\x01\x30\x06\x02\x01\x01\x02\x01\x02", SIGNATURE_ENCODING),
    bad(b"\x00", SIGNATURE_ENCODING),
    bad(b"", SIGNATURE_ENCODING),
    // n, which is as far out of range as zero.
    bad(b"\x00\x30\x36\x02\x31\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xc7\x63\x4d\x81\xf4\x37\x2d\xdf\x58\x1a\x0d\xb2\x48\xb0\xa7\x7a\xec\xec\x19\x6a\xcc\xc5\x29\x73\x02\x01\x01", SIGNATURE_ENCODING),
];
