"""The document's age, by the policy's limit (result code 13)."""

from __future__ import annotations

from typing import Iterator

import cbor
from case import Case, measurement_set, policy, time, valid_by_policy
from document import Document
from shapes import DAY, MADE_MS, NOW, NOW_MS, Shapes


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    short = shapes.short()
    yield from _age(short)
    yield from _future(short)


def _made(document: Document, milliseconds: int) -> Document:
    return document.put("timestamp", cbor.uint(milliseconds))


def _age(short: Document) -> Iterator[Case]:
    old = "document-too-old"
    limit = policy(max_age_s=60)
    yield valid_by_policy(
        "age-at-the-limit",
        "The document is exactly as old as the policy allows.",
        _made(short, NOW_MS - 60_000),
        policy=limit,
    )
    yield time(
        "age-one-ms-beyond",
        old,
        "The document is a millisecond older than the policy allows: whole seconds do not show it.",
        _made(short, NOW_MS - 60_001),
        policy=limit,
    )
    yield time(
        "age-one-second-beyond",
        old,
        "The document is a second older than the policy allows.",
        _made(short, NOW_MS - 61_000),
        policy=limit,
    )
    yield valid_by_policy(
        "age-zero-allowed",
        "The policy allows no age, and the document was made in the very millisecond.",
        _made(short, NOW_MS),
        policy=policy(max_age_s=0),
    )
    yield time(
        "age-zero-passed",
        old,
        "The policy allows no age, and the document is a millisecond old.",
        _made(short, NOW_MS - 1),
        policy=policy(max_age_s=0),
    )
    default = {"measurements": [measurement_set()]}
    yield valid_by_policy(
        "policy-of-defaults",
        "A policy without age limit and debug setting: 300 seconds and no debug mode.",
        _made(short, NOW_MS - 300_000),
        policy=default,
    )
    yield time(
        "default-age-passed",
        old,
        "A policy without an age limit allows 300 seconds; the document is a millisecond older.",
        _made(short, NOW_MS - 300_001),
        policy=default,
    )
    yield time(
        "timestamp-in-seconds",
        old,
        "timestamp is in seconds: read as milliseconds it is of January 1970.",
        _made(short, NOW),
    )
    yield time("timestamp-one", old, "timestamp is 1.", _made(short, 1))
    yield time(
        "shown-a-day-later",
        old,
        "The document was made before the leaf became valid; the leaf is good now, and the document is not fresh.",
        _made(short, NOW_MS - DAY * 1000),
    )
    yield valid_by_policy(
        "long-age-limit",
        "The policy allows a year, and the document is from before the leaf became valid.",
        _made(short, NOW_MS - DAY * 1000),
        policy=policy(max_age_s=365 * DAY),
    )
    yield valid_by_policy(
        "age-limit-of-64-bits",
        "The policy's age limit times 1,000 does not fit into 64 bits: it must not wrap around to a small one.",
        short,
        policy=policy(max_age_s=(1 << 64) - 1),
    )


def _future(short: Document) -> Iterator[Case]:
    rule = "document-from-future"
    about = "A document made for later would be fresh for longer than the policy allows."
    yield valid_by_policy(
        "30-seconds-ahead",
        "The document is exactly 30 seconds in the future, as clocks may differ.",
        _made(short, NOW_MS + 30_000),
    )
    yield valid_by_policy(
        "30-seconds-ahead-no-age",
        "30 seconds in the future, and no age allowed.",
        _made(short, NOW_MS + 30_000),
        policy=policy(max_age_s=0),
    )
    yield time(
        "future-one-ms-beyond", rule, f"The document is 30,001 ms in the future. {about}", _made(short, NOW_MS + 30_001)
    )
    yield time(
        "future-one-ms-beyond-long-age",
        rule,
        f"30,001 ms in the future, under a policy that allows a year of age. {about}",
        _made(short, NOW_MS + 30_001),
        policy=policy(max_age_s=365 * DAY),
    )
    yield time(
        "future-one-hour", rule, f"The document is an hour in the future. {about}", _made(short, NOW_MS + 3_600_000)
    )
    for exponent in (63, 64):
        yield time(
            f"timestamp-{exponent}-bits",
            rule,
            f"timestamp is 2^{exponent} - 1: signed or added to, it wraps around.",
            _made(short, (1 << exponent) - 1),
        )
    yield time(
        "timestamp-2-to-the-63",
        rule,
        "timestamp is 2^63, the most negative number for whoever reads it as signed.",
        _made(short, 1 << 63),
    )
    yield time("timestamp-in-microseconds", rule, "timestamp is in microseconds.", _made(short, MADE_MS * 1000))
