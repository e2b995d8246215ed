"""Faults of signatures: on certificates (RFC 3279 §2.2.3, RFC 5280 §4.1.1.3) and on the document (RFC 9052 §4.4)."""

from __future__ import annotations

from typing import Iterator

import cbor
import der
from case import SIGNATURE, Case, chain
from cases.certificate import Change, positions, thinned
from certificate import signature_value
from curves import P384
from document import Document, fixed
from ecdsa import Key
from shapes import MADE_MS, Shapes

N = P384.n


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    for position, change in positions(shapes):
        yield from thinned(position, _encoding(position, change))
        yield from thinned(position, _issuer(position, change, shapes))
    yield from _range(shapes.short())
    yield from _signed_bytes(shapes.short())
    yield from _signers(shapes)


def _encoding(position: str, change: Change) -> Iterator[Case]:
    rule = "certificate-signature-encoding"

    def written(write) -> Document:
        return change(sign=lambda key, message: write(*key.sign(message)))

    values = {
        "all-zero": (lambda r, s: signature_value(0, 0), "r and s are zero: a verifier without a range check accepts it for everything (CVE-2022-21449)"),
        "r-zero": (lambda r, s: signature_value(0, s), "r is zero"),
        "s-zero": (lambda r, s: signature_value(r, 0), "s is zero"),
        "r-is-the-order": (lambda r, s: signature_value(N, s), "r is the order, zero after reduction"),
        "s-is-the-order": (lambda r, s: signature_value(r, N), "s is the order, zero after reduction"),
        "both-the-order": (lambda r, s: signature_value(N, N), "r and s are the order"),
        "r-beyond-the-order": (lambda r, s: signature_value(r + N, s), "r has the order added: the same after reduction"),
        "s-beyond-the-order": (lambda r, s: signature_value(r, s + N), "s has the order added: the same after reduction"),
        "r-negative": (lambda r, s: signature_value(r - N, s), "r has the order taken away: the same after reduction"),
        "s-negative": (lambda r, s: signature_value(r, -s), "s is negative"),
        "r-without-sign-octet": (lambda r, s: der.sequence(_unsigned(r), der.integer(s)), "r lacks the zero octet that makes it positive, or has one too many"),
        "r-not-minimal": (lambda r, s: der.sequence(der.tlv(2, b"\x00" + der.integer_content(r)), der.integer(s)), "r has a zero octet too many"),
        "s-not-minimal": (lambda r, s: der.sequence(der.integer(r), der.tlv(2, b"\x00" + der.integer_content(s))), "s has a zero octet too many"),
        "trailing-inside": (lambda r, s: der.sequence(der.integer(r), der.integer(s), der.NULL), "something follows s"),
        "trailing": (lambda r, s: signature_value(r, s) + b"\x00", "a byte follows the pair"),
        "three-numbers": (lambda r, s: der.sequence(der.integer(r), der.integer(s), der.integer(1)), "there are three numbers"),
        "one-number": (lambda r, s: der.sequence(der.integer(r)), "s is missing"),
        "long-length": (lambda r, s: der.long_length(signature_value(r, s)), "the length is not in its shortest form"),
        "indefinite-length": (lambda r, s: der.indefinite_length(signature_value(r, s)), "the length is indefinite"),
        "fixed-length": (lambda r, s: fixed(r, s), "it is COSE's form, not DER"),
        "is-a-set": (lambda r, s: der.set_of(der.integer(r), der.integer(s)), "it is a SET"),
        "empty": (lambda r, s: b"", "it is empty"),
    }
    for name, (write, fault) in values.items():
        yield chain(f"{position}-signature-{name}", rule, f"The certificate's signature value: {fault}.", written(write))
    even = change(sign=lambda key, message: _even(*key.sign(message)), wrap_signature=lambda value: der.bits(value, unused=1))
    yield chain(f"{position}-signature-one-unused-bit", rule, "The signature's BIT STRING has an unused bit, which happens to be zero.", even)
    yield chain(f"{position}-signature-in-octet-string", rule, "The signature is an OCTET STRING.", change(wrap_signature=lambda value: der.octets(value)))
    yield chain(f"{position}-signature-in-pieces", rule, "The signature's BIT STRING comes in pieces.", change(wrap_signature=lambda value: der.constructed(der.bits(value))))


