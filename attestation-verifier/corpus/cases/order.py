"""Several faults at once: the first stage that finds one decides (result codes 2, 10, 11, 12, 15, 13, 14 in this order)."""

from __future__ import annotations

from itertools import combinations
from typing import Iterator, NamedTuple, Set

import cbor
from case import BINDING, CHAIN, MALFORMED, MEASUREMENTS, SIGNATURE, TIME, USAGE, Case, measurement_set, policy
from shapes import NOW_MS, Shapes


class Stage(NamedTuple):
    """A stage of the verification, and the fault that it finds here."""

    name: str
    code: int
    rule: str


STAGES = [
    Stage("usage", USAGE, "policy-no-measurements"),
    Stage("malformed", MALFORMED, "digest-algorithm"),
    Stage("chain", CHAIN, "untrusted-root"),
    Stage("signature", SIGNATURE, "signature-invalid"),
    Stage("binding", BINDING, "nonce-mismatch"),
    Stage("time", TIME, "document-too-old"),
    Stage("measurements", MEASUREMENTS, "measurement-mismatch"),
]


def cases(shapes: Shapes) -> Iterator[Case]:
    """Every pair of stages, and all from each stage on."""
    for pair in combinations(STAGES, 2):
        yield _broken(shapes, set(pair))
    for first in range(len(STAGES) - 2):
        yield _broken(shapes, set(STAGES[first:]))


def _broken(shapes: Shapes, stages: Set[Stage]) -> Case:
    """A document that one fault of each stage spoils."""
    names = [stage.name for stage in STAGES if stage in stages]
    first = next(stage for stage in STAGES if stage in stages)
    order = shapes.short()
    question = policy()
    root = order.root()
    if "malformed" in names:
        order = order.put("digest", cbor.tstr("SHA256"))
    if "chain" in names:
        root = order.with_ca(0, serial=b"\x55").root()
    if "signature" in names:
        order = order.but(signer=shapes.key("attacker"))
    if "time" in names:
        order = order.put("timestamp", cbor.uint(NOW_MS - 3_600_000))
    if "measurements" in names:
        question = policy(measurement_set(pcr0="ee" * 48))
    if "usage" in names:
        question = {"measurements": []}
    nonce = b"another" if "binding" in names else None
    about = (
        f"Faults in several stages ({', '.join(names)}): the first decides, so that every verifier gives one verdict."
    )
    return Case(
        f"order-{'-'.join(names)}", about, first.code, first.rule, order, root=root, policy=question, nonce=nonce
    )
