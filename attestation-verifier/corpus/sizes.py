"""Documents, certificates and numbers of a given size, for the limits."""

from __future__ import annotations

import cbor
import der
from certificate import extension
from curves import P384
from document import Document
from ecdsa import Key
from shapes import Shapes


def sized(document: Document, octets: int) -> Document:
    """The same order, padded to a size by values that nobody knows."""
    bare = document.put("padding", cbor.bstr(bytes(8192)))
    missing = octets - len(bare.make())
    return bare.put("padding", cbor.bstr(bytes(8192 + missing)))


def padded(document: Document, octets: int) -> Document:
    """The same order, its leaf certificate padded to a size by an extension that nobody knows."""
    for filler in range(octets - 420, octets - 340):
        for first in range(4):
            unknown = extension("1.3.6.1.4.1.99999.1", der.octets(bytes([first]) * filler))
            order = document.but(leaf=document.leaf.extended(unknown))
            if len(order.certificates()[-1]) == octets:
                return order
    raise AssertionError(f"no padding gives {octets} bytes")


def short_signature(document: Document, part: int) -> Document:
    """The same order with `user_data` such that the document's r (part 0) or s (part 1) begins with a zero octet."""
    for number in range(10_000):
        order = document.put("user_data", cbor.bstr(number.to_bytes(2, "big")))
        if order.signature(order.payload())[part] < _SHORT:
            return order
    raise AssertionError("about every 256th is short")


def short_certificate_signature(document: Document) -> Document:
    """The same order with a serial number of the leaf such that its certificate's r begins with a zero octet."""
    issuer = document.bundle[-1].key
    for number in range(10_000):
        order = document.with_leaf(serial=b"\x4e" + number.to_bytes(2, "big"))
        if issuer.sign(order.leaf.to_be_signed())[0] < _SHORT:
            return order
    raise AssertionError("about every 256th is short")


def short_key(shapes: Shapes) -> Key:
    """A key whose public X begins with a zero octet."""
    candidates = (shapes.key(f"short {number}") for number in range(10_000))
    return next(key for key in candidates if key.public[0] < _SHORT)


_SHORT = 1 << 8 * (P384.octets - 1)
