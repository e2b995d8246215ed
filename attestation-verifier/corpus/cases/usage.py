"""Questions that are wrong in themselves: a policy or a root that cannot be (result code 2)."""

from __future__ import annotations

from typing import Iterator

import der
from case import USAGE, Case, measurement_set, policy
from certificate import ECDSA_WITH_SHA256, LEAF_USAGE, basic_constraints, extension
from document import Document
from shapes import Shapes
from sizes import padded


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    yield from _policies(shapes.short())
    yield from _roots(shapes)


def _policies(short: Document) -> Iterator[Case]:
    def wrong(name: str, rule: str, about: str, question: dict) -> Case:
        return Case(f"policy-{name}", about, USAGE, rule, short, policy=question)

    about = "It would trust every enclave that AWS vouches for."
    none = "policy-no-measurements"
    yield wrong("empty", none, f"The policy is an empty object. {about}", {})
    yield wrong(
        "without-sets", none, f"The policy has an empty list of sets. {about}", {"measurements": [], "max_age_s": 300}
    )
    yield wrong(
        "debug-alone",
        none,
        f"The policy allows debug and names no measurements. {about}",
        {"allow_debug": True, "max_age_s": 300},
    )
    yield wrong(
        "257-sets",
        "policy-too-many-measurements",
        "The policy has 257 sets, one more than it may.",
        policy(*[measurement_set()] * 257),
    )
    for index in (5, 7, 9, 15):
        named = policy(measurement_set(**{f"pcr{index}": "11" * 48}))
        yield wrong(
            f"names-pcr{index}",
            "policy-pcr-index",
            f"The policy names PCR{index}, which means nothing in an enclave.",
            named,
        )
    json = "policy-json"
    about = "What is not understood is not applied, so nothing must pass under it."
    sets = {
        "set-without-pcr0": measurement_set(pcr0=None),
        "set-without-pcr1": measurement_set(pcr1=None),
        "set-without-pcr2": measurement_set(pcr2=None),
        "set-empty": {},
        "pcr-short": measurement_set(pcr0="11" * 47),
        "pcr-long": measurement_set(pcr0="11" * 49),
        "pcr-empty": measurement_set(pcr0=""),
        "pcr-not-hexadecimal": measurement_set(pcr0="1g" * 48),
        "pcr-with-space": measurement_set(pcr0=" " + "11" * 47 + "1"),
        "pcr-with-prefix": measurement_set(pcr0="0x" + "11" * 48),
        "pcr-number": {**measurement_set(), "pcr0": 0},
        "pcr-null": {**measurement_set(), "pcr0": None},
        "pcr-with-zero-index": measurement_set(pcr08="11" * 48),
        "pcr-in-upper-case": measurement_set(PCR8="11" * 48),
        "unknown-member": measurement_set(pcr="11" * 48),
        "window-date-alone": measurement_set(not_before="2026-01-02"),
        "window-offset": measurement_set(not_before="2026-01-02T03:04:05+01:00"),
        "window-fraction": measurement_set(not_before="2026-01-02T03:04:05.5Z"),
        "window-without-zone": measurement_set(not_after="2026-01-02T03:04:05"),
        "window-february-30": measurement_set(not_after="2026-02-30T03:04:05Z"),
        "window-month-13": measurement_set(not_after="2026-13-01T03:04:05Z"),
        "window-hour-24": measurement_set(not_after="2026-01-02T24:00:00Z"),
        "window-number": {**measurement_set(), "not_before": 1_780_000_000},
    }
    for name, members in sets.items():
        yield wrong(name, json, f"A set is not one ({name.replace('-', ' ')}). {about}", policy(members))
    members = {
        "unknown-member-outside": {"max_age": 300},
        "age-negative": {"max_age_s": -1},
        "age-fraction": {"max_age_s": 0.5},
        "age-text": {"max_age_s": "300"},
        "debug-text": {"allow_debug": "false"},
        "debug-number": {"allow_debug": 0},
        "sets-object": {"measurements": measurement_set()},
        "sets-of-text": {"measurements": ["11" * 48]},
    }
    for name, member in members.items():
        yield wrong(name, json, f"The policy is not one ({name.replace('-', ' ')}). {about}", {**policy(), **member})
    yield wrong(
        "too-long", "policy-too-long", "The policy has more than 256 KiB.", {**policy(), "note": "x" * (256 * 1024)}
    )
    backwards = measurement_set(not_before="2026-06-02T00:00:00Z", not_after="2026-06-01T23:59:59Z")
    yield wrong("window-backwards", "policy-window", "A set's window ends before it begins.", policy(backwards))
    yield wrong(
        "second-window-backwards",
        "policy-window",
        "The second set's window ends before it begins; the first would match.",
        policy(measurement_set(), backwards),
    )


def _roots(shapes: Shapes) -> Iterator[Case]:
    short = shapes.short()

    def wrong(name: str, about: str, document: Document, rule: str = "root-certificate") -> Case:
        about = f"The root given for trust {about}."
        return Case(f"root-{name}", about, USAGE, rule, document)

    yield wrong(
        "of-another-algorithm",
        "is signed with SHA-256",
        short.with_ca(0, inner_algorithm=ECDSA_WITH_SHA256, outer_algorithm=ECDSA_WITH_SHA256),
    )
    yield wrong("not-a-ca", "is no CA certificate", short.with_ca(0, extensions=[basic_constraints(False), LEAF_USAGE]))
    yield wrong(
        "without-basic-constraints",
        "has no basic constraints",
        short.with_ca(0, extensions=short.bundle[0].extensions[1:]),
    )
    yield wrong(
        "without-key-cert-sign",
        "may not sign certificates",
        short.with_ca(0, extensions=[basic_constraints(True), LEAF_USAGE]),
    )
    yield wrong("version-1", "is of version 1 and so no CA", short.with_ca(0, version=b"", extensions_field=b""))
    yield wrong("with-trailing-byte", "has a byte after it", short.with_ca(0, after=b"\x00"))
    unknown = extension("1.3.6.1.4.1.99999.1", der.NULL, critical=True)
    yield wrong(
        "with-critical-extension",
        "has a critical extension that is not processed",
        short.with_ca(0, extensions=[*short.bundle[0].extensions, unknown]),
    )
    for name, octets, about in (
        ("empty", b"", "is empty"),
        ("garbage", bytes(64), "is 64 zero bytes"),
        ("text", b"root", "is a text"),
    ):
        yield Case(f"root-{name}", f"The root given for trust {about}.", USAGE, "root-certificate", short, root=octets)
    long = padded(short, 1025).certificates()[-1]
    yield Case(
        "root-1025-bytes",
        "The root given for trust has 1,025 bytes, more than a certificate may.",
        USAGE,
        "root-too-long",
        short,
        root=long,
    )
    pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n"
    yield Case(
        "root-as-pem",
        "The root given for trust is text that begins as PEM, where DER is due.",
        USAGE,
        "root-certificate",
        short,
        root=pem,
    )
