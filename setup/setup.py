#!/usr/bin/env python3
"""Gets what cargo does not, into the git-ignored folder .deps/.

    .deps/onnxruntime/libonnxruntime.so   ONNX Runtime, out of its pinned PyPI wheel
    .deps/venv/                           Python with the clients that the tests call Nacre with
    .deps/mlserver/                       the same with MLServer (--tests; where Python is older than 3.13)

Everything is pinned by version and SHA-256 (onnxruntime.txt, *-requirements.txt). Run
again, it only checks that all is there. Exit status 1 and one sentence if something is
missing that this script cannot get.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETUP = ROOT / "setup"
DEPS = ROOT / ".deps"
VENV = DEPS / "venv"
MLSERVER = DEPS / "mlserver"
LIBRARY = DEPS / "onnxruntime" / "libonnxruntime.so"

OLDEST_PYTHON = (3, 10)
# MLServer says so itself.
TOO_NEW_FOR_MLSERVER = (3, 13)
WHEEL_PIN = SETUP / "onnxruntime.txt"
# One wheel for every Python: only the library inside is used, not the module.
WHEEL_TAGS = ("--implementation", "cp", "--python-version", "3.11", "--abi", "cp311",
              "--platform", "manylinux_2_28_x86_64", "--only-binary", ":all:")
LIBRARY_SHA256 = "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3"
WHEEL_MEMBERS = {
    "onnxruntime/LICENSE": "LICENSE",
    "onnxruntime/ThirdPartyNotices.txt": "ThirdPartyNotices.txt",
    # Last: where the library is, its licence is.
    "onnxruntime/capi/libonnxruntime.so.1.31.1": "libonnxruntime.so",
}


class SetupError(Exception):
    """What is missing, and what to do about it."""


def main():
    try:
        check_machine()
        check_tools()
        DEPS.mkdir(exist_ok=True)
        with (DEPS / ".lock").open("w") as lock:
            # A `make demo` beside a `make test` waits here for the other's setup.
            fcntl.flock(lock, fcntl.LOCK_EX)
            get_venv(VENV, "test-requirements.txt", "the test clients")
            get_onnxruntime()
            if "--tests" in sys.argv[1:]:
                get_mlserver()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


def check_machine():
    """Nacre's pinned binaries are for Linux on x86_64."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise SetupError(f"Nacre builds on Linux x86_64 only so far; this is {platform.system()} {platform.machine()}.")
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(f"Python 3.10 or later is needed; this is {platform.python_version()}.")


def check_tools():
    """Cargo, new enough, and a C compiler; `make` is what called us."""
    if shutil.which("cargo") is None:
        raise SetupError("cargo is missing: install Rust (rustup, or your distribution's package).")
    wanted = re.search(r'^rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    found = subprocess.run(["cargo", "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    version = re.match(r"cargo (\d+\.\d+)", found.stdout)
    if found.returncode != 0 or version is None:
        raise SetupError(f"`cargo --version` fails: {found.stderr.strip() or found.stdout.strip()}")
    if wanted and numbers(version[1]) < numbers(wanted[1])[:2]:
        raise SetupError(f"Rust {wanted[1]} or later is needed; cargo is {version[1]}.")
    if not any(shutil.which(compiler) for compiler in (os.environ.get("CC", "cc"), "gcc", "clang")):
        raise SetupError("a C compiler is missing (Debian, Ubuntu: apt-get install build-essential).")


def numbers(version):
    """"1.95" as (1, 95), to compare."""
    return tuple(int(part) for part in version.split("."))


def get_mlserver():
    """A venv of its own: what MLServer needs would choose the versions of everybody else."""
    if sys.version_info >= TOO_NEW_FOR_MLSERVER:
        print(f"setup: left out: MLServer, which has no release for Python {platform.python_version()}", flush=True)
        return
    get_venv(MLSERVER, "mlserver-requirements.txt", "MLServer")


def get_venv(venv, requirements, what):
    """Makes a venv, unless it is there and of these very requirements."""
    requirements = SETUP / requirements
    made_of = f"{sys.version}\n{hashlib.sha256(requirements.read_bytes()).hexdigest()}\n"
    stamp = venv / "nacre-stamp"
    if stamp.is_file() and stamp.read_text() == made_of and python_of(venv).exists():
        return
    print(f"setup: making .deps/{venv.name} with {what}", flush=True)
    stamp.unlink(missing_ok=True)
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if made.returncode != 0:
        if "ensurepip" in made.stdout + made.stderr:
            raise SetupError("Python's venv module is incomplete (Debian, Ubuntu: apt-get install python3-venv).")
        raise SetupError(f"python3 -m venv fails: {(made.stderr or made.stdout).strip()}")
    pip(venv, "install", "--require-hashes", "--only-binary", ":all:", "--requirement", str(requirements))
    stamp.write_text(made_of)


def python_of(venv):
    """Its interpreter."""
    return venv / "bin" / "python"


def get_onnxruntime():
    """Puts the library and its licences in their place, unless the right one is there."""
    there = all((LIBRARY.parent / name).is_file() for name in WHEEL_MEMBERS.values())
    if there and sha256(LIBRARY) == LIBRARY_SHA256:
        return
    print("setup: getting ONNX Runtime", flush=True)
    LIBRARY.parent.mkdir(exist_ok=True)
    wheels = DEPS / "wheels"
    pip(VENV, "download", "--no-deps", "--require-hashes", *WHEEL_TAGS, "--dest", str(wheels), "--requirement", str(WHEEL_PIN))
    digest = re.search(r"--hash=sha256:(\w{64})", WHEEL_PIN.read_text())[1]
    wheel = next((path for path in wheels.glob("onnxruntime-*.whl") if sha256(path) == digest), None)
    if wheel is None:
        raise SetupError(f"no wheel of the hash in {WHEEL_PIN.name} was downloaded.")
    with zipfile.ZipFile(wheel) as archive:
        for member, name in WHEEL_MEMBERS.items():
            unpack(archive, member, LIBRARY.parent / name)
    if sha256(LIBRARY) != LIBRARY_SHA256:
        LIBRARY.unlink()
        raise SetupError("the wheel holds another libonnxruntime.so than the one pinned in setup.py.")


def unpack(archive, member, target):
    """Writes one member whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with archive.open(member) as source, os.fdopen(handle, "wb") as sink:
            shutil.copyfileobj(source, sink)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def pip(venv, *arguments):
    """Runs a venv's pip: a system's Python may have none."""
    command = [str(python_of(venv)), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    if subprocess.run(command, stdin=subprocess.DEVNULL).returncode != 0:
        raise SetupError(f"`pip {arguments[0]}` fails; what it says stands above.")


def sha256(path):
    """The file's SHA-256, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
