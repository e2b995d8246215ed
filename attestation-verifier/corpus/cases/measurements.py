"""Time and measurements: what the relying party's policy decides (result codes 13 and 14)."""

from __future__ import annotations

from typing import Iterator

from case import Case, measurement_set, measurements, policy, valid_by_policy
from document import Document
from shapes import Shapes, pcr, pcr_map

ZERO = "00" * 48
OTHER = "ee" * 48


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    short = shapes.short()
    yield from _image(short)
    yield from _sets(short)
    yield from _debug(short)
    yield from _more_pcrs(short)


def _with_pcrs(short: Document, **changes) -> Document:
    values = {index: pcr(index) for index in range(3)}
    for key, value in changes.items():
        values[int(key[3:])] = value
    return short.put("pcrs", pcr_map({index: value for index, value in values.items() if value is not None}))


def _image(short: Document) -> Iterator[Case]:
    for index in range(3):
        key = f"pcr{index}"
        yield measurements(
            f"pcr{index}-missing",
            "pcr-missing",
            f"The document has no PCR{index}: a verifier that compares only what is there passes any image.",
            _with_pcrs(short, **{key: None}),
        )
        yield measurements(
            f"pcr{index}-other",
            "measurement-mismatch",
            f"PCR{index} is another than the policy's.",
            _with_pcrs(short, **{key: b"\xee" * 48}),
        )
        yield measurements(
            f"pcr{index}-last-bit",
            "measurement-mismatch",
            f"PCR{index} differs in its last bit: a comparison of prefixes passes.",
            _with_pcrs(short, **{key: pcr(index)[:-1] + bytes([pcr(index)[-1] ^ 1])}),
        )
        yield measurements(
            f"pcr{index}-zero",
            "pcr-partly-zero",
            f"PCR{index} alone is zero: neither a measured image nor debug mode.",
            _with_pcrs(short, **{key: bytes(48)}),
        )
    others = {f"pcr{index}": None for index in range(3)}
    yield measurements(
        "pcr0-to-2-missing",
        "pcr-missing",
        "None of PCR0 to PCR2 is there, only PCR3.",
        _with_pcrs(short, pcr3=pcr(3), **others),
    )
    rotated = _with_pcrs(short, pcr0=pcr(1), pcr1=pcr(2), pcr2=pcr(0))
    yield measurements(
        "pcrs-rotated", "measurement-mismatch", "The policy's values are all there, under other indexes.", rotated
    )
    moved = short.put("pcrs", pcr_map({index + 3: pcr(index) for index in range(3)}))
    yield measurements("pcrs-moved", "pcr-missing", "The policy's values stand at PCR3 to PCR5.", moved)


def _sets(short: Document) -> Iterator[Case]:
    other = measurement_set(pcr0=OTHER, pcr1=OTHER, pcr2=OTHER)
    yield valid_by_policy(
        "second-of-two-sets", "The second of two sets matches.", short, policy=policy(other, measurement_set())
    )
    yield valid_by_policy(
        "last-of-many-sets", "The last of 8 sets matches.", short, policy=policy(*[other] * 7, measurement_set())
    )
    upper = policy(measurement_set(pcr0="AB" * 48, pcr1="cD" * 48))
    mixed = _with_pcrs(short, pcr0=b"\xab" * 48, pcr1=b"\xcd" * 48)
    yield valid_by_policy(
        "set-in-upper-case", "The policy's digits are in upper case, and in both.", mixed, policy=upper
    )
    yield valid_by_policy(
        "same-set-twice", "The set stands twice.", short, policy=policy(measurement_set(), measurement_set())
    )
    crossed = policy(measurement_set(pcr1=OTHER), measurement_set(pcr0=OTHER, pcr2=OTHER))
    yield measurements(
        "sets-mixed",
        "measurement-mismatch",
        "Each PCR is in some set, all are in none: sets must not be mixed.",
        short,
        policy=crossed,
    )
    yield measurements(
        "no-set-of-8", "measurement-mismatch", "None of 8 sets matches.", short, policy=policy(*[other] * 8)
    )


