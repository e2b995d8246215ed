"""LeNet-5 on MNIST, with rectifiers and maximum pooling: 61,706 weights."""

import numpy as np
from onnx import TensorProto, helper

from . import datasets, export
from .layers import Conv, Dense, Flatten, MaxPool, Relu, fit

SEED = 1998
LARGEST_SHIFT = 2


def train(pixels, labels):
    """The model's bytes, trained on uint8 [n, 28, 28] and their classes."""
    rng = np.random.default_rng(SEED)
    layers = [
        Conv(rng, 1, 6, 5, pad=2), Relu(), MaxPool(),
        Conv(rng, 6, 16, 5), Relu(), MaxPool(), Flatten(),
        Dense(rng, 400, 120), Relu(), Dense(rng, 120, 84), Relu(), Dense(rng, 84, 10),
    ]
    fit(layers, datasets.digits_to_tensor(pixels), labels,
        rng=rng, epochs=20, batch=64, rate=2e-3, decay=1e-5, augment=shift)
    return to_onnx([layer for layer in layers if layer.params])


def shift(rng, images):
    """Moves each image by up to two pixels: 8,000 digits alone are too few."""
    margin = LARGEST_SHIFT
    padded = np.pad(images, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    offsets = rng.integers(0, 2 * margin + 1, (len(images), 2))
    return np.stack([image[:, row:row + 28, column:column + 28]
                     for image, (row, column) in zip(padded, offsets)])


def to_onnx(trained):
    """The graph; the softmax stands inside, so the answer is probabilities."""
    names = ("conv_1", "conv_2", "dense_1", "dense_2", "dense_3")
    constants = {}
    for name, layer in zip(names, trained, strict=True):
        constants[f"{name}_weights"], constants[f"{name}_bias"] = layer.params
    return export.model(
        "lenet-mnist",
        "Class 0-9 of a handwritten digit, 28x28 grey values in 0-1, ink is 1.",
        inputs=[helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        outputs=[helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])],
        nodes=[
            *convolution("conv_1", "image", "maps_1", pads=[2, 2, 2, 2]),
            *convolution("conv_2", "maps_1", "maps_2", pads=[0, 0, 0, 0]),
            helper.make_node("Flatten", ["maps_2"], ["features"], axis=1),
            helper.make_node("Gemm", ["features", "dense_1_weights", "dense_1_bias"], ["sum_1"]),
            helper.make_node("Relu", ["sum_1"], ["hidden_1"]),
            helper.make_node("Gemm", ["hidden_1", "dense_2_weights", "dense_2_bias"], ["sum_2"]),
            helper.make_node("Relu", ["sum_2"], ["hidden_2"]),
            helper.make_node("Gemm", ["hidden_2", "dense_3_weights", "dense_3_bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
        ],
        constants=constants,
    )


def convolution(name, source, target, pads):
    """A 5×5 convolution, a rectifier and 2×2 maximum pooling."""
    return [
        helper.make_node("Conv", [source, f"{name}_weights", f"{name}_bias"], [f"{name}_sum"],
                         kernel_shape=[5, 5], pads=pads),
        helper.make_node("Relu", [f"{name}_sum"], [f"{name}_active"]),
        helper.make_node("MaxPool", [f"{name}_active"], [target], kernel_shape=[2, 2], strides=[2, 2]),
    ]
