"""A CBOR writer: the deterministic encoding (RFC 8949 §4.2), and the ways to differ from it."""

from __future__ import annotations

import struct
from typing import Iterable, Mapping, Tuple, Union

NULL = b"\xf6"
UNDEFINED = b"\xf7"
FALSE = b"\xf4"
BREAK = b"\xff"

UINT, NINT, BYTES, TEXT, ARRAY, MAP, TAG = range(7)
"""Major types (RFC 8949 §3.1)."""


def head(major: int, argument: int) -> bytes:
    """The head of a data item, its argument in the shortest form."""
    if argument < 24:
        return bytes([major << 5 | argument])
    for information, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * size:
            return wide_head(major, argument, information)
    raise ValueError("an argument has at most 64 bits")


def wide_head(major: int, argument: int, information: int) -> bytes:
    """A head whose argument takes 1, 2, 4 or 8 bytes (information 24, 25, 26 or 27), needed or not."""
    size = 1 << (information - 24)
    return bytes([major << 5 | information]) + argument.to_bytes(size, "big")


def uint(value: int) -> bytes:
    """An unsigned integer."""
    return head(UINT, value)


def negative(value: int) -> bytes:
    """A negative integer."""
    return head(NINT, -1 - value)


def bstr(content: bytes) -> bytes:
    """A byte string."""
    return head(BYTES, len(content)) + content


def tstr(text: Union[str, bytes]) -> bytes:
    """A text string; given bytes, whether they are UTF-8 or not."""
    content = text.encode() if isinstance(text, str) else text
    return head(TEXT, len(content)) + content


def array(items: Iterable[bytes]) -> bytes:
    """An array of encoded items."""
    items = list(items)
    return head(ARRAY, len(items)) + b"".join(items)


def cbor_map(entries: Union[Mapping[bytes, bytes], Iterable[Tuple[bytes, bytes]]]) -> bytes:
    """A map of encoded keys and values, in the order given."""
    entries = list(entries.items() if isinstance(entries, Mapping) else entries)
    return head(MAP, len(entries)) + b"".join(key + value for key, value in entries)


def tag(number: int, item: bytes) -> bytes:
    """A tagged item."""
    return head(TAG, number) + item


def double(value: float) -> bytes:
    """A float of 64 bits."""
    return b"\xfb" + struct.pack(">d", value)


def widen(item: bytes) -> bytes:
    """The same item, its head one step longer than needed."""
    information = item[0] & 0x1F
    major = item[0] >> 5
    if information < 24:
        return wide_head(major, information, 24) + item[1:]
    size = 1 << (information - 24)
    argument = int.from_bytes(item[1 : 1 + size], "big")
    return wide_head(major, argument, information + 1) + item[1 + size :]


def chunked(item: bytes) -> bytes:
    """A string of indefinite length with the given string as its one chunk."""
    return bytes([item[0] & 0xE0 | 0x1F]) + item + BREAK


def indefinite(item: bytes) -> bytes:
    """The same array or map, ended by a break instead of a length. Its head must be one byte."""
    return bytes([item[0] | 0x1F]) + item[1:] + BREAK
