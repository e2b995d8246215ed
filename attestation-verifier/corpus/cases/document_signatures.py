"""Faults of the document's own signature (RFC 9052 §4.4; FIPS 186-5 §6.4.2)."""

from __future__ import annotations

import hashlib
from typing import Iterator

import cbor
from case import Case, signature
from curves import P384
from document import Document, fixed
from ecdsa import Key, Signature
from shapes import MADE_MS, Shapes

N = P384.n


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    yield from _range(shapes.short())
    yield from _signed_bytes(shapes.short())
    yield from _signers(shapes)


def _range(short: Document) -> Iterator[Case]:
    rule = "signature-range"
    largest = (1 << 384) - 1

    def written(write) -> Document:
        return short.but(write_signature=lambda signature: fixed(*write(*signature)))

    about = "A verifier without a range check may accept it for every document."
    yield signature(
        "document-signature-all-zero", rule, f"r and s are zero (CVE-2022-21449). {about}", written(lambda r, s: (0, 0))
    )
    yield signature("document-r-zero", rule, f"r is zero. {about}", written(lambda r, s: (0, s)))
    yield signature("document-s-zero", rule, f"s is zero. {about}", written(lambda r, s: (r, 0)))
    yield signature(
        "document-r-is-the-order", rule, f"r is the order of the curve. {about}", written(lambda r, s: (N, s))
    )
    yield signature(
        "document-s-is-the-order", rule, f"s is the order of the curve. {about}", written(lambda r, s: (r, N))
    )
    yield signature(
        "document-both-the-order", rule, f"r and s are the order of the curve. {about}", written(lambda r, s: (N, N))
    )
    yield signature("document-r-above-the-order", rule, "r is the order and one.", written(lambda r, s: (N + 1, s)))
    yield signature("document-s-above-the-order", rule, "s is the order and one.", written(lambda r, s: (r, N + 1)))
    yield signature("document-r-is-the-prime", rule, "r is the field's prime.", written(lambda r, s: (P384.p, s)))
    yield signature(
        "document-signature-all-ones", rule, "Every bit of r and s is set.", written(lambda r, s: (largest, largest))
    )


def _signed_bytes(short: Document) -> Iterator[Case]:
    rule = "signature-invalid"
    about = "The signer never signed these bytes."
    changed = {
        "timestamp": short.put("timestamp", cbor.uint(MADE_MS - 1000)),
        "nonce": short.put("nonce", cbor.bstr(b"another")),
        "unknown key": short.put("extra", cbor.uint(1)),
    }
    for name, other in changed.items():
        signed = short.but(alter_signed=lambda _, other=other: other.payload())
        yield signature(
            f"signed-over-another-{name.replace(' ', '-')}",
            rule,
            f"The signature is over a payload with another {name}. {about}",
            signed,
        )
    definite = short.but(wrap_payload=lambda entries, count: cbor.head(cbor.MAP, count) + entries)
    encoded_again = short.but(alter_signed=lambda _: definite.payload())
    yield signature(
        "signed-over-definite-form",
        rule,
        "The signature is over the payload encoded again, with a length: a verifier that encodes again signs its own work.",
        encoded_again,
    )
    received = definite.but(alter_signed=lambda _: short.payload())
    yield signature(
        "signed-over-indefinite-form",
        rule,
        "The payload was encoded again on the way, with a length; the signature is over the form without.",
        received,
    )
    for context in ("Signature", "CounterSignature", "MAC0", "Signature1 ", ""):
        yield signature(
            f"context-{context.strip().lower() or 'empty'}{'-space' if context.endswith(' ') else ''}",
            rule,
            f"The signed structure has the context {context!r}, not 'Signature1': a signature made for another purpose.",
            short.but(context=context),
        )
    yield signature(
        "external-data",
        rule,
        "The signature covers external data that the document does not show.",
        short.but(external_data=b"data"),
    )
    for name, protected in (("empty", b""), ("empty-map", b"\xa0"), ("es256", b"\xa1\x01\x26")):
        yield signature(
            f"signed-over-{name}-header",
            rule,
            f"The signature is over another protected header ({name.replace('-', ' ')}).",
            short.but(signed_protected=protected),
        )
    yield signature(
        "signed-over-payload-alone",
        rule,
        "The signature is over the payload, without COSE's structure.",
        short.but(alter_message=lambda _: short.payload()),
    )
    yield signature(
        "signed-over-empty-payload",
        rule,
        "The signature is over an empty payload.",
        short.but(alter_signed=lambda _: b""),
    )
    for digest in ("sha256", "sha512"):
        yield signature(
            f"document-signed-with-{digest}",
            rule,
            f"The signature was made with {digest.upper()}.",
            short.but(digest=digest),
        )
    yield signature(
        "document-signature-one-one", rule, "r and s are 1.", short.but(write_signature=lambda _: fixed(1, 1))
    )
    yield signature(
        "document-signature-swapped",
        rule,
        "s stands before r.",
        short.but(write_signature=lambda signature: fixed(*reversed(signature))),
    )
    yield signature(
        "document-signature-negated-r",
        rule,
        "r is taken from the order: only s has a twin.",
        short.but(write_signature=lambda signature: fixed(N - signature[0], signature[1])),
    )
    yield signature(
        "document-signature-bit-flipped",
        rule,
        "The last bit of s is another.",
        short.but(write_signature=lambda signature: fixed(signature[0], signature[1] ^ 1)),
    )


def _signers(shapes: Shapes) -> Iterator[Case]:
    rule, chained = "signature-invalid", shapes.chained()
    signers = {
        "the-intermediate": (shapes.key("ca-1"), "The intermediate's key instead of the leaf's"),
        "the-root": (shapes.key("root"), "The root's key instead of the leaf's"),
        "another-key": (shapes.key("attacker"), "A key that stands nowhere in the chain"),
        "nobody": (Key(0), "The key zero, whose public point is at infinity,"),
    }
    for name, (signer, who) in signers.items():
        yield signature(f"document-signed-by-{name}", rule, f"{who} signed the document.", chained.but(signer=signer))
    other = chained.with_leaf(key=shapes.key("another enclave"))
    yield signature(
        "document-with-another-enclaves-certificate",
        rule,
        "The certificate is another enclave's of the same instance: its key did not sign.",
        chained.but(leaf_octets=other.certificates()[-1]),
    )
    leaf = shapes.key("leaf")
    at_infinity = chained.but(alter=lambda octets: octets[:-96] + fixed(*_sum_at_infinity(leaf, chained)))
    yield signature(
        "document-signature-at-infinity",
        rule,
        "r and s are such that the verification ends at the point at infinity, which has no x to compare.",
        at_infinity,
    )


def _sum_at_infinity(key: Key, document: Document) -> Signature:
    """For a hash e and a key d: with r = -e/d the verification's two points cancel out, whatever s is."""
    message = document.message(document.payload())
    hashed = int.from_bytes(hashlib.sha384(message).digest(), "big")
    return -hashed * pow(key.secret, -1, N) % N, 1
