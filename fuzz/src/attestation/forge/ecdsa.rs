//! Signatures of the development keys, at the price of two multiplications.
//!
//! The secret number that every ECDSA signature needs is a constant here, and so its point is computed once. That gives
//! the keys away to anyone who sees two signatures; they are in this file anyway. What comes out are ordinary
//! signatures, and the same message always has the same one.

use std::sync::LazyLock;

use p384::elliptic_curve::ops::Reduce;
use p384::elliptic_curve::sec1::ToSec1Point;
use p384::{FieldBytes, ProjectivePoint, Scalar};
use sha2::{Digest, Sha384};

/// A key pair.
#[derive(Clone)]
pub struct Key {
    secret: Scalar,
    /// 0x04 ‖ X ‖ Y.
    pub point: Vec<u8>,
}

/// Key pairs that depend on nothing but their number.
pub fn key(number: u8) -> &'static Key {
    &KEYS[usize::from(number) % KEYS.len()]
}

impl Key {
    fn new(secret: Scalar) -> Self {
        let point = ProjectivePoint::GENERATOR * secret;
        let point = point.to_affine().to_sec1_point(false).as_bytes().to_vec();
        Self { secret, point }
    }

    /// r ‖ s over a message (FIPS 186-5 §6.4.1).
    pub fn sign(&self, message: &[u8]) -> [u8; 96] {
        let (inverse, r) = &*NONCE;
        fixed(r, &(inverse * &(hash(message) + r * &self.secret)))
    }
}

/// A key and its signature over a message, for which verification adds a point to itself: the addition's formula must
/// not be the general one. The key depends on the message, so it cannot be in it.
pub fn doubling(message: &[u8]) -> (Key, [u8; 96]) {
    let key = Key::new(hash(message) * invert(&NONCE.1));
    let signature = key.sign(message);
    (key, signature)
}

/// A key and a signature over a message for which verification ends at the point at infinity: it does not hold.
pub fn cancelling(message: &[u8]) -> (Key, [u8; 96]) {
    let key = Key::new(-(hash(message) * invert(&NONCE.1)));
    (key, fixed(&NONCE.1, &Scalar::ONE))
}

/// The other signature that holds wherever this one does: (r, n − s).
pub fn negated(signature: &[u8; 96]) -> [u8; 96] {
    let (r, s) = (scalar(&signature[..48]), scalar(&signature[48..]));
    fixed(&r, &-s)
}

fn hash(message: &[u8]) -> Scalar {
    scalar(&Sha384::digest(message))
}

fn scalar(bytes: &[u8]) -> Scalar {
    let mut array = FieldBytes::default();
    array.copy_from_slice(bytes);
    Scalar::reduce(&array)
}

fn invert(number: &Scalar) -> Scalar {
    match Option::from(number.invert()) {
        Some(inverse) => inverse,
        None => panic!("zero is no hash and no coordinate"),
    }
}

fn fixed(r: &Scalar, s: &Scalar) -> [u8; 96] {
    let mut signature = [0; 96];
    signature[..48].copy_from_slice(&r.to_bytes());
    signature[48..].copy_from_slice(&s.to_bytes());
    signature
}

static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let key = |number| Key::new(hash(&[b"nacre fuzz key", &[number][..]].concat()));
    (0..8).map(key).collect()
});

/// The inverse of the secret number, and the x-coordinate of its point.
static NONCE: LazyLock<(Scalar, Scalar)> = LazyLock::new(|| {
    let number = Key::new(hash(b"nacre fuzz nonce"));
    (invert(&number.secret), scalar(&number.point[1..49]))
});

/// The order of the curve's group (SP 800-186 §3.2.1.4).
pub const ORDER: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
    0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];
