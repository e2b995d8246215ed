"""The data of the examples, each split into training and held-out rows by position.

No random number decides the split: in the Iris table, and among the digits of
one class, every fifth row is held out. Nothing that a model is judged on was
seen in its training.
"""

import csv
import gzip
import io
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

EXAMPLES = Path(__file__).resolve().parent.parent
SPECIES = ("setosa", "versicolor", "virginica")
HELD_OUT_EVERY = 5

IRIS = EXAMPLES / "data" / "iris.csv"
DIGIT_IMAGES = EXAMPLES / "lenet-mnist" / "held-out-images.idx3-ubyte.gz"
DIGIT_LABELS = EXAMPLES / "lenet-mnist" / "held-out-labels.idx1-ubyte.gz"


@dataclass(frozen=True)
class Iris:
    """150 flowers: `measurements` in cm, float32 [n, 4]; `species` int64 [n]."""

    measurements: np.ndarray
    species: np.ndarray
    held_out: np.ndarray

    def train(self):
        """Measurements and species of the 120 rows to train on."""
        return self.measurements[~self.held_out], self.species[~self.held_out]

    def test(self):
        """Measurements and species of the 30 held-out rows."""
        return self.measurements[self.held_out], self.species[self.held_out]


def load_iris():
    """Reads Fisher's table; the rows of a species stand together, 50 each."""
    with IRIS.open(newline="") as table:
        rows = list(csv.reader(table))[1:]
    measurements = np.array([row[:4] for row in rows], dtype=np.float32)
    species = np.array([SPECIES.index(row[4]) for row in rows], dtype=np.int64)
    return Iris(measurements, species, held_out_mask(len(rows)))


def held_out_mask(count):
    """True for every row that no training may see."""
    return np.arange(count) % HELD_OUT_EVERY == 0


def load_held_out_digits():
    """The committed held-out digits: pixels uint8 [n, 28, 28], labels int64 [n]."""
    return read_idx(DIGIT_IMAGES), read_idx(DIGIT_LABELS).astype(np.int64)


def digits_to_tensor(pixels):
    """Grey values 0–255 to the float32 [n, 1, 28, 28] in 0–1 that LeNet takes."""
    return (pixels.astype(np.float32) / np.float32(255.0))[:, np.newaxis]


def read_idx(path):
    """Reads a gzip-compressed IDX file of unsigned bytes (MNIST's own format)."""
    with gzip.open(path, "rb") as stream:
        data = stream.read()
    zeros, kind, rank = struct.unpack(">HBB", data[:4])
    if zeros != 0 or kind != 0x08:
        raise ValueError(f"{path.name} is not an IDX file of unsigned bytes")
    header = 4 + 4 * rank
    shape = struct.unpack(f">{rank}I", data[4:header])
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def encode_idx(array):
    """Unsigned bytes as gzip-compressed IDX, the same bytes every time."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape)
    sink = io.BytesIO()
    # gzip.compress writes another header in every second version of Python.
    with gzip.GzipFile(filename="", mode="wb", fileobj=sink, compresslevel=9, mtime=0) as stream:
        stream.write(header + array.astype(np.uint8).tobytes())
    return sink.getvalue()
