"""Chains and certificates that must be trusted."""

from __future__ import annotations

from typing import Iterator

import cbor
import der
from case import Case, valid
from certificate import (
    CA_USAGE,
    LEAF_USAGE,
    attribute,
    basic_constraints,
    extension,
    key_usage,
    name,
)
from document import Document
from shapes import DAY, HOUR, NOW, Shapes
from sizes import padded


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    yield from _chains(shapes)
    yield from _certificates(shapes)
    yield from _validity(shapes)


def _chains(shapes: Shapes) -> Iterator[Case]:
    for count in range(1, 9):
        about = f"The bundle has {count} CA certificate{'s' if count > 1 else ''}; the profile allows 1 to 8."
        order = shapes.chained(count - 1).put("module_id", cbor.tstr(f"i-{count}"))
        yield valid(f"bundle-of-{count}", about, order)
    three = shapes.chained(2)
    exact = three.with_ca(0, extensions=_ca(2)).with_ca(1, extensions=_ca(1)).with_ca(2, extensions=_ca(0))
    yield valid("path-length-exact", "Each path length is just as long as the chain needs.", exact)
    yield valid(
        "path-length-zero-root",
        "The root allows no CA below it, and there is none.",
        shapes.short().with_ca(0, extensions=_ca(0)),
    )
    yield valid(
        "path-length-127",
        "The path length is 127, the largest that takes one octet.",
        shapes.chained().with_ca(1, extensions=_ca(127)),
    )
    yield valid(
        "path-length-255",
        "The path length is 255, which takes two octets because the first bit is the sign.",
        shapes.chained().with_ca(1, extensions=_ca(255)),
    )
    yield valid(
        "path-length-256",
        "The path length is 256: RFC 5280 sets no maximum, and it must not wrap around to 0.",
        shapes.chained(2).with_ca(1, extensions=_ca(256)),
    )


def _ca(path_length: int) -> list:
    return [basic_constraints(True, path_length), CA_USAGE]


def _certificates(shapes: Shapes) -> Iterator[Case]:
    chained = shapes.chained()

    def both(**changes) -> Document:
        return chained.with_leaf(**changes).with_ca(1, **changes)

    yield valid(
        "serial-21-octets",
        "Serial numbers of 20 octets and a leading zero octet, as AWS makes them.",
        both(serial=b"\x00" + b"\xf1" * 20),
    )
    yield valid(
        "serial-21-octets-positive", "Serial numbers of 21 octets without a leading zero.", both(serial=b"\x7a" * 21)
    )
    yield valid(
        "serial-20-octets", "Serial numbers of 20 octets, the most that RFC 5280 names.", both(serial=b"\x7a" * 20)
    )
    yield valid("serial-one", "The serial number is 1, the smallest.", both(serial=b"\x01"))
    unknown = extension("1.3.6.1.4.1.99999.1", der.utf8("anything"))
    yield valid(
        "unknown-extension",
        "An unknown extension that is not critical is ignored.",
        chained.but(leaf=chained.leaf.extended(unknown)),
    )
    eku = extension("2.5.29.37", der.sequence(der.oid("1.3.6.1.5.5.7.3.2")))
    yield valid(
        "extended-key-usage-not-critical",
        "An extended key usage that is not critical does not matter here.",
        chained.but(leaf=chained.leaf.extended(eku)),
    )
    yield valid(
        "leaf-without-basic-constraints",
        "A leaf without basic constraints is no CA.",
        chained.with_leaf(extensions=[LEAF_USAGE]),
    )
    yield valid(
        "leaf-basic-constraints-not-critical",
        "On a leaf the basic constraints need not be critical.",
        chained.with_leaf(extensions=[basic_constraints(False, critical=False), LEAF_USAGE]),
    )
    yield valid(
        "leaf-more-key-usages",
        "The leaf may also be used for non-repudiation, as AWS's is.",
        chained.with_leaf(extensions=[basic_constraints(False), key_usage(0, 1)]),
    )
    yield valid(
        "key-usage-not-critical",
        "A key usage that is not critical counts all the same.",
        chained.with_leaf(extensions=[basic_constraints(False), key_usage(0, critical=False)]),
    )
    yield valid(
        "ca-key-cert-sign-alone",
        "A CA needs keyCertSign and nothing else.",
        chained.with_ca(1, extensions=[basic_constraints(True), key_usage(5)]),
    )
    yield valid("extensions-in-other-order", "Extensions have no order.", both_reversed(chained))
    decipher = extension("2.5.29.15", der.bits(b"\x80\x80", unused=7), critical=True)
    yield valid(
        "key-usage-two-octets",
        "A key usage of nine bits: decipherOnly stands in the second octet.",
        chained.with_leaf(extensions=[basic_constraints(False), decipher]),
    )
    rdn = der.set_of(
        der.sequence(der.oid("2.5.4.3"), der.utf8("leaf")), der.sequence(der.oid("2.5.4.10"), der.utf8("leaf"))
    )
    yield valid(
        "name-of-two-attributes",
        "A relative name of two attributes, in DER's order.",
        chained.with_leaf(subject=der.sequence(rdn)),
    )
    yield valid(
        "name-printable-string",
        "A name as PrintableString, the same in issuer and subject.",
        _renamed(chained, der.sequence(attribute("2.5.4.3", der.printable("ca-1")))),
    )
    yield valid(
        "name-64-characters",
        "A common name of 64 characters, the most that X.520 names.",
        _renamed(chained, name("c" * 64)),
    )
    for octets in (1023, 1024):
        leaf = padded(chained, octets)
        yield valid(
            f"certificate-{octets}-bytes", f"A certificate of {octets} bytes; the most there may be is 1,024.", leaf
        )


