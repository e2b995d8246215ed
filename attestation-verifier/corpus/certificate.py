"""X.509 certificates made to order: a good one, of which a case changes any part before it is signed (RFC 5280 §4.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, List, Optional, Tuple

import der
from curves import P384
from ecdsa import Key

ECDSA_WITH_SHA256 = der.sequence(der.oid("1.2.840.10045.4.3.2"))
ECDSA_WITH_SHA384 = der.sequence(der.oid("1.2.840.10045.4.3.3"))
ECDSA_WITH_SHA512 = der.sequence(der.oid("1.2.840.10045.4.3.4"))

VERSION_3 = der.explicit(0, der.integer(2))


@dataclass(frozen=True)
class Certificate:
    """The parts of a certificate, encoded. What is None has the value that belongs there."""

    key: Key
    issuer: bytes
    subject: bytes
    not_before: int
    not_after: int
    extensions: List[bytes]
    serial: bytes = bytes([0x4E]) * 8
    """The content octets of the serial number."""
    version: bytes = VERSION_3
    serial_number: Optional[bytes] = None
    inner_algorithm: bytes = ECDSA_WITH_SHA384
    validity: Optional[bytes] = None
    public_key_info: Optional[bytes] = None
    unique_identifiers: bytes = b""
    extensions_field: Optional[bytes] = None
    after_extensions: bytes = b""
    wrap_to_be_signed: Callable[[bytes], bytes] = lambda content: der.tlv(0x30, content)
    outer_algorithm: bytes = ECDSA_WITH_SHA384
    issuer_key: Optional[Key] = None
    """Who signs it; the certificate before it in the chain where this is None."""
    alter_signed: Callable[[bytes], bytes] = lambda to_be_signed: to_be_signed
    """What is signed in the place of the bytes to be signed."""
    sign: Callable[[Key, bytes], bytes] = lambda key, message: signature_value(*key.sign(message))
    wrap_signature: Callable[[bytes], bytes] = lambda value: der.bits(value)
    after_signature: bytes = b""
    wrap: Callable[[bytes], bytes] = lambda content: der.tlv(0x30, content)
    after: bytes = b""

    def but(self, **changes) -> Certificate:
        """The same order with other parts."""
        return replace(self, **changes)

    def extended(self, *extensions: bytes) -> Certificate:
        """The same order with more extensions."""
        return self.but(extensions=[*self.extensions, *extensions])

    def make(self, issuer_key: Key) -> bytes:
        """The certificate, signed."""
        to_be_signed = self.to_be_signed()
        message = self.alter_signed(to_be_signed)
        signature = self.sign(self.issuer_key or issuer_key, message)
        content = to_be_signed + self.outer_algorithm + self.wrap_signature(signature)
        return self.wrap(content + self.after_signature) + self.after

    def to_be_signed(self) -> bytes:
        """The TBSCertificate."""
        validity = der.sequence(der.time(self.not_before), der.time(self.not_after))
        extensions = der.explicit(3, der.sequence(*self.extensions))
        parts = [
            self.version,
            _given(self.serial_number, der.tlv(0x02, self.serial)),
            self.inner_algorithm,
            self.issuer,
            _given(self.validity, validity),
            self.subject,
            self.public_key_info or public_key_info(self.key),
            self.unique_identifiers,
            _given(self.extensions_field, extensions),
            self.after_extensions,
        ]
        return self.wrap_to_be_signed(b"".join(parts))


def _given(part: Optional[bytes], default: bytes) -> bytes:
    return default if part is None else part


def name(common_name: str, *others: bytes) -> bytes:
    """A distinguished name of a common name, after other relative names."""
    return der.sequence(*others, attribute("2.5.4.3", der.utf8(common_name)))


def attribute(kind: str, value: bytes) -> bytes:
    """A relative distinguished name of one attribute."""
    return der.set_of(der.sequence(der.oid(kind), value))


def public_key_info(key: Key, algorithm: Optional[bytes] = None, point: Optional[bytes] = None) -> bytes:
    """A SubjectPublicKeyInfo; a named curve and an uncompressed point (RFC 5480 §2) unless told otherwise."""
    named = der.sequence(der.oid("1.2.840.10045.2.1"), der.oid(key.curve.oid))
    if point is None:
        point = uncompressed(key.public, key.curve.octets)
    return der.sequence(_given(algorithm, named), der.bits(point))


def uncompressed(point: Tuple[int, int], octets: int = P384.octets) -> bytes:
    """A point as 04 ‖ X ‖ Y (SEC 1 §2.3.3)."""
    x, y = point
    return b"\x04" + x.to_bytes(octets, "big") + y.to_bytes(octets, "big")


def signature_value(r: int, s: int) -> bytes:
    """An ECDSA-Sig-Value (RFC 3279 §2.2.3)."""
    return der.sequence(der.integer(r), der.integer(s))


def extension(identifier: str, value: bytes, critical: bool = False) -> bytes:
    """An Extension."""
    flag = der.boolean(True) if critical else b""
    return der.sequence(der.oid(identifier), flag, der.octets(value))


BASIC_CONSTRAINTS = "2.5.29.19"
KEY_USAGE = "2.5.29.15"


def basic_constraints(is_ca: bool, path_length: Optional[int] = None, critical: bool = True) -> bytes:
    """RFC 5280 §4.2.1.9."""
    flag = der.boolean(True) if is_ca else b""
    limit = b"" if path_length is None else der.integer(path_length)
    return extension(BASIC_CONSTRAINTS, der.sequence(flag, limit), critical)


DIGITAL_SIGNATURE, NON_REPUDIATION, KEY_ENCIPHERMENT, KEY_CERT_SIGN, CRL_SIGN = 0, 1, 2, 5, 6
"""Bits of a key usage (RFC 5280 §4.2.1.3)."""


def key_usage(*usages: int, critical: bool = True) -> bytes:
    """A named bit list without trailing zero bits (X.690 §11.2.2)."""
    octet = sum(0x80 >> usage for usage in usages)
    return extension(KEY_USAGE, der.bits(bytes([octet]), unused=7 - max(usages)), critical)


CA_USAGE = key_usage(DIGITAL_SIGNATURE, KEY_CERT_SIGN, CRL_SIGN)
LEAF_USAGE = key_usage(DIGITAL_SIGNATURE)
