"""Faults in how the certificates follow each other (RFC 5280 §6.1; AWS NSM spec §3.2.3)."""

from __future__ import annotations

from typing import Iterator

import cbor
import der
from case import Case, chain
from certificate import (
    CA_USAGE,
    LEAF_USAGE,
    attribute,
    basic_constraints,
    extension,
    key_usage,
    name,
    signature_value,
)
from document import Document
from shapes import DAY, NOW, NOW_MS, Shapes


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    yield from _roots(shapes)
    yield from _order(shapes)
    yield from _names(shapes)
    yield from _authority(shapes)
    yield from _path_lengths(shapes)
    yield from _times(shapes)


def _roots(shapes: Shapes) -> Iterator[Case]:
    rule, chained = "untrusted-root", shapes.chained()
    about = "A verifier that accepts it trusts whatever stands first in the bundle."
    other = chained.with_ca(0, key=shapes.key("other root"))
    yield chain("other-root", rule, f"The bundle begins with another root of the same name. {about}", other, root=chained.root())
    renewed = chained.with_ca(0, serial=b"\x55" * 8)
    yield chain("root-with-the-same-key", rule, "A root of the same key and name, but another serial number: the pin is the certificate, not its key.", renewed, root=chained.root())
    resigned = chained.with_ca(0, sign=lambda key, message: _signature(key.sign(message, "sha384"), key.curve.n))
    yield chain("root-signed-again", rule, "The root, its own signature replaced by its equally good twin: not byte for byte the pin.", resigned, root=chained.root())
    longer = chained.with_ca(0, not_after=NOW + 40 * 365 * DAY)
    yield chain("root-with-longer-validity", rule, "The root's key has signed a root that is valid for longer.", longer, root=chained.root())
    self_made = shapes.short().with_ca(0, key=shapes.key("attacker"), subject=name("attacker"), issuer=name("attacker")).with_leaf(issuer=name("attacker"))
    yield chain("own-root", rule, f"A chain that holds under a root that the attacker made. {about}", self_made, root=chained.root())
    *_, leaf = chained.certificates()
    yield chain("bundle-without-root", rule, "The root is left out of the bundle: the chain would have to be found elsewhere.", chained.but(bundle_octets=chained.certificates()[1:2]))
    yield chain("bundle-of-the-leaf-alone", rule, "The bundle holds the leaf alone.", chained.but(bundle_octets=[leaf]))
    cross = chained.but(bundle_octets=[other.root(), *chained.certificates()[:2]])
    yield chain("other-root-before-the-root", rule, "Another root stands before the trusted one.", cross)
    garbage = chained.but(bundle_octets=[b"\x30\x00", *chained.certificates()[:2]])
    yield chain("garbage-before-the-root", rule, "An empty SEQUENCE stands before the root.", garbage)


def _signature(pair, n: int) -> bytes:
    return signature_value(pair[0], n - pair[1])


def _order(shapes: Shapes) -> Iterator[Case]:
    three = shapes.chained(2)
    root, first, second, leaf = three.certificates()
    yield chain("bundle-reversed", "untrusted-root", "The bundle stands leaf first, as TLS sends chains.", three.but(bundle_octets=[second, first, root]))
    yield chain("intermediates-swapped", "certificate-issuer", "The intermediates stand in the wrong order: the path is found only by searching.", three.but(bundle_octets=[root, second, first]))
    yield chain("intermediate-missing", "certificate-issuer", "The intermediate that issued the leaf is missing.", three.but(bundle_octets=[root, first]))
    yield chain("first-intermediate-missing", "certificate-issuer", "The intermediate below the root is missing.", three.but(bundle_octets=[root, second]))
    yield chain("all-intermediates-missing", "certificate-issuer", "Only the root is there: a verifier that checks that root and leaf are each fine, and not the link, is fooled.", three.but(bundle_octets=[root]))
    extra = shapes.ca("extra", "root").make(shapes.key("root"))
    yield chain("extra-ca-in-between", "certificate-issuer", "A good CA certificate that is not part of the path stands in it.", three.but(bundle_octets=[root, extra, first, second]))
    yield chain("extra-ca-at-the-end", "certificate-issuer", "A good CA certificate that did not issue the leaf stands last.", three.but(bundle_octets=[root, first, second, extra]))
    yield chain("root-repeated", "certificate-repeated", "The root stands twice: it issued itself, so the chain holds however often it does.", three.but(bundle_octets=[root, root, first, second]))
    short = shapes.short()
    yield chain("root-three-times", "certificate-repeated", "The root stands three times before the leaf that it issued.", short.but(bundle_octets=[short.root()] * 3))
    yield chain("leaf-in-the-bundle", "certificate-not-ca", "The leaf stands at the end of the bundle as well.", three.but(bundle_octets=[root, first, second, leaf]))
    yield chain("root-as-leaf", "leaf-is-ca", "The root itself is the signer's certificate.", short.but(leaf_octets=short.root(), signer=shapes.key("root")))
    inter = shapes.chained()
    yield chain("intermediate-as-leaf", "leaf-is-ca", "An intermediate signs the document itself.", inter.but(bundle_octets=inter.certificates()[:1], leaf_octets=inter.certificates()[1], signer=shapes.key("ca-1")))
    yield chain("leaf-issued-by-a-leaf", "certificate-not-ca", "An ordinary leaf issued the signer's certificate: every enclave could make others.", _under_a_leaf(shapes))


