"""Faults of a certificate's public key (RFC 5480 §2): another kind of key, another curve, no proper point."""

from __future__ import annotations

from typing import Iterator

import der
from case import Case, chain
from certificate import public_key_info, uncompressed
from curves import BRAINPOOL_P384, P256, P384, P521, Curve
from document import Document
from ecdsa import Key
from foreign import ED25519, SHA384_WITH_RSA, Ed25519Key, RsaKey
from shapes import Shapes

EC_PUBLIC_KEY = "1.2.840.10045.2.1"
ALGORITHM, POINT = "certificate-public-key-algorithm", "certificate-public-key-point"


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    yield from _other_curves(shapes)
    yield from _other_schemes(shapes)
    yield from _parameters(shapes)
    yield from _points(shapes)
    yield from _framing(shapes)


def _other_curves(shapes: Shapes) -> Iterator[Case]:
    chained = shapes.chained()
    about = "Its signatures hold, but the PKI has keys on P-384 only."
    for name, curve in (("p256", P256), ("p521", P521), ("brainpool-p384", BRAINPOOL_P384)):
        order = chained.with_ca(1, key=shapes.key(name, curve))
        yield chain(f"ca-key-{name}", ALGORITHM, f"The intermediate's key is on another curve ({name}). {about}", order)
        if curve.octets <= 48:
            signed = chained.with_leaf(key=shapes.key(name, curve))
            yield chain(
                f"leaf-key-{name}", ALGORITHM, f"The signer's key is on another curve ({name}). {about}", signed
            )
    large = public_key_info(shapes.key("leaf", P521))
    yield chain(
        "leaf-key-p521",
        ALGORITHM,
        "The signer's key is on P-521, whose signatures do not fit into 96 bytes.",
        chained.with_leaf(public_key_info=large),
    )


def _other_schemes(shapes: Shapes) -> Iterator[Case]:
    chained = shapes.chained()
    rsa, edwards = RsaKey(shapes.number("rsa", 32)), Ed25519Key(shapes.number("ed25519", 32))
    for name, key, algorithm in (("rsa", rsa, SHA384_WITH_RSA), ("ed25519", edwards, ED25519)):
        info = key.public_key_info()
        signed = chained.with_ca(1, public_key_info=info).with_leaf(
            inner_algorithm=algorithm, outer_algorithm=algorithm, sign=lambda _, message, key=key: key.sign(message)
        )
        yield chain(
            f"ca-key-{name}",
            ALGORITHM,
            f"The intermediate's key is {name.upper()}, and its signature on the leaf holds.",
            signed,
        )
        yield chain(
            f"leaf-key-{name}",
            ALGORITHM,
            f"The signer's key is {name.upper()}: with a choice of schemes the weakest decides.",
            chained.with_leaf(public_key_info=info),
        )
        below = chained.with_leaf(
            inner_algorithm=algorithm, outer_algorithm=algorithm, sign=lambda _, message, key=key: key.sign(message)
        )
        yield chain(
            f"leaf-signed-by-{name}",
            "certificate-signature-algorithm",
            f"The leaf is signed with {name.upper()}, which its issuer's key cannot have done.",
            below,
        )


