"""A 4-20-20-3 perceptron: the species of an iris from its four measurements."""

import numpy as np
from onnx import TensorProto, helper

from . import datasets, export
from .layers import Dense, Relu, fit

SEED = 1936


def train():
    """The model's bytes."""
    measurements, species = datasets.load_iris().train()
    mean, deviation = measurements.mean(axis=0), measurements.std(axis=0)
    rng = np.random.default_rng(SEED)
    layers = [Dense(rng, 4, 20), Relu(), Dense(rng, 20, 20), Relu(), Dense(rng, 20, 3)]
    fit(layers, (measurements - mean) / deviation, species,
        rng=rng, epochs=200, batch=16, rate=5e-3, decay=1e-3)
    return to_onnx([layer for layer in layers if layer.params], mean, deviation)


def to_onnx(dense, mean, deviation):
    """The graph; scaling is folded into the first layer, so callers send centimetres."""
    first, bias = (p.astype(np.float64) for p in dense[0].params)
    scaled = first / deviation[:, np.newaxis]
    constants = {"weights_1": scaled, "bias_1": bias - mean @ scaled}
    for number, layer in enumerate(dense[1:], start=2):
        constants[f"weights_{number}"], constants[f"bias_{number}"] = layer.params
    return export.model(
        "iris-network",
        "Species of an iris (setosa, versicolor, virginica) from sepal length, sepal width, "
        "petal length and petal width in cm.",
        inputs=[helper.make_tensor_value_info("measurements", TensorProto.FLOAT, ["batch", 4])],
        outputs=[helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3])],
        nodes=[
            helper.make_node("Gemm", ["measurements", "weights_1", "bias_1"], ["sum_1"]),
            helper.make_node("Relu", ["sum_1"], ["hidden_1"]),
            helper.make_node("Gemm", ["hidden_1", "weights_2", "bias_2"], ["sum_2"]),
            helper.make_node("Relu", ["sum_2"], ["hidden_2"]),
            helper.make_node("Gemm", ["hidden_2", "weights_3", "bias_3"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
        ],
        constants=constants,
    )
