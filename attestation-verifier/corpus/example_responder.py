#!/usr/bin/env python3
"""A responder to start from: it speaks the protocol, and leaves the judging to `judge`.

Put a call of the verifier under test into `judge`. As it stands, it answers every question with "unsupported".
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Optional


def judge(document: bytes, root: bytes, time_ms: int, policy: dict, nonce: Optional[bytes]) -> dict:
    """The verdict: {"accepted": bool}, or {"code": int, "rule": str}, or {"unsupported": str}.

    `time_ms` is the time at which to verify; the clock of the machine must not be asked. An exception of the verifier
    is a refusal, not a reason to stop: a verifier that crashes on a document has not accepted it.
    """
    return {"unsupported": "no verifier is connected"}


def answer(request: dict) -> dict:
    """The answer to one request."""
    nonce = request["nonce"]
    verdict = judge(
        base64.b64decode(request["document"]),
        base64.b64decode(request["root"]),
        request["time_ms"],
        request["policy"],
        None if nonce is None else base64.b64decode(nonce),
    )
    return {"id": request["id"], **verdict}


def main() -> None:
    """Answers line by line, at once: whoever asks may wait for each answer."""
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
