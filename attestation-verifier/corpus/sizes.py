"""Documents and certificates of a given size, for the limits."""

from __future__ import annotations

import cbor
import der
from certificate import extension
from document import Document


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
