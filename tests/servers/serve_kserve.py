"""KServe's own model server, which speaks both of its protocols: ``serve_kserve.py PORT``."""

from __future__ import annotations

import sys
from typing import Any

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from network import network


class Ours(Model):
    """Answers in the protocol that it is asked in."""

    def load(self) -> bool:
        """Reads the weights."""
        self.answer, self.ready = network(), True
        return True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """Answers a request of either protocol."""
        if not isinstance(payload, InferRequest):
            return {"predictions": self.answer(payload["instances"]).tolist()}
        rows = self.answer(payload.inputs[0].as_numpy())
        output = InferOutput(name="scores", shape=list(rows.shape), datatype="FP32")
        binary = bool(payload.use_binary_outputs)
        output.set_data_from_numpy(rows, binary_data=binary)
        return InferResponse(
            response_id=payload.id,
            model_name="ours",
            infer_outputs=[output],
            use_binary_outputs=binary,
        )


if __name__ == "__main__":
    ours = Ours("ours")
    ours.load()
    ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1).start([ours])
