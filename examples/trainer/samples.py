"""Requests to try the examples with, and the answers they must get.

`expected.json` is what ONNX Runtime says of the request beside it. Its `truth`
comes from the data, not from the model.
"""

import json

import numpy as np
import onnxruntime

from . import datasets

IRIS_ROW = 60
DIGIT = 704
PATH = 7
# Other processors round sums differently.
TOLERANCE = 1e-4


def iris_regression(model):
    """The files of the regression's sample, by name."""
    measurements = datasets.load_iris().measurements[IRIS_ROW]
    return sample("input.json", model, "measurements", measurements[np.newaxis, :3],
                  source=f"data/iris.csv, line {IRIS_ROW + 2}", truth=round(float(measurements[3]), 1), unit="cm")


def iris_network(model):
    """The files of the network's sample, by name."""
    iris = datasets.load_iris()
    return sample("input.json", model, "measurements", iris.measurements[[IRIS_ROW]],
                  source=f"data/iris.csv, line {IRIS_ROW + 2}", truth=datasets.SPECIES[iris.species[IRIS_ROW]],
                  classes=list(datasets.SPECIES))


def lenet_mnist(model, pixels, labels):
    """The files of LeNet's sample, by name."""
    return sample("digit.json", model, "image", datasets.digits_to_tensor(pixels[[DIGIT]]),
                  source=f"{datasets.DIGIT_IMAGES.name}, image {DIGIT} counted from 0", truth=str(labels[DIGIT]),
                  classes=[str(digit) for digit in range(10)])


def digit(model, pixels, labels):
    """The files of the sample of LeNet for bytes, by name."""
    return sample("input.json", model, "pixels", pixels[DIGIT].reshape(-1),
                  source=f"{datasets.DIGIT_IMAGES.name}, image {DIGIT} counted from 0", truth=int(labels[DIGIT]))


def haircut(model, known, coming):
    """The files of the sample of the judge of risk, by name."""
    fall = -float(np.cumsum(coming[PATH].astype(np.int64)).min())
    return sample("input.json", model, "returns", known[PATH], source=f"held-out path {PATH} counted from 0, simulated",
                  truth=fall, unit="basis points that it fell at worst in the day that came", tolerance=1)


def sample(file, model, name, tensor, *, source, truth, tolerance=TOLERANCE, **facts):
    """A KServe v2 request in `file`, and `expected.json`."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    answer = session.run(None, {name: tensor})[0]
    request = {"inputs": [kserve_tensor(name, tensor)]}
    expected = {
        "request": file,
        "source": source,
        "truth": truth,
        **facts,
        "outputs": [kserve_tensor(session.get_outputs()[0].name, answer)],
        "tolerance": tolerance,
    }
    return {file: encode(request), "expected.json": encode(expected, indent=2)}


def kserve_tensor(name, array):
    """A tensor as KServe v2 JSON, each number in the fewest digits that give it back."""
    number = int if array.dtype.kind in "iu" else float
    data = [number(str(value)) for value in array.reshape(-1)]
    datatypes = {np.float32: "FP32", np.uint8: "UINT8", np.uint16: "UINT16", np.int16: "INT16"}
    datatype = datatypes[array.dtype.type]
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "data": data}


def encode(value, indent=None):
    """JSON with a line end."""
    return (json.dumps(value, indent=indent) + "\n").encode()
