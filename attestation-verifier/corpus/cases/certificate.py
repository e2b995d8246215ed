"""Faults of one certificate's fields (RFC 5280 §4.1), in the leaf and in an intermediate."""

from __future__ import annotations

from typing import Callable, Iterable, Iterator, Tuple

import der
from case import Case, chain
from certificate import (
    ECDSA_WITH_SHA256,
    ECDSA_WITH_SHA512,
    signature_value,
)
from document import Document
from shapes import NOW, Shapes

Change = Callable[..., Document]


CA_FAULTS = (
    # fields
    "version-absent", "serial-zero", "serial-negative", "serial-22-octets", "algorithm-inside-sha256",
    "algorithm-outside-sha256", "signed-with-sha256", "subject-empty", "both-unique-ids",
    "not-after-generalized-time-2049", "not-after-february-29-2049", "not-after-utc-time-offset",
    # encoding
    "indefinite-length", "long-length", "tbs-indefinite-length", "trailing-zero", "after-signature",
    "validity-indefinite-length", "algorithm-outside-long-length",
    # extensions
    "critical-unknown", "critical-name-constraints", "basic-constraints-twice-differing", "unknown-extension-twice",
    "key-usage-trailing-zero-bits", "key-usage-no-bits", "critical-false", "critical-01", "extension-value-ber",
    "extension-id-not-minimal", "after-extensions", "extensions-twice",
    # signatures
    "signature-all-zero", "signature-both-the-order", "signature-s-beyond-the-order", "signature-r-not-minimal",
    "signature-trailing", "signature-one-unused-bit", "signed-by-another-key", "signed-by-itself",
    "changed-after-signing", "signature-with-sha256", "signature-swapped",
)  # fmt: skip
"""The faults that an intermediate is tried with as well; the leaf is tried with all."""


def thinned(position: str, cases: Iterable[Case]) -> Iterator[Case]:
    """The cases of a position that are worth their bytes."""
    for case in cases:
        fault = case.name[len(position) + 1 :]
        if position == "leaf" or fault in CA_FAULTS or fault.startswith("basic-constraints"):
            yield case


def positions(shapes: Shapes) -> Iterator[Tuple[str, Change]]:
    """How to change the leaf below the root, and the intermediate of a longer chain."""
    yield "leaf", shapes.short().with_leaf
    chained = shapes.chained()
    yield "ca", lambda **changes: chained.with_ca(1, **changes)


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    for position, change in positions(shapes):
        yield from thinned(position, _version(position, change))
        yield from thinned(position, _serial(position, change))
        yield from thinned(position, _algorithm(position, change))
        yield from thinned(position, _name(position, change))
        yield from thinned(position, _unique_identifiers(position, change))
    for position, change in positions(shapes):
        yield from thinned(position, _validity(position, change))


def _version(position: str, change: Change) -> Iterator[Case]:
    rule = "certificate-version"
    about = "Only version 3 has the extensions that say what a key may do."
    yield chain(f"{position}-version-absent", rule, f"No version, which means 1. {about}", change(version=b""))
    yield chain(
        f"{position}-version-1-spelled-out",
        rule,
        f"Version 1, spelled out. {about}",
        change(version=der.explicit(0, der.integer(0))),
    )
    yield chain(f"{position}-version-2", rule, f"Version 2. {about}", change(version=der.explicit(0, der.integer(1))))
    yield chain(
        f"{position}-version-4",
        rule,
        "Version 4, which does not exist.",
        change(version=der.explicit(0, der.integer(3))),
    )


