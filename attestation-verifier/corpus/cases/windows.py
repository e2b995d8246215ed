"""Measurements that are in force for a time (result code 14)."""

from __future__ import annotations

import datetime
from typing import Iterator

import cbor
from case import Case, measurement_set, measurements, policy, valid_by_policy
from document import Document
from shapes import DAY, NOW, NOW_MS, Shapes

OTHER = "ee" * 48


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    yield from _windows(shapes.short())


def _windows(short: Document) -> Iterator[Case]:
    early, late = "measurement-not-yet-valid", "measurement-expired"

    def window(first: int = None, last: int = None) -> dict:
        return measurement_set(not_before=_rfc3339(first), not_after=_rfc3339(last))

    hour = 3600
    yield valid_by_policy(
        "window", "The verification falls into the set's window.", short, policy=policy(window(NOW - hour, NOW + hour))
    )
    yield valid_by_policy(
        "window-first-second",
        "The verification falls into the window's first second.",
        short,
        policy=policy(window(NOW, NOW + hour)),
    )
    yield valid_by_policy(
        "window-last-second",
        "The verification falls into the window's last second, which still counts.",
        short,
        policy=policy(window(NOW - hour, NOW)),
    )
    yield valid_by_policy(
        "window-last-millisecond",
        "The verification falls into the last millisecond of the window's last second.",
        short,
        policy=policy(window(NOW - hour, NOW)),
        time_ms=NOW_MS + 999,
    )
    yield valid_by_policy(
        "window-of-one-second",
        "The window has one second, the one of the verification.",
        short,
        policy=policy(window(NOW, NOW)),
    )
    widest = measurement_set(not_before="1970-01-01T00:00:00Z", not_after="9999-12-31T23:59:59Z")
    yield valid_by_policy("window-widest", "The window reaches from 1970 to 9999.", short, policy=policy(widest))
    yield valid_by_policy(
        "window-without-start", "The window has no start.", short, policy=policy(window(None, NOW + hour))
    )
    yield valid_by_policy(
        "window-without-end", "The window has no end.", short, policy=policy(window(NOW - hour, None))
    )
    yield measurements(
        "window-not-open",
        early,
        "The window opens a second after the verification.",
        short,
        policy=policy(window(NOW + 1, NOW + hour)),
    )
    yield measurements(
        "window-closed",
        late,
        "The window closed a second before the verification.",
        short,
        policy=policy(window(NOW - hour, NOW - 1)),
    )
    yield measurements(
        "window-not-open-by-a-millisecond",
        early,
        "The window opens a millisecond after the verification.",
        short,
        policy=policy(window(NOW, None)),
        time_ms=NOW_MS - 1,
    )
    yield measurements(
        "window-closed-for-the-verifier",
        late,
        "The window was open when the document was made, and is not when it is verified.",
        short.put("timestamp", cbor.uint(NOW_MS - 9000)),
        policy=policy(window(NOW - hour, NOW - 1)),
    )
    yield measurements(
        "window-not-open-without-end",
        early,
        "A window without an end opens tomorrow.",
        short,
        policy=policy(window(NOW + DAY, None)),
    )
    yield measurements(
        "window-closed-without-start",
        late,
        "A window without a start closed yesterday.",
        short,
        policy=policy(window(None, NOW - DAY)),
    )
    yield valid_by_policy(
        "window-closed-and-another-open",
        "One set with these PCRs has expired, another is in force.",
        short,
        policy=policy(window(None, NOW - 1), window(NOW, None)),
    )
    yield valid_by_policy(
        "window-not-open-and-another-open",
        "One set with these PCRs is not in force yet, another is.",
        short,
        policy=policy(window(NOW + 1, None), window(None, NOW)),
    )
    other = measurement_set(pcr0=OTHER, not_before=_rfc3339(NOW - hour))
    yield measurements(
        "window-open-for-another",
        late,
        "The set with these PCRs has expired; the one in force has others.",
        short,
        policy=policy(window(None, NOW - 1), other),
    )
    yield measurements(
        "window-open-mismatch",
        "measurement-mismatch",
        "The set in force has other PCRs, and there is no other set.",
        short,
        policy=policy(other),
    )


def _rfc3339(unix_seconds):
    if unix_seconds is None:
        return None
    at = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=unix_seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
