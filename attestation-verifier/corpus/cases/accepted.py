"""Documents that must be trusted: a verifier that refuses one of them is too strict to work with AWS, or misreads a
rule."""

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
    signature_value,
)
from document import Document, fixed
from shapes import DAY, HOUR, NOW, Shapes, pcr, pcr_map


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    yield from _forms(shapes)
    yield from _signatures(shapes)
    yield from _chains(shapes)
    yield from _certificates(shapes)
    yield from _validity(shapes)
    yield from _contents(shapes)


def _forms(shapes: Shapes) -> Iterator[Case]:
    short = shapes.short()
    definite = _definite(short)
    yield valid("aws-shape", "The full shape that AWS sends: four CA certificates, 16 PCRs, all user fields.", shapes.aws())
    yield valid("aws-shape-definite", "The full shape as AWS sent it before 2025, the top map of definite length.", _definite(shapes.aws()))
    yield valid("indefinite-map", "The payload's map has no length and ends with a break, as AWS sends it since 2025.", short)
    yield valid("definite-map", "The payload's map has a length, as AWS sent it before 2025.", definite)
    yield valid("tag-18", "The envelope has the tag of COSE_Sign1, which RFC 9052 allows.", short.but(head=b"\xd2\x84"))
    yield valid("tag-18-definite-map", "The tag of COSE_Sign1 and a map of definite length together.", definite.but(head=b"\xd2\x84"))
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
    yield valid("low-s", "The document's s is in the lower half.", signed(low))
    for side, choose in (("high", high), ("low", low)):
        order = chained.with_leaf(sign=_signing(choose)).with_ca(1, sign=_signing(choose))
        yield valid(f"certificate-{side}-s", f"The certificates' s is in the {side}er half of its range.".replace("higher", "upper"), order)


def _signing(choose):
    return lambda key, message: signature_value(*choose(*key.sign(message)))


def _chains(shapes: Shapes) -> Iterator[Case]:
    for count in range(1, 9):
        about = f"The bundle has {count} CA certificate{'s' if count > 1 else ''}; the profile allows 1 to 8."
        order = shapes.chained(count - 1).put("module_id", cbor.tstr(f"i-{count}"))
        yield valid(f"bundle-of-{count}", about, order)
    three = shapes.chained(2)
    exact = three.with_ca(0, extensions=_ca(2)).with_ca(1, extensions=_ca(1)).with_ca(2, extensions=_ca(0))
    yield valid("path-length-exact", "Each path length is just as long as the chain needs.", exact)
    yield valid("path-length-zero-root", "The root allows no CA below it, and there is none.", shapes.short().with_ca(0, extensions=_ca(0)))
    yield valid("path-length-127", "The path length is 127, the largest that takes one octet.", shapes.chained().with_ca(1, extensions=_ca(127)))
    yield valid("path-length-255", "The path length is 255, which takes two octets because the first bit is the sign.", shapes.chained().with_ca(1, extensions=_ca(255)))
    yield valid("path-length-256", "The path length is 256: RFC 5280 sets no maximum, and it must not wrap around to 0.", shapes.chained(2).with_ca(1, extensions=_ca(256)))


def _ca(path_length: int) -> list:
    return [basic_constraints(True, path_length), CA_USAGE]


