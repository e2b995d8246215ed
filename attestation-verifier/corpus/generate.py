#!/usr/bin/env python3
"""Writes the corpus, or checks that the written one is what the generator makes."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import List

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from case import Case  # noqa: E402
from cases import TOPICS  # noqa: E402
from shapes import Shapes  # noqa: E402

DEFAULT_SEED = "corpus 1"


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", default=DEFAULT_SEED, help="what the keys are derived from")
    parser.add_argument("--out", type=Path, default=HERE / "corpus.jsonl", help="the corpus file")
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    options = parser.parse_args()
    text = render(options.seed)
    if not options.check:
        options.out.write_text(text, encoding="utf-8")
        print(f"{options.out}: {text.count(chr(10))} cases, {len(text)} bytes")
        return 0
    if options.out.read_text(encoding="utf-8") == text:
        print(f"{options.out}: {text.count(chr(10))} cases, as generated")
        return 0
    print(f"{options.out} is not what the generator makes; run it without --check", file=sys.stderr)
    return 1


def render(seed: str) -> str:
    """The corpus as text: one case a line."""
    lines = [json.dumps(case.line(), ensure_ascii=False, separators=(",", ":")) for case in cases(seed)]
    return "".join(line + "\n" for line in lines)


def cases(seed: str) -> List[Case]:
    """All cases, topic by topic."""
    shapes = Shapes(seed)
    return [case for topic in TOPICS for case in topic(shapes)]


if __name__ == "__main__":
    sys.exit(main())
