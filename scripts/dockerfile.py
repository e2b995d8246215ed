#!/usr/bin/env python3
"""Builds the Dockerfile with buildah, on a Debian of its own, and checks what comes out.

    dockerfile.py                       on a Debian 12 that debootstrap makes (as root)
    dockerfile.py --base IMAGE@sha256:… on that image instead, from a registry (root or not)
    dockerfile.py --output DIR          keeps the image and the host's program
    dockerfile.py --rust VERSION        makes the host's program by that rustc-web

Needs buildah, debootstrap, and some 12 GB for as long as it runs. The base gets what this machine
reaches the package archives with, and nothing else does: its Debian mirrors (NACRE_DEBIAN_MIRROR
and NACRE_DEBIAN_SECURITY_MIRROR, else apt's), apt's proxies, its certificate authorities
(SSL_CERT_FILE, else the system's), pip's and cargo's configuration. Exit status 0: built, and as
it should be; 1: something is wrong with the result; 2: not built.
"""

import argparse
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE = "bookworm"
NEEDED_SPACE = 12_000_000_000
# Everything that a build gives.
RESULT = {"nacre.eif", "nacre", "measurements.txt", "ThirdPartyNotices.txt"}
REGISTER = re.compile(r"^PCR[0-2]  [0-9a-f]{96}$", re.MULTILINE)


class NotBuilt(Exception):
    """Why there is no result, and what to do about it."""


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--base", metavar="IMAGE", help="a Debian 12 image, by digest, instead of debootstrap's")
    arguments.add_argument("--rust", metavar="VERSION", help="the version of Debian's rustc-web, instead of the Dockerfile's")
    arguments.add_argument("--output", metavar="DIR", type=Path, help="keep the result there")
    arguments = arguments.parse_args()
    # A stopped build cleans up as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    try:
        check_machine(arguments.base)
        with Storage() as storage:
            result = build(storage, arguments.base, arguments.rust)
            wrong = faults(result)
            if arguments.output and not wrong:
                shutil.copytree(result, arguments.output, dirs_exist_ok=True)
    except NotBuilt as error:
        print(f"dockerfile: {error}", file=sys.stderr)
        return 2
    for sentence in wrong:
        print(f"dockerfile: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


def check_machine(base):
    """Everything that is missing, in one sentence."""
    wanted = ["buildah"] if base else ["buildah", "debootstrap"]
    missing = [program for program in wanted if not shutil.which(program)]
    if missing:
        raise NotBuilt(f"{' and '.join(missing)} missing: apt-get install {' '.join(missing)} (Debian, Ubuntu).")
    if not base and os.geteuid() != 0:
        raise NotBuilt("only root can run debootstrap: run this as root, or name an image by --base IMAGE@sha256:…")
    if base and "@sha256:" not in base:
        raise NotBuilt(f"{base} is not named by digest (IMAGE@sha256:…), so nobody can say what it is.")
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < NEEDED_SPACE:
        raise NotBuilt(f"{tempfile.gettempdir()} has {free / 1e9:.0f} GB free, {NEEDED_SPACE / 1e9:.0f} are needed; "
                       "TMPDIR names another folder.")


class Storage:
    """Images and containers of this build alone; gone afterwards."""

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="nacre-dockerfile-"))
        return self

    def __exit__(self, *_):
        # What debootstrap was stopped over may still be mounted: never remove across that.
        remove = ["rm", "-rf", "--one-file-system", str(self.folder)]
        subprocess.run(remove if os.geteuid() == 0 else ["buildah", "unshare", *remove], stdin=subprocess.DEVNULL)

    def buildah(self, *command, captured=False):
        """Runs buildah; its words are for the user, unless they are the answer."""
        # vfs is slow and large, and works on every file system and without privileges.
        options = ["--storage-driver", os.environ.get("STORAGE_DRIVER", "vfs"), "--root", str(self.folder / "storage"),
                   "--runroot", str(self.folder / "run")]
        return run("buildah", *options, *map(str, command), captured=captured)


def build(storage, base, rust):
    """Builds base and Dockerfile; gives the folder of the result."""
    began = time.monotonic()
    name = make_base(storage, base)
    print(f"dockerfile: the base, {name}, after {time.monotonic() - began:.0f} s", flush=True)
    result = storage.folder / "out"
    chosen = ["--build-arg", f"BASE={name}", *(["--build-arg", f"RUST={rust}"] if rust else [])]
    storage.buildah("build", "--isolation", "chroot", "--layers=false", "--pull=never", *chosen,
                    "--output", f"type=local,dest={result}", "--file", ROOT / "Dockerfile", ROOT)
    print(f"dockerfile: built after {time.monotonic() - began:.0f} s", flush=True)
    return result