def _parameters(shapes: Shapes) -> Iterator[Case]:
    chained = shapes.chained()
    about = "Only a name says which curve it is; who computes with what is sent computes on the attacker's."

    def with_parameters(key: Key, parameters: bytes) -> Document:
        algorithm = der.sequence(der.oid(EC_PUBLIC_KEY), parameters)
        return chained.with_leaf(key=key, public_key_info=public_key_info(key, algorithm))

    leaf = shapes.key("leaf")
    yield chain(
        "leaf-key-explicit-p384",
        ALGORITHM,
        f"The curve's parameters are spelled out; they are P-384's. {about}",
        with_parameters(leaf, _explicit(P384)),
    )
    own_generator = Curve(P384.oid, P384.p, P384.a, P384.b, shapes.key("ca-1").public, P384.n)
    forged = shapes.key("leaf", own_generator)
    yield chain(
        "leaf-key-own-generator",
        ALGORITHM,
        f"The curve's parameters are spelled out with another generator (CVE-2020-0601). {about}",
        with_parameters(forged, _explicit(own_generator)),
    )
    issuer = Key(1, own_generator)
    algorithm = der.sequence(der.oid(EC_PUBLIC_KEY), _explicit(own_generator))
    info = public_key_info(issuer, algorithm)
    forged_ca = chained.with_ca(1, key=issuer, public_key_info=info)
    yield chain(
        "ca-key-own-generator",
        ALGORITHM,
        f"The intermediate's public point is a known one, over a generator that makes its private key 1 (CVE-2020-0601). {about}",
        forged_ca,
    )
    yield chain(
        "leaf-key-null-parameters",
        ALGORITHM,
        "The curve is NULL: the issuer's is meant.",
        with_parameters(leaf, der.NULL),
    )
    yield chain("leaf-key-without-parameters", ALGORITHM, "No curve is named.", with_parameters(leaf, b""))
    yield chain(
        "leaf-key-two-parameters",
        ALGORITHM,
        "Something follows the curve's name.",
        with_parameters(leaf, der.oid(P384.oid) + der.NULL),
    )
    yield chain(
        "leaf-key-named-p256",
        ALGORITHM,
        "The point is on P-384, the name is P-256's.",
        with_parameters(leaf, der.oid(P256.oid)),
    )
    agreement = der.sequence(der.oid("1.3.132.1.12"), der.oid(P384.oid))
    yield chain(
        "leaf-key-for-agreement",
        ALGORITHM,
        "The key is marked for ECDH alone (RFC 5480 §2.1.2).",
        chained.with_leaf(public_key_info=public_key_info(leaf, agreement)),
    )


def _explicit(curve: Curve) -> bytes:
    """SpecifiedECDomain (SEC 1 §C.2)."""
    field = der.sequence(der.oid("1.2.840.10045.1.1"), der.integer(curve.p))
    coefficients = der.sequence(*[der.octets(value.to_bytes(curve.octets, "big")) for value in (curve.a, curve.b)])
    return der.sequence(
        der.integer(1),
        field,
        coefficients,
        der.octets(uncompressed(curve.generator)),
        der.integer(curve.n),
        der.integer(1),
    )


