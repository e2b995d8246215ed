"""Faults of a certificate's extensions (RFC 5280 §4.2)."""

from __future__ import annotations

from typing import Iterator

import der
from case import Case, chain
from cases.certificate import Change, positions, thinned
from certificate import BASIC_CONSTRAINTS, CA_USAGE, KEY_USAGE, LEAF_USAGE, basic_constraints, extension, key_usage
from shapes import Shapes

UNKNOWN = "1.3.6.1.4.1.99999.1"


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    chained = shapes.chained()
    orders = {"leaf": chained.leaf, "ca": chained.bundle[1]}
    for position, change in positions(shapes):
        given = orders[position].extensions
        yield from thinned(position, _critical(position, change, given))
        yield from thinned(position, _duplicates(position, change, given))
        yield from thinned(position, _basic_constraints(position, change))
        yield from thinned(position, _key_usage(position, change))
        yield from thinned(position, _framing(position, change, given))


def _critical(position: str, change: Change, given: list) -> Iterator[Case]:
    rule = "certificate-critical-extension"
    about = "It limits the certificate in a way that the verifier would ignore."
    subtree = der.sequence(der.tlv(0x82, b"example.org"))
    constraints = der.sequence(der.tlv(0xA0, subtree))
    usages = der.sequence(der.oid("1.3.6.1.5.5.7.3.1"))
    unknown = {
        "unknown": extension(UNKNOWN, der.utf8("x"), critical=True),
        "name-constraints": extension("2.5.29.30", constraints, critical=True),
        "extended-key-usage": extension("2.5.29.37", usages, critical=True),
        "policy-constraints": extension("2.5.29.36", der.sequence(der.tlv(0x80, b"\x00")), critical=True),
    }
    for name, added in unknown.items():
        yield chain(
            f"{position}-critical-{name}",
            rule,
            f"A critical extension that is not processed ({name.replace('-', ' ')}). {about}",
            change(extensions=[*given, added]),
        )
    first = change(extensions=[unknown["unknown"], *given])
    yield chain(
        f"{position}-critical-unknown-first", rule, f"A critical unknown extension before all others. {about}", first
    )


def _duplicates(position: str, change: Change, given: list) -> Iterator[Case]:
    rule = "certificate-duplicate-extension"
    about = "One verifier reads the first, another the last."
    other = extension(UNKNOWN, der.utf8("x"))
    yield chain(
        f"{position}-basic-constraints-twice",
        rule,
        f"The basic constraints stand twice. {about}",
        change(extensions=[*given, given[0]]),
    )
    contrary = basic_constraints(position == "leaf")
    yield chain(
        f"{position}-basic-constraints-twice-differing",
        rule,
        f"Two basic constraints that contradict each other. {about}",
        change(extensions=[*given, contrary]),
    )
    yield chain(
        f"{position}-key-usage-twice",
        rule,
        f"Two key usages that differ. {about}",
        change(extensions=[*given, key_usage(0, 2)]),
    )
    yield chain(
        f"{position}-unknown-extension-twice",
        rule,
        f"An unknown extension stands twice. {about}",
        change(extensions=[*given, other, other]),
    )


def _basic_constraints(position: str, change: Change) -> Iterator[Case]:
    rule = "certificate-der"
    usage = LEAF_USAGE if position == "leaf" else CA_USAGE
    true = der.boolean(True)
    values = {
        "ca-false-spelled-out": (der.sequence(der.boolean(False)), "cA FALSE, the default, is spelled out"),
        "boolean-01": (der.sequence(der.tlv(1, b"\x01")), "TRUE is written as 1"),
        "boolean-two-octets": (der.sequence(der.tlv(1, b"\xff\xff")), "a BOOLEAN has two octets"),
        "path-length-negative": (
            der.sequence(true, der.integer(-1)),
            "the path length is -1, a very large number without its sign",
        ),
        "path-length-not-minimal": (
            der.sequence(true, der.tlv(2, b"\x00\x03")),
            "the path length has a zero octet too many",
        ),
        "path-length-empty": (der.sequence(true, der.tlv(2, b"")), "the path length has no octets"),
        "order": (der.sequence(der.integer(0), true), "the path length stands before cA"),
        "trailing": (der.sequence(true) + b"\x00", "a byte follows the value"),
        "third-field": (der.sequence(true, der.integer(0), der.NULL), "a third field follows"),
        "long-length": (der.long_length(der.sequence(true)), "the length is not in its shortest form"),
        "indefinite-length": (der.indefinite_length(der.sequence(true)), "the length is indefinite"),
        "is-a-set": (der.set_of(true), "it is a SET"),
        "is-a-boolean": (true, "it is a BOOLEAN alone"),
        "empty": (b"", "it is empty"),
    }
    few = ("ca-false-spelled-out", "boolean-01", "trailing", "indefinite-length", "empty")
    for name, (value, fault) in values.items():
        if position == "ca" or name in few:
            constraints = extension(BASIC_CONSTRAINTS, value, critical=True)
            yield chain(
                f"{position}-basic-constraints-{name}",
                rule,
                f"Basic constraints that are not strict DER, and are read differently: {fault}.",
                change(extensions=[constraints, usage]),
            )


