"""Time and measurements: what the relying party's policy decides (result codes 13 and 14)."""

from __future__ import annotations

import datetime
from typing import Iterator

import cbor
from case import MEASUREMENTS, TIME, TRUSTED, Case, measurement_set, policy
from document import Document
from shapes import DAY, MADE_MS, NOW, NOW_MS, Shapes, pcr, pcr_map

ZERO = "00" * 48
OTHER = "ee" * 48


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    short = shapes.short()
    yield from _age(short)
    yield from _future(short)
    yield from _image(short)
    yield from _sets(short)
    yield from _debug(short)
    yield from _more_pcrs(short)
    yield from _windows(short)


def _trusted(name: str, about: str, document: Document, **rest) -> Case:
    return Case(f"valid-{name}", about, TRUSTED, "trusted", document, scope="policy", **rest)


def _time(name: str, rule: str, about: str, document: Document, **rest) -> Case:
    return Case(name, about, TIME, rule, document, **rest)


def _refused(name: str, rule: str, about: str, document: Document, **rest) -> Case:
    return Case(name, about, MEASUREMENTS, rule, document, **rest)


def _made(document: Document, milliseconds: int) -> Document:
    return document.put("timestamp", cbor.uint(milliseconds))


def _age(short: Document) -> Iterator[Case]:
    old = "document-too-old"
    limit = policy(max_age_s=60)
    yield _trusted("age-at-the-limit", "The document is exactly as old as the policy allows.", _made(short, NOW_MS - 60_000), policy=limit)
    yield _time("age-one-ms-beyond", old, "The document is a millisecond older than the policy allows: whole seconds do not show it.", _made(short, NOW_MS - 60_001), policy=limit)
    yield _time("age-one-second-beyond", old, "The document is a second older than the policy allows.", _made(short, NOW_MS - 61_000), policy=limit)
    yield _trusted("age-zero-allowed", "The policy allows no age, and the document was made in the very millisecond.", _made(short, NOW_MS), policy=policy(max_age_s=0))
    yield _time("age-zero-passed", old, "The policy allows no age, and the document is a millisecond old.", _made(short, NOW_MS - 1), policy=policy(max_age_s=0))
    default = {"measurements": [measurement_set()]}
    yield _trusted("policy-of-defaults", "A policy without age limit and debug setting: 300 seconds and no debug mode.", _made(short, NOW_MS - 300_000), policy=default)
    yield _time("default-age-passed", old, "A policy without an age limit allows 300 seconds; the document is a millisecond older.", _made(short, NOW_MS - 300_001), policy=default)
    yield _time("timestamp-in-seconds", old, "timestamp is in seconds: read as milliseconds it is of January 1970.", _made(short, NOW))
    yield _time("timestamp-one", old, "timestamp is 1.", _made(short, 1))
    yield _time("shown-a-day-later", old, "The document was made before the leaf became valid; the leaf is good now, and the document is not fresh.", _made(short, NOW_MS - DAY * 1000))
    yield _trusted("long-age-limit", "The policy allows a year, and the document is from before the leaf became valid.", _made(short, NOW_MS - DAY * 1000), policy=policy(max_age_s=365 * DAY))
    yield _trusted("age-limit-of-64-bits", "The policy's age limit times 1,000 does not fit into 64 bits: it must not wrap around to a small one.", short, policy=policy(max_age_s=(1 << 64) - 1))


def _future(short: Document) -> Iterator[Case]:
    rule = "document-from-future"
    about = "A document made for later would be fresh for longer than the policy allows."
    yield _trusted("30-seconds-ahead", "The document is exactly 30 seconds in the future, as clocks may differ.", _made(short, NOW_MS + 30_000))
    yield _trusted("30-seconds-ahead-no-age", "30 seconds in the future, and no age allowed.", _made(short, NOW_MS + 30_000), policy=policy(max_age_s=0))
    yield _time("future-one-ms-beyond", rule, f"The document is 30,001 ms in the future. {about}", _made(short, NOW_MS + 30_001))
    yield _time("future-one-ms-beyond-long-age", rule, f"30,001 ms in the future, under a policy that allows a year of age. {about}", _made(short, NOW_MS + 30_001), policy=policy(max_age_s=365 * DAY))
    yield _time("future-one-hour", rule, f"The document is an hour in the future. {about}", _made(short, NOW_MS + 3_600_000))
    for exponent in (63, 64):
        yield _time(f"timestamp-{exponent}-bits", rule, f"timestamp is 2^{exponent} - 1: signed or added to, it wraps around.", _made(short, (1 << exponent) - 1))
    yield _time("timestamp-2-to-the-63", rule, "timestamp is 2^63, the most negative number for whoever reads it as signed.", _made(short, 1 << 63))
    yield _time("timestamp-in-microseconds", rule, "timestamp is in microseconds.", _made(short, MADE_MS * 1000))


def _with_pcrs(short: Document, **changes) -> Document:
    values = {index: pcr(index) for index in range(3)}
    for key, value in changes.items():
        values[int(key[3:])] = value
    return short.put("pcrs", pcr_map({index: value for index, value in values.items() if value is not None}))


