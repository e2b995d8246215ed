"""Attestation documents made to order: a good one, of which a case changes any part before it is signed.

The certificates, then the payload, then the envelope are made from the order, each signed after it was changed: a
document with one fault has no other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, List, Optional, Tuple

import cbor
from certificate import Certificate
from ecdsa import Key, Signature

ES384 = b"\xa1\x01\x38\x22"
"""The protected header {1: -35} (RFC 9053 §2.1)."""


@dataclass(frozen=True)
class Document:
    """What a document is made of. What is None has the value that belongs there."""

    bundle: List[Certificate]
    """The CA certificates, the root first."""
    leaf: Certificate
    entries: List[Tuple[bytes, Optional[bytes]]]
    """The payload's keys and values, encoded. The certificates' values are None until the document is made."""
    bundle_octets: Optional[List[bytes]] = None
    """The CA certificates as they are sent, where they are not those of `bundle`."""
    leaf_octets: Optional[bytes] = None
    wrap_payload: Callable[[bytes, int], bytes] = lambda entries, count: b"\xbf" + entries + cbor.BREAK
    """Makes the payload's map of its entries and their number: of indefinite length, as AWS has it since 2025."""
    after_payload: bytes = b""
    head: bytes = b"\x84"
    protected: bytes = ES384
    """The protected header's content: both sent and signed."""
    protected_item: Optional[bytes] = None
    unprotected: bytes = b"\xa0"
    payload_item: Optional[bytes] = None
    signer: Optional[Key] = None
    """Who signs the document, where it is not the leaf's key."""
    digest: str = "sha384"
    context: str = "Signature1"
    signed_protected: Optional[bytes] = None
    external_data: bytes = b""
    alter_signed: Callable[[bytes], bytes] = lambda payload: payload
    """What is signed in the payload's place."""
    alter_message: Callable[[bytes], bytes] = lambda message: message
    """What is signed in the place of the Sig_structure."""
    write_signature: Callable[[Signature], bytes] = lambda signature: fixed(*signature)
    signature_item: Optional[bytes] = None
    wrap_signature: Callable[[bytes], bytes] = cbor.bstr
    after: bytes = b""
    alter: Callable[[bytes], bytes] = lambda document: document
    """The last change, after everything is signed."""

    def but(self, **changes) -> Document:
        """The same order with other parts."""
        return replace(self, **changes)

    def with_leaf(self, **changes) -> Document:
        """The same order with another leaf certificate."""
        return self.but(leaf=self.leaf.but(**changes))

    def with_ca(self, index: int, **changes) -> Document:
        """The same order with another CA certificate."""
        bundle = list(self.bundle)
        bundle[index] = bundle[index].but(**changes)
        return self.but(bundle=bundle)

    def put(self, key: str, value: Optional[bytes]) -> Document:
        """The same order with another value, or one more entry at the end."""
        encoded = cbor.tstr(key)
        if all(entry[0] != encoded for entry in self.entries):
            return self.add(encoded, value)
        return self.but(entries=[(k, value if k == encoded else v) for k, v in self.entries])

    def add(self, key: bytes, value: Optional[bytes]) -> Document:
        """The same order with one more entry at the end, its key encoded."""
        return self.but(entries=[*self.entries, (key, value)])

    def drop(self, key: str) -> Document:
        """The same order without an entry."""
        encoded = cbor.tstr(key)
        return self.but(entries=[entry for entry in self.entries if entry[0] != encoded])

    def rename(self, key: str, other: bytes) -> Document:
        """The same order with another encoding in a key's place."""
        encoded = cbor.tstr(key)
        return self.but(entries=[(other if k == encoded else k, v) for k, v in self.entries])

    def value(self, key: str) -> bytes:
        """An entry's encoded value, the certificates' included."""
        encoded = cbor.tstr(key)
        return next(value for found, value in self._filled() if found == encoded)

    def certificates(self) -> List[bytes]:
        """The certificates of the order, the root first and the leaf last."""
        orders = [*self.bundle, self.leaf]
        issuers = [orders[0], *orders]
        return [order.make(issuer.key) for order, issuer in zip(orders, issuers)]

    def root(self) -> bytes:
        """The root certificate of the order."""
        return self.certificates()[0]

    def payload(self) -> bytes:
        """The payload."""
        entries = b"".join(key + value for key, value in self._filled())
        return self.wrap_payload(entries, len(self.entries)) + self.after_payload

    def _filled(self) -> List[Tuple[bytes, bytes]]:
        *bundle, leaf = self.certificates()
        if self.bundle_octets is not None:
            bundle = self.bundle_octets
        if self.leaf_octets is not None:
            leaf = self.leaf_octets
        missing = {
            cbor.tstr("certificate"): cbor.bstr(leaf),
            cbor.tstr("cabundle"): cbor.array(cbor.bstr(certificate) for certificate in bundle),
        }
        return [(key, missing[key] if value is None else value) for key, value in self.entries]

    def signature(self, payload: bytes) -> Signature:
        """r and s over the Sig_structure."""
        signer = self.signer or self.leaf.key
        return signer.sign(self.alter_message(self.message(payload)), self.digest)

    def message(self, payload: bytes) -> bytes:
        """The Sig_structure (RFC 9052 §4.4)."""
        protected = self.protected if self.signed_protected is None else self.signed_protected
        parts = [
            cbor.tstr(self.context),
            cbor.bstr(protected),
            cbor.bstr(self.external_data),
            cbor.bstr(self.alter_signed(payload)),
        ]
        return cbor.array(parts)

    def make(self) -> bytes:
        """The document."""
        payload = self.payload()
        signature = self.wrap_signature(self.write_signature(self.signature(payload)))
        parts = [
            self.head,
            self.protected_item or cbor.bstr(self.protected),
            self.unprotected,
            self.payload_item or cbor.bstr(payload),
            self.signature_item or signature,
            self.after,
        ]
        return self.alter(b"".join(parts))


def fixed(r: int, s: int) -> bytes:
    """r ‖ s, 48 octets each (RFC 9053 §2.1)."""
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")