def _serial(position: str, change: Change) -> Iterator[Case]:
    rule = "certificate-serial-number"
    serials = {
        "zero": (b"\x00", "that is zero, but must be positive"),
        "negative": (b"\x80", "that is negative"),
        "minus-one": (b"\xff", "that is -1"),
        "22-octets": (b"\x00" + b"\xf1" * 21, "of 22 octets; AWS's have at most 21"),
        "not-minimal": (b"\x00\x7f", "with a zero octet too many: one certificate under two encodings"),
        "empty": (b"", "without any octet"),
    }
    for name, (serial, fault) in serials.items():
        yield chain(f"{position}-serial-{name}", rule, f"A serial number {fault}.", change(serial=serial))
    yield chain(
        f"{position}-serial-is-a-string",
        rule,
        "The serial number is an OCTET STRING.",
        change(serial_number=der.octets(b"\x01")),
    )


def _algorithm(position: str, change: Change) -> Iterator[Case]:
    rule = "certificate-signature-algorithm"
    about = "Both places name ecdsa-with-SHA384, or what was signed is not what is checked."
    with_null = der.sequence(der.oid("1.2.840.10045.4.3.3"), der.NULL)
    fields = {"inside": "inner_algorithm", "outside": "outer_algorithm"}
    for place, field in fields.items():
        for name, algorithm in (
            ("sha256", ECDSA_WITH_SHA256),
            ("sha512", ECDSA_WITH_SHA512),
            ("null-parameters", with_null),
        ):
            yield chain(
                f"{position}-algorithm-{place}-{name}",
                rule,
                f"The algorithm {place} differs ({name.replace('-', ' ')}). {about}",
                change(**{field: algorithm}),
            )
    for name, algorithm, digest in (("sha256", ECDSA_WITH_SHA256, "sha256"), ("sha512", ECDSA_WITH_SHA512, "sha512")):
        signed = change(inner_algorithm=algorithm, outer_algorithm=algorithm, sign=_with_digest(digest))
        yield chain(
            f"{position}-signed-with-{name}",
            rule,
            f"Signed with ECDSA and {name.upper()}, and saying so: a good signature that the profile does not know.",
            signed,
        )
    both = change(inner_algorithm=with_null, outer_algorithm=with_null)
    yield chain(
        f"{position}-algorithm-null-parameters-twice",
        rule,
        "Both algorithms have NULL parameters, which RFC 5758 §3.2 forbids.",
        both,
    )


def _with_digest(digest: str):
    return lambda key, message: signature_value(*key.sign(message, digest))


def _name(position: str, change: Change) -> Iterator[Case]:
    rule = "certificate-name"
    greater = der.sequence(der.oid("2.5.4.10"), der.utf8("x"))
    less = der.sequence(der.oid("2.5.4.3"), der.utf8("x"))
    names = {
        "empty": (der.sequence(), "empty: it matches every other empty one"),
        "empty-set": (der.sequence(der.set_of()), "a relative name without attributes"),
        "set-out-of-order": (
            der.sequence(der.set_of(greater, less)),
            "a set that is not in DER's order: one name under two encodings",
        ),
        "attribute-without-value": (
            der.sequence(der.set_of(der.sequence(der.oid("2.5.4.3")))),
            "an attribute without a value",
        ),
        "three-part-attribute": (
            der.sequence(der.set_of(der.sequence(der.oid("2.5.4.3"), der.utf8("x"), der.utf8("y")))),
            "an attribute with two values",
        ),
        "is-a-set": (der.set_of(less), "a SET in the SEQUENCE's place"),
        "is-a-string": (der.utf8("x"), "a string"),
    }
    for kind, (subject, fault) in names.items():
        order = change(subject=subject)
        if position == "ca":
            # The leaf's issuer fits, so that the name itself is the one fault.
            order = order.with_leaf(issuer=subject)
        yield chain(f"{position}-subject-{kind}", rule, f"The subject is {fault}.", order)


def _unique_identifiers(position: str, change: Change) -> Iterator[Case]:
    rule = "certificate-unique-identifier"
    for name, tag in (("issuer", 0x81), ("subject", 0x82)):
        yield chain(
            f"{position}-{name}-unique-id",
            rule,
            f"A unique identifier of the {name}, which RFC 5280 §4.1.2.8 forbids to make.",
            change(unique_identifiers=der.tlv(tag, b"\x00\x01")),
        )
    both = der.tlv(0x81, b"\x00\x01") + der.tlv(0x82, b"\x00\x02")
    yield chain(f"{position}-both-unique-ids", rule, "Both unique identifiers.", change(unique_identifiers=both))


