#!/usr/bin/env python3
"""Gives the fuzz targets of whole documents the adversarial corpus to start from.

Writes each document of attestation-verifier/corpus/corpus.jsonl into the targets' own folders below fuzz/corpus, where a
run looks for its inputs. What is written is ignored by git.
"""

import base64
import json
import pathlib

FUZZ = pathlib.Path(__file__).resolve().parent
CASES = FUZZ.parent / "attestation-verifier" / "corpus" / "corpus.jsonl"
# The target, and what it wants before a document.
TARGETS = {"document": b"", "envelope": b"", "differential": b"\x00"}


def main():
    cases = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
    for target, head in TARGETS.items():
        folder = FUZZ / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        for case in cases:
            document = base64.b64decode(case["document"], validate=True)
            (folder / f"case-{case['name']}").write_bytes(head + document)
    print(f"{len(cases)} documents for each of {', '.join(TARGETS)}")


if __name__ == "__main__":
    main()