def _key_usage(position: str, change: Change) -> Iterator[Case]:
    rule = "certificate-der"
    bits = 0x80 if position == "leaf" else 0x84
    unused = 7 if position == "leaf" else 2
    values = {
        "trailing-zero-bits": (der.bits(bytes([bits])), "the zero bits at the end are not left out"),
        "trailing-zero-octet": (der.bits(bytes([bits, 0])), "a zero octet follows"),
        "unused-bits-set": (der.bits(bytes([bits | 1]), unused), "a bit is set among the unused"),
        "eight-unused-bits": (der.tlv(3, b"\x08" + bytes([bits])), "an octet has eight unused bits"),
        "no-bits": (der.bits(b""), "no bit is set"),
        "zero": (der.bits(b"\x00", 7), "the one bit is zero"),
        "empty": (der.tlv(3, b""), "the count of unused bits is missing"),
        "octet-string": (der.octets(bytes([bits])), "it is an OCTET STRING"),
        "constructed": (der.constructed(der.bits(bytes([bits]), unused)), "the BIT STRING comes in pieces"),
        "long-length": (der.long_length(der.bits(bytes([bits]), unused)), "the length is not in its shortest form"),
        "trailing": (der.bits(bytes([bits]), unused) + b"\x00", "a byte follows"),
    }
    for name, (value, fault) in values.items():
        usage = extension(KEY_USAGE, value, critical=True)
        yield chain(
            f"{position}-key-usage-{name}",
            rule,
            f"A key usage that is not strict DER, and is read differently: {fault}.",
            change(extensions=[basic_constraints(position == "ca"), usage]),
        )


def _framing(position: str, change: Change, given: list) -> Iterator[Case]:
    rule = "certificate-der"
    identifier, value = der.oid(UNKNOWN), der.octets(der.utf8("x"))

    def added(encoded: bytes) -> object:
        return change(extensions=[*given, encoded])

    yield chain(
        f"{position}-critical-false",
        rule,
        "critical FALSE, the default, is spelled out.",
        added(der.sequence(identifier, der.boolean(False), value)),
    )
    yield chain(
        f"{position}-critical-01",
        rule,
        "critical TRUE is written as 1: critical for some, not for others.",
        added(der.sequence(identifier, der.tlv(1, b"\x01"), value)),
    )
    yield chain(
        f"{position}-extension-without-value", rule, "An extension has no value.", added(der.sequence(identifier))
    )
    yield chain(
        f"{position}-extension-value-constructed",
        rule,
        "An extension's OCTET STRING comes in pieces.",
        added(der.sequence(identifier, der.constructed(value))),
    )
    yield chain(
        f"{position}-extension-value-not-der",
        rule,
        "An unknown extension's value is not DER: a length runs past its end.",
        added(der.sequence(identifier, der.octets(b"\x0c\x05x"))),
    )
    yield chain(
        f"{position}-extension-value-empty",
        rule,
        "An unknown extension's value is empty: not even one DER value.",
        added(der.sequence(identifier, der.octets(b""))),
    )
    yield chain(
        f"{position}-extension-value-ber",
        rule,
        "An unknown extension's value has an indefinite length.",
        added(der.sequence(identifier, der.octets(der.indefinite_length(der.sequence(der.NULL))))),
    )
    yield chain(
        f"{position}-extension-id-not-minimal",
        rule,
        "An extension's identifier is padded: basicConstraints for some, unknown for others.",
        added(der.sequence(der.tlv(6, b"\x55\x1d\x80\x13"), value)),
    )
    yield chain(
        f"{position}-extension-id-cut",
        rule,
        "An extension's identifier ends in the middle of a number.",
        added(der.sequence(der.tlv(6, b"\x2a\x03\x84"), value)),
    )
    yield chain(
        f"{position}-extension-trailing",
        "certificate-trailing-bytes",
        "Something follows an extension's value.",
        added(der.sequence(identifier, value, der.NULL)),
    )
    everything = der.sequence(*given)
    yield chain(
        f"{position}-extensions-empty",
        rule,
        "The list of extensions is there and empty.",
        change(extensions_field=der.explicit(3, der.sequence())),
    )
    yield chain(
        f"{position}-extensions-under-4",
        rule,
        "The extensions stand under the tag [4].",
        change(extensions_field=der.explicit(4, everything)),
    )
    yield chain(
        f"{position}-extensions-long-tag",
        rule,
        "The tag [3] is written in two octets.",
        change(extensions_field=b"\xbf\x03" + der.explicit(3, everything)[1:]),
    )
    yield chain(
        f"{position}-extensions-trailing",
        "certificate-trailing-bytes",
        "Something follows the list of extensions under its tag.",
        change(extensions_field=der.explicit(3, everything + der.NULL)),
    )
    yield chain(
        f"{position}-extensions-twice",
        "certificate-trailing-bytes",
        "The extensions stand twice.",
        change(extensions_field=der.explicit(3, everything) * 2),
    )
    yield chain(
        f"{position}-after-extensions",
        "certificate-trailing-bytes",
        "Something follows the extensions inside of what is signed.",
        change(after_extensions=der.NULL),
    )