def _debug(short: Document) -> Iterator[Case]:
    zeros = measurement_set(pcr0=ZERO, pcr1=ZERO, pcr2=ZERO)
    debug = _with_pcrs(short, pcr0=bytes(48), pcr1=bytes(48), pcr2=bytes(48))
    about = "In debug mode the host reads the enclave's console."
    yield valid_by_policy(
        "debug-allowed",
        "A debug enclave, and a policy that lists zeros and allows debug.",
        debug,
        policy=policy(zeros, allow_debug=True),
    )
    yield valid_by_policy(
        "debug-allowed-second-set",
        "A debug enclave, zeros as the second set, debug allowed.",
        debug,
        policy=policy(measurement_set(), zeros, allow_debug=True),
    )
    yield valid_by_policy(
        "debug-allowed-not-used",
        "A measured enclave under a policy that would allow debug as well.",
        short,
        policy=policy(measurement_set(), zeros, allow_debug=True),
    )
    yield measurements("debug-enclave", "debug-enclave", f"PCR0 to PCR2 are zero. {about}", debug)
    yield measurements(
        "debug-listed-not-allowed",
        "debug-enclave",
        f"The policy lists zeros, but does not allow debug. {about}",
        debug,
        policy=policy(zeros),
    )
    yield measurements(
        "debug-allowed-not-listed",
        "measurement-mismatch",
        f"The policy allows debug, but lists no zeros. {about}",
        debug,
        policy=policy(allow_debug=True),
    )
    yield measurements(
        "measured-under-debug-policy",
        "measurement-mismatch",
        "A measured enclave under a policy that lists zeros alone: zeros are no wildcard.",
        short,
        policy=policy(zeros, allow_debug=True),
    )
    for kept in range(3):
        two_zeros = {f"pcr{index}": bytes(48) for index in range(3) if index != kept}
        listed = measurement_set(**{key: ZERO for key in two_zeros})
        yield measurements(
            f"two-zeros-but-pcr{kept}",
            "pcr-partly-zero",
            f"All but PCR{kept} are zero, and the policy lists just that and allows debug: no enclave is half measured.",
            _with_pcrs(short, **two_zeros),
            policy=policy(listed, zeros, allow_debug=True),
        )
        one_zero = measurement_set(**{f"pcr{kept}": ZERO})
        yield measurements(
            f"one-zero-pcr{kept}-listed",
            "pcr-partly-zero",
            f"PCR{kept} is zero, and the policy lists just that and allows debug.",
            _with_pcrs(short, **{f"pcr{kept}": bytes(48)}),
            policy=policy(one_zero, zeros, allow_debug=True),
        )


def _more_pcrs(short: Document) -> Iterator[Case]:
    for index in (3, 4, 8, 16, 17, 31):
        key = f"pcr{index}"
        named = policy(measurement_set(**{key: pcr(index).hex()}))
        present = _with_pcrs(short, **{key: pcr(index)})
        yield valid_by_policy(
            f"pcr{index}-named", f"The policy names PCR{index}, and it is right.", present, policy=named
        )
        yield measurements(
            f"pcr{index}-other",
            "measurement-mismatch",
            f"The policy names PCR{index}, and it is another.",
            _with_pcrs(short, **{key: b"\xee" * 48}),
            policy=named,
        )
        yield measurements(
            f"pcr{index}-absent",
            "measurement-mismatch",
            f"The policy names PCR{index}, and the document does not have it: what is absent is not equal.",
            short,
            policy=named,
        )
        yield measurements(
            f"pcr{index}-zero-named-absent",
            "measurement-mismatch",
            f"The policy names PCR{index} as zero, and the document does not have it.",
            short,
            policy=policy(measurement_set(**{key: ZERO})),
        )
    yield valid_by_policy(
        "pcr8-zero-named",
        "The policy names PCR8 as zero, and it is.",
        _with_pcrs(short, pcr8=bytes(48)),
        policy=policy(measurement_set(pcr8=ZERO)),
    )
    yield valid_by_policy(
        "pcr8-not-named",
        "PCR8 may be anything where the policy does not name it.",
        _with_pcrs(short, pcr8=b"\xee" * 48),
    )
    several = {f"pcr{index}": pcr(index).hex() for index in (3, 4, 8, 16, 31)}
    document = _with_pcrs(short, **{f"pcr{index}": pcr(index) for index in (3, 4, 8, 16, 31)})
    yield valid_by_policy(
        "five-more-pcrs-named",
        "The policy names PCR3, 4, 8, 16 and 31, and all are right.",
        document,
        policy=policy(measurement_set(**several)),
    )
    yield measurements(
        "one-of-five-more-pcrs-other",
        "measurement-mismatch",
        "The policy names five more PCRs, and one is another.",
        document,
        policy=policy(measurement_set(**{**several, "pcr16": OTHER})),
    )
