//! Strict DER everywhere, also where nothing is read: inside names and extensions that path validation ignores.
//!
//! The certificate's own parts are read by their syntax (RFC 5280 §4.1) in [`crate::certificate`]. This walk does not
//! know the syntax; it knows what X.690 demands of *every* value: the one encoding of its tag and length, and of its
//! content where the type is universal. So two parsers cannot read one certificate in two ways.

/// Whether the bytes are exactly one DER value, whatever it means.
pub(crate) fn is_der(bytes: &[u8]) -> bool {
    matches!(walk(bytes, MAX_DEPTH), Some([]))
}

/// Takes one value off the front; nothing where it is not DER.
fn walk(bytes: &[u8], depth: u8) -> Option<&[u8]> {
    let (&identifier, rest) = bytes.split_first()?;
    let (content, rest) = content(rest)?;
    let constructed = identifier & CONSTRUCTED != 0;
    let number = identifier & TAG_NUMBER;
    let holds = match identifier & CLASS {
        // No tag of a certificate needs a second octet (X.690 §8.1.2.4).
        _ if number == TAG_NUMBER => false,
        UNIVERSAL if constructed => match number {
            SEQUENCE => values(content, depth.checked_sub(1)?, |_, _| true),
            SET => values(content, depth.checked_sub(1)?, |first, next| first <= next),
            // A string in pieces is BER (X.690 §10.2); nothing else may be constructed.
            _ => false,
        },
        UNIVERSAL => is_canonical(number, content),
        // What an implicit tag stands for is not known here.
        _ if constructed => values(content, depth.checked_sub(1)?, |_, _| true),
        _ => true,
    };
    holds.then_some(rest)
}

/// Length and content: the definite form in the fewest octets (X.690 §10.1).
fn content(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => match rest.split_first()? {
            (&length, rest) if length >= 0x80 => (usize::from(length), rest),
            _ => return None,
        },
        0x82 => match rest {
            [high, low, rest @ ..] if *high > 0 => {
                (usize::from(u16::from_be_bytes([*high, *low])), rest)
            }
            _ => return None,
        },
        // A certificate has no room for more.
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A row of values, each in `order` with the one before it. The elements of a SET OF stand in ascending order
/// (X.690 §11.6).
fn values(mut rest: &[u8], depth: u8, order: fn(&[u8], &[u8]) -> bool) -> bool {
    let mut before: &[u8] = &[];
    while !rest.is_empty() {
        let Some(after) = walk(rest, depth) else {
            return false;
        };
        let value = &rest[..rest.len() - after.len()];
        if !order(before, value) {
            return false;
        }
        (before, rest) = (value, after);
    }
    true
}

/// Whether the content of a primitive universal type is the one that its value has.
fn is_canonical(number: u8, content: &[u8]) -> bool {
    match number {
        BOOLEAN => matches!(content, [0x00 | 0xff]),
        INTEGER | ENUMERATED => !matches!(
            content,
            [] | [0x00, 0x00..=0x7f, ..] | [0xff, 0x80..=0xff, ..]
        ),
        BIT_STRING => match content {
            [unused] => *unused == 0,
            [unused @ 0..=7, .., last] => u32::from(*unused) <= last.trailing_zeros(),
            _ => false,
        },
        NULL => content.is_empty(),
        OBJECT_IDENTIFIER => is_object_identifier(content),
        UTF8_STRING => std::str::from_utf8(content).is_ok(),
        PRINTABLE_STRING => content.iter().all(|byte| is_printable(*byte)),
        NUMERIC_STRING => content
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b' '),
        IA5_STRING | VISIBLE_STRING => content.is_ascii(),
        // Times are read by their syntax; these have any content.
        OCTET_STRING | TELETEX_STRING | UTC_TIME | GENERALIZED_TIME => true,
        BMP_STRING => content.len().is_multiple_of(2),
        UNIVERSAL_STRING => content.len().is_multiple_of(4),
        // SEQUENCE and SET cannot be primitive, and no certificate holds the rest.
        _ => false,
    }
}

/// Every subidentifier in the fewest octets, and the last one complete (X.690 §8.19.2).
fn is_object_identifier(content: &[u8]) -> bool {
    let mut starts = true;
    for byte in content {
        if starts && *byte == 0x80 {
            return false;
        }
        starts = byte & 0x80 == 0;
    }
    starts && !content.is_empty()
}

/// X.680 §41.4.
fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

/// Real certificates nest 7 deep.
const MAX_DEPTH: u8 = 16;

