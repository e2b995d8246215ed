"""Faults of the payload's CBOR (RFC 8949): one document must have one reading."""

from __future__ import annotations

from typing import Iterator

import cbor
from case import Case, malformed
from document import Document
from shapes import MADE_MS, Shapes, pcr, pcr_map

FIELDS = ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle", "public_key", "user_data", "nonce")
"""The keys that a document has."""


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    short = shapes.with_user_fields()
    yield from _map(short)
    yield from _keys(short)
    yield from _shortest(short)
    yield from _chunks(short)


def _map(short: Document) -> Iterator[Case]:
    def head(octets: bytes) -> Document:
        return short.but(wrap_payload=lambda entries, count: octets + entries)

    yield malformed(
        "map-claims-more", "cbor-truncated", "The payload's map claims one entry more than there is.", head(b"\xaa")
    )
    yield malformed(
        "map-claims-fewer",
        "cbor-trailing-bytes",
        "The payload's map claims eight of its nine entries: the last is signed and not read.",
        head(b"\xa8"),
    )
    yield malformed(
        "map-claims-2-to-the-32",
        "cbor-truncated",
        "The payload's map claims 2^32 entries: memory is set aside for a claim.",
        head(cbor.head(cbor.MAP, 1 << 32)),
    )
    yield malformed(
        "map-claims-2-to-the-63",
        "cbor-truncated",
        "The payload's map claims 2^63 entries: twice as many values wrap around to none.",
        head(cbor.head(cbor.MAP, 1 << 63)),
    )
    yield malformed(
        "map-head-not-shortest",
        "cbor-not-shortest",
        "The payload's map has its length in two bytes.",
        head(b"\xb8\x09"),
    )
    yield malformed(
        "map-head-reserved", "cbor-reserved", "The payload's map uses a reserved length form.", head(b"\xbc")
    )
    yield malformed(
        "map-without-break", "cbor-truncated", "The payload's map without a length has no end.", head(b"\xbf")
    )
    yield malformed(
        "map-definite-and-break",
        "cbor-trailing-bytes",
        "The payload's map has both a length and a break.",
        short.but(wrap_payload=lambda entries, count: b"\xa9" + entries + cbor.BREAK),
    )
    yield malformed(
        "payload-trailing-byte",
        "cbor-trailing-bytes",
        "A byte follows the payload's map: signed and not read.",
        short.but(after_payload=b"\x00"),
    )
    yield malformed(
        "payload-two-maps",
        "cbor-trailing-bytes",
        "A second map follows the payload's: two sets of claims under one signature.",
        short.but(after_payload=b"\xa0"),
    )
    yield malformed(
        "payload-tagged-map",
        "cbor-type",
        "The payload's map has a tag.",
        short.but(wrap_payload=lambda entries, count: b"\xd9\x01\x03\xa9" + entries),
    )
    yield malformed(
        "payload-is-an-array",
        "cbor-type",
        "The payload is an array.",
        short.but(wrap_payload=lambda entries, count: b"\x92" + entries),
    )
    yield malformed(
        "payload-is-null",
        "cbor-type",
        "The payload holds null.",
        short.but(wrap_payload=lambda entries, count: cbor.NULL),
    )


def _keys(short: Document) -> Iterator[Case]:
    for field in FIELDS:
        name = field.replace("_", "-")
        yield malformed(
            f"duplicate-{name}",
            "duplicate-key",
            f"{field} stands twice with the same value: parsers differ in which one they keep.",
            short.add(cbor.tstr(field), short.value(field)),
        )
    others = {
        "timestamp": cbor.uint(MADE_MS + 1),
        "pcrs": pcr_map({index: bytes([0xEE]) * 48 for index in range(3)}),
        "nonce": cbor.bstr(b"other"),
        "user_data": cbor.NULL,
    }
    for field, value in others.items():
        yield malformed(
            f"duplicate-{field.replace('_', '-')}-differing",
            "duplicate-key",
            f"{field} stands twice with different values: one verifier judges the first, another the last.",
            short.add(cbor.tstr(field), value),
        )
    twice = short.put("extra", cbor.uint(1)).add(cbor.tstr("extra"), cbor.uint(1))
    yield malformed(
        "duplicate-unknown-key",
        "duplicate-key",
        "An unknown key stands twice: what has it may grow meaning later.",
        twice,
    )
    yield malformed(
        "duplicate-in-definite-map",
        "duplicate-key",
        "digest stands twice in a map with a length.",
        short.add(cbor.tstr("digest"), cbor.tstr("SHA384")).but(
            wrap_payload=lambda entries, count: cbor.head(cbor.MAP, count) + entries
        ),
    )
    yield malformed("key-is-an-integer", "cbor-type", "A key is an integer.", short.add(cbor.uint(1), cbor.uint(1)))
    yield malformed(
        "key-is-a-byte-string",
        "cbor-type",
        "The key pcrs is a byte string: some parsers take it for the text.",
        short.rename("pcrs", cbor.bstr(b"pcrs")),
    )
    yield malformed("key-is-null", "cbor-type", "A key is null.", short.add(cbor.NULL, cbor.uint(1)))
    yield malformed(
        "key-is-tagged", "cbor-type", "The key nonce has a tag.", short.rename("nonce", cbor.tag(0, cbor.tstr("nonce")))
    )
    yield malformed(
        "key-chunked",
        "cbor-chunked-string",
        "The key digest comes in chunks: it would escape a check for duplicates by bytes.",
        short.rename("digest", cbor.chunked(cbor.tstr("digest"))),
    )
    yield malformed(
        "key-not-shortest",
        "cbor-not-shortest",
        "The key digest has its length in two bytes: it would escape a check for duplicates by bytes.",
        short.rename("digest", cbor.widen(cbor.tstr("digest"))),
    )
    yield malformed("key-not-utf8", "cbor-utf8", "A key is not UTF-8.", short.add(cbor.tstr(b"\xff\xfe"), cbor.uint(1)))
    yield malformed(
        "key-empty", "unknown-key-shape", "An unknown key is empty.", short.add(cbor.tstr(""), cbor.uint(1))
    )
    yield malformed(
        "key-65-bytes",
        "unknown-key-shape",
        "An unknown key has one byte more than the profile's 64.",
        short.add(cbor.tstr("k" * 65), cbor.uint(1)),
    )
    yield malformed(
        "key-control-characters",
        "unknown-key-shape",
        "An unknown key would move the cursor of the terminal that shows it.",
        short.add(cbor.tstr("\x1b[2J"), cbor.uint(1)),
    )
    yield malformed(
        "key-with-nul",
        "unknown-key-shape",
        "An unknown key is nonce and a NUL: equal to nonce for whoever stops there.",
        short.add(cbor.tstr("nonce\x00"), cbor.bstr(b"x")),
    )
    many = short
    for index in range(24):
        many = many.put(f"key {index}", cbor.uint(index))
    yield malformed("33-keys", "too-many-keys", "The payload has 33 keys, one more than the profile's 32.", many)
    yield malformed(
        "33-keys-definite",
        "too-many-keys",
        "33 keys in a map with a length.",
        many.but(wrap_payload=lambda entries, count: cbor.head(cbor.MAP, count) + entries),
    )


