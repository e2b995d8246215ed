"""LeNet for callers that have bytes only: 784 grey values in, one byte out."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from . import datasets, export

LENET = datasets.EXAMPLES / "lenet-mnist" / "model.onnx"


def build():
    """The committed LeNet between a cast of its pixels and the choice of its likeliest class."""
    lenet = onnx.load_from_string(LENET.read_bytes())
    # The softmax would change nothing about which class is likeliest.
    layers = [node for node in lenet.graph.node if node.op_type != "Softmax"]
    constants = {"as_image": np.array([1, 1, 28, 28], dtype=np.int64), "ink": np.array(255, dtype=np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["pixels"], ["grey"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["grey", "ink"], ["scaled"]),
            helper.make_node("Reshape", ["scaled", "as_image"], ["image"]),
            *layers,
            helper.make_node("ArgMax", ["logits"], ["class"], axis=1, keepdims=0),
            helper.make_node("Cast", ["class"], ["digit"], to=TensorProto.UINT8),
        ],
        "digit",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [784])],
        [helper.make_tensor_value_info("digit", TensorProto.UINT8, [1])],
        [*lenet.graph.initializer, *(numpy_helper.from_array(value, key) for key, value in constants.items())],
    )
    result = helper.make_model(graph, opset_imports=[helper.make_opsetid("", export.OPSET)],
                               ir_version=export.IR_VERSION, producer_name="nacre-examples",
                               doc_string="The handwritten digit, 0-9, in 28x28 grey values, ink is 255.")
    onnx.checker.check_model(result, full_check=True)
    return result.SerializeToString(deterministic=True)