def _validity(position: str, change: Change) -> Iterator[Case]:
    rule = "certificate-validity-encoding"
    start = der.time(NOW - 60)

    def until(value: bytes) -> Document:
        return change(validity=der.sequence(start, value))

    ends = {
        "generalized-time-2049": (
            der.generalized_time("20491231235959Z"),
            "GeneralizedTime before 2050, where UTCTime belongs",
        ),
        "utc-time-without-seconds": (der.utc_time("4912312359Z"), "UTCTime without seconds"),
        "utc-time-without-zone": (der.utc_time("491231235959"), "UTCTime without a zone: local time, whoever's"),
        "utc-time-offset": (der.utc_time("491231235959+0000"), "UTCTime with an offset"),
        "utc-time-offset-hours": (der.utc_time("491231235959-1200"), "UTCTime with an offset of twelve hours"),
        "utc-time-lower-case": (der.utc_time("491231235959z"), "UTCTime with a small z"),
        "utc-time-space": (der.utc_time("4912312359 9Z"), "UTCTime with a space for a digit"),
        "utc-time-sign": (der.utc_time("49+231235959Z"), "UTCTime with a sign for a digit, which number parsers skip"),
        "utc-time-empty": (der.utc_time(""), "UTCTime without any text"),
        "generalized-time-fraction": (der.generalized_time("20500101000000.5Z"), "GeneralizedTime with a fraction"),
        "generalized-time-zero-fraction": (
            der.generalized_time("20500101000000.0Z"),
            "GeneralizedTime with a fraction of zero",
        ),
        "generalized-time-without-zone": (der.generalized_time("20500101000000"), "GeneralizedTime without a zone"),
        "generalized-time-offset": (der.generalized_time("20500101000000+0000"), "GeneralizedTime with an offset"),
        "generalized-time-without-seconds": (der.generalized_time("205001010000Z"), "GeneralizedTime without seconds"),
        "month-13": (der.utc_time("491301000000Z"), "a month 13"),
        "month-0": (der.utc_time("490001000000Z"), "a month 0"),
        "day-0": (der.utc_time("491200000000Z"), "a day 0"),
        "day-32": (der.utc_time("491232000000Z"), "a day 32"),
        "april-31": (der.utc_time("490431000000Z"), "31 April"),
        "february-29-2049": (der.utc_time("490229000000Z"), "29 February of a year that has none"),
        "february-29-2100": (der.generalized_time("21000229000000Z"), "29 February 2100: a century is no leap year"),
        "hour-24": (der.utc_time("491231240000Z"), "an hour 24"),
        "minute-60": (der.utc_time("491231236000Z"), "a minute 60"),
        "second-60": (der.utc_time("491231235960Z"), "a second 60"),
        "number": (der.integer(2_500_000_000), "a number of seconds"),
        "text": (der.utf8("491231235959Z"), "a UTF8String"),
    }
    for name, (value, fault) in ends.items():
        yield chain(
            f"{position}-not-after-{name}",
            rule,
            f"The validity ends with {fault}: readers guess at what is not in RFC 5280's form.",
            until(value),
        )
    yield chain(
        f"{position}-validity-of-one-time",
        rule,
        "The validity has a start and no end.",
        change(validity=der.sequence(start)),
    )
    if position == "leaf":
        early = der.sequence(der.generalized_time("20200101000000Z"), der.time(NOW + 60))
        yield chain(
            "leaf-not-before-generalized-time-2020",
            rule,
            "The validity starts with GeneralizedTime before 2050.",
            change(validity=early),
        )
        yield chain(
            "leaf-not-after-1950",
            "certificate-expired",
            "The validity ends with UTCTime 50, which is 1950 and not 2050.",
            until(der.utc_time("500101000000Z")),
        )