def both_reversed(chained: Document) -> Document:
    """The extensions of leaf and CA in reverse."""
    document = chained.with_leaf(extensions=list(reversed(chained.leaf.extensions)))
    return document.with_ca(1, extensions=list(reversed(chained.bundle[1].extensions)))


def _renamed(chained: Document, subject: bytes) -> Document:
    return chained.with_ca(1, subject=subject).with_leaf(issuer=subject)


def _validity(shapes: Shapes) -> Iterator[Case]:
    chained = shapes.chained()
    for label, index in (("root", 0), ("intermediate", 1)):
        yield valid(
            f"{label}-first-second",
            f"The {label} becomes valid in the very second of the verification: both ends belong to it.",
            chained.with_ca(index, not_before=NOW),
        )
        yield valid(
            f"{label}-last-second",
            f"The {label} expires after the second of the verification: both ends belong to it.",
            chained.with_ca(index, not_after=NOW),
        )
    yield valid(
        "leaf-first-second",
        "The leaf becomes valid in the very second of the verification.",
        chained.with_leaf(not_before=NOW),
    )
    yield valid(
        "leaf-last-second", "The leaf expires after the second of the verification.", chained.with_leaf(not_after=NOW)
    )
    yield valid(
        "one-second-validity",
        "The leaf is valid for one second, the one of the verification.",
        chained.with_leaf(not_before=NOW, not_after=NOW),
    )
    yield valid(
        "leaf-outlives-its-issuer",
        "The leaf's validity reaches beyond its issuer's, which X.509 allows; both hold now.",
        chained.with_leaf(not_before=NOW - 2 * DAY, not_after=NOW + 2 * DAY),
    )

    def until(text: bytes) -> Document:
        return chained.with_ca(1, validity=der.sequence(der.time(NOW - HOUR), text))

    yield valid(
        "last-utc-time",
        "The validity ends with the last second that UTCTime can hold, in 2049.",
        until(der.utc_time("491231235959Z")),
    )
    yield valid(
        "generalized-time-2050",
        "The validity ends in 2050, and is written as GeneralizedTime.",
        until(der.generalized_time("20500101000000Z")),
    )
    yield valid(
        "generalized-time-2107",
        "The validity ends in 2107, beyond 32 bits of seconds.",
        until(der.generalized_time("21070101000000Z")),
    )
    yield valid(
        "generalized-time-9999",
        "The validity ends in 9999, RFC 5280's way to say that there is no end.",
        until(der.generalized_time("99991231235959Z")),
    )
    yield valid(
        "leap-day-2028", "The validity ends on 29 February 2028, which exists.", until(der.utc_time("280229120000Z"))
    )
    yield valid(
        "leap-day-2400",
        "The validity ends on 29 February 2400, which exists.",
        until(der.generalized_time("24000229120000Z")),
    )
    ancient = der.sequence(der.utc_time("500101000000Z"), der.time(NOW + HOUR))
    yield valid(
        "utc-time-1950",
        "UTCTime 50 is the year 1950 (RFC 5280 §4.1.2.5.1): valid for a long time.",
        chained.with_ca(1, validity=ancient),
    )