def _points(shapes: Shapes) -> Iterator[Case]:
    chained = shapes.chained()
    for position in ("leaf", "ca"):
        key = shapes.key("leaf" if position == "leaf" else "ca-1")

        def change(point: bytes, position: str = position, key: Key = key) -> Document:
            info = public_key_info(key, point=point)
            if position == "leaf":
                return chained.with_leaf(public_key_info=info)
            return chained.with_ca(1, public_key_info=info)

        x, y = key.public
        good = uncompressed(key.public)
        about = "One key under two encodings."
        yield chain(
            f"{position}-point-compressed",
            POINT,
            f"The point is compressed. {about}",
            change(bytes([2 + y % 2]) + good[1:49]),
        )
        yield chain(
            f"{position}-point-hybrid",
            POINT,
            f"The point is in X9.62's hybrid form. {about}",
            change(bytes([6 + y % 2]) + good[1:]),
        )
        yield chain(
            f"{position}-point-off-curve",
            POINT,
            "The point is not on the curve: signatures under it leak or mean nothing.",
            change(uncompressed((x, y ^ 1))),
        )
        yield chain(
            f"{position}-point-coordinates-swapped",
            POINT,
            "X and Y are swapped, so the point is not on the curve.",
            change(uncompressed((y, x))),
        )
        yield chain(f"{position}-point-empty", POINT, "There is no point.", change(b""))
        yield chain(f"{position}-point-one-byte-short", POINT, "The point lacks its last byte.", change(good[:-1]))
        yield chain(f"{position}-point-one-byte-long", POINT, "A byte follows the point.", change(good + b"\x00"))
        yield chain(
            f"{position}-point-without-form",
            POINT,
            "The point is X and Y without the octet that says so.",
            change(good[1:]),
        )
    everybody = Key(0)
    about = "Whoever takes it for the key accepts signatures that anybody can make; this one is such."
    for name, point in (
        ("infinity", b"\x00"),
        ("infinity-padded", b"\x00" * 97),
        ("zero-zero", b"\x04" + b"\x00" * 96),
    ):
        info = public_key_info(everybody, point=point)
        yield chain(
            f"leaf-point-{name}",
            POINT,
            f"The point is at infinity ({name.replace('-', ' ')}). {about}",
            chained.with_leaf(key=everybody, public_key_info=info),
        )
        below = chained.with_ca(1, key=everybody, public_key_info=info)
        yield chain(
            f"ca-point-{name}",
            POINT,
            f"The intermediate's point is at infinity ({name.replace('-', ' ')}). {about}",
            below,
        )
    unreduced_x, unreduced_y = _small_point()
    for name, point in (
        ("x-at-least-p", (unreduced_x + P384.p, unreduced_y)),
        ("x-equal-to-p", (P384.p, pow(P384.b, (P384.p + 1) // 4, P384.p))),
        ("y-at-least-p", _small_y_point()),
    ):
        yield chain(
            f"leaf-point-{name}",
            POINT,
            f"A coordinate is not below the field's prime ({name.replace('-', ' ')}); reduced it would be on the curve.",
            chained.with_leaf(public_key_info=public_key_info(shapes.key("leaf"), point=uncompressed(point))),
        )


def _small_point():
    """The point with the smallest x above zero."""
    for x in range(1, 100):
        square = (x**3 + P384.a * x + P384.b) % P384.p
        y = pow(square, (P384.p + 1) // 4, P384.p)
        if y * y % P384.p == square:
            return x, y
    raise AssertionError("about every second x is on the curve")


def _small_y_point():
    """A point whose y is so small that y + p still fits into 48 octets, with p added to it."""
    for y in range(1, 1000):
        x = _root_of_cubic((P384.b - y * y) % P384.p)
        if x is not None and P384.contains((x, y)):
            return x, y + P384.p
    raise AssertionError("no point with a small y")


def _root_of_cubic(constant: int):
    """A root of x³ + ax + constant, where it has exactly one in the field; else None.

    gcd(x^p - x, cubic) is linear then. Polynomials are triples of coefficients, reduced by the cubic.
    """
    p, a = P384.p, P384.a

    def times(one, other):
        product = [0] * 5
        for i, left in enumerate(one):
            for j, right in enumerate(other):
                product[i + j] += left * right
        for degree in (4, 3):
            lead = product[degree] % p
            product[degree - 2] -= lead * a
            product[degree - 3] -= lead * constant
        return [value % p for value in product[:3]]

    power, square, exponent = [1, 0, 0], [0, 1, 0], p
    while exponent:
        if exponent & 1:
            power = times(power, square)
        square = times(square, square)
        exponent >>= 1
    remainder = [power[0], (power[1] - 1) % p, power[2]]
    if remainder[2] == 0:
        return None
    inverse = pow(remainder[2], -1, p)
    c0, c1 = remainder[0] * inverse % p, remainder[1] * inverse % p
    # x² = -c1·x - c0 in the cubic: (c1² - c0 + a)·x + (c1·c0 + constant) = 0.
    linear, rest = (c1 * c1 - c0 + a) % p, (c1 * c0 + constant) % p
    return -rest * pow(linear, -1, p) % p if linear else None


def _framing(shapes: Shapes) -> Iterator[Case]:
    chained = shapes.chained()
    # A key whose last bit is zero, so that the bit may be called unused.
    label = next(f"even {index}" for index in range(64) if shapes.key(f"even {index}").public[1] % 2 == 0)
    even = shapes.key(label)
    algorithm = der.sequence(der.oid(EC_PUBLIC_KEY), der.oid(P384.oid))
    point = uncompressed(even.public)
    for name, content, unused in (("one-unused-bit", point, 1), ("seven-unused-bits", point + b"\x00", 7)):
        info = der.sequence(algorithm, der.bits(content, unused))
        yield chain(
            f"leaf-key-{name}",
            POINT,
            f"The key's BIT STRING has {name.replace('-', ' ')}: whoever does not look finds a good key.",
            chained.with_leaf(key=even, public_key_info=info),
        )
    octets = der.sequence(algorithm, der.octets(b"\x00" + point))
    yield chain(
        "leaf-key-in-octet-string",
        POINT,
        "The key is an OCTET STRING with a BIT STRING's content.",
        chained.with_leaf(key=even, public_key_info=octets),
    )
    trailing = der.sequence(algorithm, der.bits(point), der.NULL)
    yield chain(
        "leaf-key-trailing",
        "certificate-trailing-bytes",
        "Something follows the key.",
        chained.with_leaf(key=even, public_key_info=trailing),
    )
