"""Faults of the COSE_Sign1 envelope (RFC 9052 §4.2; AWS NSM spec §3.1)."""

from __future__ import annotations

from typing import Iterator

import cbor
from case import Case, malformed
from certificate import signature_value
from document import Document, fixed
from shapes import Shapes
from sizes import sized


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    short = shapes.short()
    yield malformed(
        "document-16385-bytes",
        "document-too-long",
        "One byte more than a document may have: work grows with what a stranger sends.",
        sized(short, 16 * 1024 + 1),
    )
    yield malformed("document-empty", "cbor-truncated", "No bytes at all.", b"", root=short.root())
    yield from _frame(short)
    yield from _payload(short)
    yield from _signature(short)
    yield from _cut(short)


def _frame(short: Document) -> Iterator[Case]:
    about = "Another structure of COSE is taken for a COSE_Sign1."
    yield malformed("tag-17", "cbor-type", f"The tag is 17, of COSE_Mac0. {about}", short.but(head=b"\xd1\x84"))
    yield malformed("tag-98", "cbor-type", f"The tag is 98, of COSE_Sign. {about}", short.but(head=b"\xd8\x62\x84"))
    yield malformed(
        "tag-18-twice",
        "cbor-type",
        "The tag stands twice: two readings of one document.",
        short.but(head=b"\xd2\xd2\x84"),
    )
    yield malformed("tag-61", "cbor-type", "A CWT tag around the document.", short.but(head=b"\xd8\x3d\xd2\x84"))
    yield malformed(
        "tag-55799",
        "cbor-type",
        "The self-describing tag around the document: the same content under other bytes.",
        short.but(head=b"\xd9\xd9\xf7\xd2\x84"),
    )
    yield malformed(
        "tag-18-not-shortest",
        "cbor-not-shortest",
        "The tag's number is not in its shortest form.",
        short.but(head=b"\xd8\x12\x84"),
    )
    yield malformed(
        "array-of-3",
        "envelope-elements",
        "Three elements: the signature is missing.",
        short.but(head=b"\x83", alter=lambda octets: octets[:-98]),
    )
    yield malformed(
        "array-of-5",
        "envelope-elements",
        "A fifth element follows the signature.",
        short.but(head=b"\x85", after=cbor.NULL),
    )
    yield malformed("array-of-0", "envelope-elements", "An empty array.", b"\x80", root=short.root())
    yield malformed(
        "array-indefinite",
        "cbor-indefinite-length",
        "The array has no length: the same document under other bytes.",
        short.but(head=b"\x9f", after=cbor.BREAK),
    )
    yield malformed(
        "array-not-shortest",
        "cbor-not-shortest",
        "The array's length takes two bytes where one does.",
        short.but(head=b"\x98\x04"),
    )
    yield malformed(
        "array-claims-2-to-the-63",
        "envelope-elements",
        "The array claims 2^63 elements: memory is set aside for a claim.",
        short.but(head=cbor.head(cbor.ARRAY, 1 << 63)),
    )
    yield malformed("envelope-is-a-map", "cbor-type", "A map in the array's place.", short.but(head=b"\xa4"))
    yield malformed(
        "envelope-in-a-byte-string", "cbor-type", "The whole document inside a byte string.", short.but(alter=cbor.bstr)
    )
    yield malformed(
        "envelope-text",
        "cbor-type",
        "A text string in the envelope's place.",
        cbor.tstr("attestation"),
        root=short.root(),
    )
    yield malformed(
        "envelope-reserved-head",
        "cbor-reserved",
        "The first byte uses a reserved length form.",
        short.but(head=b"\x9c"),
    )
    yield malformed(
        "trailing-zero",
        "cbor-trailing-bytes",
        "A byte follows the document: bytes that nobody signed pass with it.",
        short.but(after=b"\x00"),
    )
    yield malformed(
        "trailing-document",
        "cbor-trailing-bytes",
        "The document stands there twice in a row.",
        short.but(alter=lambda octets: octets + octets),
    )
    yield malformed(
        "trailing-break", "cbor-trailing-bytes", "A break follows the document.", short.but(after=cbor.BREAK)
    )


