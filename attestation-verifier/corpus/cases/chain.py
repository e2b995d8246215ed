"""Faults in how the certificates follow each other (RFC 5280 §6.1; AWS NSM spec §3.2.3)."""

from __future__ import annotations

from typing import Iterator

import der
from case import Case, chain
from certificate import (
    LEAF_USAGE,
    attribute,
    basic_constraints,
    name,
    signature_value,
)
from document import Document
from shapes import DAY, NOW, Shapes


def cases(shapes: Shapes) -> Iterator[Case]:
    """All of them."""
    yield from _roots(shapes)
    yield from _order(shapes)
    yield from _names(shapes)


def _roots(shapes: Shapes) -> Iterator[Case]:
    rule, chained = "untrusted-root", shapes.chained()
    about = "A verifier that accepts it trusts whatever stands first in the bundle."
    other = chained.with_ca(0, key=shapes.key("other root"))
    yield chain(
        "other-root", rule, f"The bundle begins with another root of the same name. {about}", other, root=chained.root()
    )
    renewed = chained.with_ca(0, serial=b"\x55" * 8)
    yield chain(
        "root-with-the-same-key",
        rule,
        "A root of the same key and name, but another serial number: the pin is the certificate, not its key.",
        renewed,
        root=chained.root(),
    )
    resigned = chained.with_ca(0, sign=lambda key, message: _signature(key.sign(message, "sha384"), key.curve.n))
    yield chain(
        "root-signed-again",
        rule,
        "The root, its own signature replaced by its equally good twin: not byte for byte the pin.",
        resigned,
        root=chained.root(),
    )
    longer = chained.with_ca(0, not_after=NOW + 40 * 365 * DAY)
    yield chain(
        "root-with-longer-validity",
        rule,
        "The root's key has signed a root that is valid for longer.",
        longer,
        root=chained.root(),
    )
    self_made = (
        shapes.short()
        .with_ca(0, key=shapes.key("attacker"), subject=name("attacker"), issuer=name("attacker"))
        .with_leaf(issuer=name("attacker"))
    )
    yield chain(
        "own-root",
        rule,
        f"A chain that holds under a root that the attacker made. {about}",
        self_made,
        root=chained.root(),
    )
    *_, leaf = chained.certificates()
    yield chain(
        "bundle-without-root",
        rule,
        "The root is left out of the bundle: the chain would have to be found elsewhere.",
        chained.but(bundle_octets=chained.certificates()[1:2]),
    )
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
    yield chain(
        "bundle-reversed",
        "untrusted-root",
        "The bundle stands leaf first, as TLS sends chains.",
        three.but(bundle_octets=[second, first, root]),
    )
    yield chain(
        "intermediates-swapped",
        "certificate-issuer",
        "The intermediates stand in the wrong order: the path is found only by searching.",
        three.but(bundle_octets=[root, second, first]),
    )
    yield chain(
        "intermediate-missing",
        "certificate-issuer",
        "The intermediate that issued the leaf is missing.",
        three.but(bundle_octets=[root, first]),
    )
    yield chain(
        "first-intermediate-missing",
        "certificate-issuer",
        "The intermediate below the root is missing.",
        three.but(bundle_octets=[root, second]),
    )
    yield chain(
        "all-intermediates-missing",
        "certificate-issuer",
        "Only the root is there: a verifier that checks that root and leaf are each fine, and not the link, is fooled.",
        three.but(bundle_octets=[root]),
    )
    extra = shapes.ca("extra", "root").make(shapes.key("root"))
    yield chain(
        "extra-ca-in-between",
        "certificate-issuer",
        "A good CA certificate that is not part of the path stands in it.",
        three.but(bundle_octets=[root, extra, first, second]),
    )
    yield chain(
        "extra-ca-at-the-end",
        "certificate-issuer",
        "A good CA certificate that did not issue the leaf stands last.",
        three.but(bundle_octets=[root, first, second, extra]),
    )
    yield chain(
        "root-repeated",
        "certificate-repeated",
        "The root stands twice: it issued itself, so the chain holds however often it does.",
        three.but(bundle_octets=[root, root, first, second]),
    )
    short = shapes.short()
    yield chain(
        "root-three-times",
        "certificate-repeated",
        "The root stands three times before the leaf that it issued.",
        short.but(bundle_octets=[short.root()] * 3),
    )
    yield chain(
        "leaf-in-the-bundle",
        "certificate-not-ca",
        "The leaf stands at the end of the bundle as well.",
        three.but(bundle_octets=[root, first, second, leaf]),
    )
    yield chain(
        "root-as-leaf",
        "leaf-is-ca",
        "The root itself is the signer's certificate.",
        short.but(leaf_octets=short.root(), signer=shapes.key("root")),
    )
    inter = shapes.chained()
    yield chain(
        "intermediate-as-leaf",
        "leaf-is-ca",
        "An intermediate signs the document itself.",
        inter.but(
            bundle_octets=inter.certificates()[:1], leaf_octets=inter.certificates()[1], signer=shapes.key("ca-1")
        ),
    )
    namesake = inter.with_ca(1, key=shapes.key("namesake"))
    yield chain(
        "leaf-issued-by-a-namesake",
        "certificate-signature",
        "The root issued two CA certificates of one name; the bundle holds the one that did not issue the leaf.",
        inter.but(bundle_octets=namesake.certificates()[:2]),
    )
    crossed = inter.with_ca(1, issuer_key=shapes.key("other root"))
    yield chain(
        "intermediate-of-another-root",
        "certificate-signature",
        "The intermediate was issued by another root of the same name.",
        crossed,
    )
    rival = shapes.root().but(key=shapes.key("attacker"), issuer_key=shapes.key("attacker"))
    below = shapes.short().but(bundle=[shapes.root(), rival])
    yield chain(
        "own-root-below-the-root",
        "certificate-signature",
        "A self-signed root of the attacker, under the root's name, stands below the root: all names fit.",
        below,
    )
    skipping = inter.with_leaf(issuer=name("root"), issuer_key=shapes.key("root"))
    yield chain(
        "leaf-skips-the-intermediate",
        "certificate-issuer",
        "The root issued the leaf, and an intermediate that did not stands in between.",
        skipping,
    )
    yield chain(
        "leaf-issued-by-a-leaf",
        "certificate-not-ca",
        "An ordinary leaf issued the signer's certificate: every enclave could make others.",
        _under_a_leaf(shapes),
    )