def _under_a_leaf(shapes: Shapes) -> Document:
    middle = shapes.ca("ca-1", "root").but(extensions=[basic_constraints(False), LEAF_USAGE])
    return shapes.chained().but(bundle=[shapes.root(), middle])


def _names(shapes: Shapes) -> Iterator[Case]:
    rule, chained = "certificate-issuer", shapes.chained()
    about = "Names are compared byte for byte."
    for position, change in (("leaf", chained.with_leaf), ("intermediate", lambda **changes: chained.with_ca(1, **changes))):
        text = "ca-1" if position == "leaf" else "root"
        issuers = {
            "other": name("other"),
            "in-upper-case": name(text.upper()),
            "with-a-space": name(text + " "),
            "as-printable-string": der.sequence(attribute("2.5.4.3", der.printable(text))),
            "as-organisation": der.sequence(attribute("2.5.4.10", der.utf8(text))),
            "with-one-more-part": name(text, attribute("2.5.4.10", der.utf8("Corpus"))),
        }
        for kind, issuer in issuers.items():
            yield chain(f"{position}-issuer-{kind}", rule, f"The {position}'s issuer is not the subject before it ({kind.replace('-', ' ')}), though its key signed. {about}", change(issuer=issuer))
    parts = [attribute("2.5.4.10", der.utf8("Corpus")), attribute("2.5.4.11", der.utf8("Unit"))]
    ordered = chained.with_ca(1, subject=name("ca-1", *parts)).with_leaf(issuer=name("ca-1", *reversed(parts)))
    yield chain("issuer-in-other-order", rule, f"The issuer has the parts of the subject before it in another order. {about}", ordered)
    bmp = der.tlv(0x1E, "ca-1".encode("utf-16-be"))
    yield chain("issuer-as-bmp-string", rule, f"The issuer is the same text as BMPString. {about}", chained.with_leaf(issuer=der.sequence(attribute("2.5.4.3", bmp))))
    yield chain("issuer-with-nul", rule, f"The issuer continues after a NUL. {about}", chained.with_leaf(issuer=name("ca-1\x00.example")))


