"""ECDSA with deterministic nonces (FIPS 186-5 §6.4; RFC 6979), over any short Weierstrass curve.

Nothing here is constant-time, and the keys are derived from a published seed: they protect nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from typing import Dict, List, Tuple

from curves import P384, Curve, Point

Signature = Tuple[int, int]


class Key:
    """A private key and what follows from it."""

    def __init__(self, secret: int, curve: Curve = P384) -> None:
        self.secret = secret
        self.curve = curve
        self._signatures: Dict[Tuple[bytes, str], Signature] = {}

    @property
    def public(self) -> Point:
        """The public point; None where the secret is zero."""
        return multiply_generator(self.curve, self.secret)

    def sign(self, message: bytes, digest: str = "sha384") -> Signature:
        """r and s over a message. The same message gives the same signature, and is signed only once."""
        if (message, digest) not in self._signatures:
            self._signatures[message, digest] = sign(self.curve, self.secret, message, digest)
        return self._signatures[message, digest]


def sign(curve: Curve, secret: int, message: bytes, digest: str) -> Signature:
    """A signature; s is what the equation gives, in the upper half about as often as in the lower.

    A secret of zero is allowed: it signs for the point at infinity, whose "key" everybody holds.
    """
    hashed = _leftmost_bits(hashlib.new(digest, message).digest(), curve.n)
    for nonce in _nonces(curve.n, secret, hashed, digest):
        point = multiply_generator(curve, nonce)
        r = point[0] % curve.n
        s = pow(nonce, -1, curve.n) * (hashed + r * secret) % curve.n
        if r and s:
            return r, s
    raise AssertionError("the nonces do not end")


def verify(curve: Curve, public: Point, message: bytes, signature: Signature, digest: str = "sha384") -> bool:
    """Whether a signature holds. Only the generator's own tests need it."""
    r, s = signature
    if not (0 < r < curve.n and 0 < s < curve.n):
        return False
    hashed = _leftmost_bits(hashlib.new(digest, message).digest(), curve.n)
    inverse = pow(s, -1, curve.n)
    one = multiply_generator(curve, hashed * inverse % curve.n)
    other = multiply(curve, r * inverse % curve.n, public)
    total = _affine(curve, _add(curve, _jacobian(one), _jacobian(other)))
    return total is not None and total[0] % curve.n == r


def multiply(curve: Curve, factor: int, point: Point) -> Point:
    """factor · point, by doubling and adding."""
    total, addend = _INFINITY, _jacobian(point)
    while factor:
        if factor & 1:
            total = _add(curve, total, addend)
        addend = _double(curve, addend)
        factor >>= 1
    return _affine(curve, total)


def multiply_generator(curve: Curve, factor: int) -> Point:
    """factor · generator, by one addition for each four bits of the factor."""
    total = _INFINITY
    for row in _table(curve):
        if factor & 15:
            total = _add(curve, total, row[factor & 15])
        factor >>= 4
    return _affine(curve, total)


def _nonces(n: int, secret: int, hashed: int, digest: str):
    """RFC 6979 §3.2; where a nonce does not serve, the next."""
    octets = (n.bit_length() + 7) // 8
    seed = secret.to_bytes(octets, "big") + (hashed % n).to_bytes(octets, "big")
    size = hashlib.new(digest).digest_size

    def mac(key: bytes, data: bytes) -> bytes:
        return hmac.new(key, data, digest).digest()

    key, value = b"\x00" * size, b"\x01" * size
    for separator in (b"\x00", b"\x01"):
        key = mac(key, value + separator + seed)
        value = mac(key, value)
    while True:
        stream = b""
        while len(stream) < octets:
            value = mac(key, value)
            stream += value
        nonce = _leftmost_bits(stream[:octets], n)
        if 0 < nonce < n:
            yield nonce
        key = mac(key, value + b"\x00")
        value = mac(key, value)


def _leftmost_bits(octets: bytes, n: int) -> int:
    """As many leading bits as n has (RFC 6979 §2.3.2)."""
    return int.from_bytes(octets, "big") >> max(0, 8 * len(octets) - n.bit_length())


# Jacobian coordinates: (X, Y, Z) is the affine point (X / Z², Y / Z³); Z = 0 is the point at infinity.
_Jacobian = Tuple[int, int, int]
_INFINITY: _Jacobian = (1, 1, 0)


def _jacobian(point: Point) -> _Jacobian:
    return _INFINITY if point is None else (point[0], point[1], 1)


def _affine(curve: Curve, point: _Jacobian) -> Point:
    x, y, z = point
    if z == 0:
        return None
    inverse = pow(z, -1, curve.p)
    square = inverse * inverse % curve.p
    return x * square % curve.p, y * square * inverse % curve.p


def _double(curve: Curve, point: _Jacobian) -> _Jacobian:
    x, y, z = point
    p = curve.p
    if z == 0 or y == 0:
        return _INFINITY
    yy = y * y % p
    s = 4 * x * yy % p
    zz = z * z % p
    m = (3 * x * x + curve.a * zz * zz) % p
    x3 = (m * m - 2 * s) % p
    return x3, (m * (s - x3) - 8 * yy * yy) % p, 2 * y * z % p


def _add(curve: Curve, one: _Jacobian, other: _Jacobian) -> _Jacobian:
    x1, y1, z1 = one
    x2, y2, z2 = other
    p = curve.p
    if z1 == 0:
        return other
    if z2 == 0:
        return one
    z1z1, z2z2 = z1 * z1 % p, z2 * z2 % p
    u1, u2 = x1 * z2z2 % p, x2 * z1z1 % p
    s1, s2 = y1 * z2 * z2z2 % p, y2 * z1 * z1z1 % p
    if u1 == u2:
        return _double(curve, one) if s1 == s2 else _INFINITY
    h, r = (u2 - u1) % p, (s2 - s1) % p
    hh = h * h % p
    hhh, v = h * hh % p, u1 * hh % p
    x3 = (r * r - hhh - 2 * v) % p
    return x3, (r * (v - x3) - s1 * hhh) % p, z1 * z2 * h % p


@lru_cache(maxsize=None)
def _table(curve: Curve) -> List[List[_Jacobian]]:
    """table[i][j] = j · 16^i · generator."""
    rows, base = [], _jacobian(curve.generator)
    for _ in range((curve.n.bit_length() + 3) // 4):
        row = [_INFINITY]
        for _ in range(15):
            row.append(_add(curve, row[-1], base))
        # With Z = 1 half of the multiplications of an addition are by one.
        rows.append([_jacobian(_affine(curve, point)) for point in row])
        base = _add(curve, row[-1], base)
    return rows
