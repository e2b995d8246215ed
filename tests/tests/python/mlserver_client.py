"""MLServer's types and codecs, unmodified, against `nacre proxy`.

    mlserver_client.py ADDRESS EXAMPLES

ADDRESS is host:port of the proxy, EXAMPLES the folder with the functions. Each check is one test; the exit status
says whether all passed.
"""

import json
import sys
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
from mlserver.codecs import NumpyCodec, NumpyRequestCodec
from mlserver.types import (
    InferenceErrorResponse,
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataServerResponse,
    Parameters,
    RepositoryIndexResponse,
    RequestOutput,
)

ADDRESS, EXAMPLES = sys.argv[1], Path(sys.argv[2])
NAME = "iris-network"


def ask(path, body=None):
    """Status and body."""
    data = None if body is None else body.encode()
    request = urllib.request.Request(f"http://{ADDRESS}{path}", data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


class MLServerClient(unittest.TestCase):
    def setUp(self):
        expected = json.loads((EXAMPLES / NAME / "expected.json").read_text())
        sample = json.loads((EXAMPLES / NAME / expected["request"]).read_text())["inputs"][0]
        self.rows = np.array(sample["data"], np.float32).reshape(sample["shape"])
        self.input = sample["name"]
        self.output = expected["outputs"][0]["name"]
        self.wanted = np.array(expected["outputs"][0]["data"], np.float32).reshape(expected["outputs"][0]["shape"])
        self.tolerance = expected["tolerance"]

    def request(self, **more):
        return InferenceRequest(inputs=[NumpyCodec.encode_input(self.input, self.rows)], **more)

    def infer(self, body, path=f"/v2/models/{NAME}/infer"):
        status, answer = ask(path, body)
        self.assertEqual(status, 200, answer)
        return InferenceResponse.model_validate_json(answer)

    def right(self, response):
        answer = NumpyCodec.decode_output(response.outputs[0])
        self.assertEqual(answer.shape, self.wanted.shape)
        np.testing.assert_allclose(answer, self.wanted, rtol=0, atol=self.tolerance)

    def test_metadata_is_of_its_types(self):
        _, body = ask("/v2")
        self.assertIn("binary_tensor_data", MetadataServerResponse.model_validate_json(body).extensions)
        _, body = ask(f"/v2/models/{NAME}")
        described = MetadataModelResponse.model_validate_json(body)
        self.assertEqual((described.inputs[0].name, described.outputs[0].name), (self.input, self.output))
        _, body = ask("/v2/repository/index", "{}")
        index = RepositoryIndexResponse.model_validate_json(body)
        self.assertEqual([(item.name, str(item.state)) for item in index.root], [(NAME, "READY")])

    def test_an_inference_as_its_codec_writes_it(self):
        # With every field that has no value as null, and its own parameters.
        self.right(self.infer(self.request(id="42").model_dump_json()))

    def test_a_whole_request_by_its_codec(self):
        request = NumpyRequestCodec.encode_request(self.rows)
        request.inputs[0].name = self.input
        response = self.infer(request.model_dump_json(exclude_none=True))
        self.right(response)
        np.testing.assert_allclose(NumpyRequestCodec.decode_response(response), self.wanted, atol=self.tolerance)

    def test_parameters_of_any_kind_are_no_mistake(self):
        parameters = Parameters(content_type="np", headers={"x": "y"}, steps=[1, {"two": None}])
        request = self.request(parameters=parameters, outputs=[RequestOutput(name=self.output, parameters=parameters)])
        response = self.infer(request.model_dump_json())
        self.assertEqual(response.outputs[0].name, self.output)

    def test_a_mistake_is_of_its_type(self):
        request = self.request()
        request.inputs[0].name = "petals"
        status, body = ask(f"/v2/models/{NAME}/infer", request.model_dump_json())
        self.assertEqual(status, 400)
        self.assertIn("petals", InferenceErrorResponse.model_validate_json(body).error)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
