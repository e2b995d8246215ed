"""Judges the committed models on the rows that no training saw.

    python examples/check.py [--json]

Runs each model.onnx in ONNX Runtime, prints its score, and compares the answer to
the sample request with expected.json. Exit status 1 if a score is below its
promise or an answer is not the expected one.
"""

import argparse
import json
import sys

import numpy as np
import onnxruntime

from trainer import datasets, haircut

# Less than this is a broken model, not a worse one.
PROMISES = {"iris-regression": 0.92, "iris-network": 0.96, "lenet-mnist": 0.97, "digit": 0.97, "haircut": 0.8}


def main():
    arguments = argparse.ArgumentParser(description="Judges the example models on held-out rows.")
    arguments.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    options = arguments.parse_args()
    results = {
        "iris-regression": judge_regression(load("iris-regression")),
        "iris-network": judge_network(load("iris-network")),
        "lenet-mnist": judge_lenet(load("lenet-mnist")),
        "digit": judge_digit(load("digit")),
        "haircut": judge_haircut(load("haircut")),
    }
    for name, result in results.items():
        result["sample_matches"] = answers_sample(name, load(name))
        result["ok"] = result["sample_matches"] and result["score"] >= PROMISES[name]
        if not options.json:
            print(f"{name:16} {result['metric']} {result['score']:.4f} on {result['rows']} held-out rows"
                  f" (at least {PROMISES[name]}), sample {'as expected' if result['sample_matches'] else 'WRONG'}")
    if options.json:
        print(json.dumps(results))
    return 0 if all(result["ok"] for result in results.values()) else 1


def load(example):
    """The committed model in an inference session."""
    path = datasets.EXAMPLES / example / "model.onnx"
    return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


def judge_regression(session):
    """The share of the petal width's variance that the model explains."""
    measurements, _ = datasets.load_iris().test()
    predicted = session.run(["petal_width"], {"measurements": measurements[:, :3]})[0][:, 0]
    error = measurements[:, 3] - predicted
    spread = measurements[:, 3] - measurements[:, 3].mean()
    score = 1 - float(np.square(error).sum() / np.square(spread).sum())
    return {"metric": "R²", "score": score, "rows": len(measurements)}


def judge_network(session):
    """The share of flowers whose species is right."""
    measurements, species = datasets.load_iris().test()
    return accuracy(session, "measurements", measurements, species)


def judge_lenet(session):
    """The share of digits whose class is right."""
    pixels, labels = datasets.load_held_out_digits()
    return accuracy(session, "image", datasets.digits_to_tensor(pixels), labels)


def judge_digit(session):
    """The share of digits that are right."""
    pixels, labels = datasets.load_held_out_digits()
    said = [session.run(["digit"], {"pixels": image.reshape(-1)})[0][0] for image in pixels]
    return {"metric": "accuracy", "score": float(np.mean(said == labels)), "rows": len(pixels)}


def judge_haircut(session):
    """The share of the variance of the coming day's unrest (its logarithm) that the model explains, on simulated paths."""
    known, coming = haircut.split()[1]
    said = np.array([session.run(["haircut"], {"returns": path})[0][0] for path in known], dtype=np.float64)
    truth = haircut.logarithm(coming) + np.log(haircut.DEVIATIONS * np.sqrt(haircut.HOURS))
    # What it says at most is no error of its own.
    truth = np.minimum(truth, np.log(10_000))
    error, spread = truth - np.log(said), truth - truth.mean()
    return {"metric": "R²", "score": 1 - float(np.square(error).sum() / np.square(spread).sum()), "rows": len(known)}


def accuracy(session, name, rows, labels):
    """How often the likeliest class is the true one."""
    probabilities = session.run(["probabilities"], {name: rows})[0]
    score = float(np.mean(probabilities.argmax(axis=1) == labels))
    return {"metric": "accuracy", "score": score, "rows": len(rows)}


def answers_sample(example, session):
    """Whether the sample request gets the recorded answer and the truth."""
    folder = datasets.EXAMPLES / example
    expected = json.loads((folder / "expected.json").read_text())
    request = json.loads((folder / expected["request"]).read_text())
    tensors = {tensor["name"]: to_array(tensor) for tensor in request["inputs"]}
    wanted = to_array(expected["outputs"][0])
    answer = session.run([expected["outputs"][0]["name"]], tensors)[0]
    if answer.shape != wanted.shape or not np.allclose(answer, wanted, rtol=0, atol=expected["tolerance"]):
        return False
    return "classes" not in expected or expected["classes"][int(answer.argmax())] == expected["truth"]


def to_array(tensor):
    """A KServe v2 JSON tensor as an array."""
    datatype = {"FP32": np.float32, "UINT8": np.uint8, "UINT16": np.uint16, "INT16": np.int16}[tensor["datatype"]]
    return np.array(tensor["data"], dtype=datatype).reshape(tensor["shape"])


if __name__ == "__main__":
    sys.exit(main())