def _unsigned(value: int) -> bytes:
    """An INTEGER whose content is the number without a sign octet: negative, or with one too many where it is small."""
    content = value.to_bytes(48, "big")
    return der.tlv(2, content if content[0] & 0x80 else b"\x00" + content)


def _even(r: int, s: int) -> bytes:
    return signature_value(r, s if s % 2 == 0 else N - s)


def _issuer(position: str, change: Change, shapes: Shapes) -> Iterator[Case]:
    rule = "certificate-signature"
    yield chain(f"{position}-signed-by-another-key", rule, "Another key of the same name signed the certificate.", change(issuer_key=shapes.key("attacker")))
    own = shapes.key("leaf" if position == "leaf" else "ca-1")
    yield chain(f"{position}-signed-by-itself", rule, "The certificate signed itself in its issuer's name.", change(issuer_key=own))
    other = change(alter_signed=lambda octets: octets.replace(b"\x4e" * 8, b"\x4f" * 8))
    yield chain(f"{position}-changed-after-signing", rule, "The serial number was changed after signing.", other)
    content = change(alter_signed=der.reopen)
    yield chain(f"{position}-signed-without-its-head", rule, "The signature is over the content without tag and length.", content)
    yield chain(f"{position}-signed-over-nothing", rule, "The signature is over no bytes.", change(alter_signed=lambda octets: b""))
    yield chain(f"{position}-signature-with-sha256", rule, "The algorithm says SHA-384, the signature was made with SHA-256.", change(sign=lambda key, message: signature_value(*key.sign(message, "sha256"))))
    yield chain(f"{position}-signature-one-one", rule, "r and s are 1.", change(sign=lambda key, message: signature_value(1, 1)))
    swapped = change(sign=lambda key, message: signature_value(*reversed(key.sign(message))))
    yield chain(f"{position}-signature-swapped", rule, "r and s are swapped.", swapped)
    if position == "leaf":
        grandparent = shapes.chained().with_leaf(issuer_key=shapes.key("root"))
        yield chain("leaf-signed-by-the-root", rule, "The root, not the intermediate in between, signed the leaf.", grandparent)
        below = shapes.chained().with_leaf(issuer_key=shapes.key("attacker"))
        yield chain("leaf-below-ca-signed-by-another-key", rule, "The leaf names the intermediate, and another key signed it: a verifier that stops at names is fooled.", below)


def _document(name: str, rule: str, about: str, document: Document) -> Case:
    return Case(name, about, SIGNATURE, rule, document)


