"""LitServe, which takes and gives whatever its model says: ``serve_litserve.py PORT``."""

from __future__ import annotations

import sys
from typing import Any

import litserve
import numpy as np
from network import network


class Ours(litserve.LitAPI):
    """Takes ``{"input": {"x": [[...]]}}``, gives ``{"result": {"scores": [[...]]}}``."""

    def setup(self, device: Any) -> None:
        """Reads the weights."""
        self.answer = network()

    def decode_request(self, request):  # a type would say what the body is to be parsed as
        """Takes the inputs out of a request."""
        return np.array(request["input"]["x"])

    def predict(self, inputs: Any) -> Any:
        """Answers them."""
        return self.answer(inputs)

    def encode_response(self, output: Any) -> Any:
        """Puts rows into a document."""
        return {"result": {"scores": output.tolist()}}


if __name__ == "__main__":
    server = litserve.LitServer(Ours(), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
