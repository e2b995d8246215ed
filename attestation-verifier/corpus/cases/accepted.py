"""Documents that must be trusted: a verifier that refuses one of them is too strict to work with AWS, or misreads a
rule."""

from __future__ import annotations

from typing import Iterator

import cbor
from case import Case, valid
from certificate import (
    signature_value,
)
from document import Document, fixed
from shapes import Shapes, pcr, pcr_map
from sizes import short_certificate_signature, short_key, short_signature, sized


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    yield from _forms(shapes)
    yield from _signatures(shapes)
    yield from _contents(shapes)


def _forms(shapes: Shapes) -> Iterator[Case]:
    short = shapes.short()
    definite = _definite(short)
    yield valid(
        "aws-shape", "The full shape that AWS sends: four CA certificates, 16 PCRs, all user fields.", shapes.aws()
    )
    yield valid(
        "aws-shape-definite",
        "The full shape as AWS sent it before 2025, the top map of definite length.",
        _definite(shapes.aws()),
    )
    yield valid(
        "indefinite-map", "The payload's map has no length and ends with a break, as AWS sends it since 2025.", short
    )
    yield valid("definite-map", "The payload's map has a length, as AWS sent it before 2025.", definite)
    yield valid("tag-18", "The envelope has the tag of COSE_Sign1, which RFC 9052 allows.", short.but(head=b"\xd2\x84"))
    yield valid(
        "tag-18-definite-map",
        "The tag of COSE_Sign1 and a map of definite length together.",
        definite.but(head=b"\xd2\x84"),
    )
    reverse = short.but(entries=list(reversed(short.entries)))
    yield valid("keys-in-reverse-order", "A map has no order: the keys stand in reverse.", reverse)
    yield valid("size-limit", "The document has exactly 16,384 bytes, the most there may be.", sized(short, 16 * 1024))


def _signatures(shapes: Shapes) -> Iterator[Case]:
    short, chained = shapes.short(), shapes.chained()
    n = shapes.key("leaf").curve.n

    def high(r: int, s: int) -> tuple:
        return r, max(s, n - s)

    def low(r: int, s: int) -> tuple:
        return r, min(s, n - s)

    def signed(choose) -> Document:
        return short.but(write_signature=lambda signature: fixed(*choose(*signature))).put("user_data", cbor.bstr(b"s"))

    yield valid("high-s", "The document's s is in the upper half, as about half of AWS's are.", signed(high))
    for part, number in enumerate("rs"):
        order = short_signature(short, part)
        yield valid(
            f"document-short-{number}", f"The document's {number} begins with a zero octet, and keeps it.", order
        )
    order = short_certificate_signature(short)
    yield valid("certificate-short-r", "The certificate's r is an octet shorter than most, as DER demands.", order)
    order = short.with_leaf(key=short_key(shapes))
    yield valid("key-short-x", "The X of the signer's key begins with a zero octet, and keeps it.", order)
    yield valid("low-s", "The document's s is in the lower half.", signed(low))
    for side, choose in (("high", high), ("low", low)):
        order = chained.with_leaf(sign=_signing(choose)).with_ca(1, sign=_signing(choose))
        yield valid(
            f"certificate-{side}-s",
            f"The certificates' s is in the {side}er half of its range.".replace("higher", "upper"),
            order,
        )


def _signing(choose):
    return lambda key, message: signature_value(*choose(*key.sign(message)))


def _contents(shapes: Shapes) -> Iterator[Case]:
    short = shapes.short()
    for count in (16, 17, 19, 32):
        values = pcr_map({index: pcr(index) for index in range(count)})
        yield valid(f"{count}-pcrs", f"The document has {count} PCRs; there may be 1 to 32.", short.put("pcrs", values))
    shuffled = pcr_map({index: pcr(index) for index in (2, 31, 0, 16, 1)})
    yield valid(
        "pcrs-with-gaps-unordered", "Five PCRs, neither in order nor without gaps.", short.put("pcrs", shuffled)
    )
    for field in ("public_key", "user_data", "nonce"):
        yield valid(
            f"{field.replace('_', '-')}-absent",
            f"{field} is left out, which the specification allows.",
            short.drop(field),
        )
        yield valid(
            f"{field.replace('_', '-')}-empty",
            f"{field} is an empty byte string, which AWS does send.",
            short.put(field, cbor.bstr(b"")),
        )
        yield valid(
            f"{field.replace('_', '-')}-1024-bytes",
            f"{field} has 1,024 bytes, the most there may be.",
            short.put(field, cbor.bstr(b"\x5a" * 1024)),
        )
    bare = short.drop("public_key").drop("user_data").drop("nonce")
    yield valid("no-user-fields", "None of the three user fields is there.", bare)
    yield valid(
        "unknown-key", "An unknown text key is reported and never used.", short.put("firmware", cbor.tstr("1.2.3"))
    )
    nested = cbor.array([cbor.cbor_map([(cbor.tstr("a"), cbor.array([cbor.uint(1), cbor.NULL]))]), cbor.double(1.5)])
    others = {
        "largest-negative": cbor.head(cbor.NINT, (1 << 64) - 1),
        "simple-255": b"\xf8\xff",
        "not-a-number": b"\xf9\x7e\x00",
        "undefined": cbor.UNDEFINED,
        "bignum": cbor.tag(2, cbor.bstr(b"\x01" + bytes(8))),
    }
    for name, value in others.items():
        about = f"An unknown key with a rare value ({name.replace('-', ' ')}), which is skipped like any other."
        yield valid(f"unknown-key-{name}", about, short.put("extra", value))
    yield valid("unknown-key-nested", "An unknown key with a small nested value.", short.put("extra", nested))
    indefinite = cbor.indefinite(cbor.array([cbor.indefinite(cbor.cbor_map([(cbor.uint(1), cbor.FALSE)]))]))
    yield valid(
        "unknown-key-indefinite",
        "An unknown key whose value has containers without a length.",
        short.put("extra", indefinite),
    )
    yield valid(
        "unknown-key-64-bytes",
        "An unknown key of 64 bytes, the longest in the profile.",
        short.put("k" * 64, cbor.uint(1)),
    )
    many = short
    for index in range(23):
        many = many.put(f"key {index}", cbor.uint(index))
    yield valid("32-keys", "The payload has 32 keys, the most in the profile.", many)
    yield valid("module-id-one-character", "A module_id of one character.", short.put("module_id", cbor.tstr("i")))
    yield valid(
        "module-id-256-bytes",
        "A module_id of 256 bytes, the longest in the profile.",
        short.put("module_id", cbor.tstr("i" * 256)),
    )
    yield valid(
        "module-id-not-ascii", "A module_id with letters beyond ASCII.", short.put("module_id", cbor.tstr("i-ä-漢"))
    )


def _definite(document: Document) -> Document:
    return document.but(wrap_payload=lambda entries, count: cbor.head(cbor.MAP, count) + entries)
