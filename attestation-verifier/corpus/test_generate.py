"""Tests of the generator against published answers and against itself: `python3 -m unittest` in this folder."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import cbor  # noqa: E402
import der  # noqa: E402
import generate  # noqa: E402
from curves import BRAINPOOL_P384, P256, P384, P521  # noqa: E402
from ecdsa import Key, multiply, verify  # noqa: E402
from foreign import Ed25519Key, RsaKey  # noqa: E402

CORPUS = HERE / "corpus.jsonl"


class Ecdsa(unittest.TestCase):
    """RFC 6979 §A.2.5 and §A.2.6."""

    P384_SECRET = int(
        "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5", 16
    )
    P256_SECRET = int("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721", 16)

    def test_p384_public_key(self) -> None:
        public = Key(self.P384_SECRET).public
        self.assertEqual(
            f"{public[0]:096X}",
            "EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64DEF8F0EA9055866064A254515480BC13",
        )
        self.assertEqual(
            f"{public[1]:096X}",
            "8015D9B72D7D57244EA8EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD2533264720",
        )

    def test_p384_sample_with_sha384(self) -> None:
        r, s = Key(self.P384_SECRET).sign(b"sample")
        self.assertEqual(
            f"{r:096X}",
            "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46",
        )
        self.assertEqual(
            f"{s:096X}",
            "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8",
        )

    def test_p256_sample_with_sha256(self) -> None:
        r, s = Key(self.P256_SECRET, P256).sign(b"sample", "sha256")
        self.assertEqual(f"{r:064X}", "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716")
        self.assertEqual(f"{s:064X}", "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8")

    def test_every_curve_is_one(self) -> None:
        for curve in (P256, P384, P521, BRAINPOOL_P384):
            self.assertTrue(curve.contains(curve.generator))
            self.assertIsNone(multiply(curve, curve.n, curve.generator))

    def test_signatures_hold_over_their_message_alone(self) -> None:
        for curve in (P256, P384, P521, BRAINPOOL_P384):
            key = Key(0x1234567890ABCDEF, curve)
            r, s = key.sign(b"message")
            self.assertTrue(verify(curve, key.public, b"message", (r, s)))
            self.assertTrue(verify(curve, key.public, b"message", (r, curve.n - s)))
            self.assertFalse(verify(curve, key.public, b"Message", (r, s)))
            self.assertFalse(verify(curve, key.public, b"message", (0, 0)))

    def test_the_key_zero_signs_for_the_point_at_infinity(self) -> None:
        self.assertTrue(verify(P384, None, b"message", Key(0).sign(b"message")))


class OtherSchemes(unittest.TestCase):
    def test_ed25519(self) -> None:
        """RFC 8032 §7.1, test 1."""
        key = Ed25519Key(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
        self.assertEqual(key.public.hex(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
        self.assertEqual(
            key.sign(b"").hex(),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
            "d25bf5f0595bbe24655141438e7a100b",
        )

    def test_rsa_signatures_open_under_the_public_exponent(self) -> None:
        key = RsaKey(b"test")
        opened = pow(int.from_bytes(key.sign(b"message"), "big"), 65537, key._modulus).to_bytes(256, "big")
        self.assertTrue(opened.startswith(b"\x00\x01" + b"\xff" * 64))
        self.assertEqual(key._modulus.bit_length(), 2048)


class Writers(unittest.TestCase):
    def test_cbor(self) -> None:
        """RFC 8949 appendix A."""
        for encoded, expected in (
            (cbor.uint(0), "00"),
            (cbor.uint(23), "17"),
            (cbor.uint(24), "1818"),
            (cbor.uint(1000), "1903e8"),
            (cbor.uint(1000000), "1a000f4240"),
            (cbor.uint(18446744073709551615), "1bffffffffffffffff"),
            (cbor.negative(-1), "20"),
            (cbor.negative(-1000), "3903e7"),
            (cbor.double(1.1), "fb3ff199999999999a"),
            (cbor.bstr(bytes([1, 2, 3, 4])), "4401020304"),
            (cbor.tstr("IETF"), "6449455446"),
            (cbor.tstr("\u6c34"), "63e6b0b4"),
            (cbor.array([cbor.uint(1), cbor.uint(2), cbor.uint(3)]), "83010203"),
            (cbor.cbor_map({cbor.uint(1): cbor.uint(2), cbor.uint(3): cbor.uint(4)}), "a201020304"),
            (cbor.tag(1, cbor.uint(1363896240)), "c11a514b67b0"),
            (cbor.indefinite(cbor.array([cbor.uint(1)])), "9f01ff"),
            (cbor.chunked(cbor.bstr(b"\x01")), "5f4101ff"),
            (cbor.widen(cbor.uint(1)), "1801"),
            (cbor.widen(cbor.bstr(bytes(24))), "590018" + "00" * 24),
        ):
            self.assertEqual(encoded.hex(), expected)

    def test_der(self) -> None:
        """Encodings that stand in X.690 and RFC 5280, or follow from X.690's text."""
        for encoded, expected in (
            (der.integer(0), "020100"),
            (der.integer(127), "02017f"),
            (der.integer(128), "02020080"),
            (der.integer(256), "02020100"),
            (der.integer(-128), "020180"),
            (der.integer(-129), "0202ff7f"),
            (der.boolean(True), "0101ff"),
            (der.oid("2.100.3"), "0603813403"),
            (der.oid("1.2.840.10045.4.3.3"), "06082a8648ce3d040303"),
            (der.oid("1.3.132.0.34"), "06052b81040022"),
            (der.octets(bytes(128)), "048180" + "00" * 128),
            (der.octets(bytes(256)), "04820100" + "00" * 256),
            (der.bits(b"\x06", unused=1), "03020106"),
            (der.sequence(der.NULL), "30020500"),
            (der.long_length(der.NULL), "058100"),
            (der.long_length(der.octets(bytes(128))), "04820080" + "00" * 128),
            (der.indefinite_length(der.sequence(der.NULL)), "308005000000"),
            (der.constructed(der.octets(b"\x01")), "2403040101"),
            (der.time(0), der.utc_time("700101000000Z").hex()),
            (der.time(2_524_607_999), der.utc_time("491231235959Z").hex()),
            (der.time(2_524_608_000), der.generalized_time("20500101000000Z").hex()),
        ):
            self.assertEqual(encoded.hex(), expected)