def _payload(short: Document) -> Iterator[Case]:
    payload = short.payload()
    yield malformed(
        "payload-detached",
        "cbor-type",
        "The payload is null: a detached one could be anything.",
        short.but(payload_item=cbor.NULL),
    )
    yield malformed(
        "payload-as-text",
        "cbor-type",
        "The payload is a text string.",
        short.but(payload_item=b"\x79" + cbor.bstr(payload)[1:]),
    )
    yield malformed(
        "payload-as-map",
        "cbor-type",
        "The payload is a map, not a byte string: it would be encoded again to be verified.",
        short.but(payload_item=payload),
    )
    yield malformed(
        "payload-tagged",
        "cbor-type",
        "The payload's byte string has the tag for encoded CBOR.",
        short.but(payload_item=cbor.tag(24, cbor.bstr(payload))),
    )
    yield malformed(
        "payload-chunked",
        "cbor-chunked-string",
        "The payload comes in one chunk.",
        short.but(payload_item=cbor.chunked(cbor.bstr(payload))),
    )
    yield malformed(
        "payload-wrapped-twice",
        "cbor-type",
        "The payload is a byte string in a byte string.",
        short.but(payload_item=cbor.bstr(cbor.bstr(payload)), alter_signed=cbor.bstr),
    )
    halves = b"\x5f" + cbor.bstr(payload[:100]) + cbor.bstr(payload[100:]) + cbor.BREAK
    yield malformed(
        "payload-in-two-chunks",
        "cbor-chunked-string",
        "The payload comes in two chunks.",
        short.but(payload_item=halves),
    )
    yield malformed(
        "payload-head-not-shortest",
        "cbor-not-shortest",
        "The payload's length is not in its shortest form.",
        short.but(payload_item=cbor.widen(cbor.bstr(payload))),
    )
    yield malformed(
        "payload-head-reserved",
        "cbor-reserved",
        "The payload's head uses a reserved length form.",
        short.but(payload_item=b"\x5d" + payload),
    )
    for exponent in (31, 32, 63):
        claimed = cbor.head(cbor.BYTES, 1 << exponent) + payload
        yield malformed(
            f"payload-claims-2-to-the-{exponent}",
            "cbor-truncated",
            f"The payload claims 2^{exponent} bytes: memory is set aside for a claim, or the length wraps around.",
            short.but(payload_item=claimed),
        )
    claimed = cbor.head(cbor.BYTES, (1 << 64) - 1) + payload
    yield malformed(
        "payload-claims-all-64-bits",
        "cbor-truncated",
        "The payload claims 2^64 - 1 bytes: offset and length wrap around.",
        short.but(payload_item=claimed),
    )
    yield malformed(
        "payload-empty",
        "cbor-truncated",
        "The payload is empty.",
        short.but(payload_item=cbor.bstr(b""), alter_signed=lambda _: b""),
    )


def _signature(short: Document) -> Iterator[Case]:
    rule = "signature-length"
    yield malformed(
        "signature-95-bytes",
        rule,
        "The signature lacks its last byte.",
        short.but(write_signature=lambda signature: fixed(*signature)[:-1]),
    )
    yield malformed(
        "signature-97-bytes",
        rule,
        "A byte follows the signature: the same document under other bytes.",
        short.but(write_signature=lambda signature: fixed(*signature) + b"\x00"),
    )
    yield malformed(
        "signature-leading-zeros",
        rule,
        "r and s have 49 bytes each, a zero before each number.",
        short.but(
            write_signature=lambda signature: b"\x00"
            + signature[0].to_bytes(48, "big")
            + b"\x00"
            + signature[1].to_bytes(48, "big")
        ),
    )
    yield malformed("signature-empty", rule, "The signature is empty.", short.but(write_signature=lambda _: b""))
    yield malformed(
        "signature-64-bytes",
        rule,
        "The signature has the length of P-256's.",
        short.but(write_signature=lambda signature: fixed(*signature)[:64]),
    )
    yield malformed(
        "signature-132-bytes",
        rule,
        "The signature has the length of P-521's.",
        short.but(
            write_signature=lambda signature: signature[0].to_bytes(66, "big") + signature[1].to_bytes(66, "big")
        ),
    )
    yield malformed(
        "signature-der",
        rule,
        "The signature is in the DER form of X.509: the same numbers under other bytes.",
        short.but(write_signature=lambda signature: signature_value(*signature)),
    )
    yield malformed("signature-null", "cbor-type", "The signature is null.", short.but(signature_item=cbor.NULL))
    yield malformed(
        "signature-text",
        "cbor-type",
        "The signature is a text string.",
        short.but(wrap_signature=lambda octets: b"\x78" + cbor.bstr(octets)[1:]),
    )
    yield malformed(
        "signature-array",
        "cbor-type",
        "r and s stand in an array.",
        short.but(wrap_signature=lambda octets: cbor.array([cbor.bstr(octets[:48]), cbor.bstr(octets[48:])])),
    )
    yield malformed(
        "signature-chunked",
        "cbor-chunked-string",
        "The signature comes in one chunk.",
        short.but(wrap_signature=lambda octets: cbor.chunked(cbor.bstr(octets))),
    )
    yield malformed(
        "signature-head-not-shortest",
        "cbor-not-shortest",
        "The signature's length is not in its shortest form.",
        short.but(wrap_signature=lambda octets: cbor.widen(cbor.bstr(octets))),
    )
    yield malformed(
        "signature-claims-2-to-the-32",
        "cbor-truncated",
        "The signature claims 2^32 bytes.",
        short.but(wrap_signature=lambda octets: cbor.head(cbor.BYTES, 1 << 32) + octets),
    )


def _cut(short: Document) -> Iterator[Case]:
    for name, keep in (
        ("after-one-byte", 1),
        ("in-the-payload", 300),
        ("before-the-signature", -98),
        ("by-one-byte", -1),
    ):
        yield malformed(
            f"cut-{name}",
            "cbor-truncated",
            "The document is cut short.",
            short.but(alter=lambda octets, keep=keep: octets[:keep]),
        )
