#!/usr/bin/env python3
"""Copies two public crates' sources and makes their trusted root and their clock settable.

`attestation-doc-validation` and `nitro_attest` trust AWS's root alone, and the first reads the system clock. The corpus
has a development root and fixed times. So their sources, as cargo fetched and checked them, are copied to `prepared/`
(which git ignores), and the few texts of `CRATES` are replaced there. Nothing else that runs is touched: what the copies
accept and refuse, and how long they take, is what the crates do.

The script fails where a file is not the one that was read when the replacements were written, or where a text to
replace does not stand in it exactly once.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PEERS = Path(__file__).resolve().parent
PREPARED = PEERS / "prepared"


@dataclass(frozen=True)
class Change:
    file: str
    sha256: str
    replace: str
    by: str


@dataclass(frozen=True)
class Crate:
    name: str
    version: str
    changes: tuple[Change, ...]


CRATES = (
    Crate(
        "attestation-doc-validation",
        "0.10.1",
        (
            Change(
                "src/lib.rs",
                "d39b65b8463649f8a58d8db58af7c8d1b910ad4f9e00dd423866fb7e13c69166",
                "mod nsm;\nmod time;\n",
                "mod nsm;\npub mod seam;\nmod time;\n",
            ),
            Change(
                "src/cert.rs",
                "7f9c8752dd0ff0b5aec92f3482b430c0d43f3adaae101f2be1c8721dbb8259a0",
                "parse_x509_pem(NITRO_ROOT_CA_BYTES)",
                "parse_x509_pem(crate::seam::root_pem(NITRO_ROOT_CA_BYTES))",
            ),
            Change(
                "src/time.rs",
                "844f4ce0d9363074a77ebf6383359db6b86f4cff933dcf90846185a601f43289",
                "std::time::SystemTime::now()",
                "crate::seam::now(std::time::SystemTime::now())",
            ),
        ),
    ),
    Crate(
        "nitro_attest",
        "0.2.0",
        (
            Change(
                "src/lib.rs",
                "d0114097ec2c00f424fa131c94fec17d7d93c840b4dae920735da3f7a8087587",
                '#[cfg(feature = "builder")]\npub mod builder;\n',
                '#[cfg(feature = "builder")]\npub mod builder;\npub mod seam;\n',
            ),
            Change(
                "src/lib.rs",
                "d0114097ec2c00f424fa131c94fec17d7d93c840b4dae920735da3f7a8087587",
                "self.fingerprint().as_ref() == Self::ROOT_FINGERPRINT",
                "self.fingerprint().as_ref() == crate::seam::root_fingerprint(Self::ROOT_FINGERPRINT)",
            ),
        ),
    ),
)

# What the compiler would warn about is the crates' authors' affair, as it is for every crate from the registry.
QUIET = b'\n[lints.rust]\nwarnings = "allow"\n'


def main() -> None:
    folders = fetched()
    for crate in CRATES:
        folder = folders.get((crate.name, crate.version))
        if folder is None:
            fail(f"cargo did not fetch {crate.name} {crate.version}")
        files = {path: changed(crate, folder, path) for path in sources(folder)}
        for change in crate.changes:
            if change.file not in files:
                fail(f"{crate.name} {crate.version} has no {change.file}")
        files["src/seam.rs"] = (PEERS / "seams" / f"{crate.name}.rs").read_bytes()
        files["Cargo.toml"] += QUIET
        place(PREPARED / crate.name, files)


def fetched() -> dict[tuple[str, str], Path]:
    """Where cargo keeps the sources of each package that `sources/` names, fetched if need be."""
    cargo(["fetch", "--quiet"])
    packages = json.loads(cargo(["metadata", "--format-version", "1", "--offline"]))["packages"]
    return {(p["name"], p["version"]): Path(p["manifest_path"]).parent for p in packages}


def cargo(arguments: list[str]) -> bytes:
    command = ["cargo", *arguments, "--locked", "--manifest-path", str(PEERS / "sources" / "Cargo.toml")]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def sources(folder: Path) -> list[str]:
    """The crate's own files: no dot files, and no lock file, which only counts for a crate that is built alone."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [
        path.as_posix()
        for path in files
        if not any(part.startswith(".") for part in path.parts) and path.name != "Cargo.lock"
    ]


def changed(crate: Crate, folder: Path, path: str) -> bytes:
    content = (folder / path).read_bytes()
    changes = [change for change in crate.changes if change.file == path]
    for change in changes:
        if hashlib.sha256((folder / path).read_bytes()).hexdigest() != change.sha256:
            fail(f"{crate.name} {crate.version}: {path} is not the file that the changes were written for")
        if content.count(change.replace.encode()) != 1:
            fail(f"{crate.name} {crate.version}: {path} does not hold exactly once: {change.replace!r}")
        content = content.replace(change.replace.encode(), change.by.encode())
    return content


def place(folder: Path, files: dict[str, bytes]) -> None:
    """Makes the folder hold these files alone; those that are right already keep their time, so cargo keeps its work."""
    kept = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if kept - files.keys():
        shutil.rmtree(folder)
    for path, content in files.items():
        target = folder / path
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def fail(reason: str) -> None:
    sys.exit(f"prepare: {reason}")


if __name__ == "__main__":
    main()