// X.690 §8.1.2.
const CLASS: u8 = 0xc0;
const UNIVERSAL: u8 = 0x00;
const CONSTRUCTED: u8 = 0x20;
const TAG_NUMBER: u8 = 0x1f;

// X.680 §8.6, table 1.
const BOOLEAN: u8 = 1;
const INTEGER: u8 = 2;
const BIT_STRING: u8 = 3;
const OCTET_STRING: u8 = 4;
const NULL: u8 = 5;
const OBJECT_IDENTIFIER: u8 = 6;
const ENUMERATED: u8 = 10;
const UTF8_STRING: u8 = 12;
const SEQUENCE: u8 = 16;
const SET: u8 = 17;
const NUMERIC_STRING: u8 = 18;
const PRINTABLE_STRING: u8 = 19;
const TELETEX_STRING: u8 = 20;
const IA5_STRING: u8 = 22;
const UTC_TIME: u8 = 23;
const GENERALIZED_TIME: u8 = 24;
const VISIBLE_STRING: u8 = 26;
const UNIVERSAL_STRING: u8 = 28;
const BMP_STRING: u8 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_one_encoding() {
        for der in [
            &[0x01, 1, 0x00][..],
            &[0x01, 1, 0xff],
            &[0x02, 1, 0x00],
            &[0x02, 2, 0x00, 0x80],
            &[0x02, 1, 0xff],
            &[0x02, 2, 0xff, 0x7f],
            &[0x03, 1, 0],
            &[0x03, 2, 3, 0b1111_1000],
            &[0x05, 0],
            &[0x06, 3, 0x55, 0x04, 0x03],
            &[0x06, 4, 0x2a, 0x86, 0x48, 0x01],
            &[0x0c, 2, 0xc3, 0xa4],
            &[0x13, 1, b'a'],
            &[0x30, 0],
            &[0x31, 6, 0x02, 1, 1, 0x02, 1, 2],
            &[0xa0, 3, 0x02, 1, 2],
            &[0x80, 2, 0xff, 0xff],
        ] {
            assert!(is_der(der), "{der:02x?}");
        }
    }

    #[test]
    fn what_ber_lets_pass_is_not_der() {
        for ber in [
            &[][..],
            &[0x30],
            &[0x30, 1],
            &[0x01, 1, 0x01],                   // TRUE as 1
            &[0x01, 0],                         // no content
            &[0x02, 0],                         // no content
            &[0x02, 2, 0x00, 0x7f],             // a leading zero
            &[0x02, 2, 0xff, 0x80],             // a leading sign
            &[0x03, 0],                         // no count of unused bits
            &[0x03, 1, 1],                      // unused bits of nothing
            &[0x03, 2, 8, 0],                   // more unused bits than an octet has
            &[0x03, 2, 3, 0b1111_1100],         // a bit set among the unused
            &[0x05, 1, 0],                      // a NULL with content
            &[0x06, 0],                         // no content
            &[0x06, 2, 0x55, 0x84],             // ends in the middle
            &[0x06, 3, 0x55, 0x80, 0x01],       // a leading zero
            &[0x0c, 1, 0xff],                   // not UTF-8
            &[0x13, 1, b'*'],                   // not printable
            &[0x16, 1, 0x80],                   // not ASCII
            &[0x1e, 1, 0],                      // half a character
            &[0x30, 0x80, 0, 0],                // the indefinite form
            &[0x30, 0x81, 0],                   // a length in too many octets
            &[0x30, 0x82, 0, 0x80],             // a length in too many octets
            &[0x24, 3, 0x04, 1, 0],             // a string in pieces
            &[0x10, 0],                         // a primitive SEQUENCE
            &[0x31, 6, 0x02, 1, 2, 0x02, 1, 1], // a SET OF out of order
            &[0x1f, 0x1f, 0],                   // a tag in two octets
            &[0x30, 3, 0x02, 1, 0x00, 0x00],    // a byte after it
            &[0x30, 4, 0x02, 1, 0x00, 0x00],    // half a value in it
            &[0xa0, 2, 0x02, 0],                // a bad value under an explicit tag
        ] {
            assert!(!is_der(ber), "{ber:02x?}");
        }
        let nested = |depth: u8| {
            (0..depth).fold(Vec::new(), |inner: Vec<u8>, _| {
                let mut outer = vec![0x30, u8::try_from(inner.len()).unwrap()];
                outer.extend(inner);
                outer
            })
        };
        assert!(is_der(&nested(MAX_DEPTH)));
        assert!(!is_der(&nested(MAX_DEPTH + 1)));
    }
}
