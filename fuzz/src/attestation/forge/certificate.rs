//! A certificate to be made, part by part (RFC 5280 §4.1).

use super::Form;
use super::certificate_forms::{
    ALGORITHMS, KEY_ALGORITHMS, SERIALS, TRAILING, UNIQUE_IDENTIFIERS, VERSIONS,
};

/// A certificate of the chain. Its parent is the one before it.
#[derive(Clone)]
pub struct Certificate {
    pub key: KeyChoice,
    /// `None`: the parent signs.
    pub signer: Option<u8>,
    pub version: Form,
    /// The content of the INTEGER.
    pub serial: Form,
    pub inner_algorithm: Form,
    /// `None`: the parent's subject.
    pub issuer: Option<Name>,
    pub not_before: Time,
    pub not_after: Time,
    pub after_validity: Form,
    pub subject: Name,
    pub key_algorithm: Form,
    pub point: Point,
    pub after_point: Form,
    pub unique_identifier: Form,
    pub basic_constraints: Option<BasicConstraints>,
    pub key_usage: Option<KeyUsage>,
    pub more_extensions: Vec<Form>,
    /// Whether the first extension stands there twice.
    pub repeats_extension: bool,
    pub after_tbs: Form,
    pub outer_algorithm: Form,
    pub signature: SignatureForm,
    pub after_signature: Form,
    pub after: Form,
}

/// Which key a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum KeyChoice {
    Number(u8),
    /// One for which the arithmetic of the child's signature meets an exception; see [`super::ecdsa`].
    Doubling,
    Cancelling,
}

/// What stands in the certificate as its key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Point {
    Own,
    /// A good one that is another's.
    Of(u8),
    Odd(Form),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// A common name that ends with this number.
    Common(u8),
    /// A whole DER value.
    Odd(Form),
}

/// A time in Unix seconds, and how it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Time {
    pub second: i64,
    pub form: TimeForm,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TimeForm {
    /// As RFC 5280 §4.1.2.5 has it.
    Proper,
    /// GeneralizedTime, whatever the year.
    Generalized,
    Fraction,
    NoSeconds,
    Offset,
    /// A text that is no time.
    Month13,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum BasicConstraints {
    Plain {
        critical: bool,
        is_ca: bool,
        path_length: Option<u16>,
    },
    /// A content of extnValue that is not DER or not the syntax.
    Odd(Form),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum KeyUsage {
    /// Bits as RFC 5280 §4.2.1.3 numbers them: bit 0 is 1 << 0.
    Bits {
        critical: bool,
        bits: u16,
    },
    Odd(Form),
}

/// digitalSignature and keyCertSign.
pub const DIGITAL_SIGNATURE: u16 = 1;
pub const KEY_CERT_SIGN: u16 = 1 << 5;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SignatureForm {
    Good,
    /// (r, n − s), which holds as well.
    Negated,
    /// s with another bit.
    Flipped(u8),
    /// A BIT STRING's content that does not depend on what is signed.
    Odd(Form),
    /// r with a zero before it, where DER allows none.
    Padded,
}

impl Certificate {
    /// The usual root: twenty years long.
    pub fn root() -> Self {
        Self::ca(0, (1_577_836_800, 2_208_988_799), None)
    }

    /// Two days around the usual time.
    pub fn intermediate() -> Self {
        Self::ca(1, (1_749_859_200, 1_750_032_000), Some(0))
    }

    /// Three hours around the usual time.
    pub fn leaf() -> Self {
        Self {
            basic_constraints: Some(BasicConstraints::Plain {
                critical: true,
                is_ca: false,
                path_length: None,
            }),
            key_usage: Some(KeyUsage::Bits {
                critical: true,
                bits: DIGITAL_SIGNATURE,
            }),
            ..Self::ca(2, (1_749_996_000, 1_750_006_800), None)
        }
    }

    /// A CA certificate with its own name and key.
    pub fn ca(number: u8, (not_before, not_after): (i64, i64), path_length: Option<u16>) -> Self {
        let time = |second| Time {
            second,
            form: TimeForm::Proper,
        };
        Self {
            key: KeyChoice::Number(number),
            signer: None,
            version: VERSIONS[0],
            serial: SERIALS[0],
            inner_algorithm: ALGORITHMS[0],
            issuer: None,
            not_before: time(not_before),
            not_after: time(not_after),
            after_validity: TRAILING[0],
            subject: Name::Common(number),
            key_algorithm: KEY_ALGORITHMS[0],
            point: Point::Own,
            after_point: TRAILING[0],
            unique_identifier: UNIQUE_IDENTIFIERS[0],
            basic_constraints: Some(BasicConstraints::Plain {
                critical: true,
                is_ca: true,
                path_length,
            }),
            key_usage: Some(KeyUsage::Bits {
                critical: true,
                bits: KEY_CERT_SIGN,
            }),
            more_extensions: Vec::new(),
            repeats_extension: false,
            after_tbs: TRAILING[0],
            outer_algorithm: ALGORITHMS[0],
            signature: SignatureForm::Good,
            after_signature: TRAILING[0],
            after: TRAILING[0],
        }
    }
}
