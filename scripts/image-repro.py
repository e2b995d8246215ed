#!/usr/bin/env python3
"""Builds the enclave image twice, as differently as two machines are, and compares the bytes.

    image-repro.py              kernel, programs and image, each twice (two kernel builds: long)
    image-repro.py --assembly   kernel and programs once, from the caches; the image twice

The second build has another folder, HOME, cargo home and cache, another umask, time zone,
language and number of jobs, and runs beside processes that keep every core busy. Exit status 0:
the same bytes; 1: different, and `nacre image diff` has said where; 2: not built.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
NACRE = Path(os.environ.get("NACRE", TARGET / "debug" / "nacre"))
ONNXRUNTIME = Path(os.environ.get("NACRE_ONNXRUNTIME", ROOT / ".deps/onnxruntime/libonnxruntime.so"))
PROGRAMS = {"--enclave": "enclave/x86_64-unknown-linux-gnu/image/nacre-enclave",
            "--worker": "enclave/x86_64-unknown-linux-gnu/image/nacre-worker",
            "--init": "init/x86_64-unknown-linux-gnu/image/nacre-init"}

# Everything that is in the image. What comes in besides is to be seen here, in a review.
FILES = {
    "kernel", "/init", "/dev/console", "/etc/nacre/boot", "/etc/nacre/egress", "/etc/nacre/manifest",
    "/usr/bin/nacre-enclave", "/usr/bin/nacre-worker", "/usr/lib/nacre/libonnxruntime.so",
    "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/x86_64-linux-gnu/libdl.so.2", "/lib/x86_64-linux-gnu/libgcc_s.so.1", "/lib/x86_64-linux-gnu/libm.so.6",
    "/lib/x86_64-linux-gnu/libpthread.so.0", "/lib/x86_64-linux-gnu/librt.so.1",
    "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
}
LARGEST = 90_000_000


class BuildFailed(Exception):
    """The image could not be built; the build has said why."""


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--assembly", action="store_true", help="build kernel and programs only once")
    assembly = arguments.parse_args().assembly
    with tempfile.TemporaryDirectory(prefix="nacre-repro-") as folder:
        try:
            first, second = (assembled if assembly else built_apart)(Path(folder))
        except BuildFailed as error:
            print(f"image-repro: {error}", file=sys.stderr)
            return 2
        return 1 if check_contents(first) + compare(first, second) else 0


def check_contents(image):
    """Counts what is wrong with the list of files, their licences, or the size."""
    measured = subprocess.run([str(NACRE), "image", "measure", "--sbom", str(image)], capture_output=True, check=True,
                              stdin=subprocess.DEVNULL)
    components = json.loads(measured.stdout)["components"]
    files = {component["name"] for component in components if component["type"] in ("file", "operating-system")}
    wrong = [f"{name} is in the image and should not be" for name in sorted(files - FILES)]
    wrong += [f"{name} is missing" for name in sorted(FILES - files)]
    wrong += [f"{component['name']} has no licence" for component in components
              if component["type"] == "library" and not component.get("licenses")]
    if image.stat().st_size > LARGEST:
        wrong.append(f"{image.stat().st_size} bytes are more than the promised {LARGEST}")
    for sentence in wrong:
        print(f"image-repro: {sentence}", file=sys.stderr)
    return len(wrong)


def assembled(folder):
    """The workspace's own image, and one that a copy of the workspace makes of the same programs."""
    first = build(ROOT, folder / "first.eif", {})
    copy = copy_workspace(folder / "a copy elsewhere")
    programs = folder / "programs"
    programs.mkdir()
    options = []
    for option, program in PROGRAMS.items():
        shutil.copy(ROOT / "target/image" / program, programs)
        options += [option, str(programs / Path(program).name)]
    cache = os.environ.get("NACRE_CACHE") or default_cache()
    with load():
        second = build(copy, folder / "second.eif", other_machine(folder / "home") | {"NACRE_CACHE": str(cache)},
                       options, umask=0o077)
    return first, second


def built_apart(folder):
    """Everything twice."""
    # Only what was fetched is shared, and it is checked by its hash.
    caches = [folder / "cache", folder / "other" / "place" / "for-the-cache"]
    for cache in caches:
        share_packages(cache)
    first = build(copy_workspace(folder / "w"), folder / "first.eif", {"NACRE_CACHE": str(caches[0])})
    shutil.rmtree(folder / "w")
    second_workspace = copy_workspace(folder / "other" / "a-much-longer-name" / "nacre")
    environment = other_machine(folder / "home") | {"NACRE_CACHE": str(caches[1])}
    with load():
        jobs = ["--jobs", str((os.cpu_count() or 1) + 1)]
        second = build(second_workspace, folder / "second.eif", environment, jobs, umask=0o077)
    return first, second


def build(workspace, output, environment, options=(), umask=0o022):
    """Runs `nacre image build` and says how long it took."""
    command = [str(NACRE), "image", "build", "--workspace", str(workspace), "--output", str(output),
               "--onnxruntime", str(ONNXRUNTIME), *options]
    print("$", " ".join(command), flush=True)
    began = time.monotonic()
    done = subprocess.run(command, env=os.environ | environment, umask=umask, cwd=output.parent, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise BuildFailed(f"the build from {workspace} failed")
    print(f"image-repro: built in {time.monotonic() - began:.0f} s", flush=True)
    return output


def compare(first, second):
    """Byte for byte."""
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (first, second)]
    if digests[0] == digests[1]:
        print(f"image-repro: the same {first.stat().st_size} bytes twice, sha256:{digests[0]}")
        return 0
    print(f"image-repro: the images differ: {digests[0]} and {digests[1]}", file=sys.stderr)
    subprocess.run([str(NACRE), "image", "diff", str(first), str(second)], stdin=subprocess.DEVNULL)
    return 1


def other_machine(home):
    """An environment as another user's on another machine might be."""
    cargo = home / ".cargo"
    registry = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")) / "registry"
    (cargo / "registry").mkdir(parents=True)
    # What was downloaded is shared, where it is unpacked and compiled is not.
    for part in ("index", "cache"):
        if (registry / part).is_dir():
            (cargo / "registry" / part).symlink_to(registry / part)
    environment = {"HOME": str(home), "CARGO_HOME": str(cargo), "XDG_CACHE_HOME": str(home / "cache"),
                   "TZ": "Pacific/Chatham", "LANG": "tr_TR.UTF-8", "LC_ALL": "C.UTF-8", "USER": "someone",
                   "LOGNAME": "someone", "HOSTNAME": "elsewhere", "TMPDIR": str(home),
                   "CFLAGS": "-O0", "RUSTFLAGS": "-Copt-level=0", "MAKEFLAGS": "", "SOURCE_DATE_EPOCH": "1234567890"}
    return environment


def copy_workspace(target):
    """What git knows of, as it stands in the folder now."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    return target


def share_packages(cache):
    """Links the packages that were fetched before: the same bytes need not be fetched three times."""
    packages = Path(os.environ.get("NACRE_CACHE") or default_cache()) / "packages"
    (cache / "packages").mkdir(parents=True)
    for file in packages.glob("*.deb"):
        try:
            os.link(file, cache / "packages" / file.name)
        except OSError:
            shutil.copyfile(file, cache / "packages" / file.name)


def default_cache():
    """Where `nacre` keeps what it fetched."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nacre"


@contextlib.contextmanager
def load():
    """Keeps every core busy meanwhile."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"], stdin=subprocess.DEVNULL)
            for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
