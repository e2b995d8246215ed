"""Signature schemes that the profile refuses: RSA (RFC 8017 §8.2) and Ed25519 (RFC 8032 §5.1).

A verifier that accepts them must find nothing else to refuse, so the signatures hold.
"""

from __future__ import annotations

import hashlib
from typing import Tuple

import der

RSA_KEY = der.sequence(der.oid("1.2.840.113549.1.1.1"), der.NULL)
SHA384_WITH_RSA = der.sequence(der.oid("1.2.840.113549.1.1.12"), der.NULL)
ED25519 = der.sequence(der.oid("1.3.101.112"))

_RSA_BITS = 2048
_EXPONENT = 65537


class RsaKey:
    """An RSA key that follows from a seed."""

    def __init__(self, seed: bytes) -> None:
        p, q = (_prime(seed + bytes([index]), _RSA_BITS // 2) for index in range(2))
        self._modulus = p * q
        self._secret = pow(_EXPONENT, -1, (p - 1) * (q - 1))

    def public_key_info(self) -> bytes:
        """The SubjectPublicKeyInfo."""
        key = der.sequence(der.integer(self._modulus), der.integer(_EXPONENT))
        return der.sequence(RSA_KEY, der.bits(key))

    def sign(self, message: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5 with SHA-384."""
        algorithm = der.sequence(der.oid("2.16.840.1.101.3.4.2.2"), der.NULL)
        info = der.sequence(algorithm, der.octets(hashlib.sha384(message).digest()))
        size = _RSA_BITS // 8
        padded = b"\x00\x01" + b"\xff" * (size - 3 - len(info)) + b"\x00" + info
        return pow(int.from_bytes(padded, "big"), self._secret, self._modulus).to_bytes(size, "big")


def _prime(seed: bytes, bits: int) -> int:
    candidate = int.from_bytes(hashlib.shake_256(seed).digest(bits // 8), "big")
    # The two highest bits make the product as long as it should be; the lowest makes the number odd.
    candidate |= 3 << bits - 2 | 1
    while not _is_prime(candidate):
        candidate += 2
    return candidate


def _is_prime(number: int) -> bool:
    small = all(number % divisor for divisor in range(3, 2000, 2))
    return small and all(pow(base, number - 1, number) == 1 for base in (2, 3, 5))


class Ed25519Key:
    """An Ed25519 key that follows from a seed of 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        digest = hashlib.sha512(seed).digest()
        self._scalar = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
        self._prefix = digest[32:]
        self.public = _encode(_multiply(self._scalar))

    def public_key_info(self) -> bytes:
        """The SubjectPublicKeyInfo (RFC 8410 §4)."""
        return der.sequence(ED25519, der.bits(self.public))

    def sign(self, message: bytes) -> bytes:
        """64 octets."""
        nonce = _number(self._prefix + message)
        commitment = _encode(_multiply(nonce))
        challenge = _number(commitment + self.public + message)
        answer = (nonce + challenge * self._scalar) % _ORDER
        return commitment + answer.to_bytes(32, "little")


_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_Affine = Tuple[int, int]


def _number(octets: bytes) -> int:
    return int.from_bytes(hashlib.sha512(octets).digest(), "little") % _ORDER


def _base_point() -> _Affine:
    """y = 4/5, and the even x that goes with it."""
    y = 4 * pow(5, -1, _P) % _P
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if x * x % _P != square:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    return (_P - x if x & 1 else x), y


def _multiply(factor: int) -> _Affine:
    total, addend = (0, 1), _base_point()
    while factor:
        if factor & 1:
            total = _add(total, addend)
        addend = _add(addend, addend)
        factor >>= 1
    return total


def _add(one: _Affine, other: _Affine) -> _Affine:
    (x1, y1), (x2, y2) = one, other
    product = _D * x1 * x2 * y1 * y2 % _P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, _P) % _P
    return x, (y1 * y2 + x1 * x2) * pow(1 - product, -1, _P) % _P


def _encode(point: _Affine) -> bytes:
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")
