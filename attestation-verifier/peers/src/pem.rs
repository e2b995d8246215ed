//! A certificate as PEM, for a library that keeps its root so.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// The PEM of a certificate, lines of 64 characters.
pub fn certificate(der: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in body.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