def _range(short: Document) -> Iterator[Case]:
    rule = "signature-range"
    largest = (1 << 384) - 1

    def written(write) -> Document:
        return short.but(write_signature=lambda signature: fixed(*write(*signature)))

    about = "A verifier without a range check may accept it for every document."
    yield _document("document-signature-all-zero", rule, f"r and s are zero (CVE-2022-21449). {about}", written(lambda r, s: (0, 0)))
    yield _document("document-r-zero", rule, f"r is zero. {about}", written(lambda r, s: (0, s)))
    yield _document("document-s-zero", rule, f"s is zero. {about}", written(lambda r, s: (r, 0)))
    yield _document("document-r-is-the-order", rule, f"r is the order of the curve. {about}", written(lambda r, s: (N, s)))
    yield _document("document-s-is-the-order", rule, f"s is the order of the curve. {about}", written(lambda r, s: (r, N)))
    yield _document("document-both-the-order", rule, f"r and s are the order of the curve. {about}", written(lambda r, s: (N, N)))
    yield _document("document-r-above-the-order", rule, "r is the order and one.", written(lambda r, s: (N + 1, s)))
    yield _document("document-s-above-the-order", rule, "s is the order and one.", written(lambda r, s: (r, N + 1)))
    yield _document("document-r-is-the-prime", rule, "r is the field's prime.", written(lambda r, s: (P384.p, s)))
    yield _document("document-signature-all-ones", rule, "Every bit of r and s is set.", written(lambda r, s: (largest, largest)))


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
        yield _document(f"signed-over-another-{name.replace(' ', '-')}", rule, f"The signature is over a payload with another {name}. {about}", signed)
    definite = short.but(wrap_payload=lambda entries, count: cbor.head(cbor.MAP, count) + entries)
    encoded_again = short.but(alter_signed=lambda _: definite.payload())
    yield _document("signed-over-definite-form", rule, "The signature is over the payload encoded again, with a length: a verifier that encodes again signs its own work.", encoded_again)
    received = definite.but(alter_signed=lambda _: short.payload())
    yield _document("signed-over-indefinite-form", rule, "The payload was encoded again on the way, with a length; the signature is over the form without.", received)
    for context in ("Signature", "CounterSignature", "MAC0", "Signature1 ", ""):
        yield _document(f"context-{context.strip().lower() or 'empty'}{'-space' if context.endswith(' ') else ''}", rule, f"The signed structure has the context {context!r}, not 'Signature1': a signature made for another purpose.", short.but(context=context))
    yield _document("external-data", rule, "The signature covers external data that the document does not show.", short.but(external_data=b"data"))
    for name, protected in (("empty", b""), ("empty-map", b"\xa0"), ("es256", b"\xa1\x01\x26")):
        yield _document(f"signed-over-{name}-header", rule, f"The signature is over another protected header ({name.replace('-', ' ')}).", short.but(signed_protected=protected))
    yield _document("signed-over-payload-alone", rule, "The signature is over the payload, without COSE's structure.", short.but(alter_message=lambda _: short.payload()))
    yield _document("signed-over-empty-payload", rule, "The signature is over an empty payload.", short.but(alter_signed=lambda _: b""))
    for digest in ("sha256", "sha512"):
        yield _document(f"document-signed-with-{digest}", rule, f"The signature was made with {digest.upper()}.", short.but(digest=digest))
    yield _document("document-signature-one-one", rule, "r and s are 1.", short.but(write_signature=lambda _: fixed(1, 1)))
    yield _document("document-signature-swapped", rule, "s stands before r.", short.but(write_signature=lambda signature: fixed(*reversed(signature))))
    yield _document("document-signature-negated-r", rule, "r is taken from the order: only s has a twin.", short.but(write_signature=lambda signature: fixed(N - signature[0], signature[1])))
    yield _document("document-signature-bit-flipped", rule, "The last bit of s is another.", short.but(write_signature=lambda signature: fixed(signature[0], signature[1] ^ 1)))


def _signers(shapes: Shapes) -> Iterator[Case]:
    rule, chained = "signature-invalid", shapes.chained()
    signers = {
        "the-intermediate": (shapes.key("ca-1"), "The intermediate's key, not the leaf's"),
        "the-root": (shapes.key("root"), "The root's key, not the leaf's"),
        "another-key": (shapes.key("attacker"), "A key that stands nowhere in the chain"),
        "nobody": (Key(0), "The key zero, whose public point is at infinity,"),
    }
    for name, (signer, who) in signers.items():
        yield _document(f"document-signed-by-{name}", rule, f"{who} signed the document.", chained.but(signer=signer))
    other = chained.with_leaf(key=shapes.key("another enclave"))
    yield _document("document-with-another-enclaves-certificate", rule, "The certificate is another enclave's of the same instance: its key did not sign.", chained.but(leaf_octets=other.certificates()[-1]))
