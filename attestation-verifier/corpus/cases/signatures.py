"""Faults of signatures: on certificates (RFC 3279 §2.2.3, RFC 5280 §4.1.1.3) and on the document (RFC 9052 §4.4)."""

from __future__ import annotations

from typing import Iterator

import der
from case import Case, chain
from cases.certificate import Change, positions, thinned
from certificate import signature_value
from curves import P384
from document import Document, fixed
from shapes import Shapes

N = P384.n


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    for position, change in positions(shapes):
        yield from thinned(position, _encoding(position, change))
        yield from thinned(position, _issuer(position, change, shapes))


def _encoding(position: str, change: Change) -> Iterator[Case]:
    rule = "certificate-signature-encoding"

    def written(write) -> Document:
        return change(sign=lambda key, message: write(*key.sign(message)))

    values = {
        "all-zero": (
            lambda r, s: signature_value(0, 0),
            "r and s are zero: a verifier without a range check accepts it for everything (CVE-2022-21449)",
        ),
        "r-zero": (lambda r, s: signature_value(0, s), "r is zero"),
        "s-zero": (lambda r, s: signature_value(r, 0), "s is zero"),
        "r-is-the-order": (lambda r, s: signature_value(N, s), "r is the order, zero after reduction"),
        "s-is-the-order": (lambda r, s: signature_value(r, N), "s is the order, zero after reduction"),
        "both-the-order": (lambda r, s: signature_value(N, N), "r and s are the order"),
        "r-beyond-the-order": (
            lambda r, s: signature_value(r + N, s),
            "r has the order added: the same after reduction",
        ),
        "s-beyond-the-order": (
            lambda r, s: signature_value(r, s + N),
            "s has the order added: the same after reduction",
        ),
        "r-negative": (lambda r, s: signature_value(r - N, s), "r has the order taken away: the same after reduction"),
        "s-negative": (lambda r, s: signature_value(r, -s), "s is negative"),
        "r-without-sign-octet": (
            lambda r, s: der.sequence(_unsigned(r), der.integer(s)),
            "r lacks the zero octet that makes it positive, or has one too many",
        ),
        "r-not-minimal": (
            lambda r, s: der.sequence(der.tlv(2, b"\x00" + der.integer_content(r)), der.integer(s)),
            "r has a zero octet too many",
        ),
        "s-not-minimal": (
            lambda r, s: der.sequence(der.integer(r), der.tlv(2, b"\x00" + der.integer_content(s))),
            "s has a zero octet too many",
        ),
        "trailing-inside": (lambda r, s: der.sequence(der.integer(r), der.integer(s), der.NULL), "something follows s"),
        "trailing": (lambda r, s: signature_value(r, s) + b"\x00", "a byte follows the pair"),
        "three-numbers": (
            lambda r, s: der.sequence(der.integer(r), der.integer(s), der.integer(1)),
            "there are three numbers",
        ),
        "one-number": (lambda r, s: der.sequence(der.integer(r)), "s is missing"),
        "long-length": (lambda r, s: der.long_length(signature_value(r, s)), "the length is not in its shortest form"),
        "indefinite-length": (lambda r, s: der.indefinite_length(signature_value(r, s)), "the length is indefinite"),
        "fixed-length": (lambda r, s: fixed(r, s), "it is COSE's form, not DER"),
        "is-a-set": (lambda r, s: der.set_of(der.integer(r), der.integer(s)), "it is a SET"),
        "empty": (lambda r, s: b"", "it is empty"),
    }
    for name, (write, fault) in values.items():
        yield chain(
            f"{position}-signature-{name}",
            rule,
            f"The signature value is not the one form of a pair in range: {fault}.",
            written(write),
        )
    even = change(
        sign=lambda key, message: _even(*key.sign(message)), wrap_signature=lambda value: der.bits(value, unused=1)
    )
    yield chain(
        f"{position}-signature-one-unused-bit",
        rule,
        "The signature's BIT STRING has an unused bit, which happens to be zero.",
        even,
    )
    yield chain(
        f"{position}-signature-in-octet-string",
        rule,
        "The signature is an OCTET STRING.",
        change(wrap_signature=lambda value: der.octets(value)),
    )
    yield chain(
        f"{position}-signature-in-pieces",
        rule,
        "The signature's BIT STRING comes in pieces.",
        change(wrap_signature=lambda value: der.constructed(der.bits(value))),
    )


def _unsigned(value: int) -> bytes:
    """An INTEGER whose content is the number without a sign octet: negative, or with one too many where it is small."""
    content = value.to_bytes(48, "big")
    return der.tlv(2, content if content[0] & 0x80 else b"\x00" + content)


def _even(r: int, s: int) -> bytes:
    return signature_value(r, s if s % 2 == 0 else N - s)


def _issuer(position: str, change: Change, shapes: Shapes) -> Iterator[Case]:
    rule = "certificate-signature"
    yield chain(
        f"{position}-signed-by-another-key",
        rule,
        "Another key of the same name signed the certificate.",
        change(issuer_key=shapes.key("attacker")),
    )
    own = shapes.key("leaf" if position == "leaf" else "ca-1")
    yield chain(
        f"{position}-signed-by-itself",
        rule,
        "The certificate signed itself in its issuer's name.",
        change(issuer_key=own),
    )
    other = change(alter_signed=lambda octets: octets.replace(b"\x4e" * 8, b"\x4f" * 8))
    yield chain(f"{position}-changed-after-signing", rule, "The serial number was changed after signing.", other)
    content = change(alter_signed=der.reopen)
    yield chain(
        f"{position}-signed-without-its-head",
        rule,
        "The signature is over the content without tag and length.",
        content,
    )
    yield chain(
        f"{position}-signed-over-nothing",
        rule,
        "The signature is over no bytes.",
        change(alter_signed=lambda octets: b""),
    )
    yield chain(
        f"{position}-signature-with-sha256",
        rule,
        "The algorithm says SHA-384, the signature was made with SHA-256.",
        change(sign=lambda key, message: signature_value(*key.sign(message, "sha256"))),
    )
    yield chain(
        f"{position}-signature-one-one", rule, "r and s are 1.", change(sign=lambda key, message: signature_value(1, 1))
    )
    swapped = change(sign=lambda key, message: signature_value(*reversed(key.sign(message))))
    yield chain(f"{position}-signature-swapped", rule, "r and s are swapped.", swapped)
    if position == "leaf":
        grandparent = shapes.chained().with_leaf(issuer_key=shapes.key("root"))
        yield chain(
            "leaf-signed-by-the-root", rule, "The root, not the intermediate in between, signed the leaf.", grandparent
        )
        below = shapes.chained().with_leaf(issuer_key=shapes.key("attacker"))
        yield chain(
            "leaf-below-ca-signed-by-another-key",
            rule,
            "The leaf names the intermediate, and another key signed it: a verifier that stops at names is fooled.",
            below,
        )