def _shortest(short: Document) -> Iterator[Case]:
    about = "The same claims under other bytes: what is compared by bytes is not compared by meaning."
    for field in FIELDS:
        yield malformed(
            f"{field.replace('_', '-')}-head-not-shortest",
            "cbor-not-shortest",
            f"{field} has a head that is longer than needed. {about}",
            short.put(field, _widened(short.value(field))),
        )
    low, pcrs = cbor.bstr(pcr(0)), [(cbor.uint(index), cbor.bstr(pcr(index))) for index in range(3)]
    yield malformed(
        "pcr-index-not-shortest",
        "cbor-not-shortest",
        f"The index of PCR0 takes two bytes. {about}",
        short.put("pcrs", cbor.cbor_map([(b"\x18\x00", low), *pcrs[1:]])),
    )
    yield malformed(
        "pcr-value-not-shortest",
        "cbor-not-shortest",
        f"The length of PCR0 is longer than needed. {about}",
        short.put("pcrs", cbor.cbor_map([(b"\x00", cbor.widen(low)), *pcrs[1:]])),
    )
    ca = cbor.bstr(short.certificates()[0])
    yield malformed(
        "ca-head-not-shortest",
        "cbor-not-shortest",
        f"A certificate of the bundle has a head that is longer than needed. {about}",
        short.put("cabundle", cbor.array([cbor.widen(ca)])),
    )
    yield malformed(
        "unknown-value-not-shortest",
        "cbor-not-shortest",
        f"An unknown key's integer is not in its shortest form. {about}",
        short.put("extra", b"\x18\x17"),
    )
    yield malformed(
        "unknown-simple-not-shortest",
        "cbor-not-shortest",
        "An unknown key's simple value false is written in two bytes, which RFC 8949 §3.3 forbids.",
        short.put("extra", b"\xf8\x14"),
    )


def _widened(value: bytes) -> bytes:
    """One step longer; a timestamp already has the longest head, so a small number stands in its place."""
    return b"\x1a\x00\x00\x00\x01" if value[0] == 0x1B else cbor.widen(value)


def _chunks(short: Document) -> Iterator[Case]:
    about = "Parsers differ in whether they join the chunks."
    for field in ("module_id", "digest", "certificate", "public_key", "user_data", "nonce"):
        yield malformed(
            f"{field.replace('_', '-')}-chunked",
            "cbor-chunked-string",
            f"{field} comes in chunks. {about}",
            short.put(field, cbor.chunked(short.value(field))),
        )
    values = [(cbor.uint(index), cbor.bstr(pcr(index))) for index in range(3)]
    values[0] = (cbor.uint(0), cbor.chunked(cbor.bstr(pcr(0))))
    yield malformed(
        "pcr-chunked", "cbor-chunked-string", f"PCR0 comes in chunks. {about}", short.put("pcrs", cbor.cbor_map(values))
    )
    root = cbor.chunked(cbor.bstr(short.root()))
    yield malformed(
        "ca-chunked",
        "cbor-chunked-string",
        f"A certificate of the bundle comes in chunks. {about}",
        short.put("cabundle", cbor.array([root])),
    )
    yield malformed(
        "unknown-value-chunked",
        "cbor-chunked-string",
        f"An unknown key's text comes in chunks. {about}",
        short.put("extra", cbor.chunked(cbor.tstr("text"))),
    )
    yield malformed(
        "nonce-no-chunks",
        "cbor-chunked-string",
        "nonce is a string of no chunks at all.",
        short.put("nonce", b"\x5f\xff"),
    )
    for field in ("pcrs", "cabundle"):
        yield malformed(
            f"{field}-indefinite",
            "cbor-indefinite-length",
            f"{field} has no length: only the top map may do without.",
            short.put(field, cbor.indefinite(short.value(field))),
        )