def _certificates(shapes: Shapes) -> Iterator[Case]:
    chained = shapes.chained()

    def both(**changes) -> Document:
        return chained.with_leaf(**changes).with_ca(1, **changes)

    yield valid("serial-21-octets", "Serial numbers of 20 octets and a leading zero octet, as AWS makes them.", both(serial=b"\x00" + b"\xf1" * 20))
    yield valid("serial-21-octets-positive", "Serial numbers of 21 octets without a leading zero.", both(serial=b"\x7a" * 21))
    yield valid("serial-20-octets", "Serial numbers of 20 octets, the most that RFC 5280 names.", both(serial=b"\x7a" * 20))
    yield valid("serial-one", "The serial number is 1, the smallest.", both(serial=b"\x01"))
    unknown = extension("1.3.6.1.4.1.99999.1", der.utf8("anything"))
    yield valid("unknown-extension", "An unknown extension that is not critical is ignored.", chained.but(leaf=chained.leaf.extended(unknown)))
    eku = extension("2.5.29.37", der.sequence(der.oid("1.3.6.1.5.5.7.3.2")))
    yield valid("extended-key-usage-not-critical", "An extended key usage that is not critical does not matter here.", chained.but(leaf=chained.leaf.extended(eku)))
    yield valid("leaf-without-basic-constraints", "A leaf without basic constraints is no CA.", chained.with_leaf(extensions=[LEAF_USAGE]))
    yield valid("leaf-basic-constraints-not-critical", "On a leaf the basic constraints need not be critical.", chained.with_leaf(extensions=[basic_constraints(False, critical=False), LEAF_USAGE]))
    yield valid("leaf-more-key-usages", "The leaf may also be used for non-repudiation, as AWS's is.", chained.with_leaf(extensions=[basic_constraints(False), key_usage(0, 1)]))
    yield valid("key-usage-not-critical", "A key usage that is not critical counts all the same.", chained.with_leaf(extensions=[basic_constraints(False), key_usage(0, critical=False)]))
    yield valid("ca-key-cert-sign-alone", "A CA needs keyCertSign and nothing else.", chained.with_ca(1, extensions=[basic_constraints(True), key_usage(5)]))
    yield valid("extensions-in-other-order", "Extensions have no order.", both_reversed(chained))
    decipher = extension("2.5.29.15", der.bits(b"\x80\x80", unused=7), critical=True)
    yield valid("key-usage-two-octets", "A key usage of nine bits: decipherOnly stands in the second octet.", chained.with_leaf(extensions=[basic_constraints(False), decipher]))
    rdn = der.set_of(
        der.sequence(der.oid("2.5.4.3"), der.utf8("leaf")), der.sequence(der.oid("2.5.4.10"), der.utf8("leaf"))
    )
    yield valid("name-of-two-attributes", "A relative name of two attributes, in DER's order.", chained.with_leaf(subject=der.sequence(rdn)))
    yield valid("name-printable-string", "A name as PrintableString, the same in issuer and subject.", _renamed(chained, der.sequence(attribute("2.5.4.3", der.printable("ca-1")))))
    yield valid("name-64-characters", "A common name of 64 characters, the most that X.520 names.", _renamed(chained, name("c" * 64)))
    for octets in (1023, 1024):
        leaf = padded(chained, octets)
        yield valid(f"certificate-{octets}-bytes", f"A certificate of {octets} bytes; the most there may be is 1,024.", leaf)


def both_reversed(chained: Document) -> Document:
    """The extensions of leaf and CA in reverse."""
    document = chained.with_leaf(extensions=list(reversed(chained.leaf.extensions)))
    return document.with_ca(1, extensions=list(reversed(chained.bundle[1].extensions)))


def _renamed(chained: Document, subject: bytes) -> Document:
    return chained.with_ca(1, subject=subject).with_leaf(issuer=subject)


def padded(document: Document, octets: int) -> Document:
    """The same order, its leaf certificate padded to a size by an extension that nobody knows."""
    for filler in range(octets - 420, octets - 340):
        for first in range(4):
            unknown = extension("1.3.6.1.4.1.99999.1", der.octets(bytes([first]) * filler))
            order = document.but(leaf=document.leaf.extended(unknown))
            if len(order.certificates()[-1]) == octets:
                return order
    raise AssertionError(f"no padding gives {octets} bytes")


