"""What a certificate may do and when: CA or leaf, key usage, path length, validity (RFC 5280 §4.2.1.3, §4.2.1.9, §6.1)."""

from __future__ import annotations

from typing import Iterator

import cbor
import der
from case import Case, chain
from certificate import (
    CA_USAGE,
    LEAF_USAGE,
    basic_constraints,
    extension,
    key_usage,
)
from document import Document
from shapes import NOW, NOW_MS, Shapes


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    yield from _authority(shapes)
    yield from _path_lengths(shapes)
    yield from _times(shapes)


def _authority(shapes: Shapes) -> Iterator[Case]:
    chained = shapes.chained()

    def ca(*extensions: bytes) -> Document:
        return chained.with_ca(1, extensions=list(extensions))

    def leaf(*extensions: bytes) -> Document:
        return chained.with_leaf(extensions=list(extensions))

    yield chain(
        "ca-without-basic-constraints",
        "certificate-not-ca",
        "The intermediate has no basic constraints: any leaf could issue.",
        ca(CA_USAGE),
    )
    yield chain(
        "ca-with-ca-false",
        "certificate-not-ca",
        "The intermediate's basic constraints say that it is no CA.",
        ca(basic_constraints(False), CA_USAGE),
    )
    yield chain(
        "ca-with-path-length-alone",
        "certificate-not-ca",
        "The intermediate has a path length, but is no CA.",
        ca(basic_constraints(False, 3), CA_USAGE),
    )
    yield chain(
        "ca-basic-constraints-not-critical",
        "certificate-basic-constraints-critical",
        "A CA's basic constraints are not critical, as RFC 5280 demands.",
        ca(basic_constraints(True, critical=False), CA_USAGE),
    )
    rule = "certificate-key-cert-sign"
    yield chain(
        "ca-without-key-usage",
        rule,
        "The intermediate has no key usage: AWS's specification demands keyCertSign.",
        ca(basic_constraints(True)),
    )
    yield chain(
        "ca-without-key-cert-sign",
        rule,
        "The intermediate's key may sign anything but certificates.",
        ca(basic_constraints(True), key_usage(0, 1, 6)),
    )
    yield chain(
        "ca-digital-signature-alone",
        rule,
        "The intermediate's key usage is a leaf's.",
        ca(basic_constraints(True), LEAF_USAGE),
    )
    rule = "leaf-is-ca"
    yield chain(
        "leaf-with-ca-true",
        rule,
        "The signer is a CA: it could issue as well as sign.",
        leaf(basic_constraints(True), LEAF_USAGE),
    )
    yield chain(
        "leaf-with-key-cert-sign",
        rule,
        "The signer's key may sign certificates.",
        leaf(basic_constraints(False), key_usage(0, 5)),
    )
    yield chain(
        "leaf-with-ca-profile", rule, "The signer has all that a CA has.", leaf(basic_constraints(True, 0), CA_USAGE)
    )
    yield chain(
        "leaf-with-path-length",
        "leaf-path-length",
        "The signer is no CA, but has a path length.",
        leaf(basic_constraints(False, 0), LEAF_USAGE),
    )
    rule = "leaf-digital-signature"
    yield chain(
        "leaf-without-key-usage",
        rule,
        "The signer has no key usage: AWS's specification demands digitalSignature.",
        leaf(basic_constraints(False)),
    )
    yield chain(
        "leaf-non-repudiation-alone",
        rule,
        "The signer's key may not make digital signatures.",
        leaf(basic_constraints(False), key_usage(1)),
    )
    yield chain(
        "leaf-key-agreement-alone",
        rule,
        "The signer's key is for key agreement.",
        leaf(basic_constraints(False), key_usage(4)),
    )
    decipher = extension("2.5.29.15", der.bits(b"\x00\x80", unused=7), critical=True)
    yield chain(
        "leaf-decipher-only",
        rule,
        "The signer's key usage has a bit in its second octet alone.",
        leaf(basic_constraints(False), decipher),
    )


def _path_lengths(shapes: Shapes) -> Iterator[Case]:
    rule = "certificate-path-length"

    def limited(intermediates: int, index: int, limit: int) -> Document:
        return shapes.chained(intermediates).with_ca(index, extensions=[basic_constraints(True, limit), CA_USAGE])

    yield chain("root-path-length-0", rule, "The root allows no CA below it, and there is one.", limited(1, 0, 0))
    yield chain(
        "intermediate-path-length-0", rule, "An intermediate that may issue leaves only issued a CA.", limited(2, 1, 0)
    )
    yield chain(
        "path-length-one-too-small", rule, "The path length is one less than the chain needs.", limited(4, 1, 2)
    )
    yield chain(
        "path-length-deep-in-the-chain",
        rule,
        "The limit of the fourth of six CA certificates is passed.",
        limited(5, 3, 1),
    )


def _times(shapes: Shapes) -> Iterator[Case]:
    chained = shapes.chained()
    ends = (
        ("root", lambda **c: chained.with_ca(0, **c)),
        ("intermediate", lambda **c: chained.with_ca(1, **c)),
        ("leaf", chained.with_leaf),
    )
    for position, change in ends:
        yield chain(
            f"{position}-expired",
            "certificate-expired",
            f"The {position} expired one second before the verification.",
            change(not_after=NOW - 1),
        )
        yield chain(
            f"{position}-not-yet-valid",
            "certificate-not-yet-valid",
            f"The {position} becomes valid one second after the verification.",
            change(not_before=NOW + 1),
        )
        yield chain(
            f"{position}-expired-when-made",
            "certificate-expired",
            f"The {position} was valid when the document was made, and is not when it is verified: the document's own time does not count.",
            change(not_after=NOW - 2).put("timestamp", cbor.uint(NOW_MS - 2500)),
        )
    exact = chained.with_leaf(not_before=NOW)
    yield chain(
        "not-yet-valid-by-a-millisecond",
        "certificate-not-yet-valid",
        "The leaf becomes valid a millisecond after the verification.",
        exact,
        time_ms=NOW_MS - 1,
    )
    yield chain(
        "verified-hours-later",
        "certificate-expired",
        "The leaf expired; the document is shown again hours later.",
        chained,
        time_ms=NOW_MS + 3 * 3600 * 1000,
    )
    yield chain(
        "verified-in-1970", "certificate-not-yet-valid", "The verifier's clock stands at zero.", chained, time_ms=0
    )
    yield chain(
        "verified-in-9999",
        "certificate-expired",
        "The verifier's clock stands at the end of 9999.",
        chained,
        time_ms=253_402_300_799_000,
    )
    four = shapes.aws()
    for index, position in ((1, "regional"), (2, "zonal"), (3, "instance")):
        yield chain(
            f"aws-shape-{position}-expired",
            "certificate-expired",
            f"In the full shape the {position} certificate alone has expired.",
            four.with_ca(index, not_after=NOW - 1),
        )