def _image(short: Document) -> Iterator[Case]:
    for index in range(3):
        key = f"pcr{index}"
        yield _refused(f"pcr{index}-missing", "pcr-missing", f"The document has no PCR{index}: a verifier that compares only what is there passes any image.", _with_pcrs(short, **{key: None}))
        yield _refused(f"pcr{index}-other", "measurement-mismatch", f"PCR{index} is another than the policy's.", _with_pcrs(short, **{key: b"\xee" * 48}))
        yield _refused(f"pcr{index}-last-bit", "measurement-mismatch", f"PCR{index} differs in its last bit: a comparison of prefixes passes.", _with_pcrs(short, **{key: pcr(index)[:-1] + bytes([pcr(index)[-1] ^ 1])}))
        yield _refused(f"pcr{index}-zero", "pcr-partly-zero", f"PCR{index} alone is zero: neither a measured image nor debug mode.", _with_pcrs(short, **{key: bytes(48)}))
    others = {f"pcr{index}": None for index in range(3)}
    yield _refused("pcr0-to-2-missing", "pcr-missing", "None of PCR0 to PCR2 is there, only PCR3.", _with_pcrs(short, pcr3=pcr(3), **others))
    rotated = _with_pcrs(short, pcr0=pcr(1), pcr1=pcr(2), pcr2=pcr(0))
    yield _refused("pcrs-rotated", "measurement-mismatch", "The policy's values are all there, under other indexes.", rotated)
    moved = short.put("pcrs", pcr_map({index + 3: pcr(index) for index in range(3)}))
    yield _refused("pcrs-moved", "pcr-missing", "The policy's values stand at PCR3 to PCR5.", moved)


def _sets(short: Document) -> Iterator[Case]:
    other = measurement_set(pcr0=OTHER, pcr1=OTHER, pcr2=OTHER)
    yield _trusted("second-of-two-sets", "The second of two sets matches.", short, policy=policy(other, measurement_set()))
    yield _trusted("last-of-many-sets", "The last of 8 sets matches.", short, policy=policy(*[other] * 7, measurement_set()))
    upper = policy(measurement_set(pcr0="AB" * 48, pcr1="cD" * 48))
    mixed = _with_pcrs(short, pcr0=b"\xab" * 48, pcr1=b"\xcd" * 48)
    yield _trusted("set-in-upper-case", "The policy's digits are in upper case, and in both.", mixed, policy=upper)
    yield _trusted("same-set-twice", "The set stands twice.", short, policy=policy(measurement_set(), measurement_set()))
    crossed = policy(measurement_set(pcr1=OTHER), measurement_set(pcr0=OTHER, pcr2=OTHER))
    yield _refused("sets-mixed", "measurement-mismatch", "Each PCR is in some set, all are in none: sets must not be mixed.", short, policy=crossed)
    yield _refused("no-set-of-8", "measurement-mismatch", "None of 8 sets matches.", short, policy=policy(*[other] * 8))


def _debug(short: Document) -> Iterator[Case]:
    zeros = measurement_set(pcr0=ZERO, pcr1=ZERO, pcr2=ZERO)
    debug = _with_pcrs(short, pcr0=bytes(48), pcr1=bytes(48), pcr2=bytes(48))
    about = "In debug mode the host reads the enclave's console."
    yield _trusted("debug-allowed", "A debug enclave, and a policy that lists zeros and allows debug.", debug, policy=policy(zeros, allow_debug=True))
    yield _trusted("debug-allowed-second-set", "A debug enclave, zeros as the second set, debug allowed.", debug, policy=policy(measurement_set(), zeros, allow_debug=True))
    yield _trusted("debug-allowed-not-used", "A measured enclave under a policy that would allow debug as well.", short, policy=policy(measurement_set(), zeros, allow_debug=True))
    yield _refused("debug-enclave", "debug-enclave", f"PCR0 to PCR2 are zero. {about}", debug)
    yield _refused("debug-listed-not-allowed", "debug-enclave", f"The policy lists zeros, but does not allow debug. {about}", debug, policy=policy(zeros))
    yield _refused("debug-allowed-not-listed", "measurement-mismatch", f"The policy allows debug, but lists no zeros. {about}", debug, policy=policy(allow_debug=True))
    yield _refused("measured-under-debug-policy", "measurement-mismatch", "A measured enclave under a policy that lists zeros alone: zeros are no wildcard.", short, policy=policy(zeros, allow_debug=True))
    for kept in range(3):
        two_zeros = {f"pcr{index}": bytes(48) for index in range(3) if index != kept}
        listed = measurement_set(**{key: ZERO for key in two_zeros})
        yield _refused(f"two-zeros-but-pcr{kept}", "pcr-partly-zero", f"All but PCR{kept} are zero, and the policy lists just that and allows debug: no enclave is half measured.", _with_pcrs(short, **two_zeros), policy=policy(listed, zeros, allow_debug=True))
        one_zero = measurement_set(**{f"pcr{kept}": ZERO})
        yield _refused(f"one-zero-pcr{kept}-listed", "pcr-partly-zero", f"PCR{kept} is zero, and the policy lists just that and allows debug.", _with_pcrs(short, **{f"pcr{kept}": bytes(48)}), policy=policy(one_zero, zeros, allow_debug=True))


