"""What `check.sh` does once AWS's side is built."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "tests" / "golden"
NACRE = os.environ.get("NACRE", HERE.parent.parent / "target" / "debug" / "nacre")
METADATA = {
    "ImageName": "golden",
    "ImageVersion": "1.0",
    "BuildMetadata": {
        "BuildTime": "2026-01-02T03:04:05+00:00",
        "BuildTool": "check.py",
        "BuildToolVersion": "1",
        "OperatingSystem": "Linux",
        "KernelVersion": "6.12",
    },
    "DockerInfo": {"Os": "linux"},
    "CustomMetadata": {"answer": 42},
}


def main():
    peer, *words = sys.argv[1:]
    write_golden = "--golden" in words
    places = [pathlib.Path(word) for word in words if word != "--golden"]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        made = build_with_peer(peer, folder)
        checked = 0
        for path, printed in made.items():
            expect(registers(run(NACRE, "--json", "image", "measure", path)), registers(printed), path)
            checked += 1
        for path in [*made, *find(places)]:
            compare(peer, path)
            checked += 1
        sign_in_turns(peer, folder, [*made, *find(places)])
        if write_golden:
            keep(made)
    print(f"{checked} comparisons, and signatures in turns: the same")


def build_with_peer(peer, folder):
    """AWS's builder on small inputs: signed and not, one ramdisk and several. What it printed, by file."""
    make_key(folder, "golden")
    (folder / "kernel").write_bytes(b"not a kernel " * 40)
    (folder / "command_line").write_text("reboot=k panic=30 console=ttyS0")
    (folder / "metadata").write_text(json.dumps(METADATA))
    for index in range(3):
        (folder / f"ramdisk{index}").write_bytes(bytes([index]) * (100 + index))
    unsigned, signed = ("-", "-"), (folder / "golden.key", folder / "golden.pem")
    made = {}
    for name, ramdisks, key in [
        ("one-ramdisk", 1, unsigned),
        ("two-ramdisks", 2, unsigned),
        ("three-ramdisks-signed", 3, signed),
    ]:
        path = folder / f"{name}.eif"
        inputs = [folder / "kernel", folder / "command_line", folder / "metadata", *key]
        inputs += [folder / f"ramdisk{index}" for index in range(ramdisks)]
        made[path] = run(peer, "build", path, *inputs)
    return made


def compare(peer, path):
    """Both read the file and say the same of it."""
    ours, theirs = run(NACRE, "--json", "image", "measure", path), run(peer, "describe", path)
    expect(theirs["checksum"], True, path)
    expect(theirs["signature"], None if ours["signer"] is None else True, path)
    expect(registers(ours), registers(theirs["measurements"]), path)
    expect(ours["metadata"], theirs["metadata"], path)


def sign_in_turns(peer, folder, paths):
    """AWS signs, Nacre signs over it with another certificate, AWS signs over that; each finds the other's valid.

    AWS's signer leaves the old length in the header's table when it replaces a signature by one of another length
    (0.8.1, `write_signature`), so its certificate comes first and last.
    """
    make_key(folder, "first")
    make_key(folder, "second, of a longer name")
    for path in paths:
        copy = folder / "copy.eif"
        unsigned = run(NACRE, "--json", "image", "measure", path)
        if unsigned["signer"] is not None:
            continue
        copy.write_bytes(path.read_bytes())
        run(peer, "sign", copy, folder / "first.key", folder / "first.pem")
        compare(peer, copy)
        first = run(NACRE, "--json", "image", "measure", copy)["measurements"]
        run(NACRE, "image", "sign", copy, "--key", folder / "second, of a longer name.key",
            "--certificate", folder / "second, of a longer name.pem", parse=False)
        compare(peer, copy)
        second = run(NACRE, "--json", "image", "measure", copy)["measurements"]
        expect(first["pcr8"] != second["pcr8"], True, path)
        expect({**second, "pcr8": None}, {**unsigned["measurements"], "pcr8": None}, path)


def keep(made):
    GOLDEN.mkdir(exist_ok=True)
    for path, printed in made.items():
        (GOLDEN / path.name).write_bytes(path.read_bytes())
        text = json.dumps(registers(printed), indent=2) + "\n"
        (GOLDEN / path.name).with_suffix(".json").write_text(text)


def registers(found):
    """PCR0, 1, 2 and 8 from either side's words for them."""
    found = {name.lower(): value for name, value in found.get("measurements", found).items()}
    return {name: value for name, value in found.items() if name.startswith("pcr")}


def find(places):
    for place in places:
        yield from sorted(place.rglob("*.eif")) if place.is_dir() else [place]


def make_key(folder, name):
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    run("openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", key, parse=False)
    run("openssl", "req", "-x509", "-new", "-key", key, "-sha384", "-subj", f"/CN={name}",
        "-days", "365", "-out", certificate, parse=False)


def run(*words, parse=True):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr}")
    return json.loads(done.stdout) if parse else None


def expect(ours, theirs, path):
    if ours != theirs:
        sys.exit(f"{path}: Nacre says {ours}, AWS's tool {theirs}")


main()
