"""Values that claim or nest more than a document can need, and breaks where none belongs (RFC 8949 §3.2.1, §10)."""

from __future__ import annotations

from typing import Iterator

import cbor
from case import Case, malformed
from document import Document
from shapes import MADE_MS, Shapes, pcr, pcr_map


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    short = shapes.with_user_fields()
    yield from _bombs(short)
    yield from _breaks(short)


def _bombs(short: Document) -> Iterator[Case]:
    definite = short.but(wrap_payload=lambda entries, count: cbor.head(cbor.MAP, count) + entries)
    for name, opening, count in (
        ("arrays", b"\x81", 64),
        ("arrays", b"\x81", 3000),
        ("maps", b"\xa1\x00", 1000),
        ("tags", b"\xc1", 1000),
    ):
        yield malformed(
            f"{count}-nested-{name}",
            "cbor-depth",
            f"An unknown key's value has {count} nested {name}: a recursive parser runs out of stack.",
            short.put("bomb", opening * count + b"\x00"),
        )
    yield malformed(
        "1000-nested-indefinite",
        "cbor-depth",
        "1,000 nested arrays without a length.",
        short.put("bomb", b"\x9f" * 1000 + cbor.BREAK * 1000),
    )
    yield malformed(
        "3000-items",
        "cbor-count",
        "An unknown key's array has 3,000 items.",
        short.put("bomb", cbor.array([b"\x00"] * 3000)),
    )
    yield malformed(
        "3000-items-indefinite",
        "cbor-count",
        "An unknown key's array without a length has 3,000 items.",
        short.put("bomb", b"\x9f" + b"\x00" * 3000 + cbor.BREAK),
    )
    wide = cbor.array([cbor.array([b"\x80"] * 20)] * 100)
    yield malformed(
        "2000-items-in-branches",
        "cbor-count",
        "2,000 items in arrays of 20: each is small, the whole is not.",
        short.put("bomb", wide),
    )
    for exponent in (32, 63):
        for name, major in (("array", cbor.ARRAY), ("map", cbor.MAP), ("text", cbor.TEXT)):
            yield malformed(
                f"unknown-{name}-claims-2-to-the-{exponent}",
                "cbor-truncated",
                f"An unknown key's {name} claims a length of 2^{exponent}: memory is set aside for a claim.",
                definite.put("bomb", cbor.head(major, 1 << exponent)),
            )


def _breaks(short: Document) -> Iterator[Case]:
    yield malformed(
        "break-as-value",
        "cbor-break",
        "A break stands where a key's value belongs.",
        short.but(wrap_payload=lambda entries, count: b"\xbf" + entries + cbor.tstr("extra") + cbor.BREAK),
    )
    yield malformed(
        "break-in-definite-map",
        "cbor-break",
        "A break stands where a key belongs in a map with a length.",
        short.but(wrap_payload=lambda entries, count: b"\xaa" + entries + cbor.BREAK),
    )
    yield malformed(
        "break-as-timestamp", "cbor-break", "A break stands in timestamp's place.", short.put("timestamp", cbor.BREAK)
    )
    yield malformed(
        "break-in-cabundle",
        "cbor-break",
        "A break stands among the certificates of a bundle with a length.",
        short.put("cabundle", b"\x82" + cbor.bstr(short.root()) + cbor.BREAK),
    )
    yield malformed(
        "break-in-pcrs",
        "cbor-break",
        "A break stands among PCRs whose map has a length.",
        short.put("pcrs", b"\xa4" + pcr_map({index: pcr(index) for index in range(3)})[1:] + cbor.BREAK),
    )
    yield malformed(
        "break-between-key-and-value",
        "cbor-break",
        "A map without a length ends between a key and its value.",
        short.put("extra", b"\xbf\x01\xff"),
    )
    yield malformed("break-as-envelope", "cbor-break", "The document is a break.", b"\xff", root=short.root())
    for name, octets in (
        ("integer", b"\x1c"),
        ("simple", b"\xfc"),
        ("tag", b"\xdf\x00"),
        ("indefinite-integer", b"\x1f"),
    ):
        yield malformed(
            f"reserved-{name}",
            "cbor-reserved",
            f"An unknown key's value uses a reserved head ({name.replace('-', ' ')}).",
            short.put("extra", octets),
        )
    yield malformed(
        "reserved-timestamp",
        "cbor-reserved",
        "timestamp uses a reserved length form.",
        short.put("timestamp", b"\x1d" + MADE_MS.to_bytes(8, "big")),
    )
