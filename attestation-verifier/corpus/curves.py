"""The curves whose keys stand in the corpus: P-384, which the profile demands, and others, which it refuses.

Constants: SEC 2 §2.4, §2.5, §2.6 and RFC 5639 §3.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

Point = Optional[Tuple[int, int]]
"""An affine point; None is the point at infinity."""


@dataclass(frozen=True)
class Curve:
    """y² = x³ + ax + b over the prime field p; the generator has the prime order n."""

    oid: str
    p: int
    a: int
    b: int
    generator: Tuple[int, int]
    n: int

    @property
    def octets(self) -> int:
        """How many octets a coordinate takes."""
        return (self.p.bit_length() + 7) // 8

    def contains(self, point: Tuple[int, int]) -> bool:
        """Whether an affine point lies on the curve."""
        x, y = point
        return (y * y - x * x * x - self.a * x - self.b) % self.p == 0


def _hexadecimal(text: str) -> int:
    return int("".join(text.split()), 16)


P256 = Curve(
    oid="1.2.840.10045.3.1.7",
    p=_hexadecimal("ffffffff 00000001 00000000 00000000 00000000 ffffffff ffffffff ffffffff"),
    a=_hexadecimal("ffffffff 00000001 00000000 00000000 00000000 ffffffff ffffffff fffffffc"),
    b=_hexadecimal("5ac635d8 aa3a93e7 b3ebbd55 769886bc 651d06b0 cc53b0f6 3bce3c3e 27d2604b"),
    generator=(
        _hexadecimal("6b17d1f2 e12c4247 f8bce6e5 63a440f2 77037d81 2deb33a0 f4a13945 d898c296"),
        _hexadecimal("4fe342e2 fe1a7f9b 8ee7eb4a 7c0f9e16 2bce3357 6b315ece cbb64068 37bf51f5"),
    ),
    n=_hexadecimal("ffffffff 00000000 ffffffff ffffffff bce6faad a7179e84 f3b9cac2 fc632551"),
)

P384 = Curve(
    oid="1.3.132.0.34",
    p=_hexadecimal(
        "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff fffffffe ffffffff 00000000 00000000 ffffffff"
    ),
    a=_hexadecimal(
        "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff fffffffe ffffffff 00000000 00000000 fffffffc"
    ),
    b=_hexadecimal(
        "b3312fa7 e23ee7e4 988e056b e3f82d19 181d9c6e fe814112 0314088f 5013875a c656398d 8a2ed19d 2a85c8ed d3ec2aef"
    ),
    generator=(
        _hexadecimal(
            "aa87ca22 be8b0537 8eb1c71e f320ad74 6e1d3b62 8ba79b98 59f741e0 82542a38 5502f25d bf55296c 3a545e38 72760ab7"
        ),
        _hexadecimal(
            "3617de4a 96262c6f 5d9e98bf 9292dc29 f8f41dbd 289a147c e9da3113 b5f0b8c0 0a60b1ce 1d7e819d 7a431d7c 90ea0e5f"
        ),
    ),
    n=_hexadecimal(
        "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff c7634d81 f4372ddf 581a0db2 48b0a77a ecec196a ccc52973"
    ),
)

P521 = Curve(
    oid="1.3.132.0.35",
    p=_hexadecimal(
        "01ffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff "
        "ffffffff ffffffff ffffffff ffffffff ffff"
    ),
    a=_hexadecimal(
        "01ffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff "
        "ffffffff ffffffff ffffffff ffffffff fffc"
    ),
    b=_hexadecimal(
        "51953eb9 618e1c9a 1f929a21 a0b68540 eea2da72 5b99b315 f3b8b489 918ef109 e1561939 51ec7e93 7b1652c0 bd3bb1bf "
        "073573df 883d2c34 f1ef451f d46b503f 00"
    ),
    generator=(
        _hexadecimal(
            "c6858e06 b70404e9 cd9e3ecb 662395b4 429c6481 39053fb5 21f828af 606b4d3d baa14b5e 77efe759 28fe1dc1 27a2ffa8 "
            "de3348b3 c1856a42 9bf97e7e 31c2e5bd 66"
        ),
        _hexadecimal(
            "01183929 6a789a3b c0045c8a 5fb42c7d 1bd998f5 4449579b 446817af bd17273e 662c97ee 72995ef4 2640c550 b9013fad "
            "0761353c 7086a272 c24088be 94769fd1 6650"
        ),
    ),
    n=_hexadecimal(
        "01ffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff fffa5186 8783bf2f 966b7fcc 0148f709 "
        "a5d03bb5 c9b8899c 47aebb6f b71e9138 6409"
    ),
)

BRAINPOOL_P384 = Curve(
    oid="1.3.36.3.3.2.8.1.1.11",
    p=_hexadecimal(
        "8cb91e82 a3386d28 0f5d6f7e 50e641df 152f7109 ed5456b4 12b1da19 7fb71123 acd3a729 901d1a71 87470013 3107ec53"
    ),
    a=_hexadecimal(
        "7bc382c6 3d8c150c 3c72080a ce05afa0 c2bea28e 4fb22787 139165ef ba91f90f 8aa5814a 503ad4eb 04a8c7dd 22ce2826"
    ),
    b=_hexadecimal(
        "04a8c7dd 22ce2826 8b39b554 16f0447c 2fb77de1 07dcd2a6 2e880ea5 3eeb62d5 7cb43902 95dbc994 3ab78696 fa504c11"
    ),
    generator=(
        _hexadecimal(
            "1d1c64f0 68cf45ff a2a63a81 b7c13f6b 8847a3e7 7ef14fe3 db7fcafe 0cbd10e8 e826e034 36d646aa ef87b2e2 47d4af1e"
        ),
        _hexadecimal(
            "8abe1d75 20f9c2a4 5cb1eb8e 95cfd552 62b70b29 feec5864 e19c054f f9912928 0e464621 77918111 42820341 263c5315"
        ),
    ),
    n=_hexadecimal(
        "8cb91e82 a3386d28 0f5d6f7e 50e641df 152f7109 ed5456b3 1f166e6c ac0425a7 cf3ab6af 6b7fc310 3b883202 e9046565"
    ),
)
