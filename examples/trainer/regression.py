"""Ordinary least squares: petal width from the three other measurements."""

import numpy as np
from onnx import TensorProto, helper

from . import datasets, export

TARGET = 3


def train():
    """The model's bytes."""
    measurements, _ = datasets.load_iris().train()
    weights, bias = fit(measurements[:, :TARGET], measurements[:, TARGET])
    return export.model(
        "iris-regression",
        "Petal width in cm from sepal length, sepal width and petal length in cm.",
        inputs=[helper.make_tensor_value_info("measurements", TensorProto.FLOAT, ["batch", 3])],
        outputs=[helper.make_tensor_value_info("petal_width", TensorProto.FLOAT, ["batch", 1])],
        nodes=[helper.make_node("Gemm", ["measurements", "weights", "bias"], ["petal_width"])],
        constants={"weights": weights[:, np.newaxis], "bias": bias},
    )


def fit(features, target):
    """Least-squares weights [3] and bias [1], solved in double precision."""
    design = np.column_stack([features, np.ones(len(features))]).astype(np.float64)
    solution, *_ = np.linalg.lstsq(design, target.astype(np.float64), rcond=None)
    return solution[:-1], solution[-1:]
