"""Unmodified tritonclient against `nacre proxy`.

    triton.py ADDRESS EXAMPLES

ADDRESS is host:port of the proxy, EXAMPLES the folder with the three functions. Each check is
one test; the exit status says whether all passed.
"""

import gzip
import json
import sys
import unittest
from pathlib import Path

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

NAMES = ("iris-regression", "iris-network", "lenet-mnist")
ADDRESS, EXAMPLES = sys.argv[1], Path(sys.argv[2])


class Example:
    """A function with its sample request and the right answer."""

    def __init__(self, name):
        folder = EXAMPLES / name
        expected = json.loads((folder / "expected.json").read_text())
        request = json.loads((folder / expected["request"]).read_text())
        self.name = name
        self.input = request["inputs"][0]
        self.output = expected["outputs"][0]
        self.tolerance = expected["tolerance"]
        self.array = np.array(self.input["data"], np.float32).reshape(self.input["shape"])

    def right(self, array):
        wanted = np.array(self.output["data"], np.float32).reshape(self.output["shape"])
        return array.shape == wanted.shape and np.allclose(array, wanted, rtol=0, atol=self.tolerance)


def tensor(name, array, binary, datatype=None):
    made = InferInput(name, list(array.shape), datatype or np_to_triton_dtype(array.dtype))
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def held_out(kind, header):
    packed = (EXAMPLES / "lenet-mnist" / f"held-out-{kind}-ubyte.gz").read_bytes()
    return np.frombuffer(gzip.decompress(packed)[header:], np.uint8)


