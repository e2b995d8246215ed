"""Values of another type than belongs there, and text that is none (RFC 8949 §3.1)."""

from __future__ import annotations

from typing import Iterator

import cbor
from case import Case, malformed
from document import Document
from shapes import MADE_MS, Shapes, pcr


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    short = shapes.with_user_fields()
    yield from _types(short)
    yield from _text(short)


def _types(short: Document) -> Iterator[Case]:
    about = "What a parser makes of it depends on the parser."
    wrong = {
        "module_id": [("bytes", cbor.bstr(b"i-0")), ("null", cbor.NULL), ("integer", cbor.uint(1))],
        "digest": [("bytes", cbor.bstr(b"SHA384")), ("integer", cbor.negative(-43)), ("null", cbor.NULL)],
        "timestamp": [
            ("negative", cbor.negative(-1)),
            ("float", cbor.double(float(MADE_MS))),
            ("text", cbor.tstr(str(MADE_MS))),
            ("bignum", cbor.tag(2, cbor.bstr(MADE_MS.to_bytes(8, "big")))),
            ("tagged", cbor.tag(1, cbor.uint(MADE_MS))),
            ("null", cbor.NULL),
        ],
        "pcrs": [("array", cbor.array(cbor.bstr(pcr(index)) for index in range(3))), ("null", cbor.NULL)],
        "certificate": [
            ("text", cbor.tstr("x")),
            ("null", cbor.NULL),
            ("array", cbor.array([short.value("certificate")])),
        ],
        "cabundle": [("byte-string", cbor.bstr(short.root())), ("null", cbor.NULL), ("map", cbor.cbor_map([]))],
    }
    for field, values in wrong.items():
        for name, value in values:
            yield malformed(
                f"{field.replace('_', '-')}-is-{name}",
                "cbor-type",
                f"{field} is of another type ({name.replace('-', ' ')}). {about}",
                short.put(field, value),
            )
    for field in ("public_key", "user_data", "nonce"):
        for name, value in (
            ("text", cbor.tstr("text")),
            ("undefined", cbor.UNDEFINED),
            ("false", cbor.FALSE),
            ("integer", cbor.uint(0)),
        ):
            yield malformed(
                f"{field.replace('_', '-')}-is-{name}",
                "cbor-type",
                f"{field} is of another type ({name}), neither a byte string nor null. {about}",
                short.put(field, value),
            )
    pcrs = [(cbor.uint(index), cbor.bstr(pcr(index))) for index in range(3)]
    for name, index in (
        ("negative", cbor.negative(-1)),
        ("text", cbor.tstr("0")),
        ("float", b"\xf9\x00\x00"),
        ("byte-string", cbor.bstr(b"\x00")),
    ):
        yield malformed(
            f"pcr-index-is-{name}",
            "cbor-type",
            f"The index of a PCR is of another type ({name.replace('-', ' ')}). {about}",
            short.put("pcrs", cbor.cbor_map([*pcrs[1:], (index, pcrs[0][1])])),
        )
    for name, value in (
        ("text", cbor.tstr("p" * 48)),
        ("null", cbor.NULL),
        ("array", cbor.array(cbor.uint(0x18 + index) for index in range(48))),
    ):
        yield malformed(
            f"pcr-value-is-{name}",
            "cbor-type",
            f"A PCR is of another type ({name}). {about}",
            short.put("pcrs", cbor.cbor_map([*pcrs, (cbor.uint(3), value)])),
        )
    for name, value in (("text", cbor.tstr("x")), ("null", cbor.NULL), ("integer", cbor.uint(1))):
        yield malformed(
            f"ca-is-{name}",
            "cbor-type",
            f"A certificate of the bundle is of another type ({name}). {about}",
            short.put("cabundle", cbor.array([cbor.bstr(short.root()), value])),
        )


def _text(short: Document) -> Iterator[Case]:
    for name, octets in (
        ("stray-continuation", b"i-\x80"),
        ("overlong", b"i-\xc0\xaf"),
        ("surrogate", b"i-\xed\xa0\x80"),
        ("beyond-unicode", b"i-\xf4\x90\x80\x80"),
        ("cut", b"i-\xe2\x82"),
    ):
        yield malformed(
            f"utf8-{name}",
            "cbor-utf8",
            f"module_id is not UTF-8 ({name.replace('-', ' ')}): what is shown is not what is there.",
            short.put("module_id", cbor.tstr(octets)),
        )
    yield malformed(
        "utf8-in-unknown-value",
        "cbor-utf8",
        "An unknown key's text is not UTF-8.",
        short.put("extra", cbor.tstr(b"\xff")),
    )