def make_base(storage, image):
    """A Debian with this machine's ways to the archives, named by digest."""
    container = storage.buildah("from", image or "scratch", captured=True).strip()
    machine = storage.folder / "machine"
    if not image:
        mirror, security = debian_mirrors()
        root = storage.buildah("mount", container, captured=True).strip()
        run("debootstrap", "--variant=minbase", RELEASE, root, mirror)
        storage.buildah("umount", container)
        write(machine / "etc/apt/sources.list", f"deb {mirror} {RELEASE} main\ndeb {security} {RELEASE}-security main\n")
    for path, text in machine_configuration().items():
        write(machine / path, text)
    if machine.is_dir():
        storage.buildah("copy", "--quiet", container, machine, "/")
    storage.buildah("commit", "--quiet", "--rm", container, "nacre-base", captured=True)
    digest = storage.buildah("inspect", "--type", "image", "--format", "{{.FromImageDigest}}", "nacre-base", captured=True)
    return f"localhost/nacre-base@{digest.strip()}"


def machine_configuration():
    """The files by which this machine reaches the archives, and where a Debian has them."""
    files = {}
    authorities = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    if authorities and Path(authorities).is_file():
        bundle = Path(authorities).read_text(errors="replace")
        # For what runs before Debian's own list is installed; that merges in those that it does not have.
        files["etc/ssl/certs/ca-certificates.crt"] = bundle
        known = {text for file in Path("/usr/share/ca-certificates").rglob("*.crt") for text in certificates(file.read_text())}
        for number, text in enumerate(sorted(certificates(bundle) - known)):
            files[f"usr/local/share/ca-certificates/machine-{number}.crt"] = text + "\n"
    if shutil.which("apt-config"):
        dumped = run("apt-config", "dump", captured=True).splitlines()
        proxies = [line for line in dumped if re.match(r"Acquire::https?::Proxy(::\S+)? ", line)]
        if proxies:
            files["etc/apt/apt.conf.d/90machine"] = "\n".join(proxies) + "\n"
    home = Path.home()
    cargo = Path(os.environ.get("CARGO_HOME", home / ".cargo"))
    pip = [Path(os.environ.get("PIP_CONFIG_FILE", home / ".config/pip/pip.conf")), Path("/etc/pip.conf")]
    for sources, path in ((pip, "etc/pip.conf"), ([cargo / "config.toml", cargo / "config"], "root/.cargo/config.toml")):
        found = next((source for source in sources if source.is_file()), None)
        if found:
            files[path] = found.read_text()
    return files


def certificates(bundle):
    """Each certificate of a text, by itself."""
    return set(re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", bundle, re.DOTALL))


def debian_mirrors():
    """Where this machine gets Debian from: the archive, and its security updates."""
    main, security = (os.environ.get(f"NACRE_DEBIAN_{name}") for name in ("MIRROR", "SECURITY_MIRROR"))
    if not main and shutil.which("apt-get"):
        targets = run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages",
                      captured=True)
        known = dict(reversed([line.split("|", 2)[1:] for line in targets.splitlines() if line.startswith("Debian|")]))
        main, security = known.get("Debian"), security or known.get("Debian-Security")
    if not main:
        raise NotBuilt("apt here knows no Debian archive: set NACRE_DEBIAN_MIRROR (and NACRE_DEBIAN_SECURITY_MIRROR).")
    main = main.rstrip("/")
    # Every mirror that has both keeps them side by side.
    return main, (security or f"{main}-security").rstrip("/")


def faults(result):
    """What is wrong with the result, in sentences."""
    found = {file.name for file in result.iterdir()}
    wrong = [f"{name} came out, and should not" for name in sorted(found - RESULT)]
    wrong += [f"{name} did not come out" for name in sorted(RESULT - found)]
    if RESULT - found:
        return wrong
    nacre = result / "nacre"
    print(run(nacre, "--version", captured=True), end="")
    measured = REGISTER.findall(run(nacre, "image", "measure", result / "nacre.eif", captured=True))
    written = REGISTER.findall((result / "measurements.txt").read_text())
    if len(measured) != 3:
        wrong.append(f"the image has {len(measured)} measurements instead of 3")
    if measured != written:
        wrong.append(f"measurements.txt says {', '.join(written)}; the image is {', '.join(measured)}")
    if not wrong:
        size = (result / "nacre.eif").stat().st_size
        print("\n".join(measured), f"dockerfile: {size} bytes of image, measured as measurements.txt says", sep="\n")
    return wrong


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run(*command, captured=False):
    """Runs a program to its successful end; gives what it printed, if that was captured."""
    if not captured:
        print("$", *command, flush=True)
    try:
        done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE if captured else None)
    except OSError as error:
        raise NotBuilt(f"{command[0]} cannot be run: {error}") from error
    if done.returncode != 0:
        raise NotBuilt(f"{Path(command[0]).name} failed (status {done.returncode}); what it said stands above")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
