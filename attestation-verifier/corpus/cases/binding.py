"""The nonce: whether the document was made for the one who asks (result code 15)."""

from __future__ import annotations

from typing import Iterator

import cbor
from case import BINDING, TRUSTED, Case
from document import Document
from shapes import Shapes


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    short = shapes.short()
    nonce = shapes.number("asked nonce", 32)
    fitting = short.put("nonce", cbor.bstr(nonce))

    def trusted(name: str, about: str, document: Document, asked: bytes) -> Case:
        return Case(f"valid-{name}", about, TRUSTED, "trusted", document, nonce=asked, scope="binding")

    def refused(name: str, about: str, document: Document, asked: bytes = nonce) -> Case:
        about = f"{about} A verifier that accepts it accepts a document made for someone else, or long ago."
        return Case(name, about, BINDING, "nonce-mismatch", document, nonce=asked)

    yield trusted("nonce", "The nonce is the one that was asked for.", fitting, nonce)
    yield trusted(
        "nonce-empty-asked",
        "An empty nonce was asked for, and an empty one is there.",
        short.put("nonce", cbor.bstr(b"")),
        b"",
    )
    yield trusted(
        "nonce-1024-bytes-asked",
        "A nonce of 1,024 bytes was asked for.",
        short.put("nonce", cbor.bstr(nonce * 32)),
        nonce * 32,
    )
    yield trusted(
        "nonce-of-zeros", "A nonce of zeros was asked for.", short.put("nonce", cbor.bstr(bytes(32))), bytes(32)
    )
    yield Case(
        "valid-nonce-not-asked",
        "The document has a nonce and none was asked for.",
        TRUSTED,
        "trusted",
        fitting,
        scope="binding",
    )

    yield refused(
        "nonce-other", "The nonce is another.", short.put("nonce", cbor.bstr(shapes.number("other nonce", 32)))
    )
    yield refused("nonce-null", "The nonce is null.", short)
    yield refused("nonce-absent", "The key nonce is not there.", short.drop("nonce"))
    yield refused("nonce-empty", "The nonce is empty.", short.put("nonce", cbor.bstr(b"")))
    yield refused(
        "nonce-empty-asked-null", "An empty nonce was asked for, and it is null: null is not empty.", short, b""
    )
    yield refused(
        "nonce-empty-asked-absent", "An empty nonce was asked for, and the key is not there.", short.drop("nonce"), b""
    )
    yield refused(
        "nonce-empty-asked-other", "An empty nonce was asked for: it is not the prefix of every other.", fitting, b""
    )
    yield refused(
        "nonce-prefix",
        "The nonce is all but the last byte of the one asked for.",
        short.put("nonce", cbor.bstr(nonce[:-1])),
    )
    yield refused(
        "nonce-longer", "The nonce is the one asked for and a byte.", short.put("nonce", cbor.bstr(nonce + b"\x00"))
    )
    yield refused(
        "nonce-last-bit",
        "The nonce differs in its last bit.",
        short.put("nonce", cbor.bstr(nonce[:-1] + bytes([nonce[-1] ^ 1]))),
    )
    yield refused(
        "nonce-reversed",
        "The nonce is the one asked for, its last byte first.",
        short.put("nonce", cbor.bstr(nonce[::-1])),
    )
    yield refused(
        "nonce-as-hexadecimal",
        "The nonce is the one asked for, written in hexadecimal.",
        short.put("nonce", cbor.bstr(nonce.hex().encode())),
    )
    with_nul = b"nonce\x00first", b"nonce\x00second"
    yield refused(
        "nonce-differs-after-nul",
        "The nonces differ after a zero byte, where a C string ends.",
        short.put("nonce", cbor.bstr(with_nul[0])),
        with_nul[1],
    )
    for field in ("user_data", "public_key"):
        yield refused(
            f"nonce-in-{field.replace('_', '-')}",
            f"The value asked for is in {field}, and the nonce is null.",
            short.put(field, cbor.bstr(nonce)),
        )
    yield refused(
        "nonce-under-a-lookalike-key",
        "The value asked for is under a key that looks like nonce, with a Cyrillic letter, and nonce is null.",
        short.put("n\u043ence", cbor.bstr(nonce)),
    )
    yield refused(
        "nonce-under-another-key",
        "The value asked for is under Nonce, an unknown key, and nonce is not there.",
        short.drop("nonce").put("Nonce", cbor.bstr(nonce)),
    )
