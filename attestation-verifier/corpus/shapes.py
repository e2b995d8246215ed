"""The good documents that cases start from, and the keys they are made with."""

from __future__ import annotations

import hashlib
from typing import Dict, Iterable, List, Optional, Tuple

import cbor
import der
from certificate import (
    CA_USAGE,
    DIGITAL_SIGNATURE,
    KEY_CERT_SIGN,
    LEAF_USAGE,
    NON_REPUDIATION,
    Certificate,
    attribute,
    basic_constraints,
    extension,
    key_usage,
    name,
)
from curves import P384, Curve
from document import Document
from ecdsa import Key

NOW = 1_780_315_200
"""When documents are verified unless a case says otherwise: 2026-06-01T12:00:00Z, Unix seconds."""

NOW_MS = NOW * 1000
MADE_MS = NOW_MS - 1500
"""When documents are made: a second and a half earlier."""

HOUR, DAY = 3600, 86400

MODULE_ID = "i-0123456789abcdef0-enc0123456789abcdef"
SHORT_MODULE_ID = "i-0-enc0"


class Shapes:
    """Everything that depends on the seed."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._keys: Dict[Tuple[str, Curve], Key] = {}

    def key(self, label: str, curve: Curve = P384) -> Key:
        """A key that follows from the seed and a label. It protects nothing: anybody can derive it."""
        if (label, curve) not in self._keys:
            material = hashlib.sha512(f"{self._seed}/{curve.oid}/{label}".encode()).digest()
            material += hashlib.sha512(material).digest()
            secret = int.from_bytes(material, "big") % (curve.n - 1) + 1
            self._keys[label, curve] = Key(secret, curve)
        return self._keys[label, curve]

    def number(self, label: str, octets: int) -> bytes:
        """Octets that follow from the seed and a label."""
        return hashlib.shake_256(f"{self._seed}/{label}".encode()).digest(octets)

    def root(self) -> Certificate:
        """The root."""
        extensions = [basic_constraints(True), CA_USAGE]
        return Certificate(
            self.key("root"), name("root"), name("root"), NOW - 6 * 365 * DAY, NOW + 20 * 365 * DAY, extensions
        )

    def ca(self, label: str, issuer: str, path_length: Optional[int] = None) -> Certificate:
        """An intermediate certificate."""
        extensions = [basic_constraints(True, path_length), CA_USAGE]
        return Certificate(self.key(label), name(issuer), name(label), NOW - DAY, NOW + DAY, extensions)

    def leaf(self, issuer: str) -> Certificate:
        """The certificate whose key signs the document: valid for three hours, as AWS's are."""
        extensions = [basic_constraints(False), LEAF_USAGE]
        return Certificate(self.key("leaf"), name(issuer), name("leaf"), NOW - HOUR, NOW + 2 * HOUR, extensions)

    def short(self) -> Document:
        """A document with the root alone in its bundle, and PCR0 to PCR2: enough for most cases."""
        return self.chained(0)

    def with_user_fields(self) -> Document:
        """The short document, its three user fields filled."""
        fields = {"public_key": b"key", "user_data": b"data", "nonce": b"nonce"}
        document = self.short()
        for key, value in fields.items():
            document = document.put(key, cbor.bstr(value))
        return document

    def chained(self, intermediates: int = 1) -> Document:
        """A document with intermediate certificates, named ca-1 and so on."""
        labels = ["root"] + [f"ca-{index + 1}" for index in range(intermediates)]
        cas = [self.ca(label, issuer) for issuer, label in zip(labels, labels[1:])]
        return self.document([self.root(), *cas], self.leaf(labels[-1]), range(3))

    def document(self, bundle: List[Certificate], leaf: Certificate, pcrs: Iterable[int]) -> Document:
        """A document over a chain, with these PCRs."""
        entries = [
            ("module_id", cbor.tstr(SHORT_MODULE_ID)),
            ("digest", cbor.tstr("SHA384")),
            ("timestamp", cbor.uint(MADE_MS)),
            ("pcrs", pcr_map({index: pcr(index) for index in pcrs})),
            ("certificate", None),
            ("cabundle", None),
            ("public_key", cbor.NULL),
            ("user_data", cbor.NULL),
            ("nonce", cbor.NULL),
        ]
        return Document(bundle, leaf, [(cbor.tstr(key), value) for key, value in entries])

    def aws(self) -> Document:
        """A document of the full shape that AWS sends: four CA certificates with long names, key identifiers and path
        lengths, 16 PCRs of which some are zero, all three user fields."""
        place = [
            attribute("2.5.4.6", der.printable("US")),
            attribute("2.5.4.10", der.utf8("Corpus")),
            attribute("2.5.4.11", der.utf8("Attestation")),
        ]
        labels = ["root", "regional", "zonal", "instance", "leaf"]
        names = {
            "root": name("corpus.nitro-enclaves", *place),
            "regional": name("0f1e2d3c4b5a6978.eu-north-1.corpus.nitro-enclaves", *place),
            "zonal": name("5a69788796a5b4c3.zonal.eu-north-1.corpus.nitro-enclaves", *place),
            "instance": name("i-0123456789abcdef0.eu-north-1.corpus.nitro-enclaves", *place),
            "leaf": name(f"{MODULE_ID}.eu-north-1.corpus", *place),
        }
        lifetimes = {"root": 20 * 365 * DAY, "regional": 20 * DAY, "zonal": 5 * DAY, "instance": DAY, "leaf": 2 * HOUR}
        chain = []
        for position, label in enumerate(labels):
            issuer = labels[max(position - 1, 0)]
            order = Certificate(
                self.key(label),
                names[issuer],
                names[label],
                NOW - HOUR,
                NOW + lifetimes[label],
                self._aws_extensions(labels, position),
                serial=b"\x00" + b"\xb0" + self.number(f"serial {label}", 15),
            )
            chain.append(order)
        values = {index: pcr(index) if index in (0, 1, 2, 3, 4, 8) else bytes(48) for index in range(16)}
        order = self.document(chain[:-1], chain[-1], range(3)).put("pcrs", pcr_map(values))
        order = order.put("module_id", cbor.tstr(MODULE_ID))
        order = order.put("public_key", cbor.bstr(self.number("public key", 64)))
        order = order.put("user_data", cbor.bstr(self.number("user data", 32)))
        return order.put("nonce", cbor.bstr(self.number("nonce", 32)))

    def _aws_extensions(self, labels: List[str], position: int) -> List[bytes]:
        """Root: no path length. Regional and zonal: all there is. Instance: keyCertSign alone. Leaf: no identifiers."""
        label, issuer = labels[position], labels[position - 1]
        if label == "leaf":
            return [basic_constraints(False), key_usage(DIGITAL_SIGNATURE, NON_REPUDIATION, critical=False)]
        identifier = _key_identifier(self.key(label))
        if label == "root":
            return [basic_constraints(True), identifier, CA_USAGE]
        identifiers = [_authority_identifier(self.key(issuer)), identifier]
        constraints = basic_constraints(True, 3 - position)
        if label == "instance":
            return [constraints, key_usage(KEY_CERT_SIGN), *reversed(identifiers)]
        return [constraints, *identifiers, CA_USAGE, _revocation_list(f"http://crl.invalid/{label}.crl")]


def _key_hash(key: Key) -> bytes:
    x, y = key.public
    return hashlib.sha1(b"\x04" + x.to_bytes(48, "big") + y.to_bytes(48, "big")).digest()


def _key_identifier(key: Key) -> bytes:
    return extension("2.5.29.14", der.octets(_key_hash(key)))


def _authority_identifier(key: Key) -> bytes:
    return extension("2.5.29.35", der.sequence(der.tlv(0x80, _key_hash(key))))


def _revocation_list(location: str) -> bytes:
    """CRL distribution points of one address (RFC 5280 §4.2.1.13)."""
    full_name = der.tlv(0xA0, der.tlv(0x86, location.encode("ascii")))
    return extension("2.5.29.31", der.sequence(der.sequence(der.tlv(0xA0, full_name))))


def pcr(index: int) -> bytes:
    """The value that a PCR has unless a case says otherwise."""
    return bytes([0x10 + index]) * 48


def pcr_map(values: Dict[int, bytes]) -> bytes:
    """PCRs as the payload holds them."""
    return cbor.cbor_map([(cbor.uint(index), cbor.bstr(value)) for index, value in values.items()])
