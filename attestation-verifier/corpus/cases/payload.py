"""Faults of the claims (AWS NSM spec §3.2.2)."""

from __future__ import annotations

from typing import Iterator

import cbor
from case import Case, malformed
from document import Document
from shapes import Shapes, pcr, pcr_map
from sizes import padded


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    short = shapes.short()
    yield from _claims(short)
    yield from _pcrs(short)
    yield from _certificates(shapes)
    yield from _tpm(short)


def _claims(short: Document) -> Iterator[Case]:
    for field in ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"):
        yield malformed(f"{field.replace('_', '-')}-missing", "missing-key", f"{field} is missing.", short.drop(field))
    empty = short.but(wrap_payload=lambda entries, count: b"\xbf\xff")
    yield malformed("payload-empty-map", "missing-key", "The payload has no keys.", empty)
    for field in ("PCRs", "Timestamp"):
        moved = short.rename(field.lower(), cbor.tstr(field))
        yield malformed(
            f"{field.lower()}-in-other-case",
            "missing-key",
            f"{field.lower()} is written {field}: keys are compared byte for byte.",
            moved,
        )
    rule = "module-id"
    yield malformed("module-id-empty", rule, "module_id is empty.", short.put("module_id", cbor.tstr("")))
    yield malformed(
        "module-id-257-bytes",
        rule,
        "module_id has one byte more than the profile's 256.",
        short.put("module_id", cbor.tstr("i" * 257)),
    )
    for name, text in (
        ("newline", "i-0\ni-1"),
        ("nul", "i-0\x00"),
        ("escape", "\x1b[31mi-0"),
        ("c1-control", "i-\x9b31m"),
    ):
        yield malformed(
            f"module-id-{name}",
            rule,
            "module_id holds a control character, which a log or a terminal would obey.",
            short.put("module_id", cbor.tstr(text)),
        )
    for name, text in (
        ("sha256", "SHA256"),
        ("sha512", "SHA512"),
        ("lower-case", "sha384"),
        ("space", "SHA384 "),
        ("hyphen", "SHA-384"),
        ("empty", ""),
        ("nul", "SHA384\x00"),
    ):
        yield malformed(
            f"digest-{name}",
            "digest-algorithm",
            f"digest is {text!r}, not 'SHA384': the PCRs mean something else.",
            short.put("digest", cbor.tstr(text)),
        )
    yield malformed(
        "timestamp-zero",
        "timestamp-zero",
        "timestamp is 0, which the specification excludes.",
        short.put("timestamp", cbor.uint(0)),
    )
    for field in ("public_key", "user_data", "nonce"):
        yield malformed(
            f"{field.replace('_', '-')}-1025-bytes",
            "user-field-length",
            f"{field} has 1,025 bytes, one more than it may.",
            short.put(field, cbor.bstr(b"\x5a" * 1025)),
        )


