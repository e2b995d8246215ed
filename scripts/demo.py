#!/usr/bin/env python3
"""The main job, end to end, on this machine: deploy models, call them through attested channels, check the proof.

Everything runs under a development root, in a folder of its own that is removed at the end: in process mode, or with
`--enclave emulator` as the real image in an emulated machine. Only the standard library is used; every step is a `nacre`
command that is printed before it runs.
"""

import argparse
import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
NACRE = TARGET / "debug" / "nacre"
IMAGE = TARGET / "image" / "nacre.eif"
SHADES = " .:-=+*#%@"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--enclave", choices=["process", "emulator"], default="process")
    enclave = arguments.parse_args().enclave
    with tempfile.TemporaryDirectory(prefix="nacre-demo-") as folder:
        demo = (EnclaveDemo if enclave == "emulator" else Demo)(Path(folder))
        with demo.platform() as platform:
            try:
                demo.run()
            finally:
                platform.stdin.close()
                platform.wait(timeout=30)


class Demo:
    """In process mode."""

    STARTS = "A platform on this machine: control plane, NSM emulator, node, enclave (process mode)"
    OPTIONS: list = []

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "NACRE_HOME": str(folder / "home")}
        self.ready: dict = {}

    def platform(self) -> subprocess.Popen:
        title(self.STARTS)
        command = ["--json", "dev", "--exit-on-stdin-eof", "--listen", "127.0.0.1:0", "--node-listen", "127.0.0.1:0"]
        command += self.OPTIONS
        show(command)
        platform = subprocess.Popen(
            [NACRE, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.env
        )
        line = platform.stdout.readline()
        if not line:
            sys.exit("demo: the platform did not start; its messages stand above")
        self.ready = json.loads(line)
        print(f"control plane {self.ready['control_plane']}, node {self.ready['node']}")
        return platform

    def run(self) -> None:
        title("Deploy three models")
        for name in ["iris-regression", "iris-network", "lenet-mnist"]:
            self.nacre("deploy", EXAMPLES / name)

        title("The enclave's evidence, checked against the development root and the measured binaries")
        self.nacre("attest", "verify", f"https://{self.ready['node']}")

        title("A real Iris flower")
        flower = EXAMPLES / "iris-network"
        answer = self.invoke("iris-network", flower / "input.json")
        expected = json.loads((flower / "expected.json").read_text())
        inputs = json.loads((flower / "input.json").read_text())["inputs"][0]["data"]
        self.prediction(f"sepal and petal, cm: {inputs}", answer, expected)

        title("A real handwritten digit")
        digit = EXAMPLES / "lenet-mnist"
        draw(json.loads((digit / "digit.json").read_text())["inputs"][0]["data"])
        answer = self.invoke("lenet-mnist", digit / "digit.json")
        self.prediction("", answer, json.loads((digit / "expected.json").read_text()))

        title("The receipt proves which model gave this answer to this request")
        check = ["receipt", "verify", self.folder / "receipt.json", "--request", digit / "digit.json"]
        self.nacre(*check, "--response", self.folder / "answer.json")

        title("The same receipt after one byte of the answer was changed")
        changed = bytearray((self.folder / "answer.json").read_bytes())
        changed[len(changed) // 2] ^= 1
        (self.folder / "changed.json").write_bytes(changed)
        status = self.nacre(*check, "--response", self.folder / "changed.json", expect=15)
        print(f"refused, exit status {status} (binding)")

    def invoke(self, name: str, body: Path) -> dict:
        files = ["--receipt", self.folder / "receipt.json", "--output", self.folder / "answer.json"]
        self.nacre("invoke", name, "--input", body, *files, *self.trust())
        return json.loads((self.folder / "answer.json").read_text())

    def trust(self) -> list:
        """What the caller trusts, beyond what `nacre dev` left in its profile."""
        return []

    def prediction(self, what: str, answer: dict, expected: dict) -> None:
        scores = answer["outputs"][0]["data"]
        classes = expected["classes"]
        best = max(range(len(scores)), key=scores.__getitem__)
        if what:
            print(what)
        print(f"prediction: {classes[best]} ({scores[best]:.1%}); truth: {expected['truth']}")
        if str(classes[best]) != str(expected["truth"]):
            sys.exit("demo: the model was wrong about its own sample")

    def nacre(self, *arguments: object, expect: int = 0, into: Path | None = None) -> int:
        words = [str(argument) for argument in arguments]
        show(words, f" > {into.name}" if into else "")
        with into.open("wb") if into else contextlib.nullcontext() as out:
            run = {"env": self.env, "stdin": subprocess.DEVNULL, "stdout": out, "stderr": None if into else subprocess.STDOUT}
            done = subprocess.run([NACRE, *words], check=False, **run)
        if done.returncode != expect:
            sys.exit(f"demo: exit status {done.returncode}, expected {expect}")
        return done.returncode


class EnclaveDemo(Demo):
    """The image that production runs, booted on this machine, called with a policy made from the image alone."""

    STARTS = "A platform on this machine: control plane, node, and an emulated machine that boots the image"
    OPTIONS = ["--enclave", "emulator", "--eif", str(IMAGE)]

    def platform(self) -> subprocess.Popen:
        title("The image, and the policy that its callers hold")
        self.nacre("image", "measure", IMAGE)
        self.nacre("image", "policy", IMAGE, into=self.policy())
        platform = super().platform()
        print(f"boot to an enclave that answers: {self.ready['enclave_ready_ms'] / 1000:.1f} s")
        return platform

    def run(self) -> None:
        title("Deploy two models")
        for name in ["iris-network", "lenet-mnist"]:
            self.nacre("deploy", EXAMPLES / name)

        title("The enclave's evidence, checked against the development root and the policy made from the image")
        self.nacre("attest", "verify", f"https://{self.ready['node']}", *self.trust())

        title("First inference, then another")
        flower = EXAMPLES / "iris-network"
        expected = json.loads((flower / "expected.json").read_text())
        for which in ["first", "second"]:
            begun = time.monotonic()
            answer = self.invoke("iris-network", flower / "input.json")
            print(f"{which} inference, with a fresh attested connection: {time.monotonic() - begun:.2f} s")
            self.prediction("", answer, expected)

        title("A real handwritten digit")
        digit = EXAMPLES / "lenet-mnist"
        answer = self.invoke("lenet-mnist", digit / "digit.json")
        self.prediction("", answer, json.loads((digit / "expected.json").read_text()))

        title("Another image's policy: refused before a byte of the request is sent")
        other = json.loads(self.policy().read_text())
        other["measurements"][0]["pcr0"] = "ab" * 48
        (self.folder / "other.json").write_text(json.dumps(other))
        call = ["invoke", "iris-network", "--input", flower / "input.json", "--policy", self.folder / "other.json"]
        status = self.nacre(*call, expect=14)
        print(f"refused, exit status {status} (measurements)")

    def trust(self) -> list:
        return ["--root", self.ready["root"], "--policy", self.policy()]

    def policy(self) -> Path:
        return self.folder / "policy.json"


def draw(pixels: list) -> None:
    flat = flatten(pixels)
    for row in range(0, 28, 2):
        pairs = zip(flat[row * 28 : row * 28 + 28], flat[row * 28 + 28 : row * 28 + 56])
        shade = (min(int((above + below) / 2 * len(SHADES)), len(SHADES) - 1) for above, below in pairs)
        print("    " + "".join(SHADES[level] for level in shade))


def flatten(nested: list) -> list:
    if nested and isinstance(nested[0], list):
        return [value for inner in nested for value in flatten(inner)]
    return nested


def title(text: str) -> None:
    print(f"\n== {text}", flush=True)


def show(words: list, then: str = "") -> None:
    print(f"$ nacre {shlex.join(word.replace(f'{ROOT}/', '') for word in words)}{then}", flush=True)


if __name__ == "__main__":
    main()