def _validity(shapes: Shapes) -> Iterator[Case]:
    chained = shapes.chained()
    for label, index in (("root", 0), ("intermediate", 1)):
        yield valid(f"{label}-first-second", f"The {label} becomes valid in the very second of the verification: both ends belong to it.", chained.with_ca(index, not_before=NOW))
        yield valid(f"{label}-last-second", f"The {label} expires after the second of the verification: both ends belong to it.", chained.with_ca(index, not_after=NOW))
    yield valid("leaf-first-second", "The leaf becomes valid in the very second of the verification.", chained.with_leaf(not_before=NOW))
    yield valid("leaf-last-second", "The leaf expires after the second of the verification.", chained.with_leaf(not_after=NOW))
    yield valid("one-second-validity", "The leaf is valid for one second, the one of the verification.", chained.with_leaf(not_before=NOW, not_after=NOW))
    yield valid("leaf-outlives-its-issuer", "The leaf's validity reaches beyond its issuer's, which X.509 allows; both hold now.", chained.with_leaf(not_before=NOW - 2 * DAY, not_after=NOW + 2 * DAY))

    def until(text: bytes) -> Document:
        return chained.with_ca(1, validity=der.sequence(der.time(NOW - HOUR), text))

    yield valid("last-utc-time", "The validity ends with the last second that UTCTime can hold, in 2049.", until(der.utc_time("491231235959Z")))
    yield valid("generalized-time-2050", "The validity ends in 2050, and is written as GeneralizedTime.", until(der.generalized_time("20500101000000Z")))
    yield valid("generalized-time-9999", "The validity ends in 9999, RFC 5280's way to say that there is no end.", until(der.generalized_time("99991231235959Z")))
    yield valid("leap-day-2028", "The validity ends on 29 February 2028, which exists.", until(der.utc_time("280229120000Z")))
    yield valid("leap-day-2400", "The validity ends on 29 February 2400, which exists.", until(der.generalized_time("24000229120000Z")))
    ancient = der.sequence(der.utc_time("500101000000Z"), der.time(NOW + HOUR))
    yield valid("utc-time-1950", "UTCTime 50 is the year 1950 (RFC 5280 §4.1.2.5.1): valid for a long time.", chained.with_ca(1, validity=ancient))


def _contents(shapes: Shapes) -> Iterator[Case]:
    short = shapes.short()
    for count in (16, 17, 19, 32):
        values = pcr_map({index: pcr(index) for index in range(count)})
        yield valid(f"{count}-pcrs", f"The document has {count} PCRs; there may be 1 to 32.", short.put("pcrs", values))
    shuffled = pcr_map({index: pcr(index) for index in (2, 31, 0, 16, 1)})
    yield valid("pcrs-with-gaps-unordered", "Five PCRs, neither in order nor without gaps.", short.put("pcrs", shuffled))
    for field in ("public_key", "user_data", "nonce"):
        yield valid(f"{field.replace('_', '-')}-absent", f"{field} is left out, which the specification allows.", short.drop(field))
        yield valid(f"{field.replace('_', '-')}-empty", f"{field} is an empty byte string, which AWS does send.", short.put(field, cbor.bstr(b"")))
        yield valid(f"{field.replace('_', '-')}-1024-bytes", f"{field} has 1,024 bytes, the most there may be.", short.put(field, cbor.bstr(b"\x5a" * 1024)))
    bare = short.drop("public_key").drop("user_data").drop("nonce")
    yield valid("no-user-fields", "None of the three user fields is there.", bare)
    yield valid("unknown-key", "An unknown text key is reported and never used.", short.put("firmware", cbor.tstr("1.2.3")))
    nested = cbor.array([cbor.cbor_map([(cbor.tstr("a"), cbor.array([cbor.uint(1), cbor.NULL]))]), cbor.double(1.5)])
    yield valid("unknown-key-nested", "An unknown key with a small nested value.", short.put("extra", nested))
    indefinite = cbor.indefinite(cbor.array([cbor.indefinite(cbor.cbor_map([(cbor.uint(1), cbor.FALSE)]))]))
    yield valid("unknown-key-indefinite", "An unknown key whose value has containers without a length.", short.put("extra", indefinite))
    yield valid("unknown-key-64-bytes", "An unknown key of 64 bytes, the longest in the profile.", short.put("k" * 64, cbor.uint(1)))
    many = short
    for index in range(23):
        many = many.put(f"key {index}", cbor.uint(index))
    yield valid("32-keys", "The payload has 32 keys, the most in the profile.", many)
    yield valid("module-id-one-character", "A module_id of one character.", short.put("module_id", cbor.tstr("i")))
    yield valid("module-id-256-bytes", "A module_id of 256 bytes, the longest in the profile.", short.put("module_id", cbor.tstr("i" * 256)))
    yield valid("module-id-not-ascii", "A module_id with letters beyond ASCII.", short.put("module_id", cbor.tstr("i-ä-漢")))


def _definite(document: Document) -> Document:
    return document.but(wrap_payload=lambda entries, count: cbor.head(cbor.MAP, count) + entries)


def sized(document: Document, octets: int) -> Document:
    """The same order, padded to a size by values that nobody knows."""
    bare = document.put("padding", cbor.bstr(bytes(8192)))
    missing = octets - len(bare.make())
    return bare.put("padding", cbor.bstr(bytes(8192 + missing)))