def _more_pcrs(short: Document) -> Iterator[Case]:
    for index in (3, 4, 8, 16, 17, 31):
        key = f"pcr{index}"
        named = policy(measurement_set(**{key: pcr(index).hex()}))
        present = _with_pcrs(short, **{key: pcr(index)})
        yield _trusted(f"pcr{index}-named", f"The policy names PCR{index}, and it is right.", present, policy=named)
        yield _refused(f"pcr{index}-other", "measurement-mismatch", f"The policy names PCR{index}, and it is another.", _with_pcrs(short, **{key: b"\xee" * 48}), policy=named)
        yield _refused(f"pcr{index}-absent", "measurement-mismatch", f"The policy names PCR{index}, and the document does not have it: what is absent is not equal.", short, policy=named)
        yield _refused(f"pcr{index}-zero-named-absent", "measurement-mismatch", f"The policy names PCR{index} as zero, and the document does not have it.", short, policy=policy(measurement_set(**{key: ZERO})))
    yield _trusted("pcr8-zero-named", "The policy names PCR8 as zero, and it is.", _with_pcrs(short, pcr8=bytes(48)), policy=policy(measurement_set(pcr8=ZERO)))
    yield _trusted("pcr8-not-named", "PCR8 may be anything where the policy does not name it.", _with_pcrs(short, pcr8=b"\xee" * 48))
    several = {f"pcr{index}": pcr(index).hex() for index in (3, 4, 8, 16, 31)}
    document = _with_pcrs(short, **{f"pcr{index}": pcr(index) for index in (3, 4, 8, 16, 31)})
    yield _trusted("five-more-pcrs-named", "The policy names PCR3, 4, 8, 16 and 31, and all are right.", document, policy=policy(measurement_set(**several)))
    yield _refused("one-of-five-more-pcrs-other", "measurement-mismatch", "The policy names five more PCRs, and one is another.", document, policy=policy(measurement_set(**{**several, "pcr16": OTHER})))


def _windows(short: Document) -> Iterator[Case]:
    early, late = "measurement-not-yet-valid", "measurement-expired"

    def window(first: int = None, last: int = None) -> dict:
        return measurement_set(not_before=_rfc3339(first), not_after=_rfc3339(last))

    hour = 3600
    yield _trusted("window", "The verification falls into the set's window.", short, policy=policy(window(NOW - hour, NOW + hour)))
    yield _trusted("window-first-second", "The verification falls into the window's first second.", short, policy=policy(window(NOW, NOW + hour)))
    yield _trusted("window-last-second", "The verification falls into the window's last second, which still counts.", short, policy=policy(window(NOW - hour, NOW)))
    yield _trusted("window-last-millisecond", "The verification falls into the last millisecond of the window's last second.", short, policy=policy(window(NOW - hour, NOW)), time_ms=NOW_MS + 999)
    yield _trusted("window-of-one-second", "The window has one second, the one of the verification.", short, policy=policy(window(NOW, NOW)))
    yield _trusted("window-without-start", "The window has no start.", short, policy=policy(window(None, NOW + hour)))
    yield _trusted("window-without-end", "The window has no end.", short, policy=policy(window(NOW - hour, None)))
    yield _refused("window-not-open", early, "The window opens a second after the verification.", short, policy=policy(window(NOW + 1, NOW + hour)))
    yield _refused("window-closed", late, "The window closed a second before the verification.", short, policy=policy(window(NOW - hour, NOW - 1)))
    yield _refused("window-not-open-by-a-millisecond", early, "The window opens a millisecond after the verification.", short, policy=policy(window(NOW, None)), time_ms=NOW_MS - 1)
    yield _refused("window-closed-for-the-verifier", late, "The window was open when the document was made, and is not when it is verified.", _made(short, NOW_MS - 9000), policy=policy(window(NOW - hour, NOW - 1)))
    yield _refused("window-not-open-without-end", early, "A window without an end opens tomorrow.", short, policy=policy(window(NOW + DAY, None)))
    yield _refused("window-closed-without-start", late, "A window without a start closed yesterday.", short, policy=policy(window(None, NOW - DAY)))
    yield _trusted("window-closed-and-another-open", "One set with these PCRs has expired, another is in force.", short, policy=policy(window(None, NOW - 1), window(NOW, None)))
    yield _trusted("window-not-open-and-another-open", "One set with these PCRs is not in force yet, another is.", short, policy=policy(window(NOW + 1, None), window(None, NOW)))
    other = measurement_set(pcr0=OTHER, not_before=_rfc3339(NOW - hour))
    yield _refused("window-open-for-another", late, "The set with these PCRs has expired; the one in force has others.", short, policy=policy(window(None, NOW - 1), other))
    yield _refused("window-open-mismatch", "measurement-mismatch", "The set in force has other PCRs, and there is no other set.", short, policy=policy(other))


def _rfc3339(unix_seconds):
    if unix_seconds is None:
        return None
    at = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=unix_seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
