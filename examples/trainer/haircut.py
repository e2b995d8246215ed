"""How much an asset may fall in a day, from its last 24 hourly returns: for contracts that lend against it.

The prices are simulated (GARCH(1,1) with heavy tails, seed fixed), since no table of real ones may be committed here. The model is
ordinary least squares on three logarithms, so that anyone can read it off the graph; what it says is rounded to whole basis points.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from . import export

SEED = 2008
PATHS = 6_000
HOURS = 24
# Returns of the last so many hours, each as one number: their root mean square.
WINDOWS = (4, 12, 24)
# Every so many-th path is held out.
HELD_OUT_EVERY = 5
# The haircut is this many of the coming day's standard deviations.
DEVIATIONS = 3.0
# A return of nothing still has a logarithm: basis points squared, under the root.
FLOOR = 1.0


def simulate():
    """Hourly returns in basis points, int16 [n, 48]: the first 24 are known, the last 24 are to come."""
    rng = np.random.default_rng(SEED)
    level = np.exp(rng.normal(np.log(60.0), 0.8, PATHS)) ** 2
    alpha, beta = 0.08, 0.90
    variance = level.copy()
    returns = np.empty((PATHS, 200 + 2 * HOURS))
    # Student's t with five degrees of freedom, scaled to a variance of one.
    shocks = rng.standard_t(5, returns.shape) * np.sqrt(3.0 / 5.0)
    for hour in range(returns.shape[1]):
        returns[:, hour] = np.sqrt(variance) * shocks[:, hour]
        variance = (1 - alpha - beta) * level + alpha * returns[:, hour] ** 2 + beta * variance
    return np.clip(np.rint(returns[:, -2 * HOURS :]), -20_000, 20_000).astype(np.int16)


def split():
    """Known and coming returns of the paths to train on, and of the held-out ones."""
    paths = simulate()
    held_out = np.arange(PATHS) % HELD_OUT_EVERY == 0
    return [(part[:, :HOURS], part[:, HOURS:]) for part in (paths[~held_out], paths[held_out])]


def logarithm(returns):
    """The logarithm of the root mean square."""
    return 0.5 * np.log(np.square(returns.astype(np.float64)).mean(axis=1) + FLOOR)


def train():
    """The model's bytes."""
    known, coming = split()[0]
    features = np.column_stack([logarithm(known[:, -window:]) for window in WINDOWS] + [np.ones(len(known))])
    weights, *_ = np.linalg.lstsq(features, logarithm(coming), rcond=None)
    return to_onnx(weights[:-1], weights[-1])


def to_onnx(weights, bias):
    """The graph: returns in, basis points out."""
    scale = np.log(DEVIATIONS * np.sqrt(HOURS))
    constants = {
        "floor": np.float32(FLOOR), "half": np.float32(0.5), "none": np.float32(0), "all": np.float32(10_000),
        "bias": np.float32([bias + scale]), "weights": weights.astype(np.float32)[:, np.newaxis],
        "axis": np.int64([0]), "end": np.int64([HOURS]), "as_row": np.int64([1, len(WINDOWS)]), "flat": np.int64([1]),
        **{f"from_{window}": np.int64([HOURS - window]) for window in WINDOWS},
    }
    nodes = [helper.make_node("Cast", ["returns"], ["numbers"], to=TensorProto.FLOAT),
             helper.make_node("Mul", ["numbers", "numbers"], ["squares"])]
    for window in WINDOWS:
        nodes += [
            helper.make_node("Slice", ["squares", f"from_{window}", "end", "axis"], [f"last_{window}"]),
            helper.make_node("ReduceMean", [f"last_{window}"], [f"mean_{window}"], axes=[0], keepdims=1),
            helper.make_node("Add", [f"mean_{window}", "floor"], [f"raised_{window}"]),
            helper.make_node("Log", [f"raised_{window}"], [f"log_{window}"]),
            helper.make_node("Mul", [f"log_{window}", "half"], [f"feature_{window}"]),
        ]
    nodes += [
        helper.make_node("Concat", [f"feature_{window}" for window in WINDOWS], ["features"], axis=0),
        helper.make_node("Reshape", ["features", "as_row"], ["row"]),
        helper.make_node("Gemm", ["row", "weights", "bias"], ["logarithm"]),
        helper.make_node("Exp", ["logarithm"], ["points"]),
        helper.make_node("Clip", ["points", "none", "all"], ["bounded"]),
        helper.make_node("Round", ["bounded"], ["rounded"]),
        helper.make_node("Reshape", ["rounded", "flat"], ["one"]),
        helper.make_node("Cast", ["one"], ["haircut"], to=TensorProto.UINT16),
    ]
    graph = helper.make_graph(
        nodes,
        "haircut",
        [helper.make_tensor_value_info("returns", TensorProto.INT16, [HOURS])],
        [helper.make_tensor_value_info("haircut", TensorProto.UINT16, [1])],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    result = helper.make_model(graph, opset_imports=[helper.make_opsetid("", export.OPSET)],
                               ir_version=export.IR_VERSION, producer_name="nacre-examples",
                               doc_string="Three standard deviations of the coming day's return, in basis points.")
    onnx.checker.check_model(result, full_check=True)
    return result.SerializeToString(deterministic=True)
