"""A case: one question to a verifier, and the answer that the rules demand."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Dict, Optional, Union

from document import Document
from shapes import NOW_MS, pcr

Octets = Union[bytes, Document]

TRUSTED, USAGE, MALFORMED, CHAIN, SIGNATURE, TIME, MEASUREMENTS, BINDING = 0, 2, 10, 11, 12, 13, 14, 15
"""Result codes."""


def measurement_set(**changes: Optional[str]) -> Dict[str, str]:
    """The set that documents have, with other members; None leaves one out."""
    members = {f"pcr{index}": pcr(index).hex() for index in range(3)}
    members.update(changes)
    return {key: value for key, value in members.items() if value is not None}


def policy(*sets: Dict[str, str], max_age_s: int = 300, allow_debug: bool = False) -> dict:
    """A policy over sets of measurements; the documents' own where none is given."""
    return {"measurements": list(sets) or [measurement_set()], "max_age_s": max_age_s, "allow_debug": allow_debug}


@dataclass(frozen=True)
class Case:
    """One line of the corpus."""

    name: str
    about: str
    code: int
    rule: str
    document: Octets
    root: Optional[bytes] = None
    """The trusted root; the document's own where this is None."""
    time_ms: int = NOW_MS
    policy: Optional[dict] = None
    nonce: Optional[bytes] = None
    scope: Optional[str] = None

    def line(self) -> dict:
        """The case as it is written."""
        document = self.document
        root = document.root() if self.root is None else self.root
        octets = document if isinstance(document, bytes) else document.make()
        return {
            "name": self.name,
            "about": self.about,
            "scope": self.scope or _SCOPES[self.code],
            "document": _base64(octets),
            "root": _base64(root),
            "time_ms": self.time_ms,
            "policy": policy() if self.policy is None else self.policy,
            "nonce": None if self.nonce is None else _base64(self.nonce),
            "expect": {"code": self.code, "rule": self.rule},
        }


def valid(name: str, about: str, document: Octets, **rest) -> Case:
    """A case that must be trusted."""
    return Case(f"valid-{name}", about, TRUSTED, "trusted", document, **rest)


def malformed(name: str, rule: str, about: str, document: Octets, **rest) -> Case:
    """A case that is no attestation document."""
    return Case(name, about, MALFORMED, rule, document, **rest)


def chain(name: str, rule: str, about: str, document: Octets, **rest) -> Case:
    """A case whose certificates do not lead from the root to the signer."""
    return Case(name, about, CHAIN, rule, document, **rest)


def signature(name: str, rule: str, about: str, document: Octets, **rest) -> Case:
    """A case that the signer did not sign."""
    return Case(name, about, SIGNATURE, rule, document, **rest)


def time(name: str, rule: str, about: str, document: Octets, **rest) -> Case:
    """A case that is too old, or from the future."""
    return Case(name, about, TIME, rule, document, **rest)


def measurements(name: str, rule: str, about: str, document: Octets, **rest) -> Case:
    """A case of an enclave that the policy does not name."""
    return Case(name, about, MEASUREMENTS, rule, document, **rest)


def valid_by_policy(name: str, about: str, document: Octets, **rest) -> Case:
    """A case that must be trusted, and whose policy is what is tried."""
    return valid(name, about, document, scope="policy", **rest)


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


_SCOPES = {
    TRUSTED: "document",
    MALFORMED: "document",
    CHAIN: "document",
    SIGNATURE: "document",
    TIME: "policy",
    MEASUREMENTS: "policy",
    BINDING: "binding",
    USAGE: "usage",
}