def _under_a_leaf(shapes: Shapes) -> Document:
    middle = shapes.ca("ca-1", "root").but(extensions=[basic_constraints(False), LEAF_USAGE])
    return shapes.chained().but(bundle=[shapes.root(), middle])


def _names(shapes: Shapes) -> Iterator[Case]:
    rule, chained = "certificate-issuer", shapes.chained()
    about = "Names are compared byte for byte."
    for position, change in (
        ("leaf", chained.with_leaf),
        ("intermediate", lambda **changes: chained.with_ca(1, **changes)),
    ):
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
            yield chain(
                f"{position}-issuer-{kind}",
                rule,
                f"The {position}'s issuer is not the subject before it ({kind.replace('-', ' ')}), though its key signed. {about}",
                change(issuer=issuer),
            )
    parts = [attribute("2.5.4.10", der.utf8("Corpus")), attribute("2.5.4.11", der.utf8("Unit"))]
    ordered = chained.with_ca(1, subject=name("ca-1", *parts)).with_leaf(issuer=name("ca-1", *reversed(parts)))
    yield chain(
        "issuer-in-other-order",
        rule,
        f"The issuer has the parts of the subject before it in another order. {about}",
        ordered,
    )
    bmp = der.tlv(0x1E, "ca-1".encode("utf-16-be"))
    yield chain(
        "issuer-as-bmp-string",
        rule,
        f"The issuer is the same text as BMPString. {about}",
        chained.with_leaf(issuer=der.sequence(attribute("2.5.4.3", bmp))),
    )
    yield chain(
        "issuer-with-nul",
        rule,
        f"The issuer continues after a NUL. {about}",
        chained.with_leaf(issuer=name("ca-1\x00.example")),
    )