def _pcrs(short: Document) -> Iterator[Case]:
    values = {index: pcr(index) for index in range(3)}

    def with_pcr(index: int, value: bytes) -> Document:
        return short.put("pcrs", pcr_map({**values, index: value}))

    yield malformed("pcrs-empty", "pcr-count", "There are no PCRs.", short.put("pcrs", cbor.cbor_map([])))
    yield malformed(
        "pcrs-33",
        "pcr-count",
        "There are 33 PCRs; there may be 32.",
        short.put("pcrs", pcr_map({index: pcr(index) for index in range(33)})),
    )
    for exponent in (32, 63):
        claimed = cbor.head(cbor.MAP, 1 << exponent) + pcr_map(values)[1:]
        yield malformed(
            f"pcrs-claim-2-to-the-{exponent}",
            "pcr-count",
            f"pcrs claims 2^{exponent} entries: memory is set aside for a claim.",
            short.put("pcrs", claimed),
        )
    for index in (32, 255, 256, 1 << 32, (1 << 64) - 1):
        about = "cut to eight bits it is a lower one" if index > 255 else "there are 32"
        yield malformed(
            f"pcr-index-{index}", "pcr-index", f"A PCR has the index {index}: {about}.", with_pcr(index, pcr(0))
        )
    zero_again = cbor.cbor_map(
        [(cbor.uint(256), cbor.bstr(pcr(0))), *[(cbor.uint(index), cbor.bstr(pcr(index))) for index in (1, 2)]]
    )
    yield malformed(
        "pcr-index-256-for-0",
        "pcr-index",
        "PCR0 is missing and PCR256 has its value: cut to eight bits it would stand in.",
        short.put("pcrs", zero_again),
    )
    for length in (0, 1, 32, 47, 49, 64):
        content = (pcr(2) * 2)[:length]
        yield malformed(
            f"pcr-of-{length}-bytes",
            "pcr-length",
            f"PCR2 has {length} bytes, not the 48 of SHA-384.",
            with_pcr(2, content),
        )
    yield malformed(
        "pcr4-of-32-bytes", "pcr-length", "PCR4, which no policy asks for here, has 32 bytes.", with_pcr(4, bytes(32))
    )
    pairs = [(cbor.uint(index), cbor.bstr(pcr(index))) for index in range(3)]
    yield malformed(
        "pcr0-twice",
        "duplicate-pcr",
        "PCR0 stands twice with the same value.",
        short.put("pcrs", cbor.cbor_map([*pairs, pairs[0]])),
    )
    other = (cbor.uint(0), cbor.bstr(b"\xee" * 48))
    yield malformed(
        "pcr0-twice-good-last",
        "duplicate-pcr",
        "PCR0 stands twice, the expected value last: a verifier that keeps the last is fooled.",
        short.put("pcrs", cbor.cbor_map([other, *pairs])),
    )
    yield malformed(
        "pcr0-twice-good-first",
        "duplicate-pcr",
        "PCR0 stands twice, the expected value first: a verifier that keeps the first is fooled.",
        short.put("pcrs", cbor.cbor_map([*pairs, other])),
    )
    yield malformed(
        "pcr31-twice",
        "duplicate-pcr",
        "PCR31 stands twice.",
        short.put("pcrs", cbor.cbor_map([*pairs, *[(cbor.uint(31), cbor.bstr(pcr(31)))] * 2])),
    )


def _certificates(shapes: Shapes) -> Iterator[Case]:
    short, rule = shapes.short(), "certificate-length"
    root = cbor.bstr(short.root())
    yield malformed("certificate-empty", rule, "certificate is empty.", short.put("certificate", cbor.bstr(b"")))
    yield malformed(
        "certificate-1025-bytes",
        rule,
        "certificate has 1,025 bytes, one more than it may; it is good otherwise.",
        padded(short, 1025),
    )
    yield malformed(
        "ca-empty",
        rule,
        "A certificate of the bundle is empty.",
        short.put("cabundle", cbor.array([root, cbor.bstr(b"")])),
    )
    long = cbor.bstr(padded(short, 1025).certificates()[-1])
    yield malformed(
        "ca-1025-bytes",
        rule,
        "A certificate of the bundle has 1,025 bytes.",
        short.put("cabundle", cbor.array([root, long])),
    )
    rule = "cabundle-count"
    yield malformed(
        "cabundle-empty",
        rule,
        "The bundle is empty: a verifier that walks it finds nothing wrong, and trusts the leaf for itself.",
        short.put("cabundle", cbor.array([])),
    )
    yield malformed(
        "cabundle-empty-self-signed",
        rule,
        "The bundle is empty and the leaf signed itself.",
        short.with_leaf(issuer_key=shapes.key("leaf"), issuer=short.leaf.subject).put("cabundle", cbor.array([])),
    )
    yield malformed(
        "cabundle-of-9",
        rule,
        "Nine CA certificates in a chain that holds, one more than the profile's eight.",
        shapes.chained(8),
    )
    for exponent in (32, 63):
        claimed = cbor.head(cbor.ARRAY, 1 << exponent) + root
        yield malformed(
            f"cabundle-claims-2-to-the-{exponent}",
            rule,
            f"cabundle claims 2^{exponent} certificates: memory is set aside for a claim.",
            short.put("cabundle", claimed),
        )


def _tpm(short: Document) -> Iterator[Case]:
    about = "AWS signs it under the same root, but its PCRs are what the guest's firmware measured."
    pcrs = pcr_map({index: pcr(index) for index in range(24)})
    yield malformed(
        "nitrotpm",
        "nitrotpm-document",
        f"A NitroTPM document. {about}",
        short.rename("pcrs", cbor.tstr("nitrotpm_pcrs")).put("nitrotpm_pcrs", pcrs),
    )
    yield malformed(
        "nitrotpm-with-pcrs",
        "nitrotpm-document",
        f"A NitroTPM document that has an enclave's PCRs as well. {about}",
        short.put("nitrotpm_pcrs", pcrs),
    )
