"""Faults of the envelope's two headers (RFC 9052 §3; AWS NSM spec §3.1)."""

from __future__ import annotations

from typing import Iterator

import cbor
from case import Case, malformed
from document import ES384, Document
from shapes import Shapes


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    short = shapes.short()
    yield from _protected(short)
    yield from _unprotected(short)


def _protected(short: Document) -> Iterator[Case]:
    rule = "protected-header"
    about = "A verifier that accepts it lets the document choose how it is verified."
    contents = {
        "empty": (b"", "The protected header is empty: nothing says which algorithm signed."),
        "empty-map": (b"\xa0", "The protected header is an empty map: nothing says which algorithm signed."),
        "es256": (b"\xa1\x01\x26", "The protected header says ES256 over a P-384 signature."),
        "es512": (b"\xa1\x01\x38\x23", "The protected header says ES512."),
        "eddsa": (b"\xa1\x01\x27", "The protected header says EdDSA."),
        "hmac": (b"\xa1\x01\x05", "The protected header says HMAC, whose key would be public."),
        "unregistered": (b"\xa1\x01\x39\x03\xe7", "The protected header says an algorithm that nobody knows."),
        "text-algorithm": (b"\xa1\x01\x65ES384", "The algorithm is written as text."),
        "with-key-id": (b"\xa2\x01\x38\x22\x04\x41\x00", "A key id stands beside the algorithm."),
        "with-critical": (b"\xa2\x01\x38\x22\x02\x81\x04", "A critical header is named that nobody processes."),
        "twice": (b"\xa2\x01\x38\x22\x01\x38\x22", "The algorithm stands twice."),
        "two-algorithms": (b"\xa2\x01\x38\x22\x01\x26", "Two algorithms stand there: the first or the last may win."),
        "not-shortest": (b"\xa1\x01\x39\x00\x22", "The algorithm's number is not in its shortest form."),
        "key-not-shortest": (b"\xa1\x18\x01\x38\x22", "The header's label is not in its shortest form."),
        "indefinite": (b"\xbf\x01\x38\x22\xff", "The header's map has no length."),
        "trailing": (ES384 + b"\x00", "A byte follows the header's map."),
        "other-label": (b"\xa1\x04\x38\x22", "The algorithm stands under another label."),
    }
    for name, (content, fault) in contents.items():
        yield malformed(f"protected-{name}", rule, f"{fault} {about}", short.but(protected=content))
    yield malformed(
        "protected-is-a-map",
        "cbor-type",
        "The protected header is a map, not a byte string.",
        short.but(protected_item=ES384),
    )
    yield malformed(
        "protected-is-null", "cbor-type", "The protected header is null.", short.but(protected_item=cbor.NULL)
    )
    yield malformed(
        "protected-is-text",
        "cbor-type",
        "The protected header is a text string.",
        short.but(protected_item=b"\x64" + b"\x01\x01\x38\x22"),
    )
    yield malformed(
        "protected-chunked",
        "cbor-chunked-string",
        "The protected header comes in chunks.",
        short.but(protected_item=cbor.chunked(cbor.bstr(ES384))),
    )
    yield malformed(
        "protected-head-not-shortest",
        "cbor-not-shortest",
        "The protected header's length is not in its shortest form.",
        short.but(protected_item=cbor.widen(cbor.bstr(ES384))),
    )
    moved = short.but(protected=b"", unprotected=ES384)
    yield malformed(
        "algorithm-unprotected",
        rule,
        f"The algorithm stands in the unprotected header, which nobody signs. {about}",
        moved,
    )


def _unprotected(short: Document) -> Iterator[Case]:
    about = "Anyone on the way can write there."
    yield malformed(
        "unprotected-key-id",
        "unprotected-header",
        f"The unprotected header has a key id. {about}",
        short.but(unprotected=b"\xa1\x04\x41\x00"),
    )
    yield malformed(
        "unprotected-algorithm",
        "unprotected-header",
        f"The unprotected header names the algorithm again. {about}",
        short.but(unprotected=ES384),
    )
    chain = cbor.cbor_map([(cbor.uint(33), cbor.bstr(short.certificates()[-1]))])
    yield malformed(
        "unprotected-x5chain",
        "unprotected-header",
        f"The unprotected header brings a certificate chain. {about}",
        short.but(unprotected=chain),
    )
    yield malformed(
        "unprotected-indefinite",
        "cbor-indefinite-length",
        "The unprotected header is an empty map without a length.",
        short.but(unprotected=b"\xbf\xff"),
    )
    yield malformed(
        "unprotected-not-shortest",
        "cbor-not-shortest",
        "The unprotected header's length is not in its shortest form.",
        short.but(unprotected=b"\xb8\x00"),
    )
    yield malformed(
        "unprotected-null", "cbor-type", "The unprotected header is null.", short.but(unprotected=cbor.NULL)
    )
    yield malformed(
        "unprotected-array", "cbor-type", "The unprotected header is an array.", short.but(unprotected=b"\x80")
    )
    yield malformed(
        "unprotected-byte-string",
        "cbor-type",
        "The unprotected header is a byte string.",
        short.but(unprotected=cbor.bstr(b"\xa0")),
    )
