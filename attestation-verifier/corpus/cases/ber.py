"""Certificates that BER allows and DER does not (X.690 §10): one certificate under several encodings."""

from __future__ import annotations

from typing import Iterator

import der
from case import Case, chain
from cases.certificate import Change, positions, thinned
from certificate import ECDSA_WITH_SHA384, attribute
from shapes import NOW, Shapes

RULE = "certificate-der"


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    chained = shapes.chained()
    for position, change in positions(shapes):
        yield from thinned(position, _whole(position, change))
        yield from thinned(position, _parts(position, change))
    garbage = {
        "random": shapes.number("garbage", 300),
        "zeros": bytes(300),
        "text": b"certificate",
        "pem": b"-----BEGIN CERTIFICATE-----",
    }
    for name, octets in garbage.items():
        yield chain(
            f"leaf-is-{name}",
            RULE,
            f"The signer's certificate is no certificate at all ({name}).",
            chained.but(leaf_octets=octets),
        )
    *_, intermediate, leaf = chained.certificates()
    yield chain("leaf-cut", RULE, "The signer's certificate lacks its last byte.", chained.but(leaf_octets=leaf[:-1]))
    yield chain(
        "ca-cut",
        RULE,
        "The intermediate lacks its last byte.",
        chained.but(bundle_octets=[chained.root(), intermediate[:-1]]),
    )


def _whole(position: str, change: Change) -> Iterator[Case]:
    about = "One certificate under two encodings."
    yield chain(
        f"{position}-indefinite-length",
        RULE,
        f"The certificate has an indefinite length. {about}",
        change(wrap=lambda content: der.indefinite_length(der.tlv(0x30, content))),
    )
    yield chain(
        f"{position}-long-length",
        RULE,
        f"The certificate's length has a zero octet too many. {about}",
        change(wrap=lambda content: der.long_length(der.tlv(0x30, content))),
    )
    yield chain(
        f"{position}-tbs-indefinite-length",
        RULE,
        f"The signed part has an indefinite length. {about}",
        change(wrap_to_be_signed=lambda content: der.indefinite_length(der.tlv(0x30, content))),
    )
    yield chain(
        f"{position}-tbs-long-length",
        RULE,
        f"The signed part's length has a zero octet too many. {about}",
        change(wrap_to_be_signed=lambda content: der.long_length(der.tlv(0x30, content))),
    )
    yield chain(
        f"{position}-tbs-is-a-set",
        RULE,
        "The signed part is a SET.",
        change(wrap_to_be_signed=lambda content: der.tlv(0x31, content)),
    )
    yield chain(
        f"{position}-is-a-set", RULE, "The certificate is a SET.", change(wrap=lambda content: der.tlv(0x31, content))
    )
    yield chain(
        f"{position}-tag-in-two-octets",
        RULE,
        "The certificate's tag is written in two octets.",
        change(wrap=lambda content: b"\x3f\x10" + der.tlv(0x30, content)[1:]),
    )
    trailing = "certificate-trailing-bytes"
    yield chain(
        f"{position}-trailing-zero",
        trailing,
        "A byte follows the certificate, which nobody signed.",
        change(after=b"\x00"),
    )
    yield chain(f"{position}-trailing-null", trailing, "A NULL follows the certificate.", change(after=der.NULL))
    yield chain(
        f"{position}-after-signature",
        trailing,
        "Something follows the signature inside of the certificate.",
        change(after_signature=der.NULL),
    )


def _parts(position: str, change: Change) -> Iterator[Case]:
    name = der.sequence(attribute("2.5.4.3", der.constructed(der.utf8("leaf"))))
    if position == "leaf":
        yield chain(
            "leaf-subject-string-in-pieces",
            "certificate-name",
            "A string of the subject comes in pieces.",
            change(subject=name),
        )
        wrong = der.sequence(attribute("2.5.4.3", der.tlv(0x0C, b"\xff")))
        yield chain("leaf-subject-not-utf8", RULE, "A UTF8String of the subject is not UTF-8.", change(subject=wrong))
        long = der.sequence(attribute("2.5.4.3", der.long_length(der.utf8("leaf"))))
        yield chain(
            "leaf-subject-long-length",
            "certificate-name",
            "A string of the subject has a length that is not in its shortest form.",
            change(subject=long),
        )
    times = der.sequence(der.time(NOW - 60), der.time(NOW + 60))
    yield chain(
        f"{position}-validity-indefinite-length",
        RULE,
        "The validity has an indefinite length.",
        change(validity=der.indefinite_length(times)),
    )
    yield chain(
        f"{position}-validity-long-length",
        RULE,
        "The validity's length is not in its shortest form.",
        change(validity=der.long_length(times)),
    )
    three = der.sequence(der.time(NOW - 60), der.time(NOW + 60), der.time(NOW + 90))
    yield chain(
        f"{position}-validity-of-three-times",
        "certificate-trailing-bytes",
        "A third time follows in the validity.",
        change(validity=three),
    )
    stretched = der.long_length(ECDSA_WITH_SHA384)
    yield chain(
        f"{position}-algorithm-outside-long-length",
        RULE,
        "The outer algorithm's length is not in its shortest form; it is not signed.",
        change(outer_algorithm=stretched),
    )
    yield chain(
        f"{position}-version-long-length",
        RULE,
        "The version's length is not in its shortest form.",
        change(version=der.long_length(der.explicit(0, der.integer(2)))),
    )
