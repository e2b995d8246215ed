"""ONNX out of nodes and arrays: the same arrays give the same bytes."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

# Opset 17 with IR version 8: read by every ONNX Runtime since 1.12.
OPSET = 17
IR_VERSION = 8


def model(name, doc, *, inputs, outputs, nodes, constants):
    """A checked ONNX model, serialised; `constants` become float32."""
    initializers = [numpy_helper.from_array(np.ascontiguousarray(value, dtype=np.float32), key)
                    for key, value in constants.items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, initializers)
    result = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)],
                               ir_version=IR_VERSION, producer_name="nacre-examples", doc_string=doc)
    onnx.checker.check_model(result, full_check=True)
    return result.SerializeToString(deterministic=True)
