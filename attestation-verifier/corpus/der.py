"""A DER writer, and the ways in which BER differs from it (X.690)."""

from __future__ import annotations

import datetime


def tlv(tag: int, content: bytes) -> bytes:
    """A value with its tag and its length in the shortest form (X.690 §10.1)."""
    return bytes([tag]) + _length(len(content)) + content


def _length(length: int) -> bytes:
    if length < 0x80:
        return bytes([length])
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets


def sequence(*parts: bytes) -> bytes:
    """A SEQUENCE of encoded values."""
    return tlv(0x30, b"".join(parts))


def set_of(*parts: bytes) -> bytes:
    """A SET OF encoded values, in the order given: DER demands ascending order (X.690 §11.6)."""
    return tlv(0x31, b"".join(parts))


def integer(value: int) -> bytes:
    """An INTEGER in the fewest octets."""
    return tlv(0x02, integer_content(value))


def integer_content(value: int) -> bytes:
    """The content of an INTEGER: two's complement in the fewest octets (X.690 §8.3)."""
    length = 1
    while not -(1 << (8 * length - 1)) <= value < 1 << (8 * length - 1):
        length += 1
    return value.to_bytes(length, "big", signed=True)


def boolean(value: bool) -> bytes:
    """A BOOLEAN; TRUE is ff (X.690 §11.1)."""
    return tlv(0x01, b"\xff" if value else b"\x00")


def bits(content: bytes, unused: int = 0) -> bytes:
    """A BIT STRING."""
    return tlv(0x03, bytes([unused]) + content)


def octets(content: bytes) -> bytes:
    """An OCTET STRING."""
    return tlv(0x04, content)


NULL = b"\x05\x00"


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER (X.690 §8.19)."""
    first, second, *rest = [int(part) for part in dotted.split(".")]
    return tlv(0x06, b"".join(_base128(part) for part in [40 * first + second, *rest]))


def _base128(value: int) -> bytes:
    octets = [value & 0x7F]
    while value := value >> 7:
        octets.append(0x80 | value & 0x7F)
    return bytes(reversed(octets))


def utf8(text: str) -> bytes:
    """A UTF8String."""
    return tlv(0x0C, text.encode())


def printable(text: str) -> bytes:
    """A PrintableString."""
    return tlv(0x13, text.encode("ascii"))


def utc_time(text: str) -> bytes:
    """A UTCTime with this text: YYMMDDhhmmssZ in RFC 5280."""
    return tlv(0x17, text.encode("ascii"))


def generalized_time(text: str) -> bytes:
    """A GeneralizedTime with this text: YYYYMMDDhhmmssZ in RFC 5280."""
    return tlv(0x18, text.encode("ascii"))


def time(unix_seconds: int) -> bytes:
    """A time as RFC 5280 §4.1.2.5 writes it: UTCTime through 2049, GeneralizedTime from 2050."""
    epoch = datetime.datetime(1970, 1, 1)
    at = epoch + datetime.timedelta(seconds=unix_seconds)
    text = at.strftime("%m%d%H%M%SZ")
    if at.year < 2050:
        return utc_time(f"{at.year % 100:02}{text}")
    return generalized_time(f"{at.year:04}{text}")


def explicit(number: int, content: bytes) -> bytes:
    """A value under the context tag [number] EXPLICIT."""
    return tlv(0xA0 | number, content)


def reopen(encoded: bytes) -> bytes:
    """The content of a value that this module wrote."""
    return encoded[2:] if encoded[1] < 0x80 else encoded[2 + (encoded[1] & 0x7F) :]


def long_length(encoded: bytes) -> bytes:
    """BER: the same value, its length one octet longer than needed."""
    content = reopen(encoded)
    short = _length(len(content))
    digits = short if len(short) == 1 else short[1:]
    padded = digits if len(short) == 1 else b"\x00" + digits
    return encoded[:1] + bytes([0x80 | len(padded)]) + padded + content


def indefinite_length(encoded: bytes) -> bytes:
    """BER: the same constructed value, ended by two zero octets instead of a length."""
    return encoded[:1] + b"\x80" + reopen(encoded) + b"\x00\x00"


def constructed(encoded: bytes) -> bytes:
    """BER: the same string in one segment inside a constructed one."""
    return tlv(encoded[0] | 0x20, encoded)