class Corpus(unittest.TestCase):
    """The committed file."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.cases = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]

    def test_it_is_what_the_generator_makes(self) -> None:
        checked = subprocess.run([sys.executable, str(HERE / "generate.py"), "--check"], capture_output=True)
        self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_another_seed_gives_other_keys_and_the_same_cases(self) -> None:
        others = [case.line() for case in generate.cases("another seed")]
        self.assertEqual([case["name"] for case in others], [case["name"] for case in self.cases])
        self.assertEqual([case["expect"] for case in others], [case["expect"] for case in self.cases])
        self.assertNotEqual(others[0]["root"], self.cases[0]["root"])
        self.assertNotEqual(others[0]["document"], self.cases[0]["document"])

    def test_names_are_unique_and_kebab_case(self) -> None:
        names = [case["name"] for case in self.cases]
        self.assertEqual(len(names), len(set(names)))
        for name in names:
            self.assertRegex(name, r"^[a-z0-9]+(-[a-z0-9]+)*$")

    def test_no_two_cases_ask_the_same(self) -> None:
        questions = set()
        for case in self.cases:
            questions.add(json.dumps([case[key] for key in ("document", "root", "time_ms", "policy", "nonce")]))
        self.assertEqual(len(questions), len(self.cases))

    def test_every_line_has_the_members_that_the_format_names(self) -> None:
        members = ["name", "about", "scope", "document", "root", "time_ms", "policy", "nonce", "expect"]
        for case in self.cases:
            self.assertEqual(list(case), members)
            self.assertEqual(list(case["expect"]), ["code", "rule"])
            self.assertIn(case["scope"], ("document", "policy", "binding", "usage"))
            base64.b64decode(case["document"], validate=True)
            base64.b64decode(case["root"], validate=True)
            self.assertTrue(re.search(r"[.]$", case["about"]), case["name"])

    def test_code_zero_and_the_rule_trusted_go_together(self) -> None:
        for case in self.cases:
            trusted = case["expect"]["code"] == 0
            self.assertEqual(trusted, case["expect"]["rule"] == "trusted", case["name"])
            self.assertEqual(trusted, case["name"].startswith("valid-"), case["name"])

    def test_there_are_enough(self) -> None:
        trusted = sum(case["expect"]["code"] == 0 for case in self.cases)
        self.assertGreaterEqual(len(self.cases), 330)
        self.assertGreaterEqual(trusted, 35)


class Responder(unittest.TestCase):
    """The example speaks the protocol of README.md."""

    def test_it_answers_every_request_in_order(self) -> None:
        lines = CORPUS.read_text(encoding="utf-8").splitlines()[:3]
        requests = [{"id": number, **json.loads(line)} for number, line in enumerate(lines)]
        told = "".join(json.dumps(request) + "\n" for request in requests)
        command = [sys.executable, str(HERE / "example_responder.py")]
        heard = subprocess.run(command, input=told, capture_output=True, text=True, check=True).stdout
        answers = [json.loads(line) for line in heard.splitlines()]
        self.assertEqual([answer["id"] for answer in answers], [0, 1, 2])
        self.assertTrue(all("unsupported" in answer for answer in answers))


if __name__ == "__main__":
    unittest.main()