class Triton(unittest.TestCase):
    def setUp(self):
        self.client = InferenceServerClient(ADDRESS)
        self.addCleanup(self.client.close)

    def refused(self, status, *words):
        test = self

        class Refused:
            def __enter__(self):
                self.context = test.assertRaises(InferenceServerException)
                self.caught = self.context.__enter__()

            def __exit__(self, *raised):
                done = self.context.__exit__(*raised)
                message = self.caught.exception.message()
                test.assertEqual(self.caught.exception.status(), status, message)
                for word in words:
                    test.assertIn(word, message)
                return done

        return Refused()

    def test_server(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        metadata = self.client.get_server_metadata()
        self.assertEqual(metadata["name"], "nacre")
        self.assertIn("binary_tensor_data", metadata["extensions"])
        ready = {model["name"] for model in self.client.get_model_repository_index()}
        self.assertEqual(ready, set(NAMES))

    def test_models(self):
        for example in map(Example, NAMES):
            with self.subTest(example.name):
                self.assertTrue(self.client.is_model_ready(example.name))
                metadata = self.client.get_model_metadata(example.name)
                self.assertEqual(metadata["name"], example.name)
                described = metadata["inputs"][0]
                self.assertEqual(
                    (described["name"], described["datatype"], described["shape"]),
                    (example.input["name"], "FP32", [-1] + example.input["shape"][1:]),
                )
                self.assertEqual(metadata["outputs"][0]["name"], example.output["name"])
                config = self.client.get_model_config(example.name)
                self.assertEqual(config["name"], example.name)
                self.assertEqual(config["input"][0]["data_type"], "TYPE_FP32")
                (version,) = metadata["versions"]
                self.assertTrue(self.client.is_model_ready(example.name, version))
        self.assertFalse(self.client.is_model_ready("nobody"))

    def test_inference_json_and_binary(self):
        for example in map(Example, NAMES):
            for binary_in in (False, True):
                for binary_out in (False, True):
                    with self.subTest(example.name, binary_in=binary_in, binary_out=binary_out):
                        result = self.client.infer(
                            example.name,
                            [tensor(example.input["name"], example.array, binary_in)],
                            outputs=[InferRequestedOutput(example.output["name"], binary_data=binary_out)],
                            request_id="of-the-caller",
                        )
                        self.assertTrue(example.right(result.as_numpy(example.output["name"])))
                        response = result.get_response()
                        self.assertEqual(response["model_name"], example.name)
                        self.assertEqual(response["id"], "of-the-caller")
                        self.assertEqual("data" in response["outputs"][0], not binary_out)

    def test_all_outputs_when_none_is_named(self):
        example = Example("iris-network")
        result = self.client.infer(example.name, [tensor(example.input["name"], example.array, True)])
        self.assertTrue(example.right(result.as_numpy(example.output["name"])))

    def test_classes_instead_of_probabilities(self):
        example = Example("iris-network")
        rows = np.concatenate([example.array, example.array])
        probabilities = self.client.infer(example.name, [tensor(example.input["name"], rows, True)])
        best = probabilities.as_numpy(example.output["name"]).argmax(axis=1)
        species = ("setosa", "versicolor", "virginica")
        for binary in (False, True):
            with self.subTest(binary=binary):
                result = self.client.infer(
                    example.name,
                    [tensor(example.input["name"], rows, binary)],
                    outputs=[InferRequestedOutput(example.output["name"], binary_data=binary, class_count=2)],
                )
                classes = result.as_numpy(example.output["name"])
                self.assertEqual(classes.shape, (len(rows), 2))
                for row, wanted in zip(classes, best):
                    first, second = (
                        (entry.decode() if isinstance(entry, bytes) else entry).split(":") for entry in row
                    )
                    self.assertEqual(int(first[1]), wanted)
                    self.assertEqual(first[2], species[wanted])
                    self.assertGreaterEqual(float(first[0]), float(second[0]))
        with self.refused("400", "whole number above 0"):
            wanted = InferRequestedOutput(example.output["name"], class_count=-1)
            self.client.infer(example.name, [tensor(example.input["name"], rows, True)], outputs=[wanted])

    def test_a_named_version(self):
        example = Example("iris-network")
        (version,) = self.client.get_model_metadata(example.name)["versions"]
        inputs = [tensor(example.input["name"], example.array, True)]
        result = self.client.infer(example.name, inputs, model_version=version)
        self.assertTrue(example.right(result.as_numpy(example.output["name"])))
        with self.refused("404", "no such version"):
            self.client.infer(example.name, inputs, model_version="0")

    def test_compression(self):
        for name in ("iris-network", "lenet-mnist"):
            example = Example(name)
            for request in (None, "gzip", "deflate"):
                for response in (None, "gzip", "deflate"):
                    for binary in (False, True):
                        with self.subTest(name, request=request, response=response, binary=binary):
                            result = self.client.infer(
                                name,
                                [tensor(example.input["name"], example.array, binary)],
                                outputs=[InferRequestedOutput(example.output["name"], binary_data=binary)],
                                request_compression_algorithm=request,
                                response_compression_algorithm=response,
                            )
                            self.assertTrue(example.right(result.as_numpy(example.output["name"])))

    def test_concurrent_calls(self):
        example = Example("iris-network")
        with InferenceServerClient(ADDRESS, concurrency=8) as client:
            inputs = [tensor(example.input["name"], example.array, True)]
            calls = [client.async_infer(example.name, inputs) for _ in range(32)]
            for call in calls:
                self.assertTrue(example.right(call.get_result().as_numpy(example.output["name"])))

    def test_statistics_count_this_models_calls(self):
        example = Example("iris-regression")

        def succeeded():
            (stats,) = self.client.get_inference_statistics(example.name)["model_stats"]
            self.assertEqual(stats["name"], example.name)
            return stats["inference_stats"]["success"]["count"]

        before = succeeded()
        for _ in range(3):
            self.client.infer(example.name, [tensor(example.input["name"], example.array, True)])
        self.assertEqual(succeeded() - before, 3)

    def test_mistakes_come_back_in_the_enclaves_words(self):
        example = Example("iris-network")
        name = example.input["name"]
        for binary in (False, True):
            with self.refused("400", "shape [1, 5]", "[-1, 4]"):
                self.client.infer(example.name, [tensor(name, np.zeros((1, 5), np.float32), binary)])
            with self.refused("400", "INT64", "FP32"):
                self.client.infer(example.name, [tensor(name, np.zeros((1, 4), np.int64), binary)])
            with self.refused("400", "no input `petals`"):
                self.client.infer(example.name, [tensor("petals", example.array, binary)])
        with self.refused("400", "no output `colour`"):
            wanted = [InferRequestedOutput("colour")]
            self.client.infer(example.name, [tensor(name, example.array, True)], outputs=wanted)
        with self.refused("404", "nobody"):
            self.client.infer("nobody", [tensor(name, example.array, True)])
        with self.refused("404", "nobody"):
            self.client.get_model_metadata("nobody")
        # And the connection that carried all this still serves.
        result = self.client.infer(example.name, [tensor(name, example.array, True)])
        self.assertTrue(example.right(result.as_numpy(example.output["name"])))

    def test_held_out_digits(self):
        images = held_out("images.idx3", 16).reshape(-1, 1, 28, 28).astype(np.float32) / 255
        labels = held_out("labels.idx1", 8)
        self.assertEqual(len(images), len(labels))
        right = 0
        for start in range(0, len(images), 100):
            batch = np.ascontiguousarray(images[start : start + 100])
            result = self.client.infer("lenet-mnist", [tensor("image", batch, True)])
            answer = result.as_numpy("probabilities")
            self.assertEqual(answer.shape, (len(batch), 10))
            right += int((answer.argmax(axis=1) == labels[start : start + 100]).sum())
        print(f"lenet-mnist: {right} of {len(labels)} held-out digits")
        self.assertGreaterEqual(right / len(labels), 0.97)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