def _authority(shapes: Shapes) -> Iterator[Case]:
    chained = shapes.chained()

    def ca(*extensions: bytes) -> Document:
        return chained.with_ca(1, extensions=list(extensions))

    def leaf(*extensions: bytes) -> Document:
        return chained.with_leaf(extensions=list(extensions))

    yield chain("ca-without-basic-constraints", "certificate-not-ca", "The intermediate has no basic constraints: any leaf could issue.", ca(CA_USAGE))
    yield chain("ca-with-ca-false", "certificate-not-ca", "The intermediate's basic constraints say that it is no CA.", ca(basic_constraints(False), CA_USAGE))
    yield chain("ca-with-path-length-alone", "certificate-not-ca", "The intermediate has a path length, but is no CA.", ca(basic_constraints(False, 3), CA_USAGE))
    yield chain("ca-basic-constraints-not-critical", "certificate-basic-constraints-critical", "A CA's basic constraints are not critical, as RFC 5280 demands.", ca(basic_constraints(True, critical=False), CA_USAGE))
    rule = "certificate-key-cert-sign"
    yield chain("ca-without-key-usage", rule, "The intermediate has no key usage: AWS's specification demands keyCertSign.", ca(basic_constraints(True)))
    yield chain("ca-without-key-cert-sign", rule, "The intermediate's key may sign anything but certificates.", ca(basic_constraints(True), key_usage(0, 1, 6)))
    yield chain("ca-digital-signature-alone", rule, "The intermediate's key usage is a leaf's.", ca(basic_constraints(True), LEAF_USAGE))
    rule = "leaf-is-ca"
    yield chain("leaf-with-ca-true", rule, "The signer is a CA: it could issue as well as sign.", leaf(basic_constraints(True), LEAF_USAGE))
    yield chain("leaf-with-key-cert-sign", rule, "The signer's key may sign certificates.", leaf(basic_constraints(False), key_usage(0, 5)))
    yield chain("leaf-with-ca-profile", rule, "The signer has all that a CA has.", leaf(basic_constraints(True, 0), CA_USAGE))
    yield chain("leaf-with-path-length", "leaf-path-length", "The signer is no CA, but has a path length.", leaf(basic_constraints(False, 0), LEAF_USAGE))
    rule = "leaf-digital-signature"
    yield chain("leaf-without-key-usage", rule, "The signer has no key usage: AWS's specification demands digitalSignature.", leaf(basic_constraints(False)))
    yield chain("leaf-non-repudiation-alone", rule, "The signer's key may not make digital signatures.", leaf(basic_constraints(False), key_usage(1)))
    yield chain("leaf-key-agreement-alone", rule, "The signer's key is for key agreement.", leaf(basic_constraints(False), key_usage(4)))
    decipher = extension("2.5.29.15", der.bits(b"\x00\x80", unused=7), critical=True)
    yield chain("leaf-decipher-only", rule, "The signer's key usage has a bit in its second octet alone.", leaf(basic_constraints(False), decipher))


def _path_lengths(shapes: Shapes) -> Iterator[Case]:
    rule = "certificate-path-length"

    def limited(intermediates: int, index: int, limit: int) -> Document:
        return shapes.chained(intermediates).with_ca(index, extensions=[basic_constraints(True, limit), CA_USAGE])

    yield chain("root-path-length-0", rule, "The root allows no CA below it, and there is one.", limited(1, 0, 0))
    yield chain("intermediate-path-length-0", rule, "An intermediate that may issue leaves only issued a CA.", limited(2, 1, 0))
    yield chain("path-length-one-too-small", rule, "The path length is one less than the chain needs.", limited(4, 1, 2))
    yield chain("path-length-deep-in-the-chain", rule, "The limit of the fourth of six CA certificates is passed.", limited(5, 3, 1))


def _times(shapes: Shapes) -> Iterator[Case]:
    chained = shapes.chained()
    ends = (("root", lambda **c: chained.with_ca(0, **c)), ("intermediate", lambda **c: chained.with_ca(1, **c)), ("leaf", chained.with_leaf))
    for position, change in ends:
        yield chain(f"{position}-expired", "certificate-expired", f"The {position} expired one second before the verification.", change(not_after=NOW - 1))
        yield chain(f"{position}-not-yet-valid", "certificate-not-yet-valid", f"The {position} becomes valid one second after the verification.", change(not_before=NOW + 1))
        yield chain(f"{position}-expired-when-made", "certificate-expired", f"The {position} was valid when the document was made, and is not when it is verified: the document's own time does not count.", change(not_after=NOW - 2).put("timestamp", cbor.uint(NOW_MS - 2500)))
    exact = chained.with_leaf(not_before=NOW)
    yield chain("not-yet-valid-by-a-millisecond", "certificate-not-yet-valid", "The leaf becomes valid a millisecond after the verification.", exact, time_ms=NOW_MS - 1)
    yield chain("verified-hours-later", "certificate-expired", "The leaf expired; the document is shown again hours later.", chained, time_ms=NOW_MS + 3 * 3600 * 1000)
    yield chain("verified-in-1970", "certificate-not-yet-valid", "The verifier's clock stands at zero.", chained, time_ms=0)
    yield chain("verified-in-9999", "certificate-expired", "The verifier's clock stands at the end of 9999.", chained, time_ms=253_402_300_799_000)
    four = shapes.aws()
    for index, position in ((1, "regional"), (2, "zonal"), (3, "instance")):
        yield chain(f"aws-shape-{position}-expired", "certificate-expired", f"In the full shape the {position} certificate alone has expired.", four.with_ca(index, not_after=NOW - 1))
